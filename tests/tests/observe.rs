//! What an association shows of itself: counters, and its event log.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sctp_proto::{
    AssociationConfig, AssociationState, Event, Instant, SendInfo,
    event_log::{
        ChunkFields, CongestionState, EventLog, EventWriter, LogEvent, LossTrigger, Vantage,
        chunk_headers, chunk_name,
    },
};
use sctp_tests::{
    codec::kind,
    pair::{
        Pair,
        Side::{Client, Server},
    },
};

/// A log in memory: one line an event.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<(Instant, String)>>>);

impl EventLog for Lines {
    fn open(&self, now: Instant, association: &Vantage) -> Option<Box<dyn EventWriter>> {
        let side = if association.is_client {
            "client"
        } else {
            "server"
        };
        self.push(now, format!("open {side}"));
        Some(Box::new(self.clone()))
    }
}

impl EventWriter for Lines {
    fn write(&mut self, now: Instant, event: &LogEvent<'_>) {
        let names = |packet| {
            let names = chunk_headers(packet).map(|chunk| chunk_name(chunk.kind));
            names.collect::<Vec<_>>().join("+")
        };
        let line = match event {
            LogEvent::PacketSent { packet, .. } => format!("sent {}", names(packet)),
            LogEvent::PacketReceived { packet, .. } => format!("received {}", names(packet)),
            LogEvent::StateChanged { new, .. } => format!("state {new:?}"),
            LogEvent::MetricsUpdated { metrics, .. } => {
                format!("window {}", metrics.congestion_window)
            }
            LogEvent::CongestionStateChanged { new, .. } => format!("phase {new:?}"),
            LogEvent::DataLost { trigger, .. } => format!("lost {trigger:?}"),
            LogEvent::TimerExpired { timer, .. } => format!("timer {timer}"),
            LogEvent::Notified(event) => format!("told {event:?}"),
            other => panic!("{other:?}"),
        };
        self.push(now, line);
    }
}

impl Lines {
    fn push(&self, now: Instant, line: String) {
        self.0.lock().unwrap().push((now, line));
    }

    fn texts(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|(_, line)| line.clone()).collect()
    }

    fn has(&self, line: &str) -> bool {
        self.texts().iter().any(|text| text == line)
    }
}

fn logged(client: &Lines, server: &Lines) -> Pair {
    let log = |lines: &Lines| {
        let lines: Arc<dyn EventLog> = Arc::new(lines.clone());
        Some(lines)
    };
    Pair::builder()
        .client(|c| _ = c.event_log(log(client)))
        .server(|c| _ = c.event_log(log(server)))
        .build()
}

#[test]
fn a_log_tells_the_story_of_an_association() {
    let (client, server) = (Lines::default(), Lines::default());
    let mut pair = logged(&client, &server);
    pair.connect();
    pair.send(Client, 1, "hello");
    pair.drive();
    pair.shutdown(Client);
    pair.drive();
    let quiet = |lines: &Lines| {
        let mut lines = lines.texts();
        lines.retain(|line| !line.starts_with("window"));
        lines
    };
    assert_eq!(
        quiet(&client),
        [
            "open client",
            "sent INIT",
            "state CookieWait",
            "received INIT ACK",
            "sent COOKIE ECHO",
            "state CookieEchoed",
            "phase SlowStart",
            "received COOKIE ACK",
            "told Established { restarted: false }",
            "state Established",
            "sent I-DATA",
            "received SACK",
            "told SenderDry",
            "sent SHUTDOWN",
            "state ShutdownSent",
            "received SHUTDOWN ACK",
            "told Closed(Shutdown)",
            "sent SHUTDOWN COMPLETE",
            "state Closed",
        ]
    );
    let server = quiet(&server);
    assert_eq!(
        server[..4],
        [
            "open server",
            "received COOKIE ECHO",
            "told Established { restarted: false }",
            "sent COOKIE ACK",
        ]
    );
    assert_eq!(server.last().unwrap(), "state Closed");
    assert!(server.contains(&"told PeerShutdown".into()), "{server:?}");
}

#[test]
fn losses_timers_and_windows_are_in_the_log() {
    let client = Lines::default();
    let mut pair = logged(&client, &Lines::default());
    pair.connect();
    pair.send(Client, 1, vec![0; 100_000]);
    pair.net
        .drop_next_if(1, |datagram| datagram.payload.len() > 1000);
    pair.drive();
    assert!(client.has(&format!("lost {:?}", LossTrigger::Acknowledgement)));
    assert!(client.has(&format!("phase {:?}", CongestionState::FastRecovery)));
    assert!(client.has(&format!("phase {:?}", CongestionState::CongestionAvoidance)));
    let windows = |text: &String| text.starts_with("window");
    assert!(client.texts().iter().filter(|text| windows(text)).count() > 5);

    pair.net.drop_next(2);
    pair.send(Client, 1, "alone");
    pair.drive();
    assert!(client.has("timer T3"), "{:?}", client.texts());
    assert!(client.has(&format!("lost {:?}", LossTrigger::TimeOut)));
    let times = client.0.lock().unwrap();
    assert!(times.is_sorted_by_key(|(at, _)| *at));
}

#[test]
fn a_log_changes_nothing_and_none_is_kept_where_the_user_wants_none() {
    #[derive(Debug)]
    struct Nobody;
    impl EventLog for Nobody {
        fn open(&self, _: Instant, _: &Vantage) -> Option<Box<dyn EventWriter>> {
            None
        }
    }
    let run = |change: &dyn Fn(&mut AssociationConfig)| {
        let mut pair = Pair::builder().both(change).build();
        pair.connect();
        pair.send(Client, 1, vec![0; 50_000]);
        pair.net.drop_next(3);
        pair.drive();
        (pair.now, pair.net.trace.to_pcapng())
    };
    let plain = run(&|_| {});
    assert_eq!(
        plain,
        run(&|c| _ = c.event_log(Some(Arc::new(Lines::default()))))
    );
    assert_eq!(plain, run(&|c| _ = c.event_log(Some(Arc::new(Nobody)))));
}

#[test]
fn chunks_of_a_packet_that_comes_are_shown_with_their_fields() {
    #[derive(Debug, Clone, Default)]
    struct Fields(Arc<Mutex<Vec<ChunkFields>>>);
    impl EventLog for Fields {
        fn open(&self, _: Instant, _: &Vantage) -> Option<Box<dyn EventWriter>> {
            Some(Box::new(self.clone()))
        }
    }
    impl EventWriter for Fields {
        fn write(&mut self, _: Instant, event: &LogEvent<'_>) {
            if let LogEvent::PacketSent { packet, .. } = event {
                let mut fields = self.0.lock().unwrap();
                fields.extend(chunk_headers(packet).map(|chunk| chunk.fields));
            }
        }
    }
    let fields = Fields::default();
    let log: Arc<dyn EventLog> = Arc::new(fields.clone());
    let mut pair = Pair::builder()
        .client(|c| _ = c.event_log(Some(log)))
        .build();
    pair.connect();
    pair.send(Client, 7, "hello");
    pair.drive();
    let fields = fields.0.lock().unwrap();
    let ChunkFields::Init { initial_tsn, .. } = fields[0] else {
        panic!("{fields:?}");
    };
    let sent = fields.iter().find_map(|fields| match fields {
        ChunkFields::Data {
            tsn,
            stream,
            payload,
            ..
        } => Some((*tsn, stream.0, *payload)),
        _ => None,
    });
    assert_eq!(sent, Some((initial_tsn, 7, 5)));
}

#[test]
fn the_counters_of_rfc_3873_and_of_the_kernel_count() {
    let mut pair = Pair::builder().both(|c| _ = c.interleaving(false)).build();
    pair.connect();
    pair.send(Client, 1, "one chunk");
    pair.drive();
    pair.send(Client, 1, vec![0; 3000]);
    pair.send_with(Client, 2, "unordered", SendInfo::default().unordered(true));
    pair.net
        .drop_next_if(1, |datagram| datagram.has(kind::DATA));
    pair.drive();
    let (sent, received) = (pair.stats(Client), pair.stats(Server));
    assert_eq!(sent.messages_sent, 3);
    assert_eq!(sent.messages_acked, 3);
    assert_eq!(
        (sent.ordered_chunks_sent, sent.unordered_chunks_sent),
        (4, 1)
    );
    assert_eq!(sent.data_chunks_sent, 5);
    assert!(sent.data_chunks_retransmitted >= 1);
    assert_eq!(
        (
            received.ordered_chunks_received,
            received.unordered_chunks_received
        ),
        (4, 1)
    );
    assert_eq!(
        (sent.messages_fragmented, received.messages_reassembled),
        (1, 1)
    );
    assert!(received.chunks_out_of_order >= 1);
    assert!(sent.gap_blocks_received >= 1);
    // INIT and COOKIE ECHO; the server's COOKIE ACK and SACKs. INIT ACK is nobody's.
    assert_eq!(sent.control_chunks_sent, 2);
    assert_eq!(received.control_chunks_sent, 1 + received.sacks_sent);
    assert_eq!(sent.control_chunks_received, 1 + sent.sacks_received);
    assert_eq!(received.control_chunks_received, 1);
    assert_eq!((sent.establishments, received.establishments), (1, 1));

    let (out, back) = (pair.path(Client), pair.path(Server));
    assert_eq!(out.packets_sent, sent.packets_sent);
    assert_eq!(out.bytes_sent, sent.bytes_sent);
    assert_eq!(out.packets_received, sent.packets_received);
    assert_eq!(back.bytes_received, received.bytes_received);
    assert_eq!(out.chunks_retransmitted, sent.data_chunks_retransmitted);
    let least = Duration::from_millis(20);
    assert!(out.min_rtt.is_some_and(|rtt| rtt >= least), "{out:?}");
    assert!(out.min_rtt <= out.latest_rtt);
    assert!(out.largest_rto >= out.rto);
    assert!(out.rtt_variation > Duration::ZERO);
}

#[test]
fn a_path_that_fails_and_comes_back_has_changed_its_state_twice() {
    let mut pair = Pair::builder()
        .both(|c| _ = c.path_max_retrans(1).association_max_retrans(20))
        .build();
    pair.connect();
    pair.net.links(|link| link.down = true);
    pair.send(Client, 1, "lost");
    pair.drive_for(Duration::from_secs(10));
    pair.net.links(|link| link.down = false);
    pair.drive();
    assert_eq!(pair.path(Client).state_changes, 2);
    assert_eq!(pair.state(Client), AssociationState::Established);
    let changes = pair.events(Client);
    let changes = changes
        .iter()
        .filter(|e| matches!(e, Event::PathChanged { .. }));
    assert_eq!(changes.count(), 2);
}
