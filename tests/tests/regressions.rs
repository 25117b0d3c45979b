//! Bugs of the past, each forged again.

use std::time::Duration;

use sctp_proto::{AssociationState, Event, ReconfigOutcome, ReconfigRequest, StreamId};
use sctp_tests::{
    build::{
        association_reset_response, bare_abort, cookie_echo, data, error, heartbeat, heartbeat_ack,
        init, init_ack, shutdown_ack, shutdown_complete,
    },
    codec::{be32, cause, kind},
    net::{Link, Verdict},
    pair::{
        Pair,
        Side::{Client, Server},
    },
    peer::{COOKIE, Peer, TAG},
};

const SECOND: Duration = Duration::from_secs(1);

/// A large message over a slow link filled half of the window for longer than the stall time-out
/// and was discarded, although there was nothing of it that could be read.
#[test]
fn a_slow_large_message_was_taken_for_a_stall() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.receive_window(150_000);
        })
        .link(Link {
            rate: Some(5000),
            queue: 20_000,
            ..Link::default()
        })
        .build();
    pair.connect();
    pair.send(Client, 1, vec![7; 120_000]);
    let mut received = 0;
    while received < 120_000 {
        assert!(pair.step(), "{received}: {}", pair.summary());
        received += pair
            .recv_all(Server)
            .iter()
            .map(|m| m.data.len())
            .sum::<usize>();
    }
    assert_eq!(pair.stats(Server).stall_discarded_bytes, 0);
}

/// Zero window probes as large as a packet counted as failures, so that a receiver that did not
/// read for a minute lost the association.
#[test]
fn full_sized_window_probes_counted_as_failures() {
    let mut peer = Peer::connected_with(|c| {
        c.association_max_retrans(4)
            .path_max_retrans(4)
            .rto_max(2 * SECOND);
    });
    peer.host_send(1, "fills the window");
    peer.receive_all();
    let closed = peer.sack(1).a_rwnd(0);
    peer.send(closed.clone());
    peer.host_send(1, vec![0; 5000]);
    for _ in 0..30 {
        peer.advance_to_packet();
        assert_eq!(peer.find_all(kind::DATA).len(), 1);
        peer.send(closed.clone());
        assert_eq!(peer.state(), AssociationState::Established);
    }
    let path = peer.association().paths().next().unwrap();
    assert_eq!(path.stats.errors, 0);
}

/// When a window opened that had been closed for long, the probe was only sent again after the
/// time-out, which had doubled many times by then.
#[test]
fn an_opened_window_was_used_after_a_backed_off_time_out_only() {
    let mut peer = Peer::connected();
    peer.host_send(1, "fills the window");
    peer.receive_all();
    let closed = peer.sack(1).a_rwnd(0);
    peer.send(closed.clone());
    peer.host_send(1, vec![0; 5000]);
    for _ in 0..6 {
        peer.advance_to_packet();
        peer.receive_all();
        peer.send(closed.clone());
    }
    let open = peer.sack(1);
    peer.send(open);
    let first = peer.find(kind::DATA).expect("DATA at once").as_data();
    assert_eq!(first.tsn, peer.host_tsn(1));
}

/// `Readable` came after `Closed`, which is documented as the end.
#[test]
fn readable_came_after_closed() {
    let mut peer = Peer::connected();
    let abort = bare_abort(false);
    peer.send_bundle(vec![data(1).payload("last words").be(), abort]);
    assert_eq!(peer.state(), AssociationState::Closed);
    assert_eq!(peer.host_recv(1).unwrap(), "last words");
}

/// Nagle's algorithm let one small message go when everything was acknowledged, and held those
/// back that had waited with it and would have fitted the packet.
#[test]
fn nagle_split_what_had_waited_together() {
    let mut peer = Peer::connected_with(|c| {
        c.nodelay(false);
    });
    peer.host_send(1, "first");
    peer.receive_all();
    for _ in 0..5 {
        peer.host_send(1, "waits");
    }
    peer.expect_nothing();
    let sack = peer.sack(1);
    peer.send(sack);
    peer.expect_packet(&[kind::DATA; 5]);
}

/// A copy of a COOKIE ECHO that came when its association was over set it up once more, and the
/// message bundled with it was delivered a second time.
#[test]
fn a_late_copy_of_a_cookie_began_a_second_association() {
    let mut peer = Peer::client();
    let answer = peer.init(init(TAG));
    let cookie = cookie_echo(&answer.cookie());
    let packet = peer.packet(answer.tag, vec![cookie, data(1).payload("once").be()]);
    peer.send_bytes(packet.encode());
    assert_eq!(peer.host_recv(1).unwrap(), "once");
    let reason = bare_abort(false);
    peer.send(reason);
    assert_eq!(peer.host.endpoint.associations(), 0);
    peer.receive_all();
    for seconds in [0, 30, 29, 1, 1000] {
        peer.advance(Duration::from_secs(seconds));
        peer.send_bytes(packet.encode());
        assert_eq!(peer.host.conns.len(), 1);
        assert_eq!(peer.host.endpoint.associations(), 0);
    }
    // The same peer may come again at any time.
    peer.receive_all();
    peer.connect(init(TAG));
}

/// Of a packet in COOKIE-WAIT only the first chunk was looked at: a refusal that explained itself
/// in an ERROR before its ABORT was not heard.
#[test]
fn an_abort_behind_another_chunk_was_not_heard_in_cookie_wait() {
    let mut peer = Peer::in_state(AssociationState::CookieWait);
    peer.send_bundle(vec![error(cause::OUT_OF_RESOURCE, b""), bare_abort(false)]);
    assert_eq!(peer.state(), AssociationState::Closed);
}

/// A SHUTDOWN ACK behind another chunk was no SHUTDOWN ACK during set-up: its sender, which waits
/// for SHUTDOWN COMPLETE, went on waiting.
#[test]
fn a_shutdown_ack_behind_another_chunk_was_not_answered_during_set_up() {
    for state in [AssociationState::CookieWait, AssociationState::CookieEchoed] {
        let mut peer = Peer::in_state(state);
        let report = error(cause::COOKIE_WHILE_SHUTTING_DOWN, b"");
        peer.send_bundle(vec![report, shutdown_ack()]);
        assert!(peer.expect(kind::SHUTDOWN_COMPLETE).t_bit());
        assert_eq!(peer.state(), state);
    }
}

/// The T bit of a SHUTDOWN COMPLETE that was not the first chunk did not count: with it and the
/// host's own tag it ended the association.
#[test]
fn a_shutdown_complete_with_the_wrong_t_bit_ended_an_association() {
    let mut peer = Peer::in_state(AssociationState::ShutdownAckSent);
    let harmless = error(cause::INVALID_STREAM, &[0; 4]);
    peer.send_bundle(vec![harmless, shutdown_complete(true)]);
    assert_eq!(peer.state(), AssociationState::ShutdownAckSent);
}

/// In SHUTDOWN-ACK-SENT, an INIT with Initiate Tag 0 was answered.
#[test]
fn an_init_with_initiate_tag_zero_was_answered_in_shutdown_ack_sent() {
    let mut peer = Peer::in_state(AssociationState::ShutdownAckSent);
    peer.send_tagged(0, init(0));
    peer.expect_nothing();
}

/// A SACK that came before the COOKIE ACK was processed, although DATA may be acknowledged only once
/// the association is up (§6).
#[test]
fn a_sack_counted_before_the_cookie_ack() {
    let mut peer = Peer::server();
    peer.host_send(1, "with the cookie");
    peer.answer_init(init_ack(TAG, COOKIE));
    peer.expect_packet(&[kind::COOKIE_ECHO, kind::DATA]);
    let sack = peer.sack(1);
    peer.send(sack);
    peer.advance_to_packet();
    peer.expect_packet(&[kind::COOKIE_ECHO, kind::DATA]);
}

/// When T3-rtx ran out while the peer's window was closed, all that was in flight went again, not
/// one packet of it.
#[test]
fn a_time_out_before_a_closed_window_sent_everything_again() {
    let mut peer = Peer::connected();
    peer.host_send(1, vec![0; 20_000]);
    assert_eq!(peer.find_all(kind::DATA).len(), 4);
    let closed = peer.sack(0).a_rwnd(0);
    peer.send(closed);
    peer.advance_to_packet();
    assert_eq!(peer.receive_all().len(), 1);
}

/// A HEARTBEAT ACK that came after the time-out was no sign of life, so that a path with a
/// round-trip time longer than its time-out was not measured and counted as failing.
#[test]
fn a_late_heartbeat_ack_was_ignored() {
    let mut peer = Peer::connected_with(|c| {
        c.heartbeat_interval(Some(5 * SECOND));
    });
    let stats = |peer: &mut Peer| peer.association().paths().next().unwrap().stats;
    peer.advance_to_packet();
    let beat = peer.expect(kind::HEARTBEAT);
    peer.advance(SECOND * 3 / 2);
    assert_eq!(stats(&mut peer).errors, 1);
    peer.send(heartbeat_ack(&beat));
    let stats = stats(&mut peer);
    assert_eq!((stats.errors, stats.heartbeats_acked), (0, 1));
    assert_eq!(stats.srtt, SECOND * 3 / 2);
}

#[test]
fn a_suspension_in_the_middle_of_a_round_trip_was_measured_as_one() {
    // The next measurement was due after as much time again, and the pacer went by it.
    let mut pair = Pair::connected();
    pair.send(Client, 1, "before");
    pair.flush();
    let asleep = 3600 * SECOND;
    pair.sleep(asleep);
    pair.drive();
    assert!(pair.path(Client).srtt <= 60 * SECOND);
    let awake = pair.now;
    for _ in 0..200 {
        pair.send(Client, 1, vec![0; 2000]);
        pair.drive();
    }
    assert!(
        pair.path(Client).srtt < Duration::from_millis(100),
        "{:?}",
        pair.path(Client)
    );
    assert!(pair.now - awake < asleep, "{:?}", pair.now - awake);
}

/// A machine slept past a tail loss probe and past T3-rtx: the probe, which was to take the other
/// path, found nothing in flight to repeat, and what T3-rtx had counted as lost waited for the next
/// HEARTBEAT.
#[test]
fn a_probe_with_nothing_to_repeat_kept_what_was_lost_waiting() {
    for asleep in 1..40 {
        let mut pair = Pair::builder()
            .addrs(
                &["10.0.0.1:9899", "10.1.0.1:9899"],
                &["10.0.0.2:9899", "10.1.0.2:9899"],
            )
            .both(|c| _ = c.heartbeat_interval(Some(30 * SECOND)).max_paths(2))
            .audited()
            .build();
        pair.connect();
        pair.drive_for(5 * SECOND);
        pair.send(Client, 1, vec![1; 3000]);
        pair.drive_for(SECOND);
        pair.net.drop_next(3);
        pair.send(Client, 1, vec![2; 3000]);
        pair.flush();
        pair.sleep(asleep * SECOND / 20);
        pair.drive_for(2 * SECOND);
        assert_eq!(pair.recv(Server, 1).map(|m| m.len()), Some(3000));
        assert_eq!(pair.recv(Server, 1).map(|m| m.len()), Some(3000));
    }
}

/// A peer wanted some chunks authenticated, and DATA not among them: every packet kept room free for
/// an AUTH, and messages were cut as if that room were theirs, so that one which just fit a packet
/// never left, and nothing after it.
#[test]
fn messages_that_just_fit_a_packet_without_the_auth_it_reserves_never_left() {
    let mut pair = Pair::builder()
        .server(|c| _ = c.auth_chunks(&[kind::SHUTDOWN]))
        .audited()
        .build();
    pair.connect();
    for size in 1380..1480 {
        pair.send(Client, 1, vec![1; size]);
        pair.drive_for(SECOND / 2);
        assert_eq!(pair.recv(Server, 1).map(|m| m.len()), Some(size));
    }
}

/// An interface went and came again, with a peer that speaks no ASCONF and keeps to one path: its
/// address counted as unknown to the peer from then on, and the association stayed where the peer
/// does not listen.
#[test]
fn an_address_that_came_back_was_not_used_again() {
    let mut pair = Pair::builder()
        .addrs(&["10.0.0.1:9899"], &["10.0.0.2:9899", "10.1.0.2:9899"])
        .client(|c| _ = c.max_paths(1).asconf(false))
        .both(|c| _ = c.heartbeat_interval(Some(SECOND)))
        .audited()
        .build();
    pair.connect();
    pair.drive_for(3 * SECOND);
    let interface = pair.server.addrs[0].ip();
    for there in [false, true] {
        pair.set_addresses(Server, |ip| there || ip != interface);
        pair.drive_for(3 * SECOND);
    }
    pair.send(Client, 1, "ping");
    pair.send(Server, 1, "pong");
    pair.drive_for(10 * SECOND);
    assert_eq!(pair.recv(Server, 1).as_deref(), Some(&b"ping"[..]));
    assert_eq!(pair.recv(Client, 1).as_deref(), Some(&b"pong"[..]));
}

/// A peer that kept to one path dropped whatever came from the other addresses that this side had
/// listed: once the address of that path was gone, everything. And this side, whose HEARTBEATs from
/// there were dropped as well, waited for their answers with all that would have told the peer.
#[test]
fn what_came_from_an_address_that_no_path_led_to_was_dropped() {
    for (asconf, heartbeats) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut pair = Pair::builder()
            .addrs(&["10.0.0.1:9899"], &["10.0.0.2:9899", "10.1.0.2:9899"])
            .client(|c| _ = c.max_paths(1).asconf(asconf))
            .both(|c| _ = c.heartbeat_interval(Some(SECOND)))
            .audited()
            .build();
        pair.connect();
        if !heartbeats {
            pair.net.drop_chunk(kind::HEARTBEAT, usize::MAX);
        }
        pair.drive_for(3 * SECOND);
        let gone = pair.server.addrs[0];
        pair.set_addresses(Server, |ip| ip != gone.ip());
        pair.net
            .script(move |_, datagram| match datagram.to == gone && asconf {
                true => Verdict::Drop,
                false => Verdict::Pass,
            });
        pair.send(Client, 1, "ping");
        pair.send(Server, 1, "pong");
        pair.drive_for(20 * SECOND);
        assert_eq!(pair.recv(Server, 1).as_deref(), Some(&b"ping"[..]));
        assert_eq!(pair.recv(Client, 1).as_deref(), Some(&b"pong"[..]));
        assert_eq!(pair.stats(Client).dropped_unknown_address, 0);
    }
}

/// The peer was about to reset the association, and had said so, when the network failed for a while:
/// the request was given up as one that the peer does not know. The peer performed it all the same,
/// and nothing that it sent from then on was delivered.
#[test]
fn a_reset_that_the_peer_was_about_to_perform_was_given_up() {
    let mut pair = Pair::builder()
        .both(|c| {
            c.heartbeat_interval(Some(SECOND))
                .rto_max(2 * SECOND)
                .association_max_retrans(100)
                .path_max_retrans(100)
                .obey_association_reset(true);
        })
        .audited()
        .build();
    pair.connect();
    // What the server has to have acknowledged first waits.
    pair.net.drop_chunk(kind::DATA, 1);
    pair.send(Server, 1, "before");
    let now = pair.now;
    let client = &mut pair.conn(Client).association;
    client
        .reset_association(now)
        .expect("the peer knows resets");
    pair.drive_for(SECOND / 10);
    pair.net.links(|link| link.down = true);
    pair.drive_for(60 * SECOND);
    pair.net.links(|link| link.down = false);
    pair.drive_for(10 * SECOND);
    let performed = Event::ReconfigAnswered {
        request: ReconfigRequest::AssociationReset,
        outcome: ReconfigOutcome::Performed,
    };
    assert!(pair.events(Client).contains(&performed));
    pair.send(Server, 1, "after");
    pair.drive_for(10 * SECOND);
    assert_eq!(pair.recv(Client, 1).as_deref(), Some(&b"before"[..]));
    assert_eq!(pair.recv(Client, 1).as_deref(), Some(&b"after"[..]));
}

/// A peer that had not answered for so long that a reset was given up performed it after all: each
/// side counted on in its own way, and messages waited without end for those before them.
#[test]
fn a_reset_that_was_performed_after_it_was_given_up_went_unnoticed() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().reset_association(now).expect("known");
    peer.collect();
    let request = peer.expect(kind::RE_CONFIG).reconfig_params();
    let number = be32(&request[0].1, 0);
    let unanswered = Event::ReconfigAnswered {
        request: ReconfigRequest::AssociationReset,
        outcome: ReconfigOutcome::Unanswered,
    };
    for n in 1.. {
        // It answers other things.
        peer.send(data(1).payload("x").tsn(n).seq(n - 1).be());
        peer.advance_to_packet();
        for chunk in peer.find_all(kind::HEARTBEAT) {
            peer.send(heartbeat_ack(&chunk));
        }
        if peer.events().contains(&unanswered) {
            break;
        }
    }
    let tsns = (1 << 20, 1 << 20);
    peer.send(association_reset_response(number, 1, tsns));
    peer.expect_abort(cause::PROTOCOL_VIOLATION);
    assert_eq!(peer.state(), AssociationState::Closed);
}

/// A chunk that had probed a closed window was as large as a packet, however small the peer's window
/// is when it is open: it was refused from then on, whenever the peer held anything else.
#[test]
fn a_probe_larger_than_the_window_was_refused_without_end() {
    let mut pair = Pair::builder()
        .client(|c| _ = c.path_mtu(65_535))
        .server(|c| _ = c.receive_window(30_000))
        .audited()
        .build();
    pair.connect();
    pair.send(Client, 1, vec![1; 25_000]);
    pair.send(Client, 2, vec![2; 60_000]);
    // The window closes, is probed, and opens again; one message stays unread.
    pair.drive_for(10 * SECOND);
    pair.send(Client, 3, "stays");
    let mut received = 0;
    for _ in 0..100 {
        for stream in [1, 2] {
            let association = &mut pair.conn(Server).association;
            while let Some(part) = association.recv(StreamId(stream)) {
                received += part.data.len();
            }
        }
        pair.drive_for(SECOND);
    }
    assert_eq!(received, 85_000);
}

/// HEARTBEATs of the peer put the repetition of a lost SHUTDOWN off, each by a time-out: where they
/// came often enough, it never went again.
#[test]
fn heartbeats_kept_a_lost_shutdown_from_going_again() {
    let mut peer = Peer::connected();
    let now = peer.now;
    peer.association().shutdown(now);
    peer.collect();
    peer.expect(kind::SHUTDOWN);
    let mut repeated = 0;
    for _ in 0..20 {
        peer.advance(SECOND / 5);
        repeated += peer.find_all(kind::SHUTDOWN).len();
        peer.send(heartbeat(b"alive"));
    }
    assert!(repeated > 0);
}

/// A NAT gave the peer another port, which showed on the only path that the peer used. The other one,
/// known by the old port, was all that was left when the address of the first went, and led nowhere.
#[test]
fn a_port_that_moved_on_one_path_was_not_tried_on_the_other() {
    let mut pair = Pair::builder()
        .addrs(&["10.0.0.1:9899"], &["10.0.0.2:9899", "10.1.0.2:9899"])
        .client(|c| _ = c.max_paths(1).asconf(false))
        .both(|c| _ = c.heartbeat_interval(Some(SECOND)))
        .audited()
        .build();
    let (inside, mut outside) = (pair.client.addrs[0], pair.client.addrs[0]);
    for port in [1111, 2222] {
        outside.set_port(port);
        pair.net.rebind(inside, outside);
        if port == 1111 {
            pair.connect();
        }
        pair.drive_for(3 * SECOND);
    }
    let gone = pair.server.addrs[0].ip();
    pair.set_addresses(Server, |ip| ip != gone);
    pair.send(Server, 1, "pong");
    pair.drive_for(SECOND);
    assert_eq!(pair.recv(Client, 1).as_deref(), Some(&b"pong"[..]));
}

/// A NAT gave the peer a port for each address of this side. When the second showed, on a path that
/// had been taken to have the first, it was taken to have moved, and the first path was lost.
#[test]
fn a_port_that_showed_first_on_another_path_was_taken_for_one_that_moved() {
    let mut pair = Pair::builder()
        .addrs(
            &["10.0.0.1:9899"],
            &["203.0.113.2:9899", "198.51.100.2:9899"],
        )
        .both(|c| _ = c.heartbeat_interval(Some(SECOND)))
        .audited()
        .build();
    let inside = pair.client.addrs[0];
    for (peer, outside) in [
        ("203.0.113.2", "192.0.2.7:1111"),
        ("198.51.100.2", "192.0.2.7:2222"),
    ] {
        let (peer, outside) = (peer.parse().unwrap(), outside.parse().unwrap());
        pair.net.rebind_toward(inside, peer, outside);
    }
    pair.connect();
    for _ in 0..20 {
        pair.drive_for(Duration::from_millis(250));
        pair.send(Server, 1, "pong");
    }
    pair.drive_for(SECOND);
    let stats = pair.conn(Server).association.stats();
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.tail_loss_probes),
        (0, 0)
    );
}
