//! RE-CONFIG and its parameters (RFC 6525 §3.1, §4).

use bytes::BufMut;

use super::{
    chunk::kind,
    packet::Malformed,
    params::param,
    reader::Reader,
    tlv::{RawParam, TlvWriter, Tlvs},
    writer::PacketWriter,
};
use crate::ids::{StreamId, Tsn};

/// Results of a Re-configuration Response (RFC 6525 §4.4).
pub mod reconfig_result {
    /// Success, nothing to do.
    pub const SUCCESS_NOTHING_TO_DO: u32 = 0;
    /// Success, performed.
    pub const PERFORMED: u32 = 1;
    /// Denied.
    pub const DENIED: u32 = 2;
    /// Error, wrong SSN.
    pub const WRONG_SSN: u32 = 3;
    /// Error, a request is already in progress.
    pub const IN_PROGRESS_ALREADY: u32 = 4;
    /// Error, bad sequence number.
    pub const BAD_SEQUENCE: u32 = 5;
    /// In progress: to be asked again.
    pub const IN_PROGRESS: u32 = 6;
}

/// A received RE-CONFIG: one or two requests or responses.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |  type = 130   |     flags     |    length = 4 + parameters    |
/// +---------------+---------------+-------------------------------+
/// /                    parameter, perhaps another                 /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReConfig<'a> {
    bytes: &'a [u8],
}

impl<'a> ReConfig<'a> {
    pub(super) const fn parse(value: &'a [u8]) -> Self {
        Self { bytes: value }
    }

    /// The parameters in order. A parameter whose length field cannot be true is the last item.
    pub fn params(
        &self,
    ) -> impl Iterator<Item = Result<ReConfigParam<'a>, Malformed>> + Clone + use<'a> {
        Tlvs::new(self.bytes).map(|raw| ReConfigParam::parse(raw?))
    }
}

/// A parameter of RE-CONFIG.
///
/// Types 13 and 14, of which 14 lacks the second and third word:
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-------------------------------+-------------------------------+
/// |           type = 13           |       length = 16 + 2 N       |
/// +-------------------------------+-------------------------------+
/// |           re-configuration request sequence number            |
/// +---------------------------------------------------------------+
/// |           re-configuration response sequence number           |
/// +---------------------------------------------------------------+
/// |                sender's last assigned TSN                     |
/// +-------------------------------+-------------------------------+
/// |           stream 1            |      ... up to stream N       |
/// +-------------------------------+-------------------------------+
/// ```
///
/// Type 15 is the sequence number alone. Type 16, the response, with the last two words or without:
/// ```text
/// +-------------------------------+-------------------------------+
/// |           type = 16           |       length = 12 or 20       |
/// +-------------------------------+-------------------------------+
/// |           re-configuration response sequence number           |
/// +---------------------------------------------------------------+
/// |                            result                             |
/// +---------------------------------------------------------------+
/// |                       sender's next TSN                       |
/// +---------------------------------------------------------------+
/// |                      receiver's next TSN                      |
/// +---------------------------------------------------------------+
/// ```
///
/// Types 17 and 18:
/// ```text
/// +-------------------------------+-------------------------------+
/// |        type = 17 or 18        |          length = 12          |
/// +-------------------------------+-------------------------------+
/// |           re-configuration request sequence number            |
/// +-------------------------------+-------------------------------+
/// |     number of new streams     |           reserved            |
/// +-------------------------------+-------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReConfigParam<'a> {
    /// 13: the sender resets streams it sends on.
    OutgoingReset {
        /// Number of this request.
        request_seq: u32,
        /// Number of the Incoming SSN Reset Request that this answers, if it does.
        response_seq: u32,
        /// The last TSN the sender had assigned: the reset takes place once it is received.
        last_tsn: Tsn,
        /// The streams; none means all.
        streams: StreamList<'a>,
    },
    /// 14: the sender wants streams reset that it receives on.
    IncomingReset {
        /// Number of this request.
        request_seq: u32,
        /// The streams; none means all.
        streams: StreamList<'a>,
    },
    /// 15: the sender wants TSNs and all streams of both directions reset.
    TsnReset {
        /// Number of this request.
        request_seq: u32,
    },
    /// 16: the answer to a request.
    Response {
        /// Number of the request.
        response_seq: u32,
        /// One of [`reconfig_result`].
        result: u32,
        /// Answer to an SSN/TSN Reset Request: the next TSN of the sender, and the next of the
        /// receiver.
        tsns: Option<(Tsn, Tsn)>,
    },
    /// 17: the sender wants to send on more streams.
    AddOutgoing {
        /// Number of this request.
        request_seq: u32,
        /// How many more.
        count: u16,
    },
    /// 18: the sender wants to receive on more streams.
    AddIncoming {
        /// Number of this request.
        request_seq: u32,
        /// How many more.
        count: u16,
    },
    /// Every other type: the caller applies [`on_unknown_param`](super::on_unknown_param).
    Unknown(RawParam<'a>),
}

impl<'a> ReConfigParam<'a> {
    fn parse(raw: RawParam<'a>) -> Result<Self, Malformed> {
        let mut fields = Reader::new(raw.value, "RE-CONFIG parameter");
        Ok(match raw.kind {
            param::OUTGOING_RESET => Self::OutgoingReset {
                request_seq: fields.u32()?,
                response_seq: fields.u32()?,
                last_tsn: fields.tsn()?,
                streams: StreamList(fields.items()?),
            },
            param::INCOMING_RESET => Self::IncomingReset {
                request_seq: fields.u32()?,
                streams: StreamList(fields.items()?),
            },
            param::TSN_RESET => {
                let request_seq = fields.u32()?;
                fields.end()?;
                Self::TsnReset { request_seq }
            }
            param::RECONFIG_RESPONSE => {
                let response_seq = fields.u32()?;
                let result = fields.u32()?;
                let tsns = match raw.value.len() {
                    8 => None,
                    _ => Some((fields.tsn()?, fields.tsn()?)),
                };
                fields.end()?;
                Self::Response {
                    response_seq,
                    result,
                    tsns,
                }
            }
            param::ADD_OUTGOING_STREAMS => {
                let (request_seq, count) = add_streams(fields)?;
                Self::AddOutgoing { request_seq, count }
            }
            param::ADD_INCOMING_STREAMS => {
                let (request_seq, count) = add_streams(fields)?;
                Self::AddIncoming { request_seq, count }
            }
            _ => Self::Unknown(raw),
        })
    }
}

fn add_streams(mut fields: Reader<'_>) -> Result<(u32, u16), Malformed> {
    let request_seq = fields.u32()?;
    let count = fields.u16()?;
    let _reserved = fields.u16()?;
    fields.end()?;
    Ok((request_seq, count))
}

/// The streams of a reset request, read in place. The peer may name one twice, or one that does not
/// exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamList<'a>(&'a [[u8; 2]]);

impl<'a> StreamList<'a> {
    /// The streams, in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = StreamId> + Clone + use<'a> {
        self.0.iter().map(|&id| StreamId(u16::from_be_bytes(id)))
    }

    /// How many are named.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is named, which stands for all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The parameters of a RE-CONFIG under construction, for
/// [`PacketWriter::reconfig`](super::PacketWriter::reconfig); fields as in [`ReConfigParam`].
///
/// The caller splits long lists of streams over several requests: a packet has to hold each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReConfigWriter(TlvWriter);

impl ReConfigWriter {
    /// No parameter yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The parameters in wire form, each but the last padded.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Outgoing SSN Reset Request.
    pub fn outgoing_reset(
        &mut self,
        request_seq: u32,
        response_seq: u32,
        last_tsn: Tsn,
        streams: &[StreamId],
    ) -> &mut Self {
        let buf = self.0.open(param::OUTGOING_RESET, 12 + 2 * streams.len());
        buf.put_u32(request_seq);
        buf.put_u32(response_seq);
        buf.put_u32(last_tsn.value());
        put_streams(buf, streams);
        self
    }

    /// Incoming SSN Reset Request.
    pub fn incoming_reset(&mut self, request_seq: u32, streams: &[StreamId]) -> &mut Self {
        let buf = self.0.open(param::INCOMING_RESET, 4 + 2 * streams.len());
        buf.put_u32(request_seq);
        put_streams(buf, streams);
        self
    }

    /// SSN/TSN Reset Request.
    pub fn tsn_reset(&mut self, request_seq: u32) -> &mut Self {
        self.0.item(param::TSN_RESET, &request_seq.to_be_bytes());
        self
    }

    /// Re-configuration Response.
    pub fn response(
        &mut self,
        response_seq: u32,
        result: u32,
        tsns: Option<(Tsn, Tsn)>,
    ) -> &mut Self {
        let value_len = if tsns.is_some() { 16 } else { 8 };
        let buf = self.0.open(param::RECONFIG_RESPONSE, value_len);
        buf.put_u32(response_seq);
        buf.put_u32(result);
        if let Some((sender_next, receiver_next)) = tsns {
            buf.put_u32(sender_next.value());
            buf.put_u32(receiver_next.value());
        }
        self
    }

    /// Add Outgoing Streams Request.
    pub fn add_outgoing(&mut self, request_seq: u32, count: u16) -> &mut Self {
        self.add_streams(param::ADD_OUTGOING_STREAMS, request_seq, count)
    }

    /// Add Incoming Streams Request.
    pub fn add_incoming(&mut self, request_seq: u32, count: u16) -> &mut Self {
        self.add_streams(param::ADD_INCOMING_STREAMS, request_seq, count)
    }

    fn add_streams(&mut self, kind: u16, request_seq: u32, count: u16) -> &mut Self {
        let buf = self.0.open(kind, 8);
        buf.put_u32(request_seq);
        buf.put_u16(count);
        buf.put_u16(0);
        self
    }
}

fn put_streams(buf: &mut Vec<u8>, streams: &[StreamId]) {
    for stream in streams {
        buf.put_u16(stream.0);
    }
}

impl PacketWriter<'_> {
    /// Appends a RE-CONFIG with the parameters of a [`ReConfigWriter`]. Takes
    /// [`chunk_size`](Self::chunk_size)`(params.len())`.
    pub fn reconfig(&mut self, params: &[u8]) {
        self.chunk(kind::RE_CONFIG, 0, params);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    const STREAMS: [StreamId; 3] = [StreamId(1), StreamId(2), StreamId(0xFFFE)];

    #[test]
    fn bytes_of_each_parameter() {
        let mut params = ReConfigWriter::new();
        params
            .outgoing_reset(1, 2, Tsn::new(3), &STREAMS)
            .incoming_reset(4, &[])
            .tsn_reset(5)
            .response(6, reconfig_result::PERFORMED, None)
            .response(7, reconfig_result::DENIED, Some((Tsn::new(8), Tsn::new(9))))
            .add_outgoing(10, 11)
            .add_incoming(12, 13);
        #[rustfmt::skip]
        let bytes = [
            0x82, 0x00, 0x00, 0x64,
            0x00, 0x0D, 0x00, 0x16, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02,
            0x00, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x02, 0xFF, 0xFE, 0x00, 0x00,
            0x00, 0x0E, 0x00, 0x08, 0x00, 0x00, 0x00, 0x04,
            0x00, 0x0F, 0x00, 0x08, 0x00, 0x00, 0x00, 0x05,
            0x00, 0x10, 0x00, 0x0C, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x01,
            0x00, 0x10, 0x00, 0x14, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x02,
            0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x09,
            0x00, 0x11, 0x00, 0x0C, 0x00, 0x00, 0x00, 0x0A, 0x00, 0x0B, 0x00, 0x00,
            0x00, 0x12, 0x00, 0x0C, 0x00, 0x00, 0x00, 0x0C, 0x00, 0x0D, 0x00, 0x00,
        ];
        assert_chunk(
            &bytes,
            |packet| packet.reconfig(params.as_bytes()),
            |chunk| {
                let Chunk::ReConfig(reconfig) = chunk else {
                    panic!("a RE-CONFIG")
                };
                let parsed: Vec<_> = reconfig.params().map(Result::unwrap).collect();
                let expected = [
                    ReConfigParam::OutgoingReset {
                        request_seq: 1,
                        response_seq: 2,
                        last_tsn: Tsn::new(3),
                        streams: StreamList(&[[0, 1], [0, 2], [0xFF, 0xFE]]),
                    },
                    ReConfigParam::IncomingReset {
                        request_seq: 4,
                        streams: StreamList(&[]),
                    },
                    ReConfigParam::TsnReset { request_seq: 5 },
                    ReConfigParam::Response {
                        response_seq: 6,
                        result: 1,
                        tsns: None,
                    },
                    ReConfigParam::Response {
                        response_seq: 7,
                        result: 2,
                        tsns: Some((Tsn::new(8), Tsn::new(9))),
                    },
                    ReConfigParam::AddOutgoing {
                        request_seq: 10,
                        count: 11,
                    },
                    ReConfigParam::AddIncoming {
                        request_seq: 12,
                        count: 13,
                    },
                ];
                assert_eq!(parsed, expected);
            },
        );
    }

    #[test]
    fn stream_lists_are_read_in_place() {
        let list = StreamList(&[[0, 1], [0, 2], [0xFF, 0xFE]]);
        assert_eq!((list.len(), list.is_empty()), (3, false));
        assert!(list.iter().eq(STREAMS));
        assert!(StreamList(&[]).is_empty());
    }

    #[test]
    fn parameters_with_another_length_are_malformed() {
        for (kind, good) in [
            (param::OUTGOING_RESET, &[12, 14, 16][..]),
            (param::INCOMING_RESET, &[4, 6, 8, 10, 12, 14, 16]),
            (param::TSN_RESET, &[4]),
            (param::RECONFIG_RESPONSE, &[8, 16]),
            (param::ADD_OUTGOING_STREAMS, &[8]),
            (param::ADD_INCOMING_STREAMS, &[8]),
        ] {
            for length in 0..=17 {
                let value = vec![0; length];
                let raw = RawParam {
                    kind,
                    value: &value,
                    raw: &value,
                };
                let ok = ReConfigParam::parse(raw).is_ok();
                assert_eq!(ok, good.contains(&length), "type {kind}, {length} bytes");
            }
        }
    }

    #[test]
    fn a_parameter_of_another_kind_is_handed_on() {
        let packet = ReConfig::parse(&[0xC1, 0x23, 0, 4]);
        let parsed: Vec<_> = packet.params().collect();
        assert!(matches!(
            parsed[..],
            [Ok(ReConfigParam::Unknown(RawParam { kind: 0xC123, .. }))]
        ));
    }
}
