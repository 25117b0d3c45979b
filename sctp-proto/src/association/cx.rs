//! What a handler may touch besides the association's own state.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use smallvec::SmallVec;

use super::{
    AssociationStats, EndpointEventKind, Event, Ports,
    outbound::Reply,
    random::Random,
    timers::{Timer, TimerTable},
};
use crate::{
    accounts::Account,
    address::LocalAddress,
    association::PathState,
    auth::AuthKeys,
    config::AssociationConfig,
    cookie::CookieJar,
    error::{CloseReason, ErrorCause},
    event_log::{Log, LogEvent, Vantage},
    ids::PathId,
    path::{LocalAddressState, Locals},
    time::Instant,
    transmit::DatagramMeta,
    tx::{FailedMessage, SendQueue},
    wire::CauseWriter,
};

/// Events that may wait for the user before the peer's requests are refused: it decides how many
/// there are.
const MAX_UNREAD_EVENTS: usize = 1024;
/// PeerError events kept for a user who does not poll. The peer decides how many there are, so
/// that further ones are dropped.
const MAX_PEER_ERRORS: usize = 16;
/// One-shot replies waiting to be sent; the peer decides how many it provokes, too.
const MAX_REPLIES: usize = 8;

/// What an endpoint gives to each of its associations.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) config: Arc<AssociationConfig>,
    pub(crate) cookies: Arc<CookieJar>,
    pub(crate) account: Account,
    /// Addresses of this side.
    pub(crate) locals: Locals,
    pub(crate) seed: [u8; 32],
}

/// Everything that outlives the phases of an association.
#[derive(Debug)]
pub(crate) struct Cx {
    pub(crate) config: Arc<AssociationConfig>,
    pub(crate) cookies: Arc<CookieJar>,
    pub(crate) ports: Ports,
    /// The verification tag that the peer's packets must carry.
    //= RFC 9260 §5.3.1
    //# Moreover, the Verification Tag value used by either endpoint in a given association MUST NOT
    //# change during the life time of an association.
    pub(crate) local_tag: u32,
    pub(crate) random: Random,
    /// Endpoint pair shared keys (RFC 4895).
    pub(crate) auth_keys: AuthKeys,
    /// The addresses of this side, and what the peer knows of them.
    pub(crate) locals: Locals,
    /// The peer's addresses that the endpoint routes by.
    pub(crate) confirmed: SmallVec<[IpAddr; 2]>,
    /// Messages may be queued before the peer is known.
    pub(crate) queue: SendQueue,
    pub(crate) timers: TimerTable,
    pub(crate) events: VecDeque<Event>,
    peer_errors: usize,
    pub(crate) endpoint_events: VecDeque<EndpointEventKind>,
    pub(crate) replies: VecDeque<Reply>,
    /// `shutdown` was called before the association was established.
    pub(crate) shutdown_requested: bool,
    pub(crate) stats: AssociationStats,
    pub(crate) log: Log,
    pub(crate) account: Account,
}

impl Cx {
    pub(crate) fn new(given: Given, ports: Ports, local_tag: u32) -> Self {
        let Given {
            config,
            cookies,
            account,
            locals,
            seed,
        } = given;
        Self {
            auth_keys: AuthKeys::new(&config.auth_keys),
            account,
            queue: SendQueue::new(&config),
            config,
            cookies,
            ports,
            local_tag,
            random: Random::new(seed),
            locals,
            confirmed: SmallVec::new(),
            timers: TimerTable::default(),
            // One at a time is usual; most associations never need more room.
            events: VecDeque::with_capacity(1),
            peer_errors: 0,
            endpoint_events: VecDeque::new(),
            replies: VecDeque::new(),
            shutdown_requested: false,
            stats: AssociationStats::default(),
            log: Log::default(),
        }
    }

    /// Begins the log of the association, if there is to be one.
    pub(crate) fn open_log(&mut self, now: Instant, is_client: bool, remote: SocketAddr) {
        if let Some(log) = &self.config.event_log {
            let vantage = Vantage {
                is_client,
                remote,
                local_port: self.ports.local,
                remote_port: self.ports.remote,
                local_tag: self.local_tag,
            };
            self.log = Log::new(now, log.open(now, &vantage));
        }
    }

    /// Two numbers that are random and not 0, as tags and tie-tags must be (§5.3.1).
    pub(crate) fn random_tags(&mut self) -> (u32, u32) {
        loop {
            let drawn = self.random.next_u64();
            let tags = ((drawn >> 32) as u32, drawn as u32);
            if tags.0 != 0 && tags.1 != 0 {
                return tags;
            }
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.log.write(&LogEvent::Notified(&event));
        self.events.push_back(event);
    }

    /// Whether so many events wait that the peer is to cause no more.
    pub(crate) fn is_unread(&self) -> bool {
        self.events.len() >= MAX_UNREAD_EVENTS
    }

    pub(crate) fn path_changed(&mut self, path: PathId, state: PathState) {
        self.event(Event::PathChanged { path, state });
    }

    /// The address of this side that a packet came to, where it can be told.
    pub(crate) fn local_ip(&self, meta: &DatagramMeta) -> Option<IpAddr> {
        meta.local_ip.or_else(|| self.locals.of_socket(meta.socket))
    }

    /// The handshake took this way: the peer knows the address of this side.
    pub(crate) fn shook_hands_at(&mut self, meta: &DatagramMeta) {
        let Some(ip) = self.local_ip(meta).filter(|_| !self.locals.is_empty()) else {
            // Nobody can tell which of them it is that the peer knows.
            self.locals = Locals::default();
            return;
        };
        let socket = meta.socket;
        self.locals
            .add(LocalAddress { ip, socket }, LocalAddressState::Known);
        self.locals.put_first(ip);
    }

    /// Tells the user of an error the peer reported.
    pub(crate) fn peer_error(&mut self, cause: ErrorCause) {
        if self.peer_errors < MAX_PEER_ERRORS {
            self.peer_errors += 1;
            self.event(Event::PeerError(cause));
        }
    }

    /// Takes the oldest event.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if matches!(event, Some(Event::PeerError(_))) {
            self.peer_errors -= 1;
        }
        event
    }

    /// Queues a packet that leaves as it is.
    pub(crate) fn reply(&mut self, reply: Reply) {
        if self.replies.len() < MAX_REPLIES {
            self.replies.push_back(reply);
        }
    }

    /// User data came or went: the time after which an idle association is closed begins anew.
    pub(crate) fn restart_autoclose(&mut self, now: Instant) {
        if let Some(idle) = self.config.autoclose {
            self.timers.set(Timer::Autoclose, now + idle);
        }
    }

    /// Hands queued and unacknowledged messages back to the user.
    pub(crate) fn fail_all(&mut self) {
        let failed = self.queue.drain_all();
        self.fail(failed);
    }

    /// Hands messages back to the user.
    pub(crate) fn fail(&mut self, failed: impl IntoIterator<Item = FailedMessage>) {
        for FailedMessage {
            stream,
            context,
            sent,
            data,
        } in failed
        {
            self.event(Event::SendFailed {
                stream,
                context,
                sent,
                data,
            });
        }
    }
}

/// Why an association must end now: the reason for its user, and what the peer is told.
#[derive(Debug)]
pub(crate) struct Fatal {
    pub(crate) reason: CloseReason,
    /// Error causes of the ABORT to send; `None` sends nothing.
    pub(crate) abort: Option<CauseWriter>,
}

impl Fatal {
    /// Ends without a word to the peer.
    pub(crate) fn silent(reason: CloseReason) -> Self {
        Self {
            reason,
            abort: None,
        }
    }
}

/// What the handlers of the state machine return.
pub(crate) type Handled = Result<(), Fatal>;
