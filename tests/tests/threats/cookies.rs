//! Cookies, tags and TSNs: what they are made from, and who can make them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sctp_proto::{AssociationConfig, AssociationState, EndpointConfig, ServerConfig};
use sctp_tests::{
    build::{cookie_echo, data, init},
    codec::kind,
    host::Host,
    peer::{Peer, TAG},
    rng::Rng,
};

use crate::assert_alive;

#[test]
fn threat_03_a_cookie_holds_nothing_of_the_process_that_made_it() {
    // CVE-2020-6514: the address of a structure in every cookie. Two endpoints that were given the
    // same, and have lived through different things, make the same cookie to the byte.
    let cookies = |before: usize| {
        let noise: Vec<Peer> = (0..before).map(|_| Peer::connected()).collect();
        let mut peer = Peer::client();
        let ports = 5000..5020;
        let cookies: Vec<Vec<u8>> = (ports.clone())
            .map(|port| {
                peer.port = port;
                let answer = peer.init(init(TAG).extensions(&[kind::I_DATA]));
                answer.cookie()
            })
            .collect();
        drop(noise);
        cookies
    };
    let first = cookies(0);
    assert_eq!(first, cookies(3));
    // They differ by what they are about.
    let mut distinct = first.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), first.len());
}

#[test]
fn threat_17_a_cookie_of_another_key_is_forged() {
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None);
    let with_key = |key| {
        let mut endpoint = EndpointConfig::default();
        endpoint.cookie_key(Some([key; 32]));
        Peer::of_server(&config, endpoint)
    };
    let mut other = with_key(1);
    let cookie = other.init(init(TAG)).cookie();
    for (key, good) in [(1, true), (2, false)] {
        let mut peer = with_key(key);
        peer.host_tag = other.host_tag;
        peer.send(cookie_echo(&cookie));
        assert_eq!(peer.host.conns.len(), usize::from(good), "key {key}");
        assert_eq!(peer.find(kind::COOKIE_ACK).is_some(), good);
    }
    // Nothing that was not sealed is worth anything, whatever its length.
    let mut rng = Rng::new(17);
    let mut peer = with_key(1);
    for length in 0..300 {
        peer.host_tag = rng.next_u64() as u32 | 1;
        peer.tag = peer.host_tag;
        peer.send(cookie_echo(&rng.bytes(length)));
    }
    assert_eq!(peer.host.endpoint.associations(), 0);
}

#[test]
fn threat_04_a_restart_in_every_state_swaps_the_association_whole() {
    // CVE-2021-30523, CVE-2022-46871: state of the old association used by the new one.
    for state in [
        AssociationState::Established,
        AssociationState::ShutdownPending,
        AssociationState::ShutdownSent,
        AssociationState::ShutdownReceived,
    ] {
        let mut peer = Peer::in_state(state);
        let (old_tag, old_tsn) = (peer.host_tag, peer.host_tsn);
        // Half a message of the old one is there, and a hole before another.
        peer.send(data(1).tsn(1).payload("half").b());
        peer.send(data(2).tsn(9).payload("beyond").be());
        peer.receive_all();
        peer.tag = 0x7777_7777;
        let answer = peer.init(init(peer.tag).tsn(500).extensions(&[kind::RE_CONFIG]));
        // Cookies that are not quite the one do nothing.
        for bit in (0..answer.cookie().len() * 8).step_by(7) {
            let mut forged = answer.cookie();
            forged[bit / 8] ^= 1 << (bit % 8);
            peer.send(cookie_echo(&forged));
            peer.expect_nothing();
            assert_eq!(peer.state(), state, "bit {bit}");
        }
        peer.send(cookie_echo(&answer.cookie()));
        peer.expect(kind::COOKIE_ACK);
        peer.take_established(true);
        assert_eq!(peer.state(), AssociationState::Established, "{state:?}");
        assert_ne!(peer.host_tag, old_tag);
        assert_ne!(peer.host_tsn, old_tsn);
        // Nothing of the old is left in the new.
        assert_eq!(peer.host_recv(1), None);
        assert_eq!(peer.host_recv(2), None);
        peer.send(data(1).tsn(500).payload("new").be());
        assert_eq!(peer.host_recv(1).unwrap(), "new", "{state:?}");
        // The old tag is nobody's any more.
        let stray = peer.packet(old_tag, vec![data(1).tsn(2).payload("old").e()]);
        peer.tag = old_tag;
        peer.send_bytes(stray.encode());
        assert_eq!(peer.host_recv(1), None);
        peer.receive_all();
        peer.tag = 0x7777_7777;
        assert_alive(&mut peer, 501);
    }
}

#[test]
fn threat_20_a_restart_is_always_told() {
    // Whoever takes over a peer's address restarts the association: the user has to know.
    let mut peer = Peer::connected();
    for round in 0..20 {
        peer.tag = 0x2000_0000 + round;
        let answer = peer.init(init(peer.tag).extensions(&[kind::RE_CONFIG]));
        peer.send(cookie_echo(&answer.cookie()));
        peer.expect(kind::COOKIE_ACK);
        peer.take_established(true);
        assert_eq!(u64::from(round) + 1, peer.association().stats().restarts);
        assert_alive(&mut peer, 1);
        peer.receive_all();
    }
}

#[test]
fn threat_28_tags_and_tsns_are_those_of_the_seed_and_no_two_are_alike() {
    // The only source of randomness is the seed that the caller draws from its system.
    let draw = |seed: u64, count: u16| {
        let mut server = ServerConfig::default();
        let mut config = AssociationConfig::default();
        config.heartbeat_interval(None);
        server.association(Arc::new(config));
        let mut peer = Peer::client();
        let addrs = peer.host.addrs.clone();
        let seed = Rng::new(seed).seed();
        peer.host = Host::new(&addrs, EndpointConfig::default(), Some(server), seed);
        (0..count)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                peer.addr = SocketAddr::from(([10, 1, high, low], 9899));
                peer.advance(Duration::from_millis(100));
                let answer = peer.init(init(TAG));
                (answer.tag, answer.tsn)
            })
            .collect::<Vec<_>>()
    };
    let first = draw(1, 2000);
    assert_eq!(first, draw(1, 2000));
    let other = draw(2, 2000);
    let mut tags: Vec<u32> = first.iter().chain(&other).map(|(tag, _)| *tag).collect();
    let mut tsns: Vec<u32> = first.iter().chain(&other).map(|(_, tsn)| *tsn).collect();
    for numbers in [&mut tags, &mut tsns] {
        // Every bit is as often one as zero, within five standard deviations.
        for bit in 0..32 {
            let ones = numbers.iter().filter(|n| *n >> bit & 1 != 0).count();
            assert!((1840..=2160).contains(&ones), "bit {bit}: {ones} of 4000");
        }
        numbers.sort_unstable();
        numbers.dedup();
        // Of 4,000 draws from 2^32, two are equal in one run of five hundred.
        assert!(numbers.len() >= 3999);
    }
}
