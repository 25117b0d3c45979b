//! ECN: marks on the way, told and answered, by either side; paths that are broken for it; and peers
//! that tell of marks there were none of.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::{AssociationConfig, AssociationState, CongestionControl, EcnCodepoint, SendInfo};
use sctp_tests::{
    build::{cookie_echo, cwr, data, ecne, heartbeat_ack, init, init_ack, sack},
    codec::{Chunk, be32, kind, param},
    net::{Ecn, Link},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);
const ECT: Option<EcnCodepoint> = Some(EcnCodepoint::Ect0);

fn agreed(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let mut peer = Peer::client_with(|c| {
        c.ecn(true).pacing(false).tail_loss_probes(false);
        change(c);
    });
    let offer = init(TAG).extensions(&[kind::RE_CONFIG]);
    peer.connect(offer.param(param::ECN_CAPABLE, &[]));
    peer
}

fn tsn(chunk: &Chunk) -> u32 {
    assert_eq!(chunk.value.len(), 4, "{chunk:?}");
    be32(&chunk.value, 0)
}

fn window(peer: &mut Peer) -> usize {
    let path = peer.association().paths().next().expect("a path");
    path.stats.cwnd
}

/// Kinds of the chunks of the next packet.
fn kinds(peer: &mut Peer) -> Vec<u8> {
    peer.receive().expect("a packet").kinds()
}

// Receiving.

#[test]
fn a_mark_is_told_with_every_sack_until_it_is_answered() {
    let mut peer = agreed(|_| {});
    peer.send_marked(data(1).tsn(1).seq(0).payload("marked").be());
    let told = peer.expect_packet(&[kind::ECNE, kind::SACK]);
    assert_eq!(tsn(&told[0]), 1);
    peer.send(data(1).tsn(2).seq(1).immediate().payload("x").be());
    assert_eq!(tsn(&peer.expect_packet(&[kind::ECNE, kind::SACK])[0]), 1);
    // An answer to something older is none.
    peer.send(cwr(0));
    peer.send(data(1).tsn(3).seq(2).immediate().payload("x").be());
    assert_eq!(kinds(&mut peer), [kind::ECNE, kind::SACK]);
    peer.send(cwr(2));
    peer.send(data(1).tsn(4).seq(3).immediate().payload("x").be());
    assert_eq!(kinds(&mut peer), [kind::SACK]);
    // What is marked after the window was reduced is told anew.
    peer.send_marked(data(1).tsn(5).seq(4).payload("marked").be());
    peer.send_marked(data(1).tsn(6).seq(5).payload("marked").be());
    peer.receive_all();
    peer.send(cwr(5));
    peer.send(data(1).tsn(7).seq(6).immediate().payload("x").be());
    assert_eq!(tsn(&peer.expect_packet(&[kind::ECNE, kind::SACK])[0]), 6);
    assert_eq!(peer.association().stats().ecn_marks, 3);
}

#[test]
fn marks_on_what_is_not_data_mean_nothing() {
    let mut peer = agreed(|_| {});
    peer.send_marked(sctp_tests::build::heartbeat(b"info"));
    peer.send(data(1).tsn(1).seq(0).immediate().payload("x").be());
    assert!(peer.find(kind::ECNE).is_none());
}

// Sending.

#[test]
fn data_is_marked_and_nothing_else() {
    let mut peer = agreed(|_| {});
    peer.host_send(1, vec![1; 3000]);
    let sent = peer.receive_all();
    assert!(sent.len() > 2 && sent.iter().all(|packet| packet.ecn == ECT));
    peer.send(data(1).tsn(1).seq(0).immediate().payload("x").be());
    assert_eq!(peer.receive().expect("a SACK").ecn, None);
}

#[test]
fn an_echo_reduces_the_window_once_and_is_answered_every_time() {
    for control in [CongestionControl::Rfc9260, CongestionControl::Cubic] {
        let mut peer = agreed(|c| {
            c.congestion_control(control).initial_window(Some(10));
        });
        peer.host_send(1, vec![1; 30_000]);
        let before = window(&mut peer);
        let sent = peer.association().stats().data_chunks_sent as u32;
        peer.receive_all();
        peer.advance(SECOND / 10);
        peer.send(ecne(peer.host_tsn(1)));
        let reduced = window(&mut peer);
        assert!(
            reduced < before && reduced >= before / 2,
            "{before} {reduced}"
        );
        let highest = peer.host_tsn(sent - 1);
        assert_eq!(tsn(&peer.find(kind::CWR).expect("a CWR")), highest);
        for n in [0, 1, 5, sent - 1] {
            peer.send(ecne(peer.host_tsn(n)));
            assert_eq!(tsn(&peer.find(kind::CWR).expect("a CWR")), highest);
            assert_eq!(window(&mut peer), reduced);
        }
        // As usrsctp writes it.
        let mut long = ecne(peer.host_tsn(2));
        long.value.extend_from_slice(&[0, 0, 0, 9]);
        peer.send(long);
        assert!(peer.find(kind::CWR).is_some());
        assert_eq!(peer.association().stats().ecn_reductions, 1);
    }
}

#[test]
fn a_flood_of_echoes_reduces_once_per_round_trip() {
    let mut peer = agreed(|c| {
        c.initial_window(Some(10))
            .send_buffer(1 << 20)
            .max_burst(100);
    });
    // A round trip of 100 ms is known.
    peer.host_send(1, "x");
    peer.advance(SECOND / 10);
    let mut acked = 1;
    let one = peer.sack(acked);
    peer.send(one);
    peer.host_send(1, vec![1; 200_000]);
    let mut reductions = Vec::new();
    for _ in 0..100 {
        // Every millisecond everything there is is acknowledged and said to have been marked.
        peer.advance(SECOND / 1000);
        let sent = peer.association().stats().data_chunks_sent as u32;
        if sent > acked {
            acked = sent;
            let all = peer.sack(acked);
            peer.send(all);
        }
        for back in 1..4 {
            peer.send(ecne(peer.host_tsn(acked.saturating_sub(back))));
        }
        reductions.push(peer.association().stats().ecn_reductions);
        assert!(peer.receive_all().len() < 200);
    }
    let last = *reductions.last().expect("some");
    assert!((1..=3).contains(&last), "{last} reductions in a round trip");
    assert!(window(&mut peer) >= 1200);
    assert_eq!(peer.state(), AssociationState::Established);
}

/// Echoes come with every SACK until CWR does, and by then what was marked may be acknowledged: by
/// which path it went is not known any more.
#[test]
fn an_echo_that_was_answered_costs_no_other_path_its_window() {
    let mut peer = Peer::client_with(|c| {
        c.ecn(true).initial_window(Some(10)).tail_loss_probes(false);
    });
    let other: SocketAddr = "10.1.0.1:9899".parse().unwrap();
    let offer = init(TAG).param(param::ECN_CAPABLE, &[]);
    let answer = peer.init(offer.param(param::IPV4_ADDRESS, &[10, 1, 0, 1]));
    peer.send(cookie_echo(&answer.cookie()));
    let beat = peer.find(kind::HEARTBEAT).expect("a HEARTBEAT to it");
    peer.send_chunk_from(other, heartbeat_ack(&beat));
    let mut paths = peer.association().paths();
    let second = paths.find(|path| path.remote == other).expect("a path").id;
    drop(paths);
    let primary = window(&mut peer);
    let mut info = SendInfo::default();
    info.path = Some(second);
    peer.host_send_with(1, "marked", info);
    peer.advance(SECOND / 10);
    peer.send_bundle(vec![ecne(peer.host_tsn(0)), peer.sack(1).into()]);
    assert!(peer.find(kind::CWR).is_some());
    let stats = peer.association().stats();
    assert_eq!((stats.ecn_reductions, window(&mut peer)), (1, primary));
    // That CWR was lost.
    peer.send_bundle(vec![ecne(peer.host_tsn(0)), peer.sack(1).into()]);
    assert!(peer.find(kind::CWR).is_some());
    let stats = peer.association().stats();
    assert_eq!((stats.ecn_reductions, window(&mut peer)), (1, primary));
}

#[test]
fn echoes_of_what_was_never_sent_are_dropped() {
    let mut peer = agreed(|_| {});
    peer.host_send(1, "x");
    peer.receive_all();
    let before = window(&mut peer);
    for tsn in [peer.host_tsn(1), peer.host_tsn(1 << 30)] {
        peer.send(ecne(tsn));
        peer.expect_nothing();
    }
    peer.send(cwr(77));
    assert_eq!(window(&mut peer), before);
    assert_eq!(peer.association().stats().ecn_reductions, 0);
    assert_eq!(peer.state(), AssociationState::Established);
}

// Agreement.

#[test]
fn it_is_agreed_on_or_nothing_is_marked_told_or_believed() {
    for (ours, theirs) in [(false, true), (true, false), (false, false)] {
        let mut peer = Peer::client_with(|c| {
            c.ecn(ours);
        });
        let mut offer = init(TAG).extensions(&[kind::RE_CONFIG]);
        if theirs {
            offer = offer.param(param::ECN_CAPABLE, &[]);
        }
        peer.connect(offer);
        peer.host_send(1, "x");
        assert_eq!(peer.receive().expect("DATA").ecn, None);
        let before = window(&mut peer);
        peer.send(ecne(peer.host_tsn));
        peer.send(sack(peer.host_tsn));
        peer.send_marked(data(1).tsn(1).seq(0).immediate().payload("x").be());
        assert_eq!(kinds(&mut peer), [kind::SACK]);
        assert!(window(&mut peer) >= before);
    }
    // The other role: what is offered shows in the INIT.
    for ours in [false, true] {
        let mut peer = Peer::server_with(|c| {
            c.ecn(ours);
        });
        let answer = init_ack(TAG, COOKIE).param(param::ECN_CAPABLE, &[]);
        let offer = peer.answer_init(answer);
        assert_eq!(offer.param(param::ECN_CAPABLE).is_some(), ours);
    }
}

// Paths.

fn pair(link: Link, ecn: bool) -> Pair {
    let mut pair = Pair::builder()
        .link(link)
        .both(|c| {
            c.ecn(ecn)
                .send_buffer(4 << 20)
                .stream_send_buffer(4 << 20)
                .receive_window(4 << 20);
        })
        .steps(2_000_000)
        .audited()
        .build();
    pair.connect();
    pair
}

/// Sends half a megabyte; how long that takes.
fn transfer(pair: &mut Pair) -> Duration {
    let begin = pair.now;
    for _ in 0..50 {
        pair.send(Client, 1, vec![1; 10_000]);
    }
    let mut left = 50;
    while left > 0 {
        assert!(pair.step(), "all is quiet: {}", pair.summary());
        while pair.recv(Server, 1).is_some() {
            left -= 1;
        }
    }
    pair.now - begin
}

#[test]
fn a_router_that_marks_needs_to_drop_nothing() {
    let link = |ecn| Link {
        rate: Some(250_000),
        queue: 30_000,
        ecn,
        ..Link::default()
    };
    let mut without = pair(link(Ecn::MarkAbove(8000)), false);
    let slow = transfer(&mut without);
    let mut with = pair(link(Ecn::MarkAbove(8000)), true);
    let fast = transfer(&mut with);
    let (lost, spared) = (without.stats(Client), with.stats(Client));
    assert!(lost.data_chunks_retransmitted > 0, "{lost:?}");
    assert_eq!(spared.data_chunks_retransmitted, 0, "{spared:?}");
    assert!(spared.ecn_reductions > 0, "{spared:?}");
    assert!(with.stats(Server).ecn_marks > 0);
    assert!(fast < slow + SECOND, "{fast:?} {slow:?}");
}

#[test]
fn a_path_that_loses_what_is_marked_is_used_without_marks() {
    let link = Link {
        ecn: Ecn::Lose,
        ..Link::default()
    };
    let mut pair = pair(link, true);
    let took = transfer(&mut pair);
    assert!(took < 10 * SECOND, "{took:?}");
    let rest = transfer(&mut pair);
    assert!(rest < 2 * SECOND, "{rest:?}: marked again and lost again");
}

#[test]
fn a_path_that_clears_marks_costs_nothing() {
    let mut plain = pair(Link::default(), false);
    let expected = transfer(&mut plain);
    let link = Link {
        ecn: Ecn::Bleach,
        ..Link::default()
    };
    let mut bleached = pair(link, true);
    assert_eq!(transfer(&mut bleached), expected);
    assert_eq!(bleached.stats(Client).ecn_reductions, 0);
}

#[test]
fn a_path_that_marks_everything_goes_without_after_a_while() {
    let link = Link {
        ecn: Ecn::Mark(1.0),
        ..Link::default()
    };
    let mut pair = pair(link, true);
    transfer(&mut pair);
    let reductions = pair.stats(Client).ecn_reductions;
    assert!((1..=40).contains(&reductions), "{reductions}");
    let rest = transfer(&mut pair);
    assert!(rest < 3 * SECOND, "{rest:?}");
    assert_eq!(pair.stats(Client).ecn_reductions, reductions);
}

#[test]
fn a_lossy_path_with_marks_delivers_all() {
    for seed in 0..20 {
        let mut pair = Pair::builder()
            .seed(seed)
            .link(Link {
                loss: 0.05,
                reorder: 0.1,
                duplicate: 0.05,
                ecn: Ecn::Mark(0.1),
                ..Link::default()
            })
            .both(|c| {
                c.ecn(true);
            })
            .audited()
            .build();
        pair.connect();
        for n in 0..100_u32 {
            pair.send(Client, (n % 5) as u16, vec![1; 2000]);
        }
        pair.drive();
        assert_eq!(pair.recv_all(Server).len(), 100, "seed {seed}");
        pair.shutdown(Client);
        pair.drive();
        assert!(pair.closed(Client).is_some() && pair.closed(Server).is_some());
    }
}
