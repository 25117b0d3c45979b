//! Setup chunks when a TCB exists (§5.2.1 to §5.2.4). COOKIE ACK (§5.2.5) and the Stale Cookie
//! error (§5.2.6) have their cells among all chunks, in `tags.rs`.

use sctp_proto::AssociationState::{self, CookieEchoed, CookieWait, Established, ShutdownAckSent};
use sctp_tests::{
    build::{cookie_echo, init, init_ack},
    codec::{Chunk, cause, kind, param},
    peer::{COOKIE, Peer, TAG},
    states::STATES,
};

use crate::{
    cell::{Answer, Expected, Matrix, Outcome, STRANGE, Told, tags},
    forge::{Context, Cookie},
};

/// Tags in a cookie or an INIT, as Table 12 has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    /// M: that of the TCB.
    Match,
    /// X: another.
    Other,
    /// 0: none.
    Zero,
}

use Tag::{Match, Other, Zero};

const TAGS: [Tag; 3] = [Match, Other, Zero];

const OTHER_LOCAL: u32 = 0x5555_5555;
const OTHER_PEER: u32 = 0x2222_2222;
const OTHER_TIE: u32 = 0x6666_6666;

impl Tag {
    /// The number that stands for it.
    fn of(self, existing: u32, other: u32) -> u32 {
        match self {
            Match => existing,
            Other => other,
            Zero => 0,
        }
    }
}

/// The verification tag of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Zero,
    /// The tag of the host's TCB.
    Mine,
    /// The tag of the peer.
    Peers,
    /// The tag that the cookie in the packet is for.
    Cookies,
    Strange,
}

/// A COOKIE ECHO and the state it meets.
#[derive(Debug, Clone, Copy)]
struct Echo {
    state: AssociationState,
    local: Tag,
    peers: Tag,
    local_tie: Tag,
    peers_tie: Tag,
    fresh: bool,
    header: Header,
}

/// What §5.2.4 has a host do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    A,
    B,
    D,
    /// C, what the table does not show, and what is no valid cookie.
    Discard,
    Stale,
}

impl Echo {
    /// Steps 1 to 5 of §5.2.4, which refer to steps 1 to 3 of §5.1.5.
    fn action(&self) -> Action {
        // §5.1.5 step 3: the tag of the packet is the one in the cookie. No cookie has a tag that
        // is zero (§3.3.2, §3.3.3).
        let own_tag =
            self.header == Header::Cookies || (self.header, self.local) == (Header::Mine, Match);
        if !own_tag || self.local == Zero || self.peers == Zero {
            return Action::Discard;
        }
        let both_match = (self.local, self.peers) == (Match, Match);
        if !self.fresh && !both_match {
            return Action::Stale;
        }
        // In COOKIE-WAIT the peer's tag is "0": not known. No cookie matches it.
        match (self.local, self.peers, self.local_tie, self.peers_tie) {
            (Other, Other, Match, Match) => Action::A,
            (Match, Other, _, _) => Action::B,
            (Other, Match, Zero, Zero) => Action::Discard, // C
            (Match, Match, _, _) => Action::D,
            _ => Action::Discard,
        }
    }

    /// What is seen of it; `peers` is the tag in the cookie.
    fn outcome(&self, peers: u32) -> Outcome {
        let same = Outcome::silence(Some(self.state));
        let cookie_ack = Answer::of(peers, kind::COOKIE_ACK);
        let setting_up = matches!(self.state, CookieWait | CookieEchoed);
        match self.action() {
            Action::Discard => same,
            Action::Stale => {
                let report = Answer::of(peers, kind::ERROR);
                same.answer(report.cause(cause::STALE_COOKIE))
            }
            Action::A if self.state == ShutdownAckSent => {
                // The SHUTDOWN ACK is for the old incarnation, the ERROR for the new one.
                let report = Answer::of(peers, kind::ERROR);
                same.answer(report.cause(cause::COOKIE_WHILE_SHUTTING_DOWN))
                    .answer(Answer::of(TAG, kind::SHUTDOWN_ACK))
            }
            Action::A => same
                .answer(cookie_ack)
                .enter(Established)
                .tell(Told::Restarted),
            Action::B | Action::D if setting_up => same
                .answer(cookie_ack)
                .enter(Established)
                .tell(Told::Established),
            // An association that is shutting down goes on doing so: the table's "stay in or
            // enter" is about those that are being set up.
            Action::B | Action::D => same.answer(cookie_ack),
        }
    }
}

/// A host in this state, and a cookie that it made in it or, where it makes none, on the way to
/// it.
fn with_cookie(state: AssociationState) -> (Peer, Cookie) {
    let aside = |peer: &mut Peer| {
        peer.send_tagged(0, init(TAG));
        Cookie::open(&peer.expect(kind::INIT_ACK).as_init().cookie())
    };
    if matches!(state, CookieWait | CookieEchoed) {
        let mut peer = Peer::in_state(state);
        let cookie = aside(&mut peer);
        return (peer, cookie);
    }
    let mut peer = Peer::in_state(Established);
    let cookie = aside(&mut peer);
    peer.bring_to(state);
    (peer, cookie)
}

fn give_echo(matrix: &mut Matrix, echo: Echo) {
    let (mut peer, mut cookie) = with_cookie(echo.state);
    let (own, _) = tags(&peer);
    let local = echo.local.of(own, OTHER_LOCAL);
    let peers = echo.peers.of(TAG, OTHER_PEER);
    let ties = cookie.ties;
    cookie.ties = (
        echo.local_tie.of(ties.0, OTHER_TIE),
        echo.peers_tie.of(ties.1, OTHER_TIE),
    );
    cookie.peer_tag(peers);
    if !echo.fresh {
        cookie.stale();
    }
    let bytes = cookie.seal(&Context {
        remote: peer.addr,
        host_port: peer.host_port,
        port: peer.port,
        local_tag: local,
    });
    let header = match echo.header {
        Header::Cookies => local,
        Header::Mine => own,
        _ => STRANGE,
    };
    let outcome = echo.outcome(peers);
    let tags = match echo.action() {
        Action::A if echo.state != ShutdownAckSent => (local, peers),
        Action::B => (own, peers),
        _ => (own, TAG),
    };
    let expected = Expected { outcome, tags };
    matrix.cell(
        &echo,
        &mut peer,
        header,
        vec![cookie_echo(&bytes)],
        &expected,
    );
}

//= RFC 9260 §5.2.4, test
//# For any case not shown in Table 12, the...
#[test]
fn threat_12_every_cookie_echo_in_every_state_has_its_action_of_table_12() {
    let mut matrix = Matrix::new("§5.2.4, COOKIE ECHO");
    let headers = [Header::Cookies, Header::Mine, Header::Strange];
    for state in STATES {
        // The TCB of COOKIE-WAIT knows no tag of the peer and has no tie-tags: nothing matches.
        let known = |tag: Tag| state != CookieWait || tag != Match;
        for local in TAGS {
            for peers in TAGS.into_iter().filter(|tag| known(*tag)) {
                for local_tie in TAGS.into_iter().filter(|tag| known(*tag)) {
                    for peers_tie in TAGS.into_iter().filter(|tag| known(*tag)) {
                        for fresh in [true, false] {
                            for header in headers {
                                let echo = Echo {
                                    state,
                                    local,
                                    peers,
                                    local_tie,
                                    peers_tie,
                                    fresh,
                                    header,
                                };
                                give_echo(&mut matrix, echo);
                            }
                        }
                    }
                }
            }
        }
    }
    // Six states with all tags, and COOKIE-WAIT.
    matrix.finish(6 * 3 * 3 * 9 * 2 * 3 + 3 * 2 * 4 * 2 * 3);
}

/// How a chunk lies in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Alone,
    /// In front of a chunk that means nothing.
    First,
    /// Behind one.
    Second,
}

pub(crate) const SHAPES: [Shape; 3] = [Shape::Alone, Shape::First, Shape::Second];

impl Shape {
    pub(crate) fn bundle(self, chunk: Chunk) -> Vec<Chunk> {
        let pad = Chunk::new(kind::PAD, 0, b"padding.");
        match self {
            Self::Alone => vec![chunk],
            Self::First => vec![chunk, pad],
            Self::Second => vec![pad, chunk],
        }
    }
}

/// What addresses an INIT lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listed {
    None,
    Own,
    New,
}

/// An INIT and the state it meets.
#[derive(Debug, Clone, Copy)]
struct Meeting {
    state: AssociationState,
    initiate: Tag,
    header: Header,
    shape: Shape,
    listed: Listed,
}

impl Meeting {
    fn outcome(&self, initiate: u32) -> Outcome {
        let same = Outcome::silence(Some(self.state));
        // §8.5.1 A, §12.3: tag 0, and alone. §3.3.2: not with Initiate Tag 0.
        let sound =
            self.header == Header::Zero && self.shape == Shape::Alone && self.initiate != Zero;
        match self.state {
            _ if !sound => same,
            // §9.2: its source address belongs to the association.
            ShutdownAckSent => same.answer(Answer::of(TAG, kind::SHUTDOWN_ACK)),
            // §5.2.1, §5.2.2: no TCB lets addresses be added; COOKIE-WAIT knows none yet.
            state if self.listed == Listed::New && state != CookieWait => {
                let refusal = Answer::of(initiate, kind::ABORT);
                same.answer(refusal.cause(cause::RESTART_WITH_NEW_ADDRESSES))
            }
            _ => same.answer(Answer::of(initiate, kind::INIT_ACK)),
        }
    }

    /// Which tag, TSN and tie-tags the INIT ACK has to have.
    fn check_init_ack(&self, answer: &Chunk, own: (u32, u32)) -> Result<(), &'static str> {
        let answer = answer.as_init();
        let repeats = matches!(self.state, CookieWait | CookieEchoed);
        let tied = Cookie::open(&answer.cookie()).ties;
        match () {
            () if repeats && (answer.tag, answer.tsn) != own => {
                Err("not the own INIT's tag and TSN")
            }
            () if !repeats && answer.tag == own.0 => Err("not a new tag"),
            () if self.state == CookieWait && tied != (0, 0) => Err("tie-tags in COOKIE-WAIT"),
            () if self.state != CookieWait && (tied.0 == 0 || tied.1 == 0) => Err("no tie-tags"),
            () => Ok(()),
        }
    }
}

//= RFC 9260 §5.2.2, test
//# If new addresses are added to the association, the...
#[test]
fn threat_12_every_init_in_every_state_leaves_the_association_alone() {
    let mut matrix = Matrix::new("§5.2.1 and §5.2.2, INIT");
    for state in STATES {
        for initiate in TAGS {
            if (state, initiate) == (CookieWait, Match) {
                continue; // the peer's tag is not known yet
            }
            for header in [Header::Zero, Header::Mine, Header::Strange] {
                for shape in SHAPES {
                    for listed in [Listed::None, Listed::Own, Listed::New] {
                        let meeting = Meeting {
                            state,
                            initiate,
                            header,
                            shape,
                            listed,
                        };
                        give_init(&mut matrix, meeting);
                    }
                }
            }
        }
    }
    matrix.finish((6 * 3 + 2) * 3 * 3 * 3);
}

fn give_init(matrix: &mut Matrix, meeting: Meeting) {
    let mut peer = Peer::in_state(meeting.state);
    let own = (peer.host_tag, peer.host_tsn);
    let initiate = meeting.initiate.of(TAG, OTHER_PEER);
    let header = match meeting.header {
        Header::Zero => 0,
        Header::Mine => own.0,
        _ => STRANGE,
    };
    let chunk = match meeting.listed {
        Listed::None => init(initiate),
        Listed::Own => init(initiate).param(param::IPV4_ADDRESS, &[10, 0, 0, 1]),
        Listed::New => init(initiate).param(param::IPV4_ADDRESS, &[10, 9, 9, 9]),
    };
    let expected = Expected {
        outcome: meeting.outcome(initiate),
        tags: tags(&peer),
    };
    let chunks = meeting.shape.bundle(chunk.into());
    let packets = matrix.cell(&meeting, &mut peer, header, chunks, &expected);
    let answers = packets.iter().flat_map(|packet| &packet.chunks);
    for answer in answers.filter(|chunk| chunk.kind == kind::INIT_ACK) {
        if let Err(why) = meeting.check_init_ack(answer, own) {
            matrix.deviates(&meeting, why);
        }
    }
}

//= RFC 9260 §5.2.3, test
//# If an INIT ACK chunk is received by an...
#[test]
fn threat_12_an_init_ack_counts_in_cookie_wait_with_the_own_tag_only() {
    let mut matrix = Matrix::new("§5.2.3, INIT ACK");
    for state in STATES {
        for header in [Header::Zero, Header::Mine, Header::Peers, Header::Strange] {
            for initiate in TAGS {
                if state == CookieWait && (initiate == Match || header == Header::Peers) {
                    continue; // the peer's tag is not known yet
                }
                let mut peer = Peer::in_state(state);
                let (own, _) = tags(&peer);
                let tag = initiate.of(TAG, OTHER_PEER);
                let verification = match header {
                    Header::Zero => 0,
                    Header::Mine => own,
                    Header::Peers => TAG,
                    _ => STRANGE,
                };
                let same = Outcome::silence(Some(state));
                let wanted = (state, header) == (CookieWait, Header::Mine);
                let outcome = match initiate {
                    _ if !wanted => same,
                    Zero => same
                        .answer(
                            Answer::reflecting(own, kind::ABORT)
                                .cause(cause::INVALID_MANDATORY_PARAMETER),
                        )
                        .close(),
                    _ => same
                        .answer(Answer::of(tag, kind::COOKIE_ECHO))
                        .enter(CookieEchoed),
                };
                let peers = if wanted { tag } else { TAG };
                let expected = Expected {
                    outcome,
                    tags: (own, peers),
                };
                let what = (state, header, initiate);
                let chunks = vec![init_ack(tag, COOKIE).into()];
                matrix.cell(&what, &mut peer, verification, chunks, &expected);
            }
        }
    }
    matrix.finish(6 * 4 * 3 + 3 * 2);
}
