//! The controller after BBRv3 on emulated links: what it gets out of them, what it costs them, and
//! what it leaves to others.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig,
    CongestionControl::{self, Bbr, Cubic},
    PathConfig, PathModel, PathPhase, PathStats, SendInfo,
};
use sctp_tests::{
    bottleneck::{Flows, link, page, served, shipped},
    net::Link,
    pair::{
        Pair,
        Side::{Client, Server},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// 10 Mbit/s and 50 ms, with a queue of 50 packets: a little more than the path holds.
fn usual(loss: f64) -> Link {
    link(10.0, 50, 50, loss)
}

fn model(path: &PathStats) -> PathModel {
    path.model.expect("a model of the path")
}

/// Mbit/s of user data by one flow in eight seconds, and bytes on the wire by bytes of data.
fn bulk(seed: u64, link: Link, kind: CongestionControl) -> (f64, f64, Flows) {
    let mut flows = Flows::new(seed, link, &[kind]);
    flows.run(8 * SECOND);
    let stats = flows.pair.client.conns[0].association.stats();
    let wire = stats.bytes_sent + 28 * stats.packets_sent;
    let goodput = flows.received[0] as f64 * 8e-6 / 8.0;
    (goodput, wire as f64 / flows.received[0] as f64, flows)
}

#[test]
fn random_losses_cost_little_more_than_themselves() {
    for (loss, least, wire) in [(0.0, 9.1, 1.06), (0.01, 9.0, 1.08), (0.03, 8.7, 1.1)] {
        let (goodput, sent, _) = bulk(1, usual(loss), Bbr);
        assert!(goodput > least, "{goodput} Mbit/s at {loss}");
        assert!(sent < wire, "{sent} bytes for one at {loss}");
    }
    let (goodput, sent, flows) = bulk(2, usual(0.05), Bbr);
    assert!(goodput > 8.3 && sent < 1.13, "{goodput} Mbit/s, {sent}");
    let random = model(&flows.path(0)).random_loss;
    assert!((30..80).contains(&random), "{random} per mille");
    // What a window that shrinks with each loss makes of it.
    let (cubic, ..) = bulk(1, usual(0.03), Cubic);
    assert!(cubic < 3.0, "{cubic}");
}

/// Wi-Fi, LTE and cable let senders wait for their turn. A round trip then varies by as much as a
/// queue would make it longer, and losses are not the queue's all the same.
#[test]
fn waiting_for_a_turn_is_not_a_queue() {
    let turn = Duration::from_millis(10);
    for (link, loss, least) in [
        (link(20.0, 50, 100, 0.03), 0.03, 16.5),
        (usual(0.05), 0.05, 8.3),
    ] {
        let (goodput, sent, flows) = bulk(1, Link { turn, ..link }, Bbr);
        assert!(goodput > least, "{goodput} Mbit/s");
        assert!(sent < 1.13, "{sent} bytes for one");
        let random = f64::from(model(&flows.path(0)).random_loss) / 1000.0;
        assert!((random - loss).abs() < 0.02, "{random}");
    }
}

#[test]
fn what_is_measured_here_is_what_is_served() {
    let mut config = AssociationConfig::default();
    served(&mut config);
    let shipped = http_server::internals::association();
    assert_eq!(format!("{config:?}"), format!("{shipped:?}"));
}

/// A lost packet keeps what follows it in the send buffer for two round trips and more. With a
/// response's share of 256 KiB, and word of room only when half of that is free, the sender had
/// nothing to send meanwhile: 4.51 s without random loss (Startup overflows the queue), 4.64 at 5 %.
#[test]
fn one_download_has_enough_of_the_send_buffer() {
    for (loss, most) in [(0.0, 4.42), (0.05, 4.55)] {
        let mut times: Vec<_> = (1..=5)
            .map(|seed| page(seed, usual(loss), Bbr, 5_000_000, &[]).time)
            .collect();
        times.sort();
        assert!(times[2].as_secs_f64() < most, "{times:?} at {loss}");
    }
}

/// A hundredth less than the path carries, queue or no queue, leaves it idle for a hundredth of the
/// time: 0.991 of the link instead of all of it.
#[test]
fn a_path_without_a_queue_is_not_left_idle() {
    let mut flows = Flows::new(1, usual(0.0), &[Bbr]);
    flows.run(SECOND);
    let received = |flows: &Flows| {
        flows.pair.server.conns[0]
            .association
            .stats()
            .bytes_received
    };
    let before = received(&flows);
    // Until ProbeRTT is due.
    flows.run(7 * SECOND / 2);
    let rate = (received(&flows) - before) as f64 / 3.5;
    let share = rate / usual(0.0).rate.expect("a rate") as f64;
    assert!(share > 0.996, "{share}");
    let srtt = flows.path(0).srtt;
    assert!(srtt < Duration::from_millis(65), "{srtt:?}");
}

#[test]
fn it_keeps_the_queue_short() {
    let mut flows = Flows::new(1, usual(0.0), &[Bbr]);
    flows.run(5 * SECOND);
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        flows.run(SECOND / 10);
        longest = longest.max(flows.path(0).srtt);
    }
    // The queue holds 60 ms, and CUBIC fills it.
    assert!(longest < Duration::from_millis(70), "{longest:?}");
    let model = model(&flows.path(0));
    let expected = 10e6 / 8.0 * (1500.0 - 28.0 - 12.0) / 1500.0;
    let share = model.bandwidth as f64 / expected;
    assert!((0.97..1.06).contains(&share), "{share} of {expected}");
    let shortest = Duration::from_millis(50);
    assert!((shortest..shortest + Duration::from_millis(4)).contains(&model.min_rtt));
}

#[test]
fn a_queue_that_is_too_short_to_be_seen_is_not_drowned() {
    let mut flows = Flows::new(1, link(10.0, 50, 5, 0.0), &[Bbr]);
    flows.run(10 * SECOND);
    let before = flows.pair.client.conns[0].association.stats();
    let got = flows.measure(20 * SECOND);
    let after = flows.pair.client.conns[0].association.stats();
    let resent = after.data_chunks_retransmitted - before.data_chunks_retransmitted;
    let sent = after.data_chunks_sent - before.data_chunks_sent;
    assert!(resent * 20 < sent, "{resent} of {sent} sent again");
    let goodput = got[0] as f64 * 8e-6 / 20.0;
    assert!(goodput > 8.0, "{goodput}");
}

/// As much as there is room for, from the client to the server.
fn transfer(pair: &mut Pair, time: Duration) {
    let end = pair.now + time;
    let message = Bytes::from(vec![0; 64 * 1024]);
    while pair.now < end {
        while (pair.try_send(Client, 1, message.clone(), SendInfo::default())).is_ok() {}
        assert!(pair.step(), "all is quiet");
        pair.recv_all(Server);
        pair.events(Client);
    }
}

/// Rounds are told apart by what was delivered. Counted anew from nothing, none would end before as
/// much was delivered as before the reset, and no loss would mean anything until then.
#[test]
fn losses_count_after_the_association_has_begun_anew() {
    let lost = |reset: bool| {
        let mut pair = Pair::builder()
            .link(usual(0.0))
            .both(|c| shipped(c, Bbr))
            .server(|c| _ = c.obey_association_reset(true))
            .untraced()
            .steps(usize::MAX)
            .build();
        pair.connect();
        transfer(&mut pair, 10 * SECOND);
        pair.drive();
        pair.recv_all(Server);
        if reset {
            let now = pair.now;
            let association = &mut pair.conn(Client).association;
            association.reset_association(now).expect("one at a time");
            pair.drive();
        }
        // The path becomes narrow.
        let narrow = link(3.0, 50, 50, 0.0);
        pair.net.links(|link| *link = narrow.clone());
        let before = pair.stats(Client).data_chunks_retransmitted;
        transfer(&mut pair, 3 * SECOND);
        pair.stats(Client).data_chunks_retransmitted - before
    };
    let (without, with) = (lost(false), lost(true));
    assert!(2 * with < 3 * without, "{with} chunks lost, {without} else");
}

#[test]
fn it_shares_with_cubic() {
    let mut flows = Flows::new(1, usual(0.001), &[Bbr, Cubic]);
    flows.run(5 * SECOND);
    let got = flows.measure(30 * SECOND);
    let share = got[0] as f64 / got.iter().sum::<u64>() as f64;
    assert!((0.35..0.65).contains(&share), "{share}");
}

#[test]
fn one_that_comes_later_gets_its_share() {
    let shares: Vec<_> = [(1, 50), (2, 50), (3, 50), (1, 100), (2, 100), (3, 100)]
        .into_iter()
        .map(|(seed, queue)| {
            let mut flows = Flows::new(seed, link(10.0, 50, queue, 0.001), &[Bbr]);
            flows.run(5 * SECOND);
            flows.join(Bbr);
            flows.run(10 * SECOND);
            let got = flows.measure(20 * SECOND);
            got[1] as f64 / got.iter().sum::<u64>() as f64
        })
        .collect();
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!((0.3..0.7).contains(&mean), "{shares:?}");
}

#[test]
fn a_path_that_becomes_slower_or_faster_is_followed() {
    let mut flows = Flows::new(1, usual(0.0), &[Bbr]);
    flows.run(5 * SECOND);
    for (mbit, least) in [(2.0, 1.5), (10.0, 7.0)] {
        let changed = link(mbit, 50, 50, 0.0);
        flows.pair.net.links(|link| link.rate = changed.rate);
        flows.run(15 * SECOND);
        let got = flows.measure(5 * SECOND);
        let goodput = got[0] as f64 * 8e-6 / 5.0;
        assert!(goodput > least, "{goodput} of {mbit} Mbit/s");
        let rate = model(&flows.path(0)).bandwidth as f64 * 8e-6;
        assert!((0.8 * mbit..1.1 * mbit).contains(&rate), "{rate} of {mbit}");
    }
}

#[test]
fn a_path_that_becomes_longer_is_measured_anew() {
    let mut flows = Flows::new(1, usual(0.0), &[Bbr]);
    flows.run(5 * SECOND);
    let delay = Duration::from_millis(50);
    flows.pair.net.links(|link| link.delay = delay);
    flows.run(25 * SECOND);
    let least = model(&flows.path(0)).min_rtt;
    assert!((2 * delay..3 * delay).contains(&least), "{least:?}");
    let got = flows.measure(5 * SECOND);
    assert!(got[0] as f64 * 8e-6 / 5.0 > 8.0, "{got:?}");
}

/// A message of 20 kB every 100 ms is 1.6 Mbit/s, on a link that carries ten.
#[test]
fn what_an_application_sends_slowly_is_not_taken_for_the_path() {
    let mut pair = Pair::builder()
        .link(usual(0.0))
        .both(|c| {
            shipped(c, Bbr);
            c.stream_send_buffer(4 << 20);
        })
        .untraced()
        .steps(usize::MAX)
        .build();
    pair.connect();
    let message = Bytes::from(vec![0; 20_000]);
    let mut arrived = 0;
    for _ in 0..200 {
        pair.send(Client, 1, message.clone());
        pair.drive_for(SECOND / 10);
        arrived += pair.recv_all(Server).len();
    }
    assert!(arrived >= 199, "{arrived}: in time, but for the first");
    let path = pair.path(Client);
    assert!(path.cwnd >= 20_000, "{path:?}");
    assert!(path.pacing_rate.is_some_and(|rate| rate > 300_000));
    // And a large one that comes then finds the rest within a few round trips.
    let begin = pair.now;
    for _ in 0..100 {
        pair.send(Client, 1, message.clone());
    }
    let mut left = 300 - arrived;
    while left > 0 {
        assert!(pair.step());
        left -= pair.recv_all(Server).len();
    }
    let seconds = (pair.now - begin).as_secs_f64();
    assert!(seconds < 2.4, "{seconds} for 2 MB");
}

#[test]
fn pages_take_what_the_link_takes() {
    let objects = [10_000; 50];
    for (loss, most) in [(0.0, 0.68), (0.01, 0.8), (0.03, 1.1)] {
        let mut times: Vec<_> = (1..=5)
            .map(|seed| page(seed, usual(loss), Bbr, 10_000, &objects))
            .map(|page| {
                assert!(page.wire < 612_000, "{page:?}");
                page.time.as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        assert!(times[2] < most, "{times:?} at {loss}");
    }
}

/// A document of eight packets says little about how fast the path is. What follows it is sent as
/// fast as in any slow start: paced by what the document delivered it takes 0.76 s.
#[test]
fn a_short_answer_does_not_slow_down_the_next() {
    let page = page(1, link(100.0, 100, 400, 0.0), Bbr, 10_000, &[10_000; 50]);
    assert!(page.time < Duration::from_millis(745), "{page:?}");
}

//= RFC 9260 §7.2.1, test
//# The initial cwnd after a retransmission timeout MUST be no...
#[test]
fn a_path_that_is_dead_gets_one_packet_at_a_time() {
    let mut flows = Flows::new(1, usual(0.0), &[Bbr]);
    flows.run(3 * SECOND);
    flows.pair.net.links(|link| link.down = true);
    flows.run(SECOND);
    let before = flows.pair.client.conns[0].association.stats();
    flows.run(30 * SECOND);
    let after = flows.pair.client.conns[0].association.stats();
    let path = flows.path(0);
    assert!(path.t3_expiries >= 4, "{path:?}");
    assert!(after.packets_sent - before.packets_sent <= path.t3_expiries);
    assert!(path.cwnd <= 1472 && path.flight <= 1472, "{path:?}");
    flows.pair.net.links(|link| link.down = false);
    flows.run(40 * SECOND);
    let got = flows.measure(5 * SECOND);
    assert!(got[0] as f64 * 8e-6 / 5.0 > 9.0, "as before: {got:?}");
}

#[test]
fn each_path_has_the_controller_it_is_given() {
    let mut pair = Pair::builder().both(|c| shipped(c, Cubic)).build();
    pair.connect();
    let path = pair
        .conn(Client)
        .association
        .paths()
        .next()
        .expect("a path");
    assert_eq!(path.stats.model, None);
    let message = Bytes::from(vec![0; 40_000]);
    pair.send_with(Client, 1, message.clone(), SendInfo::default());
    // In the middle of a transfer: what is in flight is known to the one that takes over.
    let mut config = PathConfig::default();
    config.congestion_control = Some(Bbr);
    let now = pair.now;
    let association = &mut pair.conn(Client).association;
    association
        .configure_path(now, path.id, config)
        .expect("there is such a path");
    pair.drive();
    pair.send(Client, 1, message);
    pair.drive();
    assert_eq!(pair.recv_all(Server).len(), 2);
    let now_model = model(&pair.path(Client));
    assert_eq!(now_model.phase, PathPhase::Startup);
    assert!(now_model.bandwidth > 0 && now_model.min_rtt > Duration::ZERO);
    assert_eq!(pair.path(Server).model, None, "not the other side's");
}

/// What another controller had seen acknowledged was counted to the one that came after it, whose
/// window grew by all of it at once.
#[test]
fn a_controller_that_comes_back_begins_anew() {
    let mut pair = Pair::builder()
        .both(|c| _ = c.congestion_control(Bbr))
        .audited()
        .build();
    pair.connect();
    let id = pair.conn(Client).association.paths().next().unwrap().id;
    for kind in [Cubic, Bbr] {
        for _ in 0..20 {
            pair.send_with(Client, 1, Bytes::from(vec![0; 4000]), SendInfo::default());
            pair.drive_for(SECOND / 5);
        }
        let now = pair.now;
        let mut config = PathConfig::default();
        config.congestion_control = Some(kind);
        let client = &mut pair.conn(Client).association;
        client.configure_path(now, id, config).unwrap();
    }
    let began = pair.path(Client).cwnd;
    pair.send(Client, 1, "one packet");
    pair.drive_for(SECOND);
    let grown = pair.path(Client).cwnd - began;
    assert!(grown <= 1000, "by {grown} bytes for one small packet");
}
