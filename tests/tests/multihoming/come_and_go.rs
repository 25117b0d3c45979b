//! Addresses of a side that come and go.

use std::net::{IpAddr, SocketAddr};

use sctp_proto::{AssociationConfig, CloseReason, CongestionControl, Event};
use sctp_tests::pair::{
    Pair,
    Side::{self, Client, Server},
};

use crate::{A, B, MS, SECOND, bulk, connect, cut, ends, link, paths, shipped, two_by_two};

fn set_addresses(pair: &mut Pair, side: Side, addrs: &[&str]) {
    let ip = |text: &&str| text.parse::<SocketAddr>().unwrap().ip();
    let up: Vec<IpAddr> = addrs.iter().map(ip).collect();
    pair.set_addresses(side, |ip| up.contains(&ip));
}

#[test]
fn an_interface_that_goes_takes_its_paths_along_and_data_moves_on() {
    let mut pair = connect(two_by_two().link(link()).both(shipped).steps(2_000_000));
    bulk(&mut pair, Client, SECOND / 2, |_| {});
    cut(&mut pair, A);
    set_addresses(&mut pair, Client, &[B[0]]);
    let (silence, _) = bulk(&mut pair, Client, SECOND, |_| {});
    assert!(silence < 150 * MS, "{silence:?}");
    assert_eq!(ends(&mut pair, Client), [(1, 1), (1, 0)]);
    let events = pair.events(Client);
    let removed = events
        .iter()
        .filter(|e| matches!(e, Event::PathRemoved(_)))
        .count();
    assert_eq!(removed, 2, "{events:?}");
    assert!(events.iter().any(|e| matches!(e, Event::PrimaryChanged(_))));
    // It comes again: the peer knows it of old, or has to be told first.
    pair.net.clear_scripts();
    set_addresses(&mut pair, Client, &[A[0], B[0]]);
    bulk(&mut pair, Client, SECOND, |_| {});
    // The last one stays, for there has to be one.
    set_addresses(&mut pair, Client, &[]);
    assert_eq!(paths(&mut pair, Client).len().min(1), 1);
    pair.drive_for(SECOND);
}

#[test]
fn a_download_goes_on_at_once_when_the_client_loses_the_address_it_comes_to() {
    let loopback = "127.0.0.1:9899";
    let bbr = |c: &mut AssociationConfig| {
        shipped(c);
        c.congestion_control(CongestionControl::Bbr);
    };
    for at in 0..3 {
        let builder = two_by_two().link(link()).both(bbr);
        let mut pair = connect(builder.untraced().steps(5_000_000));
        pair.client.addrs.push(loopback.parse().unwrap());
        bulk(&mut pair, Server, SECOND + at * 137 * MS, |_| {});
        // Nothing comes to the address, or leaves from it or by its network. A SACK is refused
        // before the driver hears of that.
        cut(&mut pair, A);
        let gone = A.map(|text| text.parse::<SocketAddr>().unwrap().ip());
        pair.client.unreachable.extend(gone);
        let mut told = Some(pair.now + 5 * MS);
        let (silence, _) = bulk(&mut pair, Server, 200 * MS, |pair| {
            if told.take_if(|at| *at <= pair.now).is_some() {
                set_addresses(pair, Client, &[loopback, B[0]]);
            }
        });
        // The news is on its way for 25 ms, as is what comes again by the other path, and a message
        // is several packets.
        assert!(silence < 120 * MS, "{silence:?}");
        assert_eq!(ends(&mut pair, Server), [(1, 1), (0, 1)]);
    }
}

#[test]
fn paths_come_and_go_without_end() {
    let mut pair = connect(two_by_two().steps(2_000_000));
    for round in 0..60 {
        pair.send(Client, 1, vec![round; 5000]);
        let list: &[&str] = match round % 3 {
            0 => &[A[0]],
            1 => &[B[0]],
            _ => &[A[0], B[0]],
        };
        set_addresses(&mut pair, Server, &[A[1], B[1]]);
        set_addresses(&mut pair, Client, list);
        pair.drive_for(300 * MS);
        while let Some(message) = pair.recv(Server, 1) {
            assert_eq!(message.len(), 5000);
        }
    }
    pair.shutdown(Client);
    pair.drive_for(60 * SECOND);
    assert_eq!(pair.closed(Server), Some(CloseReason::Shutdown));
}
