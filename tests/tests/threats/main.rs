//! Peers and strangers that mean harm: the threats of docs/threats.md, one test or more per row, named
//! after the row. Each names what has gone wrong in some stack before.

mod acks;
mod answers;
mod cookies;
mod floods;
mod lengths;
mod mad_peers;
mod strangers;

use sctp_proto::AssociationState;
use sctp_tests::{
    build::{data, tlv},
    codec::Chunk,
    peer::Peer,
    rng::Rng,
};

fn assert_alive(peer: &mut Peer, tsn: u32) {
    assert_eq!(peer.state(), AssociationState::Established);
    peer.send(data(9).tsn(tsn).payload("ping").be());
    assert_eq!(peer.host_recv(9).unwrap(), "ping");
}

/// A packet of random chunks whose lengths are right, so that it gets past the checksum and the
/// walk over chunks.
fn random_packet(rng: &mut Rng, peer: &Peer, tag: u32) -> Vec<u8> {
    let known = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 194];
    let chunks = (0..rng.between(1, 4)).map(|_| {
        let kind = match rng.below(4) {
            0 => rng.below(256) as u8,
            _ => known[rng.below(known.len())],
        };
        let flags = rng.next_u64() as u8;
        let length = rng.below(60);
        let mut value = rng.bytes(length);
        if rng.chance(0.3) {
            // Plausible parameters rather than noise.
            let kind = [1, 5, 7, 8, 9, 13, 14, 16, 0x8008][rng.below(9)];
            value.truncate(16);
            value.extend_from_slice(&tlv(kind, &rng.bytes(8)));
        }
        Chunk::new(kind, flags, &value)
    });
    let chunks = chunks.collect();
    peer.packet(tag, chunks).encode()
}
