//! What of an association goes to its event log, beside what handlers write there themselves.

use super::{Association, AssociationEventKind, state::Phase, timers::Expired};
use crate::{
    event_log::{CongestionState, LogEvent, PathMetrics},
    path::Path,
    time::Instant,
};

impl Association {
    /// A packet comes in.
    pub(super) fn log_received(&mut self, now: Instant, event: &AssociationEventKind) {
        if !self.cx.log.is_on() {
            return;
        }
        self.cx.log.at(now);
        let (AssociationEventKind::Datagram { meta, packet }
        | AssociationEventKind::Init { meta, packet }
        | AssociationEventKind::CookieEcho { meta, packet, .. }) = event
        else {
            return;
        };
        let path = match &self.phase {
            Phase::Open(tcb) => tcb.paths.find(meta.remote.ip(), meta.local_ip),
            _ => None,
        };
        self.cx.log.write(&LogEvent::PacketReceived {
            path,
            from: meta.remote,
            packet,
        });
    }

    /// A timer ran out.
    pub(super) fn log_expired(&mut self, expired: Expired) {
        if !self.cx.log.is_on() {
            return;
        }
        let (timer, path) = match expired {
            Expired::Association(timer) => (format!("{timer:?}"), None),
            Expired::Path(timer, path) => (format!("{timer:?}"), Some(path)),
        };
        self.cx.log.write(&LogEvent::TimerExpired {
            timer: &timer,
            path,
        });
    }

    /// Nothing is left to send now: how the association stands.
    pub(super) fn log_standing(&mut self) {
        if !self.cx.log.is_on() {
            return;
        }
        let state = self.state();
        self.cx.log.state(state);
        if let Phase::Open(tcb) = &self.phase {
            for path in tcb.paths.iter() {
                let flight = tcb.outstanding.flight(path.id);
                let metrics = metrics(path, flight, tcb.peer_rwnd);
                self.cx.log.path(path.id, metrics, congestion_state(path));
            }
        }
    }
}

fn metrics(path: &Path, bytes_in_flight: usize, peer_window: usize) -> PathMetrics {
    let rtt = path.rto.range();
    PathMetrics {
        smoothed_rtt: path.rto.srtt(),
        min_rtt: rtt.min,
        latest_rtt: rtt.latest,
        rtt_variance: path.rto.rttvar(),
        rto: path.rto.rto(),
        congestion_window: path.congestion.window(),
        ssthresh: path.congestion.ssthresh(),
        bytes_in_flight,
        pacing_rate: path.pacing_rate(),
        peer_window,
        max_packet: path.max_packet,
    }
}

fn congestion_state(path: &Path) -> CongestionState {
    if path.recovery_exit.is_some() {
        CongestionState::FastRecovery
    } else if path.congestion.window() < path.congestion.ssthresh() {
        CongestionState::SlowStart
    } else {
        CongestionState::CongestionAvoidance
    }
}
