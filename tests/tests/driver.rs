//! The tokio driver on the simulated network: real tasks, wakers and queues, and a run that is a
//! function of its seed all the same.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sctp_tests::{
    load::payload,
    net::{Gilbert, Link},
    sockets::SimNet,
};
use sctp_udp::{
    Association, AssociationConfig, CloseReason, Endpoint, EndpointConfig, SendInfo, ServerConfig,
    StreamId,
};

const CLIENT: &str = "10.0.0.1:9899";
const SERVER: &str = "10.0.0.2:9899";

async fn connected(net: &SimNet) -> (Endpoint, Endpoint, Association, Association) {
    let endpoint = |address: &str, server, seed| {
        let sockets = vec![net.socket(address.parse().expect("an address"))];
        Endpoint::with_seed(EndpointConfig::default(), server, sockets, [seed; 32])
            .expect("an endpoint")
    };
    let server = endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = endpoint(CLIENT, None, 2);
    let peer = [SERVER.parse().expect("an address")];
    let config = Arc::new(AssociationConfig::default());
    let (connected, accepted) = tokio::join!(client.connect(&peer, config), async {
        let incoming = server.accept().await.expect("somebody comes");
        incoming.accept().expect("it still waits")
    });
    (client, server, connected.expect("it is answered"), accepted)
}

fn bad(seed: u64) -> Link {
    Link {
        loss: 0.03,
        reorder: 0.1,
        duplicate: 0.03,
        corrupt: 0.01,
        burst: seed.is_multiple_of(2).then_some(Gilbert {
            enter: 0.005,
            leave: 0.5,
        }),
        ..Link::default()
    }
}

/// Echoes messages of many streams at once and says how long that took.
async fn echo(seed: u64) -> Duration {
    let net = SimNet::new(seed, bad(seed));
    let (client, server, near, far) = connected(&net).await;
    let echo = tokio::spawn(async move {
        while let Ok(Some(message)) = far.recv().await {
            let data: Bytes = message.data.into_bytes();
            let sent = far.send(message.stream, data, SendInfo::default()).await;
            sent.expect("the association lives");
        }
        far.closed().await
    });
    let sender = near.clone();
    let send = tokio::spawn(async move {
        for number in 0..200_u64 {
            let data = payload(number, 8 + number as usize * 37);
            let stream = StreamId((number % 16) as u16);
            let sent = sender.send(stream, data, SendInfo::default()).await;
            sent.expect("the association lives");
        }
    });
    let mut next = [0_u64; 16];
    for _ in 0..200 {
        let message = near.recv().await.expect("no failure").expect("no end");
        let stream = message.stream.0;
        let expected = next[usize::from(stream)] * 16 + u64::from(stream);
        next[usize::from(stream)] += 1;
        let data = message.data.into_bytes();
        assert!(data == payload(expected, 8 + expected as usize * 37));
    }
    send.await.expect("the sender ends well");
    assert_eq!(near.shutdown().await, CloseReason::Shutdown);
    assert_eq!(
        echo.await.expect("the echo ends well"),
        CloseReason::Shutdown
    );
    tokio::join!(client.close(), server.close());
    net.elapsed()
}

#[tokio::test(start_paused = true)]
async fn messages_survive_a_bad_network() {
    for seed in 0..10 {
        echo(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_takes_the_same_time() {
    assert_eq!(echo(3).await, echo(3).await);
}

#[tokio::test(start_paused = true)]
async fn a_nat_that_forgets_is_survived() {
    let net = SimNet::new(1, Link::default());
    let inside = CLIENT.parse().expect("an address");
    net.with(|net| net.rebind(inside, "192.0.2.7:1111".parse().expect("an address")));
    let (_client, _server, near, far) = connected(&net).await;
    for port in [2222, 3333] {
        net.with(|net| net.rebind(inside, ([192, 0, 2, 7], port).into()));
        let sent = near.send(StreamId(0), "from a new port".into(), SendInfo::default());
        sent.await.expect("the association lives");
        let message = far.recv().await.expect("no failure").expect("no end");
        assert_eq!(message.data.into_bytes(), "from a new port");
        let answer = far.send(StreamId(0), "to it".into(), SendInfo::default());
        answer.await.expect("the association lives");
        let message = near.recv().await.expect("no failure").expect("no end");
        assert_eq!(message.data.into_bytes(), "to it");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_found_out_in_virtual_time() {
    let net = SimNet::new(1, Link::default());
    let sockets = vec![net.socket(CLIENT.parse().expect("an address"))];
    let client = Endpoint::with_seed(EndpointConfig::default(), None, sockets, [1; 32])
        .expect("an endpoint");
    let peer = [SERVER.parse().expect("an address")];
    let config = Arc::new(AssociationConfig::default());
    assert!(client.connect(&peer, config).await.is_err());
    // Eight retransmissions of the INIT, doubling from one second up to sixty.
    let waited = net.elapsed();
    assert!((180..=320).contains(&waited.as_secs()), "{waited:?}");
}
