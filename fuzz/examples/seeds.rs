//! Writes the seeds of the corpora: inputs of the right shape for the fuzzer to begin with.
//!
//!     cd fuzz && cargo run --example seeds

use std::{fs, path::Path};

use sctp_proto::{
    Ppid, StreamId, Tsn,
    internals::wire::{
        CauseWriter, CommonHeader, DataFields, InitFields, PacketWriter, ParamWriter,
        ReConfigWriter, kind,
    },
};

fn main() {
    for (name, build) in packets() {
        write("packet", name, &packet(build));
    }
    write("params", "init", &[&[0], init_params().as_bytes()].concat());
    write("params", "causes", &[&[1], causes().as_bytes()].concat());
    write(
        "params",
        "reconfig",
        &[&[2], reconfig().as_bytes()].concat(),
    );
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(format!("seed-{name}")), bytes).expect("the seed can be written");
}

fn packet(build: fn(&mut PacketWriter<'_>)) -> Vec<u8> {
    let header = CommonHeader {
        source_port: 5000,
        destination_port: 80,
        verification_tag: 7,
    };
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes, 1200, &header);
    build(&mut writer);
    writer.finish();
    bytes
}

type Build = fn(&mut PacketWriter<'_>);

fn packets() -> [(&'static str, Build); 8] {
    [
        ("init", |p| p.init(kind::INIT, &INIT, &init_params())),
        ("init-ack", |p| {
            let mut params = init_params();
            params
                .state_cookie(&[9; 100])
                .unrecognized_parameter(&[0x80, 0, 0, 4]);
            p.init(kind::INIT_ACK, &INIT, &params);
        }),
        ("cookie-echo", |p| {
            p.cookie_echo(&[9; 100]);
            p.data(&DATA, b"hello");
        }),
        ("data", |p| {
            p.sack(Tsn::new(1), 65_536, &[(2, 3), (5, 5)], &[Tsn::new(1)]);
            p.data(&DATA, b"hello");
            p.i_data(&DATA, b"hello again");
        }),
        ("forward", |p| {
            p.forward_tsn(Tsn::new(9), &[(StreamId(1), 2)]);
            p.i_forward_tsn(Tsn::new(9), &[(StreamId(1), true, 2)]);
        }),
        ("control", |p| {
            p.cookie_ack();
            p.heartbeat(kind::HEARTBEAT, &[5; 8]);
            p.heartbeat(kind::HEARTBEAT_ACK, &[5; 8]);
            p.error(&causes());
            p.reconfig(reconfig().as_bytes());
            p.chunk(kind::PAD, 0, &[0; 5]);
        }),
        ("shutdown", |p| {
            p.shutdown(Tsn::new(3));
            p.shutdown_ack();
            p.shutdown_complete(true);
        }),
        ("abort", |p| {
            p.abort(true, CauseWriter::new().user_initiated_abort(b"enough"))
        }),
    ]
}

const INIT: InitFields = InitFields {
    initiate_tag: 1,
    a_rwnd: 65_536,
    outbound_streams: 10,
    inbound_streams: 10,
    initial_tsn: Tsn::new(1),
};

const DATA: DataFields = DataFields {
    tsn: Tsn::new(2),
    stream: StreamId(3),
    seq: 4,
    fsn: 0,
    ppid: Ppid(63),
    unordered: false,
    begin: true,
    end: true,
    immediate: true,
};

fn init_params() -> ParamWriter {
    let mut params = ParamWriter::new();
    params
        .ipv4_address([10, 0, 0, 1].into())
        .ipv6_address([0xfd00, 0, 0, 0, 0, 0, 0, 1].into())
        .cookie_preservative(std::time::Duration::from_secs(1))
        .supported_address_types(&[5, 6])
        .forward_tsn_supported()
        .supported_extensions(&[kind::I_DATA, kind::RE_CONFIG])
        .zero_checksum(1)
        .adaptation_layer(2);
    params
}

fn causes() -> CauseWriter {
    let mut causes = CauseWriter::new();
    causes
        .invalid_stream(StreamId(1))
        .missing_mandatory_parameters(&[7])
        .stale_cookie(std::time::Duration::from_millis(3))
        .out_of_resource()
        .unrecognized_chunk(&[99, 0, 0, 4])
        .unrecognized_parameters(&[0x80, 1, 0, 4])
        .no_user_data(Tsn::new(5))
        .protocol_violation(b"no")
        .restart_with_new_encapsulation_port(1, 2);
    causes
}

fn reconfig() -> ReConfigWriter {
    let mut params = ReConfigWriter::new();
    params
        .outgoing_reset(1, 2, Tsn::new(3), &[StreamId(4)])
        .incoming_reset(5, &[StreamId(6), StreamId(7)])
        .tsn_reset(8)
        .response(9, 1, Some((Tsn::new(10), Tsn::new(11))))
        .add_outgoing(12, 13)
        .add_incoming(14, 15);
    params
}
