//! ECN (RFC 4960 Appendix A, draft-stewart-tsvwg-sctpecn): marks that are seen are told with every
//! SACK until the peer says that it has answered them; marks that the peer tells of reduce the window
//! at most once per round trip.

use super::{cx::Cx, tcb::Tcb};
use crate::{ids::Tsn, path::Echo, time::Instant, transmit::EcnCodepoint, wire::PacketWriter};

/// What is owed to the peer.
#[derive(Debug, Default)]
pub(crate) struct Ecn {
    /// Marks that the peer has not answered: the lowest TSN of the first packet, and of the last.
    marked: Option<(Tsn, Tsn)>,
    /// CWR is due, with this TSN.
    cwr: Option<Tsn>,
}

/// Receiving.
impl Tcb {
    /// A packet with DATA from this TSN on came, marked or not; whether the peer is to hear of it at
    /// once.
    pub(super) fn on_mark(&mut self, cx: &mut Cx, ecn: Option<EcnCodepoint>, lowest: Tsn) -> bool {
        if ecn != Some(EcnCodepoint::Ce) || !self.agreed.capabilities.ecn() {
            return false;
        }
        cx.stats.ecn_marks += 1;
        let (first, last) = self.ecn.marked.unwrap_or((lowest, lowest));
        let last = if last.before(lowest) { lowest } else { last };
        self.ecn.marked = Some((first, last));
        true
    }

    /// CWR: what was marked up to `tsn` has been answered.
    pub(super) fn on_cwr(&mut self, tsn: Tsn) {
        if let Some((first, last)) = self.ecn.marked
            && !tsn.before(first)
        {
            // What came after the window was reduced is told anew.
            self.ecn.marked = tsn.before(last).then_some((last, last));
        }
    }

    /// Whether marks are to be told with the SACK.
    pub(super) fn write_ecne(&self, packet: &mut PacketWriter<'_>) {
        if let Some((first, _)) = self.ecn.marked
            && packet.remaining() >= PacketWriter::ECN_CHUNK
        {
            packet.ecne(first);
        }
    }
}

/// Sending.
impl Tcb {
    /// ECNE: a packet with this TSN was marked.
    pub(super) fn on_ecne(&mut self, cx: &mut Cx, now: Instant, tsn: Tsn) {
        let highest = self.outstanding.next_tsn().previous();
        if highest.before(tsn) {
            cx.stats.dropped_malformed += 1;
            return;
        }
        // What is acknowledged has no path any more. One may have answered already: the CWR is late.
        let answered = || {
            let mut paths = self.paths.iter();
            paths
                .find(|path| path.ecn.has_answered(tsn))
                .map(|path| path.id)
        };
        let id = (self.outstanding.path_of(tsn).or_else(answered))
            .unwrap_or_else(|| self.paths.primary());
        let path = self.paths.get_mut(id);
        let srtt = path.rto.srtt().unwrap_or(path.rto.rto());
        match path.ecn.on_echo(now, tsn, highest, srtt) {
            Echo::Reduce => {
                cx.stats.ecn_reductions += 1;
                // In fast recovery the window of this round trip was reduced already.
                if path.recovery_exit.is_none() {
                    path.congestion.on_ecn(now);
                }
                self.outstanding.forget_episode(id);
                self.ecn.cwr = Some(highest);
            }
            Echo::Answered(answered) => self.ecn.cwr = Some(answered),
            Echo::TooSoon => {}
        }
    }

    pub(super) fn write_cwr(&mut self, packet: &mut PacketWriter<'_>) {
        if let Some(tsn) = self.ecn.cwr
            && packet.remaining() >= PacketWriter::ECN_CHUNK
        {
            packet.cwr(tsn);
            self.ecn.cwr = None;
        }
    }

    /// What DATA on a path is marked with. Nothing after a time-out, which may be because of marks.
    pub(super) fn mark(&self, id: crate::ids::PathId) -> Option<EcnCodepoint> {
        let path = self.paths.get(id);
        let marks = self.agreed.capabilities.ecn() && path.ecn.marks() && !path.on_probation;
        marks.then_some(EcnCodepoint::Ect0)
    }

    /// The association was reset: the TSNs of marks mean nothing any more.
    pub(super) fn forget_marks(&mut self) {
        self.ecn = Ecn::default();
        for path in self.paths.iter_mut() {
            path.ecn.forget();
        }
    }
}
