//! SCTP in UDP (RFC 6951): ports, checksums, sizes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sctp_proto::{AssociationConfig, SendInfo, StreamId};
use sctp_tests::{
    build::{data, init},
    codec::{crc32c, kind},
    net::Verdict,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, TAG},
};

//= RFC 6951 §5.1, test
//# An SCTP implementation supporting UDP encapsulation MUST maintain a remote UDP encapsulation...
#[test]
fn every_association_has_its_peers_udp_port() {
    let mut peer = Peer::client();
    // Two peers behind one address, told apart by their SCTP ports, and one elsewhere.
    let peers = [
        (SocketAddr::from(([10, 0, 0, 1], 9899)), 5000),
        (SocketAddr::from(([10, 0, 0, 1], 1024)), 5001),
        (SocketAddr::from(([10, 0, 0, 3], 65_535)), 5000),
    ];
    let mut tags = Vec::new();
    for (addr, port) in peers {
        (peer.addr, peer.port) = (addr, port);
        peer.connect(init(TAG));
        tags.push(peer.host_tag);
    }
    // One moves: its packets come from another UDP port, with the right tag.
    let moved = SocketAddr::from(([10, 0, 0, 1], 40_000));
    (peer.addr, peer.port, peer.host_tag) = (moved, 5001, tags[1]);
    peer.send(data(1).be());
    peer.find(kind::SACK).expect("a SACK where it comes from");

    let now = peer.now;
    for conn in &mut peer.host.conns {
        let message = "to whom it may concern".into();
        let sent = conn
            .association
            .send(now, StreamId(1), message, SendInfo::default());
        sent.expect("the message is taken");
    }
    // The checks of the peer are for one address; here are three.
    peer.addr = SocketAddr::from(([10, 99, 99, 99], 1));
    peer.collect();
    let sent: HashMap<_, _> = peer
        .receive_all()
        .into_iter()
        .map(|sent| ((sent.to, sent.packet.destination), sent.kinds()))
        .collect();
    let expected = [peers[0], (moved, 5001), peers[2]];
    assert_eq!(sent.len(), 3);
    for to in expected {
        assert!(sent[&to].contains(&kind::DATA), "{to:?}: {sent:?}");
    }
}

//= RFC 6951 §5.3, test
//# The SCTP checksum MUST be computed for IPv4 and IPv6, and the...
#[test]
fn the_checksum_counts_in_ipv4_and_in_ipv6() {
    for (client, server) in [
        ("10.0.0.1:9899", "10.0.0.2:9899"),
        ("[2001:db8::1]:9899", "[2001:db8::2]:9899"),
    ] {
        let mut pair = Pair::builder().addrs(&[client], &[server]).build();
        pair.connect();
        // That every packet which leaves has the right one, `Host` checks.
        pair.net.script(|_, datagram| {
            let sent = u32::from_le_bytes(datagram.payload[8..12].try_into().unwrap());
            assert_eq!(sent, crc32c(&datagram.payload));
            Verdict::Pass
        });
        pair.send(Client, 1, "intact");
        pair.drive();
        assert_eq!(pair.recv(Server, 1).unwrap(), "intact");
        // One with another is as good as lost.
        pair.net.clear_scripts();
        let mut spoilt = 0;
        pair.net.script(move |_, datagram| {
            spoilt += 1;
            if spoilt > 1 {
                return Verdict::Pass;
            }
            let mut payload = datagram.payload.clone();
            payload[8] ^= 1;
            Verdict::Replace(payload)
        });
        pair.send(Client, 1, "spoilt");
        pair.drive_for(Duration::from_millis(100));
        assert_eq!(pair.recv(Server, 1), None);
        assert_eq!(pair.server.endpoint.stats().bad_checksum, 1);
        pair.drive();
        assert_eq!(pair.recv(Server, 1).unwrap(), "spoilt");
    }
}

//= RFC 6951 §5.6, test
//# If an SCTP endpoint starts to encapsulate the packets of a path,...
#[test]
fn packets_leave_room_for_the_udp_header() {
    for (client, server, headers) in [
        ("10.0.0.1:9899", "10.0.0.2:9899", 20 + 8),
        ("[2001:db8::1]:9899", "[2001:db8::2]:9899", 40 + 8),
    ] {
        for mtu in [576, 1280, 1500] {
            let mut pair = Pair::builder()
                .addrs(&[client], &[server])
                .both(|c: &mut AssociationConfig| {
                    c.path_mtu(mtu);
                })
                .build();
            pair.connect();
            let room = usize::from(mtu) - headers;
            let largest = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&largest);
            pair.net.script(move |_, datagram| {
                seen.fetch_max(datagram.payload.len(), Ordering::Relaxed);
                Verdict::Pass
            });
            pair.send(Client, 1, vec![7; 5000]);
            pair.drive();
            assert_eq!(pair.recv(Server, 1).unwrap().len(), 5000);
            let largest = largest.load(Ordering::Relaxed);
            assert_eq!(largest, room / 4 * 4, "MTU {mtu}");
        }
    }
}
