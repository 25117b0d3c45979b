//! Messages that may be given up, and what both sides hear of them.

use std::collections::{BTreeMap, BTreeSet};

use sctp_proto::{Event, Reliability};
use sctp_tests::{
    load::{Item, payload},
    pair::{Pair, Side},
};

/// A message that may be given up, or not.
pub(crate) struct Offer {
    pub(crate) item: Item,
    pub(crate) reliability: Reliability,
}

/// What one side has received of the other's, and heard of its own.
#[derive(Default)]
pub(crate) struct Heard {
    /// Numbers of the messages that came.
    pub(crate) arrived: BTreeSet<u64>,
    /// The last ordered message of each stream.
    last: BTreeMap<u16, u64>,
    /// What has come of a message that comes in parts.
    parts: BTreeMap<(u16, bool), Vec<u8>>,
    /// Numbers of its own messages that failed.
    pub(crate) failed: BTreeSet<u64>,
}

impl Heard {
    pub(crate) fn listen(&mut self, pair: &mut Pair, side: Side, offers: &[Offer]) {
        for event in pair.events(side) {
            if let Event::SendFailed { context, .. } = event {
                assert!(self.failed.insert(u64::from(context)), "failed twice");
            }
        }
        for message in pair.recv_all(side) {
            let stream = message.stream.0;
            let key = (stream, message.unordered);
            if message.aborted {
                assert!(self.parts.remove(&key).is_some(), "no part of it came");
                continue;
            }
            let mut bytes = self.parts.remove(&key).unwrap_or_default();
            bytes.extend_from_slice(&message.data.into_bytes());
            if !message.complete {
                self.parts.insert(key, bytes);
                continue;
            }
            let number = u64::from_be_bytes(*bytes.first_chunk().expect("a number"));
            let item = &offers[number as usize].item;
            assert_eq!((item.stream, item.size), (stream, bytes.len()));
            assert!(
                payload(number, item.size) == bytes,
                "message {number} is damaged"
            );
            assert!(self.arrived.insert(number), "message {number} came twice");
            if !item.unordered {
                let before = self.last.insert(stream, number);
                assert!(before < Some(number), "{before:?} came before {number}");
            }
        }
    }
}
