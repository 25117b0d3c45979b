//! The packets of a run as a pcapng file.
//!
//! Each packet gets real IP and UDP headers, so that Wireshark reads it; what the network did to it
//! stands beside it as a comment (`frame.comment`). Open with
//! `tshark -r FILE -d udp.port==9899,sctp`.

use std::{
    collections::VecDeque,
    env, fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use sctp_proto::Instant;

/// Packets kept; of a longer run, the last.
const CAPACITY: usize = 50_000;

/// `LINKTYPE_RAW`: packets begin with an IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;

#[derive(Debug)]
struct Record {
    at: Instant,
    from: SocketAddr,
    to: SocketAddr,
    payload: Vec<u8>,
    comment: &'static str,
}

/// The last packets of a run.
#[derive(Debug, Default)]
pub struct Trace {
    records: VecDeque<Record>,
    off: bool,
}

impl Trace {
    /// A trace that keeps nothing, for runs of millions of packets.
    pub fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// Notes a packet; `comment` says what became of it, empty for nothing unusual.
    pub fn record(
        &mut self,
        at: Instant,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        comment: &'static str,
    ) {
        if self.off {
            return;
        }
        if self.records.len() == CAPACITY {
            self.records.pop_front();
        }
        self.records.push_back(Record {
            at,
            from,
            to,
            payload: payload.to_vec(),
            comment,
        });
    }

    /// The file.
    pub fn to_pcapng(&self) -> Vec<u8> {
        let mut file = Vec::new();
        // Section header: byte-order magic, version 1.0, length unknown.
        let mut section = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
        section.extend_from_slice(&[1, 0, 0, 0]);
        section.extend_from_slice(&[0xff; 8]);
        block(&mut file, 0x0a0d_0d0a, &section);
        // Interface: link type, no snap length, if_tsresol (option 9) of 10^-9 s.
        let mut interface = LINKTYPE_RAW.to_le_bytes().to_vec();
        interface.extend_from_slice(&[0; 6]);
        option(&mut interface, 9, &[9]);
        option(&mut interface, 0, &[]);
        block(&mut file, 1, &interface);
        for record in &self.records {
            let packet = ip_packet(record);
            let nanos = record.at.as_nanos();
            let mut body = vec![0; 4];
            body.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
            body.extend_from_slice(&(nanos as u32).to_le_bytes());
            body.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            body.extend_from_slice(&(packet.len() as u32).to_le_bytes());
            body.extend_from_slice(&packet);
            body.resize(body.len().next_multiple_of(4), 0);
            if !record.comment.is_empty() {
                option(&mut body, 1, record.comment.as_bytes());
                option(&mut body, 0, &[]);
            }
            block(&mut file, 6, &body);
        }
        file
    }

    /// Writes the file as `target/failed-runs/NAME.pcapng`.
    pub fn write(&self, name: &str) -> io::Result<PathBuf> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
            PathBuf::from,
        );
        let directory = target.join("failed-runs");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{}.pcapng", name.replace("::", "-")));
        fs::write(&path, self.to_pcapng())?;
        Ok(path)
    }

    /// To be called when a test ends: if it is failing, writes the file and says where it is.
    pub fn write_if_failing(&self, seed: u64) {
        if !std::thread::panicking() {
            return;
        }
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("test");
        match self.write(&format!("{test}-{seed}")) {
            Ok(path) => eprintln!("seed {seed}; its packets: {}", path.display()),
            Err(error) => eprintln!("seed {seed}; its packets could not be written: {error}"),
        }
    }
}

fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (12 + body.len()) as u32;
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(body);
    file.extend_from_slice(&length.to_le_bytes());
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn ip_packet(record: &Record) -> Vec<u8> {
    let udp_length = (8 + record.payload.len()) as u16;
    let mut packet;
    match (record.from.ip(), record.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet = vec![0x45, 0];
            packet.extend_from_slice(&(20 + udp_length).to_be_bytes());
            // Identification 0, do not fragment, time to live 64, UDP, checksum to follow.
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
            let checksum = internet_checksum(&packet);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (from, to) => {
            packet = vec![0x60, 0, 0, 0];
            packet.extend_from_slice(&udp_length.to_be_bytes());
            packet.extend_from_slice(&[17, 64]);
            packet.extend_from_slice(&v6_octets(from));
            packet.extend_from_slice(&v6_octets(to));
        }
    }
    packet.extend_from_slice(&record.from.port().to_be_bytes());
    packet.extend_from_slice(&record.to.port().to_be_bytes());
    packet.extend_from_slice(&udp_length.to_be_bytes());
    // A UDP checksum of zero means none.
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(&record.payload);
    packet
}

fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn internet_checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_and_name_their_length_twice() {
        let mut trace = Trace::default();
        let addr = |text: &str| text.parse().expect("an address");
        let (v4, v6) = (addr("10.0.0.1:9899"), addr("[2001:db8::1]:9899"));
        trace.record(Instant::from_nanos(5), v4, v4, b"five!", "lost");
        trace.record(Instant::from_nanos(6), v6, v6, b"six", "");
        let file = trace.to_pcapng();
        let word = |at: usize| {
            let bytes = [file[at], file[at + 1], file[at + 2], file[at + 3]];
            u32::from_le_bytes(bytes) as usize
        };
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < file.len() {
            let length = word(at + 4);
            assert_eq!(length % 4, 0);
            assert_eq!(word(at + length - 4), length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6]);
    }

    #[test]
    fn the_header_checksum_sums_to_all_ones() {
        let record = Record {
            at: Instant::EPOCH,
            from: SocketAddr::from(([10, 0, 0, 1], 9899)),
            to: SocketAddr::from(([10, 0, 0, 2], 9899)),
            payload: vec![1, 2, 3],
            comment: "",
        };
        assert_eq!(internet_checksum(&ip_packet(&record)[..20]), 0);
    }
}
