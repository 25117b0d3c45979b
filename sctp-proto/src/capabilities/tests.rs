use super::*;
use crate::{
    Tsn,
    wire::{Chunk, CommonHeader, InitFields, PacketWriter, chunks},
};

const FIXED: InitFields = InitFields {
    initiate_tag: 1,
    a_rwnd: MIN_A_RWND,
    outbound_streams: 1,
    inbound_streams: 1,
    initial_tsn: Tsn::new(0),
};

/// A packet with one INIT.
fn packet(fixed: &InitFields, params: &ParamWriter) -> Vec<u8> {
    let header = CommonHeader {
        source_port: 1,
        destination_port: 2,
        verification_tag: 0,
    };
    let mut buf = Vec::new();
    let mut writer = PacketWriter::new(&mut buf, 4096, &header);
    writer.init(kind::INIT, fixed, params);
    writer.finish();
    buf
}

fn init(packet: &[u8]) -> Init<'_> {
    let first = chunks(packet).next().unwrap().unwrap();
    match Chunk::parse(first) {
        Ok(Chunk::Init(init)) => init,
        other => panic!("{other:?}"),
    }
}

/// Parses the parameters that `write` writes.
fn with_params<T>(
    which: InitKind,
    write: impl FnOnce(&mut ParamWriter),
    check: impl FnOnce(Result<PeerParams<'_>, InitReject<'_>>) -> T,
) -> T {
    let mut params = ParamWriter::new();
    write(&mut params);
    let packet = packet(&FIXED, &params);
    check(PeerParams::parse(&init(&packet), which, offered()))
}

#[test]
fn extensions_survive_the_wire() {
    let mut config = AssociationConfig::default();
    for (interleaving, reset) in [(false, false), (true, false), (false, true), (true, true)] {
        config.interleaving(interleaving).stream_reset(reset);
        let offered = Capabilities::offered(&config);
        assert_eq!(
            (offered.interleaving(), offered.reconfig()),
            (interleaving, reset)
        );
        with_params(
            InitKind::Init,
            |params| {
                offered.write_params(params);
                AuthParams::local(&config, [1; 32]).write(params);
            },
            |peer| assert_eq!(peer.unwrap().capabilities, offered),
        );
    }
}

#[test]
fn only_what_both_sides_offer_is_used() {
    let mut config = AssociationConfig::default();
    config.interleaving(false);
    let ours = Capabilities::offered(&config);
    with_params(
        InitKind::Init,
        |params| {
            params.supported_extensions(&[kind::I_DATA, kind::RE_CONFIG, kind::PAD, 0x77]);
        },
        |peer| {
            let both = ours.and(peer.unwrap().capabilities);
            assert!(both.reconfig());
            assert!(!both.interleaving());
        },
    );
}

#[test]
fn nothing_is_written_for_no_extension() {
    let mut params = ParamWriter::new();
    Capabilities::default().write_params(&mut params);
    assert_eq!(params.as_bytes(), []);
}

#[test]
fn fixed_fields_are_checked() {
    let cases = [
        (
            InitFields {
                initiate_tag: 0,
                ..FIXED
            },
            InitReject::ZeroTag,
        ),
        (
            InitFields {
                a_rwnd: MIN_A_RWND - 1,
                ..FIXED
            },
            InitReject::SmallWindow,
        ),
        (
            InitFields {
                outbound_streams: 0,
                ..FIXED
            },
            InitReject::InvalidField("no outbound streams"),
        ),
        (
            InitFields {
                inbound_streams: 0,
                ..FIXED
            },
            InitReject::InvalidField("no inbound streams"),
        ),
    ];
    for (fixed, reject) in cases {
        let packet = packet(&fixed, &ParamWriter::new());
        let parsed = PeerParams::parse(&init(&packet), InitKind::Init, offered());
        assert_eq!(parsed.unwrap_err(), reject);
    }
    let packet = packet(&FIXED, &ParamWriter::new());
    assert!(PeerParams::parse(&init(&packet), InitKind::Init, offered()).is_ok());
}

#[test]
fn unknown_parameters_go_by_their_two_high_bits() {
    // Type, whether the one after it is read, whether it is reported.
    let cases = [
        (0x0777, false, false),
        (0x4777, false, true),
        (0x8777, true, false),
        (0xC777, true, true),
    ];
    for (unknown, goes_on, reports) in cases {
        with_params(
            InitKind::Init,
            |params| {
                params
                    .param(unknown, b"abcde")
                    .ipv4_address([192, 0, 2, 1].into());
            },
            |peer| {
                let peer = peer.unwrap();
                assert_eq!(!peer.addresses.is_empty(), goes_on, "{unknown:#x}");
                let tlv = [&unknown.to_be_bytes()[..], &[0, 9], b"abcde"].concat();
                let expected: &[&[u8]] = if reports { &[&tlv] } else { &[] };
                assert_eq!(&peer.unrecognized[..], expected, "{unknown:#x}");
            },
        );
    }
}

#[test]
fn partial_reliability_needs_the_chunk_that_goes_with_the_data() {
    let ours = Capabilities::offered(&AssociationConfig::default());
    type Offer = fn(&mut ParamWriter);
    let peers: [(&str, Offer, bool); 6] = [
        ("nothing", |_| {}, false),
        ("the parameter", |p| _ = p.forward_tsn_supported(), true),
        (
            "the chunk",
            |p| _ = p.supported_extensions(&[kind::FORWARD_TSN]),
            true,
        ),
        (
            "I-DATA, and the parameter only",
            |p| {
                p.supported_extensions(&[kind::I_DATA]);
                p.forward_tsn_supported();
            },
            false,
        ),
        (
            "I-FORWARD-TSN without I-DATA",
            |p| _ = p.supported_extensions(&[kind::I_FORWARD_TSN]),
            false,
        ),
        (
            "I-DATA with I-FORWARD-TSN",
            |p| _ = p.supported_extensions(&[kind::I_DATA, kind::I_FORWARD_TSN]),
            true,
        ),
    ];
    for (what, offer, expected) in peers {
        with_params(InitKind::Init, offer, |peer| {
            let peer = peer.unwrap();
            assert!(peer.unrecognized.is_empty(), "{what}");
            let agreed = ours.and(peer.capabilities);
            assert_eq!(agreed.partial_reliability(), expected, "{what}");
        });
    }
    let mut off = AssociationConfig::default();
    off.partial_reliability(false);
    let mut params = ParamWriter::new();
    Capabilities::offered(&off).write_params(&mut params);
    // As a chunk type, or as the first byte of the parameter.
    let told = |byte: &u8| matches!(*byte, kind::FORWARD_TSN | kind::I_FORWARD_TSN);
    assert!(!params.as_bytes().iter().any(told));
}

#[test]
fn reports_are_parameters_again() {
    with_params(
        InitKind::InitAck,
        |params| {
            params
                .param(0xC777, b"a")
                .state_cookie(b"crumbs")
                .param(0xC778, b"b");
        },
        |peer| {
            let tlvs = [0xC7, 0x77, 0, 5, b'a', 0, 0, 0, 0xC7, 0x78, 0, 5, b'b'];
            assert_eq!(peer.unwrap().unrecognized_tlvs(), tlvs);
        },
    );
}

#[test]
fn reports_are_bounded() {
    with_params(
        InitKind::Init,
        |params| {
            for _ in 0..500 {
                params.param(0xC777, &[]);
            }
        },
        |peer| assert_eq!(peer.unwrap().unrecognized.len(), MAX_REPORTED / 8),
    );
}

#[test]
fn addresses_are_bounded_and_of_single_hosts() {
    with_params(
        InitKind::Init,
        |params| {
            params
                .ipv4_address([0, 0, 0, 0].into())
                .ipv4_address([255, 255, 255, 255].into())
                .ipv4_address([224, 0, 0, 1].into())
                .param(param::IPV6_ADDRESS, &[0xFF; 16])
                .ipv4_address([192, 0, 2, 1].into())
                .ipv4_address([192, 0, 2, 1].into());
            for host in 2..50 {
                params.ipv4_address([192, 0, 2, host].into());
            }
        },
        |peer| {
            let expected: Vec<IpAddr> = (1..=8).map(|host| [192, 0, 2, host].into()).collect();
            assert_eq!(&peer.unwrap().addresses[..], expected);
        },
    );
}

#[test]
fn host_names_are_refused_and_given_back() {
    let name = b"example.org\0";
    let write = |params: &mut ParamWriter| {
        params.param(param::HOST_NAME_ADDRESS, name);
    };
    let tlv = [&[0, 11, 0, 16][..], name].concat();
    for which in [InitKind::Init, InitKind::InitAck] {
        with_params(which, write, |peer| {
            let reject = peer.unwrap_err();
            assert_eq!(reject, InitReject::HostName(&tlv));
            let mut causes = CauseWriter::new();
            reject.write_cause(&mut causes);
            assert_eq!(causes.as_bytes(), [&[0, 5, 0, 20][..], &tlv].concat());
        });
    }
}

#[test]
fn init_ack_needs_a_cookie_and_init_has_none() {
    with_params(
        InitKind::InitAck,
        |_| (),
        |peer| {
            let reject = peer.unwrap_err();
            assert_eq!(reject, InitReject::NoCookie);
            let mut causes = CauseWriter::new();
            reject.write_cause(&mut causes);
            let missing = [0, 2, 0, 10, 0, 0, 0, 1, 0, 7];
            assert!(causes.as_bytes().starts_with(&missing));
        },
    );
    let write = |params: &mut ParamWriter| {
        params.state_cookie(b"first").state_cookie(b"second");
    };
    with_params(InitKind::InitAck, write, |peer| {
        assert_eq!(peer.unwrap().cookie, Some(&b"first"[..]));
    });
    with_params(InitKind::Init, write, |peer| {
        assert_eq!(peer.unwrap().cookie, None);
    });
}

/// §3.2.1 has INIT ACK answered with COOKIE ECHO in all four cases.
#[test]
fn a_cookie_behind_a_parameter_that_stops_is_found() {
    for unknown in [0x0777, 0x4777] {
        let write = |params: &mut ParamWriter| {
            params
                .param(unknown, &[])
                .ipv4_address([192, 0, 2, 1].into())
                .state_cookie(b"crumbs")
                .raw(&[0xC0, 0x77, 0, 3]);
        };
        with_params(InitKind::InitAck, write, |peer| {
            let peer = peer.unwrap();
            assert_eq!(peer.cookie, Some(&b"crumbs"[..]));
            assert!(peer.addresses.is_empty(), "what follows is not processed");
        });
    }
    let without = |params: &mut ParamWriter| {
        params.param(0x0777, &[]).raw(&[0, 7, 0, 3]);
    };
    with_params(InitKind::InitAck, without, |peer| {
        assert_eq!(peer.unwrap_err(), InitReject::NoCookie);
    });
}

#[test]
fn malformed_parameters_are_a_protocol_violation() {
    let writes: [fn(&mut ParamWriter); 3] = [
        |params| {
            params.param(param::IPV4_ADDRESS, &[192, 0, 2]);
        },
        |params| {
            params.raw(&[0xC0, 0x77, 0, 3]);
        },
        |params| {
            params.raw(&[0xC0, 0x77, 0, 9, 1, 2, 3, 4]);
        },
    ];
    for write in writes {
        with_params(InitKind::Init, write, |peer| {
            let reject = peer.unwrap_err();
            assert!(matches!(reject, InitReject::Malformed(_)), "{reject:?}");
            let mut causes = CauseWriter::new();
            reject.write_cause(&mut causes);
            assert_eq!(causes.as_bytes()[..2], [0, 13]);
        });
    }
}

/// What the defaults offer.
fn offered() -> Capabilities {
    Capabilities::offered(&AssociationConfig::default())
}

#[test]
fn each_side_says_for_itself_whether_it_takes_packets_without_a_checksum() {
    let mut config = AssociationConfig::default();
    // Its parameters are written elsewhere.
    config.auth(false);
    let off = Capabilities::offered(&config);
    config.zero_checksum(Some(ErrorDetection::Dtls));
    let on = Capabilities::offered(&config);
    let peer = |offered: Capabilities| {
        let write = |params: &mut ParamWriter| offered.write_params(params);
        with_params(InitKind::Init, write, |peer| peer.unwrap().capabilities)
    };
    for (ours, theirs, takes, sends) in [
        (on, on, true, true),
        (on, off, true, false),
        (off, on, false, false),
        (off, off, false, false),
    ] {
        let both = ours.and(peer(theirs));
        assert_eq!(
            (both.zero_checksum_in(), both.zero_checksum_out()),
            (takes, sends)
        );
    }
    // Guarded by something that this side knows nothing of.
    let write = |params: &mut ParamWriter| _ = params.zero_checksum(2);
    let unknown = with_params(InitKind::Init, write, |peer| peer.unwrap().capabilities);
    assert!(!on.and(unknown).zero_checksum_out());
}
