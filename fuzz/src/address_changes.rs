//! A peer that authenticates whatever it says about addresses, and strangers who cannot.
//!
//! Only what is authenticated changes anything, nothing exceeds its bounds, and the books of the host
//! are audited at every step.

use std::{net::SocketAddr, time::Duration};

use sctp_proto::AssociationState;
use sctp_tests::{
    auth::{Auth, SHA1, SHA256, offer},
    build::{asconf, cookie_echo, heartbeat_ack, init},
    codec::{Chunk, kind, param},
    peer::{Peer, TAG},
};

use crate::Input;

/// Operations of a run: more only repeat themselves.
const OPERATIONS: usize = 100;

/// Takes a list of operations.
pub fn address_changes(data: &[u8]) {
    let mut input = Input::new(data);
    let mut peer = Peer::client();
    peer.host.audited = true;
    let algorithm = if input.u8() & 1 == 0 { SHA256 } else { SHA1 };
    let extensions = [kind::AUTH, kind::ASCONF, kind::ASCONF_ACK];
    let offered = init(TAG).extensions(&extensions);
    let listed = [kind::ASCONF, kind::ASCONF_ACK];
    let own: Chunk = offer(offered, &listed, &[algorithm, SHA1]).into();
    peer.send_tagged(0, own.clone());
    let answer = peer.expect(kind::INIT_ACK).as_init();
    (peer.host_tag, peer.host_tsn) = (answer.tag, answer.tsn);
    peer.send(cookie_echo(&answer.cookie()));
    peer.receive_all();
    let auth = Auth::new(&own, &answer).with_algorithm(algorithm);
    let mut seq = 1_u32;
    for _ in 0..OPERATIONS {
        if input.is_empty() || peer.state() != AssociationState::Established {
            break;
        }
        let operation = input.u8();
        let address = |byte: u8| [10, 0, 0, byte % 16];
        let from = SocketAddr::from((address(operation >> 4), 9899));
        let length = usize::from(input.u8());
        let before = peer.association().paths().count();
        let (chunks, authentic) = match operation % 8 {
            // Requests of the right form, with the next number or the last.
            0..=2 => {
                let requests: Vec<_> = (input.take(length % 24).chunks_exact(2))
                    .map(|pair| {
                        let kinds = [param::ADD_IP, param::DELETE_IP, param::SET_PRIMARY, 0xc0ff];
                        let ip = if pair[1] == 0 {
                            [0; 4]
                        } else {
                            address(pair[1])
                        };
                        (kinds[usize::from(pair[0] % 4)], ip)
                    })
                    .collect();
                let chunk = asconf(seq, address(1), &requests);
                seq = seq.wrapping_add(u32::from(operation % 8 != 2));
                (auth.sign(vec![chunk]), true)
            }
            // Of any form.
            3 => {
                let value = [&seq.to_be_bytes()[..], input.take(length)].concat();
                (auth.sign(vec![Chunk::new(kind::ASCONF, 0, &value)]), true)
            }
            4 => {
                let number = peer.host_tsn.wrapping_add(u32::from(input.u8()) % 3);
                let value = [&number.to_be_bytes()[..], input.take(length)].concat();
                let ack = Chunk::new(kind::ASCONF_ACK, 0, &value);
                (auth.sign(vec![ack]), true)
            }
            // Strangers.
            5 => {
                let mut value = input.take(length).to_vec();
                value.resize(value.len().max(4), 0);
                let add = asconf(seq, address(1), &[(param::ADD_IP, address(operation >> 4))]);
                (vec![Chunk::new(kind::AUTH, 0, &value), add], false)
            }
            6 => {
                let now = peer.now;
                let ip = peer.host.addrs[0].ip();
                let _ = peer.association().set_peer_primary(now, ip);
                (Vec::new(), true)
            }
            _ => {
                peer.advance(Duration::from_millis(u64::from(input.u8()) * 20));
                (Vec::new(), true)
            }
        };
        if chunks.is_empty() {
            peer.collect();
        } else {
            let packet = peer.packet(peer.host_tag, chunks).encode();
            peer.send_from(from, packet);
        }
        let mut beats = Vec::new();
        for received in peer.receive_all() {
            let chunks = received.packet.chunks.into_iter();
            let due = chunks.filter(|chunk| chunk.kind == kind::HEARTBEAT);
            beats.extend(due.map(|beat| (received.to, beat)));
        }
        let count = peer.association().paths().count();
        assert!(authentic || count == before, "a stranger was believed");
        assert!(count <= 8, "{count} paths");
        for (to, beat) in beats.into_iter().filter(|_| length & 1 == 0) {
            let packet = peer.packet(peer.host_tag, vec![heartbeat_ack(&beat)]);
            peer.send_from(to, packet.encode());
        }
    }
}
