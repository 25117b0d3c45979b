//! The tokio driver on the simulated network: real tasks, wakers and queues, and a run that is a
//! function of its seed all the same.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use sctp_tests::{
    codec::{Packet, kind},
    load::payload,
    net::{Gilbert, Link, Verdict},
    sockets::SimNet,
};
use sctp_udp::{
    Association, AssociationConfig, Batch, CloseReason, Endpoint, EndpointConfig, SendInfo,
    ServerConfig, StreamId,
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
            loss: 1.0,
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

/// A message from one end to the other.
async fn say(from: &Association, to: &Association, text: &'static str) {
    let sent = from.send(StreamId(0), text.into(), SendInfo::default());
    sent.await.expect("the association lives");
    let message = to.recv().await.expect("no failure").expect("no end");
    assert_eq!(message.data.into_bytes(), text);
}

/// Row 15 of the threats: where the peer is follows from the tag, and from nothing less.
#[tokio::test(start_paused = true)]
async fn a_stranger_on_another_port_diverts_nothing_without_the_tag() {
    let net = SimNet::new(1, Link::default());
    let client: SocketAddr = CLIENT.parse().expect("an address");
    let stranger = SocketAddr::new(client.ip(), 6666);
    let overheard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&overheard);
    net.with(|net| {
        net.script(move |_, datagram| {
            if datagram.from == client && datagram.has(kind::I_DATA) {
                *ear.lock().expect("no panic") = datagram.payload.clone();
            }
            Verdict::Pass
        });
    });
    let (_client, _server, near, far) = connected(&net).await;
    say(&near, &far, "something to be overheard").await;
    let socket = net.socket(stranger);
    let shout = async |bytes: Vec<u8>| {
        let batch = Batch {
            destination: SERVER.parse().expect("an address"),
            source_ip: None,
            ecn: None,
            dont_fragment: true,
            contents: &bytes,
            segment_size: bytes.len(),
        };
        socket.try_send(&batch).expect("there is room");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let good = overheard.lock().expect("no panic").clone();
    let mut forged = Packet::decode(&good).expect("a packet");
    for bit in [1, 1 << 31] {
        forged.tag ^= bit;
        shout(forged.encode()).await;
        assert_eq!(far.peer_addr(), client);
    }
    let mut damaged = good.clone();
    damaged[8] ^= 1;
    shout(damaged).await;
    assert_eq!(far.peer_addr(), client);
    say(&far, &near, "to where the peer is").await;
    // With the tag even an old packet moves the peer, and its next one moves it back.
    shout(good).await;
    assert_eq!(far.peer_addr(), stranger);
    say(&near, &far, "here").await;
    assert_eq!(far.peer_addr(), client);
    say(&far, &near, "there").await;
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
