//! Acknowledgements of what was never sent, or that make no sense.

use std::time::Duration;

use sctp_proto::{AssociationState, CloseReason, StreamId};
use sctp_tests::{
    build::{sack, shutdown},
    codec::{Chunk, cause, kind},
    peer::Peer,
    rng::Rng,
};

use crate::assert_alive;

#[test]
fn threat_21_a_sack_for_data_never_sent_ends_the_association() {
    // RFC 5062: an attacker who acknowledges what a victim never received; optimistic SACKs.
    for ahead in [1, 2, 1000, 0x7fff_ffff] {
        let mut peer = Peer::connected();
        let beyond = peer.host_tsn.wrapping_sub(1).wrapping_add(ahead);
        peer.send(sack(beyond));
        peer.expect_abort(cause::PROTOCOL_VIOLATION);
        assert!(matches!(
            peer.closed(),
            Some(CloseReason::PeerMisbehaved(_))
        ));
    }
}

#[test]
fn threat_08_gap_blocks_that_cannot_be_are_harmless() {
    // sipsorcery#1772: counts and blocks that lie.
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 3000]);
    let cumulative = peer.host_tsn.wrapping_sub(1);
    peer.receive_all();
    for (start, end) in [
        (0, 0),
        (1, 1),
        (5, 2),
        (2, 65_535),
        (65_535, 65_535),
        (3, 3),
    ] {
        peer.send(sack(cumulative).gap(start, end).gap(end, start));
        if peer.state() == AssociationState::Closed {
            peer = Peer::connected();
            peer.host_send(1, vec![0; 3000]);
        }
    }
    let mut value = Chunk::from(sack(peer.host_tsn.wrapping_sub(1))).value;
    value[8..12].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    peer.send(Chunk::new(kind::SACK, 0, &value));
    let mut peer = Peer::connected();
    let mut many = sack(peer.host_tsn.wrapping_sub(1));
    for i in 0..8000 {
        many = many.gap(2 * i + 2, 2 * i + 2);
    }
    peer.send(many);
}

#[test]
fn shutdown_with_a_tsn_of_the_future_or_past_is_survived() {
    for offset in [5_u32, 0x7fff_ffff, 0x8000_0001, u32::MAX - 3] {
        let mut peer = Peer::connected();
        peer.host_send(1, "outstanding");
        peer.receive_all();
        let tsn = peer.host_tsn.wrapping_add(offset);
        peer.send(shutdown(tsn));
        assert_ne!(peer.state(), AssociationState::ShutdownAckSent);
    }
}

#[test]
fn threat_08_a_sack_of_random_counts_and_blocks_does_no_harm() {
    let mut closed = 0;
    'seeds: for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let mut peer = Peer::connected();
        peer.host.audited = true;
        peer.host_send(1, vec![0; rng.between(1, 12_000)]);
        let sent = peer.find_all(kind::DATA).len() as u32;
        for _ in 0..10 {
            let mut value = Vec::new();
            let acked = rng.below(sent as usize + 1) as u32;
            value.extend_from_slice(&peer.host_tsn(acked).wrapping_sub(1).to_be_bytes());
            value.extend_from_slice(&(rng.next_u64() as u32).to_be_bytes());
            let entries = rng.below(8);
            let mut counts = [rng.below(9), rng.below(9)];
            if rng.chance(0.7) {
                // Counts that account for the length.
                counts = [entries, 0];
                counts[1] = rng.below(entries + 1);
                counts[0] -= counts[1];
            }
            for count in counts {
                value.extend_from_slice(&(count as u16).to_be_bytes());
            }
            for _ in 0..2 * entries {
                let offset = match rng.below(4) {
                    0 => rng.next_u64() as u16,
                    _ => rng.below(sent as usize + 3) as u16,
                };
                value.extend_from_slice(&offset.to_be_bytes());
            }
            peer.send(Chunk::new(kind::SACK, 0, &value));
            peer.receive_all();
            // The books are checked by the host at every packet. What was never sent is not
            // acknowledged with impunity (row 21).
            if let Some(reason) = peer.closed() {
                assert!(
                    matches!(reason, CloseReason::PeerMisbehaved(_)),
                    "{reason:?}"
                );
                closed += 1;
                continue 'seeds;
            }
        }
        // All that is left arrives.
        let mut newest = sent;
        for _ in 0..200 {
            peer.send(peer.sack(newest));
            peer.advance(Duration::from_millis(100));
            for chunk in peer.find_all(kind::DATA) {
                newest = newest.max(chunk.as_data().tsn.wrapping_sub(peer.host_tsn) + 1);
            }
        }
        let path = peer.association().paths().next().expect("a path").stats;
        assert_eq!(path.flight, 0, "seed {seed}");
        assert_alive(&mut peer, 1);
    }
    assert!((1..300).contains(&closed), "{closed} of 400 ended");
}

#[test]
fn threat_23_an_optimistic_sack_opens_the_window_by_a_packet_at_most() {
    // RFC 5062: whoever acknowledges sooner, or in smaller steps, than data can have come gains no
    // more than whoever does not.
    for seed in 0..100 {
        let mut rng = Rng::new(seed);
        let mut peer = Peer::connected();
        let path = |peer: &mut Peer| {
            let path = peer.association().paths().next();
            path.expect("a path").stats
        };
        // Of each chunk sent: its bytes, and whether the last SACK named it.
        let mut chunks: Vec<(usize, bool)> = Vec::new();
        let (mut acked, mut peak) = (0, 0);
        // Bytes acknowledged that the window has not grown by yet.
        let mut credit = 0;
        for _ in 0..200 {
            while peer.association().buffered_amount(StreamId(1)) < 100_000 {
                let size = rng.between(1, 3000);
                peer.host_send(1, vec![0; size]);
            }
            for chunk in peer.find_all(kind::DATA) {
                let data = chunk.as_data();
                if data.tsn == peer.host_tsn(chunks.len() as u32) {
                    let size = (16 + data.payload.len()).next_multiple_of(4);
                    chunks.push((size, false));
                }
            }
            // Everything, as soon as it is sent; one chunk after the other; all but one.
            let sent = chunks.len();
            let hole = sent > acked + 3 && rng.chance(0.1);
            if !hole {
                let next = if rng.chance(0.5) { sent } else { acked + 1 };
                acked = next.min(sent);
            }
            let mut answer = peer.sack(acked as u32);
            if hole {
                answer = answer.gap(2, (sent - acked) as u16);
            }
            for (index, (size, known)) in chunks.iter_mut().enumerate() {
                let now = index < acked || (hole && index > acked);
                credit += if now && !*known { *size } else { 0 };
                *known = now;
            }
            let before = path(&mut peer);
            peak = peak.max(before.cwnd);
            peer.send_unpolled(answer);
            let after = path(&mut peer);
            // What was taken for a loss that was none may be put back.
            let most = before.cwnd + credit.min(before.max_packet - 12);
            assert!(
                after.cwnd <= most.max(peak),
                "seed {seed}: from {} to {}, {credit} bytes to grow by",
                before.cwnd,
                after.cwnd
            );
            credit -= after.cwnd.saturating_sub(before.cwnd).min(credit);
            peer.collect();
        }
        assert!(
            path(&mut peer).cwnd > 10_000,
            "seed {seed}: it grows at all"
        );
    }
}
