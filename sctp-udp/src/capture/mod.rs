//! What goes over the wire, as a pcapng file: for Wireshark, tshark and tcpdump.
//!
//! A [`Capture`] puts itself between the driver and a socket ([`Capture::socket`]), so that an
//! endpoint that captures nothing has nothing in its way.

mod pcapng;

use std::{
    fmt, fs,
    io::{self, BufWriter, IoSliceMut, Write},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::{Duration, UNIX_EPOCH},
};

use rustc_hash::FxHashSet;
use tokio::time::Instant;

pub use self::pcapng::{Direction, Packet, PcapngWriter};
use crate::{
    socket::{Batch, DatagramSocket, Received},
    state::lock,
};

/// Written to the system at least so often while packets pass, so that a file can be looked at
/// while it grows.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// Address pairs whose first packet is marked; further ones are not.
const MAX_PATHS: usize = 4096;

/// A file of all datagrams that pass the sockets it was put before, with IP and UDP headers made
/// from what the sockets tell. Cheap to clone; the clones write one file.
///
/// It stops at the size it was given, and counts what it left out. Writing is blocking, through a
/// buffer: it is for looking at what happens, not for a server at its limit.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Mutex<State>>);

struct State {
    /// `None` once writing failed.
    file: Option<PcapngWriter<Box<dyn Write + Send>>>,
    max_bytes: u64,
    left_out: u64,
    /// Unix time when the capture began, and when that was by the driver's clock.
    began: (Duration, Instant),
    flushed: Instant,
    /// Pairs of addresses seen before.
    paths: FxHashSet<(SocketAddr, SocketAddr)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("max_bytes", &self.max_bytes)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// A capture that writes `max_bytes` at most.
    pub fn new(writer: impl Write + Send + 'static, max_bytes: u64) -> io::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "captures of several machines are compared"
        )]
        let unix_time = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let now = Instant::now();
        let writer: Box<dyn Write + Send> = Box::new(writer);
        Ok(Self(Arc::new(Mutex::new(State {
            file: Some(PcapngWriter::new(writer)?),
            max_bytes,
            left_out: 0,
            began: (unix_time, now),
            flushed: now,
            paths: FxHashSet::default(),
        }))))
    }

    /// As [`new`](Self::new), to a file, which is replaced if it exists.
    pub fn create(path: &Path, max_bytes: u64) -> io::Result<Self> {
        Self::new(BufWriter::new(fs::File::create(path)?), max_bytes)
    }

    /// The socket with this capture before it: for
    /// [`Endpoint::from_sockets`](crate::Endpoint::from_sockets). In the file it is an interface
    /// that is named by its address.
    pub fn socket(&self, socket: Arc<dyn DatagramSocket>) -> io::Result<Arc<dyn DatagramSocket>> {
        let address = socket.local_addr()?;
        let mut state = lock(&self.0);
        let interface = match &mut state.file {
            Some(file) => file.interface(&format!("udp {address}"))?,
            None => return Err(io::Error::other("the capture could not be written")),
        };
        Ok(Arc::new(CapturedSocket {
            socket,
            address,
            interface,
            capture: self.clone(),
        }))
    }

    /// Datagrams that are not in the file, because it is as large as it may be or could not be
    /// written.
    pub fn left_out(&self) -> u64 {
        lock(&self.0).left_out
    }

    /// Hands what was captured to the system.
    pub fn flush(&self) -> io::Result<()> {
        match &mut lock(&self.0).file {
            Some(file) => file.flush(),
            None => Err(io::Error::other("the capture could not be written")),
        }
    }
}

impl State {
    /// Unix time.
    fn now(&self) -> Duration {
        self.began.0 + self.began.1.elapsed()
    }

    fn write(&mut self, packet: Packet<'_>) {
        let Some(file) = &mut self.file else {
            self.left_out += 1;
            return;
        };
        if file.written() + packet.size() > self.max_bytes {
            self.left_out += 1;
            return;
        }
        let mut packet = packet;
        let pair = (packet.from, packet.to);
        let first =
            if packet.comment.is_empty() && self.paths.len() < MAX_PATHS && self.paths.insert(pair)
            {
                format!("the first packet from {} to {}", pair.0, pair.1)
            } else {
                String::new()
            };
        if !first.is_empty() {
            packet.comment = &first;
        }
        let mut result = file.packet(&packet);
        if self.flushed.elapsed() >= FLUSH_INTERVAL {
            self.flushed = Instant::now();
            result = result.and_then(|()| file.flush());
        }
        if let Err(error) = result {
            tracing::warn!(%error, "the capture ends: it could not be written");
            self.file = None;
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(file) = &mut self.file {
            // Nobody is left to tell.
            let _ = file.flush();
        }
    }
}

/// A socket whose datagrams are captured.
#[derive(Debug)]
struct CapturedSocket {
    socket: Arc<dyn DatagramSocket>,
    address: SocketAddr,
    interface: u32,
    capture: Capture,
}

impl CapturedSocket {
    /// This side's address of a datagram: a wildcard socket is told it by the system.
    fn local(&self, ip: Option<IpAddr>) -> SocketAddr {
        let mut address = self.address;
        if let Some(ip) = ip {
            address.set_ip(ip);
        }
        address
    }

    fn sent(&self, batch: &Batch<'_>, comment: &str) {
        let mut state = lock(&self.capture.0);
        let time = state.now();
        for payload in batch.contents.chunks(batch.segment_size.max(1)) {
            state.write(Packet {
                interface: self.interface,
                time,
                direction: Direction::Out,
                from: self.local(batch.source_ip),
                to: batch.destination,
                ecn: batch.ecn,
                dont_fragment: batch.dont_fragment,
                payload,
                comment,
            });
        }
    }
}

impl DatagramSocket for CapturedSocket {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(cx, buffers, received))?;
        let mut state = lock(&self.capture.0);
        let time = state.now();
        for (received, buffer) in received[..count].iter().zip(buffers.iter()) {
            let run = &buffer[..received.len.min(buffer.len())];
            let stride = match received.stride {
                0 => run.len().max(1),
                stride => stride,
            };
            for payload in run.chunks(stride) {
                state.write(Packet {
                    interface: self.interface,
                    time,
                    direction: Direction::In,
                    from: received.remote,
                    to: self.local(received.local_ip),
                    ecn: received.ecn,
                    dont_fragment: false,
                    payload,
                    comment: "",
                });
            }
        }
        Poll::Ready(Ok(count))
    }

    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
        let result = self.socket.try_send(batch);
        match &result {
            Ok(()) => self.sent(batch, ""),
            // It comes again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.sent(batch, &format!("not sent: {error}")),
        }
        result
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_writable(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
