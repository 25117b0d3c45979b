use proptest::{collection::vec, prelude::*};

use super::{super::Delivery, super::LossAtFlight, model::StandingRtt, *};

/// A full chunk of the tests.
const P: usize = 1000;
const MS: Duration = Duration::from_millis(1);

fn controller() -> Bbr {
    Bbr::new(P + COMMON_HEADER, 10 * P)
}

/// A path that carries a packet per millisecond, 50 ms long, whose queue is as long as is told.
struct Path {
    cc: Bbr,
    now: Instant,
    delivered: u64,
    rtt: Duration,
    /// Whether samples tell the round trip: those of what was sent again do not.
    measures: bool,
    /// Of every so many packets one is lost.
    loses: Option<usize>,
    app_limited: bool,
    count: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            cc: controller(),
            now: Instant::from_nanos(1_000_000_000),
            delivered: 0,
            rtt: 50 * MS,
            measures: true,
            loses: None,
            app_limited: false,
            count: 0,
        }
    }

    /// One that is known: Startup and what follows it are over.
    fn known() -> Self {
        let mut path = Self::new();
        for _ in 0..200 {
            path.round(50);
            if path.cc.phase == Phase::Cruise {
                return path;
            }
        }
        panic!("never cruises: {:?}", path.cc);
    }

    /// A round trip that delivers so many packets, a SACK for every second one.
    fn round(&mut self, packets: usize) {
        let prior = self.delivered;
        let step = self.rtt / packets as u32;
        for _ in 0..packets / 2 {
            self.now += 2 * step;
            let (mut acked, mut lost) = (0, 0);
            for _ in 0..2 {
                self.count += 1;
                let is_lost = self
                    .loses
                    .is_some_and(|every| self.count.is_multiple_of(every));
                *if is_lost { &mut lost } else { &mut acked } += P;
            }
            self.delivered += acked as u64;
            let flight = (self.cc.window()).min(packets * P);
            let rate = packets as u128 * P as u128 * 1_000_000_000 / self.rtt.as_nanos();
            self.cc.on_sample(&RateSample {
                now: self.now,
                acked,
                lost,
                flight,
                delivered: self.delivered,
                rtt: self.measures.then_some(self.rtt),
                window_used: !self.app_limited,
                delivery: Some(Delivery {
                    prior,
                    bytes: self.delivered - prior,
                    rate: Some(rate as u64),
                    flight,
                    lost: lost as u64,
                    app_limited: self.app_limited,
                }),
                loss: (lost > 0).then_some(LossAtFlight {
                    flight,
                    lost: lost as u64,
                    app_limited: self.app_limited,
                }),
            });
        }
    }

    fn rounds(&mut self, rounds: usize, packets: usize) {
        for _ in 0..rounds {
            self.round(packets);
        }
    }
}

#[test]
fn startup_ends_when_the_path_delivers_no_more() {
    let mut path = Path::new();
    for packets in [10, 20, 40] {
        path.round(packets);
        assert_eq!(path.cc.phase, Phase::Startup);
    }
    let window = path.cc.window();
    assert!(window >= 70 * P, "{window}: what was acknowledged, on top");
    path.rounds(6, 50);
    assert_ne!(path.cc.phase, Phase::Startup);
    let model = path.cc.model().expect("a model");
    assert_eq!((model.bandwidth, model.min_rtt), (1_000_000, 50 * MS));
}

#[test]
fn a_path_that_begins_with_what_another_lost_grows_as_any() {
    let mut path = Path::new();
    path.measures = false;
    path.cc.on_round_trip(path.now, path.rtt);
    // A pause since the HEARTBEAT is no reason to look for a shorter round trip first.
    path.now += 8000 * MS;
    for packets in [10, 20, 40] {
        path.round(packets);
        assert_eq!(path.cc.phase, Phase::Startup);
        let rate = path.cc.pacing_rate(Some(path.rtt)).expect("a rate");
        let doubled = 2 * per_round_trip(packets * P, path.rtt);
        assert!(rate >= doubled, "{rate} after a round of {packets}");
    }
    let window = path.cc.window();
    assert!(window >= 70 * P, "{window}: what was acknowledged, on top");
}

#[test]
fn startup_waits_for_one_that_has_little_to_send() {
    let mut path = Path::new();
    path.app_limited = true;
    path.rounds(30, 10);
    assert_eq!(path.cc.phase, Phase::Startup);
}

#[test]
fn it_cruises_at_the_rate_of_the_path() {
    let path = Path::known();
    assert_eq!(path.cc.pacing_rate(None), Some(1_000_000));
    let window = path.cc.window();
    assert!((90 * P..=110 * P).contains(&window), "{window}");
}

#[test]
fn it_cruises_at_a_little_less_while_there_is_a_queue_to_drain() {
    let mut path = Path::known();
    path.rtt = 56 * MS;
    path.round(56);
    assert_eq!(path.cc.pacing_rate(None), Some(990_000));
    path.rtt = 51 * MS;
    path.round(50);
    assert_eq!(path.cc.pacing_rate(None), Some(1_000_000));
}

#[test]
fn it_looks_for_more_every_few_seconds_and_finds_it() {
    let mut path = Path::known();
    let mut highest = 0;
    // Four seconds at what it was, and then twice as much.
    path.rounds(80, 50);
    assert_eq!(path.cc.bandwidth.get(), 1_000_000);
    for _ in 0..160 {
        let packets = (path.cc.pacing_rate(None).unwrap_or(0) / 20_000) as usize;
        path.round(packets.clamp(10, 100) & !1);
        highest = highest.max(path.cc.bandwidth.get());
    }
    assert!(highest >= 1_900_000, "{highest}");
}

#[test]
fn a_rate_that_is_gone_is_forgotten() {
    let mut path = Path::known();
    path.rounds(300, 20);
    assert_eq!(path.cc.bandwidth.get(), 400_000);
    assert!(path.cc.window() < 60 * P);
}

#[test]
fn random_losses_change_nothing() {
    for every in [33, 20, 10] {
        let mut path = Path::known();
        path.loses = Some(every);
        for _ in 0..200 {
            path.round(50);
            let rate = path.cc.rate();
            assert!(rate >= 990_000, "1 of {every} lost: {rate} {:?}", path.cc);
        }
        let random = path.cc.losses.background();
        let expected = 1000 / every as u64;
        assert!(random.abs_diff(expected) < 10, "{random} for {expected}");
    }
}

#[test]
fn losses_beside_a_queue_lower_rate_and_window() {
    let mut path = Path::known();
    let window = path.cc.window();
    path.loses = Some(20);
    path.rtt = 100 * MS;
    path.rounds(3, 50);
    assert!(path.cc.rate() < 900_000, "{}", path.cc.rate());
    assert!(path.cc.window() < window, "{}", path.cc.window());
}

#[test]
fn many_losses_are_congestion_without_a_queue_too() {
    let mut path = Path::known();
    path.loses = Some(4);
    path.rtt = 50 * MS;
    path.rounds(3, 36);
    assert!(path.cc.rate() < 900_000, "{}", path.cc.rate());
}

#[test]
fn startup_ends_when_a_queue_overflows() {
    let mut path = Path::new();
    path.rounds(1, 20);
    path.rtt = 100 * MS;
    path.loses = Some(5);
    path.rounds(3, 60);
    assert_ne!(path.cc.phase, Phase::Startup);
    assert!(path.cc.bounds.high() < usize::MAX);
}

#[test]
fn a_mark_of_congestion_is_heeded_in_every_phase() {
    let mut path = Path::new();
    path.rounds(2, 20);
    path.cc.on_ecn(path.now);
    path.round(20);
    assert_ne!(path.cc.phase, Phase::Startup);

    let mut path = Path::known();
    let window = path.cc.window();
    path.cc.on_ecn(path.now);
    assert!(path.cc.window() <= window * 3 / 4, "{}", path.cc.window());
    assert!(path.cc.bounds.rate() <= 1_000_000);

    let mut path = Path::known();
    while path.cc.phase != Phase::Up {
        path.round(50);
    }
    path.cc.on_ecn(path.now);
    assert_eq!(path.cc.phase, Phase::Down);
}

//= RFC 9260 §7.2.1, test
//# The initial cwnd after a retransmission timeout MUST be no...
#[test]
fn after_a_time_out_it_begins_with_one_packet() {
    let mut path = Path::known();
    path.cc.on_timeout(path.now);
    assert_eq!(path.cc.window(), P);
    path.round(2);
    assert_eq!(path.cc.window(), 3 * P, "by what was acknowledged");
    path.rounds(10, 50);
    assert!(path.cc.window() > 90 * P);
}

#[test]
fn what_was_for_nothing_is_undone() {
    let mut path = Path::known();
    let window = path.cc.window();
    path.cc.save();
    path.cc.on_timeout(path.now);
    assert_eq!(path.cc.saved_window(), window);
    assert!(path.cc.undo(path.now));
    assert_eq!(path.cc.window(), window);
    assert!(!path.cc.undo(path.now), "once");
}

#[test]
fn a_pause_keeps_the_model_for_ten_seconds() {
    let mut path = Path::known();
    let window = path.cc.window();
    path.cc.on_idle(path.now, 9000 * MS, 400 * MS);
    assert_eq!(path.cc.window(), window);
    assert_eq!(path.cc.pacing_rate(None), Some(1_000_000));
    path.cc.on_idle(path.now, 60_000 * MS, 400 * MS);
    assert_eq!(path.cc.window(), 10 * P);
}

#[test]
fn the_round_trip_without_a_queue_is_looked_for_and_found() {
    let mut path = Path::known();
    path.rtt = 80 * MS;
    let (mut probed, mut least) = (false, usize::MAX);
    for _ in 0..200 {
        path.round(50);
        if path.cc.phase == Phase::ProbeRtt {
            (probed, least) = (true, least.min(path.cc.window()));
        }
    }
    assert!(probed && least <= 40 * P, "{least}");
    // What it has shown takes the place of what is out of date.
    assert_eq!(path.cc.model().map(|model| model.min_rtt), Some(80 * MS));
}

#[derive(Debug, Clone)]
enum Step {
    Sample(RateSample),
    Loss,
    Mark,
    TimeOut,
    Undo,
    Idle(u64),
    Mtu(usize),
    Sleep(u64),
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..3000_u64, 0..10_000_000_u64, any::<u64>()]
}

fn sample() -> impl Strategy<Value = Step> {
    let delivery = (
        number(),
        number(),
        number(),
        number(),
        number(),
        any::<bool>(),
    );
    let loss = (number(), number(), any::<bool>());
    (
        (number(), number(), number(), number()),
        proptest::option::of(number()),
        any::<bool>(),
        proptest::option::of(delivery),
        proptest::option::of(loss),
    )
        .prop_map(
            |((acked, lost, flight, delivered), rtt, window_used, delivery, loss)| {
                Step::Sample(RateSample {
                    now: Instant::EPOCH,
                    acked: (acked >> 16) as usize,
                    lost: (lost >> 16) as usize,
                    flight: flight as usize,
                    delivered,
                    rtt: rtt.map(Duration::from_nanos),
                    window_used,
                    delivery: delivery.map(|(prior, bytes, rate, flight, lost, app_limited)| {
                        Delivery {
                            prior,
                            bytes,
                            rate: Some(rate).filter(|rate| rate % 7 > 0),
                            flight: flight as usize,
                            lost,
                            app_limited,
                        }
                    }),
                    loss: loss.map(|(flight, lost, app_limited)| LossAtFlight {
                        flight: flight as usize,
                        lost,
                        app_limited,
                    }),
                })
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => sample(),
        1 => Just(Step::Loss),
        1 => Just(Step::Mark),
        1 => Just(Step::TimeOut),
        1 => Just(Step::Undo),
        1 => number().prop_map(Step::Idle),
        1 => (100..70_000_usize).prop_map(Step::Mtu),
        4 => number().prop_map(Step::Sleep),
    ]
}

proptest! {
    /// Whatever is measured: a packet may leave, no window grows by more than was acknowledged or
    /// beyond any path, and there is a rate.
    #[test]
    fn no_sample_leads_out_of_bounds(steps in vec(step(), 0..200)) {
        let mut cc = controller();
        let mut now = Instant::EPOCH;
        let mut peak = cc.window();
        for step in steps {
            let before = cc.window();
            let mut grown = 0;
            match step {
                Step::Sample(sample) => {
                    grown = sample.acked;
                    cc.on_sample(&RateSample { now, ..sample });
                }
                Step::Loss => {
                    cc.save();
                    cc.on_loss(now, P);
                }
                Step::Mark => cc.on_ecn(now),
                Step::TimeOut => {
                    cc.save();
                    cc.on_timeout(now);
                    prop_assert_eq!(cc.window(), cc.pmdcs);
                }
                Step::Undo => _ = cc.undo(now),
                Step::Idle(nanos) => {
                    cc.on_idle(now, Duration::from_nanos(nanos), 400 * MS);
                }
                Step::Mtu(bytes) => {
                    grown = bytes;
                    cc.on_mtu(bytes);
                }
                Step::Sleep(nanos) => now += Duration::from_nanos(nanos),
            }
            let window = cc.window();
            prop_assert!(window >= cc.pmdcs.min(before), "{} of {}", window, cc.pmdcs);
            prop_assert!(window <= MOST + 70_000);
            prop_assert!(window <= (before + grown).max(peak), "{} {}", before, window);
            prop_assert!(cc.pacing_rate(Some(50 * MS)).is_some_and(|rate| rate > 0));
            peak = peak.max(window).max(cc.saved_window());
        }
    }
}

#[test]
fn a_round_trip_stands_as_long_as_a_short_one_was_lately() {
    let mut standing = StandingRtt::default();
    let mut now = Instant::EPOCH;
    let mut at = |rtt: u64| {
        now += Duration::from_millis(1);
        standing.add(now, Duration::from_millis(rtt));
        standing.get().as_millis()
    };
    // Turns: it varies, and is as short as ever now and then.
    for rtt in [50, 48, 46, 44, 42, 40, 50, 48, 46] {
        at(rtt);
    }
    assert_eq!(at(44), 40);
    // A queue: for a quarter of it, to a half, one may be of before.
    assert_eq!(at(80), 40);
    let stood = (0..40).position(|_| at(80) == 80);
    assert!(
        stood.is_some_and(|after| (18..40).contains(&after)),
        "{stood:?}"
    );
}
