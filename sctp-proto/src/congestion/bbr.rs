//! A controller after BBRv3 (draft-ietf-ccwg-bbr): it models the path instead of filling it until
//! something is lost. How fast the path delivers and how short its round trip is give the rate to
//! send at and how much to have in flight.
//!
//! Where it is not BBRv3: what a loss means. BBRv3 takes more than 2 % of losses for congestion and
//! gives way, and so crawls on a path that loses as much at random. Here losses count if
//! they come with a queue, as those of a queue that overflows do, or if they are many more than what
//! the path loses with its queue empty ([`losses`]).
//!
//! And what is sent below the rate of the model: BBRv3 leaves out a hundredth always, and so leaves the
//! path idle for a hundredth of the time. Here that waits until the round trip shows something that
//! it would drain.
//!
//! And how Startup is paced and ends: BBRv3 paces it by what was delivered, which after an answer
//! shorter than the window is little, and ends it after three rounds that brought no more, by when
//! the queue has overflowed or is long. Here the pace is at least that of any slow start, and as long
//! as nothing is lost a queue that HyStart++ sees ends Startup, too. On a path that loses at random
//! the queue is left to hide the gaps, until what it loses of itself is known.
//!
//! Where it is not RFC 9260 §7.2: the window follows the model, up and down. It is no function of
//! ssthresh, of which there is none; a fast retransmission alone does not shrink it (§7.2.3 SHOULD),
//! and neither does a pause of less than ten seconds (§7.2.1 SHOULD): what leaves after one is paced
//! at the rate that was measured. In Startup a SACK may grow the window by all it acknowledges (L is
//! not 1), and whether or not the window was full: the model, not its use, is what limits it.
//! What holds as ever: the initial window; one packet in flight after T3-rtx until something
//! is acknowledged, and slow start from there, at no more than the rate of the model; a loss is a
//! loss wherever it is found, and the packet of a fast retransmission leaves at once.

mod cycle;
mod losses;
mod model;
mod probe_rtt;

use std::time::Duration;

use self::{
    cycle::Cycle,
    losses::{Bounds, Losses},
    model::{Aggregation, FullPipe, MaxBandwidth, MinRtt, Rounds, bytes_in, scaled},
    probe_rtt::ProbeRtt,
};
use super::{
    AckSample, Controller, RateSample, decayed_window,
    hystart::{Advice, HyStart},
    window_rate,
};
use crate::{time::Instant, wire::COMMON_HEADER};

/// What the controller is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Doubling the rate every round trip, until the path delivers no more.
    #[default]
    Startup,
    /// Draining the queue that this has made.
    Drain,
    /// Sending a little less than the path delivers, until no queue is left.
    Down,
    /// Sending what the path delivers.
    Cruise,
    /// Filling the pipe, before Up.
    Refill,
    /// Sending more than the path has delivered so far, in case it can.
    Up,
    /// Having little in flight, so that the round trip of the path without a queue shows.
    ProbeRtt,
}

/// What a controller that models the path knows of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathModel {
    /// What the controller is doing.
    pub phase: Phase,
    /// Bytes per second that the path delivers, chunk headers included; 0 before it is known.
    pub bandwidth: u64,
    /// Its round trip without a queue; zero before it is known.
    pub min_rtt: Duration,
    /// What the path loses without congestion, per mille.
    pub random_loss: u16,
}

/// Packets that are in flight at least: with fewer, delayed SACKs stop the clock.
const LEAST_PACKETS: usize = 4;
/// What is sent of the rate of the model where a queue stands, so that it does not stay: per mille.
const PACING_MARGIN: u64 = 990;
/// Where the window has room for more than the model asks for: bursts that leave at once, both on
/// their way and on their way back, and while the first is acknowledged (draft §5.6.4.1).
const BURSTS: usize = 3;
/// Packets of the least burst of the pacer, as it waits for them.
const BURST_PACKETS: usize = 2;
/// Bytes of the largest burst: what one call gives the network.
const MOST_BURST: usize = 64 * 1024;
/// How long a pause is after which the model is out of date.
const MODEL_KEPT: Duration = Duration::from_secs(10);
/// A window beyond any path. Keeps arithmetic finite.
const MOST: usize = 1 << 48;

#[derive(Debug)]
pub(super) struct Bbr {
    /// The largest DATA chunk that fits a packet of this path, header included.
    pmdcs: usize,
    initial: usize,
    cwnd: usize,
    phase: Phase,
    /// Bytes per second to send at; `None` before anything was delivered.
    pacing: Option<u64>,

    bandwidth: MaxBandwidth,
    rtt: MinRtt,
    rounds: Rounds,
    aggregation: Aggregation,
    full: FullPipe,
    losses: Losses,
    bounds: Bounds,
    cycle: Cycle,
    probe_rtt: ProbeRtt,
    /// Data leaves after a pause: until it has measured the round trip, which no queue of its own
    /// makes longer.
    idle_restart: bool,
    /// The window before it was shrunk for a while.
    prior_cwnd: usize,
    /// What [`undo`](Controller::undo) puts back.
    saved: Option<(usize, Bounds)>,
    /// Asked in Startup, as long as nothing is lost.
    hystart: Option<HyStart>,
}

impl Bbr {
    pub(super) fn new(max_packet: usize, initial: usize) -> Self {
        Self {
            pmdcs: max_packet - COMMON_HEADER,
            initial,
            cwnd: initial,
            phase: Phase::Startup,
            pacing: None,
            bandwidth: MaxBandwidth::default(),
            rtt: MinRtt::default(),
            rounds: Rounds::default(),
            aggregation: Aggregation::default(),
            full: FullPipe::default(),
            losses: Losses::default(),
            bounds: Bounds::default(),
            cycle: Cycle::default(),
            probe_rtt: ProbeRtt::default(),
            idle_restart: true,
            prior_cwnd: 0,
            saved: None,
            hystart: Some(HyStart::default()),
        }
    }

    /// The rate to send at, gains apart: what the path delivers, and not more than what it did when
    /// it was last congested.
    fn rate(&self) -> u64 {
        self.bandwidth.get().min(self.bounds.rate())
    }

    /// What is in flight if the rate is used and no queue stands: per mille of the product of
    /// rate and round trip.
    fn bdp(&self, rate: u64, gain: u64) -> usize {
        match self.rtt.get() {
            Some(rtt) if rate > 0 => {
                usize::try_from(scaled(bytes_in(rate, rtt), gain)).map_or(MOST, |n| n.min(MOST))
            }
            _ => self.initial,
        }
    }

    fn least(&self) -> usize {
        LEAST_PACKETS * self.pmdcs
    }

    /// As [`bdp`](Self::bdp), with room for bursts.
    fn inflight(&self, rate: u64, gain: u64) -> usize {
        let burst = self.pacing.map_or(0, |pacing| (pacing / 1000) as usize);
        let burst = burst.min(MOST_BURST).max(BURST_PACKETS * self.pmdcs);
        let room = if self.phase == Phase::Up { 2 } else { 0 } * self.pmdcs;
        self.bdp(rate, gain).max(BURSTS * burst).max(self.least()) + room
    }

    /// What should be in flight at most when the path is not congested.
    fn target(&self) -> usize {
        self.bdp(self.rate(), 1000).min(self.cwnd)
    }

    fn pacing_gain(&self) -> u64 {
        match self.phase {
            // 4 ln 2: what doubles the rate of delivery every round trip.
            Phase::Startup => 2770,
            Phase::Drain => 500,
            Phase::Down => 900,
            Phase::Cruise | Phase::Refill | Phase::ProbeRtt => 1000,
            Phase::Up => 1250,
        }
    }

    fn window_gain(&self) -> u64 {
        match self.phase {
            Phase::Up => 2250,
            Phase::ProbeRtt => 500,
            _ => 2000,
        }
    }

    fn enter(&mut self, phase: Phase) {
        tracing::trace!(from = ?self.phase, to = ?phase, rate = self.rate(), cwnd = self.cwnd, "BBR");
        self.phase = phase;
    }

    /// The path delivers no more than this (draft §5.3.1).
    fn check_startup(&mut self, sample: &RateSample) {
        if matches!(self.phase, Phase::Startup | Phase::Up)
            && let Some(delivery) = sample.delivery
            && let Some(rate) = delivery.rate
            && !delivery.app_limited
        {
            self.full.on_delivery(rate, self.rounds.began());
            if self.phase == Phase::Startup
                && let Some(hystart) = &mut self.hystart
                && hystart.on_ack(sample.now, sample.rtt) == Advice::CongestionAvoidance
            {
                self.full.reach();
            }
        }
        if self.phase == Phase::Startup {
            if sample.lost > 0 {
                self.hystart = None;
            }
            if self.losses.end_startup() && !self.full.is_reached() {
                self.full.reach();
                let hi = self.bdp(self.bandwidth.get(), 1000);
                self.bounds.set_high(hi.max(self.losses.inflight_latest()));
            }
            if self.full.is_reached() {
                self.enter(Phase::Drain);
            }
        }
        if self.phase == Phase::Drain && sample.flight <= self.bdp(self.rate(), 1000) {
            self.begin_down(sample.now);
        }
    }

    fn update_pacing(&mut self) {
        let rate = self.rate();
        if rate == 0 {
            return;
        }
        let mut paced = scaled(rate, self.pacing_gain());
        if self.losses.queue_stands(self.rtt.get()) {
            paced = scaled(paced, PACING_MARGIN);
        }
        if self.phase != Phase::Startup {
            paced = self.losses.compensated(paced);
        }
        if !self.full.is_reached() {
            // What was delivered may have been less than the window, as an answer that ended is: at
            // least the pace of any slow start.
            paced = paced.max(window_rate(self.cwnd, true, self.rtt.get()).unwrap_or(0));
        }
        // Startup does not slow down for a sample that happens to be low.
        if self.full.is_reached() || self.pacing.is_none_or(|before| before < paced) {
            self.pacing = Some(paced.max(1));
        }
    }

    /// `growth` is how much the window may grow by.
    fn update_window(&mut self, sample: &RateSample, growth: usize) {
        let model = self.inflight(self.rate(), self.window_gain());
        let most = model.saturating_add(self.aggregation.get()).min(MOST);
        let grown = self.cwnd.saturating_add(growth);
        if self.full.is_reached() {
            self.cwnd = grown.min(most);
        } else if self.cwnd < most || sample.delivered < self.initial as u64 {
            self.cwnd = grown.min(MOST);
        }
        let mut cap = match self.phase {
            Phase::Startup | Phase::Drain => usize::MAX,
            Phase::Down | Phase::Refill | Phase::Up => self.bounds.high(),
            Phase::Cruise => self.bounds.high_with_headroom(self.pmdcs),
            Phase::ProbeRtt => {
                let little = self.probe_rtt_window();
                self.bounds.high_with_headroom(self.pmdcs).min(little)
            }
        };
        cap = cap.min(self.bounds.low());
        self.cwnd = self.cwnd.min(cap.max(self.least()));
    }
}

/// Bytes per second of a window per round trip.
fn per_round_trip(window: usize, rtt: Duration) -> u64 {
    let nanos = rtt.as_nanos().max(1);
    u64::try_from(window as u128 * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

impl Controller for Bbr {
    fn on_sent(&mut self, _now: Instant, _bytes: usize, _flight: usize, _app_limited: bool) {}

    fn on_ack(&mut self, _ack: &AckSample) {}

    fn wants_samples(&self) -> bool {
        true
    }

    fn on_sample(&mut self, sample: &RateSample) {
        self.rounds.on_sample(sample);
        if let Some(delivery) = sample.delivery
            && let Some(rate) = delivery.rate
        {
            self.bandwidth.add(rate, delivery.app_limited);
        }
        self.judge_losses(sample);
        let limit = self.cwnd;
        self.aggregation.add(
            sample.now,
            sample.acked,
            self.rate(),
            limit,
            self.rounds.count(),
        );
        self.check_startup(sample);
        self.advance_cycle(sample);
        let restored = self.check_probe_rtt(sample);
        self.losses.conclude(sample);
        self.update_pacing();
        self.update_window(sample, if restored { 0 } else { sample.acked });
    }

    /// A path may begin with data that was lost on another, of which none measures a round trip
    /// (Karn's algorithm): without one the window would not grow, nor the pace, before new data is
    /// acknowledged.
    fn on_round_trip(&mut self, now: Instant, rtt: Duration) {
        self.rtt.add(now, Some(rtt));
    }

    /// What a loss means is judged by the samples.
    fn on_loss(&mut self, _now: Instant, _lost: usize) {}

    /// A mark tells of a queue as no loss does: it needs no other sign.
    fn on_ecn(&mut self, now: Instant) {
        self.on_congestion(now);
    }

    fn on_recovery_exit(&mut self) {}

    fn on_timeout(&mut self, _now: Instant) {
        self.cwnd = self.pmdcs;
        self.prior_cwnd = self.cwnd;
    }

    fn save(&mut self) {
        self.saved = Some((self.cwnd, self.bounds));
    }

    fn undo(&mut self, _now: Instant) -> bool {
        let Some((cwnd, bounds)) = self.saved.take() else {
            return false;
        };
        self.cwnd = self.cwnd.max(cwnd);
        self.bounds.relax(&bounds);
        true
    }

    fn saved_window(&self) -> usize {
        self.saved.map_or(0, |(cwnd, _)| cwnd)
    }

    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        if idle > MODEL_KEPT {
            let least = self.initial.max(self.least());
            self.cwnd = decayed_window(self.cwnd, least, idle, rto).unwrap_or(self.cwnd);
            self.saved = None;
        }
        self.idle_restart = true;
        self.aggregation.restart(now);
        match self.phase {
            Phase::Down | Phase::Cruise | Phase::Refill | Phase::Up => {
                let rate = self.rate();
                self.pacing = (rate > 0).then_some(rate).or(self.pacing);
            }
            Phase::ProbeRtt => _ = self.check_probe_rtt_done(now),
            Phase::Startup | Phase::Drain => {}
        }
    }

    fn on_mtu(&mut self, max_packet: usize) {
        self.pmdcs = max_packet - COMMON_HEADER;
        self.cwnd = self.cwnd.max(self.pmdcs);
        self.saved = None;
    }

    fn window(&self) -> usize {
        self.cwnd
    }

    /// There is none.
    fn ssthresh(&self) -> usize {
        usize::MAX
    }

    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<u64> {
        self.pacing.or_else(|| {
            let srtt = srtt.filter(|srtt| !srtt.is_zero())?;
            Some(scaled(per_round_trip(self.cwnd, srtt), self.pacing_gain()))
        })
    }

    fn model(&self) -> Option<PathModel> {
        Some(PathModel {
            phase: self.phase,
            bandwidth: self.bandwidth.get(),
            min_rtt: self.rtt.get().unwrap_or_default(),
            random_loss: self.losses.background() as u16,
        })
    }
}

#[cfg(test)]
mod tests;
