//! Tables of the congestion controllers side by side, in virtual time: bulk transfers, pages and
//! shares of a bottleneck, over random losses.
//!
//! `cargo run --release -p sctp-tests --bin controllers -- [bulk|pages|shares] [SEEDS] [MBIT] [ROUND
//! TRIP, ms] [QUEUE, packets] [TURN, ms]`; the defaults are all of them, 5, 10, 50, 50 and 0. With a
//! TURN packets arrive only once in that time.

use std::{env, time::Duration};

use sctp_proto::CongestionControl::{self, Bbr, Cubic, Rfc9260};
use sctp_tests::{
    bottleneck::{Flows, link, page},
    net::Link,
};

/// Shares of packets lost, percent.
const LOSSES: [u32; 5] = [0, 1, 3, 5, 10];

struct Shape {
    seeds: u64,
    mbit: f64,
    round_trip: u64,
    queue: usize,
    turn: Duration,
}

impl Shape {
    fn link(&self, loss: f64) -> Link {
        Link {
            turn: self.turn,
            ..link(self.mbit, self.round_trip, self.queue, loss)
        }
    }
}

fn main() {
    let what = env::args().nth(1).unwrap_or_default();
    let argument = |index, default| {
        let text = env::args().nth(index);
        text.map_or(default, |text| text.parse::<f64>().expect("a number"))
    };
    let shape = Shape {
        seeds: argument(2, 5.0) as u64,
        mbit: argument(3, 10.0),
        round_trip: argument(4, 50.0) as u64,
        queue: argument(5, 50.0) as usize,
        turn: Duration::from_secs_f64(argument(6, 0.0) / 1000.0),
    };
    let asked = |name| what.is_empty() || what == "all" || what == name;
    if asked("bulk") {
        bulk(&shape);
    }
    if asked("pages") {
        pages(&shape);
    }
    if asked("shares") {
        shares(&shape);
    }
}

fn bulk(shape: &Shape) {
    println!("bulk, 20 s: goodput Mbit/s; bytes on the wire by bytes of data; srtt at the end, ms");
    for kind in [Rfc9260, Cubic, Bbr] {
        print!("{kind:>8?}");
        for loss in LOSSES {
            let link = shape.link(f64::from(loss) / 100.0);
            let (mut goodput, mut wire, mut srtt) = (0.0, 0.0, 0.0);
            for seed in 1..=shape.seeds {
                let mut flows = Flows::new(seed, link.clone(), &[kind]);
                flows.run(Duration::from_secs(20));
                goodput += flows.received[0] as f64 * 8e-6 / 20.0;
                let stats = flows.pair.client.conns[0].association.stats();
                let sent = stats.bytes_sent + 28 * stats.packets_sent;
                wire += sent as f64 / flows.received[0] as f64;
                srtt += flows.path(0).srtt.as_secs_f64() * 1000.0;
            }
            let mean = |sum: f64| sum / shape.seeds as f64;
            print!(
                " | {loss:>2} %: {:5.2} {:4.2} {:4.0}",
                mean(goodput),
                mean(wire),
                mean(srtt)
            );
        }
        println!();
    }
}

fn pages(shape: &Shape) {
    println!("pages: median s, 95th percentile s, median mean object s, wire / bytes");
    let pages: [(&str, usize, Vec<usize>); 4] = [
        ("10x5k", 10_000, vec![5000; 10]),
        ("50x10k", 10_000, vec![10_000; 50]),
        ("mixed:100", 10_000, mixed(100)),
        ("single:5m", 5_000_000, Vec::new()),
    ];
    for (name, html, objects) in pages {
        let bytes = html + objects.iter().sum::<usize>();
        println!("{name} ({bytes} bytes)");
        for kind in [Rfc9260, Cubic, Bbr] {
            print!("{kind:>8?}");
            for loss in LOSSES {
                let link = shape.link(f64::from(loss) / 100.0);
                let runs: Vec<_> = (1..=4 * shape.seeds)
                    .map(|seed| page(seed, link.clone(), kind, html, &objects))
                    .collect();
                let at = |values: &mut Vec<f64>, percent: usize| {
                    values.sort_by(f64::total_cmp);
                    values[(values.len() * percent).div_ceil(100).max(1) - 1]
                };
                let mut times: Vec<_> = runs.iter().map(|run| run.time.as_secs_f64()).collect();
                let mut means: Vec<_> = (runs.iter())
                    .map(|run| run.mean_object.as_secs_f64())
                    .collect();
                let wire = runs.iter().map(|run| run.wire).sum::<u64>() as f64 / runs.len() as f64;
                print!(
                    " | {loss:>2} %: {:5.2} {:5.2} {:5.2} {:4.2}",
                    at(&mut times, 50),
                    at(&mut times, 95),
                    at(&mut means, 50),
                    wire / bytes as f64
                );
            }
            println!();
        }
    }
}

/// Objects of very different sizes, small ones mostly: 22 kB on average.
fn mixed(count: usize) -> Vec<usize> {
    let size = |index: usize| {
        // The quantiles of an exponential distribution squared.
        let share = (index as f64 + 0.5) / count as f64;
        let draw = -(1.0 - share).ln();
        (11_000.0 * draw * draw) as usize + 200
    };
    // In an order that is neither.
    (0..count).map(|index| size(index * 37 % count)).collect()
}

fn shares(shape: &Shape) {
    println!("shares: of the first flow, in 30 s after 10 s; Mbit/s of both; srtt, ms");
    let sides: [(&str, [CongestionControl; 2]); 4] = [
        ("Cubic, Cubic", [Cubic, Cubic]),
        ("Bbr, Bbr", [Bbr, Bbr]),
        ("Bbr, Cubic", [Bbr, Cubic]),
        ("Bbr, Rfc9260", [Bbr, Rfc9260]),
    ];
    for (name, kinds) in sides {
        for loss in [0.0, 0.001, 0.01] {
            let link = shape.link(loss);
            print!("{name}, {} %:", loss * 100.0);
            for seed in 1..=shape.seeds {
                let mut flows = Flows::new(seed, link.clone(), &kinds);
                flows.run(Duration::from_secs(10));
                let got = flows.measure(Duration::from_secs(30));
                let both = got.iter().sum::<u64>() as f64;
                let srtt = flows.path(0).srtt.as_millis();
                print!(
                    " {:.2} ({:.1}, {srtt})",
                    got[0] as f64 / both,
                    both * 8e-6 / 30.0
                );
            }
            println!();
        }
    }
}
