//! Paths: where packets go, and what is known about the way there.

mod choice;
mod counters;
mod ecn;
pub(crate) mod heartbeat;
mod locals;
mod mtu;
mod pacer;
mod pairs;
mod paths;
mod peers;
mod probe;
pub(crate) mod rto;
mod search;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use self::{
    counters::PathCounters, ecn::PathEcn, heartbeat::Heartbeat, pacer::Pacer, rto::RtoEstimator,
};
pub(crate) use self::{
    ecn::Echo,
    locals::{Local, LocalAddressState, Locals},
    pairs::pairs,
    paths::Paths,
    peers::Peers,
    probe::TailProbe,
    search::{Search, Suspicion},
};
use crate::{
    address::LocalAddress,
    association::{PathInfo, PathState, PathStats},
    config::{AssociationConfig, CongestionControl},
    congestion::{self, Controller},
    ids::{PathId, SocketId, Tsn},
    time::Instant,
    transmit::DatagramMeta,
};

/// One (local, remote) pair (§6.4) with its own time-out, window, error counter and MTU.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) id: PathId,
    /// The peer's address and its UDP encapsulation port, which may change (RFC 6951 §5.4).
    //= RFC 6951 §5.1
    //# An SCTP implementation supporting UDP encapsulation MUST maintain a remote UDP encapsulation
    //# port number per destination address for each SCTP association.
    pub(crate) remote: SocketAddr,
    /// This side's address, once a packet from the peer has told it.
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) socket: SocketId,
    /// Whether a packet has come from that port by this path; until then the port is that of
    /// another.
    pub(crate) port_seen: bool,
    pub(crate) state: PathState,
    /// Whether the peer is known to be there: the user said so, the handshake took this path, or a
    /// HEARTBEAT came back (§5.4). No data goes where it is not, whatever the state.
    pub(crate) confirmed: bool,
    /// One of its addresses is no more: nothing is sent, what was is acknowledged yet.
    pub(crate) gone: bool,
    /// Consecutive failures, against `max_retrans` (§8.2).
    pub(crate) errors: u32,
    /// Failures since the last answer, those of an inactive path included.
    pub(crate) unanswered: u32,
    pub(crate) max_retrans: u32,
    pub(crate) rto: RtoEstimator,
    pub(crate) congestion: Box<dyn Controller>,
    /// Which one that is.
    controller: CongestionControl,
    /// `None` where the settings turn pacing off.
    pacer: Option<Pacer>,
    /// Largest SCTP packet, a multiple of four.
    //= RFC 9260 §7.3
    //# An endpoint MUST maintain separate PMTU estimates for each destination address of its peer.
    pub(crate) max_packet: usize,
    mtu: mtu::Bounds,
    /// The search for larger packets that get through; `None` on a path that has not had more to
    /// carry than a packet.
    pub(crate) search: Option<Box<Search>>,
    /// The path carries less than that: routers may fragment what is sent there.
    pub(crate) fragmented: bool,
    pub(crate) heartbeat: Heartbeat,
    /// While in fast recovery: the highest TSN outstanding when it began (§7.2.4).
    pub(crate) recovery_exit: Option<Tsn>,
    /// When fast recovery began, or began once more.
    pub(crate) recovery_began: Instant,
    pub(crate) probe: TailProbe,
    /// It was given up before its time-out: what that costs its window is not decided yet.
    pub(crate) suspended: bool,
    pub(crate) ecn: PathEcn,
    /// T3-rtx expired, and no data was acknowledged since: one packet may be in flight (§7.2.3).
    pub(crate) on_probation: bool,
    /// Whether the last opportunity to send left less than a packet of the congestion window
    /// unused. Holds for all SACKs of a batch: no data leaves between them, so that what is in
    /// flight shrinks before each and says nothing about use.
    pub(crate) window_used: bool,
    /// When something that measures the path was last sent: idle paths are probed.
    pub(crate) last_sent: Option<Instant>,
    /// When DATA was last sent: an unused window decays.
    pub(crate) last_data: Option<Instant>,
    pub(crate) t3_expiries: u64,
    pub(crate) counters: PathCounters,
}

impl Path {
    pub(crate) fn new(
        id: PathId,
        remote: SocketAddr,
        state: PathState,
        config: &AssociationConfig,
    ) -> Self {
        let max_packet = mtu::max_packet(remote.ip(), usize::from(config.path_mtu));
        let controller = config.congestion_control;
        let congestion = congestion::new(controller, config, max_packet, remote.is_ipv6());
        Self {
            id,
            remote,
            local_ip: None,
            socket: SocketId::default(),
            port_seen: false,
            state,
            confirmed: state != PathState::Unconfirmed,
            gone: false,
            errors: 0,
            unanswered: 0,
            max_retrans: config.path_max_retrans,
            rto: RtoEstimator::new(config),
            pacer: new_pacer(config, congestion.as_ref()),
            congestion,
            controller,
            max_packet,
            mtu: mtu::Bounds::new(remote.ip(), config),
            search: None,
            fragmented: false,
            heartbeat: Heartbeat::new(config.heartbeat_interval),
            recovery_exit: None,
            recovery_began: Instant::EPOCH,
            probe: TailProbe::default(),
            suspended: false,
            ecn: PathEcn::default(),
            on_probation: false,
            window_used: false,
            last_sent: None,
            last_data: None,
            t3_expiries: 0,
            counters: PathCounters::default(),
        }
    }

    /// Nothing is known about the way there any more: another window, from its beginning.
    //= RFC 9260 §7.2.5
    //# When detected by an SCTP implementation, the congestion control MUST be reinitialized.
    pub(crate) fn reset_congestion(&mut self, config: &AssociationConfig) {
        let ipv6 = self.remote.is_ipv6();
        self.congestion = congestion::new(self.controller, config, self.max_packet, ipv6);
        self.pacer = new_pacer(config, self.congestion.as_ref());
        self.recovery_exit = None;
        self.on_probation = false;
    }

    /// Whether the path had failed, and nothing was sent on it for so long.
    pub(crate) fn is_back_after(&self, now: Instant, idle: Duration) -> bool {
        let failed = self.confirmed && !self.is_usable();
        failed && self.last_data.is_none_or(|last| now - last >= idle)
    }

    /// Another controller takes over. What the one before it knew is not its own.
    pub(crate) fn use_controller(&mut self, kind: CongestionControl, config: &AssociationConfig) {
        self.controller = kind;
        self.reset_congestion(config);
    }

    /// Brings the pacer to this time and to the rate as it is now; to be called at every
    /// opportunity to send data. `least` bytes may leave as one burst at any rate.
    pub(crate) fn refill_pacer(&mut self, now: Instant, least: usize) {
        if let Some(pacer) = &mut self.pacer
            && pacer.refilled_at() != now
        {
            // A window is never less than a packet: so much leaves per round trip, paced or not, and a
            // rate below it, as a model makes it of a way that was dead for a while, only adds silence.
            let srtt = self.rto.srtt();
            let packet = (self.max_packet as u64).saturating_mul(1_000_000_000);
            let least_rate = srtt.map_or(0, |srtt| packet / (srtt.as_nanos() as u64).max(1));
            let rate = self.congestion.pacing_rate(srtt);
            pacer.refill(now, rate.map(|rate| rate.max(least_rate)), least);
        }
    }

    /// Bytes per second at which data leaves, where it is paced.
    pub(crate) fn pacing_rate(&self) -> Option<u64> {
        self.pacer.as_ref().and_then(Pacer::rate)
    }

    /// When data may leave that has to wait by now.
    pub(crate) fn paced_until(&self) -> Option<Instant> {
        let pacer = self.pacer.as_ref().filter(|pacer| pacer.holds())?;
        Some(pacer.ready_at())
    }

    /// Whether the pacer lets no packet go now.
    pub(crate) fn holds_data(&self) -> bool {
        self.pacer.as_ref().is_some_and(Pacer::holds)
    }

    /// A packet with `bytes` of DATA chunks left.
    pub(crate) fn on_data_sent(&mut self, now: Instant, bytes: usize) {
        self.last_sent = Some(now);
        self.last_data = Some(now);
        self.probe.restart = true;
        if let Some(pacer) = &mut self.pacer {
            pacer.on_sent(bytes);
        }
    }

    /// Notes one failure; the state that it leads to, if that is another. With more than
    /// `tolerated` failures a path that is not the only one has potentially failed.
    pub(crate) fn on_error(&mut self, tolerated: Option<u32>) -> Option<PathState> {
        self.unanswered = self.unanswered.saturating_add(1);
        //= RFC 9260 §8.3
        //# After this, the endpoint SHOULD continue sending HEARTBEAT chunks on this destination
        //# address but SHOULD stop increasing the counter.
        if self.state == PathState::Inactive {
            return None;
        }
        self.errors += 1;
        //= RFC 9260 §8.2
        //# When the value in the error counter exceeds the protocol parameter
        //# 'Path.Max.Retrans' of that destination address, the endpoint SHOULD mark the
        //# destination transport address as inactive, and a notification SHOULD be sent to the
        //# upper layer.
        //= RFC 9260 §8.3
        //# When the value of this counter exceeds the protocol parameter 'Path.Max.Retrans', the
        //# endpoint SHOULD mark the corresponding destination address as inactive if it is not so
        //# marked and SHOULD also report to the upper layer the change in reachability of this
        //# destination address.
        if self.errors > self.max_retrans {
            return self.enter(PathState::Inactive);
        }
        // RFC 7829 §3.2.
        let tolerated = tolerated.filter(|&tolerated| self.errors > tolerated);
        match self.state {
            PathState::Active if tolerated.is_some() => self.enter(PathState::PotentiallyFailed),
            _ => None,
        }
    }

    /// Notes that the peer answered by this path; the state, if it was another before.
    pub(crate) fn on_answer(&mut self) -> Option<PathState> {
        self.errors = 0;
        self.unanswered = 0;
        self.enter(PathState::Active)
    }

    /// Goes to a state; gives it if that is news.
    pub(crate) fn enter(&mut self, state: PathState) -> Option<PathState> {
        let before = std::mem::replace(&mut self.state, state);
        self.counters.state_changes += u64::from(before != state);
        (before != state).then_some(state)
    }

    /// Goes between other addresses: what is not known of the way there is as for a new path.
    pub(crate) fn aim(&mut self, local: Option<LocalAddress>, remote: SocketAddr) {
        self.max_packet = mtu::between(self.max_packet, self.remote.ip(), remote.ip());
        self.remote = remote;
        self.local_ip = local.map(|local| local.ip);
        self.socket = local.map_or(self.socket, |local| local.socket);
    }

    /// This side's address as addresses are compared.
    pub(crate) fn local(&self) -> Option<IpAddr> {
        self.local_ip.map(|ip| ip.to_canonical())
    }

    /// As if a packet had just come by this path: where a reply to the peer goes.
    pub(crate) fn meta(&self) -> DatagramMeta {
        DatagramMeta {
            remote: self.remote,
            socket: self.socket,
            local_ip: self.local_ip,
            interface: None,
            ecn: None,
        }
    }

    fn search_count(&self, which: impl Fn(&Search) -> u32) -> u64 {
        self.search
            .as_ref()
            .map_or(0, |search| which(search).into())
    }

    /// The path as users see it.
    pub(crate) fn info(&self, is_primary: bool, flight: usize) -> PathInfo {
        let (rtt, counters) = (self.rto.range(), &self.counters);
        PathInfo {
            id: self.id,
            remote: self.remote,
            local_ip: self.local_ip,
            state: self.state,
            is_primary,
            stats: PathStats {
                srtt: self.rto.srtt().unwrap_or(Duration::ZERO),
                rtt_variation: self.rto.rttvar(),
                latest_rtt: rtt.latest,
                min_rtt: rtt.min,
                rto: self.rto.rto(),
                largest_rto: rtt.largest_rto,
                cwnd: self.congestion.window(),
                ssthresh: self.congestion.ssthresh(),
                pacing_rate: self.pacing_rate(),
                model: self.congestion.model(),
                flight,
                max_packet: self.max_packet,
                mtu_probes_sent: self.search_count(|search| search.probes_sent),
                mtu_probes_acked: self.search_count(|search| search.probes_acked),
                black_holes: self.search_count(|search| search.black_holes),
                errors: self.errors,
                heartbeats_sent: self.heartbeat.sent,
                heartbeats_acked: self.heartbeat.acked,
                t3_expiries: self.t3_expiries,
                packets_sent: counters.packets_sent,
                bytes_sent: counters.bytes_sent,
                packets_received: counters.packets_received,
                bytes_received: counters.bytes_received,
                chunks_retransmitted: counters.chunks_retransmitted,
                state_changes: counters.state_changes,
            },
        }
    }
}

/// A pacer, where the settings or the controller, whose windows are not made to leave as bursts, ask
/// for one.
fn new_pacer(config: &AssociationConfig, congestion: &dyn Controller) -> Option<Pacer> {
    let paced = config.pacing || congestion.wants_samples();
    paced.then(|| Pacer::new(congestion.window()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::{Delivery, RateSample};

    /// A way that was dead for a minute and then delivered a packet: what its model names for a rate
    /// is silence.
    #[test]
    fn a_packet_leaves_per_round_trip_whatever_rate_the_model_names() {
        let mut config = AssociationConfig::default();
        config.congestion_control(CongestionControl::Bbr);
        let remote = SocketAddr::from(([192, 0, 2, 1], 9899));
        let mut path = Path::new(PathId(0), remote, PathState::Active, &config);
        let rtt = Duration::from_millis(100);
        let mut now = Instant::EPOCH + Duration::from_secs(60);
        path.rto.on_measurement(rtt);
        for delivered in [1000, 2000] {
            now += Duration::from_secs(60);
            path.congestion.on_sample(&RateSample {
                now,
                acked: 1000,
                lost: 0,
                flight: 0,
                delivered,
                rtt: Some(rtt),
                window_used: true,
                delivery: Some(Delivery {
                    prior: delivered - 1000,
                    bytes: 1000,
                    rate: Some(1000 / 60),
                    flight: 1000,
                    lost: 0,
                    app_limited: false,
                }),
                loss: None,
            });
            // Startup is over: there the window sets the pace.
            path.congestion.on_ecn(now);
        }
        let named = path.congestion.pacing_rate(path.rto.srtt());
        assert!(named.is_some_and(|rate| rate < 100), "{named:?}");
        path.refill_pacer(now, path.max_packet);
        // What the initial window had left, and a packet.
        while !path.holds_data() {
            path.on_data_sent(now, path.max_packet);
        }
        let until = path.paced_until().expect("data is held");
        assert!(until <= now + 2 * rtt, "{:?}", until - now);
    }
}
