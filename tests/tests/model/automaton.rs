//! One side of an association, after the text of §4, §5, §8.4, §8.5 and §9.
//!
//! It is fed what the implementation is fed, and says which state follows and which control chunks
//! leave. What the implementation is free to choose — tags, TSNs, the bytes of a cookie — it reads
//! from the packets of the implementation. It has no clock: a timer runs out when it is told so.
//! DATA is not predicted, only permitted.

use std::collections::{BTreeMap, BTreeSet};

use sctp_proto::AssociationState::{self as State, *};
use sctp_tests::codec::{Packet, kind};

/// A control chunk that leaves: verification tag, type, T bit.
pub(crate) type Said = (u32, u8, bool);

/// Max.Init.Retransmits of the hosts.
pub(crate) const MAX_INIT_RETRANSMITS: u32 = 2;

/// What a state cookie of this side stands for.
#[derive(Debug, Clone)]
struct Cookie {
    local: u32,
    peer: u32,
    tsn: u32,
    /// The TCB that its tie-tags are of.
    tie: Option<u32>,
}

/// One side.
#[derive(Debug, Clone)]
pub(crate) struct Automaton {
    pub(crate) state: State,
    /// Its verification tag; 0 without a TCB.
    pub(crate) own: u32,
    /// The peer's, 0 while it is not known.
    pub(crate) peer: u32,
    /// Tells TCBs apart: their tie-tags differ.
    tie: u32,
    tsn: u32,
    /// Messages that the user sent and those acknowledged, one DATA chunk each.
    sent: u32,
    acked: u32,
    shutdown_requested: bool,
    retransmits: u32,
    cookies: BTreeMap<Vec<u8>, Cookie>,
    /// Tags of associations that are over: no cookie brings them back (§5.3.1).
    departed: BTreeSet<u32>,
    /// Whether the last step was a restart of the peer (§5.2.4 action A).
    pub(crate) restarted: bool,
}

impl Default for Automaton {
    fn default() -> Self {
        Self {
            state: Closed,
            own: 0,
            peer: 0,
            tie: 0,
            tsn: 0,
            sent: 0,
            acked: 0,
            shutdown_requested: false,
            retransmits: 0,
            cookies: BTreeMap::new(),
            departed: BTreeSet::new(),
            restarted: false,
        }
    }
}

/// What the user asks for. The result is what leaves.
impl Automaton {
    pub(crate) fn connect(&mut self) -> Vec<Said> {
        self.reset();
        self.state = CookieWait;
        vec![(0, kind::INIT, false)]
    }

    /// Whether the message is taken.
    pub(crate) fn send(&mut self) -> bool {
        let taken = matches!(self.state, CookieWait | CookieEchoed | Established)
            && !self.shutdown_requested;
        self.sent += u32::from(taken);
        taken
    }

    pub(crate) fn shutdown(&mut self) -> Vec<Said> {
        match self.state {
            CookieWait | CookieEchoed => self.shutdown_requested = true,
            Established => self.state = ShutdownPending,
            _ => {}
        }
        self.conclude(Vec::new())
    }

    pub(crate) fn abort(&mut self) -> Vec<Said> {
        let peer = self.peer;
        let known = !matches!(self.state, Closed | CookieWait);
        self.close();
        if known {
            vec![(peer, kind::ABORT, false)]
        } else {
            Vec::new()
        }
    }

    /// The timer that runs in this state, if it is one of §4, runs out. T3-rtx sends DATA only.
    pub(crate) fn timer(&mut self) -> Vec<Said> {
        self.restarted = false;
        match self.state {
            CookieWait | CookieEchoed => {
                self.retransmits += 1;
                if self.retransmits > MAX_INIT_RETRANSMITS {
                    self.close();
                    return Vec::new();
                }
                match self.state {
                    CookieWait => vec![(0, kind::INIT, false)],
                    _ => vec![(self.peer, kind::COOKIE_ECHO, false)],
                }
            }
            ShutdownSent => vec![(self.peer, kind::SHUTDOWN, false)],
            ShutdownAckSent => vec![(self.peer, kind::SHUTDOWN_ACK, false)],
            _ => Vec::new(),
        }
    }

    fn reset(&mut self) {
        if self.own != 0 {
            self.departed.insert(self.own);
        }
        *self = Self {
            tie: self.tie + 1,
            cookies: std::mem::take(&mut self.cookies),
            departed: std::mem::take(&mut self.departed),
            ..Self::default()
        };
    }

    fn close(&mut self) {
        self.reset();
    }

    /// §9.2: the steps that wait until everything is acknowledged.
    fn conclude(&mut self, mut says: Vec<Said>) -> Vec<Said> {
        if self.sent == self.acked {
            match self.state {
                ShutdownPending => {
                    self.state = ShutdownSent;
                    says.push((self.peer, kind::SHUTDOWN, false));
                }
                ShutdownReceived => {
                    self.state = ShutdownAckSent;
                    says.push((self.peer, kind::SHUTDOWN_ACK, false));
                }
                _ => {}
            }
        }
        says
    }

    /// Whether something of the user's is on its way: then a timer runs.
    pub(crate) fn waits_for_sack(&self) -> bool {
        self.sent > self.acked
    }

    /// Whether DATA may leave (§6): not in the states after SHUTDOWN, and before ESTABLISHED only
    /// with a COOKIE ECHO.
    pub(crate) fn may_send_data(&self, packet: &Packet) -> bool {
        match self.state {
            Established | ShutdownPending | ShutdownReceived => true,
            CookieEchoed => packet.chunks[0].kind == kind::COOKIE_ECHO,
            _ => false,
        }
    }
}

/// What it learns from packets of its own.
impl Automaton {
    pub(crate) fn observe(&mut self, packet: &Packet) -> Result<(), String> {
        for chunk in &packet.chunks {
            match chunk.kind {
                kind::INIT => {
                    let init = chunk.as_init();
                    if self.own != 0 && (self.own, self.tsn) != (init.tag, init.tsn) {
                        return Err("an INIT sent again has another tag or TSN".into());
                    }
                    (self.own, self.tsn) = (init.tag, init.tsn);
                }
                kind::INIT_ACK => {
                    let answer = chunk.as_init();
                    let repeats = matches!(self.state, CookieWait | CookieEchoed);
                    // §5.2.1 and §5.2.2
                    if repeats && (answer.tag, answer.tsn) != (self.own, self.tsn) {
                        return Err("an INIT ACK with another tag or TSN than the INIT".into());
                    }
                    if !repeats && (answer.tag == self.own || self.departed.contains(&answer.tag)) {
                        return Err("an INIT ACK with a tag that was in use".into());
                    }
                    let tied = !matches!(self.state, Closed | CookieWait);
                    let cookie = Cookie {
                        local: answer.tag,
                        peer: packet.tag,
                        tsn: answer.tsn,
                        tie: tied.then_some(self.tie),
                    };
                    self.cookies.insert(answer.cookie(), cookie);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What it makes of packets of the peer.
impl Automaton {
    pub(crate) fn receive(&mut self, packet: &Packet) -> Vec<Said> {
        self.restarted = false;
        let tag = packet.tag;
        let has = |wanted: u8| packet.chunks.iter().any(|chunk| chunk.kind == wanted);
        let first = &packet.chunks[0];
        match first.kind {
            kind::INIT => return self.on_init(first.as_init().tag),
            kind::COOKIE_ECHO => return self.on_cookie_echo(packet),
            _ => {}
        }
        if self.state == Closed {
            return out_of_the_blue(packet);
        }
        let setting_up = matches!(self.state, CookieWait | CookieEchoed);
        if setting_up && has(kind::SHUTDOWN_ACK) {
            return vec![(tag, kind::SHUTDOWN_COMPLETE, true)];
        }
        // §8.5.1 B and C
        let reflected =
            matches!(first.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE) && first.t_bit();
        if reflected {
            let ends = first.kind == kind::ABORT || self.state == ShutdownAckSent;
            if tag == self.peer && self.peer != 0 && ends {
                self.close();
            }
            return Vec::new();
        }
        // §8.5
        if tag != self.own {
            return Vec::new();
        }
        if self.state == CookieWait {
            return self.in_cookie_wait(packet);
        }
        let says = self.chunks(packet, 0);
        self.conclude(says)
    }

    fn in_cookie_wait(&mut self, packet: &Packet) -> Vec<Said> {
        let first = &packet.chunks[0];
        match first.kind {
            kind::INIT_ACK => {
                self.state = CookieEchoed;
                self.peer = first.as_init().tag;
                self.retransmits = 0;
                self.tie += 1;
                vec![(self.peer, kind::COOKIE_ECHO, false)]
            }
            kind::ABORT => {
                self.close();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// §5.1 B, §5.2.1, §5.2.2; §9.2 for SHUTDOWN-ACK-SENT.
    fn on_init(&self, initiate: u32) -> Vec<Said> {
        match self.state {
            ShutdownAckSent => vec![(self.peer, kind::SHUTDOWN_ACK, false)],
            _ => vec![(initiate, kind::INIT_ACK, false)],
        }
    }

    /// §5.1.5, and §5.2.4 where a TCB exists.
    fn on_cookie_echo(&mut self, packet: &Packet) -> Vec<Said> {
        let cookie = match self.cookies.get(&packet.chunks[0].value) {
            Some(cookie) if cookie.local == packet.tag => cookie.clone(),
            _ => return Vec::new(), // another incarnation's
        };
        if self.state == Closed {
            if self.departed.contains(&cookie.local) {
                return vec![(cookie.peer, kind::ABORT, false)];
            }
            self.reset();
            self.establish_from(&cookie);
            return self.acknowledge_cookie(packet);
        }
        let local = cookie.local == self.own;
        let peer = self.state != CookieWait && cookie.peer == self.peer;
        let tied = self.state != CookieWait && cookie.tie == Some(self.tie);
        match (local, peer) {
            // A
            (false, false) if tied && self.state == ShutdownAckSent => vec![
                (cookie.peer, kind::ERROR, false),
                (self.peer, kind::SHUTDOWN_ACK, false),
            ],
            (false, false) if tied => {
                self.reset();
                self.establish_from(&cookie);
                self.restarted = true;
                self.acknowledge_cookie(packet)
            }
            // B
            (true, false) => {
                if self.state == CookieWait {
                    self.tie += 1;
                }
                self.peer = cookie.peer;
                self.establish();
                self.acknowledge_cookie(packet)
            }
            // D
            (true, true) => {
                self.establish();
                self.acknowledge_cookie(packet)
            }
            // C, and what the table does not show.
            (false, _) => Vec::new(),
        }
    }

    fn establish_from(&mut self, cookie: &Cookie) {
        self.tie += 1;
        (self.own, self.peer, self.tsn) = (cookie.local, cookie.peer, cookie.tsn);
        self.state = Established;
    }

    /// The set-up is complete, if it was under way.
    fn establish(&mut self) {
        if matches!(self.state, CookieWait | CookieEchoed) {
            self.state = if self.shutdown_requested {
                ShutdownPending
            } else {
                Established
            };
        }
    }

    fn acknowledge_cookie(&mut self, packet: &Packet) -> Vec<Said> {
        let mut says = vec![(self.peer, kind::COOKIE_ACK, false)];
        says.extend(self.chunks(packet, 1));
        self.conclude(says)
    }

    /// The chunks of a packet for this association, from the `skip`-th on.
    fn chunks(&mut self, packet: &Packet, skip: usize) -> Vec<Said> {
        let mut says = Vec::new();
        let mut sack = false;
        for chunk in &packet.chunks[skip..] {
            let peer = self.peer;
            let mut say = |kind| {
                if !says.contains(&(peer, kind, false)) {
                    says.push((peer, kind, false));
                }
            };
            match chunk.kind {
                kind::DATA => {
                    // A departure from §6: the COOKIE ACK before it is lost.
                    if self.state == CookieEchoed {
                        self.establish();
                    }
                    // Every packet is acknowledged at once.
                    sack |= matches!(self.state, Established | ShutdownPending | ShutdownSent);
                    if self.state == ShutdownSent {
                        say(kind::SHUTDOWN);
                    }
                }
                kind::SACK if !matches!(self.state, ShutdownSent | ShutdownAckSent) => {
                    self.on_cumulative(chunk.as_sack().cumulative);
                }
                kind::COOKIE_ACK if self.state == CookieEchoed => self.establish(),
                kind::SHUTDOWN if self.state != CookieEchoed => {
                    self.on_cumulative(chunk.as_shutdown());
                    match self.state {
                        Established | ShutdownPending => self.state = ShutdownReceived,
                        ShutdownSent => {
                            self.state = ShutdownAckSent;
                            say(kind::SHUTDOWN_ACK);
                        }
                        ShutdownAckSent => say(kind::SHUTDOWN_ACK),
                        _ => {}
                    }
                }
                kind::SHUTDOWN_ACK if matches!(self.state, ShutdownSent | ShutdownAckSent) => {
                    self.close();
                    return vec![(peer, kind::SHUTDOWN_COMPLETE, false)];
                }
                kind::SHUTDOWN_COMPLETE if self.state == ShutdownAckSent => {
                    self.close();
                    return Vec::new();
                }
                kind::ABORT => {
                    self.close();
                    return Vec::new();
                }
                _ => {}
            }
        }
        if sack && self.state != CookieEchoed {
            says.push((self.peer, kind::SACK, false));
        }
        says
    }

    fn on_cumulative(&mut self, cumulative: u32) {
        let acked = cumulative.wrapping_sub(self.tsn).wrapping_add(1);
        // One from before this TSN space would be a huge number.
        if acked <= self.sent {
            self.acked = self.acked.max(acked);
        }
    }
}

/// §8.4, rules 2 to 8.
fn out_of_the_blue(packet: &Packet) -> Vec<Said> {
    let has = |wanted: u8| packet.chunks.iter().any(|chunk| chunk.kind == wanted);
    match () {
        () if has(kind::ABORT) => Vec::new(),
        () if has(kind::SHUTDOWN_ACK) => vec![(packet.tag, kind::SHUTDOWN_COMPLETE, true)],
        () if has(kind::SHUTDOWN_COMPLETE) || has(kind::COOKIE_ACK) => Vec::new(),
        () => vec![(packet.tag, kind::ABORT, true)],
    }
}
