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

impl DatagramMeta {
    /// Whether the datagram goes from one host to one host, so that it may be answered.
    pub(crate) fn is_unicast(&self) -> bool {
        is_unicast(self.remote.ip())
            && self.remote.port() != 0
            && self.local_ip.is_none_or(is_unicast)
    }
}

/// Whether an address names one host: not unspecified, multicast, broadcast or reserved.
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // 0.0.0.0/8 is this network, 240.0.0.0/4 is reserved and has the broadcast address.
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            first != 0 && first < 240 && !ip.is_multicast()
        }
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
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

impl Transmit {
    /// One packet of `size` bytes back to where a datagram came from, in the way it came.
    //= RFC draft-ietf-tsvwg-udp-encaps-cons §3
    //# The UDP source port
    //# and UDP destination port used for sending the response packet are
    //# the UDP destination port and UDP source port of the received
    //# packet.
    //= RFC 9260 §6.4
    //# An endpoint SHOULD transmit reply chunks (e.g., INIT ACK, COOKIE ACK, and HEARTBEAT ACK) in
    //# response to control chunks to the same destination transport address from which it received
    //# the control chunk to which it is replying.
    //= RFC 9260 §5.1.2
    //# The ABORT chunk SHOULD be sent to the source IP address from which the last peer packet was
    //# received.
    pub(crate) const fn reply(meta: &DatagramMeta, size: usize) -> Self {
        Self {
            path: None,
            destination: meta.remote,
            socket: meta.socket,
            source_ip: meta.local_ip,
            dont_fragment: true,
            ecn: None,
            size,
            segment_size: None,
        }
    }
}
