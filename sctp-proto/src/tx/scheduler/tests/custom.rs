//! Schedulers of the user's own, and a change of scheduler at run time.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    message::Reliability,
    scheduler::{StreamScheduler, Turn, Waiting},
};

/// The schedulers of RFC 8260 as a user would write them.
#[derive(Debug)]
struct Again {
    kind: SchedulerKind,
    /// Virtual time up to which streams were served, and where those begin that come later.
    served: HashMap<StreamId, u64>,
    values: HashMap<StreamId, u16>,
}

impl StreamScheduler for Again {
    fn rank(&mut self, waiting: &Waiting) -> u64 {
        self.values.insert(waiting.stream, waiting.value);
        match self.kind {
            SchedulerKind::FirstComeFirstServed => waiting.order,
            SchedulerKind::Priority => u64::from(waiting.value),
            SchedulerKind::FairBandwidth => self.served.get(&waiting.stream).copied().unwrap_or(0),
            _ => 0,
        }
    }

    fn on_sent(&mut self, stream: StreamId, bytes: usize) {
        *self.served.entry(stream).or_default() += bytes as u64;
    }

    fn turn(&self) -> Turn {
        match self.kind {
            SchedulerKind::FirstComeFirstServed | SchedulerKind::RoundRobinPerMessage => {
                Turn::Message
            }
            SchedulerKind::RoundRobinPerPacket => Turn::Packet,
            _ => Turn::Chunk,
        }
    }
}

fn again(kind: SchedulerKind) -> Box<dyn StreamScheduler> {
    Box::new(Again {
        kind,
        served: HashMap::new(),
        values: HashMap::new(),
    })
}

proptest! {
    /// Whatever is sent, a scheduler written by a user gives what the one built in does.
    #[test]
    fn the_schedulers_of_rfc_8260_can_be_written_by_users(
        kind in select(vec![
            SchedulerKind::FirstComeFirstServed,
            SchedulerKind::RoundRobin,
            SchedulerKind::RoundRobinPerMessage,
            SchedulerKind::RoundRobinPerPacket,
            SchedulerKind::Priority,
            SchedulerKind::FairBandwidth,
        ]),
        interleaving in any::<bool>(),
        values in vec(1_u16..4, 5),
        messages in vec((0_u16..5, 1_usize..500), 1..40),
    ) {
        let mut own = queue(kind, interleaving);
        let mut config = AssociationConfig::default();
        config.send_buffer(1 << 24).stream_send_buffer(1 << 24);
        config.custom_scheduler(move || again(kind));
        let mut custom = SendQueue::new(&config);
        custom.negotiated(1024, interleaving);
        for queue in [&mut own, &mut custom] {
            for (stream, &value) in (0..).zip(&values) {
                queue.set_priority(StreamId(stream), value);
            }
            for &(stream, len) in &messages {
                send(queue, stream, len);
            }
        }
        loop {
            let (expected, got) = (packet(&mut own), packet(&mut custom));
            prop_assert_eq!(&expected, &got);
            if expected.is_empty() {
                break;
            }
        }
        prop_assert!(!own.has_unsent() && !custom.has_unsent());
    }
}

#[derive(Debug)]
struct EarliestDeadlineFirst;

impl StreamScheduler for EarliestDeadlineFirst {
    fn rank(&mut self, waiting: &Waiting) -> u64 {
        waiting.expires.map_or(u64::MAX, Instant::as_nanos)
    }
}

#[test]
fn deadlines_may_decide() {
    let mut config = AssociationConfig::default();
    config.custom_scheduler(|| Box::new(EarliestDeadlineFirst));
    let mut queue = SendQueue::new(&config);
    queue.negotiated(1024, true);
    for (stream, ms) in [(1, 300), (2, 100), (3, 200)] {
        let lifetime = std::time::Duration::from_millis(ms);
        let info = SendInfo::default().reliability(Reliability::Lifetime(lifetime));
        let data = Bytes::from(vec![0; 150]);
        queue
            .push(Instant::EPOCH, StreamId(stream), data, info)
            .unwrap();
    }
    send(&mut queue, 0, 10);
    let mut turns = streams(&mut queue, 9);
    turns.dedup();
    assert_eq!(turns, [2, 3, 1, 0]);
}

#[test]
fn a_change_of_scheduler_interrupts_no_message_that_is_not_to_be() {
    for interleaving in [false, true] {
        let mut queue = queue(SchedulerKind::RoundRobin, interleaving);
        for stream in [2, 1, 0] {
            queue.set_priority(StreamId(stream), 10 + stream);
            send(&mut queue, stream, 250);
        }
        assert_eq!(streams(&mut queue, 1), [2]);
        queue.set_scheduler(SchedulerKind::Priority, None);
        let expected = match interleaving {
            false => [2, 2, 0, 0, 0, 1, 1, 1],
            true => [0, 0, 0, 1, 1, 1, 2, 2],
        };
        let got: Vec<u16> =
            std::iter::from_fn(|| Some(packet(&mut queue)).filter(|p| !p.is_empty()))
                .flatten()
                .map(|(stream, _)| stream)
                .collect();
        let mut got = got;
        got.dedup();
        let mut expected = expected.to_vec();
        expected.dedup();
        assert_eq!(got, expected);
        assert!(!queue.has_unsent());
    }
}

#[test]
fn streams_know_their_values() {
    let mut queue = queue(SchedulerKind::Priority, true);
    assert_eq!(queue.priority(StreamId(3)), 256);
    queue.set_priority(StreamId(3), 7);
    assert_eq!(queue.priority(StreamId(3)), 7);
}
