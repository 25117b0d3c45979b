use rand::SeedableRng;
use smallvec::smallvec;

use super::*;

const PORTS: Ports = Ports {
    local: 80,
    remote: 50_000,
};

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

fn route(tag: u32, peers: &[IpAddr]) -> Route {
    Route {
        tag,
        ports: PORTS,
        peers: peers.into(),
    }
}

#[test]
fn a_packet_needs_tag_and_ports_of_one_association() {
    let mut routes = Routes::default();
    let a = routes.insert(route(1, &[ip(1), ip(2)]));
    let b = routes.insert(route(2, &[ip(3)]));
    assert_eq!(routes.by_packet(1, PORTS), Some(a));
    assert_eq!(routes.by_packet(2, PORTS), Some(b));
    assert_eq!(routes.by_packet(3, PORTS), None);
    let other = Ports { local: 81, ..PORTS };
    assert_eq!(routes.by_packet(1, other), None);
    let mapped = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(routes.by_peer(mapped, PORTS), Some(a));
}

#[test]
fn an_address_leads_to_one_association_whoever_else_claims_it() {
    let mut routes = Routes::default();
    let a = routes.insert(route(1, &[ip(1), ip(2)]));
    let b = routes.insert(route(2, &[ip(3)]));
    routes.readdress(b, &[ip(3), ip(1), ip(4)]);
    let owner = |routes: &Routes, last| routes.by_peer(ip(last), PORTS);
    assert_eq!((owner(&routes, 1), owner(&routes, 4)), (Some(a), Some(b)));
    routes.readdress(a, &[ip(2)]);
    assert_eq!((owner(&routes, 1), owner(&routes, 2)), (None, Some(a)));
    routes.remove(b);
    routes.readdress(b, &[ip(9)]);
    assert_eq!((owner(&routes, 3), owner(&routes, 9)), (None, None));
    routes.remove(a);
    assert!(routes.peers.is_empty());
}

#[test]
fn removal_leaves_nothing() {
    let mut routes = Routes::default();
    let a = routes.insert(route(1, &[ip(1), ip(2), ip(1)]));
    routes.retag(a, 9);
    assert_eq!(routes.by_tag(1), None);
    assert_eq!(routes.by_tag(9), Some(a));
    routes.remove(a);
    routes.remove(a);
    assert_eq!(routes.len(), 0);
    assert!(routes.tags.is_empty() && routes.peers.is_empty());
}

/// Draws these numbers, one after the other.
struct Script(std::vec::IntoIter<u32>);

impl rand::TryRng for Script {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.next().expect("one more number"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.try_next_u32().map(u64::from)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        dst.fill(0);
        Ok(())
    }
}

//= RFC 9260 §3.3.3, test
//# The Initiate Tag MUST NOT take the value 0.
//= RFC 9260 §5.3.1, test
//# Initiate Tag values SHOULD be selected from the range...
#[test]
fn a_zero_that_is_drawn_is_no_tag() {
    let mut routes = Routes::default();
    routes.insert(route(7, &[ip(1)]));
    let mut rng = Script(vec![0, 7, 0, u32::MAX].into_iter());
    assert_eq!(routes.fresh_tag(&mut rng), u32::MAX);
    let mut rng = Script(vec![1].into_iter());
    assert_eq!(routes.fresh_tag(&mut rng), 1);
}

#[test]
fn tags_are_new_and_not_zero() {
    let mut routes = Routes::default();
    let mut rng = StdRng::from_seed([1; 32]);
    let drawn = routes.fresh_tag(&mut rng);
    routes.insert(route(drawn, &[ip(1)]));
    let again = routes.fresh_tag(&mut StdRng::from_seed([1; 32]));
    assert_ne!(again, drawn);
}

#[test]
fn ports_are_drawn_until_none_is_left() {
    let mut routes = Routes::default();
    let mut rng = StdRng::from_seed([1; 32]);
    for tag in 0..u32::from(DYNAMIC_PORTS) {
        let local = routes.free_port(&mut rng, &[ip(1), ip(2)], 80).unwrap();
        assert!(local >= FIRST_DYNAMIC_PORT);
        let peer = ip(1 + u8::from(tag % 2 == 0));
        routes.insert(Route {
            tag,
            ports: Ports { local, remote: 80 },
            peers: smallvec![peer],
        });
    }
    assert_eq!(routes.free_port(&mut rng, &[ip(1), ip(2)], 80), None);
    assert!(routes.free_port(&mut rng, &[ip(3)], 80).is_some());
    assert!(routes.free_port(&mut rng, &[ip(1)], 81).is_some());
}
