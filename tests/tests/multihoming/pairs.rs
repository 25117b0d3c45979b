//! Which addresses make paths, and which are told to whom.

use std::net::{IpAddr, SocketAddr};

use sctp_proto::{AssociationConfig, EndpointConfig, Instant};
use sctp_tests::{
    build::{cookie_echo, init},
    codec::{Packet, kind, param},
    host::Host,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{Peer, TAG},
};

use crate::{A, B, SECOND, connect, cut, ends, paths, record, two_by_two, within};

//= RFC 9260 §5.1.2, test
//# If there are only IPv4/IPv6 addresses present in the received INIT or...
//= RFC 9260 §5.1.2, test
//# The receiver SHOULD use only these transport addresses as destination transport addresses...
#[test]
fn both_lists_make_pairs_that_share_nothing_first() {
    let mut pair = connect(two_by_two());
    for side in [Client, Server] {
        assert_eq!(
            ends(&mut pair, side)[0],
            (0, 0),
            "{side:?}: that of the handshake"
        );
        let mut all = ends(&mut pair, side);
        all.sort_unstable();
        assert_eq!(all, [(0, 0), (0, 1), (1, 0), (1, 1)], "{side:?}");
    }
    assert_eq!(ends(&mut pair, Server), [(0, 0), (1, 1), (0, 1), (1, 0)]);
    // Data goes by the first, and the others carry HEARTBEATs.
    let seen = record(&mut pair);
    pair.send(Client, 1, "there");
    pair.send(Server, 1, "and back");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap(), "there");
    assert_eq!(pair.recv(Client, 1).unwrap(), "and back");
    for (_, datagram) in seen.lock().unwrap().iter() {
        let data = datagram.has(kind::I_DATA) || datagram.has(kind::SACK);
        assert!(data && !within(datagram, B), "{datagram:?}");
    }
}

#[test]
fn one_side_with_several_addresses_is_enough() {
    for (client, server) in [(&[A[0], B[0]][..], &[A[1]][..]), (&[A[0]], &[A[1], B[1]])] {
        let mut pair = connect(Pair::builder().addrs(client, server).audited());
        assert_eq!(paths(&mut pair, Client).len(), 2);
        assert_eq!(paths(&mut pair, Server).len(), 2);
    }
}

#[test]
fn what_is_not_announced_makes_no_path() {
    let quiet = |c: &mut AssociationConfig| _ = c.announce_addresses(false);
    let mut pair = connect(two_by_two().both(quiet));
    assert_eq!(ends(&mut pair, Client), [(0, 0)]);
    assert_eq!(ends(&mut pair, Server), [(0, 0)]);
    let mut pair = connect(two_by_two().both(|c| _ = c.max_paths(1)));
    assert_eq!(paths(&mut pair, Server).len(), 1);
    let mut pair = connect(two_by_two().client(|c| _ = c.max_paths(2)));
    assert_eq!(paths(&mut pair, Client).len(), 2);
    assert_eq!(paths(&mut pair, Server).len(), 4);
}

//= RFC 9260 §5.1.2, test
//# If an SCTP endpoint that only supports either IPv4 or IPv6 receives...
#[test]
fn both_families_serve_one_association() {
    let client = ["10.0.0.1:9899", "[fd00::1]:9899"];
    let server = ["10.0.0.2:9899", "[fd00::2]:9899"];
    let mut pair = connect(Pair::builder().addrs(&client, &server).audited());
    assert_eq!(ends(&mut pair, Client), [(0, 0), (1, 2)]);
    cut(&mut pair, [client[0], server[0]]);
    pair.send(Client, 1, vec![7; 50_000]);
    pair.drive_for(20 * SECOND);
    assert_eq!(pair.recv(Server, 1).unwrap().len(), 50_000);
    // A client with IPv4 only: the server's IPv6 address is nothing to it.
    let client = ["10.0.0.1:9899", "10.1.0.1:9899"];
    let mut pair = connect(Pair::builder().addrs(&client, &server).audited());
    assert_eq!(ends(&mut pair, Client), [(0, 0), (1, 0)]);
}

#[test]
fn addresses_that_mean_something_else_here_are_not_probed() {
    // From a public address: what is private, or loopback, is in the network of the host.
    let mut peer = Peer::client();
    peer.addr = "192.0.2.9:9899".parse().unwrap();
    let chunk = [
        [127, 0, 0, 1],
        [10, 9, 9, 9],
        [169, 254, 1, 1],
        [198, 51, 100, 7],
    ];
    let chunk = chunk
        .iter()
        .fold(init(TAG), |init, ip| init.param(param::IPV4_ADDRESS, ip));
    let answer = peer.init(chunk);
    peer.send(cookie_echo(&answer.cookie()));
    peer.advance(30 * SECOND);
    let there: Vec<_> = peer
        .association()
        .paths()
        .map(|path| path.remote.ip())
        .collect();
    assert_eq!(
        there,
        ["192.0.2.9", "198.51.100.7"].map(|ip| ip.parse::<IpAddr>().unwrap())
    );
}

//= RFC 6951 §5.7, test
//# When using UDP encapsulation for legacy NAT traversal, IP addresses that might...
#[test]
fn addresses_that_a_nat_would_translate_are_told_to_nobody_beyond_it() {
    let own = [
        "10.0.0.1:9899",
        "192.168.0.1:9899",
        "127.0.0.1:9899",
        "198.51.100.1:9899",
    ];
    let own: Vec<SocketAddr> = own.iter().map(|a| a.parse().unwrap()).collect();
    let listed = |to: &str| {
        let mut host = Host::new(&own, EndpointConfig::default(), None, [7; 32]);
        let now = Instant::from_nanos(1_000_000_000);
        let connected = host.connect(now, AssociationConfig::default(), &[to.parse().unwrap()]);
        connected.unwrap();
        host.poll(now);
        let packet = host.take_packet().expect("an INIT");
        let init = Packet::decode(&packet.payload).unwrap().chunks[0].as_init();
        let kinds = init.params.into_iter();
        let addresses = kinds.filter(|(kind, _)| *kind == param::IPV4_ADDRESS);
        addresses.map(|(_, value)| value[0]).collect::<Vec<_>>()
    };
    assert_eq!(listed("203.0.113.5:9899"), [], "one alone is not listed");
    assert_eq!(listed("10.9.9.9:9899"), [10, 192, 198]);
    assert_eq!(listed("127.0.0.2:9899"), [10, 192, 127, 198]);
}
