//! Setting up as the initiator sees it: INIT, INIT ACK, COOKIE ECHO (§5.1), stale cookies (§5.2.6).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use super::{
    Association,
    cx::{Cx, Fatal, Handled},
    inbound::peer_abort,
    outbound::{Reply, transmit},
    state::{Phase, State},
    tcb::{Agreement, Tcb},
    timers::Timer,
};
use crate::{
    address::{LocalAddress, may_reach},
    association::PathState,
    auth::AuthParams,
    capabilities::{Capabilities, InitKind, InitReject, PeerParams},
    config::AssociationConfig,
    error::CloseReason,
    ids::{PathId, Tsn},
    init_ack::listed_by,
    path::{Locals, Path, Paths, pairs},
    time::Instant,
    transmit::{DatagramMeta, Transmit},
    tx::Outstanding,
    wire::{
        self, COMMON_HEADER, CauseWriter, Chunk, CommonHeader, Init, InitFields, PacketWriter,
        ParamWriter, kind, param,
    },
};

/// By how much the life asked for after a Stale Cookie error exceeds the round trip measured.
const EXTENSION: Duration = Duration::from_secs(1);
/// Longest round trip asked for. A COOKIE ECHO that took longer was retransmitted all the time.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(60);

/// Bytes that an INIT is filled up to (RFC 4820): an INIT ACK of three times as much has room for
/// four IPv6 addresses, both as parameters and in the cookie.
const LEAST_INIT: usize = 80;
const PARAM_HEADER: usize = 4;

/// Pairs of addresses that INITs are sent between at most: about as many as there are INITs.
const MAX_TARGETS: usize = 8;

/// COOKIE-WAIT: INIT sent, or about to be.
#[derive(Debug)]
pub(crate) struct CookieWait {
    pub(super) initial_tsn: Tsn,
    /// One, which goes where the INIT goes.
    pub(super) paths: Paths,
    /// The peer's addresses, as the user gave them.
    pub(super) peers: Vec<SocketAddr>,
    /// Pairs of addresses; each expiry of T1-init tries the next.
    targets: Vec<(Option<LocalAddress>, SocketAddr)>,
    retransmits: u32,
    init_due: bool,
    /// When the only INIT so far was sent: its answer measures the path.
    sent_once: Option<Instant>,
    /// What to ask for in a Cookie Preservative parameter.
    preservative: Option<Duration>,
    /// How often the peer found a cookie stale.
    stale: u32,
    /// DATA that left with a COOKIE ECHO whose cookie was stale: it keeps its TSNs.
    pub(super) outstanding: Option<Outstanding>,
}

impl CookieWait {
    pub(super) fn new(
        config: &AssociationConfig,
        locals: &Locals,
        initial_tsn: Tsn,
        peers: &[SocketAddr],
    ) -> Self {
        let mut wait = Self {
            initial_tsn,
            paths: Paths::new(Path::new(PathId(0), peers[0], PathState::Active, config)),
            peers: peers.to_vec(),
            targets: Vec::new(),
            retransmits: 0,
            init_due: true,
            sent_once: None,
            preservative: None,
            stale: 0,
            outstanding: None,
        };
        wait.aim(locals);
        wait
    }

    /// INITs leave from these addresses: each with each of the peer's, in the order in which paths
    /// are made of them.
    pub(super) fn aim(&mut self, locals: &Locals) {
        let locals: Vec<_> = locals.iter().map(|local| local.address).collect();
        let local_ips: Vec<_> = locals.iter().map(|local| local.ip).collect();
        let peer_ips: Vec<_> = self.peers.iter().map(SocketAddr::ip).collect();
        let pairs = pairs(&local_ips, &peer_ips, MAX_TARGETS);
        let targets = pairs
            .into_iter()
            .map(|(l, r)| (Some(locals[l]), self.peers[r]));
        self.targets = targets
            .filter(|(local, remote)| local.is_none_or(|local| may_reach(local.ip, remote.ip())))
            .collect();
        // Where none of them can reach the peer, the system may know a way.
        if self.targets.is_empty() {
            self.targets = self.peers.iter().map(|peer| (None, *peer)).collect();
        }
        self.take_aim();
    }

    fn take_aim(&mut self) {
        let (local, remote) = self.targets[self.retransmits as usize % self.targets.len()];
        let path = self.paths.get_mut(PathId(0));
        path.aim(local, remote);
        if self.retransmits == 0 {
            // A socket with several addresses leaves by the one that the system has for the way.
            path.local_ip = None;
        }
    }

    /// Where the answer to an INIT goes that came from `from` and lists these addresses: back
    /// there, if it is an address that the user gave; else to one that the user gave.
    //= RFC 9260 §5.2.1
    //# When responding, the following rules MUST be applied:
    pub(super) fn answer_to(&self, from: SocketAddr, listed: &[IpAddr]) -> Option<SocketAddr> {
        let mut given = self.peers.iter();
        let source = from.ip().to_canonical();
        if given.clone().any(|peer| peer.ip().to_canonical() == source) {
            return Some(from);
        }
        given
            .find(|peer| listed.contains(&peer.ip().to_canonical()))
            .copied()
    }

    pub(super) fn poll_transmit(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if !std::mem::take(&mut self.init_due) {
            return None;
        }
        let path = self.paths.get(PathId(0));
        //= RFC 9260 §8.5.1
        //# The sender MUST set the Verification Tag of the packet to 0.
        let header = cx.ports.header(0);
        let mut params = ParamWriter::new();
        if cx.config.lists_addresses() {
            let listed = cx.locals.listed(path.local_ip, path.remote.ip());
            for ip in listed {
                params.address(ip);
                cx.locals.list(ip);
            }
            let kinds = cx.locals.address_types();
            if !kinds.is_empty() {
                params.supported_address_types(&kinds);
            }
        }
        let offered = Capabilities::offered(&cx.config);
        offered.write_params(&mut params);
        if offered.auth() {
            let random = (cx.cookies).auth_random(cx.ports, cx.local_tag, self.initial_tsn);
            AuthParams::local(&cx.config, random).write(&mut params);
        }
        if let Some(indication) = cx.config.adaptation_indication {
            params.adaptation_layer(indication);
        }
        if let Some(increment) = self.preservative {
            params.cookie_preservative(increment);
        }
        // The answer may be three times as large, and is to have room for the peer's addresses.
        let size = COMMON_HEADER + PacketWriter::init_size(&params);
        if cx.config.max_paths > 1 && size + PARAM_HEADER <= LEAST_INIT {
            params.param(param::PADDING, &vec![0; LEAST_INIT - size - PARAM_HEADER]);
        }
        let fixed = init_fields(cx, self.initial_tsn);
        let mut packet = PacketWriter::new(buf, path.max_packet, &header);
        //= RFC 9260 §5.1
        //# An INIT or INIT ACK chunk MUST NOT be bundled with any other chunk.
        //= RFC 9260 §5.1
        //# They MUST be the only chunks present in the SCTP packets that carry them.
        //= RFC 9260 §3.1
        //# A packet containing an INIT chunk MUST have a zero Verification Tag.
        //= RFC 9260 §3
        //# INIT, INIT ACK, and SHUTDOWN COMPLETE chunks MUST NOT be bundled with any other chunk
        //# into an SCTP packet.
        //= RFC 9260 §6.10
        //# An endpoint MUST NOT bundle INIT, INIT ACK, or SHUTDOWN COMPLETE chunks with any other
        //# chunks.
        //= RFC 9260 §12.3
        //# Accordingly, we stress the requirements, as stated in Section 3.1, that (1) an INIT
        //# chunk MUST NOT be bundled with any other chunk in a packet and (2) a packet containing
        //# an INIT chunk MUST have a zero Verification Tag.
        packet.init(kind::INIT, &fixed, &params);
        cx.stats.control_chunks_sent += 1;
        let size = packet.finish();
        cx.timers.set(Timer::T1, now + path.rto.rto());
        self.sent_once = (self.retransmits == 0).then_some(now);
        Some(transmit(path, size, size))
    }

    /// T1-init ran out: INIT goes again, to the peer's next address if it has several.
    //= RFC 9260 §4
    //# If the T1-init timer expires, the endpoint MUST retransmit the INIT chunk and restart the
    //# T1-init timer.
    //= RFC 9260 §4
    //# After that, the endpoint MUST abort the initialization process and report the error to the
    //# SCTP user.
    pub(super) fn on_t1(&mut self, cx: &mut Cx) -> Handled {
        self.retransmits += 1;
        cx.stats.t1_expiries += 1;
        //= RFC 9260 §4
        //# This MUST be repeated up to 'Max.Init.Retransmits' times.
        if self.retransmits > cx.config.max_init_retransmits {
            return Err(Fatal::silent(CloseReason::HandshakeTimedOut));
        }
        //= RFC 9260 §5.1
        //# The T1-init timer and T1-cookie timer SHOULD follow the same rules given in Section 6.3.
        //= RFC 9260 §5.1.6
        //# When retransmitting the INIT chunk, the endpoint MUST follow the rules defined in
        //# Section 6.3 to determine the proper timer value.
        self.paths.get_mut(PathId(0)).rto.on_timeout();
        //= RFC 9260 §5.1
        //# Retransmissions of INIT chunks and COOKIE ECHO chunks SHOULD use all addresses of the
        //# peer similar to retransmissions of DATA chunks.
        self.take_aim();
        self.init_due = true;
        self.sent_once = None;
        Ok(())
    }
}

/// The fixed part of INIT, and of an INIT ACK that repeats it (§5.2.1).
//= RFC 9260 §5.1.1
//# In the INIT and INIT ACK chunks, the sender of the chunk MUST indicate the number of outbound
//# streams (OS) it wishes to have in the association, as well as the maximum inbound streams (MIS)
//# it will accept from the other endpoint.
fn init_fields(cx: &Cx, initial_tsn: Tsn) -> InitFields {
    InitFields {
        //= RFC 9260 §5.1
        //# In the INIT chunk, "A" MUST provide its Verification Tag (Tag_A) in the Initiate Tag
        //# field.
        initiate_tag: cx.local_tag,
        a_rwnd: cx.config.receive_window,
        outbound_streams: cx.config.outbound_streams,
        inbound_streams: cx.config.max_inbound_streams,
        initial_tsn,
    }
}

impl Association {
    pub(super) fn on_packet_in_cookie_wait(
        &mut self,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        header: &CommonHeader,
    ) -> Handled {
        if header.verification_tag != self.cx.local_tag {
            self.cx.stats.dropped_bad_tag += 1;
            return Ok(());
        }
        for (place, raw) in wire::chunks(packet).enumerate() {
            let Ok(chunk) = raw.and_then(Chunk::parse) else {
                self.cx.stats.dropped_malformed += 1;
                break;
            };
            match chunk {
                // It comes alone (§3.3.3): what follows it counts for nothing.
                Chunk::InitAck(init_ack) if place == 0 => {
                    return self.on_init_ack(now, meta, &init_ack);
                }
                // Other control chunks may come before it (§3.3.7).
                Chunk::Abort {
                    t_bit: false,
                    causes,
                } => return Err(Fatal::silent(peer_abort(&causes))),
                _ => {}
            }
        }
        Ok(())
    }

    fn on_init_ack(&mut self, now: Instant, meta: &DatagramMeta, init_ack: &Init<'_>) -> Handled {
        let Phase::CookieWait(wait) = &mut self.phase else {
            return Ok(());
        };
        let offered = Capabilities::offered(&self.cx.config);
        let params = match PeerParams::parse(init_ack, InitKind::InitAck, offered) {
            Ok(params) => params,
            Err(reject) => {
                let mut causes = CauseWriter::new();
                reject.write_cause(&mut causes);
                //= RFC 9260 §3.3.3
                //# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the
                //# Initiate Tag set to 0, it MUST destroy the TCB and SHOULD send an ABORT chunk
                //# with the T bit set.
                let (tag, reflected) = match init_ack.initiate_tag {
                    0 => (self.cx.local_tag, true),
                    tag => (tag, false),
                };
                let ports = self.cx.ports;
                self.cx.reply(Reply::new(meta, ports, tag, |packet| {
                    packet.abort(reflected, &causes)
                }));
                //= RFC 9260 §3.3.3
                //# A receiver of an INIT ACK chunk with the a_rwnd value set to a
                //# value smaller than 1500 MUST discard the packet, SHOULD send a
                //# packet in response containing an ABORT chunk and using the
                //# Initiate Tag as the Verification Tag, and MUST NOT change the
                //# state of any existing association.
                if reject == InitReject::SmallWindow {
                    return Ok(());
                }
                //= RFC 9260 §3.3.3
                //# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the OS
                //# value set to 0, it MUST destroy the TCB and SHOULD send an ABORT chunk.
                //= RFC 9260 §3.3.3
                //# If an endpoint in the COOKIE-WAIT state receives an INIT ACK chunk with the MIS
                //# value set to 0, it MUST destroy the TCB and SHOULD send an ABORT chunk.
                return Err(Fatal::silent(CloseReason::PeerMisbehaved(reject.reason())));
            }
        };
        let path = wait.paths.get_mut(PathId(0));
        if let Some(sent) = wait.sent_once {
            path.rto.on_measurement_at(now, now - sent);
        }
        path.socket = meta.socket;
        path.local_ip = self.cx.local_ip(meta);
        path.port_seen = true;
        self.cx.shook_hands_at(meta);
        //= RFC 9260 §3.3.3
        //# If the INIT ACK chunk does not contain any IP Address parameters, the receiver of the
        //# INIT ACK chunk MUST use the source address associated with the received IP datagram as
        //# its sole destination address for the association.
        path.remote = meta.remote;
        let agreed = Agreement {
            peer_tag: init_ack.initiate_tag,
            local_initial_tsn: wait.initial_tsn,
            peer_initial_tsn: init_ack.initial_tsn,
            outbound_streams: self
                .cx
                .config
                .outbound_streams
                .min(init_ack.inbound_streams),
            inbound_streams: self
                .cx
                .config
                .max_inbound_streams
                .min(init_ack.outbound_streams),
            peer_a_rwnd: init_ack.a_rwnd,
            capabilities: offered.and(params.capabilities),
            peer_auth: params.auth.clone().map(Box::new),
            peer_addresses: params.addresses.as_slice().into(),
            adaptation: params.adaptation,
        };
        //= RFC 9260 §3.3.3
        //# Implementation Note: An implementation MUST be prepared to receive an INIT ACK chunk
        //# that is quite large (more than 1500 bytes) due to the variable size of the State Cookie
        //# and the variable address list.
        let cookie = Bytes::copy_from_slice(params.cookie.unwrap_or_default());
        let state = State::CookieEchoed {
            cookie,
            since: now,
            retransmits: 0,
            stale: wait.stale,
        };
        let Phase::CookieWait(wait) = std::mem::replace(
            &mut self.phase,
            Phase::Closed(None, CloseReason::HandshakeTimedOut),
        ) else {
            return Ok(());
        };
        let listed = listed_by(&params, meta.remote.ip());
        let mut tcb = Tcb::new(&mut self.cx, state, agreed, wait.paths);
        tcb.learn_peers(&listed, &wait.peers);
        tcb.given = wait.peers.into();
        tcb.update_paths(&mut self.cx, now);
        //= RFC 9260 §5.1.4
        //# When an endpoint (in the COOKIE-WAIT state) receives an INIT ACK chunk with a State
        //# Cookie parameter, it MUST immediately send a COOKIE ECHO chunk to its peer with the
        //# received State Cookie.
        //= RFC 9260 §3.3.3
        //# If an INIT ACK chunk is received with all mandatory parameters that are specified for
        //# the INIT ACK chunk, then the receiver SHOULD process the INIT ACK chunk and send back a
        //# COOKIE ECHO chunk.
        tcb.due.cookie_echo = true;
        if !params.unrecognized.is_empty() {
            //= RFC 9260 §3.2.2
            //# If the receiver of any other chunk (e.g., INIT ACK) detects unrecognized parameters
            //# and has to report them according to Section 3.2.1, it SHOULD bundle the ERROR chunk
            //# containing the "Unrecognized Parameters" error cause with the chunk sent in response
            //# (e.g., COOKIE ECHO).
            let unrecognized = params.unrecognized_tlvs();
            tcb.due
                .error(|causes| _ = causes.unrecognized_parameters(&unrecognized));
        }
        let kept = tcb.keep_outstanding(wait.outstanding);
        self.phase = Phase::Open(Box::new(tcb));
        kept
    }

    /// Back to COOKIE-WAIT: the peer found the cookie stale (§5.2.6).
    pub(super) fn retry_stale(&mut self) {
        if !matches!(&self.phase, Phase::Open(tcb) if tcb.retry_with.is_some()) {
            return;
        }
        let placeholder = Phase::Closed(None, CloseReason::StaleCookie);
        let Phase::Open(tcb) = std::mem::replace(&mut self.phase, placeholder) else {
            return;
        };
        let mut outstanding = tcb.outstanding;
        outstanding.leave_paths();
        let State::CookieEchoed { stale, .. } = tcb.state else {
            return;
        };
        let initial_tsn = tcb.agreed.local_initial_tsn;
        let locals = &self.cx.locals;
        let mut wait = CookieWait::new(&self.cx.config, locals, initial_tsn, &tcb.given);
        wait.paths = Paths::new(tcb.paths.into_first());
        wait.preservative = tcb.retry_with;
        wait.stale = stale;
        wait.outstanding = Some(outstanding);
        self.cx.timers.clear();
        self.phase = Phase::CookieWait(Box::new(wait));
    }
}

impl Tcb {
    /// The peer found the cookie stale: ask for one that lives longer by the time that this one
    /// took to get there, its retransmissions included.
    //= RFC 9260 §5.2.6
    //# When processing an ERROR chunk with a "Stale Cookie" error cause, an endpoint SHOULD first
    //# examine if an association is in the process of being set up, i.e., the association is in the
    //# COOKIE-ECHOED state.
    pub(super) fn on_stale_cookie(&mut self, cx: &Cx, now: Instant) -> Handled {
        //= RFC 9260 §5.2.6
        //# In all cases, if the association is not in the COOKIE-ECHOED state, the ERROR chunk
        //# SHOULD be silently discarded.
        let State::CookieEchoed { stale, since, .. } = &mut self.state else {
            return Ok(());
        };
        *stale += 1;
        if *stale > cx.config.max_init_retransmits {
            return Err(Fatal::silent(CloseReason::StaleCookie));
        }
        //= RFC 9260 §5.2.6
        //# When calculating the time extension, an implementation SHOULD use the RTT information
        //# measured based on the previous COOKIE ECHO/ERROR chunk exchange and SHOULD add no more
        //# than 1 second beyond the measured RTT, due to long State Cookie life times making the
        //# endpoint more subject to a replay attack.
        self.retry_with = Some((now - *since).min(MAX_ROUND_TRIP) + EXTENSION);
        Ok(())
    }
}
