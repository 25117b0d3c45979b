//! A capture of real sockets, as others read it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use sctp_udp::{
    AssociationConfig, Capture, CloseReason, Endpoint, EndpointConfig, SendInfo, ServerConfig,
    StreamId, capture,
};

const LOCAL: &str = "127.0.0.1:0";

/// One packet of a file: direction, UDP ports, the SCTP packet, and its comment.
struct Read {
    direction: u32,
    ports: [u16; 2],
    sctp: Vec<u8>,
    comment: String,
}

/// Reads what `capture` writes, strictly: blocks of the kinds and forms it uses and no others.
fn read(file: &[u8]) -> (Vec<String>, Vec<Read>) {
    let u32_at = |b: &[u8], at: usize| u32::from_le_bytes(b[at..at + 4].try_into().unwrap());
    let options = |mut b: &[u8]| {
        let mut options = Vec::new();
        while b.len() >= 4 {
            let code = u16::from_le_bytes([b[0], b[1]]);
            let len = usize::from(u16::from_le_bytes([b[2], b[3]]));
            options.push((code, b[4..4 + len].to_vec()));
            b = &b[(4 + len).next_multiple_of(4)..];
        }
        options
    };
    let text = |options: &[(u16, Vec<u8>)], code| {
        let found = options.iter().find(|(c, _)| *c == code);
        found.map_or(String::new(), |(_, v)| {
            String::from_utf8(v.clone()).unwrap()
        })
    };
    let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
    let mut rest = file;
    while !rest.is_empty() {
        let length = u32_at(rest, 4) as usize;
        let body = &rest[8..length - 4];
        assert_eq!(u32_at(rest, length - 4) as usize, length);
        match u32_at(rest, 0) {
            0x0a0d_0d0a => assert_eq!(u32_at(body, 0), 0x1a2b_3c4d),
            1 => interfaces.push(text(&options(&body[8..]), 2)),
            6 => {
                let captured = u32_at(body, 12) as usize;
                let ip = &body[20..20 + captured];
                assert_eq!(ip[0], 0x45);
                let options = options(&body[20 + captured.next_multiple_of(4)..]);
                let flags = options.iter().find(|(code, _)| *code == 2).unwrap();
                packets.push(Read {
                    direction: u32_at(&flags.1, 0),
                    ports: [20, 22].map(|at| u16::from_be_bytes([ip[at], ip[at + 1]])),
                    sctp: ip[28..].to_vec(),
                    comment: text(&options, 1),
                });
            }
            other => panic!("a block of kind {other}"),
        }
        rest = &rest[length..];
    }
    (interfaces, packets)
}

/// A client that captures fetches one answer from a server that does not. Returns the client's
/// UDP port and the server's.
async fn talk(capture: &Capture) -> [u16; 2] {
    let local = [LOCAL.parse().unwrap()];
    // Packets of one size, so that there are batches to cut.
    let mut config = AssociationConfig::default();
    config.plpmtud(false);
    let config = Arc::new(config);
    let mut server = ServerConfig::default();
    server.association(Arc::clone(&config));
    let server = Endpoint::bind(EndpointConfig::default(), Some(server), &local).unwrap();
    let client = EndpointConfig::default();
    let client = Endpoint::bind_captured(client, None, &local, capture).unwrap();
    let peer = server.local_addrs()[0];
    let ports = [client.local_addrs()[0].port(), peer.port()];
    let serve = async {
        let association = server.accept().await.unwrap().accept().unwrap();
        while let Some(message) = association.recv().await.unwrap() {
            // More than one packet, so that it leaves as a batch.
            let answer = Bytes::from(vec![7; 20_000]);
            let info = SendInfo::new(message.ppid);
            association
                .send(message.stream, answer, info)
                .await
                .unwrap();
        }
    };
    let ask = async {
        let association = client.connect(&[peer], config).await.unwrap();
        let question = Bytes::from(vec![8; 20_000]);
        let stream = StreamId(0);
        association
            .send(stream, question, SendInfo::default())
            .await
            .unwrap();
        association.recv().await.unwrap().unwrap();
        assert_eq!(association.shutdown().await, CloseReason::Shutdown);
        client.close().await;
    };
    tokio::join!(ask, serve);
    ports
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[tokio::test]
async fn both_directions_are_in_the_file_packet_by_packet() {
    let path = temporary("both-directions.pcapng");
    let capture = Capture::create(&path, 1 << 20).unwrap();
    let [client, server] = talk(&capture).await;
    capture.flush().unwrap();
    assert_eq!(capture.left_out(), 0);
    let (interfaces, packets) = read(&fs::read(&path).unwrap());
    assert_eq!(interfaces, [format!("udp 127.0.0.1:{client}")]);
    for packet in &packets {
        let ports = match packet.direction {
            1 => [server, client],
            2 => [client, server],
            other => panic!("direction {other}"),
        };
        assert_eq!(packet.ports, ports);
        assert!(packet.sctp.len() <= 1252, "a batch was not cut");
    }
    let first = |direction| {
        let mut of = packets
            .iter()
            .filter(|packet| packet.direction == direction);
        of.next().unwrap()
    };
    // INIT out, INIT ACK in.
    assert_eq!((first(2).sctp[12], first(1).sctp[12]), (1, 2));
    assert!(
        first(2)
            .comment
            .starts_with("the first packet from 127.0.0.1")
    );
    let carried: usize = packets.iter().map(|packet| packet.sctp.len()).sum();
    assert!(carried > 40_000, "{carried} bytes");
    judge(&path);
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_file_ends_at_its_size_and_what_is_left_out_is_counted() {
    let path = temporary("bounded.pcapng");
    let capture = Capture::create(&path, 5000).unwrap();
    talk(&capture).await;
    capture.flush().unwrap();
    let file = fs::read(&path).unwrap();
    assert!(file.len() <= 5000, "{} bytes", file.len());
    let (_, packets) = read(&file);
    assert!(packets.len() >= 4, "{} packets", packets.len());
    assert!(capture.left_out() >= 20, "{} left out", capture.left_out());
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_disk_that_is_full_ends_the_capture_and_nothing_else() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // The headers of the file fit.
            match bytes.len() {
                0..64 => Ok(bytes.len()),
                _ => Err(std::io::ErrorKind::StorageFull.into()),
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let capture = Capture::new(Full, u64::MAX).unwrap();
    talk(&capture).await;
    assert!(capture.left_out() >= 30, "{} left out", capture.left_out());
    assert!(capture.flush().is_err());
}

#[test]
fn a_file_of_no_packets_is_one_all_the_same() {
    let mut file = capture::PcapngWriter::new(Vec::new()).unwrap();
    file.interface("none").unwrap();
    let (interfaces, packets) = read(&file.into_inner());
    assert_eq!((interfaces.len(), packets.len()), (1, 0));
}

/// Panics unless tshark, if it is here, decodes every packet with right checksums of IP, UDP and
/// SCTP.
fn judge(file: &Path) {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args([
            "-d",
            "udp.port==1-65535,sctp",
            "-o",
            "sctp.checksum:CRC 32c",
        ])
        .args([
            "-o",
            "sctp.ulp_dissection:FALSE",
            "-o",
            "sctp.reassembly:FALSE",
        ])
        .args([
            "-o",
            "ip.check_checksum:TRUE",
            "-o",
            "udp.check_checksum:TRUE",
        ])
        .args(["-T", "fields", "-e", "ip.checksum.status"])
        .args(["-e", "udp.checksum.status", "-e", "sctp.checksum.status"])
        .args(["-e", "_ws.malformed"])
        .output();
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let required = std::env::var_os("SCTP_REQUIRE_PEERS").is_some();
            assert!(!required, "tshark is not installed");
            eprintln!("skipped: tshark is not installed");
            return;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() > 30, "{lines}");
    for (number, line) in lines.lines().enumerate() {
        assert_eq!(line, "1\t1\t1\t", "packet {}", number + 1);
    }
}
