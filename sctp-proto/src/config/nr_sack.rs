//! Acknowledgements for good.

use super::AssociationConfig;

impl AssociationConfig {
    /// Offer NR-SACK (draft-tuexen-tsvwg-sctp-multipath), as usrsctp does: what was received beyond a
    /// gap and can be delivered is acknowledged for good, and the sender's buffer has its room back
    /// before the gap is filled. Default false: with [`send_buffer`](Self::send_buffer) several times
    /// what a path holds it changes nothing, and the draft is not a standard. Worth it where many
    /// streams share a small send buffer on a lossy path.
    pub fn nr_sack(&mut self, on: bool) -> &mut Self {
        self.nr_sack = on;
        self
    }
}
