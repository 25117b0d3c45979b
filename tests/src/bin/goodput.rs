//! Goodput of one association over a bottleneck that also loses packets at random, per congestion
//! controller, in virtual time.
//!
//! `cargo run --release -p sctp-tests --bin goodput -- [MBIT] [ROUND TRIP, ms] [SECONDS] [RUNS]`; the
//! defaults are 10, 50, 60 and 5. The buffer before the bottleneck holds one bandwidth-delay
//! product, the MTU is 1280, and IP and UDP headers are not counted.

use std::{env, time::Duration};

use bytes::Bytes;
use sctp_proto::{CongestionControl, SendInfo};
use sctp_tests::{
    net::Link,
    pair::{
        Pair,
        Side::{Client, Server},
    },
};

/// Shares of packets lost, percent.
const LOSSES: [u32; 4] = [0, 1, 3, 5];
/// Bytes of one message.
const MESSAGE: usize = 16 * 1024;

fn main() {
    let argument = |index, default| {
        let text = env::args().nth(index);
        text.map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let (mbit, millis) = (argument(1, 10), argument(2, 50));
    let (seconds, runs) = (argument(3, 60), argument(4, 5));
    let rate = mbit * 1_000_000 / 8;
    let link = Link {
        delay: Duration::from_millis(millis) / 2,
        rate: Some(rate),
        queue: (rate * millis / 1000).max(20_000) as usize,
        ..Link::default()
    };
    println!("{mbit} Mbit/s, {millis} ms, {seconds} s, mean of {runs} runs; Mbit/s of user data:");
    for kind in [CongestionControl::Rfc9260, CongestionControl::Cubic] {
        for loss in LOSSES {
            let loss = f64::from(loss) / 100.0;
            let link = Link {
                loss,
                ..link.clone()
            };
            let total: u64 = (1..=runs)
                .map(|seed| received(kind, seed, link.clone(), seconds))
                .sum();
            let goodput = total as f64 * 8e-6 / (runs * seconds) as f64;
            println!("{kind:?}, {:.0} % lost: {goodput:.2}", loss * 100.0);
        }
    }
}

/// Bytes that arrive within the time.
fn received(kind: CongestionControl, seed: u64, link: Link, seconds: u64) -> u64 {
    let mut pair = Pair::builder()
        .seed(seed)
        .link(link)
        .both(|c| {
            c.congestion_control(kind)
                .receive_window(8 * 1024 * 1024)
                .send_buffer(8 * 1024 * 1024)
                .stream_send_buffer(8 * 1024 * 1024)
                .association_max_retrans(100)
                .path_max_retrans(100)
                .max_init_retransmits(100);
        })
        .untraced()
        .steps(usize::MAX)
        .build();
    pair.connect();
    let message = Bytes::from(vec![0; MESSAGE]);
    let end = pair.now + Duration::from_secs(seconds);
    let mut bytes = 0;
    while pair.now < end {
        while pair
            .try_send(Client, 1, message.clone(), SendInfo::default())
            .is_ok()
        {}
        assert!(pair.step(), "all is quiet");
        let messages = pair.recv_all(Server);
        bytes += messages.iter().map(|m| m.data.len() as u64).sum::<u64>();
    }
    bytes
}
