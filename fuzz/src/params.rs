//! Reading parameters and error causes: nothing panics, and what was understood is the same once
//! written anew.

use sctp_proto::internals::wire::{
    Cause, Causes, Chunk, CommonHeader, PacketWriter, Param, ParamWriter, Params, chunks, kind,
    on_unknown_param, rewrite_reconfig,
};

/// What INIT has before its parameters.
const INIT_FIXED: usize = 16;
/// Parameters up to this length fit into a chunk.
const LONGEST: usize = 32 * 1024;

/// Takes the parameters of INIT, the causes of ERROR, or the parameters of RE-CONFIG, as the first
/// byte says.
pub fn params(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let rest = &rest[..rest.len().min(LONGEST)];
    let (kind, value) = match first % 3 {
        0 => (kind::INIT, [&[0; INIT_FIXED], rest].concat()),
        1 => (kind::ERROR, rest.to_vec()),
        _ => (kind::RE_CONFIG, rest.to_vec()),
    };
    let header = CommonHeader {
        source_port: 1,
        destination_port: 2,
        verification_tag: 3,
    };
    let mut packet = Vec::new();
    let mut writer = PacketWriter::new(&mut packet, 2 * LONGEST, &header);
    writer.chunk(kind, 0, &value);
    writer.finish();
    let raw = chunks(&packet).next().expect("a chunk").expect("its form");
    match Chunk::parse(raw) {
        Ok(Chunk::Init(init)) => init_params(&init.params),
        Ok(Chunk::Error(causes)) => error_causes(&causes),
        Ok(Chunk::ReConfig(reconfig)) => {
            let _ = rewrite_reconfig(&reconfig);
        }
        Ok(other) => panic!("another chunk: {other:?}"),
        Err(_) => assert_eq!(kind, kind::ERROR, "the form of this chunk's value is free"),
    }
}

fn init_params(params: &Params<'_>) {
    let mut writer = ParamWriter::new();
    let mut count = 0;
    for raw in params.iter().map_while(Result::ok) {
        // The header and the value are the whole of it.
        assert_eq!(raw.raw.len(), 4 + raw.value.len());
        let _ = (
            on_unknown_param(raw.kind).stop(),
            on_unknown_param(raw.kind).report(),
        );
        count += 1;
        match Param::parse(raw) {
            Ok(Param::Ipv6Address(address)) => writer.ipv6_address(address),
            Ok(Param::CookiePreservative(increment)) => writer.cookie_preservative(increment),
            _ => writer.raw(raw.raw),
        };
    }
    let bytes = writer.as_bytes();
    assert!(bytes.len() <= LONGEST, "written anew, they are no longer");
    let again = wrapped(bytes);
    let again = Chunk::parse(chunks(&again).next().expect("a chunk").expect("its form"));
    let Ok(Chunk::Init(again)) = again else {
        panic!("another chunk: {again:?}");
    };
    assert_eq!(again.params.iter().count(), count);
    for (before, after) in params.iter().map_while(Result::ok).zip(again.params.iter()) {
        match (
            Param::parse(before),
            Param::parse(after.expect("a parameter's form")),
        ) {
            // Written as the IPv4 address it stands for.
            (Ok(Param::Ipv6Address(before)), Ok(Param::Ipv4Address(after))) => {
                assert_eq!(before.to_ipv4_mapped(), Some(after));
            }
            (before, after) => assert_eq!(before, after),
        }
    }
}

fn wrapped(params: &[u8]) -> Vec<u8> {
    let header = CommonHeader {
        source_port: 1,
        destination_port: 2,
        verification_tag: 3,
    };
    let mut packet = Vec::new();
    let mut writer = PacketWriter::new(&mut packet, 2 * LONGEST, &header);
    writer.chunk(kind::INIT, 0, &[&[0; INIT_FIXED], params].concat());
    writer.finish();
    packet
}

fn error_causes(causes: &Causes<'_>) {
    for raw in causes.iter() {
        assert_eq!(raw.raw.len(), 4 + raw.info.len());
        let owned = raw.to_owned();
        assert_eq!(owned.code, raw.code);
        assert!(raw.info.starts_with(&owned.info));
        if let Ok(Cause::UnrecognizedParameters(params) | Cause::RestartWithNewAddresses(params)) =
            Cause::parse(raw)
        {
            for param in params.iter().map_while(Result::ok) {
                let _ = Param::parse(param);
            }
        }
    }
}
