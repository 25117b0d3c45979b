//! The handshake, with several addresses to choose from.

use std::net::{IpAddr, SocketAddr};

use sctp_proto::Instant;
use sctp_tests::{
    build::init,
    codec::{kind, param},
    host::local_addresses,
    net::Verdict,
    pair::{Pair, Side::Client},
    peer::{Peer, TAG},
};

use crate::{A, B, SECOND, cut, ends, two_by_two};

#[test]
fn a_path_that_is_dead_from_the_beginning_is_passed_by() {
    let mut pair = two_by_two().build();
    cut(&mut pair, A);
    pair.start();
    pair.drive_until(Pair::established);
    assert!(pair.now < Instant::from_nanos(1_000_000_000) + 5 * SECOND);
    assert_eq!(
        ends(&mut pair, Client)[0],
        (1, 1),
        "the first that answered"
    );
}

#[test]
fn a_path_that_dies_in_the_middle_of_the_handshake_is_passed_by() {
    let mut pair = Pair::builder()
        .addrs(&[A[0]], &[A[1], B[1]])
        .audited()
        .build();
    // COOKIE ECHO goes to the second address once the first swallows it.
    let dead: IpAddr = "10.0.0.2".parse().unwrap();
    pair.net.script(move |_, datagram| {
        match datagram.has(kind::COOKIE_ECHO) && datagram.to.ip() == dead {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    pair.start();
    pair.drive_until(Pair::established);
    assert!(pair.now < Instant::from_nanos(1_000_000_000) + 5 * SECOND);
}

#[test]
fn threat_18_an_init_ack_is_three_times_its_init_whatever_it_lists() {
    let many: Vec<String> = (0..8).map(|n| format!("[fd00::{n:x}1]:9899")).collect();
    let many: Vec<SocketAddr> = many.iter().map(|a| a.parse().unwrap()).collect();
    let mut peer = Peer::client();
    peer.addr = "[fd00::99]:9899".parse().unwrap();
    peer.host.addrs = many.clone();
    peer.host
        .endpoint
        .set_local_addresses(local_addresses(&many));
    let mut most = 0;
    for padding in [0, 8, 20, 40, 60, 100, 200, 400] {
        let mut chunk = init(TAG);
        if padding > 0 {
            chunk = chunk.param(param::PADDING, &vec![0; padding - 4]);
        }
        let packet = peer.packet(0, vec![chunk.into()]).encode();
        let size = packet.len();
        peer.send_bytes(packet);
        let answer = peer.receive().expect("an INIT ACK");
        assert!(answer.len <= 3 * size, "{} bytes for {size}", answer.len);
        let init = answer.packet.chunks[0].as_init();
        let listed = init
            .params
            .iter()
            .filter(|(k, _)| *k == param::IPV6_ADDRESS)
            .count();
        assert!(listed >= most, "room for more lists more");
        most = listed;
    }
    assert_eq!(most, 8);
}
