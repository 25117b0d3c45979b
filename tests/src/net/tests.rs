use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn datagram(number: u32) -> Datagram {
    Datagram {
        from: addr("10.0.0.1:9899"),
        to: addr("10.0.0.2:9899"),
        payload: number.to_be_bytes().to_vec(),
        dont_fragment: true,
        ecn: None,
    }
}

fn run(seed: u64, link: Link) -> (Vec<(Instant, Vec<u8>)>, NetStats) {
    let mut net = Net::new(seed, link);
    let mut arrived = Vec::new();
    for i in 0..10_000 {
        let now = Instant::from_nanos(u64::from(i) * 1_000_000);
        net.send(now, datagram(i));
    }
    while let Some(at) = net.next_arrival() {
        let datagram = net.poll(at).expect("it has arrived");
        arrived.push((at, datagram.payload));
    }
    (arrived, net.stats())
}

#[test]
fn a_seed_decides_everything() {
    let link = Link {
        loss: 0.1,
        reorder: 0.1,
        duplicate: 0.1,
        corrupt: 0.1,
        jitter: Duration::from_millis(5),
        ..Link::default()
    };
    assert_eq!(run(7, link.clone()), run(7, link.clone()));
    assert_ne!(run(7, link.clone()).0, run(8, link).0);
}

#[test]
fn losses_are_as_frequent_as_asked_for() {
    let (_, random) = run(
        1,
        Link {
            loss: 0.1,
            ..Link::default()
        },
    );
    assert!((900..1100).contains(&random.lost), "{random:?}");
    let (_, bursts) = run(
        1,
        Link {
            burst: Some(Gilbert {
                enter: 0.01,
                leave: 0.2,
                loss: 1.0,
            }),
            ..Link::default()
        },
    );
    // The share of the bad state is enter / (enter + leave).
    assert!((350..650).contains(&bursts.lost), "{bursts:?}");
}

#[test]
fn jitter_keeps_the_order_and_reordering_breaks_it() {
    let in_order = |link| {
        let (arrived, _) = run(3, link);
        arrived.is_sorted_by_key(|(_, payload)| payload.clone())
    };
    let jitter = Duration::from_millis(30);
    assert!(in_order(Link {
        jitter,
        ..Link::default()
    }));
    assert!(!in_order(Link {
        reorder: 0.01,
        ..Link::default()
    }));
}

#[test]
fn a_rate_spaces_packets_and_a_full_queue_drops_them() {
    let link = Link {
        delay: Duration::ZERO,
        rate: Some(1000),
        queue: 8,
        ..Link::default()
    };
    let mut net = Net::new(1, link);
    for i in 0..4 {
        net.send(Instant::EPOCH, datagram(i));
    }
    // Two packets of four bytes fill the queue.
    assert_eq!(net.stats().lost, 2);
    let first = net.next_arrival();
    assert_eq!(first, Some(Instant::from_nanos(4_000_000)));
    net.poll(Instant::from_nanos(4_000_000)).expect("arrived");
    assert_eq!(net.next_arrival(), Some(Instant::from_nanos(8_000_000)));
}

#[test]
fn a_nat_gives_a_host_another_address_until_it_forgets() {
    let mut net = Net::new(1, Link::default());
    let (inside, server) = (addr("10.0.0.1:9899"), addr("10.0.0.2:9899"));
    let late = Instant::from_nanos(1_000_000_000);
    net.rebind(inside, addr("192.0.2.1:1000"));
    net.send(Instant::EPOCH, datagram(1));
    let seen = net.poll(late).expect("it arrives");
    assert_eq!(seen.from, addr("192.0.2.1:1000"));

    let reply = |to| Datagram {
        from: server,
        to,
        ..datagram(2)
    };
    net.send(Instant::EPOCH, reply(seen.from));
    assert_eq!(net.poll(late).map(|d| d.to), Some(inside));

    // What is sent to the former address reaches no host.
    net.rebind(inside, addr("192.0.2.1:2000"));
    net.send(Instant::EPOCH, reply(seen.from));
    assert_eq!(net.poll(late).map(|d| d.to), Some(seen.from));
}

#[test]
fn scripts_drop_what_they_are_told_to() {
    let mut net = Net::new(1, Link::default());
    net.drop_next(2);
    for i in 0..3 {
        net.send(Instant::EPOCH, datagram(i));
    }
    let late = Instant::from_nanos(1_000_000_000);
    let arrived = net.poll(late).expect("the third");
    assert_eq!(arrived.payload, 2_u32.to_be_bytes());
    assert_eq!(net.poll(late), None);
}
