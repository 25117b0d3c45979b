//! What crosses the border to the driver: metadata of datagrams in, and of batches out.

use std::net::{IpAddr, SocketAddr};

use crate::ids::{PathId, SocketId};

/// Explicit congestion notification bits of an IP header (RFC 3168 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcnCodepoint {
    /// ECN-capable transport, codepoint ECT(0).
    Ect0,
    /// ECN-capable transport, codepoint ECT(1).
    Ect1,
    /// Congestion experienced.
    Ce,
}

/// Metadata of one received UDP datagram. In RFC 6951 a SCTP address is an IP address; the UDP
/// port beside it may change during an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramMeta {
    /// Source address and UDP port.
    pub remote: SocketAddr,
    /// The socket it came in by.
    pub socket: SocketId,
    /// Destination address, where the operating system tells it.
    pub local_ip: Option<IpAddr>,
    /// Index of the interface it came in by, where the operating system tells it.
    pub interface: Option<u32>,
    /// ECN bits of the IP header.
    pub ecn: Option<EcnCodepoint>,
}

/// A batch of packets to send: the bytes are `buf[..size]` of the buffer handed to `poll_transmit`,
/// cut every `segment_size`. One batch has one path.
#[must_use = "what is not sent is lost until a retransmission timer notices"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The path, if an association sends it; `None` for stateless replies of the endpoint.
    pub path: Option<PathId>,
    /// Destination address and UDP port.
    pub destination: SocketAddr,
    /// The socket to send by.
    pub socket: SocketId,
    /// Source address to send from, where one was chosen.
    pub source_ip: Option<IpAddr>,
    /// Whether routers must not fragment these packets. False only for retransmissions of chunks
    /// that the path's MTU has become too small for (RFC 9260 §6.9).
    pub dont_fragment: bool,
    /// ECN bits to set.
    pub ecn: Option<EcnCodepoint>,
    /// Bytes in the whole batch.
    pub size: usize,
    /// Bytes per packet (the last may be shorter); `None` when there is one packet.
    pub segment_size: Option<usize>,
}
