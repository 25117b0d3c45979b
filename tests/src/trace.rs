//! The packets of a run as a pcapng file.
//!
//! Each packet gets real IP and UDP headers, so that Wireshark reads it; what the network did to it
//! stands beside it as a comment (`frame.comment`). Open with
//! `tshark -r FILE -d udp.port==9899,sctp`.

use std::{collections::VecDeque, env, fs, io, net::SocketAddr, path::PathBuf, time::Duration};

use sctp_proto::Instant;
use sctp_udp::capture::{Direction, Packet, PcapngWriter};

/// Packets kept; of a longer run, the last.
const CAPACITY: usize = 50_000;

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
        let file = self.write_to(Vec::new());
        file.expect("a vector takes what it is given").into_inner()
    }

    fn write_to(&self, out: Vec<u8>) -> io::Result<PcapngWriter<Vec<u8>>> {
        let mut file = PcapngWriter::new(out)?;
        let interface = file.interface("virtual network")?;
        for record in &self.records {
            file.packet(&Packet {
                interface,
                time: Duration::from_nanos(record.at.as_nanos()),
                direction: Direction::Between,
                from: record.from,
                to: record.to,
                ecn: None,
                dont_fragment: true,
                payload: &record.payload,
                comment: record.comment,
            })?;
        }
        Ok(file)
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
