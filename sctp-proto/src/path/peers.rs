//! The addresses of the peer.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::capabilities::MAX_PEER_ADDRESSES;

/// One address of the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerAddress {
    /// The address, and the UDP port that packets go to as long as none has come from there.
    pub(crate) remote: SocketAddr,
    /// The user named it, or the handshake came from there: nothing has to be proved (§5.4).
    pub(crate) trusted: bool,
}

/// The addresses of the peer, that of the handshake first. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    list: SmallVec<[PeerAddress; 2]>,
}

impl Peers {
    /// A peer that has been heard from at this address.
    pub(crate) fn new(source: SocketAddr) -> Self {
        let mut list = SmallVec::new();
        list.push(PeerAddress {
            remote: source,
            trusted: true,
        });
        Self { list }
    }

    /// Adds an address that the peer says is its own; false if there is no room. Its UDP port is
    /// taken for that of the first.
    //= RFC 6951 §5.1
    //# An SCTP implementation supporting UDP encapsulation MUST maintain a remote UDP encapsulation
    //# port number per destination address for each SCTP association.
    pub(crate) fn add(&mut self, ip: IpAddr) -> bool {
        if self.get(ip).is_some() {
            return true;
        }
        let first = self.list[0].remote;
        // A dual-stack socket, which shows IPv4 addresses as mapped ones, is to be given such.
        let ip = match (first.ip(), ip.to_canonical()) {
            (IpAddr::V6(first), IpAddr::V4(ip)) if first.to_ipv4_mapped().is_some() => {
                ip.to_ipv6_mapped().into()
            }
            (_, ip) => ip,
        };
        let room = self.list.len() <= MAX_PEER_ADDRESSES;
        if room {
            self.list.push(PeerAddress {
                remote: SocketAddr::new(ip, first.port()),
                trusted: false,
            });
        }
        room
    }

    /// Adds an address that a packet of the peer has come from; false if there is no room.
    pub(crate) fn add_seen(&mut self, remote: SocketAddr) -> bool {
        if !self.add(remote.ip()) {
            return false;
        }
        let ip = remote.ip().to_canonical();
        let mut others = self.list.iter_mut().skip(1);
        if let Some(peer) = others.find(|peer| peer.remote.ip().to_canonical() == ip) {
            peer.remote = remote;
        }
        true
    }

    /// Keeps those addresses, canonical ones, that are to be kept, of which there has to be one.
    pub(crate) fn retain(&mut self, keep: impl Fn(IpAddr) -> bool) {
        self.list
            .retain(|peer| keep(peer.remote.ip().to_canonical()));
        debug_assert!(!self.list.is_empty());
    }

    /// The user has named this address: if it is one of the peer's, it needs no proof, and its
    /// port is known.
    pub(crate) fn trust(&mut self, given: SocketAddr) {
        let first = self.list[0].remote;
        let ip = given.ip().to_canonical();
        let found = self
            .list
            .iter_mut()
            .find(|peer| peer.remote.ip().to_canonical() == ip);
        if let Some(peer) = found.filter(|peer| peer.remote != first) {
            *peer = PeerAddress {
                remote: given,
                trusted: true,
            };
        }
    }

    pub(crate) fn get(&self, ip: IpAddr) -> Option<&PeerAddress> {
        let ip = ip.to_canonical();
        self.list
            .iter()
            .find(|peer| peer.remote.ip().to_canonical() == ip)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PeerAddress> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_listed_has_the_port_of_the_first_and_what_is_given_its_own() {
        let mut peers = Peers::new(socket("10.0.0.1:1111"));
        assert!(peers.add(socket("10.0.0.1:1").ip()) && peers.add(socket("10.1.0.1:1").ip()));
        assert!(peers.add(socket("[fd00::1]:1").ip()));
        for given in ["10.0.0.1:2222", "[fd00::1]:3333", "10.9.0.1:4444"] {
            peers.trust(socket(given));
        }
        let all: Vec<_> = peers
            .iter()
            .map(|p| (p.remote.to_string(), p.trusted))
            .collect();
        let expected = [
            ("10.0.0.1:1111", true),
            ("10.1.0.1:1111", false),
            ("[fd00::1]:3333", true),
        ];
        assert_eq!(
            all,
            expected.map(|(text, trusted)| (text.to_owned(), trusted))
        );
    }

    #[test]
    fn an_ipv4_address_is_written_as_the_socket_shows_it() {
        let mut peers = Peers::new(socket("[::ffff:10.0.0.1]:9"));
        peers.add(socket("10.1.0.1:1").ip());
        peers.add(socket("10.0.0.1:1").ip());
        let all: Vec<_> = peers.iter().map(|peer| peer.remote.to_string()).collect();
        assert_eq!(all, ["[::ffff:10.0.0.1]:9", "[::ffff:10.1.0.1]:9"]);
        assert!(peers.get(socket("10.1.0.1:1").ip()).is_some());
    }

    #[test]
    fn there_are_not_many() {
        let mut peers = Peers::new(socket("10.0.0.1:1"));
        for n in 2..100_u8 {
            peers.add(IpAddr::from([10, 0, 0, n]));
        }
        assert_eq!(peers.iter().count(), MAX_PEER_ADDRESSES + 1);
        assert!(peers.add(IpAddr::from([10, 0, 0, 2])), "known");
    }
}
