use serde_json::Value;

use super::*;
use sctp_proto::event_log::{CongestionState, LossTrigger};

/// A SACK (cumulative TSN 5, a gap, a duplicate) and a DATA chunk (TSN 9, stream 3) with `hi`.
const PACKET: &[u8] = &[
    0, 80, 19, 136, 0, 0, 0, 7, 0, 0, 0, 0, // common header
    3, 0, 0, 24, 0, 0, 0, 5, 0, 0, 4, 0, 0, 1, 0, 1, 0, 2, 0, 4, 0, 0, 0, 5, // SACK
    0, 3, 0, 18, 0, 0, 0, 9, 0, 3, 0, 1, 0, 0, 0, 46, b'h', b'i', 0, 0, // DATA
];

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1000)
}

fn path() -> PathId {
    PathId::from_index(0)
}

/// The vantage of a real association: its fields are not for others to put together.
fn log(max_bytes: u64, write: impl Fn(&mut QlogWriter<Vec<u8>>)) -> Vec<Value> {
    #[derive(Debug, Default)]
    struct Ask(std::sync::Mutex<Option<Vantage>>);
    impl EventLog for Ask {
        fn open(&self, _: Instant, association: &Vantage) -> Option<Box<dyn EventWriter>> {
            *self.0.lock().unwrap() = Some(*association);
            None
        }
    }
    let ask = std::sync::Arc::new(Ask::default());
    let mut config = sctp_proto::AssociationConfig::default();
    config.event_log(Some(ask.clone())).local_port(Some(5000));
    let mut endpoint = sctp_proto::Endpoint::new(Default::default(), None, [7; 32]);
    let peer = "192.0.2.7:9899".parse().unwrap();
    let started = endpoint.connect(at(0), std::sync::Arc::new(config), &[], &[peer]);
    started.expect("an association");
    let vantage = ask.0.lock().unwrap().take().expect("it was asked for");
    let mut writer = QlogWriter::new(Vec::new(), max_bytes, at(1_000_000), &vantage);
    write(&mut writer);
    let bytes = writer.out.take().unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[test]
fn the_header_says_of_what_the_log_is() {
    let lines = log(u64::MAX, |_| {});
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["qlog_format"], "NDJSON");
    let trace = &lines[0]["trace"];
    assert_eq!(trace["vantage_point"]["type"], "client");
    let fields = &trace["common_fields"];
    assert_eq!(fields["remote"], "192.0.2.7:9899");
    assert_eq!(
        (&fields["local_port"], &fields["remote_port"]),
        (&5000.into(), &80.into())
    );
    assert!(fields["reference_time"].as_u64().unwrap() > 1_700_000_000_000);
}

#[test]
fn packets_are_written_with_their_chunks() {
    let lines = log(u64::MAX, |log| {
        let (path, to) = (Some(path()), "192.0.2.7:9899".parse().unwrap());
        let packet = PACKET;
        log.write(at(1_000_250), &LogEvent::PacketSent { path, to, packet });
    });
    let event = &lines[1];
    assert_eq!(event["time"], 0.25);
    assert_eq!(event["name"], "transport:packet_sent");
    let data = &event["data"];
    assert_eq!((&data["path"], &data["length"]), (&0.into(), &56.into()));
    let [sack, user] = &data["chunks"].as_array().unwrap()[..] else {
        panic!("{data}")
    };
    assert_eq!(sack["type"], "SACK");
    assert_eq!(
        (&sack["cumulative_tsn"], &sack["a_rwnd"]),
        (&5.into(), &1024.into())
    );
    assert_eq!(sack["gaps"], serde_json::json!([[2, 4]]));
    assert_eq!(sack["duplicates"], serde_json::json!([5]));
    let expected = serde_json::json!({
        "type": "DATA", "flags": 3, "length": 18, "tsn": 9, "stream": 3, "seq": 1, "ppid": 46,
        "payload_length": 2,
    });
    assert_eq!(*user, expected);
}

#[test]
fn what_peers_and_users_say_is_quoted() {
    let lines = log(u64::MAX, |log| {
        let reason = "with \"quotes\", \\ and \n";
        let closed = Event::Closed(sctp_proto::CloseReason::PeerMisbehaved(reason));
        log.write(at(0), &LogEvent::Notified(&closed));
        let timer = LogEvent::TimerExpired {
            timer: "T3",
            path: None,
        };
        log.write(at(0), &timer);
        let phase = LogEvent::CongestionStateChanged {
            path: path(),
            new: CongestionState::SlowStart,
        };
        log.write(at(0), &phase);
        let lost = LogEvent::DataLost {
            path: path(),
            bytes: 7,
            trigger: LossTrigger::TimeOut,
        };
        log.write(at(0), &lost);
        log.write(at(0), &LogEvent::Notified(&Event::SenderDry));
    });
    let reason = lines[1]["data"]["reason"].as_str().unwrap();
    assert!(reason.ends_with("with \"quotes\", \\ and \n"), "{reason}");
    assert_eq!(lines[2]["data"], serde_json::json!({ "timer": "T3" }));
    assert_eq!(lines[3]["data"]["new"], "slow_start");
    assert_eq!(lines[4]["data"]["trigger"], "time_out");
    assert_eq!(lines[5]["data"]["event"], "SenderDry");
}

#[test]
fn a_log_ends_at_its_size_with_a_whole_line() {
    let write = |log: &mut QlogWriter<Vec<u8>>| {
        for n in 0..100 {
            let event = LogEvent::TimerExpired {
                timer: "T3",
                path: Some(path()),
            };
            let kept = log.out.clone();
            log.write(at(n), &event);
            if log.out.is_none() {
                // Where it ended, for the reader of this test.
                log.out = kept;
                return;
            }
        }
        panic!("it never ended");
    };
    let lines = log(2000, write);
    assert!((10..30).contains(&lines.len()), "{} lines", lines.len());
}
