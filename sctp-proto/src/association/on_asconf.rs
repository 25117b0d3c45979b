//! ASCONF of the peer (RFC 5061 §5.2): its addresses come, go, and are preferred.
//!
//! Only what AUTH has proved to be the peer's gets here (RFC 4895 §6.3). It may come from an address
//! that is not the peer's yet: that is how a peer that has moved is heard of.

use std::{collections::VecDeque, net::IpAddr};

use bytes::Bytes;

use super::{
    Event,
    cx::Cx,
    on_auth::Begin,
    outbound::MAX_REPLY,
    state::State,
    tcb::{Agreement, Tcb},
};
use crate::{
    address::is_meaningful_to,
    asconf::{Incoming, Order, Outgoing},
    path::Path,
    time::Instant,
    transmit::{DatagramMeta, Transmit, is_unicast},
    wire::{
        self, AddressChange, Asconf, AsconfRequest, AsconfWriter, CauseWriter, Chunk, RawChunk,
        asconf_ack_value, cause, kind, on_unknown_param,
    },
};

/// Requests in one ASCONF that are looked into. Each address needs two at most.
const MAX_REQUESTS: usize = 16;
/// Answers waiting to leave; the peer decides how many it provokes.
const MAX_ANSWERS: usize = 4;

/// Changes of addresses, where both sides speak ASCONF.
#[derive(Debug)]
pub(crate) struct Changes {
    incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// The value of ASCONF-ACKs to send, each to where its ASCONF came from.
    answers: VecDeque<(DatagramMeta, Bytes)>,
    /// The request of this side is to be sent.
    pub(super) request_due: bool,
    /// The address that the peer wants data sent to, until that is confirmed.
    preferred: Option<IpAddr>,
    /// Addresses of this side that the peer would not have.
    pub(super) refused: Vec<IpAddr>,
}

impl Changes {
    pub(crate) fn new(agreed: &Agreement) -> Option<Box<Self>> {
        agreed.capabilities.asconf().then(|| {
            Box::new(Self {
                incoming: Incoming::new(agreed.peer_initial_tsn),
                outgoing: Outgoing::new(agreed.local_initial_tsn),
                answers: VecDeque::new(),
                request_due: false,
                preferred: None,
                refused: Vec::new(),
            })
        })
    }
}

#[cfg(feature = "internals")]
impl Changes {
    /// Checks the books, once everything that could leave has left; whether T4 runs.
    pub(super) fn audit(&self, timed: bool) {
        assert!(self.answers.len() <= MAX_ANSWERS);
        let under_way = self.outgoing.request().is_some();
        assert!(
            !under_way || timed || self.request_due,
            "no T4 for an ASCONF"
        );
    }
}

impl State {
    /// Whether address changes are made (RFC 5061 §5.1.1).
    //= RFC 5061 §5.1.1
    //# Both ASCONF and ASCONF-ACK Chunks MUST NOT be sent in any SCTP
    //# state except ESTABLISHED, SHUTDOWN-PENDING, SHUTDOWN-RECEIVED,
    //# and SHUTDOWN-SENT.
    pub(super) fn changes_addresses(&self) -> bool {
        !matches!(self, Self::CookieEchoed { .. } | Self::ShutdownAckSent)
    }
}

impl Tcb {
    /// A packet with the right tag from an address that is not the peer's: if it begins with an AUTH
    /// that is right and with ASCONFs, these are performed; true if there were any.
    //= RFC 5061 §5.2
    //# Prior to finding the ASCONF chunk, the
    //# receiver MUST encounter an AUTH chunk as described in [RFC4895].
    pub(super) fn on_packet_from_elsewhere(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        begin: Begin,
    ) -> bool {
        if self.changes.is_none() || begin.skip > 0 || !meta.is_unicast() {
            return false;
        }
        let mut chunks = wire::chunks(packet).map_while(Result::ok).peekable();
        let Some(auth) = chunks.next().filter(|raw| raw.kind == kind::AUTH) else {
            return false;
        };
        let is_asconf = |raw: &RawChunk<'_>| raw.kind == kind::ASCONF;
        if !chunks.peek().is_some_and(is_asconf) || !self.on_auth(cx, packet, auth.offset) {
            return false;
        }
        for raw in chunks.take_while(is_asconf) {
            let Ok(Chunk::Asconf(asconf)) = Chunk::parse(raw) else {
                cx.stats.dropped_malformed += 1;
                break;
            };
            self.on_asconf(cx, now, meta, &asconf);
        }
        true
    }

    /// An ASCONF of the peer, authenticated.
    pub(super) fn on_asconf(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        asconf: &Asconf<'_>,
    ) {
        let Some(changes) = &self.changes else {
            return;
        };
        if !self.state.changes_addresses() {
            return;
        }
        let answer = match changes.incoming.judge(asconf.seq) {
            Order::Next => {
                let answer = Bytes::from(self.perform_asconf(cx, now, meta, asconf));
                if let Some(changes) = &mut self.changes {
                    changes.incoming.answered(answer.clone());
                }
                answer
            }
            Order::Again(answer) => answer,
            //= RFC 5061 §5.2
            //# Otherwise, the ASCONF Chunk is discarded since it must be either
            //# a stale packet or from an attacker.
            Order::Stale => {
                cx.stats.dropped_malformed += 1;
                return;
            }
        };
        if let Some(changes) = &mut self.changes
            && changes.answers.len() < MAX_ANSWERS
        {
            changes.answers.push_back((*meta, answer));
        }
    }

    /// Performs the requests in their order; gives the value of the ASCONF-ACK.
    fn perform_asconf(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        asconf: &Asconf<'_>,
    ) -> Vec<u8> {
        let mut answers = AsconfWriter::new();
        let mut failed = false;
        //= RFC 5061 §5.3
        //# In other
        //# words, once a receiver begins failing any ADD or DELETE request,
        //# it must fail all subsequent ADD or DELETE requests contained in
        //# that single ASCONF.
        let mut refusing = None;
        let unread = cx.is_unread();
        for (count, request) in asconf.requests().enumerate() {
            let Ok(request) = request else {
                cx.stats.dropped_malformed += 1;
                break;
            };
            let outcome = match request.change {
                _ if count == MAX_REQUESTS || unread => Err(cause::RESOURCE_SHORTAGE),
                AddressChange::Add(_) | AddressChange::Delete(_) if refusing.is_some() => {
                    refusing.map_or(Ok(()), Err)
                }
                AddressChange::Add(ip) => self.add_peer_address(cx, meta, ip),
                AddressChange::Delete(ip) => self.delete_peer_address(cx, meta, ip),
                AddressChange::SetPrimary(ip) => self.prefer_peer_address(cx, meta, ip),
                AddressChange::Unknown => Err(cause::UNRECOGNIZED_PARAMETERS),
            };
            tracing::debug!(change = ?request.change, ?outcome, from = %meta.remote, "ASCONF");
            match (outcome, request.change) {
                //= RFC 5061 §5.2
                //# Note: A positive response is implied if no error is indicated by
                //# the sender.
                (Ok(()), _) if !failed => {}
                (Ok(()), _) => _ = answers.success(request.correlation),
                (Err(code), change) => {
                    failed = true;
                    if matches!(change, AddressChange::Add(_) | AddressChange::Delete(_)) {
                        refusing = Some(code);
                    }
                    if !refuse(&mut answers, &request, code) || count == MAX_REQUESTS {
                        break;
                    }
                }
            }
        }
        self.update_paths(cx, now);
        self.follow_preference(cx);
        asconf_ack_value(asconf.seq, &answers)
    }

    /// What an address of a request stands for: the source of the packet, if it is a wildcard.
    fn meant(&self, cx: &Cx, meta: &DatagramMeta, ip: IpAddr) -> Result<IpAddr, u16> {
        match ip.to_canonical() {
            ip if !ip.is_unspecified() => Ok(ip),
            _ if cx.config.asconf_wildcard => Ok(meta.remote.ip().to_canonical()),
            _ => Err(cause::NO_AUTHORIZATION),
        }
    }

    /// It is not spoken to, but for HEARTBEATs, before it has answered one.
    //= RFC 5061 §5.3
    //# All addresses added by the reception of an ASCONF Chunk MUST be
    //# put into the UNCONFIRMED state and MUST have path verification
    //# performed on them before the address can be used as described in
    //# [RFC4960], Section 5.4.
    fn add_peer_address(&mut self, cx: &Cx, meta: &DatagramMeta, ip: IpAddr) -> Result<(), u16> {
        let ip = self.meant(cx, meta, ip)?;
        //= RFC 5061 §4.2.1
        //# This parameter MUST NOT
        //# contain a broadcast or multicast address.
        if !is_unicast(ip) {
            return Err(cause::UNRESOLVABLE_ADDRESS);
        }
        // What the peer's own network has at such an address here is somebody else.
        if !is_meaningful_to(ip, meta.remote.ip()) {
            return Err(cause::NO_AUTHORIZATION);
        }
        let is_source = ip == meta.remote.ip().to_canonical();
        let full = cx.config.max_paths == 1 && self.peers.get(ip).is_none();
        let added = match is_source {
            _ if full => false,
            true => self.peers.add_seen(meta.remote),
            false => self.peers.add(ip),
        };
        //= RFC 5061 §5.3
        //# If an endpoint receives an ADD IP Address request and does not
        //# have the local resources to add this new address to the
        //# association, it MUST return an Error Cause TLV set to the new
        //# error code 'Operation Refused Due to Resource Shortage'.
        added.then_some(()).ok_or(cause::RESOURCE_SHORTAGE)
    }

    fn delete_peer_address(&mut self, cx: &Cx, meta: &DatagramMeta, ip: IpAddr) -> Result<(), u16> {
        let source = meta.remote.ip().to_canonical();
        if ip.is_unspecified() {
            let source = self.meant(cx, meta, ip)?;
            if self.peers.get(source).is_none() {
                return Err(cause::DELETE_LAST_ADDRESS);
            }
            self.keep_peer_addresses(|ip| ip == source);
            return Ok(());
        }
        let ip = ip.to_canonical();
        if self.peers.get(ip).is_none() {
            return Ok(());
        }
        //= RFC 5061 §5.3
        //# If a request is received to delete the last remaining IP address
        //# of a peer endpoint, the receiver MUST send an Error Cause TLV
        //# with the Error Cause set to the new error code 'Request to
        //# Delete Last Remaining IP Address'.
        if self.peers.iter().count() == 1 {
            return Err(cause::DELETE_LAST_ADDRESS);
        }
        //= RFC 5061 §5.3
        //# If a request is received to delete an IP address that is also
        //# the source address of the IP packet that contained the ASCONF
        //# chunk, the receiver MUST reject this request.
        if ip == source {
            return Err(cause::DELETE_SOURCE_ADDRESS);
        }
        self.keep_peer_addresses(|peer| peer != ip);
        Ok(())
    }

    /// Forgets the other addresses of the peer, and that it wanted data sent to one of them.
    fn keep_peer_addresses(&mut self, keep: impl Fn(IpAddr) -> bool) {
        self.peers.retain(&keep);
        self.agreed.forget_addresses(&keep);
        if let Some(changes) = &mut self.changes {
            changes.preferred = changes.preferred.filter(|ip| keep(*ip));
        }
    }

    fn prefer_peer_address(&mut self, cx: &Cx, meta: &DatagramMeta, ip: IpAddr) -> Result<(), u16> {
        let ip = self.meant(cx, meta, ip)?;
        if self.peers.get(ip).is_none() {
            return Err(cause::UNRESOLVABLE_ADDRESS);
        }
        if let Some(changes) = &mut self.changes {
            changes.preferred = Some(ip);
        }
        Ok(())
    }

    /// Makes the address primary that the peer prefers, as soon as it is confirmed.
    pub(super) fn follow_preference(&mut self, cx: &mut Cx) {
        let Some(changes) = &mut self.changes else {
            return;
        };
        let Some(ip) = changes.preferred else {
            return;
        };
        let fits = |path: &&Path| path.confirmed && path.remote.ip().to_canonical() == ip;
        let Some(path) = self.paths.iter().find(fits).map(|path| path.id) else {
            return;
        };
        changes.preferred = None;
        if self.paths.set_primary(path) {
            cx.event(Event::PrimaryChanged(path));
        }
    }

    /// An ASCONF-ACK that is due, in a packet of its own to where the ASCONF came from.
    //= RFC 5061 §5.2
    //# The destination address of the SCTP packet
    //# containing the ASCONF-ACK Chunks MUST be the source address of
    //# the SCTP packet that held the ASCONF Chunks.
    pub(super) fn poll_asconf_ack(&mut self, cx: &mut Cx, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (meta, first) = self.changes.as_mut()?.answers.pop_front()?;
        let mut packet = self.begin(cx, buf, MAX_REPLY);
        packet.asconf_ack(&first);
        while let Some(changes) = &mut self.changes
            && let Some((to, next)) = changes.answers.front()
            && *to == meta
            && packet.remaining() >= wire::PacketWriter::chunk_size(next.len())
        {
            packet.asconf_ack(next);
            changes.answers.pop_front();
        }
        cx.stats.control_chunks_sent += u64::from(packet.chunks());
        let size = self.finish(cx, packet);
        Some(Transmit::reply(&meta, size))
    }
}

/// Answers a request with an error cause that quotes it; false if nothing more is to be looked into.
//= RFC 5061 §5.2
//# To indicate an
//# unrecognized parameter, Cause Type 8 should be used as
//# defined in the ERROR in Section 3.3.10.8, [RFC4960].
fn refuse(answers: &mut AsconfWriter, request: &AsconfRequest<'_>, code: u16) -> bool {
    let mut causes = CauseWriter::new();
    causes.cause(code, &request.raw[..request.raw.len().min(QUOTED)]);
    if request.change != AddressChange::Unknown {
        answers.error(request.correlation, causes.as_bytes());
        return true;
    }
    let kind = u16::from_be_bytes([request.raw[0], request.raw[1]]);
    let action = on_unknown_param(kind);
    if action.report() {
        answers.error(request.correlation, causes.as_bytes());
    }
    !action.stop()
}

/// Bytes of a request that are quoted: all of one that is known.
const QUOTED: usize = 32;
