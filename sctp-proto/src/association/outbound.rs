//! Packets out: the only place that builds those of an association.
//!
//! Handlers leave behind what is due; `poll_transmit` bundles it (§6.10): control chunks, then the
//! SACK, then chunks counted as lost, then new data, as the windows allow. A batch holds packets
//! of one size for one path, so that it can leave in one system call.

use std::num::NonZeroUsize;

use smallvec::SmallVec;

use super::{
    Association, EndpointEventKind, Ports,
    cx::Cx,
    reconfig::{Ask, Request},
    state::{Phase, State},
    tcb::Tcb,
    timers::{PathTimer, Timer},
};
use crate::{
    ids::PathId,
    path::Path,
    time::Instant,
    transmit::{DatagramMeta, Transmit},
    wire::{COMMON_HEADER, CauseWriter, PacketWriter, ReConfigWriter, kind},
};

/// A packet that leaves as it is, to wherever the one came from that it answers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) transmit: Transmit,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    /// A reply to the sender of a packet, written by `write` with this verification tag.
    pub(crate) fn new(
        meta: &DatagramMeta,
        ports: Ports,
        tag: u32,
        write: impl FnOnce(&mut PacketWriter<'_>),
    ) -> Self {
        let mut bytes = Vec::new();
        let mut packet = PacketWriter::new(&mut bytes, MAX_REPLY, &ports.header(tag));
        write(&mut packet);
        let transmit = Transmit::reply(meta, packet.finish());
        Self { transmit, bytes }
    }

    pub(crate) fn shutdown_complete(
        meta: &DatagramMeta,
        ports: Ports,
        tag: u32,
        reflected: bool,
    ) -> Self {
        Self::new(meta, ports, tag, |packet| {
            packet.shutdown_complete(reflected)
        })
    }

    //= RFC 9260 §3.3.7
    //# Control chunks (except for INIT, INIT ACK, and SHUTDOWN COMPLETE) MAY be bundled with an
    //# ABORT chunk, but they MUST be placed before the ABORT chunk in the SCTP packet; otherwise,
    //# they will be ignored by the receiver.
    pub(crate) fn abort(meta: &DatagramMeta, ports: Ports, tag: u32, causes: &CauseWriter) -> Self {
        Self::new(meta, ports, tag, |packet| packet.abort(false, causes))
    }
}

/// Bytes of a batch at most: what one GSO call carries, an IPv4 packet without IP and UDP headers.
/// More would leave in two calls, and keep a buffer of twice the size for it.
const MAX_BATCH: usize = 65_535 - 20 - 8;

/// Largest packet of a reply: it fits every path.
pub(super) const MAX_REPLY: usize = 1200;

impl Association {
    /// Appends up to `max_segments` packets of equal size (the last may be shorter) for one path
    /// to `buf` (which must be empty); `None` when there is nothing to send now.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        debug_assert!(buf.is_empty());
        self.cx.log.at(now);
        if let Some(reply) = self.cx.replies.pop_front() {
            buf.extend_from_slice(&reply.bytes);
            self.cx.stats.control_chunks_sent += 1;
            self.count_sent(1, buf.len());
            let to = reply.transmit.destination;
            self.cx.log.sent(None, to, buf, buf.len());
            return Some(reply.transmit);
        }
        let transmit = match &mut self.phase {
            //= RFC 9260 §5
            //# Before the first data transmission can take place from one SCTP endpoint ("A") to
            //# another SCTP endpoint ("Z"), the two endpoints MUST complete an initialization
            //# process in order to set up an SCTP association between them.
            Phase::CookieWait(wait) => wait.poll_transmit(&mut self.cx, now, buf),
            Phase::Open(tcb) => {
                let (cx, max_segments) = (&mut self.cx, max_segments.get());
                let transmit = tcb.poll_transmit(cx, now, max_segments, buf);
                if transmit.is_none() && cx.queue.has_failed() {
                    // What the end of the association or of a stream waited for may just have been
                    // given up.
                    tcb.advance_reconfig(cx);
                    tcb.advance_shutdown(cx, now);
                    tcb.poll_transmit(cx, now, max_segments, buf)
                } else {
                    transmit
                }
            }
            Phase::Closed(..) => {
                if !std::mem::replace(&mut self.drained, true) {
                    self.cx
                        .endpoint_events
                        .push_back(EndpointEventKind::Drained);
                }
                None
            }
        };
        if let Some(transmit) = &transmit {
            let packets = transmit
                .segment_size
                .map_or(1, |size| transmit.size.div_ceil(size));
            self.count_sent(packets, transmit.size);
            let segment_size = transmit.segment_size.unwrap_or(transmit.size);
            let (path, to) = (transmit.path, transmit.destination);
            self.cx.log.sent(path, to, buf, segment_size);
            if let (Some(path), Some(paths)) = (transmit.path, self.path_table_mut())
                && let Some(path) = paths.lookup(path)
            {
                path.counters.sent(packets, transmit.size);
            }
        } else {
            self.settle();
            self.log_standing();
        }
        transmit
    }

    fn count_sent(&mut self, packets: usize, bytes: usize) {
        self.cx.stats.packets_sent += packets as u64;
        self.cx.stats.bytes_sent += bytes as u64;
    }
}

impl Tcb {
    fn poll_transmit(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        //= RFC 9260 §5.1
        //# The COOKIE ECHO chunk MAY be bundled with any pending outbound DATA chunks, but it MUST
        //# be the first chunk in the packet and, until the COOKIE ACK chunk is returned, the sender
        //# MUST NOT send any other packets to the peer.
        self.sack_on = None;
        let echoing = matches!(self.state, State::CookieEchoed { .. });
        if echoing && !self.due.cookie_echo {
            return None;
        }
        let max_segments = if echoing { 1 } else { max_segments };
        // Neither a COOKIE ECHO nor the answer to a HEARTBEAT can be cut: what is too large for the
        // path needs IP fragmentation.
        let uncut = match (&self.state, self.due.heartbeat_acks.front()) {
            (State::CookieEchoed { cookie, .. }, _) => {
                self.auth_reserve() + PacketWriter::chunk_size(cookie.len())
            }
            (_, Some((_, value))) => self.auth_reserve() + PacketWriter::chunk_size(value.len()),
            _ => 0,
        };
        // Whoever asks for packets has handed in all that it has received.
        self.rx.compact();
        if self.due.cookie_ack.is_none()
            && self.paths.get(self.sack_path).confirmed
            && let Some(transmit) = self.poll_owed_sacks(cx, max_segments, buf)
        {
            return Some(transmit);
        }
        if !echoing
            && self.due.cookie_ack.is_none()
            && let Some(transmit) =
                (self.poll_pathless_ack(cx, buf)).or_else(|| self.poll_changes(cx, now, buf))
        {
            return Some(transmit);
        }
        self.give_up_lost(cx, now);
        self.reroute_forward();
        // What it was to ask after has been acknowledged, or counted as lost otherwise.
        let flight = |path| self.outstanding.flight(path);
        self.tail_probe.take_if(|probe| flight(probe.of) == 0);
        let probing = self.tail_probe.is_some();
        self.data_path = self.choose_data_path(cx, true);
        self.refill_pacer(cx, now);
        let data_chunks = |cx: &Cx| cx.stats.data_chunks_sent + cx.stats.data_chunks_retransmitted;
        let before = data_chunks(cx);
        let mut id = self.next_path();
        let mut segment_size = self.fill(cx, now, id, max_segments, uncut, buf);
        if buf.is_empty() && id != self.data_path {
            // What was due by that path was not to be sent after all; data still may.
            id = self.data_path;
            segment_size = self.fill(cx, now, id, max_segments, uncut, buf);
        }
        if buf.is_empty() && probing && self.tail_probe.is_none() {
            // All that it could have repeated is to be given up: it kept its path from what waits.
            return self.poll_transmit(cx, now, max_segments, buf);
        }
        if buf.is_empty() {
            let last = self
                .poll_too_large(cx, now, buf)
                .or_else(|| self.poll_mtu_probe(cx, now, buf));
            if last.is_none() {
                self.on_nothing_to_send(cx, now);
            }
            return last;
        }
        self.seek_path_mtu(now, id, buf.len());
        let ecn = (data_chunks(cx) > before).then(|| self.mark(id)).flatten();
        let path = self.paths.get(id);
        Some(Transmit {
            ecn,
            ..transmit(path, buf.len(), segment_size)
        })
    }

    /// Writes packets for a path, as many as there is something for; their size. `uncut` bytes must
    /// fit the first whatever the path carries.
    fn fill(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        max_segments: usize,
        uncut: usize,
        buf: &mut Vec<u8>,
    ) -> usize {
        //= RFC 9260 §8.5
        //# When sending an SCTP packet, the endpoint MUST fill in the Verification Tag field of the
        //# outbound packet with the tag value in the Initiate Tag parameter of the INIT or INIT ACK
        //# chunk received from its peer.
        //= RFC 9260 §3.3.2
        //# This value MUST be placed into the Verification Tag field of every SCTP packet that the
        //# receiver of the INIT chunk transmits within this association.
        //= RFC 9260 §8.5.1
        //# When sending a COOKIE ECHO chunk, the endpoint MUST use the value of the Initiate Tag
        //# received in the INIT ACK chunk.
        //= RFC 9260 §3.3.3
        //# This value MUST be placed into the Verification Tag field of every SCTP packet that the
        //# receiver of the INIT ACK chunk transmits within this association.
        let mut segment_size = 0;
        for segment in 0..max_segments {
            let limit = if segment == 0 {
                self.paths.get(id).max_packet.max(COMMON_HEADER + uncut)
            } else {
                segment_size
            };
            let start = buf.len();
            //= RFC 9260 §6.10
            //# The total size of the resultant SCTP packet MUST be less that or equal to the
            //# current PMTU.
            //= RFC 9260 §6.10
            //# Partial chunks MUST NOT be placed in an SCTP packet.
            //= RFC 9260 §6.10
            //# If its peer endpoint is multi-homed, the sending endpoint SHOULD choose a size no
            //# larger than the PMTU of the current primary path.
            //= RFC 9260 §6.9
            //# The implementation MUST also take into account the space required for a SACK chunk
            //# if bundling a SACK chunk with the DATA chunk.
            let mut packet = self.begin(cx, buf, limit);
            //= RFC 9260 §6
            //# Control chunks MUST come before DATA chunks in the packet.
            //= RFC 9260 §6.10
            //# When bundling control chunks with DATA chunks, an endpoint MUST place control chunks
            //# first in the outbound SCTP packet.
            self.write_control(cx, now, id, &mut packet);
            cx.stats.control_chunks_sent += u64::from(packet.chunks());
            if segment > 0 {
                self.data_path = self.choose_data_path(cx, true);
            }
            if id == self.data_path && self.state.sends_data() {
                self.write_data(cx, now, id, &mut packet);
            }
            if packet.is_empty() {
                buf.truncate(start);
                break;
            }
            let size = self.finish(cx, packet);
            if segment == 0 {
                segment_size = size;
            }
            let last = size < segment_size || size > self.paths.get(id).max_packet;
            if last || buf.len() + size > MAX_BATCH {
                break;
            }
        }
        segment_size
    }

    /// The answer to a HEARTBEAT that came from where no path leads, in a packet of its own.
    fn poll_pathless_ack(&mut self, cx: &mut Cx, buf: &mut Vec<u8>) -> Option<Transmit> {
        let (meta, value) = self.due.pathless_acks.pop_front()?;
        let size = COMMON_HEADER + self.auth_reserve() + PacketWriter::chunk_size(value.len());
        let mut packet = self.begin(cx, buf, size);
        packet.chunk(kind::HEARTBEAT_ACK, 0, &value);
        cx.stats.control_chunks_sent += 1;
        let size = self.finish(cx, packet);
        Some(Transmit::reply(&meta, size))
    }

    /// Brings the pacer of the path that data takes up to date, if there is any.
    fn refill_pacer(&mut self, cx: &Cx, now: Instant) {
        if cx.queue.has_unsent() || self.outstanding.has_lost() {
            let least = self.max_burst(cx);
            self.paths.get_mut(self.data_path).refill_pacer(now, least);
        }
    }

    /// Everything that could be sent was.
    fn on_nothing_to_send(&mut self, cx: &mut Cx, now: Instant) {
        let waiting = self.data_path;
        let held = self.held(waiting) && self.data_allowed(cx, waiting);
        for path in self.paths.iter_mut() {
            let flight = self.outstanding.flight(path.id);
            // What the pacer holds is as good as sent: the application has given it, and the
            // window would be used.
            path.window_used =
                (held && path.id == waiting) || flight + path.max_packet > path.congestion.window();
            if !path.window_used {
                self.outstanding.app_limited(path.id);
            }
        }
        if self.paths.is_single() {
            self.schedule_probe(cx, now, waiting);
        } else {
            let ids: SmallVec<[PathId; 8]> = self.paths.iter().map(|path| path.id).collect();
            ids.into_iter()
                .for_each(|id| self.schedule_probe(cx, now, id));
        }
        let path = self.paths.get(waiting);
        if held && let Some(at) = path.paced_until() {
            cx.stats.pacing_waits += 1;
            cx.timers.set_path(PathTimer::Pacing, waiting, at);
        }
        // What several SACKs allowed together was for this opportunity only.
        self.burst = self.burst.min(self.max_burst(cx));
        //= RFC 9260 §6.1
        //# The sender SHOULD send the first zero window probe after 1 RTO when it detects that the
        //# receiver has closed its window and SHOULD increase the probe interval exponentially
        //# afterwards.
        if cx.queue.has_unsent()
            && self.state.sends_data()
            && self.outstanding.is_empty()
            && !cx.timers.is_path_set(PathTimer::T3, waiting)
        {
            cx.timers
                .set_path(PathTimer::T3, waiting, now + path.rto.rto());
        }
    }

    fn write_control(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        if self.due.cookie_echo
            && let State::CookieEchoed { cookie, .. } = &self.state
        {
            //= RFC 9260 §3.2.2
            //# Any time a COOKIE ECHO chunk is sent in a packet, it MUST be the first chunk.
            //= RFC 9260 §3.3.11
            //# This field MUST contain the exact cookie received in the State Cookie parameter from
            //# the previous INIT ACK chunk.
            //= RFC 9260 §3.3.11
            //# This chunk MUST precede any DATA chunk sent within the association but MAY be
            //# bundled with one or more DATA chunks in the same packet.
            packet.cookie_echo(cookie);
            self.due.cookie_echo = false;
            let wait = self.cookie_probe(cx, id);
            let at = now + wait.unwrap_or_else(|| self.paths.get(id).rto.rto());
            //= RFC 9260 §5.1.4
            //# The endpoint MUST also start the T1-cookie timer after sending the COOKIE ECHO
            //# chunk.
            cx.timers.set(Timer::T1, at);
        }
        if self.due.cookie_ack.take_if(|path| *path == id).is_some() {
            //= RFC 9260 §5.1
            //# A COOKIE ACK chunk MAY be bundled with any pending DATA chunks (and/or SACK chunks),
            //# but the COOKIE ACK chunk MUST be the first chunk in the packet.
            //= RFC 9260 §5.1.5
            //# The COOKIE ACK chunk MAY be bundled with an outbound DATA chunk or SACK chunk;
            //# however, the COOKIE ACK chunk MUST be the first chunk in the SCTP packet.
            //= RFC 9260 §3.3.12
            //# This chunk MUST precede any DATA or SACK chunk sent within the association but MAY
            //# be bundled with one or more DATA chunks or SACK chunk's in the same SCTP packet.
            //= RFC 9260 §5.1.5
            //# As mentioned in step 6, if the SACK chunk is bundled with the COOKIE ACK chunk, the
            //# COOKIE ACK chunk MUST appear first in the SCTP packet.
            packet.cookie_ack();
        }
        self.write_heartbeats(cx, now, id, packet);
        // Where the only paths left are yet to be confirmed, all else waits for that (§5.4).
        if !self.paths.get(id).confirmed {
            return;
        }
        let general = id == self.control_route();
        //= RFC 9260 §12.4
        //# When an SCTP implementation receives a packet containing multiple control or DATA chunks
        //# and the processing of the packet would result in sending multiple chunks in response, the
        //# sender of the response chunk(s) MUST NOT send more than one packet containing chunks
        //# other than DATA chunks.
        if let Some(causes) = self.due.errors.take_if(|_| general)
            && packet.remaining() >= PacketWriter::chunk_size(causes.as_bytes().len())
        {
            packet.error(&causes);
        }
        let sack_due = self.sack.due() && id == self.sack_path;
        let data_ready = self.data_ready(cx, id);
        if sack_due || data_ready {
            self.repeat_unproven();
        }
        if general || sack_due || data_ready || self.answer_route() == Some(id) {
            self.write_reconfig(cx, now, id, packet);
        }
        if general {
            self.write_asconf(cx, now, id, packet);
        }
        let bundles = id == self.sack_path && self.sack.pending();
        let leaves = !packet.is_empty() || data_ready || self.forward_due(id);
        if sack_due || (bundles && leaves) {
            //= RFC 9260 §6.1
            //# Before an endpoint transmits a DATA chunk, if any received DATA chunks have not been
            //# acknowledged (e.g., due to delayed ack), the sender SHOULD create a SACK chunk and
            //# bundle it with the outbound DATA chunk, as long as the size of the final SCTP packet
            //# does not exceed the current PMTU.
            self.write_ecne(packet);
            self.write_sack(cx, packet);
        }
        self.write_forward(cx, now, id, packet);
        if !general {
            return;
        }
        self.write_cwr(packet);
        if std::mem::take(&mut self.due.shutdown) && self.state == State::ShutdownSent {
            //= RFC 9260 §3.3.8
            //# An endpoint in an association MUST use this chunk to initiate a graceful close of
            //# the association with its peer.
            //= RFC 9260 §6.2
            //# Acknowledgements MUST be sent in SACK chunks unless shutdown was requested by the
            //# ULP, in which case an endpoint MAY send an acknowledgement in the SHUTDOWN chunk.
            //= RFC 9260 §6.2
            //# Therefore, the endpoint SHOULD use a SACK chunk instead of the SHUTDOWN chunk to
            //# acknowledge DATA chunks received out of order.
            packet.shutdown(self.tsn_map.cumulative());
            self.control_path = id;
            self.shutdown_sent = now;
            cx.timers.set(Timer::T2, now + self.paths.get(id).rto.rto());
        }
        if std::mem::take(&mut self.due.shutdown_ack) && self.state == State::ShutdownAckSent {
            packet.shutdown_ack();
            self.control_path = id;
            cx.timers.set(Timer::T2, now + self.paths.get(id).rto.rto());
        }
    }

    fn write_heartbeats(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        while let Some((path, value)) = self.due.heartbeat_acks.front() {
            if *path != id || packet.remaining() < PacketWriter::chunk_size(value.len()) {
                break;
            }
            //= RFC 9260 §3.3.6
            //# An endpoint MUST send this chunk to its peer endpoint as a response to a HEARTBEAT
            //# chunk (see Section 8.3).
            //= RFC 9260 §3.3.6
            //# This field MUST contain the Heartbeat Info parameter (as defined in Section 3.3.5)
            //# of the Heartbeat Request to which this Heartbeat Acknowledgement is responding.
            packet.chunk(kind::HEARTBEAT_ACK, 0, value);
            self.due.heartbeat_acks.pop_front();
        }
        let beats = self.is_probed(id);
        let path = self.paths.get_mut(id);
        if beats && path.heartbeat.due {
            let info = path.heartbeat.send(now, cx.random.next_u64());
            packet.heartbeat(kind::HEARTBEAT, &info);
            path.last_sent = Some(now);
            cx.timers
                .set_path(PathTimer::Heartbeat, id, now + path.rto.rto());
        }
    }

    fn write_reconfig(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        let answers = self.answer_route().is_none_or(|path| path == id);
        let responses = &mut self.due.reconfig_responses;
        while answers && !responses.is_empty() {
            let mut params = ReConfigWriter::new();
            // RFC 6525 §3.1: at most two parameters in a chunk.
            let count = responses.len().min(2);
            for (seq, answer) in &responses[..count] {
                params.response(*seq, answer.result, answer.tsns);
            }
            if packet.remaining() < PacketWriter::chunk_size(params.as_bytes().len()) {
                return;
            }
            packet.reconfig(params.as_bytes());
            responses.drain(..count);
        }
        if answers {
            self.due.answers_by = None;
        }
        if !self.due.reconfig_request {
            return;
        }
        let mut params = ReConfigWriter::new();
        for Request { seq, ask } in &self.reconfig.ours.under_way {
            match ask {
                Ask::OutgoingReset {
                    answers,
                    last_tsn,
                    streams,
                } => params.outgoing_reset(*seq, *answers, *last_tsn, streams),
                Ask::IncomingReset(streams) => params.incoming_reset(*seq, streams),
                Ask::AssociationReset => params.tsn_reset(*seq),
                Ask::AddOutbound(count) => params.add_outgoing(*seq, *count),
                Ask::AddInbound(count) => params.add_incoming(*seq, *count),
            };
        }
        if packet.remaining() >= PacketWriter::chunk_size(params.as_bytes().len()) {
            packet.reconfig(params.as_bytes());
            self.due.reconfig_request = false;
            self.control_path = id;
            let rto = self.paths.get(id).rto.rto();
            let wait = self.reconfig.ours.patience(rto, cx.config.rto_max);
            cx.timers.set(Timer::Reconfig, now + wait);
        }
    }

    fn write_sack(&mut self, cx: &mut Cx, packet: &mut PacketWriter<'_>) {
        let empty = PacketWriter::sack_size(0, 0);
        let Some(room) = packet.remaining().checked_sub(empty) else {
            return;
        };
        //= RFC 9260 §6.2
        //# The SCTP endpoint MUST report as many Gap Ack Blocks as can fit in a single SACK chunk
        //# such that the size of the SCTP packet does not exceed the current PMTU.
        //= RFC 9260 §6.7
        //# When a single SACK chunk cannot cover all the Gap Ack Blocks needed to be reported due
        //# to the PMTU limitation, the endpoint MUST send only one SACK chunk.
        let gaps = self.gap_blocks(room / 4);
        //= RFC 9260 §6.2
        //# The duplicate TSN number(s) SHOULD be reported in the SACK chunk as duplicate.
        let mut duplicates = self.tsn_map.take_duplicates();
        duplicates.truncate(room / 4 - gaps.len());
        let a_rwnd = self.rx.advertise();
        //= RFC 9260 §3.3.4
        //# The SACK chunk MUST contain the Cumulative TSN Ack, Advertised Receiver Window Credit
        //# (a_rwnd), Number of Gap Ack Blocks, and Number of Duplicate TSNs fields.
        //= RFC 9260 §6.2
        //# In particular, the SCTP endpoint MUST fill in the Cumulative TSN Ack field to indicate
        //# the latest sequential TSN (of a valid DATA chunk) it has received.
        //= RFC 9260 §6.2
        //# When sending a SACK chunk, the data receiver SHOULD place the current value of a_rwnd
        //# into the a_rwnd field.
        let cumulative = self.tsn_map.cumulative();
        let larger = PacketWriter::nr_sack_size(0, 0) - empty;
        if self.agreed.capabilities.nr_sack()
            && !gaps.is_empty()
            && let Some(room) = room.checked_sub(larger)
        {
            let (may, kept) = self.rx.split_gaps(cumulative, &gaps, room / 4);
            duplicates.truncate(room / 4 - may.len() - kept.len());
            packet.nr_sack(cumulative, a_rwnd, &may, &kept, &duplicates);
        } else {
            packet.sack(cumulative, a_rwnd, &gaps, &duplicates);
        }
        self.sack.sent();
        self.sack_on = Some(self.sack_path);
        self.owed_sacks.clear();
        cx.stats.sacks_sent += 1;
    }

    /// The SACKs owed besides the last, which is written with the newest state: a batch of bare
    /// SACK packets.
    fn poll_owed_sacks(
        &mut self,
        cx: &mut Cx,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let owed = self.owed_sacks.len().checked_sub(1)?;
        let max_packet = self.paths.get(self.sack_path).max_packet;
        let a_rwnd = self.rx.advertise();
        let mut segment_size = 0;
        let mut written = 0;
        let auth = self.auth_room(kind::SACK);
        for at in 0..owed.min(max_segments) {
            let (cumulative, gaps) = &self.owed_sacks[at];
            let size = COMMON_HEADER + auth + PacketWriter::sack_size(gaps.len(), 0);
            if written > 0 && size != segment_size {
                break;
            }
            let mut packet = self.begin(cx, buf, max_packet);
            packet.sack(*cumulative, a_rwnd, gaps, &[]);
            segment_size = self.finish(cx, packet);
            written += 1;
        }
        if written == 0 {
            return None;
        }
        self.owed_sacks.drain(..written);
        self.sack_on = Some(self.sack_path);
        cx.stats.sacks_sent += written as u64;
        cx.stats.control_chunks_sent += written as u64;
        Some(transmit(
            self.paths.get(self.sack_path),
            buf.len(),
            segment_size,
        ))
    }
}

/// The transmit for a batch on a path.
pub(crate) fn transmit(path: &Path, size: usize, segment_size: usize) -> Transmit {
    Transmit {
        path: Some(path.id),
        destination: path.remote,
        socket: path.socket,
        source_ip: path.local_ip,
        dont_fragment: segment_size <= path.max_packet && !path.fragmented,
        ecn: None,
        size,
        segment_size: (segment_size < size).then_some(segment_size),
    }
}
