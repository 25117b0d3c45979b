//! What the network says of packets: that they are too large for it (§6.9, §7.3), that nobody takes
//! them (§10).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, Event, IcmpKind, IcmpMessage, PathId,
};
use sctp_tests::{
    build::{data, init, init_ack, shutdown},
    codec::kind,
    net::{Datagram, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);
const PATH: PathId = PathId::from_index(0);

fn ethernet(config: &mut AssociationConfig) {
    config.path_mtu(1500);
}

/// Packets of one side.
type Packets = Arc<Mutex<Vec<Datagram>>>;

/// From now on a router drops what this side sends in IP packets of more than `mtu` bytes, but for
/// those that it may fragment. Gives (dropped, passed).
fn narrow(pair: &mut Pair, side: Side, mtu: usize) -> (Packets, Packets) {
    let (dropped, passed) = (Packets::default(), Packets::default());
    let lists = (Arc::clone(&dropped), Arc::clone(&passed));
    pair.script_from(side, move |_, datagram| {
        let large = datagram.payload.len() + 28 > mtu && datagram.dont_fragment;
        let (list, verdict) = match large {
            true => (&lists.0, Verdict::Drop),
            false => (&lists.1, Verdict::Pass),
        };
        list.lock().unwrap().push(datagram.clone());
        verdict
    });
    (dropped, passed)
}

/// Runs to the end; each packet that the router drops makes it tell the sender.
fn drive_with_router(pair: &mut Pair, side: Side, dropped: &Packets, mtu: u16) -> usize {
    let mut messages = 0;
    while pair.step() {
        for datagram in std::mem::take(&mut *dropped.lock().unwrap()) {
            messages += 1;
            let kind = IcmpKind::PacketTooBig { mtu };
            let now = pair.now;
            pair.host(side).icmp(now, kind, &datagram);
        }
    }
    messages
}

//= RFC 9260 §6.9, test
//# Instead, if the PMTU has been reduced, then IP fragmentation MUST...
//= RFC 9260 §10, test
//# If the ICMP message is either an ICMPv6 message...
#[test]
fn a_transfer_goes_on_through_a_link_that_has_become_narrow() {
    for interleaving in [true, false] {
        let mut pair = Pair::builder()
            .both(|c| {
                c.path_mtu(1500).interleaving(interleaving);
            })
            .build();
        pair.connect();
        pair.send(Client, 1, vec![1; 300_000]);
        pair.send(Server, 1, vec![2; 100_000]);
        let before = pair.stats(Client).data_chunks_sent + 20;
        pair.drive_until(|pair| pair.stats(Client).data_chunks_sent > before);
        assert_eq!(pair.path(Client).max_packet, 1472);
        let (dropped, passed) = narrow(&mut pair, Client, 1400);
        let messages = drive_with_router(&mut pair, Client, &dropped, 1400);
        assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 300_000]);
        assert_eq!(pair.recv(Client, 1).unwrap(), vec![2; 100_000]);
        let stats = pair.stats(Client);
        assert_eq!(pair.path(Client).max_packet, 1372);
        assert_eq!(stats.icmp_accepted, messages as u64);
        // No time-out, and no more than what was under way was too large.
        assert_eq!(stats.t3_expiries, 0, "{}", pair.summary());
        assert!((1..=50).contains(&messages), "{messages} packets dropped");
        // What is larger is sent again, alone and not with new data.
        let passed = passed.lock().unwrap();
        let large: Vec<_> = passed.iter().filter(|d| d.payload.len() > 1372).collect();
        assert!(!large.is_empty());
        assert!(
            large
                .iter()
                .all(|d| !d.dont_fragment && d.payload.len() <= 1472)
        );
        assert!(
            passed
                .iter()
                .all(|d| d.dont_fragment || d.payload.len() > 1372)
        );
        assert!(stats.data_chunks_retransmitted >= large.len() as u64);
    }
}

#[test]
fn a_smaller_path_is_no_congestion() {
    // Without pacing, which would spread what goes again like all else.
    let settings = |c: &mut AssociationConfig| {
        c.path_mtu(1500).pacing(false);
    };
    let mut pair = Pair::builder().both(settings).build();
    pair.connect();
    pair.send(Client, 1, vec![1; 200_000]);
    pair.drive_until(|pair| pair.path(Client).flight > 10_000);
    let before = pair.path(Client);
    let now = pair.now;
    pair.conn(Client)
        .association
        .handle_packet_too_big(now, PATH, 1472);
    let after = pair.path(Client);
    assert_eq!((before.cwnd, after.flight), (after.cwnd, 0));
    assert_eq!(after.max_packet, 1464);
    // All of it leaves again at once.
    pair.flush();
    assert!(pair.path(Client).flight >= before.flight);
    pair.drive();
    assert_eq!(pair.stats(Client).t3_expiries, 0);
    assert_eq!(pair.stats(Client).fast_retransmits, 0);
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 200_000]);
}

#[test]
fn a_handshake_with_early_data_meets_a_narrow_link() {
    let mut pair = Pair::builder().both(ethernet).build();
    pair.start();
    pair.send(Client, 1, vec![1; 10_000]);
    let (dropped, _) = narrow(&mut pair, Client, 1400);
    let messages = drive_with_router(&mut pair, Client, &dropped, 1400);
    assert!(messages > 0);
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 10_000]);
    assert_eq!(pair.path(Client).max_packet, 1372);
}

#[test]
fn what_the_operating_system_refuses_becomes_smaller_step_by_step() {
    let mut peer = Peer::connected_with(|c| {
        c.path_mtu(9000).min_path_mtu(576);
    });
    let refuse = |peer: &mut Peer, size| {
        let now = peer.now;
        peer.association().handle_packet_too_big(now, PATH, size);
        peer.collect();
        let sizes = peer.receive_all().iter().map(|sent| sent.len).collect();
        (sizes, max_packet(peer))
    };
    peer.host_send(1, vec![0; 8000]);
    assert_eq!(peer.receive().expect("DATA").len, 8028);
    // A chunk with a TSN stays as large as it is.
    assert_eq!(refuse(&mut peer, 8028), (vec![8028], 4324));
    // What was made before the first refusal says nothing new.
    assert_eq!(refuse(&mut peer, 8028), (vec![], 4324));
    for expected in [1974, 1472, 1464, 1372, 1252, 976, 548, 548] {
        let size = max_packet(&mut peer);
        let (sizes, smaller) = refuse(&mut peer, size);
        assert_eq!((sizes, smaller), (vec![], expected & !3));
    }
}

#[test]
fn new_messages_are_cut_to_the_smaller_path() {
    let mut peer = Peer::connected_with(ethernet);
    let now = peer.now;
    peer.association().handle_packet_too_big(now, PATH, 1472);
    peer.association().handle_packet_too_big(now, PATH, 1464);
    peer.host_send(1, vec![0; 4000]);
    let sizes: Vec<_> = peer.receive_all().iter().map(|sent| sent.len).collect();
    assert_eq!(sizes, [1372, 1372, 1340]);
}

/// The beginning of a packet of the host's, as ICMP quotes it.
fn quote(peer: &Peer, tag: u32) -> Vec<u8> {
    let mut packet = peer.packet(tag, vec![data(1).be()]);
    std::mem::swap(&mut packet.source, &mut packet.destination);
    packet.encode()
}

/// Tells the host's endpoint; whether some association was found.
fn tell(peer: &mut Peer, kind: IcmpKind, destination: SocketAddr, quoted: &[u8]) -> bool {
    let message = IcmpMessage {
        kind,
        destination,
        quoted,
    };
    let found = peer.host.handle_icmp(peer.now, &message);
    peer.collect();
    found
}

fn max_packet(peer: &mut Peer) -> usize {
    let path = peer.association().paths().next();
    path.expect("there is a path").stats.max_packet
}

//= RFC 9260 §10, test
//# An implementation MUST use the payload of the ICMP message...
//= RFC 9260 §10, test
//# If the association cannot be found, an implementation SHOULD ignore...
//= RFC 9260 §10, test
//# An implementation MUST validate that the Verification Tag contained in...
//= RFC 6951 §5.5, test
//# If a received ICMP or ICMPv6 packet cannot be related to...
#[test]
fn nothing_is_believed_without_the_tag() {
    let mut peer = Peer::connected_with(ethernet);
    let (addr, good) = (peer.addr, quote(&peer, TAG));
    for kind in [
        IcmpKind::PacketTooBig { mtu: 1300 },
        IcmpKind::NotSupported,
        IcmpKind::Unreachable,
    ] {
        // Not even an association.
        let ignored = peer.host.endpoint.stats().icmp_ignored;
        assert!(!tell(&mut peer, kind, addr, &good[..11]), "too short");
        let elsewhere = SocketAddr::from(([10, 0, 0, 77], 9899));
        assert!(!tell(&mut peer, kind, elsewhere, &good));
        let mut other_port = good.clone();
        other_port[3] ^= 1;
        assert!(!tell(&mut peer, kind, addr, &other_port));
        assert_eq!(peer.host.endpoint.stats().icmp_ignored, ignored + 3);
        // An association, and not its tag or not its UDP port.
        let discarded = peer.association().stats().icmp_discarded;
        for tag in [TAG ^ 1, 0, peer.host_tag] {
            let quoted = quote(&peer, tag);
            assert!(tell(&mut peer, kind, addr, &quoted));
        }
        let moved = SocketAddr::new(addr.ip(), 4711);
        assert!(tell(&mut peer, kind, moved, &good));
        let stats = peer.association().stats();
        assert_eq!(stats.icmp_discarded, discarded + 4);
        assert_eq!(stats.icmp_accepted, 0);
        assert_eq!(max_packet(&mut peer), 1472);
        assert_eq!(peer.state(), AssociationState::Established);
    }
    // With the tag twelve bytes are enough.
    tell(
        &mut peer,
        IcmpKind::PacketTooBig { mtu: 1300 },
        addr,
        &good[..12],
    );
    assert_eq!(max_packet(&mut peer), 1272);
    assert_eq!(peer.association().stats().icmp_accepted, 1);
    peer.expect_nothing();
}

#[test]
fn no_message_makes_packets_smaller_than_the_floor_or_larger() {
    let mut peer = Peer::connected_with(ethernet);
    let (addr, quoted) = (peer.addr, quote(&peer, TAG));
    for (mtu, expected) in [(9000, 1472), (0, 1464), (1, 1252), (1500, 1252), (0, 1252)] {
        let kind = IcmpKind::PacketTooBig { mtu };
        tell(&mut peer, kind, addr, &quoted);
        assert_eq!(max_packet(&mut peer), expected, "after {mtu}");
    }
    // The path is said to carry less: routers may fragment, and everything arrives.
    let mut pair = Pair::builder().both(ethernet).build();
    pair.connect();
    pair.send(Client, 1, vec![1; 50_000]);
    let (dropped, passed) = narrow(&mut pair, Client, 1000);
    drive_with_router(&mut pair, Client, &dropped, 1000);
    assert_eq!(pair.recv(Server, 1).unwrap(), vec![1; 50_000]);
    assert_eq!(pair.path(Client).max_packet, 1252);
    let passed = passed.lock().unwrap();
    assert!(passed.iter().all(|datagram| !datagram.dont_fragment));
}

#[test]
fn messages_faster_than_anybody_needs_them_are_ignored() {
    let mut peer = Peer::connected_with(ethernet);
    let (addr, forged) = (peer.addr, quote(&peer, TAG ^ 1));
    let heard = (0..5000).filter(|_| tell(&mut peer, IcmpKind::Unreachable, addr, &forged));
    assert_eq!(heard.count(), 1000);
    assert_eq!(peer.host.endpoint.stats().icmp_ignored, 4000);
}

//= RFC 9260 §10, test
//# If the ICMP code is "Unrecognized Next Header Type Encountered"...
//= RFC 9260 §12.4, test
//# To provide a non-SCTP-capable host with the same...
#[test]
fn a_host_that_takes_no_packets_ends_the_association() {
    let mut peer = Peer::connected();
    let (addr, quoted) = (peer.addr, quote(&peer, TAG));
    tell(&mut peer, IcmpKind::NotSupported, addr, &quoted);
    assert_eq!(peer.closed(), Some(CloseReason::Unreachable));
    // As after an ABORT: no word of goodbye.
    peer.expect_nothing();
    assert_eq!(peer.host.endpoint.associations(), 0);

    // The peer was through with the shutdown, and its process gone, when SHUTDOWN ACK came again.
    let mut peer = Peer::connected();
    let (addr, quoted) = (peer.addr, quote(&peer, TAG));
    let all = peer.host_tsn(0).wrapping_sub(1);
    peer.send(shutdown(all));
    peer.expect(kind::SHUTDOWN_ACK);
    tell(&mut peer, IcmpKind::NotSupported, addr, &quoted);
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
}

#[test]
fn an_init_that_nobody_takes_ends_the_attempt() {
    let mut peer = Peer::server();
    let sent = peer.expect(kind::INIT).as_init();
    let addr = peer.addr;
    let quoted = |peer: &Peer, tag| {
        let mut packet = peer.packet(0, vec![init(tag).into()]);
        std::mem::swap(&mut packet.source, &mut packet.destination);
        packet.encode()
    };
    let good = quoted(&peer, sent.tag);
    let forged = quoted(&peer, sent.tag ^ 1);
    let mut not_an_init = good.clone();
    not_an_init[12] = kind::INIT_ACK;
    for quoted in [&forged[..], &not_an_init[..], &good[..19]] {
        tell(&mut peer, IcmpKind::NotSupported, addr, quoted);
        assert_eq!(peer.state(), AssociationState::CookieWait);
    }
    tell(&mut peer, IcmpKind::NotSupported, addr, &good);
    assert_eq!(peer.closed(), Some(CloseReason::Unreachable));
    peer.expect_nothing();

    // Once the peer has answered, an INIT that was lost on the way says nothing any more.
    let mut peer = Peer::server();
    let sent = peer.answer_init(init_ack(TAG, COOKIE));
    let late = quoted(&peer, sent.tag);
    tell(&mut peer, IcmpKind::NotSupported, addr, &late);
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
    assert_eq!(peer.association().stats().icmp_accepted, 1);
}

#[test]
fn the_port_that_a_nat_took_away_says_nothing_about_the_peer() {
    let mut peer = Peer::connected();
    let old = peer.addr;
    peer.addr.set_port(4711);
    peer.send(data(1).be());
    let quoted = quote(&peer, TAG);
    tell(&mut peer, IcmpKind::NotSupported, old, &quoted);
    assert_eq!(peer.state(), AssociationState::Established);
    assert_eq!(peer.association().stats().icmp_discarded, 1);
}

#[test]
fn a_route_that_is_gone_for_a_moment_changes_nothing() {
    let mut peer = Peer::connected();
    peer.host_send(1, "on its way");
    peer.receive_all();
    let (addr, quoted) = (peer.addr, quote(&peer, TAG));
    for _ in 0..100 {
        tell(&mut peer, IcmpKind::Unreachable, addr, &quoted);
    }
    let path = peer.association().paths().next().unwrap().stats;
    assert_eq!((path.errors, path.rto), (0, SECOND));
    let sack = peer.sack(1);
    peer.send(sack);
    assert_eq!(peer.state(), AssociationState::Established);
    assert!(peer.events().contains(&Event::SenderDry));
}
