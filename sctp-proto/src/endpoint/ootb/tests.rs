use std::time::Duration;

use super::*;
use crate::wire::{CauseWriter, CommonHeader, PacketWriter};

const HEADER: CommonHeader = CommonHeader {
    source_port: 1,
    destination_port: 2,
    verification_tag: 3,
};

fn packet(write: impl FnOnce(&mut PacketWriter<'_>)) -> Vec<u8> {
    let mut buf = Vec::new();
    let mut packet = PacketWriter::new(&mut buf, 1000, &HEADER);
    write(&mut packet);
    packet.finish();
    buf
}

fn stale() -> CauseWriter {
    let mut causes = CauseWriter::new();
    causes
        .out_of_resource()
        .stale_cookie(Duration::from_secs(1));
    causes
}

fn other_error() -> CauseWriter {
    let mut causes = CauseWriter::new();
    causes.out_of_resource();
    causes
}

#[test]
fn the_rules_in_their_order() {
    type Write = fn(&mut PacketWriter<'_>);
    let cases: [(&str, Write, Answer); 13] = [
        (
            "2: ABORT",
            |p| p.abort(false, &CauseWriter::new()),
            Answer::Silence,
        ),
        (
            "2 before 5",
            |p| {
                p.shutdown_ack();
                p.abort(true, &CauseWriter::new());
            },
            Answer::Silence,
        ),
        (
            "5: SHUTDOWN ACK",
            |p| p.shutdown_ack(),
            Answer::ShutdownComplete,
        ),
        (
            "5 before 6",
            |p| {
                p.shutdown_complete(false);
                p.shutdown_ack();
            },
            Answer::ShutdownComplete,
        ),
        (
            "5 before 7",
            |p| {
                p.shutdown_ack();
                p.cookie_ack();
            },
            Answer::ShutdownComplete,
        ),
        (
            "6: SHUTDOWN COMPLETE",
            |p| p.shutdown_complete(true),
            Answer::Silence,
        ),
        ("7: COOKIE ACK", |p| p.cookie_ack(), Answer::Silence),
        ("7: Stale Cookie", |p| p.error(&stale()), Answer::Silence),
        (
            "8: another ERROR",
            |p| p.error(&other_error()),
            Answer::Abort,
        ),
        (
            "8: SHUTDOWN",
            |p| p.shutdown(crate::Tsn::new(1)),
            Answer::Abort,
        ),
        (
            "8: COOKIE ECHO, not first",
            |p| p.cookie_echo(b"crumbs"),
            Answer::Abort,
        ),
        ("8: unknown chunk", |p| p.chunk(0x3F, 0, b""), Answer::Abort),
        (
            "§12.3: INIT with a tag",
            |p| p.chunk(kind::INIT, 0, &[1; 16]),
            Answer::Silence,
        ),
    ];
    for (rule, write, answer) in cases {
        assert_eq!(Answer::to(&packet(write)), Ok(answer), "{rule}");
    }
}

#[test]
fn a_malformed_packet_has_no_answer() {
    let mut cut = packet(|p| {
        p.shutdown_ack();
        p.chunk(kind::DATA, 0, &[0; 20]);
    });
    cut.truncate(cut.len() - 8);
    assert!(Answer::to(&cut).is_err());
}

#[test]
fn exceptions_to_the_tag_rule() {
    type Write = fn(&mut PacketWriter<'_>);
    let cases: [(Write, bool); 7] = [
        (|p| p.abort(true, &CauseWriter::new()), true),
        (|p| p.abort(false, &CauseWriter::new()), false),
        (|p| p.shutdown_complete(true), true),
        (|p| p.shutdown_complete(false), false),
        (|p| p.shutdown_ack(), true),
        (|p| p.cookie_ack(), false),
        (
            |p| {
                p.cookie_ack();
                p.abort(true, &CauseWriter::new());
            },
            true,
        ),
    ];
    for (n, (write, exception)) in cases.into_iter().enumerate() {
        assert_eq!(is_tag_exception(&packet(write)), exception, "case {n}");
    }
}
