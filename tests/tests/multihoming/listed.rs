//! A hand-driven peer that listed a second address.

use std::net::{IpAddr, SocketAddr};

use sctp_proto::{AssociationConfig, PathInfo, PathState};
use sctp_tests::{
    build::{cookie_echo, heartbeat_ack, init},
    codec::{Chunk, kind, param},
    peer::{Peer, TAG},
};

/// Where the hand-driven peer is as well.
pub(crate) fn other() -> SocketAddr {
    "10.1.0.1:9899".parse().unwrap()
}

/// A peer that listed [`other`], of which nothing is known yet; the HEARTBEAT to it.
pub(crate) fn listing(change: impl FnOnce(&mut AssociationConfig)) -> (Peer, Chunk) {
    let mut peer = Peer::client_with(change);
    let IpAddr::V4(ip) = other().ip() else {
        unreachable!()
    };
    let chunk = init(TAG).param(param::IPV4_ADDRESS, &ip.octets());
    let answer = peer.init(chunk);
    peer.send(cookie_echo(&answer.cookie()));
    let mut beat = None;
    for received in peer.receive_all() {
        if received.kinds() == [kind::HEARTBEAT] {
            assert_eq!(received.to, other());
            beat = Some(received.packet.chunks[0].clone());
        }
    }
    (
        peer,
        beat.expect("a HEARTBEAT to the address that was listed"),
    )
}

/// The same, [`other`] confirmed.
pub(crate) fn confirmed(change: impl FnOnce(&mut AssociationConfig)) -> Peer {
    let (mut peer, beat) = listing(change);
    peer.send_chunk_from(other(), heartbeat_ack(&beat));
    peer.receive_all();
    let path = peer.association().paths().nth(1).expect("a path");
    assert_eq!(path.state, PathState::Active);
    peer.events();
    peer
}

/// The packets with DATA or I-DATA there are: where they went, and how many such chunks.
pub(crate) fn data_sent(peer: &mut Peer) -> Vec<(SocketAddr, usize)> {
    let is_data = |kind: &u8| [kind::DATA, kind::I_DATA].contains(kind);
    let sent = peer.receive_all().into_iter();
    sent.map(|received| {
        (
            received.to,
            received.kinds().iter().filter(|k| is_data(k)).count(),
        )
    })
    .filter(|(_, chunks)| *chunks > 0)
    .collect()
}

pub(crate) fn path_at(peer: &mut Peer, remote: SocketAddr) -> PathInfo {
    let mut paths = peer.association().paths();
    paths.find(|path| path.remote == remote).expect("a path")
}
