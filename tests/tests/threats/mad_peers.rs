//! Peers with the right tag that mean harm.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{data, error, forward_tsn, i_data, i_forward_tsn},
    codec::{Chunk, cause, kind},
    peer::Peer,
    rng::Rng,
};

use crate::{assert_alive, random_packet};

#[test]
fn threat_13_a_storm_with_the_right_tag_does_no_more_than_end_the_association() {
    // A peer gone mad: anything but a panic, a loop or a leak.
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut peer = match seed % 4 {
            0 => Peer::connected(),
            1 => Peer::interleaving(),
            kind => Peer::partial(kind == 2, |_| {}),
        };
        peer.host_send(1, vec![0; 5000]);
        for _ in 0..100 {
            let packet = random_packet(&mut rng, &peer, peer.host_tag);
            let addr = std::mem::replace(&mut peer.addr, SocketAddr::from(([10, 9, 9, 9], 9)));
            peer.send_from(addr, packet);
            peer.addr = addr;
            peer.receive_all();
            while peer.association().recv_any().is_some() {}
            if peer.state() == AssociationState::Closed {
                break;
            }
        }
    }
}

//= RFC 9260 §6.2, test
//# If an endpoint receives a DATA chunk with no...
#[test]
fn data_without_user_data_is_answered_with_abort() {
    for chunk in [
        data(1).tsn(1).payload("").be(),
        data(1).tsn(1).payload("").m(),
    ] {
        let mut peer = Peer::connected();
        peer.send(chunk);
        let abort = peer.find(kind::ABORT).expect("ABORT (§6.2)");
        assert_eq!(abort.cause(), Some(cause::NO_USER_DATA));
        let (_, tsn) = abort.causes().remove(0);
        assert_eq!(tsn, 1_u32.to_be_bytes());
    }
    let mut peer = Peer::interleaving();
    peer.send(i_data(1).payload("").be());
    let abort = peer.find(kind::ABORT).expect("ABORT");
    assert_eq!(abort.cause(), Some(cause::NO_USER_DATA));
}

#[test]
fn fragments_that_contradict_each_other_end_the_association_or_nothing() {
    let stories: [Vec<Chunk>; 6] = [
        // A second beginning within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).b(), data(1).tsn(3).e()],
        // An end without a beginning.
        vec![data(1).tsn(1).e(), data(1).tsn(2).m()],
        // The stream changes within a message.
        vec![data(1).tsn(1).b(), data(2).tsn(2).m(), data(1).tsn(3).e()],
        // The SSN changes within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).seq(5).e()],
        // Order changes within a message.
        vec![data(1).tsn(1).b(), data(1).tsn(2).unordered().e()],
        // The same SSN twice.
        vec![
            data(1).tsn(1).be(),
            data(1).tsn(2).be(),
            data(1).tsn(3).be(),
        ],
    ];
    for story in stories {
        for reverse in [false, true] {
            let mut peer = Peer::connected();
            let mut chunks = story.clone();
            if reverse {
                chunks.reverse();
            }
            for chunk in chunks {
                peer.send(chunk);
                while let Some(message) = peer.association().recv_any() {
                    assert!(message.data.len() <= 12);
                }
            }
        }
    }
    let stories: [Vec<Chunk>; 4] = [
        vec![i_data(1).tsn(1).b(), i_data(1).tsn(2).b()],
        vec![
            i_data(1).tsn(1).b(),
            i_data(1).tsn(2).fsn(1).m(),
            i_data(1).tsn(3).fsn(1).e(),
        ],
        vec![
            i_data(1).tsn(1).b(),
            i_data(1).tsn(2).fsn(2).e(),
            i_data(1).tsn(3).fsn(5).m(),
        ],
        vec![i_data(1).tsn(1).fsn(9).e(), i_data(1).tsn(2).fsn(3).e()],
    ];
    for story in stories {
        for reverse in [false, true] {
            let mut peer = Peer::interleaving();
            let mut chunks = story.clone();
            if reverse {
                chunks.reverse();
            }
            for chunk in chunks {
                peer.send(chunk);
            }
            assert_eq!(peer.host_recv(1), None);
        }
    }
}

#[test]
fn threat_09_a_tsn_far_ahead_costs_nothing_and_moves_nothing() {
    // sctp-proto#55: work in proportion to a distance that a peer claims.
    for ahead in [70_000, 1 << 20, 0x7fff_ffff, 0x8000_0000, u32::MAX - 5] {
        let mut peer = Peer::connected();
        peer.send(data(1).tsn(ahead).seq(1).be());
        assert_alive(&mut peer, 1);
    }
}

#[test]
fn threat_09_a_jump_beyond_the_window_moves_nothing() {
    // The host's window has a byte for each of 2^20 TSNs.
    let window = 1 << 20;
    for ahead in [window + 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 5, 0] {
        let mut peer = Peer::partial(false, |_| {});
        peer.send(forward_tsn(ahead, &[(1, 1)]));
        assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 0, "{ahead}");
        assert_alive(&mut peer, 1);
        let mut peer = Peer::partial(true, |_| {});
        peer.send(i_forward_tsn(ahead, &[(1, true, 1), (1, false, 1)]));
        assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, 0, "{ahead}");
        peer.send(i_data(9).tsn(1).payload("ping").be());
        assert_eq!(peer.host_recv(9).unwrap(), "ping");
    }
    let mut peer = Peer::partial(false, |_| {});
    peer.send(forward_tsn(window, &[]));
    assert_eq!(peer.expect(kind::SACK).as_sack().cumulative, window);
}

/// Lists of thousands of entries, again and again, over thousands of fragments: the work is that
/// of what is held and of the packets, and neither the product of both nor the distance.
#[test]
fn threat_09_floods_of_forward_tsns_with_long_lists() {
    for interleaving in [false, true] {
        let mut peer = Peer::partial(interleaving, |c| {
            c.stall_timeout(Duration::from_secs(24 * 60 * 60));
        });
        for n in 0..2000 {
            let chunk = if interleaving { i_data(1) } else { data(1) };
            let chunk = chunk.tsn(2 * n + 2).seq(n).payload("x");
            peer.send_bundle(vec![chunk.clone().unordered().b()]);
        }
        peer.receive_all();
        for round in 0..40_u32 {
            let cumulative = 1 + 20 * round;
            let chunk = if interleaving {
                let list: Vec<_> = (0..8000)
                    .map(|n| ((n % 1024) as u16, n % 2 == 0, round.wrapping_mul(n)))
                    .collect();
                i_forward_tsn(cumulative, &list)
            } else {
                let list: Vec<_> = (0..16_000)
                    .map(|n| ((n % 1024) as u16, round.wrapping_mul(n) as u16))
                    .collect();
                forward_tsn(cumulative, &list)
            };
            peer.send(chunk);
            peer.receive_all();
        }
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

#[test]
fn unknown_chunks_are_treated_by_their_two_high_bits() {
    // 00 stop, 01 stop and report, 10 skip, 11 skip and report (§3.2).
    for (unknown, goes_on, reported) in [
        (0x3f, false, false),
        (0x7f, false, true),
        (0xbf, true, false),
        (0xff, true, true),
    ] {
        let mut peer = Peer::connected();
        peer.send_bundle(vec![
            Chunk::new(unknown, 0, b"what?"),
            data(1).payload("behind").be(),
        ]);
        let report = peer.find(kind::ERROR);
        assert_eq!(report.is_some(), reported, "{unknown:#x}");
        if let Some(report) = report {
            assert_eq!(report.cause(), Some(cause::UNRECOGNIZED_CHUNK));
            let (_, info) = report.causes().remove(0);
            assert_eq!(info[..9], [unknown, 0, 0, 9, b'w', b'h', b'a', b't', b'?']);
        }
        assert_eq!(peer.host_recv(1).is_some(), goes_on, "{unknown:#x}");
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

#[test]
fn errors_end_nothing() {
    for code in 0..20 {
        let mut peer = Peer::connected();
        peer.send(error(code, b"whatever"));
        assert_alive(&mut peer, 1);
    }
}
