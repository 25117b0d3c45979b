//! DATA out: what may leave now (§6.1), chunks counted as lost before new ones.
//!
//! The windows decide what may leave, the pacer when: a packet of data begins only if both agree.

use super::{
    cx::Cx,
    failover::{Crossing, Probe},
    state::State,
    tcb::Tcb,
    timers::PathTimer,
};
use crate::{
    ids::{PathId, Tsn},
    time::Instant,
    tx::Fragment,
    wire::{DataFields, PacketWriter},
};

impl Tcb {
    /// Whether `write_data` would write anything.
    pub(super) fn data_ready(&self, cx: &Cx, id: PathId) -> bool {
        !self.held(id) && self.data_allowed(cx, id)
    }

    /// Whether data waits that the windows allow to leave.
    pub(super) fn data_allowed(&self, cx: &Cx, id: PathId) -> bool {
        if !self.state.sends_data() || id != self.data_path || !self.paths.get(id).confirmed {
            return false;
        }
        if self.probe_via(id).is_some() {
            return true;
        }
        if self.outstanding.has_lost() {
            return self.fast_retransmit || self.window_open(id, false);
        }
        cx.queue.has_unsent() && self.may_send_new(cx, id, false)
    }

    /// Whether the pacer holds the next packet of data back. Not what must not wait: the one packet
    /// of a fast retransmission (§7.2.4 rule 3), a tail loss probe, and what leaves when nothing is in
    /// flight, as the first packet after T3-rtx does. So there is always something that is waited for.
    pub(super) fn held(&self, id: PathId) -> bool {
        let urgent =
            (self.fast_retransmit && self.outstanding.has_lost()) || self.probe_via(id).is_some();
        !urgent && self.outstanding.flight(id) > 0 && self.paths.get(id).holds_data()
    }

    /// The tail loss probe that is due by this path.
    fn probe_via(&self, id: PathId) -> Option<Probe> {
        self.tail_probe.filter(|probe| probe.via == id)
    }

    /// Rule B of §6.1. What is `bundled` with a chunk that was allowed shares its packet.
    //= RFC 9260 §7.2.1
    //# The initial cwnd after a retransmission timeout MUST be no more than PMDCS, and only one
    //# packet is allowed to be in flight until successful acknowledgement.
    fn window_open(&self, id: PathId, bundled: bool) -> bool {
        //= RFC 9260 §6.1
        //# At any given time, the sender MUST NOT transmit new data to a given transport address if
        //# it has cwnd + (PMDCS - 1) or more bytes of data outstanding to that transport address.
        //= RFC 9260 §6.1
        //# If data is available, the sender SHOULD exceed cwnd by up to (PMDCS - 1) bytes on a new
        //# data transmission if the flightsize does not currently reach cwnd.
        //= RFC 9260 §6.1
        //# The breach of cwnd MUST constitute one packet only.
        //= RFC 9260 §7.2.1
        //# A limited overbooking as described in rule B in Section 6.1 SHOULD be supported.
        let (path, flight) = (self.paths.get(id), self.outstanding.flight(id));
        flight < path.congestion.window() && (bundled || flight == 0 || !path.on_probation)
    }

    /// Rules A, B and D of §6.1, sender's silly window avoidance, and Nagle's algorithm, which
    /// holds no chunk back from a packet that leaves.
    fn may_send_new(&self, cx: &Cx, id: PathId, bundled: bool) -> bool {
        if self.outstanding.is_full() {
            return false;
        }
        let flight = self.outstanding.flight(id);
        //= RFC 9260 §6.1
        //# When the time comes for the sender to transmit new DATA chunks, the protocol parameter
        //# 'Max.Burst' SHOULD be used to limit the number of packets sent.
        // A pacer does: it has Max.Burst packets for its least burst. On top of it the rule would
        // count SACKs where time is what counts.
        let burst_over =
            self.burst == 0 && flight > 0 && self.paths.get(id).pacing_rate().is_none();
        if burst_over || !self.window_open(id, bundled) {
            return false;
        }
        let full = self.full_payload();
        let unsent = cx.queue.unsent_bytes();
        //= RFC 9260 §6.1
        //# At any given time, the data sender MUST NOT transmit new data to any destination
        //# transport address if its peer's rwnd indicates that the peer has no buffer space (i.e.,
        //# rwnd is smaller than the size of the next DATA chunk; see Section 6.2.1), except for
        //# zero window probes.
        //= RFC 9260 §6.1
        //# A zero window probe MUST only be sent when the cwnd allows (see rule B below).
        //= RFC 9260 §6.1
        //# A zero window probe SHOULD only be sent when all outstanding DATA chunks have been
        //# cumulatively acknowledged and no DATA chunks are in flight.
        //= RFC 9260 §6.1
        //# The sender MUST also have an algorithm for sending new DATA chunks to avoid silly window
        //# syndrome (SWS) as described in [RFC1122].
        //= RFC 9260 §6.1
        //# When the window is full (i.e., transmission is disallowed by rule A and/or rule B), the
        //# sender MAY still accept send requests from its upper layer but MUST transmit no more
        //# DATA chunks until some or all of the outstanding DATA chunks are acknowledged and
        //# transmission is allowed by rule A and rule B again.
        if self.peer_has_no_room(cx) {
            return self.zero_window_probe && self.outstanding.is_empty();
        }
        let hold = !cx.config.nodelay && unsent < full && flight > 0;
        bundled || !hold || !self.state.takes_messages()
    }

    /// Whether what is left of the peer's window takes neither all that is unsent nor a chunk that
    /// is worth sending.
    fn peer_has_no_room(&self, cx: &Cx) -> bool {
        self.peer_rwnd < self.least_room() && self.peer_rwnd < cx.queue.unsent_bytes()
    }

    pub(super) fn write_data(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) {
        if self.held(id) || !self.paths.get(id).confirmed {
            return;
        }
        //= RFC 9260 §6.1
        //# When the time comes for the sender to transmit, before sending new DATA chunks, the
        //# sender MUST first transmit any DATA chunks that are marked for retransmission (limited
        //# by the current cwnd).
        //= RFC 9260 §6.10
        //# The transmitter MUST transmit DATA chunks within an SCTP packet in increasing order of
        //# TSN.
        if self.paths.get(id).congestion.wants_samples() {
            self.outstanding.sample_rate(id);
        }
        let probe = self.probe_via(id);
        let mut sent = 0;
        if probe.is_none_or(|probe| !probe.crosses()) {
            sent = self.write_lost(cx, now, id, packet);
            if !self.outstanding.has_lost() {
                sent += self.write_new(cx, now, id, packet, sent > 0 || probe.is_some());
            }
        }
        if let Some(probe) = probe {
            sent += self.write_probe(cx, now, probe, packet, sent > 0);
        }
        if sent == 0 {
            return;
        }
        let flight = self.outstanding.flight(id);
        let path = self.paths.get_mut(id);
        path.on_data_sent(now, sent);
        path.congestion
            .on_sent(now, sent, flight, !cx.queue.has_unsent());
        cx.restart_autoclose(now);
        //= RFC 9260 §6.3.2
        //# Every time a DATA chunk is sent to any address (including a retransmission), if the
        //# T3-rtx timer of that address is not running, start it running so that it will expire
        //# after the RTO of that address.
        //= RFC 9260 §6.1
        //# Whenever a transmission or retransmission is made to any address, if the T3-rtx timer of
        //# that address is not currently running, the sender MUST start that timer.
        //= RFC 9260 §6.1
        //# When starting or restarting the T3-rtx timer, the timer value SHOULD be adjusted
        //# according to the timer rules defined in Sections 6.3.2 and 6.3.3.
        //= RFC 9260 §6.3.3
        //# The RTO to be used for starting T3-rtx SHOULD be the one for the destination address to
        //# which the retransmission is sent, which, when the receiver is multi-homed, might be
        //# different from the destination address for which the timer expired (see Section 6.4
        //# below).
        if !cx.timers.is_path_set(PathTimer::T3, id)
            && !matches!(self.state, State::CookieEchoed { .. })
        {
            cx.timers.set_path(PathTimer::T3, id, now + path.rto.rto());
        }
    }

    /// Chunks counted as lost, oldest first, into what is left of the packet.
    fn write_lost(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
    ) -> usize {
        let mut sent = 0;
        while let Some(lost) = {
            self.give_up_lost(cx, now);
            self.outstanding.next_lost()
        } {
            let len = lost.fragment.len;
            if self.paths.for_lost(lost.path) != id {
                break;
            }
            let allowed = self.fast_retransmit || self.window_open(id, sent > 0);
            if !allowed || packet.remaining() < self.outstanding.chunk_size(len) {
                break;
            }
            //= RFC 9260 §6.1
            //# Otherwise, the data sender MUST NOT restart the timer.
            if lost.tsn == self.outstanding.cumulative().next()
                && !matches!(self.state, State::CookieEchoed { .. })
            {
                //= RFC 9260 §6.1
                //# If the timer for that address is already running, the sender MUST restart the
                //# timer if the earliest (i.e., lowest TSN) outstanding DATA chunk sent to that
                //# address is being retransmitted.
                let at = now + self.paths.get(id).rto.rto();
                cx.timers.set_path(PathTimer::T3, id, at);
            }
            if lost.path != id {
                // What goes by another path does not show whether it had to.
                self.outstanding.forget_episode(lost.path);
            }
            self.outstanding.resent(lost.tsn, now, id);
            // The last that is repaired may be the last that leaves: a SACK that is not delayed tells
            // soon whether it arrived.
            let immediate = cx.config.tail_loss_probes && !self.outstanding.has_lost();
            if immediate {
                self.paths.get_mut(id).probe.prompt = Some(lost.tsn);
            }
            self.write_chunk(cx, packet, lost.tsn, &lost.fragment, immediate);
            self.note_large(id, lost.tsn, packet.len());
            self.peer_rwnd = self.peer_rwnd.saturating_sub(usize::from(len));
            sent += self.outstanding.chunk_size(len);
            cx.stats.data_chunks_retransmitted += 1;
            self.paths.get_mut(id).counters.chunks_retransmitted += 1;
        }
        if sent > 0 {
            self.fast_retransmit = false;
        }
        sent
    }

    /// New data into what is left of the packet.
    fn write_new(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        id: PathId,
        packet: &mut PacketWriter<'_>,
        bundled: bool,
    ) -> usize {
        let header = self.data_header();
        let full = cx.config.segment(self.full_payload());
        let mut sent = 0;
        if self.outstanding.flight(id) == 0 {
            self.burst = self.burst.max(self.opening_burst(cx));
            let path = self.paths.get_mut(id);
            if let Some(last) = path.last_data {
                path.congestion.on_idle(now, now - last, path.rto.rto());
            }
        }
        while cx.queue.has_unsent() && self.may_send_new(cx, id, bundled || sent > 0) {
            // The next message may ask for another path than the packet's.
            if sent > 0 && self.choose_data_path(cx, false) != id {
                break;
            }
            let Some(room) = packet.remaining().checked_sub(header + 4) else {
                break;
            };
            // A probe that is larger than what counts as an open window might find it open, and be
            // refused for its size as often as it goes: once it has its TSN it cannot be cut.
            let full = if self.zero_window_probe {
                full.min(self.least_room())
            } else {
                full.min(self.peer_rwnd)
            };
            let room = (room + 4).min(full);
            let fragment = cx.queue.next_fragment(now, room, full);
            self.settle(cx, now);
            let Some(fragment) = fragment else {
                break;
            };
            let tsn = self.outstanding.push(now, &fragment, id);
            cx.queue.assigned(fragment.key, tsn);
            let size = self.outstanding.chunk_size(fragment.len);
            self.probing |= std::mem::take(&mut self.zero_window_probe);
            self.peer_rwnd = self.peer_rwnd.saturating_sub(usize::from(fragment.len));
            self.burst = self.burst.saturating_sub(size);
            sent += size;
            // §6.1: the sender is in SHUTDOWN-PENDING, or this chunk fills a window, its own or
            // the peer's: it waits for the next SACK, and a delayed one would cost its delay.
            let last = !cx.queue.has_unsent();
            let immediate = (last && !self.state.takes_messages())
                || !self.window_open(id, false)
                || self.peer_has_no_room(cx)
                || self.probe_via(id).is_some()
                || (last && self.asks_promptly(cx, id, size));
            if immediate {
                self.paths.get_mut(id).probe.prompt = Some(tsn);
            }
            self.write_chunk(cx, packet, tsn, &fragment, immediate);
            self.note_large(id, tsn, packet.len());
            cx.stats.data_chunks_sent += 1;
            match cx.queue.message(fragment.key).unordered {
                true => cx.stats.unordered_chunks_sent += 1,
                false => cx.stats.ordered_chunks_sent += 1,
            }
            cx.stats.messages_fragmented += u64::from(fragment.begin && !fragment.end);
        }
        sent
    }

    /// Whether the last chunk that there is to send, of this size, asks for a prompt SACK (§3.3.1).
    fn asks_promptly(&self, cx: &Cx, id: PathId, size: usize) -> bool {
        let cumulative = self.outstanding.cumulative();
        cx.config.tail_loss_probes
            && self.outstanding.flight(id) > size
            && self.paths.get(id).probe.asks(cumulative)
    }

    /// A tail loss probe, for which data was `written` already if there was any: else what left
    /// last leaves again, as much of it as fits the packet. By another path it is what left first,
    /// which the peer waits for.
    ///
    /// A departure from the letter of §6.1, which has chunks leave again when they are marked for
    /// it, and as the congestion window allows: RFC 8985 §7.3 sends a probe whatever the window.
    /// It is one packet per tail, and what is in flight counts once.
    fn write_probe(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        probe: Probe,
        packet: &mut PacketWriter<'_>,
        written: bool,
    ) -> usize {
        let Probe { of, via } = probe;
        let mut sent = 0;
        let mut repeated = None;
        if !written {
            let mut next = if probe.crosses() {
                let before = self.outstanding.cumulative();
                self.outstanding.in_flight_after(before, of)
            } else {
                self.outstanding.tail(of, packet.remaining())
            };
            while let Some(chunk) = next {
                let size = self.outstanding.chunk_size(chunk.fragment.len);
                if packet.remaining() < size {
                    break;
                }
                // No second time what is to be sent once: T3-rtx finds out.
                if (cx.queue).is_worthless(now, chunk.fragment.key, chunk.transmits) {
                    break;
                }
                self.outstanding.probed(chunk.tsn, now, via);
                self.write_chunk(cx, packet, chunk.tsn, &chunk.fragment, true);
                self.note_large(via, chunk.tsn, packet.len());
                sent += size;
                cx.stats.data_chunks_retransmitted += 1;
                self.paths.get_mut(via).counters.chunks_retransmitted += 1;
                let (first, _) = repeated.unwrap_or((chunk.tsn, chunk.tsn));
                repeated = Some((first, chunk.tsn));
                next = self.outstanding.in_flight_after(chunk.tsn, of);
            }
        }
        if written || sent > 0 {
            match repeated {
                Some((first, last)) if probe.crosses() => {
                    self.crossing = Some(Crossing {
                        of,
                        via,
                        first,
                        last,
                    });
                }
                _ => {
                    let highest = self.outstanding.next_tsn().previous();
                    let first = repeated.map(|(first, _)| first);
                    self.paths.get_mut(of).probe.sent(now, highest, first);
                }
            }
            self.tail_probe = None;
            cx.stats.tail_loss_probes += 1;
        } else if packet.is_empty() || self.outstanding.flight(of) == 0 {
            // Nothing fits, or all was acknowledged meanwhile.
            self.tail_probe = None;
        }
        sent
    }

    fn write_chunk(
        &self,
        cx: &Cx,
        packet: &mut PacketWriter<'_>,
        tsn: Tsn,
        fragment: &Fragment,
        immediate: bool,
    ) {
        let message = cx.queue.message(fragment.key);
        let interleaving = self.agreed.capabilities.interleaving();
        let fields = DataFields {
            tsn,
            stream: message.stream,
            //= RFC 9260 §3.3.1
            //# When a user message is fragmented by SCTP for transport, the same Stream Sequence
            //# Number MUST be carried in each of the fragments of the message.
            seq: message.seq,
            fsn: fragment.fsn,
            ppid: message.ppid,
            //= RFC 9260 §3.3.1
            //# If an unordered user message is fragmented, each fragment of the message MUST have
            //# its U bit set to 1.
            //= RFC 9260 §6.9
            //# If the user indicates that the user message is to be delivered using unordered
            //# delivery, then the U flag of each DATA chunk of the user message MUST be set to 1.
            unordered: message.unordered,
            begin: fragment.begin,
            end: fragment.end,
            immediate: immediate || (fragment.end && message.sack_immediately),
        };
        let payload = cx
            .queue
            .payload(fragment.key, fragment.offset, fragment.len);
        if interleaving {
            packet.i_data(&fields, payload);
        } else {
            packet.data(&fields, payload);
        }
    }
}
