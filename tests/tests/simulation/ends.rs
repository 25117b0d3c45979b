//! Associations that end at any moment, and ends that crash.

use sctp_proto::{AssociationState, CloseReason, Event};
use sctp_tests::{
    load::Flow,
    pair::{
        Pair,
        Side::{Client, Server},
    },
    rng::Rng,
};

use crate::{
    assert_over, every_seed, random_items, random_laziness, random_pair, random_pair_with,
    watchful, work,
};

#[test]
fn an_end_that_crashes_begins_anew_and_everything_after_that_arrives() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xc4a54);
        // The same port after every crash, so that the peer takes it for a restart (§5.2.4).
        let (mut pair, streams) = random_pair_with(&mut rng, seed, |c| {
            watchful(c);
            c.local_port(Some(5000));
        });
        let sides = [Client, Server];
        let mut flows = sides.map(|side| Flow::new(side, random_items(&mut rng, streams)));
        // Associations an end has had, and whether the last is younger than the last crash.
        let (mut had, mut fresh) = ([0, 0], [false, false]);
        let mut crashes = rng.between(1, 3);
        pair.start();
        loop {
            for (index, side) in sides.into_iter().enumerate() {
                if pair.host(side).conns.is_empty() {
                    continue;
                }
                let is_up = |event: &Event| matches!(event, Event::Established { .. });
                while pair.conn(side).take_event(is_up).is_some() {
                    had[index] += 1;
                    fresh[index] = true;
                    flows[1 - index].cut();
                    if had[index] > 1 {
                        flows[index].renew(random_items(&mut rng, streams));
                    }
                }
            }
            for (index, side) in sides.into_iter().enumerate() {
                flows[index].drain(&mut pair);
                let there = !pair.host(side).conns.is_empty();
                if there && pair.state(side) == AssociationState::Established {
                    flows[index].pump(&mut pair);
                }
            }
            let arrived = flows.iter().all(|flow| flow.left() == 0);
            if crashes == 0 && fresh == [true, true] && arrived {
                break;
            }
            if crashes > 0 && rng.chance(0.01) {
                crashes -= 1;
                fresh = [false, false];
                let side = sides[rng.below(2)];
                pair.crash(side);
                if side == Client {
                    pair.start();
                }
            }
            // A server that knows nothing of the association says so, if it is spoken to.
            if let Some(reason) = pair.closed(Client) {
                assert!(
                    matches!(
                        reason,
                        CloseReason::PeerAbort(_)
                            | CloseReason::TimedOut
                            | CloseReason::HandshakeTimedOut
                    ),
                    "{reason:?}"
                );
                pair.start();
            }
            assert!(pair.step(), "all is quiet: {}", pair.summary());
        }
        pair.shutdown(sides[rng.below(2)]);
        pair.drive();
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
        flows.iter_mut().for_each(|flow| flow.drain(&mut pair));
    });
}

#[test]
fn a_shutdown_at_any_moment_delivers_what_was_queued() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xc105e);
        let (mut pair, streams) = random_pair(&mut rng, seed);
        let mut flow = Flow::new(Client, random_items(&mut rng, streams));
        pair.start();
        pair.drive_until(Pair::established);
        let mut flows = [flow];
        let lazy = random_laziness(&mut rng);
        work(&mut pair, &mut flows, lazy, |_, flows| {
            flows[0].all_queued()
        });
        [flow] = flows;
        let side = if rng.chance(0.5) { Client } else { Server };
        pair.shutdown(side);
        while pair.step() {
            flow.drain(&mut pair);
        }
        flow.drain(&mut pair);
        assert_eq!(flow.left(), 0);
        assert_over(&mut pair, Client);
        assert_over(&mut pair, Server);
    });
}

#[test]
fn an_abort_at_any_moment_leaves_nothing() {
    every_seed(|seed| {
        let mut rng = Rng::new(seed ^ 0xab047);
        let (mut pair, streams) = random_pair(&mut rng, seed);
        pair.start();
        let mut flows = [
            Flow::new(Client, random_items(&mut rng, streams)),
            Flow::new(Server, random_items(&mut rng, streams)),
        ];
        for _ in 0..rng.below(300) {
            flows[0].pump(&mut pair);
            if !pair.server.conns.is_empty() {
                flows[1].pump(&mut pair);
            }
            if !pair.step() {
                break;
            }
            flows[0].drain(&mut pair);
            flows[1].drain(&mut pair);
        }
        let side = match pair.server.conns.is_empty() {
            false if rng.chance(0.5) => Server,
            _ => Client,
        };
        pair.abort(side, "enough");
        // A lost ABORT leaves the other side to find out by itself, even if the association comes
        // up there only now, from a COOKIE ECHO under way: it has to say something.
        let other = side.peer();
        pair.flush();
        for _ in 0..2 {
            if !pair.host(other).conns.is_empty() && pair.closed(other).is_none() {
                let now = pair.now;
                let association = &mut pair.conn(other).association;
                association.shutdown(now);
            }
            pair.drive();
        }
        for side in [Client, Server] {
            assert_eq!(pair.host(side).endpoint.associations(), 0, "{side:?}");
        }
    });
}
