//! Peers that come by themselves: INIT is answered without keeping anything (§5.1 B), a COOKIE
//! ECHO with a good cookie becomes a waiting peer (§5.1 D).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use rand::RngExt;
use smallvec::smallvec;

use super::{DatagramEvent, Endpoint, Inbound, ootb::has_abort, route::Route};
use crate::{
    accounts::Account,
    association::{AssociationEvent, AssociationEventKind},
    auth::{AuthKeys, Verdict},
    capabilities::{Capabilities, InitKind, InitReject, PeerParams},
    config::AssociationConfig,
    cookie::{CookieContext, Freshness, StateCookie},
    ids::{AssociationHandle, Ports, Tsn},
    init_ack::InitAck,
    time::Instant,
    transmit::DatagramMeta,
    wire::{COMMON_HEADER, CauseWriter, Chunk, Init, chunks, echoed_cookie, kind},
};

/// Bytes of packets kept for one waiting peer, what each costs to keep included.
const MAX_EARLY: usize = 64 * 1024;
/// What keeping a packet costs besides its bytes: its entry in the list, its allocation.
const EARLY_OVERHEAD: usize = 128;
/// What a waiting peer costs besides its packets: its place, and its routes.
const PENDING: usize = size_of::<Pending>() + 256;

/// A peer that proved, by a valid state cookie, that it can receive at its address.
///
/// Must go to one of [`Endpoint::accept`], [`Endpoint::refuse`] and [`Endpoint::ignore`]: until
/// then it counts as one of the waiting peers.
#[must_use = "accept, refuse or ignore it: until then it takes a place among the waiting peers"]
#[derive(Debug)]
pub struct Incoming {
    pub(super) handle: AssociationHandle,
    /// Tells this peer from a later one with the same handle.
    pub(super) id: u64,
    /// The COOKIE ECHO that made it wait, to answer even when it is gone.
    pub(super) echo: Inbound,
    pub(super) peer_tag: u32,
}

impl Incoming {
    /// Its address and UDP port.
    pub fn remote(&self) -> SocketAddr {
        self.echo.meta.remote
    }
}

/// A peer that waits for `accept`. It holds one place and a bounded number of bytes, however often
/// it retransmits or begins anew.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: u64,
    pub(super) cookie: StateCookie,
    pub(super) config: Arc<AssociationConfig>,
    pub(super) meta: DatagramMeta,
    /// The packet that begins with the COOKIE ECHO.
    pub(super) packet: Bytes,
    /// Packets that came after it.
    pub(super) early: Vec<(DatagramMeta, Bytes)>,
    early_size: usize,
    pub(super) account: Account,
}

impl Pending {
    /// Whether an ABORT has to be authenticated.
    fn guards_abort(&self) -> bool {
        self.cookie.auth.is_some() && self.config.auth_chunks.contains(kind::ABORT)
    }

    fn restart(&mut self, cookie: StateCookie, inbound: &Inbound) {
        self.cookie = cookie;
        self.meta = inbound.meta;
        self.packet = Bytes::copy_from_slice(&inbound.packet);
        self.early.clear();
        self.early_size = self.packet.len();
        self.account.hold(PENDING + self.early_size);
    }

    /// Whether an address is the peer's, as far as it told.
    fn is_at(&self, ip: IpAddr) -> bool {
        self.meta.remote.ip().to_canonical() == ip || self.cookie.peer_addresses.contains(&ip)
    }

    fn keep(&mut self, inbound: &Inbound) {
        let size = self.early_size + inbound.packet.len() + EARLY_OVERHEAD;
        if size <= MAX_EARLY {
            self.early_size = size;
            self.account.hold(PENDING + size);
            let packet = Bytes::copy_from_slice(&inbound.packet);
            self.early.push((inbound.meta, packet));
        }
    }
}

impl Endpoint {
    /// A packet with tag 0: it must be an INIT and nothing else.
    pub(super) fn handle_init(
        &mut self,
        now: Instant,
        inbound: &Inbound,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        //= RFC 9260 §8.5.1
        //# When an endpoint receives an SCTP packet with the Verification
        //# Tag set to 0, it SHOULD verify that the packet contains only an
        //# INIT chunk.  Otherwise, the receiver MUST silently discard the
        //# packet.
        //= RFC 9260 §8.4
        //# If the packet contains an INIT chunk with a Verification Tag set to 0, it SHOULD be
        //# processed as described in Section 5.1.
        //= RFC 9260 §8.5.1
        //# Otherwise, the receiver MUST silently discard the packet.
        let Some(init) = sole_init(&inbound.packet) else {
            self.stats.malformed += 1;
            return None;
        };
        if !self.may_set_up(now, inbound) {
            return None;
        }
        let remote = inbound.meta.remote.ip();
        if let Some(handle) = self.association_of(remote, inbound.ports) {
            return Some(init_event(handle, inbound));
        }
        //= RFC 9260 §8.4
        //# If the OOTB packet is to or from a non-unicast address, a
        //# receiver SHOULD silently discard the packet.
        if !inbound.meta.is_unicast() {
            self.stats.out_of_the_blue += 1;
            return None;
        }
        let listening = self.listening(inbound);
        let offered = (listening.as_deref()).map_or(Capabilities::default(), Capabilities::offered);
        let peer = PeerParams::parse(&init, InitKind::Init, offered);
        //= RFC 9260 §3.3.2
        //# If the value of the Initiate Tag in a received INIT chunk is found
        //# to be 0, the receiver MUST silently discard the packet.
        if matches!(peer, Err(InitReject::ZeroTag)) {
            self.stats.malformed += 1;
            return None;
        }
        //= RFC 9260 §5.1.2
        //# An INIT or INIT ACK chunk MUST be treated as belonging to an
        //# already established association (or one in the process of being
        //# established) if the use of any of the valid address parameters
        //# contained within the chunk would identify an existing TCB.
        // An INIT ACK has a verification tag, by which it finds its association.
        if let Ok(peer) = &peer
            && let Some(handle) = peer
                .addresses
                .iter()
                .find_map(|ip| self.association_of(*ip, inbound.ports))
        {
            return Some(init_event(handle, inbound));
        }
        let Some(config) = listening else {
            self.stats.out_of_the_blue += 1;
            let causes = CauseWriter::new();
            return self.send_abort(now, inbound, init.initiate_tag, &causes, buf);
        };
        let mut causes = CauseWriter::new();
        let peer = match peer {
            Ok(_) if self.is_full() || !self.ledger.admits(remote) => {
                self.stats.refused_for_resources += 1;
                //= RFC 9260 §5.1
                //# It SHOULD also specify the cause of abort, such as the type of the missing
                //# mandatory parameters, etc., by including an error cause in the ABORT chunk.
                causes.out_of_resource();
                return self.send_abort(now, inbound, init.initiate_tag, &causes, buf);
            }
            Ok(peer) => peer,
            Err(reject) => {
                self.stats.malformed += 1;
                reject.write_cause(&mut causes);
                return self.send_abort(now, inbound, init.initiate_tag, &causes, buf);
            }
        };
        self.stats.inits_answered += 1;
        //= RFC 9260 §5.2.2
        //# For a normal association INIT chunk (i.e., the
        //# endpoint is in the CLOSED state), the Tie-Tags MUST be set to 0
        //# (indicating that no previous TCB existed).
        let answer = InitAck {
            cookies: &self.cookies,
            config: &config,
            local_tag: self.routes.fresh_tag(&mut self.rng),
            //= RFC 9260 §3.3.3
            //# The valid range is from 0 to 4294967295 and the Initial TSN SHOULD be set to a
            //# random value in that range.
            local_initial_tsn: Tsn::new(self.rng.random()),
            tie_tags: (0, 0),
            locals: &self.locals,
        };
        //= RFC 9260 §3.3.2
        //# If an INIT chunk is received with all mandatory parameters that are specified for the
        //# INIT chunk, then the receiver SHOULD process the INIT chunk and send back an INIT ACK.
        //= RFC 9260 §5.1
        //# After sending an INIT ACK chunk with the State Cookie parameter, "Z" MUST NOT allocate
        //# any resources or keep any states for the new association.
        let transmit = answer.write(now, &inbound.meta, inbound.ports, &init, &peer, buf);
        Some(DatagramEvent::Response(transmit))
    }

    /// A packet that begins with COOKIE ECHO (§5.1.5).
    pub(super) fn handle_cookie_echo(
        &mut self,
        now: Instant,
        inbound: Inbound,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        //= RFC 9260 §5.1.5
        //# If these values do not match, the packet MUST be silently discarded.
        let context = CookieContext {
            remote: inbound.meta.remote,
            ports: inbound.ports,
            local_tag: inbound.tag,
        };
        let (place, echoed) = echoed_cookie(&inbound.packet)?;
        if !self.may_set_up(now, &inbound) {
            return None;
        }
        //= RFC 9260 §5.1.5
        //# If this comparison fails, the SCTP packet,
        //# including the COOKIE ECHO chunk and any DATA chunks, MUST be
        //# silently discarded.
        //= RFC 9260 §4
        //# If the State Cookie in the received COOKIE ECHO chunk is invalid (i.e., failed to pass
        //# the integrity check), the receiver MUST silently discard the packet.
        let Ok((cookie, freshness)) = self.cookies.open(now, &context, echoed) else {
            self.stats.cookies_rejected += 1;
            return None;
        };
        let remote = inbound.meta.remote.ip();
        // Tie-tags: it was made by an association that has the addresses which it lists.
        let tied = cookie.tie_tags != (0, 0);
        let listed = cookie.peer_addresses.iter().filter(|_| tied);
        let here = std::iter::once(&remote)
            .chain(listed)
            .find_map(|ip| self.routes.by_peer(*ip, inbound.ports));
        // A tag that was given away in an INIT ACK is not reserved; once in 2^32 it is taken.
        let tag_owner = self.routes.by_tag(cookie.local_tag);
        if tag_owner.is_some() && tag_owner != here {
            self.stats.cookies_rejected += 1;
            return None;
        }
        if let Some(handle) = here.filter(|handle| !self.pending.contains_key(handle)) {
            let kind = AssociationEventKind::CookieEcho {
                meta: inbound.meta,
                packet: inbound.packet,
                //= RFC 9260 §5.1.5
                //# If a COOKIE ECHO chunk is received from an endpoint with which the receiver of
                //# the COOKIE ECHO chunk has an existing association, the procedures in Section 5.2
                //# SHOULD be followed.
                cookie: Box::new(cookie),
                freshness,
            };
            return Some(DatagramEvent::Association(handle, AssociationEvent(kind)));
        }
        if tag_owner.is_some() {
            return None; // a retransmission by a waiting peer, and valid even when stale (§5.2.4)
        }
        if !self.authentic(&inbound, &cookie, place) {
            self.stats.cookies_unauthenticated += 1;
            return None;
        }
        if let Freshness::Stale(late) = freshness {
            self.stats.cookies_stale += 1;
            //= RFC 9260 §5.1.5
            //# If the elapsed time is longer than the lifespan
            //# carried in the State Cookie, then the packet, including the
            //# COOKIE ECHO chunk and any attached DATA chunks, SHOULD be
            //# discarded, and the endpoint MUST transmit an ERROR chunk with a
            //# "Stale Cookie" error cause to the peer endpoint.
            let mut causes = CauseWriter::new();
            //= RFC 9260 §4
            //# Or, if the received State Cookie is expired (see Section 5.1.5), the receiver MUST
            //# send back an ERROR chunk.
            causes.stale_cookie(late);
            return self.reply(now, &inbound, cookie.peer_tag, buf, |packet| {
                packet.error(&causes);
            });
        }
        if let Some(handle) = here {
            // The peer gave up and began anew: it keeps its place.
            let pending = self.pending.get_mut(&handle)?;
            if cookie.created > pending.cookie.created {
                self.routes.retag(handle, cookie.local_tag);
                pending.restart(cookie, &inbound);
            }
            return None;
        }
        //= RFC 9260 §5.3.1
        //# A new Verification Tag value MUST be used each time the endpoint tears down and then
        //# reestablishes an association to the same peer.
        if self.departed.contains(now, cookie.local_tag) {
            // A peer that has not heard of the end yet is told.
            self.stats.cookies_rejected += 1;
            let causes = CauseWriter::new();
            return self.send_abort(now, &inbound, cookie.peer_tag, &causes, buf);
        }
        self.admit(now, inbound, cookie, buf)
    }

    /// Whether a packet whose `place`-th chunk is the COOKIE ECHO is authenticated as it has to be.
    fn authentic(&self, inbound: &Inbound, cookie: &StateCookie, place: usize) -> bool {
        // Whoever comes to a closed port is told so.
        let Some(config) = self.listening(inbound) else {
            return true;
        };
        match self.cookies.auth(&config, cookie) {
            Some(mut auth) if place > 0 => {
                let keys = AuthKeys::new(&config.auth_keys);
                let verdict = auth.verify(&keys, &inbound.packet, COMMON_HEADER);
                matches!(verdict, Verdict::Genuine { .. })
            }
            Some(auth) => !auth.requires(kind::COOKIE_ECHO),
            // An AUTH that was not agreed on is an unknown chunk: nothing after it counts.
            None => place == 0,
        }
    }

    /// Makes a peer with a fresh cookie wait for `accept`, if there is room.
    fn admit(
        &mut self,
        now: Instant,
        inbound: Inbound,
        cookie: StateCookie,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        //= RFC 9260 §5.1
        //# If an endpoint receives an INIT, INIT ACK, or COOKIE ECHO chunk but
        //# decides not to establish the new association due to missing mandatory
        //# parameters in the received INIT or INIT ACK chunk, invalid parameter
        //# values, or lack of local resources, it SHOULD respond with an ABORT
        //# chunk.
        let mut causes = CauseWriter::new();
        let Some(config) = self
            .listening(&inbound)
            .filter(|_| inbound.meta.is_unicast())
        else {
            self.stats.out_of_the_blue += 1;
            return self.send_abort(now, &inbound, cookie.peer_tag, &causes, buf);
        };
        let remote = inbound.meta.remote.ip();
        if self.is_full() || !self.ledger.admits(remote) {
            self.stats.refused_for_resources += 1;
            causes.out_of_resource();
            return self.send_abort(now, &inbound, cookie.peer_tag, &causes, buf);
        }
        if self.pending.len() >= self.max_pending() {
            self.stats.backlog_overflow += 1;
            return None;
        }
        let handle = self.routes.insert(Route {
            tag: cookie.local_tag,
            ports: inbound.ports,
            peers: smallvec![remote],
        });
        if cookie.capabilities.zero_checksum_in() {
            self.routes.take_unchecked(cookie.local_tag);
        }
        let mut account = self.ledger.open(handle, remote, false);
        let id = self.next_incoming;
        self.next_incoming += 1;
        let peer_tag = cookie.peer_tag;
        // A copy, since the peer may wait long and the datagram be part of a larger buffer.
        let packet = Bytes::copy_from_slice(&inbound.packet);
        account.hold(PENDING + packet.len());
        self.pending.insert(
            handle,
            Pending {
                id,
                cookie,
                config,
                meta: inbound.meta,
                early_size: packet.len(),
                packet,
                early: Vec::new(),
                account,
            },
        );
        Some(DatagramEvent::New(Incoming {
            handle,
            id,
            echo: Inbound {
                packet: Bytes::new(),
                ..inbound
            },
            peer_tag,
        }))
    }

    /// A packet with the tag of a waiting peer.
    pub(super) fn handle_early(&mut self, handle: AssociationHandle, inbound: &Inbound) {
        let from = inbound.meta.remote.ip().to_canonical();
        let pending = self.pending.get(&handle);
        // What has to be authenticated is looked into once there is an association to do it.
        if !pending.is_some_and(|pending| pending.is_at(from)) {
            self.stats.out_of_the_blue += 1;
        } else if has_abort(&inbound.packet, false) && !pending.is_some_and(Pending::guards_abort) {
            self.forget(handle);
        } else if let Some(pending) = self.pending.get_mut(&handle) {
            pending.keep(inbound);
        }
    }

    /// A packet from a waiting peer with another tag than its own: it may be the ABORT of a peer
    /// that does not know us any more (§8.5.1 B).
    pub(super) fn handle_early_exception(&mut self, handle: AssociationHandle, inbound: &Inbound) {
        let peers_tag = (self.pending.get(&handle))
            .filter(|p| !p.guards_abort())
            .map(|p| p.cookie.peer_tag);
        if peers_tag == Some(inbound.tag) && has_abort(&inbound.packet, true) {
            self.forget(handle);
        }
    }

    /// Drops a waiting peer.
    pub(super) fn forget(&mut self, handle: AssociationHandle) {
        self.pending.remove(&handle);
        self.remove(handle);
    }

    /// The association, not a waiting peer, that this address has with these ports.
    pub(super) fn association_of(&self, ip: IpAddr, ports: Ports) -> Option<AssociationHandle> {
        let handle = self.routes.by_peer(ip, ports)?;
        (!self.pending.contains_key(&handle)).then_some(handle)
    }

    /// What to accept associations with, if the packet is for the port that is listened on.
    fn listening(&self, inbound: &Inbound) -> Option<Arc<AssociationConfig>> {
        let server = self.server.as_ref()?;
        (server.port == inbound.ports.local).then(|| Arc::clone(&server.association))
    }

    fn max_pending(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.max_pending)
    }

    fn send_abort(
        &mut self,
        now: Instant,
        inbound: &Inbound,
        tag: u32,
        causes: &CauseWriter,
        buf: &mut Vec<u8>,
    ) -> Option<DatagramEvent> {
        //= RFC 9260 §8.4
        //# If,
        //# for whatever reason, the INIT chunk cannot be processed normally
        //# and an ABORT chunk has to be sent in response, the Verification
        //# Tag of the packet containing the ABORT chunk MUST be the Initiate
        //# Tag of the received INIT chunk, and the T bit of the ABORT chunk
        //# has to be set to 0, indicating that the Verification Tag is not
        //# reflected.
        //= RFC 9260 §5.1
        //# The Verification Tag field in the common header of the outbound SCTP packet containing
        //# the ABORT chunk MUST be set to the Initiate Tag value of the received INIT or INIT ACK
        //# chunk this ABORT chunk is responding to.
        self.reply(now, inbound, tag, buf, |packet| packet.abort(false, causes))
    }
}

fn init_event(handle: AssociationHandle, inbound: &Inbound) -> DatagramEvent {
    let kind = AssociationEventKind::Init {
        meta: inbound.meta,
        packet: inbound.packet.clone(),
    };
    DatagramEvent::Association(handle, AssociationEvent(kind))
}

/// The INIT of a packet that has nothing else.
fn sole_init(packet: &[u8]) -> Option<Init<'_>> {
    let mut chunks = chunks(packet);
    let first = chunks.next()?.ok()?;
    match (Chunk::parse(first), chunks.next()) {
        (Ok(Chunk::Init(init)), None) => Some(init),
        _ => None,
    }
}
