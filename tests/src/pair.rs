//! A client, a server and the network between them on a virtual clock.
//!
//! ```no_run
//! use sctp_tests::pair::{Pair, Side::{Client, Server}};
//!
//! let mut pair = Pair::builder().seed(7).build();
//! pair.connect();
//! pair.net.drop_next(3);
//! pair.send(Client, 1, "hello");
//! pair.drive();
//! assert_eq!(pair.recv(Server, 1).unwrap(), "hello");
//! ```

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, AssociationState, AssociationStats, CloseReason, EndpointConfig, Event,
    Instant, Message, PathStats, SendError, SendInfo, ServerConfig, StreamId,
};

use crate::{
    host::{Conn, Host, local_addresses},
    net::{Datagram, Link, Net, Verdict},
    rng::Rng,
    trace::Trace,
};

/// One end of a [`Pair`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that accepts.
    Server,
}

impl Side {
    /// The other end.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What a pair is made of.
#[derive(Debug, Clone)]
pub struct Builder {
    seed: u64,
    link: Link,
    client: AssociationConfig,
    server: AssociationConfig,
    endpoint: EndpointConfig,
    addrs: [Vec<SocketAddr>; 2],
    both_listen: bool,
    steps: usize,
    traced: bool,
    audited: bool,
}

impl Builder {
    /// Seed of network and endpoints, default 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What all links are like, default 10 ms one way and nothing lost.
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Changes the client's settings. The default is the protocol's, without HEARTBEAT, so that
    /// [`Pair::drive`] comes to an end, and without a search for the path MTU.
    pub fn client(mut self, change: impl FnOnce(&mut AssociationConfig)) -> Self {
        change(&mut self.client);
        self
    }

    /// Changes the settings of the associations the server accepts.
    pub fn server(mut self, change: impl FnOnce(&mut AssociationConfig)) -> Self {
        change(&mut self.server);
        self
    }

    /// Changes the settings of both.
    pub fn both(self, change: impl Fn(&mut AssociationConfig)) -> Self {
        self.client(&change).server(change)
    }

    /// Changes the settings of both endpoints.
    pub fn endpoint(mut self, change: impl FnOnce(&mut EndpointConfig)) -> Self {
        change(&mut self.endpoint);
        self
    }

    /// Addresses, default 10.0.0.1:9899 and 10.0.0.2:9899.
    pub fn addrs(mut self, client: &[&str], server: &[&str]) -> Self {
        let parse = |list: &[&str]| list.iter().map(|a| a.parse().expect("address")).collect();
        self.addrs = [parse(client), parse(server)];
        self
    }

    /// Lets the client accept associations as well, on SCTP port 5000, which it then connects
    /// from.
    pub fn both_listen(mut self) -> Self {
        self.both_listen = true;
        self.client.local_port(Some(5000));
        self
    }

    /// How many steps a run may take before it counts as caught in a loop, default 200,000.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Keeps no packets, for runs of millions of them.
    pub fn untraced(mut self) -> Self {
        self.traced = false;
        self
    }

    /// Checks the books of both hosts at every step ([`Host::audited`]).
    pub fn audited(mut self) -> Self {
        self.audited = true;
        self
    }

    /// The pair, nothing sent yet.
    pub fn build(self) -> Pair {
        let mut rng = Rng::new(self.seed);
        let listen = |port: u16, config: &AssociationConfig| {
            let mut server = ServerConfig::default();
            server.port(port).association(Arc::new(config.clone()));
            server
        };
        let own = self.both_listen.then(|| listen(5000, &self.client));
        let server = Some(listen(80, &self.server));
        let [client_addrs, server_addrs] = &self.addrs;
        let mut client = Host::new(client_addrs, self.endpoint.clone(), own, rng.seed());
        let mut server = Host::new(server_addrs, self.endpoint.clone(), server, rng.seed());
        (client.audited, server.audited) = (self.audited, self.audited);
        let mut net = Net::new(rng.next_u64(), self.link.clone());
        if !self.traced {
            net.trace = Trace::off();
        }
        Pair {
            net,
            // Not the epoch: a deadline of zero would pass for one that is due.
            now: Instant::from_nanos(1_000_000_000),
            client,
            server,
            steps_left: self.steps,
            rng,
            config: self,
        }
    }
}

/// A client, a server, the network between them and the clock.
///
/// Dropped by a failing test, it writes the packets of the run to a file and prints its name and
/// the seed.
#[derive(Debug)]
pub struct Pair {
    /// The network.
    pub net: Net,
    /// The clock.
    pub now: Instant,
    /// The client's host.
    pub client: Host,
    /// The server's host.
    pub server: Host,
    config: Builder,
    rng: Rng,
    steps_left: usize,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.net.trace.write_if_failing(self.config.seed);
    }
}

impl Default for Pair {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Pair {
    /// Settings to change before the pair is built.
    pub fn builder() -> Builder {
        let mut config = AssociationConfig::default();
        config.heartbeat_interval(None).plpmtud(false);
        Builder {
            seed: 1,
            link: Link::default(),
            client: config.clone(),
            server: config,
            endpoint: EndpointConfig::default(),
            addrs: [
                vec![SocketAddr::from(([10, 0, 0, 1], 9899))],
                vec![SocketAddr::from(([10, 0, 0, 2], 9899))],
            ],
            both_listen: false,
            steps: 200_000,
            traced: true,
            audited: false,
        }
    }

    /// A pair with the default settings and an association between its ends.
    pub fn connected() -> Self {
        let mut pair = Self::default();
        pair.connect();
        pair
    }

    /// Begins an association without moving the clock.
    pub fn start(&mut self) {
        let to = self.server.addrs.clone();
        let started = self
            .client
            .connect(self.now, self.config.client.clone(), &to);
        started.expect("the client can connect");
    }

    /// Begins an association from the server's side to the client's port 5000.
    pub fn start_from_server(&mut self) {
        let to = self.client.addrs.clone();
        let mut config = self.config.server.clone();
        config.remote_port(5000).local_port(Some(80));
        let started = self.server.connect(self.now, config, &to);
        started.expect("the server can connect");
    }

    /// Sets an association up, and takes the events that tell so.
    pub fn connect(&mut self) {
        self.start();
        self.drive_until(Self::established);
        self.take_established(Side::Client);
        self.take_established(Side::Server);
    }

    fn take_established(&mut self, side: Side) {
        let event = Event::Established { restarted: false };
        let taken = self.conn(side).take_event(|e| *e == event);
        assert!(taken.is_some(), "no Established event at the {side:?}");
    }

    /// Whether both ends are established.
    pub fn established(&mut self) -> bool {
        [Side::Client, Side::Server].into_iter().all(|side| {
            !self.host(side).conns.is_empty() && self.state(side) == AssociationState::Established
        })
    }

    /// Replaces a host by one that remembers nothing, as after a crash.
    pub fn crash(&mut self, side: Side) {
        let seed = self.rng.seed();
        let listens = side == Side::Server || self.config.both_listen;
        let (port, config) = match side {
            Side::Client => (5000, self.config.client.clone()),
            Side::Server => (80, self.config.server.clone()),
        };
        let server = listens.then(|| {
            let mut server = ServerConfig::default();
            server.port(port).association(Arc::new(config));
            server
        });
        let old = self.host(side);
        let (addrs, audited, max_segments) = (old.addrs.clone(), old.audited, old.max_segments);
        let mut host = Host::new(&addrs, self.config.endpoint.clone(), server, seed);
        (host.audited, host.max_segments) = (audited, max_segments);
        *self.host(side) = host;
    }
}

/// The clock.
impl Pair {
    /// Moves to the next thing that happens and lets it happen; false if nothing ever will.
    pub fn step(&mut self) -> bool {
        self.flush();
        let Some(next) = self.next_wake() else {
            return false;
        };
        self.steps_left = self.steps_left.checked_sub(1).unwrap_or_else(|| {
            panic!("still busy after all its steps: {}", self.summary());
        });
        self.now = self.now.max(next);
        while let Some(datagram) = self.net.poll(self.now) {
            if self.client.addrs.contains(&datagram.to) {
                self.client.receive(self.now, datagram);
            } else {
                self.server.receive(self.now, datagram);
            }
        }
        self.flush();
        true
    }

    /// When the next thing happens, after [`flush`](Self::flush).
    pub fn next_wake(&self) -> Option<Instant> {
        let times = [
            self.net.next_arrival(),
            self.client.timeout(),
            self.server.timeout(),
        ];
        times.into_iter().flatten().min()
    }

    /// Polls both ends and gives what they send to the network.
    pub fn flush(&mut self) {
        for host in [&mut self.client, &mut self.server] {
            host.poll(self.now);
            while let Some(datagram) = host.take_packet() {
                self.net.send(self.now, datagram);
            }
        }
    }

    /// Runs until nothing is left to happen.
    pub fn drive(&mut self) {
        while self.step() {}
    }

    /// Runs for this long.
    pub fn drive_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.flush();
        loop {
            if self.next_wake().is_none_or(|at| at > end) {
                break;
            }
            self.step();
        }
        self.now = end;
        self.flush();
    }

    /// Lets this much time pass in which nobody is awake: machines were suspended, or their
    /// drivers poll late. What arrived and what ran out meanwhile is found all at once.
    pub fn sleep(&mut self, time: Duration) {
        self.now += time;
    }

    /// Runs until `done`; panics if nothing is left to happen before that.
    pub fn drive_until(&mut self, done: impl Fn(&mut Self) -> bool) {
        self.flush();
        while !done(self) {
            assert!(self.step(), "all is quiet, not done: {}", self.summary());
        }
    }
}

/// One end.
impl Pair {
    /// The host.
    pub fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Its latest association.
    pub fn conn(&mut self, side: Side) -> &mut Conn {
        self.host(side).conn()
    }

    /// State of its latest association.
    pub fn state(&mut self, side: Side) -> AssociationState {
        self.conn(side).association.state()
    }

    /// Counters of its latest association.
    pub fn stats(&mut self, side: Side) -> AssociationStats {
        self.conn(side).association.stats()
    }

    /// Counters of the first path of its latest association.
    pub fn path(&mut self, side: Side) -> PathStats {
        let path = self.conn(side).association.paths().next();
        path.expect("there is a path").stats
    }

    /// Why its latest association ended.
    pub fn closed(&mut self, side: Side) -> Option<CloseReason> {
        self.conn(side).closed.clone()
    }

    /// Queues a message that must be taken.
    pub fn send(&mut self, side: Side, stream: u16, data: impl Into<Bytes>) {
        self.send_with(side, stream, data, SendInfo::default());
    }

    /// Queues a message that must be taken.
    pub fn send_with(&mut self, side: Side, stream: u16, data: impl Into<Bytes>, info: SendInfo) {
        let sent = self.try_send(side, stream, data.into(), info);
        sent.expect("the message is taken");
    }

    /// Queues a message.
    pub fn try_send(
        &mut self,
        side: Side,
        stream: u16,
        data: Bytes,
        info: SendInfo,
    ) -> Result<(), SendError> {
        let now = self.now;
        let association = &mut self.conn(side).association;
        association.send(now, StreamId(stream), data, info)
    }

    /// The next message of a stream; it must be whole.
    pub fn recv(&mut self, side: Side, stream: u16) -> Option<Bytes> {
        let message = self.conn(side).association.recv(StreamId(stream))?;
        assert!(message.complete, "a part of a message");
        Some(message.data.into_bytes())
    }

    /// Everything that can be received.
    pub fn recv_all(&mut self, side: Side) -> Vec<Message> {
        std::iter::from_fn(|| self.conn(side).association.recv_any()).collect()
    }

    /// How both ends stand, for the message of a failing test.
    pub fn summary(&self) -> String {
        let mut text = format!("at {:?}, {:?}", self.now, self.net.stats());
        for (name, host) in [("client", &self.client), ("server", &self.server)] {
            for conn in &host.conns {
                let association = &conn.association;
                let path = association.paths().next().map(|path| path.stats);
                text += &format!(
                    "\n{name}: {:?}, closed {:?}\n  {:?}\n  {path:?}",
                    association.state(),
                    conn.closed,
                    association.stats(),
                );
            }
        }
        text
    }

    /// Takes the events.
    pub fn events(&mut self, side: Side) -> Vec<Event> {
        self.conn(side).events.drain(..).collect()
    }

    /// Begins the graceful end.
    pub fn shutdown(&mut self, side: Side) {
        let now = self.now;
        self.conn(side).association.shutdown(now);
    }

    /// Ends the association at once.
    pub fn abort(&mut self, side: Side, reason: &'static str) {
        let now = self.now;
        let reason = Bytes::from_static(reason.as_bytes());
        self.conn(side).association.abort(now, reason);
    }

    /// Interfaces come and go: of the addresses that a side has sockets for, these are up from now
    /// on. Its endpoint and its latest association are told; the network carries what it did.
    pub fn set_addresses(&mut self, side: Side, up: impl Fn(IpAddr) -> bool) {
        let now = self.now;
        let host = self.host(side);
        let mut addresses = local_addresses(&host.addrs);
        addresses.retain(|address| up(address.ip));
        host.endpoint.set_local_addresses(addresses.clone());
        let association = &mut host.conn().association;
        association.handle_local_addresses(now, &addresses);
    }

    /// A script for packets that one side sends.
    pub fn script_from(
        &mut self,
        side: Side,
        mut script: impl FnMut(Instant, &Datagram) -> Verdict + Send + 'static,
    ) {
        let addrs = self.host(side).addrs.clone();
        self.net.script(move |now, datagram| {
            if addrs.contains(&datagram.from) {
                script(now, datagram)
            } else {
                Verdict::Pass
            }
        });
    }
}
