//! What users can ask and set while an association is up (RFC 6458), over loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use sctp_udp::{
    Association, AssociationConfig, AssociationState, AuthEvent, CloseReason, Endpoint,
    EndpointConfig, Notification, Ppid, SendInfo, ServerConfig, SharedKey, StreamId,
};

const S1: StreamId = StreamId(1);

fn server(config: &AssociationConfig) -> Endpoint {
    let mut server = ServerConfig::default();
    server.association(Arc::new(config.clone()));
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(EndpointConfig::default(), Some(server), &[local]).unwrap()
}

fn client() -> Endpoint {
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(EndpointConfig::default(), None, &[local]).unwrap()
}

async fn connected(
    client: &Endpoint,
    server: &Endpoint,
    config: &AssociationConfig,
) -> (Association, Association) {
    let peer = [server.local_addrs()[0]];
    let connect = client.connect(&peer, Arc::new(config.clone()));
    let accept = async { server.accept().await.unwrap().accept().unwrap() };
    let (near, far) = tokio::join!(connect, accept);
    (near.unwrap(), far)
}

#[tokio::test]
async fn status_memory_and_settings_are_those_of_the_association() {
    let mut config = AssociationConfig::default();
    config.adaptation_indication(Some(7));
    let (client, server) = (client(), server(&config));
    let (near, far) = connected(&client, &server, &config).await;
    let status = near.status();
    assert_eq!(status.state, AssociationState::Established);
    assert_eq!(status.adaptation_indication, Some(7));
    assert!(near.memory().total() > 1000);
    near.update_config(|c| _ = c.max_segment(Some(100)))
        .unwrap();
    assert_eq!(near.status().fragmentation_point, 100);
    let refused = near.update_config(|c| _ = c.max_burst(0));
    assert_eq!(refused.unwrap_err().setting, "max_burst");

    let message = Bytes::from(vec![7; 1000]);
    near.send(S1, message, SendInfo::new(Ppid(9)))
        .await
        .unwrap();
    near.flushed().await.unwrap();
    assert!(near.stats().data_chunks_sent >= 10);
    let next = far.next_message(S1).unwrap();
    assert_eq!((next.len, next.ppid, next.complete), (1000, Ppid(9), true));
    assert_eq!(far.recv().await.unwrap().unwrap().data.len(), 1000);
    assert_eq!(far.next_message(S1), None);
    let counted = server.held_for("127.0.0.1".parse().unwrap());
    assert_eq!(counted.0, 1);
    assert_eq!(server.stats().current_established, 1);
    assert_eq!(near.shutdown().await, CloseReason::Shutdown);
}

#[tokio::test]
async fn one_message_goes_to_every_association() {
    let config = AssociationConfig::default();
    let server = server(&config);
    let clients = [client(), client()];
    let mut pairs = Vec::new();
    for client in &clients {
        pairs.push(connected(client, &server, &config).await);
    }
    let ids = server.association_ids();
    assert_eq!(ids.len(), 2);
    let sent = server.send_all(S1, &Bytes::from("to all"), &SendInfo::default());
    assert!(
        sent.iter()
            .all(|(id, result)| ids.contains(id) && result.is_ok())
    );
    assert_eq!(sent.len(), 2);
    for (near, _) in &pairs {
        let message = near.recv().await.unwrap().unwrap();
        assert_eq!(message.data.into_bytes(), "to all");
    }
}

#[tokio::test]
async fn steps_of_a_message_are_notifications() {
    let config = AssociationConfig::default();
    let (client, server) = (client(), server(&config));
    let (near, _far) = connected(&client, &server, &config).await;
    let mut notifications = near.notifications();
    let info = SendInfo::default().context(5).tracked(true);
    near.send(S1, "followed".into(), info).await.unwrap();
    let (stream, context) = (S1, 5);
    let sent = Notification::MessageSent { stream, context };
    let acked = Notification::MessageAcked { stream, context };
    assert_eq!(notifications.next().await, Some(sent));
    assert_eq!(notifications.next().await, Some(acked));
}

#[tokio::test]
async fn keys_are_rotated_while_messages_flow() {
    let mut config = AssociationConfig::default();
    let key = |secret: &str| SharedKey::new(secret.as_bytes());
    config
        .auth(true)
        .auth_chunks(&[0, 64])
        .auth_keys(&[(1, key("first"))]);
    let (client, server) = (client(), server(&config));
    let (near, far) = connected(&client, &server, &config).await;
    assert!(near.can_authenticate());
    // What was asked for, and ASCONF's chunks, which are never believed without.
    let chunks = vec![0, 64, 128, 193];
    assert_eq!(
        (near.local_auth_chunks(), far.peer_auth_chunks()),
        (chunks.clone(), chunks)
    );
    for end in [&near, &far] {
        end.set_auth_key(2, key("second"));
    }
    let mut notifications = far.notifications();
    near.activate_auth_key(2).unwrap();
    assert_eq!(near.active_auth_key(), 2);
    near.send(S1, "signed anew".into(), SendInfo::default())
        .await
        .unwrap();
    assert_eq!(
        far.recv().await.unwrap().unwrap().data.into_bytes(),
        "signed anew"
    );
    let told = tokio::time::timeout(Duration::from_secs(10), notifications.next()).await;
    assert_eq!(
        told.unwrap(),
        Some(Notification::Authentication(AuthEvent::NewKey(2)))
    );
    near.deactivate_auth_key(1).unwrap();
    near.delete_auth_key(1).unwrap();
    assert!(near.activate_auth_key(1).is_err());
    near.send(S1, "and again".into(), SendInfo::default())
        .await
        .unwrap();
    assert_eq!(
        far.recv().await.unwrap().unwrap().data.into_bytes(),
        "and again"
    );
}
