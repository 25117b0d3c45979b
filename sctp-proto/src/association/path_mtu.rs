//! What paths carry is found out (RFC 8899): probes out, their fate in; paths that swallow what is
//! large.
//!
//! A probe is a HEARTBEAT with a nonce of its own and a PAD chunk, alone in its packet (§6.2.1.2).
//! Its loss is neither congestion nor a failure of the path, and data never waits for it.

use std::ops::RangeInclusive;

use super::{cx::Cx, outbound::transmit, state::State, tcb::Tcb, timers::PathTimer};
use crate::{
    association::PathState,
    ids::{PathId, Tsn},
    path::{Path, Search, Suspicion},
    time::Instant,
    transmit::Transmit,
    wire::kind,
};

impl Tcb {
    /// So many bytes left at one opportunity. If that is more than a packet, larger packets would be
    /// of use: it is time to look for what the paths carry, all of them, since no message is cut for
    /// more than the least of them.
    pub(super) fn seek_path_mtu(&mut self, now: Instant, id: PathId, sent: usize) {
        if sent < self.paths.get(id).max_packet || !self.state.sends_heartbeats() {
            return;
        }
        for path in self.paths.iter_mut() {
            if path.state == PathState::Active && path.wants_search(now) {
                path.begin_search(now);
                self.due.mtu_probe = true;
            }
        }
    }

    /// The padded HEARTBEAT that is due. To be asked when nothing else can leave: it takes its turn
    /// behind everything that has something to say.
    pub(super) fn poll_mtu_probe(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if !self.due.mtu_probe
            || !self.state.sends_heartbeats()
            || matches!(self.state, State::CookieEchoed { .. })
        {
            return None;
        }
        let ready = |path: &&mut Path| path.mtu_probe().is_some() && may_probe(path);
        let Some(path) = self.paths.iter_mut().find(ready) else {
            // Those that may not leave now are looked at again at the next opportunity.
            self.due.mtu_probe = self.paths.iter().any(|path| path.mtu_probe().is_some());
            return None;
        };
        let size = path.mtu_probe()?;
        let nonce = path.search.as_mut()?.send(cx.random.next_u64())?;
        let (id, at) = (path.id, now + Search::timeout(path.rto.rto()));
        let mut packet = self.begin(cx, buf, size);
        packet.heartbeat(kind::HEARTBEAT, &nonce.to_be_bytes());
        packet.pad_to(size);
        let size = self.finish(cx, packet);
        cx.timers.set_path(PathTimer::PathMtu, id, at);
        tracing::trace!(path = id.index(), size, "path MTU probe");
        Some(Transmit {
            dont_fragment: true,
            ..transmit(self.paths.get(id), size, size)
        })
    }

    /// A HEARTBEAT ACK: whether it is for a probe, and on which path.
    pub(super) fn on_mtu_probe_answered(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        info: &[u8],
    ) -> Option<PathId> {
        let mut paths = self.paths.iter_mut();
        let path = paths.find_map(|path| path.on_mtu_probe_answered(now, info).then_some(path))?;
        let id = path.id;
        tracing::debug!(
            path = id.index(),
            max_packet = path.max_packet,
            "path MTU raised"
        );
        cx.timers.stop_path(PathTimer::PathMtu, id);
        self.due.mtu_probe = true;
        Some(id)
    }

    /// No answer came to a probe.
    pub(super) fn on_mtu_probe_timeout(&mut self, now: Instant, id: PathId) {
        self.paths.get_mut(id).on_mtu_probe_timeout(now);
        self.due.mtu_probe = true;
    }

    /// Whether a packet of this size is the probe under way on a path.
    pub(super) fn is_mtu_probe(&self, id: PathId, size: usize) -> bool {
        let path = self.paths.iter().find(|path| path.id == id);
        path.is_some_and(|path| path.mtu_probe_under_way() == Some(size))
    }

    /// The operating system refused to send the probe under way.
    pub(super) fn on_mtu_probe_refused(&mut self, cx: &mut Cx, now: Instant, id: PathId) {
        self.paths.get_mut(id).on_mtu_probe_refused(now);
        cx.timers.stop_path(PathTimer::PathMtu, id);
        self.due.mtu_probe = true;
    }

    /// What left in a packet of this length has its record marked if the packet is large.
    pub(super) fn note_large(&mut self, id: PathId, tsn: Tsn, packet: usize) {
        if self.paths.get(id).is_large(packet) {
            self.outstanding.mark_large(tsn);
        }
    }

    /// Large packets got lost, the last of which left at `sent`: the path may have become narrow.
    pub(super) fn on_large_lost(
        &mut self,
        now: Instant,
        id: PathId,
        sent: Instant,
        how: Suspicion,
    ) {
        let path = self.paths.get_mut(id);
        if let Some(lost) = path.on_large_lost(now, sent, how) {
            self.on_black_hole(id, &lost);
        }
    }

    fn on_black_hole(&mut self, id: PathId, lost: &RangeInclusive<usize>) {
        tracing::debug!(path = id.index(), "large packets get lost");
        self.on_lower_mtu(id, lost);
        self.due.mtu_probe = true;
    }

    /// Probes no more.
    pub(super) fn stop_path_mtu(&mut self, cx: &mut Cx, now: Instant) {
        self.due.mtu_probe = false;
        for path in self.paths.iter_mut() {
            if let Some(search) = &mut path.search {
                search.stop(now);
            }
            cx.timers.stop_path(PathTimer::PathMtu, path.id);
        }
    }
}

/// Whether a path has no other worries than what it carries: its loss would say nothing otherwise,
/// and what is lost is to be repaired first.
fn may_probe(path: &Path) -> bool {
    path.state == PathState::Active
        && path.errors == 0
        && path.recovery_exit.is_none()
        && !path.on_probation
}
