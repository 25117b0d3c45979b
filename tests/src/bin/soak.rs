//! A large file and many small ones over one association on a bad network, byte-identical.
//!
//! `cargo run --release -p sctp-tests --bin soak -- [MEGABYTES] [SMALL FILES] [SEED]`; the defaults
//! are 1024, 10,000 and 1. The network loses, reorders and duplicates one packet in a hundred
//! each.

use std::{env, time::Duration};

use sctp_tests::{
    load::{Flow, Item},
    net::Link,
    pair::{Pair, Side::Client},
};

/// Size of the messages that carry the large file.
const PIECE: usize = 64 * 1024;

fn main() {
    let argument = |index, default| {
        let text = env::args().nth(index);
        text.map_or(default, |text| text.parse::<usize>().expect("a number"))
    };
    let (megabytes, small, seed) = (argument(1, 1024), argument(2, 10_000), argument(3, 1));
    let mut pair = Pair::builder()
        .seed(seed as u64)
        .link(Link {
            loss: 0.01,
            reorder: 0.01,
            duplicate: 0.01,
            ..Link::default()
        })
        .both(|c| {
            c.receive_window(4 * 1024 * 1024)
                .send_buffer(4 * 1024 * 1024);
        })
        .untraced()
        .steps(usize::MAX)
        .build();
    pair.connect();

    let large = Item {
        stream: 0,
        size: PIECE,
        unordered: false,
    };
    let mut items = vec![large; megabytes * 1024 * 1024 / PIECE];
    items.extend((0..small).map(|number| Item {
        stream: 1 + (number % 1023) as u16,
        size: 100 + number % 20_000,
        unordered: false,
    }));
    let bytes: usize = items.iter().map(|item| item.size).sum();
    let total = items.len();
    let mut flow = Flow::new(Client, items);
    let mut told = 10;
    while flow.left() > 0 {
        flow.drain(&mut pair);
        flow.pump(&mut pair);
        assert!(
            pair.step(),
            "all is quiet, and {} messages are missing",
            flow.left()
        );
        let tenth = 10 * flow.left() / total;
        if tenth < told {
            told = tenth;
            eprintln!("{:?}: {} of {total} messages left", pair.now, flow.left());
        }
    }
    pair.shutdown(Client);
    pair.drive();
    let sent = pair.client.conn().association.stats();
    println!(
        "{bytes} bytes in {total} messages arrived whole after {:?} of virtual time; \
         {} chunks sent, {} sent again, {} fast retransmits, {} expiries of T3-rtx",
        Duration::from_nanos(pair.now.as_nanos()),
        sent.data_chunks_sent,
        sent.data_chunks_retransmitted,
        sent.fast_retransmits,
        sent.t3_expiries,
    );
    println!("network: {:?}", pair.net.stats());
}
