//! Stream schedulers that users bring along.

use std::{fmt, sync::Arc};

use crate::{
    ids::{Ppid, StreamId},
    time::Instant,
};

/// Decides which stream sends next, in place of one of [`SchedulerKind`](crate::SchedulerKind).
///
/// Every stream that has something to send has a rank, and that with the lowest is served; of equal
/// ones, that which waits longest. A stream is ranked when it gets something to send and after each
/// of its turns. So a scheduler can order streams as it likes and break nothing: each message still
/// leaves whole and in the order of its stream. One that ranks by deadlines:
///
/// ```
/// use sctp_proto::{AssociationConfig, StreamScheduler, Waiting};
///
/// #[derive(Debug)]
/// struct EarliestDeadlineFirst;
///
/// impl StreamScheduler for EarliestDeadlineFirst {
///     fn rank(&mut self, waiting: &Waiting) -> u64 {
///         waiting.expires.map_or(u64::MAX, |at| at.as_nanos())
///     }
/// }
///
/// let mut config = AssociationConfig::default();
/// config.custom_scheduler(|| Box::new(EarliestDeadlineFirst));
/// ```
pub trait StreamScheduler: fmt::Debug + Send {
    /// The rank of a stream, the lowest first.
    fn rank(&mut self, waiting: &Waiting) -> u64;

    /// A chunk with so many bytes of a stream's user data leaves, for the first time.
    fn on_sent(&mut self, stream: StreamId, bytes: usize) {
        let _ = (stream, bytes);
    }

    /// How long a turn is. Asked once.
    fn turn(&self) -> Turn {
        Turn::Chunk
    }
}

/// When another stream may take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// After each message.
    Message,
    /// After each chunk; where I-DATA was not negotiated, after each message (RFC 9260 §6.9).
    Chunk,
    /// With each packet, which has chunks of one stream only (RFC 8260 §3.3).
    Packet,
}

/// A stream that has something to send, and the message whose turn it is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The stream.
    pub stream: StreamId,
    /// Its priority or weight, as
    /// [`set_stream_priority`](crate::Association::set_stream_priority) has set it; 256 before that.
    pub value: u16,
    /// The message's place among all that the association was given to send.
    pub order: u64,
    /// Bytes of the message.
    pub len: usize,
    /// Of these, bytes not sent yet.
    pub unsent: usize,
    /// Its payload protocol identifier.
    pub ppid: Ppid,
    /// Whether it is delivered outside the order of the stream.
    pub unordered: bool,
    /// When its lifetime ends, if it has one.
    pub expires: Option<Instant>,
}

/// Makes a scheduler for each association.
#[derive(Clone)]
pub(crate) struct MakeScheduler(pub(crate) Arc<dyn Fn() -> Box<dyn StreamScheduler> + Send + Sync>);

impl fmt::Debug for MakeScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeScheduler")
    }
}
