//! The answer to an INIT (§5.1 B, §5.2.1, §5.2.2), by the endpoint or by an association.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::{
    address::is_meaningful_to,
    auth::AuthParams,
    capabilities::{Capabilities, MAX_PEER_ADDRESSES, PeerParams},
    config::AssociationConfig,
    cookie::{CookieJar, StateCookie},
    ids::{Ports, Tsn},
    path::Locals,
    time::Instant,
    transmit::{DatagramMeta, Transmit},
    wire::{COMMON_HEADER, CommonHeader, Init, InitFields, PacketWriter, ParamWriter, kind},
};

/// Largest INIT ACK: it leaves before anything is known about the path, so that it has to fit into
/// an IPv6 packet of 1280 bytes: IPv6 40, UDP 8.
const MAX_SIZE: usize = 1280 - 40 - 8;

/// How many times the size of the INIT addresses may make the INIT ACK: whoever forges the source
/// of an INIT has the answer sent to another.
const AMPLIFICATION: usize = 3;

/// This side of an INIT ACK.
#[derive(Debug)]
pub(crate) struct InitAck<'a> {
    pub(crate) cookies: &'a CookieJar,
    /// What is offered: streams, window, extensions.
    pub(crate) config: &'a AssociationConfig,
    /// The tag that the peer is to use.
    pub(crate) local_tag: u32,
    pub(crate) local_initial_tsn: Tsn,
    /// (local, peer); 0 unless an association exists.
    pub(crate) tie_tags: (u32, u32),
    /// The addresses that may be listed.
    pub(crate) locals: &'a Locals,
}

impl InitAck<'_> {
    /// Appends the packet that answers `init` to `buf`. The cookie in it has all that is needed to
    /// make the association; nothing else is kept.
    pub(crate) fn write(
        &self,
        now: Instant,
        meta: &DatagramMeta,
        ports: Ports,
        init: &Init<'_>,
        peer: &PeerParams<'_>,
        buf: &mut Vec<u8>,
    ) -> Transmit {
        let capabilities = Capabilities::offered(self.config).and(peer.capabilities);
        //= RFC 9260 §5.1.1
        //# After receiving the stream configuration information from the other side, each endpoint
        //# MUST perform the following check: If the peer's MIS is less than the endpoint's OS,
        //# meaning that the peer is incapable of supporting all the outbound streams the endpoint
        //# wants to configure, the endpoint MUST use MIS outbound streams and MAY report any
        //# shortage to the upper layer.
        //= RFC 9260 §3.3.3
        //# The value of 0 MUST NOT be used, and the value MUST NOT be greater than the MIS value
        //# sent in the INIT chunk.
        let outbound_streams = self.config.outbound_streams.min(init.inbound_streams);
        let mut cookie = StateCookie {
            created: self.cookies.timestamp(now),
            lifetime: self.cookies.lifetime(peer.cookie_preservative),
            local_tag: self.local_tag,
            peer_tag: init.initiate_tag,
            local_initial_tsn: self.local_initial_tsn,
            peer_initial_tsn: init.initial_tsn,
            outbound_streams,
            inbound_streams: self.config.max_inbound_streams.min(init.outbound_streams),
            local_a_rwnd: self.config.receive_window,
            peer_a_rwnd: init.a_rwnd,
            ports,
            remote: meta.remote,
            tie_tags: self.tie_tags,
            capabilities,
            auth: peer.auth.clone().filter(|_| capabilities.auth()),
            adaptation: peer.adaptation,
            peer_addresses: listed_by(peer, meta.remote.ip()),
            local_addresses: SmallVec::new(),
        };
        let mut listed = self.listed(meta, peer);
        // What does not fit is left out, from the end.
        let room = MAX_SIZE.min(AMPLIFICATION * init_size(init));
        loop {
            let here = meta.local_ip.map(|ip| ip.to_canonical());
            cookie.local_addresses = listed
                .iter()
                .copied()
                .filter(|ip| Some(*ip) != here)
                .collect();
            let placeholder = vec![0; cookie.sealed_size()];
            let params = self.params(ports, &placeholder, &listed, capabilities, peer);
            let size = COMMON_HEADER + PacketWriter::init_size(&params);
            if size <= room || listed.pop().is_none() {
                break;
            }
        }
        let sealed = self.cookies.seal(&cookie);
        let params = self.params(ports, &sealed, &listed, capabilities, peer);

        //= RFC 9260 §5.1
        //# In the response, besides filling in other
        //# parameters, "Z" MUST set the Verification Tag field to Tag_A and
        //# also provide its own Verification Tag (Tag_Z) in the Initiate Tag
        //# field.
        let header = CommonHeader {
            source_port: ports.local,
            destination_port: ports.remote,
            verification_tag: init.initiate_tag,
        };
        let fixed = InitFields {
            initiate_tag: self.local_tag,
            a_rwnd: self.config.receive_window,
            outbound_streams,
            inbound_streams: self.config.max_inbound_streams,
            initial_tsn: self.local_initial_tsn,
        };
        let mut packet = PacketWriter::new(buf, MAX_SIZE, &header);
        packet.init(kind::INIT_ACK, &fixed, &params);
        //= RFC 9260 §5.1
        //# An endpoint MUST send the INIT ACK chunk to the IP address from which
        //# it received the INIT chunk.
        //= RFC 9260 §5.1
        //# The destination IP address of the INIT ACK chunk MUST be set to the source IP address of
        //# the INIT chunk to which this INIT ACK chunk is responding.
        //= RFC 9260 §5.1.2
        //# The packet containing the INIT ACK chunk MUST be sent to the source address of the
        //# packet containing the INIT chunk.
        Transmit::reply(meta, packet.finish())
    }

    /// The parameters, with this cookie and these addresses.
    fn params(
        &self,
        ports: Ports,
        cookie: &[u8],
        listed: &[IpAddr],
        capabilities: Capabilities,
        peer: &PeerParams<'_>,
    ) -> ParamWriter {
        let mut params = ParamWriter::new();
        //= RFC 9260 §5.1
        //# Moreover, "Z" MUST generate and send along with the INIT ACK chunk a State Cookie.
        //= RFC 9260 §3.3.3.1.1
        //# This parameter value MUST contain all the necessary state and parameter information
        //# required for the sender of this INIT ACK chunk to create the association, along with a
        //# Message Authentication Code (MAC).
        params.state_cookie(cookie);
        for ip in listed {
            params.address(*ip);
        }
        // Only what both sides can do: a peer that knows no extensions need not hear of ours, and
        // the packet stays small.
        //= RFC 9260 §12.4
        //# An SCTP implementation SHOULD attempt to make the INIT ACK chunk as small as possible to
        //# reduce the possibility of byte amplification attacks.
        capabilities.write_params(&mut params);
        if capabilities.auth() {
            let (tag, tsn) = (self.local_tag, self.local_initial_tsn);
            let random = self.cookies.auth_random(ports, tag, tsn);
            AuthParams::local(self.config, random).write(&mut params);
        }
        if let Some(indication) = self.config.adaptation_indication {
            params.adaptation_layer(indication);
        }
        //= RFC 9260 §3.2.2
        //# If the receiver of an INIT chunk detects unrecognized parameters and
        //# has to report them according to Section 3.2.1, it MUST put the
        //# "Unrecognized Parameter" parameter(s) in the INIT ACK chunk sent in
        //# response to the INIT chunk.
        for tlv in &peer.unrecognized {
            //= RFC 9260 §3.3.3.1.2
            //# This parameter is returned to the originator of the INIT chunk when the INIT chunk
            //# contains an unrecognized parameter that has a type that indicates it SHOULD be
            //# reported to the sender.
            let size = PacketWriter::init_size(&params) + 4 + tlv.len().next_multiple_of(4);
            if COMMON_HEADER + size <= MAX_SIZE {
                params.unrecognized_parameter(tlv);
            }
        }
        params
    }

    /// The addresses of this side to list, most useful first.
    fn listed(&self, meta: &DatagramMeta, peer: &PeerParams<'_>) -> SmallVec<[IpAddr; 8]> {
        if !self.config.lists_addresses() {
            return SmallVec::new();
        }
        let here = meta.local_ip.or_else(|| self.locals.of_socket(meta.socket));
        let mut listed = self.locals.listed(here, meta.remote.ip());
        listed.retain(|ip| peer.can_use(*ip));
        if listed
            .iter()
            .all(|ip| Some(*ip) == here.map(|ip| ip.to_canonical()))
        {
            listed.clear();
        }
        listed
    }
}

/// The addresses that an INIT or INIT ACK from there lists and that can be the peer's.
pub(crate) fn listed_by(
    peer: &PeerParams<'_>,
    source: IpAddr,
) -> SmallVec<[IpAddr; MAX_PEER_ADDRESSES]> {
    let mut listed = peer.addresses.clone();
    listed.retain(|ip| is_meaningful_to(*ip, source));
    listed
}

/// Bytes of the packet that an INIT came in.
fn init_size(init: &Init<'_>) -> usize {
    let fixed = PacketWriter::init_size(&ParamWriter::new());
    COMMON_HEADER + fixed + init.params.len()
}

#[cfg(test)]
mod tests;
