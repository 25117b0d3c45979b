//! When a SACK is due (§6.2).

use std::time::Duration;

use crate::{config::AssociationConfig, time::Instant};

/// Counts what has not been acknowledged yet.
#[derive(Debug)]
pub(crate) struct SackPolicy {
    frequency: u32,
    delay: Duration,
    /// Packets with DATA since a SACK was sent or became due.
    packets: u32,
    /// When the delayed SACK is due; none if nothing waits, or if it is due anyway.
    deadline: Option<Instant>,
    due: bool,
}

impl SackPolicy {
    /// The first packet with DATA is acknowledged at once, whatever the configuration: the peer is
    /// in slow start with a small window, and has no round-trip time yet.
    pub(crate) fn new(config: &AssociationConfig) -> Self {
        let frequency = config.sack_frequency.max(1);
        Self {
            frequency,
            delay: config.sack_delay,
            //= RFC 9260 §5.1
            //# After the reception of the first DATA chunk in an association, the endpoint MUST
            //# immediately respond with a SACK chunk to acknowledge the DATA chunk. Subsequent
            //# acknowledgements SHOULD be done as described in Section 6.2.
            //= RFC 9260 §5.1.5
            //# Immediately acknowledge any DATA chunk bundled with the COOKIE ECHO chunk with a
            //# SACK chunk (subsequent DATA chunk acknowledgement SHOULD follow the rules defined in
            //# Section 6.2).
            packets: frequency - 1,
            deadline: None,
            due: false,
        }
    }

    /// Other settings from now on. A SACK that waits keeps its deadline.
    pub(crate) fn configure(&mut self, config: &AssociationConfig) {
        self.frequency = config.sack_frequency.max(1);
        self.delay = config.sack_delay;
    }

    /// To be called once per packet that had DATA. `immediately`: it left or filled a gap, had
    /// only duplicates, had the I bit, or was dropped for lack of room. True if this packet makes a
    /// SACK due, even if one is due already: packets come in batches, and the peer counts SACKs.
    //= RFC 9260 §6.2
    //# Specifically, an acknowledgement SHOULD be generated for at least every second packet (not
    //# every second DATA chunk) received and SHOULD be generated within 200 ms of the arrival of any
    //# unacknowledged DATA chunk.
    //= RFC 9260 §6.2
    //# The guidelines on the delayed acknowledgement algorithm specified in [RFC5681] SHOULD be
    //# followed.
    //= RFC 9260 §6.2
    //# However, an SCTP transmitter MUST NOT be more aggressive in sending SACK chunks than the
    //# following algorithms allow.
    //= RFC 9260 §6.2
    //# An SCTP receiver MUST NOT generate more than one SACK chunk for every incoming packet, other
    //# than to update the offered window as the receiving application consumes new data.
    pub(crate) fn on_data_packet(&mut self, now: Instant, immediately: bool) -> bool {
        self.packets = self.packets.saturating_add(1);
        let due = immediately || self.packets >= self.frequency;
        if due {
            self.packets = 0;
            self.request();
        } else if !self.due && self.deadline.is_none() {
            self.deadline = Some(now + self.delay);
        }
        due
    }

    /// A SACK is due at once for another reason, such as a window update.
    pub(crate) fn request(&mut self) {
        self.due = true;
        self.deadline = None;
    }

    /// Whether to send one now.
    pub(crate) fn due(&self) -> bool {
        self.due
    }

    /// Whether one has something to say, so that it is worth bundling with whatever leaves.
    pub(crate) fn pending(&self) -> bool {
        self.due || self.deadline.is_some()
    }

    /// When the delayed SACK becomes due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The timer ran out, or a caller thinks so.
    pub(crate) fn expired(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.request();
        }
    }

    /// A SACK left.
    pub(crate) fn sent(&mut self) {
        self.packets = 0;
        self.deadline = None;
        self.due = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> SackPolicy {
        let mut policy = SackPolicy::new(&AssociationConfig::default());
        policy.on_data_packet(Instant::EPOCH, false);
        assert!(policy.due(), "the first packet is acknowledged at once");
        policy.sent();
        policy
    }

    #[test]
    fn every_second_packet() {
        let mut policy = policy();
        assert!(!policy.pending());
        policy.on_data_packet(Instant::EPOCH, false);
        assert!(policy.pending() && !policy.due());
        assert!(policy.on_data_packet(Instant::EPOCH, false));
        assert!(policy.due());
        assert!(!policy.on_data_packet(Instant::EPOCH, false));
        assert!(
            policy.on_data_packet(Instant::EPOCH, false),
            "a second one in the same batch"
        );
        assert_eq!(policy.deadline(), None);
        policy.sent();
        assert!(!policy.pending());
    }

    #[test]
    fn a_lone_packet_waits_for_the_delay() {
        let delay = AssociationConfig::default().sack_delay;
        let mut policy = policy();
        policy.on_data_packet(Instant::EPOCH, false);
        assert_eq!(policy.deadline(), Some(Instant::EPOCH + delay));
        policy.expired(Instant::EPOCH + delay / 2);
        assert!(!policy.due());
        policy.expired(Instant::EPOCH + delay);
        assert!(policy.due());
        assert_eq!(policy.deadline(), None);
    }

    #[test]
    fn at_once_when_asked() {
        let mut policy = policy();
        policy.on_data_packet(Instant::EPOCH, true);
        assert!(policy.due());
        policy.sent();
        policy.request();
        assert!(policy.due() && policy.pending());
    }
}
