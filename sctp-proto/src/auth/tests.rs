use super::*;
use crate::{
    config::AssociationConfig,
    error::AuthKeyError,
    wire::{CommonHeader, PacketWriter, chunks},
};

const HEADER: CommonHeader = CommonHeader {
    source_port: 1,
    destination_port: 2,
    verification_tag: 3,
};

/// A side that lists these chunks, its random number all of one byte.
fn side(random: u8, chunks: &[u8]) -> AuthParams {
    let mut config = AssociationConfig::default();
    config.auth_chunks(chunks).asconf(false);
    AuthParams::local(&config, [random; RANDOM])
}

fn shared(key: &[u8]) -> AuthKeys {
    AuthKeys::new(&[(7, SharedKey::new(key))])
}

/// A packet of HEARTBEAT ACK and COOKIE ACK as `auth` sends it.
fn packet(auth: &mut Auth, keys: &AuthKeys) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut packet = PacketWriter::new(&mut bytes, 1200, &HEADER);
    packet.authenticate(Some(auth.plan(keys)));
    packet.chunk(kind::HEARTBEAT_ACK, 0, &[0, 1, 0, 6, 9, 9]);
    packet.cookie_ack();
    packet.finish_signed(|covered| auth.sign(keys, covered));
    bytes
}

/// Where the AUTH of a packet is.
fn place(packet: &[u8]) -> usize {
    let mut chunks = chunks(packet).map(Result::unwrap);
    chunks.find(|raw| raw.kind == kind::AUTH).unwrap().offset
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// The key vectors as RFC 4895 §6.1 has them: RANDOM, CHUNKS, HMAC-ALGO, no padding.
#[test]
fn key_vectors_are_parameters_without_padding() {
    let vector = side(0xAA, &[0, 193]).key_vector();
    let expected = [
        hex("80020024"),
        vec![0xAA; 32],
        hex("8003000600c1"),
        hex("8004000800030001"),
    ];
    assert_eq!(vector, expected.concat());
    // No list, no parameter.
    let without = side(0xAA, &[]).key_vector();
    assert_eq!(without.len(), 36 + 8);
}

#[test]
fn the_smaller_vector_comes_first_whoever_sent_it() {
    let (small, large) = (side(1, &[]), side(2, &[]));
    let (small, large) = (small.key_vector(), large.key_vector());
    let both = [small.as_slice(), large.as_slice()].concat();
    assert_eq!(*params::concatenated(&small, &large), *both);
    assert_eq!(*params::concatenated(&large, &small), *both);
    // As numbers: a longer vector is larger, and zeros in front count for nothing.
    for (first, second) in [
        (&[9, 9][..], &[1, 0, 0][..]),
        (&[0, 9, 9], &[1, 0, 0]),
        (&[0, 0, 0, 5], &[6]),
        (&[5], &[0, 5]),
        (&[0, 5], &[0, 0, 5]),
        (&[], &[0]),
    ] {
        let expected = [first, second].concat();
        assert_eq!(*params::concatenated(first, second), *expected);
        assert_eq!(*params::concatenated(second, first), *expected);
    }
}

#[test]
fn hmacs_are_those_that_others_compute() {
    // hmac.new(key + vectors, covered, ...) of Python, for sides 0x11 and 0x22 that list
    // HEARTBEAT ACK, the key "sesame", and the packet of `packet`.
    for (algorithms, mac) in [
        (
            vec![HmacAlgorithm::Sha256, HmacAlgorithm::Sha1],
            "043fbf7b792f68b889d98b590191344894fc6bb25d6c5bd6f8db79ba3a4d753a",
        ),
        (
            vec![HmacAlgorithm::Sha1, HmacAlgorithm::Sha256],
            "f43b27300b20dcafd8568bf3a77f31f40d2a92cc",
        ),
    ] {
        let mut config = AssociationConfig::default();
        config
            .auth_chunks(&[kind::HEARTBEAT_ACK])
            .asconf(false)
            .hmac_algorithms(&algorithms);
        let local = AuthParams::local(&config, [0x11; RANDOM]);
        let peer = AuthParams::local(&config, [0x22; RANDOM]);
        let mut auth = Auth::new(&local, &peer).unwrap();
        let packet = packet(&mut auth, &shared(b"sesame"));
        let mac = hex(mac);
        assert_eq!(
            packet[12..20],
            [
                15,
                0,
                0,
                8 + mac.len() as u8,
                0,
                7,
                0,
                algorithms[0].id() as u8
            ]
        );
        assert_eq!(packet[20..20 + mac.len()], mac);
    }
}

#[test]
fn each_side_believes_the_other_and_nobody_else() {
    let (one, other) = (side(1, &[5]), side(2, &[5, 11]));
    let keys = shared(b"sesame");
    let mut sender = Auth::new(&one, &other).unwrap();
    let mut receiver = Auth::new(&other, &one).unwrap();
    let genuine = packet(&mut sender, &keys);
    let at = place(&genuine);
    assert_eq!(
        receiver.verify(&keys, &genuine, at),
        Verdict::Genuine { key: 7 }
    );
    // Every bit of AUTH and of what follows counts.
    for bit in 8 * at..8 * genuine.len() {
        let mut forged = genuine.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        // The type and the flags of AUTH are hashed as they came.
        let verdict = receiver.verify(&keys, &forged, at);
        assert!(!matches!(verdict, Verdict::Genuine { .. }), "bit {bit}");
    }
    // Nor does one more byte, or one less.
    let longer = [&genuine[..], &[0; 4]].concat();
    let shorter = &genuine[..genuine.len() - 4];
    assert_eq!(receiver.verify(&keys, &longer, at), Verdict::Forged);
    assert_eq!(receiver.verify(&keys, shorter, at), Verdict::Forged);
    // Another key by the same name, another association.
    let mut stranger = Auth::new(&one, &other).unwrap();
    let forged = packet(&mut stranger, &shared(b"Sesame"));
    assert_eq!(receiver.verify(&keys, &forged, at), Verdict::Forged);
    let mut earlier = Auth::new(&side(3, &[5]), &other).unwrap();
    let replayed = packet(&mut earlier, &keys);
    assert_eq!(receiver.verify(&keys, &replayed, at), Verdict::Forged);
}

#[test]
fn lengths_of_an_hmac_are_checked() {
    let (one, other) = (side(1, &[]), side(2, &[]));
    let keys = AuthKeys::new(&[]);
    let mut receiver = Auth::new(&other, &one).unwrap();
    for algorithm in [1_u16, 3] {
        for length in 0..100_usize {
            let mut bytes = vec![0; 12];
            bytes.extend_from_slice(&[15, 0, 0, (8 + length) as u8, 0, 0]);
            bytes.extend_from_slice(&algorithm.to_be_bytes());
            bytes.resize(20 + length, 0xEE);
            assert_eq!(receiver.verify(&keys, &bytes, 12), Verdict::Forged);
        }
    }
    // Length fields that lie, and offsets past the end.
    for length in 0..=u8::MAX {
        let bytes = [&[0; 12][..], &[15, 0, length, length, 0, 0, 0, 3, 1, 2]].concat();
        for at in 0..30 {
            let verdict = receiver.verify(&keys, &bytes, at);
            assert!(!matches!(verdict, Verdict::Genuine { .. }));
        }
    }
}

#[test]
fn algorithms_that_were_not_listed_are_refused() {
    let mut only_sha1 = AssociationConfig::default();
    only_sha1.hmac_algorithms(&[HmacAlgorithm::Sha1]);
    let (one, other) = (side(1, &[5]), side(2, &[5]));
    let modest = AuthParams::local(&only_sha1, [2; RANDOM]);
    let mut receiver = Auth::new(&modest, &one).unwrap();
    let keys = shared(b"");
    let packet = packet(&mut Auth::new(&one, &other).unwrap(), &keys);
    assert_eq!(
        receiver.verify(&keys, &packet, place(&packet)),
        Verdict::UnsupportedAlgorithm(3)
    );
    // The peer's first choice that is known here is taken.
    let plan = Auth::new(&one, &modest).unwrap().plan(&keys);
    assert_eq!((plan.algorithm, plan.size()), (1, 28));
}

#[test]
fn keys_come_and_go() {
    let mut keys = AuthKeys::new(&[]);
    assert_eq!(keys.active(), 0);
    assert_eq!(keys.activate(1), Err(AuthKeyError::Unknown(1)));
    keys.set(1, SharedKey::new(*b"one"));
    assert_eq!(keys.deactivate(0), Err(AuthKeyError::InUse(0)));
    assert_eq!(keys.activate(1), Ok(()));
    assert_eq!(keys.delete(0), Err(AuthKeyError::InUse(0)), "not yet");
    assert_eq!(keys.deactivate(0), Ok(()));
    assert_eq!(keys.delete(0), Ok(()));
    assert_eq!(keys.deactivate(0), Err(AuthKeyError::Unknown(0)));
    assert_eq!(keys.delete(1), Err(AuthKeyError::InUse(1)));
    assert!(keys.get(1).is_some() && keys.get(0).is_none());
    // With keys from the beginning nobody gets by without one.
    let keys = shared(b"sesame");
    assert!(keys.get(0).is_none());
    assert_eq!(keys.active(), 7);
}

#[test]
fn a_key_set_anew_is_another() {
    let (one, other) = (side(1, &[5]), side(2, &[5]));
    let mut keys = shared(b"old");
    let mut sender = Auth::new(&one, &other).unwrap();
    let mut receiver = Auth::new(&other, &one).unwrap();
    let old = packet(&mut sender, &keys);
    assert!(matches!(
        receiver.verify(&keys, &old, 12),
        Verdict::Genuine { .. }
    ));
    keys.set(7, SharedKey::new(*b"new"));
    receiver.forget(7);
    assert_eq!(receiver.verify(&keys, &old, 12), Verdict::Forged);
    sender.forget(7);
    let new = packet(&mut sender, &keys);
    assert!(matches!(
        receiver.verify(&keys, &new, 12),
        Verdict::Genuine { .. }
    ));
    keys.set(8, SharedKey::new(*b"other"));
    keys.activate(8).unwrap();
    keys.deactivate(7).unwrap();
    assert!(matches!(
        receiver.verify(&keys, &new, 12),
        Verdict::Genuine { .. }
    ));
    keys.delete(7).unwrap();
    receiver.forget(7);
    assert_eq!(receiver.verify(&keys, &new, 12), Verdict::UnknownKey(7));
}

#[test]
fn keys_are_shown_to_nobody() {
    let keys = shared(b"sesame");
    let (one, other) = (side(1, &[5]), side(2, &[5]));
    let mut auth = Auth::new(&one, &other).unwrap();
    packet(&mut auth, &keys);
    let shown = format!("{keys:?} {:?} {:?}", auth.ready, SharedKey::new(*b"sesame"));
    for form in ["sesame", "115, 101, 115", "73 65 73"] {
        assert!(!shown.contains(form), "{shown}");
    }
}

#[test]
fn what_a_cookie_carries_comes_back() {
    for chunks in [
        None,
        Some(&[][..]),
        Some(&[0, 0, 193, 128]),
        Some(&[7; 256]),
    ] {
        for algorithms in [&[0, 3, 0, 1][..], &[0, 1], &[0xFF, 0xFF, 0, 1]] {
            let params = AuthParams::of_peer(Some(&[3; 32]), chunks, Some(algorithms));
            let params = params.unwrap().unwrap();
            let mut bytes = Vec::new();
            params.encode(&mut bytes);
            assert_eq!(bytes.len(), params.encoded_len());
            for cut in 0..bytes.len() {
                assert_eq!(AuthParams::decode(&mut &bytes[..cut]), None);
            }
            bytes.push(0xAA);
            let mut rest = &bytes[..];
            assert_eq!(AuthParams::decode(&mut rest), Some(params));
            assert_eq!(rest, [0xAA]);
        }
    }
}

#[test]
fn threat_02_parameters_of_every_length_are_taken_or_refused() {
    // CVE-2020-6831: lists longer than an array that held them.
    let bytes = vec![1; 65_535];
    for length in 0..=65_535 {
        let value = Some(&bytes[..length]);
        let random = AuthParams::of_peer(value, None, Some(&[0, 1]));
        assert_eq!(random.is_ok(), length == 32, "RANDOM of {length}");
        let list = AuthParams::of_peer(Some(&[0; 32]), value, Some(&[0, 1]));
        assert_eq!(list.is_ok(), length <= 256, "CHUNKS of {length}");
        let algorithms = AuthParams::of_peer(Some(&[0; 32]), None, value);
        assert_eq!(
            algorithms.is_ok(),
            length / 2 <= 16,
            "HMAC-ALGO of {length}"
        );
    }
    // Without a random number, or an algorithm that is known here, there is nothing to do.
    let ok = AuthParams::of_peer;
    assert_eq!(ok(None, Some(&[0; 9999]), Some(&[0, 1])), Ok(None));
    assert_eq!(ok(Some(&[0; 32]), None, None), Ok(None));
    assert_eq!(ok(Some(&[0; 32]), None, Some(&[0, 2, 0, 9])), Ok(None));
}

#[test]
fn what_cannot_be_authenticated_is_not_asked_for() {
    let peer = AuthParams::of_peer(Some(&[1; 32]), Some(&[1, 2, 14, 15, 0]), Some(&[0, 1]));
    let auth = Auth::new(&side(2, &[]), &peer.unwrap().unwrap()).unwrap();
    assert_eq!(auth.requested().iter().collect::<Vec<_>>(), [0]);
    for kind in [
        kind::INIT,
        kind::INIT_ACK,
        kind::SHUTDOWN_COMPLETE,
        kind::AUTH,
    ] {
        let mut config = AssociationConfig::default();
        assert!(config.validate().is_ok());
        assert!(config.auth_chunks(&[0, kind]).validate().is_err());
    }
    let mut config = AssociationConfig::default();
    let (sha1, sha256) = (HmacAlgorithm::Sha1, HmacAlgorithm::Sha256);
    assert!(config.hmac_algorithms(&[sha256]).validate().is_err());
    assert!(config.hmac_algorithms(&[]).validate().is_err());
    assert!(config.hmac_algorithms(&[sha1, sha1]).validate().is_err());
    assert!(config.hmac_algorithms(&[sha1]).validate().is_ok());
}
