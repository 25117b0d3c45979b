use proptest::prelude::*;

use super::*;

/// PMDCS of the tests.
const P: usize = 1000;

fn controller() -> Cubic {
    Cubic::new(P + COMMON_HEADER, 4 * P)
}

fn at(millis: u64) -> Instant {
    Instant::EPOCH + Duration::from_millis(millis)
}

/// An ACK while the window was used to the full.
fn ack(millis: u64, acked: usize) -> AckSample {
    AckSample {
        now: at(millis),
        acked,
        flight_before: usize::MAX,
        cumulative_advanced: true,
        cwnd_fully_used: true,
        rtt: None,
        in_recovery: false,
    }
}

/// In congestion avoidance since 0 s, with this window, after a loss at `w_max`.
fn avoiding(cwnd: usize, w_max: usize) -> Cubic {
    let mut cc = controller();
    cc.hystart = None;
    cc.cwnd = cwnd as f64;
    cc.ssthresh = cc.cwnd - 1.0;
    cc.w_max = w_max as f64;
    cc.prior = w_max as f64;
    cc.on_ack(&ack(0, 0));
    cc
}

/// Acknowledges a window every `rtt` milliseconds, in 20 SACKs, until `end`.
fn run(cc: &mut Cubic, begin: u64, end: u64, rtt: u64) {
    let mut now = begin;
    while now + rtt <= end {
        let window = cc.window();
        for part in 1..=20 {
            let millis = now + rtt * part / 20;
            cc.on_ack(&AckSample {
                rtt: Some(Duration::from_millis(rtt)),
                ..ack(millis, window / 20)
            });
        }
        now += rtt;
    }
}

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{value} is not {expected}"
    );
}

#[test]
fn half_a_window_is_enough_for_slow_start() {
    let unused = |millis| AckSample {
        cwnd_fully_used: false,
        rtt: Some(Duration::from_millis(50)),
        ..ack(millis, P)
    };
    let mut cc = controller();
    cc.on_sent(at(0), P, 2 * P - 1, true);
    cc.on_ack(&unused(50));
    assert_eq!(cc.window(), 4 * P);
    cc.on_sent(at(60), P, 2 * P, true);
    cc.on_ack(&unused(110));
    assert_eq!(cc.window(), 5 * P);
    // As much in flight again is less than half of the new window, and soon too long ago.
    cc.on_sent(at(120), P, 2 * P, true);
    cc.on_ack(&unused(161));
    assert_eq!(cc.window(), 5 * P);

    let mut cc = avoiding(10 * P, 10 * P);
    cc.on_sent(at(0), P, 9 * P, true);
    cc.on_ack(&unused(50));
    assert_eq!(cc.window(), 10 * P);
}

#[test]
fn the_curve_passes_through_its_plateau() {
    // W_max = 100 packets, begun at 70: K = cbrt(30 / 0.4) = cbrt(75) = 4.2172 s.
    let epoch = Epoch::begin(at(0), 70_000.0, 100_000.0, P);
    near(epoch.k, 4.2172, 1e-4);
    near(epoch.window(0.0), 70_000.0, 1e-6);
    // 0.4 * (2 - 4.2172)^3 + 100 = 95.640
    near(epoch.window(2.0), 95_640.0, 1.0);
    near(epoch.window(epoch.k), 100_000.0, 1e-6);
    near(epoch.window(2.0 * epoch.k), 130_000.0, 1e-6);
    // 0.4 * (10 - 4.2172)^3 + 100 = 177.352
    near(epoch.window(10.0), 177_352.0, 2.0);
}

#[test]
fn the_window_follows_the_curve() {
    // On a round trip of 200 ms the Reno-friendly window lags behind: 0.53 packets per 200 ms.
    let mut cc = avoiding(70_000, 100_000);
    let mut begin = 0;
    for (millis, expected) in [(2000, 95_640.0), (4200, 100_000.0), (8400, 129_281.0)] {
        run(&mut cc, begin, millis, 200);
        begin = millis;
        // The window is where the curve will be in a round trip, or on its way there.
        near(cc.cwnd, expected, 3500.0);
    }
}

#[test]
fn a_window_grows_by_half_per_round_trip_at_most() {
    let mut cc = avoiding(20_000, 20_000);
    // Ten seconds after the plateau the curve is at 0.4 * 10^3 + 20 = 420 packets.
    cc.epoch.as_mut().expect("begun").elapsed = 10.0;
    cc.on_ack(&ack(0, 2000));
    assert_eq!(cc.window(), 21_000);
    cc.on_ack(&ack(0, 1_000_000));
    assert_eq!(cc.window(), 31_500);
}

#[test]
fn on_short_round_trips_it_is_as_fast_as_reno() {
    // Begun at 7 packets; after 10 ms the curve is at 0.4 * (0.01 - 1.957)^3 + 10 = 7.05, and the
    // other controller's window at 7 + 0.5294.
    let mut cc = avoiding(7000, 10_000);
    cc.on_ack(&ack(10, 7000));
    near(cc.cwnd, 7529.4, 0.1);
    // Half a window: half as much.
    cc.on_ack(&ack(15, 3765));
    near(cc.cwnd, 7529.4 + 264.7, 0.1);
}

#[test]
fn above_the_previous_window_it_grows_by_a_packet() {
    let mut cc = avoiding(10_000, 10_000);
    cc.on_ack(&ack(10, 10_000));
    near(cc.cwnd, 11_000.0, 0.1);
}

#[test]
fn a_loss_leaves_seven_tenths() {
    let mut cc = avoiding(100_000, 100_000);
    cc.on_loss(at(0), P);
    assert_eq!((cc.window(), cc.ssthresh()), (70_000, 70_000));
    assert_eq!(cc.w_max, 100_000.0);
}

#[test]
fn a_loss_in_slow_start_leaves_half() {
    let mut cc = controller();
    cc.cwnd = 100_000.0;
    cc.on_loss(at(0), P);
    assert_eq!((cc.window(), cc.ssthresh()), (50_000, 50_000));
    cc.on_loss(at(0), P);
    assert_eq!(cc.window(), 35_000);
}

#[test]
fn a_loss_below_the_last_makes_room_for_others() {
    let mut cc = avoiding(80_000, 100_000);
    cc.on_loss(at(0), P);
    assert_eq!(cc.window(), 56_000);
    // 80 packets * (1 + 0.7) / 2
    near(cc.w_max, 68_000.0, 1e-6);
}

#[test]
fn losses_end_at_four_packets_and_time_outs_at_one() {
    let mut cc = controller();
    cc.on_loss(at(0), P);
    assert_eq!((cc.window(), cc.ssthresh()), (4 * P, 4 * P));
    cc.on_timeout(at(0));
    assert_eq!((cc.window(), cc.ssthresh()), (P, 4 * P));
    cc.on_loss(at(0), P);
    assert_eq!(cc.window(), P, "a loss raises no window");
}

#[test]
fn after_a_time_out_the_curve_begins_at_its_plateau() {
    let mut cc = avoiding(100_000, 100_000);
    cc.on_timeout(at(0));
    assert_eq!((cc.window(), cc.ssthresh()), (P, 70_000));
    run(&mut cc, 0, 2000, 200);
    let epoch = cc.epoch.as_ref().expect("in congestion avoidance again");
    assert_eq!(epoch.k, 0.0);
    assert!(epoch.plateau >= 70_000.0 && epoch.plateau <= 78_000.0);
}

#[test]
fn slow_start_grows_by_what_is_acked_up_to_eight_packets() {
    let mut cc = controller();
    cc.on_ack(&ack(0, 300));
    assert_eq!(cc.window(), 4300);
    cc.on_ack(&ack(0, 4000));
    assert_eq!(cc.window(), 8300);
    cc.on_ack(&ack(0, 20_000));
    assert_eq!(cc.window(), 16_300);
}

#[test]
fn slow_start_ends_when_the_round_trip_grows() {
    let mut cc = controller();
    let mut now = 0;
    for round in 0..12 {
        let rtt = if round < 4 { 50 } else { 60 };
        run(&mut cc, now, now + rtt, rtt);
        now += rtt;
    }
    // Five rounds at a quarter of the pace, then congestion avoidance.
    assert!(cc.hystart.is_none());
    assert!(cc.ssthresh() < 64 * 4 * P, "{}", cc.ssthresh());
    let window = cc.window();
    run(&mut cc, now, now + 60, 60);
    assert!(cc.window() <= window + 2 * P);
}

#[test]
fn neither_unused_windows_nor_recovery_grow() {
    for mut cc in [controller(), avoiding(70_000, 100_000)] {
        let window = cc.window();
        cc.on_ack(&AckSample {
            cwnd_fully_used: false,
            ..ack(1000, P)
        });
        cc.on_ack(&AckSample {
            in_recovery: true,
            ..ack(2000, P)
        });
        assert_eq!(cc.window(), window);
    }
}

#[test]
fn time_without_use_does_not_count() {
    let mut busy = avoiding(70_000, 100_000);
    run(&mut busy, 0, 1000, 100);
    let mut idle = avoiding(70_000, 100_000);
    for second in 1..=100 {
        idle.on_ack(&AckSample {
            cwnd_fully_used: false,
            ..ack(1000 * second, P)
        });
    }
    // Idle for less than a time-out: the window stays, and so does the curve.
    let (now, second) = (at(1_000_000), Duration::from_secs(1));
    idle.on_idle(now, second / 2, second);
    run(&mut idle, 1_000_000, 1_001_000, 100);
    near(idle.cwnd, busy.cwnd, 1.0);
}

#[test]
fn idle_windows_decay_and_are_regained_by_slow_start() {
    let second = Duration::from_secs(1);
    let mut cc = avoiding(70_000, 100_000);
    cc.on_idle(at(5000), 2 * second, second);
    assert_eq!((cc.window(), cc.ssthresh()), (17_500, 70_000));
    cc.on_idle(at(5000), 1000 * second, second);
    assert_eq!((cc.window(), cc.ssthresh()), (4000, 70_000));
    // In slow start for the first time: ssthresh stays unknown.
    let mut cc = controller();
    cc.on_idle(at(5000), 2 * second, second);
    assert_eq!((cc.window(), cc.ssthresh()), (4000, usize::MAX));
}

#[test]
fn a_larger_chunk_always_fits_the_window() {
    let mut cc = controller();
    cc.on_timeout(at(0));
    cc.on_mtu(9000 + COMMON_HEADER);
    assert_eq!(cc.window(), 9000);
}

/// What can happen to a controller.
#[derive(Debug, Clone)]
enum Step {
    Ack {
        acked: usize,
        used: bool,
        in_recovery: bool,
        rtt: Option<Duration>,
    },
    Loss,
    TimeOut,
    Idle(Duration, Duration),
    Mtu(usize),
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..1_000_000_000_u64).prop_map(Duration::from_nanos),
        1 => any::<u64>().prop_map(Duration::from_nanos),
        1 => Just(Duration::MAX),
    ]
}

fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..100_000_usize, 1 => any::<usize>()]
}

fn step() -> impl Strategy<Value = Step> {
    let ack = (
        bytes(),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.1),
        prop::option::of(duration()),
    );
    prop_oneof![
        20 => ack.prop_map(|(acked, used, in_recovery, rtt)| Step::Ack {
            acked,
            used,
            in_recovery,
            rtt,
        }),
        2 => Just(Step::Loss),
        1 => Just(Step::TimeOut),
        1 => (duration(), duration()).prop_map(|(idle, rto)| Step::Idle(idle, rto)),
        1 => (500..65_000_usize).prop_map(Step::Mtu),
    ]
}

proptest! {
    #[test]
    fn windows_stay_within_bounds(steps in prop::collection::vec((duration(), step()), 1..200)) {
        let mut cc = controller();
        let mut now = Instant::EPOCH;
        for (passed, step) in steps {
            now += passed;
            let before = cc.window();
            let slow_start = before <= cc.ssthresh();
            match step {
                Step::Ack { acked, used, in_recovery, rtt } => {
                    let cwnd_fully_used = used;
                    cc.on_ack(&AckSample { cwnd_fully_used, in_recovery, rtt, now, ..ack(0, acked) });
                    let limit = match (used && !in_recovery, slow_start) {
                        (false, _) => 0,
                        (true, true) => acked.min(8 * cc.pmdcs),
                        (true, false) => acked.min(cc.pmdcs.max(before / 2)),
                    };
                    // Fractions of a byte may add up to a whole one.
                    prop_assert!(cc.window() - before <= limit + 1, "{before} -> {cc:?}");
                }
                Step::Loss => cc.on_loss(now, P),
                Step::TimeOut => {
                    cc.on_timeout(now);
                    prop_assert_eq!(cc.window(), cc.pmdcs);
                }
                Step::Idle(idle, rto) => cc.on_idle(now, idle, rto),
                Step::Mtu(pmdcs) => {
                    cc.on_mtu(pmdcs + COMMON_HEADER);
                    prop_assert!(cc.window() == before.max(pmdcs));
                    continue;
                }
            }
            if !matches!(step, Step::Ack { .. }) {
                prop_assert!(cc.window() <= before, "{before} -> {cc:?}");
            }
            prop_assert!(cc.window() >= cc.pmdcs, "{cc:?}");
            prop_assert!(cc.cwnd.is_finite() && cc.cwnd <= MOST);
        }
    }
}

#[test]
fn a_mistake_is_undone_to_the_stage_that_it_ended() {
    let mut cc = avoiding(70_000, 100_000);
    run(&mut cc, 0, 2000, 100);
    let (window, threshold) = (cc.window(), cc.ssthresh());
    let elapsed = cc.epoch.map(|epoch| epoch.elapsed);
    cc.save();
    cc.on_timeout(at(2000));
    assert_eq!((cc.window(), cc.w_max), (P, 0.0));
    assert_eq!(cc.saved_window(), window);
    assert!(cc.undo(at(9000)));
    assert_eq!((cc.window(), cc.ssthresh()), (window, threshold));
    assert_eq!((cc.w_max, cc.prior), (100_000.0, 100_000.0));
    // The time in between is no time to grow by.
    cc.on_ack(&ack(9000, P));
    assert_eq!(cc.epoch.map(|epoch| epoch.elapsed), elapsed);
    assert!(cc.window() < window + P);
    assert!(!cc.undo(at(9000)), "once");
}

#[test]
fn the_first_slow_start_goes_on_after_a_mistake() {
    let mut cc = controller();
    cc.save();
    cc.on_loss(at(0), P);
    assert!(cc.hystart.is_none());
    assert!(cc.undo(at(10)));
    assert!(cc.hystart.is_some() && cc.cwnd <= cc.ssthresh);
    let before = cc.window();
    cc.on_ack(&ack(20, P));
    assert_eq!(cc.window(), before + P);
}

#[test]
fn a_window_that_was_kept_outlasts_neither_idleness_nor_another_mtu() {
    let mut cc = controller();
    cc.save();
    cc.on_idle(at(0), Duration::from_secs(2), Duration::from_secs(1));
    assert!(!cc.undo(at(0)));
    cc.save();
    cc.on_mtu(P);
    assert!(!cc.undo(at(0)));
}
