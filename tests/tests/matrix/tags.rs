//! Verification tags (§8.5, §8.5.1) and packets out of the blue (§8.4): every chunk, with every
//! tag, in every state and without any association.

use std::time::Duration;

use sctp_proto::AssociationState::{
    self, Closed, CookieEchoed, CookieWait, Established, ShutdownAckSent, ShutdownPending,
    ShutdownReceived, ShutdownSent,
};
use sctp_tests::{
    build::{
        bare_abort, cookie_ack, cookie_echo, data, error, heartbeat, heartbeat_ack, i_data, init,
        init_ack, sack, shutdown, shutdown_ack, shutdown_complete,
    },
    codec::{Chunk, cause, kind},
    peer::{COOKIE, Peer, TAG},
    states::STATES,
};

use crate::{
    cell::{Answer, Expected, Matrix, Outcome, STRANGE, Told, tags},
    setup::{SHAPES, Shape},
};

/// Where a packet arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No association, nobody listens.
    Deaf,
    /// No association, somebody listens.
    Listening,
    /// An association of this peer has just ended.
    Departed,
    In(AssociationState),
}

impl Stage {
    fn all() -> impl Iterator<Item = Self> {
        let without = [Self::Deaf, Self::Listening, Self::Departed];
        without.into_iter().chain(STATES.map(Self::In))
    }

    fn peer(self) -> Peer {
        match self {
            Self::In(state) => Peer::in_state(state),
            Self::Listening => Peer::client(),
            Self::Deaf => {
                let mut peer = Peer::client();
                peer.host.endpoint.set_server_config(None);
                peer
            }
            Self::Departed => {
                let mut peer = Peer::in_state(ShutdownAckSent);
                peer.send(shutdown_complete(false));
                assert_eq!((peer.state(), peer.host.live()), (Closed, 0));
                peer.events();
                peer
            }
        }
    }

    /// The state of the host's latest association.
    fn state(self) -> Option<AssociationState> {
        match self {
            Self::Deaf | Self::Listening => None,
            Self::Departed => Some(Closed),
            Self::In(state) => Some(state),
        }
    }

    /// Whose tags there are.
    fn tags(self) -> &'static [Tag] {
        match self {
            Self::Deaf | Self::Listening => &[Tag::Zero, Tag::Strange],
            Self::In(CookieWait) => &[Tag::Zero, Tag::Mine, Tag::Strange],
            _ => &[Tag::Zero, Tag::Mine, Tag::Peers, Tag::Strange],
        }
    }
}

/// The verification tag of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Zero,
    Mine,
    Peers,
    Strange,
}

/// A chunk of every type of RFC 9260, of its extensions, and of no specification: one for each
/// value of the two high bits. The host has agreed on no extension.
const CHUNKS: [(u8, &str); 28] = [
    (kind::DATA, "DATA"),
    (kind::INIT, "INIT"),
    (kind::INIT_ACK, "INIT ACK"),
    (kind::SACK, "SACK"),
    (kind::HEARTBEAT, "HEARTBEAT"),
    (kind::HEARTBEAT_ACK, "HEARTBEAT ACK"),
    (kind::ABORT, "ABORT"),
    (kind::SHUTDOWN, "SHUTDOWN"),
    (kind::SHUTDOWN_ACK, "SHUTDOWN ACK"),
    (kind::ERROR, STALE),
    (kind::ERROR, "ERROR"),
    (kind::COOKIE_ECHO, "COOKIE ECHO"),
    (kind::COOKIE_ACK, "COOKIE ACK"),
    (12, "ECNE"),
    (13, "CWR"),
    (kind::SHUTDOWN_COMPLETE, "SHUTDOWN COMPLETE"),
    (kind::AUTH, "AUTH"),
    (kind::I_DATA, "I-DATA"),
    (kind::ASCONF_ACK, "ASCONF ACK"),
    (kind::RE_CONFIG, "RE-CONFIG"),
    (kind::PAD, "PAD"),
    (kind::FORWARD_TSN, "FORWARD TSN"),
    (kind::ASCONF, "ASCONF"),
    (kind::I_FORWARD_TSN, "I-FORWARD-TSN"),
    (0x3e, "unknown, stop"),
    (0x7e, "unknown, stop and report"),
    (0xbe, "unknown, skip"),
    (0xfe, "unknown, skip and report"),
];

const STALE: &str = "ERROR, Stale Cookie";

/// One packet and where it arrives.
#[derive(Debug, Clone, Copy)]
struct Cell {
    stage: Stage,
    chunk: (u8, &'static str),
    tag: Tag,
    t_bit: bool,
    shape: Shape,
}

impl Cell {
    fn chunk(&self, peer: &Peer) -> Chunk {
        let before = peer.host_tsn(0).wrapping_sub(1);
        let mut chunk = match self.chunk {
            (kind::DATA, _) => data(3).be(),
            (kind::I_DATA, _) => i_data(3).be(),
            (kind::INIT, _) => init(TAG).into(),
            (kind::INIT_ACK, _) => init_ack(TAG, COOKIE).into(),
            (kind::SACK, _) => sack(before).into(),
            (kind::HEARTBEAT, _) => heartbeat(b"info"),
            (kind::HEARTBEAT_ACK, _) => heartbeat_ack(&heartbeat(b"info")),
            (kind::ABORT, _) => bare_abort(false),
            (kind::SHUTDOWN, _) => shutdown(before),
            (kind::SHUTDOWN_ACK, _) => shutdown_ack(),
            (kind::ERROR, STALE) => error(cause::STALE_COOKIE, &[0; 4]),
            (kind::ERROR, _) => error(cause::INVALID_STREAM, &[0, 1, 0, 0]),
            (kind::COOKIE_ECHO, _) => cookie_echo(COOKIE),
            (kind::COOKIE_ACK, _) => cookie_ack(),
            (kind::SHUTDOWN_COMPLETE, _) => shutdown_complete(false),
            (other, _) => Chunk::new(other, 0, &[0; 4]),
        };
        // The flags of DATA have a meaning of their own; a bit without any takes the part of T.
        let data = matches!(chunk.kind, kind::DATA | kind::I_DATA);
        chunk.flags |= match (self.t_bit, data) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 0x80,
        };
        chunk
    }

    /// What has to come of it; `tag` is that of the packet.
    fn outcome(&self, tag: u32) -> Outcome {
        let same = Outcome::silence(self.stage.state());
        let (kind, _) = self.chunk;
        if self.tag == Tag::Zero {
            // §8.5.1 A
            return match (kind, self.shape) {
                (kind::INIT, Shape::Alone) => self.init(),
                _ => same,
            };
        }
        match self.stage {
            Stage::Deaf | Stage::Listening | Stage::Departed => self.out_of_the_blue(tag),
            // §8.5.1 E
            Stage::In(CookieWait | CookieEchoed) if kind == kind::SHUTDOWN_ACK => {
                self.out_of_the_blue(tag)
            }
            Stage::In(_) if !self.tag_is_right() => same,
            Stage::In(state) => self.in_state(state),
        }
    }

    /// §8.5, and §8.5.1 B and C.
    fn tag_is_right(&self) -> bool {
        match self.chunk {
            (kind::ABORT | kind::SHUTDOWN_COMPLETE, _) if self.t_bit => self.tag == Tag::Peers,
            _ => self.tag == Tag::Mine,
        }
    }

    /// An INIT with tag 0 and nothing else: §5.1, §5.2.1, §5.2.2, §9.2.
    fn init(&self) -> Outcome {
        let same = Outcome::silence(self.stage.state());
        same.answer(match self.stage {
            // §8.4 rule 3: not reflected.
            Stage::Deaf => Answer::of(TAG, kind::ABORT),
            Stage::In(ShutdownAckSent) => Answer::of(TAG, kind::SHUTDOWN_ACK),
            _ => Answer::of(TAG, kind::INIT_ACK),
        })
    }

    /// §8.4, rules 2 to 8.
    fn out_of_the_blue(&self, tag: u32) -> Outcome {
        let same = Outcome::silence(self.stage.state());
        let first = self.shape != Shape::Second;
        match self.chunk {
            (kind::ABORT, _) => same,
            // §12.3: the INIT and all that follows it is discarded.
            (kind::INIT, _) if first => same,
            // It is no cookie of this host.
            (kind::COOKIE_ECHO, _) if first => same,
            (kind::SHUTDOWN_ACK, _) => {
                same.answer(Answer::reflecting(tag, kind::SHUTDOWN_COMPLETE))
            }
            (kind::SHUTDOWN_COMPLETE | kind::COOKIE_ACK, _) | (_, STALE) => same,
            _ => same.answer(Answer::reflecting(tag, kind::ABORT)),
        }
    }

    /// The packet belongs to the association.
    fn in_state(&self, state: AssociationState) -> Outcome {
        let same = Outcome::silence(Some(state));
        let (kind, name) = self.chunk;
        let setting_up = matches!(state, CookieWait | CookieEchoed);
        let takes_data = matches!(state, Established | ShutdownPending | ShutdownSent);
        match kind {
            kind::ABORT => same.close(),
            kind::SHUTDOWN_COMPLETE if state == ShutdownAckSent => same.close(),
            kind::INIT_ACK if state == CookieWait && self.shape != Shape::Second => same
                .answer(Answer::of(TAG, kind::COOKIE_ECHO))
                .enter(CookieEchoed),
            _ if state == CookieWait => same,
            kind::COOKIE_ACK if state == CookieEchoed => {
                same.enter(Established).tell(Told::Established)
            }
            // A departure from §6: it stands for the COOKIE ACK, which left before it.
            kind::DATA if state == CookieEchoed => same
                .answer(Answer::of(TAG, kind::SACK))
                .enter(Established)
                .tell(Told::Established)
                .tell(Told::Readable),
            kind::ERROR if name == STALE && state == CookieEchoed => {
                same.answer(Answer::of(0, kind::INIT)).enter(CookieWait)
            }
            kind::ERROR if name == STALE => same,
            kind::ERROR => same.tell(Told::PeerError),
            // §5.1: until the COOKIE ACK comes, nothing else is sent.
            _ if setting_up => same,
            kind::DATA if state == ShutdownSent => {
                let mut answer = Answer::of(TAG, kind::SACK);
                answer.kinds.push(kind::SHUTDOWN);
                same.answer(answer).tell(Told::Readable)
            }
            kind::DATA if takes_data => same
                .answer(Answer::of(TAG, kind::SACK))
                .tell(Told::Readable),
            // RFC 8260 §2.2.1: it was not agreed on.
            kind::I_DATA if takes_data => {
                let abort = Answer::of(TAG, kind::ABORT);
                same.answer(abort.cause(cause::PROTOCOL_VIOLATION)).close()
            }
            // §8.3 asks for the answer until SHUTDOWN or SHUTDOWN ACK is sent; the proof of an
            // address (§5.4) may need it after that.
            kind::HEARTBEAT => same.answer(Answer::of(TAG, kind::HEARTBEAT_ACK)),
            kind::SHUTDOWN => match state {
                Established => same
                    .answer(Answer::of(TAG, kind::SHUTDOWN_ACK))
                    .enter(ShutdownAckSent)
                    .tell(Told::PeerShutdown),
                ShutdownPending => same.enter(ShutdownReceived).tell(Told::PeerShutdown),
                ShutdownSent => same
                    .answer(Answer::of(TAG, kind::SHUTDOWN_ACK))
                    .enter(ShutdownAckSent)
                    .tell(Told::PeerShutdown),
                ShutdownAckSent => same.answer(Answer::of(TAG, kind::SHUTDOWN_ACK)),
                _ => same,
            },
            kind::SHUTDOWN_ACK if matches!(state, ShutdownSent | ShutdownAckSent) => same
                .answer(Answer::of(TAG, kind::SHUTDOWN_COMPLETE))
                .close(),
            // §3.2: the two high bits of types nobody here speaks.
            kind::FORWARD_TSN | kind::ASCONF | kind::I_FORWARD_TSN | 0x7e | 0xfe => {
                let report = Answer::of(TAG, kind::ERROR);
                same.answer(report.cause(cause::UNRECOGNIZED_CHUNK))
            }
            _ => same,
        }
    }
}

//= RFC 9260 §8.5, test
//# If the received Verification Tag value does not match...
//= RFC 9260 §8.5, test
//# When receiving an SCTP packet, the endpoint MUST ensure...
//= RFC 9260 §8.5.1, test
//# Otherwise, the receiver MUST silently discard the packet and...
//= RFC 9260 §8.5.1, test
//# If the ABORT chunk is sent in response to...
//= RFC 9260 §8.5.1, test
//# An endpoint MUST ignore the SHUTDOWN COMPLETE chunk if...
//= RFC 9260 §8.5.1, test
//# If the receiver is in COOKIE-ECHOED or COOKIE-WAIT state,...
//= RFC 9260 §9.1, test
//# An endpoint receiving an ABORT chunk MUST apply the...
//= RFC 9260 §9.2, test
//# Upon reception of the SHUTDOWN COMPLETE chunk, the endpoint...
//= RFC 9260 §9.2, test
//# If the endpoint is in the SHUTDOWN-ACK-SENT state, the...
//= RFC 9260 §8.4, test
//# If the OOTB packet contains an ABORT chunk, the...
//= RFC 9260 §8.4, test
//# If the packet contains a COOKIE ECHO chunk as...
//= RFC 9260 §8.4, test
//# If the packet contains a SHUTDOWN ACK chunk, the...
//= RFC 9260 §8.4, test
//# When sending the SHUTDOWN COMPLETE chunk, the receiver of...
//= RFC 9260 §3.1, test
//# A packet containing a SHUTDOWN COMPLETE chunk with the T bit set...
//= RFC 9260 §3.3.13, test
//# If the Verification Tag is reflected, the T bit MUST be set...
//= RFC 9260 §3.3.7, test
//# If the Verification Tag is reflected, the T bit MUST be set...
//= RFC 9260 §8.4, test
//# If the packet contains a SHUTDOWN COMPLETE chunk, the...
//= RFC 9260 §8.4, test
//# If the packet contains an ERROR chunk with the...
//= RFC 9260 §8.4, test
//# The receiver SHOULD respond to the sender of the...
//= RFC 9260 §8.4, test
//# When sending the ABORT chunk, the receiver of the...
//= RFC 9260 §6, test
//# A DATA chunk received in CLOSED is out of...
//= RFC 9260 §6, test
//# A SACK chunk in the CLOSED state is out...
//= RFC 9260 §5.2.5, test
//# At any state other than COOKIE-ECHOED, an endpoint SHOULD...
#[test]
fn threat_10_every_chunk_with_every_tag_in_every_state_does_what_it_may() {
    let mut matrix = Matrix::new("§8.4 and §8.5, every chunk");
    for stage in Stage::all() {
        for chunk in CHUNKS {
            for &tag in stage.tags() {
                for t_bit in [false, true] {
                    for shape in SHAPES {
                        let cell = Cell {
                            stage,
                            chunk,
                            tag,
                            t_bit,
                            shape,
                        };
                        give_chunk(&mut matrix, cell);
                    }
                }
            }
        }
    }
    // Tags: two where there is no association, four where there is or was one, three while the
    // peer's is not known.
    matrix.finish(CHUNKS.len() * (2 + 2 + 4 + 3 + 6 * 4) * 2 * 3);
}

fn give_chunk(matrix: &mut Matrix, cell: Cell) {
    let mut peer = cell.stage.peer();
    let (own, peers) = tags(&peer);
    let tag = match cell.tag {
        Tag::Zero => 0,
        Tag::Mine => own,
        Tag::Peers => peers,
        Tag::Strange => STRANGE,
    };
    let expected = Expected {
        outcome: cell.outcome(tag),
        tags: (own, peers),
    };
    let chunks = cell.shape.bundle(cell.chunk(&peer));
    matrix.cell(&cell, &mut peer, tag, chunks, &expected);
}

/// Packets of two chunks out of the blue: which rule of §8.4 comes first.
#[test]
fn threat_10_every_pair_of_chunks_out_of_the_blue_gets_one_answer_or_none() {
    let mut matrix = Matrix::new("§8.4, every pair");
    let alone = |chunk, tag| Cell {
        stage: Stage::Listening,
        chunk,
        tag,
        t_bit: false,
        shape: Shape::Alone,
    };
    for first in CHUNKS {
        for second in CHUNKS {
            let mut peer = Stage::Listening.peer();
            let [one, two] = [first, second].map(|chunk| alone(chunk, Tag::Strange).chunk(&peer));
            let outcome = first_rule([first, second]);
            let expected = Expected {
                outcome,
                tags: tags(&peer),
            };
            matrix.cell(
                &(first, second),
                &mut peer,
                STRANGE,
                vec![one, two],
                &expected,
            );
        }
    }
    matrix.finish(CHUNKS.len() * CHUNKS.len());
}

/// §8.4, rules 2 to 8 in their order, for a packet with a tag.
fn first_rule(chunks: [(u8, &str); 2]) -> Outcome {
    let nothing = Outcome::silence(None);
    // §12.3: an INIT that is not alone takes with it what follows.
    let init = chunks.iter().position(|(kind, _)| *kind == kind::INIT);
    let chunks = &chunks[..init.unwrap_or(2)];
    let contains = |wanted: u8| chunks.iter().any(|(kind, _)| *kind == wanted);
    let Some((first, _)) = chunks.first() else {
        return nothing;
    };
    let quiet = contains(kind::SHUTDOWN_COMPLETE)
        || contains(kind::COOKIE_ACK)
        || chunks.iter().any(|(_, name)| *name == STALE);
    match () {
        () if contains(kind::ABORT) => nothing,
        () if *first == kind::COOKIE_ECHO => nothing,
        // RFC 4895 §6.3: it is for the cookie to say by what the AUTH is right, and this one says
        // nothing.
        () if *first == kind::AUTH && contains(kind::COOKIE_ECHO) => nothing,
        () if contains(kind::SHUTDOWN_ACK) => {
            nothing.answer(Answer::reflecting(STRANGE, kind::SHUTDOWN_COMPLETE))
        }
        () if quiet => nothing,
        () => nothing.answer(Answer::reflecting(STRANGE, kind::ABORT)),
    }
}

/// That nothing above leaves a trace: a host that answered out of the blue a thousand times holds
/// no association.
#[test]
fn answers_out_of_the_blue_hold_nothing() {
    let mut peer = Peer::client();
    for chunk in CHUNKS {
        let cell = Cell {
            stage: Stage::Listening,
            chunk,
            tag: Tag::Strange,
            t_bit: false,
            shape: Shape::Alone,
        };
        let packet = peer.packet(STRANGE, vec![cell.chunk(&peer)]);
        peer.send_bytes(packet.encode());
        peer.advance(Duration::from_millis(1));
    }
    assert_eq!(peer.host.endpoint.associations(), 0);
}
