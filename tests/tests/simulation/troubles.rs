//! What befalls two hosts, their addresses, the network between them and its users, by chance.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sctp_proto::{
    AddStreamsError, AssociationState, IcmpKind, PathConfig, PathId, ResetError, StreamId,
};
use sctp_tests::{
    net::{Datagram, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

use crate::extensions::{self, Setting};

/// Packets kept at most, to come once more.
const KEPT: usize = 50;

/// What is wrong at the moment.
pub(crate) struct Troubles {
    /// Directions in which nothing passes.
    dead: BTreeSet<(IpAddr, IpAddr)>,
    /// Addresses that interfaces have lost.
    gone: BTreeSet<IpAddr>,
    /// Whether the client is behind a NAT.
    nat: bool,
    /// Packets that passed.
    seen: Arc<Mutex<Vec<Datagram>>>,
    /// The key that was handed out last, if there is one.
    key: Option<u16>,
    setting: Setting,
}

impl Troubles {
    pub(crate) fn new(pair: &mut Pair, rng: &mut Rng, setting: Setting) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (keep, mut dice) = (Arc::clone(&seen), Rng::new(rng.next_u64()));
        pair.net.script(move |_, datagram| {
            let mut kept = keep.lock().expect("one thread");
            if kept.len() < KEPT {
                kept.push(datagram.clone());
            } else if dice.chance(0.05) {
                kept[dice.below(KEPT)] = datagram.clone();
            }
            Verdict::Pass
        });
        Self {
            dead: BTreeSet::new(),
            gone: BTreeSet::new(),
            nat: rng.chance(0.3),
            seen,
            key: setting.secret.then_some(7),
            setting,
        }
    }

    /// Something happens.
    pub(crate) fn strike(&mut self, pair: &mut Pair, rng: &mut Rng) {
        let side = [Client, Server][rng.below(2)];
        match rng.below(20) {
            0..3 => self.cut_or_mend(pair, rng),
            3..5 => self.move_host(pair, rng, side),
            5 => self.rebind(pair, rng),
            6 => narrow(pair, rng),
            7 => {
                let most = 1 << rng.below(14);
                let milliseconds = rng.below(most) as u64;
                pair.sleep(Duration::from_millis(milliseconds));
            }
            8 => {
                let (from, to) = self.direction(pair, rng);
                *pair.net.link(from, to) = self.setting.random_link(rng);
                self.apply(pair);
            }
            9..12 => reconfigure(pair, rng, side),
            12..15 => choose_path(pair, rng, side),
            15 => {
                let association = &mut pair.conn(side).association;
                association.set_scheduler(extensions::scheduler(rng));
                let stream = StreamId(rng.below(20) as u16);
                association.set_stream_priority(stream, rng.below(10) as u16);
            }
            16 => self.roll_key(pair, rng),
            17 => self.misinform(pair, rng),
            _ => self.replay(pair, rng),
        }
    }

    /// All is as it was before.
    pub(crate) fn end(&mut self, pair: &mut Pair) {
        self.dead.clear();
        self.gone.clear();
        pair.net.links(|link| link.max_payload = 65_507);
        self.apply(pair);
        for side in [Client, Server] {
            tell(pair, side, &self.gone);
        }
    }

    /// One address of either side, in either order.
    fn direction(&self, pair: &Pair, rng: &mut Rng) -> (IpAddr, IpAddr) {
        let client = pair.client.addrs[rng.below(pair.client.addrs.len())].ip();
        let server = pair.server.addrs[rng.below(pair.server.addrs.len())].ip();
        match rng.chance(0.5) {
            true => (client, server),
            false => (server, client),
        }
    }

    fn apply(&self, pair: &mut Pair) {
        let (client, server) = (pair.client.addrs.clone(), pair.server.addrs.clone());
        for client in client.iter().map(|address| address.ip()) {
            for server in server.iter().map(|address| address.ip()) {
                for (from, to) in [(client, server), (server, client)] {
                    let gone = self.gone.contains(&from) || self.gone.contains(&to);
                    pair.net.link(from, to).down = gone || self.dead.contains(&(from, to));
                }
            }
        }
    }

    /// A path dies in one direction or in both, or comes back.
    fn cut_or_mend(&mut self, pair: &mut Pair, rng: &mut Rng) {
        let (from, to) = self.direction(pair, rng);
        if !self.dead.remove(&(from, to)) {
            self.dead.insert((from, to));
        }
        if rng.chance(0.6) {
            match self.dead.contains(&(from, to)) {
                true => _ = self.dead.insert((to, from)),
                false => _ = self.dead.remove(&(to, from)),
            }
        }
        self.apply(pair);
    }

    /// Interfaces of a host go and come, and it knows; one is left.
    fn move_host(&mut self, pair: &mut Pair, rng: &mut Rng, side: Side) {
        let addrs = pair.host(side).addrs.clone();
        let stays = rng.below(addrs.len());
        for (index, address) in addrs.iter().enumerate() {
            match index != stays && rng.chance(0.5) {
                true => _ = self.gone.insert(address.ip()),
                false => _ = self.gone.remove(&address.ip()),
            }
        }
        self.apply(pair);
        tell(pair, side, &self.gone);
    }

    /// The NAT forgets the client, which gets another UDP port there.
    fn rebind(&self, pair: &mut Pair, rng: &mut Rng) {
        if self.nat {
            let inside = pair.client.addrs[rng.below(pair.client.addrs.len())];
            let mut outside = inside;
            outside.set_port(rng.between(1024, 9000) as u16);
            pair.net.rebind(inside, outside);
        }
    }

    /// Another key, of which both sides learn at once and which one uses.
    fn roll_key(&mut self, pair: &mut Pair, rng: &mut Rng) {
        let Some(id) = &mut self.key else { return };
        if rng.chance(0.5) {
            *id += 1;
        }
        for side in [Client, Server] {
            let association = &mut pair.conn(side).association;
            association.set_auth_key(*id, extensions::key(*id));
            if rng.chance(0.5) {
                let active = association.activate_auth_key(*id);
                assert!(active.is_ok(), "{active:?}");
            }
        }
    }

    /// One of the packets that passed, if any has.
    fn remember(&self, rng: &mut Rng) -> Option<Datagram> {
        let seen = self.seen.lock().expect("one thread");
        seen.get(rng.below(seen.len())).cloned()
    }

    /// An ICMP message that quotes a packet which really left.
    fn misinform(&self, pair: &mut Pair, rng: &mut Rng) {
        let Some(datagram) = self.remember(rng) else {
            return;
        };
        let kind = match rng.below(3) {
            0 => IcmpKind::Unreachable,
            _ => IcmpKind::PacketTooBig {
                mtu: rng.between(0, 2000) as u16,
            },
        };
        let now = pair.now;
        let side = match pair.client.addrs.contains(&datagram.to) {
            true => Server,
            false => Client,
        };
        pair.host(side).icmp(now, kind, &datagram);
    }

    /// A packet comes again, long after.
    fn replay(&self, pair: &mut Pair, rng: &mut Rng) {
        let Some(datagram) = self.remember(rng) else {
            return;
        };
        let at = pair.now + Duration::from_millis(rng.below(3000) as u64);
        pair.net.deliver(at, datagram);
    }
}

/// Tells a host of the addresses that it has, if there are several.
fn tell(pair: &mut Pair, side: Side, gone: &BTreeSet<IpAddr>) {
    if pair.host(side).addrs.len() > 1 {
        pair.set_addresses(side, |ip| !gone.contains(&ip));
    }
}

/// Large packets get lost without a word, or do not any more.
fn narrow(pair: &mut Pair, rng: &mut Rng) {
    let mtu = [1000, 1280, 1400, 1492, 1500, 2000, 9000, 65_535][rng.below(8)];
    pair.net.links(|link| link.max_payload = mtu - 28);
}

/// One side asks for something by RE-CONFIG.
fn reconfigure(pair: &mut Pair, rng: &mut Rng, side: Side) {
    let now = pair.now;
    let association = &mut pair.conn(side).association;
    let (outbound, inbound) = association.streams();
    let some = |rng: &mut Rng, count: u16| -> Vec<StreamId> {
        let most = rng.between(0, 3);
        let ids: BTreeSet<u16> = (0..most)
            .map(|_| rng.below(usize::from(count)) as u16)
            .collect();
        ids.into_iter().map(StreamId).collect()
    };
    let established = association.state() == AssociationState::Established;
    let able = association.can_reset_streams();
    let result = match rng.below(4) {
        0 => association.reset_streams(now, &some(rng, outbound)),
        1 => association.reset_incoming(now, &some(rng, inbound)),
        2 => association.reset_association(now),
        _ => {
            let (out, more) = (rng.below(3) as u16, rng.below(3) as u16);
            match association.add_streams(now, out, more) {
                Ok(()) => Ok(()),
                Err(AddStreamsError::NotSupported) => Err(ResetError::NotSupported),
                Err(_) => return,
            }
        }
    };
    match result {
        Ok(()) => assert!(able && established),
        Err(ResetError::NotSupported) => assert!(!able),
        Err(_) => {}
    }
}

/// One side prefers a path, or wants to know of it, or has it use another controller.
fn choose_path(pair: &mut Pair, rng: &mut Rng, side: Side) {
    let now = pair.now;
    let own = pair.host(side).addrs.clone();
    let own = own[rng.below(own.len())].ip();
    let association = &mut pair.conn(side).association;
    let paths: Vec<PathId> = association.paths().map(|path| path.id).collect();
    let Some(path) = paths.get(rng.below(paths.len().max(1))).copied() else {
        return;
    };
    // Refused where it makes no sense: that is for other tests.
    match rng.below(4) {
        0 => _ = association.set_primary(path),
        1 => _ = association.set_peer_primary(now, own),
        2 => _ = association.request_heartbeat(now, path),
        _ => {
            let mut config = PathConfig::default();
            config.congestion_control = Some(extensions::controller(rng));
            config.max_retrans = Some(rng.below(10) as u32);
            let done = association.configure_path(now, path, config);
            assert!(done.is_ok(), "{done:?}");
        }
    }
}
