//! ASCONFs of the peer.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::ids::Tsn;

/// Answers kept for repetition. A peer has one request under way; when it repeats that it may bundle
/// the next ones (RFC 5061 §5.5).
const KEPT: usize = 4;

/// What an ASCONF is to be met with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// It is the next one: perform it, and tell [`Incoming::answered`].
    Next,
    /// It was performed before; this was the answer.
    Again(Bytes),
    /// It is from the past, or from somebody who does not know the numbers.
    Stale,
}

/// The peer's numbers, and what was answered.
#[derive(Debug)]
pub(crate) struct Incoming {
    expected: u32,
    answers: VecDeque<(u32, Bytes)>,
}

impl Incoming {
    //= RFC 5061 §5.1
    //# The Sequence Number MUST be
    //# initialized at the start of the association to the same value as
    //# the Initial Transmission Sequence Number (TSN) and every time a
    //# new ASCONF Chunk is created, it MUST be incremented by one after
    //# assigning the Sequence Number to the newly created chunk.
    pub(crate) fn new(peer_initial_tsn: Tsn) -> Self {
        Self {
            expected: peer_initial_tsn.value(),
            answers: VecDeque::new(),
        }
    }

    pub(crate) fn judge(&self, seq: u32) -> Order {
        if seq == self.expected {
            return Order::Next;
        }
        let mut kept = self.answers.iter();
        match kept.find(|(answered, _)| *answered == seq) {
            Some((_, answer)) => Order::Again(answer.clone()),
            None => Order::Stale,
        }
    }

    /// The next one was performed; this is the value of its ASCONF-ACK.
    pub(crate) fn answered(&mut self, answer: Bytes) {
        if self.answers.len() == KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((self.expected, answer));
        self.expected = self.expected.wrapping_add(1);
    }
}
