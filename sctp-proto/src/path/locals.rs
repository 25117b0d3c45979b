//! The addresses of this side, and what the peer knows of each.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::{
    address::{LocalAddress, is_meaningful_to, is_same_family},
    ids::SocketId,
    wire::param,
};

/// Local addresses of one association at most; further ones are not used. More than that make no
/// better path than the first few.
pub(crate) const MAX_LOCAL_ADDRESSES: usize = 16;
/// Addresses listed in INIT and INIT ACK at most: peers like this one use no more.
const MAX_LISTED: usize = 8;

/// What the peer knows of an address of this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LocalAddressState {
    /// Nothing.
    Untold,
    /// It was listed in INIT or INIT ACK; whether the peer sees packets from here come from that
    /// address (a NAT may change it) is not known.
    Listed,
    /// What comes from it is known to be this side's.
    Known,
}

/// One address of this side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Local {
    pub(crate) address: LocalAddress,
    pub(crate) state: LocalAddressState,
}

/// The addresses of this side, in the driver's order; none where it does not tell them, and then
/// any address that packets come to is this side's.
///
/// Nothing is sent from an address before it is [known](LocalAddressState::Known) to the peer,
/// for which such a packet would be out of the blue. Known are the address of the handshake; one
/// that was listed and that a packet of the peer has come to; those that INIT ACK listed, since who
/// answers calls at an address is not behind a NAT that changes it; and those whose ASCONF was
/// acknowledged (RFC 5061), which is what ASCONF has to change here and all that it has to change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locals {
    list: Vec<Local>,
    /// Those that the peer takes for this side's still, and that are gone.
    gone: Vec<Local>,
}

impl Locals {
    /// These addresses, of which the peer knows nothing.
    pub(crate) fn new(addresses: &[LocalAddress]) -> Self {
        let mut locals = Self::default();
        for address in addresses {
            locals.add(*address, LocalAddressState::Untold);
        }
        locals
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Local> {
        self.list.iter()
    }

    pub(crate) fn get(&self, ip: IpAddr) -> Option<&Local> {
        let ip = ip.to_canonical();
        self.list.iter().find(|local| local.address.ip == ip)
    }

    /// An address by which packets come that do not tell it: that of their socket, if it has but
    /// one.
    pub(crate) fn of_socket(&self, socket: SocketId) -> Option<IpAddr> {
        let mut of_socket = self.list.iter().filter(|l| l.address.socket == socket);
        let only = of_socket.next().map(|local| local.address.ip);
        only.filter(|_| of_socket.next().is_none())
    }

    /// Adds an address, or raises what is known of it; true if that changes anything.
    pub(crate) fn add(&mut self, mut address: LocalAddress, state: LocalAddressState) -> bool {
        address.ip = address.ip.to_canonical();
        if let Some(local) = self.list.iter_mut().find(|l| l.address.ip == address.ip) {
            let before = local.state;
            local.state = before.max(state);
            return local.state != before;
        }
        let room = self.list.len() < MAX_LOCAL_ADDRESSES && !address.ip.is_unspecified();
        if room {
            self.list.push(Local { address, state });
        }
        room
    }

    /// Notes what the peer knows of an address; true if that is news.
    pub(crate) fn set_state(&mut self, ip: IpAddr, state: LocalAddressState) -> bool {
        let ip = ip.to_canonical();
        let found = self.list.iter_mut().find(|local| local.address.ip == ip);
        found.is_some_and(|local| std::mem::replace(&mut local.state, state) != state)
    }

    /// The address was listed in INIT.
    pub(crate) fn list(&mut self, ip: IpAddr) {
        if let Some(local) = self
            .get(ip)
            .filter(|l| l.state == LocalAddressState::Untold)
        {
            let ip = local.address.ip;
            self.set_state(ip, LocalAddressState::Listed);
        }
    }

    /// The types of address parameters that this side can use; none if it does not know.
    pub(crate) fn address_types(&self) -> SmallVec<[u16; 2]> {
        let has = |ipv4: bool| self.list.iter().any(|l| l.address.ip.is_ipv4() == ipv4);
        let kinds = [(true, param::IPV4_ADDRESS), (false, param::IPV6_ADDRESS)];
        let usable = kinds.into_iter().filter(|(ipv4, _)| has(*ipv4));
        usable.map(|(_, kind)| kind).collect()
    }

    /// A packet of the peer came to this address; true if by that the peer is found to know it.
    pub(crate) fn heard_at(&mut self, ip: IpAddr) -> bool {
        let listed = |local: &&Local| local.state == LocalAddressState::Listed;
        self.get(ip).filter(listed).is_some() && self.set_state(ip, LocalAddressState::Known)
    }

    /// Replaces the addresses; what the peer knows of those that stay is kept, and so is what it
    /// knows of those that are gone, until it is [told](Self::withdrawn) that they are: an interface
    /// may go and come again without the peer.
    pub(crate) fn replace(&mut self, addresses: &[LocalAddress]) {
        let before = std::mem::replace(self, Self::new(addresses));
        for local in &mut self.list {
            let mut known = before.list.iter().chain(&before.gone);
            if let Some(known) = known.find(|known| known.address.ip == local.address.ip) {
                local.state = known.state;
            }
        }
        let told = |local: &Local| local.state != LocalAddressState::Untold;
        let gone = before.list.into_iter().chain(before.gone);
        self.gone = gone
            .filter(|local| told(local) && self.get(local.address.ip).is_none())
            .take(MAX_LOCAL_ADDRESSES)
            .collect();
    }

    /// Those that are gone, and that the peer is yet to be told of.
    pub(crate) fn gone(&self) -> impl Iterator<Item = IpAddr> {
        self.gone.iter().map(|local| local.address.ip)
    }

    /// The peer has lost its state: it knows none of them any more.
    pub(crate) fn forgotten(&mut self) {
        self.gone.clear();
        for local in &mut self.list {
            local.state = LocalAddressState::Untold;
        }
    }

    /// The peer is told that this address is gone.
    pub(crate) fn withdrawn(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        self.gone.retain(|local| local.address.ip != ip);
    }

    /// The addresses to list in a packet from `source`, where that is known, to `destination`: those
    /// that mean something there, the source last, which a peer knows anyway. None if there is no
    /// other.
    //= RFC 6951 §5.7
    //# When using UDP encapsulation for legacy NAT traversal, IP addresses that might require
    //# translation MUST NOT be put into any SCTP packet.
    //= RFC 6951 §3.2
    //# For single-homed associations, IP addresses MUST NOT be listed in the INIT and INIT-ACK
    //# chunks.
    pub(crate) fn listed(
        &self,
        source: Option<IpAddr>,
        destination: IpAddr,
    ) -> SmallVec<[IpAddr; MAX_LISTED]> {
        let source = source.map(|ip| ip.to_canonical());
        let ips = self.list.iter().map(|local| local.address.ip);
        let meant = ips.filter(|ip| is_meaningful_to(*ip, destination));
        let mut listed: SmallVec<[IpAddr; MAX_LISTED]> = meant.collect();
        listed.sort_by_key(|ip| Some(*ip) == source);
        if listed.len() > MAX_LISTED {
            listed.truncate(MAX_LISTED);
        }
        let others = listed.iter().filter(|ip| Some(**ip) != source).count();
        if others == 0 || (source.is_none() && others == 1) {
            listed.clear();
        }
        listed
    }

    /// Moves an address to the front: paths are made of the first ones first.
    pub(crate) fn put_first(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        if let Some(at) = self.list.iter().position(|local| local.address.ip == ip) {
            self.list[..=at].rotate_right(1);
        }
    }

    /// Whether one of them is of the same family as this address.
    pub(crate) fn has_family(&self, ip: IpAddr) -> bool {
        self.list
            .iter()
            .any(|local| is_same_family(local.address.ip, ip))
    }

    /// The addresses that packets may leave from.
    pub(crate) fn known(&self) -> impl Iterator<Item = &LocalAddress> {
        let known = |local: &&Local| local.state == LocalAddressState::Known;
        self.list.iter().filter(known).map(|local| &local.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str, socket: u16) -> LocalAddress {
        LocalAddress {
            ip: text.parse().expect("an address"),
            socket: SocketId(socket),
        }
    }

    #[test]
    fn an_address_is_known_once_it_was_listed_and_heard_at() {
        let (a, b) = (local("10.0.0.1", 0), local("::ffff:10.1.0.1", 1));
        let mut locals = Locals::new(&[a, b, a]);
        assert_eq!(locals.iter().count(), 2);
        assert!(!locals.heard_at(a.ip), "never told");
        assert!(locals.set_state(b.ip, LocalAddressState::Listed));
        assert_eq!(locals.known().count(), 0);
        assert!(locals.heard_at(b.ip) && !locals.heard_at(b.ip), "news once");
        let known: Vec<_> = locals.known().map(|l| l.ip.to_string()).collect();
        assert_eq!(known, ["10.1.0.1"]);
        locals.replace(&[b, local("10.2.0.1", 2)]);
        assert_eq!((locals.iter().count(), locals.known().count()), (2, 1));
        locals.replace(&[a]);
        assert_eq!(locals.known().count(), 0);
        assert!(locals.add(a, LocalAddressState::Known));
        assert!(
            !locals.add(a, LocalAddressState::Listed),
            "known all the same"
        );
    }

    #[test]
    fn a_socket_tells_the_address_if_it_has_one_only() {
        let list = ["10.0.0.1", "10.1.0.1", "10.2.0.1"].map(|ip| local(ip, 7));
        let locals = Locals::new(&[local("10.9.0.1", 3), list[0], list[1]]);
        assert_eq!(locals.of_socket(SocketId(3)), Some(local("10.9.0.1", 3).ip));
        assert_eq!(locals.of_socket(SocketId(7)), None);
        assert_eq!(locals.of_socket(SocketId(8)), None);
    }

    #[test]
    fn there_are_no_more_than_a_few() {
        let many: Vec<_> = (0..100).map(|n| local(&format!("10.0.0.{n}"), 0)).collect();
        assert_eq!(Locals::new(&many).iter().count(), MAX_LOCAL_ADDRESSES);
        assert!(Locals::new(&[local("0.0.0.0", 0)]).is_empty());
    }
}
