//! What strangers can make an endpoint hold: nothing. In a process of their own, since the tests
//! count what the allocator holds.

use std::{alloc::System, net::SocketAddr, sync::Mutex};

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

/// Both tests read the same allocator.
static ALONE: Mutex<()> = Mutex::new(());

//= RFC 9260 §5.1, test
//# After sending an INIT ACK chunk with the State...
#[test]
fn twenty_thousand_spoofed_inits_and_forged_cookies_leave_memory_as_it_was() {
    let _alone = ALONE.lock();
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

/// Row 16 of the threats: no allocation for a source, however many there are.
#[test]
fn a_million_inits_are_held_in_no_byte() {
    let _alone = ALONE.lock();
    let mut limits = EndpointConfig::default();
    limits.setups_per_source(50);
    let mut peer = Peer::of_server(&AssociationConfig::default(), limits);
    let to = peer.host.addrs[0];
    let payload = peer.packet(0, vec![init(7).into()]).encode();
    let now = peer.now;
    let mut flood = |count: u32| {
        for number in 0..count {
            // Every fourth from a source of its own, the others from some hundred.
            let spoofed = match number % 4 {
                0 => number.wrapping_mul(2_654_435_761) | 1,
                _ => number % 101,
            };
            let [_, a, b, c] = spoofed.to_be_bytes();
            let datagram = Datagram {
                from: SocketAddr::from(([10, a, b, c], 9899)),
                to,
                payload: payload.clone(),
                dont_fragment: true,
            };
            peer.host.receive(now, datagram);
            while peer.host.take_packet().is_some() {}
        }
        peer.host.endpoint.stats()
    };
    flood(1000);
    let before = held(ALLOCATOR.stats());
    let stats = flood(1_000_000);
    let after = held(ALLOCATOR.stats());
    assert_eq!(after - before, 0, "bytes held");
    assert_eq!(stats.inits_answered + stats.setups_limited, 1_001_000);
    assert!(stats.inits_answered >= 50_000, "{stats:?}");
    assert!(stats.setups_limited >= 700_000, "{stats:?}");
}
