//! User messages as they go in and come out.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::ids::{PathId, Ppid, StreamId, Tsn};

/// How to send a message: `sctp_sndinfo` and `sctp_prinfo` of RFC 6458 §5.3.4 and §5.3.7.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendInfo {
    /// Payload protocol identifier, default 0.
    pub ppid: Ppid,
    /// Deliver as soon as complete, outside the order of the stream. Default false.
    pub unordered: bool,
    /// Ask the peer to acknowledge at once: the I bit (RFC 9260 §3.3.1, RFC 7053). Default false.
    pub sack_immediately: bool,
    /// When to give the message up. Default `None`: as the association's
    /// [`default_reliability`](crate::AssociationConfig::default_reliability) says, which is never
    /// unless it is set.
    pub reliability: Option<Reliability>,
    /// Returned in [`Event::SendFailed`](crate::Event::SendFailed); opaque. Default 0.
    pub context: u32,
    /// Tell of each step that the message takes, with its `context`:
    /// [`Event::MessageSent`](crate::Event::MessageSent), then
    /// [`Event::MessageAcked`](crate::Event::MessageAcked). Default false.
    pub tracked: bool,
    /// The path to use for the first transmission instead of the primary one. Default none.
    pub path: Option<PathId>,
}

impl SendInfo {
    /// Reliable, ordered, with this payload protocol identifier.
    pub fn new(ppid: Ppid) -> Self {
        Self {
            ppid,
            ..Self::default()
        }
    }

    /// Sets [`unordered`](Self::unordered).
    pub fn unordered(mut self, unordered: bool) -> Self {
        self.unordered = unordered;
        self
    }

    /// Sets [`sack_immediately`](Self::sack_immediately).
    pub fn sack_immediately(mut self, on: bool) -> Self {
        self.sack_immediately = on;
        self
    }

    /// Sets [`reliability`](Self::reliability).
    pub fn reliability(mut self, reliability: Reliability) -> Self {
        self.reliability = Some(reliability);
        self
    }

    /// Sets [`tracked`](Self::tracked).
    pub fn tracked(mut self, on: bool) -> Self {
        self.tracked = on;
        self
    }

    /// Sets [`context`](Self::context).
    pub fn context(mut self, context: u32) -> Self {
        self.context = context;
        self
    }
}

/// When the sender gives a message up (RFC 3758, RFC 7496).
///
/// A message given up comes back in [`Event::SendFailed`](crate::Event::SendFailed). Where the peer
/// has no part in it ([`Association::partial_reliability`](crate::Association::partial_reliability)),
/// only messages of which nothing was sent yet are given up: for a lifetime, or for room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reliability {
    /// Never: the message arrives, or the association fails.
    #[default]
    Reliable,
    /// This long after it was queued (RFC 3758 §4.1, timed reliability). Looked at when the message,
    /// or a part of it, would be sent or sent again.
    Lifetime(Duration),
    /// When a fragment of it would be sent again after this many retransmissions (RFC 7496 §4.1); 255
    /// and more do not limit them.
    MaxRetransmits(u16),
    /// When the send buffer, or the stream's share of it, is full and a message with a smaller number
    /// needs room (RFC 7496 §4.2).
    Priority(u32),
}

impl Reliability {
    pub(crate) const fn policy(self) -> Option<PrPolicy> {
        match self {
            Self::Reliable => None,
            Self::Lifetime(_) => Some(PrPolicy::Lifetime),
            Self::MaxRetransmits(_) => Some(PrPolicy::MaxRetransmits),
            Self::Priority(_) => Some(PrPolicy::Priority),
        }
    }
}

/// Why messages are given up: SCTP_PR_SCTP_TTL, _RTX and _BUF of RFC 7496.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrPolicy {
    /// [`Reliability::Lifetime`]
    Lifetime,
    /// [`Reliability::MaxRetransmits`]
    MaxRetransmits,
    /// [`Reliability::Priority`]
    Priority,
}

impl PrPolicy {
    pub(crate) const ALL: [Self; 3] = [Self::Lifetime, Self::MaxRetransmits, Self::Priority];
}

/// How many messages were given up: `sctp_prstatus` of RFC 7496 §4.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrStatus {
    /// Of which nothing had been sent.
    pub unsent: u64,
    /// Of which at least a part had been sent.
    pub sent: u64,
}

/// A received user message, or a part of one: `sctp_rcvinfo` of RFC 6458 §5.3.5 and the bytes.
///
/// A message that is larger than the receive buffer can hold comes in parts, in order, each with
/// [`complete`](Self::complete) false but the last (partial delivery, RFC 9260 §11.1.7); or the last
/// is [`aborted`](Self::aborted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The inbound stream.
    pub stream: StreamId,
    /// The sender's payload protocol identifier.
    pub ppid: Ppid,
    /// Whether it was sent outside the order of the stream.
    pub unordered: bool,
    /// Stream sequence number or, with I-DATA, message identifier; means nothing for an unordered
    /// message in DATA chunks. A number left out within a stream is of a message that the sender
    /// gave up (RFC 3758 §3.6).
    pub seq: u32,
    /// TSN of the last fragment in `data`.
    pub tsn: Tsn,
    /// Whether the message ends with `data`.
    pub complete: bool,
    /// The sender gave the message up after parts of it were read (RFC 3758): these are all there
    /// will be, `data` is empty, and what is read next is of another message
    /// (SCTP_PARTIAL_DELIVERY_ABORTED, RFC 6458 §6.1.7).
    pub aborted: bool,
    /// The bytes.
    pub data: MessageData,
}

/// The message that would be received next: `sctp_nxtinfo` of RFC 6458 §5.3.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextMessage {
    /// The sender's payload protocol identifier.
    pub ppid: Ppid,
    /// Whether it was sent outside the order of the stream.
    pub unordered: bool,
    /// TSN of the first fragment that would be received.
    pub tsn: Tsn,
    /// Its bytes, or those of the part that would be received.
    pub len: usize,
    /// Whether the message ends with them.
    pub complete: bool,
}

/// The bytes of a message, kept in the fragments they came in until asked for as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageData {
    fragments: SmallVec<[Bytes; 2]>,
    len: usize,
}

impl MessageData {
    /// Bytes left.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a fragment.
    pub(crate) fn push(&mut self, fragment: Bytes) {
        self.len += fragment.len();
        self.fragments.push(fragment);
    }

    /// All bytes in one piece; free when they are one fragment already.
    pub fn into_bytes(mut self) -> Bytes {
        if self.fragments.len() == 1 {
            return self.fragments.swap_remove(0);
        }
        let mut joined = BytesMut::with_capacity(self.len);
        for fragment in &self.fragments {
            joined.extend_from_slice(fragment);
        }
        joined.freeze()
    }

    /// The fragments, in order.
    pub fn into_fragments(self) -> impl Iterator<Item = Bytes> {
        self.fragments.into_iter()
    }
}

impl From<Bytes> for MessageData {
    fn from(bytes: Bytes) -> Self {
        let mut data = Self::default();
        data.push(bytes);
        data
    }
}

impl Buf for MessageData {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.fragments
            .iter()
            .find(|f| !f.is_empty())
            .map_or(&[], |f| f)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(
            count <= self.len,
            "cannot advance past the end of the message"
        );
        self.len -= count;
        let mut spent = 0;
        for fragment in &mut self.fragments {
            let step = count.min(fragment.len());
            fragment.advance(step);
            count -= step;
            if !fragment.is_empty() {
                break;
            }
            spent += 1;
        }
        self.fragments.drain(..spent);
    }
}
