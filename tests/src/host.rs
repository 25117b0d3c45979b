//! One endpoint with its associations, driven by the book and watched while it is.
//!
//! A host obeys the polling contract of `sctp_proto` to the letter and checks what the protocol
//! owes in return, at every step; see [`Host::poll`].

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use bytes::BytesMut;
use sctp_proto::{
    Association, AssociationConfig, AssociationHandle, AssociationState, CloseReason, ConnectError,
    DatagramEvent, DatagramMeta, Endpoint, EndpointConfig, Event, IcmpKind, IcmpMessage, Incoming,
    Instant, LocalAddress, ServerConfig, SocketId, Transmit, internals::Audit,
};

use crate::{codec::Packet, form, net::Datagram};

/// How often one association may be polled at one instant before it counts as caught in a loop.
const POLLS_PER_INSTANT: usize = 100_000;
/// Bytes of a packet before its first chunk.
const COMMON_HEADER: usize = 12;

/// An association of a host.
#[derive(Debug)]
pub struct Conn {
    /// Its name at the endpoint.
    pub handle: AssociationHandle,
    /// The state machine.
    pub association: Association,
    /// Events the test has not taken yet.
    pub events: VecDeque<Event>,
    /// Why it ended.
    pub closed: Option<CloseReason>,
    /// What it held when it was last polled, if the host is audited.
    pub audit: Audit,
    /// The largest congestion window there was, bytes.
    peak: usize,
    drained: bool,
}

impl Conn {
    fn new(handle: AssociationHandle, association: Association) -> Self {
        Self {
            handle,
            association,
            events: VecDeque::new(),
            closed: None,
            audit: Audit::default(),
            peak: 0,
            drained: false,
        }
    }

    /// The congestion window of the largest path, bytes.
    fn window(&self) -> usize {
        let windows = self.association.paths().map(|path| path.stats.cwnd);
        windows.max().unwrap_or(0)
    }

    /// One packet lets the congestion window grow by no more than it can have acknowledged, or puts
    /// back what was taken for a loss that was none, or makes it the four packets that a loss
    /// leaves at least (§7.2.3), which an initial window may be short of; these may grow at once.
    /// Or it brings a path back that was out of use, whose window is the initial one again, of
    /// packets as large as they are by now (§7.2.5).
    fn check_growth(&mut self, before: usize) {
        let (after, unacknowledged) = (self.window(), self.audit.unacknowledged);
        let packets = self.association.paths().map(|path| path.stats.max_packet);
        let packet = packets.max().unwrap_or(0);
        let least = (4 * packet).max(self.association.initial_window());
        // Congestion avoidance adds a packet for what many SACKs acknowledged, with the last of
        // them, however little that one acknowledges (§7.2.2).
        let grown = before.max(least) + unacknowledged.max(packet);
        let bound = self.peak.max(grown);
        // A window that grew and was reduced at once may come back too.
        let saved = self.association.saved_window();
        assert!(
            after.max(saved) <= bound,
            "a window of {before} grew to {after}, or to {saved} if a reduction is undone, with \
             {unacknowledged} bytes unacknowledged, and {} at most before",
            self.peak
        );
        // What grew by one packet may be reduced by the next, before anybody polls.
        self.peak = self.peak.max(after).max(saved);
    }

    /// Checks the books, and that the counters fit together.
    fn check_books(&mut self, now: Instant) {
        self.audit = self.association.audit(now);
        self.peak = self.peak.max(self.window());
        for path in self.association.paths() {
            let stats = path.stats;
            assert!(
                stats.cwnd + COMMON_HEADER >= stats.max_packet,
                "a window of less than a packet: {stats:?}"
            );
        }
        let stats = self.association.stats();
        assert!(
            stats.duplicate_chunks + stats.dropped_no_buffer <= stats.data_chunks_received
                && stats.bytes_sent >= stats.packets_sent * COMMON_HEADER as u64
                && stats.bytes_received >= stats.packets_received * COMMON_HEADER as u64,
            "counters that contradict each other: {stats:?}"
        );
    }

    /// Whether an event that satisfies `which` waits; it is taken, and those before it stay.
    pub fn take_event(&mut self, which: impl Fn(&Event) -> bool) -> Option<Event> {
        let at = self.events.iter().position(which)?;
        self.events.remove(at)
    }
}

/// Addresses as an endpoint is told of them: the socket is the place in the list.
pub fn local_addresses(addrs: &[SocketAddr]) -> Vec<LocalAddress> {
    let numbered = (0..).zip(addrs);
    numbered
        .map(|(socket, address)| LocalAddress {
            ip: address.ip(),
            socket: SocketId(socket),
        })
        .collect()
}

/// An endpoint, its sockets and its associations.
#[derive(Debug)]
pub struct Host {
    /// Addresses; the index is the socket's id.
    pub addrs: Vec<SocketAddr>,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its associations, the drained ones included, in order of creation.
    pub conns: Vec<Conn>,
    /// Peers that wait, when [`auto_accept`](Self::auto_accept) is off.
    pub incoming: VecDeque<Incoming>,
    /// Whether peers are accepted as they come.
    pub auto_accept: bool,
    /// Packets per batch.
    pub max_segments: NonZeroUsize,
    /// The system sends nothing from or to these, and says so; nor does it take what comes to them.
    pub unreachable: Vec<IpAddr>,
    /// Whether packets may leave with a checksum of zero. Default false.
    pub unchecked: bool,
    /// Whether the books are checked at every step, which costs as much as is held. Default false.
    pub audited: bool,
    outbox: VecDeque<Datagram>,
    buf: Vec<u8>,
}

impl Host {
    /// A host at these addresses; it listens if `server` is given.
    pub fn new(
        addrs: &[SocketAddr],
        config: EndpointConfig,
        server: Option<ServerConfig>,
        seed: [u8; 32],
    ) -> Self {
        config.validate().expect("the endpoint's configuration");
        if let Some(server) = &server {
            server.validate().expect("the server's configuration");
        }
        let mut endpoint = Endpoint::new(Arc::new(config), server.map(Arc::new), seed);
        // One address is none to tell: the system has it.
        if addrs.len() > 1 {
            endpoint.set_local_addresses(local_addresses(addrs));
        }
        Self {
            addrs: addrs.to_vec(),
            endpoint,
            conns: Vec::new(),
            incoming: VecDeque::new(),
            auto_accept: true,
            max_segments: NonZeroUsize::new(10).expect("ten"),
            unreachable: Vec::new(),
            unchecked: false,
            audited: false,
            outbox: VecDeque::new(),
            buf: Vec::new(),
        }
    }

    /// Begins an association; it becomes the [`conn`](Self::conn).
    pub fn connect(
        &mut self,
        now: Instant,
        config: AssociationConfig,
        peer: &[SocketAddr],
    ) -> Result<(), ConnectError> {
        config.validate().expect("the association's configuration");
        let config = Arc::new(config);
        let (handle, association) = self.endpoint.connect(now, config, &[], peer)?;
        self.conns.push(Conn::new(handle, association));
        Ok(())
    }

    /// Makes an association of a waiting peer.
    pub fn accept(&mut self, now: Instant, incoming: Incoming) {
        self.accept_with(now, incoming, None);
    }

    /// As [`accept`](Self::accept), with settings other than the server's.
    pub fn accept_with(
        &mut self,
        now: Instant,
        incoming: Incoming,
        config: Option<AssociationConfig>,
    ) {
        match self.endpoint.accept(now, incoming, config.map(Arc::new)) {
            Ok((handle, association)) => self.conns.push(Conn::new(handle, association)),
            Err(error) => panic!("cannot accept: {error}"),
        }
    }

    /// Sends a waiting peer away.
    pub fn refuse(&mut self, incoming: Incoming) {
        self.buf.clear();
        let transmit = self.endpoint.refuse(incoming, &mut self.buf);
        self.post(&transmit);
    }

    /// The association made last.
    pub fn conn(&mut self) -> &mut Conn {
        self.conns.last_mut().expect("there is an association")
    }

    /// Associations that are not over yet.
    pub fn live(&self) -> usize {
        self.conns.iter().filter(|conn| !conn.drained).count()
    }

    /// Takes a datagram from the network.
    pub fn receive(&mut self, now: Instant, datagram: Datagram) {
        let Some(socket) = self.addrs.iter().position(|a| *a == datagram.to) else {
            return;
        };
        if self.unreachable.contains(&datagram.to.ip()) {
            return;
        }
        let meta = DatagramMeta {
            remote: datagram.from,
            socket: SocketId(socket as u16),
            local_ip: Some(datagram.to.ip()),
            interface: None,
            ecn: datagram.ecn,
        };
        self.buf.clear();
        let data = BytesMut::from(datagram.payload.as_slice());
        match self
            .endpoint
            .handle_datagram(now, meta, data, &mut self.buf)
        {
            None => {}
            Some(DatagramEvent::Response(transmit)) => self.post(&transmit),
            Some(DatagramEvent::New(incoming)) if self.auto_accept => self.accept(now, incoming),
            Some(DatagramEvent::New(incoming)) => self.incoming.push_back(incoming),
            Some(DatagramEvent::Association(handle, event)) => {
                let conn = self
                    .conns
                    .iter_mut()
                    .find(|conn| conn.handle == handle && !conn.drained)
                    .expect("packets are routed to live associations only");
                // A reduction may be taken back, and the window that there was then grow.
                let before = conn.window().max(conn.association.saved_window());
                conn.association.handle_event(now, event);
                if self.audited {
                    conn.check_growth(before);
                }
            }
        }
    }

    /// Takes an ICMP message; whether it is about an association.
    pub fn handle_icmp(&mut self, now: Instant, message: &IcmpMessage<'_>) -> bool {
        let Some((handle, event)) = self.endpoint.handle_icmp(now, message) else {
            return false;
        };
        let conn = self
            .conns
            .iter_mut()
            .find(|conn| conn.handle == handle && !conn.drained)
            .expect("messages are routed to live associations only");
        conn.association.handle_event(now, event);
        true
    }

    /// As [`handle_icmp`](Self::handle_icmp), for a message that quotes a datagram as routers do:
    /// its first 28 bytes, IP and UDP headers not counted.
    pub fn icmp(&mut self, now: Instant, kind: IcmpKind, datagram: &Datagram) -> bool {
        let message = IcmpMessage {
            kind,
            destination: datagram.to,
            quoted: &datagram.payload[..datagram.payload.len().min(28)],
        };
        self.handle_icmp(now, &message)
    }

    /// Runs the timers that are due and takes everything the associations have. Panics when
    ///
    /// - a deadline is not in the future after everything was handled;
    /// - new data leaves although the congestion window is full (one packet beyond it is what
    ///   RFC 9260 §6.1 B allows);
    /// - an event comes after `Closed`, or `Closed` in a state that is not;
    /// - an association that is over does not become drained, or goes on sending once it is;
    /// - a packet leaves that no stack may send ([`form::check`]);
    /// - the books are wrong, if it is [`audited`](Self::audited): see
    ///   [`Association::audit`], the congestion window included, which is never less than a packet
    ///   and grows by what is acknowledged at most.
    //= RFC 9260 §6.1, test
    //# At any given time, the sender MUST NOT transmit...
    //= RFC 9260 §6.1, test
    //# The breach of cwnd MUST constitute one packet only.
    pub fn poll(&mut self, now: Instant) {
        for index in 0..self.conns.len() {
            if !self.conns[index].drained {
                self.poll_conn(now, index);
            }
        }
    }

    fn poll_conn(&mut self, now: Instant, index: usize) {
        if self.conns[index]
            .association
            .poll_timeout()
            .is_some_and(|at| at <= now)
        {
            self.conns[index].association.handle_timeout(now);
        }
        for round in 0.. {
            assert!(round < POLLS_PER_INSTANT, "endless output at {now:?}");
            self.transmit_all(now, index);
            let conn = &mut self.conns[index];
            let deadline = conn.association.poll_timeout();
            assert!(
                deadline.is_none_or(|at| at > now),
                "at {now:?} a deadline of {deadline:?} is left"
            );
            let mut again = false;
            while let Some(event) = conn.association.poll_endpoint_event() {
                if let Some(event) = self.endpoint.handle_event(conn.handle, event) {
                    conn.association.handle_event(now, event);
                    again = true;
                }
            }
            while let Some(event) = conn.association.poll_event() {
                assert_eq!(conn.closed, None, "an event after Closed: {event:?}");
                if let Event::Closed(reason) = &event {
                    assert_eq!(conn.association.state(), AssociationState::Closed);
                    conn.closed = Some(reason.clone());
                }
                conn.events.push_back(event);
            }
            if !again {
                break;
            }
        }
        let conn = &mut self.conns[index];
        conn.drained = conn.association.is_drained();
        if conn.closed.is_some() {
            let deadline = conn.association.poll_timeout();
            assert!(
                conn.drained || deadline.is_some(),
                "closed, but neither drained nor waiting for anything"
            );
        }
        if self.audited {
            conn.check_books(now);
        }
    }

    fn transmit_all(&mut self, now: Instant, index: usize) {
        for batch in 0.. {
            assert!(batch < POLLS_PER_INSTANT, "endless packets at {now:?}");
            let association = &mut self.conns[index].association;
            let data_before = association.stats().data_chunks_sent;
            let flights: Vec<_> = association
                .paths()
                .map(|path| (path.id, path.stats.flight))
                .collect();
            self.buf.clear();
            let max_segments = self.max_segments;
            let Some(transmit) = association.poll_transmit(now, max_segments, &mut self.buf) else {
                assert!(self.buf.is_empty(), "bytes without a Transmit");
                return;
            };
            if association.stats().data_chunks_sent > data_before {
                for path in association.paths() {
                    let stats = path.stats;
                    // Data may have left by another path.
                    let idle = flights.contains(&(path.id, stats.flight));
                    assert!(
                        idle || stats.flight <= stats.cwnd + stats.max_packet,
                        "new data beyond the congestion window: {stats:?}"
                    );
                }
            }
            let refused = |ip: &IpAddr| self.unreachable.contains(ip);
            let source = transmit.source_ip.as_ref();
            if source.is_some_and(refused) || refused(&transmit.destination.ip()) {
                if let Some(path) = transmit.path {
                    let association = &mut self.conns[index].association;
                    association.handle_unreachable(now, path);
                }
                continue;
            }
            self.post(&transmit);
        }
    }

    /// When to [`poll`](Self::poll) next if nothing arrives.
    pub fn timeout(&self) -> Option<Instant> {
        let live = self.conns.iter().filter(|conn| !conn.drained);
        live.filter_map(|conn| conn.association.poll_timeout())
            .min()
    }

    /// The next packet that leaves.
    pub fn take_packet(&mut self) -> Option<Datagram> {
        self.outbox.pop_front()
    }

    fn post(&mut self, transmit: &Transmit) {
        assert!(transmit.size > 0, "an empty batch");
        assert_eq!(transmit.size, self.buf.len(), "size of the batch");
        let mut from = self.addrs[usize::from(transmit.socket.0)];
        if let Some(ip) = transmit.source_ip {
            from.set_ip(ip);
        }
        for payload in self
            .buf
            .chunks(transmit.segment_size.unwrap_or(transmit.size))
        {
            let zero = self.unchecked && payload[8..12] == [0; 4];
            let decode = match zero {
                true => Packet::decode_unchecked,
                false => Packet::decode,
            };
            if let Err(why) = decode(payload).and_then(|packet| form::check(&packet)) {
                panic!("a packet that is wrong: {why}");
            }
            self.outbox.push_back(Datagram {
                from,
                to: transmit.destination,
                payload: payload.to_vec(),
                dont_fragment: transmit.dont_fragment,
                ecn: transmit.ecn,
            });
        }
    }
}
