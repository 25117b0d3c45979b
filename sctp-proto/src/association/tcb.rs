//! The transmission control block: what exists once the peer is known.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{
    abandon::Told,
    cx::{Cx, Handled},
    ecn::Ecn,
    failover::{Crossing, Probe},
    inbound::Came,
    on_asconf::Changes,
    on_data::violation,
    progress::Progress,
    reconfig::{Answer, Reconfig},
    state::State,
};
use crate::{
    association::PathState,
    auth::{Auth, AuthParams},
    capabilities::Capabilities,
    config::AssociationConfig,
    congestion,
    cookie::StateCookie,
    ids::{PathId, Tsn},
    path::{LocalAddressState, Path, Paths, Peers, heartbeat::Burst},
    rx::{GapBlocks, Reassembly, SackPolicy, TsnMap},
    time::Instant,
    transmit::DatagramMeta,
    tx::{AckOutcome, Outstanding},
    wire::{COMMON_HEADER, CauseWriter, DATA_HEADER, I_DATA_HEADER, kind},
};

/// HEARTBEATs of the peer waiting to be answered; it decides how many it sends.
const MAX_HEARTBEAT_ACKS: usize = 8;
/// Bytes of them; one is kept whatever its size.
const MAX_HEARTBEAT_BYTES: usize = 16 * 1024;
/// SACKs owed for one batch of packets; a larger one is acknowledged more thinly.
pub(super) const MAX_OWED_SACKS: usize = 32;
/// Bytes of error causes waiting to be sent, likewise.
const MAX_ERROR_BYTES: usize = 512;

/// What both sides agreed on in INIT and INIT ACK, from this side's view.
#[derive(Debug, Clone)]
pub(crate) struct Agreement {
    pub(crate) peer_tag: u32,
    pub(crate) local_initial_tsn: Tsn,
    pub(crate) peer_initial_tsn: Tsn,
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    pub(crate) peer_a_rwnd: u32,
    pub(crate) capabilities: Capabilities,
    /// By what the peer authenticates chunks, where both sides can.
    pub(crate) peer_auth: Option<Box<AuthParams>>,
    /// Addresses that the peer listed: those it may list again when it restarts.
    pub(crate) peer_addresses: Box<[IpAddr]>,
    /// What the peer says it adapts to (RFC 5061 §4.2.6).
    pub(crate) adaptation: Option<u32>,
}

impl Agreement {
    /// Keeps of the addresses that the peer listed those that are to be kept.
    pub(super) fn forget_addresses(&mut self, keep: impl Fn(IpAddr) -> bool) {
        let listed = std::mem::take(&mut self.peer_addresses).into_vec();
        self.peer_addresses = listed.into_iter().filter(|ip| keep(*ip)).collect();
    }

    /// What a cookie says both sides agreed on.
    pub(crate) fn of_cookie(cookie: &StateCookie) -> Self {
        Self {
            peer_tag: cookie.peer_tag,
            local_initial_tsn: cookie.local_initial_tsn,
            peer_initial_tsn: cookie.peer_initial_tsn,
            outbound_streams: cookie.outbound_streams,
            inbound_streams: cookie.inbound_streams,
            peer_a_rwnd: cookie.peer_a_rwnd,
            capabilities: cookie.capabilities,
            peer_auth: cookie.auth.clone().map(Box::new),
            peer_addresses: cookie.peer_addresses.as_slice().into(),
            adaptation: cookie.adaptation,
        }
    }
}

/// State shared with the peer, and the mechanisms that keep it.
#[derive(Debug)]
pub(crate) struct Tcb {
    pub(crate) state: State,
    pub(crate) agreed: Agreement,
    /// Random numbers by which a cookie is known to be about this association (§5.2.2). Not the
    /// verification tags themselves, which would then travel to whoever sends an INIT.
    pub(crate) tie_tags: (u32, u32),
    /// Addresses of the peer that the user named.
    pub(crate) given: Box<[SocketAddr]>,
    /// The peer's addresses; with those of this side they make the paths.
    pub(crate) peers: Peers,
    pub(crate) paths: Paths,
    /// HEARTBEATs to addresses that are to be confirmed, so many per time-out (§5.4).
    pub(crate) probes: Burst,
    /// Consecutive failures on all paths, against Association.Max.Retrans (§8.1).
    pub(crate) errors: u32,

    // sending
    pub(crate) outstanding: Outstanding,
    /// The peer's receive window less what is in flight (§6.2.1).
    pub(crate) peer_rwnd: usize,
    /// Whether a SACK came since T3-rtx last ran out: a peer with a closed window is alive.
    pub(crate) sack_since_t3: bool,
    /// The window that the peer advertised last.
    pub(crate) peer_a_rwnd: usize,
    /// What is in flight was sent into a closed window, to find out whether it is open again.
    pub(crate) probing: bool,
    /// Bytes of new data that may leave at the next opportunity (§6.1 D): Max.Burst packets for
    /// each SACK of the batch that was received, whatever it acknowledges.
    pub(crate) burst: usize,
    /// The next packet of retransmissions ignores the congestion window (§7.2.4 rule 3).
    pub(crate) fast_retransmit: bool,
    /// The path of the next packet of data.
    pub(crate) data_path: PathId,
    /// A tail loss probe is due.
    pub(crate) tail_probe: Option<Probe>,
    /// The last that left by another path than the one it asks after, until it is answered.
    pub(crate) crossing: Option<Crossing>,
    /// One chunk may leave although the peer's window is closed (§6.1 A).
    pub(crate) zero_window_probe: bool,
    pub(crate) progress: Progress,
    /// FORWARD-TSN: what the peer was told.
    pub(crate) told: Told,
    /// Reused from SACK to SACK, so that none allocates.
    pub(crate) outcome: AckOutcome,

    // receiving
    pub(crate) tsn_map: TsnMap,
    pub(crate) rx: Box<Reassembly>,
    pub(crate) sack: SackPolicy,
    /// What the SACKs that became due since the last one left have to say: (cumulative TSN, gaps).
    /// A batch of packets owes the peer as many SACKs as if they had come one by one: its window
    /// grows by one PMTU per SACK (§7.2.1), and it counts missing reports (§7.2.4).
    pub(crate) owed_sacks: Vec<(Tsn, GapBlocks)>,
    /// Where SACKs go: by default where DATA last came from (§6.4).
    pub(crate) sack_path: PathId,
    /// The path by which what was polled last takes a SACK along, if it does.
    pub(crate) sack_on: Option<PathId>,
    /// Where a chunk was sent last that T2-shutdown or the timer of RE-CONFIG guards.
    pub(crate) control_path: PathId,
    /// When SHUTDOWN was sent last.
    pub(crate) shutdown_sent: Instant,

    /// The cookie was stale: go back and ask for so much more time (§5.2.6).
    pub(crate) retry_with: Option<Duration>,
    pub(crate) due: Due,
    pub(crate) reconfig: Reconfig,
    pub(crate) ecn: Ecn,
    /// There if both sides speak AUTH.
    pub(crate) auth: Option<Box<Auth>>,
    /// There if both sides speak ASCONF.
    pub(super) changes: Option<Box<Changes>>,
}

/// Control chunks to send with the next packets. Handlers set it; `outbound` empties it.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) cookie_echo: bool,
    /// By the path that the COOKIE ECHO came by.
    pub(crate) cookie_ack: Option<PathId>,
    pub(crate) shutdown: bool,
    pub(crate) shutdown_ack: bool,
    /// Values of HEARTBEAT ACK chunks, each to leave by the path that the HEARTBEAT came by.
    pub(crate) heartbeat_acks: VecDeque<(PathId, Bytes)>,
    /// The same, to where no path leads.
    pub(crate) pathless_acks: VecDeque<(DatagramMeta, Bytes)>,
    pub(crate) errors: Option<CauseWriter>,
    /// Responses to the peer's RE-CONFIG requests: (sequence number, answer).
    pub(crate) reconfig_responses: SmallVec<[(u32, Answer); 2]>,
    /// The path that they take instead of that of control chunks, by which the last one was lost: where
    /// the peer's request came from (§6.4), or another if that is the same.
    pub(crate) answers_by: Option<PathId>,
    pub(crate) reconfig_request: bool,
    /// A probe of some path's MTU.
    pub(crate) mtu_probe: bool,
}

impl Due {
    /// Whether a chunk is due that leaves by the path that data takes by default.
    pub(crate) fn control(&self) -> bool {
        self.shutdown
            || self.shutdown_ack
            || self.reconfig_request
            || !self.reconfig_responses.is_empty()
            || self.errors.is_some()
    }

    /// Queues the answer to a HEARTBEAT. Beyond a few the peer gets none: it sends them faster
    /// than they can be answered.
    pub(crate) fn heartbeat_ack(&mut self, came: Came<'_>, value: &[u8]) {
        let bytes = self.heartbeat_ack_bytes();
        let fits = bytes == 0 || bytes + value.len() <= MAX_HEARTBEAT_BYTES;
        let waiting = self.heartbeat_acks.len() + self.pathless_acks.len();
        if !fits || waiting >= MAX_HEARTBEAT_ACKS {
            return;
        }
        let value = Bytes::copy_from_slice(value);
        match came.by {
            Some(path) => self.heartbeat_acks.push_back((path, value)),
            None => self.pathless_acks.push_back((*came.meta, value)),
        }
    }

    /// Bytes of the answers to HEARTBEATs that wait.
    pub(crate) fn heartbeat_ack_bytes(&self) -> usize {
        let by_path = self.heartbeat_acks.iter().map(|(_, value)| value);
        let all = by_path.chain(self.pathless_acks.iter().map(|(_, value)| value));
        all.map(Bytes::len).sum()
    }

    /// Adds a cause to the ERROR chunk of the next packet, unless that becomes too large.
    pub(crate) fn error(&mut self, add: impl FnOnce(&mut CauseWriter)) {
        let causes = self.errors.get_or_insert_with(CauseWriter::new);
        let before = causes.clone();
        add(causes);
        if !before.is_empty() && causes.as_bytes().len() > MAX_ERROR_BYTES {
            *causes = before;
        }
    }
}

impl Tcb {
    /// The TCB that a cookie stands for, in ESTABLISHED but for what `establish` does.
    ///
    /// `given` are addresses of the peer that the user has named, if this side called as well.
    pub(crate) fn from_cookie(
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
        cookie: &StateCookie,
        given: &[SocketAddr],
    ) -> Self {
        //= RFC 9260 §3.3.2.1.2
        //# If the INIT chunk does not contain any IP Address parameters, the endpoint receiving the
        //# INIT chunk MUST use the source address associated with the received IP datagram as its
        //# sole destination address for the association.
        //= RFC 9260 §5.1.2
        //# If there are no address parameters present in the received INIT or INIT ACK chunk, the
        //# endpoint MUST take the source IP address from which the chunk arrives and record it, in
        //# combination with the SCTP Source Port Number, as the only destination transport address
        //# for this peer.
        let mut path = Path::new(PathId(0), meta.remote, PathState::Active, &cx.config);
        path.socket = meta.socket;
        path.local_ip = cx.local_ip(meta);
        path.port_seen = true;
        path.rto.on_handshake(cx.cookies.age(now, cookie));
        cx.shook_hands_at(meta);
        // Whoever is called at an address is not behind a NAT that would change it.
        for ip in &cookie.local_addresses {
            cx.locals.set_state(*ip, LocalAddressState::Known);
        }
        let agreed = Agreement::of_cookie(cookie);
        let mut tcb = Self::new(cx, State::Established, agreed, Paths::new(path));
        tcb.learn_peers(&cookie.peer_addresses, given);
        tcb.given = given.into();
        tcb.update_paths(cx, now);
        tcb
    }

    /// A TCB with one path, that of the handshake.
    pub(crate) fn new(cx: &mut Cx, state: State, agreed: Agreement, paths: Paths) -> Self {
        let config = cx.config.clone();
        let failed = cx
            .queue
            .negotiated(agreed.outbound_streams, agreed.capabilities.interleaving());
        cx.fail(failed);
        let packet = paths.get(paths.primary()).max_packet - COMMON_HEADER;
        let burst = config.max_burst as usize * packet;
        Self {
            state,
            tie_tags: cx.random_tags(),
            given: Box::default(),
            peers: Peers::new(paths.get(paths.primary()).remote),
            probes: Burst::default(),
            errors: 0,
            outstanding: Outstanding::new(
                agreed.local_initial_tsn,
                agreed.capabilities.interleaving(),
                config.loss_detection,
            ),
            peer_rwnd: agreed.peer_a_rwnd as usize,
            sack_since_t3: false,
            peer_a_rwnd: agreed.peer_a_rwnd as usize,
            probing: false,
            burst: burst.max(first_flight(&config, packet)),
            fast_retransmit: false,
            data_path: paths.primary(),
            tail_probe: None,
            crossing: None,
            zero_window_probe: false,
            progress: Progress::new(Instant::EPOCH),
            told: Told::default(),
            outcome: AckOutcome::default(),
            tsn_map: TsnMap::new(agreed.peer_initial_tsn),
            rx: new_reassembly(&config, &agreed),
            sack: SackPolicy::new(&config),
            owed_sacks: Vec::new(),
            sack_path: paths.primary(),
            sack_on: None,
            shutdown_sent: Instant::EPOCH,
            control_path: paths.primary(),
            retry_with: None,
            due: Due::default(),
            reconfig: Reconfig::new(agreed.local_initial_tsn, agreed.peer_initial_tsn),
            ecn: Ecn::default(),
            auth: new_auth(cx, &agreed),
            changes: Changes::new(&agreed),
            paths,
            agreed,
        }
    }

    /// Whether an address is one of the peer's, as far as it told.
    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        self.agreed.peer_addresses.contains(&ip) || self.peers.get(ip).is_some()
    }

    /// Begins receiving anew: the peer chose other tags and TSNs before anything was received
    /// (§5.2.4 action B).
    pub(crate) fn replace_peer(&mut self, cx: &mut Cx, agreed: Agreement) -> Handled {
        self.tsn_map = TsnMap::new(agreed.peer_initial_tsn);
        self.rx = new_reassembly(&cx.config, &agreed);
        self.reconfig = Reconfig::new(agreed.local_initial_tsn, agreed.peer_initial_tsn);
        self.forget_marks();
        self.auth = new_auth(cx, &agreed);
        self.changes = Changes::new(&agreed);
        self.peer_rwnd = agreed.peer_a_rwnd as usize;
        self.peer_a_rwnd = self.peer_rwnd;
        let failed = cx
            .queue
            .negotiated(agreed.outbound_streams, agreed.capabilities.interleaving());
        cx.fail(failed);
        self.agreed = agreed;
        let sent = Outstanding::new(
            self.agreed.local_initial_tsn,
            self.agreed.capabilities.interleaving(),
            cx.config.loss_detection,
        );
        let sent = std::mem::replace(&mut self.outstanding, sent);
        self.keep_outstanding(Some(sent))
    }

    /// Takes over DATA that left with an earlier COOKIE ECHO: it keeps its TSNs. A peer that
    /// changes between DATA and I-DATA in the middle of a handshake cannot be given it.
    pub(crate) fn keep_outstanding(&mut self, sent: Option<Outstanding>) -> Handled {
        let Some(sent) = sent.filter(|sent| !sent.is_empty()) else {
            return Ok(());
        };
        if sent.chunk_size(0) != self.data_header() {
            return Err(violation("interleaving offered and withdrawn"));
        }
        self.peer_rwnd = self.peer_rwnd.saturating_sub(sent.total_flight());
        self.outstanding = sent;
        Ok(())
    }

    /// A SACK came: Max.Burst more packets may leave at the next opportunity.
    pub(crate) fn add_burst(&mut self, cx: &Cx) {
        self.burst = self.burst.saturating_add(self.max_burst(cx));
    }

    /// Bytes of chunks that Max.Burst packets carry.
    pub(crate) fn max_burst(&self, cx: &Cx) -> usize {
        cx.config.max_burst as usize * self.full_chunk()
    }

    /// Bytes of new data that may leave after a pause: Max.Burst packets, or what is missing to an
    /// initial window that is set to more. A burst that is right for a path nothing is known of is
    /// right for a known one.
    pub(crate) fn opening_burst(&self, cx: &Cx) -> usize {
        let flight = self.outstanding.flight(self.data_path);
        let first = first_flight(&cx.config, self.full_chunk());
        self.max_burst(cx).max(first.saturating_sub(flight))
    }

    /// Bytes of the largest chunk that fits a packet of the path that data takes.
    fn full_chunk(&self) -> usize {
        self.paths.get(self.data_path).max_packet - COMMON_HEADER
    }

    /// Bytes of a DATA or I-DATA chunk besides the payload.
    pub(crate) fn data_header(&self) -> usize {
        if self.agreed.capabilities.interleaving() {
            I_DATA_HEADER
        } else {
            DATA_HEADER
        }
    }

    /// The type of the chunks that user data goes in.
    pub(super) fn data_kind(&self) -> u8 {
        if self.agreed.capabilities.interleaving() {
            kind::I_DATA
        } else {
            kind::DATA
        }
    }

    /// Largest payload of a chunk: the most that fits a packet of its own, whichever of the paths
    /// it takes or has to take later (§6.9).
    //= RFC 9260 §6
    //# The size of each DATA chunk SHOULD be smaller than or equal to the Association Maximum DATA
    //# Chunk Size (AMDCS).
    //= RFC 9260 §6.9
    //# The sender SHOULD choose a size of DATA chunks that is smaller than or equal to the AMDCS.
    //= RFC 9260 §6.9
    //# If its peer is multi-homed, the endpoint SHOULD choose a DATA chunk size smaller than or
    //# equal to the AMDCS.
    //= RFC 9260 §7.3
    //# When fragmenting messages into multiple parts, this AMDCS SHOULD be used to calculate the
    //# size of each DATA chunk.
    pub(crate) fn full_payload(&self) -> usize {
        let room = self.paths.least_max_packet() - COMMON_HEADER - self.data_header();
        // What every packet keeps free for an AUTH is not there for data that needs none either.
        let auth = self.auth_room(self.data_kind());
        room - auth.max(self.auth_reserve())
    }
}

/// Bytes of the initial window, if one is set.
fn first_flight(config: &AssociationConfig, full_chunk: usize) -> usize {
    config.initial_window.map_or(0, |packets| {
        congestion::large_initial_window(packets, full_chunk)
    })
}

pub(super) fn new_auth(cx: &Cx, agreed: &Agreement) -> Option<Box<Auth>> {
    let peer = agreed.peer_auth.as_deref()?;
    let random = (cx.cookies).auth_random(cx.ports, cx.local_tag, agreed.local_initial_tsn);
    Auth::new(&AuthParams::local(&cx.config, random), peer).map(Box::new)
}

fn new_reassembly(config: &AssociationConfig, agreed: &Agreement) -> Box<Reassembly> {
    Box::new(Reassembly::new(
        config,
        agreed.inbound_streams,
        agreed.capabilities.interleaving(),
    ))
}
