//! What goes by which path.

use std::net::SocketAddr;

use sctp_proto::{Event, PathState, SendInfo};
use sctp_tests::{build::data, codec::kind, peer::Peer};

use crate::{
    MS, SECOND,
    listed::{confirmed, data_sent, other, path_at},
};

//= RFC 9260 §6.4, test
//# By default, an endpoint SHOULD always transmit to the primary path, unless...
//= RFC 9260 §6.4.1, test
//# When there is outbound data to send and the primary path becomes...
#[test]
fn data_takes_the_primary_unless_it_asks_for_another_or_that_has_failed() {
    let mut peer = confirmed(|c| _ = c.tail_loss_probes(false));
    let here = peer.addr;
    let second = path_at(&mut peer, other()).id;
    let mut info = SendInfo::default();
    info.path = Some(second);
    peer.host_send(1, "by default");
    peer.host_send_with(2, "as asked", info.clone());
    assert_eq!(data_sent(&mut peer), [(here, 1), (other(), 1)]);
    let sack = peer.sack(2);
    peer.send(sack);
    peer.association().set_primary(second).unwrap();
    peer.collect();
    assert!(peer.events().contains(&Event::PrimaryChanged(second)));
    peer.host_send(1, "the user's choice");
    assert_eq!(data_sent(&mut peer), [(other(), 1)]);
    // Its time-out makes another of it, whether asked for or not.
    peer.advance_to_packet();
    assert_eq!(
        path_at(&mut peer, other()).state,
        PathState::PotentiallyFailed
    );
    assert_eq!(data_sent(&mut peer), [(here, 1)], "again, by the other");
    let sack = peer.sack(3);
    peer.send(sack);
    peer.host_send_with(2, "as asked", info);
    assert_eq!(data_sent(&mut peer), [(here, 1)]);
}

//= RFC 9260 §6.4, test
//# Furthermore, when its peer is multi-homed, an endpoint SHOULD try to...
//= RFC 9260 §6.3.3, test
//# The RTO to be used for starting T3-rtx SHOULD be the one...
//= RFC 9260 §8.2, test
//# When its peer endpoint is multi-homed, an endpoint SHOULD keep an...
#[test]
fn what_timed_out_goes_again_by_the_other_path_and_by_its_time_out() {
    let mut peer = confirmed(|c| {
        c.tail_loss_probes(false)
            .potentially_failed_max_retrans(None)
            .rto_max(8 * SECOND);
    });
    let here = peer.addr;
    peer.host_send(1, "lost");
    data_sent(&mut peer);
    // The other has measured its round trip: its time-out is the least there is.
    assert_eq!(peer.advance_to_packet(), SECOND);
    assert_eq!(data_sent(&mut peer), [(other(), 1)]);
    assert_eq!(peer.advance_to_packet(), 400 * MS);
    assert_eq!(
        data_sent(&mut peer),
        [(here, 1)],
        "and back, as that has timed out too"
    );
    let errors = |peer: &mut Peer, remote| path_at(peer, remote).stats.errors;
    assert_eq!(
        (errors(&mut peer, here), errors(&mut peer, other())),
        (1, 1)
    );
    assert_eq!(peer.advance_to_packet(), 2 * SECOND);
    assert_eq!(
        (errors(&mut peer, here), errors(&mut peer, other())),
        (2, 1)
    );
}

//= RFC 9260 §6.4, test
//# When its peer is multi-homed, an endpoint SHOULD send fast retransmissions to...
//= RFC 9260 §7.2.1, test
//# In instances where its peer endpoint is multi-homed, if an endpoint...
//= RFC 9260 §7.2, test
//# Unlike TCP, an SCTP sender MUST keep a set of...
#[test]
fn a_fast_retransmission_stays_on_its_path_and_so_do_the_windows() {
    let mut peer = confirmed(|_| {});
    let (here, before) = (peer.addr, path_at(&mut peer, other()).stats.cwnd);
    peer.host_send(1, vec![0; 40_000]);
    let sent: usize = data_sent(&mut peer).iter().map(|(_, chunks)| chunks).sum();
    assert!(sent >= 3);
    for gap in 2..=4 {
        let sack = peer.sack(0).gap(2, gap);
        peer.send(sack);
    }
    let again = data_sent(&mut peer);
    assert!(
        !again.is_empty() && again.iter().all(|(to, _)| *to == here),
        "{again:?}"
    );
    assert_eq!(path_at(&mut peer, other()).stats.cwnd, before);
    assert_eq!(path_at(&mut peer, other()).stats.flight, 0);
}

//= RFC 9260 §6.4, test
//# However, an endpoint SHOULD NOT vary the destination transport address of...
//= RFC 9260 §6.7, test
//# When its peer is multi-homed, the SCTP endpoint SHOULD always try...
#[test]
fn a_sack_goes_where_the_data_came_from_or_elsewhere_if_that_came_twice() {
    let mut peer = confirmed(|_| {});
    let here = peer.addr;
    let sack_to = |peer: &mut Peer, from: SocketAddr, tsn: u32| {
        let chunk = data(1).tsn(tsn).unordered().payload("x").immediate().be();
        peer.send_chunk_from(from, chunk);
        let sacks = peer
            .receive_all()
            .into_iter()
            .filter(|r| r.kinds().contains(&kind::SACK));
        let to: Vec<_> = sacks.map(|received| received.to).collect();
        assert_eq!(to.len(), 1, "one SACK for {tsn}");
        to[0]
    };
    let first = 1;
    for n in 0..3 {
        assert_eq!(sack_to(&mut peer, other(), first + n), other());
    }
    for n in 3..6 {
        assert_eq!(sack_to(&mut peer, here, first + n), here);
    }
    assert_eq!(
        sack_to(&mut peer, here, first),
        other(),
        "the last one got lost"
    );
    assert_eq!(sack_to(&mut peer, here, first + 6), here);
}

#[test]
fn a_sack_that_the_system_refuses_to_send_goes_the_other_way() {
    let mut peer = confirmed(|_| {});
    let here = peer.addr;
    let mut sacks_of = |tsn| -> Vec<SocketAddr> {
        peer.send(data(1).tsn(tsn).payload("x").immediate().be());
        let all = peer.receive_all().into_iter();
        let sacks = all.filter(|received| received.kinds().contains(&kind::SACK));
        let to = sacks.map(|received| received.to).collect();
        // From the next on, one address more.
        let next = if tsn == 1 { here } else { other() };
        peer.host.unreachable.push(next.ip());
        to
    };
    assert_eq!(sacks_of(1), [here]);
    assert_eq!(sacks_of(2), [other()], "and once");
    assert_eq!(sacks_of(3), [], "no going round between the two");
}

//= RFC 9260 §7.3, test
//# The sender SHOULD track an AMDCS that will be the smallest PMDCS...
//= RFC 9260 §7.3, test
//# When fragmenting messages into multiple parts, this AMDCS SHOULD be used...
//= RFC 9260 §7.3, test
//# An endpoint MUST maintain separate PMTU estimates for each destination...
//= RFC 9260 §6.9, test
//# If its peer is multi-homed, the endpoint SHOULD choose a DATA chunk...
//= RFC 9260 §6.10, test
//# If its peer endpoint is multi-homed, the sending endpoint SHOULD choose a...
#[test]
fn chunks_fit_every_path_and_packets_theirs() {
    let mut peer = confirmed(|c| {
        c.path_mtu(1500).min_path_mtu(576);
    });
    let second = path_at(&mut peer, other()).id;
    let now = peer.now;
    peer.association().handle_packet_too_big(now, second, 1000);
    let here = peer.addr;
    let (wide, narrow) = (path_at(&mut peer, here), path_at(&mut peer, other()));
    assert_eq!(wide.stats.max_packet, 1472);
    assert!(narrow.stats.max_packet < 1000);
    peer.host_send(1, vec![0; 20_000]);
    let packets = peer.receive_all();
    let limit = narrow.stats.max_packet - 12;
    for received in &packets {
        for chunk in &received.packet.chunks {
            assert!(
                chunk.value.len() + 4 <= limit,
                "a chunk of {}",
                chunk.value.len() + 4
            );
        }
        assert!(received.len <= 1472);
    }
    assert!(
        packets
            .iter()
            .any(|received| received.len > narrow.stats.max_packet)
    );
}
