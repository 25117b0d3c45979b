//! NR-SACK: what is acknowledged for good beyond a gap, by either side, and the lies that can be told
//! with it.

use sctp_proto::{AssociationConfig, AssociationState, Event, SendError, SendInfo, StreamId};
use sctp_tests::{
    build::{data, init, nr_sack, sack},
    codec::{Chunk, be16, be32, cause, kind},
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, TAG},
};

fn agreed(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let mut peer = Peer::client_with(|c| {
        c.nr_sack(true);
        change(c);
    });
    peer.connect(init(TAG).extensions(&[kind::RE_CONFIG, kind::NR_SACK]));
    peer
}

/// Offsets of the first and last TSN of each block.
type Blocks = Vec<(u16, u16)>;

/// The lists of an NR-SACK: blocks that may be given up, and blocks that will not.
fn lists(chunk: &Chunk) -> (u32, Blocks, Blocks) {
    assert_eq!(chunk.kind, kind::NR_SACK, "{chunk:?}");
    let value = &chunk.value;
    let (gaps, kept) = (usize::from(be16(value, 8)), usize::from(be16(value, 10)));
    let duplicates = usize::from(be16(value, 12));
    assert_eq!(value.len(), 16 + 4 * (gaps + kept + duplicates));
    let block = |n: usize| (be16(value, 16 + 4 * n), be16(value, 18 + 4 * n));
    let cumulative = be32(value, 0);
    (
        cumulative,
        (0..gaps).map(block).collect(),
        (gaps..gaps + kept).map(block).collect(),
    )
}

#[test]
fn what_can_be_delivered_is_acknowledged_for_good() {
    let mut peer = agreed(|_| {});
    // TSN 1 is missing. Stream 2 is complete; of stream 1 the first message is, by number, the one
    // that is missing; and there is a lone middle of a message on stream 3.
    peer.send(data(2).tsn(2).seq(0).payload("there").be());
    peer.send(data(1).tsn(3).seq(1).payload("waits").be());
    peer.send(data(3).tsn(4).seq(0).payload("part").m());
    peer.send(data(2).tsn(5).seq(1).payload("there too").be());
    peer.send(data(9999).tsn(6).seq(0).payload("discarded").be());
    peer.send(data(2).tsn(8).seq(2).unordered().payload("and there").be());
    let sacks = peer.find_all(kind::NR_SACK);
    let last = sacks.last().expect("an NR-SACK");
    assert_eq!(lists(last), (0, vec![(3, 4)], vec![(2, 2), (5, 6), (8, 8)]));
    // Without a gap there is nothing to say.
    peer.send(data(1).tsn(1).seq(0).payload("first").be());
    peer.send(data(1).tsn(7).seq(2).payload("late").be());
    peer.advance(std::time::Duration::from_secs(1));
    assert!(peer.find(kind::NR_SACK).is_none_or(|c| lists(&c).0 < 8));
    peer.send(data(1).tsn(9).seq(3).immediate().payload("last").be());
    let last = peer.find(kind::SACK).expect("a SACK");
    assert_eq!(be32(&last.value, 0), 9);
}

#[test]
fn what_was_promised_is_kept_when_room_is_short() {
    let mut peer = agreed(|c| {
        c.receive_window(16 * 1024);
    });
    // Deliverable data fills most of the window, fragments the rest.
    let payload = vec![7; 1000];
    for n in 0..8_u16 {
        let chunk = data(2).tsn(2 + u32::from(n)).seq(n.into());
        peer.send(chunk.payload(&payload).be());
    }
    for n in 0..6 {
        peer.send(data(3).tsn(10 + n).seq(0).payload(&payload).m());
    }
    let before = peer.find_all(kind::NR_SACK);
    let (_, _, promised) = lists(before.last().expect("an NR-SACK"));
    assert_eq!(promised, [(2, 9)]);
    // The missing one takes the place of fragments that were not promised.
    peer.send(data(1).tsn(1).seq(0).payload(vec![1; 1200]).be());
    assert_eq!(peer.host_recv(1).expect("the missing one").len(), 1200);
    for _ in 0..8 {
        assert!(peer.host_recv(2).is_some());
    }
    assert!(peer.association().stats().reneged > 0, "room was short");
}

fn blocked(result: &Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::Blocked(_)))
}

#[test]
fn room_comes_back_before_the_gap_is_filled() {
    for for_good in [false, true] {
        let mut peer = agreed(|c| {
            c.send_buffer(4096).max_burst(10).initial_window(Some(10));
        });
        peer.host_send(1, vec![1; 1000]);
        peer.host_send(2, vec![2; 1000]);
        peer.host_send(3, vec![3; 2000]);
        peer.receive_all();
        let now = peer.now;
        let try_send = |peer: &mut Peer| {
            let data = vec![4; 1500].into();
            let association = peer.association();
            association.send(now, StreamId(4), data, SendInfo::default())
        };
        assert!(blocked(&try_send(&mut peer)), "the buffer is full");
        // All but the first.
        let last = peer.association().stats().data_chunks_sent as u16;
        let acked = peer.sack(0);
        let chunk = if for_good {
            nr_sack(peer.host_tsn.wrapping_sub(1)).nr_gap(2, last)
        } else {
            acked.gap(2, last)
        };
        peer.send(chunk);
        assert_eq!(blocked(&try_send(&mut peer)), !for_good);
        assert_eq!(peer.association().buffered_amount(StreamId(1)), 1000);
        let left = if for_good { 0 } else { 1000 };
        assert_eq!(peer.association().buffered_amount(StreamId(2)), left);
        peer.receive_all();
        // Taken back: of no consequence where it was for good.
        peer.send(sack(peer.host_tsn.wrapping_sub(1)));
        peer.advance(std::time::Duration::from_secs(3));
        peer.send(sack(peer.host_tsn));
        peer.advance(std::time::Duration::from_secs(10));
        let again = peer.find_all(kind::DATA);
        let mut tsns: Vec<_> = again.iter().map(|chunk| chunk.as_data().tsn).collect();
        tsns.sort_unstable();
        tsns.dedup();
        let resent = tsns.iter().filter(|&&tsn| {
            let n = tsn.wrapping_sub(peer.host_tsn);
            (1..u32::from(last)).contains(&n)
        });
        assert_eq!(resent.count() > 0, !for_good, "{tsns:?}");
        // In the end all is acknowledged, and the books are right.
        let sent = peer.association().stats().data_chunks_sent as u32;
        peer.send(sack(peer.host_tsn(sent).wrapping_sub(1)));
        assert!(peer.events().contains(&Event::SenderDry));
        assert_eq!(peer.association().buffered_amount(StreamId(1)), 0);
    }
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged_for_good() {
    for lie in [(2, 3), (2, 65535), (3, 3), (65535, 65535)] {
        let mut peer = agreed(|_| {});
        peer.host_send(1, "one");
        peer.host_send(1, "two");
        peer.receive_all();
        peer.send(nr_sack(peer.host_tsn.wrapping_sub(1)).nr_gap(lie.0, lie.1));
        peer.expect_abort(cause::PROTOCOL_VIOLATION);
    }
}

#[test]
fn nonsense_in_the_lists_is_ignored() {
    let mut peer = agreed(|_| {});
    for n in 0..4 {
        peer.host_send(n, "x");
    }
    peer.receive_all();
    let base = peer.host_tsn.wrapping_sub(1);
    for blocks in [
        &[(0, 0)][..],
        &[(1, 1)],
        &[(3, 2)],
        &[(4, 4), (2, 2)],
        &[(2, 3), (3, 4), (3, 3)],
    ] {
        let mut chunk = nr_sack(base).gap(2, 2).gap(4, 4);
        for &(start, end) in blocks {
            chunk = chunk.nr_gap(start, end);
        }
        peer.send(chunk);
        assert_eq!(peer.state(), AssociationState::Established);
    }
    // An old one after a new one.
    peer.send(nr_sack(peer.host_tsn(2)));
    peer.send(nr_sack(base).nr_gap(2, 4));
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send(sack(peer.host_tsn(3)));
    assert!(peer.events().contains(&Event::SenderDry));
}

#[test]
fn what_the_peer_has_for_good_has_not_failed() {
    let mut peer = agreed(|_| {});
    peer.host_send(1, "lost");
    peer.host_send(2, "there for good");
    peer.receive_all();
    peer.send(nr_sack(peer.host_tsn.wrapping_sub(1)).nr_gap(2, 2));
    let now = peer.now;
    peer.association().abort(now, "enough".into());
    peer.collect();
    let failed: Vec<_> = peer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::SendFailed { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(failed, ["lost"]);
}

#[test]
fn it_is_agreed_on_or_not_sent_and_not_understood() {
    for (ours, theirs) in [(false, true), (true, false), (false, false)] {
        let mut peer = Peer::client_with(|c| {
            c.nr_sack(ours);
        });
        let mut extensions = vec![kind::RE_CONFIG];
        if theirs {
            extensions.push(kind::NR_SACK);
        }
        peer.connect(init(TAG).extensions(&extensions));
        peer.send(data(2).tsn(2).seq(0).payload("there").be());
        assert!(peer.find(kind::NR_SACK).is_none());
        peer.host_send(1, "x");
        peer.receive_all();
        peer.send(nr_sack(peer.host_tsn));
        assert!(!peer.events().contains(&Event::SenderDry));
        assert_eq!(peer.state(), AssociationState::Established);
    }
}

#[test]
fn all_arrives_once_over_a_lossy_path_with_books_in_order() {
    for seed in 0..12 {
        let mut pair = Pair::builder()
            .seed(seed)
            .both(|c| {
                c.nr_sack(true)
                    .interleaving(seed % 2 == 0)
                    .receive_window(20_000 + 3000 * (seed as u32 % 5))
                    .send_buffer(16 * 1024);
            })
            .link(Link {
                loss: 0.1,
                reorder: 0.2,
                duplicate: 0.1,
                ..Link::default()
            })
            .audited()
            .build();
        pair.connect();
        let mut sent = [0_u32; 5];
        let mut received = [0_u32; 5];
        while received.iter().sum::<u32>() < 300 {
            for stream in 0..5_u16 {
                let number = sent[usize::from(stream)];
                if number == 60 {
                    continue;
                }
                let mut payload = vec![0; 4 + (number as usize * 97) % 3000];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                let sending = pair.try_send(Client, stream, payload.into(), SendInfo::default());
                sent[usize::from(stream)] += u32::from(sending.is_ok());
            }
            assert!(pair.step(), "all is quiet: {}", pair.summary());
            for message in pair.recv_all(Server) {
                if !message.complete {
                    continue;
                }
                let stream = usize::from(message.stream.0);
                let data = message.data.into_bytes();
                if data.len() < 4 + (received[stream] as usize * 97) % 3000 {
                    // The rest of one that came in parts.
                    received[stream] += 1;
                    continue;
                }
                assert_eq!(data[..4], received[stream].to_be_bytes(), "seed {seed}");
                received[stream] += 1;
            }
        }
        pair.shutdown(Client);
        pair.drive();
        assert_eq!(pair.stats(Client).messages_acked, 300);
    }
}

#[test]
fn streams_go_on_past_a_gap_with_a_small_buffer() {
    // The first packet of one stream is lost over and over; the others have the buffer to themselves.
    let finished = |nr_sack: bool| {
        let mut pair = Pair::builder()
            .both(|c| {
                c.nr_sack(nr_sack).send_buffer(8 * 1024).interleaving(false);
            })
            .build();
        pair.connect();
        pair.send(Client, 0, vec![0; 1000]);
        let mut lost = 0;
        pair.script_from(Client, move |_, datagram| {
            let first = datagram.has(kind::DATA) && lost < 4;
            let packet = sctp_tests::codec::Packet::decode(&datagram.payload).expect("a packet");
            let of_first = packet
                .chunks
                .iter()
                .any(|chunk| chunk.kind == kind::DATA && chunk.as_data().stream == 0);
            if first && of_first {
                lost += 1;
                return Verdict::Drop;
            }
            Verdict::Pass
        });
        let (mut left, begin) = (40, pair.now);
        while left > 0 {
            let data = vec![1; 1000].into();
            match pair.try_send(Client, 1, data, SendInfo::default()) {
                Ok(()) => left -= 1,
                Err(_) => assert!(pair.step()),
            }
            pair.recv_all(Server);
        }
        pair.now - begin
    };
    let (without, with) = (finished(false), finished(true));
    assert!(with < without / 2, "{with:?} against {without:?}");
}
