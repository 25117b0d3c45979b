//! ASCONF of this side (RFC 5061 §5.1): the peer is told of addresses that come and go.
//!
//! An address that means the same to the peer as here is added by its name, from an address that
//! the peer knows. One that a NAT stands before has another name there, which nobody here knows: it
//! is added by a wildcard, in a packet that leaves from it. The answer, if it comes to that address,
//! proves that it works.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::{
    Association, Event, LocalChange,
    cx::{Cx, Fatal, Handled},
    state::Phase,
    tcb::Tcb,
    timers::Timer,
};
use crate::{
    address::{is_meaningful_to, is_same_family, may_reach},
    asconf::{Acked, Wish},
    error::{AddressError, CloseReason},
    ids::PathId,
    path::{Local, LocalAddressState, Path, Peers},
    time::Instant,
    transmit::{DatagramMeta, Transmit},
    wire::{AddressChange, AsconfAck, CauseWriter, PacketWriter, cause, kind, wildcard_like},
};

/// How often an address is tried that the peer does not know. Afterwards the request, which may have
/// got there while the answers did not, goes by a path that is known to work.
const INTRODUCTIONS: u32 = 3;
/// Time-outs for which an address that was listed may stay silent before it is introduced.
pub(super) const SILENT: u32 = 3;

impl Association {
    /// Whether either side can change its addresses (ASCONF and AUTH were negotiated, RFC 5061).
    pub fn can_change_addresses(&self) -> bool {
        matches!(&self.phase, Phase::Open(tcb) if tcb.changes.is_some())
    }

    /// Asks the peer to send data to this address of this side (SCTP_SET_PEER_PRIMARY_ADDR, RFC 6458
    /// §8.3.1). [`Event::LocalAddress`] tells what it made of that.
    pub fn set_peer_primary(&mut self, now: Instant, ip: IpAddr) -> Result<(), AddressError> {
        let Phase::Open(tcb) = &mut self.phase else {
            return Err(AddressError::NotEstablished);
        };
        let Some(changes) = &mut tcb.changes else {
            return Err(AddressError::NotSupported);
        };
        let known = |path: &&Path| path.local() == Some(ip.to_canonical());
        let Some(path) = tcb.paths.iter().find(known) else {
            return Err(AddressError::UnknownAddress(ip));
        };
        let hidden = !is_meaningful_to(ip, path.remote.ip());
        let wish = Wish {
            change: AddressChange::SetPrimary(if hidden { wildcard_like(ip) } else { ip }),
            about: ip.to_canonical(),
            via: hidden.then(|| ip.to_canonical()),
        };
        if !changes.outgoing.wish(wish) {
            return Err(AddressError::Refused(ip));
        }
        self.conclude(now, Ok(()));
        Ok(())
    }
}

impl Tcb {
    /// Whether the peer is about to be told of this address, or is being told.
    pub(super) fn is_adding(&self, ip: IpAddr) -> bool {
        let changes = self.changes.as_ref();
        changes.is_some_and(|changes| changes.outgoing.is_adding(ip))
    }

    /// The addresses of this side are others than before; these, of which the peer is about to be told,
    /// are gone. One request is under way at a time, and changes are asked for in the order of their
    /// wishes.
    pub(super) fn announce_changes(&mut self, cx: &mut Cx, now: Instant, announced: &[IpAddr]) {
        self.withdraw(cx, announced);
        // The peer sends to those that are gone in vain; whether packets from a new one get through
        // has yet to be seen.
        self.withdraw_gone(cx);
        self.redirect(cx);
        self.begin_announcing(cx, now);
    }

    /// If no address is left that the peer knows, what it is asked for goes from another: what names
    /// addresses means the same from there.
    fn redirect(&mut self, cx: &Cx) {
        let Some(changes) = &mut self.changes else {
            return;
        };
        let due = cx.locals.known().next().is_none();
        if let Some(request) = changes.outgoing.request_mut().filter(|_| due)
            && request.via.is_none_or(|via| cx.locals.get(via).is_none())
            && let Some(ip) = stand_in(cx, &self.peers)
        {
            request.via = Some(ip);
            changes.request_due = true;
        }
    }

    /// The peer is told of those that it knows and that are gone. Where no address is left to ask from,
    /// that waits for one: those that are gone may be the first to be back, and what adds a new one
    /// may not wait behind what cannot leave.
    //= RFC 5061 §5.3
    //# An endpoint MUST NOT delete its last remaining IP address from
    //# an association.
    fn withdraw_gone(&mut self, cx: &mut Cx) {
        if cx.locals.known().next().is_some() {
            let gone: SmallVec<[IpAddr; 8]> = cx.locals.gone().collect();
            self.withdraw(cx, &gone);
        }
    }

    /// The addresses of this side are known, and the peer: those that it was not told of are
    /// announced, and after a while those that it was told of in vain.
    pub(super) fn begin_announcing(&mut self, cx: &mut Cx, now: Instant) {
        if !self.announces(cx) {
            return;
        }
        if let Some(changes) = &mut self.changes {
            // One that comes again is tried again.
            changes.refused.retain(|ip| cx.locals.get(*ip).is_some());
        }
        self.announce(cx, false);
        let silent = |local: &Local| local.state == LocalAddressState::Listed;
        if cx.locals.iter().any(silent) {
            let rto = self.paths.get(self.paths.primary()).rto.rto();
            cx.timers.set(Timer::Introduce, now + SILENT * rto);
        }
    }

    fn announces(&self, cx: &Cx) -> bool {
        self.changes.is_some() && cx.config.auto_asconf && cx.config.lists_addresses()
    }

    /// Wishes for every address that the peer does not know; those that it was told of as well, if
    /// `silent`.
    pub(super) fn announce(&mut self, cx: &mut Cx, silent: bool) {
        if !self.announces(cx) {
            return;
        }
        let remote = self.paths.get(self.paths.primary()).remote.ip();
        let anchored = cx.locals.known().next().is_some();
        // Who is called is not behind a NAT that changes its address.
        let may_hide = cx.config.asconf_wildcard && !self.given.is_empty();
        let Some(changes) = &mut self.changes else {
            return;
        };
        for local in cx.locals.iter() {
            let ip = local.address.ip;
            let told = changes.outgoing.is_adding(ip) || changes.refused.contains(&ip);
            if local.state == LocalAddressState::Known || told || !reaches(&self.peers, ip) {
                continue;
            }
            let by_name = local.state == LocalAddressState::Untold && is_meaningful_to(ip, remote);
            let wish = if by_name && (anchored || !may_hide) {
                Wish {
                    change: AddressChange::Add(ip),
                    about: ip,
                    via: (!anchored).then_some(ip),
                }
            } else if may_hide && (silent || local.state == LocalAddressState::Untold) {
                Wish {
                    change: AddressChange::Add(wildcard_like(ip)),
                    about: ip,
                    via: Some(ip),
                }
            } else {
                continue;
            };
            changes.outgoing.wish(wish);
        }
    }

    /// These addresses of this side, which the peer was told of, are gone.
    fn withdraw(&mut self, cx: &mut Cx, gone: &[IpAddr]) {
        if !self.announces(cx) {
            return;
        }
        let only = only(cx.locals.known().map(|local| local.ip));
        let may_hide = cx.config.asconf_wildcard && !self.given.is_empty();
        let Some(changes) = &mut self.changes else {
            return;
        };
        for ip in gone {
            // Of the last one that is left it can be said that there is no other, whatever names a
            // NAT gave to the others.
            let change = match only {
                Some(left) if may_hide => AddressChange::Delete(wildcard_like(left)),
                _ => AddressChange::Delete(*ip),
            };
            changes.outgoing.wish(Wish {
                change,
                about: *ip,
                via: only.filter(|_| may_hide),
            });
            cx.locals.withdrawn(*ip);
        }
    }

    /// Makes the next request, if one waits and none is under way.
    pub(super) fn advance_asconf(&mut self, cx: &mut Cx) {
        self.follow_preference(cx);
        let Some(changes) = &mut self.changes else {
            return;
        };
        if !changes.outgoing.waits() || !self.state.changes_addresses() {
            return;
        }
        let known = cx.locals.known().next().map(|local| local.ip);
        let instead = known.is_none().then(|| stand_in(cx, &self.peers)).flatten();
        // Where there is no address to ask from, it waits for one.
        let from = changes.outgoing.next_via().or(known).or(instead);
        if from.is_none() && !cx.locals.is_empty() {
            return;
        }
        let remote = self.paths.get(self.paths.primary()).remote.ip();
        let told = known.filter(|ip| is_meaningful_to(*ip, remote));
        //= RFC 5061 §4.1.1
        //# If the address 0.0.0.0 or ::0 is provided, the receiver
        //# MAY lookup the association by other information provided in the
        //# packet.
        changes
            .outgoing
            .advance(told.unwrap_or_else(|| wildcard_like(remote)));
        if let Some(request) = changes.outgoing.request_mut() {
            request.via = request.via.or(instead);
        }
        changes.request_due = true;
    }

    /// An ASCONF-ACK of the peer, authenticated.
    pub(super) fn on_asconf_ack(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        ack: &AsconfAck<'_>,
    ) -> Handled {
        let Some(changes) = &mut self.changes else {
            return Ok(());
        };
        let done = match changes.outgoing.on_ack(ack) {
            Acked::Old => return Ok(()),
            Acked::Illegal => {
                let mut causes = CauseWriter::new();
                causes.cause(cause::ILLEGAL_ASCONF_ACK, &[]);
                return Err(Fatal {
                    reason: CloseReason::PeerMisbehaved("ASCONF-ACK for what was not asked"),
                    abort: Some(causes),
                });
            }
            Acked::Done(done) => done,
        };
        changes.request_due = false;
        cx.timers.stop(Timer::Asconf);
        //= RFC 5061 §5.1
        //# When the ASCONF-ACK that acknowledges the Sequence Number last
        //# sent arrives, the sender MUST stop the T-4 RTO timer, and clear
        //# the appropriate association and destination error counters as
        //# defined in [RFC4960], Sections 8.1 and 8.2.
        self.errors = 0;
        let here = cx.local_ip(meta).map(|ip| ip.to_canonical());
        for (wish, performed) in done {
            self.on_answer_to(cx, wish, performed, here);
        }
        self.update_paths(cx, now);
        self.withdraw_gone(cx);
        self.announce(cx, false);
        Ok(())
    }

    fn on_answer_to(&mut self, cx: &mut Cx, wish: Wish, performed: bool, here: Option<IpAddr>) {
        let (ip, change) = (
            wish.about,
            match wish.change {
                AddressChange::Add(_) => LocalChange::Added,
                AddressChange::Delete(_) => LocalChange::Deleted,
                _ => LocalChange::MadePrimary,
            },
        );
        let all = matches!(wish.change, AddressChange::Delete(ip) if ip.is_unspecified());
        if performed && all && here.is_some_and(|ip| cx.locals.get(ip).is_some()) {
            // Whatever else the peer knew of it knows no more.
            let others: Vec<IpAddr> = (cx.locals.iter().map(|local| local.address.ip))
                .filter(|ip| Some(*ip) != here)
                .collect();
            for ip in others {
                cx.locals.set_state(ip, LocalAddressState::Untold);
            }
        }
        // What had to leave from an address to mean it has left from there if the answer comes there.
        let performed = performed && wish.via.is_none_or(|via| here == Some(via));
        if performed && change == LocalChange::Deleted {
            // If it has come back meanwhile, the peer does not know that.
            cx.locals.set_state(ip, LocalAddressState::Untold);
        }
        if let (LocalChange::Added, Some(changes)) = (change, &mut self.changes) {
            if performed {
                //= RFC 5061 §5.3
                //# After the ASCONF-ACK of an IP address Add arrives, the endpoint
                //# MAY begin using the added IP address as a source address for any
                //# type of SCTP chunk.
                cx.locals.set_state(ip, LocalAddressState::Known);
            } else if cx.locals.get(ip).is_some() && !changes.refused.contains(&ip) {
                changes.refused.push(ip);
            }
        }
        cx.event(Event::LocalAddress {
            ip,
            change,
            performed,
        });
    }

    /// T4 ran out: the request goes again.
    pub(super) fn on_asconf_timeout(&mut self, cx: &mut Cx) -> Handled {
        let Some(request) = self.changes.as_mut().and_then(|c| c.outgoing.request_mut()) else {
            return Ok(());
        };
        // What is deleted, or preferred, by a wildcard goes by the address it leaves from.
        let anywhere = request.only_adds() || request.is_by_name();
        let introduces = request.via.is_some() && anywhere;
        if introduces && request.sent >= INTRODUCTIONS && cx.locals.known().next().is_some() {
            request.via = None;
        }
        if let Some(changes) = &mut self.changes {
            changes.request_due = true;
        }
        if introduces && cx.locals.known().next().is_some() {
            // That an address does not work says nothing of those that do.
            return Ok(());
        }
        //= RFC 5061 §5.1
        //# Increment the error counters and perform path failure detection
        //# on the appropriate destination address as defined in [RFC4960],
        //# Sections 8.1 and 8.2.
        self.count_error(cx, self.control_path)
    }

    /// What leaves in a packet of its own, which no path is for.
    pub(super) fn poll_changes(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        self.changes.as_ref()?;
        if !self.state.changes_addresses() {
            return None;
        }
        self.poll_asconf_ack(cx, buf)
            .or_else(|| self.poll_introduction(cx, now, buf))
    }

    /// The request of this side, if it is to leave from an address that the peer does not know.
    //= RFC 5061 §5.3
    //# This means that until such time as the ASCONF
    //# containing the add is acknowledged, the sender MUST NOT use the
    //# new IP address as a source for ANY SCTP packet except on
    //# carrying an ASCONF Chunk.
    fn poll_introduction(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let changes = self
            .changes
            .as_mut()
            .filter(|changes| changes.request_due)?;
        let request = changes.outgoing.request_mut()?;
        let via = request.via?;
        let path = self.paths.get(self.paths.primary());
        let rto = path.rto.rto();
        let destination = (std::iter::once(path).chain(self.paths.iter()))
            .map(|path| path.remote)
            .find(|remote| is_same_family(remote.ip(), via));
        let (Some(local), Some(destination)) = (cx.locals.get(via), destination) else {
            // It is gone again.
            request.via = None;
            return None;
        };
        request.sent += 1;
        let wait = rto * (1 << request.sent.min(6)) / 2;
        let transmit = Transmit {
            path: None,
            destination,
            socket: local.address.socket,
            source_ip: Some(via),
            dont_fragment: true,
            ecn: None,
            size: 0,
            segment_size: None,
        };
        let value = std::mem::take(&mut request.value);
        let mut packet = self.begin(cx, buf, super::outbound::MAX_REPLY);
        packet.asconf(&value);
        cx.stats.control_chunks_sent += u64::from(packet.chunks());
        let size = self.finish(cx, packet);
        if let Some(changes) = &mut self.changes {
            changes.request_due = false;
            if let Some(request) = changes.outgoing.request_mut() {
                request.value = value;
            }
        }
        cx.timers
            .set(Timer::Asconf, now + wait.min(cx.config.rto_max));
        Some(Transmit { size, ..transmit })
    }

    /// Whether a request waits to leave by a path.
    pub(super) fn asconf_due(&self) -> bool {
        let changes = self.changes.as_ref().filter(|changes| changes.request_due);
        changes
            .and_then(|changes| changes.outgoing.request())
            .is_some_and(|request| request.via.is_none())
    }

    pub(super) fn write_asconf(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        if !self.asconf_due() || !self.state.changes_addresses() {
            return;
        }
        let room = packet.remaining_for(kind::ASCONF);
        let Some(changes) = &mut self.changes else {
            return;
        };
        let Some(request) = changes.outgoing.request_mut() else {
            return;
        };
        if room < PacketWriter::chunk_size(request.value.len()) {
            return;
        }
        request.sent += 1;
        packet.asconf(&request.value);
        changes.request_due = false;
        self.control_path = id;
        //= RFC 5061 §5.1
        //# The sender MUST Start a T-4 Retransmission Timeout (RTO) timer,
        //# using the RTO value of the selected destination address
        cx.timers
            .set(Timer::Asconf, now + self.paths.get(id).rto.rto());
    }

    /// The peer reports that it does not know a chunk, of which this is what it quotes.
    pub(super) fn on_unrecognized_chunk(&mut self, cx: &mut Cx, quoted: &[u8]) {
        if quoted.first() == Some(&kind::ASCONF)
            && let Some(changes) = &mut self.changes
        {
            changes.outgoing.stop();
            changes.request_due = false;
            cx.timers.stop(Timer::Asconf);
        }
    }
}

/// Whether a request from this address may get to the peer. Loopback reaches none elsewhere: what is
/// to leave from there would hold up all else.
fn reaches(peers: &Peers, ip: IpAddr) -> bool {
    (peers.iter().map(|peer| peer.remote.ip()))
        .any(|remote| is_same_family(ip, remote) && may_reach(ip, remote))
}

/// An address to ask from where there is none that the peer knows.
fn stand_in(cx: &Cx, peers: &Peers) -> Option<IpAddr> {
    let mut locals = cx.locals.iter().map(|local| local.address.ip);
    locals.find(|ip| reaches(peers, *ip))
}

/// The item, if there is exactly one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next();
    first.filter(|_| items.next().is_none())
}
