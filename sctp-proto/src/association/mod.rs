//! One association: the state machine a driver moves.

mod abandon;
mod addresses;
mod announce;
#[cfg(feature = "internals")]
mod audit;
mod commands;
mod cx;
mod ecn;
mod event;
mod failover;
mod handshake;
mod holdings;
mod inbound;
mod logged;
mod on_asconf;
mod on_auth;
mod on_control;
mod on_data;
mod on_forward_tsn;
mod on_network;
mod on_sack;
mod on_timeout;
mod options;
mod outbound;
mod outbound_data;
mod path_mtu;
mod progress;
mod random;
mod reconfig;
mod recovery;
mod route;
mod state;
mod stats;
mod status;
mod tcb;
mod timers;
mod unexpected;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};

#[cfg(feature = "internals")]
pub use self::audit::Audit;
pub(crate) use self::cx::Given;
use self::{
    cx::{Cx, Fatal, Handled},
    handshake::CookieWait,
    on_auth::Begin,
    outbound::{MAX_REPLY, Reply},
    state::Phase,
    tcb::Tcb,
};
pub use self::{
    event::{AuthEvent, Event, LocalChange, PathState, ReconfigRequest},
    reconfig::ReconfigOutcome,
    stats::{AssociationStats, Memory, PathStats},
    status::AssociationStatus,
};
pub(crate) use crate::ids::Ports;
use crate::{
    config::CongestionControl,
    cookie::{Freshness, StateCookie},
    event_log::LogEvent,
    icmp::IcmpKind,
    ids::{PathId, Tsn},
    time::Instant,
    transmit::{DatagramMeta, Transmit},
    tx::Stage,
    wire::{Quoted, echoed_cookie},
};

/// What an [`Endpoint`](crate::Endpoint) has for one of its associations. Opaque.
#[derive(Debug)]
pub struct AssociationEvent(pub(crate) AssociationEventKind);

#[derive(Debug)]
pub(crate) enum AssociationEventKind {
    /// A packet for this association, its checksum verified: it has the association's
    /// verification tag, or it is one of those that §8.5.1 excepts and comes from its peer.
    Datagram { meta: DatagramMeta, packet: Bytes },
    /// A packet that is one INIT and nothing else, with tag 0, from an address of this peer
    /// (§5.2.1, §5.2.2). Its parameters are not checked yet, its source may be forged.
    Init { meta: DatagramMeta, packet: Bytes },
    /// A packet that begins with a COOKIE ECHO from the peer of this association, its cookie's MAC
    /// verified and its addresses and ports compared.
    CookieEcho {
        meta: DatagramMeta,
        packet: Bytes,
        cookie: Box<StateCookie>,
        freshness: Freshness,
    },
    /// An ICMP message about a packet to this peer. Nothing of it is verified.
    Icmp {
        kind: IcmpKind,
        destination: SocketAddr,
        quoted: Quoted,
    },
}

/// What an association has for its [`Endpoint`](crate::Endpoint). Opaque.
#[derive(Debug)]
pub struct EndpointEvent(pub(crate) EndpointEventKind);

#[derive(Debug)]
pub(crate) enum EndpointEventKind {
    /// The addresses at which the peer is known for certain to be.
    AddressesChanged { confirmed: SmallVec<[IpAddr; 2]> },
    /// Over, and nothing left to send.
    Drained,
    /// The peer restarted: this side goes by another verification tag now.
    TagChanged { new: u32 },
}

/// State of an association (§4). `Closed` is also what RFC 9260 has before the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociationState {
    /// INIT sent.
    CookieWait,
    /// COOKIE ECHO sent.
    CookieEchoed,
    /// Messages flow.
    Established,
    /// `shutdown` was called; what was sent is not acknowledged yet.
    ShutdownPending,
    /// SHUTDOWN sent.
    ShutdownSent,
    /// The peer sent SHUTDOWN; what this side sent is not acknowledged yet.
    ShutdownReceived,
    /// SHUTDOWN ACK sent.
    ShutdownAckSent,
    /// Over.
    Closed,
}

/// Settings of one path (SCTP_PEER_ADDR_PARAMS, RFC 6458 §8.1.12). `None` leaves a setting as it
/// is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PathConfig {
    /// HB.interval; `Some(None)` sends no HEARTBEAT.
    pub heartbeat_interval: Option<Option<Duration>>,
    /// Path.Max.Retrans.
    pub max_retrans: Option<u32>,
    /// The congestion controller, in place of that of the association. It begins anew, with the
    /// initial window.
    pub congestion_control: Option<CongestionControl>,
}

/// A path as it stands.
#[derive(Debug, Clone, Copy)]
pub struct PathInfo {
    /// Names the path.
    pub id: PathId,
    /// The peer's address and UDP port.
    pub remote: SocketAddr,
    /// This side's address, where known.
    pub local_ip: Option<IpAddr>,
    /// Whether it can be used.
    pub state: PathState,
    /// Whether new data goes there.
    pub is_primary: bool,
    /// Measurements and counters.
    pub stats: PathStats,
}

/// State machine of one association. Its methods come in four kinds: getters, `handle_*` (inputs),
/// commands, and `poll_*` (outputs); after any input or command, poll until empty.
#[derive(Debug)]
pub struct Association {
    phase: Phase,
    cx: Cx,
    drained: bool,
}

impl Association {
    /// An association about to send INIT to `peers`, of which there is at least one.
    pub(crate) fn connect(
        now: Instant,
        given: Given,
        ports: Ports,
        local_tag: u32,
        peers: &[SocketAddr],
    ) -> Self {
        let mut cx = Cx::new(given, ports, local_tag);
        cx.confirmed = peers.iter().map(|peer| peer.ip().to_canonical()).collect();
        //= RFC 9260 §3.3.2
        //# The valid range is from 0 to 4294967295 and the Initial TSN SHOULD be set to a random
        //# value in that range.
        let initial_tsn = Tsn::new(cx.random.next_u64() as u32);
        cx.open_log(now, true, peers[0]);
        let wait = CookieWait::new(&cx.config, &cx.locals, initial_tsn, peers);
        Self {
            phase: Phase::CookieWait(Box::new(wait)),
            cx,
            drained: false,
        }
    }

    /// The association that a valid cookie stands for; `packet` is the one that brought it.
    pub(crate) fn accept(
        now: Instant,
        mut given: Given,
        cookie: &StateCookie,
        meta: &DatagramMeta,
        packet: &Bytes,
    ) -> Self {
        //= RFC 9260 §3.3.2
        //# During the life of the association, this buffer space SHOULD NOT be reduced (i.e.,
        //# dedicated buffers ought not to be taken away from this association); however, an
        //# endpoint MAY change the value of a_rwnd it sends in SACK chunks.
        //= RFC 9260 §3.3.3
        //# During the life of the association, this buffer space SHOULD NOT be reduced (i.e.,
        //# dedicated buffers ought not to be taken away from this association); however, an
        //# endpoint MAY change the value of a_rwnd it sends in SACK chunks.
        if given.config.receive_window != cookie.local_a_rwnd {
            Arc::make_mut(&mut given.config).receive_window = cookie.local_a_rwnd;
        }
        let mut cx = Cx::new(given, cookie.ports, cookie.local_tag);
        cx.open_log(now, false, meta.remote);
        cx.log.write(&LogEvent::PacketReceived {
            path: Some(PathId(0)),
            from: meta.remote,
            packet,
        });
        cx.confirmed = smallvec![meta.remote.ip().to_canonical()];
        let mut tcb = Tcb::from_cookie(&mut cx, now, meta, cookie, &[]);
        tcb.establish(&mut cx, now, false);
        tcb.due.cookie_ack = Some(tcb.paths.primary());
        let begin = Begin::after_echo(echoed_cookie(packet).map_or(0, |(place, _)| place));
        let handled = tcb.on_packet(&mut cx, now, meta, packet, begin);
        let mut association = Self {
            phase: Phase::Open(Box::new(tcb)),
            cx,
            drained: false,
        };
        association.conclude(now, handled);
        association
    }

    /// What follows from any input or command: the end, if a handler asked for it, or the next
    /// step of a shutdown or a stream reset.
    fn conclude(&mut self, now: Instant, handled: Handled) {
        if let Err(fatal) = handled {
            self.close(fatal);
        }
        self.retry_stale();
        if let Phase::Open(tcb) = &mut self.phase {
            while let Some(stream) = tcb.rx.poll_stalled(now) {
                self.cx.event(Event::StreamStalled(stream));
            }
            tcb.advance_reconfig(&mut self.cx);
            tcb.advance_asconf(&mut self.cx);
            tcb.advance_shutdown(&mut self.cx, now);
        }
    }

    /// Ends the association; what has arrived can still be read.
    fn close(&mut self, fatal: Fatal) {
        if let Phase::Closed(..) = self.phase {
            return;
        }
        let Fatal { reason, abort } = fatal;
        tracing::debug!(%reason, "association closed");
        self.cx.account.end(&reason);
        //= RFC 9260 §9.1
        //# When an endpoint decides to abort an existing association, it MUST send an ABORT chunk
        //# to its peer endpoint.
        //= RFC 9260 §9.1
        //# The sender MUST fill in the peer's Verification Tag in the outbound packet and MUST NOT
        //# bundle any DATA chunk with the ABORT chunk.
        //= RFC 9260 §8.5.1
        //# The endpoint MUST always fill in the Verification Tag field of the outbound packet with
        //# the destination endpoint's tag value if it is known.
        //= RFC 9260 §3.3.7
        //# DATA chunks MUST NOT be bundled with ABORT chunks.
        if let (Some(causes), Phase::Open(tcb)) = (abort, &mut self.phase) {
            let meta = tcb.paths.get(tcb.paths.for_new_data()).meta();
            let mut bytes = Vec::new();
            let mut packet = tcb.begin(&self.cx, &mut bytes, MAX_REPLY);
            packet.abort(false, &causes);
            let size = tcb.finish(&self.cx, packet);
            let transmit = Transmit::reply(&meta, size);
            self.cx.replies.clear();
            self.cx.reply(Reply { transmit, bytes });
        }
        self.cx.timers.clear();
        // `Closed` is the last event: what can be read is told before it.
        if let Phase::Open(tcb) = &mut self.phase {
            while let Some(stream) = tcb.rx.poll_readable() {
                self.cx.event(Event::Readable(stream));
            }
        }
        self.cx.fail_all();
        self.cx.event(Event::Closed(reason.clone()));
        let closed = Phase::Closed(None, reason);
        if let Phase::Open(tcb) = std::mem::replace(&mut self.phase, closed)
            && let Phase::Closed(rx, _) = &mut self.phase
        {
            *rx = Some(tcb.rx);
        }
    }
}

impl Association {
    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for never. May be earlier
    /// than needed, but never by more than one timer's old deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = self.cx.timers.next();
        let Phase::Open(tcb) = &self.phase else {
            return timers;
        };
        [timers, tcb.sack.deadline(), tcb.rx.stall_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the endpoint has to know.
    pub fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        self.cx.endpoint_events.pop_front().map(EndpointEvent)
    }

    /// What the user has to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.cx.next_event() {
            return Some(event);
        }
        if let Some(stage) = self.cx.queue.poll_stage() {
            self.cx.event(match stage {
                Stage::Sent { stream, context } => Event::MessageSent { stream, context },
                Stage::Acked { stream, context } => Event::MessageAcked { stream, context },
            });
            return self.cx.next_event();
        }
        if let Some(failed) = self.cx.queue.poll_failed() {
            self.cx.stats.messages_abandoned += 1;
            self.cx.fail([failed]);
            // Nothing is left that an acknowledgement could be the last of.
            if self.cx.queue.is_empty() && !self.cx.queue.has_failed() {
                self.cx.event(Event::SenderDry);
            }
            return self.cx.next_event();
        }
        let Phase::Open(tcb) = &mut self.phase else {
            return None;
        };
        if let Some(stream) = tcb.rx.poll_readable() {
            return Some(Event::Readable(stream));
        }
        if tcb.state.takes_messages() {
            return self.cx.queue.poll_writable().map(Event::Writable);
        }
        None
    }
}
