//! One packet in: tag rules (§8.5), the chunk loop, dispatch.

use bytes::Bytes;

use super::{
    Association, AssociationEvent, AssociationEventKind,
    cx::{Cx, Fatal, Handled},
    on_auth::Begin,
    outbound::Reply,
    state::{Phase, State},
    tcb::Tcb,
};
use crate::{
    error::CloseReason,
    ids::{PathId, Tsn},
    path::Path,
    time::Instant,
    transmit::DatagramMeta,
    wire::{self, Causes, Chunk, CommonHeader, Malformed, RawChunk, kind, on_unknown_chunk},
};

/// What a chunk means for the rest of its packet.
enum Next {
    Continue,
    Stop,
}

impl Association {
    /// Takes what the endpoint has for this association.
    pub fn handle_event(&mut self, now: Instant, event: AssociationEvent) {
        self.log_received(now, &event.0);
        self.limit_holdings();
        let handled = match event.0 {
            AssociationEventKind::Datagram { meta, packet } => self.on_packet(now, &meta, &packet),
            AssociationEventKind::Init { meta, packet } => {
                self.on_init(now, &meta, &packet);
                Ok(())
            }
            AssociationEventKind::CookieEcho {
                meta,
                packet,
                cookie,
                freshness,
            } => self.on_cookie_echo(now, &meta, &packet, *cookie, freshness),
            AssociationEventKind::Icmp {
                kind,
                destination,
                quoted,
            } => self.on_icmp(now, kind, destination, &quoted),
        };
        self.conclude(now, handled);
    }

    /// One packet whose checksum is right.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
    ) -> Handled {
        let Some(header) = CommonHeader::parse(packet) else {
            self.cx.stats.dropped_malformed += 1;
            return Ok(());
        };
        let Some(Ok(first)) = wire::chunks(packet).next() else {
            self.cx.stats.dropped_malformed += 1;
            return Ok(());
        };
        if self.is_setting_up() && is_shutdown_ack(packet) {
            // The peer is still ending an earlier association.
            //= RFC 9260 §8.5.1
            //# If the receiver is in COOKIE-ECHOED or COOKIE-WAIT state, the procedures in Section
            //# 8.4 SHOULD be followed; in other words, it is treated as an OOTB packet.
            //= RFC 9260 §8.5.1
            //# Only where no TCB exists SHOULD the sender use the Verification Tag from the
            //# SHUTDOWN ACK chunk and MUST set the T bit.
            //= RFC 9260 §9.2
            //# The sender of the INIT or COOKIE ECHO chunk SHOULD respond to the receipt of a
            //# SHUTDOWN ACK chunk with a stand-alone SHUTDOWN COMPLETE chunk in an SCTP packet with
            //# the Verification Tag field of its common header set to the same tag that was
            //# received in the packet containing the SHUTDOWN ACK chunk.
            let (ports, tag) = (self.cx.ports, header.verification_tag);
            self.cx
                .reply(Reply::shutdown_complete(meta, ports, tag, true));
            return Ok(());
        }
        match &mut self.phase {
            Phase::CookieWait(_) => self.on_packet_in_cookie_wait(now, meta, packet, &header),
            Phase::Open(tcb) => {
                let tag = header.verification_tag;
                let ends = matches!(first.kind, kind::ABORT | kind::SHUTDOWN_COMPLETE);
                if (ends || tag != self.cx.local_tag)
                    && let Some(reflected) = reflected(packet)
                {
                    // Who knows nothing of the association cannot authenticate that. A SHUTDOWN
                    // COMPLETE never has to be (RFC 4895 §3.2).
                    let guarded =
                        matches!(reflected, Chunk::Abort { .. }) && tcb.requires_auth(kind::ABORT);
                    let ours = tag == tcb.agreed.peer_tag && !guarded;
                    if ours && tcb.may_end(&self.cx, meta) {
                        return tcb.on_reflected(&reflected);
                    }
                    //= RFC 9260 §8.5.1
                    //# Otherwise, the receiver MUST silently discard the packet and take no further
                    //# action.
                    self.cx.stats.dropped_bad_tag += 1;
                    return Ok(());
                }
                //= RFC 9260 §8.5
                //# When receiving an SCTP packet, the endpoint MUST ensure that the value in the
                //# Verification Tag field of the received SCTP packet matches its own tag.
                if tag != self.cx.local_tag {
                    self.cx.stats.dropped_bad_tag += 1;
                    return Ok(());
                }
                tcb.on_packet(&mut self.cx, now, meta, packet, Begin::default())
            }
            Phase::Closed(..) => Ok(()),
        }
    }

    fn is_setting_up(&self) -> bool {
        match &self.phase {
            Phase::CookieWait(_) => true,
            Phase::Open(tcb) => matches!(tcb.state, State::CookieEchoed { .. }),
            Phase::Closed(..) => false,
        }
    }
}

/// Whether §8.4 has this packet answered with SHUTDOWN COMPLETE: anywhere in it is a SHUTDOWN ACK,
/// and nowhere an ABORT.
fn is_shutdown_ack(packet: &[u8]) -> bool {
    let has = |kind: u8| {
        let mut chunks = wire::chunks(packet).map_while(Result::ok);
        chunks.any(|raw| raw.kind == kind)
    };
    has(kind::SHUTDOWN_ACK) && !has(kind::ABORT)
}

/// The chunk of a packet by which a peer that does not know the association says so, with the tag
/// of the packet that it answers. Nothing else in such a packet counts.
fn reflected(packet: &[u8]) -> Option<Chunk<'_>> {
    wire::chunks(packet)
        .map_while(|raw| raw.and_then(Chunk::parse).ok())
        .find(|chunk| {
            matches!(
                chunk,
                Chunk::Abort { t_bit: true, .. } | Chunk::ShutdownComplete { t_bit: true }
            )
        })
}

impl Tcb {
    /// Whether a packet that reflects the peer's tag says something of the association: not if it
    /// answers a HEARTBEAT to an address that is not the peer's, or where the peer may not know
    /// this side.
    fn may_end(&self, cx: &Cx, meta: &DatagramMeta) -> bool {
        let path = self.paths.find(meta.remote.ip(), cx.local_ip(meta));
        path.is_some_and(|id| {
            let path = self.paths.get(id);
            let here = cx.local_ip(meta).map(|ip| ip.to_canonical());
            path.confirmed && (cx.locals.is_empty() || here.is_none() || path.local() == here)
        })
    }

    //= RFC 9260 §8.5.1
    //# The receiver of an ABORT chunk MUST accept the packet if the Verification Tag field of the
    //# packet matches its own tag and the T bit is not set OR if it is set to its Peer's Tag and
    //# the T bit is set in the Chunk Flags.
    /// The reflected ABORT says that the peer knows nothing of the association any more. In
    /// SHUTDOWN-ACK-SENT that is because it has ended it: everything was acknowledged both ways,
    /// its SHUTDOWN COMPLETE got lost, and a late packet of this side was out of the blue there.
    fn on_reflected(&mut self, chunk: &Chunk<'_>) -> Handled {
        match chunk {
            Chunk::Abort { .. } if self.state == State::ShutdownAckSent => {
                Err(Fatal::silent(CloseReason::Shutdown))
            }
            Chunk::Abort { causes, .. } => Err(Fatal::silent(peer_abort(causes))),
            _ => self.on_shutdown_complete(),
        }
    }

    /// The chunks of a packet whose tag is right, from where `begin` says.
    pub(crate) fn on_packet(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        begin: Begin,
    ) -> Handled {
        let path = self.arrived(cx, now, meta);
        if let Some(path) = path {
            self.follow_peer(cx, path, meta, packet);
            self.paths.get_mut(path).counters.received(packet.len());
        } else if self.peers.get(meta.remote.ip()).is_none() {
            if !self.on_packet_from_elsewhere(cx, now, meta, packet, begin) {
                cx.stats.dropped_unknown_address += 1;
            }
            return Ok(());
        }
        cx.stats.packets_received += 1;
        cx.stats.bytes_received += packet.len() as u64;
        cx.stats.control_chunks_received += begin.skip as u64;
        let mut data = DataSeen::default();
        let mut authenticated = begin.authenticated;
        //= RFC 9260 §6.10
        //# An endpoint MUST process received chunks in their order in the packet.
        //= RFC 9260 §6.10
        //# If the receiver detects a partial chunk, it MUST drop the chunk.
        for chunk in wire::chunks(packet).skip(begin.skip) {
            if let (Some(auth), Ok(raw)) = (&self.auth, &chunk) {
                if raw.kind == kind::AUTH {
                    cx.stats.control_chunks_received += 1;
                    //= RFC 4895 §5.1
                    //# The control chunk AUTH MUST NOT appear more than once in an SCTP
                    //# packet.
                    if authenticated || !self.on_auth(cx, packet, raw.offset) {
                        break;
                    }
                    authenticated = true;
                    continue;
                }
                //= RFC 4895 §6.3
                //# It MUST silently discard these chunks if they
                //# are not placed after an AUTH chunk in the packet.
                if !authenticated && auth.requires(raw.kind) {
                    cx.stats.auth_missing += 1;
                    //= RFC 5061 §5.2
                    //# If either authentication fails, or the AUTH chunk is missing,
                    //# the receiver MUST silently discard this chunk and the rest of
                    //# the packet.
                    if raw.kind == kind::ASCONF {
                        break;
                    }
                    continue;
                }
                if self.changes.is_some() && matches!(raw.kind, kind::ASCONF | kind::ASCONF_ACK) {
                    cx.stats.control_chunks_received += 1;
                    match Chunk::parse(*raw) {
                        Ok(Chunk::Asconf(asconf)) => self.on_asconf(cx, now, meta, &asconf),
                        Ok(Chunk::AsconfAck(ack)) => self.on_asconf_ack(cx, now, meta, &ack)?,
                        _ => {
                            cx.stats.dropped_malformed += 1;
                            break;
                        }
                    }
                    continue;
                }
            }
            let handled = match chunk.and_then(|raw| Ok((raw, parse(raw)?))) {
                Ok((raw, chunk)) => {
                    let came = Came { by: path, meta };
                    self.on_chunk(cx, now, came, packet, raw, chunk, &mut data)
                }
                Err(Malformed(reason)) => {
                    tracing::debug!(reason, "malformed chunk: rest of the packet dropped");
                    cx.stats.dropped_malformed += 1;
                    Ok(Next::Stop)
                }
            };
            match handled {
                Ok(Next::Continue) => {}
                Ok(Next::Stop) => break,
                Err(fatal) => return Err(unless_aborted(cx, packet, fatal)),
            }
        }
        if let Some(lowest) = data.lowest {
            data.immediately |= self.on_mark(cx, meta.ecn, lowest);
        }
        if data.any {
            if let Some(path) = path {
                self.choose_sack_path(path, data.duplicate);
            }
            self.on_data_packet(cx, now, data.immediately);
        }
        //= RFC 9260 §9.2
        //# The reception of any packet from its peer (i.e., as the peer sends all of its queued
        //# DATA chunks) SHOULD clear the endpoint's retransmission count and restart the
        //# T2-shutdown timer, giving its peer ample opportunity to transmit all of its queued DATA
        //# chunks that have not yet been sent.
        if self.state == State::ShutdownSent {
            self.errors = 0;
            self.restart_t2(cx, now);
        }
        Ok(())
    }

    /// SACKs go where DATA comes from, unless the peer did not get the last one by that path: what
    /// it repeats tells so.
    //= RFC 9260 §6.4
    //# However, an endpoint SHOULD NOT vary the destination transport address of a SACK chunk when
    //# it receives DATA chunks coming from the same source address.
    //= RFC 9260 §6.7
    //# When its peer is multi-homed, the SCTP endpoint SHOULD always try to send the SACK chunk to
    //# the same destination address from which the last DATA chunk was received.
    fn choose_sack_path(&mut self, from: PathId, duplicate: bool) {
        let usable = self.paths.get(from).is_usable();
        let other = match duplicate {
            true if self.sack_path == from => self.paths.alternate(from),
            _ if usable => None,
            // Nothing but HEARTBEATs goes where nobody may be, and little where nobody answers.
            _ => Some(self.paths.for_new_data()),
        };
        self.sack_path = other.unwrap_or(from);
    }

    /// Notes by which socket, address and UDP port the peer is reached.
    ///
    /// Called once checksum and verification tag are right; the port moves only if every chunk
    /// parses as well, and never by an INIT, which does not come here.
    fn follow_peer(&mut self, cx: &Cx, id: PathId, meta: &DatagramMeta, packet: &Bytes) {
        let path = self.paths.get_mut(id);
        //= RFC 6951 §5.4
        //# After finding the SCTP association (which includes checking the verification tag), the
        //# UDP source port MUST be stored as the encapsulation port for the destination address the
        //# SCTP packet is received from (see Section 5.1).
        let before = path.remote;
        if before != meta.remote {
            let sane =
                wire::chunks(packet).all(|chunk| chunk.is_ok_and(|raw| Chunk::parse(raw).is_ok()));
            if !sane {
                return;
            }
            tracing::debug!(from = %before, to = %meta.remote, "peer's UDP port moved");
            path.remote = meta.remote;
        }
        let had_shown = std::mem::replace(&mut path.port_seen, true);
        if cx.locals.is_empty() {
            path.socket = meta.socket;
            if meta.local_ip.is_some() {
                let before = std::mem::replace(&mut path.local_ip, meta.local_ip);
                //= RFC 9260 §7.2.5.2
                //# If such a routing change happens, the congestion control parameters for the
                //# affected destination addresses MUST be reset to their initial values.
                if before.is_some_and(|before| meta.local_ip != Some(before)) {
                    path.reset_congestion(&cx.config);
                }
            }
        }
        // A NAT may have given each path to the address a port of its own; where none has shown,
        // it is taken to be the same. Paths on which the same one had shown have lost it together.
        let same = |path: &&mut Path| {
            let shared = had_shown && path.remote == before;
            path.remote.ip() == meta.remote.ip() && (!path.port_seen || shared)
        };
        for path in self.paths.iter_mut().filter(same) {
            path.remote = meta.remote;
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the loop above owns all of these"
    )]
    fn on_chunk(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        came: Came<'_>,
        packet: &Bytes,
        raw: RawChunk<'_>,
        chunk: Chunk<'_>,
        data: &mut DataSeen,
    ) -> Result<Next, Fatal> {
        match raw.kind {
            kind::DATA | kind::I_DATA => {
                self.on_data_before_cookie_ack(cx, now, raw.kind == kind::I_DATA);
            }
            _ => cx.stats.control_chunks_received += 1,
        }
        match chunk {
            Chunk::Data(fields) => self.on_data(cx, packet, fields, false, data)?,
            Chunk::IData(fields) => self.on_data(cx, packet, fields, true, data)?,
            Chunk::Sack(sack) => self.on_sack(cx, now, came.by, &sack)?,
            Chunk::NrSack(sack) if self.agreed.capabilities.nr_sack() => {
                self.on_sack(cx, now, came.by, &sack)?;
            }
            Chunk::Ecne(tsn) if self.agreed.capabilities.ecn() => self.on_ecne(cx, now, tsn),
            Chunk::Cwr(tsn) if self.agreed.capabilities.ecn() => self.on_cwr(tsn),
            Chunk::Heartbeat(_) => self.on_heartbeat(came, raw.value),
            Chunk::HeartbeatAck(info) => self.on_heartbeat_ack(cx, now, info),
            Chunk::Abort { t_bit, causes } => {
                // With T set the tag ought to be this side's own, reflected, and is not.
                //= RFC 9260 §9.1
                //# After checking the Verification Tag, the receiving endpoint MUST remove the
                //# association from its record and SHOULD report the termination to its upper
                //# layer.
                //= RFC 9260 §9.1
                //# An endpoint receiving an ABORT chunk MUST apply the special Verification Tag
                //# check rules described in Section 8.5.1.
                if !t_bit {
                    return Err(Fatal::silent(peer_abort(&causes)));
                }
            }
            Chunk::Error(causes) => self.on_error(cx, now, &causes)?,
            Chunk::CookieAck => self.on_cookie_ack(cx, now),
            Chunk::Shutdown { cumulative } => self.on_shutdown(cx, now, cumulative)?,
            Chunk::ShutdownAck => self.on_shutdown_ack(cx, came.meta)?,
            // As with ABORT, a T bit is for the peer's tag.
            Chunk::ShutdownComplete { t_bit: true } => {}
            Chunk::ShutdownComplete { t_bit: false } => self.on_shutdown_complete()?,
            Chunk::ReConfig(reconfig) if self.agreed.capabilities.reconfig() => {
                self.on_reconfig(cx, now, came.by, &reconfig)?;
            }
            Chunk::Pad(_) => {}
            // A COOKIE ECHO that is not the first chunk, or a setup chunk that must be alone: §6.10
            // forbids such packets. An unexpected INIT ACK is discarded (§5.2.3).
            //= RFC 9260 §5.2.3
            //# If an INIT ACK chunk is received by an endpoint in any state other than the
            //# COOKIE-WAIT or CLOSED state, the endpoint SHOULD discard the INIT ACK chunk.
            //= RFC 9260 §3.3.3
            //# If such an INIT ACK chunk is received in any state other than CLOSED or COOKIE-WAIT,
            //# it SHOULD be discarded silently (see Section 5.2.3).
            Chunk::Init(_) | Chunk::InitAck(_) | Chunk::CookieEcho(_) => return Ok(Next::Stop),
            Chunk::ForwardTsn(forward) if self.agreed.capabilities.partial_reliability() => {
                self.on_forward_tsn(cx, &forward, data)?;
            }
            Chunk::IForwardTsn(forward) if self.agreed.capabilities.partial_reliability() => {
                self.on_i_forward_tsn(cx, &forward, data)?;
            }
            //= RFC 3758 §3.3.1
            //# Note that if the endpoint chooses NOT to include the parameter, then at no time
            //# during the life of the association can it send or process a FORWARD TSN. It MUST
            //# instead act as if it does NOT support the FORWARD TSN chunk, returning an ERROR to
            //# the peer upon receipt of any FORWARD TSN.
            Chunk::ForwardTsn(_)
            | Chunk::IForwardTsn(_)
            | Chunk::ReConfig(_)
            | Chunk::NrSack(_)
            | Chunk::Ecne(_)
            | Chunk::Cwr(_)
            | Chunk::Auth(_)
            | Chunk::Asconf(_)
            | Chunk::AsconfAck(_)
            | Chunk::Unknown(_) => {
                let unknown = on_unknown_chunk(raw.kind);
                if unknown.report() {
                    self.due
                        .error(|causes| _ = causes.unrecognized_chunk(raw.raw));
                }
                if unknown.stop() {
                    return Ok(Next::Stop);
                }
            }
        }
        Ok(Next::Continue)
    }
}

/// A chunk of those that every association knows, whose form has been checked. ASCONF, where it was
/// agreed on, does not get here; where it was not, its form is nobody's business.
fn parse(raw: RawChunk<'_>) -> Result<Chunk<'_>, Malformed> {
    match raw.kind {
        kind::ASCONF | kind::ASCONF_ACK => Ok(Chunk::Unknown(raw)),
        _ => Chunk::parse(raw),
    }
}

/// What a packet brought about when it ended the association: nothing is sent in answer if there
/// is an ABORT in it.
//= RFC 9260 §9.1
//# An endpoint MUST NOT respond to any received packet that contains an ABORT chunk (also see
//# Section 8.4).
fn unless_aborted(cx: &mut Cx, packet: &[u8], mut fatal: Fatal) -> Fatal {
    let mut chunks = wire::chunks(packet).map_while(Result::ok);
    if chunks.any(|raw| raw.kind == kind::ABORT) {
        //= RFC 9260 §3.3.7
        //# Moreover, under any circumstances, an endpoint that receives an ABORT chunk MUST NOT
        //# respond to that ABORT chunk by sending an ABORT chunk of its own.
        cx.replies.clear();
        fatal.abort = None;
    }
    fatal
}

/// Where a packet of the peer came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came<'a> {
    /// The path of its two addresses. None where this side has as many paths as it may have
    /// (`max_paths`), and none leads to that address of the peer: whatever the peer sends from there
    /// counts all the same, for it does not know.
    pub(super) by: Option<PathId>,
    pub(super) meta: &'a DatagramMeta,
}

/// What the DATA chunks of one packet ask of the SACK.
#[derive(Debug, Default)]
pub(crate) struct DataSeen {
    pub(crate) any: bool,
    /// Acknowledge at once.
    pub(crate) immediately: bool,
    /// A chunk had come before.
    pub(crate) duplicate: bool,
    /// The lowest TSN.
    pub(crate) lowest: Option<Tsn>,
}

/// The close reason that an ABORT stands for.
//= RFC 9260 §9.1
//# If a "User-Initiated Abort" error cause is present in the ABORT chunk, the Upper Layer Abort
//# Reason SHOULD be made available to the upper layer.
pub(crate) fn peer_abort(causes: &Causes<'_>) -> CloseReason {
    CloseReason::PeerAbort(causes.iter().next().map(|cause| cause.to_owned()))
}
