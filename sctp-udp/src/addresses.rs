//! Which addresses of this machine an endpoint serves: what its sockets are bound to, and for a
//! wildcard what the interfaces have.

use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashSet;
use sctp_proto::{LocalAddress, SocketId};

#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Of the interfaces.
    interfaces: Vec<IpAddr>,
    /// Bound by name, and once seen at an interface. Others may be good without ever being there,
    /// as 127.0.0.2 is.
    seen: FxHashSet<IpAddr>,
    /// Served by a wildcard, and not wanted.
    without: FxHashSet<IpAddr>,
}

impl Addresses {
    /// The interfaces have these addresses now.
    pub(crate) fn set_interfaces(
        &mut self,
        interfaces: Vec<IpAddr>,
        bound: &[(SocketId, SocketAddr)],
    ) {
        self.interfaces = interfaces;
        self.note(bound);
    }

    /// The sockets are bound to these now.
    pub(crate) fn note(&mut self, bound: &[(SocketId, SocketAddr)]) {
        let named = |ip: &IpAddr| bound.iter().any(|(_, address)| address.ip() == *ip);
        self.seen.retain(named);
        let seen = self.interfaces.iter().copied().filter(named);
        self.seen.extend(seen);
    }

    /// Leaves an address out although a wildcard serves it.
    pub(crate) fn exclude(&mut self, ip: IpAddr) {
        self.without.insert(ip);
    }

    /// Takes that back.
    pub(crate) fn include(&mut self, ip: IpAddr) {
        self.without.remove(&ip);
    }

    /// What is served by sockets bound to these: each address once, the one bound by name before
    /// the wildcard.
    pub(crate) fn served(&self, bound: &[(SocketId, SocketAddr)]) -> Vec<LocalAddress> {
        let mut list: Vec<LocalAddress> = Vec::new();
        let mut push = |ip: IpAddr, socket| {
            if !list.iter().any(|served| served.ip == ip) {
                list.push(LocalAddress { ip, socket });
            }
        };
        for (socket, address) in bound {
            let ip = address.ip();
            let gone = self.seen.contains(&ip) && !self.interfaces.contains(&ip);
            if !ip.is_unspecified() && !gone {
                push(ip, *socket);
            }
        }
        for (socket, address) in bound {
            if address.ip().is_unspecified() {
                let family = |ip: &&IpAddr| ip.is_ipv4() == address.is_ipv4();
                let wanted = self.interfaces.iter().filter(family);
                wanted
                    .filter(|ip| !self.without.contains(ip))
                    .for_each(|ip| push(*ip, *socket));
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(list: &[&str]) -> Vec<(SocketId, SocketAddr)> {
        let ids = (0..).map(SocketId);
        ids.zip(list.iter().map(|a| a.parse().unwrap())).collect()
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn served(addresses: &Addresses, bound: &[(SocketId, SocketAddr)]) -> Vec<(String, u16)> {
        let list = addresses.served(bound);
        list.iter()
            .map(|served| (served.ip.to_string(), served.socket.0))
            .collect()
    }

    fn list(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
        let own = |(ip, socket): &(&str, u16)| ((*ip).to_owned(), *socket);
        expected.iter().map(own).collect()
    }

    #[test]
    fn a_wildcard_serves_what_the_interfaces_have_of_its_family() {
        let bound = bound(&["0.0.0.0:1", "[::]:1"]);
        let mut addresses = Addresses::default();
        assert_eq!(served(&addresses, &bound), []);
        let interfaces = ips(&["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"]);
        addresses.set_interfaces(interfaces, &bound);
        let expected = [
            ("127.0.0.1", 0),
            ("192.0.2.1", 0),
            ("::1", 1),
            ("2001:db8::1", 1),
        ];
        assert_eq!(served(&addresses, &bound), list(&expected));
        assert_eq!(served(&addresses, &bound[..1]), list(&expected[..2]));
    }

    #[test]
    fn an_address_bound_by_name_is_served_unless_its_interface_lost_it() {
        let bound = bound(&["127.0.0.2:1", "192.0.2.1:1"]);
        let mut addresses = Addresses::default();
        let both = list(&[("127.0.0.2", 0), ("192.0.2.1", 1)]);
        assert_eq!(served(&addresses, &bound), both);
        addresses.set_interfaces(ips(&["127.0.0.1", "192.0.2.1"]), &bound);
        assert_eq!(served(&addresses, &bound), both);
        addresses.set_interfaces(ips(&["127.0.0.1"]), &bound);
        assert_eq!(served(&addresses, &bound), both[..1]);
        addresses.set_interfaces(ips(&["192.0.2.1"]), &bound);
        assert_eq!(served(&addresses, &bound), both);
    }

    #[test]
    fn what_is_bound_by_name_comes_first_and_no_address_twice() {
        let bound = bound(&["0.0.0.0:1", "192.0.2.2:1"]);
        let mut addresses = Addresses::default();
        addresses.set_interfaces(ips(&["192.0.2.1", "192.0.2.2"]), &bound);
        assert_eq!(
            served(&addresses, &bound),
            list(&[("192.0.2.2", 1), ("192.0.2.1", 0)])
        );
    }

    #[test]
    fn an_address_can_be_left_out_of_a_wildcard() {
        let bound = bound(&["0.0.0.0:1"]);
        let mut addresses = Addresses::default();
        addresses.set_interfaces(ips(&["192.0.2.1", "192.0.2.2"]), &bound);
        let ip = ips(&["192.0.2.1"])[0];
        addresses.exclude(ip);
        assert_eq!(served(&addresses, &bound), list(&[("192.0.2.2", 0)]));
        addresses.include(ip);
        assert_eq!(served(&addresses, &bound).len(), 2);
    }
}
