//! What a path has carried, for its user: nothing is decided by it.

use std::time::Duration;

/// Counters of one path. SCTP packets with their common headers; no IP or UDP headers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathCounters {
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) chunks_retransmitted: u64,
    pub(crate) state_changes: u64,
}

impl PathCounters {
    pub(crate) fn sent(&mut self, packets: usize, bytes: usize) {
        self.packets_sent += packets as u64;
        self.bytes_sent += bytes as u64;
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.packets_received += 1;
        self.bytes_received += bytes as u64;
    }
}

/// The round-trip times measured and the time-outs that followed from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RttRange {
    pub(crate) latest: Option<Duration>,
    pub(crate) min: Option<Duration>,
    pub(crate) largest_rto: Duration,
}

impl RttRange {
    pub(crate) fn measured(&mut self, rtt: Duration) {
        self.latest = Some(rtt);
        self.min = Some(self.min.map_or(rtt, |min| min.min(rtt)));
    }

    pub(crate) fn timed(&mut self, rto: Duration) {
        self.largest_rto = self.largest_rto.max(rto);
    }
}
