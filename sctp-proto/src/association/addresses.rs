//! Addresses and the paths they make (§5.1.2, §5.4): which pairs there are, how they are confirmed,
//! and what becomes of them when an address comes or goes.
//!
//! A path is a pair of an address of this side that the peer knows (`Cx::locals`) and an address of
//! the peer (`Tcb::peers`). Whoever changes either list calls [`Tcb::update_paths`]: the handshake,
//! the driver that tells of its interfaces, a packet that comes to an address for the first time.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::{Association, EndpointEventKind, Event, PathState, cx::Cx, state::Phase, tcb::Tcb};
use crate::{
    address::{LocalAddress, may_reach},
    ids::PathId,
    path::{LocalAddressState, Path, pairs},
    time::Instant,
    transmit::DatagramMeta,
};

/// A pair that is to be a path.
struct Wanted {
    local: Option<LocalAddress>,
    remote: SocketAddr,
    trusted: bool,
}

impl Association {
    /// The addresses of this side are these from now on: interfaces came or went. Paths of one that
    /// is gone end, and what was in flight there goes again by others. One that has come makes paths
    /// as soon as the peer knows it, which takes ASCONF (RFC 5061). While no address is left that
    /// the peer knows, the last path stays, for there has to be one.
    pub fn handle_local_addresses(&mut self, now: Instant, addresses: &[LocalAddress]) {
        match &mut self.phase {
            Phase::CookieWait(wait) => {
                self.cx.locals.replace(addresses);
                wait.aim(&self.cx.locals);
            }
            Phase::Open(tcb) => {
                let path = tcb.paths.get(tcb.paths.primary());
                let socket = path.socket;
                if self.cx.locals.is_empty()
                    && let Some(ip) = path.local()
                {
                    // The driver has not told any before: that of the handshake is known.
                    let address = LocalAddress { ip, socket };
                    self.cx.locals.add(address, LocalAddressState::Known);
                }
                let before = self.cx.locals.clone();
                self.cx.locals.replace(addresses);
                tcb.update_paths(&mut self.cx, now);
                let announced: SmallVec<[IpAddr; 8]> = (before.iter())
                    .filter(|local| local.state == LocalAddressState::Untold)
                    .map(|local| local.address.ip)
                    .filter(|ip| self.cx.locals.get(*ip).is_none() && tcb.is_adding(*ip))
                    .collect();
                tcb.announce_changes(&mut self.cx, now, &announced);
            }
            Phase::Closed(..) => {}
        }
        self.conclude(now, Ok(()));
    }
}

impl Tcb {
    /// Takes note of the addresses that the peer listed and of those that the user has named.
    //= RFC 9260 §5.1.2
    //# If there are only IPv4/IPv6 addresses present in the received INIT or INIT ACK chunk, the
    //# receiver MUST derive and record all the transport addresses from the received chunk AND the
    //# source IP address that sent the INIT or INIT ACK chunk.
    //= RFC 9260 §5.1.2
    //# The receiver SHOULD use only these transport addresses as destination transport addresses
    //# when sending subsequent packets to its peer.
    pub(super) fn learn_peers(&mut self, listed: &[IpAddr], given: &[SocketAddr]) {
        for ip in listed {
            self.peers.add(*ip);
        }
        for address in given {
            self.peers.trust(*address);
        }
    }

    /// Makes the paths those that the addresses on both sides give.
    pub(super) fn update_paths(&mut self, cx: &mut Cx, now: Instant) {
        let wanted = self.wanted(cx);
        let is = |path: &Path, wanted: &Wanted| {
            path.remote.ip().to_canonical() == wanted.remote.ip().to_canonical()
                && wanted
                    .local
                    .is_none_or(|local| path.local() == Some(local.ip))
        };
        if wanted.is_empty() {
            return;
        }
        let unwanted: SmallVec<[PathId; 8]> = (self.paths.iter())
            .filter(|path| !wanted.iter().any(|wanted| is(path, wanted)))
            .map(|path| path.id)
            .collect();
        for wanted in wanted {
            let Some(path) = self.paths.iter_mut().find(|path| is(path, &wanted)) else {
                self.add_path(cx, now, &wanted);
                continue;
            };
            // The socket of an address may have been bound anew.
            path.socket = wanted.local.map_or(path.socket, |local| local.socket);
        }
        self.confirm_rest(cx, &unwanted);
        for id in unwanted {
            self.remove_path(cx, id);
        }
        self.announce_confirmed(cx);
    }

    /// If no confirmed path is left once these are gone, those to an address of the peer that is
    /// confirmed count as such. It is the peer that has to prove itself (§5.4), and it has; whether
    /// its address can be reached from another one of this side shows when it is tried, and it has
    /// to be: all that would change anything, down to the ASCONF that tells the peer of the address
    /// that is gone, would wait for a HEARTBEAT otherwise, which may never be answered.
    fn confirm_rest(&mut self, cx: &mut Cx, unwanted: &[PathId]) {
        let ends = |path: &Path| unwanted.contains(&path.id);
        if self.paths.iter().any(|path| path.confirmed && !ends(path)) {
            return;
        }
        let confirmed = self.paths.iter().filter(|path| path.confirmed);
        let proven: SmallVec<[IpAddr; 8]> = confirmed
            .map(|path| path.remote.ip().to_canonical())
            .collect();
        for path in self.paths.iter_mut().filter(|path| !ends(path)) {
            if proven.contains(&path.remote.ip().to_canonical()) {
                path.confirmed = true;
                if let Some(state) = path.on_answer() {
                    cx.path_changed(path.id, state);
                }
            }
        }
    }

    /// The pairs there ought to be, the most useful first.
    fn wanted(&self, cx: &Cx) -> SmallVec<[Wanted; 8]> {
        let locals: SmallVec<[LocalAddress; 8]> = cx.locals.known().copied().collect();
        let ips: SmallVec<[IpAddr; 8]> = locals.iter().map(|local| local.ip).collect();
        let usable = |ip: IpAddr| cx.locals.is_empty() || cx.locals.has_family(ip);
        //= RFC 9260 §5.1.2
        //# If an SCTP endpoint that only supports either IPv4 or IPv6 receives IPv4 and IPv6
        //# addresses in an INIT or INIT ACK chunk from its peer, it MUST use all the addresses
        //# belonging to the supported address family.
        let peers = self.peers.iter().filter(|peer| usable(peer.remote.ip()));
        let peers: SmallVec<[_; 8]> = peers.copied().collect();
        let remotes: SmallVec<[IpAddr; 8]> = peers.iter().map(|peer| peer.remote.ip()).collect();
        let most = cx.config.max_paths;
        if cx.locals.is_empty() {
            let peers = peers.into_iter().take(most);
            return peers
                .map(|peer| Wanted {
                    local: None,
                    remote: peer.remote,
                    trusted: peer.trusted,
                })
                .collect();
        }
        let first = ips.first().copied();
        pairs(&ips, &remotes, ips.len() * remotes.len())
            .into_iter()
            .filter(|&(local, remote)| may_reach(ips[local], remotes[remote]))
            .take(most)
            .map(|(local, remote)| Wanted {
                local: Some(locals[local]),
                remote: peers[remote].remote,
                // What the user vouched for is that the peer is there, not that another address of
                // this side reaches it.
                trusted: peers[remote].trusted && Some(ips[local]) == first,
            })
            .collect()
    }

    fn add_path(&mut self, cx: &mut Cx, now: Instant, wanted: &Wanted) {
        let refers = |id| self.outstanding.refers_to(id);
        let Some(id) = self.paths.vacant(refers) else {
            return;
        };
        let state = if wanted.trusted {
            PathState::Active
        } else {
            PathState::Unconfirmed
        };
        let mut path = Path::new(id, wanted.remote, state, &cx.config);
        if let Some(local) = wanted.local {
            path.local_ip = Some(local.ip);
            path.socket = local.socket;
        } else {
            path.socket = self.paths.get(self.paths.primary()).socket;
        }
        // Where a packet has come from the same address, its UDP port is newer than the one told.
        let ip = wanted.remote.ip().to_canonical();
        let there = |path: &&Path| path.remote.ip().to_canonical() == ip;
        if let Some(seen) = self.paths.iter().filter(there).find(|path| path.port_seen) {
            path.remote = seen.remote;
        }
        tracing::debug!(path = id.index(), remote = %path.remote, local = ?path.local_ip, "path added");
        self.paths.add(path);
        self.outstanding.forget_path(id);
        cx.event(Event::PathAdded(id));
        if self.is_probed(id) {
            self.begin_heartbeats(cx, now, id);
        }
    }

    /// A path ends; what was in flight there goes again by another.
    fn remove_path(&mut self, cx: &mut Cx, id: PathId) {
        let path = self.paths.get_mut(id);
        path.gone = true;
        path.heartbeat.stop();
        cx.timers.stop_all_of(id);
        let lost = self.outstanding.t3_expired(id);
        self.outstanding.forget_episode(id);
        self.peer_rwnd = self.peer_rwnd.saturating_add(lost);
        cx.queue.forget_path(id);
        self.due.heartbeat_acks.retain(|(path, _)| *path != id);
        self.tail_probe
            .take_if(|probe| probe.of == id || probe.via == id);
        self.crossing
            .take_if(|crossing| crossing.of == id || crossing.via == id);
        tracing::debug!(path = id.index(), lost, "path removed");
        cx.event(Event::PathRemoved(id));
        let instead = self.paths.for_new_data();
        if self.paths.primary() == id && self.paths.set_primary(instead) {
            cx.event(Event::PrimaryChanged(instead));
        }
        let paths = [
            &mut self.sack_path,
            &mut self.control_path,
            &mut self.data_path,
        ];
        for place in paths.into_iter().filter(|place| **place == id) {
            *place = instead;
        }
        if self.due.cookie_ack == Some(id) {
            self.due.cookie_ack = Some(instead);
        }
    }

    /// A packet of the peer came, its verification tag right: the path it came by. `None` if it did
    /// not come from an address of the peer.
    pub(super) fn arrived(
        &mut self,
        cx: &mut Cx,
        now: Instant,
        meta: &DatagramMeta,
    ) -> Option<PathId> {
        let remote = meta.remote.ip();
        let local = cx.local_ip(meta);
        if let Some(ip) = local
            && cx.locals.heard_at(ip)
            && self.peers.get(remote).is_some()
        {
            self.update_paths(cx, now);
        }
        self.paths.find(remote, local)
    }

    /// Tells the endpoint by which addresses the peer is known for certain. Only those lead packets
    /// without the verification tag here: an address that somebody merely lists belongs to whoever
    /// it belongs to (RFC 5062 §3).
    pub(super) fn announce_confirmed(&self, cx: &mut Cx) {
        let mut confirmed: SmallVec<[IpAddr; 2]> = SmallVec::new();
        for path in self.paths.iter().filter(|path| path.confirmed) {
            let ip = path.remote.ip().to_canonical();
            if !confirmed.contains(&ip) {
                confirmed.push(ip);
            }
        }
        if cx.confirmed != confirmed {
            cx.confirmed = confirmed.clone();
            let event = EndpointEventKind::AddressesChanged { confirmed };
            cx.endpoint_events.push_back(event);
        }
    }
}
