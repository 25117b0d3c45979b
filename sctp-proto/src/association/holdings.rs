//! What an association holds, and how the limits of its endpoint bear on it.

use super::{Association, Memory, state::Phase, tcb::Tcb};
use crate::{accounts::RESERVE, rx::Reassembly};

impl Association {
    /// Bytes held for this association now.
    pub fn memory(&self) -> Memory {
        let cx = &self.cx;
        let replies = cx.replies.iter().map(|reply| reply.bytes.len());
        let mut memory = Memory {
            send: cx.queue.held(),
            receive: 0,
            control: size_of::<Self>() + replies.sum::<usize>(),
        };
        match &self.phase {
            Phase::CookieWait(wait) => memory.control += size_of_val(&**wait),
            Phase::Open(tcb) => {
                memory.send += tcb.outstanding.held();
                memory.receive = tcb.rx.held();
                memory.control += tcb.control_memory();
            }
            Phase::Closed(rx, _) => {
                if let Some(rx) = rx {
                    memory.receive = rx.held();
                    memory.control += size_of::<Reassembly>();
                }
            }
        }
        memory
    }

    /// Nothing is left to send now: the endpoint's books get what this batch changed.
    pub(super) fn settle(&mut self) {
        let state = self.state();
        let memory = self.memory().total();
        self.cx.account.hold(memory);
        let stats = self.cx.stats;
        self.cx.account.settle(state, &stats);
    }

    /// Before something is taken in: how much that may be, for the endpoint's limits.
    ///
    /// At a limit nothing is given back and nobody aborted. What comes is dropped without being
    /// acknowledged, as if it overran the window, which shrinks to what there is; and messages are
    /// not taken before earlier ones are acknowledged.
    pub(super) fn limit_holdings(&mut self) {
        // Of what is left, part is taken since the books were brought up to date.
        let taken = (self.memory().total()).saturating_sub(self.cx.account.held());
        let left = self.cx.account.left().saturating_sub(taken);
        let ceiling = |held: usize| held.saturating_add(left).max(RESERVE);
        let queue = &mut self.cx.queue;
        queue.set_ceiling(ceiling(queue.buffered()));
        if let Phase::Open(tcb) = &mut self.phase {
            tcb.rx.set_ceiling(ceiling(tcb.rx.held()));
        }
    }
}

impl Tcb {
    /// What is neither user data nor grows with it, bytes.
    fn control_memory(&self) -> usize {
        let answers = self.due.heartbeat_ack_bytes();
        let errors = self.due.errors.as_ref().map_or(0, |e| e.as_bytes().len());
        let sacks = self.owed_sacks.iter();
        let sacks: usize = sacks.map(|(_, gaps)| size_of_val(&gaps[..])).sum();
        size_of::<Self>() + size_of::<Reassembly>() + answers + errors + sacks
    }
}
