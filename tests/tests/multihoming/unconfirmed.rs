//! Addresses that have yet to be confirmed (§5.4).

use std::net::IpAddr;

use sctp_proto::{AssociationState, PathConfig, PathError, PathState};
use sctp_tests::{
    build::{bare_abort, cookie_echo, heartbeat_ack, init},
    codec::{kind, param},
    pair::{Pair, Side::Client},
    peer::{Peer, TAG},
};

use crate::{
    A, MS, SECOND, cut,
    listed::{confirmed, listing, other, path_at},
    paths, state, two_by_two,
};

//= RFC 9260 §5.4, test
//# An endpoint MUST NOT send any chunks to an UNCONFIRMED address, with...
#[test]
fn nothing_but_heartbeats_goes_to_an_address_that_has_proved_nothing() {
    let (mut peer, beat) = listing(|_| {});
    peer.host_send(1, vec![0; 3000]);
    // No SACK comes: every time-out would welcome another path.
    for _ in 0..100 {
        peer.advance(100 * MS);
        for received in peer.receive_all() {
            let only_heartbeat = received.kinds() == [kind::HEARTBEAT];
            assert!(received.to == peer.addr || only_heartbeat, "{received:?}");
        }
    }
    // Neither a changed nonce nor the right one for another address proves anything.
    let mut forged = beat.clone();
    *forged.value.last_mut().unwrap() ^= 1;
    peer.send_chunk_from(other(), heartbeat_ack(&forged));
    peer.send_chunk_from(other(), heartbeat_ack(&beat));
    let acked = path_at(&mut peer, other()).stats.heartbeats_acked;
    assert_eq!(acked, 0, "neither was its last");
    let path = path_at(&mut peer, other());
    assert_ne!(path.state, PathState::Active);
    let chosen = peer.association().set_primary(path.id);
    assert_eq!(chosen, Err(PathError::Unconfirmed));
}

#[test]
fn what_is_to_be_proved_is_probed_whatever_is_set_for_idle_paths() {
    for interval in [None, Some(100 * SECOND)] {
        let configure = |pair: &mut Pair| {
            let now = pair.now;
            for path in paths(pair, Client) {
                let mut config = PathConfig::default();
                config.heartbeat_interval = Some(interval);
                let association = &mut pair.conn(Client).association;
                association.configure_path(now, path.id, config).unwrap();
            }
        };
        let mut pair = two_by_two().build();
        pair.connect();
        configure(&mut pair);
        pair.drive_for(10 * SECOND);
        for path in paths(&mut pair, Client) {
            assert_eq!(path.state, PathState::Active, "{interval:?}: {path:?}");
        }
        // The same goes for a path that may have failed.
        cut(&mut pair, A);
        pair.send(Client, 1, "lost");
        let failed = |pair: &mut Pair| state(pair, Client, 0) == PathState::PotentiallyFailed;
        pair.drive_until(failed);
        configure(&mut pair);
        pair.net.clear_scripts();
        pair.drive_for(10 * SECOND);
        assert_eq!(state(&mut pair, Client, 0), PathState::Active);
    }
}

//= RFC 9260 §5.4, test
//# The number of packets containing HEARTBEAT chunks sent at each RTO...
#[test]
fn addresses_that_are_listed_are_probed_one_per_time_out() {
    for most in [1, 3] {
        let mut peer = Peer::client_with(|c| _ = c.heartbeat_max_burst(most));
        let chunk = (1..=7_u8).fold(init(TAG), |init, n| {
            init.param(param::IPV4_ADDRESS, &[10, n, 0, 1])
        });
        let answer = peer.init(chunk);
        peer.send(cookie_echo(&answer.cookie()));
        let mut beats = 0;
        for _ in 0..5 {
            let round = peer.find_all(kind::HEARTBEAT).len() as u32;
            assert!(round <= most, "{round} in one time-out");
            beats += round;
            peer.advance(SECOND);
        }
        assert!(beats >= 5, "{beats}");
    }
}

#[test]
fn threat_19_an_address_that_somebody_camps_on_is_free_for_its_owner() {
    // RFC 5062 §3: the camper lists the address of another, who then comes with the same ports.
    let (mut peer, _) = listing(|_| {});
    let inits = |peer: &mut Peer| {
        let packet = peer.packet(0, vec![init(0x7777_7777).into()]);
        peer.send_from(other(), packet.encode());
        let answer = peer
            .receive_all()
            .into_iter()
            .find(|r| r.kinds() == [kind::INIT_ACK]);
        answer.expect("an INIT ACK for the owner").packet
    };
    let answer = inits(&mut peer);
    assert_eq!(answer.tag, 0x7777_7777);
    let ack = answer.chunks[0].as_init();
    let packet = peer.packet(ack.tag, vec![cookie_echo(&ack.cookie())]);
    peer.send_from(other(), packet.encode());
    assert_eq!(peer.host.conns.len(), 2, "an association of its own");
    // The camper's probes are answered by nobody, and its association is none the worse.
    assert_eq!(
        peer.host.conns[0].association.state(),
        AssociationState::Established
    );
}

#[test]
fn a_peer_that_restarts_at_another_of_its_addresses_is_known_by_what_it_lists() {
    // Confirmed or not: it lists the one that is.
    for known in [false, true] {
        let mut peer = match known {
            true => confirmed(|_| {}),
            false => listing(|_| {}).0,
        };
        let IpAddr::V4(here) = peer.addr.ip() else {
            unreachable!()
        };
        let chunk = init(0x7777_7777).param(param::IPV4_ADDRESS, &here.octets());
        let packet = peer.packet(0, vec![chunk.into()]);
        peer.tag = 0x7777_7777;
        peer.receive_all();
        peer.send_from(other(), packet.encode());
        let answer = peer.expect(kind::INIT_ACK).as_init();
        let packet = peer.packet(answer.tag, vec![cookie_echo(&answer.cookie())]);
        peer.send_from(other(), packet.encode());
        assert_eq!(peer.host.conns.len(), 1, "the same association");
        peer.take_established(true);
        let first = peer.association().paths().next().expect("a path");
        assert_eq!((first.remote, first.state), (other(), PathState::Active));
    }
}

#[test]
fn threat_21_a_stranger_at_a_listed_address_cannot_end_the_association() {
    // It gets HEARTBEATs of an association that it does not know, and says so (§8.4).
    let (mut peer, _) = listing(|_| {});
    let reflected = peer.packet(TAG, vec![bare_abort(true)]);
    peer.send_from(other(), reflected.encode());
    assert_eq!(peer.state(), AssociationState::Established);
}
