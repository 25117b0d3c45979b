//! A codec of the tests' own: written from RFC 9260 §3, sharing nothing with the one under test.
//!
//! It is plain and slow. A chunk is kind, flags and value; views of the value are made on demand.
//! Views panic on what does not parse: the packets they look at come from the stack under test.

use std::{fmt, net::IpAddr};

/// Chunk types.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    pub const AUTH: u8 = 15;
    pub const ECNE: u8 = 12;
    pub const CWR: u8 = 13;
    pub const NR_SACK: u8 = 16;
    pub const I_DATA: u8 = 64;
    pub const ASCONF_ACK: u8 = 128;
    pub const RE_CONFIG: u8 = 130;
    pub const PAD: u8 = 132;
    pub const FORWARD_TSN: u8 = 192;
    pub const ASCONF: u8 = 193;
    pub const I_FORWARD_TSN: u8 = 194;
}

/// Parameter types.
pub mod param {
    #![allow(missing_docs)]
    pub const IPV4_ADDRESS: u16 = 5;
    pub const IPV6_ADDRESS: u16 = 6;
    pub const STATE_COOKIE: u16 = 7;
    pub const UNRECOGNIZED: u16 = 8;
    pub const COOKIE_PRESERVATIVE: u16 = 9;
    pub const HOST_NAME: u16 = 11;
    pub const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    pub const OUTGOING_RESET: u16 = 13;
    pub const INCOMING_RESET: u16 = 14;
    pub const TSN_RESET: u16 = 15;
    pub const RECONFIG_RESPONSE: u16 = 16;
    pub const ADD_OUTGOING_STREAMS: u16 = 17;
    pub const ADD_INCOMING_STREAMS: u16 = 18;
    pub const ECN_CAPABLE: u16 = 0x8000;
    pub const RANDOM: u16 = 0x8002;
    pub const CHUNKS: u16 = 0x8003;
    pub const HMAC_ALGO: u16 = 0x8004;
    pub const PADDING: u16 = 0x8005;
    pub const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    pub const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
    pub const ADD_IP: u16 = 0xc001;
    pub const DELETE_IP: u16 = 0xc002;
    pub const ASCONF_ERROR: u16 = 0xc003;
    pub const SET_PRIMARY: u16 = 0xc004;
    pub const ASCONF_SUCCESS: u16 = 0xc005;
}

/// Error cause codes.
pub mod cause {
    #![allow(missing_docs)]
    pub const INVALID_STREAM: u16 = 1;
    pub const MISSING_PARAMETER: u16 = 2;
    pub const STALE_COOKIE: u16 = 3;
    pub const OUT_OF_RESOURCE: u16 = 4;
    pub const UNRESOLVABLE_ADDRESS: u16 = 5;
    pub const UNRECOGNIZED_CHUNK: u16 = 6;
    pub const INVALID_MANDATORY_PARAMETER: u16 = 7;
    pub const UNRECOGNIZED_PARAMETERS: u16 = 8;
    pub const NO_USER_DATA: u16 = 9;
    pub const COOKIE_WHILE_SHUTTING_DOWN: u16 = 10;
    pub const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    pub const USER_ABORT: u16 = 12;
    pub const PROTOCOL_VIOLATION: u16 = 13;
    pub const NEW_ENCAPSULATION_PORT: u16 = 14;
    pub const DELETE_LAST: u16 = 0xa0;
    pub const RESOURCE_SHORTAGE: u16 = 0xa1;
    pub const DELETE_SOURCE: u16 = 0xa2;
    pub const ILLEGAL_ASCONF_ACK: u16 = 0xa3;
    pub const NO_AUTHORIZATION: u16 = 0xa4;
    pub const UNSUPPORTED_HMAC: u16 = 0x0105;
}

/// Results in responses to RE-CONFIG requests (RFC 6525 §4.4).
pub mod result {
    #![allow(missing_docs)]
    pub const NOTHING_TO_DO: u32 = 0;
    pub const PERFORMED: u32 = 1;
    pub const DENIED: u32 = 2;
    pub const WRONG_SSN: u32 = 3;
    pub const IN_PROGRESS_ALREADY: u32 = 4;
    pub const BAD_SEQUENCE: u32 = 5;
    pub const IN_PROGRESS: u32 = 6;
}

/// Flags of DATA and I-DATA.
pub mod flag {
    #![allow(missing_docs)]
    pub const END: u8 = 1;
    pub const BEGIN: u8 = 2;
    pub const UNORDERED: u8 = 4;
    pub const IMMEDIATE: u8 = 8;
    /// Of ABORT and SHUTDOWN COMPLETE: the tag is the receiver's peer's (§8.5.1).
    pub const T: u8 = 1;
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC32c of the packet with its checksum field as zero (Appendix A).
pub fn crc32c(packet: &[u8]) -> u32 {
    let step = |crc: u32, byte: u8| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
    let zeroed = |(i, &byte): (usize, &u8)| if (8..12).contains(&i) { 0 } else { byte };
    !packet.iter().enumerate().map(zeroed).fold(!0, step)
}

/// Writes the right checksum into an encoded packet.
pub fn seal(packet: &mut [u8]) {
    let crc = crc32c(packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// A SCTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// SCTP source port.
    pub source: u16,
    /// SCTP destination port.
    pub destination: u16,
    /// Verification tag.
    pub tag: u32,
    /// The chunks.
    pub chunks: Vec<Chunk>,
}

impl Packet {
    /// The bytes, with the right checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.source.to_be_bytes());
        bytes.extend_from_slice(&self.destination.to_be_bytes());
        bytes.extend_from_slice(&self.tag.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for chunk in &self.chunks {
            chunk.encode(&mut bytes);
        }
        seal(&mut bytes);
        bytes
    }

    /// Reads a packet that must be right in every respect.
    //= RFC 9260 §6.8, test
    //# When sending an SCTP packet, the endpoint MUST strengthen...
    //= RFC 9260 §6.8, test
    //# After the packet is constructed (containing the SCTP common...
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < 12 {
            return Err(format!("{} bytes are no packet", bytes.len()));
        }
        let checksum = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if checksum != crc32c(bytes) {
            return Err(format!("bad checksum {checksum:#x}"));
        }
        Self::decode_unchecked(bytes)
    }

    /// As [`decode`](Self::decode), whatever the checksum.
    pub fn decode_unchecked(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < 12 {
            return Err(format!("{} bytes are no packet", bytes.len()));
        }
        let packet = Self {
            source: be16(bytes, 0),
            destination: be16(bytes, 2),
            tag: be32(bytes, 4),
            chunks: decode_chunks(&bytes[12..])?,
        };
        match packet.chunks.len() {
            0 => Err("a packet without chunks".into()),
            _ => Ok(packet),
        }
    }

    /// Chunk types of a packet; of a damaged one, those before the damage.
    pub fn kinds(bytes: &[u8]) -> Vec<u8> {
        let mut kinds = Vec::new();
        let mut at = 12;
        while at + 4 <= bytes.len() {
            kinds.push(bytes[at]);
            at += usize::from(be16(bytes, at + 2)).max(4).next_multiple_of(4);
        }
        kinds
    }
}

//= RFC 9260 §3.2, test
//# The total length of a chunk (including Type, Length,...
//= RFC 9260 §3.2, test
//# If the length of the chunk is not a...
//= RFC 9260 §3.2, test
//# The sender MUST NOT pad with more than 3 bytes.
//= RFC 9260 §6.10, test
//# Partial chunks MUST NOT be placed in an SCTP...
fn decode_chunks(mut bytes: &[u8]) -> Result<Vec<Chunk>, String> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < 4 {
            return Err(format!("{} bytes after the last chunk", bytes.len()));
        }
        let length = usize::from(be16(bytes, 2));
        let padded = length.next_multiple_of(4);
        if length < 4 || padded > bytes.len() {
            return Err(format!("chunk {} claims {length} bytes", bytes[0]));
        }
        if bytes[length..padded].iter().any(|&b| b != 0) {
            return Err(format!("chunk {} has padding that is not zero", bytes[0]));
        }
        chunks.push(Chunk::new(bytes[0], bytes[1], &bytes[4..length]));
        bytes = &bytes[padded..];
    }
    Ok(chunks)
}

/// A chunk.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// What follows its header.
    pub value: Vec<u8>,
    /// A length field that is not the true one.
    pub forged_length: Option<u16>,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Chunk {{ kind: {}, flags: {:#x}, ",
            self.kind, self.flags
        )?;
        match self.kind {
            kind::ABORT | kind::ERROR => write!(f, "causes: {:?} }}", self.causes()),
            kind::SACK if self.value.len() >= 12 => write!(f, "{:?} }}", self.as_sack()),
            _ => write!(f, "value: {} bytes }}", self.value.len()),
        }
    }
}

impl Chunk {
    /// A chunk with this value.
    pub fn new(kind: u8, flags: u8, value: &[u8]) -> Self {
        Self {
            kind,
            flags,
            value: value.to_vec(),
            forged_length: None,
        }
    }

    /// Lies about its length.
    pub fn forged_length(mut self, length: u16) -> Self {
        self.forged_length = Some(length);
        self
    }

    /// Appends the bytes, padded.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        let length = self.forged_length.unwrap_or(4 + self.value.len() as u16);
        bytes.extend_from_slice(&[self.kind, self.flags]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }

    /// Whether the T bit is set.
    pub fn t_bit(&self) -> bool {
        self.flags & flag::T != 0
    }

    /// DATA or I-DATA.
    pub fn as_data(&self) -> Data {
        assert!(matches!(self.kind, kind::DATA | kind::I_DATA), "{self:?}");
        let v = &self.value;
        let interleaved = self.kind == kind::I_DATA;
        Data {
            tsn: be32(v, 0),
            stream: be16(v, 4),
            seq: if interleaved {
                be32(v, 8)
            } else {
                u32::from(be16(v, 6))
            },
            ppid_or_fsn: be32(v, if interleaved { 12 } else { 8 }),
            begin: self.flags & flag::BEGIN != 0,
            end: self.flags & flag::END != 0,
            unordered: self.flags & flag::UNORDERED != 0,
            immediate: self.flags & flag::IMMEDIATE != 0,
            payload: v[if interleaved { 16 } else { 12 }..].to_vec(),
        }
    }

    /// INIT or INIT ACK.
    pub fn as_init(&self) -> Init {
        assert!(matches!(self.kind, kind::INIT | kind::INIT_ACK), "{self:?}");
        let v = &self.value;
        Init {
            tag: be32(v, 0),
            a_rwnd: be32(v, 4),
            outbound_streams: be16(v, 8),
            inbound_streams: be16(v, 10),
            tsn: be32(v, 12),
            params: tlvs(&v[16..]),
        }
    }

    /// SACK.
    pub fn as_sack(&self) -> Sack {
        assert_eq!(self.kind, kind::SACK, "{self:?}");
        let v = &self.value;
        let gaps = usize::from(be16(v, 8));
        let duplicates = usize::from(be16(v, 10));
        assert_eq!(v.len(), 12 + 4 * (gaps + duplicates), "SACK length");
        let at = |i: usize| 12 + 4 * i;
        Sack {
            cumulative: be32(v, 0),
            a_rwnd: be32(v, 4),
            gaps: (0..gaps)
                .map(|i| (be16(v, at(i)), be16(v, at(i) + 2)))
                .collect(),
            duplicates: (gaps..gaps + duplicates).map(|i| be32(v, at(i))).collect(),
        }
    }

    /// Cumulative TSN of SHUTDOWN.
    pub fn as_shutdown(&self) -> u32 {
        assert_eq!(self.kind, kind::SHUTDOWN, "{self:?}");
        be32(&self.value, 0)
    }

    /// The new cumulative TSN of FORWARD-TSN or I-FORWARD-TSN, and what is skipped: (stream,
    /// unordered, SSN or MID).
    pub fn as_forward_tsn(&self) -> (u32, Vec<(u16, bool, u32)>) {
        let (cumulative, list) = self.value.split_at(4);
        let skipped = match self.kind {
            kind::FORWARD_TSN => (list.chunks_exact(4))
                .map(|entry| (be16(entry, 0), false, u32::from(be16(entry, 2))))
                .collect(),
            kind::I_FORWARD_TSN => (list.chunks_exact(8))
                .map(|entry| (be16(entry, 0), be16(entry, 2) == 1, be32(entry, 4)))
                .collect(),
            _ => panic!("{self:?}"),
        };
        (be32(cumulative, 0), skipped)
    }

    /// Causes of ABORT or ERROR: (code, information).
    pub fn causes(&self) -> Vec<(u16, Vec<u8>)> {
        assert!(matches!(self.kind, kind::ABORT | kind::ERROR));
        tlvs(&self.value)
    }

    /// The first cause's code.
    pub fn cause(&self) -> Option<u16> {
        self.causes().first().map(|(code, _)| *code)
    }

    /// ASCONF or ASCONF-ACK: sequence number, then parameters, which of ASCONF begin with an address.
    pub fn as_asconf(&self) -> (u32, Vec<(u16, Vec<u8>)>) {
        assert!(
            matches!(self.kind, kind::ASCONF | kind::ASCONF_ACK),
            "{self:?}"
        );
        (be32(&self.value, 0), tlvs(&self.value[4..]))
    }

    /// Parameters of RE-CONFIG: (type, value).
    pub fn reconfig_params(&self) -> Vec<(u16, Vec<u8>)> {
        assert_eq!(self.kind, kind::RE_CONFIG, "{self:?}");
        tlvs(&self.value)
    }
}

/// The outgoing reset request among parameters of RE-CONFIG: (number, answered number, last TSN, streams).
pub fn outgoing_reset_request(params: &[(u16, Vec<u8>)]) -> Option<(u32, u32, u32, Vec<u16>)> {
    let (_, value) = params
        .iter()
        .find(|(kind, _)| *kind == param::OUTGOING_RESET)?;
    let streams = (12..value.len()).step_by(2).map(|at| be16(value, at));
    Some((
        be32(value, 0),
        be32(value, 4),
        be32(value, 8),
        streams.collect(),
    ))
}

/// Errors of an ASCONF-ACK: (correlation, cause code).
pub fn asconf_errors(params: &[(u16, Vec<u8>)]) -> Vec<(u32, u16)> {
    let errors = params
        .iter()
        .filter(|(kind, _)| *kind == param::ASCONF_ERROR);
    errors
        .map(|(_, value)| (be32(value, 0), tlvs(&value[4..])[0].0))
        .collect()
}

/// Fields of DATA and I-DATA.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Data {
    pub tsn: u32,
    pub stream: u16,
    /// SSN or MID.
    pub seq: u32,
    pub ppid_or_fsn: u32,
    pub begin: bool,
    pub end: bool,
    pub unordered: bool,
    pub immediate: bool,
    pub payload: Vec<u8>,
}

/// Fields of INIT and INIT ACK.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Init {
    pub tag: u32,
    pub a_rwnd: u32,
    pub outbound_streams: u16,
    pub inbound_streams: u16,
    pub tsn: u32,
    pub params: Vec<(u16, Vec<u8>)>,
}

impl Init {
    /// Value of the first parameter of a type.
    pub fn param(&self, kind: u16) -> Option<&[u8]> {
        let found = self.params.iter().find(|(k, _)| *k == kind);
        found.map(|(_, value)| value.as_slice())
    }

    /// The state cookie.
    pub fn cookie(&self) -> Vec<u8> {
        let cookie = self.param(param::STATE_COOKIE);
        cookie.expect("INIT ACK carries a cookie").to_vec()
    }

    /// Whether the extension with this chunk type is offered.
    pub fn supports(&self, chunk: u8) -> bool {
        let list = self.param(param::SUPPORTED_EXTENSIONS);
        list.is_some_and(|list| list.contains(&chunk))
    }

    /// Addresses listed.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let address = |(kind, value): &(u16, Vec<u8>)| match *kind {
            param::IPV4_ADDRESS => <[u8; 4]>::try_from(value.as_slice()).ok().map(IpAddr::from),
            param::IPV6_ADDRESS => <[u8; 16]>::try_from(value.as_slice())
                .ok()
                .map(IpAddr::from),
            _ => None,
        };
        self.params.iter().filter_map(address).collect()
    }
}

/// Fields of SACK.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sack {
    pub cumulative: u32,
    pub a_rwnd: u32,
    pub gaps: Vec<(u16, u16)>,
    pub duplicates: Vec<u32>,
}

fn tlvs(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while bytes.len() >= 4 {
        let length = usize::from(be16(bytes, 2));
        assert!(
            (4..=bytes.len()).contains(&length),
            "a TLV claims {length} of {} bytes",
            bytes.len()
        );
        found.push((be16(bytes, 0), bytes[4..length].to_vec()));
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    assert!(bytes.is_empty(), "{} bytes after the last TLV", bytes.len());
    found
}

/// The 16-bit number at `at`.
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at `at`.
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_one_of_rfc_3720() {
        // RFC 3720 §B.4: 32 bytes of zeros give aa 36 91 8a on the wire; bytes 8 to 11 are the
        // checksum field here, zero as well.
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn packets_survive_the_codec() {
        let packet = Packet {
            source: 1,
            destination: 2,
            tag: 3,
            chunks: vec![
                Chunk::new(kind::SACK, 0, &[0; 12]),
                Chunk::new(200, 7, &[1, 2, 3]),
            ],
        };
        let mut bytes = packet.encode();
        assert_eq!(Packet::decode(&bytes), Ok(packet));
        bytes[20] ^= 1;
        assert!(Packet::decode(&bytes).is_err());
    }
}
