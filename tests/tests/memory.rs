//! What strangers can make an endpoint hold: nothing. One test alone in its process, since it
//! counts what the allocator holds.

use std::{alloc::System, net::SocketAddr};

use sctp_proto::{AssociationConfig, EndpointConfig};
use sctp_tests::{
    build::{cookie_echo, data, init},
    codec::kind,
    net::Datagram,
    peer::Peer,
    rng::Rng,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held(stats: Stats) -> isize {
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

//= RFC 9260 §5.1, test
//# After sending an INIT ACK chunk with the State...
#[test]
fn twenty_thousand_spoofed_inits_and_forged_cookies_leave_memory_as_it_was() {
    let config = AssociationConfig::default();
    let mut peer = Peer::of_server(&config, EndpointConfig::default());
    let mut rng = Rng::new(1);
    let to = peer.host.addrs[0];
    let now = peer.now;
    let flood = |peer: &mut Peer, rng: &mut Rng, count: usize| {
        let mut answers = 0;
        for round in 0..count {
            let random = rng.next_u64().to_be_bytes();
            let ip = [10, random[0], random[1], random[2]];
            let from = SocketAddr::from((ip, 1024 + u16::from(random[3])));
            let tag = rng.next_u64() as u32 | 1;
            let packet = match round % 8 {
                0 => peer.packet(tag, vec![cookie_echo(&rng.bytes(200))]),
                1 => peer.packet(tag, vec![data(1).be()]),
                _ => peer.packet(0, vec![init(tag).extensions(&[kind::I_DATA]).into()]),
            };
            let datagram = Datagram {
                from,
                to,
                payload: packet.encode(),
                dont_fragment: true,
            };
            peer.host.receive(now, datagram);
            while peer.host.take_packet().is_some() {
                answers += 1;
            }
        }
        answers
    };
    // Buffers of the harness and of the rate limits reach their sizes.
    flood(&mut peer, &mut rng, 1000);
    let before = held(ALLOCATOR.stats());
    let answers = flood(&mut peer, &mut rng, 20_000);
    let after = held(ALLOCATOR.stats());
    assert!(answers >= 15_000, "{answers} were answered");
    assert_eq!(after - before, 0, "bytes held");
    assert_eq!(peer.host.endpoint.associations(), 0);
}
