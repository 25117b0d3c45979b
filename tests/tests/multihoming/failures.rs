//! Paths that fail and come back (§8.2; RFC 7829).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sctp_proto::{Event, PathState, SendInfo};
use sctp_tests::{
    codec::kind,
    net::Verdict,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
};

use crate::{
    A, B, MS, SECOND, bulk, connect, cut, ends, link, paths, record, shipped, state, two_by_two,
    within,
};

fn changes(pair: &mut Pair, side: Side) -> Vec<(usize, PathState)> {
    let events = pair.events(side).into_iter();
    events
        .filter_map(|event| match event {
            Event::PathChanged { path, state } => Some((path.index(), state)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_download_goes_on_when_its_path_dies_in_less_than_half_a_second() {
    let mut worst = Duration::ZERO;
    for at in 0..3 {
        let mut pair = connect(
            two_by_two()
                .link(link())
                .both(shipped)
                .untraced()
                .steps(5_000_000),
        );
        bulk(&mut pair, Server, SECOND + at * 137 * MS, |_| {});
        cut(&mut pair, A);
        let (silence, bytes) = bulk(&mut pair, Server, 5 * SECOND, |_| {});
        assert!(silence < 500 * MS, "{silence:?}");
        assert!(bytes > 4_000_000, "{bytes} bytes in five seconds");
        assert_ne!(state(&mut pair, Server, 0), PathState::Active);
        worst = worst.max(silence);
        // With the path back there is no second stall, and data takes it again.
        pair.net.clear_scripts();
        let (silence, bytes) = bulk(&mut pair, Server, 12 * SECOND, |_| {});
        assert!(silence < 200 * MS, "{silence:?} with the path back");
        assert!(bytes > 12_000_000, "{bytes} bytes in twelve seconds");
        assert_eq!(state(&mut pair, Server, 0), PathState::Active);
        let seen = record(&mut pair);
        bulk(&mut pair, Server, SECOND, |_| {});
        let seen = seen.lock().unwrap();
        assert!(
            seen.iter()
                .any(|(_, d)| within(d, A) && d.has(kind::I_DATA))
        );
    }
    println!("the longest silence of twenty: {worst:?}");
}

#[test]
fn a_path_that_times_out_fails_potentially_then_for_good_and_comes_back() {
    let builder = two_by_two().both(|c| {
        c.tail_loss_probes(false)
            .heartbeat_interval(Some(5 * SECOND))
            .rto_max(4 * SECOND);
    });
    let mut pair = connect(builder);
    cut(&mut pair, A);
    pair.send(Client, 1, "over the other");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "over the other");
    assert_eq!(
        changes(&mut pair, Client)[0],
        (0, PathState::PotentiallyFailed)
    );
    // HEARTBEATs go there once per time-out; the sixth failure is one too many.
    pair.drive_for(30 * SECOND);
    assert_eq!(state(&mut pair, Client, 0), PathState::Inactive);
    let straight = ends(&mut pair, Client)
        .iter()
        .position(|ends| *ends == (1, 1));
    assert_eq!(
        state(&mut pair, Client, straight.unwrap()),
        PathState::Active
    );
    assert!(pair.established());
    pair.events(Client);
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    assert!(changes(&mut pair, Client).contains(&(0, PathState::Active)));
    let seen = record(&mut pair);
    pair.send(Client, 1, "the old way");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "the old way");
    let seen = seen.lock().unwrap();
    let probes = [kind::HEARTBEAT, kind::HEARTBEAT_ACK];
    assert!(
        seen.iter()
            .all(|(_, datagram)| !within(datagram, B)
                || probes.iter().any(|kind| datagram.has(*kind)))
    );
}

//= RFC 9260 §8.1, test
//# Unacknowledged HEARTBEAT chunks observed on paths different from the path currently...
//= RFC 9260 §8.2, test
//# If more than one alternate address is active when the primary path...
#[test]
fn paths_that_idle_and_die_do_not_end_the_association() {
    let three = ["10.0.0.2:9899", "10.1.0.2:9899", "10.2.0.2:9899"];
    let builder = Pair::builder().addrs(&[A[0]], &three).audited().both(|c| {
        c.heartbeat_interval(Some(SECOND))
            .association_max_retrans(3)
            .path_max_retrans(2)
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    assert_eq!(paths(&mut pair, Client).len(), 3);
    cut(&mut pair, ["10.1.0.1:9899", "10.1.0.2:9899"]);
    pair.drive_for(60 * SECOND);
    assert!(pair.established());
    let states: Vec<_> = paths(&mut pair, Client)
        .iter()
        .map(|path| path.state)
        .collect();
    assert_eq!(
        states.iter().filter(|s| **s == PathState::Inactive).count(),
        1
    );
    // Now the primary: of the others, one carries all.
    pair.net.clear_scripts();
    pair.drive_for(10 * SECOND);
    cut(&mut pair, ["10.9.0.1:9899", three[0]]);
    let seen = record(&mut pair);
    pair.send(Client, 1, vec![0; 30_000]);
    pair.drive_for(10 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap().len(), 30_000);
    let seen = seen.lock().unwrap();
    let carried: std::collections::HashSet<_> = seen
        .iter()
        .filter(|(_, datagram)| datagram.has(kind::I_DATA))
        .map(|(_, datagram)| datagram.to)
        .collect();
    assert_eq!(carried.len(), 1, "{carried:?}");
}

#[test]
fn an_association_whose_paths_have_all_failed_tries_them_in_turn() {
    let builder = two_by_two().both(|c| {
        c.association_max_retrans(60)
            .path_max_retrans(1)
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    pair.net.links(|link| link.down = true);
    let addresses = |list: [&str; 2]| list.map(|a| a.parse::<SocketAddr>().unwrap().ip());
    let all = [addresses(A), addresses(B)].concat();
    for from in &all {
        for to in &all {
            pair.net.link(*from, *to).down = true;
        }
    }
    pair.send(Client, 1, "at last");
    pair.drive_for(40 * SECOND);
    for path in paths(&mut pair, Client) {
        assert_eq!(path.state, PathState::Inactive, "{path:?}");
    }
    // One of the four is there again, and not the primary.
    let [_, _, here, there] = [all[0], all[1], all[2], all[3]];
    pair.net.link(here, there).down = false;
    pair.net.link(there, here).down = false;
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "at last");
    assert!(pair.established());
}

#[test]
fn a_primary_that_fails_too_often_is_replaced_for_good() {
    let builder = two_by_two().both(|c| {
        c.heartbeat_interval(Some(SECOND))
            .primary_switchover_max_retrans(Some(2))
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    cut(&mut pair, A);
    pair.send(Client, 1, "through");
    pair.drive_for(20 * SECOND);
    let primary = |pair: &mut Pair| {
        paths(pair, Client)
            .into_iter()
            .find(|p| p.is_primary)
            .unwrap()
    };
    let instead = primary(&mut pair).id;
    assert_ne!(instead.index(), 0);
    assert!(
        pair.events(Client)
            .contains(&Event::PrimaryChanged(instead))
    );
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    assert_eq!(primary(&mut pair).id, instead, "it stays");
}

#[test]
fn the_primary_changes_when_its_failures_are_more_than_the_limit_in_whatever_state() {
    let builder = two_by_two().both(|c| {
        c.path_max_retrans(10)
            .primary_switchover_max_retrans(Some(2))
            .rto_max(2 * SECOND);
    });
    let mut pair = connect(builder);
    cut(&mut pair, A);
    pair.send(Client, 1, "through");
    for failures in 0..=3 {
        while paths(&mut pair, Client)[0].stats.errors < failures {
            assert!(pair.step());
        }
        let path = paths(&mut pair, Client)[0];
        let failed = [PathState::Active, PathState::PotentiallyFailed][usize::from(failures > 0)];
        let expected = (failed, failures < 3);
        assert_eq!((path.state, path.is_primary), expected, "{failures}");
    }
    // Once it is back it has no claim any more.
    pair.net.clear_scripts();
    pair.drive_for(20 * SECOND);
    let path = paths(&mut pair, Client)[0];
    assert_eq!((path.state, path.is_primary), (PathState::Active, false));
}

#[test]
fn a_path_that_lost_only_its_tail_is_back_after_a_round_trip() {
    let mut pair = connect(two_by_two());
    pair.net.drop_next(1);
    pair.send(Client, 1, "the only packet");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "the only packet");
    let expected = [(0, PathState::PotentiallyFailed), (0, PathState::Active)];
    assert_eq!(changes(&mut pair, Client), expected);
    assert_eq!(pair.stats(Client).cross_path_failovers, 1);
}

#[test]
fn a_probe_that_is_never_answered_is_not_answered_by_what_comes_much_later() {
    let mut pair = connect(two_by_two());
    let straight = ends(&mut pair, Client)
        .iter()
        .position(|ends| *ends == (1, 1));
    let mut info = SendInfo::default();
    info.path = Some(paths(&mut pair, Client)[straight.unwrap()].id);
    // The only packet is lost, and so is what answers the probe by the other path.
    let mut number = 0;
    pair.net.script(move |_, _| {
        number += 1;
        match number {
            1 | 3 => Verdict::Drop,
            _ => Verdict::Pass,
        }
    });
    pair.send(Client, 1, "first");
    pair.drive_until(|pair| pair.recv(Server, 1).is_some());
    pair.drive_for(50 * MS);
    pair.send(Client, 1, "second");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "second");
    // By the other path all is answered, whatever was asked there long ago.
    pair.send_with(Client, 1, "third", info);
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "third");
    assert_eq!(changes(&mut pair, Client), []);
    assert_eq!(pair.stats(Client).cross_path_failovers, 0);
    // And the next silence is asked after as the first was.
    pair.net.drop_next(1);
    pair.send(Client, 1, "fourth");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "fourth");
    assert_eq!(pair.stats(Client).t3_expiries, 0);
}

#[test]
fn one_known_address_at_either_end_is_enough_for_failover() {
    for (client, server) in [(&[A[0], B[0]][..], &[A[1]][..]), (&[A[0]], &[A[1], B[1]])] {
        for from in [Client, Server] {
            let builder = Pair::builder().addrs(client, server);
            let builder = builder
                .link(link())
                .both(shipped)
                .untraced()
                .steps(2_000_000);
            let mut pair = connect(builder);
            let two = if client.len() == 2 { client } else { server };
            let dead: IpAddr = two[0].parse::<SocketAddr>().unwrap().ip();
            bulk(&mut pair, from, SECOND / 2, |_| {});
            pair.net
                .script(move |_, d| match d.from.ip() == dead || d.to.ip() == dead {
                    true => Verdict::Drop,
                    false => Verdict::Pass,
                });
            let (silence, _) = bulk(&mut pair, from, SECOND, |_| {});
            assert!(silence < 500 * MS, "{from:?}, {silence:?}");
        }
    }
}
