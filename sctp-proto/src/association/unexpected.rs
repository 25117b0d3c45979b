//! Setup chunks from the peer of an association that exists already (§5.2): collisions, restarts,
//! duplicates.

use std::net::IpAddr;

use bytes::Bytes;

use super::{
    Association, EndpointEventKind,
    cx::{Cx, Handled},
    on_auth::Begin,
    outbound::Reply,
    state::{Phase, State},
    tcb::{Agreement, Tcb, new_auth},
};
use crate::{
    auth::Verdict,
    capabilities::{Capabilities, InitKind, PeerParams},
    cookie::{Freshness, StateCookie},
    ids::Tsn,
    init_ack::InitAck,
    time::Instant,
    transmit::DatagramMeta,
    wire::{self, COMMON_HEADER, CauseWriter, Chunk, ParamWriter, kind},
};

impl Association {
    /// An INIT from the peer of this association: it never changes anything here (§5.2.1, §5.2.2).
    pub(super) fn on_init(&mut self, now: Instant, meta: &DatagramMeta, packet: &Bytes) {
        let Some(Ok(Chunk::Init(init))) = wire::chunks(packet)
            .next()
            .map(|raw| raw.and_then(Chunk::parse))
        else {
            self.cx.stats.dropped_malformed += 1;
            return;
        };
        //= RFC 9260 §3.3.2
        //# If the value of the Initiate Tag in a received INIT chunk is found
        //# to be 0, the receiver MUST silently discard the packet.
        if init.initiate_tag == 0 {
            self.cx.stats.dropped_malformed += 1;
            return;
        }
        if let Phase::Closed(..) = self.phase {
            return;
        }
        let ports = self.cx.ports;
        let offered = Capabilities::offered(&self.cx.config);
        let params = match PeerParams::parse(&init, InitKind::Init, offered) {
            Ok(params) => params,
            Err(reject) => {
                let mut causes = CauseWriter::new();
                reject.write_cause(&mut causes);
                self.cx
                    .reply(Reply::abort(meta, ports, init.initiate_tag, &causes));
                return;
            }
        };
        let mut meta = *meta;
        let (paths, local_tag, initial_tsn, tie_tags) = match &mut self.phase {
            //= RFC 9260 §5.2.1
            //# Upon receipt of an INIT chunk in the COOKIE-WAIT state, an endpoint MUST respond
            //# with an INIT ACK chunk using the same parameters it sent in its original INIT chunk
            //# (including its Initiate Tag, unchanged).
            Phase::CookieWait(wait) => {
                //= RFC 9260 §5.2.1
                //# The packet containing the INIT ACK chunk MUST only be sent to an address passed
                //# by the upper layer in the request to initialize the association.
                //= RFC 9260 §5.2.1
                //# The packet containing the INIT ACK chunk MUST only be sent to an address
                //# reported in the incoming INIT chunk.
                //= RFC 9260 §5.2.1
                //# The packet containing the INIT ACK chunk SHOULD be sent to the source address of
                //# the received packet containing the INIT chunk.
                let Some(remote) = wait.answer_to(meta.remote, &params.addresses) else {
                    return;
                };
                meta.remote = remote;
                (&wait.paths, self.cx.local_tag, wait.initial_tsn, (0, 0))
            }
            Phase::Open(tcb) => match tcb.state {
                //= RFC 9260 §9.2
                //# If an endpoint is in the SHUTDOWN-ACK-SENT state and receives an INIT chunk
                //# (e.g., if the SHUTDOWN COMPLETE chunk was lost) with source and destination
                //# transport addresses (either in the IP addresses or in the INIT chunk) that
                //# belong to this association, it SHOULD discard the INIT chunk and retransmit the
                //# SHUTDOWN ACK chunk.
                State::ShutdownAckSent => {
                    tcb.due.shutdown_ack = true;
                    return;
                }
                //= RFC 9260 §5.2.1
                //# Upon receipt of an INIT chunk in the COOKIE-ECHOED state, an endpoint MUST
                //# respond with an INIT ACK chunk using the same parameters it sent in its original
                //# INIT chunk (including its Initiate Tag, unchanged), provided that no new address
                //# has been added to the forming association.
                //= RFC 9260 §5.2.1
                //# For an endpoint that is in the COOKIE-ECHOED state, it MUST populate its
                //# Tie-Tags within both the association TCB and inside the State Cookie (see
                //# Section 5.2.2 for a description of the Tie-Tags).
                State::CookieEchoed { .. } => (
                    &tcb.paths,
                    self.cx.local_tag,
                    tcb.agreed.local_initial_tsn,
                    tcb.tie_tags,
                ),
                _ => {
                    //= RFC 9260 §5.2.2
                    //# And the INIT ACK chunk MUST contain a new Initiate Tag (randomly generated;
                    //# see Section 5.3.1).
                    let (tag, tsn) = self.cx.random_tags();
                    let tsn = Tsn::new(tsn);
                    (&tcb.paths, tag, tsn, tcb.tie_tags)
                }
            },
            Phase::Closed(..) => return,
        };
        // draft-ietf-tsvwg-udp-encaps-cons §4 rule 7: the UDP port of a live association does not
        // change by an INIT, which anybody at that address can send.
        let known = paths
            .find(meta.remote.ip(), meta.local_ip)
            .map(|id| paths.get(id).remote.port());
        if let Some(current) = known.filter(|&port| port != meta.remote.port()) {
            let mut causes = CauseWriter::new();
            causes.restart_with_new_encapsulation_port(current, meta.remote.port());
            self.cx
                .reply(Reply::abort(&meta, ports, init.initiate_tag, &causes));
            return;
        }
        if let Phase::Open(tcb) = &self.phase {
            let added = tcb.added_addresses(meta.remote.ip(), &params.addresses);
            if !added.as_bytes().is_empty() {
                //= RFC 9260 §5.2.1
                //# If the INIT chunk indicates that a new address has been added to the
                //# association, then the entire INIT chunk MUST be discarded, and the state of the
                //# existing association SHOULD NOT be changed.
                //= RFC 9260 §5.2.1
                //# An ABORT chunk SHOULD be sent in a response that MAY include the "Restart of an
                //# Association with New Addresses" error cause.
                //= RFC 9260 §5.2.2
                //# If new addresses are added to the association, the endpoint MUST respond with an
                //# ABORT chunk, copying the 'Initiate Tag' of the unexpected INIT chunk into the
                //# 'Verification Tag' of the outbound packet carrying the ABORT chunk.
                let mut causes = CauseWriter::new();
                causes.restart_with_new_addresses(added.as_bytes());
                self.cx
                    .reply(Reply::abort(&meta, ports, init.initiate_tag, &causes));
                return;
            }
        }
        let mut bytes = Vec::new();
        //= RFC 9260 §5.2.2
        //# Unless otherwise stated, upon receipt of an unexpected INIT chunk for this association,
        //# the endpoint MUST generate an INIT ACK chunk with a State Cookie.
        //= RFC 9260 §5.2.1
        //# The endpoint MUST also generate a State Cookie with the INIT ACK chunk.
        //= RFC 9260 §5.2.2
        //# After sending the INIT ACK or ABORT chunk, the endpoint MUST take no further actions,
        //# i.e., the existing association, including its current state, and the corresponding TCB
        //# MUST NOT be changed.
        //= RFC 9260 §5.2.1
        //# After that, the endpoint MUST NOT change its state, the T1-init timer MUST be left
        //# running, and the corresponding TCB MUST NOT be destroyed.
        //= RFC 9260 §5.2.2
        //# If no new addresses are added, when responding to the INIT chunk in the outbound INIT
        //# ACK chunk, the endpoint MUST copy its current Tie-Tags to a reserved place within the
        //# State Cookie and the association's TCB.
        //= RFC 9260 §5.2.2
        //# The outbound SCTP packet containing this INIT ACK chunk MUST carry a Verification Tag
        //# value equal to the Initiate Tag found in the unexpected INIT chunk.
        //= RFC 9260 §5.2.2
        //# Other parameters for the endpoint SHOULD be copied from the existing parameters of the
        //# association (e.g., number of outbound streams) into the INIT ACK chunk and cookie.
        let init_ack = InitAck {
            cookies: &self.cx.cookies,
            config: &self.cx.config,
            local_tag,
            local_initial_tsn: initial_tsn,
            tie_tags,
            locals: &self.cx.locals,
        };
        let transmit = init_ack.write(now, &meta, ports, &init, &params, &mut bytes);
        self.cx.reply(Reply { transmit, bytes });
    }

    /// A COOKIE ECHO for an association that exists (§5.2.4). Its MAC is right: this side made the
    /// cookie.
    pub(super) fn on_cookie_echo(
        &mut self,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        cookie: StateCookie,
        freshness: Freshness,
    ) -> Handled {
        let local_matches = cookie.local_tag == self.cx.local_tag;
        let (peer_matches, tied) = match &self.phase {
            Phase::CookieWait(_) => (false, false),
            Phase::Open(tcb) => (
                cookie.peer_tag == tcb.agreed.peer_tag,
                cookie.tie_tags != (0, 0) && cookie.tie_tags == tcb.tie_tags,
            ),
            Phase::Closed(..) => return Ok(()),
        };
        let Some(begin) = self.authenticate_echo(packet, &cookie, local_matches) else {
            return Ok(());
        };
        if let Freshness::Stale(by) = freshness
            && !(local_matches && peer_matches)
        {
            let mut causes = CauseWriter::new();
            //= RFC 9260 §5.2.4
            //# If the State Cookie is older than the lifespan carried in the State Cookie and the
            //# Verification Tags contained in the State Cookie do not match the current
            //# association's Verification Tags, the packet, including the COOKIE ECHO chunk and any
            //# DATA chunks, SHOULD be discarded.
            //= RFC 9260 §5.2.4
            //# The endpoint also MUST transmit an ERROR chunk with a "Stale Cookie" error cause to
            //# the peer endpoint (this is case C or D in Section 5.2).
            causes.stale_cookie(by);
            let tag = cookie.peer_tag;
            self.cx
                .reply(Reply::new(meta, self.cx.ports, tag, |packet| {
                    packet.error(&causes)
                }));
            return Ok(());
        }
        match action(local_matches, peer_matches, tied, cookie.tie_tags == (0, 0)) {
            Action::Restart => self.restart(now, meta, packet, &cookie, begin),
            Action::Collision => self.collide(now, meta, packet, &cookie, begin),
            Action::Duplicate => {
                let Phase::Open(tcb) = &mut self.phase else {
                    return Ok(());
                };
                //= RFC 9260 §5.2.4
                //# When both local and remote tags match, the endpoint SHOULD enter the ESTABLISHED
                //# state if it is in the COOKIE-ECHOED state.
                //= RFC 9260 §5.2.4
                //# It SHOULD stop any T1-cookie timer that is running and send a COOKIE ACK chunk.
                if let State::CookieEchoed { .. } = tcb.state {
                    tcb.establish(&mut self.cx, now, false);
                }
                tcb.answer_cookie(&mut self.cx, now, meta, packet, begin)
            }
            Action::Discard => Ok(()),
        }
    }

    /// Where to go on behind a COOKIE ECHO; `None` if it is not authenticated as it has to be.
    ///
    /// A restart is authenticated by what the association agreed on before, since its new keys are
    /// anybody's who can receive at the peer's address. Otherwise the cookie tells, which is about
    /// this association: in COOKIE-WAIT there is nothing else yet, and in a collision the peer's
    /// random number changes with its tag.
    //= RFC 4895 §6.3
    //# If the receiver has an STCB, it MUST process the
    //# AUTH chunk as described above using the STCB from the existing
    //# association to authenticate the COOKIE-ECHO chunk and all the chunks
    //# after it.
    fn authenticate_echo(
        &mut self,
        packet: &Bytes,
        cookie: &StateCookie,
        local_matches: bool,
    ) -> Option<Begin> {
        let (place, _) = wire::echoed_cookie(packet)?;
        let cx = &mut self.cx;
        let of_cookie = |cx: &Cx| cx.cookies.auth(&cx.config, cookie);
        let mut fresh;
        let auth = match &mut self.phase {
            Phase::Open(tcb) if !local_matches => tcb.auth.as_deref_mut(),
            _ => {
                fresh = of_cookie(cx);
                fresh.as_mut()
            }
        };
        let accepted = match auth {
            Some(auth) if place > 0 => {
                let verdict = auth.verify(&cx.auth_keys, packet, COMMON_HEADER);
                let genuine = matches!(verdict, Verdict::Genuine { .. });
                cx.stats.auth_verified += u64::from(genuine);
                cx.stats.auth_rejected += u64::from(!genuine);
                genuine
            }
            Some(auth) => {
                let missing = auth.requires(kind::COOKIE_ECHO);
                cx.stats.auth_missing += u64::from(missing);
                !missing
            }
            // An AUTH that was not agreed on is an unknown chunk: nothing after it counts.
            None => place == 0,
        };
        accepted.then_some(Begin::after_echo(place))
    }

    /// Action A: the peer lost its state and comes again.
    fn restart(
        &mut self,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        cookie: &StateCookie,
        begin: Begin,
    ) -> Handled {
        let Phase::Open(old) = &mut self.phase else {
            return Ok(());
        };
        if old.state == State::ShutdownAckSent {
            //= RFC 9260 §5.2.4
            //# If the endpoint is in the SHUTDOWN-ACK-SENT state and recognizes that the peer has
            //# restarted (Action A), it MUST NOT set up a new association but instead resend the
            //# SHUTDOWN ACK chunk and send an ERROR chunk with a "Cookie Received While Shutting
            //# Down" error cause to its peer.
            old.due.shutdown_ack = true;
            let mut causes = CauseWriter::new();
            causes.cookie_while_shutting_down();
            let tag = cookie.peer_tag;
            self.cx
                .reply(Reply::new(meta, self.cx.ports, tag, |packet| {
                    packet.error(&causes)
                }));
            return Ok(());
        }
        self.cx.fail_all();
        self.cx.timers.clear();
        self.cx.shutdown_requested = false;
        self.cx.stats.restarts += 1;
        self.cx.local_tag = cookie.local_tag;
        // But for those that INIT ACK listed.
        self.cx.locals.forgotten();
        self.cx
            .endpoint_events
            .push_back(EndpointEventKind::TagChanged {
                new: cookie.local_tag,
            });
        //= RFC 9260 §5.2.4
        //# All the congestion control parameters (e.g., cwnd, ssthresh) related to this peer MUST
        //# be reset to their initial values (see Section 6.2.1).
        let mut tcb = Tcb::from_cookie(&mut self.cx, now, meta, cookie, &[]);
        //= RFC 9260 §5.2.4
        //# A RESTART notification SHOULD be sent to the ULP instead of a COMMUNICATION LOST
        //# notification.
        tcb.establish(&mut self.cx, now, true);
        self.phase = Phase::Open(Box::new(tcb));
        let Phase::Open(tcb) = &mut self.phase else {
            return Ok(());
        };
        tcb.answer_cookie(&mut self.cx, now, meta, packet, begin)
    }

    /// Action B: both sides called at once; the peer's later tag holds.
    fn collide(
        &mut self,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        cookie: &StateCookie,
        begin: Begin,
    ) -> Handled {
        match &mut self.phase {
            Phase::CookieWait(wait) => {
                let outstanding = wait.outstanding.take();
                let given = std::mem::take(&mut wait.peers);
                let mut tcb = Tcb::from_cookie(&mut self.cx, now, meta, cookie, &given);
                tcb.keep_outstanding(outstanding)?;
                tcb.establish(&mut self.cx, now, false);
                self.phase = Phase::Open(Box::new(tcb));
            }
            Phase::Open(tcb) => {
                if let State::CookieEchoed { .. } = tcb.state {
                    tcb.replace_peer(&mut self.cx, Agreement::of_cookie(cookie))?;
                    tcb.learn_peers(&cookie.peer_addresses, &[]);
                    tcb.update_paths(&mut self.cx, now);
                    tcb.establish(&mut self.cx, now, false);
                } else {
                    //= RFC 9260 §5.2.4
                    //# The endpoint SHOULD stay in or enter the ESTABLISHED state, but it MUST
                    //# update its peer's Verification Tag from the State Cookie, stop any T1-init
                    //# or T1-cookie timers that might be running, and send a COOKIE ACK chunk.
                    tcb.agreed.peer_tag = cookie.peer_tag;
                    //= RFC 4895 §6.1
                    //# In case
                    //# of INIT collision, the rules governing the handling of this Random
                    //# Number follow the same pattern as those for the Verification Tag, as
                    //# explained in Section 5.2.4 of RFC 2960 [5].
                    let agreed = Agreement::of_cookie(cookie);
                    tcb.auth = new_auth(&self.cx, &agreed);
                    tcb.agreed.peer_auth = agreed.peer_auth;
                }
            }
            Phase::Closed(..) => {}
        }
        let Phase::Open(tcb) = &mut self.phase else {
            return Ok(());
        };
        tcb.answer_cookie(&mut self.cx, now, meta, packet, begin)
    }
}

impl Tcb {
    /// COOKIE ACK goes where the COOKIE ECHO came from; what came with that is taken.
    fn answer_cookie(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        packet: &Bytes,
        begin: Begin,
    ) -> Handled {
        // A cookie is good only from where its INIT came from, and that is a confirmed address.
        let path = self.arrived(cx, now, meta);
        let path = path.filter(|id| self.paths.get(*id).confirmed);
        self.due.cookie_ack = path.or(Some(self.paths.for_new_data()));
        self.on_packet(cx, now, meta, packet, begin)
    }

    /// Those of an INIT's addresses, its source first, that are not the association's: as the
    /// parameters that would have listed them.
    //= RFC 9260 §5.2.2
    //# Before responding, the endpoint MUST check to see if the unexpected INIT chunk adds new
    //# addresses to the association.
    //= RFC 9260 §5.2.2
    //# The error SHOULD list the addresses that were added to the restarting association.
    //= RFC 9260 §5.2.1
    //# The error SHOULD list the addresses that were added to the restarting association.
    fn added_addresses(&self, source: IpAddr, listed: &[IpAddr]) -> ParamWriter {
        let mut added = ParamWriter::new();
        let source = source.to_canonical();
        let listed = listed.iter().filter(|ip| **ip != source);
        for ip in std::iter::once(&source).chain(listed) {
            if !self.has_address(*ip) {
                added.address(*ip);
            }
        }
        added
    }
}

/// The actions of Table 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A
    Restart,
    /// B
    Collision,
    /// D
    Duplicate,
    /// C, and every case that the table does not show.
    Discard,
}

/// Table 12 of §5.2.4 as a function. `tied`: both tie-tags are those of the association.
const fn action(local_matches: bool, peer_matches: bool, tied: bool, untied: bool) -> Action {
    match (local_matches, peer_matches) {
        (true, true) => Action::Duplicate,
        (true, false) => Action::Collision,
        (false, false) if tied && !untied => Action::Restart,
        //= RFC 9260 §5.2.4
        //# For any case not shown in Table 12, the cookie SHOULD be silently discarded.
        //= RFC 9260 §5.2.4
        //# The cookie SHOULD be silently discarded.
        //= RFC 9260 §5.2.4
        //# The endpoint SHOULD NOT change states and SHOULD leave any timers running.
        (false, _) => Action::Discard,
    }
}
