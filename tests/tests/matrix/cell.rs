//! One cell: a packet in, and everything that can be seen of what it brought about.

use sctp_proto::{AssociationState, Event, Instant};
use sctp_tests::{
    build::{cookie_ack, heartbeat, init_ack, shutdown_ack},
    codec::{Chunk, Packet, kind},
    net::Datagram,
    peer::{COOKIE, Peer, TAG},
};

/// A tag that belongs to nobody.
pub(crate) const STRANGE: u32 = 0x0bad_0bad;

/// What a host did with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The packets it sent.
    pub(crate) answers: Vec<Answer>,
    /// The state after; `None` where there is no association.
    pub(crate) state: Option<AssociationState>,
    /// What the user was told, in short.
    pub(crate) told: Vec<Told>,
}

/// A packet of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its verification tag.
    pub(crate) tag: u32,
    /// Types of its chunks.
    pub(crate) kinds: Vec<u8>,
    /// The T bit of its first chunk.
    pub(crate) reflected: bool,
    /// The first cause of its ABORT or ERROR.
    pub(crate) cause: Option<u16>,
}

/// The events that say how the association stands. Others do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Established,
    Restarted,
    PeerShutdown,
    PeerError,
    Readable,
    Closed,
}

impl Outcome {
    /// No answer, no event.
    pub(crate) fn silence(state: Option<AssociationState>) -> Self {
        Self {
            answers: Vec::new(),
            state,
            told: Vec::new(),
        }
    }

    pub(crate) fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    pub(crate) fn enter(mut self, state: AssociationState) -> Self {
        self.state = Some(state);
        self
    }

    pub(crate) fn tell(mut self, told: Told) -> Self {
        self.told.push(told);
        self
    }

    /// The association is over.
    pub(crate) fn close(self) -> Self {
        self.enter(AssociationState::Closed).tell(Told::Closed)
    }
}

impl Answer {
    /// One packet with one chunk.
    pub(crate) fn of(tag: u32, kind: u8) -> Self {
        Self {
            tag,
            kinds: vec![kind],
            reflected: false,
            cause: None,
        }
    }

    /// With the T bit set: the tag is the one of the packet that it answers.
    pub(crate) fn reflecting(tag: u32, kind: u8) -> Self {
        Self {
            reflected: true,
            ..Self::of(tag, kind)
        }
    }

    pub(crate) fn cause(mut self, cause: u16) -> Self {
        self.cause = Some(cause);
        self
    }

    fn seen(packet: &Packet) -> Self {
        let first = &packet.chunks[0];
        let flagged = matches!(first.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE);
        let report = packet
            .chunks
            .iter()
            .find(|chunk| matches!(chunk.kind, kind::ABORT | kind::ERROR));
        Self {
            tag: packet.tag,
            kinds: packet.chunks.iter().map(|chunk| chunk.kind).collect(),
            reflected: flagged && first.t_bit(),
            cause: report.and_then(Chunk::cause),
        }
    }
}

/// The state of the host's latest association.
pub(crate) fn state_of(peer: &Peer) -> Option<AssociationState> {
    peer.host.conns.last().map(|conn| conn.association.state())
}

/// Gives the host a packet; what it sends is not checked here.
pub(crate) fn give(peer: &mut Peer, tag: u32, chunks: Vec<Chunk>) -> (Outcome, Vec<Packet>) {
    let datagram = Datagram {
        from: peer.addr,
        to: peer.host.addrs[0],
        payload: peer.packet(tag, chunks).encode(),
        dont_fragment: true,
        ecn: None,
    };
    peer.host.receive(peer.now, datagram);
    peer.host.poll(peer.now);
    let mut packets = Vec::new();
    while let Some(datagram) = peer.host.take_packet() {
        assert_eq!(datagram.to, peer.addr, "answers go where packets came from");
        packets.push(Packet::decode(&datagram.payload).expect("a packet of the host"));
    }
    let events = peer.host.conns.iter_mut().flat_map(|c| c.events.drain(..));
    let told = events.filter_map(|event| match event {
        Event::Established { restarted: false } => Some(Told::Established),
        Event::Established { restarted: true } => Some(Told::Restarted),
        Event::PeerShutdown => Some(Told::PeerShutdown),
        Event::PeerError(_) => Some(Told::PeerError),
        Event::Readable(_) => Some(Told::Readable),
        Event::Closed(_) => Some(Told::Closed),
        _ => None,
    });
    let outcome = Outcome {
        told: told.collect(),
        answers: packets.iter().map(Answer::seen).collect(),
        state: state_of(peer),
    };
    (outcome, packets)
}

/// Whether the TCB is alive and goes by these tags: a packet that every such association answers.
fn probe(peer: &mut Peer, own: u32, peers: u32) -> Result<(), String> {
    let state = state_of(peer);
    let (chunk, answer) = match state {
        None | Some(AssociationState::Closed) => return Ok(()),
        Some(AssociationState::CookieWait) => (
            init_ack(peers, COOKIE).into(),
            Answer::of(peers, kind::COOKIE_ECHO),
        ),
        Some(AssociationState::CookieEchoed) => {
            let (seen, _) = give(peer, own, vec![cookie_ack()]);
            if seen.state != Some(AssociationState::Established) {
                return Err(format!("COOKIE ACK established nothing: {seen:?}"));
            }
            return probe(peer, own, peers);
        }
        Some(AssociationState::ShutdownSent | AssociationState::ShutdownAckSent) => {
            (shutdown_ack(), Answer::of(peers, kind::SHUTDOWN_COMPLETE))
        }
        Some(_) => (heartbeat(b"probe"), Answer::of(peers, kind::HEARTBEAT_ACK)),
    };
    let (seen, _) = give(peer, own, vec![chunk]);
    if seen.answers == [answer] {
        Ok(())
    } else {
        Err(format!("the TCB in {state:?} does not answer: {seen:?}"))
    }
}

/// Counts cells and collects what deviates.
#[derive(Debug)]
pub(crate) struct Matrix {
    name: &'static str,
    cells: usize,
    deviations: Vec<String>,
}

/// What a cell is before its packet arrives, and after.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) outcome: Outcome,
    /// The tags that the TCB goes by afterwards: the host's, the peer's.
    pub(crate) tags: (u32, u32),
}

impl Matrix {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            cells: 0,
            deviations: Vec::new(),
        }
    }

    /// Runs one cell; gives the packets of the host.
    pub(crate) fn cell(
        &mut self,
        what: &dyn std::fmt::Debug,
        peer: &mut Peer,
        tag: u32,
        chunks: Vec<Chunk>,
        expected: &Expected,
    ) -> Vec<Packet> {
        self.cells += 1;
        let before = (state_of(peer), deadline(peer));
        let own = peer.host_tag;
        let (seen, packets) = give(peer, tag, chunks);
        if seen != expected.outcome {
            let outcome = &expected.outcome;
            self.deviates(
                what,
                &format!("expected {outcome:?}\n    seen     {seen:?}"),
            );
            return packets;
        }
        if seen == Outcome::silence(before.0) && before.1 != deadline(peer) {
            self.deviates(what, "a timer was touched");
        }
        let (new_own, peers) = expected.tags;
        if own != new_own {
            let (late, _) = give(peer, own, vec![heartbeat(b"late")]);
            if late != Outcome::silence(seen.state) {
                self.deviates(what, &format!("the old tag lives on: {late:?}"));
            }
        }
        if let Err(why) = probe(peer, new_own, peers) {
            self.deviates(what, &why);
        }
        packets
    }

    /// Notes a deviation.
    pub(crate) fn deviates(&mut self, what: &dyn std::fmt::Debug, how: &str) {
        self.deviations.push(format!("{what:?}\n    {how}"));
    }

    /// Prints how many cells there were; panics unless there were exactly so many, all as they
    /// should be.
    pub(crate) fn finish(self, cells: usize) {
        let Self {
            name, deviations, ..
        } = self;
        println!("{name}: {} cells, {} deviate", self.cells, deviations.len());
        let shown = deviations[..deviations.len().min(40)].join("\n");
        assert!(
            deviations.is_empty(),
            "{} deviate:\n{shown}",
            deviations.len()
        );
        assert_eq!(self.cells, cells, "cells of {name}");
    }
}

fn deadline(peer: &Peer) -> Option<Instant> {
    peer.host.timeout()
}

/// The tags of an association before anything happens: the host's and the peer's.
pub(crate) fn tags(peer: &Peer) -> (u32, u32) {
    (peer.host_tag, TAG)
}
