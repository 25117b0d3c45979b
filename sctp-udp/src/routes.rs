//! Which of this machine's addresses reach a peer, as its routing table has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use sctp_proto::LocalAddress;

/// The addresses to connect from: for each address of the peer the one that the system would send
/// from, in that order, then the others. What leads nowhere is left out: loopback addresses on
/// the way to others, and others on the way to loopback.
pub(crate) fn order(local: &[LocalAddress], peer: &[SocketAddr]) -> Vec<LocalAddress> {
    if local.len() < 2 {
        return local.to_vec();
    }
    let here = peer.iter().all(|address| address.ip().is_loopback());
    let mut list: Vec<_> = local.to_vec();
    if list.iter().any(|local| local.ip.is_loopback() == here) {
        list.retain(|local| local.ip.is_loopback() == here);
    }
    let mut chosen: Vec<IpAddr> = peer.iter().filter_map(|peer| source(*peer)).collect();
    chosen.dedup();
    // Stable: what the system would not choose stays as it was.
    list.sort_by_key(|local| {
        let place = chosen.iter().position(|ip| *ip == local.ip);
        place.unwrap_or(usize::MAX)
    });
    list
}

/// The address that the system sends from to `peer`. No packet is sent to find out.
fn source(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    Some(ip).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use sctp_proto::SocketId;

    use super::*;

    fn locals(list: &[&str]) -> Vec<LocalAddress> {
        let local = |ip: &&str| LocalAddress {
            ip: ip.parse().unwrap(),
            socket: SocketId(0),
        };
        list.iter().map(local).collect()
    }

    fn peers(list: &[&str]) -> Vec<SocketAddr> {
        let peer = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), 9);
        list.iter().map(peer).collect()
    }

    #[test]
    fn the_address_that_the_system_chooses_comes_first() {
        let local = locals(&["127.0.0.7", "127.0.0.1", "203.0.113.77"]);
        assert_eq!(
            order(&local, &peers(&["127.0.0.9"])),
            locals(&["127.0.0.1", "127.0.0.7"])
        );
    }

    #[test]
    fn loopback_does_not_lead_elsewhere() {
        let local = locals(&["127.0.0.1", "203.0.113.77", "203.0.113.78"]);
        assert_eq!(order(&local, &peers(&["203.0.113.79"])), local[1..]);
        // There is nothing else: let the system say so.
        let local = locals(&["127.0.0.1", "127.0.0.2"]);
        assert_eq!(order(&local, &peers(&["203.0.113.79"])), local);
    }
}
