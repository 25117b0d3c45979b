//! Cookies of the host, with any tags in them: the tests know the host's key.
//!
//! The layout is that of version 2, as the head of `sctp-proto/src/cookie.rs` gives it.

use std::net::{IpAddr, SocketAddr};

use sctp_tests::{
    codec::{be16, be32},
    peer::{COOKIE_KEY, COOKIE_KEY_ROTATION},
};
use sha2::{Digest, Sha256};

const FLAGS: usize = 1;
const CREATED: usize = 4;
const LIFETIME: usize = 12;
const PEER_TAG: usize = 16;
/// Where the tie-tags or the addresses begin.
const HEAD: usize = 40;
const MAC: usize = 16;

/// A cookie taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Cookie {
    head: Vec<u8>,
    /// The local and the peer's tie-tag.
    pub(crate) ties: (u32, u32),
    addresses: Vec<u8>,
}

/// What a MAC covers besides the cookie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) remote: SocketAddr,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
    pub(crate) local_tag: u32,
}

impl Cookie {
    pub(crate) fn open(bytes: &[u8]) -> Self {
        let (head, rest) = bytes[..bytes.len() - MAC].split_at(HEAD);
        let tied = head[FLAGS] & 1 != 0;
        Self {
            head: head.to_vec(),
            ties: if tied {
                (be32(rest, 0), be32(rest, 4))
            } else {
                (0, 0)
            },
            addresses: rest[if tied { 8 } else { 0 }..].to_vec(),
        }
    }

    pub(crate) fn peer_tag(&mut self, tag: u32) {
        self.head[PEER_TAG..][..4].copy_from_slice(&tag.to_be_bytes());
    }

    /// Makes it look like one whose life of no time at all was over half a second ago.
    pub(crate) fn stale(&mut self) {
        let created = self.created() - 500_000_000;
        self.head[CREATED..][..8].copy_from_slice(&created.to_be_bytes());
        self.head[LIFETIME..][..4].fill(0);
    }

    fn created(&self) -> u64 {
        u64::from(be32(&self.head, CREATED)) << 32 | u64::from(be32(&self.head, CREATED + 4))
    }

    /// The bytes, with the MAC that the host would have put there.
    pub(crate) fn seal(&self, context: &Context) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes[FLAGS] = u8::from(self.ties != (0, 0));
        if self.ties != (0, 0) {
            bytes.extend_from_slice(&self.ties.0.to_be_bytes());
            bytes.extend_from_slice(&self.ties.1.to_be_bytes());
        }
        bytes.extend_from_slice(&self.addresses);
        let epoch = self.created() / COOKIE_KEY_ROTATION.as_nanos() as u64;
        let mut label = b"sctp state cookie key, epoch ".to_vec();
        label.extend_from_slice(&epoch.to_be_bytes());
        let key = hmac(&COOKIE_KEY, &label);
        let mut covered = context.encode();
        covered.extend_from_slice(&bytes);
        bytes.extend_from_slice(&hmac(&key, &covered)[..MAC]);
        bytes
    }
}

impl Context {
    fn encode(&self) -> Vec<u8> {
        let IpAddr::V4(ip) = self.remote.ip() else {
            panic!("the peer has an IPv4 address");
        };
        let mut bytes = ip.to_ipv6_mapped().octets().to_vec();
        for port in [self.remote.port(), self.host_port, self.port] {
            bytes.extend_from_slice(&port.to_be_bytes());
        }
        bytes.extend_from_slice(&self.local_tag.to_be_bytes());
        bytes
    }
}

/// HMAC-SHA-256 (RFC 2104), keys of 32 bytes.
fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(data);
    let outer = Sha256::new().chain_update(padded(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[test]
fn a_cookie_taken_apart_and_sealed_again_is_the_same() {
    let mut peer = sctp_tests::peer::Peer::client();
    let answer = peer.init(sctp_tests::build::init(sctp_tests::peer::TAG));
    let context = Context {
        remote: peer.addr,
        host_port: peer.host_port,
        port: peer.port,
        local_tag: answer.tag,
    };
    let cookie = answer.cookie();
    assert_eq!(be16(&cookie, 0) >> 8, 2, "version 2");
    assert_eq!(Cookie::open(&cookie).seal(&context), cookie);
}
