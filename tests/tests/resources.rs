//! What an endpoint's associations hold together: bounded altogether and for one peer address, and
//! reported. At a limit nobody new comes in, windows shrink, and nobody is aborted.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, ConnectError, EndpointConfig, Event, SendError, SendInfo,
    StreamId,
};
use sctp_tests::{
    build::{cookie_echo, data, init, sack, shutdown_ack},
    codec::{cause, kind},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, TAG},
};

const KIB: usize = 1024;

fn quiet() -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None);
    config
}

fn limited(change: impl FnOnce(&mut EndpointConfig)) -> Peer {
    let mut limits = EndpointConfig::default();
    change(&mut limits);
    limits.validate().expect("limits that can work");
    Peer::of_server(&quiet(), limits)
}

/// Sets an association up from an address and an SCTP port; its tag, or the cause of the ABORT.
fn set_up(peer: &mut Peer, host: u8, port: u16) -> Result<u32, u16> {
    peer.addr = SocketAddr::from(([10, 0, 1, host], 9899));
    peer.port = port;
    peer.send_tagged(0, init(TAG));
    let packet = peer.receive().expect("an answer");
    let answer = &packet.packet.chunks[0];
    if answer.kind == kind::ABORT {
        return Err(answer.cause().expect("a cause"));
    }
    let answer = answer.as_init();
    peer.host_tag = answer.tag;
    peer.host_tsn = answer.tsn;
    peer.send(cookie_echo(&answer.cookie()));
    peer.expect(kind::COOKIE_ACK);
    Ok(answer.tag)
}

#[test]
fn threat_27_one_address_gets_so_many_associations_and_others_get_theirs() {
    let mut peer = limited(|limits| _ = limits.max_associations_per_peer(2));
    set_up(&mut peer, 1, 1).unwrap();
    set_up(&mut peer, 1, 2).unwrap();
    assert_eq!(set_up(&mut peer, 1, 3), Err(cause::OUT_OF_RESOURCE));
    set_up(&mut peer, 2, 3).unwrap();
    assert_eq!(peer.host.endpoint.held_for([10, 0, 1, 1].into()).0, 2);
    let stats = peer.host.endpoint.stats();
    assert_eq!(
        (stats.refused_for_resources, stats.current_established),
        (1, 3)
    );

    // One ends: there is room for another.
    peer.send(sctp_tests::build::abort(12, b""));
    set_up(&mut peer, 2, 4).unwrap();
    set_up(&mut peer, 2, 5).unwrap();
    assert_eq!(set_up(&mut peer, 2, 6), Err(cause::OUT_OF_RESOURCE));
}

#[test]
fn what_connects_from_here_is_counted_against_the_same_limits() {
    let mut peer = limited(|limits| _ = limits.max_associations_per_peer(1));
    set_up(&mut peer, 1, 1).unwrap();
    let (now, addr) = (peer.now, peer.addr);
    let mut config = quiet();
    config.remote_port(7);
    let refused = peer.host.connect(now, config.clone(), &[addr]);
    assert!(matches!(refused, Err(ConnectError::TooManyAssociations)));
    let other = SocketAddr::from(([10, 0, 1, 2], 9899));
    assert!(peer.host.connect(now, config, &[other]).is_ok());
}

/// Sends whole messages that nobody reads until the host has refused some.
fn flood(peer: &mut Peer, size: usize, count: u32) {
    for tsn in 1..=count {
        let chunk = data((tsn % 16) as u16).tsn(tsn).unordered();
        peer.send(chunk.payload(vec![7; size]).be());
    }
    peer.receive_all();
}

#[test]
fn threat_14_one_address_holds_no_more_than_its_part() {
    const LIMIT: usize = 256 * KIB;
    const ASSOCIATIONS: u16 = 8;
    let mut peer = limited(|limits| _ = limits.max_memory_per_peer(LIMIT));
    let mut tags = Vec::new();
    for port in 1..=ASSOCIATIONS {
        tags.push((port, set_up(&mut peer, 1, port).unwrap()));
    }
    for (port, tag) in tags {
        (peer.port, peer.host_tag) = (port, tag);
        flood(&mut peer, 1000, 300);
    }
    let (associations, held) = peer.host.endpoint.held_for([10, 0, 1, 1].into());
    assert_eq!(associations, usize::from(ASSOCIATIONS));
    // Each may hold 16 KiB whatever the others do, and one chunk more when it holds nothing.
    let most = LIMIT + usize::from(ASSOCIATIONS) * 17 * KIB;
    assert!((LIMIT..=most).contains(&held), "{held} of {most} bytes");
    assert_eq!(peer.host.endpoint.stats().memory, held);
    assert_eq!(
        peer.host.live(),
        usize::from(ASSOCIATIONS),
        "nobody was aborted"
    );
    let sum: usize = (peer.host.conns.iter())
        .map(|conn| conn.association.memory().total())
        .sum();
    assert_eq!(sum, held, "what is reported is what there is");
    // No new ones from there; from elsewhere, and with the whole window.
    assert_eq!(set_up(&mut peer, 1, 99), Err(cause::OUT_OF_RESOURCE));
    set_up(&mut peer, 2, 1).unwrap();
    flood(&mut peer, 1000, 300);
    let (_, other) = peer.host.endpoint.held_for([10, 0, 1, 2].into());
    assert!(
        other > LIMIT * 9 / 10,
        "{other}: as much as if it were alone"
    );

    // What is read is free again.
    for conn in &mut peer.host.conns {
        while conn.association.recv_any().is_some() {}
    }
    let now = peer.now;
    peer.host.poll(now);
    // Window updates, to all of them.
    while peer.host.take_packet().is_some() {}
    let (_, held) = peer.host.endpoint.held_for([10, 0, 1, 1].into());
    assert!(held < 64 * KIB, "{held} bytes for empty associations");
    set_up(&mut peer, 1, 99).unwrap();
}

#[test]
fn at_the_limit_of_the_endpoint_nobody_new_comes_in() {
    let mut peer = limited(|limits| _ = limits.max_memory(256 * KIB));
    set_up(&mut peer, 1, 1).unwrap();
    flood(&mut peer, 1000, 400);
    let memory = peer.host.endpoint.stats().memory;
    assert!((240 * KIB..=273 * KIB).contains(&memory), "{memory}");
    assert_eq!(set_up(&mut peer, 2, 1), Err(cause::OUT_OF_RESOURCE));
    assert!(peer.host.endpoint.stats().refused_for_resources > 0);
    assert_eq!(peer.state(), AssociationState::Established);
}

#[test]
fn waiting_peers_are_charged_too() {
    let mut peer = limited(|_| {});
    peer.host.auto_accept = false;
    peer.send_tagged(0, init(TAG));
    let answer = peer.expect(kind::INIT_ACK).as_init();
    peer.host_tag = answer.tag;
    peer.send(cookie_echo(&answer.cookie()));
    let (associations, waiting) = peer.host.endpoint.held_for(peer.addr.ip());
    assert_eq!(associations, 1);
    for tsn in 1..=10 {
        peer.send(data(1).tsn(tsn).payload(vec![0; 1000]).be());
    }
    let (_, early) = peer.host.endpoint.held_for(peer.addr.ip());
    assert!(early >= waiting + 10_000, "{waiting}, then {early}");
    let incoming = peer.host.incoming.pop_front().unwrap();
    peer.host.refuse(incoming);
    assert_eq!(peer.host.endpoint.held_for(peer.addr.ip()), (0, 0));
    assert_eq!(peer.host.endpoint.stats().memory, 0);
}

/// An honest peer whose receiver is short of memory because of others: slow, and whole.
#[test]
fn an_honest_transfer_goes_on_at_the_limit() {
    let mut pair = Pair::builder()
        .endpoint(|limits| _ = limits.max_memory(96 * KIB).max_memory_per_peer(96 * KIB))
        .both(|c| _ = c.send_buffer(4 << 20).stream_send_buffer(4 << 20))
        .build();
    pair.connect();
    let message = || Bytes::from(vec![7; 10_000]);
    let mut sent = 0;
    let mut received = 0;
    let mut most = 0;
    for _ in 0..20_000 {
        while sent < 100
            && pair
                .try_send(Client, 1, message(), SendInfo::default())
                .is_ok()
        {
            sent += 1;
        }
        if !pair.step() {
            break;
        }
        let memory = pair.conn(Server).association.memory();
        most = most.max(memory.receive);
        // The reader is slow: it looks when much is there.
        if memory.receive > 60 * KIB || pair.next_wake().is_none() {
            received += pair
                .recv_all(Server)
                .iter()
                .map(|m| m.data.len())
                .sum::<usize>();
        }
    }
    pair.drive();
    received += pair
        .recv_all(Server)
        .iter()
        .map(|m| m.data.len())
        .sum::<usize>();
    assert_eq!((sent, received), (100, 1_000_000));
    assert!(most <= 100 * KIB, "{most}");
    assert_eq!(pair.state(Client), AssociationState::Established);
    assert_eq!(pair.state(Server), AssociationState::Established);
}

#[test]
fn a_sender_at_the_limit_waits_for_acknowledgements_and_is_told() {
    let mut peer = limited(|limits| _ = limits.max_memory(96 * KIB));
    set_up(&mut peer, 1, 1).unwrap();
    let now = peer.now;
    let mut taken = 0;
    let association = &mut peer.host.conns[0].association;
    let blocked = loop {
        let message = Bytes::from(vec![0; 5000]);
        match association.send(now, StreamId(1), message, SendInfo::default()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100, "the send buffer is the larger limit");
    };
    assert!(matches!(blocked, SendError::Blocked(_)), "{blocked:?}");
    assert!((15..20).contains(&taken), "{taken} messages of 5000 bytes");
    peer.events();
    peer.collect();
    // Everything is acknowledged, as far as it comes.
    for _ in 0..200 {
        let chunks: Vec<_> = (peer.receive_all().into_iter())
            .flat_map(|packet| packet.packet.chunks)
            .filter(|chunk| chunk.kind == kind::DATA)
            .map(|chunk| chunk.as_data().tsn)
            .collect();
        match chunks.last() {
            Some(last) => peer.send(sack(*last).a_rwnd(1 << 20)),
            None => break,
        }
    }
    assert!(peer.events().contains(&Event::Writable(StreamId(1))));
    let now = peer.now;
    let again = Bytes::from(vec![0; 5000]);
    let association = peer.association();
    assert!(
        association
            .send(now, StreamId(1), again, SendInfo::default())
            .is_ok()
    );
}

#[test]
fn the_endpoint_counts_as_rfc_3873_says() {
    let mut pair = Pair::builder().build();
    pair.connect();
    pair.send(Client, 1, vec![0; 3000]);
    pair.drive();
    let client = pair.client.endpoint.stats();
    let server = pair.server.endpoint.stats();
    assert_eq!(
        (client.active_establishments, client.passive_establishments),
        (1, 0)
    );
    assert_eq!(
        (server.active_establishments, server.passive_establishments),
        (0, 1)
    );
    assert_eq!(
        (client.current_established, server.current_established),
        (1, 1)
    );
    assert_eq!(
        (client.ordered_chunks_sent, server.ordered_chunks_received),
        (3, 3)
    );
    assert_eq!(
        (client.messages_fragmented, server.messages_reassembled),
        (1, 1)
    );
    assert_eq!(client.packets_sent, pair.stats(Client).packets_sent);
    assert!(server.control_chunks_sent >= 2, "COOKIE ACK, SACK");
    pair.shutdown(Client);
    pair.drive();
    let ends = |stats: sctp_proto::EndpointStats| {
        (stats.current_established, stats.shut_down, stats.aborted)
    };
    assert_eq!(ends(pair.client.endpoint.stats()), (0, 1, 0));
    assert_eq!(ends(pair.server.endpoint.stats()), (0, 1, 0));

    let mut pair = Pair::connected();
    pair.abort(Server, "enough");
    pair.drive();
    assert_eq!(ends(pair.client.endpoint.stats()), (0, 0, 1));
    assert_eq!(ends(pair.server.endpoint.stats()), (0, 0, 1));
}

#[test]
fn limits_that_leave_nobody_room_are_refused() {
    let refused = |change: fn(&mut EndpointConfig)| {
        let mut limits = EndpointConfig::default();
        change(&mut limits);
        limits.validate().unwrap_err().setting
    };
    assert_eq!(refused(|l| _ = l.max_memory(1000)), "max_memory");
    assert_eq!(
        refused(|l| _ = l.max_memory_per_peer(0)),
        "max_memory_per_peer"
    );
    assert_eq!(
        refused(|l| _ = l.max_associations_per_peer(0)),
        "max_associations_per_peer"
    );
}

/// Nothing of an association that ended stays in the books, however it ended.
#[test]
fn the_books_are_empty_when_all_is_over() {
    let mut peer = limited(|_| {});
    set_up(&mut peer, 1, 1).unwrap();
    flood(&mut peer, 500, 20);
    peer.host_send(1, vec![0; 3000]);
    peer.advance(Duration::from_millis(100));
    assert!(peer.host.endpoint.stats().memory > 13_000);
    while peer.host_recv(1).is_some() {}
    peer.receive_all();
    peer.send(peer.sack(3));
    let now = peer.now;
    peer.association().shutdown(now);
    peer.host.poll(now);
    peer.collect();
    peer.send(shutdown_ack());
    peer.receive_all();
    assert_eq!(peer.closed(), Some(sctp_proto::CloseReason::Shutdown));
    // Unread messages are held as long as the association can be read.
    assert!(peer.host.endpoint.stats().memory > 0);
    peer.host.conns.clear();
    assert_eq!(peer.host.endpoint.stats().memory, 0);
    assert_eq!(peer.host.endpoint.held_for(peer.addr.ip()), (0, 0));
}
