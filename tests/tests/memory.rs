//! What strangers can make an endpoint hold: nothing. In a process of their own, since the tests
//! count what the allocator holds.

use std::{alloc::System, net::SocketAddr, num::NonZeroUsize, sync::Mutex};

use bytes::Bytes;
use sctp_proto::{AssociationConfig, EndpointConfig, SendInfo, StreamId};
use sctp_tests::{
    auth::{SHA1, SHA256, offer},
    build::{cookie_echo, data, init},
    codec::kind,
    net::Datagram,
    peer::{Peer, TAG},
    rng::Rng,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held(stats: Stats) -> isize {
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Bytes that four rounds of work leave behind, or rather the one that leaves least: threads of the
/// test runner allocate, too, when a test begins or ends, and what strangers leave is there each time.
fn left_by_each(mut round: impl FnMut()) -> isize {
    let left = (0..4).map(|_| {
        let before = held(ALLOCATOR.stats());
        round();
        held(ALLOCATOR.stats()) - before
    });
    left.min_by_key(|bytes| bytes.unsigned_abs()).unwrap_or(0)
}

/// All tests read the same allocator.
static ALONE: Mutex<()> = Mutex::new(());

//= RFC 9260 §5.1, test
//# After sending an INIT ACK chunk with the State...
#[test]
fn threat_16_twenty_thousand_spoofed_inits_and_forged_cookies_leave_memory_as_it_was() {
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
                ecn: None,
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
    let mut answers = 0;
    let left = left_by_each(|| answers += flood(&mut peer, &mut rng, 5_000));
    assert!(answers >= 15_000, "{answers} were answered");
    assert_eq!(left, 0, "bytes held");
    assert_eq!(peer.host.endpoint.associations(), 0);
}

/// No allocation for a source, however many there are.
#[test]
fn threat_16_a_million_inits_are_held_in_no_byte() {
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
                ecn: None,
            };
            peer.host.receive(now, datagram);
            while peer.host.take_packet().is_some() {}
        }
        peer.host.endpoint.stats()
    };
    flood(1000);
    let left = left_by_each(|| _ = flood(250_000));
    assert_eq!(left, 0, "bytes held");
    let stats = flood(0);
    assert_eq!(stats.inits_answered + stats.setups_limited, 1_001_000);
    assert!(stats.inits_answered >= 50_000, "{stats:?}");
    assert!(stats.setups_limited >= 700_000, "{stats:?}");
}

/// CVE-2019-3874: memory charged to nobody. Peers that send what nobody reads and acknowledge
/// nothing hold what windows and send buffers allow, on the heap itself; their end gives all of it
/// back.
#[test]
fn threat_14_a_soak_holds_no_more_heap_than_the_limits_allow() {
    const WINDOW: u32 = 32 * 1024;
    const BUFFER: usize = 32 * 1024;
    const ASSOCIATIONS: u16 = 16;
    let _alone = ALONE.lock();
    let mut config = AssociationConfig::default();
    config
        .heartbeat_interval(None)
        .receive_window(WINDOW)
        .send_buffer(BUFFER)
        .stream_send_buffer(BUFFER);
    let mut limits = EndpointConfig::default();
    limits.max_associations(usize::from(ASSOCIATIONS));
    let mut peer = Peer::of_server(&config, limits);
    let mut tags = Vec::new();
    for port in 1..=2 * ASSOCIATIONS {
        peer.port = port;
        peer.send_tagged(0, init(TAG));
        let Some(answer) = peer.find(kind::INIT_ACK) else {
            continue;
        };
        let answer = answer.as_init();
        peer.send_tagged(answer.tag, cookie_echo(&answer.cookie()));
        peer.receive_all();
        tags.push((port, answer.tag));
    }
    assert_eq!(tags.len(), usize::from(ASSOCIATIONS));
    peer.host
        .conns
        .iter_mut()
        .for_each(|conn| conn.events.clear());

    let mut rng = Rng::new(14);
    let (now, from, to) = (peer.now, peer.addr, peer.host.addrs[0]);
    let before = held(ALLOCATOR.stats());
    let mut peak = 0;
    for round in 0..20_000 {
        let number = rng.below(tags.len());
        (peer.port, peer.host_tag) = tags[number];
        let size = if rng.chance(0.5) {
            1
        } else {
            rng.between(1, 1200)
        };
        let chunk = data(rng.below(1024) as u16)
            .tsn(rng.between(2, 4000) as u32)
            .unordered()
            .payload(vec![7; size]);
        // Whole messages, and beginnings that nothing continues; the first TSN never comes.
        let chunk = if rng.chance(0.5) {
            chunk.be()
        } else {
            chunk.b()
        };
        let payload = peer.packet(peer.host_tag, vec![chunk]).encode();
        let datagram = Datagram {
            from,
            to,
            payload,
            dont_fragment: true,
            ecn: None,
        };
        peer.host.receive(now, datagram);
        let message = Bytes::from(vec![7; rng.between(1, 2000)]);
        let association = &mut peer.host.conns[number].association;
        let _ = association.send(now, StreamId(1), message, SendInfo::default());
        if round % 16 == 0 {
            peer.host.poll(now);
            while peer.host.take_packet().is_some() {}
            peak = peak.max(held(ALLOCATOR.stats()) - before);
        }
    }
    assert_eq!(peer.host.live(), usize::from(ASSOCIATIONS), "all are alive");
    // What is counted is up to 1.8 times on the heap if all of it is single bytes; the rest is
    // for records of TSNs, streams and timers.
    let each = 2 * WINDOW as usize + BUFFER + 16 * 1024;
    let most = (usize::from(ASSOCIATIONS) * each) as isize;
    assert!(peak <= most, "{peak} of {most} bytes");
    assert!(peak >= most / 3, "{peak} of {most} bytes: no soak");
    for conn in &mut peer.host.conns {
        conn.association.abort(now, Bytes::new());
    }
    peer.host.poll(now);
    while peer.host.take_packet().is_some() {}
    peer.host.conns.clear();
    assert_eq!(peer.host.endpoint.associations(), 0);
    let left = held(ALLOCATOR.stats()) - before;
    assert!(left <= 0, "{left} bytes are left");
}

/// One address opens association after association and fills the windows of all: the heap holds
/// what that address may have, and not associations times windows.
#[test]
fn threat_14_one_address_with_many_associations_holds_no_more_heap_than_its_part() {
    const LIMIT: usize = 512 * 1024;
    const ASSOCIATIONS: u16 = 24;
    let _alone = ALONE.lock();
    let mut config = AssociationConfig::default();
    config.heartbeat_interval(None);
    let mut limits = EndpointConfig::default();
    limits.max_memory_per_peer(LIMIT);
    let mut peer = Peer::of_server(&config, limits);
    let before = held(ALLOCATOR.stats());
    let (now, from, to) = (peer.now, peer.addr, peer.host.addrs[0]);
    let mut rng = Rng::new(15);
    let (mut tags, mut peak) = (Vec::new(), 0);
    for port in 1..=ASSOCIATIONS {
        peer.port = port;
        peer.send_tagged(0, init(TAG));
        let answer = peer.expect(kind::INIT_ACK).as_init();
        peer.send_tagged(answer.tag, cookie_echo(&answer.cookie()));
        peer.receive_all();
        tags.push((port, answer.tag));
    }
    for round in 0..40_000 {
        (peer.port, peer.host_tag) = tags[rng.below(tags.len())];
        let chunk = data(rng.below(1024) as u16)
            .tsn(rng.between(1, 4000) as u32)
            .unordered()
            .payload(vec![7; rng.between(1, 1200)])
            .be();
        let datagram = Datagram {
            from,
            to,
            payload: peer.packet(peer.host_tag, vec![chunk]).encode(),
            dont_fragment: true,
            ecn: None,
        };
        peer.host.receive(now, datagram);
        if round % 16 == 0 {
            peer.host.poll(now);
            while peer.host.take_packet().is_some() {}
            peak = peak.max(held(ALLOCATOR.stats()) - before);
        }
    }
    assert_eq!(peer.host.live(), tags.len(), "nobody was aborted");
    // What is counted is up to 1.8 times on the heap; 16 KiB each in any case; buffers of the
    // harness, and records of streams.
    let most = (2 * LIMIT + tags.len() * 48 * 1024 + 256 * 1024) as isize;
    assert!(peak <= most, "{peak} of {most} bytes");
    assert!(peak >= LIMIT as isize / 2, "{peak} bytes: no flood");
    let windows = tags.len() as isize * (1 << 20);
    assert!(
        most < windows / 2,
        "the windows alone would allow {windows}"
    );
}

/// Allocations while a host writes packets to a peer that wants these chunks authenticated, `None`
/// if that does not speak AUTH; without those by which its structures get their sizes.
fn allocations_of_sending(wanted: Option<&[u8]>) -> usize {
    let mut peer = Peer::client();
    let offered = match wanted {
        Some(chunks) => offer(init(TAG), chunks, &[SHA256, SHA1]),
        None => init(TAG),
    };
    let answer = peer.init(offered);
    peer.send(cookie_echo(&answer.cookie()));
    peer.receive_all();
    assert_eq!(peer.association().can_authenticate(), wanted.is_some());
    let (mut buf, mut counted) = (Vec::with_capacity(20_000), 0);
    for round in 1..200 {
        let now = peer.now;
        let message = Bytes::from_static(&[7; 1000]);
        let association = peer.association();
        let sent = association.send(now, StreamId(1), message, SendInfo::default());
        sent.expect("the message is taken");
        let before = ALLOCATOR.stats().allocations;
        buf.clear();
        let packet = association.poll_transmit(now, NonZeroUsize::MIN, &mut buf);
        let after = ALLOCATOR.stats().allocations;
        assert!(packet.is_some_and(|packet| packet.size >= 1000));
        if round > 100 {
            counted += after - before;
        }
        peer.send(peer.sack(round));
        peer.receive_all();
    }
    counted
}

#[test]
fn authenticated_packets_cost_no_allocation_nor_do_others() {
    let _alone = ALONE.lock();
    // Threads of the test runner allocate, too, now and then: what all rounds share is the code's.
    let least = |wanted: Option<&[u8]>| {
        let rounds = (0..3).map(|_| allocations_of_sending(wanted));
        rounds.min().unwrap_or(0)
    };
    let without = least(None);
    assert_eq!(without, 0, "no AUTH");
    assert_eq!(least(Some(&[])), without, "AUTH that is not asked for");
    assert_eq!(least(Some(&[kind::DATA, kind::SACK])), without, "AUTH");
}
