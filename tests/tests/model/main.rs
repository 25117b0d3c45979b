//! Two endpoints and a channel that loses, duplicates and reorders: every run, up to a bound.
//!
//! - `automaton`: one side of an association as §4, §5 and §9 describe it, from the text.
//! - `world`: two real endpoints, an automaton beside each, the packets between them, and all that
//!   can happen next.
//! - `properties`: what holds in every state, over every step, and after everything has come to
//!   rest.
//! - `explorer`: breadth-first through all choices; states that differ in nothing but time and
//!   statistics count as one.
//!
//! An ordinary run explores everything within narrow bounds. With
//! `SCTP_MODEL=1000000 cargo test --release -p sctp-tests --test model -- --nocapture` they are
//! wide, and each exploration ends after so many steps: then everything up to the depth that it
//! names was explored.

mod automaton;
mod explorer;
mod properties;
mod world;

use world::{Bounds, Start};

/// Explores within the bounds of an ordinary run or, if the environment asks for it, of a deep one.
fn explore(name: &str, ordinary: Bounds, deep: Bounds) {
    let limit = std::env::var("SCTP_MODEL").ok();
    match limit.map(|steps| steps.parse().expect("SCTP_MODEL is a number of steps")) {
        Some(limit) => explorer::explore(name, deep, limit),
        None => explorer::explore(name, ordinary, u64::MAX),
    }
}

#[test]
fn model_set_up() {
    let ordinary = Bounds {
        drops: 1,
        duplicates: 1,
        timers: [1, 0],
        connects: [1, 0],
        sends: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 4,
        duplicates: 3,
        timers: [4, 2],
        sends: [2, 1],
        ..ordinary
    };
    explore("set-up", ordinary, deep);
}

#[test]
fn model_giving_up() {
    let ordinary = Bounds {
        timers: [3, 0],
        connects: [1, 0],
        sends: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 6,
        duplicates: 1,
        timers: [9, 1],
        ..ordinary
    };
    explore("giving up", ordinary, deep);
}

#[test]
fn model_collision() {
    let ordinary = Bounds {
        duplicates: 1,
        connects: [1, 1],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 2,
        duplicates: 2,
        timers: [2, 2],
        sends: [1, 1],
        ..ordinary
    };
    explore("collision", ordinary, deep);
}

#[test]
fn model_restart() {
    let ordinary = Bounds {
        start: Start::Established,
        duplicates: 1,
        timers: [1, 0],
        connects: [1, 0],
        sends: [0, 1],
        crashes: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 2,
        duplicates: 2,
        timers: [2, 2],
        connects: [2, 2],
        sends: [1, 1],
        shutdowns: [1, 1],
        crashes: [1, 1],
        ..ordinary
    };
    explore("restart", ordinary, deep);
}

#[test]
fn model_shutdown() {
    let ordinary = Bounds {
        start: Start::Established,
        drops: 1,
        timers: [1, 1],
        sends: [1, 0],
        shutdowns: [1, 1],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 3,
        duplicates: 3,
        timers: [3, 3],
        sends: [2, 1],
        ..ordinary
    };
    explore("shutdown", ordinary, deep);
}

#[test]
fn model_abort() {
    let ordinary = Bounds {
        start: Start::Established,
        duplicates: 1,
        connects: [1, 0],
        sends: [0, 1],
        aborts: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 2,
        duplicates: 2,
        timers: [2, 2],
        shutdowns: [1, 1],
        aborts: [1, 1],
        ..ordinary
    };
    explore("abort", ordinary, deep);
}

#[test]
fn model_shutdown_and_again() {
    let ordinary = Bounds {
        start: Start::Established,
        drops: 1,
        duplicates: 1,
        timers: [1, 0],
        connects: [1, 0],
        shutdowns: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 2,
        duplicates: 2,
        timers: [2, 2],
        sends: [1, 1],
        shutdowns: [2, 2],
        ..ordinary
    };
    explore("shutdown and again", ordinary, deep);
}

/// COOKIE ECHO chunks, with their DATA, that arrive again when the association is over.
#[test]
fn model_late_cookie() {
    let ordinary = Bounds {
        duplicates: 1,
        connects: [1, 0],
        sends: [1, 0],
        aborts: [1, 0],
        ..Bounds::NONE
    };
    let deep = Bounds {
        drops: 1,
        duplicates: 2,
        timers: [2, 1],
        connects: [2, 1],
        aborts: [1, 1],
        ..ordinary
    };
    explore("late cookie", ordinary, deep);
}
