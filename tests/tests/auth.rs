//! Authenticated chunks (AUTH, RFC 4895), and who is not believed.

use std::time::Duration;

use sctp_proto::{
    AssociationConfig, AssociationState, AuthEvent, AuthKeyError, CloseReason, Event,
    HmacAlgorithm, IcmpKind, SharedKey,
};
use sctp_tests::{
    auth::{self, Auth, SHA1, SHA256, offer},
    build::{
        abort, bare_abort, cookie_ack, cookie_echo, data, heartbeat, init, init_ack, shutdown,
        shutdown_ack, shutdown_complete,
    },
    codec::{Chunk, Packet, be16, cause, kind, param},
    net::{Datagram, Link, Verdict},
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

/// Everything that can be authenticated and is sent by both sides.
const EVERYTHING: [u8; 13] = [
    kind::DATA,
    kind::SACK,
    kind::HEARTBEAT,
    kind::HEARTBEAT_ACK,
    kind::ABORT,
    kind::SHUTDOWN,
    kind::SHUTDOWN_ACK,
    kind::ERROR,
    kind::COOKIE_ECHO,
    kind::COOKIE_ACK,
    kind::I_DATA,
    kind::RE_CONFIG,
    kind::FORWARD_TSN,
];

fn key() -> SharedKey {
    SharedKey::new(*b"sesame")
}

/// A peer that has an association with a host that listens and wants these chunks authenticated.
fn connected(host: &[u8], peer_wants: &[u8], algorithms: &[u16]) -> (Peer, Auth) {
    let mut peer = Peer::client_with(|config| _ = config.auth_chunks(host));
    let own: Chunk = offer(init(TAG), peer_wants, algorithms).into();
    peer.send_tagged(0, own.clone());
    let answer = peer.expect(kind::INIT_ACK).as_init();
    (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
    let auth = Auth::new(&own, &answer).with_algorithm(algorithms[0]);
    peer.send_bundle(auth.sign(vec![cookie_echo(&answer.cookie())]));
    let chunks = peer.receive().expect("COOKIE ACK").packet.chunks;
    assert_eq!(
        chunks.last().map(|chunk| chunk.kind),
        Some(kind::COOKIE_ACK)
    );
    peer.take_established(false);
    (peer, auth)
}

fn auth_events(peer: &mut Peer) -> Vec<AuthEvent> {
    let events = peer.events();
    let of = |event| match event {
        Event::Authentication(event) => Some(event),
        _ => None,
    };
    events.into_iter().filter_map(of).collect()
}

#[test]
fn what_is_offered_in_init_and_init_ack() {
    let mut peer = Peer::server_with(|config| _ = config.auth_chunks(&[kind::DATA, kind::ABORT]));
    let init = peer.expect(kind::INIT).as_init();
    assert_eq!(init.param(param::RANDOM).map(<[u8]>::len), Some(32));
    assert!(init.supports(kind::AUTH));
    let listed = init.param(param::CHUNKS).expect("CHUNKS");
    assert!(listed.contains(&kind::DATA) && listed.contains(&kind::ABORT));
    assert_eq!(init.param(param::HMAC_ALGO), Some(&[0, 3, 0, 1][..]));
    // Each association has a number of its own.
    let mut peer = Peer::client();
    let mut numbers: Vec<Vec<u8>> = (0..10)
        .map(|_| {
            let ack = peer.init(offer(sctp_tests::build::init(TAG), &[], &[SHA1]));
            ack.param(param::RANDOM).expect("RANDOM").to_vec()
        })
        .collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 10);

    // Who does not ask is not told, and has an association without.
    let mut peer = Peer::client();
    let answer = peer.init(sctp_tests::build::init(TAG));
    for kind in [param::RANDOM, param::CHUNKS, param::HMAC_ALGO] {
        assert_eq!(answer.param(kind), None);
    }
    peer.send(cookie_echo(&answer.cookie()));
    assert!(!peer.association().can_authenticate());
}

#[test]
fn auth_can_be_switched_off() {
    let mut peer = Peer::server_with(|config| _ = config.auth(false));
    let init = peer.expect(kind::INIT).as_init();
    assert!(init.param(param::RANDOM).is_none() && !init.supports(kind::AUTH));
    // What is off is as if unknown: not even its form is looked at.
    let mut peer = Peer::client_with(|config| _ = config.auth(false));
    let bad = offer(sctp_tests::build::init(TAG), &[], &[SHA1]).param(param::RANDOM, &[1]);
    let answer = peer.init(bad);
    assert_eq!(answer.param(param::RANDOM), None);
    for (client, server) in [(true, false), (false, true), (false, false), (true, true)] {
        let mut pair = Pair::builder()
            .client(|c| _ = c.auth(client))
            .server(|c| _ = c.auth(server))
            .build();
        pair.connect();
        for side in [Client, Server] {
            let association = &pair.conn(side).association;
            assert_eq!(association.can_authenticate(), client && server);
        }
        pair.send(Client, 1, "either way");
        pair.drive();
        assert_eq!(pair.recv(Server, 1).unwrap(), "either way");
    }
}

/// That every chunk of the listed types that leaves does so behind an AUTH.
fn check_all_behind_auth(pair: &mut Pair, side: Side) {
    pair.script_from(side, |_, datagram| {
        let packet = Packet::decode(&datagram.payload).expect("a packet");
        let listed = |chunk: &Chunk| EVERYTHING.contains(&chunk.kind);
        let auth = packet.chunks.iter().position(|c| c.kind == kind::AUTH);
        if let Some(first) = packet.chunks.iter().position(listed) {
            assert!(auth.is_some_and(|at| at < first), "{packet:?}");
        }
        Verdict::Pass
    });
}

#[test]
fn everything_authenticated_works_through_loss_and_reordering() {
    for (seed, interleaving) in [(1, true), (2, false), (3, true)] {
        let mut pair = Pair::builder()
            .seed(seed)
            .link(Link {
                loss: 0.1,
                reorder: 0.1,
                ..Link::default()
            })
            .both(|c| {
                c.auth_chunks(&EVERYTHING)
                    .auth_keys(&[(3, key())])
                    .interleaving(interleaving)
                    .heartbeat_interval(Some(Duration::from_secs(2)));
            })
            .audited()
            .build();
        check_all_behind_auth(&mut pair, Client);
        check_all_behind_auth(&mut pair, Server);
        pair.connect();
        let message = vec![seed as u8; 30_000];
        for stream in 0..10 {
            pair.send(Client, stream, message.clone());
            pair.send(Server, stream, message.clone());
        }
        pair.drive_for(Duration::from_secs(60));
        for stream in 0..10 {
            assert_eq!(pair.recv(Server, stream).unwrap(), message);
            assert_eq!(pair.recv(Client, stream).unwrap(), message);
        }
        pair.shutdown(Client);
        pair.drive();
        assert_eq!(pair.closed(Client), Some(CloseReason::Shutdown));
        for side in [Client, Server] {
            let stats = pair.stats(side);
            assert!(stats.auth_verified > 100, "{stats:?}");
            assert_eq!((stats.auth_rejected, stats.auth_missing), (0, 0));
        }
    }
}

#[test]
fn packets_are_full_and_never_too_large() {
    let mut pair = Pair::builder()
        .both(|c| _ = c.auth_chunks(&[kind::DATA, kind::I_DATA]))
        .build();
    let sizes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&sizes);
    pair.script_from(Client, move |_, datagram| {
        if datagram.has(kind::I_DATA) {
            seen.lock().unwrap().push(datagram.payload.len());
        }
        Verdict::Pass
    });
    pair.connect();
    pair.send(Client, 1, vec![1; 100_000]);
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap().len(), 100_000);
    let largest = pair.path(Client).max_packet;
    let sizes = sizes.lock().unwrap();
    assert!(sizes.iter().all(|size| *size <= largest), "{sizes:?}");
    assert!(sizes.contains(&largest), "{sizes:?} of {largest}");
}

#[test]
fn what_has_to_be_authenticated_and_is_not_is_silently_dropped() {
    let (mut peer, auth) = connected(&[kind::DATA], &[], &[SHA256, SHA1]);
    peer.send(data(1).payload("forged").be());
    peer.advance(Duration::from_secs(1));
    peer.expect_nothing();
    // What comes before the AUTH is not covered by it; what needs no AUTH is taken without.
    let covered = auth.sign(vec![data(2).tsn(2).be()]);
    let bundle = [
        vec![heartbeat(b"x"), data(1).payload("forged").be()],
        covered,
    ]
    .concat();
    peer.send_bundle(bundle);
    assert!(peer.find(kind::HEARTBEAT_ACK).is_some());
    assert_eq!(peer.association().stats().auth_missing, 2);
    assert_eq!(peer.association().stats().data_chunks_received, 1);
    peer.send_bundle(auth.sign(vec![data(1).payload("genuine").be()]));
    assert_eq!(peer.host_recv(1).unwrap(), "genuine");
    assert_eq!(peer.association().stats().auth_verified, 2);
}

#[test]
fn a_wrong_hmac_takes_the_rest_of_the_packet_with_it() {
    for algorithm in [SHA256, SHA1] {
        let (mut peer, auth) = connected(&[kind::DATA], &[], &[algorithm, SHA1]);
        let genuine = auth.sign(vec![data(1).payload("abc").be(), heartbeat(b"x")]);
        for byte in 0..genuine[0].value.len() {
            let mut forged = genuine.clone();
            forged[0].value[byte] ^= 0x40;
            peer.send_bundle(forged);
        }
        let mut other = genuine.clone();
        other[1].value[13] ^= 1;
        peer.send_bundle(other);
        let mut cut = genuine.clone();
        cut[0].value.truncate(4 + 10);
        peer.send_bundle(cut);
        for received in peer.receive_all() {
            assert_eq!(received.kinds(), [kind::ERROR]);
        }
        let stats = peer.association().stats();
        assert_eq!(stats.data_chunks_received, 0);
        assert_eq!(stats.auth_rejected as usize, genuine[0].value.len() + 2);
        peer.send_bundle(genuine);
        assert_eq!(peer.host_recv(1).unwrap(), "abc");
    }
}

#[test]
fn a_second_auth_ends_a_packet() {
    let (mut peer, auth) = connected(&[kind::DATA], &[], &[SHA256]);
    let second = auth.sign(vec![data(2).tsn(2).be()]);
    let chunks = [vec![data(1).be()], second].concat();
    peer.send_bundle(auth.sign(chunks));
    assert_eq!(peer.association().stats().data_chunks_received, 1);
}

#[test]
fn an_algorithm_that_was_not_listed_is_reported() {
    let mut peer = Peer::client_with(|config| {
        config
            .auth_chunks(&[kind::DATA])
            .hmac_algorithms(&[HmacAlgorithm::Sha1]);
    });
    let own: Chunk = offer(init(TAG), &[], &[SHA256, SHA1]).into();
    peer.send_tagged(0, own.clone());
    let answer = peer.expect(kind::INIT_ACK).as_init();
    assert_eq!(answer.param(param::HMAC_ALGO), Some(&[0, 1][..]));
    peer.host_tag = answer.tag;
    peer.send(cookie_echo(&answer.cookie()));
    peer.receive_all();
    let auth = Auth::new(&own, &answer);
    peer.send_bundle(auth.sign(vec![data(1).be()]));
    let error = peer.expect(kind::ERROR);
    assert_eq!(error.causes(), [(cause::UNSUPPORTED_HMAC, vec![0, 3])]);
    peer.send_bundle(auth.with_algorithm(SHA1).sign(vec![data(1).be()]));
    assert_eq!(peer.association().stats().data_chunks_received, 1);
}

#[test]
fn an_unknown_key_is_told_once_and_opens_nothing() {
    let (mut peer, auth) = connected(&[kind::DATA], &[], &[SHA256]);
    let stranger = auth.clone().with_key(9, b"");
    for _ in 0..5 {
        peer.send_bundle(stranger.sign(vec![data(1).be()]));
    }
    peer.expect_nothing();
    assert_eq!(auth_events(&mut peer), [AuthEvent::UnknownKey(9)]);
    assert_eq!(peer.association().stats().auth_rejected, 5);
    peer.association().set_auth_key(9, key());
    peer.send_bundle(stranger.sign(vec![data(1).be()]));
    assert_eq!(peer.association().stats().auth_rejected, 6, "not the key");
    peer.send_bundle(auth.with_key(9, b"sesame").sign(vec![data(1).be()]));
    assert_eq!(auth_events(&mut peer), [AuthEvent::NewKey(9)]);
    assert_eq!(peer.association().stats().data_chunks_received, 1);
}

#[test]
fn keys_that_the_peer_changes_without_end_are_told_within_bounds() {
    let (mut peer, auth) = connected(&[kind::DATA], &[], &[SHA256]);
    peer.association().set_auth_key(9, key());
    let other = auth.clone().with_key(9, b"sesame");
    // Nobody takes the events.
    for _ in 0..1500 {
        for auth in [&other, &auth] {
            peer.send_bundle_unpolled(auth.sign(vec![data(1).be()]));
        }
    }
    peer.collect();
    let events = auth_events(&mut peer).len();
    assert!((1000..=1100).contains(&events), "{events} events");
    peer.send_bundle(other.sign(vec![data(1).be()]));
    assert_eq!(auth_events(&mut peer), [AuthEvent::NewKey(9)]);
}

#[test]
fn what_the_peer_asks_for_is_signed() {
    for algorithms in [&[SHA256, SHA1][..], &[SHA1], &[7, SHA1, SHA256]] {
        let wanted = [
            kind::I_DATA,
            kind::DATA,
            kind::SACK,
            kind::ABORT,
            kind::COOKIE_ACK,
        ];
        let mut peer = Peer::client();
        let own: Chunk = offer(init(TAG), &wanted, algorithms).into();
        peer.send_tagged(0, own.clone());
        let answer = peer.expect(kind::INIT_ACK).as_init();
        (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
        let mut auth = Auth::new(&own, &answer);
        peer.send(cookie_echo(&answer.cookie()));
        let acked = peer.expect_packet(&[kind::AUTH, kind::COOKIE_ACK]);
        assert!(auth.vouches_for(&acked));
        peer.host_send(1, vec![7; 5000]);
        let sent = peer.receive_all();
        let largest = peer
            .association()
            .paths()
            .next()
            .expect("a path")
            .stats
            .max_packet;
        assert!(sent.len() >= 4);
        let expected = algorithms.iter().find(|id| **id != 7).copied();
        for received in sent {
            let chunks = received.packet.chunks;
            assert_eq!(chunks[0].kind, kind::AUTH);
            assert_eq!(Some(be16(&chunks[0].value, 2)), expected);
            assert!(auth.vouches_for(&chunks));
            assert!(received.len <= largest);
        }
        peer.send(data(1).be());
        peer.advance(Duration::from_millis(200));
        let sack = peer.receive().expect("SACK").packet.chunks;
        assert_eq!((sack[0].kind, sack[1].kind), (kind::AUTH, kind::SACK));
        assert!(auth.vouches_for(&sack));
        auth.key = b"another".to_vec();
        assert!(!auth.vouches_for(&sack));
        let now = peer.now;
        peer.association().abort(now, "enough".into());
        peer.collect();
        let end = peer.receive_all().pop().expect("ABORT").packet.chunks;
        assert_eq!((end[0].kind, end[1].kind), (kind::AUTH, kind::ABORT));
        auth.key = Vec::new();
        assert!(auth.vouches_for(&end));
    }
}

#[test]
fn a_client_signs_its_cookie_echo() {
    let mut peer = Peer::server_with(|config| _ = config.auth_keys(&[(5, key())]));
    let own: Chunk = offer(init_ack(TAG, COOKIE), &[kind::COOKIE_ECHO], &[SHA256, SHA1]).into();
    let chunk = peer.expect(kind::INIT).as_init();
    (peer.host_tag, peer.host_tsn) = (chunk.tag, chunk.tsn);
    peer.send(own.clone());
    let auth = Auth::new(&own, &chunk).with_key(5, b"sesame");
    for _ in 0..3 {
        let echo = peer.expect_packet(&[kind::AUTH, kind::COOKIE_ECHO]);
        assert!(auth.vouches_for(&echo));
        assert_eq!(echo[1].value, COOKIE);
        peer.advance_to_packet();
    }
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
}

/// A host that lets only those in that know its key, and the answer to an INIT of its peer.
fn guarded() -> (Peer, Auth, Vec<u8>) {
    let mut peer = Peer::client_with(|config| {
        config
            .auth_chunks(&[kind::COOKIE_ECHO, kind::ABORT])
            .auth_keys(&[(5, key())]);
    });
    let own: Chunk = offer(init(TAG), &[], &[SHA256, SHA1]).into();
    peer.send_tagged(0, own.clone());
    let answer = peer.expect(kind::INIT_ACK).as_init();
    (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
    let auth = Auth::new(&own, &answer).with_key(5, b"sesame");
    (peer, auth, answer.cookie())
}

#[test]
fn a_server_can_ask_for_a_key() {
    let (mut peer, auth, cookie) = guarded();
    let echo = cookie_echo(&cookie);
    peer.send(echo.clone());
    peer.send_bundle(auth.clone().with_key(5, b"Sesame").sign(vec![echo.clone()]));
    peer.send_bundle(auth.clone().with_key(0, b"").sign(vec![echo.clone()]));
    let mut bent = auth.sign(vec![echo.clone()]);
    bent[0].value[9] ^= 1;
    peer.send_bundle(bent);
    // An AUTH that stands behind it says nothing of it.
    let behind = auth.sign(vec![data(1).be()]);
    peer.send_bundle([vec![echo.clone()], behind].concat());
    peer.expect_nothing();
    assert!(peer.host.conns.is_empty());
    assert_eq!(peer.host.endpoint.stats().cookies_unauthenticated, 5);
    peer.send_bundle(auth.sign(vec![echo.clone(), data(1).payload("at once").be()]));
    assert_eq!(peer.state(), AssociationState::Established);
    assert_eq!(peer.host_recv(1).unwrap(), "at once");
    assert!(peer.find(kind::COOKIE_ACK).is_some());
    // A retransmission gets its COOKIE ACK, unless it is forged.
    peer.send_bundle(auth.sign(vec![echo.clone()]));
    assert!(peer.find(kind::COOKIE_ACK).is_some());
    peer.send(echo);
    peer.expect_nothing();
}

#[test]
fn threat_12_an_auth_nobody_agreed_on_in_front_of_a_cookie_echo_is_nothing() {
    // CVE-2014-0101, CVE-2026-23125: the keys that it was checked with were not there.
    let stray = |length: usize| Chunk::new(kind::AUTH, 0, &vec![0; length]);
    for length in [0, 3, 4, 8, 24, 36, 100] {
        let mut peer = Peer::client();
        let cookie = peer.init(init(TAG)).cookie();
        peer.send_bundle(vec![stray(length), cookie_echo(&cookie)]);
        peer.expect_nothing();
        assert!(peer.host.conns.is_empty());
        peer.send(cookie_echo(&cookie));
        peer.expect(kind::COOKIE_ACK);
        // Nor for an association that is there, in whatever state.
        for state in [
            AssociationState::Established,
            AssociationState::ShutdownSent,
            AssociationState::ShutdownReceived,
            AssociationState::ShutdownAckSent,
        ] {
            let mut peer = Peer::in_state(state);
            if state != AssociationState::ShutdownAckSent {
                let before = std::mem::replace(&mut peer.tag, 0x2222_2222);
                peer.send_tagged(0, init(peer.tag));
                let answer = peer.find(kind::INIT_ACK).expect("INIT ACK").as_init();
                peer.tag = before;
                let chunks = vec![stray(length), cookie_echo(&answer.cookie())];
                peer.send_bytes(peer.packet(answer.tag, chunks).encode());
            }
            peer.send_bundle(vec![stray(length), cookie_echo(b"nonsense")]);
            peer.send_bundle(vec![stray(length), bare_abort(false)]);
            assert_eq!(peer.state(), state);
        }
    }
}

#[test]
fn threat_12_a_cookie_echo_is_authenticated_by_what_is_there_already() {
    // A peer that restarts has no more than its new keys, which anybody at its address could have.
    let (mut peer, auth, cookie) = guarded();
    peer.send_bundle(auth.sign(vec![cookie_echo(&cookie)]));
    peer.receive_all();
    peer.events();
    peer.tag = 0x2222_2222;
    let own: Chunk = offer(init(peer.tag), &[], &[SHA256]).into();
    peer.send_tagged(0, own.clone());
    let answer = peer.expect(kind::INIT_ACK).as_init();
    let new = Auth::new(&own, &answer).with_key(5, b"sesame");
    let echo = cookie_echo(&answer.cookie());
    let send = |peer: &mut Peer, chunks: Vec<Chunk>| {
        let packet = peer.packet(answer.tag, chunks);
        peer.send_bytes(packet.encode());
    };
    send(&mut peer, vec![echo.clone()]);
    send(&mut peer, new.sign(vec![echo.clone()]));
    peer.expect_nothing();
    assert_eq!(peer.association().stats().restarts, 0);
    // One that still knows the old keys restarts, and both use the new ones from then on.
    send(
        &mut peer,
        auth.sign(vec![echo, data(1).payload("behind it").be()]),
    );
    assert_eq!(peer.association().stats().restarts, 1);
    assert_eq!(peer.host_recv(1).unwrap(), "behind it");
    peer.host_tag = answer.tag;
    peer.receive_all();
    peer.send_bundle(auth.sign(vec![abort(12, b"")]));
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send_bundle(new.sign(vec![abort(12, b"")]));
    assert_eq!(peer.state(), AssociationState::Closed);
}

#[test]
fn threat_24_forged_aborts_end_nothing_where_they_have_to_be_authenticated() {
    let (mut peer, auth) = connected(&[kind::ABORT], &[], &[SHA256]);
    peer.send(abort(12, b"forged"));
    peer.send_tagged(TAG, bare_abort(true));
    peer.send_tagged(TAG, Chunk::new(kind::ABORT, 1, &[]));
    let mut forged = auth.sign(vec![bare_abort(false)]);
    forged[0].value[10] ^= 1;
    peer.send_bundle(forged);
    // Nor does an ICMP message that quotes its tag.
    peer.host_send(1, "quoted");
    let (from, to) = (peer.host.addrs[0], peer.addr);
    let quoted = peer.packet(TAG, vec![data(1).be()]);
    let sent = Datagram {
        from,
        to,
        payload: Packet {
            source: quoted.destination,
            destination: quoted.source,
            ..quoted
        }
        .encode(),
        dont_fragment: true,
        ecn: None,
    };
    let now = peer.now;
    assert!(peer.host.icmp(now, IcmpKind::NotSupported, &sent));
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send_bundle(auth.sign(vec![bare_abort(false)]));
    assert_eq!(peer.closed(), Some(CloseReason::PeerAbort(None)));
}

#[test]
fn a_shutdown_ack_that_has_to_be_authenticated() {
    let (mut peer, auth) = connected(&[kind::SHUTDOWN_ACK], &[], &[SHA256]);
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
    peer.expect(kind::SHUTDOWN);
    peer.send(shutdown_ack());
    assert_eq!(peer.state(), AssociationState::ShutdownSent);
    peer.send_bundle(auth.sign(vec![shutdown_ack()]));
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
    // SHUTDOWN COMPLETE is never authenticated.
    peer.expect(kind::SHUTDOWN_COMPLETE);
}

/// Who knows nothing of the association says so by the peer's tag and the T bit, and cannot sign
/// anything: of an ABORT that is too little, a SHUTDOWN COMPLETE may not be listed.
#[test]
fn a_reflected_shutdown_complete_counts_where_aborts_have_to_be_authenticated() {
    let (mut peer, _) = connected(&[kind::ABORT], &[], &[SHA256]);
    peer.send(shutdown(peer.host_tsn.wrapping_sub(1)));
    peer.expect(kind::SHUTDOWN_ACK);
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
    peer.send_tagged(TAG, bare_abort(true));
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
    peer.send_tagged(TAG, shutdown_complete(true));
    assert_eq!(peer.closed(), Some(CloseReason::Shutdown));
}

#[test]
fn keys_change_while_data_flows() {
    let mut pair = Pair::builder()
        .link(Link {
            loss: 0.05,
            ..Link::default()
        })
        .both(|c| _ = c.auth_chunks(&EVERYTHING))
        .build();
    pair.connect();
    let mut expected = 0;
    for id in 1..6_u16 {
        for side in [Client, Server] {
            let association = &mut pair.conn(side).association;
            association.set_auth_key(id, SharedKey::new(vec![id as u8; 16]));
        }
        for side in [Client, Server] {
            pair.send(side, 1, vec![0; 20_000]);
            pair.drive_for(Duration::from_millis(15));
            let association = &mut pair.conn(side).association;
            association.activate_auth_key(id).unwrap();
            assert_eq!(association.active_auth_key(), id);
            expected += 1;
        }
        pair.drive();
        for side in [Client, Server] {
            let events = pair.events(side);
            let new = Event::Authentication(AuthEvent::NewKey(id));
            assert!(events.contains(&new), "{side:?} {id}: {events:?}");
            let association = &mut pair.conn(side).association;
            let in_use = Err(AuthKeyError::InUse(id - 1));
            assert_eq!(association.delete_auth_key(id - 1), in_use);
            association.deactivate_auth_key(id - 1).unwrap();
            association.delete_auth_key(id - 1).unwrap();
            let gone = Err(AuthKeyError::Unknown(id - 1));
            assert_eq!(association.activate_auth_key(id - 1), gone);
        }
        pair.flush();
        for side in [Client, Server] {
            let freed = Event::Authentication(AuthEvent::FreeKey(id - 1));
            assert!(pair.events(side).contains(&freed));
        }
    }
    let received = pair.recv_all(Client).len() + pair.recv_all(Server).len();
    assert_eq!(received, expected);
    let stats = pair.stats(Client);
    assert_eq!((stats.auth_rejected, stats.auth_missing), (0, 0));
}

#[test]
fn both_sides_calling_at_once_agree_on_keys() {
    // RFC 4895 §6.1: the random number goes with the verification tag.
    for delay in 0..30 {
        let mut pair = Pair::builder()
            .both_listen()
            .both(|c| _ = c.auth_chunks(&EVERYTHING).auth_keys(&[(2, key())]))
            .build();
        pair.start();
        pair.drive_for(Duration::from_millis(delay));
        pair.start_from_server();
        pair.drive_until(Pair::established);
        pair.send(Client, 1, "one way");
        pair.send(Server, 1, "and back");
        pair.drive();
        let got = (pair.recv(Server, 1), pair.recv(Client, 1));
        assert_eq!(
            got,
            (Some("one way".into()), Some("and back".into())),
            "{delay} ms"
        );
    }
}

#[test]
fn a_host_that_crashes_comes_back_with_other_keys() {
    let mut pair = Pair::builder()
        .client(|c| _ = c.local_port(Some(5000)))
        .both(|c| _ = c.auth_chunks(&[kind::DATA, kind::I_DATA, kind::SACK]))
        .build();
    pair.connect();
    pair.crash(Client);
    pair.start();
    pair.drive_until(Pair::established);
    pair.drive();
    pair.send(Client, 1, "again");
    pair.send(Server, 1, "hello");
    pair.drive();
    assert_eq!(pair.recv(Server, 1).unwrap(), "again");
    assert_eq!(pair.recv(Client, 1).unwrap(), "hello");
    assert_eq!(pair.stats(Server).restarts, 1);
}

#[test]
fn who_relies_on_auth_is_told_that_there_is_none() {
    let told = Event::Authentication(AuthEvent::NotSupported);
    for (change, expected) in [
        ((|_| {}) as fn(&mut AssociationConfig), false),
        (|c| _ = c.auth_chunks(&[kind::DATA]), true),
        (|c| _ = c.auth_keys(&[(1, key())]), true),
    ] {
        let mut peer = Peer::client_with(change);
        peer.connect(init(TAG));
        assert_eq!(peer.events().contains(&told), expected);
        assert!(peer.association().local_auth_chunks().is_empty());
        peer.send(data(1).be());
        assert_eq!(peer.association().stats().data_chunks_received, 1);
    }
}

#[test]
fn both_lists_can_be_read() {
    let (mut peer, _) = connected(
        &[kind::ABORT, kind::DATA],
        &[kind::SACK, kind::INIT],
        &[SHA256],
    );
    let association = peer.association();
    assert!(
        association
            .local_auth_chunks()
            .starts_with(&[kind::DATA, kind::ABORT])
    );
    assert_eq!(association.peer_auth_chunks(), [kind::SACK]);
}

#[test]
fn threat_02_lengths_of_parameters_at_every_boundary() {
    // CVE-2020-6831.
    let value = vec![1; 60_000];
    let lengths = (0..600).chain([1023, 1024, 1232, 8191, 32_767, 60_000]);
    for length in lengths {
        let value = &value[..length];
        for forged in [param::RANDOM, param::CHUNKS, param::HMAC_ALGO] {
            let mut peer = Peer::client();
            let mut offered = init(TAG);
            for (kind, right) in [
                (param::RANDOM, &auth::RANDOM[..]),
                (param::CHUNKS, &[kind::DATA]),
                (param::HMAC_ALGO, &[0, 1]),
            ] {
                offered = offered.param(kind, if kind == forged { value } else { right });
            }
            peer.send_tagged(0, offered);
            let answer = peer.receive().expect("an answer").packet.chunks.remove(0);
            let fine = match forged {
                param::RANDOM => length == 32,
                param::CHUNKS => length <= 256,
                // An odd one is malformed; so short a one leaves AUTH out.
                _ => length.is_multiple_of(2) && length <= 32,
            };
            if fine {
                let ack = answer.as_init();
                let agreed = forged != param::HMAC_ALGO;
                assert_eq!(ack.param(param::RANDOM).is_some(), agreed);
                peer.host_tag = ack.tag;
                peer.send(cookie_echo(&ack.cookie()));
                peer.receive_all();
                assert_eq!(peer.state(), AssociationState::Established);
            } else {
                assert_eq!(answer.kind, kind::ABORT, "{forged:#x} of {length}");
                assert_eq!(answer.cause(), Some(cause::PROTOCOL_VIOLATION));
            }
        }
    }
}

#[test]
fn threat_18_the_answer_to_an_init_with_auth_is_small() {
    let chunks: Vec<u8> = (0..=255).collect();
    let reported = sctp_tests::build::tlv(0xfff0, &[7; 28]).repeat(12);
    for offered in [
        offer(init(TAG), &[], &[SHA1]),
        offer(init(TAG), &[kind::DATA], &[SHA256, SHA1]),
        offer(init(TAG), &chunks, &[SHA1; 16]),
        offer(init(TAG), &chunks, &[SHA1; 16]).raw(&reported),
    ] {
        let mut peer = Peer::client();
        let packet = peer.packet(0, vec![offered.into()]).encode();
        let size = packet.len();
        peer.send_bytes(packet);
        let answer = peer.receive().expect("INIT ACK");
        assert_eq!(answer.kinds(), [kind::INIT_ACK]);
        assert!(answer.len <= 3 * size, "{} for {size}", answer.len);
        assert!(answer.len <= 1232, "{} bytes", answer.len);
        let ack = answer.packet.chunks[0].as_init();
        peer.host_tag = ack.tag;
        peer.send(cookie_echo(&ack.cookie()));
        assert!(peer.association().can_authenticate());
    }
}
