//! What the network says: packets that are too large for it (§6.9, §7.3), ICMP messages (§10).

use std::{net::SocketAddr, ops::RangeInclusive};

use smallvec::SmallVec;

use super::{
    Association,
    cx::{Cx, Fatal, Handled},
    outbound::transmit,
    state::{Phase, State},
    tcb::Tcb,
};
use crate::{
    error::CloseReason,
    icmp::IcmpKind,
    ids::PathId,
    path::Path,
    time::Instant,
    transmit::Transmit,
    wire::{COMMON_HEADER, Quoted, kind},
};

impl Association {
    /// The operating system refused to send packets of `size` bytes on this path without
    /// fragmenting them, since the way out carries no more than less (EMSGSIZE). Packets become
    /// smaller, and what was in those goes again; chunks that have their TSN cannot be cut, and
    /// leave in packets that may be fragmented.
    pub fn handle_packet_too_big(&mut self, now: Instant, path: PathId, size: usize) {
        match &mut self.phase {
            Phase::CookieWait(wait) => {
                if let Some(path) = wait.paths.lookup(path) {
                    path.lower_mtu_below(now, size);
                }
            }
            Phase::Open(tcb) if tcb.is_mtu_probe(path, size) => {
                tcb.on_mtu_probe_refused(&mut self.cx, now, path);
            }
            Phase::Open(tcb) => {
                let found = tcb.paths.lookup(path);
                if let Some(lost) = found.and_then(|path| path.lower_mtu_below(now, size)) {
                    tcb.on_lower_mtu(path, &lost);
                }
            }
            Phase::Closed(..) => {}
        }
        self.conclude(now, Ok(()));
    }

    /// The operating system refused to send on this path: the address to send from is gone, or
    /// there is no route. If another path is active, that is worth as much as a time-out: what is in
    /// flight there goes again by the other, and HEARTBEATs tell when the path is back. So does a SACK
    /// that has not left, if this is called before the next packet is asked for. If there is none,
    /// timers go on as if the packets were lost on the way.
    pub fn handle_unreachable(&mut self, now: Instant, path: PathId) {
        if let Phase::Open(tcb) = &mut self.phase
            && tcb.paths.contains(path)
            && let Some(other) = tcb.paths.alternate(path)
        {
            if tcb.paths.get(path).is_usable() {
                tcb.give_up_flight(&mut self.cx, path);
            }
            // Each refusal leaves a path fewer that a SACK may take: it goes round no circle.
            if tcb.sack_on == Some(path) {
                tcb.sack_path = other;
                tcb.sack.request();
            }
        }
        self.conclude(now, Ok(()));
    }

    /// An ICMP message about a packet from here to `destination`.
    //= RFC 9260 §10
    //# An implementation MUST validate that the Verification Tag contained in the ICMP message
    //# matches the Verification Tag of the peer.
    //= RFC 6951 §5.5
    //# If a received ICMP or ICMPv6 packet cannot be related to a specific SCTP association or the
    //# verification tag cannot be verified, it MUST be discarded silently.
    pub(super) fn on_icmp(
        &mut self,
        now: Instant,
        kind: IcmpKind,
        destination: SocketAddr,
        quoted: &Quoted,
    ) -> Handled {
        let tag = quoted.header.verification_tag;
        let ours = quoted.initiate_tag == Some(self.cx.local_tag);
        let (paths, verified) = match &mut self.phase {
            Phase::CookieWait(wait) => (&mut wait.paths, tag == 0 && ours),
            Phase::Open(tcb) => (
                &mut tcb.paths,
                tag == tcb.agreed.peer_tag || (tag == 0 && ours),
            ),
            Phase::Closed(..) => return Ok(()),
        };
        // After a NAT has moved the peer, what its old port says is not about the peer.
        let concerned = |path: &&Path| path.remote == destination && verified;
        let concerned: SmallVec<[PathId; 8]> =
            paths.iter().filter(concerned).map(|path| path.id).collect();
        if concerned.is_empty() {
            self.cx.stats.icmp_discarded += 1;
            return Ok(());
        }
        self.cx.stats.icmp_accepted += 1;
        match kind {
            //= RFC 9260 §10
            //# If the ICMP message is either an ICMPv6 message of type "Packet Too Big" or an
            //# ICMPv4 message of type "Destination Unreachable" and code "Fragmentation Needed", an
            //# implementation SHOULD process this information as defined for PMTU discovery.
            IcmpKind::PacketTooBig { mtu } => {
                for id in concerned {
                    let paths = match &mut self.phase {
                        Phase::CookieWait(wait) => &mut wait.paths,
                        Phase::Open(tcb) => &mut tcb.paths,
                        Phase::Closed(..) => break,
                    };
                    let lost = lower(paths.get_mut(id), now, mtu);
                    let Phase::Open(tcb) = &mut self.phase else {
                        break;
                    };
                    // A search may have another size to try.
                    tcb.due.mtu_probe = true;
                    if let Some(lost) = lost {
                        tcb.on_lower_mtu(id, &lost);
                    }
                }
                Ok(())
            }
            IcmpKind::NotSupported => self.on_not_supported(tag == 0),
            // Nothing is made of it: routes come and go, and a message per packet would count a
            // moment's failure a hundred times. T3-rtx and HEARTBEATs find out what is true.
            IcmpKind::Unreachable => Ok(()),
        }
    }

    /// Nobody takes the packets of this association, of which one was quoted; `init` if that was an
    /// INIT.
    //= RFC 9260 §10
    //# If the ICMP code is "Unrecognized Next Header Type Encountered" or "Protocol Unreachable", an
    //# implementation MUST treat this message as an abort with the T bit set if it does not contain
    //# an INIT chunk. If it does contain an INIT chunk and the association is in the COOKIE-WAIT
    //# state, handle the ICMP message like an ABORT chunk.
    fn on_not_supported(&mut self, init: bool) -> Handled {
        match &self.phase {
            // The peer has ended the association, and its process, before its last word arrived.
            Phase::Open(tcb) if !init && tcb.state == State::ShutdownAckSent => {
                Err(Fatal::silent(CloseReason::Shutdown))
            }
            Phase::CookieWait(_) if init => Err(Fatal::silent(CloseReason::Unreachable)),
            // As with ABORT: that anybody can have sent it is what AUTH is asked for against.
            Phase::Open(tcb) if tcb.requires_auth(kind::ABORT) => Ok(()),
            Phase::Open(_) if !init => Err(Fatal::silent(CloseReason::Unreachable)),
            // An INIT that was late or sent twice: the peer has answered another.
            _ => Ok(()),
        }
    }
}

/// Lowers the MTU of a path to what a message tells, or by a step if it tells nothing. In that case it
/// is about the larger packet that is under way, which may be a probe.
fn lower(path: &mut Path, now: Instant, mtu: u16) -> Option<RangeInclusive<usize>> {
    match mtu {
        0 if path.mtu_probe_under_way().is_some() => {
            path.on_mtu_probe_refused(now);
            None
        }
        0 => path.lower_mtu_below(now, path.max_packet),
        mtu => path.lower_mtu(now, usize::from(mtu)),
    }
}

impl Tcb {
    /// Packets of these sizes were dropped on a path, which is known to carry less from now on. That
    /// says nothing of congestion: what was in them goes again, and the window stays (RFC 8201
    /// §5.4).
    ///
    /// Chunks of these sizes are known to have been in such packets. Whether smaller ones were is
    /// found out as any loss is.
    pub(super) fn on_lower_mtu(&mut self, id: PathId, lost: &RangeInclusive<usize>) {
        let max_packet = self.paths.get(id).max_packet;
        let least = COMMON_HEADER + self.auth_room(self.data_kind());
        let resent = self
            .outstanding
            .dropped(id, |chunk| lost.contains(&(least + chunk)));
        self.peer_rwnd = self.peer_rwnd.saturating_add(resent);
        // They were cut to fit packets as they were.
        self.owed_sacks.clear();
        tracing::debug!(path = id.index(), max_packet, resent, "path MTU lowered");
    }

    /// A chunk that is to be sent again and fits no packet any more: it leaves alone, in one that
    /// may be fragmented. To be asked when nothing else can leave.
    //= RFC 9260 §6.9
    //# Instead, if the PMTU has been reduced, then IP fragmentation MUST be used.
    pub(super) fn poll_too_large(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let lost = self.outstanding.next_lost()?;
        let id = self.data_path;
        let chunk = self.auth_reserve() + self.outstanding.chunk_size(lost.fragment.len);
        let size = COMMON_HEADER + chunk;
        if !self.state.sends_data() || size <= self.paths.get(id).max_packet {
            return None;
        }
        let mut packet = self.begin(cx, buf, size);
        self.write_data(cx, now, id, &mut packet);
        if packet.is_empty() {
            buf.clear();
            return None;
        }
        let size = self.finish(cx, packet);
        Some(transmit(self.paths.get(id), size, size))
    }
}
