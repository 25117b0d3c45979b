//! Addresses that come and go while an association lasts (ASCONF, RFC 5061), and who may say so.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sctp_proto::{
    AddressError, AssociationConfig, AssociationState, CloseReason, Event, LocalChange, PathState,
    SendInfo,
};
use sctp_tests::{
    auth::{Auth, SHA256, offer},
    build::{
        asconf, asconf_ack, bare_abort, cookie_echo, data, error, heartbeat_ack, init, init_ack,
        tlv,
    },
    codec::{Chunk, asconf_errors, cause, kind, param},
    peer::{COOKIE, Peer, Received, TAG},
};

/// Where the peer is from the beginning, where it comes to be, where others are.
const HOME: [u8; 4] = [10, 0, 0, 1];
const AWAY: [u8; 4] = [10, 7, 0, 1];
const VICTIM: [u8; 4] = [10, 66, 66, 66];
const ANY: [u8; 4] = [0; 4];

const EXTENSIONS: [u8; 4] = [kind::AUTH, kind::ASCONF, kind::ASCONF_ACK, kind::RE_CONFIG];

fn at(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((ip, 9899))
}

/// A peer with an association in which addresses can change; its next ASCONF has number 1.
struct Mover {
    peer: Peer,
    auth: Auth,
    seq: u32,
}

impl Mover {
    fn connected() -> Self {
        Self::connected_with(|_| {})
    }

    fn connected_with(change: impl FnOnce(&mut AssociationConfig)) -> Self {
        let mut peer = Peer::client_with(change);
        let offered = init(TAG).extensions(&EXTENSIONS);
        let own: Chunk = offer(offered, &[kind::ASCONF, kind::ASCONF_ACK], &[SHA256, 1]).into();
        peer.send_tagged(0, own.clone());
        let answer = peer.expect(kind::INIT_ACK).as_init();
        (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
        peer.send(cookie_echo(&answer.cookie()));
        peer.expect(kind::COOKIE_ACK);
        peer.take_established(false);
        assert!(peer.association().can_change_addresses());
        let auth = Auth::new(&own, &answer);
        Self { peer, auth, seq: 1 }
    }

    fn send_from(&mut self, from: SocketAddr, chunks: Vec<Chunk>) {
        let packet = self.peer.packet(self.peer.host_tag, chunks);
        self.peer.send_from(from, packet.encode());
    }

    /// Sends a request and gives the errors of its answer, which must go to where it came from.
    fn ask_from(&mut self, from: SocketAddr, requests: &[(u16, [u8; 4])]) -> Vec<(u32, u16)> {
        let chunk = asconf(self.seq, HOME, requests);
        self.peer.receive_all();
        self.send_from(from, self.auth.sign(vec![chunk]));
        let answers = self.peer.receive_all();
        let is_ack = |received: &&Received| received.kinds() == [kind::AUTH, kind::ASCONF_ACK];
        let Some(answer) = answers.iter().find(is_ack) else {
            panic!("no answer among {answers:?}");
        };
        assert_eq!(answer.to, from);
        assert!(self.auth.vouches_for(&answer.packet.chunks));
        let (seq, params) = answer.packet.chunks[1].as_asconf();
        assert_eq!(seq, self.seq);
        self.seq += 1;
        asconf_errors(&params)
    }

    fn ask(&mut self, requests: &[(u16, [u8; 4])]) -> Vec<(u32, u16)> {
        self.ask_from(at(HOME), requests)
    }

    /// State of the host's path to an address.
    fn path_to(&mut self, ip: [u8; 4]) -> Option<PathState> {
        let mut paths = self.peer.association().paths();
        let path = paths.find(|path| path.remote.ip() == IpAddr::from(ip));
        path.map(|path| path.state)
    }

    fn primary(&mut self) -> IpAddr {
        let mut paths = self.peer.association().paths();
        paths
            .find(|path| path.is_primary)
            .expect("a path")
            .remote
            .ip()
    }

    /// Answers the HEARTBEATs that come to an address.
    fn confirm(&mut self, ip: [u8; 4]) {
        for _ in 0..50 {
            self.peer.advance(Duration::from_millis(100));
            let beats: Vec<Chunk> = (self.peer.receive_all().into_iter())
                .filter(|received| received.to.ip() == IpAddr::from(ip))
                .flat_map(|received| received.packet.chunks)
                .filter(|chunk| chunk.kind == kind::HEARTBEAT)
                .collect();
            for beat in beats {
                self.send_from(at(ip), vec![heartbeat_ack(&beat)]);
            }
            if self.path_to(ip) == Some(PathState::Active) {
                return;
            }
        }
        panic!("{ip:?} is not confirmed");
    }
}

#[test]
fn an_added_address_carries_data_once_it_is_proved() {
    let mut mover = Mover::connected();
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
    assert_eq!(mover.path_to(AWAY), Some(PathState::Unconfirmed));
    let added = |event: &Event| matches!(event, Event::PathAdded(_));
    assert!(mover.peer.conn().take_event(added).is_some());
    // Nothing but HEARTBEATs goes there before.
    mover.peer.host_send(1, vec![7; 20_000]);
    for received in mover.peer.receive_all() {
        let proved = received.to == at(HOME) || received.kinds() == [kind::HEARTBEAT];
        assert!(proved, "{received:?}");
    }
    mover.confirm(AWAY);
    // From there the peer speaks now, too.
    mover.send_from(at(AWAY), vec![data(1).payload("from away").be()]);
    assert_eq!(mover.peer.host_recv(1).unwrap(), "from away");
}

#[test]
fn a_request_is_performed_once_and_answered_as_often_as_it_comes() {
    let mut mover = Mover::connected();
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
    let added = |event: &Event| matches!(event, Event::PathAdded(_));
    assert!(mover.peer.conn().take_event(added).is_some());
    assert_eq!(
        mover.ask(&[(param::DELETE_IP, AWAY), (param::DELETE_IP, HOME)]),
        [(2, cause::DELETE_LAST)]
    );
    for _ in 0..3 {
        for (seq, errors) in [(1, 0), (2, 1)] {
            mover.seq = seq;
            assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]).len(), errors);
        }
    }
    assert!(mover.peer.conn().take_event(added).is_none());
    // From the future, and from long ago.
    for seq in [0, 4, 9, u32::MAX, 1 << 31] {
        let chunk = asconf(seq, HOME, &[(param::ADD_IP, AWAY)]);
        mover.send_from(at(HOME), mover.auth.sign(vec![chunk]));
        mover.peer.expect_nothing();
    }
    assert_eq!(mover.path_to(AWAY), None);
}

#[test]
fn what_is_not_authenticated_changes_nothing() {
    let mut mover = Mover::connected();
    let add = asconf(1, HOME, &[(param::ADD_IP, AWAY)]);
    mover.send_from(at(HOME), vec![add.clone()]);
    let mut forged = mover.auth.sign(vec![add.clone()]);
    forged[0].value[20] ^= 1;
    mover.send_from(at(HOME), forged);
    mover.send_from(
        at(HOME),
        mover.auth.clone().with_key(3, b"x").sign(vec![add]),
    );
    mover.peer.expect_nothing();
    assert_eq!(mover.path_to(AWAY), None);
    let stats = mover.peer.association().stats();
    assert_eq!((stats.auth_missing, stats.auth_rejected), (1, 2));
    mover.seq = 1;
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
}

#[test]
fn addresses_are_deleted_but_for_the_last_and_the_source() {
    let mut mover = Mover::connected();
    let last = [(1, cause::DELETE_LAST)];
    assert_eq!(mover.ask(&[(param::DELETE_IP, HOME)]), last);
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
    let source = [(1, cause::DELETE_SOURCE)];
    assert_eq!(mover.ask(&[(param::DELETE_IP, HOME)]), source);
    // Of what is not there nothing has to be taken away.
    assert_eq!(mover.ask(&[(param::DELETE_IP, VICTIM)]), []);
    mover.confirm(AWAY);
    assert_eq!(mover.ask_from(at(AWAY), &[(param::DELETE_IP, HOME)]), []);
    assert_eq!(mover.path_to(HOME), None);
    assert_eq!(mover.primary(), IpAddr::from(AWAY));
    mover.send_from(at(HOME), vec![data(1).be()]);
    let stats = mover.peer.association().stats();
    assert_eq!(stats.data_chunks_received, 0, "out of the blue");
    mover.peer.receive_all();
    mover.peer.host_send(1, "there");
    let sent = mover.peer.receive_all();
    assert!(
        sent.iter().all(|received| received.to == at(AWAY)),
        "{sent:?}"
    );
}

#[test]
fn a_peer_that_has_moved_is_heard_from_its_new_address() {
    // Nothing listed it, a NAT has given it a port of its own, and the tag finds the association.
    let away = SocketAddr::from((AWAY, 4242));
    let mut mover = Mover::connected();
    mover.send_from(away, vec![data(1).be()]);
    mover.send_from(away, mover.auth.sign(vec![data(1).be()]));
    let stats = mover.peer.association().stats();
    assert_eq!(
        (stats.dropped_unknown_address, stats.data_chunks_received),
        (2, 0)
    );
    assert_eq!(mover.ask_from(away, &[(param::ADD_IP, ANY)]), []);
    let mut paths = mover.peer.association().paths();
    let path = paths.find(|path| path.remote == away);
    assert_eq!(path.map(|path| path.state), Some(PathState::Unconfirmed));
    drop(paths);
    // What says nothing of addresses is not taken with it.
    let mut other = Mover::connected();
    let chunks = vec![asconf(1, HOME, &[(param::ADD_IP, ANY)]), data(1).be()];
    other.send_from(away, other.auth.sign(chunks));
    assert_eq!(other.peer.association().stats().data_chunks_received, 0);
    assert_eq!(other.path_to(AWAY), Some(PathState::Unconfirmed));
}

#[test]
fn a_move_from_one_address_to_another_waits_for_the_proof() {
    let mut mover = Mover::connected();
    mover.peer.host_send(1, vec![7; 3000]);
    let requests = [(param::ADD_IP, ANY), (param::DELETE_IP, ANY)];
    assert_eq!(mover.ask_from(at(AWAY), &requests), []);
    assert_eq!(
        (mover.path_to(HOME), mover.path_to(AWAY)),
        (None, Some(PathState::Unconfirmed))
    );
    mover.peer.host_send(2, "later");
    mover.send_from(at(AWAY), vec![data(1).be()]);
    for received in mover.peer.receive_all() {
        assert_eq!(
            (received.to, received.kinds()),
            (at(AWAY), vec![kind::HEARTBEAT])
        );
    }
    mover.confirm(AWAY);
    let mut seen = Vec::new();
    for _ in 0..20 {
        mover.peer.advance(Duration::from_millis(200));
        for received in mover.peer.receive_all() {
            assert_eq!(received.to, at(AWAY));
            seen.extend(
                received
                    .packet
                    .chunks
                    .into_iter()
                    .filter(|c| c.kind == kind::DATA),
            );
        }
    }
    let tsns: std::collections::BTreeSet<u32> = seen.iter().map(|c| c.as_data().tsn).collect();
    assert!(tsns.len() >= 2, "what was lost goes again: {tsns:?}");
}

#[test]
fn the_wildcard_deletes_all_but_the_source() {
    let mut mover = Mover::connected();
    assert_eq!(
        mover.ask(&[(param::ADD_IP, AWAY), (param::ADD_IP, [10, 8, 0, 1])]),
        []
    );
    mover.confirm(AWAY);
    // From where nobody is known to be, nothing would be left.
    let last = [(1, cause::DELETE_LAST)];
    assert_eq!(mover.ask_from(at(VICTIM), &[(param::DELETE_IP, ANY)]), last);
    assert_eq!(mover.ask_from(at(AWAY), &[(param::DELETE_IP, ANY)]), []);
    assert_eq!(mover.peer.association().paths().count(), 1);
    assert_eq!(mover.primary(), IpAddr::from(AWAY));
}

#[test]
fn wildcards_can_be_refused() {
    let mut mover = Mover::connected_with(|config| _ = config.asconf_wildcard(false));
    for request in [param::ADD_IP, param::DELETE_IP, param::SET_PRIMARY] {
        let refused = [(1, cause::NO_AUTHORIZATION)];
        assert_eq!(mover.ask_from(at(AWAY), &[(request, ANY)]), refused);
    }
    assert_eq!(mover.path_to(AWAY), None);
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
}

#[test]
fn the_peer_says_where_it_wants_its_data() {
    let mut mover = Mover::connected();
    let unknown = [(1, cause::UNRESOLVABLE_ADDRESS)];
    assert_eq!(mover.ask(&[(param::SET_PRIMARY, AWAY)]), unknown);
    assert_eq!(
        mover.ask(&[(param::ADD_IP, AWAY), (param::SET_PRIMARY, AWAY)]),
        []
    );
    assert_eq!(
        mover.primary(),
        IpAddr::from(HOME),
        "not before it is proved"
    );
    mover.confirm(AWAY);
    assert_eq!(mover.primary(), IpAddr::from(AWAY));
    mover.peer.receive_all();
    mover.peer.host_send(1, "away");
    let sent = mover.peer.receive().expect("DATA");
    assert_eq!(sent.to, at(AWAY));
    // And back, by the wildcard.
    assert_eq!(mover.ask_from(at(HOME), &[(param::SET_PRIMARY, ANY)]), []);
    assert_eq!(mover.primary(), IpAddr::from(HOME));
}

#[test]
fn what_the_peer_wanted_of_an_address_goes_with_it() {
    for all_others in [false, true] {
        let mut mover = Mover::connected();
        let wanted = [(param::ADD_IP, AWAY), (param::SET_PRIMARY, AWAY)];
        assert_eq!(mover.ask(&wanted), []);
        // It was never proved.
        let gone = if all_others { ANY } else { AWAY };
        assert_eq!(mover.ask(&[(param::DELETE_IP, gone)]), []);
        assert_eq!(mover.path_to(AWAY), None);
        // Later it is there once more, and nobody wants anything of it.
        assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
        mover.confirm(AWAY);
        assert_eq!(mover.primary(), IpAddr::from(HOME));
    }
}

#[test]
fn threat_14_addresses_are_few() {
    let mut mover = Mover::connected();
    let mut refused = 0;
    for n in 0..100 {
        let errors = mover.ask(&[
            (param::ADD_IP, [10, 9, 0, n]),
            (param::DELETE_IP, [10, 9, 0, n]),
        ]);
        if errors.is_empty() {
            assert_eq!(mover.ask(&[(param::ADD_IP, [10, 9, 0, n])]), []);
        }
        // Rule F11: once one is refused, all are.
        let both = [(1, cause::RESOURCE_SHORTAGE), (2, cause::RESOURCE_SHORTAGE)];
        refused += usize::from(errors == both);
        assert!(errors.is_empty() || errors == both);
    }
    assert!(refused >= 90, "{refused}");
    assert!(mover.peer.association().paths().count() <= 8);
    // As many as fit a packet: most are not looked into, and the answer is small.
    let many: Vec<_> = (0..70).map(|n| (param::ADD_IP, [10, 11, 0, n])).collect();
    let errors = mover.ask(&many);
    assert!(errors.len() <= 17, "{errors:?}");
}

#[test]
fn addresses_that_come_and_go_tell_a_user_who_does_not_listen_within_bounds() {
    let mut mover = Mover::connected();
    let request = |mover: &mut Mover| {
        let kind = if mover.seq % 2 == 1 {
            param::ADD_IP
        } else {
            param::DELETE_IP
        };
        let chunk = asconf(mover.seq, HOME, &[(kind, AWAY)]);
        mover.auth.sign(vec![chunk])
    };
    for _ in 1..=3000 {
        let signed = request(&mut mover);
        mover.peer.send_bundle_unpolled(signed);
        mover.seq += 1;
    }
    mover.peer.collect();
    let events = mover.peer.events().len();
    assert!((1000..=1100).contains(&events), "{events} events");
    // Once they are taken, all goes on.
    mover.seq = 3001;
    assert_eq!(mover.ask(&[(param::DELETE_IP, AWAY)]), []);
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
    assert_eq!(mover.peer.events().len(), 1);
}

#[test]
fn a_message_that_asked_for_a_path_that_is_gone_takes_no_other_by_its_number() {
    let mut mover = Mover::connected_with(|c| _ = c.potentially_failed_max_retrans(None));
    mover.ask(&[(param::ADD_IP, AWAY)]);
    mover.confirm(AWAY);
    let mut paths = mover.peer.association().paths();
    let away = paths.find(|path| path.remote == at(AWAY)).expect("a path");
    let (id, mut info) = (away.id, SendInfo::default());
    drop(paths);
    info.path = Some(id);
    // It waits for the window.
    mover.peer.host_send(1, vec![1; 50_000]);
    mover.peer.host_send_with(2, "as asked", info);
    mover.ask(&[(param::DELETE_IP, AWAY)]);
    let other = |n: u8| [10, 8, 0, n];
    let mut n = 0;
    let reuses = loop {
        n += 1;
        mover.ask(&[(param::ADD_IP, other(n))]);
        let mut paths = mover.peer.association().paths();
        if paths.any(|path| path.id == id) {
            break other(n);
        }
        drop(paths);
        mover.ask(&[(param::DELETE_IP, other(n))]);
    };
    mover.confirm(reuses);
    let mut sent = Vec::new();
    for n in 1..200 {
        let sack = mover.peer.sack(n);
        mover.peer.send(sack);
        sent.extend(mover.peer.receive_all());
    }
    let of_it = |chunk: &Chunk| chunk.kind == kind::DATA && chunk.as_data().stream == 2;
    let (_, to) = (sent.iter())
        .find_map(|packet| Some((packet.packet.chunks.iter().find(|c| of_it(c))?, packet.to)))
        .expect("it was sent");
    assert_eq!(to, at(HOME));
}

#[test]
fn addresses_that_nobody_can_have_are_refused() {
    let mut mover = Mover::connected();
    for ip in [[224, 0, 0, 1], [255, 255, 255, 255], [240, 0, 0, 1]] {
        let refused = [(1, cause::UNRESOLVABLE_ADDRESS)];
        assert_eq!(mover.ask(&[(param::ADD_IP, ip)]), refused, "{ip:?}");
    }
    // A private peer's loopback is not this host's.
    let refused = [(1, cause::NO_AUTHORIZATION)];
    assert_eq!(mover.ask(&[(param::ADD_IP, [127, 0, 0, 1])]), refused);
    assert_eq!(mover.peer.association().paths().count(), 1);
}

#[test]
fn requests_that_nobody_knows_are_reported_and_passed_over() {
    let mut mover = Mover::connected();
    let errors = mover.ask(&[(0xc0ff, AWAY), (param::ADD_IP, AWAY)]);
    assert_eq!(errors, [(1, cause::UNRECOGNIZED_PARAMETERS)]);
    assert_eq!(mover.path_to(AWAY), Some(PathState::Unconfirmed));
    // Types whose high bits say so end the walk, with a report or without.
    for (kind, reported) in [(0x40ff, 1), (0x00ff, 0)] {
        let errors = mover.ask(&[(kind, AWAY), (param::DELETE_IP, AWAY)]);
        assert_eq!(errors.len(), reported);
        assert_eq!(mover.path_to(AWAY), Some(PathState::Unconfirmed));
    }
}

#[test]
fn who_does_not_offer_it_is_left_in_peace() {
    let configs: [fn(&mut AssociationConfig); 2] = [|c| _ = c.asconf(false), |c| _ = c.auth(false)];
    for change in configs {
        let mut peer = Peer::client_with(change);
        let offered = init(TAG).extensions(&EXTENSIONS);
        let answer = peer.init(offer(offered, &[kind::ASCONF, kind::ASCONF_ACK], &[1]));
        assert!(!answer.supports(kind::ASCONF));
        peer.send(cookie_echo(&answer.cookie()));
        peer.receive_all();
        assert!(!peer.association().can_change_addresses());
        // As any chunk that is not known: reported and passed over.
        peer.send_bundle(vec![
            asconf(1, HOME, &[(param::ADD_IP, AWAY)]),
            data(1).be(),
        ]);
        assert_eq!(peer.association().stats().data_chunks_received, 1);
        assert_eq!(peer.association().paths().count(), 1);
        let now = peer.now;
        let refused = peer
            .association()
            .set_peer_primary(now, [10, 0, 0, 2].into());
        assert_eq!(refused, Err(AddressError::NotSupported));
    }
}

#[test]
fn asconf_without_auth_is_no_association() {
    // RFC 5061 §6.
    let mut peer = Peer::client();
    peer.send_tagged(0, init(TAG).extensions(&EXTENSIONS));
    let abort = peer.expect(kind::ABORT);
    assert_eq!(abort.cause(), Some(cause::PROTOCOL_VIOLATION));
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE).extensions(&EXTENSIONS));
    assert!(matches!(
        peer.closed(),
        Some(CloseReason::PeerMisbehaved(_))
    ));
    assert!(peer.find(kind::COOKIE_ECHO).is_none());
}

#[test]
fn the_host_asks_for_its_primary_as_long_as_it_takes() {
    let mut mover = Mover::connected();
    let now = mover.peer.now;
    let ip = mover.peer.host.addrs[0].ip();
    let association = mover.peer.association();
    let elsewhere = association.set_peer_primary(now, AWAY.into());
    assert_eq!(elsewhere, Err(AddressError::UnknownAddress(AWAY.into())));
    association.set_peer_primary(now, ip).unwrap();
    mover.peer.collect();
    let first = mover.peer.expect_packet(&[kind::AUTH, kind::ASCONF]);
    assert!(mover.auth.vouches_for(&first));
    let (seq, params) = first[1].as_asconf();
    assert_eq!(
        seq, mover.peer.host_tsn,
        "numbers begin with the initial TSN"
    );
    assert_eq!(params.len(), 2);
    assert_eq!(params[1].0, param::SET_PRIMARY);
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(mover.peer.advance_to_packet());
        let again = mover.peer.expect_packet(&[kind::AUTH, kind::ASCONF]);
        assert_eq!(again, first, "to the byte");
    }
    assert!(waits.is_sorted_by(|a, b| a < b), "backed off: {waits:?}");
    // Not signed, another number, signed.
    mover.peer.send(asconf_ack(seq, &[]));
    let old = mover.auth.sign(vec![asconf_ack(seq.wrapping_sub(1), &[])]);
    mover.peer.send_bundle(old);
    let told = |event: &Event| matches!(event, Event::LocalAddress { .. });
    assert!(mover.peer.conn().take_event(told).is_none());
    mover
        .peer
        .send_bundle(mover.auth.sign(vec![asconf_ack(seq, &[])]));
    let event = mover.peer.conn().take_event(told);
    let expected = Event::LocalAddress {
        ip,
        change: LocalChange::MadePrimary,
        performed: true,
    };
    assert_eq!(event, Some(expected));
    mover.peer.advance(Duration::from_secs(100));
    mover.peer.expect_nothing();
}

#[test]
fn a_peer_that_never_answers_is_gone() {
    let mut mover = Mover::connected();
    let (now, ip) = (mover.peer.now, mover.peer.host.addrs[0].ip());
    mover.peer.association().set_peer_primary(now, ip).unwrap();
    mover.peer.collect();
    mover.peer.advance(Duration::from_secs(2000));
    assert_eq!(mover.peer.closed(), Some(CloseReason::TimedOut));
    let sent = mover.peer.find_all(kind::ASCONF).len();
    assert_eq!(sent, 11, "Association.Max.Retrans");
}

#[test]
fn a_peer_that_knows_no_asconf_is_asked_no_more() {
    let mut mover = Mover::connected();
    let (now, ip) = (mover.peer.now, mover.peer.host.addrs[0].ip());
    mover.peer.association().set_peer_primary(now, ip).unwrap();
    mover.peer.collect();
    let sent = mover.peer.expect_packet(&[kind::AUTH, kind::ASCONF]);
    let mut quoted = Vec::new();
    sent[1].encode(&mut quoted);
    mover.peer.send(error(cause::UNRECOGNIZED_CHUNK, &quoted));
    mover.peer.advance(Duration::from_secs(100));
    mover.peer.expect_nothing();
    assert_eq!(mover.peer.state(), AssociationState::Established);
    let again = mover.peer.association().set_peer_primary(now, ip);
    assert_eq!(again, Err(AddressError::Refused(ip)));
}

#[test]
fn an_answer_to_what_was_not_asked_ends_the_association() {
    let mut mover = Mover::connected();
    let next = mover.peer.host_tsn;
    mover
        .peer
        .send_bundle(mover.auth.sign(vec![asconf_ack(next.wrapping_sub(7), &[])]));
    assert_eq!(mover.peer.state(), AssociationState::Established);
    // Who cannot sign it cannot bring that about.
    mover.peer.send(asconf_ack(next, &[]));
    assert_eq!(mover.peer.state(), AssociationState::Established);
    mover
        .peer
        .send_bundle(mover.auth.sign(vec![asconf_ack(next, &[])]));
    mover.peer.expect_abort(cause::ILLEGAL_ASCONF_ACK);
}

#[test]
fn threat_06_requests_of_every_length() {
    // usrsctp#386: behind a genuine AUTH as well.
    let mut mover = Mover::connected();
    let whole = asconf(1, HOME, &[(param::ADD_IP, AWAY)]).value;
    for length in 0..whole.len() {
        let cut = Chunk::new(kind::ASCONF, 0, &whole[..length]);
        mover.send_from(at(HOME), mover.auth.sign(vec![cut]));
        if !mover.peer.receive_all().is_empty() {
            mover = Mover::connected();
        }
    }
    for field in [6, 14, 22] {
        for length in 0..300_u16 {
            let mut mover = Mover::connected();
            let mut forged = whole.clone();
            forged[field..field + 2].copy_from_slice(&length.to_be_bytes());
            let forged = Chunk::new(kind::ASCONF, 0, &forged);
            mover.send_from(at(HOME), mover.auth.sign(vec![forged]));
            assert_eq!(mover.peer.state(), AssociationState::Established);
            assert!(mover.peer.association().paths().count() <= 2);
        }
    }
    let long = [&whole[..], &tlv(0xc0ff, &[7; 60_000])].concat();
    let long = Chunk::new(kind::ASCONF, 0, &long);
    let mut mover = Mover::connected();
    mover.send_from(at(HOME), mover.auth.sign(vec![long]));
    let answer = mover.peer.receive_all();
    assert!(answer.iter().all(|received| received.len <= 1252));
}

#[test]
fn threat_20_nobody_off_the_path_takes_an_association_over() {
    // RFC 5062 §4: somebody who learned the tag and the ports, but did not see the handshake.
    let mut mover = Mover::connected();
    let thief = at(VICTIM);
    let strangers = {
        let own: Chunk = offer(init(TAG), &[kind::ASCONF, kind::ASCONF_ACK], &[SHA256, 1]).into();
        mover.peer.send_tagged(0, own.clone());
        let answer = mover.peer.expect(kind::INIT_ACK).as_init();
        Auth::new(&own, &answer)
    };
    mover.peer.receive_all();
    for seq in 0..4 {
        for requests in [
            &[(param::ADD_IP, ANY)][..],
            &[(param::ADD_IP, VICTIM), (param::SET_PRIMARY, VICTIM)],
            &[(param::ADD_IP, ANY), (param::DELETE_IP, HOME)],
            &[(param::DELETE_IP, ANY)],
        ] {
            for from in [thief, at(HOME)] {
                let chunk = asconf(seq, HOME, requests);
                mover.send_from(from, vec![chunk.clone()]);
                mover.send_from(from, strangers.sign(vec![chunk.clone()]));
                let mut stolen = mover.auth.sign(vec![asconf(9, HOME, &[])]);
                stolen[1] = chunk;
                mover.send_from(from, stolen);
            }
        }
    }
    mover.peer.expect_nothing();
    assert_eq!(mover.peer.association().paths().count(), 1);
    mover.send_from(thief, vec![bare_abort(false)]);
    assert_eq!(mover.peer.state(), AssociationState::Established);
    // One that was seen cannot be used again, from wherever it is sent.
    assert_eq!(mover.ask(&[(param::ADD_IP, AWAY)]), []);
    let seen = mover
        .auth
        .sign(vec![asconf(1, HOME, &[(param::ADD_IP, ANY)])]);
    mover.peer.receive_all();
    mover.send_from(thief, seen);
    assert_eq!(mover.path_to(VICTIM), None);
    // Its own address is all that the answer to it says.
    let answers = mover.peer.receive_all();
    assert!(
        answers
            .iter()
            .all(|a| a.kinds() == [kind::AUTH, kind::ASCONF_ACK])
    );
}

#[test]
fn threat_21_a_genuine_peer_cannot_have_a_victim_bombed() {
    // RFC 5062 §6: it adds the victim's address, prefers it, and asks for data.
    let mut mover = Mover::connected();
    let requests = [(param::ADD_IP, VICTIM), (param::SET_PRIMARY, VICTIM)];
    assert_eq!(mover.ask(&requests), []);
    mover.peer.host_send(1, vec![0; 100_000]);
    let mut to_victim = 0;
    for n in 0..60 {
        mover.peer.send(mover.peer.sack(n));
        mover.peer.advance(Duration::from_millis(500));
        for received in mover.peer.receive_all() {
            if received.to == at(VICTIM) {
                assert_eq!(received.kinds(), [kind::HEARTBEAT]);
                to_victim += 1;
            }
        }
    }
    assert!(
        (1..30).contains(&to_victim),
        "{to_victim} HEARTBEATs in 30 s"
    );
    assert_eq!(mover.primary(), IpAddr::from(HOME));
}
