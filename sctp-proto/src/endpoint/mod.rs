//! Ports, cookies and routing: what exists whether or not there is an association.

mod departed;
mod ledger;
mod limit;
mod listen;
mod ootb;
mod route;
mod stats;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use self::{
    departed::Departed,
    ledger::Ledger,
    limit::{RateLimit, SourceLimit},
    listen::Pending,
    ootb::{Answer, is_tag_exception},
    route::{Route, Routes},
};
pub use self::{listen::Incoming, stats::EndpointStats};
use crate::{
    address::LocalAddress,
    association::{
        Association, AssociationEvent, AssociationEventKind, EndpointEvent, EndpointEventKind,
        Given,
    },
    config::{AssociationConfig, EndpointConfig, ServerConfig},
    cookie::CookieJar,
    error::{AcceptError, ConnectError},
    icmp::IcmpMessage,
    ids::{AssociationHandle, Ports},
    path::Locals,
    time::Instant,
    transmit::{DatagramMeta, Transmit, is_unicast},
    wire::{
        CauseWriter, CommonHeader, PacketWriter, Quoted, RawChunk, checksum_is_zero, checksum_ok,
        chunks, echoed_cookie, kind, needs_checksum,
    },
};

/// Largest stateless reply: all but INIT ACK are short, and none may need a larger packet than the
/// one it answers had to fit into (IPv6 1280, its header 40, UDP 8).
const MAX_REPLY: usize = 1280 - 40 - 8;

/// ICMP messages looked into per second, in all: each may change the path MTU of an association, or
/// end it, and no more is asked of it than that.
const ICMP_PER_SECOND: u32 = 1000;

/// What became of a datagram.
#[derive(Debug)]
pub enum DatagramEvent {
    /// It belongs to this association: hand it over.
    Association(AssociationHandle, AssociationEvent),
    /// A peer completed its side of the handshake and waits for `accept` or `refuse`.
    New(Incoming),
    /// It was answered without an association: send `buf[..transmit.size]`.
    Response(Transmit),
}

/// One packet on its way in, its checksum and header verified.
#[derive(Debug)]
struct Inbound {
    meta: DatagramMeta,
    ports: Ports,
    /// The verification tag it carries.
    tag: u32,
    packet: Bytes,
}

/// A SCTP endpoint: ports, cookie keys, routing by verification tag. No I/O, no clock.
#[derive(Debug)]
pub struct Endpoint {
    config: Arc<EndpointConfig>,
    server: Option<Arc<ServerConfig>>,
    /// Addresses of this side, as the driver told them.
    locals: Locals,
    cookies: Arc<CookieJar>,
    rng: StdRng,
    /// Of associations and of waiting peers.
    routes: Routes,
    departed: Departed,
    ledger: Ledger,
    /// When the latest datagram came.
    latest: Instant,
    /// Those routes that lead to no association yet.
    pending: FxHashMap<AssociationHandle, Pending>,
    next_incoming: u64,
    replies: RateLimit,
    replies_per_source: SourceLimit,
    setups_per_source: SourceLimit,
    icmp: RateLimit,
    stats: EndpointStats,
}

impl Endpoint {
    /// An endpoint; `server` makes it accept associations. All its randomness (tags, TSNs, ports,
    /// nonces, the cookie key) comes from `seed`, which must be secret and never be used twice.
    pub fn new(
        config: Arc<EndpointConfig>,
        server: Option<Arc<ServerConfig>>,
        seed: [u8; 32],
    ) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let ledger = Ledger::new(&config);
        Self {
            cookies: Arc::new(CookieJar::new(&config, rng.random())),
            replies: RateLimit::new(config.stateless_replies_per_second),
            replies_per_source: SourceLimit::new(config.stateless_replies_per_source, rng.random()),
            setups_per_source: SourceLimit::new(config.setups_per_source, rng.random()),
            icmp: RateLimit::new(ICMP_PER_SECOND),
            config,
            server,
            locals: Locals::default(),
            rng,
            routes: Routes::default(),
            departed: Departed::default(),
            ledger,
            latest: Instant::EPOCH,
            pending: FxHashMap::default(),
            next_incoming: 0,
            stats: EndpointStats::default(),
        }
    }

    /// Starts, changes or (with `None`) stops accepting. Associations that exist go on, and so do
    /// peers that wait already.
    pub fn set_server_config(&mut self, server: Option<Arc<ServerConfig>>) {
        self.server = server;
    }

    /// The addresses of this side are these from now on: what INIT ACK lists, and what `connect`
    /// uses if it is given none. Associations that exist are told by
    /// [`Association::handle_local_addresses`].
    pub fn set_local_addresses(&mut self, addresses: Vec<LocalAddress>) {
        self.locals = Locals::new(&addresses);
    }

    /// Begins an association (ASSOCIATE, §11.1.2). `local` are the addresses of this side that it
    /// may use and tell the peer; if there are none, those of
    /// [`set_local_addresses`](Self::set_local_addresses); if there are none either, whatever the
    /// system sends from. `peer` are the known addresses of the peer. INITs go from each to each
    /// in turn.
    pub fn connect(
        &mut self,
        now: Instant,
        config: Arc<AssociationConfig>,
        local: &[LocalAddress],
        peer: &[SocketAddr],
    ) -> Result<(AssociationHandle, Association), ConnectError> {
        if peer.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let unreachable = |a: &&SocketAddr| a.port() == 0 || !is_unicast(a.ip());
        if let Some(address) = peer.iter().find(unreachable) {
            return Err(ConnectError::InvalidAddress(*address));
        }
        if self.is_full() || !self.ledger.admits(peer[0].ip()) {
            self.stats.refused_for_resources += 1;
            return Err(ConnectError::TooManyAssociations);
        }
        let peers: SmallVec<[IpAddr; 2]> = peer.iter().map(SocketAddr::ip).collect();
        let remote = config.remote_port;
        let local_port = config
            .local_port
            .or_else(|| self.routes.free_port(&mut self.rng, &peers, remote))
            .ok_or(ConnectError::PortInUse)?;
        let ports = Ports {
            local: local_port,
            remote,
        };
        if !self.routes.is_free(&peers, ports) {
            return Err(ConnectError::PortInUse);
        }
        let tag = self.routes.fresh_tag(&mut self.rng);
        let handle = self.routes.insert(Route { tag, ports, peers });
        if config.zero_checksum.is_some() {
            self.routes.take_unchecked(tag);
        }
        let locals = match local {
            [] => self.locals.clone(),
            local => Locals::new(local),
        };
        let given = Given {
            config,
            cookies: Arc::clone(&self.cookies),
            account: self.ledger.open(handle, peer[0].ip(), true),
            locals,
            seed: self.rng.random(),
        };
        let association = Association::connect(now, given, ports, tag, peer);
        Ok((handle, association))
    }

    /// Routes one datagram. Stateless replies (INIT ACK, ABORT, SHUTDOWN COMPLETE: §5.1, §8.4)
    /// are appended to `buf` (which must be empty).
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        meta: DatagramMeta,
        data: BytesMut,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        self.latest = self.latest.max(now);
        let Some(header) = CommonHeader::parse(&data) else {
            self.stats.malformed += 1;
            return None;
        };
        //= RFC 9260 §6.8
        //# When an SCTP packet is received, the receiver MUST first check the CRC32c checksum as
        //# follows:
        //= RFC 9260 §6.8
        //# If it is not, the receiver MUST treat the packet as an invalid SCTP packet.
        //= RFC 6951 §5.3
        //# The SCTP checksum MUST be computed for IPv4 and IPv6, and the UDP checksum SHOULD be
        //# computed for IPv4 and IPv6.
        if !self.goes_unchecked(&header, &data) && !checksum_ok(&data) {
            self.stats.bad_checksum += 1;
            return None;
        }
        let packet = data.freeze();
        let Some(Ok(RawChunk { kind: first, .. })) = chunks(&packet).next() else {
            self.stats.malformed += 1;
            return None;
        };
        //= RFC 9260 §3.1
        //# The
        //# Source Port Number 0 MUST NOT be used.
        //= RFC 9260 §3.1
        //# The Destination Port Number 0 MUST NOT be used.
        if header.source_port == 0 || header.destination_port == 0 {
            self.stats.malformed += 1;
            return None;
        }
        let inbound = Inbound {
            meta,
            ports: Ports {
                local: header.destination_port,
                remote: header.source_port,
            },
            tag: header.verification_tag,
            packet,
        };
        match (first, inbound.tag) {
            (_, 0) => self.handle_init(now, &inbound, buf),
            //= RFC 9260 §8.4
            //# If the packet contains a COOKIE ECHO chunk as the first chunk, it MUST be processed
            //# as described in Section 5.1.
            (kind::COOKIE_ECHO, _) => self.handle_cookie_echo(now, inbound, buf),
            (kind::AUTH, _) if echoed_cookie(&inbound.packet).is_some() => {
                self.handle_cookie_echo(now, inbound, buf)
            }
            // An INIT has tag 0. One with the tag of an association must not get the ABORT that
            // would end it.
            (kind::INIT, tag) if self.routes.by_tag(tag).is_some() => {
                self.stats.malformed += 1;
                None
            }
            _ => self.handle_packet(now, inbound, buf),
        }
    }

    /// Whether the association that a packet belongs to takes it without a checksum (RFC 9653 §5.3).
    /// What belongs to none has its checksum, and what sets one up.
    fn goes_unchecked(&self, header: &CommonHeader, packet: &[u8]) -> bool {
        let ports = Ports {
            local: header.destination_port,
            remote: header.source_port,
        };
        checksum_is_zero(packet)
            && (self.routes).takes_unchecked(header.verification_tag, ports)
            && !needs_checksum(packet)
    }

    /// Any packet but those that set up an association.
    fn handle_packet(
        &mut self,
        now: Instant,
        inbound: Inbound,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        let remote = inbound.meta.remote.ip();
        let ports = inbound.ports;
        if let Some(handle) = self.routes.by_packet(inbound.tag, ports) {
            if self.pending.contains_key(&handle) {
                self.handle_early(handle, &inbound);
                return None;
            }
            return Some(datagram_event(handle, inbound));
        }
        if let Some(handle) = self.routes.by_peer(remote, ports) {
            if self.pending.contains_key(&handle) {
                self.handle_early_exception(handle, &inbound);
            } else if is_tag_exception(&inbound.packet) {
                return Some(datagram_event(handle, inbound));
            }
            //= RFC 9260 §8.5
            //# If the received Verification Tag value does not
            //# match the receiver's own tag value, the receiver MUST silently
            //# discard the packet and MUST NOT process it any further, except for
            //# those cases listed in Section 8.5.1 below.
            self.stats.out_of_the_blue += 1;
            return None;
        }
        self.stats.out_of_the_blue += 1;
        let Ok(answer) = Answer::to(&inbound.packet) else {
            self.stats.malformed += 1;
            return None;
        };
        match answer {
            Answer::Silence => None,
            //= RFC 9260 §8.4
            //# When sending the SHUTDOWN COMPLETE chunk, the receiver of the OOTB packet MUST fill
            //# in the Verification Tag field of the outbound packet with the Verification Tag
            //# received in the SHUTDOWN ACK chunk and set the T bit in the Chunk Flags to indicate
            //# that the Verification Tag is reflected.
            Answer::ShutdownComplete => self.reply(now, &inbound, inbound.tag, buf, |packet| {
                packet.shutdown_complete(true);
            }),
            //= RFC 9260 §8.4
            //# The receiver SHOULD respond to the sender of the OOTB packet with an ABORT chunk.
            //= RFC 9260 §8.4
            //# When sending the ABORT chunk, the receiver of the OOTB packet MUST fill in the
            //# Verification Tag field of the outbound packet with the value found in the
            //# Verification Tag field of the OOTB packet and set the T bit in the Chunk Flags to
            //# indicate that the Verification Tag is reflected.
            //= RFC 9260 §8.4
            //# After sending this ABORT chunk, the receiver of the OOTB packet MUST discard the
            //# OOTB packet and MUST NOT take any further action.
            //= RFC 9260 §8.5.1
            //# If the ABORT chunk is sent in response to an OOTB packet, the endpoint MUST follow
            //# the procedure described in Section 8.4.
            //= RFC 9260 §6
            //# A DATA chunk received in CLOSED is out of the blue and SHOULD be handled per Section
            //# 8.4.
            //= RFC 9260 §6
            //# A SACK chunk in the CLOSED state is out of the blue and SHOULD be processed
            //# according to the rules in Section 8.4.
            Answer::Abort => self.reply(now, &inbound, inbound.tag, buf, |packet| {
                packet.abort(true, &CauseWriter::new());
            }),
        }
    }

    /// Finds the association that an ICMP message is about, which verifies the tag quoted. Only for
    /// drivers that get to see ICMP: nothing relies on it.
    //= RFC 9260 §12.4
    //# To provide a non-SCTP-capable host with the same level of protection against attacks as for
    //# SCTP-capable ones, all SCTP implementations MUST implement the ICMP handling described in
    //# Section 10.
    //= RFC 9260 §10
    //# An implementation MUST use the payload of the ICMP message (v4 or v6) to locate the
    //# association that sent the message to which ICMP is responding. If the association cannot be
    //# found, an implementation SHOULD ignore the ICMP message.
    //= RFC 6951 §5.5
    //# In particular, this means that the SCTP stack MUST NOT rely on receiving ICMP or ICMPv6
    //# messages.
    pub fn handle_icmp(
        &mut self,
        now: Instant,
        message: &IcmpMessage<'_>,
    ) -> Option<(AssociationHandle, AssociationEvent)> {
        let IcmpMessage {
            kind,
            destination,
            quoted,
        } = *message;
        let found = Quoted::parse(quoted).and_then(|quoted| {
            let ports = Ports {
                local: quoted.header.source_port,
                remote: quoted.header.destination_port,
            };
            Some((self.association_of(destination.ip(), ports)?, quoted))
        });
        let Some((handle, quoted)) = found.filter(|_| self.icmp.take(now)) else {
            self.stats.icmp_ignored += 1;
            return None;
        };
        let kind = AssociationEventKind::Icmp {
            kind,
            destination,
            quoted,
        };
        Some((handle, AssociationEvent(kind)))
    }

    /// Takes what an association has for the endpoint.
    pub fn handle_event(
        &mut self,
        handle: AssociationHandle,
        event: EndpointEvent,
    ) -> Option<AssociationEvent> {
        let departed = match event.0 {
            EndpointEventKind::AddressesChanged { confirmed } => {
                self.routes.readdress(handle, &confirmed);
                None
            }
            EndpointEventKind::Drained => self.remove(handle),
            EndpointEventKind::TagChanged { new } => self.routes.retag(handle, new),
        };
        if let Some(tag) = departed {
            // No cookie with this tag was made after the latest packet.
            let until = self.latest + self.cookies.longest_lifetime();
            self.departed.add(until, tag);
        }
        None
    }

    /// Makes an association of a waiting peer. `config` replaces the server's settings but for
    /// what INIT ACK has announced: window, streams and extensions.
    pub fn accept(
        &mut self,
        now: Instant,
        incoming: Incoming,
        config: Option<Arc<AssociationConfig>>,
    ) -> Result<(AssociationHandle, Association), AcceptError> {
        let handle = incoming.handle;
        let pending = self.take(&incoming).ok_or(AcceptError::Gone)?;
        let config = match config {
            Some(mut config) => {
                Arc::make_mut(&mut config).announce_as(&pending.config);
                config
            }
            None => Arc::clone(&pending.config),
        };
        let given = Given {
            config,
            cookies: Arc::clone(&self.cookies),
            account: pending.account,
            locals: self.locals.clone(),
            seed: self.rng.random(),
        };
        let (meta, packet) = (&pending.meta, &pending.packet);
        let mut association = Association::accept(now, given, &pending.cookie, meta, packet);
        for (meta, packet) in pending.early {
            let kind = AssociationEventKind::Datagram { meta, packet };
            association.handle_event(now, AssociationEvent(kind));
        }
        Ok((handle, association))
    }

    /// Sends a waiting peer away: the ABORT is appended to `buf`.
    pub fn refuse(&mut self, incoming: Incoming, buf: &mut Vec<u8>) -> Transmit {
        let Incoming { handle, echo, .. } = &incoming;
        let (meta, tag) = match self.take(&incoming) {
            Some(pending) => {
                self.remove(*handle);
                (pending.meta, pending.cookie.peer_tag)
            }
            None => (echo.meta, incoming.peer_tag),
        };
        let mut causes = CauseWriter::new();
        causes.user_initiated_abort(&[]);
        write_reply(&meta, echo.ports, tag, buf, |packet| {
            packet.abort(false, &causes);
        })
    }

    /// Forgets a waiting peer without an answer.
    pub fn ignore(&mut self, incoming: Incoming) {
        if self.take(&incoming).is_some() {
            self.remove(incoming.handle);
        }
    }

    /// Associations held, peers waiting for `accept` included.
    pub fn associations(&self) -> usize {
        self.routes.len()
    }

    /// Counters: of the endpoint itself, and of its associations as of the last time that each had
    /// nothing more to send.
    pub fn stats(&self) -> EndpointStats {
        self.stats.with(self.ledger.accounts())
    }

    /// Associations with this peer address (an IPv4 address, or the /64 of an IPv6 one), waiting
    /// peers included, and the bytes that they hold.
    pub fn held_for(&self, peer: IpAddr) -> (usize, usize) {
        self.ledger.of(peer)
    }

    /// Forgets an association or a waiting peer; returns the tag it had.
    fn remove(&mut self, handle: AssociationHandle) -> Option<u32> {
        self.ledger.close(handle);
        self.routes.remove(handle)
    }

    /// Ends the wait of a peer; its route stays. `None` if it gave up before.
    fn take(&mut self, incoming: &Incoming) -> Option<Pending> {
        let pending = self.pending.get(&incoming.handle)?;
        if pending.id != incoming.id {
            return None;
        }
        self.pending.remove(&incoming.handle)
    }

    /// Whether the source of a packet may have another INIT or COOKIE ECHO looked into.
    fn may_set_up(&mut self, now: Instant, inbound: &Inbound) -> bool {
        let may = (self.setups_per_source).take(now, inbound.meta.remote.ip());
        self.stats.setups_limited += u64::from(!may);
        may
    }

    fn is_full(&self) -> bool {
        self.routes.len() >= self.config.max_associations
    }

    /// Answers a packet that belongs to no association, within the rate limit.
    fn reply(
        &mut self,
        now: Instant,
        inbound: &Inbound,
        tag: u32,
        buf: &mut Vec<u8>,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) -> Option<DatagramEvent> {
        //= RFC 9260 §8.4
        //# If the OOTB packet is to or from a non-unicast address, a
        //# receiver SHOULD silently discard the packet.
        if !inbound.meta.is_unicast() {
            return None;
        }
        // The source's own budget first: what it cannot spend is left to others.
        let source = inbound.meta.remote.ip();
        if !self.replies_per_source.take(now, source) || !self.replies.take(now) {
            self.stats.replies_suppressed += 1;
            return None;
        }
        let transmit = write_reply(&inbound.meta, inbound.ports, tag, buf, write);
        Some(DatagramEvent::Response(transmit))
    }
}

fn datagram_event(handle: AssociationHandle, inbound: Inbound) -> DatagramEvent {
    let kind = AssociationEventKind::Datagram {
        meta: inbound.meta,
        packet: inbound.packet,
    };
    DatagramEvent::Association(handle, AssociationEvent(kind))
}

/// Appends a packet to `buf` that goes back by the way `meta` tells.
fn write_reply(
    meta: &DatagramMeta,
    ports: Ports,
    tag: u32,
    buf: &mut Vec<u8>,
    write: impl FnOnce(&mut PacketWriter<'_>),
) -> Transmit {
    let header = CommonHeader {
        source_port: ports.local,
        destination_port: ports.remote,
        verification_tag: tag,
    };
    let mut packet = PacketWriter::new(buf, MAX_REPLY, &header);
    write(&mut packet);
    Transmit::reply(meta, packet.finish())
}

#[cfg(test)]
mod tests;
