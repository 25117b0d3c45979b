//! Breadth-first through all choices.
//!
//! Endpoints cannot be copied. A state is kept as the choices that lead to it, and made anew for
//! each choice that leads from it: a run is a function of its choices.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    properties::{at_rest, in_state, over_step, states},
    world::{Bounds, Choice, World},
};

/// How a state was reached first: its predecessor and the choice there.
#[derive(Debug, Clone, Copy)]
struct Reached {
    from: usize,
    by: Option<Choice>,
    depth: usize,
}

/// Explores everything within the bounds, or what `limit` steps reach of it; panics with the
/// shortest run that breaks something.
pub(crate) fn explore(name: &str, bounds: Bounds, limit: u64) {
    let mut arena = vec![Reached {
        from: 0,
        by: None,
        depth: 0,
    }];
    let mut known = HashSet::from([digest(&World::new(bounds))]);
    let mut queue = VecDeque::from([0]);
    let mut transitions = 0_u64;
    while let Some(node) = queue.pop_front() {
        if transitions >= limit {
            let complete = arena[node].depth;
            println!("{name}: everything up to {complete} steps, and");
            break;
        }
        let path = path_to(&arena, node);
        let mut here = Some(replay(bounds, &path));
        let choices = here.as_ref().map(World::choices).unwrap_or_default();
        for (index, &choice) in choices.iter().enumerate().rev() {
            // The last one tried, which is the first, has the world to itself.
            let last = index == 0;
            let taken = if last { here.take() } else { None };
            let mut world = taken.unwrap_or_else(|| replay(bounds, &path));
            transitions += 1;
            let new = checked(&path, choice, || {
                let before = states(&world);
                world.step(choice)?;
                over_step(before, choice, &world)?;
                if !known.insert(digest(&world)) {
                    return Ok(false);
                }
                in_state(&world)?;
                at_rest(&mut world)?;
                Ok(true)
            });
            if new {
                queue.push_back(arena.len());
                arena.push(Reached {
                    from: node,
                    by: Some(choice),
                    depth: path.len() + 1,
                });
            }
        }
    }
    let depth = arena.last().map_or(0, |reached| reached.depth);
    println!(
        "{name}: {} states, {transitions} transitions, {depth} deep",
        arena.len()
    );
}

/// Runs a step; if it fails, tells by which choices it was reached.
fn checked(path: &[Choice], choice: Choice, step: impl FnOnce() -> Result<bool, String>) -> bool {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(new)) => new,
        Ok(Err(why)) => panic!("{why}\n  after {path:?}\n  and then {choice:?}"),
        Err(_) => panic!("panicked after {path:?}\n  and then {choice:?}"),
    }
}

fn path_to(arena: &[Reached], mut node: usize) -> Vec<Choice> {
    let mut path = Vec::new();
    while let Some(choice) = arena[node].by {
        path.push(choice);
        node = arena[node].from;
    }
    path.reverse();
    path
}

fn replay(bounds: Bounds, path: &[Choice]) -> World {
    let mut world = World::new(bounds);
    for &choice in path {
        world.step(choice).expect("it went well before");
    }
    world
}

/// Equal for worlds that differ in nothing but time and statistics.
fn digest(world: &World) -> u64 {
    let mut text = String::new();
    world.describe(&mut text);
    let mut hasher = DefaultHasher::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(" stats: ") {
        hash_timeless(&rest[..at], &mut hasher);
        let end = rest[at..]
            .find('}')
            .map_or(rest.len(), |length| at + length);
        rest = &rest[end..];
    }
    hash_timeless(rest, &mut hasher);
    hasher.finish()
}

/// Hashes a text without its numbers of seconds.
fn hash_timeless(text: &str, hasher: &mut DefaultHasher) {
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let begin = at;
        while at < bytes.len() && (bytes[at].is_ascii_digit() || bytes[at] == b'.') {
            at += 1;
        }
        let unit = &bytes[at..];
        let units: [&[u8]; 4] = [b"s", b"ms", b"ns", "µs".as_bytes()];
        if units.iter().any(|name| unit.starts_with(name)) {
            bytes[from..begin].hash(hasher);
            from = at;
        }
    }
    bytes[from..].hash(hasher);
}
