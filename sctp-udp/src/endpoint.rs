//! The endpoint: sockets, and the associations on them.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use rand::{TryRng, rngs::SysRng};
use rustc_hash::FxHashMap;
use sctp_proto::{
    AssociationConfig, AssociationHandle, AssociationState, ConfigError, EndpointConfig,
    EndpointEvent, EndpointStats, IcmpMessage, LocalAddress, SendInfo, ServerConfig, SocketId,
    StreamId,
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};

use crate::{
    Association, Capture, ConnectError, DatagramSocket, Incoming, SendError,
    addresses::Addresses,
    association_driver::AssociationDriver,
    bind,
    clock::Clock,
    endpoint_driver::EndpointDriver,
    interfaces,
    net::Net,
    routes,
    sockets::{MAX_SOCKETS, SocketCounters, SocketStats, Sockets},
    state::{Shared, lock},
};

/// What the handles and the tasks of an endpoint share.
#[derive(Debug)]
pub(crate) struct EndpointShared {
    pub(crate) clock: Clock,
    state: Mutex<EndpointState>,
    /// A peer waits for `accept`, or none ever will again.
    pub(crate) incoming: Notify,
    /// The last association is over.
    idle: Notify,
    counters: Arc<SocketCounters>,
    runtime: Handle,
}

#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) proto: sctp_proto::Endpoint,
    pub(crate) associations: FxHashMap<AssociationHandle, Arc<Shared>>,
    /// Bounded by [`ServerConfig::max_pending`], which the protocol enforces.
    pub(crate) incoming: VecDeque<sctp_proto::Incoming>,
    /// Gone once the endpoint's task has ended: handles that are still held keep no socket open.
    pub(crate) net: Option<Arc<Net>>,
    pub(crate) addresses: Addresses,
    /// What the protocol has been told of them.
    pub(crate) told: Vec<LocalAddress>,
    /// The task that watches the interfaces, where there is one.
    watch: Option<AbortHandle>,
    /// Where what passes the sockets is written, if it is.
    pub(crate) capture: Option<Capture>,
    closed: bool,
    next_id: u64,
}

impl EndpointState {
    /// What the sockets are bound to.
    pub(crate) fn bound(&self) -> Vec<(SocketId, SocketAddr)> {
        let bound = self.net.as_ref().map(|net| net.sockets.bound());
        bound.unwrap_or_default()
    }

    /// The addresses that are served now.
    pub(crate) fn served(&self) -> Vec<LocalAddress> {
        self.addresses.served(&self.bound())
    }
}

impl EndpointShared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, EndpointState> {
        lock(&self.state)
    }

    /// Takes in what an association has for the endpoint; forgets it once it is drained.
    pub(crate) fn settle(&self, shared: &Arc<Shared>, events: Vec<EndpointEvent>, drained: bool) {
        let mut answers = Vec::new();
        let mut idle = None;
        {
            let mut state = self.lock();
            for event in events {
                answers.extend(state.proto.handle_event(shared.handle, event));
            }
            // The handle may be another association's already.
            let known = state.associations.get(&shared.handle);
            if drained && known.is_some_and(|known| Arc::ptr_eq(known, shared)) {
                state.associations.remove(&shared.handle);
                if state.associations.is_empty() {
                    idle = state.net.clone();
                }
            }
        }
        shared.with(|state, wakes| {
            let now = self.clock.now();
            for answer in answers {
                state.proto.handle_event(now, answer);
                state.wake_driver(wakes);
            }
            if drained {
                state.take_events(wakes);
                state.finish(wakes);
                state.wake_driver(wakes);
            }
        });
        if let Some(net) = idle {
            self.idle.notify_waiters();
            net.wake();
        }
    }

    /// Whether the endpoint's task has nothing left to do, ever.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.closed && state.associations.is_empty()
    }

    /// The endpoint's task is gone, because all is over or because its runtime ended.
    pub(crate) fn driver_ended(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.net = None;
        if let Some(watch) = state.watch.take() {
            watch.abort();
        }
        drop(state);
        self.incoming.notify_waiters();
        self.idle.notify_waiters();
    }

    /// Registers a new association and starts its task. Under the endpoint's lock, so that no
    /// datagram is routed to it before.
    fn start(
        self: &Arc<Self>,
        state: &mut EndpointState,
        net: Arc<Net>,
        remote: SocketAddr,
        (handle, proto): (AssociationHandle, sctp_proto::Association),
    ) -> Association {
        state.next_id += 1;
        let id = state.next_id;
        let shared = Arc::new(Shared::new(id, handle, remote, self.clock, proto));
        state.associations.insert(handle, Arc::clone(&shared));
        let driver = AssociationDriver::new(Arc::clone(&shared), Arc::clone(self), net);
        self.runtime.spawn(driver);
        Association::new(shared)
    }

    pub(crate) fn accept(
        self: &Arc<Self>,
        incoming: sctp_proto::Incoming,
        config: Option<Arc<AssociationConfig>>,
    ) -> Result<Association, crate::AcceptError> {
        use crate::AcceptError as E;
        if let Some(Err(error)) = config.as_ref().map(|config| config.validate()) {
            self.refuse(incoming);
            return Err(error.into());
        }
        let now = self.clock.now();
        let remote = incoming.remote();
        let mut state = self.lock();
        let net = match &state.net {
            Some(net) if !state.closed => Arc::clone(net),
            _ => {
                drop(state);
                self.refuse(incoming);
                return Err(E::EndpointClosed);
            }
        };
        match state.proto.accept(now, incoming, config) {
            Ok(started) => Ok(self.start(&mut state, net, remote, started)),
            Err(_) => Err(E::Gone),
        }
    }

    pub(crate) fn refuse(&self, incoming: sctp_proto::Incoming) {
        let mut reply = Vec::new();
        let (transmit, net) = {
            let mut state = self.lock();
            (state.proto.refuse(incoming, &mut reply), state.net.clone())
        };
        if let Some(net) = net {
            net.sockets.send_reply(&transmit, &reply);
        }
    }

    /// Stops accepting, for good.
    fn stop(&self) {
        let (waiting, net) = {
            let mut state = self.lock();
            state.closed = true;
            state.proto.set_server_config(None);
            (std::mem::take(&mut state.incoming), state.net.clone())
        };
        for incoming in waiting {
            self.refuse(incoming);
        }
        self.incoming.notify_waiters();
        if let Some(net) = net {
            net.wake();
        }
    }
}

/// UDP sockets (RFC 6951) shared by any number of associations. Cheap to clone.
///
/// When the last clone is dropped the endpoint stops accepting and refuses who waits; its
/// associations go on, and the sockets are closed with the last of them.
#[derive(Debug, Clone)]
pub struct Endpoint(Arc<Owner>);

/// What all clones of an [`Endpoint`] hold, and nobody else.
#[derive(Debug)]
struct Owner {
    shared: Arc<EndpointShared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Endpoint {
    pub(crate) fn shared(&self) -> &Arc<EndpointShared> {
        &self.0.shared
    }

    /// Binds one socket per address; a wildcard address serves every address of its family that
    /// the machine has, now or later, and an IPv6 socket serves IPv6 only. Port 0 takes a free
    /// port. All sockets have the same UDP port (RFC 6951 §5.1), so that port 0 beside a port means
    /// that one, and two different ports are an error. With `server`, associations are accepted.
    ///
    /// What the interfaces have is watched from then on, on Linux by the kernel's notifications, elsewhere every
    /// three seconds: associations learn of addresses that come and go.
    ///
    /// Must be called within a tokio runtime, which from then on drives the endpoint. A
    /// configuration that cannot work is an error of kind `InvalidInput`.
    pub fn bind(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        local: &[SocketAddr],
    ) -> io::Result<Self> {
        Self::bind_and_watch(config, server, local, None)
    }

    /// As [`bind`](Self::bind), with every datagram that passes the sockets written to a capture.
    pub fn bind_captured(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        local: &[SocketAddr],
        capture: &Capture,
    ) -> io::Result<Self> {
        Self::bind_and_watch(config, server, local, Some(capture))
    }

    fn bind_and_watch(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        local: &[SocketAddr],
        capture: Option<&Capture>,
    ) -> io::Result<Self> {
        let runtime = runtime()?;
        let mut sockets = bind::sockets(local)?;
        if let Some(capture) = capture {
            let captured = sockets.into_iter().map(|socket| capture.socket(socket));
            sockets = captured.collect::<io::Result<_>>()?;
        }
        let endpoint = Self::from_sockets(config, server, sockets)?;
        let known = interfaces::addresses().unwrap_or_else(|error| {
            tracing::debug!(%error, "the addresses of this machine are not known");
            Vec::new()
        });
        endpoint.handle_interfaces(known.clone());
        let watched = Arc::downgrade(&endpoint.0.shared);
        let watch = interfaces::watch(known, move |list| {
            let shared = watched.upgrade().filter(|shared| !shared.is_over());
            shared.map(|shared| shared.set_interfaces(list)).is_some()
        });
        let mut state = endpoint.0.shared.lock();
        state.watch = Some(runtime.spawn(watch).abort_handle());
        state.capture = capture.cloned();
        drop(state);
        Ok(endpoint)
    }

    /// An endpoint on any sockets: real, simulated, encrypted. Who knows what the machine's
    /// interfaces have tells by [`handle_interfaces`](Self::handle_interfaces).
    pub fn from_sockets(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        sockets: Vec<Arc<dyn DatagramSocket>>,
    ) -> io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "cookies of several machines are compared"
        )]
        let unix_time = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let mut config = config;
        config.unix_time_at_epoch(unix_time);
        Self::with_seed(config, server, sockets, seed)
    }

    /// As [`from_sockets`](Self::from_sockets), but all randomness comes from `seed`, and Unix time
    /// is what `config` says: for simulations that can be replayed. A seed that others know, or
    /// that is used twice, makes tags and cookies forgeable.
    pub fn with_seed(
        config: EndpointConfig,
        server: Option<ServerConfig>,
        sockets: Vec<Arc<dyn DatagramSocket>>,
        seed: [u8; 32],
    ) -> io::Result<Self> {
        config.validate().map_err(invalid)?;
        if let Some(server) = &server {
            server.validate().map_err(invalid)?;
        }
        if sockets.is_empty() || sockets.len() > MAX_SOCKETS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an endpoint needs at least one socket, and at most 65535",
            ));
        }
        let runtime = runtime()?;
        let counters = Arc::<SocketCounters>::default();
        let net = Arc::new(Net::new(Sockets::new(sockets, Arc::clone(&counters))?));
        if let Some(server) = &server {
            let below = net.sockets.error_detection();
            server.validate_error_detection(below).map_err(invalid)?;
        }
        let proto = sctp_proto::Endpoint::new(Arc::new(config), server.map(Arc::new), seed);
        let shared = Arc::new(EndpointShared {
            clock: Clock::start(),
            state: Mutex::new(EndpointState {
                proto,
                associations: FxHashMap::default(),
                incoming: VecDeque::new(),
                net: Some(Arc::clone(&net)),
                addresses: Addresses::default(),
                told: Vec::new(),
                watch: None,
                capture: None,
                closed: false,
                next_id: 0,
            }),
            incoming: Notify::new(),
            idle: Notify::new(),
            counters,
            runtime: runtime.clone(),
        });
        // What the sockets are bound to by name.
        shared.tell(|_| {});
        runtime.spawn(EndpointDriver::new(Arc::clone(&shared), net));
        Ok(Self(Arc::new(Owner { shared })))
    }

    /// Sets an association up with the peer that has these addresses, and waits until it is
    /// established. Dropping the future aborts the attempt.
    pub async fn connect(
        &self,
        peer: &[SocketAddr],
        config: Arc<AssociationConfig>,
    ) -> Result<Association, ConnectError> {
        struct AbortOnDrop(Option<Association>);
        impl Drop for AbortOnDrop {
            fn drop(&mut self) {
                if let Some(association) = &self.0 {
                    association.abort(Bytes::new());
                }
            }
        }
        let association = self.connect_early(peer, config)?;
        let mut guard = AbortOnDrop(Some(association.clone()));
        let result = association.established().await;
        guard.0 = None;
        result.map(|()| association)
    }

    /// As [`connect`](Self::connect), without waiting: messages sent before the association is
    /// established leave with the COOKIE ECHO, so that a first request costs one round trip.
    /// [`Association::established`] tells how it went.
    pub fn connect_early(
        &self,
        peer: &[SocketAddr],
        config: Arc<AssociationConfig>,
    ) -> Result<Association, ConnectError> {
        config.validate()?;
        let shared = &self.0.shared;
        let now = shared.clock.now();
        let mut state = shared.lock();
        let net = match &state.net {
            Some(net) if !state.closed => Arc::clone(net),
            _ => return Err(ConnectError::EndpointClosed),
        };
        config.validate_error_detection(net.sockets.error_detection())?;
        let remote = *peer.first().ok_or(ConnectError::NoAddress)?;
        if let Some(address) = peer.iter().find(|a| !net.sockets.serves(**a)) {
            return Err(ConnectError::NoSocket(*address));
        }
        let local = match &state.watch {
            Some(_) => routes::order(&state.told, peer),
            None => state.told.clone(),
        };
        let started = state.proto.connect(now, config, &local, peer)?;
        Ok(shared.start(&mut state, net, remote, started))
    }

    /// The next peer that completed its side of the handshake; `None` once the endpoint is closed.
    /// Cancel-safe.
    pub async fn accept(&self) -> Option<Incoming> {
        let shared = &self.0.shared;
        loop {
            let notified = shared.incoming.notified();
            {
                let mut state = shared.lock();
                if let Some(incoming) = state.incoming.pop_front() {
                    return Some(Incoming::new(incoming, Arc::clone(shared)));
                }
                if state.closed {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// Starts, changes or (with `None`) stops accepting. Associations that exist go on. Has no
    /// effect on a closed endpoint.
    pub fn set_server_config(&self, server: Option<ServerConfig>) -> Result<(), ConfigError> {
        if let Some(server) = &server {
            server.validate()?;
        }
        let mut state = self.0.shared.lock();
        if let (Some(server), Some(net)) = (&server, &state.net) {
            server.validate_error_detection(net.sockets.error_detection())?;
        }
        if !state.closed {
            state.proto.set_server_config(server.map(Arc::new));
        }
        Ok(())
    }

    /// Associations held, peers waiting for `accept` included.
    pub fn associations(&self) -> usize {
        self.0.shared.lock().proto.associations()
    }

    /// The [`id`](Association::id)s of the associations, without the peers that wait.
    pub fn association_ids(&self) -> Vec<u64> {
        let state = self.0.shared.lock();
        let mut ids: Vec<_> = state.associations.values().map(|a| a.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Queues one message on every established association (SCTP_SENDALL, RFC 6458 §5.3.4): the
    /// bytes are shared. Returns what became of it, by the association's
    /// [`id`](Association::id): one without room at the moment goes without, and waits for nothing.
    pub fn send_all(
        &self,
        stream: StreamId,
        data: &Bytes,
        info: &SendInfo,
    ) -> Vec<(u64, Result<(), SendError>)> {
        let now = self.0.shared.clock.now();
        let associations: Vec<_> = {
            let state = self.0.shared.lock();
            state.associations.values().cloned().collect()
        };
        let send = |association: Arc<Shared>| {
            association.with(|state, wakes| {
                let up = state.proto.state() == AssociationState::Established;
                let sent = up.then(|| state.send(now, stream, data.clone(), info.clone(), wakes));
                Some((association.id, sent?))
            })
        };
        associations.into_iter().filter_map(send).collect()
    }

    /// Associations with this peer address, peers waiting for `accept` included, and the bytes that
    /// they hold ([`EndpointConfig::max_memory_per_peer`]).
    pub fn held_for(&self, peer: IpAddr) -> (usize, usize) {
        self.0.shared.lock().proto.held_for(peer)
    }

    /// Counters: of the endpoint itself and of its associations together.
    pub fn stats(&self) -> EndpointStats {
        self.0.shared.lock().proto.stats()
    }

    /// Takes an ICMP message about a packet that left by one of the sockets. The sockets of the
    /// operating system do not show them (see [`UdpSocket`](crate::UdpSocket)); this is for processes that receive
    /// them otherwise, and nothing relies on it. It is believed only with the verification tag of
    /// an association.
    pub fn handle_icmp(&self, message: &IcmpMessage<'_>) {
        let shared = &self.0.shared;
        let now = shared.clock.now();
        let found = {
            let mut state = shared.lock();
            let found = state.proto.handle_icmp(now, message);
            found.and_then(|(handle, event)| {
                let association = state.associations.get(&handle)?;
                Some((Arc::clone(association), event))
            })
        };
        if let Some((association, event)) = found {
            association.with(|state, wakes| {
                state.proto.handle_event(now, event);
                state.wake_driver(wakes);
            });
        }
    }

    /// Counters of the sockets.
    pub fn socket_stats(&self) -> SocketStats {
        self.0.shared.counters.snapshot()
    }

    /// Stops accepting, refuses who waits, shuts every association down and waits until all are
    /// over. Once polled, dropping the future does not stop this. The sockets are closed when it
    /// is done.
    pub async fn close(&self) {
        let shared = &self.0.shared;
        shared.stop();
        let associations: Vec<_> = shared.lock().associations.values().cloned().collect();
        let now = shared.clock.now();
        for association in associations {
            association.with(|state, wakes| state.start_shutdown(now, wakes));
        }
        loop {
            let idle = shared.idle.notified();
            if shared.lock().net.is_none() {
                return;
            }
            idle.await;
        }
    }
}

fn runtime() -> io::Result<Handle> {
    Handle::try_current().map_err(io::Error::other)
}

fn invalid(error: ConfigError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
