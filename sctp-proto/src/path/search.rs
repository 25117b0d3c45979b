//! The search for what packets a path carries (RFC 8899 §5): which size to probe next, and what the
//! fate of a probe tells.
//!
//! ```text
//!         base answered             nothing larger to try
//!   Base ----------------> Searching --------------------> Complete
//!    ^ |                       ^                             |  |
//!    | | base lost             +--------- raise timer -------+  |
//!    | | three times                                            |
//!    | v                                                        |
//!   Error                   black hole, from Searching as well  |
//!    ^-- after a pause, to Base        <------------------------+
//! ```
//!
//! The state *Disabled* of the RFC is a path without a search: most paths carry too little for one.
//! Sizes are those of IP packets, as MTUs are. Success costs a round trip and failure three
//! time-outs, so that sizes are tried upwards: first those of the links that paths are made of;
//! then, between the largest that was answered and the smallest that was not, the usual ones of
//! tunnels; at last halves of what is left.
//!
//! An association without data to send is not woken for any of this: timers run while a probe is
//! under way and at no other time. Whether it is time to search again is asked when data leaves.

use std::time::Duration;

use crate::time::Instant;

/// Probes of one size that have to get lost before it counts as too large (RFC 8899 §5.1.2,
/// MAX_PROBES).
const MAX_PROBES: u8 = 3;
/// PMTU_RAISE_TIMER (RFC 8899 §5.1.1): how long what was found is left alone.
const RAISE: Duration = Duration::from_secs(600);
/// How long a path is left alone that does not carry the base.
const ERROR_PAUSE: Duration = Duration::from_secs(60);
/// The least that PROBE_TIMER may be (RFC 8899 §5.1.1).
const MIN_PROBE_TIMER: Duration = Duration::from_secs(1);

/// What most paths carry whose links are of one kind: IPv6's minimum, Ethernet, Ethernet's jumbo
/// frames.
const LINKS: [u16; 3] = [1280, 1500, 9000];
/// MTUs one meets between those: tunnels, VPNs and the networks of data centres.
const COMMON: [u16; 22] = [
    1006, 1280, 1300, 1400, 1420, 1440, 1460, 1480, 1492, 1500, 1520, 2304, 4352, 8166, 8500, 8896,
    9000, 9216, 16_384, 32_000, 48_000, 65_535,
];

/// How sure it must be that large packets get lost for their size: what [`Search::suspect`] adds up.
const BLACK_HOLE: u8 = 4;

/// Where the search stands (RFC 8899 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Whether the base gets through is to be found out.
    Base,
    /// Larger sizes are tried.
    Searching,
    /// The size in use is the largest, as far as is known.
    Complete,
    /// Not even the base gets through.
    Error,
}

/// How a loss of large packets was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// Others sent about the same time arrived.
    Overtaken,
    /// T3-rtx ran out.
    TimeOut,
}

/// The size that is being tried.
#[derive(Debug, Clone, Copy)]
struct Probe {
    size: u16,
    /// The same for every probe of a size: whichever is answered, the size got through.
    nonce: Option<u64>,
    lost: u8,
    under_way: bool,
}

/// The search on one path.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) state: State,
    /// Where a search begins that has lost its footing (BASE_PLPMTU).
    base: u16,
    /// Nothing larger is tried (MAX_PLPMTU).
    max: u16,
    /// The size that packets are made for (PLPMTU).
    confirmed: u16,
    /// The smallest known not to get through.
    failed: Option<u16>,
    /// What the network says gets through: tried before anything else.
    hint: Option<u16>,
    probe: Option<Probe>,
    /// When to search once more, if there is data to send then.
    again_at: Instant,
    suspicion: u8,
    /// When `suspicion` last grew: what had left before does not let it grow again.
    suspected_at: Instant,
    /// Since the search was last begun for the raise timer.
    recent_black_holes: u8,
    pub(crate) probes_sent: u32,
    pub(crate) probes_acked: u32,
    pub(crate) black_holes: u32,
}

impl Search {
    /// A search that is wanted, and not begun yet. Packets are made for `mtu`; `base` is not more
    /// than that, and `max` not less.
    pub(crate) fn new(base: u16, mtu: u16, max: u16) -> Self {
        Self {
            state: State::Complete,
            base,
            max,
            confirmed: mtu,
            failed: None,
            hint: None,
            probe: None,
            again_at: Instant::EPOCH,
            suspicion: 0,
            suspected_at: Instant::EPOCH,
            recent_black_holes: 0,
            probes_sent: 0,
            probes_acked: 0,
            black_holes: 0,
        }
    }

    /// The size that packets are made for.
    pub(crate) fn confirmed(&self) -> u16 {
        self.confirmed
    }

    /// Whether not even the base gets through.
    pub(crate) fn has_failed(&self) -> bool {
        self.state == State::Error
    }

    /// Whether it is time to [`begin`](Self::begin).
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        let more = match self.state {
            State::Base | State::Searching => false,
            State::Complete => self.confirmed < self.max,
            State::Error => true,
        };
        more && self.again_at <= now
    }

    /// Begins a search: what did not get through some time ago may get through now.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.failed = None;
        self.recent_black_holes = 0;
        self.state = if self.state == State::Error {
            State::Base
        } else {
            State::Searching
        };
        self.proceed(now);
    }

    /// The size of the probe that is to be sent, if one is.
    pub(crate) fn due(&self) -> Option<u16> {
        let probe = self.probe.filter(|probe| !probe.under_way)?;
        Some(probe.size)
    }

    /// The size of the probe that waits for its answer.
    pub(crate) fn under_way(&self) -> Option<u16> {
        let probe = self.probe.filter(|probe| probe.under_way)?;
        Some(probe.size)
    }

    /// The probe that is due leaves: what it has to carry, made of a random number.
    pub(crate) fn send(&mut self, random: u64) -> Option<u64> {
        let probe = self.probe.as_mut().filter(|probe| !probe.under_way)?;
        probe.under_way = true;
        self.probes_sent += 1;
        Some(*probe.nonce.get_or_insert(random))
    }

    /// How long to wait for the answer to a probe.
    ///
    /// RFC 8899 §5.1.1 wants more than 15 s where nothing is known of the round-trip time; the
    /// retransmission time-out is made of it.
    pub(crate) fn timeout(rto: Duration) -> Duration {
        rto.max(MIN_PROBE_TIMER)
    }

    /// Whether `info` answers a probe: its size gets through. A late answer counts as long as no
    /// other size is tried.
    pub(crate) fn answered(&mut self, now: Instant, info: &[u8]) -> bool {
        let Some(probe) = self.probe else {
            return false;
        };
        let nonce = probe.nonce.map(u64::to_be_bytes);
        if nonce.is_none_or(|nonce| nonce != info) {
            return false;
        }
        self.probes_acked += 1;
        self.confirmed = self.confirmed.max(probe.size);
        self.state = State::Searching;
        self.arrived();
        self.proceed(now);
        true
    }

    /// The time of the probe under way is over. While the path does not answer anything, that says
    /// nothing: the probe is due again.
    pub(crate) fn timed_out(&mut self, now: Instant, path_answers: bool) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.under_way) else {
            return;
        };
        probe.under_way = false;
        if path_answers {
            probe.lost += 1;
            if probe.lost >= MAX_PROBES {
                let size = probe.size;
                self.fails(now, size);
            }
        }
    }

    /// The probe under way is known to be too large.
    pub(crate) fn refused(&mut self, now: Instant) {
        if let Some(size) = self.under_way() {
            self.fails(now, size);
        }
    }

    /// The network says what gets through at most. Packets are made for no more from now on; a
    /// search that goes on above tries that next.
    pub(crate) fn limit(&mut self, now: Instant, size: u16) {
        let refuted = self.probe.filter(|probe| probe.size > size);
        if size < self.confirmed {
            self.confirmed = size;
            self.suspicion = 0;
            if self.state == State::Complete {
                self.complete(now);
            }
        } else if refuted.is_some() {
            self.hint = Some(size & !3);
        } else {
            return;
        }
        let above = size.saturating_add(1);
        self.failed = Some(self.failed.map_or(above, |failed| failed.min(above)));
        if let Some(probe) = refuted {
            self.fails(now, probe.size);
        }
    }

    /// A packet larger than the base arrived.
    pub(crate) fn arrived(&mut self) {
        self.suspicion = 0;
    }

    /// A packet larger than the base, which left at `sent`, got lost. True if so many have in a row,
    /// none of them arriving, that the path must have become narrow: packets are made for the base,
    /// and the search begins there. A path on which that happens again before the raise timer is
    /// left at the base until then.
    pub(crate) fn suspect(&mut self, now: Instant, sent: Instant, how: Suspicion) -> bool {
        if self.confirmed <= self.base || sent < self.suspected_at {
            return false;
        }
        self.suspected_at = now;
        self.suspicion += match how {
            Suspicion::Overtaken => 1,
            Suspicion::TimeOut => 2,
        };
        if self.suspicion < BLACK_HOLE {
            return false;
        }
        self.suspicion = 0;
        self.black_holes += 1;
        self.recent_black_holes += 1;
        self.confirmed = self.base;
        self.failed = None;
        self.hint = None;
        self.probe = None;
        if self.recent_black_holes > 1 {
            self.complete(now);
        } else {
            self.state = State::Base;
            self.proceed(now);
        }
        true
    }

    /// Whether the base gets through is to be found out.
    pub(crate) fn doubt_base(&mut self, now: Instant) {
        self.state = State::Base;
        self.proceed(now);
    }

    /// Nothing more is sent or waited for.
    pub(crate) fn stop(&mut self, now: Instant) {
        self.probe = None;
        if self.state != State::Error {
            self.complete(now);
        }
    }

    fn fails(&mut self, now: Instant, size: u16) {
        self.probe = None;
        if self.state == State::Base {
            self.state = State::Error;
            self.again_at = now + ERROR_PAUSE;
            return;
        }
        self.failed = Some(self.failed.map_or(size, |failed| failed.min(size)));
        self.proceed(now);
    }

    /// Goes on to the next size, or ends.
    fn proceed(&mut self, now: Instant) {
        let size = match self.state {
            State::Base => Some(self.base),
            State::Searching => self.next_size(),
            State::Complete | State::Error => None,
        };
        self.probe = size.map(|size| Probe {
            size,
            nonce: None,
            lost: 0,
            under_way: false,
        });
        if size.is_none() {
            self.complete(now);
        }
    }

    fn complete(&mut self, now: Instant) {
        self.state = State::Complete;
        self.again_at = now + RAISE;
    }

    /// The size to try next, if there is one worth it.
    fn next_size(&mut self) -> Option<u16> {
        let (confirmed, failed) = (self.confirmed, self.failed);
        let tried = |size: u16| size <= confirmed || failed.is_some_and(|failed| size >= failed);
        if let Some(hint) = self.hint.take().filter(|hint| !tried(*hint)) {
            return Some(hint);
        }
        let Some(failed) = failed else {
            let next = LINKS.into_iter().find(|size| *size > confirmed);
            let next = next.filter(|size| *size < self.max).unwrap_or(self.max);
            return Some(next).filter(|size| *size > confirmed);
        };
        let common = COMMON.into_iter().filter(|size| *size <= self.max);
        if let Some(size) = common.into_iter().find(|size| !tried(*size)) {
            return Some(size);
        }
        let left = failed - confirmed;
        // Packets are multiples of four bytes.
        (left > granularity(confirmed)).then(|| (confirmed + left / 2) & !3)
    }
}

/// What is missed by less than this is not worth the packets that finding it would cost.
const fn granularity(size: u16) -> u16 {
    size / 64
}

#[cfg(test)]
mod tests;
