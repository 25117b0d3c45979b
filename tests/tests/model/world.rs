//! Two hosts, their automata, the packets between them, and all that can happen next.
//!
//! Each host has a clock of its own, which moves when a timer of that host runs out and at no
//! other time: any timer may run out before any packet arrives, and before any timer of the other
//! host.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, EndpointConfig, Event, Instant, SendInfo,
    ServerConfig, StreamId,
};
use sctp_tests::{
    codec::{Chunk, Packet, kind},
    host::Host,
    net::Datagram,
    rng::Rng,
};

use crate::automaton::{Automaton, MAX_INIT_RETRANSMITS, Said};

const PORTS: [u16; 2] = [5000, 80];

/// How a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Closed,
    /// After a handshake that the first host began.
    Established,
}

/// How often each thing may happen, at either host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) start: Start,
    pub(crate) drops: u8,
    pub(crate) duplicates: u8,
    pub(crate) timers: [u8; 2],
    pub(crate) connects: [u8; 2],
    pub(crate) sends: [u8; 2],
    pub(crate) shutdowns: [u8; 2],
    pub(crate) aborts: [u8; 2],
    pub(crate) crashes: [u8; 2],
}

impl Bounds {
    pub(crate) const NONE: Self = Self {
        start: Start::Closed,
        drops: 0,
        duplicates: 0,
        timers: [0; 2],
        connects: [0; 2],
        sends: [0; 2],
        shutdowns: [0; 2],
        aborts: [0; 2],
        crashes: [0; 2],
    };
}

/// One step. Packets are named by their place on the wire, hosts by 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Deliver(u8),
    /// A copy arrives, the packet stays on the wire.
    Duplicate(u8),
    Drop(u8),
    Timer(u8),
    Connect(u8),
    Send(u8),
    Shutdown(u8),
    Abort(u8),
    /// The host forgets everything.
    Crash(u8),
}

/// A packet on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) to: usize,
    payload: Vec<u8>,
}

/// A host and what is known about it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) host: Host,
    pub(crate) now: Instant,
    pub(crate) model: Automaton,
    /// Of each of its associations: messages taken, less those that came back.
    pub(crate) sent: Vec<Vec<Bytes>>,
    crashes: u8,
    messages: u8,
}

/// Both.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sides: [Side; 2],
    pub(crate) wire: Vec<Flight>,
    pub(crate) left: Bounds,
    /// How often each message reached a user.
    pub(crate) delivered: BTreeMap<Bytes, u32>,
    /// No user aborted, no host crashed, no attempt was given up: the end of an association is
    /// known to both sides.
    pub(crate) orderly: bool,
}

fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + side as u8], 9899))
}

fn settings(side: usize) -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config
        .local_port(Some(PORTS[side]))
        .remote_port(PORTS[1 - side])
        .heartbeat_interval(None)
        .sack_frequency(1)
        .max_init_retransmits(MAX_INIT_RETRANSMITS)
        .interleaving(false)
        .stream_reset(false);
    config
}

fn host(side: usize, life: u8) -> Host {
    let mut server = ServerConfig::default();
    server
        .port(PORTS[side])
        .association(Arc::new(settings(side)));
    let seed = Rng::new(1 + side as u64 + 2 * u64::from(life)).seed();
    let endpoint = EndpointConfig::default();
    Host::new(&[address(side)], endpoint, Some(server), seed)
}

/// What a step may break, with how.
pub(crate) type Checked = Result<(), String>;

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let side = |side| Side {
            host: host(side, 0),
            now: Instant::from_nanos(1_000_000_000),
            model: Automaton::default(),
            sent: Vec::new(),
            crashes: 0,
            messages: 0,
        };
        let mut world = Self {
            sides: [side(0), side(1)],
            wire: Vec::new(),
            left: bounds,
            delivered: BTreeMap::new(),
            orderly: true,
        };
        if bounds.start == Start::Established {
            world.left.connects[0] += 1;
            let mut next = Choice::Connect(0);
            loop {
                world.step(next).expect("the handshake");
                if world.wire.is_empty() {
                    break;
                }
                next = Choice::Deliver(0);
            }
        }
        world
    }

    /// Everything that can happen now.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        for at in 0..self.wire.len() {
            // Of equal packets, it does not matter which.
            if self.wire[..at].contains(&self.wire[at]) {
                continue;
            }
            choices.push(Choice::Deliver(at as u8));
            if self.left.duplicates > 0 {
                choices.push(Choice::Duplicate(at as u8));
            }
            if self.left.drops > 0 {
                choices.push(Choice::Drop(at as u8));
            }
        }
        for (index, side) in self.sides.iter().enumerate() {
            let at = index as u8;
            let state = side.model.state;
            let closed = state == AssociationState::Closed;
            let mut offer = |choice, left: [u8; 2], possible: bool| {
                if left[index] > 0 && possible {
                    choices.push(choice);
                }
            };
            let left = &self.left;
            offer(
                Choice::Timer(at),
                left.timers,
                side.host.timeout().is_some(),
            );
            offer(Choice::Connect(at), left.connects, closed);
            offer(Choice::Send(at), left.sends, !closed);
            offer(Choice::Shutdown(at), left.shutdowns, !closed);
            offer(Choice::Abort(at), left.aborts, !closed);
            offer(Choice::Crash(at), left.crashes, !closed);
        }
        choices
    }

    /// Lets one thing happen, to a host and to its automaton, and compares them.
    pub(crate) fn step(&mut self, choice: Choice) -> Checked {
        match choice {
            Choice::Deliver(at) => {
                let flight = self.wire.remove(usize::from(at));
                self.arrive(flight)
            }
            Choice::Duplicate(at) => {
                self.left.duplicates -= 1;
                self.arrive(self.wire[usize::from(at)].clone())
            }
            Choice::Drop(at) => {
                self.left.drops -= 1;
                self.wire.remove(usize::from(at));
                Ok(())
            }
            Choice::Timer(at) => {
                self.left.timers[usize::from(at)] -= 1;
                self.run_timer(usize::from(at))
            }
            Choice::Connect(at) => self.connect(usize::from(at)),
            Choice::Send(at) => self.send(usize::from(at)),
            Choice::Shutdown(at) => {
                let at = usize::from(at);
                self.left.shutdowns[at] -= 1;
                let side = &mut self.sides[at];
                side.host.conn().association.shutdown(side.now);
                let expected = side.model.shutdown();
                self.compare(at, expected)
            }
            Choice::Abort(at) => {
                let at = usize::from(at);
                self.left.aborts[at] -= 1;
                self.orderly = false;
                let side = &mut self.sides[at];
                let reason = Bytes::from_static(b"enough");
                side.host.conn().association.abort(side.now, reason);
                let expected = side.model.abort();
                self.compare(at, expected)
            }
            Choice::Crash(at) => {
                let at = usize::from(at);
                self.left.crashes[at] -= 1;
                self.orderly = false;
                let side = &mut self.sides[at];
                side.crashes += 1;
                side.host = host(at, side.crashes);
                side.model = Automaton::default();
                side.sent.clear();
                Ok(())
            }
        }
    }

    fn connect(&mut self, at: usize) -> Checked {
        self.left.connects[at] -= 1;
        let side = &mut self.sides[at];
        let connected = side
            .host
            .connect(side.now, settings(at), &[address(1 - at)]);
        connected.map_err(|error| format!("cannot connect: {error}"))?;
        let expected = side.model.connect();
        self.compare(at, expected)
    }

    fn send(&mut self, at: usize) -> Checked {
        self.left.sends[at] -= 1;
        let side = &mut self.sides[at];
        side.messages += 1;
        let message = Bytes::from(format!("message {} of {at}", side.messages));
        let association = &mut side.host.conn().association;
        let sent = association.send(side.now, StreamId(1), message.clone(), SendInfo::default());
        if sent.is_ok() != side.model.send() {
            return Err(format!("the user's message: {sent:?}"));
        }
        if sent.is_ok() {
            let index = side.host.conns.len() - 1;
            side.sent.resize_with(index + 1, Vec::new);
            side.sent[index].push(message);
        }
        self.compare(at, Vec::new())
    }

    fn arrive(&mut self, flight: Flight) -> Checked {
        let at = flight.to;
        let packet = Packet::decode(&flight.payload)?;
        let side = &mut self.sides[at];
        let datagram = Datagram {
            from: address(1 - at),
            to: address(at),
            payload: flight.payload,
            dont_fragment: true,
            ecn: None,
        };
        side.host.receive(side.now, datagram);
        let expected = side.model.receive(&packet);
        self.compare(at, expected)
            .map_err(|why| format!("after {packet:?}: {why}"))
    }

    /// Lets the host's next timer run out. A deadline may be a left-over of a timer that was put
    /// off: then it is the one after it.
    fn run_timer(&mut self, at: usize) -> Checked {
        let before = self.sides[at].model.state;
        let expected = self.sides[at].model.timer();
        let side = &mut self.sides[at];
        for _ in 0..8 {
            let Some(deadline) = side.host.timeout() else {
                break;
            };
            side.now = side.now.max(deadline);
            let sent = side.host.conn().association.stats().packets_sent;
            side.host.poll(side.now);
            let association = &side.host.conn().association;
            if association.state() != before || association.stats().packets_sent > sent {
                break;
            }
        }
        if before != side.model.state {
            self.orderly = false;
        }
        self.compare(at, expected)
    }

    /// Takes what the host has to send and to tell, and holds it against the automaton.
    fn compare(&mut self, at: usize, mut expected: Vec<Said>) -> Checked {
        let packets = self.settle(at);
        let side = &mut self.sides[at];
        let mut said = Vec::new();
        for packet in &packets {
            side.model.observe(packet)?;
            for chunk in &packet.chunks {
                if chunk.kind == kind::DATA {
                    if !side.model.may_send_data(packet) {
                        return Err(format!("DATA in {:?}", side.model.state));
                    }
                } else {
                    said.push((packet.tag, chunk.kind, t_bit(chunk)));
                }
            }
        }
        said.sort_unstable();
        expected.sort_unstable();
        if said != expected {
            return Err(format!("host {at} says {said:?}, the model {expected:?}"));
        }
        let state = side.state();
        if state != side.model.state {
            let model = side.model.state;
            return Err(format!("host {at} is in {state:?}, the model in {model:?}"));
        }
        Ok(())
    }

    /// Polls a host: packets go on the wire, messages to the user.
    pub(crate) fn settle(&mut self, at: usize) -> Vec<Packet> {
        let side = &mut self.sides[at];
        side.host.poll(side.now);
        for conn in &mut side.host.conns {
            while let Some(message) = conn.association.recv_any() {
                *self.delivered.entry(message.data.into_bytes()).or_default() += 1;
            }
        }
        side.host.poll(side.now);
        let mut packets = Vec::new();
        while let Some(datagram) = side.host.take_packet() {
            packets.push(Packet::decode(&datagram.payload).expect("a packet of the host"));
            self.wire.push(Flight {
                to: 1 - at,
                payload: datagram.payload,
            });
        }
        side.sent.resize_with(side.host.conns.len(), Vec::new);
        for (conn, sent) in side.host.conns.iter_mut().zip(&mut side.sent) {
            for event in conn.events.drain(..) {
                if let Event::SendFailed { data, .. } = event {
                    sent.retain(|message| *message != data);
                }
            }
        }
        packets
    }

    /// Everything that decides about the future, as text; times are left out.
    pub(crate) fn describe(&self, out: &mut String) {
        use std::fmt::Write;
        let mut wire: Vec<_> = self.wire.iter().collect();
        wire.sort();
        let (left, orderly, delivered) = (&self.left, self.orderly, &self.delivered);
        write!(out, "{wire:?}{left:?}{orderly}{delivered:?}").expect("a string");
        for side in &self.sides {
            let Side { model, sent, .. } = side;
            write!(out, "{model:?}{sent:?}").expect("a string");
            for conn in side.host.conns.iter().filter(|conn| conn.closed.is_none()) {
                write!(out, "{:?}", conn.association).expect("a string");
            }
        }
    }
}

impl Side {
    /// The state of its latest association.
    pub(crate) fn state(&self) -> AssociationState {
        let latest = self.host.conns.last();
        latest.map_or(AssociationState::Closed, |conn| conn.association.state())
    }

    /// Whether its latest association ended gracefully.
    pub(crate) fn shut_down(&self) -> bool {
        let latest = self.host.conns.last();
        latest.is_some_and(|conn| conn.closed == Some(CloseReason::Shutdown))
    }
}

fn t_bit(chunk: &Chunk) -> bool {
    matches!(chunk.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE) && chunk.t_bit()
}

/// From here on nothing is lost and no user does anything.
impl World {
    /// Runs until nothing is left to happen; whoever believes to have an association then asks the
    /// peer, and it goes on until nothing is left again. False if it never ends.
    pub(crate) fn come_to_rest(&mut self) -> bool {
        if !self.run_out() {
            return false;
        }
        for at in 0..2 {
            let side = &mut self.sides[at];
            if side.state() == AssociationState::Established {
                let conn = side.host.conn();
                let path = conn.association.paths().next().expect("a path").id;
                let asked = conn.association.request_heartbeat(side.now, path);
                asked.expect("the path exists");
                self.settle(at);
            }
        }
        self.run_out()
    }

    fn run_out(&mut self) -> bool {
        for _ in 0..300 {
            if !self.wire.is_empty() {
                let flight = self.wire.remove(0);
                let at = flight.to;
                let side = &mut self.sides[at];
                let datagram = Datagram {
                    from: address(1 - at),
                    to: address(at),
                    payload: flight.payload,
                    dont_fragment: true,
                    ecn: None,
                };
                side.host.receive(side.now, datagram);
                self.settle(at);
                continue;
            }
            // The timer that has the least time to run.
            let times = self.sides.iter().enumerate().filter_map(|(at, side)| {
                let deadline = side.host.timeout()?;
                Some((deadline.saturating_duration_since(side.now), at))
            });
            let Some((wait, at)) = times.min() else {
                return true;
            };
            for side in &mut self.sides {
                side.now += wait.max(Duration::from_nanos(1));
            }
            self.settle(at);
            self.settle(1 - at);
        }
        false
    }
}
