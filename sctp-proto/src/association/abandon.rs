//! Messages given up after they were sent, and telling the peer (RFC 3758 §3.5).

use super::{cx::Cx, state::State, tcb::Tcb, timers::PathTimer};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
    wire::PacketWriter,
};

/// What the peer has been told.
#[derive(Debug)]
pub(crate) struct Told {
    /// A FORWARD-TSN is to leave with the next packet.
    due: bool,
    /// When the last one left, and what it said.
    last: Option<(Instant, Tsn)>,
    /// By which path it left.
    pub(super) path: PathId,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            due: false,
            last: None,
            path: PathId(0),
        }
    }
}

impl Told {
    pub(super) fn is_due(&self) -> bool {
        self.due
    }
}

impl Tcb {
    /// Whether the peer can be told of what is given up.
    pub(super) fn can_abandon(&self) -> bool {
        self.agreed.capabilities.partial_reliability()
    }

    /// Whether the peer has not come yet to what it is told.
    pub(super) fn forward_pending(&self) -> bool {
        self.outstanding.advanced().is_some()
    }

    /// What the peer is to be told to go on after.
    ///
    /// While streams are to be reset that is not beyond the last TSN before the reset. The peer may have
    /// performed it when it has come there, and would take the numbers of messages from before, which
    /// it has not acknowledged yet, for those of messages from after.
    fn advanced(&self) -> Option<Tsn> {
        let advanced = self.outstanding.advanced()?;
        let acked = self.outstanding.cumulative();
        let last = (self.reconfig.ours.last_before_reset()).filter(|last| acked.before(*last));
        Some(
            last.filter(|last| last.before(advanced))
                .unwrap_or(advanced),
        )
    }

    /// Whether a path has a FORWARD-TSN under way.
    pub(super) fn forward_under_way(&self, path: PathId) -> bool {
        self.forward_pending() && self.told.path == path
    }

    /// To be called after whatever may have made the queue give up messages that have TSNs.
    pub(super) fn settle(&mut self, cx: &mut Cx, now: Instant) {
        if self.outstanding.settle(now, &mut cx.queue) {
            self.told.due = true;
        }
    }

    /// Gives up what is lost and not worth being sent again.
    //= RFC 3758 §4.1
    //# If the lifetime of the message is expired, the SCTP sender MUST "abandon" the message, as per
    //# the rules specified in Section 3.5 marking that TSN as eligible for forward TSN.
    pub(super) fn give_up_lost(&mut self, cx: &mut Cx, now: Instant) {
        while let Some(lost) = self.outstanding.next_lost() {
            if !(cx.queue).is_worthless(now, lost.fragment.key, lost.transmits) {
                break;
            }
            cx.queue.give_up(lost.fragment.key);
            self.settle(cx, now);
        }
    }

    /// What a SACK says about FORWARD-TSN: the peer has come to it, or there is more to tell, or it
    /// got lost. The same is told again once per round trip (RFC 3758 §3.5, F2).
    //= RFC 3758 §3.5
    //# If, after step C1 and C2, the "Advanced.Peer.Ack.Point" is greater than the Cumulative TSN ACK
    //# carried in the received SACK, the data sender MUST send the data receiver a FORWARD TSN chunk
    //# containing the latest value of the "Advanced.Peer.Ack.Point".
    pub(super) fn review_forward(&mut self, now: Instant) {
        let Some(advanced) = self.advanced() else {
            self.told = Told::default();
            return;
        };
        let rto = &self.paths.get(self.control_route()).rto;
        let round_trip = rto.srtt().unwrap_or_else(|| rto.rto());
        self.told.due |= self
            .told
            .last
            .is_none_or(|(at, told)| told.before(advanced) || now >= at + round_trip);
    }

    /// T3-rtx ran out: the FORWARD-TSN goes again, if there is one under way.
    //= RFC 3758 §3.5
    //# Any time the T3-rtx timer expires, on any destination, the sender SHOULD try to advance the
    //# "Advanced.Peer.Ack.Point" by following the procedures outlined in C2 - C5.
    pub(super) fn repeat_forward(&mut self) {
        self.told.due = self.forward_pending();
    }

    /// A FORWARD-TSN that left by a path which is gone goes again.
    pub(super) fn reroute_forward(&mut self) {
        if self.told.last.is_some() && !self.paths.contains(self.told.path) {
            self.repeat_forward();
        }
    }

    /// Whether a FORWARD-TSN is to leave by this path.
    pub(super) fn forward_due(&self, id: PathId) -> bool {
        self.told.due
            && id == self.control_route()
            && self.state.sends_data()
            && !matches!(self.state, State::CookieEchoed { .. })
    }

    /// It leaves at once, before the DATA chunks of its packet: F2 and F3 of RFC 3758 §3.5 allow it
    /// to wait for some, nothing asks for it.
    pub(super) fn write_forward(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        if !self.forward_due(id) {
            return;
        }
        //= RFC 8260 §2.3.1
        //# The FORWARD-TSN chunk MUST be used in combination with the DATA chunk and MUST NOT be used
        //# in combination with the I-DATA chunk. The I-FORWARD-TSN chunk MUST be used in combination
        //# with the I-DATA chunk and MUST NOT be used in combination with the DATA chunk.
        let interleaving = self.agreed.capabilities.interleaving();
        let entry = if interleaving { 8 } else { 4 };
        let Some(room) = packet.remaining().checked_sub(PacketWriter::chunk_size(4)) else {
            return;
        };
        // What else is in the packet may leave room for too short a list: another packet follows.
        if room < entry && !packet.is_empty() {
            return;
        }
        self.told.due = false;
        let up_to = self.advanced();
        let forward = self
            .outstanding
            .forward(&cx.queue, interleaving, room / entry, up_to);
        let Some(forward) = forward else {
            return;
        };
        if interleaving {
            let list: Vec<_> = (forward.skipped.iter())
                .map(|skipped| (skipped.stream, skipped.unordered, skipped.seq))
                .collect();
            packet.i_forward_tsn(forward.cumulative, &list);
        } else {
            // An SSN is the low half of a sequence number.
            let list: Vec<_> = (forward.skipped.iter())
                .map(|skipped| (skipped.stream, skipped.seq as u16))
                .collect();
            packet.forward_tsn(forward.cumulative, &list);
        }
        self.told.last = Some((now, forward.cumulative));
        self.told.path = id;
        cx.stats.forward_tsns_sent += 1;
        //= RFC 3758 §3.5
        //# If a FORWARD TSN is sent, the sender MUST assure that at least one T3-rtx timer is
        //# running.
        if !cx.timers.is_path_set(PathTimer::T3, id) {
            let at = now + self.paths.get(id).rto.rto();
            cx.timers.set_path(PathTimer::T3, id, at);
        }
    }
}
