//! Receiving: which TSNs are here, when to say so, and messages out of fragments.
//!
//! [`TsnMap`] knows TSNs only, [`SackPolicy`] packets and time only, [`Reassembly`] chunks and the
//! window only. For each DATA chunk the association asks [`TsnMap::check`], makes room with
//! [`Reassembly::has_room`] and [`Reassembly::renege`], then calls [`Reassembly::insert`],
//! [`TsnMap::insert`] and, if that moved the cumulative TSN, [`Reassembly::on_cumulative`].
//!
//! # Why the window always opens again
//!
//! Everything held counts against one window, and what does not fit is dropped unacknowledged. So
//! the question is what may be held forever. Each chunk held is one of these:
//!
//! 1. Beyond the cumulative TSN, and not deliverable. It is given up for any chunk with a lower
//!    TSN ([`Reassembly::renege`]), so it never keeps out the chunk that the cumulative TSN waits
//!    for.
//! 2. Of a message that the user can read, at once. Nothing is made readable behind a message of
//!    its stream that is being delivered in parts: it stays with the chunks of case 1 or 3.
//! 3. At or below the cumulative TSN, of an incomplete message, or of one that waits for an earlier
//!    one of its stream. A sender works on one message per stream at a time, in the order of the
//!    stream (with DATA, on one message in all: §6.9; with I-DATA: RFC 8260 §2.2.2). So at most one
//!    message of the stream reaches beyond the cumulative TSN, everything before it is complete,
//!    and what is held of it begins with its first fragment and has no holes. Under pressure it is
//!    therefore offered for partial delivery, on as many streams as there are such messages:
//!    this is case 2 again.
//! 4. Anything else: fragments of a peer that does not keep these rules, or that has stopped
//!    sending in the middle of a message; and case 2, if the user does not read.
//!
//! For case 4 there are two clocks (`stall`). A stream that holds more than its share, while half
//! of the window is in use, is discarded when it could be read and was not for the stall time-out.
//! And when there would be no room even without case 1, and nothing was read for as long, the
//! stream that holds most is discarded, whatever it holds. A discarded stream takes no room until
//! the peer resets it. So even if nobody reads and the peer plays foul, every stall time-out frees
//! the largest holder. A path that fails for longer than that costs nothing: the window then waits
//! for a gap to be filled (case 1), or for more of a message that was delivered as far as it came.
//!
//! While the peer has been told a window of 0, nothing beyond the highest TSN is taken, room or not.
//! It is told so only while less than two packets fit, and every SACK, which each chunk dropped
//! calls for, tells of more: a lost window update costs the peer one probe.
//!
//! What the peer gives up (FORWARD-TSN) is dropped and so takes no room; a message that waited only
//! for such a one is of case 2 from then on.
//!
//! What is offered for partial delivery has only TSNs at or below the cumulative TSN: what has been
//! read can never have to be reneged.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub))]
#![cfg_attr(feature = "internals", allow(missing_docs))]

mod fragments;
mod reassembly;
mod sack_policy;
mod stall;
mod store;
mod stream;
mod tsn_map;

pub(crate) use self::sack_policy::SackPolicy;
pub use self::{
    reassembly::{Reassembly, RxChunk, RxError, Skipped},
    tsn_map::{GapBlocks, MAX_SPAN, TsnCheck, TsnMap},
};
