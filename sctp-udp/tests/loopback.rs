//! The driver on real sockets, over the loopback interface.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use sctp_udp::{
    Association, AssociationConfig, CloseReason, ConnectError, Endpoint, EndpointConfig,
    ErrorDetection, PathState, Ppid, SendInfo, ServerConfig, StreamId,
};
use tokio::time::timeout;

const S0: StreamId = StreamId(0);

fn bind(server: Option<ServerConfig>, addresses: &[&str]) -> std::io::Result<Endpoint> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    Endpoint::bind(EndpointConfig::default(), server, &addresses)
}

fn server(addresses: &[&str]) -> std::io::Result<Endpoint> {
    bind(Some(ServerConfig::default()), addresses)
}

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

/// Whether all of 127.0.0.0/8 is this machine, as on Linux and Windows.
fn has_loopback_network() -> bool {
    std::net::UdpSocket::bind("127.0.0.2:0").is_ok()
}

/// Sends back what comes until the peer shuts down.
async fn serve_one(endpoint: &Endpoint) -> Association {
    let association = endpoint.accept().await.unwrap().accept().unwrap();
    while let Some(message) = association.recv().await.unwrap() {
        let info = SendInfo::new(message.ppid);
        let data = message.data.into_bytes();
        association.send(message.stream, data, info).await.unwrap();
    }
    association
}

async fn ask_one(client: &Endpoint, peer: SocketAddr) -> Association {
    let association = client.connect(&[peer], Arc::default()).await.unwrap();
    let info = SendInfo::new(Ppid(1));
    association.send(S0, "ping".into(), info).await.unwrap();
    let answer = association.recv().await.unwrap().unwrap();
    assert_eq!(answer.data.into_bytes(), "ping");
    assert_eq!(association.shutdown().await, CloseReason::Shutdown);
    association
}

#[tokio::test]
async fn an_ephemeral_port_is_known_once_bound() {
    let server = server(&["127.0.0.1:0"]).unwrap();
    let client = bind(None, &["0.0.0.0:0"]).unwrap();
    let peer = server.local_addrs()[0];
    assert_ne!(peer.port(), 0);
    let (association, served) = tokio::join!(ask_one(&client, peer), serve_one(&server));
    assert_eq!(association.peer_addr(), peer);
    let from = served.peer_addr();
    assert_eq!(from.port(), client.local_addrs()[0].port());
}

#[tokio::test]
async fn ipv6_and_ipv4_share_an_endpoint_and_its_port() {
    if !has_ipv6() {
        return;
    }
    let server = server(&["127.0.0.1:0", "[::1]:0"]).unwrap();
    let client = bind(None, &["0.0.0.0:0", "[::]:0"]).unwrap();
    for endpoint in [&server, &client] {
        let ports: Vec<_> = endpoint
            .local_addrs()
            .iter()
            .map(SocketAddr::port)
            .collect();
        assert_eq!(ports[0], ports[1]);
    }
    for peer in server.local_addrs() {
        tokio::join!(ask_one(&client, peer), serve_one(&server));
    }
    let v4_only = bind(None, &["127.0.0.1:0"]).unwrap();
    let unreachable = v4_only
        .connect(&[server.local_addrs()[1]], Arc::default())
        .await;
    assert!(matches!(
        unreachable,
        Err(sctp_udp::ConnectError::NoSocket(_))
    ));
}

#[tokio::test]
async fn several_endpoints_live_in_one_process() {
    let servers = [
        server(&["127.0.0.1:0"]).unwrap(),
        server(&["127.0.0.1:0"]).unwrap(),
    ];
    let clients = [
        bind(None, &["127.0.0.1:0"]).unwrap(),
        bind(None, &["127.0.0.1:0"]).unwrap(),
    ];
    for client in &clients {
        for server in &servers {
            tokio::join!(ask_one(client, server.local_addrs()[0]), serve_one(server));
        }
    }
}

#[tokio::test]
async fn all_sockets_of_an_endpoint_have_one_port() {
    if !has_loopback_network() {
        return;
    }
    let different = bind(None, &["127.0.0.1:40001", "127.0.0.2:40002"]).unwrap_err();
    assert_eq!(different.kind(), std::io::ErrorKind::InvalidInput);
    // One port given, or none: the others get the same, in any order.
    let first = bind(None, &["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"]).unwrap();
    let ports = |endpoint: &Endpoint| -> Vec<u16> {
        let addresses = endpoint.local_addrs();
        addresses.iter().map(SocketAddr::port).collect()
    };
    let port = ports(&first)[0];
    assert_eq!(ports(&first), [port; 3]);
    first.close().await;
    assert_eq!(first.local_addrs(), []);
    let given = format!("127.0.0.2:{port}");
    let second = bind(None, &["127.0.0.1:0", &given]).unwrap();
    assert_eq!(ports(&second), [port; 2]);
}

#[tokio::test]
async fn a_wildcard_serves_what_the_interfaces_have() {
    if !has_loopback_network() {
        return;
    }
    let wildcard = bind(None, &["0.0.0.0:0"]).unwrap();
    let loopback = "127.0.0.1".parse().unwrap();
    assert!(wildcard.addresses().contains(&loopback));
    assert!(wildcard.addresses().iter().all(IpAddr::is_ipv4));
    let named = bind(None, &["127.0.0.2:0"]).unwrap();
    assert_eq!(named.addresses(), ["127.0.0.2".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn addresses_come_and_go_while_an_association_goes_on() {
    if !has_loopback_network() {
        return;
    }
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let server = server(&["127.0.0.1:0"]).unwrap();
    let client = bind(None, &["127.0.0.2:0"]).unwrap();
    let port = server.local_addrs()[0].port();
    server.add_address(ip("127.0.0.3")).unwrap();
    server.add_address(ip("127.0.0.3")).unwrap();
    let both = [ip("127.0.0.1"), ip("127.0.0.3")];
    assert_eq!(server.addresses(), both);
    assert_eq!(server.local_addrs()[1].port(), port);
    // The new socket is served.
    let peer = SocketAddr::new(both[1], port);
    let (_, served) = tokio::join!(ask_one(&client, peer), serve_one(&server));
    served.closed().await;

    let gone = server.remove_address(ip("127.0.0.9")).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
    server.remove_address(both[1]).unwrap();
    let last = server.remove_address(both[0]).unwrap_err();
    assert_eq!(last.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(server.addresses(), both[..1]);
    std::net::UdpSocket::bind(peer).expect("the socket is closed");
    let peer = server.local_addrs()[0];
    tokio::join!(ask_one(&client, peer), serve_one(&server));

    let taken = std::net::UdpSocket::bind((both[1], port)).unwrap();
    assert!(server.add_address(both[1]).is_err());
    drop(taken);
    server.close().await;
    assert!(server.add_address(both[1]).is_err());
}

#[tokio::test]
async fn ipv4_and_ipv6_are_paths_of_one_association() {
    if !has_loopback_network() || !has_ipv6() {
        return;
    }
    let mut config = AssociationConfig::default();
    config
        .rto_initial(Duration::from_millis(100))
        .rto_min(Duration::from_millis(50));
    let config = Arc::new(config);
    let mut server_config = ServerConfig::default();
    server_config.association(config.clone());
    let server = bind(
        Some(server_config),
        &["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"],
    )
    .unwrap();
    let client = bind(None, &["0.0.0.0:0", "[::]:0"]).unwrap();
    let peer = server.local_addrs();
    let (association, served) = tokio::join!(client.connect(&peer[..1], config), async {
        server.accept().await.unwrap().accept().unwrap()
    });
    let association = association.unwrap();
    let serving = tokio::spawn(async move {
        while let Some(message) = served.recv().await.unwrap() {
            let info = SendInfo::new(message.ppid);
            let data = message.data.into_bytes();
            served.send(message.stream, data, info).await.unwrap();
        }
        served
    });
    // All three are known, and each has answered a HEARTBEAT.
    let mut notifications = association.notifications();
    let paths = loop {
        let paths = association.paths();
        let active = paths.iter().filter(|path| path.state == PathState::Active);
        let reached: HashSet<_> = active.map(|path| path.remote).collect();
        if peer.iter().all(|address| reached.contains(address)) {
            break paths;
        }
        let told = timeout(Duration::from_secs(30), notifications.next()).await;
        told.unwrap_or_else(|_| panic!("{paths:?}"));
    };
    for address in peer {
        let path = paths.iter().find(|path| path.remote == address).unwrap();
        association.set_primary(path.id).unwrap();
        assert_eq!(association.peer_addr(), address);
        let info = SendInfo::new(Ppid(1));
        association.send(S0, "ping".into(), info).await.unwrap();
        let answer = association.recv().await.unwrap().unwrap();
        assert_eq!(answer.data.into_bytes(), "ping");
    }
    assert_eq!(association.shutdown().await, CloseReason::Shutdown);
    serving.await.unwrap();
}

#[tokio::test]
async fn an_address_can_be_taken_out_of_a_wildcard() {
    let endpoint = bind(None, &["0.0.0.0:0"]).unwrap();
    let loopback = "127.0.0.1".parse().unwrap();
    let other = "192.0.2.1".parse().unwrap();
    endpoint.handle_interfaces(vec![loopback, other]);
    endpoint.remove_address(loopback).unwrap();
    assert_eq!(endpoint.addresses(), [other]);
    endpoint.add_address(loopback).unwrap();
    assert_eq!(endpoint.addresses(), [loopback, other]);
    endpoint.handle_interfaces(vec![loopback]);
    assert_eq!(endpoint.addresses(), [loopback]);
}

#[tokio::test]
async fn a_port_can_be_bound_again_after_close() {
    let first = server(&["127.0.0.1:0"]).unwrap();
    let address = first.local_addrs()[0].to_string();
    assert!(server(&[&address]).is_err(), "in use");
    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let peer = first.local_addrs()[0];
    // A handle that is still held keeps no socket open.
    let (_association, _served) = tokio::join!(ask_one(&client, peer), serve_one(&first));
    first.close().await;
    server(&[&address]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transfer_on_several_threads_comes_back_whole() {
    const SIZE: usize = 20_000_000;
    let server = server(&["127.0.0.1:0"]).unwrap();
    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let peer = server.local_addrs()[0];
    let serving = tokio::spawn(async move { serve_one(&server).await });
    let association = client.connect(&[peer], Arc::default()).await.unwrap();
    let byte = |i: usize| ((i * 31) >> 7) as u8;
    let sending = {
        let association = association.clone();
        tokio::spawn(async move {
            for at in (0..SIZE).step_by(10_000) {
                let message: Bytes = (at..at + 10_000).map(byte).collect();
                let info = SendInfo::new(Ppid(1));
                association.send(S0, message, info).await.unwrap();
            }
        })
    };
    let mut received = 0;
    while received < SIZE {
        let message = association.recv().await.unwrap().unwrap();
        for part in message.data.into_fragments() {
            let wrong = part
                .iter()
                .enumerate()
                .find(|(i, b)| **b != byte(received + i));
            assert_eq!(wrong, None, "after {received} bytes");
            received += part.len();
        }
    }
    sending.await.unwrap();
    assert_eq!(association.shutdown().await, CloseReason::Shutdown);
    serving.await.unwrap();
}

#[tokio::test]
async fn over_plain_udp_no_packet_goes_without_a_checksum() {
    let mut config = AssociationConfig::default();
    config.zero_checksum(Some(ErrorDetection::Dtls));
    let config = Arc::new(config);
    let mut accepting = ServerConfig::default();
    accepting.association(Arc::clone(&config));
    assert!(bind(Some(accepting.clone()), &["127.0.0.1:0"]).is_err());
    let server = server(&["127.0.0.1:0"]).unwrap();
    assert!(server.set_server_config(Some(accepting)).is_err());
    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let peer = server.local_addrs()[0];
    let refused = client.connect(&[peer], config).await;
    assert!(matches!(refused, Err(ConnectError::Config(_))));
}

/// Loopback carries packets of 64 KiB, and they are used.
#[tokio::test]
async fn packets_grow_to_what_the_interface_carries() {
    const SIZE: usize = 8 << 20;
    let server = server(&["127.0.0.1:0"]).unwrap();
    let peer = server.local_addrs()[0];
    let accepting = tokio::spawn(async move {
        let association = server.accept().await.unwrap().accept().unwrap();
        let mut received = 0;
        while let Some(message) = association.recv().await.unwrap() {
            received += message.data.len();
        }
        received
    });
    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let association = client.connect(&[peer], Arc::default()).await.unwrap();
    let most = || association.paths()[0].stats.max_packet;
    assert_eq!(most(), 1252);
    let mut sent = 0;
    while sent < SIZE || most() == 1252 {
        let message = Bytes::from(vec![1; 100_000]);
        let info = SendInfo::default();
        association.send(S0, message, info).await.unwrap();
        sent += 100_000;
    }
    assert_eq!(association.shutdown().await, CloseReason::Shutdown);
    assert_eq!(accepting.await.unwrap(), sent);
}

/// A server for `accept_stream`: answers each message on its stream, gives the stream back.
async fn serve_streams(association: Association) {
    while let Ok(Some((mut tx, mut rx))) = association.accept_stream().await {
        tokio::spawn(async move {
            while let Ok(Some(message)) = rx.recv().await {
                let data = message.data.into_bytes();
                if tx.send(data, SendInfo::default()).await.is_err() {
                    return;
                }
                match tx.release(rx) {
                    Ok(()) => return,
                    Err(back) => (tx, rx) = back,
                }
            }
        });
    }
}

/// One association that ends in one of several ways.
async fn come_and_go(client: Endpoint, peer: SocketAddr, seed: u32) {
    let association = client.connect(&[peer], Arc::default()).await.unwrap();
    let mut streams = tokio::task::JoinSet::new();
    for id in 0..seed % 7 + 1 {
        let (mut tx, mut rx) = association.stream(StreamId(id as u16)).unwrap();
        streams.spawn(async move {
            for round in 0..seed % 5 {
                let size = (seed as usize * 7919 + round as usize * 104_729) % 30_000 + 1;
                let message = Bytes::from(vec![round as u8; size]);
                tx.send(message.clone(), SendInfo::default()).await.unwrap();
                let mut received = 0;
                while received < size {
                    received += rx.recv().await.unwrap().unwrap().data.len();
                }
                assert_eq!(received, size);
            }
            if seed.is_multiple_of(3) {
                tx.finish().await.unwrap();
            }
        });
    }
    while let Some(result) = streams.join_next().await {
        result.unwrap();
    }
    match seed % 4 {
        0 => assert_eq!(association.shutdown().await, CloseReason::Shutdown),
        1 => association.abort("enough".into()),
        2 => {
            let info = SendInfo::default();
            association.send(S0, "bye".into(), info).await.unwrap();
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn associations_that_come_and_go_on_several_threads_leave_nothing() {
    let server = server(&["127.0.0.1:0"]).unwrap();
    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let peer = server.local_addrs()[0];
    let accepting = server.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(serve_streams(incoming.accept().unwrap()));
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for seed in 0..200 {
        clients.spawn(come_and_go(client.clone(), peer, seed));
        if clients.len() == 40 {
            clients.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(result) = clients.join_next().await {
        result.unwrap();
    }
    client.close().await;
    server.close().await;
    assert_eq!((client.associations(), server.associations()), (0, 0));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let mut config = EndpointConfig::default();
    config.max_associations(0);
    let error = Endpoint::bind(config, None, &["127.0.0.1:0".parse().unwrap()]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let none = Endpoint::bind(EndpointConfig::default(), None, &[]).unwrap_err();
    assert_eq!(none.kind(), std::io::ErrorKind::InvalidInput);

    let client = bind(None, &["127.0.0.1:0"]).unwrap();
    let mut config = AssociationConfig::default();
    config.remote_port(0);
    let peer = client.local_addrs();
    let error = client.connect(&peer, Arc::new(config)).await.unwrap_err();
    assert!(matches!(error, sctp_udp::ConnectError::Config(_)));
    let error = client.connect(&[], Arc::default()).await.unwrap_err();
    assert!(matches!(error, sctp_udp::ConnectError::NoAddress));
}

#[test]
fn no_runtime_is_an_error_and_an_ended_one_leaves_nobody_waiting() {
    assert!(bind(None, &["127.0.0.1:0"]).is_err());

    let other = tokio::runtime::Runtime::new().unwrap();
    let (client, association, _served) = other.block_on(async {
        let server = server(&["127.0.0.1:0"]).unwrap();
        let client = bind(None, &["127.0.0.1:0"]).unwrap();
        let peer = server.local_addrs();
        let connecting = client.connect(&peer, Arc::default());
        let (association, served) = tokio::join!(connecting, async {
            server.accept().await.unwrap().accept().unwrap()
        });
        (client, association.unwrap(), served)
    });
    drop(other);
    let here = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(here.block_on(association.recv()).is_err());
    assert_eq!(here.block_on(association.closed()), CloseReason::LocalAbort);
    here.block_on(client.close());
}
