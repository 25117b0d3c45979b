//! Messages that must all arrive, on networks and machines of many kinds.

use std::time::Duration;

use sctp_proto::{AssociationConfig, CloseReason, CongestionControl};
use sctp_tests::{
    load::{Flow, Item},
    net::Link,
    pair::{
        Pair,
        Side::{self, Client, Server},
    },
    rng::Rng,
};

use crate::{
    assert_over, every_seed, random_items, random_laziness, random_pair_with, setting, watchful,
    work,
};

#[test]
fn every_message_arrives_once_in_order_and_whole() {
    every_seed(|seed| exchange(seed, |_| {}, |_, _| {}));
}

#[test]
fn it_does_so_by_other_controllers_from_any_initial_window() {
    every_seed(|seed| {
        let change = |c: &mut AssociationConfig| {
            let kind = match seed % 2 {
                0 => CongestionControl::Cubic,
                _ => CongestionControl::Bbr,
            };
            c.congestion_control(kind)
                .initial_window(Some(1 + (seed % 10) as u32));
        };
        exchange(seed, change, |_, _| {});
    });
}

#[test]
fn it_does_so_behind_a_nat_that_forgets() {
    every_seed(|seed| {
        // The client's UDP port changes; what is sent to the old one is lost.
        exchange(seed, watchful, |pair, rng| {
            if rng.chance(0.01) {
                let inside = pair.client.addrs[0];
                let mut outside = inside;
                outside.set_port(rng.between(1024, 9000) as u16);
                pair.net.rebind(inside, outside);
            }
        });
    });
}

#[test]
fn it_does_so_on_paths_that_become_narrow_and_wide() {
    every_seed(|seed| {
        let search = |c: &mut AssociationConfig| {
            watchful(c);
            c.plpmtud(true);
        };
        // Without a word: large packets get lost. Now and then even those of 1,280 bytes do.
        exchange(seed, search, |pair, rng| {
            if rng.chance(0.01) {
                let mtu = [1000, 1280, 1300, 1400, 1492, 1500, 2000, 9000, 65_535][rng.below(9)];
                pair.net.links(|link| link.max_payload = mtu - 28);
            }
        });
    });
}

#[test]
fn it_does_so_on_machines_that_sleep() {
    every_seed(|seed| {
        // From a second to some hours, between any two steps.
        exchange(seed, watchful, |pair, rng| {
            if rng.chance(0.005) {
                let seconds = 1 << rng.below(14);
                pair.sleep(Duration::from_millis(rng.between(0, 1000 * seconds) as u64));
            }
        });
    });
}

/// Messages both ways, and the graceful end. `befall` is asked before every step.
fn exchange(
    seed: u64,
    change: impl Fn(&mut AssociationConfig),
    befall: impl Fn(&mut Pair, &mut Rng),
) {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let (mut pair, streams) = random_pair_with(&mut rng, seed, change);
    let mut flows = [
        Flow::new(Client, random_items(&mut rng, streams)),
        Flow::new(Server, random_items(&mut rng, streams)),
    ];
    pair.start();
    // What the client sends first may leave with the COOKIE ECHO.
    if rng.chance(0.5) {
        flows[0].pump(&mut pair);
    }
    pair.drive_until(Pair::established);
    let lazy = random_laziness(&mut rng);
    work(&mut pair, &mut flows, lazy, |pair, flows| {
        befall(pair, &mut rng);
        flows.iter().all(|flow| flow.left() == 0)
    });
    assert_chunks(&mut pair, Client);
    assert_chunks(&mut pair, Server);
    // The end, by either side or by both, at once or after a while.
    let first = if rng.chance(0.5) { Client } else { Server };
    pair.drive_for(Duration::from_millis(rng.below(100) as u64));
    pair.shutdown(first);
    if rng.chance(0.3) {
        pair.shutdown(first.peer());
    }
    pair.drive();
    assert_over(&mut pair, Client);
    assert_over(&mut pair, Server);
    // The last packet of a shutdown may be lost, and the answer out of the blue with it.
    let reason = pair.closed(first).expect("it is over");
    assert!(
        matches!(reason, CloseReason::Shutdown | CloseReason::TimedOut),
        "{reason:?}"
    );
    // Nothing came on top.
    for flow in &mut flows {
        flow.drain(&mut pair);
    }
    assert_messages(&mut pair, Client, flows[0].len());
    assert_messages(&mut pair, Server, flows[1].len());
}

/// Every chunk was sent for the first time once, and taken for good once.
fn assert_chunks(pair: &mut Pair, from: Side) {
    let (sent, received) = (pair.stats(from), pair.stats(from.peer()));
    let taken = received.data_chunks_received
        - received.duplicate_chunks
        - received.dropped_no_buffer
        - received.reneged;
    assert_eq!(taken, sent.data_chunks_sent, "{sent:?} {received:?}");
}

/// Both ends count the messages that there were.
fn assert_messages(pair: &mut Pair, from: Side, messages: usize) {
    let (sent, received) = (pair.stats(from), pair.stats(from.peer()));
    let messages = messages as u64;
    assert_eq!(received.messages_received, messages, "{received:?}");
    assert!(sent.messages_acked <= messages, "{sent:?}");
    if pair.closed(from) == Some(CloseReason::Shutdown) {
        assert_eq!(sent.messages_acked, messages, "{sent:?}");
    }
    assert!(sent.messages_abandoned == 0 && sent.restarts == 0);
}

#[test]
fn a_large_file_and_many_small_ones_over_one_association() {
    // The soak binary does the same with a gigabyte.
    let mut pair = Pair::builder()
        .link(Link {
            loss: 0.01,
            reorder: 0.01,
            duplicate: 0.01,
            ..Link::default()
        })
        .untraced()
        .steps(10_000_000)
        .build();
    pair.connect();
    let megabytes = setting("SCTP_SIM_MEGABYTES", 4) as usize;
    let piece = 64 * 1024;
    let mut items = vec![
        Item {
            stream: 0,
            size: piece,
            unordered: false,
        };
        megabytes * 1024 * 1024 / piece
    ];
    for number in 0..1000 {
        items.push(Item {
            stream: 1 + number % 1000,
            size: 100 + usize::from(number % 1900),
            unordered: false,
        });
    }
    let mut flows = [Flow::new(Client, items)];
    work(&mut pair, &mut flows, 1, |_, flows| flows[0].left() == 0);
    pair.shutdown(Client);
    pair.drive();
    assert_eq!(pair.closed(Client), Some(CloseReason::Shutdown));
}
