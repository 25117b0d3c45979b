//! By which path the next packet leaves: what has to go by one path first, then data, whose path
//! `path/choice.rs` chooses by the state that the paths are in.

use super::{cx::Cx, state::State, tcb::Tcb};
use crate::{ids::PathId, path::Path};

impl Tcb {
    /// The path that the next packet of data takes; the next chunk of data, unless `new_packet`.
    pub(super) fn choose_data_path(&mut self, cx: &mut Cx, new_packet: bool) -> PathId {
        if self.paths.is_single() {
            return self.paths.primary();
        }
        if let State::CookieEchoed { retransmits, .. } = &self.state {
            let confirmed = self.paths.iter().filter(|path| path.confirmed);
            let turn = *retransmits as usize % confirmed.clone().count().max(1);
            return (confirmed.map(|path| path.id).nth(turn)).unwrap_or(self.paths.primary());
        }
        if let Some(probe) = self.tail_probe {
            return probe.via;
        }
        if let Some(lost) = self.outstanding.next_lost() {
            return self.paths.for_lost(lost.path);
        }
        match cx.queue.wanted_path(new_packet) {
            Some(path) => self.paths.for_pinned(path),
            None => self.paths.for_new_data(),
        }
    }

    /// The path that something waits for: what answers the peer, HEARTBEATs, then control chunks and
    /// data.
    pub(super) fn next_path(&self) -> PathId {
        if let State::CookieEchoed { .. } = self.state {
            return self.data_path;
        }
        if let Some(path) = self.due.cookie_ack {
            return path;
        }
        if let Some(&(path, _)) = self.due.heartbeat_acks.front() {
            return path;
        }
        let beats = |path: &&Path| path.heartbeat.due && self.is_probed(path.id);
        if let Some(path) = self.paths.iter().find(beats) {
            return path.id;
        }
        if let Some(path) = self.answer_route() {
            return path;
        }
        if self.sack.due() {
            self.sack_path
        } else if self.due.control() || self.told.is_due() || self.asconf_due() {
            self.control_route()
        } else {
            self.data_path
        }
    }

    /// The path that answers to RE-CONFIG requests wait for, where that is not any.
    pub(super) fn answer_route(&self) -> Option<PathId> {
        let waits = !self.due.reconfig_responses.is_empty();
        let path = self.due.answers_by.filter(|_| waits)?;
        (self.paths.contains(path) && self.paths.get(path).confirmed).then_some(path)
    }

    /// The path for control chunks that no path has a claim to.
    pub(super) fn control_route(&self) -> PathId {
        match self.state {
            State::CookieEchoed { .. } => self.data_path,
            _ => self.paths.for_new_data(),
        }
    }
}
