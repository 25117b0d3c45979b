//! Our endpoint and another stack's, both in memory, over the seeded network in virtual time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, EndpointConfig, ErrorDetection, Event,
    Instant, Ppid, ReconfigOutcome, Reliability, SendError, SendInfo, ServerConfig, StreamId,
};
use sctp_tests::{
    host::Host,
    net::{Datagram, Link, Net, Verdict},
    rng::Rng,
};

use crate::tshark;

/// The one identifier that every stack here can send.
const PPID: Ppid = Ppid(53);
/// The SCTP port of both sides.
pub(crate) const PORT: u16 = 5000;
/// The largest packet of either side.
pub(crate) const PACKET: usize = 1200;
/// Steps of the network after which a scenario counts as stuck.
const STEPS: usize = 2_000_000;

/// What goes on streams from this one on is given up when it would have to be sent again.
const UNRELIABLE: u16 = 10;

/// A user message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Msg {
    pub(crate) stream: u16,
    pub(crate) unordered: bool,
    pub(crate) data: Vec<u8>,
}

impl Msg {
    /// How often it may be sent again, if that is limited.
    pub(crate) fn retransmits(&self) -> Option<u16> {
        (self.stream >= UNRELIABLE).then_some(0)
    }
}

/// How an association ended, as the other stack tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Gracefully,
    Aborted,
}

/// Another stack: one endpoint with at most one association.
pub(crate) trait Peer {
    /// Whether a shutdown that it begins ends well with anybody.
    const CAN_SHUT_DOWN: bool = true;
    fn connect(&mut self, now: Instant);
    /// Takes a SCTP packet.
    fn receive(&mut self, now: Instant, packet: &[u8]);
    /// Runs the timers that are due and hands out the packets to be sent.
    fn poll(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>);
    fn timeout(&self) -> Option<Instant>;
    fn is_established(&self) -> bool;
    /// Queues a message; false if there is no room now.
    fn send(&mut self, now: Instant, message: &Msg) -> bool;
    fn recv(&mut self) -> Option<Msg>;
    /// Resets an outgoing stream (RFC 6525).
    fn reset(&mut self, now: Instant, stream: u16);
    /// Whether our side has reset this stream.
    fn saw_reset(&self, stream: u16) -> bool;
    fn shutdown(&mut self, now: Instant);
    fn abort(&mut self, now: Instant);
    fn ended(&self) -> Option<Ended>;
}

/// Who does something first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Us,
    Them,
}

/// The two stacks, the network between them and what goes over it.
pub(crate) struct Stage<P> {
    pub(crate) them: P,
    pub(crate) us: Host,
    now: Instant,
    net: Net,
    addrs: [SocketAddr; 2],
    from_us: VecDeque<Msg>,
    from_them: VecDeque<Msg>,
    pub(crate) got_us: Vec<Msg>,
    pub(crate) got_them: Vec<Msg>,
}

impl<P: Peer> Stage<P> {
    /// Sets up an association that `first` begins.
    pub(crate) fn connected(
        them: P,
        first: Side,
        link: Link,
        change: impl Fn(&mut AssociationConfig),
    ) -> Self {
        let addrs = ["10.0.0.1:9899", "10.0.0.2:9899"].map(|a| a.parse().expect("an address"));
        let mut config = AssociationConfig::default();
        config.heartbeat_interval(None).path_mtu(PACKET as u16 + 28);
        config.local_port(Some(PORT)).remote_port(PORT);
        change(&mut config);
        let mut server = ServerConfig::default();
        server.port(PORT).association(config.clone().into());
        let mut us = Host::new(
            &addrs[..1],
            EndpointConfig::default(),
            Some(server),
            [7; 32],
        );
        us.auto_accept = true;
        us.unchecked = config.validate_error_detection(None).is_err();
        let mut stage = Self {
            them,
            us,
            now: Instant::EPOCH,
            net: Net::new(7, link),
            addrs,
            from_us: VecDeque::new(),
            from_them: VecDeque::new(),
            got_us: Vec::new(),
            got_them: Vec::new(),
        };
        match first {
            Side::Us => stage
                .us
                .connect(stage.now, config, &addrs[1..])
                .expect("connect"),
            Side::Them => stage.them.connect(stage.now),
        }
        stage.run_until("the association is up", |stage| {
            stage.state() == Some(AssociationState::Established) && stage.them.is_established()
        });
        stage
    }

    fn state(&mut self) -> Option<AssociationState> {
        self.us.conns.last().map(|conn| conn.association.state())
    }

    /// Queues a message of ours.
    pub(crate) fn send_us(&mut self, message: Msg) {
        self.from_us.push_back(message);
    }

    /// Queues a message of theirs.
    pub(crate) fn send_them(&mut self, message: Msg) {
        self.from_them.push_back(message);
    }

    /// Runs until everything queued on either side was received at the other.
    pub(crate) fn exchange(&mut self) {
        let expect_us = self.got_us.len() + self.from_them.len();
        let expect_them = self.got_them.len() + self.from_us.len();
        self.run_until("all messages are delivered", |stage| {
            stage.got_us.len() >= expect_us && stage.got_them.len() >= expect_them
        });
        assert_eq!(
            (self.got_us.len(), self.got_them.len()),
            (expect_us, expect_them)
        );
    }

    /// Shuts down from one side; both must see a graceful end.
    pub(crate) fn shut_down(&mut self, first: Side) {
        match first {
            Side::Us => {
                let now = self.now;
                self.us.conn().association.shutdown(now);
            }
            Side::Them => self.them.shutdown(self.now),
        }
        self.run_until("both sides are closed", |stage| {
            stage.us.conn().closed.is_some() && stage.them.ended().is_some()
        });
        assert_eq!(self.us.conn().closed, Some(CloseReason::Shutdown));
        assert_eq!(self.them.ended(), Some(Ended::Gracefully));
    }

    /// Aborts from one side; the other must see it.
    pub(crate) fn abort(&mut self, first: Side) {
        let now = self.now;
        match first {
            Side::Us => self.us.conn().association.abort(now, "enough".into()),
            Side::Them => self.them.abort(now),
        }
        self.run_until("both sides are closed", |stage| {
            stage.us.conn().closed.is_some() && stage.them.ended().is_some()
        });
        match first {
            Side::Us => assert_eq!(self.them.ended(), Some(Ended::Aborted)),
            Side::Them => {
                let reason = self.us.conn().closed.clone();
                assert!(
                    matches!(reason, Some(CloseReason::PeerAbort(_))),
                    "{reason:?}"
                );
            }
        }
    }

    /// Resets a stream of ours; they must see it, and the answer must come back.
    pub(crate) fn reset_us(&mut self, stream: u16) {
        let now = self.now;
        let association = &mut self.us.conn().association;
        association
            .reset_streams(now, &[StreamId(stream)])
            .expect("reset");
        self.run_until("our stream is reset", |stage| {
            let done = |event: &Event| {
                matches!(
                    event,
                    Event::OutgoingReset {
                        outcome: ReconfigOutcome::Performed,
                        ..
                    }
                )
            };
            stage.them.saw_reset(stream) && stage.us.conn().events.iter().any(done)
        });
    }

    /// Resets a stream of theirs; we must see it.
    pub(crate) fn reset_them(&mut self, stream: u16) {
        self.them.reset(self.now, stream);
        self.run_until("their stream is reset", |stage| {
            let seen = |event: &Event| {
                matches!(event, Event::IncomingReset { streams, .. } if streams.contains(&StreamId(stream)))
            };
            stage.us.conn().events.iter().any(seen)
        });
    }

    /// Has tshark look at all packets so far.
    pub(crate) fn judge(&self, name: &str) {
        tshark::judge(name, &self.net.trace);
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        for _ in 0..STEPS {
            self.flush();
            if done(self) {
                return;
            }
            let times = [
                self.net.next_arrival(),
                self.us.timeout(),
                self.them.timeout(),
            ];
            let Some(next) = times.into_iter().flatten().min() else {
                self.fail(&format!("nothing will happen any more before {what}"));
            };
            self.now = self.now.max(next);
            while let Some(datagram) = self.net.poll(self.now) {
                if datagram.to == self.addrs[0] {
                    self.us.receive(self.now, datagram);
                } else if datagram.to == self.addrs[1] {
                    self.them.receive(self.now, &datagram.payload);
                }
            }
        }
        self.fail(&format!("stuck before {what}"));
    }

    fn fail(&self, why: &str) -> ! {
        let conn = self.us.conns.last();
        panic!(
            "{why}: at {:?} we have {:?}, closed {:?}, events {:?}; they ended {:?}; received {} and {} messages; packets in {:?}",
            self.now,
            conn.map(|conn| conn.association.state()),
            conn.map(|conn| &conn.closed),
            conn.map(|conn| &conn.events),
            self.them.ended(),
            self.got_us.len(),
            self.got_them.len(),
            self.net.trace.write("interop"),
        );
    }

    /// Hands over what either side can take, and puts what they send on the wire.
    fn flush(&mut self) {
        while let Some(message) = self.from_them.front() {
            if !self.them.send(self.now, message) {
                break;
            }
            self.from_them.pop_front();
        }
        if let Some(conn) = self.us.conns.last_mut() {
            while let Some(message) = self.from_us.front() {
                let mut info = SendInfo::new(PPID).unordered(message.unordered);
                if let Some(most) = message.retransmits() {
                    info = info.reliability(Reliability::MaxRetransmits(most));
                }
                let data = message.data.clone().into();
                match conn
                    .association
                    .send(self.now, StreamId(message.stream), data, info)
                {
                    Ok(()) => drop(self.from_us.pop_front()),
                    Err(SendError::Blocked(_)) => break,
                    Err(error) => panic!("send: {error}"),
                }
            }
            while let Some(message) = conn.association.recv_any() {
                assert!(message.complete, "no message here needs partial delivery");
                assert_eq!(message.ppid, PPID);
                self.got_us.push(Msg {
                    stream: message.stream.0,
                    unordered: message.unordered,
                    data: message.data.into_bytes().to_vec(),
                });
            }
        }
        while let Some(message) = self.them.recv() {
            self.got_them.push(message);
        }
        self.us.poll(self.now);
        while let Some(datagram) = self.us.take_packet() {
            self.net.send(self.now, datagram);
        }
        let mut packets = Vec::new();
        self.them.poll(self.now, &mut packets);
        for payload in packets {
            let datagram = Datagram {
                from: self.addrs[1],
                to: self.addrs[0],
                payload,
                dont_fragment: false,
                ecn: None,
            };
            self.net.send(self.now, datagram);
        }
    }
}

/// Messages of all sizes on a few streams: some of a byte, some of many packets, some unordered.
pub(crate) fn messages(seed: u64, count: usize) -> Vec<Msg> {
    assert!(count <= 256, "the first byte of a message is its number");
    let mut rng = Rng::new(seed);
    let sizes = [
        1,
        2,
        3,
        4,
        5,
        100,
        PACKET - 29,
        PACKET - 28,
        PACKET - 27,
        PACKET,
        5000,
        60_000,
    ];
    let one = |index| {
        let size = sizes[rng.below(sizes.len())];
        let mut data = rng.bytes(size);
        data[0] = index as u8;
        Msg {
            stream: rng.below(5) as u16,
            unordered: rng.chance(0.1),
            data,
        }
    };
    (0..count).map(one).collect()
}

/// What the network does in the scenarios that are not about a clean one.
pub(crate) fn lossy() -> Link {
    Link {
        delay: Duration::from_millis(20),
        loss: 0.02,
        reorder: 0.01,
        duplicate: 0.01,
        ..Link::default()
    }
}

/// Panics unless `got` are the messages `sent`, of each stream the ordered ones in order. (Whether
/// a message was unordered not every stack tells.)
pub(crate) fn assert_same(sent: &[Msg], got: &[Msg]) {
    assert_eq!(sent.len(), got.len(), "number of messages");
    let mut seen = vec![false; sent.len()];
    let mut latest = HashMap::new();
    for message in got {
        let index = usize::from(message.data[0]);
        let original = &sent[index];
        assert!(
            !std::mem::replace(&mut seen[index], true),
            "message {index} came twice"
        );
        assert_eq!(message.stream, original.stream, "message {index}");
        assert!(
            message.data == original.data,
            "message {index} has other content"
        );
        if !original.unordered {
            let before = latest.insert(message.stream, index);
            assert!(
                before < Some(index),
                "message {index} came after {before:?}"
            );
        }
    }
}

/// An association that `first` begins, a message or two each way over a clean network, and the end
/// that the other side begins.
pub(crate) fn hello<P: Peer>(name: &str, them: P, first: Side) {
    let mut stage = Stage::connected(them, first, Link::default(), |_| {});
    let (ours, theirs) = (messages(1, 3), messages(2, 3));
    ours.iter()
        .for_each(|message| stage.send_us(message.clone()));
    theirs
        .iter()
        .for_each(|message| stage.send_them(message.clone()));
    stage.exchange();
    assert_same(&ours, &stage.got_them);
    assert_same(&theirs, &stage.got_us);
    stage.shut_down(match first {
        Side::Us if P::CAN_SHUT_DOWN => Side::Them,
        _ => Side::Us,
    });
    stage.judge(name);
}

/// Messages each way, without checksums once both sides have said that they take them so.
pub(crate) fn without_checksums<P: Peer>(them: P, first: Side) {
    let mut stage = Stage::connected(them, first, Link::default(), |config| {
        config.zero_checksum(Some(ErrorDetection::Dtls));
    });
    let counts = Arc::new(Mutex::new([[0; 2]; 2]));
    let (ours, count) = (stage.addrs[0], Arc::clone(&counts));
    stage.net.script(move |_, datagram| {
        let zero = datagram.payload[8..12] == [0; 4];
        count.lock().unwrap()[usize::from(datagram.from == ours)][usize::from(zero)] += 1;
        Verdict::Pass
    });
    let (ours, theirs) = (messages(1, 30), messages(2, 30));
    ours.iter()
        .for_each(|message| stage.send_us(message.clone()));
    theirs
        .iter()
        .for_each(|message| stage.send_them(message.clone()));
    stage.exchange();
    assert_same(&ours, &stage.got_them);
    assert_same(&theirs, &stage.got_us);
    for [checked, unchecked] in *counts.lock().unwrap() {
        assert!(checked == 0 && unchecked > 10, "{checked}, {unchecked}");
    }
    assert_eq!(stage.us.endpoint.stats().bad_checksum, 0);
    stage.shut_down(Side::Us);
}

/// Hundreds of messages of all sizes each way at once, through loss, reordering and duplication.
pub(crate) fn through_a_lossy_network<P: Peer>(
    name: &str,
    them: P,
    first: Side,
    change: impl Fn(&mut AssociationConfig),
) {
    let mut stage = Stage::connected(them, first, lossy(), change);
    let (ours, theirs) = (messages(3, 256), messages(4, 256));
    ours.iter()
        .for_each(|message| stage.send_us(message.clone()));
    theirs
        .iter()
        .for_each(|message| stage.send_them(message.clone()));
    stage.exchange();
    assert_same(&ours, &stage.got_them);
    assert_same(&theirs, &stage.got_us);
    stage.shut_down(if P::CAN_SHUT_DOWN { first } else { Side::Us });
    stage.judge(name);
}

/// Each side resets a stream, and the stream can be used again afterwards.
pub(crate) fn reset_streams<P: Peer>(name: &str, them: P, first: Side) {
    let mut stage = Stage::connected(them, first, Link::default(), |_| {});
    let on_stream_one = |text: &str| Msg {
        stream: 1,
        unordered: false,
        data: text.into(),
    };
    for (index, text) in ["before the reset", "after it"].into_iter().enumerate() {
        let message = on_stream_one(text);
        stage.send_us(message.clone());
        stage.send_them(message.clone());
        stage.exchange();
        assert_eq!(stage.got_them[index], message);
        assert_eq!(stage.got_us[index], message);
        if index == 0 {
            stage.reset_them(1);
            stage.reset_us(1);
        }
    }
    stage.judge(name);
}

/// One side aborts, the other is told.
pub(crate) fn abort<P: Peer>(name: &str, them: P, first: Side) {
    let mut stage = Stage::connected(them, Side::Us, Link::default(), |_| {});
    stage.abort(first);
    stage.judge(name);
}

/// Half of the streams are reliable: what is on the others may be missing, and nothing else is.
pub(crate) fn some_given_up<P: Peer>(
    name: &str,
    them: P,
    first: Side,
    change: impl Fn(&mut AssociationConfig),
) {
    let link = Link {
        loss: 0.1,
        ..lossy()
    };
    let mut stage = Stage::connected(them, first, link, change);
    let sent = [messages(5, 200), messages(6, 200)].map(|messages| {
        let unreliable = |mut message: Msg| {
            message.stream += if message.stream % 2 == 1 {
                UNRELIABLE
            } else {
                0
            };
            message
        };
        messages.into_iter().map(unreliable).collect::<Vec<_>>()
    });
    let [ours, theirs] = &sent;
    ours.iter().cloned().for_each(|m| stage.send_us(m));
    theirs.iter().cloned().for_each(|m| stage.send_them(m));
    let reliable = |messages: &[Msg]| -> Vec<Msg> {
        let kept = messages.iter().filter(|m| m.retransmits().is_none());
        kept.cloned().collect()
    };
    let counts = [reliable(ours).len(), reliable(theirs).len()];
    stage.run_until("what is reliable has arrived", |stage| {
        stage.from_us.is_empty()
            && stage.from_them.is_empty()
            && reliable(&stage.got_them).len() == counts[0]
            && reliable(&stage.got_us).len() == counts[1]
    });
    stage.shut_down(if P::CAN_SHUT_DOWN { first } else { Side::Us });
    for (sent, got) in [(ours, &stage.got_them), (theirs, &stage.got_us)] {
        let mut last = HashMap::new();
        let mut seen = HashSet::new();
        for message in got {
            // The first byte of a message is its number.
            let this = |m: &Msg| (m.stream, &m.data) == (message.stream, &message.data);
            let place = sent.iter().position(this);
            let place = place.expect("a message that was sent");
            assert!(seen.insert(place), "message {place} came twice");
            if !sent[place].unordered {
                let before = last.insert(message.stream, place);
                assert!(before < Some(place), "{before:?} came before {place}");
            }
        }
        let missing = (0..sent.len()).filter(|place| !seen.contains(place));
        let missing: Vec<_> = missing.map(|place| sent[place].retransmits()).collect();
        assert!(!missing.is_empty() && missing.iter().all(Option::is_some));
    }
    let stats = stage.us.conns[0].association.stats();
    assert!(
        stats.forward_tsns_sent > 0 && stats.forward_tsns_received > 0,
        "{stats:?}"
    );
    stage.judge(name);
}
