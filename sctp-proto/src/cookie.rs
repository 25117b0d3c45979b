//! The state cookie (§5.1.3): all of an association that exists between INIT ACK and COOKIE ECHO,
//! kept by the peer and authenticated by a MAC.
//!
//! ```text
//! version 1 | flags 1 | capabilities 2 | created 8 | lifetime (ms) 4 | peer tag 4
//! | local initial TSN 4 | peer initial TSN 4 | outbound 2 | inbound 2 | local a_rwnd 4
//! | peer a_rwnd 4 | [tie tags 8] | [AUTH: random number 32, chunk types, algorithms]
//! | addresses (family 1, bytes 4 or 16)* | 0 to 3 zeros | MAC 16
//! ```
//!
//! The family of an address is 4 or 6 for one of the peer, 0x84 or 0x86 for one of this side.
//!
//! Its length is a multiple of four, so that nothing is added to it when a peer counts the padding
//! of COOKIE ECHO as part of the chunk (§3.2 asks to put up with that).
//!
//! A COOKIE ECHO says by itself where it comes from, by which ports and with which tag. The MAC
//! covers these ([`CookieContext`]), the cookie does not repeat them: it stays so small that an
//! INIT ACK is no more than three times the smallest INIT, and a cookie that comes from elsewhere
//! cannot be told from a forged one. A cookie holds nothing of the process that made it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use smallvec::SmallVec;

use crate::{
    auth::{Auth, AuthParams, RANDOM},
    capabilities::{Capabilities, MAX_PEER_ADDRESSES},
    config::{AssociationConfig, EndpointConfig},
    ids::{Ports, Tsn},
    time::Instant,
};

/// Format of the cookie. Machines that share a key may run different versions.
const VERSION: u8 = 2;
/// Half of HMAC-SHA-256, the least that RFC 2104 §5 advises. 2^128 guesses need no more.
const MAC: usize = 16;
/// version, flags, capabilities
const HEAD: usize = 1 + 1 + 2;
/// head; created, lifetime, peer tag, TSNs, streams, windows
const FIXED: usize = HEAD + 8 + 4 + 4 + 2 * 4 + 2 * 2 + 2 * 4;
/// Flag: tie tags follow the fixed part.
const TIE_TAGS: u8 = 1;
/// Flag: an adaptation layer indication follows these.
const ADAPTATION: u8 = 2;
/// Flag of an address: it is this side's.
const OURS: u8 = 0x80;
/// Separates the keys of cookies from other uses of the master key.
const LABEL: &[u8] = b"sctp state cookie key, epoch ";

/// Separates the random numbers of AUTH from them.
const RANDOM_LABEL: &[u8] = b"sctp auth random number, ";

/// What COOKIE ECHO shows of itself in its IP, UDP and SCTP headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CookieContext {
    /// Address and UDP port of the peer.
    ///
    /// The UDP port must be that of the INIT, although RFC 6951 §5.4 lets it change during an
    /// association: the round trip between INIT ACK and COOKIE ECHO is no time for a NAT to forget
    /// a mapping, and another host behind the same NAT must not be able to pass a cookie off as
    /// its neighbour's.
    pub(crate) remote: SocketAddr,
    /// SCTP ports.
    pub(crate) ports: Ports,
    /// The verification tag of the peer's packets, which is the Initiate Tag of the INIT ACK.
    pub(crate) local_tag: u32,
}

/// What an association is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateCookie {
    /// Unix time in nanoseconds: [`CookieJar::timestamp`].
    pub(crate) created: u64,
    /// [`CookieJar::lifetime`]; cut to milliseconds.
    pub(crate) lifetime: Duration,
    pub(crate) local_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) local_initial_tsn: Tsn,
    pub(crate) peer_initial_tsn: Tsn,
    /// Streams as negotiated (§5.1.1).
    pub(crate) outbound_streams: u16,
    pub(crate) inbound_streams: u16,
    /// The window that INIT ACK announced.
    pub(crate) local_a_rwnd: u32,
    pub(crate) peer_a_rwnd: u32,
    pub(crate) ports: Ports,
    /// Address and UDP port that the INIT and the COOKIE ECHO came from.
    pub(crate) remote: SocketAddr,
    /// (local, peer); 0 unless an association existed when the INIT came (§5.2.2).
    pub(crate) tie_tags: (u32, u32),
    /// What both sides may use: already intersected with what this side offers.
    pub(crate) capabilities: Capabilities,
    /// By what the peer authenticates chunks, where both sides can. This side's own parameters are
    /// made anew: see [`CookieJar::auth_random`].
    pub(crate) auth: Option<AuthParams>,
    /// What the INIT said that the peer adapts to (RFC 5061 §4.2.6).
    pub(crate) adaptation: Option<u32>,
    /// Addresses that the INIT listed.
    pub(crate) peer_addresses: SmallVec<[IpAddr; MAX_PEER_ADDRESSES]>,
    /// Addresses of this side that the INIT ACK listed, but for the one that it left from.
    pub(crate) local_addresses: SmallVec<[IpAddr; MAX_PEER_ADDRESSES]>,
}

/// Whether a genuine cookie is still within its lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Past its lifetime by this much.
    Stale(Duration),
}

/// Not a cookie that was made here, for this peer, with a key still honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadCookie;

/// Makes cookies and recognizes them.
///
/// The key of an epoch (a rotation interval of Unix time) is derived from the master key, so that
/// keys rotate without state: the endpoint and its associations share one jar, and machines that
/// share the master key honour each other's cookies.
pub(crate) struct CookieJar {
    master: Hmac<Sha256>,
    /// The key used last, with its epoch: what nearly every cookie of that epoch needs.
    last_key: Mutex<Option<(u64, Hmac<Sha256>)>>,
    lifetime: Duration,
    /// Nanoseconds of one epoch.
    rotation: u64,
    /// Unix time of `Instant::EPOCH`, nanoseconds.
    unix_offset: u64,
}

impl CookieJar {
    /// A jar with the key of `config`, or else with `drawn_key`.
    pub(crate) fn new(config: &EndpointConfig, drawn_key: [u8; 32]) -> Self {
        //= RFC 9260 §5.1.3
        //# The secret key SHOULD be random ([RFC4086] provides some information on randomness
        //# guidelines).
        //= RFC 9260 §14.1
        //# This SHOULD be a cryptographic quality random number with a sufficient length.
        let key = config.cookie_key.unwrap_or(drawn_key);
        Self {
            master: keyed(&key),
            last_key: Mutex::new(None),
            lifetime: config.cookie_lifetime,
            rotation: nanos(config.cookie_key_rotation).max(1),
            unix_offset: nanos(config.unix_time_at_epoch),
        }
    }

    /// The creation time of a cookie made now.
    pub(crate) const fn timestamp(&self, now: Instant) -> u64 {
        self.unix_offset.saturating_add(now.as_nanos())
    }

    /// How long ago a cookie was made; zero where the clock of its maker is ahead.
    pub(crate) const fn age(&self, now: Instant, cookie: &StateCookie) -> Duration {
        Duration::from_nanos(self.timestamp(now).saturating_sub(cookie.created))
    }

    /// The longest lifetime that [`lifetime`](Self::lifetime) gives.
    pub(crate) fn longest_lifetime(&self) -> Duration {
        self.lifetime(Duration::MAX)
    }

    /// The lifetime of a cookie for a peer that suggests this increment (§3.3.2.1.3). It at most
    /// doubles, and never outlasts the key.
    pub(crate) fn lifetime(&self, increment: Duration) -> Duration {
        let longer = self.lifetime.saturating_add(increment.min(self.lifetime));
        longer.min(Duration::from_nanos(self.rotation))
    }

    /// The bytes of a cookie for the peer that it names.
    //= RFC 9260 §5.1.3
    //# Inside this State Cookie, the sender MUST include a MAC (see [RFC2104] for an example) to
    //# provide integrity protection on the State Cookie.
    pub(crate) fn seal(&self, cookie: &StateCookie) -> Vec<u8> {
        let mut bytes = cookie.encode();
        let mac = self.mac(cookie.created, &cookie.context(), &bytes);
        bytes.extend_from_slice(&mac.finalize().into_bytes()[..MAC]);
        bytes
    }

    /// Checks the MAC, then parses. Which key to check with is told by the creation time, as
    /// §5.1.5 suggests; the keys of the current epoch and its neighbours are honoured (the next
    /// one for the sake of machines whose clocks differ).
    pub(crate) fn open(
        &self,
        now: Instant,
        context: &CookieContext,
        bytes: &[u8],
    ) -> Result<(StateCookie, Freshness), BadCookie> {
        if bytes.len() < FIXED + MAC {
            return Err(BadCookie);
        }
        let (body, tag) = bytes.split_at(bytes.len() - MAC);
        let created = Reader(&body[HEAD..]).u64().ok_or(BadCookie)?;
        let now = self.timestamp(now);
        //= RFC 9260 §5.1.5
        //# If secrets are kept
        //# only for a limited amount of time and the secret key to use is
        //# not available anymore, the packet containing the COOKIE ECHO
        //# chunk MUST be silently discarded.
        if self.epoch(created).abs_diff(self.epoch(now)) > 1 {
            return Err(BadCookie);
        }
        self.mac(created, context, body)
            .verify_truncated_left(tag)
            .map_err(|_| BadCookie)?;
        let cookie = StateCookie::decode(body, context).ok_or(BadCookie)?;
        let age = Duration::from_nanos(now.saturating_sub(created));
        let freshness = match age.checked_sub(cookie.lifetime) {
            Some(late) if !late.is_zero() => Freshness::Stale(late),
            _ => Freshness::Fresh,
        };
        Ok((cookie, freshness))
    }

    /// The random number of this side's RANDOM parameter in an INIT or INIT ACK with this Initiate
    /// Tag and TSN. It goes with these: an INIT ACK that repeats an INIT's tag repeats its random
    /// number (RFC 4895 §6.1), and no cookie has to carry it.
    //= RFC 4895 §6.1
    //# The RANDOM
    //# parameter MUST contain a 32-byte Random Number.
    pub(crate) fn auth_random(&self, ports: Ports, tag: u32, initial_tsn: Tsn) -> [u8; RANDOM] {
        let mut mac = self.master.clone();
        mac.update(RANDOM_LABEL);
        mac.update(&ports.local.to_be_bytes());
        mac.update(&ports.remote.to_be_bytes());
        mac.update(&tag.to_be_bytes());
        mac.update(&initial_tsn.value().to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// By what chunks are authenticated in the association that a cookie stands for.
    //= RFC 4895 §6.3
    //# In this situation, the receiver MUST authenticate the
    //# chunks in the packet by using the RANDOM parameters, CHUNKS
    //# parameters and HMAC_ALGO parameters obtained from the COOKIE-ECHO
    //# chunk, and possibly a local shared secret as inputs to the
    //# authentication procedure specified in Section 6.3.
    pub(crate) fn auth(&self, config: &AssociationConfig, cookie: &StateCookie) -> Option<Auth> {
        let peer = cookie.auth.as_ref()?;
        let random = self.auth_random(cookie.ports, cookie.local_tag, cookie.local_initial_tsn);
        Auth::new(&AuthParams::local(config, random), peer)
    }

    //= RFC 9260 §5.1.3
    //# The secret key SHOULD be changed reasonably frequently (e.g., hourly), and the timestamp in
    //# the State Cookie MAY be used to determine which key is used to verify the MAC.
    const fn epoch(&self, unix_nanos: u64) -> u64 {
        unix_nanos / self.rotation
    }

    //= RFC 9260 §5.1.3
    //# A MAC with acceptable security properties SHOULD be used.
    fn mac(&self, created: u64, context: &CookieContext, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key(self.epoch(created));
        mac.update(&context.encode());
        mac.update(body);
        mac
    }

    /// The key of an epoch.
    fn key(&self, epoch: u64) -> Hmac<Sha256> {
        let mut last = self.last_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, key)) = &*last
            && *known == epoch
        {
            return key.clone();
        }
        let mut derived = self.master.clone();
        derived.update(LABEL);
        derived.update(&epoch.to_be_bytes());
        let key = keyed(&derived.finalize().into_bytes());
        *last = Some((epoch, key.clone()));
        key
    }
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieJar").finish_non_exhaustive() // no key in a log
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // Cannot fail: HMAC takes keys of any length (RFC 2104 §2).
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl CookieContext {
    /// IPv4 addresses count as IPv4-mapped ones, as dual-stack sockets show them.
    fn encode(&self) -> [u8; 26] {
        let ip = match self.remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; 26];
        bytes[..16].copy_from_slice(&ip.octets());
        bytes[16..18].copy_from_slice(&self.remote.port().to_be_bytes());
        bytes[18..20].copy_from_slice(&self.ports.local.to_be_bytes());
        bytes[20..22].copy_from_slice(&self.ports.remote.to_be_bytes());
        bytes[22..].copy_from_slice(&self.local_tag.to_be_bytes());
        bytes
    }
}

impl StateCookie {
    /// Bytes of a sealed cookie.
    pub(crate) fn sealed_size(&self) -> usize {
        let addresses = self.peer_addresses.iter().chain(&self.local_addresses);
        let addresses: usize = addresses.map(|ip| if ip.is_ipv4() { 5 } else { 17 }).sum();
        let tie_tags = if self.tie_tags == (0, 0) { 0 } else { 8 };
        let auth = self.auth.as_ref().map_or(0, AuthParams::encoded_len);
        let adaptation = if self.adaptation.is_some() { 4 } else { 0 };
        (FIXED + tie_tags + auth + adaptation + addresses).next_multiple_of(4) + MAC
    }

    fn context(&self) -> CookieContext {
        CookieContext {
            remote: self.remote,
            ports: self.ports,
            local_tag: self.local_tag,
        }
    }

    //= RFC 9260 §5.1.3
    //# The State Cookie SHOULD also contain a timestamp on when the State Cookie is created and the
    //# lifespan of the State Cookie, along with all the information necessary for it to establish
    //# the association, including the port numbers and the Verification Tags.
    //= RFC 9260 §5.1.3
    //# An implementation SHOULD make the cookie as small as possible to ensure interoperability.
    //= RFC 9260 §5.1.3
    //# If the State Cookie is not encrypted, it MUST NOT contain information that is not being
    //# envisioned to be shared.
    //= RFC 9260 §3.3.11
    //# An implementation SHOULD make the cookie as small as possible to ensure interoperability.
    fn encode(&self) -> Vec<u8> {
        let tied = self.tie_tags != (0, 0);
        let lifetime = u32::try_from(self.lifetime.as_millis()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(self.sealed_size());
        let adapts = u8::from(self.adaptation.is_some()) * ADAPTATION;
        out.extend_from_slice(&[VERSION, (u8::from(tied) * TIE_TAGS) | adapts]);
        out.extend_from_slice(&self.capabilities.bits().to_be_bytes());
        out.extend_from_slice(&self.created.to_be_bytes());
        out.extend_from_slice(&lifetime.to_be_bytes());
        out.extend_from_slice(&self.peer_tag.to_be_bytes());
        out.extend_from_slice(&self.local_initial_tsn.value().to_be_bytes());
        out.extend_from_slice(&self.peer_initial_tsn.value().to_be_bytes());
        out.extend_from_slice(&self.outbound_streams.to_be_bytes());
        out.extend_from_slice(&self.inbound_streams.to_be_bytes());
        out.extend_from_slice(&self.local_a_rwnd.to_be_bytes());
        out.extend_from_slice(&self.peer_a_rwnd.to_be_bytes());
        if tied {
            out.extend_from_slice(&self.tie_tags.0.to_be_bytes());
            out.extend_from_slice(&self.tie_tags.1.to_be_bytes());
        }
        if let Some(auth) = &self.auth {
            auth.encode(&mut out);
        }
        if let Some(indication) = self.adaptation {
            out.extend_from_slice(&indication.to_be_bytes());
        }
        let peers = self.peer_addresses.iter().map(|ip| (0, ip));
        for (side, ip) in peers.chain(self.local_addresses.iter().map(|ip| (OURS, ip))) {
            match ip {
                IpAddr::V4(ip) => {
                    out.push(side | 4);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(side | 6);
                    out.extend_from_slice(&ip.octets());
                }
            }
        }
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    /// As strict as if the bytes were not authenticated: another version may have made them.
    fn decode(body: &[u8], context: &CookieContext) -> Option<Self> {
        if !body.len().is_multiple_of(4) {
            return None;
        }
        let mut body = Reader(body);
        let [version, flags] = body.array()?;
        if version != VERSION || flags & !(TIE_TAGS | ADAPTATION) != 0 {
            return None;
        }
        let mut cookie = Self {
            capabilities: Capabilities::from_bits(body.u16()?)?,
            created: body.u64()?,
            lifetime: Duration::from_millis(body.u32()?.into()),
            local_tag: context.local_tag,
            peer_tag: body.u32()?,
            local_initial_tsn: Tsn::new(body.u32()?),
            peer_initial_tsn: Tsn::new(body.u32()?),
            outbound_streams: body.u16()?,
            inbound_streams: body.u16()?,
            local_a_rwnd: body.u32()?,
            peer_a_rwnd: body.u32()?,
            ports: context.ports,
            remote: context.remote,
            tie_tags: (0, 0),
            auth: None,
            adaptation: None,
            peer_addresses: SmallVec::new(),
            local_addresses: SmallVec::new(),
        };
        if flags & TIE_TAGS != 0 {
            cookie.tie_tags = (body.u32()?, body.u32()?);
        }
        if cookie.capabilities.auth() {
            cookie.auth = Some(AuthParams::decode(&mut body.0)?);
        }
        if flags & ADAPTATION != 0 {
            cookie.adaptation = Some(body.u32()?);
        }
        while !body.at_padding() {
            let [family] = body.array()?;
            let addresses = if family & OURS == 0 {
                &mut cookie.peer_addresses
            } else {
                &mut cookie.local_addresses
            };
            if addresses.len() == MAX_PEER_ADDRESSES {
                return None;
            }
            addresses.push(match family & !OURS {
                4 => body.array::<4>()?.into(),
                6 => body.array::<16>()?.into(),
                _ => return None,
            });
        }
        let sound =
            cookie.peer_tag != 0 && cookie.outbound_streams != 0 && cookie.inbound_streams != 0;
        sound.then_some(cookie)
    }
}

/// Takes big-endian numbers off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    /// Whether nothing is left but what fills the last word.
    fn at_padding(&self) -> bool {
        self.0.len() < 4 && self.0.iter().all(|&byte| byte == 0)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests;
