//! ASCONF and ASCONF-ACK (RFC 5061 §4): changes of a side's own addresses, and the answers to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BufMut;

use super::{
    causes::Causes,
    chunk::kind,
    packet::Malformed,
    params::param,
    reader::Reader,
    tlv::{RawParam, TlvWriter, Tlvs},
    writer::PacketWriter,
};

/// A received ASCONF.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+---------------+-------------------------------+
/// |  type = 193   |     flags     |            length             |
/// +---------------+---------------+-------------------------------+
/// |                        sequence number                        |
/// +---------------------------------------------------------------+
/// /            an address of the sender, as a parameter           /
/// +---------------------------------------------------------------+
/// /                       requests (parameters)                   /
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asconf<'a> {
    /// Its number.
    pub seq: u32,
    /// An address by which a receiver may find the association.
    pub lookup: IpAddr,
    requests: &'a [u8],
}

impl<'a> Asconf<'a> {
    /// Parses the value of an ASCONF.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "ASCONF");
        let seq = fields.u32()?;
        let rest = fields.rest();
        let raw = Tlvs::new(rest).next().ok_or(Malformed("ASCONF"))??;
        Ok(Self {
            seq,
            lookup: address(raw)?,
            requests: &rest[raw.raw.len()..],
        })
    }

    /// The requests in order. One whose length field cannot be true is the last item.
    pub fn requests(
        &self,
    ) -> impl Iterator<Item = Result<AsconfRequest<'a>, Malformed>> + Clone + use<'a> {
        Tlvs::new(self.requests).map(|raw| AsconfRequest::parse(raw?))
    }
}

/// A request of an ASCONF: `type | length | correlation | address parameter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsconfRequest<'a> {
    /// Names the request in the answer.
    pub correlation: u32,
    /// What is asked for.
    pub change: AddressChange,
    /// All of the parameter without padding, to be quoted.
    pub raw: &'a [u8],
}

/// What an ASCONF can ask for. An address that is all zeros stands for that of the packet's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressChange {
    /// The address is the sender's from now on.
    Add(IpAddr),
    /// The address is not the sender's any more. All zeros: none but the source is.
    Delete(IpAddr),
    /// Data shall go to this address.
    SetPrimary(IpAddr),
    /// Every other type.
    Unknown,
}

impl<'a> AsconfRequest<'a> {
    fn parse(raw: RawParam<'a>) -> Result<Self, Malformed> {
        let mut fields = Reader::new(raw.value, "ASCONF request");
        let correlation = fields.u32()?;
        let rest = fields.rest();
        let change = match raw.kind {
            param::ADD_IP_ADDRESS => AddressChange::Add(sole_address(rest)?),
            param::DELETE_IP_ADDRESS => AddressChange::Delete(sole_address(rest)?),
            param::SET_PRIMARY_ADDRESS => AddressChange::SetPrimary(sole_address(rest)?),
            _ => AddressChange::Unknown,
        };
        Ok(Self {
            correlation,
            change,
            raw: raw.raw,
        })
    }
}

/// A received ASCONF-ACK: sequence number and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsconfAck<'a> {
    /// Number of the ASCONF that is answered.
    pub seq: u32,
    answers: &'a [u8],
}

impl<'a> AsconfAck<'a> {
    /// Parses the value of an ASCONF-ACK.
    pub(super) fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Reader::new(value, "ASCONF-ACK");
        Ok(Self {
            seq: fields.u32()?,
            answers: fields.rest(),
        })
    }

    /// The answers in order. One that is malformed is the last item.
    pub fn answers(
        &self,
    ) -> impl Iterator<Item = Result<AsconfAnswer<'a>, Malformed>> + Clone + use<'a> {
        Tlvs::new(self.answers).map(|raw| AsconfAnswer::parse(raw?))
    }
}

/// The answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsconfAnswer<'a> {
    /// It was performed.
    Success {
        /// The request.
        correlation: u32,
    },
    /// It was not.
    Error {
        /// The request.
        correlation: u32,
        /// Why.
        causes: Causes<'a>,
    },
    /// Every other type.
    Unknown(RawParam<'a>),
}

impl<'a> AsconfAnswer<'a> {
    fn parse(raw: RawParam<'a>) -> Result<Self, Malformed> {
        let mut fields = Reader::new(raw.value, "ASCONF-ACK answer");
        Ok(match raw.kind {
            param::SUCCESS_INDICATION => {
                let correlation = fields.u32()?;
                fields.end()?;
                Self::Success { correlation }
            }
            param::ERROR_CAUSE_INDICATION => Self::Error {
                correlation: fields.u32()?,
                causes: Causes::parse(fields.rest())?,
            },
            _ => Self::Unknown(raw),
        })
    }
}

/// The address of an address parameter that nothing follows.
fn sole_address(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    let mut items = Tlvs::new(bytes);
    match (items.next(), items.next()) {
        (Some(raw), None) => address(raw?),
        _ => Err(Malformed("ASCONF request")),
    }
}

/// The address of an address parameter, all zeros included.
fn address(raw: RawParam<'_>) -> Result<IpAddr, Malformed> {
    let malformed = Malformed("address parameter");
    match raw.kind {
        param::IPV4_ADDRESS => <[u8; 4]>::try_from(raw.value).map(IpAddr::from),
        param::IPV6_ADDRESS => <[u8; 16]>::try_from(raw.value).map(IpAddr::from),
        _ => return Err(malformed),
    }
    .map_err(|_| malformed)
}

/// The wildcard of an address's family.
pub fn wildcard_like(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn address_param(ip: IpAddr) -> TlvWriter {
    let mut item = TlvWriter::default();
    match ip {
        IpAddr::V4(ip) => item.item(param::IPV4_ADDRESS, &ip.octets()),
        IpAddr::V6(ip) => item.item(param::IPV6_ADDRESS, &ip.octets()),
    }
    item
}

/// Requests or answers under construction, for [`PacketWriter::asconf`] and
/// [`PacketWriter::asconf_ack`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AsconfWriter(TlvWriter);

impl AsconfWriter {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// In wire form, each but the last padded.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A request; none for [`AddressChange::Unknown`].
    pub fn request(&mut self, correlation: u32, change: AddressChange) -> &mut Self {
        let (kind, ip) = match change {
            AddressChange::Add(ip) => (param::ADD_IP_ADDRESS, ip),
            AddressChange::Delete(ip) => (param::DELETE_IP_ADDRESS, ip),
            AddressChange::SetPrimary(ip) => (param::SET_PRIMARY_ADDRESS, ip),
            AddressChange::Unknown => return self,
        };
        let address = address_param(ip);
        let buf = self.0.open(kind, 4 + address.as_bytes().len());
        buf.put_u32(correlation);
        buf.put_slice(address.as_bytes());
        self
    }

    /// Success Indication.
    pub fn success(&mut self, correlation: u32) -> &mut Self {
        self.0
            .item(param::SUCCESS_INDICATION, &correlation.to_be_bytes());
        self
    }

    /// Error Cause Indication with causes in wire form.
    pub fn error(&mut self, correlation: u32, causes: &[u8]) -> &mut Self {
        let buf = self.0.open(param::ERROR_CAUSE_INDICATION, 4 + causes.len());
        buf.put_u32(correlation);
        buf.put_slice(causes);
        self
    }
}

/// The value of an ASCONF, which is the same whenever it is sent.
pub fn asconf_value(seq: u32, lookup: IpAddr, requests: &AsconfWriter) -> Vec<u8> {
    let mut value = seq.to_be_bytes().to_vec();
    value.extend_from_slice(address_param(lookup).as_bytes());
    value.extend_from_slice(requests.as_bytes());
    value
}

/// The value of an ASCONF-ACK, likewise.
pub fn asconf_ack_value(seq: u32, answers: &AsconfWriter) -> Vec<u8> {
    let mut value = seq.to_be_bytes().to_vec();
    value.extend_from_slice(answers.as_bytes());
    value
}

impl PacketWriter<'_> {
    /// Appends an ASCONF with a value of [`asconf_value`].
    pub fn asconf(&mut self, value: &[u8]) {
        self.chunk(kind::ASCONF, 0, value);
    }

    /// Appends an ASCONF-ACK with a value of [`asconf_ack_value`].
    pub fn asconf_ack(&mut self, value: &[u8]) {
        self.chunk(kind::ASCONF_ACK, 0, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bytes_of_asconf() {
        let mut requests = AsconfWriter::new();
        let wanted = [
            AddressChange::Add(ip("192.0.2.1")),
            AddressChange::Delete(ip("2001:db8::1")),
            AddressChange::SetPrimary(ip("0.0.0.0")),
        ];
        for (correlation, change) in (0x0102_3474..).zip(wanted) {
            requests.request(correlation, change);
        }
        let value = asconf_value(0x0A0B_0C0D, ip("10.0.0.1"), &requests);
        #[rustfmt::skip]
        let bytes = [
            0xC1, 0, 0, 76, 0x0A, 0x0B, 0x0C, 0x0D,
            0, 5, 0, 8, 10, 0, 0, 1,
            0xC0, 1, 0, 16, 1, 2, 0x34, 0x74, 0, 5, 0, 8, 192, 0, 2, 1,
            0xC0, 2, 0, 28, 1, 2, 0x34, 0x75, 0, 6, 0, 20,
            0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            0xC0, 4, 0, 16, 1, 2, 0x34, 0x76, 0, 5, 0, 8, 0, 0, 0, 0,
        ];
        assert_chunk(
            &bytes,
            |packet| packet.asconf(&value),
            |chunk| {
                let Chunk::Asconf(asconf) = chunk else {
                    panic!("an ASCONF")
                };
                assert_eq!(asconf.seq, 0x0A0B_0C0D);
                assert_eq!(asconf.lookup, ip("10.0.0.1"));
                let read: Vec<_> = asconf.requests().map(Result::unwrap).collect();
                let changes: Vec<_> = read.iter().map(|request| request.change).collect();
                assert_eq!(changes, wanted);
                assert_eq!(read[2].correlation, 0x0102_3476);
                assert_eq!(read[0].raw, &bytes[16..32]);
            },
        );
    }

    #[test]
    fn bytes_of_asconf_ack() {
        let mut answers = AsconfWriter::new();
        answers.success(1).error(2, &[0, 0xA2, 0, 4]).success(3);
        let value = asconf_ack_value(9, &answers);
        #[rustfmt::skip]
        let bytes = [
            0x80, 0, 0, 36, 0, 0, 0, 9,
            0xC0, 5, 0, 8, 0, 0, 0, 1,
            0xC0, 3, 0, 12, 0, 0, 0, 2, 0, 0xA2, 0, 4,
            0xC0, 5, 0, 8, 0, 0, 0, 3,
        ];
        assert_chunk(
            &bytes,
            |packet| packet.asconf_ack(&value),
            |chunk| {
                let Chunk::AsconfAck(ack) = chunk else {
                    panic!("an ASCONF-ACK")
                };
                assert_eq!(ack.seq, 9);
                let read: Vec<_> = ack.answers().map(Result::unwrap).collect();
                assert_eq!(read[0], AsconfAnswer::Success { correlation: 1 });
                let AsconfAnswer::Error {
                    correlation: 2,
                    causes,
                } = read[1]
                else {
                    panic!("an error: {:?}", read[1])
                };
                assert_eq!(causes.iter().next().unwrap().code, 0xA2);
                assert_eq!(read.len(), 3);
            },
        );
        // A bare sequence number says that all was performed.
        let bare = asconf_ack_value(1, &AsconfWriter::new());
        assert_eq!(AsconfAck::parse(&bare).unwrap().answers().count(), 0);
    }

    #[test]
    fn threat_06_lengths_that_lie_are_malformed() {
        // usrsctp#386: a request longer than the buffer it was copied to.
        let mut requests = AsconfWriter::new();
        requests.request(7, AddressChange::Add(ip("192.0.2.1")));
        let value = asconf_value(1, ip("10.0.0.1"), &requests);
        for cut in 0..12 {
            assert!(Asconf::parse(&value[..cut]).is_err(), "cut to {cut}");
        }
        for cut in 12..value.len() {
            let asconf = Asconf::parse(&value[..cut]).unwrap();
            let whole = asconf.requests().all(|request| request.is_ok());
            assert_eq!(whole, cut == 12, "cut to {cut}");
        }
        // Every length field, with every value.
        for field in [6, 14, 22] {
            for length in 0..=u16::MAX {
                let mut forged = value.clone();
                forged[field..field + 2].copy_from_slice(&length.to_be_bytes());
                let Ok(asconf) = Asconf::parse(&forged) else {
                    continue;
                };
                assert!(asconf.requests().count() <= 5);
            }
        }
        for kind in [param::HOST_NAME_ADDRESS, 0, param::IPV6_ADDRESS] {
            let mut forged = value.clone();
            forged[4..6].copy_from_slice(&kind.to_be_bytes());
            assert!(Asconf::parse(&forged).is_err());
        }
    }
}
