//! The file format: pcapng (draft-ietf-opsawg-pcapng), and the IP and UDP headers that packets get.
//!
//! Written here because it is four kinds of blocks; the crates that read the format as well bring
//! parsers, and parsers of theirs, along.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use sctp_proto::EcnCodepoint;

/// `LINKTYPE_RAW`: packets begin with an IPv4 or IPv6 header.
const LINKTYPE_RAW: u16 = 101;
/// Blocks.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Options.
const END: u16 = 0;
const COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const UDP_PROTOCOL: u8 = 17;
const UDP_HEADER: usize = 8;
/// What a packet takes in the file besides its payload and its comment, at most: an IPv6 and a UDP
/// header, the block with its options, padding.
const PACKET_OVERHEAD: u64 = 40 + 8 + 32 + 8 + 4 + 4 + 4 + 4;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    In,
    /// It was sent.
    Out,
    /// Seen on its way: the capture is of neither end.
    Between,
}

/// One UDP datagram to write down.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The interface, as [`PcapngWriter::interface`] numbered it.
    pub interface: u32,
    /// When, since the epoch of the file, which readers take for that of Unix.
    pub time: Duration,
    /// Which way it went.
    pub direction: Direction,
    /// Source address and UDP port.
    pub from: SocketAddr,
    /// Destination address and UDP port.
    pub to: SocketAddr,
    /// ECN bits of the IP header.
    pub ecn: Option<EcnCodepoint>,
    /// Whether it was sent with DF.
    pub dont_fragment: bool,
    /// What the datagram carries.
    pub payload: &'a [u8],
    /// Shown beside the packet; empty for nothing.
    pub comment: &'a str,
}

impl Packet<'_> {
    /// Bytes that it takes in the file at most.
    pub(super) fn size(&self) -> u64 {
        PACKET_OVERHEAD + (self.payload.len() + self.comment.len()) as u64
    }
}

/// Writes packets as a pcapng file, one system-independent section.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    interfaces: u32,
    written: u64,
    /// The block at hand.
    body: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Begins a file.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            interfaces: 0,
            written: 0,
            body: Vec::new(),
        };
        // Byte-order magic, version 1.0, length unknown.
        writer
            .body
            .extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
        writer.body.extend_from_slice(&[1, 0, 0, 0]);
        writer.body.extend_from_slice(&[0xff; 8]);
        writer.block(SECTION_HEADER)?;
        Ok(writer)
    }

    /// Adds an interface; its number is for [`Packet::interface`].
    pub fn interface(&mut self, name: &str) -> io::Result<u32> {
        // Link type, reserved, no snap length.
        self.body.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
        self.body.extend_from_slice(&[0; 6]);
        option(&mut self.body, IF_NAME, name.as_bytes());
        // Times in 10^-9 s.
        option(&mut self.body, IF_TSRESOL, &[9]);
        option(&mut self.body, END, &[]);
        self.block(INTERFACE)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        debug_assert!(packet.interface < self.interfaces);
        let nanos = u64::try_from(packet.time.as_nanos()).unwrap_or(u64::MAX);
        let body = &mut self.body;
        body.extend_from_slice(&packet.interface.to_le_bytes());
        body.extend_from_slice(&((nanos >> 32) as u32).to_le_bytes());
        body.extend_from_slice(&(nanos as u32).to_le_bytes());
        // Captured length and original length are put in below.
        body.extend_from_slice(&[0; 8]);
        let start = body.len();
        write_datagram(body, packet);
        let length = ((body.len() - start) as u32).to_le_bytes();
        body[start - 8..start - 4].copy_from_slice(&length);
        body[start - 4..start].copy_from_slice(&length);
        body.resize(body.len().next_multiple_of(4), 0);
        let flags: u32 = match packet.direction {
            Direction::In => 1,
            Direction::Out => 2,
            Direction::Between => 0,
        };
        option(body, EPB_FLAGS, &flags.to_le_bytes());
        if !packet.comment.is_empty() {
            option(body, COMMENT, packet.comment.as_bytes());
        }
        option(body, END, &[]);
        self.block(ENHANCED_PACKET)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Hands what was written on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Writes the block at hand.
    fn block(&mut self, kind: u32) -> io::Result<()> {
        let length = (12 + self.body.len()) as u32;
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.body)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.written += u64::from(length);
        self.body.clear();
        Ok(())
    }
}

/// Appends an option. One that is too long for its length field is cut.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&(value.len() as u16).to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Appends the datagram with its IP and UDP headers.
fn write_datagram(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let ecn = match packet.ecn {
        None => 0,
        Some(EcnCodepoint::Ect1) => 1,
        Some(EcnCodepoint::Ect0) => 2,
        Some(EcnCodepoint::Ce) => 3,
    };
    let udp_length = u16::try_from(UDP_HEADER + packet.payload.len()).unwrap_or(u16::MAX);
    let (from, to) = (
        packet.from.ip().to_canonical(),
        packet.to.ip().to_canonical(),
    );
    let mut sum = Sum::default();
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) {
        let start = out.len();
        out.extend_from_slice(&[0x45, ecn]);
        out.extend_from_slice(&udp_length.saturating_add(20).to_be_bytes());
        let flags = if packet.dont_fragment { 0x40 } else { 0 };
        // Identification 0, flags, time to live 64, UDP, checksum to follow.
        out.extend_from_slice(&[0, 0, flags, 0, 64, UDP_PROTOCOL, 0, 0]);
        out.extend_from_slice(&from.octets());
        out.extend_from_slice(&to.octets());
        let mut header = Sum::default();
        header.add(&out[start..]);
        out[start + 10..start + 12].copy_from_slice(&header.checksum().to_be_bytes());
        sum.add(&from.octets());
        sum.add(&to.octets());
    } else {
        out.extend_from_slice(&[0x60, ecn << 4, 0, 0]);
        out.extend_from_slice(&udp_length.to_be_bytes());
        out.extend_from_slice(&[UDP_PROTOCOL, 64]);
        for ip in [from, to].map(v6) {
            out.extend_from_slice(&ip.octets());
            sum.add(&ip.octets());
        }
    }
    let mut header = [0; UDP_HEADER];
    header[..2].copy_from_slice(&packet.from.port().to_be_bytes());
    header[2..4].copy_from_slice(&packet.to.port().to_be_bytes());
    header[4..6].copy_from_slice(&udp_length.to_be_bytes());
    sum.add(&[0, UDP_PROTOCOL]);
    sum.add(&udp_length.to_be_bytes());
    sum.add(&header);
    sum.add(packet.payload);
    // A zero would say that there is none.
    let checksum = match sum.checksum() {
        0 => u16::MAX,
        checksum => checksum,
    };
    header[6..].copy_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(packet.payload);
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The Internet checksum (RFC 1071) of pieces, all but the last of even length.
#[derive(Debug, Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let mut pairs = bytes.chunks_exact(2);
        for pair in pairs.by_ref() {
            self.0 += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            self.0 += u64::from(*last) << 8;
        }
    }

    fn checksum(&self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet<'a>(from: &str, to: &str, payload: &'a [u8], comment: &'a str) -> Packet<'a> {
        Packet {
            interface: 0,
            time: Duration::from_nanos(5_000_000_007),
            direction: Direction::Out,
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            ecn: Some(EcnCodepoint::Ect0),
            dont_fragment: true,
            payload,
            comment,
        }
    }

    #[test]
    fn blocks_are_whole_and_name_their_length_twice() {
        let mut file = PcapngWriter::new(Vec::new()).unwrap();
        assert_eq!(file.interface("udp 10.0.0.1:9899").unwrap(), 0);
        let v4 = packet("10.0.0.1:9899", "10.0.0.2:9899", b"five!", "lost");
        let v6 = packet("[2001:db8::1]:1", "[2001:db8::2]:2", b"six", "");
        for packet in [&v4, &v6] {
            let before = file.written();
            file.packet(packet).unwrap();
            assert!(file.written() - before <= packet.size());
        }
        let written = file.written();
        let file = file.into_inner();
        assert_eq!(file.len() as u64, written);
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < file.len() {
            let length = word(at + 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(at + length - 4) as usize, length);
            kinds.push(word(at));
            at += length;
        }
        let expected = [SECTION_HEADER, INTERFACE, ENHANCED_PACKET, ENHANCED_PACKET];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn an_ipv4_datagram_is_what_a_network_would_carry() {
        let mut bytes = Vec::new();
        let packet = packet("10.0.0.1:4660", "10.0.0.2:9899", &[1, 2, 3], "");
        write_datagram(&mut bytes, &packet);
        let header = [
            0x45, 2, 0, 31, 0, 0, 0x40, 0, 64, 17, 0x26, 0xca, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        assert_eq!(bytes[..20], header);
        assert_eq!(bytes[20..26], [0x12, 0x34, 0x26, 0xab, 0, 11]);
        assert_eq!(bytes[28..], [1, 2, 3]);
        let mut all = Sum::default();
        all.add(&bytes[..20]);
        assert_eq!(all.checksum(), 0, "the header's sum is all ones");
        let mut all = Sum::default();
        all.add(&bytes[12..20]);
        all.add(&[0, 17, 0, 11]);
        all.add(&bytes[20..]);
        assert_eq!(all.checksum(), 0, "so is the datagram's");
    }

    #[test]
    fn an_ipv6_datagram_has_its_checksum_too() {
        let mut bytes = Vec::new();
        let packet = packet("[2001:db8::1]:1", "[2001:db8::2]:2", b"six", "");
        write_datagram(&mut bytes, &packet);
        assert_eq!(bytes[..8], [0x60, 0x20, 0, 0, 0, 11, 17, 64]);
        let mut all = Sum::default();
        all.add(&bytes[8..40]);
        all.add(&[0, 17, 0, 11]);
        all.add(&bytes[40..]);
        assert_eq!(all.checksum(), 0);
    }
}
