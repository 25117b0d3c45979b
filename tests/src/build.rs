//! Builders of chunks: `data(1).tsn(3).be()` is DATA on stream 1 with TSN 3, a whole message.
//!
//! Every default is what an honest peer would send, so that a test names only what it forges.

use std::net::IpAddr;

use crate::codec::{Chunk, flag, kind, param};

/// DATA on a stream, to be finished by [`be`](Data::be), [`b`](Data::b), [`m`](Data::m) or
/// [`e`](Data::e).
pub fn data(stream: u16) -> Data {
    Data {
        interleaved: false,
        stream,
        tsn: 1,
        seq: 0,
        fsn: 0,
        ppid: 0,
        flags: 0,
        payload: b"data".to_vec(),
    }
}

/// I-DATA on a stream (RFC 8260).
pub fn i_data(stream: u16) -> Data {
    Data {
        interleaved: true,
        ..data(stream)
    }
}

/// DATA or I-DATA in the making.
#[derive(Debug, Clone)]
pub struct Data {
    interleaved: bool,
    stream: u16,
    tsn: u32,
    seq: u32,
    fsn: u32,
    ppid: u32,
    flags: u8,
    payload: Vec<u8>,
}

impl Data {
    /// TSN, default 1.
    pub fn tsn(mut self, tsn: u32) -> Self {
        self.tsn = tsn;
        self
    }

    /// SSN or MID, default 0.
    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    /// FSN of I-DATA, default 0.
    pub fn fsn(mut self, fsn: u32) -> Self {
        self.fsn = fsn;
        self
    }

    /// Payload protocol identifier, default 0.
    pub fn ppid(mut self, ppid: u32) -> Self {
        self.ppid = ppid;
        self
    }

    /// Sets the U bit.
    pub fn unordered(mut self) -> Self {
        self.flags |= flag::UNORDERED;
        self
    }

    /// Sets the I bit.
    pub fn immediate(mut self) -> Self {
        self.flags |= flag::IMMEDIATE;
        self
    }

    /// User data, default `data`.
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// A whole message.
    pub fn be(self) -> Chunk {
        self.finish(flag::BEGIN | flag::END)
    }

    /// The first fragment.
    pub fn b(self) -> Chunk {
        self.finish(flag::BEGIN)
    }

    /// A fragment in the middle.
    pub fn m(self) -> Chunk {
        self.finish(0)
    }

    /// The last fragment.
    pub fn e(self) -> Chunk {
        self.finish(flag::END)
    }

    fn finish(self, flags: u8) -> Chunk {
        let mut value = self.tsn.to_be_bytes().to_vec();
        value.extend_from_slice(&self.stream.to_be_bytes());
        if self.interleaved {
            let first = flags & flag::BEGIN != 0;
            value.extend_from_slice(&[0, 0]);
            value.extend_from_slice(&self.seq.to_be_bytes());
            value.extend_from_slice(&if first { self.ppid } else { self.fsn }.to_be_bytes());
        } else {
            value.extend_from_slice(&(self.seq as u16).to_be_bytes());
            value.extend_from_slice(&self.ppid.to_be_bytes());
        }
        value.extend_from_slice(&self.payload);
        let kind = if self.interleaved {
            kind::I_DATA
        } else {
            kind::DATA
        };
        Chunk::new(kind, self.flags | flags, &value)
    }
}

/// INIT with this initiate tag, initial TSN 1.
pub fn init(tag: u32) -> Init {
    Init {
        kind: kind::INIT,
        tag,
        a_rwnd: 1024 * 1024,
        outbound_streams: 1024,
        inbound_streams: 1024,
        tsn: 1,
        params: Vec::new(),
    }
}

/// INIT ACK with this initiate tag and cookie, initial TSN 1.
pub fn init_ack(tag: u32, cookie: &[u8]) -> Init {
    Init {
        kind: kind::INIT_ACK,
        ..init(tag)
    }
    .param(param::STATE_COOKIE, cookie)
}

/// INIT or INIT ACK in the making.
#[derive(Debug, Clone)]
pub struct Init {
    kind: u8,
    tag: u32,
    a_rwnd: u32,
    outbound_streams: u16,
    inbound_streams: u16,
    tsn: u32,
    params: Vec<u8>,
}

impl Init {
    /// a_rwnd, default 1 MiB.
    pub fn a_rwnd(mut self, a_rwnd: u32) -> Self {
        self.a_rwnd = a_rwnd;
        self
    }

    /// Streams, default 1024 each way.
    pub fn streams(mut self, outbound: u16, inbound: u16) -> Self {
        self.outbound_streams = outbound;
        self.inbound_streams = inbound;
        self
    }

    /// Initial TSN, default 1.
    pub fn tsn(mut self, tsn: u32) -> Self {
        self.tsn = tsn;
        self
    }

    /// Adds a parameter.
    pub fn param(mut self, kind: u16, value: &[u8]) -> Self {
        let aligned = self.params.len().next_multiple_of(4);
        self.params.resize(aligned, 0);
        self.params.extend_from_slice(&tlv(kind, value));
        self
    }

    /// Forgets the parameters, the cookie of an INIT ACK included.
    pub fn without_params(mut self) -> Self {
        self.params.clear();
        self
    }

    /// Adds bytes where parameters are expected.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.params.extend_from_slice(bytes);
        self
    }

    /// Offers extensions by their chunk types.
    pub fn extensions(self, chunks: &[u8]) -> Self {
        self.param(param::SUPPORTED_EXTENSIONS, chunks)
    }
}

impl From<Init> for Chunk {
    fn from(init: Init) -> Self {
        let mut value = init.tag.to_be_bytes().to_vec();
        value.extend_from_slice(&init.a_rwnd.to_be_bytes());
        value.extend_from_slice(&init.outbound_streams.to_be_bytes());
        value.extend_from_slice(&init.inbound_streams.to_be_bytes());
        value.extend_from_slice(&init.tsn.to_be_bytes());
        value.extend_from_slice(&init.params);
        Self::new(init.kind, 0, &value)
    }
}

/// SACK up to this TSN, with a window of 1 MiB.
pub fn sack(cumulative: u32) -> Sack {
    Sack {
        cumulative,
        a_rwnd: 1024 * 1024,
        gaps: Vec::new(),
        nr_gaps: None,
        duplicates: Vec::new(),
    }
}

/// NR-SACK up to this TSN, with a window of 1 MiB.
pub fn nr_sack(cumulative: u32) -> Sack {
    Sack {
        nr_gaps: Some(Vec::new()),
        ..sack(cumulative)
    }
}

/// SACK or NR-SACK in the making.
#[derive(Debug, Clone)]
pub struct Sack {
    cumulative: u32,
    a_rwnd: u32,
    gaps: Vec<(u16, u16)>,
    nr_gaps: Option<Vec<(u16, u16)>>,
    duplicates: Vec<u32>,
}

impl Sack {
    /// a_rwnd, default 1 MiB.
    pub fn a_rwnd(mut self, a_rwnd: u32) -> Self {
        self.a_rwnd = a_rwnd;
        self
    }

    /// Adds a gap block: offsets from the cumulative TSN.
    pub fn gap(mut self, start: u16, end: u16) -> Self {
        self.gaps.push((start, end));
        self
    }

    /// Adds a block that the peer will not give up, which makes it an NR-SACK.
    pub fn nr_gap(mut self, start: u16, end: u16) -> Self {
        self.nr_gaps.get_or_insert_default().push((start, end));
        self
    }

    /// Adds a duplicate TSN.
    pub fn duplicate(mut self, tsn: u32) -> Self {
        self.duplicates.push(tsn);
        self
    }
}

impl From<Sack> for Chunk {
    fn from(sack: Sack) -> Self {
        let mut value = sack.cumulative.to_be_bytes().to_vec();
        value.extend_from_slice(&sack.a_rwnd.to_be_bytes());
        value.extend_from_slice(&(sack.gaps.len() as u16).to_be_bytes());
        if let Some(nr_gaps) = &sack.nr_gaps {
            value.extend_from_slice(&(nr_gaps.len() as u16).to_be_bytes());
        }
        value.extend_from_slice(&(sack.duplicates.len() as u16).to_be_bytes());
        if sack.nr_gaps.is_some() {
            value.extend_from_slice(&[0, 0]);
        }
        let which = match sack.nr_gaps {
            Some(_) => kind::NR_SACK,
            None => kind::SACK,
        };
        for (start, end) in sack
            .gaps
            .into_iter()
            .chain(sack.nr_gaps.unwrap_or_default())
        {
            value.extend_from_slice(&start.to_be_bytes());
            value.extend_from_slice(&end.to_be_bytes());
        }
        for tsn in sack.duplicates {
            value.extend_from_slice(&tsn.to_be_bytes());
        }
        Self::new(which, 0, &value)
    }
}

/// ECNE: a packet with this TSN was marked.
pub fn ecne(tsn: u32) -> Chunk {
    Chunk::new(kind::ECNE, 0, &tsn.to_be_bytes())
}

/// CWR: marks up to this TSN were answered.
pub fn cwr(tsn: u32) -> Chunk {
    Chunk::new(kind::CWR, 0, &tsn.to_be_bytes())
}

/// A type-length-value without padding: the last one of a chunk has none that counts (§3.2).
pub fn tlv(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// COOKIE ECHO.
pub fn cookie_echo(cookie: &[u8]) -> Chunk {
    Chunk::new(kind::COOKIE_ECHO, 0, cookie)
}

/// COOKIE ACK.
pub fn cookie_ack() -> Chunk {
    Chunk::new(kind::COOKIE_ACK, 0, &[])
}

/// HEARTBEAT with this information.
pub fn heartbeat(info: &[u8]) -> Chunk {
    Chunk::new(kind::HEARTBEAT, 0, &tlv(1, info))
}

/// HEARTBEAT ACK with the information of a HEARTBEAT.
pub fn heartbeat_ack(heartbeat: &Chunk) -> Chunk {
    Chunk::new(kind::HEARTBEAT_ACK, 0, &heartbeat.value)
}

/// ABORT with one cause.
pub fn abort(code: u16, info: &[u8]) -> Chunk {
    Chunk::new(kind::ABORT, 0, &tlv(code, info))
}

/// ABORT without a cause; its T bit as given.
pub fn bare_abort(t_bit: bool) -> Chunk {
    Chunk::new(kind::ABORT, u8::from(t_bit), &[])
}

/// ERROR with one cause.
pub fn error(code: u16, info: &[u8]) -> Chunk {
    Chunk::new(kind::ERROR, 0, &tlv(code, info))
}

/// SHUTDOWN that acknowledges up to this TSN.
pub fn shutdown(cumulative: u32) -> Chunk {
    Chunk::new(kind::SHUTDOWN, 0, &cumulative.to_be_bytes())
}

/// SHUTDOWN ACK.
pub fn shutdown_ack() -> Chunk {
    Chunk::new(kind::SHUTDOWN_ACK, 0, &[])
}

/// SHUTDOWN COMPLETE; its T bit as given.
pub fn shutdown_complete(t_bit: bool) -> Chunk {
    Chunk::new(kind::SHUTDOWN_COMPLETE, u8::from(t_bit), &[])
}

/// FORWARD-TSN (RFC 3758 §3.2): the new cumulative TSN, and (stream, SSN) skipped.
pub fn forward_tsn(cumulative: u32, skipped: &[(u16, u16)]) -> Chunk {
    let mut value = cumulative.to_be_bytes().to_vec();
    for (stream, ssn) in skipped {
        value.extend_from_slice(&stream.to_be_bytes());
        value.extend_from_slice(&ssn.to_be_bytes());
    }
    Chunk::new(kind::FORWARD_TSN, 0, &value)
}

/// I-FORWARD-TSN (RFC 8260 §2.3.1): the new cumulative TSN, and (stream, unordered, MID) skipped.
pub fn i_forward_tsn(cumulative: u32, skipped: &[(u16, bool, u32)]) -> Chunk {
    let mut value = cumulative.to_be_bytes().to_vec();
    for &(stream, unordered, mid) in skipped {
        value.extend_from_slice(&stream.to_be_bytes());
        value.extend_from_slice(&u16::from(unordered).to_be_bytes());
        value.extend_from_slice(&mid.to_be_bytes());
    }
    Chunk::new(kind::I_FORWARD_TSN, 0, &value)
}

/// RE-CONFIG: outgoing SSN reset request (RFC 6525 §4.1).
pub fn outgoing_reset(request: u32, response: u32, last_tsn: u32, streams: &[u16]) -> Chunk {
    let mut value = request.to_be_bytes().to_vec();
    value.extend_from_slice(&response.to_be_bytes());
    value.extend_from_slice(&last_tsn.to_be_bytes());
    for stream in streams {
        value.extend_from_slice(&stream.to_be_bytes());
    }
    Chunk::new(kind::RE_CONFIG, 0, &tlv(param::OUTGOING_RESET, &value))
}

/// RE-CONFIG: incoming SSN reset request (RFC 6525 §4.2).
pub fn incoming_reset(request: u32, streams: &[u16]) -> Chunk {
    let mut value = request.to_be_bytes().to_vec();
    for stream in streams {
        value.extend_from_slice(&stream.to_be_bytes());
    }
    Chunk::new(kind::RE_CONFIG, 0, &tlv(param::INCOMING_RESET, &value))
}

/// RE-CONFIG: response (RFC 6525 §4.4).
pub fn reconfig_response(request: u32, result: u32) -> Chunk {
    let mut value = request.to_be_bytes().to_vec();
    value.extend_from_slice(&result.to_be_bytes());
    Chunk::new(kind::RE_CONFIG, 0, &tlv(param::RECONFIG_RESPONSE, &value))
}

/// RE-CONFIG: SSN/TSN reset request (RFC 6525 §4.3).
pub fn association_reset(request: u32) -> Chunk {
    let value = request.to_be_bytes();
    Chunk::new(kind::RE_CONFIG, 0, &tlv(param::TSN_RESET, &value))
}

/// RE-CONFIG: response to an SSN/TSN reset request: the responder's next TSN, and the requester's.
pub fn association_reset_response(request: u32, result: u32, tsns: (u32, u32)) -> Chunk {
    let value: Vec<u8> = [request, result, tsns.0, tsns.1]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect();
    Chunk::new(kind::RE_CONFIG, 0, &tlv(param::RECONFIG_RESPONSE, &value))
}

/// RE-CONFIG: add outgoing streams request (RFC 6525 §4.5).
pub fn add_outgoing(request: u32, count: u16) -> Chunk {
    add_streams(param::ADD_OUTGOING_STREAMS, request, count)
}

/// RE-CONFIG: add incoming streams request (RFC 6525 §4.6).
pub fn add_incoming(request: u32, count: u16) -> Chunk {
    add_streams(param::ADD_INCOMING_STREAMS, request, count)
}

fn add_streams(which: u16, request: u32, count: u16) -> Chunk {
    let mut value = request.to_be_bytes().to_vec();
    value.extend_from_slice(&count.to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    Chunk::new(kind::RE_CONFIG, 0, &tlv(which, &value))
}

/// One RE-CONFIG with the parameters of several.
pub fn reconfig_together(chunks: &[Chunk]) -> Chunk {
    let mut values = Vec::new();
    for chunk in chunks {
        values.resize(values.len().next_multiple_of(4), 0);
        values.extend_from_slice(&chunk.value);
    }
    Chunk::new(kind::RE_CONFIG, 0, &values)
}

/// An address parameter.
pub fn address(ip: impl Into<IpAddr>) -> Vec<u8> {
    match ip.into() {
        IpAddr::V4(ip) => tlv(param::IPV4_ADDRESS, &ip.octets()),
        IpAddr::V6(ip) => tlv(param::IPV6_ADDRESS, &ip.octets()),
    }
}

/// ASCONF (RFC 5061 §4.1.1) with requests of (type, address), whose correlations are 1, 2, 3...
pub fn asconf(seq: u32, lookup: [u8; 4], requests: &[(u16, [u8; 4])]) -> Chunk {
    let mut value = seq.to_be_bytes().to_vec();
    value.extend_from_slice(&address(lookup));
    for (correlation, (kind, ip)) in (1_u32..).zip(requests) {
        let request = [&correlation.to_be_bytes()[..], &address(*ip)].concat();
        value.extend_from_slice(&tlv(*kind, &request));
    }
    Chunk::new(kind::ASCONF, 0, &value)
}

/// ASCONF-ACK (RFC 5061 §4.1.2) that reports these errors: (correlation, cause).
pub fn asconf_ack(seq: u32, errors: &[(u32, u16)]) -> Chunk {
    let mut value = seq.to_be_bytes().to_vec();
    for (correlation, cause) in errors {
        let error = [&correlation.to_be_bytes()[..], &tlv(*cause, &[])].concat();
        value.extend_from_slice(&tlv(param::ASCONF_ERROR, &error));
    }
    Chunk::new(kind::ASCONF_ACK, 0, &value)
}
