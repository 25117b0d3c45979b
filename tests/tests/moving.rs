//! Hosts whose addresses change, and that say so by themselves (automatic ASCONF, RFC 5061).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use sctp_proto::{
    AssociationConfig, AssociationState, CloseReason, Event, Instant, LocalChange, PathState,
};
use sctp_tests::{
    codec::kind,
    net::{Link, Verdict},
    pair::{
        Builder, Pair,
        Side::{self, Client, Server},
    },
};

const SECOND: Duration = Duration::from_secs(1);

const A: &str = "10.0.0.1:9899";
const B: &str = "10.1.0.1:9899";
const C: &str = "10.2.0.1:9899";
const SERVER: &str = "10.0.0.2:9899";

fn ip(text: &str) -> IpAddr {
    text.parse::<std::net::SocketAddr>()
        .expect("an address")
        .ip()
}

fn builder(client: &[&str], server: &str) -> Builder {
    Pair::builder()
        .addrs(client, &[server])
        .both(|c| _ = c.heartbeat_interval(Some(5 * SECOND)))
        .audited()
}

/// The interfaces of the client that are up are these, of those it has sockets for.
fn up(pair: &mut Pair, up: &[&str]) {
    let up: BTreeSet<IpAddr> = up.iter().map(|text| ip(text)).collect();
    pair.set_addresses(Client, |ip| up.contains(&ip));
}

/// Where the other side's paths lead, those that are active.
fn reached(pair: &mut Pair, side: Side) -> BTreeSet<IpAddr> {
    let paths = pair.conn(side).association.paths();
    let active = paths.filter(|path| path.state == PathState::Active);
    active.map(|path| path.remote.ip()).collect()
}

/// What the client was told of its own addresses.
fn told(pair: &mut Pair) -> Vec<(IpAddr, LocalChange, bool)> {
    let events = pair.events(Client).into_iter();
    let told = events.filter_map(|event| match event {
        Event::LocalAddress {
            ip,
            change,
            performed,
        } => Some((ip, change, performed)),
        _ => None,
    });
    told.collect()
}

/// That messages go both ways.
fn assert_alive(pair: &mut Pair) {
    pair.send(Client, 7, "ping");
    pair.send(Server, 7, "pong");
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Server, 7).as_deref(), Some(&b"ping"[..]));
    assert_eq!(pair.recv(Client, 7).as_deref(), Some(&b"pong"[..]));
}

#[test]
fn an_interface_that_comes_makes_a_path_and_one_that_goes_ends_it() {
    let mut pair = builder(&[A, B], SERVER)
        .client(|c| _ = c.announce_addresses(false))
        .build();
    pair.connect();
    pair.drive_for(10 * SECOND);
    assert_eq!(reached(&mut pair, Server), [ip(A)].into());

    let mut pair = builder(&[A], SERVER).build();
    pair.connect();
    pair.client.addrs.push(B.parse().unwrap());
    for round in 0..3 {
        pair.send(Server, 1, vec![round; 100_000]);
        up(&mut pair, &[A, B]);
        pair.drive_for(3 * SECOND);
        assert_eq!(told(&mut pair), [(ip(B), LocalChange::Added, true)]);
        assert_eq!(reached(&mut pair, Server), [ip(A), ip(B)].into());
        assert_eq!(pair.conn(Client).association.paths().count(), 2);
        up(&mut pair, &[A]);
        pair.drive_for(3 * SECOND);
        assert_eq!(told(&mut pair), [(ip(B), LocalChange::Deleted, true)]);
        assert_eq!(reached(&mut pair, Server), [ip(A)].into());
        assert_eq!(pair.recv(Client, 1).map(|m| m.len()), Some(100_000));
    }
    assert_alive(&mut pair);
}

#[test]
fn a_host_that_moves_takes_its_association_along() {
    for loss in [0.0, 0.1] {
        let link = Link {
            loss,
            ..Link::default()
        };
        let mut pair = builder(&[A], SERVER).link(link).build();
        pair.connect();
        pair.client.addrs.push(B.parse().unwrap());
        let (mut here, mut there) = (A, B);
        for round in 0..4 {
            pair.send(Client, 1, vec![round; 50_000]);
            pair.send(Server, 1, vec![round; 50_000]);
            pair.drive_for(Duration::from_millis(25));
            std::mem::swap(&mut here, &mut there);
            // What comes to where it was, or is sent from there, is lost.
            up(&mut pair, &[here]);
            let gone = ip(there);
            pair.net.clear_scripts();
            pair.net.script(move |_, datagram| {
                match datagram.from.ip() == gone || datagram.to.ip() == gone {
                    true => Verdict::Drop,
                    false => Verdict::Pass,
                }
            });
            pair.drive_for(30 * SECOND);
            let told = told(&mut pair);
            assert!(
                told.contains(&(ip(here), LocalChange::Added, true)),
                "{told:?}"
            );
            assert_eq!(
                reached(&mut pair, Server),
                [ip(here)].into(),
                "{loss} {round}"
            );
            assert_eq!(
                pair.recv(Client, 1).map(|m| m.len()),
                Some(50_000),
                "{loss} {round}"
            );
            assert_eq!(pair.recv(Server, 1).map(|m| m.len()), Some(50_000));
        }
        assert_alive(&mut pair);
    }
}

/// The network carries only what is between the server and these addresses, and nothing before then.
fn only_reach(pair: &mut Pair, from: Instant, here: BTreeSet<IpAddr>) {
    pair.net.script(move |now, datagram| {
        let is_there = |ip| ip == self::ip(SERVER) || (now >= from && here.contains(&ip));
        match is_there(datagram.from.ip()) && is_there(datagram.to.ip()) {
            true => Verdict::Pass,
            false => Verdict::Drop,
        }
    });
}

/// The old address goes before the new one is there: that it is gone must not be asked for while there
/// is no other to ask from.
#[test]
fn a_host_that_is_nowhere_for_a_while_takes_its_association_along() {
    const LOOPBACK: &str = "127.0.0.1:9899";
    for (before, after) in [
        (&[A][..], &[B][..]),
        (&[A], &[A]),
        (&[A, B], &[B]),
        (&[A, B], &[A, B]),
        (&[A, B], &[C]),
    ] {
        for meanwhile in [&[][..], &[LOOPBACK]] {
            let mut pair = builder(before, SERVER).build();
            pair.connect();
            pair.drive_for(5 * SECOND);
            for address in [A, B, C, LOOPBACK].map(|text| text.parse().unwrap()) {
                if !pair.client.addrs.contains(&address) {
                    pair.client.addrs.push(address);
                }
            }
            let here: BTreeSet<IpAddr> = after.iter().map(|text| ip(text)).collect();
            let back = pair.now + 3 * SECOND;
            only_reach(&mut pair, back, here.clone());
            up(&mut pair, meanwhile);
            pair.drive_for(3 * SECOND);
            up(&mut pair, &[meanwhile, after].concat());
            pair.drive_for(30 * SECOND);
            let told = told(&mut pair);
            assert_eq!(
                paths_to(&mut pair, Server),
                here,
                "from {before:?} by {meanwhile:?} to {after:?}: {told:?}"
            );
            assert_alive(&mut pair);
        }
    }
}

/// A client with two addresses behind a NAT, and a server that is not.
fn behind_nat(builder: Builder) -> Pair {
    let mut pair = builder.build();
    for (inside, outside) in [(A, "198.51.100.1:4000"), (B, "198.51.100.2:5000")] {
        let (inside, outside) = (inside.parse().unwrap(), outside.parse().unwrap());
        pair.net.rebind(inside, outside);
    }
    pair.connect();
    pair
}

#[test]
fn a_client_behind_a_nat_gets_its_second_path() {
    let server = "203.0.113.1:9899";
    let mut pair = behind_nat(builder(&[A, B], server));
    pair.drive_for(5 * SECOND);
    let outside = [ip("198.51.100.1:1"), ip("198.51.100.2:1")];
    assert_eq!(reached(&mut pair, Server), outside.into());
    assert_eq!(pair.conn(Client).association.paths().count(), 2);
    assert_eq!(told(&mut pair), [(ip(B), LocalChange::Added, true)]);
    // The first one dies.
    pair.send(Server, 1, vec![1; 200_000]);
    pair.drive_for(Duration::from_millis(50));
    pair.net.script(move |_, datagram| {
        match [datagram.from.ip(), datagram.to.ip()].contains(&outside[0]) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Client, 1).map(|m| m.len()), Some(200_000));
    assert_alive(&mut pair);
    // And its interface goes: the server is told that one is left.
    up(&mut pair, &[B]);
    pair.drive_for(10 * SECOND);
    assert!(told(&mut pair).contains(&(ip(A), LocalChange::Deleted, true)));
    assert_eq!(pair.conn(Server).association.paths().count(), 1);
    assert_alive(&mut pair);
}

#[test]
fn an_address_that_was_listed_in_vain_is_introduced() {
    // A NAT between private networks: INIT lists an address that leads nowhere.
    let mut pair = builder(&[A, B], SERVER).build();
    pair.net
        .rebind(B.parse().unwrap(), "10.99.0.1:777".parse().unwrap());
    pair.connect();
    pair.drive_for(20 * SECOND);
    assert!(reached(&mut pair, Server).contains(&ip("10.99.0.1:777")));
    let told = told(&mut pair);
    assert!(
        told.contains(&(ip(B), LocalChange::Added, true)),
        "{told:?}"
    );
}

#[test]
fn an_address_that_does_not_work_harms_nothing() {
    let server = "203.0.113.1:9899";
    let mut pair = builder(&[A, B], server).build();
    pair.net
        .rebind(A.parse().unwrap(), "198.51.100.1:4000".parse().unwrap());
    let dead = ip(B);
    pair.net
        .script(move |_, datagram| match datagram.from.ip() == dead {
            true => Verdict::Drop,
            false => Verdict::Pass,
        });
    pair.connect();
    pair.drive_for(600 * SECOND);
    assert_eq!(pair.state(Client), AssociationState::Established);
    assert_eq!(told(&mut pair), [(ip(B), LocalChange::Added, false)]);
    assert_eq!(pair.conn(Client).association.paths().count(), 1);
    assert_eq!(reached(&mut pair, Server), [ip("198.51.100.1:1")].into());
    assert_alive(&mut pair);
}

#[test]
fn an_address_that_leads_nowhere_is_not_told_and_keeps_nothing_waiting() {
    let mut pair = builder(&[A, B], SERVER).build();
    pair.connect();
    pair.drive_for(5 * SECOND);
    told(&mut pair);
    // The driver tells of all interfaces, now that one has lost its address.
    let loopback = "127.0.0.1:9899";
    pair.client.addrs.push(loopback.parse().unwrap());
    pair.net.script(|_, datagram| {
        assert!(!datagram.from.ip().is_loopback(), "{datagram:?}");
        Verdict::Pass
    });
    up(&mut pair, &[loopback, B]);
    pair.drive_for(SECOND);
    assert_eq!(told(&mut pair), [(ip(A), LocalChange::Deleted, true)]);
    assert_eq!(reached(&mut pair, Server), [ip(B)].into());
    pair.drive_for(60 * SECOND);
    assert_eq!(told(&mut pair), []);
    assert_alive(&mut pair);
}

#[test]
fn that_an_address_is_gone_is_told_before_a_new_one_is_tried() {
    let mut pair = behind_nat(builder(&[A, B], "203.0.113.1:9899"));
    pair.drive_for(5 * SECOND);
    told(&mut pair);
    // One interface goes as another comes, from which nothing gets through.
    let new = "10.2.0.1:9899";
    pair.client.addrs.push(new.parse().unwrap());
    pair.net
        .script(move |_, datagram| match datagram.from.ip() == ip(new) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        });
    up(&mut pair, &[B, new]);
    pair.drive_for(SECOND);
    assert_eq!(told(&mut pair), [(ip(A), LocalChange::Deleted, true)]);
    assert_eq!(reached(&mut pair, Server), [ip("198.51.100.2:1")].into());
    assert_alive(&mut pair);
}

/// What has a chunk of this kind is lost from now on; `pair.net.clear_scripts()` ends that.
fn lose(pair: &mut Pair, kind: u8) {
    pair.net
        .script(move |_, datagram| match datagram.has(kind) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        });
}

/// ASCONFs of the client, and their answers, are lost from now on.
fn lose_requests(pair: &mut Pair) {
    lose(pair, kind::ASCONF);
    lose(pair, kind::ASCONF_ACK);
}

/// Where the other side's paths lead, whatever their state.
fn paths_to(pair: &mut Pair, side: Side) -> BTreeSet<IpAddr> {
    let paths = pair.conn(side).association.paths();
    paths.map(|path| path.remote.ip()).collect()
}

#[test]
fn that_an_address_is_gone_is_told_whatever_was_to_be_asked_about_it() {
    let mut pair = builder(&[A, B], SERVER).build();
    pair.connect();
    pair.drive_for(5 * SECOND);
    assert_eq!(reached(&mut pair, Server), [ip(A), ip(B)].into());
    lose_requests(&mut pair);
    for wanted in [A, B] {
        let now = pair.now;
        let conn = pair.conn(Client);
        conn.association.set_peer_primary(now, ip(wanted)).unwrap();
        pair.drive_for(SECOND / 10);
    }
    up(&mut pair, &[A]);
    pair.drive_for(SECOND / 10);
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    let told = told(&mut pair);
    assert!(
        told.contains(&(ip(B), LocalChange::Deleted, true)),
        "{told:?}"
    );
    assert_eq!(paths_to(&mut pair, Server), [ip(A)].into());
}

#[test]
fn an_address_that_goes_before_the_peer_has_answered_that_it_came_is_taken_back() {
    let mut pair = builder(&[A], SERVER).build();
    pair.connect();
    pair.client.addrs.push(B.parse().unwrap());
    // The request arrives, and its answer is lost.
    lose(&mut pair, kind::ASCONF_ACK);
    up(&mut pair, &[A, B]);
    pair.drive_for(SECOND / 10);
    assert_eq!(paths_to(&mut pair, Server), [ip(A), ip(B)].into());
    up(&mut pair, &[A]);
    pair.drive_for(SECOND / 10);
    pair.net.clear_scripts();
    pair.drive_for(30 * SECOND);
    let told = told(&mut pair);
    assert_eq!(paths_to(&mut pair, Server), [ip(A)].into(), "{told:?}");
}

#[test]
fn an_address_that_goes_and_comes_before_the_peer_has_answered_that_it_came_is_used() {
    // Whether what is left is deleted by its name or by a wildcard.
    for wildcard in [false, true] {
        let mut pair = builder(&[A], SERVER)
            .client(|c| _ = c.asconf_wildcard(wildcard))
            .build();
        pair.connect();
        pair.client.addrs.push(B.parse().unwrap());
        lose(&mut pair, kind::ASCONF_ACK);
        for now in [&[A, B][..], &[A], &[A, B]] {
            up(&mut pair, now);
            pair.drive_for(SECOND / 10);
        }
        pair.net.clear_scripts();
        pair.drive_for(30 * SECOND);
        let told = told(&mut pair);
        let all = [ip(A), ip(B)].into();
        assert_eq!(reached(&mut pair, Server), all, "{told:?}");
        assert_eq!(pair.conn(Client).association.paths().count(), 2);
        assert_alive(&mut pair);
    }
}

#[test]
fn an_address_that_comes_and_goes_while_the_peer_is_asked_something_else_is_not_told() {
    let mut pair = builder(&[A], SERVER).build();
    pair.connect();
    pair.client.addrs.push(B.parse().unwrap());
    lose_requests(&mut pair);
    let now = pair.now;
    let conn = pair.conn(Client);
    conn.association.set_peer_primary(now, ip(A)).unwrap();
    pair.drive_for(SECOND / 10);
    up(&mut pair, &[A, B]);
    pair.drive_for(SECOND / 10);
    up(&mut pair, &[A]);
    pair.drive_for(SECOND / 10);
    pair.net.clear_scripts();
    pair.drive_for(30 * SECOND);
    let told = told(&mut pair);
    assert_eq!(paths_to(&mut pair, Server), [ip(A)].into(), "{told:?}");
}

#[test]
fn a_host_that_moves_while_the_peer_is_asked_takes_its_association_along() {
    for next in [&[B][..], &[C], &[B, C]] {
        let mut pair = builder(&[A], SERVER).build();
        pair.connect();
        for address in [B, C] {
            pair.client.addrs.push(address.parse().unwrap());
        }
        lose_requests(&mut pair);
        up(&mut pair, &[A, B]);
        pair.drive_for(SECOND / 10);
        pair.net.clear_scripts();
        let here: BTreeSet<IpAddr> = next.iter().map(|text| ip(text)).collect();
        let now = pair.now;
        only_reach(&mut pair, now, here.clone());
        up(&mut pair, next);
        pair.drive_for(60 * SECOND);
        let told = told(&mut pair);
        assert_eq!(paths_to(&mut pair, Server), here, "to {next:?}: {told:?}");
        assert_alive(&mut pair);
    }
}

#[test]
fn a_peer_that_restarts_knows_no_address_that_it_was_told_of_before() {
    let server = "203.0.113.1:9899";
    let mut pair = behind_nat(builder(&[A, B], server).client(|c| _ = c.local_port(Some(5000))));
    pair.drive_for(5 * SECOND);
    assert_eq!(pair.conn(Client).association.paths().count(), 2);
    pair.crash(Server);
    let now = pair.now;
    let mut config = AssociationConfig::default();
    config.remote_port(5000).local_port(Some(80));
    let outside = ["198.51.100.1:4000".parse().unwrap()];
    pair.server.connect(now, config, &outside).unwrap();
    pair.drive_for(5 * SECOND);
    let restarted = |event: &Event| *event == Event::Established { restarted: true };
    assert!(pair.conn(Client).events.iter().any(restarted));
    assert_eq!(pair.conn(Client).association.paths().count(), 1);
    assert_alive(&mut pair);
}

#[test]
fn nothing_is_told_where_that_is_turned_off() {
    let server = "203.0.113.1:9899";
    let changes: [fn(Builder) -> Builder; 5] = [
        |b| b.client(|c| _ = c.auto_asconf(false)),
        |b| b.client(|c| _ = c.asconf_wildcard(false)),
        |b| b.client(|c| _ = c.asconf(false)),
        |b| b.server(|c| _ = c.asconf(false)),
        |b| b.server(|c| _ = c.auth(false)),
    ];
    for change in changes {
        let mut pair = behind_nat(change(builder(&[A, B], server)));
        pair.net.script(|_, datagram| {
            assert!(!datagram.has(kind::ASCONF));
            Verdict::Pass
        });
        pair.drive_for(20 * SECOND);
        assert_eq!(reached(&mut pair, Server).len(), 1);
        assert_alive(&mut pair);
    }
}

#[test]
fn either_side_can_ask_for_another_primary_path() {
    let mut pair = builder(&[A, B], SERVER).build();
    pair.connect();
    pair.drive_for(5 * SECOND);
    assert_eq!(reached(&mut pair, Server), [ip(A), ip(B)].into());
    for wanted in [B, A] {
        let now = pair.now;
        let conn = pair.conn(Client);
        conn.association.set_peer_primary(now, ip(wanted)).unwrap();
        pair.drive_for(SECOND);
        let mut paths = pair.conn(Server).association.paths();
        let primary = paths
            .find(|path| path.is_primary)
            .map(|path| path.remote.ip());
        drop(paths);
        assert_eq!(primary, Some(ip(wanted)));
        assert_eq!(
            told(&mut pair),
            [(ip(wanted), LocalChange::MadePrimary, true)]
        );
        let seen = pair.net.stats().sent;
        assert!(seen > 0);
    }
}

/// A host moves and is heard of from where it is now; before that address is confirmed, the
/// association is shut down. HEARTBEATs, which end with that, are all that leads on.
#[test]
fn an_association_that_moves_while_it_is_shut_down_ends_in_order() {
    for side in [Client, Server] {
        let mut pair = builder(&[A], SERVER)
            .both(|c| _ = c.rto_max(2 * SECOND).shutdown_timeout(Some(60 * SECOND)))
            .build();
        pair.connect();
        pair.client.addrs.push(B.parse().unwrap());
        pair.drive_for(SECOND);
        let lost = pair.now + 10 * SECOND;
        pair.net.script(move |now, datagram| {
            let gone = datagram.from.ip() == ip(A) || datagram.to.ip() == ip(A);
            match gone || (now < lost && datagram.has(kind::HEARTBEAT)) {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        });
        up(&mut pair, &[B]);
        pair.drive_for(8 * SECOND);
        assert_eq!(reached(&mut pair, Server), BTreeSet::new());
        pair.shutdown(side);
        pair.drive_for(30 * SECOND);
        for side in [Client, Server] {
            assert_eq!(pair.closed(side), Some(CloseReason::Shutdown), "{side:?}");
        }
    }
}
