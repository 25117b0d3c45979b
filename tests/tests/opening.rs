//! What INIT and INIT ACK say, and what becomes of one that says it wrong (§3.3.2, §3.3.3, §5.1,
//! §5.2.1), in every state it can come in.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use sctp_proto::{AssociationConfig, AssociationState, CloseReason, SendError, SendInfo, StreamId};
use sctp_tests::{
    build::{self, cookie_ack, cookie_echo, data, error, init, init_ack, tlv},
    codec::{Chunk, cause, kind, param},
    peer::{COOKIE, Peer, TAG},
    states::STATES,
};

/// Another tag of the peer.
const OTHER: u32 = 0x2222_2222;
/// Where else the peer may be.
const ELSEWHERE: [u8; 4] = [10, 0, 0, 50];

/// A host in each state in which INIT and INIT ACK are not expected.
fn in_every_state() -> impl Iterator<Item = (AssociationState, Peer)> {
    let states = STATES.into_iter();
    let unexpected = states.filter(|state| *state != AssociationState::CookieWait);
    unexpected.map(|state| (state, Peer::in_state(state)))
}

/// Sends an INIT beside the association, from this address; gives where the answer went, its tag
/// and its only chunk.
fn aside(
    peer: &mut Peer,
    from: SocketAddr,
    chunk: impl Into<Chunk>,
) -> Option<(SocketAddr, u32, Chunk)> {
    let (addr, tag) = (peer.addr, peer.tag);
    let packet = peer.packet(0, vec![chunk.into()]);
    // An answer to another address is not checked for its tag, which is the INIT's.
    peer.addr = SocketAddr::from(([10, 99, 99, 99], 1));
    peer.send_from(from, packet.encode());
    (peer.addr, peer.tag) = (addr, tag);
    let answer = peer.receive()?;
    assert_eq!(peer.receive(), None, "one answer");
    let [chunk] = &answer.packet.chunks[..] else {
        panic!("{answer:?}");
    };
    Some((answer.to, answer.packet.tag, chunk.clone()))
}

fn elsewhere() -> SocketAddr {
    SocketAddr::from((ELSEWHERE, 9899))
}

//= RFC 9260 §3.3.2, test
//# If the value of the Initiate Tag in a received INIT...
#[test]
fn an_init_with_tag_zero_is_discarded_in_every_state() {
    let mut peer = Peer::client();
    peer.send_tagged(0, init(0));
    peer.expect_nothing();
    let mut peer = Peer::server();
    peer.expect(kind::INIT);
    peer.send_tagged(0, init(0));
    peer.expect_nothing();
    assert_eq!(peer.state(), AssociationState::CookieWait);
    for (state, mut peer) in in_every_state() {
        peer.send_tagged(0, init(0));
        peer.expect_nothing();
        assert_eq!(peer.state(), state);
        assert_eq!(peer.events(), []);
    }
}

//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the a_rwnd value set...
//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the OS value set...
//= RFC 9260 §3.3.2, test
//# A receiver of an INIT chunk with the MIS value set...
//= RFC 9260 §3.3.2.1.4, test
//# The receiver of an INIT chunk or an INIT...
//= RFC 9260 §12.2.4.1, test
//# Endpoints receiving INIT or INIT ACK chunks containing the Host Name...
#[test]
fn an_init_that_cannot_be_obeyed_changes_no_association() {
    let wrong = [
        (init(OTHER).a_rwnd(1499), cause::INVALID_MANDATORY_PARAMETER),
        (init(OTHER).a_rwnd(0), cause::INVALID_MANDATORY_PARAMETER),
        (
            init(OTHER).streams(0, 1),
            cause::INVALID_MANDATORY_PARAMETER,
        ),
        (
            init(OTHER).streams(1, 0),
            cause::INVALID_MANDATORY_PARAMETER,
        ),
        (
            init(OTHER).param(param::HOST_NAME, b"host\0"),
            cause::UNRESOLVABLE_ADDRESS,
        ),
    ];
    for (wrong, code) in wrong {
        for (state, mut peer) in in_every_state() {
            let addr = peer.addr;
            let (to, tag, refusal) = aside(&mut peer, addr, wrong.clone()).expect("an answer");
            assert_eq!((to, tag), (addr, OTHER));
            assert_eq!((refusal.kind, refusal.t_bit()), (kind::ABORT, false));
            assert_eq!(refusal.cause(), Some(code));
            assert_eq!(peer.state(), state);
            assert_eq!(peer.events(), []);
        }
        let mut peer = Peer::server();
        peer.expect(kind::INIT);
        let addr = peer.addr;
        let (_, tag, refusal) = aside(&mut peer, addr, wrong).expect("an answer");
        assert_eq!((tag, refusal.cause()), (OTHER, Some(code)));
        assert_eq!(peer.state(), AssociationState::CookieWait);
    }
}

//= RFC 9260 §3.3.3, test
//# A receiver of an INIT ACK chunk with the a_rwnd value set...
#[test]
fn an_init_ack_with_a_small_window_is_refused_and_the_next_one_taken() {
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE).a_rwnd(1499));
    let refusal = peer.expect(kind::ABORT);
    assert!(!refusal.t_bit());
    assert_eq!(
        refusal.causes(),
        [(cause::INVALID_MANDATORY_PARAMETER, Vec::new())]
    );
    assert_eq!(peer.state(), AssociationState::CookieWait);
    peer.send(init_ack(TAG, COOKIE).a_rwnd(1500));
    peer.expect(kind::COOKIE_ECHO);
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §3.3.3, test
//# If such an INIT ACK chunk is received in any state other than CLOSED or COOKIE-WAIT, it SHOULD...
//= RFC 9260 §5.2.3, test
//# If an INIT ACK chunk is received by an...
#[test]
fn an_init_ack_out_of_place_is_discarded_silently() {
    let unexpected = [
        init_ack(OTHER, COOKIE),
        init_ack(0, COOKIE),
        init_ack(OTHER, COOKIE).streams(0, 1),
        init_ack(OTHER, COOKIE).streams(1, 0),
        init_ack(OTHER, COOKIE).a_rwnd(0),
        init_ack(OTHER, COOKIE).param(param::HOST_NAME, b"host\0"),
    ];
    for chunk in unexpected {
        for (state, mut peer) in in_every_state() {
            peer.send(chunk.clone());
            // A SHUTDOWN goes again whenever a packet came in SHUTDOWN-SENT; nothing else does.
            assert_eq!(peer.find(kind::ABORT), None, "{state:?}");
            assert_eq!(peer.state(), state);
            assert_eq!(peer.events(), []);
        }
    }
}

//= RFC 9260 §5.1.2, test
//# The ABORT chunk SHOULD be sent to the source IP address from which...
//= RFC 9260 §3.3.3, test
//# The receiver of INIT ACK chunks containing a Host...
//= RFC 9260 §5.1.2, test
//# If there is a Host Name Address parameter present...
#[test]
fn a_host_name_is_refused_at_once_and_given_back() {
    let name = tlv(param::HOST_NAME, b"example.org\0");
    let expected = [(cause::UNRESOLVABLE_ADDRESS, name)];
    let mut peer = Peer::client();
    for from in [peer.addr, elsewhere()] {
        let chunk = init(OTHER).param(param::HOST_NAME, b"example.org\0");
        let (to, tag, refusal) = aside(&mut peer, from, chunk).expect("an answer");
        assert_eq!((to, tag, refusal.kind), (from, OTHER, kind::ABORT));
        assert_eq!(refusal.causes(), expected);
    }
    let mut peer = Peer::server();
    peer.answer_init(init_ack(TAG, COOKIE).param(param::HOST_NAME, b"example.org\0"));
    assert_eq!(peer.expect(kind::ABORT).causes(), expected);
    let Some(CloseReason::PeerMisbehaved(_)) = peer.closed() else {
        panic!("{:?}", peer.closed());
    };
}

//= RFC 9260 §3.3.2.1.5, test
//# The value indicating the Host Name Address parameter MUST NOT be used...
//= RFC 9260 §5.1.2, test
//# If an SCTP endpoint lists in the 'Supported Address Types' parameter either...
//= RFC 9260 §5.1.2, test
//# The receiver of the INIT chunk SHOULD NOT respond with any kind...
//= RFC 9260 §5.1.2, test
//# The endpoint SHOULD NOT respond with any kind of error indication.
#[test]
fn address_types_and_addresses_of_both_families_are_no_reason_to_refuse() {
    let (v4, v6) = (param::IPV4_ADDRESS, param::IPV6_ADDRESS);
    for types in [&[][..], &[v4], &[v6], &[v4, v6], &[param::HOST_NAME], &[77]] {
        let types: Vec<u8> = types.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        let chunk = init(TAG)
            .param(param::SUPPORTED_ADDRESS_TYPES, &types)
            .param(v4, &[192, 0, 2, 1])
            .param(
                v6,
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            )
            .extensions(&[kind::RE_CONFIG]);
        let mut peer = Peer::client();
        let answer = peer.init(chunk);
        assert_eq!(answer.param(param::UNRECOGNIZED), None, "{types:?}");
        assert!(answer.supports(kind::RE_CONFIG), "the walk went on");
    }
    let mut peer = Peer::server();
    let listed = init_ack(TAG, COOKIE).param(v6, &[0x20; 16]);
    peer.answer_init(listed.param(v4, &[192, 0, 2, 1]));
    peer.expect(kind::COOKIE_ECHO);
}

//= RFC 9260 §3.3.2, test
//# Unless otherwise noted, each parameter MUST only be included once in the...
//= RFC 9260 §3.3.2, test
//# Note 3: An INIT chunk MUST NOT contain the Host Name...
//= RFC 9260 §3.3.3, test
//# Note 3: An INIT ACK chunk MUST NOT contain the Host...
//= RFC 9260 §3.3.2.1.4, test
//# The sender of an INIT chunk or INIT ACK chunk MUST NOT...
//= RFC 9260 §3.3.3.1, test
//# The Host Name Address parameter is described in Section 3.3.2.1.4 and MUST...
//= RFC 9260 §3.3.2, test
//# If an INIT chunk is received with all mandatory parameters that are...
#[test]
fn nothing_is_said_twice_and_nothing_unheard_of() {
    let mut peer = Peer::server();
    let own = peer.expect(kind::INIT).as_init();
    let kinds = |params: &[(u16, Vec<u8>)]| params.iter().map(|(k, _)| *k).collect::<Vec<_>>();
    let extensions = [
        param::FORWARD_TSN_SUPPORTED,
        param::SUPPORTED_EXTENSIONS,
        param::RANDOM,
        param::CHUNKS,
        param::HMAC_ALGO,
    ];
    assert_eq!(kinds(&own.params), extensions);
    // A peer that says all it can say, twice.
    let mut peer = Peer::client();
    let mut chunk = init(TAG);
    for _ in 0..2 {
        chunk = chunk
            .param(param::COOKIE_PRESERVATIVE, &[0, 0, 0, 9])
            .param(param::STATE_COOKIE, COOKIE)
            .param(param::SUPPORTED_ADDRESS_TYPES, &[0, 5])
            .param(param::IPV4_ADDRESS, &[192, 0, 2, 1])
            .extensions(&[kind::RE_CONFIG, kind::I_DATA, kind::FORWARD_TSN]);
    }
    let answer = peer.init(chunk);
    let mut told = kinds(&answer.params);
    assert_eq!(told.remove(0), param::STATE_COOKIE);
    assert!(extensions.starts_with(&told), "{told:x?}");
}

//= RFC 9260 §5.1, test
//# In the response, besides filling in other parameters, "Z" MUST set...
//= RFC 9260 §5.1, test
//# The destination IP address of the INIT ACK chunk MUST be set...
//= RFC 9260 §5.1, test
//# An endpoint MUST send the INIT ACK chunk to the IP address...
//= RFC 9260 §5.1.2, test
//# The packet containing the INIT ACK chunk MUST be sent to the source...
#[test]
fn an_init_ack_goes_back_where_the_init_came_from_under_its_tag() {
    let mut peer = Peer::client();
    let mut tags = HashSet::new();
    for (from, tag) in [
        (peer.addr, 1),
        (SocketAddr::from(([10, 0, 0, 1], 1234)), u32::MAX),
        (elsewhere(), 0x8000_0000),
    ] {
        // It lists another address, which nothing is sent to.
        let chunk = init(tag).param(param::IPV4_ADDRESS, &[10, 66, 66, 66]);
        let (to, answered, answer) = aside(&mut peer, from, chunk).expect("an answer");
        assert_eq!((to, answered), (from, tag));
        let own = answer.as_init().tag;
        assert!(own != 0 && tags.insert(own), "a tag of its own");
    }
}

//= RFC 9260 §3.3.2.1.2, test
//# If the INIT chunk does not contain any IP Address parameters, the...
//= RFC 9260 §3.3.3, test
//# If the INIT ACK chunk does not contain any IP Address parameters,...
//= RFC 9260 §5.1.2, test
//# If there are no address parameters present in the received INIT or...
#[test]
fn who_lists_no_address_is_where_his_packets_come_from() {
    for mut peer in [Peer::connected(), accepted()] {
        let remotes: Vec<_> = peer.association().paths().map(|path| path.remote).collect();
        assert_eq!(remotes, [peer.addr]);
        assert_eq!(peer.association().ports().1, peer.port);
        peer.host_send(1, vec![0; 10_000]);
        peer.advance(Duration::from_secs(30));
        let packets = peer.receive_all();
        assert!(packets.len() > 5);
        assert!(packets.iter().all(|packet| packet.to == peer.addr));
    }
}

fn accepted() -> Peer {
    let mut peer = Peer::server();
    peer.accept();
    peer
}

//= RFC 9260 §3.3.3, test
//# The value of 0 MUST NOT be used, and the value MUST...
#[test]
fn no_more_streams_are_offered_than_the_peer_takes() {
    for (takes, offered) in [
        (1, 1),
        (3, 3),
        (99, 99),
        (100, 100),
        (101, 100),
        (65_535, 100),
    ] {
        let mut peer = Peer::client_with(|c| {
            c.outbound_streams(100);
        });
        let answer = peer.init(init(TAG).streams(10, takes));
        assert_eq!(answer.outbound_streams, offered);
        peer.send(cookie_echo(&answer.cookie()));
        peer.expect(kind::COOKIE_ACK);
        assert_eq!(peer.association().streams(), (offered, 10));
    }
}

//= RFC 9260 §5.1, test
//# Tag_A SHOULD be a random number in the range of 1 to...
//= RFC 9260 §5.3.1, test
//# Initiate Tag values SHOULD be selected from the range...
//= RFC 9260 §3.3.2, test
//# The valid range is from 0 to 4294967295 and the Initial TSN...
//= RFC 9260 §3.3.3, test
//# The valid range is from 0 to 4294967295 and the Initial TSN...
#[test]
fn tags_and_initial_tsns_are_drawn_from_all_numbers() {
    let mut peer = Peer::client();
    let (mut inits, mut answers) = (Vec::new(), Vec::new());
    for host in 0..=255 {
        let to = SocketAddr::from(([10, 1, 1, host], 9899));
        let (now, config) = (peer.now, AssociationConfig::default());
        peer.host.connect(now, config, &[to]).expect("can connect");
        peer.collect();
        inits.push(peer.expect(kind::INIT).as_init());
        answers.push(peer.init(init(TAG)));
    }
    for drawn in [inits, answers] {
        for numbers in [
            drawn.iter().map(|init| init.tag).collect::<HashSet<_>>(),
            drawn.iter().map(|init| init.tsn).collect(),
        ] {
            assert_eq!(numbers.len(), 256, "each is another");
            for bit in 0..32 {
                let set = numbers.iter().filter(|n| *n >> bit & 1 == 1).count();
                assert!(
                    (80..=176).contains(&set),
                    "bit {bit} set {set} times of 256"
                );
            }
        }
    }
}

//= RFC 9260 §5.1, test
//# In the INIT chunk, "A" MUST provide its Verification Tag (Tag_A) in...
//= RFC 9260 §5.3.1, test
//# Moreover, the Verification Tag value used by either endpoint in a given...
//= RFC 9260 §3.3.3, test
//# This value MUST be placed into the Verification Tag field of every...
#[test]
fn the_tags_of_the_opening_hold_for_ever() {
    // That every packet of the host has the peer's tag, `Peer` checks.
    let mut peer = Peer::server();
    let own = peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect(kind::COOKIE_ECHO);
    peer.advance_to_packet();
    peer.expect(kind::COOKIE_ECHO);
    peer.send_tagged(own.tag ^ 1, cookie_ack());
    assert_eq!(peer.state(), AssociationState::CookieEchoed);
    peer.send_tagged(own.tag, cookie_ack());
    for tsn in 1..50 {
        let addr = peer.addr;
        aside(&mut peer, addr, init(OTHER)).expect("an answer");
        peer.send_tagged(
            own.tag ^ tsn,
            data(1).tsn(tsn).seq(tsn - 1).payload("no").be(),
        );
        assert_eq!(peer.host_recv(1), None);
        peer.send_tagged(own.tag, data(1).tsn(tsn).seq(tsn - 1).payload("yes").be());
        assert_eq!(peer.host_recv(1).unwrap(), "yes");
        peer.host_send(1, "with the peer's tag");
        let sack = peer.sack(tsn);
        peer.send_tagged(own.tag, sack);
        peer.receive_all();
    }
}

//= RFC 9260 §5.1, test
//# Retransmissions of INIT chunks and COOKIE ECHO chunks SHOULD use all addresses...
#[test]
fn an_init_tries_the_addresses_in_turn() {
    let mut peer = Peer::client();
    let to = [1, 2, 3].map(|host| SocketAddr::from(([10, 1, 1, host], 9899)));
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None).max_init_retransmits(6);
    let now = peer.now;
    peer.host.connect(now, config, &to).expect("can connect");
    peer.collect();
    let mut tried = Vec::new();
    let mut first = None;
    while peer.state() == AssociationState::CookieWait {
        if let Some(sent) = peer.receive() {
            tried.push(sent.to);
            let chunk = sent.packet.chunks[0].as_init();
            assert_eq!(first.get_or_insert(chunk.clone()), &chunk, "the same INIT");
        } else {
            peer.advance(Duration::from_secs(1));
        }
    }
    let [a, b, c] = to;
    assert_eq!(tried, [a, b, c, a, b, c, a]);
}

//= RFC 9260 §3.3.3, test
//# Implementation Note: An implementation MUST be prepared to receive an INIT ACK...
//= RFC 9260 §3.3.3, test
//# If an INIT ACK chunk is received with all mandatory parameters that...
#[test]
fn an_init_ack_of_ten_thousand_bytes_is_taken() {
    let mut answer = init_ack(TAG, &[0xc0; 2001]);
    for host in 0..1000_u16 {
        let [high, low] = host.to_be_bytes();
        answer = answer.param(param::IPV4_ADDRESS, &[10, 77, high, low]);
    }
    let mut peer = Peer::server();
    peer.answer_init(answer);
    assert_eq!(peer.expect(kind::COOKIE_ECHO).value, [0xc0; 2001]);
    peer.send(cookie_ack());
    assert_eq!(peer.state(), AssociationState::Established);
}

//= RFC 9260 §3.3.3, test
//# During the life of the association, this buffer space SHOULD NOT...
#[test]
fn the_window_of_an_init_is_still_there_when_all_is_read() {
    // What is advertised is an estimate: a chunk takes more room than its user data. The room
    // itself stays what it was, however much has gone through it.
    let mut peer = accepted();
    let mut after = Vec::new();
    for tsn in 1..=3000 {
        let seq = tsn - 1;
        peer.send(data(1).tsn(tsn).seq(seq).payload(vec![0; 1000]).be());
        peer.host_recv(1).expect("a message");
        if tsn % 1000 == 0 {
            peer.advance(Duration::from_secs(1));
            let sack = peer.find_all(kind::SACK).pop().expect("a SACK").as_sack();
            assert_eq!(sack.cumulative, tsn);
            after.push(sack.a_rwnd);
        }
    }
    let floor = 800 * 1024;
    assert!(
        after.iter().all(|window| *window > floor),
        "of 1 MiB are left {after:?}"
    );
}

//= RFC 9260 §5.2.2, test
//# Other parameters for the endpoint SHOULD be copied from the existing parameters...
#[test]
fn a_restart_is_told_what_the_association_was_told() {
    let mut peer = Peer::client_with(|c| {
        c.receive_window(300_000)
            .outbound_streams(33)
            .max_inbound_streams(44);
    });
    let extensions = [kind::RE_CONFIG, kind::I_DATA];
    let told = peer.init(init(TAG).extensions(&extensions));
    peer.host.auto_accept = false;
    peer.send(cookie_echo(&told.cookie()));
    let mut own = AssociationConfig::default();
    own.heartbeat_interval(None)
        .receive_window(8192)
        .outbound_streams(5)
        .max_inbound_streams(6)
        .interleaving(false)
        .stream_reset(false);
    let waiting = peer.host.incoming.pop_front().expect("the peer waits");
    peer.host.accept_with(peer.now, waiting, Some(own));
    peer.collect();
    peer.expect(kind::COOKIE_ACK);
    let addr = peer.addr;
    let again = init(OTHER).extensions(&extensions);
    let (_, _, answer) = aside(&mut peer, addr, again).expect("an answer");
    let answer = answer.as_init();
    assert_ne!(answer.tag, told.tag);
    assert_eq!(answer.a_rwnd, 300_000);
    assert_eq!((answer.outbound_streams, answer.inbound_streams), (33, 44));
    assert!(extensions.iter().all(|kind| answer.supports(*kind)));
}

//= RFC 9260 §5.1.2, test
//# An INIT or INIT ACK chunk MUST be treated as belonging to...
//= RFC 9260 §5.2.2, test
//# If new addresses are added to the association, the endpoint MUST respond...
#[test]
fn an_init_from_elsewhere_that_lists_a_known_address_is_for_that_association() {
    let known = |peer: &Peer| match peer.addr.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(_) => panic!("the peer is at an IPv4 address"),
    };
    for (state, mut peer) in in_every_state() {
        let chunk = init(OTHER).param(param::IPV4_ADDRESS, &known(&peer));
        let (addr, tag) = (peer.addr, peer.tag);
        let (to, used, answer) = aside(&mut peer, elsewhere(), chunk).expect("an answer");
        if state == AssociationState::ShutdownAckSent {
            assert_eq!((to, used, answer.kind), (addr, tag, kind::SHUTDOWN_ACK));
        } else {
            assert_eq!((to, used), (elsewhere(), OTHER));
            let new = tlv(param::IPV4_ADDRESS, &ELSEWHERE);
            let expected = [(cause::RESTART_WITH_NEW_ADDRESSES, new)];
            assert_eq!(answer.causes(), expected, "{state:?}");
        }
        assert_eq!(peer.state(), state);
        assert_eq!(peer.events(), []);
    }
}

//= RFC 9260 §5.2.1, test
//# When responding, the following rules MUST be applied:
//= RFC 9260 §5.2.1, test
//# The packet containing the INIT ACK chunk MUST only be sent to an address passed by the upper
//# layer in the request to initialize the association.
//= RFC 9260 §5.2.1, test
//# The packet containing the INIT ACK chunk MUST only be sent to an address reported in the
//# incoming INIT chunk.
//= RFC 9260 §5.2.1, test
//# The packet containing the INIT ACK chunk SHOULD be sent to...
#[test]
fn in_cookie_wait_init_acks_go_to_addresses_that_the_user_gave() {
    let to = [1, 2, 3].map(|host| SocketAddr::from(([10, 1, 1, host], 9899)));
    let [a, b, _] = to;
    let waiting = || {
        let mut peer = Peer::client();
        let mut config = AssociationConfig::default();
        config.heartbeat_interval(None).local_port(Some(80));
        config.remote_port(5000);
        peer.host
            .connect(peer.now, config, &to)
            .expect("can connect");
        peer.collect();
        peer.receive_all();
        peer
    };
    // From an address that the user gave: back there, whatever is listed.
    for from in [a, b] {
        let chunk = init(OTHER).param(param::IPV4_ADDRESS, &ELSEWHERE);
        let (sent_to, tag, answer) = aside(&mut waiting(), from, chunk).expect("an answer");
        assert_eq!((sent_to, tag, answer.kind), (from, OTHER, kind::INIT_ACK));
    }
    // From elsewhere: to the one that the user gave and the INIT lists.
    let mut peer = waiting();
    let chunk = init(OTHER).param(param::IPV4_ADDRESS, &[10, 1, 1, 2]);
    let (sent_to, tag, answer) = aside(&mut peer, elsewhere(), chunk).expect("an answer");
    assert_eq!((sent_to, tag, answer.kind), (b, OTHER, kind::INIT_ACK));
    assert_eq!(peer.state(), AssociationState::CookieWait);
}

//= RFC 9260 §4, test
//# In the SHUTDOWN-ACK-SENT state, the endpoint MUST NOT accept any new send...
#[test]
fn messages_are_taken_until_a_shutdown_begins() {
    for (state, mut peer) in in_every_state() {
        let now = peer.now;
        let sent = peer
            .association()
            .send(now, StreamId(1), "?".into(), SendInfo::default());
        let takes = [
            AssociationState::CookieEchoed,
            AssociationState::Established,
        ];
        match sent {
            Ok(()) => assert!(takes.contains(&state), "{state:?}"),
            Err(error) => {
                assert!(matches!(error, SendError::Closing), "{error:?}");
                assert!(!takes.contains(&state), "{state:?}");
            }
        }
    }
}

/// §3.3.7 has control chunks stand before the ABORT they come with.
#[test]
fn an_abort_behind_another_chunk_ends_an_attempt() {
    let mut peer = Peer::server();
    peer.host_tag = peer.expect(kind::INIT).as_init().tag;
    let abort = build::abort(cause::OUT_OF_RESOURCE, b"");
    peer.send_bundle(vec![error(cause::UNRECOGNIZED_CHUNK, b"what"), abort]);
    let Some(CloseReason::PeerAbort(Some(reason))) = peer.closed() else {
        panic!("{:?}", peer.closed());
    };
    assert_eq!(reason.code, cause::OUT_OF_RESOURCE);
    peer.expect_nothing();
}
