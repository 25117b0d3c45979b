//! Settings of one association.

use std::{sync::Arc, time::Duration};

use super::{ErrorDetection, multihoming::MAX_PATHS};
use crate::{
    auth::{HmacAlgorithm, SharedKey},
    error::ConfigError,
    event_log::EventLog,
    message::Reliability,
    scheduler::MakeScheduler,
    wire::ChunkSet,
};

/// Which stream's message is sent next (RFC 8260 §3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// In the order of the calls to `send`, whatever the stream (§3.1).
    FirstComeFirstServed,
    /// One message of each stream in turn; with I-DATA, one packet's worth (§3.2).
    #[default]
    RoundRobin,
    /// One message of each stream in turn, with I-DATA as well: small messages leave whole, in the
    /// order they came, and a stream of large ones yields after each. Not one of RFC 8260's.
    RoundRobinPerMessage,
    /// One packet's worth of each stream in turn (§3.3).
    RoundRobinPerPacket,
    /// Streams with a smaller priority number first, in turn within one number (§3.4).
    Priority,
    /// Bytes shared equally between streams (§3.5).
    FairBandwidth,
    /// Bytes shared in proportion to the streams' weights (§3.6).
    WeightedFairQueueing,
}

/// How much may be in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionControl {
    /// RFC 9260 §7: as TCP did in the beginning. One packet more per round trip, half as much
    /// after a loss.
    #[default]
    Rfc9260,
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406): grows by the time since the last loss and not by
    /// round trips, so that long fast paths are filled, and leaves slow start before it overflows
    /// a queue.
    Cubic,
    /// After BBRv3 (draft-ietf-ccwg-bbr): models the path, by how fast it delivers and how short its
    /// round trip is, and sends at that rate with a round trip's worth in flight. Keeps queues
    /// short, and takes losses for congestion only where they are many for the path or come
    /// with a queue: a path that loses packets at random keeps its rate. Always paces.
    Bbr,
}

/// How a loss is noticed before a retransmission timer runs out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossDetection {
    /// RFC 9260 §7.2.4 and nothing else: three SACKs that report a chunk missing. The loss of a
    /// retransmission, and of what little follows, is left to the timer.
    MissingReports,
    /// Send times besides (RACK, RFC 8985): a chunk is lost when what left well after it has
    /// arrived. Finds lost retransmissions as well; on a path where packets are seen to overtake
    /// each other it takes the place of missing reports, and waits for as long as they do.
    #[default]
    SendTimes,
}

/// Settings of an association; RFC 9260 §16 has most of them. `Default` is what `sctp-udp` uses.
#[derive(Debug, Clone)]
pub struct AssociationConfig {
    pub(crate) remote_port: u16,
    pub(crate) local_port: Option<u16>,
    pub(crate) rto_initial: Duration,
    pub(crate) rto_min: Duration,
    pub(crate) rto_max: Duration,
    pub(crate) association_max_retrans: u32,
    pub(crate) path_max_retrans: u32,
    pub(crate) max_init_retransmits: u32,
    pub(crate) heartbeat_interval: Option<Duration>,
    pub(crate) sack_delay: Duration,
    pub(crate) sack_frequency: u32,
    pub(crate) max_burst: u32,
    pub(crate) outbound_streams: u16,
    pub(crate) max_inbound_streams: u16,
    pub(crate) receive_window: u32,
    pub(crate) send_buffer: usize,
    pub(crate) stream_send_buffer: usize,
    pub(crate) path_mtu: u16,
    pub(crate) min_path_mtu: u16,
    pub(crate) max_path_mtu: u16,
    pub(crate) plpmtud: bool,
    pub(crate) zero_checksum: Option<ErrorDetection>,
    pub(crate) nodelay: bool,
    pub(crate) interleaving: bool,
    pub(crate) stream_reset: bool,
    pub(crate) nr_sack: bool,
    pub(crate) ecn: bool,
    pub(crate) obey_stream_reset: bool,
    pub(crate) obey_association_reset: bool,
    pub(crate) obey_add_streams: bool,
    pub(crate) auth: bool,
    pub(crate) auth_chunks: ChunkSet,
    pub(crate) hmac_algorithms: Vec<HmacAlgorithm>,
    pub(crate) auth_keys: Vec<(u16, SharedKey)>,
    pub(crate) partial_reliability: bool,
    pub(crate) default_reliability: Reliability,
    pub(crate) asconf: bool,
    pub(crate) auto_asconf: bool,
    pub(crate) asconf_wildcard: bool,
    pub(crate) scheduler: SchedulerKind,
    pub(crate) custom_scheduler: Option<MakeScheduler>,
    pub(crate) congestion_control: CongestionControl,
    pub(crate) initial_window: Option<u32>,
    pub(crate) pacing: bool,
    pub(crate) loss_detection: LossDetection,
    pub(crate) tail_loss_probes: bool,
    pub(crate) undo_spurious: bool,
    pub(crate) stall_timeout: Duration,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) autoclose: Option<Duration>,
    pub(crate) progress_timeout: Option<Duration>,
    pub(crate) abort_stalled_peer: Option<Duration>,
    pub(crate) event_log: Option<Arc<dyn EventLog>>,
    pub(crate) max_segment: Option<u16>,
    pub(crate) adaptation_indication: Option<u32>,
    pub(crate) max_paths: usize,
    pub(crate) announce_addresses: bool,
    pub(crate) potentially_failed_max_retrans: Option<u32>,
    pub(crate) primary_switchover_max_retrans: Option<u32>,
    pub(crate) heartbeat_max_burst: u32,
}

impl Default for AssociationConfig {
    fn default() -> Self {
        Self {
            remote_port: 80,
            local_port: None,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(400),
            rto_max: Duration::from_secs(60),
            association_max_retrans: 10,
            path_max_retrans: 5,
            max_init_retransmits: 8,
            heartbeat_interval: Some(Duration::from_secs(15)),
            sack_delay: Duration::from_millis(40),
            sack_frequency: 2,
            max_burst: 4,
            outbound_streams: 1024,
            max_inbound_streams: 1024,
            receive_window: 1024 * 1024,
            send_buffer: 1024 * 1024,
            stream_send_buffer: 256 * 1024,
            path_mtu: 1280,
            min_path_mtu: 1280,
            max_path_mtu: u16::MAX,
            plpmtud: true,
            zero_checksum: None,
            nodelay: true,
            interleaving: true,
            stream_reset: true,
            nr_sack: false,
            ecn: false,
            obey_stream_reset: false,
            obey_association_reset: false,
            obey_add_streams: true,
            auth: true,
            auth_chunks: ChunkSet::default(),
            hmac_algorithms: vec![HmacAlgorithm::Sha256, HmacAlgorithm::Sha1],
            auth_keys: Vec::new(),
            partial_reliability: true,
            default_reliability: Reliability::Reliable,
            asconf: true,
            auto_asconf: true,
            asconf_wildcard: true,
            scheduler: SchedulerKind::default(),
            custom_scheduler: None,
            congestion_control: CongestionControl::default(),
            initial_window: None,
            pacing: true,
            loss_detection: LossDetection::default(),
            tail_loss_probes: true,
            undo_spurious: true,
            stall_timeout: Duration::from_secs(10),
            shutdown_timeout: None,
            autoclose: None,
            progress_timeout: Some(Duration::from_secs(60)),
            abort_stalled_peer: None,
            event_log: None,
            max_segment: None,
            adaptation_indication: None,
            max_paths: MAX_PATHS,
            announce_addresses: true,
            potentially_failed_max_retrans: Some(0),
            primary_switchover_max_retrans: None,
            heartbeat_max_burst: 1,
        }
    }
}

impl AssociationConfig {
    /// SCTP port of the peer, for `connect`. Default 80.
    pub fn remote_port(&mut self, port: u16) -> &mut Self {
        self.remote_port = port;
        self
    }

    /// SCTP port of this side, for `connect`. Default `None`: a free one chosen at random from
    /// 49152 to 65535.
    pub fn local_port(&mut self, port: Option<u16>) -> &mut Self {
        self.local_port = port;
        self
    }

    /// RTO.Initial: retransmission time-out before the first measurement of the round-trip time.
    /// Default 1 s (§16).
    pub fn rto_initial(&mut self, rto: Duration) -> &mut Self {
        self.rto_initial = rto;
        self
    }

    /// RTO.Min. Default 400 ms: twice the 200 ms for which peers may delay a SACK. §16 recommends
    /// 1 s, which makes the loss of the last packet of a page cost a second.
    pub fn rto_min(&mut self, rto: Duration) -> &mut Self {
        self.rto_min = rto;
        self
    }

    /// RTO.Max: upper bound of the backed-off time-out. Default 60 s (§16).
    pub fn rto_max(&mut self, rto: Duration) -> &mut Self {
        self.rto_max = rto;
        self
    }

    /// Association.Max.Retrans: consecutive unanswered retransmissions after which the peer counts
    /// as gone. Default 10 (§16).
    pub fn association_max_retrans(&mut self, count: u32) -> &mut Self {
        self.association_max_retrans = count;
        self
    }

    /// Path.Max.Retrans: consecutive failures after which a path counts as inactive. Default 5
    /// (§16). Association.Max.Retrans ought not to be larger than the sum of those of all paths
    /// (§8.2): all could be inactive, and the peer not be given up yet. Data is then sent by one
    /// path after the other (RFC 7829 §3.3).
    pub fn path_max_retrans(&mut self, count: u32) -> &mut Self {
        self.path_max_retrans = count;
        self
    }

    /// Max.Init.Retransmits: how often INIT and COOKIE ECHO are repeated. Default 8 (§16).
    pub fn max_init_retransmits(&mut self, count: u32) -> &mut Self {
        self.max_init_retransmits = count;
        self
    }

    /// HB.interval: pause between HEARTBEATs on an idle path, to which the RTO and jitter are
    /// added (§8.3). `None` sends none. Default 15 s: middleboxes forget UDP flows sooner than
    /// the 30 s of §16 (draft-ietf-tsvwg-udp-encaps-cons §5).
    pub fn heartbeat_interval(&mut self, interval: Option<Duration>) -> &mut Self {
        self.heartbeat_interval = interval;
        self
    }

    /// SACK.Delay: how long an acknowledgement may wait for company, at most 500 ms (§6.2).
    /// Default 40 ms; §16 recommends 200 ms.
    pub fn sack_delay(&mut self, delay: Duration) -> &mut Self {
        self.sack_delay = delay;
        self
    }

    /// Packets with DATA per SACK. Default 2 (§6.2: SHOULD be no more).
    pub fn sack_frequency(&mut self, packets: u32) -> &mut Self {
        self.sack_frequency = packets;
        self
    }

    /// Max.Burst: packets of new data sent at one opportunity beyond what is in flight (§6.1 D).
    /// Default 4 (§16). With [`pacing`](Self::pacing), and once a round-trip time is known: packets
    /// that leave at once however slow the path is.
    pub fn max_burst(&mut self, packets: u32) -> &mut Self {
        self.max_burst = packets;
        self
    }

    /// Outbound streams to ask for; the peer may allow fewer. Default 1024. Costs memory only for
    /// streams in use.
    pub fn outbound_streams(&mut self, count: u16) -> &mut Self {
        self.outbound_streams = count;
        self
    }

    /// Inbound streams to allow. Default 1024. Costs memory only for streams in use.
    pub fn max_inbound_streams(&mut self, count: u16) -> &mut Self {
        self.max_inbound_streams = count;
        self
    }

    /// Receive buffer, bytes, and so the largest a_rwnd (§3.3.2). Default 1 MiB. What the peer can
    /// make this side hold is bounded by it, overhead included.
    pub fn receive_window(&mut self, bytes: u32) -> &mut Self {
        self.receive_window = bytes;
        self
    }

    /// Send buffer, bytes: messages queued or not yet acknowledged. Default 1 MiB. Also the
    /// largest message.
    pub fn send_buffer(&mut self, bytes: usize) -> &mut Self {
        self.send_buffer = bytes;
        self
    }

    /// How many bytes of one stream may be queued before `send` on it blocks. A message larger
    /// than this is taken when the stream has nothing queued. Default 256 KiB.
    pub fn stream_send_buffer(&mut self, bytes: usize) -> &mut Self {
        self.stream_send_buffer = bytes;
        self
    }

    /// Send small messages at once instead of waiting to bundle them (SCTP_NODELAY, RFC 6458
    /// §8.1.5). Default true: Nagle's algorithm (RFC 9260 §6.1) is off.
    pub fn nodelay(&mut self, on: bool) -> &mut Self {
        self.nodelay = on;
        self
    }

    /// Offer I-DATA (RFC 8260), so that a large message does not hold up other streams. Default
    /// true.
    pub fn interleaving(&mut self, on: bool) -> &mut Self {
        self.interleaving = on;
        self
    }

    /// Offer RE-CONFIG (RFC 6525), so that streams can end and be used again. Default true.
    pub fn stream_reset(&mut self, on: bool) -> &mut Self {
        self.stream_reset = on;
        self
    }

    /// The congestion controller. Default RFC 9260 §7.
    pub fn congestion_control(&mut self, kind: CongestionControl) -> &mut Self {
        self.congestion_control = kind;
        self
    }

    /// Initial congestion window, packets, 1 to 10; `None` for that of §7.2.1, three or four.
    /// Default `None`. RFC 6928 finds ten packets harmless on today's paths, and a page of 12 kB
    /// then takes one round trip instead of two or three; packets larger than Ethernet's count for
    /// more, so that it stays at about 14,600 bytes. So many packets leave at once, whatever
    /// [`max_burst`](Self::max_burst), whenever nothing is in flight.
    pub fn initial_window(&mut self, packets: Option<u32>) -> &mut Self {
        self.initial_window = packets;
        self
    }

    /// Spreads what the congestion window allows over the round trip instead of sending it as one
    /// burst, which the queue before a bottleneck would have to hold. Default true. After the initial
    /// window, and from the first measurement of the round-trip time on, new data and retransmissions leave at the window per
    /// round trip times two in slow start, later times 1.25, in bursts of what the path carries in three
    /// milliseconds or [`max_burst`](Self::max_burst) packets at most, whichever is more; Max.Burst does not limit
    /// new data otherwise then, because the pacer does what it is for. Never held are
    /// control chunks, acknowledgements, the first packet of a fast retransmission, and what leaves
    /// when nothing is in flight. Costs a timer per burst on paths that are not faster than their
    /// window.
    pub fn pacing(&mut self, on: bool) -> &mut Self {
        self.pacing = on;
        self
    }

    /// How a loss is noticed. Default [`LossDetection::SendTimes`], which on a path that loses
    /// packets at random spares most of the time-outs.
    pub fn loss_detection(&mut self, kind: LossDetection) -> &mut Self {
        self.loss_detection = kind;
        self
    }

    /// Send one packet more when no acknowledgement has come for two round trips, long before
    /// T3-rtx runs out (tail loss probe, RFC 8985 §7): new data if the windows allow, else the
    /// last chunk sent. Its answer tells what was lost. Default true. Without effect unless
    /// [`loss_detection`](Self::loss_detection) is by send times.
    pub fn tail_loss_probes(&mut self, on: bool) -> &mut Self {
        self.tail_loss_probes = on;
        self
    }

    /// Take back a reduction of the congestion window, and the back-off of a time-out, when every
    /// retransmission it was for turns out not to have been needed: the peer reports it as duplicate
    /// (RFC 3708), or acknowledges sooner than it can have arrived (RFC 4015), or acknowledges after
    /// a time-out what was not sent again (RFC 5682). The window is then what it was before, and
    /// never more. Default true; false for the letter of RFC 9260 §7.2.3, which knows no way back.
    pub fn undo_spurious(&mut self, on: bool) -> &mut Self {
        self.undo_spurious = on;
        self
    }

    /// How long a stream may hold more than its share of the receive window unread, while more
    /// than half of the window is in use, before its data is discarded. Default 10 s.
    pub fn stall_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.stall_timeout = timeout;
        self
    }

    /// T5-shutdown-guard: how long the peer may take to complete a graceful shutdown, from the
    /// moment when all that was sent is acknowledged. Default `None`: five times
    /// [`rto_max`](Self::rto_max), as §9.2 recommends, which makes 300 s.
    pub fn shutdown_timeout(&mut self, timeout: Option<Duration>) -> &mut Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// What T5-shutdown-guard runs for.
    pub(crate) fn shutdown_guard(&self) -> Duration {
        //= RFC 9260 §9.2
        //# If the T5-shutdown-guard timer is used, it SHOULD be set to the RECOMMENDED value of 5
        //# times 'RTO.Max'.
        self.shutdown_timeout.unwrap_or(5 * self.rto_max)
    }

    /// Shut an association down gracefully when for so long no user data was sent or received, nor
    /// waits to be (SCTP_AUTOCLOSE, RFC 6458 §8.1.8). HEARTBEATs are no user data. Default `None`:
    /// never.
    pub fn autoclose(&mut self, idle: Option<Duration>) -> &mut Self {
        self.autoclose = idle;
        self
    }

    /// Takes over what an INIT ACK has told the peer, who may come back and is told the same
    /// (§5.2.2).
    pub(crate) fn announce_as(&mut self, told: &Self) {
        self.receive_window = told.receive_window;
        self.outbound_streams = told.outbound_streams;
        self.max_inbound_streams = told.max_inbound_streams;
        self.interleaving = told.interleaving;
        self.stream_reset = told.stream_reset;
        self.nr_sack = told.nr_sack;
        self.ecn = told.ecn;
        self.auth = told.auth;
        self.auth_chunks = told.auth_chunks;
        self.asconf = told.asconf;
        self.hmac_algorithms.clone_from(&told.hmac_algorithms);
        self.adaptation_indication = told.adaptation_indication;
        self.partial_reliability = told.partial_reliability;
    }

    /// Checks the settings against each other. The drivers call it; so must whoever drives an
    /// [`Endpoint`](crate::Endpoint) directly.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis;
        if self.remote_port == 0 {
            return Err(ConfigError::new(
                "remote_port",
                "0 is not a port; choose 1 to 65535",
            ));
        }
        if self.local_port == Some(0) {
            return Err(ConfigError::new(
                "local_port",
                "0 is not a port; None chooses one",
            ));
        }
        if self.rto_min < ms(1) || self.rto_min > self.rto_max {
            return Err(ConfigError::range("rto_min", ms(1), self.rto_max));
        }
        if self.rto_initial < self.rto_min || self.rto_initial > self.rto_max {
            return Err(ConfigError::range(
                "rto_initial",
                self.rto_min,
                self.rto_max,
            ));
        }
        //= RFC 9260 §6.2
        //# An implementation MUST NOT allow the maximum delay (protocol parameter 'SACK.Delay') to
        //# be configured to be more than 500 ms. In other words, an implementation MAY lower the
        //# value of 'SACK.Delay' below 500 ms but MUST NOT raise it above 500 ms.
        if self.sack_delay > ms(500) {
            return Err(ConfigError::range("sack_delay", ms(0), ms(500)));
        }
        if self.sack_frequency == 0 {
            return Err(ConfigError::new("sack_frequency", "must be at least 1"));
        }
        if self.max_burst == 0 {
            return Err(ConfigError::new("max_burst", "must be at least 1 packet"));
        }
        if self
            .initial_window
            .is_some_and(|packets| !(1..=10).contains(&packets))
        {
            return Err(ConfigError::new(
                "initial_window",
                "must be 1 to 10 packets",
            ));
        }
        //= RFC 9260 §3.3.2
        //# The value of 0 MUST NOT be used.
        //= RFC 9260 §3.3.2
        //# The value 0 MUST NOT be used.
        //= RFC 9260 §3.3.3
        //# The value 0 MUST NOT be used.
        if self.outbound_streams == 0 || self.max_inbound_streams == 0 {
            return Err(ConfigError::new(
                "outbound_streams",
                "both directions need a stream",
            ));
        }
        //= RFC 9260 §3.3.2
        //# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
        //= RFC 9260 §3.3.3
        //# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
        if self.receive_window < 4096 {
            return Err(ConfigError::new(
                "receive_window",
                "must be at least 4096 bytes",
            ));
        }
        if self.send_buffer < 4096 || self.stream_send_buffer == 0 {
            return Err(ConfigError::new(
                "send_buffer",
                "must be at least 4096 bytes",
            ));
        }
        if self.autoclose.is_some_and(|idle| idle.is_zero()) {
            return Err(ConfigError::new(
                "autoclose",
                "must be longer than nothing; None never closes",
            ));
        }
        self.validate_progress()?;
        self.validate_messages()?;
        self.validate_path_mtu()?;
        self.validate_auth()?;
        self.validate_multihoming()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= RFC 9260 §3.3.2, test
    //# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
    //= RFC 9260 §3.3.3, test
    //# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
    //= RFC 9260 §3.3.2, test
    //# The value of 0 MUST NOT be used.
    //= RFC 9260 §3.3.2, test
    //# The value 0 MUST NOT be used.
    //= RFC 9260 §3.3.3, test
    //# The value 0 MUST NOT be used.
    //= RFC 9260 §3.1, test
    //# The Source Port Number 0 MUST NOT be used.
    //= RFC 9260 §3.1, test
    //# The Destination Port Number 0 MUST NOT be used.
    #[test]
    fn what_must_not_be_announced_cannot_be_set() {
        type Change = fn(&mut AssociationConfig);
        let refused: [(&str, Change); 6] = [
            ("a window of 1499", |c| _ = c.receive_window(1499)),
            ("no outbound streams", |c| _ = c.outbound_streams(0)),
            ("no inbound streams", |c| _ = c.max_inbound_streams(0)),
            ("source port 0", |c| _ = c.local_port(Some(0))),
            ("destination port 0", |c| _ = c.remote_port(0)),
            ("no room for headers", |c| _ = c.path_mtu(100)),
        ];
        for (what, change) in refused {
            let mut config = AssociationConfig::default();
            assert!(config.validate().is_ok());
            change(&mut config);
            assert!(config.validate().is_err(), "{what}");
        }
    }

    //= RFC 9260 §6.2, test
    //# An implementation MUST NOT allow the maximum delay (protocol parameter...
    //= RFC 9260 §6.2, test
    //# In other words, an implementation MAY lower the value of...
    #[test]
    fn a_sack_is_delayed_by_half_a_second_at_most() {
        let mut config = AssociationConfig::default();
        for (ms, allowed) in [(0, true), (200, true), (500, true), (501, false)] {
            config.sack_delay(Duration::from_millis(ms));
            assert_eq!(config.validate().is_ok(), allowed, "{ms} ms");
        }
    }
}
