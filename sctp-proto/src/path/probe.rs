//! Tail loss probes of one path (RFC 8985 §7): one packet more when nothing is heard, whose answer
//! tells what was lost.

use std::time::Duration;

use crate::{ids::Tsn, time::Instant};

/// How long a peer may hold back the SACK of a packet that comes alone (RFC 9260 §6.2).
const PEER_SACK_DELAY: Duration = Duration::from_millis(200);
/// The least time before a probe: timers and schedulers are late by milliseconds on both sides, and
/// a probe that is too early costs a packet.
const LEAST: Duration = Duration::from_millis(10);

/// A probe that left.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    /// The highest TSN outstanding since.
    highest: Tsn,
    /// The first TSN in it, if it left before; all up to `highest` are in it. `None`: new data.
    repeats_from: Option<Tsn>,
    /// Whether all of it is acknowledged, so that only the peer's word on duplicates is missing.
    answered: bool,
}

/// The probe of one path, if one is under way.
#[derive(Debug, Default)]
pub(crate) struct TailProbe {
    sent: Option<Sent>,
    /// The last TSN whose SACK the peer was asked not to delay.
    pub(crate) prompt: Option<Tsn>,
    /// Data left or was acknowledged since the timer was set.
    pub(crate) restart: bool,
}

impl TailProbe {
    /// Time from the last sign of life to a probe (RFC 8985 §7.2). `alone`: one packet is in
    /// flight, whose SACK may be delayed.
    pub(crate) fn timeout(srtt: Duration, alone: bool) -> Duration {
        let delay = if alone {
            PEER_SACK_DELAY
        } else {
            Duration::ZERO
        };
        srtt.saturating_mul(2).max(LEAST).saturating_add(delay)
    }

    /// Whether another may leave: one is enough for a tail.
    pub(crate) fn is_allowed(&self) -> bool {
        self.sent.is_none_or(|sent| sent.answered)
    }

    /// Whether to ask for a prompt SACK of the last chunk there is to send, as other data is in
    /// flight: then no delay has to be allowed for before a probe. Once per round trip, so that a
    /// steady trickle of messages is not acknowledged packet by packet.
    pub(crate) fn asks(&self, cumulative: Tsn) -> bool {
        self.prompt.is_none_or(|tsn| !cumulative.before(tsn))
    }

    /// A probe left.
    pub(crate) fn sent(&mut self, now: Instant, highest: Tsn, repeats_from: Option<Tsn>) {
        self.sent = Some(Sent {
            at: now,
            highest,
            repeats_from,
            answered: false,
        });
    }

    /// A loss was found otherwise, which is reacted to anyway.
    pub(crate) fn forget(&mut self) {
        self.sent = None;
    }

    /// A SACK came. True if the probe has repaired a loss that nobody else noticed, and that is a
    /// sign of congestion as any other (RFC 8985 §7.4): what it repeated is acknowledged, not
    /// sooner than the probe can have been answered, and the peer got it only once, as it would
    /// have told before it acknowledged more.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        cumulative: Tsn,
        mut duplicates: impl Iterator<Item = Tsn>,
        min_rtt: Option<Duration>,
    ) -> bool {
        let Some(sent) = &mut self.sent else {
            return false;
        };
        if cumulative.before(sent.highest) {
            return false;
        }
        let first_answer = !std::mem::replace(&mut sent.answered, true);
        let Sent {
            at,
            highest,
            repeats_from: Some(first),
            ..
        } = *sent
        else {
            self.sent = None;
            return false;
        };
        let too_fast = first_answer && min_rtt.is_some_and(|least| now - at < least);
        let repeated = |tsn: Tsn| !tsn.before(first) && !highest.before(tsn);
        if too_fast || duplicates.any(repeated) {
            self.sent = None;
            return false;
        }
        let repaired = highest.before(cumulative);
        if repaired {
            self.sent = None;
        }
        repaired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// A probe at 100 ms that repeats TSNs 9 and 10, on a path of 50 ms.
    fn probe() -> TailProbe {
        let mut probe = TailProbe::default();
        assert!(probe.is_allowed());
        probe.sent(at(100), Tsn(10), Some(Tsn(9)));
        assert!(!probe.is_allowed());
        probe
    }

    fn sack(probe: &mut TailProbe, ms: u64, cumulative: u32, duplicates: &[u32]) -> bool {
        let duplicates = duplicates.iter().map(|tsn| Tsn(*tsn));
        probe.on_sack(at(ms), Tsn(cumulative), duplicates, Some(50 * MS))
    }

    #[test]
    fn two_round_trips_and_a_delay_for_a_packet_alone() {
        assert_eq!(TailProbe::timeout(50 * MS, false), 100 * MS);
        assert_eq!(TailProbe::timeout(50 * MS, true), 300 * MS);
        assert_eq!(TailProbe::timeout(Duration::ZERO, false), LEAST);
    }

    #[test]
    fn what_a_probe_repaired_was_a_loss() {
        let mut probe = probe();
        assert!(!sack(&mut probe, 120, 8, &[]));
        assert!(!sack(&mut probe, 150, 10, &[]), "the duplicate may follow");
        assert!(probe.is_allowed());
        assert!(sack(&mut probe, 200, 11, &[]));
        assert!(!sack(&mut probe, 210, 12, &[]), "once");
    }

    #[test]
    fn a_duplicate_says_that_nothing_was_lost() {
        let mut first = probe();
        assert!(!sack(&mut first, 150, 10, &[9, 10]));
        assert!(!sack(&mut first, 200, 11, &[]));
        let mut later = probe();
        assert!(!sack(&mut later, 150, 10, &[]));
        assert!(!sack(&mut later, 151, 10, &[10]));
        assert!(!sack(&mut later, 200, 11, &[]));
        // Another's duplicate says nothing.
        let mut other = probe();
        assert!(sack(&mut other, 200, 11, &[8, 11]));
    }

    #[test]
    fn an_answer_faster_than_the_path_was_not_the_probes() {
        let mut probe = probe();
        assert!(!sack(&mut probe, 149, 10, &[]));
        assert!(!sack(&mut probe, 200, 11, &[]));
    }

    #[test]
    fn new_data_repairs_nothing() {
        let mut probe = TailProbe::default();
        probe.sent(at(100), Tsn(10), None);
        assert!(!sack(&mut probe, 150, 10, &[]));
        assert!(!sack(&mut probe, 200, 11, &[]));
        assert!(probe.is_allowed());
    }
}
