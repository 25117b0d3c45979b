use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const LIFETIME: Duration = Duration::from_secs(60);

fn jar() -> CookieJar {
    CookieJar::new(&EndpointConfig::default(), [7; 32])
}

fn at(since_epoch: Duration) -> Instant {
    Instant::EPOCH + since_epoch
}

fn cookie(jar: &CookieJar, now: Instant) -> StateCookie {
    StateCookie {
        created: jar.timestamp(now),
        lifetime: LIFETIME,
        local_tag: 0x0102_0304,
        peer_tag: 0xA1A2_A3A4,
        local_initial_tsn: Tsn::new(1000),
        peer_initial_tsn: Tsn::new(u32::MAX),
        outbound_streams: 10,
        inbound_streams: 1024,
        local_a_rwnd: 1 << 20,
        peer_a_rwnd: 1500,
        ports: Ports {
            local: 80,
            remote: 50_000,
        },
        remote: "192.0.2.7:9899".parse().unwrap(),
        tie_tags: (0, 0),
        capabilities: Capabilities::from_bits(3).unwrap(),
        auth: None,
        adaptation: None,
        peer_addresses: smallvec![],
        local_addresses: smallvec![],
    }
}

#[test]
fn comes_back_as_it_was() {
    let jar = jar();
    let mut cookie = cookie(&jar, at(HOUR));
    for _ in 0..2 {
        let sealed = jar.seal(&cookie);
        let opened = jar.open(at(HOUR), &cookie.context(), &sealed);
        assert_eq!(opened, Ok((cookie.clone(), Freshness::Fresh)));
        cookie.tie_tags = (5, 6);
        cookie.local_addresses =
            smallvec!["2001:db8::9".parse().unwrap(), "10.9.0.1".parse().unwrap(),];
        cookie.peer_addresses = smallvec![
            Ipv4Addr::new(198, 51, 100, 1).into(),
            Ipv6Addr::LOCALHOST.into()
        ];
    }
}

/// The bit of AUTH among the capabilities.
const AUTH: u16 = 1 << 3;

fn authenticated(mut cookie: StateCookie, chunks: &[u8]) -> StateCookie {
    let auth = AuthParams::of_peer(Some(&[9; RANDOM]), Some(chunks), Some(&[0, 3, 0, 1]));
    cookie.auth = auth.unwrap();
    cookie.capabilities = Capabilities::from_bits(3 | AUTH).unwrap();
    cookie
}

#[test]
fn what_authenticates_comes_back_as_it_was() {
    let jar = jar();
    for chunks in [&[][..], &[193, 128], &[0; 256]] {
        let mut cookie = authenticated(cookie(&jar, at(HOUR)), chunks);
        cookie.peer_addresses.push([192, 0, 2, 1].into());
        let sealed = jar.seal(&cookie);
        assert!(sealed.len() <= 56 + RANDOM + 3 + chunks.len() + 4 + 8);
        let opened = jar.open(at(HOUR), &cookie.context(), &sealed);
        assert_eq!(opened, Ok((cookie, Freshness::Fresh)));
    }
}

#[test]
fn random_numbers_belong_to_a_tag_and_a_key() {
    let (jar, ports) = (jar(), cookie(&jar(), at(HOUR)).ports);
    let random = jar.auth_random(ports, 1, Tsn::new(2));
    assert_eq!(random, self::jar().auth_random(ports, 1, Tsn::new(2)));
    let back = Ports {
        local: ports.remote,
        remote: ports.local,
    };
    let other = CookieJar::new(&EndpointConfig::default(), [8; 32]);
    for another in [
        jar.auth_random(ports, 2, Tsn::new(2)),
        jar.auth_random(ports, 1, Tsn::new(3)),
        jar.auth_random(back, 1, Tsn::new(2)),
        other.auth_random(ports, 1, Tsn::new(2)),
    ] {
        assert_ne!(random, another);
    }
}

/// A cookie of another version of this program may have bits that mean something else.
#[test]
fn every_capability_comes_back_and_nothing_else_does() {
    let jar = jar();
    let mut cookie = cookie(&jar, at(HOUR));
    let mut known = 0;
    for bit in 0..u16::BITS {
        let Some(one) = Capabilities::from_bits(1 << bit) else {
            continue;
        };
        known += 1;
        let auth = authenticated(cookie.clone(), &[193]).auth;
        cookie.auth = auth.filter(|_| one.auth());
        cookie.capabilities = one;
        let opened = jar.open(at(HOUR), &cookie.context(), &jar.seal(&cookie));
        assert_eq!(opened, Ok((cookie.clone(), Freshness::Fresh)), "bit {bit}");
    }
    assert!(known > 8, "more than a byte's worth");
    let mut body = cookie.encode();
    body[2] = 0xFF;
    assert_eq!(StateCookie::decode(&body, &cookie.context()), None);
}

//= RFC 9260 §5.1.3, test
//# An implementation SHOULD make the cookie as small as...
//= RFC 9260 §3.3.11, test
//# An implementation SHOULD make the cookie as small as...
#[test]
fn is_small() {
    let jar = jar();
    assert_eq!(jar.seal(&cookie(&jar, at(HOUR))).len(), 56);
}

#[test]
fn has_whole_words_whatever_is_in_it() {
    let jar = jar();
    let mut cookie = cookie(&jar, at(HOUR));
    for host in 0..MAX_PEER_ADDRESSES as u8 {
        assert_eq!(jar.seal(&cookie).len() % 4, 0, "{host} addresses");
        cookie.peer_addresses.push([192, 0, 2, host].into());
    }
    let sealed = jar.seal(&cookie);
    let opened = jar.open(at(HOUR), &cookie.context(), &sealed);
    assert_eq!(opened, Ok((cookie, Freshness::Fresh)));
}

#[test]
fn threat_04_every_bit_of_a_cookie_matters() {
    let jar = jar();
    let cookie = cookie(&jar, at(HOUR));
    let sealed = jar.seal(&cookie);
    for bit in 0..sealed.len() * 8 {
        let mut forged = sealed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        let opened = jar.open(at(HOUR), &cookie.context(), &forged);
        assert_eq!(opened, Err(BadCookie), "bit {bit}");
    }
    for len in 0..sealed.len() {
        let opened = jar.open(at(HOUR), &cookie.context(), &sealed[..len]);
        assert_eq!(opened, Err(BadCookie), "cut to {len}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert_eq!(
        jar.open(at(HOUR), &cookie.context(), &longer),
        Err(BadCookie)
    );
}

#[test]
fn keys_of_two_epochs_in_turn() {
    let jar = jar();
    for hours in [1, 2, 1, 2] {
        let now = at(HOUR * hours);
        let cookie = cookie(&jar, now);
        let sealed = self::jar().seal(&cookie);
        assert_eq!(jar.seal(&cookie), sealed);
        let opened = jar.open(now, &cookie.context(), &sealed);
        assert_eq!(opened, Ok((cookie, Freshness::Fresh)));
    }
}

#[test]
fn threat_17_a_cookie_is_bound_to_where_it_was_sent() {
    let jar = jar();
    let cookie = cookie(&jar, at(HOUR));
    let sealed = jar.seal(&cookie);
    let right = cookie.context();
    let elsewhere = [
        CookieContext {
            remote: "192.0.2.8:9899".parse().unwrap(),
            ..right
        },
        CookieContext {
            remote: "192.0.2.7:9898".parse().unwrap(),
            ..right
        },
        CookieContext {
            ports: Ports {
                local: 81,
                ..right.ports
            },
            ..right
        },
        CookieContext {
            ports: Ports {
                remote: 50_001,
                ..right.ports
            },
            ..right
        },
        CookieContext {
            local_tag: right.local_tag + 1,
            ..right
        },
    ];
    for context in elsewhere {
        let opened = jar.open(at(HOUR), &context, &sealed);
        assert_eq!(opened, Err(BadCookie), "{context:?}");
    }
    let mapped = CookieContext {
        remote: "[::ffff:192.0.2.7]:9899".parse().unwrap(),
        ..right
    };
    assert!(jar.open(at(HOUR), &mapped, &sealed).is_ok());
}

#[test]
fn threat_17_a_cookie_expires() {
    let jar = jar();
    let cookie = cookie(&jar, at(HOUR));
    let sealed = jar.seal(&cookie);
    let open_after = |age| {
        let (_, freshness) = jar
            .open(at(HOUR + age), &cookie.context(), &sealed)
            .unwrap();
        freshness
    };
    let micro = Duration::from_micros(1);
    assert_eq!(open_after(LIFETIME), Freshness::Fresh);
    assert_eq!(open_after(LIFETIME + micro), Freshness::Stale(micro));
}

//= RFC 9260 §5.1.5, test
//# If secrets are kept only for a limited amount...
#[test]
fn outlives_one_rotation_of_the_key_but_not_two() {
    let jar = jar();
    let last_moment = at(HOUR - Duration::from_nanos(1));
    let cookie = cookie(&jar, last_moment);
    let sealed = jar.seal(&cookie);
    let open_at = |now| jar.open(now, &cookie.context(), &sealed).map(|(_, f)| f);
    assert_eq!(open_at(at(HOUR)), Ok(Freshness::Fresh));
    assert!(matches!(
        open_at(at(2 * HOUR - Duration::from_nanos(1))),
        Ok(Freshness::Stale(_))
    ));
    assert_eq!(open_at(at(2 * HOUR)), Err(BadCookie));
}

#[test]
fn threat_17_one_key_makes_one_cookie_and_another_key_another() {
    let config = EndpointConfig::default();
    let mut shared = EndpointConfig::default();
    shared.cookie_key(Some([7; 32]));
    let (a, b) = (jar(), CookieJar::new(&shared, [9; 32]));
    let cookie = cookie(&a, at(HOUR));
    assert_eq!(a.seal(&cookie), b.seal(&cookie));

    let other = CookieJar::new(&config, [8; 32]);
    let opened = other.open(at(HOUR), &cookie.context(), &a.seal(&cookie));
    assert_eq!(opened, Err(BadCookie));
}

#[test]
fn machines_with_different_epochs_agree_by_unix_time() {
    let unix = |seconds| {
        let mut config = EndpointConfig::default();
        config.unix_time_at_epoch(Duration::from_secs(seconds));
        CookieJar::new(&config, [7; 32])
    };
    let (a, b) = (unix(1_700_000_000), unix(1_700_000_030));
    let now = Duration::from_secs(40);
    let cookie = cookie(&a, at(now));
    let opened = b.open(
        at(now - Duration::from_secs(30)),
        &cookie.context(),
        &a.seal(&cookie),
    );
    assert_eq!(opened, Ok((cookie, Freshness::Fresh)));
}

#[test]
fn lifetime_grows_on_request_within_bounds() {
    let jar = jar();
    assert_eq!(jar.lifetime(Duration::ZERO), LIFETIME);
    assert_eq!(
        jar.lifetime(Duration::from_secs(1)),
        LIFETIME + Duration::from_secs(1)
    );
    assert_eq!(jar.lifetime(Duration::MAX), 2 * LIFETIME);

    let mut config = EndpointConfig::default();
    config.cookie_key_rotation(LIFETIME);
    let short_keys = CookieJar::new(&config, [7; 32]);
    assert_eq!(short_keys.lifetime(Duration::MAX), LIFETIME);
}

/// With a valid MAC, as another version on a machine with the same key might make.
fn open_authentic(body: &[u8]) -> Result<(StateCookie, Freshness), BadCookie> {
    let jar = jar();
    let context = cookie(&jar, at(HOUR)).context();
    let created = Reader(&body[HEAD..]).u64().unwrap();
    let mac = jar.mac(created, &context, body).finalize().into_bytes();
    jar.open(at(HOUR), &context, &[body, &mac[..MAC]].concat())
}

#[test]
fn threat_11_the_parser_is_strict_behind_the_mac() {
    let jar = jar();
    let sound = cookie(&jar, at(HOUR));
    let body = sound.encode();
    assert!(open_authentic(&body).is_ok());
    for (offset, value, what) in [(0, 1, "version"), (1, 2, "flags"), (2, 0x80, "extension")] {
        let mut body = body.clone();
        body[offset] = value;
        assert_eq!(open_authentic(&body), Err(BadCookie), "{what}");
    }
    let untagged = StateCookie {
        peer_tag: 0,
        ..sound.clone()
    };
    assert_eq!(open_authentic(&untagged.encode()), Err(BadCookie));
    let streamless = StateCookie {
        inbound_streams: 0,
        ..sound.clone()
    };
    assert_eq!(open_authentic(&streamless.encode()), Err(BadCookie));
    let tails = [
        &[0][..],
        &[0; 4],
        &[4, 0, 0, 0],
        &[1, 0, 0, 0],
        &[5, 1, 2, 3, 4, 0, 0, 0],
        &[6; 16],
        &[0; 5],
    ];
    for tail in tails {
        let body = [&body[..FIXED], tail].concat();
        assert_eq!(open_authentic(&body), Err(BadCookie), "{tail:?}");
    }
    // AUTH needs its parameters, and they need AUTH.
    let auth = authenticated(sound.clone(), &[193]);
    assert!(open_authentic(&auth.encode()).is_ok());
    for capabilities in [3, AUTH] {
        let mut torn = if capabilities == 3 {
            auth.clone()
        } else {
            sound.clone()
        };
        torn.capabilities = Capabilities::from_bits(capabilities).unwrap();
        assert_eq!(open_authentic(&torn.encode()), Err(BadCookie));
    }
    let crowd = [4, 192, 0, 2, 1].repeat(MAX_PEER_ADDRESSES + 1);
    let mut body = [&body[..FIXED], &crowd].concat();
    body.resize(body.len().next_multiple_of(4), 0);
    assert_eq!(open_authentic(&body), Err(BadCookie));
}

proptest! {
    #[test]
    fn threat_11_authentic_bodies_mean_what_they_say(
        mut body in prop::collection::vec(any::<u8>(), FIXED..FIXED + 60),
        plausible: bool,
    ) {
        if plausible {
            body[0] = VERSION;
            body[1] &= TIE_TAGS;
            body[2] = 0;
        }
        let created = jar().timestamp(at(HOUR)).to_be_bytes();
        body[HEAD..HEAD + 8].copy_from_slice(&created);
        if let Ok((cookie, _)) = open_authentic(&body) {
            // Tie tags of (0, 0) need not be written at all.
            let again = StateCookie::decode(&cookie.encode(), &cookie.context());
            prop_assert_eq!(again.as_ref(), Some(&cookie));
            prop_assert!(cookie.encode() == body || cookie.tie_tags == (0, 0));
        }
    }
}
