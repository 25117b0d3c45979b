//! Load for the simulations: messages that carry what is needed to check them.
//!
//! A message is a function of its number and its size, and both ends know the list, so that
//! nothing but the received bytes has to be kept to compare them.

use std::collections::BTreeMap;

use bytes::Bytes;
use sctp_proto::{Message, SendError, SendInfo, StreamId};

use crate::pair::{Pair, Side};

/// A message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its stream.
    pub stream: u16,
    /// Its size, bytes; at least 8.
    pub size: usize,
    /// Whether it is sent outside the order of the stream.
    pub unordered: bool,
}

/// Bytes of message `number`: the number itself, then a sequence that begins with it.
pub fn payload(number: u64, size: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend_from_slice(&number.to_be_bytes());
    let mut word = number;
    while bytes.len() < size {
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

/// One direction of a load: who sends what, and what has arrived of it.
///
/// A flow outlives the association that carries it. When that is replaced, because an end was, the
/// flow goes on with other messages ([`renew`](Self::renew)): what was on its way may be lost, may
/// still come until the first of the new ones does, and may not come after that.
#[derive(Debug)]
pub struct Flow {
    from: Side,
    lives: Vec<Life>,
    /// Numbers of the messages to be sent, per stream, in order; the last is the next.
    waiting: BTreeMap<u16, Vec<usize>>,
    /// The life of the messages that came last.
    arriving: usize,
    /// Parts of messages that come in parts, per stream.
    parts: BTreeMap<(u16, bool), Vec<u8>>,
}

/// The messages between two beginnings of a flow.
#[derive(Debug)]
struct Life {
    items: Vec<Item>,
    received: Vec<bool>,
    /// Ordered messages to come, per stream; the last is the next.
    expected: BTreeMap<u16, Vec<usize>>,
    left: usize,
}

/// Messages of one life are numbered from a multiple of this.
const LIFE: u64 = 1 << 32;

impl Flow {
    /// A flow of these messages.
    pub fn new(from: Side, items: Vec<Item>) -> Self {
        let mut flow = Self {
            from,
            lives: Vec::new(),
            waiting: BTreeMap::new(),
            arriving: 0,
            parts: BTreeMap::new(),
        };
        flow.renew(items);
        flow
    }

    /// Begins anew with these messages, on another association; those not yet queued are
    /// forgotten.
    pub fn renew(&mut self, items: Vec<Item>) {
        self.waiting.clear();
        let mut expected: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (number, item) in items.iter().enumerate().rev() {
            self.waiting.entry(item.stream).or_default().push(number);
            if !item.unordered {
                expected.entry(item.stream).or_default().push(number);
            }
        }
        self.lives.push(Life {
            left: items.len(),
            received: vec![false; items.len()],
            items,
            expected,
        });
    }

    /// The receiver's association was replaced: nothing continues what came in part.
    pub fn cut(&mut self) {
        self.parts.clear();
    }

    fn life(&self) -> &Life {
        self.lives.last().expect("a flow has begun")
    }

    /// Queues what the send buffer takes.
    pub fn pump(&mut self, pair: &mut Pair) {
        let life = self.lives.len() - 1;
        self.waiting.retain(|stream, numbers| {
            while let Some(&number) = numbers.last() {
                let item = self.lives[life].items[number];
                let data = payload(life as u64 * LIFE + number as u64, item.size);
                let info = SendInfo::default().unordered(item.unordered);
                match pair.try_send(self.from, *stream, data, info) {
                    Ok(()) => numbers.pop(),
                    Err(SendError::Blocked(_)) => return true,
                    Err(error) => panic!("message {number}: {error}"),
                };
            }
            false
        });
    }

    /// Receives and checks what has arrived.
    pub fn drain(&mut self, pair: &mut Pair) {
        let to = self.from.peer();
        if pair.host(to).conns.is_empty() {
            return;
        }
        while let Some(message) = pair.conn(to).association.recv_any() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        let StreamId(stream) = message.stream;
        let (unordered, complete) = (message.unordered, message.complete);
        let mut bytes = message.data.into_bytes();
        let key = (stream, unordered);
        if !complete || self.parts.contains_key(&key) {
            let parts = self.parts.entry(key).or_default();
            parts.extend_from_slice(&bytes);
            if !complete {
                return;
            }
            bytes = self.parts.remove(&key).expect("it is there").into();
        }
        let head = bytes
            .first_chunk()
            .expect("every message carries its number");
        let number = u64::from_be_bytes(*head);
        let (life, index) = ((number / LIFE) as usize, (number % LIFE) as usize);
        assert!(
            life >= self.arriving,
            "message {number:#x} of an earlier life"
        );
        self.arriving = life;
        let life = self.lives.get_mut(life).expect("a life that began");
        let item = *life.items.get(index).expect("a message that was sent");
        assert_eq!((item.stream, item.unordered), (stream, unordered));
        assert!(
            bytes == payload(number, item.size),
            "message {number:#x} is damaged"
        );
        assert!(!life.received[index], "message {number:#x} came twice");
        life.received[index] = true;
        life.left -= 1;
        if !unordered {
            let next = life.expected.get_mut(&stream).and_then(Vec::pop);
            assert_eq!(next, Some(index), "order of stream {stream}");
        }
    }

    /// Whether everything was queued.
    pub fn all_queued(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Messages that have not arrived, since the flow began last.
    pub fn left(&self) -> usize {
        self.life().left
    }

    /// Messages there are, since the flow began last.
    pub fn len(&self) -> usize {
        self.life().items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
