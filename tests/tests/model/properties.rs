//! What holds in every state, over every step, and after everything has come to rest.
//!
//! Besides agreement with the automaton. Those marked φ are the properties that the formal
//! analysis of arXiv 2403.05663 checks on its model.

use sctp_proto::AssociationState::{self as State, *};

use crate::world::{Checked, Choice, World};

/// Both sides' states.
pub(crate) type States = [State; 2];

pub(crate) fn states(world: &World) -> States {
    [0, 1].map(|at: usize| world.sides[at].model.state)
}

/// In every state.
pub(crate) fn in_state(world: &World) -> Checked {
    if let Some((message, times)) = world.delivered.iter().find(|(_, times)| **times > 1) {
        return Err(format!("{message:?} delivered {times} times"));
    }
    for (at, side) in world.sides.iter().enumerate() {
        let state = side.model.state;
        // φ: who is in COOKIE-ECHOED has T1-cookie running. So it is with every state that waits.
        let waits = matches!(
            state,
            CookieWait | CookieEchoed | ShutdownSent | ShutdownAckSent
        );
        if (waits || side.model.waits_for_sack()) && side.host.timeout().is_none() {
            return Err(format!("host {at} waits in {state:?} without a timer"));
        }
        if side.host.live() != usize::from(state != Closed) {
            return Err(format!("host {at} has {} associations", side.host.live()));
        }
        for (conn, sent) in side.host.conns.iter().zip(&side.sent) {
            let acked = conn.association.stats().messages_acked;
            let arrived = sent
                .iter()
                .filter(|m| world.delivered.contains_key(*m))
                .count();
            if acked > arrived as u64 {
                return Err(format!(
                    "host {at}: {acked} acknowledged, {arrived} delivered"
                ));
            }
            // What came back is no longer in `sent`.
            if conn.closed.is_some() && acked != sent.len() as u64 {
                return Err(format!(
                    "host {at}: {sent:?} neither acknowledged nor returned"
                ));
            }
        }
        if side.shut_down() {
            let lost = side.sent.last().and_then(|sent| {
                sent.iter()
                    .find(|message| !world.delivered.contains_key(*message))
            });
            if let Some(lost) = lost {
                return Err(format!("host {at} shut down, but {lost:?} never arrived"));
            }
        }
    }
    let [one, two] = states(world);
    if world.orderly {
        // φ
        if (one, two) == (ShutdownReceived, ShutdownReceived) {
            return Err("both in SHUTDOWN-RECEIVED".into());
        }
        // φ
        if matches!(
            (one, two),
            (CookieEchoed, ShutdownReceived) | (ShutdownReceived, CookieEchoed)
        ) {
            return Err("SHUTDOWN-RECEIVED beside COOKIE-ECHOED".into());
        }
    }
    Ok(())
}

/// Over every step.
pub(crate) fn over_step(before: States, choice: Choice, world: &World) -> Checked {
    for (at, side) in world.sides.iter().enumerate() {
        let (from, to) = (before[at], side.model.state);
        if from == to || choice == Choice::Crash(at as u8) {
            continue;
        }
        let allowed = match from {
            // φ: also for the end of a half-open association.
            Closed => matches!(to, CookieWait | Established),
            CookieWait => matches!(
                to,
                CookieEchoed | Established | ShutdownPending | ShutdownSent | Closed
            ),
            CookieEchoed => {
                matches!(to, Established | ShutdownPending | ShutdownSent | Closed)
            }
            Established => !matches!(to, CookieWait | CookieEchoed),
            ShutdownPending => {
                matches!(
                    to,
                    ShutdownSent | ShutdownReceived | ShutdownAckSent | Closed
                )
            }
            ShutdownSent => matches!(to, ShutdownAckSent | Closed),
            // φ
            ShutdownReceived => matches!(to, ShutdownAckSent | Closed),
            // φ
            ShutdownAckSent => to == Closed,
            _ => false,
        };
        let restart = side.model.restarted && to == Established && from != ShutdownAckSent;
        if !allowed && !restart {
            return Err(format!("host {at} goes from {from:?} to {to:?}"));
        }
    }
    Ok(())
}

/// After everything has come to rest (φ: nobody gets stuck, a shutdown ends, nothing stays
/// half-open): both sides have ended, or both are established and go by each other's tags, and
/// whatever was sent on the association they have has arrived.
pub(crate) fn at_rest(world: &mut World) -> Checked {
    if !world.come_to_rest() {
        return Err("it never comes to rest".into());
    }
    let states = [0, 1].map(|at: usize| world.sides[at].state());
    match states {
        [Closed, Closed] => {}
        [Established, Established] => {
            for (at, side) in world.sides.iter_mut().enumerate() {
                let path = side.host.conn().association.paths().next();
                let stats = path.ok_or("no path")?.stats;
                if stats.heartbeats_acked == 0 {
                    return Err(format!("host {at} gets no answer: tags do not match"));
                }
                let sent = side.sent.last().into_iter().flatten();
                if let Some(lost) = sent.into_iter().find(|m| !world.delivered.contains_key(*m)) {
                    return Err(format!("{lost:?} of host {at} never arrives"));
                }
            }
        }
        _ => return Err(format!("at rest in {states:?}")),
    }
    match world.delivered.iter().find(|(_, times)| **times > 1) {
        Some((message, times)) => Err(format!("{message:?} delivered {times} times")),
        None => Ok(()),
    }
}
