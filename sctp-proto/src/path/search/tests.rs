use proptest::prelude::*;

use super::*;

const RTT: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

/// A search, and a path that carries so much; time passes as probes do.
struct Run {
    search: Search,
    now: Instant,
    sizes: Vec<u16>,
}

impl Run {
    fn new(base: u16, mtu: u16, max: u16) -> Self {
        let mut search = Search::new(base, mtu, max);
        let now = Instant::EPOCH + SECOND;
        assert!(search.is_wanted(now));
        search.begin(now);
        Self {
            search,
            now,
            sizes: Vec::new(),
        }
    }

    /// Sends the probe that is due; `passes` says whether it is answered. False if none is due.
    fn step(&mut self, passes: impl FnOnce(u16) -> bool) -> bool {
        let Some(size) = self.search.due() else {
            return false;
        };
        self.sizes.push(size);
        let nonce = self.search.send(u64::from(size)).expect("a probe is due");
        assert_eq!(self.search.due(), None, "one at a time");
        assert_eq!(self.search.under_way(), Some(size));
        if passes(size) {
            self.now += RTT;
            assert!(self.search.answered(self.now, &nonce.to_be_bytes()));
        } else {
            self.now += SECOND;
            self.search.timed_out(self.now, true);
        }
        true
    }

    /// Runs until the search rests, on a path that carries `mtu`.
    fn rest(&mut self, mtu: u16) -> u16 {
        for _ in 0..200 {
            if !self.step(|size| size <= mtu) {
                return self.search.confirmed();
            }
        }
        panic!("a search without end: {:?}", self.sizes);
    }
}

#[test]
fn usual_paths_are_found_in_few_probes() {
    // MTU of the path, largest that is tried, what is found, probes.
    let cases = [
        (1280, 1500, 1280, 2 * 3),
        (1400, 1500, 1400, 3 + 2 + 3),
        (1500, 1500, 1500, 1),
        (1492, 1500, 1492, 3 + 8),
        (9000, 9000, 9000, 2),
        (1500, 9000, 1500, 1 + 2 * 3),
        (65_535, 65_532, 65_532, 3),
        (9000, 65_532, 9000, 2 + 2 * 3 + 3),
    ];
    for (mtu, max, found, probes) in cases {
        let mut run = Run::new(1280, 1280, max);
        assert_eq!(run.rest(mtu), found, "{mtu} of {max}: {:?}", run.sizes);
        assert_eq!(run.search.state, State::Complete);
        assert!(run.sizes.len() <= probes, "{mtu} of {max}: {:?}", run.sizes);
    }
}

#[test]
fn a_size_counts_as_too_large_when_three_probes_are_lost() {
    let mut run = Run::new(1280, 1280, 1500);
    for _ in 0..2 {
        assert!(run.step(|_| false));
    }
    assert!(run.step(|_| true));
    assert_eq!(run.search.confirmed(), 1500);
    assert_eq!(run.sizes, [1500; 3]);
    assert_eq!((run.search.probes_sent, run.search.probes_acked), (3, 1));
}

#[test]
fn a_late_answer_counts_while_its_size_is_tried() {
    let mut run = Run::new(1280, 1280, 1500);
    let nonce = run.search.send(1).expect("due");
    run.search.timed_out(run.now, true);
    assert!(!run.search.answered(run.now, &2_u64.to_be_bytes()));
    assert!(!run.search.answered(run.now, &nonce.to_be_bytes()[..7]));
    assert!(run.search.answered(run.now, &nonce.to_be_bytes()));
    assert_eq!(run.search.confirmed(), 1500);
    assert!(!run.search.answered(run.now, &nonce.to_be_bytes()), "twice");
}

#[test]
fn a_path_that_answers_nothing_fails_no_size() {
    let mut run = Run::new(1280, 1280, 1500);
    for _ in 0..20 {
        run.search.send(1).expect("due");
        run.search.timed_out(run.now, false);
        assert_eq!(run.search.due(), Some(1500));
    }
    assert_eq!(run.rest(1500), 1500);
}

#[test]
fn what_was_not_found_is_looked_for_again_after_ten_minutes() {
    let mut run = Run::new(1280, 1280, 1500);
    assert_eq!(run.rest(1400), 1400);
    let done = run.now;
    assert!(!run.search.is_wanted(done + (RAISE - SECOND)));
    run.now = done + RAISE;
    assert!(run.search.is_wanted(run.now));
    run.search.begin(run.now);
    assert_eq!(run.rest(1500), 1500);
    // There is nothing more to find.
    assert!(!run.search.is_wanted(run.now + RAISE * 10));
}

#[test]
fn what_the_network_says_is_tried_next_and_never_exceeded() {
    let mut run = Run::new(1280, 1280, 9000);
    run.step(|_| true);
    assert_eq!(run.search.due(), Some(9000));
    run.search.limit(run.now, 1783);
    assert_eq!(run.search.due(), Some(1780), "a multiple of four");
    assert_eq!(run.rest(1783), 1780);
    // Below what is in use: believed, as it is validated.
    run.search.limit(run.now, 1400);
    assert_eq!((run.search.confirmed(), run.search.due()), (1400, None));
    // Of no use: larger than what is tried, or nothing is.
    run.search.limit(run.now, 9000);
    assert_eq!((run.search.confirmed(), run.search.due()), (1400, None));
    assert!(!run.search.is_wanted(run.now + (RAISE - SECOND)));
}

#[test]
fn a_forged_limit_costs_three_probes() {
    let mut run = Run::new(1280, 1280, 1500);
    run.search.send(1);
    run.search.limit(run.now, 1450);
    assert_eq!(run.rest(1440), 1440, "{:?}", run.sizes);
}

#[test]
fn what_the_operating_system_refuses_is_not_tried_again() {
    let mut run = Run::new(1280, 1280, 65_532);
    let mut refused = 0;
    while let Some(size) = run.search.due() {
        let nonce = run.search.send(7).expect("due");
        if size > 1500 {
            refused += 1;
            run.search.refused(run.now);
        } else {
            run.search.answered(run.now, &nonce.to_be_bytes());
        }
    }
    assert_eq!((run.search.confirmed(), refused), (1500, 2));
}

#[test]
fn two_time_outs_or_four_rounds_of_large_losses_are_a_black_hole() {
    for (how, times) in [(Suspicion::TimeOut, 2), (Suspicion::Overtaken, 4)] {
        let mut run = Run::new(1280, 1280, 1500);
        run.rest(1500);
        for n in 1..times {
            assert!(!run.search.suspect(run.now, run.now, how), "{n} times");
            // A second report of the same round says nothing new.
            let before = Instant::EPOCH;
            run.now += RTT;
            assert!(!run.search.suspect(run.now, before, how));
        }
        assert!(run.search.suspect(run.now, run.now, how));
        assert_eq!(
            (run.search.confirmed(), run.search.state),
            (1280, State::Base)
        );
        assert_eq!(run.rest(1400), 1400);
        assert_eq!(
            run.sizes[1], 1280,
            "whether the base gets through comes first"
        );
        assert_eq!(run.search.black_holes, 1);
    }
}

#[test]
fn a_large_packet_that_arrives_clears_the_suspicion() {
    let mut run = Run::new(1280, 1280, 1500);
    run.rest(1500);
    for _ in 0..100 {
        for _ in 0..3 {
            run.now += RTT;
            assert!(!run.search.suspect(run.now, run.now, Suspicion::Overtaken));
        }
        run.search.arrived();
    }
    assert_eq!(run.search.confirmed(), 1500);
}

#[test]
fn a_path_that_swallows_data_and_not_probes_stays_at_the_base() {
    let mut run = Run::new(1280, 1280, 1500);
    run.rest(1500);
    let swallow = |run: &mut Run| {
        for _ in 0..2 {
            run.now += SECOND;
            run.search.suspect(run.now, run.now, Suspicion::TimeOut);
        }
    };
    swallow(&mut run);
    assert_eq!(run.rest(1500), 1500);
    swallow(&mut run);
    assert_eq!((run.search.confirmed(), run.search.due()), (1280, None));
    assert!(!run.search.is_wanted(run.now + (RAISE - SECOND)));
    run.now += RAISE;
    assert!(run.search.is_wanted(run.now));
    // At the base there is nothing to suspect.
    assert!(!run.search.suspect(run.now, run.now, Suspicion::TimeOut));
    assert!(!run.search.suspect(run.now, run.now, Suspicion::TimeOut));
}

#[test]
fn a_path_that_does_not_carry_the_base_is_asked_again_later() {
    let mut run = Run::new(1280, 1280, 1500);
    run.rest(1500);
    for _ in 0..2 {
        run.search.suspect(run.now, run.now, Suspicion::TimeOut);
    }
    assert_eq!(run.rest(1000), 1280);
    assert!(run.search.has_failed());
    assert!(!run.search.is_wanted(run.now + (ERROR_PAUSE - SECOND)));
    run.now += ERROR_PAUSE;
    assert!(run.search.is_wanted(run.now));
    run.search.begin(run.now);
    assert_eq!(run.search.due(), Some(1280));
    assert_eq!(run.rest(1500), 1500);
    assert!(!run.search.has_failed());
}

#[test]
fn a_limit_below_the_base_ends_its_search() {
    let mut run = Run::new(1280, 1280, 1500);
    run.rest(1500);
    for _ in 0..2 {
        run.search.suspect(run.now, run.now, Suspicion::TimeOut);
    }
    run.search.send(1);
    run.search.limit(run.now, 1000);
    assert_eq!((run.search.confirmed(), run.search.due()), (1000, None));
    assert!(run.search.has_failed());
}

#[test]
fn nothing_is_due_after_stop() {
    let mut run = Run::new(1280, 1280, 1500);
    run.search.send(1);
    run.search.stop(run.now);
    assert_eq!((run.search.due(), run.search.under_way()), (None, None));
    run.search.timed_out(run.now, true);
    assert_eq!((run.search.due(), run.search.under_way()), (None, None));
}

/// What befalls a search.
#[derive(Debug, Clone)]
enum Fate {
    /// A probe, lost although it is not too large if so.
    Probe {
        bad_luck: bool,
    },
    Limit(u16),
    Suspect,
    Refused,
    Wait,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => prop::bool::weighted(0.1).prop_map(|bad_luck| Fate::Probe { bad_luck }),
        1 => any::<u16>().prop_map(Fate::Limit),
        1 => Just(Fate::Suspect),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Wait),
    ]
}

proptest! {
    /// Whatever the path carries, the search ends there, or by less than its granularity below, and
    /// takes a bounded number of probes.
    #[test]
    fn every_mtu_is_found(mtu in 1280_u16.., max in 1280_u16..) {
        let mut run = Run::new(1280, 1280, max.max(1284) & !3);
        let found = run.rest(mtu);
        let most = mtu.min(max.max(1284) & !3);
        prop_assert!(found <= most);
        prop_assert!(most - found <= granularity(found) + 3, "{found} of {most}");
        prop_assert!(run.sizes.len() <= 60, "{} probes: {:?}", run.sizes.len(), run.sizes);
    }

    /// Whatever happened before, on a path that has become as narrow as it likes.
    #[test]
    fn a_search_finds_its_way_from_anywhere(
        fates in prop::collection::vec(fate(), 0..100),
        before in 1280_u16..,
        after in 1280_u16..,
    ) {
        let mut run = Run::new(1280, 1280, 65_532);
        for fate in fates {
            match fate {
                Fate::Probe { bad_luck } => {
                    run.step(|size| size <= before && !bad_luck);
                }
                Fate::Limit(size) => run.search.limit(run.now, size.max(1280)),
                Fate::Suspect => {
                    run.now += SECOND;
                    run.search.suspect(run.now, run.now, Suspicion::TimeOut);
                }
                Fate::Refused => {
                    run.search.send(3);
                    run.search.refused(run.now);
                }
                Fate::Wait => {
                    run.now += RAISE;
                    if run.search.is_wanted(run.now) {
                        run.search.begin(run.now);
                    }
                }
            }
            prop_assert!(run.search.confirmed() >= 1280);
            if let Some(size) = run.search.due() {
                let state = run.search.state;
                prop_assert!(size > run.search.confirmed() || state == State::Base);
            }
        }
        // What is too large for the path gets lost, and what is not arrives.
        run.rest(after);
        for _ in 0..4 {
            while run.search.confirmed() > after {
                run.now += SECOND;
                run.search.suspect(run.now, run.now, Suspicion::TimeOut);
            }
            run.rest(after);
            run.now += RAISE;
            if run.search.is_wanted(run.now) {
                run.search.begin(run.now);
                run.rest(after);
            }
        }
        let found = run.search.confirmed();
        prop_assert!(found <= after);
        prop_assert!(after.min(65_532) - found <= granularity(found) + 3, "{found} of {after}");
    }
}
