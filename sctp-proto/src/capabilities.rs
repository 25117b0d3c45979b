//! What the two ends of an association tell each other in INIT and INIT ACK, besides the fixed
//! fields: the extensions they can use, and the other parameters, walked once.

use std::{net::IpAddr, time::Duration};

use smallvec::SmallVec;

use crate::{
    auth::{AuthFault, AuthParams},
    config::{AssociationConfig, ErrorDetection},
    transmit::is_unicast,
    wire::{CauseWriter, Init, Malformed, Param, ParamWriter, Tlvs, kind, on_unknown_param, param},
};

/// Addresses of a peer that are remembered; further ones are ignored. Each costs a path.
pub(crate) const MAX_PEER_ADDRESSES: usize = 8;

/// Bytes that reports of unrecognized parameters may take in an INIT ACK, beside all the rest. A
/// peer that sends more knows by these that it is far ahead of us.
const MAX_REPORTED: usize = 512;

/// The smallest receive window an INIT or INIT ACK may announce (§3.3.2).
const MIN_A_RWND: u32 = 1500;

/// Longest Host Name Address parameter given back in an ABORT: a name has at most 255 bytes.
const MAX_HOST_NAME: usize = 260;

/// A set of protocol extensions: those one side offers, or those both sides may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u16);

impl Capabilities {
    const INTERLEAVING: u16 = 1 << 0;
    const RECONFIG: u16 = 1 << 1;
    const FORWARD_TSN: u16 = 1 << 2;
    const AUTH: u16 = 1 << 3;
    const ASCONF: u16 = 1 << 4;
    /// This side takes packets without a checksum, and has said so.
    const ZERO_CHECKSUM_IN: u16 = 1 << 5;
    /// The peer does.
    const ZERO_CHECKSUM_OUT: u16 = 1 << 6;
    const NR_SACK: u16 = 1 << 7;
    const ECN: u16 = 1 << 8;
    const I_FORWARD_TSN: u16 = 1 << 9;

    const KNOWN: u16 = Self::INTERLEAVING
        | Self::RECONFIG
        | Self::FORWARD_TSN
        | Self::AUTH
        | Self::ASCONF
        | Self::ZERO_CHECKSUM_IN
        | Self::ZERO_CHECKSUM_OUT
        | Self::NR_SACK
        | Self::ECN
        | Self::I_FORWARD_TSN;

    /// What this implementation can do at all.
    const IMPLEMENTED: Self = Self(
        Self::INTERLEAVING
            | Self::RECONFIG
            | Self::FORWARD_TSN
            | Self::I_FORWARD_TSN
            | Self::AUTH
            | Self::ASCONF
            | Self::ZERO_CHECKSUM_IN
            | Self::ZERO_CHECKSUM_OUT
            | Self::NR_SACK
            | Self::ECN,
    );

    /// Chunk types that stand for an extension in the Supported Extensions parameter
    /// (RFC 5061 §4.2.7, RFC 8260 §2.2.1, RFC 6525 §5.1.1).
    const CHUNKS: [(u8, u16); 8] = [
        (kind::I_DATA, Self::INTERLEAVING),
        (kind::RE_CONFIG, Self::RECONFIG),
        (kind::FORWARD_TSN, Self::FORWARD_TSN),
        (kind::I_FORWARD_TSN, Self::I_FORWARD_TSN),
        (kind::AUTH, Self::AUTH),
        (kind::ASCONF, Self::ASCONF),
        (kind::ASCONF_ACK, Self::ASCONF),
        (kind::NR_SACK, Self::NR_SACK),
    ];

    /// What an association with these settings offers its peer.
    pub(crate) fn offered(config: &AssociationConfig) -> Self {
        let settings = [
            (config.interleaving, Self::INTERLEAVING),
            (config.stream_reset, Self::RECONFIG),
            (config.nr_sack, Self::NR_SACK),
            (config.ecn, Self::ECN),
            (config.auth, Self::AUTH),
            (config.partial_reliability, Self::FORWARD_TSN),
            (
                config.partial_reliability && config.interleaving,
                Self::I_FORWARD_TSN,
            ),
            (config.offers_asconf(), Self::ASCONF),
            (config.zero_checksum.is_some(), Self::ZERO_CHECKSUM_IN),
        ];
        let wanted = settings.iter().filter(|(on, _)| *on);
        let bits = wanted.fold(0, |bits, (_, bit)| bits | bit);
        Self(bits & Self::IMPLEMENTED.0)
    }

    /// What both sides may use, of what this side offers and the peer does.
    ///
    /// Who takes packets without a checksum does so whether or not the other side does, which may
    /// send them if it has the means by which they are guarded (RFC 9653 §5.2).
    pub(crate) const fn and(self, peer: Self) -> Self {
        let takes = self.0 & Self::ZERO_CHECKSUM_IN;
        let sends = match takes {
            0 => 0,
            _ => peer.0 & Self::ZERO_CHECKSUM_OUT,
        };
        Self(self.0 & peer.0 & !Self::ZERO_CHECKSUM_IN & !Self::ZERO_CHECKSUM_OUT | takes | sends)
    }

    /// The peer may send packets without a checksum (RFC 9653).
    pub(crate) const fn zero_checksum_in(self) -> bool {
        self.0 & Self::ZERO_CHECKSUM_IN != 0
    }

    /// This side may send packets without a checksum (RFC 9653).
    pub(crate) const fn zero_checksum_out(self) -> bool {
        self.0 & Self::ZERO_CHECKSUM_OUT != 0
    }

    /// User messages go in I-DATA chunks (RFC 8260).
    pub(crate) const fn interleaving(self) -> bool {
        self.0 & Self::INTERLEAVING != 0
    }

    /// Streams can be reset (RFC 6525).
    pub(crate) const fn reconfig(self) -> bool {
        self.0 & Self::RECONFIG != 0
    }

    /// Marks of congestion are told and answered (ECN).
    pub(crate) const fn ecn(self) -> bool {
        self.0 & Self::ECN != 0
    }

    /// What is acknowledged beyond the cumulative TSN may be so for good (NR-SACK).
    pub(crate) const fn nr_sack(self) -> bool {
        self.0 & Self::NR_SACK != 0
    }

    /// Messages can be given up after they were sent (RFC 3758).
    //= RFC 8260 §2.3.1
    //# Only if both end points indicated their support of user message interleaving and the
    //# I-FORWARD-TSN chunk, the partial reliability extension is negotiated and can be used in
    //# combination with user message interleaving.
    pub(crate) const fn partial_reliability(self) -> bool {
        let chunk = if self.interleaving() {
            Self::I_FORWARD_TSN
        } else {
            Self::FORWARD_TSN
        };
        self.0 & chunk != 0
    }

    /// Chunks can be authenticated (RFC 4895).
    pub(crate) const fn auth(self) -> bool {
        self.0 & Self::AUTH != 0
    }

    /// Addresses can be changed (RFC 5061).
    pub(crate) const fn asconf(self) -> bool {
        self.0 & Self::ASCONF != 0
    }

    /// The form a cookie carries.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// The inverse of [`bits`](Self::bits).
    pub(crate) const fn from_bits(bits: u16) -> Option<Self> {
        if bits & !Self::KNOWN == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Writes the parameters that tell the peer of these extensions; none for the empty set.
    ///
    /// With the cookie, the report of what is unknown and the addresses these are all that is ever
    /// put into an INIT or INIT ACK.
    //= RFC 9260 §3.3.2
    //# Unless otherwise noted, each parameter MUST only be included once in the INIT chunk.
    //= RFC 9260 §3.3.2
    //# Note 3: An INIT chunk MUST NOT contain the Host Name Address parameter.
    //= RFC 9260 §3.3.2.1.4
    //# The sender of an INIT chunk or INIT ACK chunk MUST NOT include this parameter.
    //= RFC 9260 §3.3.3
    //# Note 3: An INIT ACK chunk MUST NOT contain the Host Name Address parameter.
    //= RFC 9260 §3.3.3.1
    //# The Host Name Address parameter is described in Section 3.3.2.1.4 and MUST NOT be included
    //# in an INIT ACK chunk.
    pub(crate) fn write_params(self, params: &mut ParamWriter) {
        let chunks: SmallVec<[u8; 8]> = Self::CHUNKS
            .iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .map(|(chunk, _)| *chunk)
            .collect();
        // Those without a value first: peers of the family of pion and rtc-sctp take a parameter of
        // four bytes at the end of the chunk for the beginning of the next.
        if self.ecn() {
            params.ecn_capable();
        }
        if self.0 & Self::FORWARD_TSN != 0 {
            params.forward_tsn_supported();
        }
        if !chunks.is_empty() {
            params.supported_extensions(&chunks);
        }
        if self.zero_checksum_in() {
            params.zero_checksum(ErrorDetection::Dtls.id());
        }
    }

    fn add_chunk(&mut self, chunk: u8) {
        for (_, bit) in Self::CHUNKS.iter().filter(|(known, _)| *known == chunk) {
            self.0 |= bit;
        }
    }
}

/// Which of the two chunks the parameters came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitKind {
    Init,
    InitAck,
}

/// Why an INIT or INIT ACK cannot lead to an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InitReject<'a> {
    /// Initiate Tag 0. There is no tag to answer an INIT with; an INIT ACK is answered with an
    /// ABORT that reflects its own tag (§3.3.3).
    ZeroTag,
    /// A receive window below 1500. Unlike the others, it must not change the state of an
    /// association, not even when it is in an INIT ACK (§3.3.3).
    SmallWindow,
    /// A fixed field has a value that it must not have.
    InvalidField(&'static str),
    /// A Host Name Address parameter; here is all of it.
    HostName(&'a [u8]),
    /// An INIT ACK without a State Cookie.
    NoCookie,
    /// A parameter whose length contradicts its surroundings or its type.
    Malformed(&'static str),
}

impl InitReject<'_> {
    /// In words, for [`CloseReason::PeerMisbehaved`](crate::CloseReason::PeerMisbehaved).
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::ZeroTag => "initiate tag 0",
            Self::SmallWindow => "a_rwnd below 1500",
            Self::InvalidField(field) => field,
            Self::HostName(_) => "host name address",
            Self::NoCookie => "INIT ACK without a state cookie",
            Self::Malformed(how) => how,
        }
    }

    /// Adds the error cause (§3.3.10) that an ABORT in answer carries.
    pub(crate) fn write_cause(self, causes: &mut CauseWriter) {
        match self {
            Self::ZeroTag | Self::SmallWindow | Self::InvalidField(_) => {
                causes.invalid_mandatory_parameter()
            }
            Self::HostName(tlv) if tlv.len() <= MAX_HOST_NAME => causes.unresolvable_address(tlv),
            Self::HostName(_) => causes.unresolvable_address(&[]),
            Self::NoCookie => causes.missing_mandatory_parameters(&[param::STATE_COOKIE]),
            Self::Malformed(how) => causes.protocol_violation(how.as_bytes()),
        };
    }
}

impl From<AuthFault> for InitReject<'_> {
    fn from(AuthFault(what): AuthFault) -> Self {
        Self::Malformed(what)
    }
}

impl From<Malformed> for InitReject<'_> {
    fn from(Malformed(how): Malformed) -> Self {
        Self::Malformed(how)
    }
}

/// The parameters of an INIT or INIT ACK. Their slices are of the packet they came in.
#[derive(Debug)]
pub(crate) struct PeerParams<'a> {
    /// What the peer can do; `Capabilities::offered(..).and(this)` is what both can.
    pub(crate) capabilities: Capabilities,
    /// Unicast addresses listed, without the one the packet came from (unless it is listed too).
    pub(crate) addresses: SmallVec<[IpAddr; MAX_PEER_ADDRESSES]>,
    /// Families of addresses that the peer says it can use, (IPv4, IPv6), those that it lists
    /// addresses of besides.
    pub(crate) families: (bool, bool),
    /// Always there in an INIT ACK, never in an INIT.
    pub(crate) cookie: Option<&'a [u8]>,
    /// By how much longer the peer wishes the cookie to live; zero if it says nothing.
    pub(crate) cookie_preservative: Duration,
    /// By what the peer authenticates chunks; there if it speaks AUTH, and it was offered.
    pub(crate) auth: Option<AuthParams>,
    /// What the peer says it adapts to (RFC 5061 §4.2.6).
    pub(crate) adaptation: Option<u32>,
    /// Parameters to report (§3.2.2), each a whole TLV without its padding.
    pub(crate) unrecognized: SmallVec<[&'a [u8]; 4]>,
}

impl<'a> PeerParams<'a> {
    /// Checks the fixed fields and walks the parameters. What is not `offered` to the peer is as if
    /// nobody here knew of it.
    pub(crate) fn parse(
        init: &Init<'a>,
        which: InitKind,
        offered: Capabilities,
    ) -> Result<Self, InitReject<'a>> {
        check_fixed(init)?;
        let mut found = Self {
            capabilities: Capabilities::default(),
            addresses: SmallVec::new(),
            families: (false, false),
            cookie: None,
            cookie_preservative: Duration::ZERO,
            auth: None,
            adaptation: None,
            unrecognized: SmallVec::new(),
        };
        let mut reported = 0;
        let mut auth = AuthValues::default();
        let mut params = init.params.iter();
        while let Some(raw) = params.next() {
            let raw = raw?;
            match Param::parse(raw)? {
                Param::Ipv4Address(ip) => found.add_address(ip.into()),
                Param::Ipv6Address(ip) => found.add_address(ip.into()),
                Param::StateCookie(cookie) if which == InitKind::InitAck => {
                    found.cookie.get_or_insert(cookie);
                }
                Param::CookiePreservative(increment) if which == InitKind::Init => {
                    found.cookie_preservative = increment;
                }
                //= RFC 9260 §3.3.2.1.4
                //# The receiver of an INIT chunk or an INIT ACK containing
                //# a Host Name Address parameter MUST send an ABORT chunk and MAY
                //# include an "Unresolvable Address" error cause.
                //= RFC 9260 §3.3.2
                //# The receiver of an INIT chunk containing a Host Name Address parameter MUST send
                //# an ABORT chunk and MAY include an "Unresolvable Address" error cause.
                //= RFC 9260 §3.3.3
                //# The receiver of INIT ACK chunks containing a Host Name Address parameter MUST
                //# send an ABORT chunk and MAY include an "Unresolvable Address" error cause.
                //= RFC 9260 §5.1.2
                //# If there is a Host Name Address parameter present in the received INIT or INIT
                //# ACK chunk, the endpoint MUST immediately send an ABORT chunk and MAY include an
                //# "Unresolvable Address" error cause to its peer.
                //= RFC 9260 §12.2.4.1
                //# Endpoints receiving INIT or INIT ACK chunks containing the Host Name Address
                //# parameter MUST send an ABORT chunk in response and MAY include an "Unresolvable
                //# Address" error cause.
                Param::HostName(_) => return Err(InitReject::HostName(raw.raw)),
                Param::SupportedExtensions(chunks) => {
                    chunks.iter().for_each(|c| found.capabilities.add_chunk(*c));
                }
                // Those guarded otherwise are as good as not announced (RFC 9653 §5.2).
                Param::ZeroChecksum(method) => {
                    if method == ErrorDetection::Dtls.id() {
                        found.capabilities.0 |= Capabilities::ZERO_CHECKSUM_OUT;
                    }
                }
                Param::EcnCapable => found.capabilities.0 |= Capabilities::ECN,
                Param::ForwardTsnSupported => {
                    found.capabilities.0 |= Capabilities::FORWARD_TSN;
                }
                Param::Random(value) => _ = auth.random.get_or_insert(value),
                Param::ChunkList(value) => _ = auth.chunks.get_or_insert(value),
                Param::HmacAlgorithms(value) => _ = auth.algorithms.get_or_insert(value),
                Param::AdaptationLayer(indication) => found.adaptation = Some(indication),
                // Known and without consequence here: what the peer does not recognize it does not
                // offer either.
                //= RFC 9260 §3.3.2.1.5
                //# The value indicating the Host Name Address parameter MUST NOT be used when
                //# sending this parameter and MUST be ignored when receiving this parameter.
                //= RFC 9260 §5.1.2
                //# If an SCTP endpoint lists in the 'Supported Address Types' parameter either IPv4
                //# or IPv6 but uses the other family for sending the packet containing the INIT
                //# chunk, or if it also lists addresses of the other family in the INIT chunk, then
                //# the address family that is not listed in the 'Supported Address Types' parameter
                //# SHOULD also be considered as supported by the receiver of the INIT chunk.
                //= RFC 9260 §5.1.2
                //# The receiver of the INIT chunk SHOULD NOT respond with any kind of error
                //# indication.
                //= RFC 9260 §5.1.2
                //# The endpoint SHOULD NOT respond with any kind of error indication.
                Param::SupportedAddressTypes(types) => found.add_families(types),
                Param::UnrecognizedParameter(_)
                | Param::StateCookie(_)
                | Param::CookiePreservative(_) => {}
                // Unknown, or of an extension that is not implemented.
                _ => {
                    let action = on_unknown_param(raw.kind);
                    // The header of the report, the parameter, its padding.
                    let cost = 4 + raw.raw.len().next_multiple_of(4);
                    if action.report() && reported + cost <= MAX_REPORTED {
                        reported += cost;
                        found.unrecognized.push(raw.raw);
                    }
                    if action.stop() {
                        //= RFC 9260 §3.2.1
                        //# Please note that, when an INIT or INIT ACK chunk is received, in all
                        //# four cases, an INIT ACK or COOKIE ECHO chunk is sent in response,
                        //# respectively.
                        if which == InitKind::InitAck && found.cookie.is_none() {
                            found.cookie = state_cookie(params);
                        }
                        break;
                    }
                }
            }
        }
        if which == InitKind::InitAck && found.cookie.is_none() {
            return Err(InitReject::NoCookie);
        }
        if offered.auth() {
            found.auth = AuthParams::of_peer(auth.random, auth.chunks, auth.algorithms)?;
        }
        //= RFC 5061 §6
        //# If an SCTP endpoint that supports this extension receives an INIT
        //# that indicates that the peer supports the ASCONF extension but does
        //# NOT support the [RFC4895] extension, the receiver of such an INIT
        //# MUST send an ABORT in response.
        if offered.asconf() && found.capabilities.asconf() && found.auth.is_none() {
            return Err(InitReject::Malformed("ASCONF without AUTH"));
        }
        // The parameters tell, whatever the list of chunk types says.
        found.capabilities.0 &= !Capabilities::AUTH;
        if found.auth.is_some() {
            found.capabilities.0 |= Capabilities::AUTH;
        }
        if found.families != (false, false) {
            found.families.0 |= found.addresses.iter().any(IpAddr::is_ipv4);
            found.families.1 |= found.addresses.iter().any(IpAddr::is_ipv6);
        }
        Ok(found)
    }

    /// The information of an Unrecognized Parameters cause (§3.3.10.8), for an INIT ACK: the
    /// parameters to report, each but the last padded. Empty if there are none.
    pub(crate) fn unrecognized_tlvs(&self) -> Vec<u8> {
        let mut tlvs = ParamWriter::new();
        for tlv in &self.unrecognized {
            tlvs.raw(tlv);
        }
        tlvs.as_bytes().to_vec()
    }

    /// Whether the peer can use addresses of this one's family: all if it does not say which.
    pub(crate) fn can_use(&self, ip: IpAddr) -> bool {
        match self.families {
            (false, false) => true,
            (ipv4, _) if ip.to_canonical().is_ipv4() => ipv4,
            (_, ipv6) => ipv6,
        }
    }

    fn add_families(&mut self, types: &[u8]) {
        for kind in types.chunks_exact(2).map(|kind| [kind[0], kind[1]]) {
            self.families.0 |= u16::from_be_bytes(kind) == param::IPV4_ADDRESS;
            self.families.1 |= u16::from_be_bytes(kind) == param::IPV6_ADDRESS;
        }
    }

    fn add_address(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let room = self.addresses.len() < MAX_PEER_ADDRESSES;
        if room && is_unicast(ip) && !self.addresses.contains(&ip) {
            self.addresses.push(ip);
        }
    }
}

/// The values of the parameters of RFC 4895 §3.
#[derive(Default)]
struct AuthValues<'a> {
    random: Option<&'a [u8]>,
    chunks: Option<&'a [u8]>,
    algorithms: Option<&'a [u8]>,
}

/// The first State Cookie among parameters that are not processed otherwise.
fn state_cookie(params: Tlvs<'_>) -> Option<&[u8]> {
    let mut params = params.map_while(Result::ok);
    let cookie = params.find(|raw| raw.kind == param::STATE_COOKIE)?;
    Some(cookie.value)
}

fn check_fixed<'a>(init: &Init<'_>) -> Result<(), InitReject<'a>> {
    if init.initiate_tag == 0 {
        return Err(InitReject::ZeroTag);
    }
    //= RFC 9260 §3.3.2
    //# A receiver of an INIT chunk with the a_rwnd value set to a value
    //# smaller than 1500 MUST discard the packet, SHOULD send a packet in
    //# response containing an ABORT chunk and using the Initiate Tag as
    //# the Verification Tag, and MUST NOT change the state of any
    //# existing association.
    if init.a_rwnd < MIN_A_RWND {
        return Err(InitReject::SmallWindow);
    }
    //= RFC 9260 §3.3.2
    //# A receiver of an INIT chunk with the OS value set to 0 MUST
    //# discard the packet, SHOULD send a packet in response containing an
    //# ABORT chunk and using the Initiate Tag as the Verification Tag,
    //# and MUST NOT change the state of any existing association.
    if init.outbound_streams == 0 {
        return Err(InitReject::InvalidField("no outbound streams"));
    }
    //= RFC 9260 §3.3.2
    //# A receiver of an INIT chunk with the MIS value set to 0 MUST
    //# discard the packet, SHOULD send a packet in response containing an
    //# ABORT chunk and using the Initiate Tag as the Verification Tag,
    //# and MUST NOT change the state of any existing association.
    if init.inbound_streams == 0 {
        return Err(InitReject::InvalidField("no inbound streams"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
