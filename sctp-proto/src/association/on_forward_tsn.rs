//! FORWARD-TSN and I-FORWARD-TSN in: the peer has given up messages (RFC 3758 §3.6).

use super::{
    cx::{Cx, Fatal, Handled},
    inbound::DataSeen,
    on_data::violation,
    tcb::Tcb,
};
use crate::{
    ids::Tsn,
    rx::{MAX_SPAN, Skipped},
    wire::{ForwardTsn, IForwardTsn},
};

impl Tcb {
    pub(super) fn on_forward_tsn(
        &mut self,
        cx: &mut Cx,
        forward: &ForwardTsn<'_>,
        seen: &mut DataSeen,
    ) -> Handled {
        self.check_kind(false)?;
        let skipped = forward.skipped().map(|(stream, ssn)| Skipped {
            stream,
            unordered: false,
            seq: u32::from(ssn),
        });
        self.forward(cx, forward.new_cumulative, skipped, seen);
        Ok(())
    }

    pub(super) fn on_i_forward_tsn(
        &mut self,
        cx: &mut Cx,
        forward: &IForwardTsn<'_>,
        seen: &mut DataSeen,
    ) -> Handled {
        self.check_kind(true)?;
        let skipped = forward.skipped().map(|(stream, unordered, seq)| Skipped {
            stream,
            unordered,
            seq,
        });
        self.forward(cx, forward.new_cumulative, skipped, seen);
        Ok(())
    }

    /// Where neither chunk was agreed on, both are unknown ones.
    //= RFC 8260 §2.3.1
    //# If I-FORWARD-TSN support has been negotiated for an association, the reception of a
    //# FORWARD-TSN chunk is a violation of the above rules and therefore the receiver of the
    //# FORWARD-TSN chunk MUST abort the association by sending an ABORT chunk.
    fn check_kind(&self, interleaved: bool) -> Result<(), Fatal> {
        if self.agreed.capabilities.interleaving() != interleaved {
            return Err(violation("FORWARD-TSN and I-FORWARD-TSN mixed up"));
        }
        Ok(())
    }

    fn forward(
        &mut self,
        cx: &mut Cx,
        new_cumulative: Tsn,
        skipped: impl Iterator<Item = Skipped>,
        seen: &mut DataSeen,
    ) {
        if !self.state.takes_data() {
            return;
        }
        //= RFC 3758 §3.6
        //# Any time a FORWARD TSN chunk arrives, for the purposes of sending a SACK, the receiver
        //# MUST follow the same rules as if a DATA chunk had been received (i.e., follow the delayed
        //# sack rules specified in RFC 2960 [2] section 6.2).
        seen.any = true;
        let before = self.tsn_map.cumulative();
        //= RFC 3758 §3.6
        //# Note, if the "New Cumulative TSN" value carried in the arrived FORWARD TSN chunk is found
        //# to be behind or at the current cumulative TSN point, the data receiver MUST treat this
        //# FORWARD TSN as out-of- date and MUST NOT update its Cumulative TSN. The receiver SHOULD
        //# send a SACK to its peer (the sender of the FORWARD TSN) since such a duplicate may
        //# indicate the previous SACK was lost in the network.
        if !before.before(new_cumulative) {
            seen.immediately = true;
            return;
        }
        // Each TSN given up was sent into this window, a byte of it at least. A peer that claims to
        // have sent more makes it up.
        let window = MAX_SPAN.max(cx.config.receive_window);
        if new_cumulative.distance_from(before) > window {
            cx.stats.dropped_malformed += 1;
            seen.immediately = true;
            return;
        }
        let had_gaps = self.tsn_map.has_gaps();
        //= RFC 3758 §3.6
        //# When a FORWARD TSN chunk arrives, the data receiver MUST first update its cumulative TSN
        //# point to the value carried in the FORWARD TSN chunk, and then MUST further advance its
        //# cumulative TSN point locally if possible, as shown by the following example:
        self.tsn_map.advance_to(new_cumulative);
        self.rx.skip(before, skipped);
        let cumulative = self.tsn_map.cumulative();
        self.rx.on_cumulative(cumulative);
        self.reconfig_reached(cx);
        cx.stats.forward_tsns_received += 1;
        seen.immediately |= had_gaps;
    }
}
