//! HEARTBEAT (§8.3), path failure (§8.2), and a peer whose address changes under way (RFC 6951).

use std::{net::SocketAddr, time::Duration};

use sctp_proto::{AssociationState, CloseReason, Event, PathConfig, PathInfo, PathState};
use sctp_tests::{
    build::{cookie_ack, cookie_echo, data, heartbeat, heartbeat_ack, init, init_ack},
    codec::{Chunk, kind},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

fn beating(interval: Duration) -> Peer {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(interval));
    });
    // The one that a fresh path may send at once is answered.
    peer.advance(SECOND);
    for beat in peer.find_all(kind::HEARTBEAT) {
        peer.send(heartbeat_ack(&beat));
    }
    peer.receive_all();
    peer.events();
    peer
}

//= RFC 9260 §3.3.6, test
//# An endpoint MUST send this chunk to its peer...
#[test]
fn a_heartbeat_comes_back_unchanged() {
    let mut peer = Peer::connected();
    for info in [&b""[..], b"x", b"some information", &[0xff; 500]] {
        let beat = heartbeat(info);
        peer.send(beat.clone());
        assert_eq!(peer.expect(kind::HEARTBEAT_ACK).value, beat.value);
    }
}

/// The peer looks for what the path carries, and this side's way back carries less.
#[test]
fn the_answer_to_a_large_heartbeat_may_be_fragmented() {
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 5000]);
    for (size, whole) in [(1200, true), (1252, false), (9000, false), (60_000, false)] {
        peer.receive_all();
        let beat = heartbeat(&vec![7; size]);
        peer.send(beat.clone());
        let answer = peer.receive().expect("an answer");
        assert_eq!(answer.packet.chunks[0].value, beat.value);
        assert_eq!(answer.dont_fragment, whole, "{size}");
        assert_eq!(answer.packet.chunks.len(), 1, "nothing else may be");
        // Data goes on in packets that fit.
        let rest = peer.receive_all();
        assert!(
            rest.iter()
                .all(|sent| sent.len <= 1252 && sent.dont_fragment)
        );
    }
    // What waits for an answer is bounded, however many ask in one packet.
    let beats = (0..8).map(|n| heartbeat(&[n; 7000]));
    peer.send_bundle(beats.collect());
    assert_eq!(peer.find_all(kind::HEARTBEAT_ACK).len(), 2);
}

//= RFC 9260 §8.3, test
//# A receiver of a HEARTBEAT chunk MUST respond to...
#[test]
fn a_heartbeat_is_answered_in_cookie_echoed() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(heartbeat(b"early"));
    // §8.3 asks for an answer, §5.1 C forbids any packet before the COOKIE ACK.
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
    assert!(peer.find(kind::HEARTBEAT_ACK).is_some());
}

//= RFC 9260 §8.3, test
//# On an idle destination address that is allowed to...
//= RFC 9260 §8.3, test
//# Only one heartbeat SHOULD be sent each time the...
//= RFC 9260 §3.3.5, test
//# An endpoint SHOULD send a HEARTBEAT (HB) chunk to its peer endpoint...
#[test]
fn an_idle_path_is_watched_about_once_per_interval() {
    let mut peer = beating(15 * SECOND);
    for round in 0..10 {
        let wait = peer.advance_to_packet();
        if round == 0 {
            let beat = peer.expect(kind::HEARTBEAT);
            peer.send(heartbeat_ack(&beat));
            continue;
        }
        assert!((15 * SECOND..=18 * SECOND).contains(&wait), "{wait:?}");
        let beat = peer.expect(kind::HEARTBEAT);
        peer.expect_nothing();
        peer.send(heartbeat_ack(&beat));
    }
    assert_eq!(peer.events(), []);
    let path = peer.association().paths().next().unwrap();
    assert!(path.stats.heartbeats_sent >= 10);
    assert_eq!(path.stats.heartbeats_acked, path.stats.heartbeats_sent);
    assert_eq!(path.stats.errors, 0);
}

#[test]
fn a_path_that_carries_data_is_not_watched() {
    let mut peer = beating(5 * SECOND);
    for n in 1..=30 {
        peer.host_send(1, "data");
        let sack = peer.sack(n);
        peer.send(sack);
        peer.advance(SECOND);
    }
    assert_eq!(peer.find_all(kind::HEARTBEAT), []);
}

//= RFC 9260 §3.3.5, test
//# When a HEARTBEAT chunk is being used for path...
#[test]
fn heartbeats_carry_a_nonce_that_is_checked() {
    let mut peer = beating(5 * SECOND);
    peer.advance_to_packet();
    let first = peer.expect(kind::HEARTBEAT);
    // An answer with any bit changed is none.
    for bit in 0..first.value.len() * 8 {
        let mut forged = first.clone();
        forged.value[bit / 8] ^= 1 << (bit % 8);
        peer.send(heartbeat_ack(&forged));
    }
    peer.send(Chunk::new(kind::HEARTBEAT_ACK, 0, &[]));
    peer.expect_nothing();
    let path = peer.association().paths().next().unwrap();
    let acked = path.stats.heartbeats_acked;
    peer.send(heartbeat_ack(&first));
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.heartbeats_acked, acked + 1);
    // Nor is the same answer twice.
    peer.send(heartbeat_ack(&first));
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.heartbeats_acked, acked + 1);
    // No two are alike.
    peer.advance_to_packet();
    let second = peer.expect(kind::HEARTBEAT);
    assert_ne!(second.value, first.value);
    assert!(second.value.len() >= 4 + 8, "64 bits at least");
}

//= RFC 9260 §8.3, test
//# The endpoint SHOULD increment the respective error counter of...
//= RFC 9260 §8.3, test
//# When the value of this counter exceeds the protocol...
#[test]
fn a_silent_peer_is_given_up_after_association_max_retrans() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND))
            .path_max_retrans(2)
            .association_max_retrans(5)
            .rto_max(2 * SECOND);
    });
    let mut beats = 0;
    for _ in 0..100 {
        beats += peer.find_all(kind::HEARTBEAT).len();
        peer.advance(SECOND);
    }
    assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
    assert!((5..=7).contains(&beats), "{beats} heartbeats");
    let events = peer.events();
    let inactive = events.iter().position(|event| {
        matches!(
            event,
            Event::PathChanged {
                state: PathState::Inactive,
                ..
            }
        )
    });
    assert!(inactive.is_some(), "{events:?}");
}

fn path(peer: &mut Peer) -> PathInfo {
    peer.association().paths().next().expect("a path")
}

//= RFC 9260 §8.1, test
//# The counter used for endpoint failure detection MUST be...
//= RFC 9260 §8.2, test
//# When an outstanding TSN is acknowledged or a HEARTBEAT...
#[test]
fn an_acknowledgement_begins_the_count_of_failures_anew() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(3)
            .path_max_retrans(1)
            .rto_max(2 * SECOND);
    });
    for n in 1..=5 {
        peer.host_send(1, "lost three times");
        peer.receive_all();
        for _ in 0..3 {
            peer.advance_to_packet();
            assert!(peer.find(kind::DATA).is_some());
        }
        assert_eq!(path(&mut peer).state, PathState::Inactive);
        peer.events();
        let sack = peer.sack(n);
        peer.send(sack);
        let now = path(&mut peer);
        assert_eq!((now.state, now.stats.errors), (PathState::Active, 0));
        let (path, state) = (now.id, now.state);
        let active = Event::PathChanged { path, state };
        assert!(peer.events().contains(&active));
    }
    peer.host_send(1, "lost for ever");
    peer.advance(100 * SECOND);
    assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
}

//= RFC 9260 §8.1, test
//# When a HEARTBEAT ACK chunk is received from the...
//= RFC 9260 §8.3, test
//# The receiver of the HEARTBEAT ACK chunk SHOULD also clear...
#[test]
fn a_heartbeat_ack_begins_the_count_of_failures_anew() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND))
            .association_max_retrans(3)
            .path_max_retrans(10)
            .rto_max(2 * SECOND);
    });
    for _ in 0..5 {
        for _ in 0..3 {
            peer.advance_to_packet();
            peer.expect(kind::HEARTBEAT);
        }
        peer.advance_to_packet();
        assert_eq!(path(&mut peer).stats.errors, 3);
        let beat = peer.expect(kind::HEARTBEAT);
        peer.send(heartbeat_ack(&beat));
        assert_eq!(path(&mut peer).stats.errors, 0);
    }
    peer.advance(100 * SECOND);
    assert_eq!(peer.closed(), Some(CloseReason::TimedOut));
}

//= RFC 9260 §8.3, test
//# The receiver of the HEARTBEAT ACK chunk SHOULD also perform...
#[test]
fn a_heartbeat_measures_the_round_trip() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND));
    });
    peer.advance_to_packet();
    let beat = peer.expect(kind::HEARTBEAT);
    assert_eq!(path(&mut peer).stats.srtt, Duration::ZERO);
    peer.advance(Duration::from_millis(70));
    peer.send(heartbeat_ack(&beat));
    let stats = path(&mut peer).stats;
    assert_eq!(stats.srtt, Duration::from_millis(70));
    assert_eq!(stats.rto, Duration::from_millis(400), "RTO.Min");
}

//= RFC 9260 §6.4, test
//# An endpoint SHOULD transmit reply chunks (e.g., INIT ACK,...
#[test]
fn answers_go_where_the_question_came_from() {
    let mut peer = Peer::client();
    let from = |peer: &mut Peer, port, chunk: Chunk| {
        peer.addr = SocketAddr::from(([10, 0, 0, 1], port));
        let tag = peer.host_tag;
        peer.send_tagged(tag, chunk);
        let answer = peer.receive().expect("an answer");
        assert_eq!(answer.to, peer.addr);
        answer.packet.chunks[0].clone()
    };
    let answer = from(&mut peer, 1001, init(TAG).into()).as_init();
    peer.host_tag = answer.tag;
    let echo = cookie_echo(&answer.cookie());
    assert_eq!(from(&mut peer, 1001, echo).kind, kind::COOKIE_ACK);
    let answer = from(&mut peer, 1002, heartbeat(b"where?"));
    assert_eq!(answer.kind, kind::HEARTBEAT_ACK);
}

//= RFC 9260 §8.3, test
//# Upon the receipt of the HEARTBEAT ACK chunk, the...
//= RFC 9260 §8.3, test
//# The endpoint SHOULD report to the upper layer when...
#[test]
fn an_inactive_path_that_answers_is_active_again() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(SECOND))
            .path_max_retrans(2)
            .association_max_retrans(20)
            .rto_max(2 * SECOND);
    });
    let state = |peer: &mut Peer| peer.association().paths().next().unwrap().state;
    for _ in 0..60 {
        if state(&mut peer) == PathState::Inactive {
            break;
        }
        peer.receive_all();
        peer.advance(SECOND / 4);
    }
    assert_eq!(state(&mut peer), PathState::Inactive);
    peer.receive_all();
    // Data sent now still tries: there is no other path.
    peer.advance_to_packet();
    let beat = peer.find(kind::HEARTBEAT).expect("it goes on beating");
    peer.send(heartbeat_ack(&beat));
    assert_eq!(state(&mut peer), PathState::Active);
    let events = peer.events();
    let changes: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::PathChanged { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(changes.last(), Some(&PathState::Active), "{changes:?}");
}

#[test]
fn a_heartbeat_can_be_asked_for_and_the_interval_changed() {
    let mut peer = Peer::connected();
    peer.advance(100 * SECOND);
    for beat in peer.find_all(kind::HEARTBEAT) {
        peer.send(heartbeat_ack(&beat));
    }
    let path = peer.association().paths().next().unwrap().id;
    let now = peer.now;
    peer.association().request_heartbeat(now, path).unwrap();
    peer.collect();
    let beat = peer.expect(kind::HEARTBEAT);
    peer.send(heartbeat_ack(&beat));
    peer.advance(100 * SECOND);
    peer.expect_nothing();

    let mut config = PathConfig::default();
    config.heartbeat_interval = Some(Some(3 * SECOND));
    let now = peer.now;
    peer.association()
        .configure_path(now, path, config.clone())
        .unwrap();
    peer.collect();
    assert!(peer.advance_to_packet() <= 5 * SECOND);
    let beat = peer.expect(kind::HEARTBEAT);
    peer.send(heartbeat_ack(&beat));
    config.heartbeat_interval = Some(None);
    let now = peer.now;
    peer.association()
        .configure_path(now, path, config)
        .unwrap();
    peer.advance(100 * SECOND);
    peer.expect_nothing();
}

#[test]
fn heartbeats_end_with_the_association() {
    let mut peer = beating(SECOND);
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
    peer.expect(kind::SHUTDOWN);
    peer.advance(5 * SECOND);
    assert_eq!(
        peer.find_all(kind::HEARTBEAT),
        [],
        "§8.3: not after SHUTDOWN"
    );
}

//= RFC 6951 §5.4, test
//# After finding the SCTP association (which includes checking the...
#[test]
fn the_remote_port_follows_a_packet_with_the_right_tag() {
    let mut peer = Peer::connected();
    let moved = SocketAddr::from(([10, 0, 0, 1], 4711));
    let packet = peer.packet(peer.host_tag, vec![data(1).immediate().be()]);
    peer.addr = moved;
    peer.send_bytes(packet.encode());
    let sack = peer.receive().expect("a SACK");
    assert_eq!((sack.to, sack.kinds()), (moved, vec![kind::SACK]));
    peer.host_send(1, "to the new port");
    assert_eq!(peer.receive().expect("DATA").to, moved);
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.remote, moved);
}

#[test]
fn the_remote_port_follows_nothing_else() {
    let moved = SocketAddr::from(([10, 0, 0, 1], 4711));
    let mut peer = Peer::connected();
    let good = peer.packet(peer.host_tag, vec![data(1).be()]);
    let bad_tag = peer.packet(peer.host_tag ^ 1, vec![data(1).be()]).encode();
    let mut bad_checksum = good.encode();
    bad_checksum[8] ^= 1;
    let an_init = peer.packet(0, vec![init(TAG).into()]).encode();
    let short_chunk = Chunk::new(kind::DATA, 3, &[0; 4]).forged_length(2);
    let malformed = peer.packet(peer.host_tag, vec![short_chunk]).encode();
    let truncated = Chunk::new(kind::SACK, 0, &[0; 12]).forged_length(400);
    let truncated = peer.packet(peer.host_tag, vec![truncated]).encode();
    let a_cookie = peer
        .packet(peer.host_tag, vec![cookie_echo(b"forged")])
        .encode();
    for packet in [
        bad_tag,
        bad_checksum,
        an_init,
        malformed,
        truncated,
        a_cookie,
    ] {
        peer.send_from(moved, packet);
        peer.receive_all();
        peer.host_send(1, "still here");
        let sent = peer.receive().expect("DATA");
        assert_eq!(sent.to, peer.addr);
        let path = peer.association().paths().next().unwrap();
        assert_eq!(path.remote, peer.addr);
        let sent = peer.association().stats().data_chunks_sent as u32;
        let sack = peer.sack(sent);
        peer.send(sack);
    }
}

#[test]
fn an_association_survives_a_nat_that_forgets() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.heartbeat_interval(Some(5 * SECOND));
        })
        .build();
    let inside = pair.client.addrs[0];
    pair.net.rebind(inside, "192.0.2.7:1111".parse().unwrap());
    pair.connect();
    for port in [2222, 3333, 4444] {
        pair.send(Server, 1, "before");
        pair.drive_for(SECOND);
        assert_eq!(pair.recv(Client, 1).unwrap(), "before");
        let outside = SocketAddr::from(([192, 0, 2, 7], port));
        pair.net.rebind(inside, outside);
        // What the server sends meets nobody until the client is heard from its new port.
        pair.send(Server, 1, "during");
        pair.drive_for(30 * SECOND);
        assert_eq!(pair.recv(Client, 1).unwrap(), "during");
        assert!(pair.established());
        let path = pair.conn(Server).association.paths().next().unwrap();
        assert_eq!(path.remote, outside);
    }
}
