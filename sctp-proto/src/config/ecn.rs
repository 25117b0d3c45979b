//! Explicit congestion notification.

use super::AssociationConfig;

impl AssociationConfig {
    /// Offer ECN (RFC 4960 Appendix A, with CWR as draft-stewart-tsvwg-sctpecn has it): packets with
    /// DATA are marked ECT(0), and routers that would drop them mark them instead.
    ///
    /// Default false, for safety: RFC 9260 has dropped it, of the known stacks usrsctp alone speaks it
    /// in full, and networks that lose or rewrite packets marked so do exist. Such a path is noticed
    /// and goes without after two time-outs, or after marks without an end; a retransmission after a
    /// time-out is never marked.
    pub fn ecn(&mut self, on: bool) -> &mut Self {
        self.ecn = on;
        self
    }
}
