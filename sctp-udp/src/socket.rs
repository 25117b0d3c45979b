//! What the driver asks of a socket. Real sockets are in `udp_socket`; simulated and encrypted ones
//! implement the same trait.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use sctp_proto::{EcnCodepoint, ErrorDetection};

/// What came into one receive buffer: one datagram, or several of one sender that the operating
/// system joined (GRO).
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Source address and UDP port.
    pub remote: SocketAddr,
    /// Destination address, where the operating system tells it.
    pub local_ip: Option<IpAddr>,
    /// Index of the interface, where the operating system tells it.
    pub interface: Option<u32>,
    /// ECN bits of the IP header.
    pub ecn: Option<EcnCodepoint>,
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes per datagram; the last may be shorter. Zero counts as `len`.
    pub stride: usize,
}

/// Datagrams of equal size (the last may be shorter) to one destination.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Destination address and UDP port.
    pub destination: SocketAddr,
    /// Source address to send from; `None` leaves the choice to the operating system.
    pub source_ip: Option<IpAddr>,
    /// ECN bits to set.
    pub ecn: Option<EcnCodepoint>,
    /// Whether routers must not fragment these datagrams. If they may, there is only one.
    pub dont_fragment: bool,
    /// The datagrams, one after the other.
    pub contents: &'a [u8],
    /// Bytes per datagram; not more than `contents.len()`.
    pub segment_size: usize,
}

/// A socket that datagrams go through. The driver calls the `poll_*` methods from one task only.
pub trait DatagramSocket: fmt::Debug + Send + Sync + 'static {
    /// Receives into one or more of `buffers` and says in `received`, in the same order, what each
    /// holds. Returns how many were filled, at least one. Each buffer holds 64 KiB.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>>;

    /// Sends a batch, or fails with `WouldBlock` when there is no room. Any other error is taken
    /// as a loss, and the one of the operating system for messages that are too large (EMSGSIZE)
    /// makes the packets smaller. Batches have at most [`max_segments`](Self::max_segments) datagrams.
    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()>;

    /// Ready when `try_send` may succeed again after `WouldBlock`.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The address it is bound to.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Datagrams a batch may have (GSO). May shrink when the operating system turns out not to be
    /// able to.
    fn max_segments(&self) -> usize {
        1
    }

    /// What finds datagrams that were changed on the way, if something does that is as good as CRC32c:
    /// then SCTP packets may go without their checksum
    /// ([`AssociationConfig::zero_checksum`](crate::AssociationConfig::zero_checksum)). A promise
    /// about every datagram of this socket, in both directions: plain UDP cannot make it.
    fn error_detection(&self) -> Option<ErrorDetection> {
        None
    }

    /// Whether datagrams may be fragmented on the way although `dont_fragment` asks otherwise.
    fn may_fragment(&self) -> bool {
        false
    }
}
