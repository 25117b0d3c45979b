use std::net::IpAddr;

use bytes::Bytes;

use super::*;
use crate::{
    ids::Tsn,
    wire::{
        AddressChange, AsconfWriter, CauseWriter, Chunk, CommonHeader, PacketWriter,
        asconf_ack_value, cause, chunks,
    },
};

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn add(last: u8) -> Wish {
    wish(AddressChange::Add(ip(last)), last)
}

fn delete(last: u8) -> Wish {
    wish(AddressChange::Delete(ip(last)), last)
}

fn primary(last: u8) -> Wish {
    wish(AddressChange::SetPrimary(ip(last)), last)
}

fn wish(change: AddressChange, about: u8) -> Wish {
    Wish {
        change,
        about: ip(about),
        via: None,
    }
}

/// A packet with one chunk that `write` writes, handed to `check` as parsed.
fn parsed<T>(write: impl FnOnce(&mut PacketWriter<'_>), check: impl FnOnce(Chunk<'_>) -> T) -> T {
    let header = CommonHeader {
        source_port: 1,
        destination_port: 2,
        verification_tag: 3,
    };
    let mut bytes = Vec::new();
    let mut packet = PacketWriter::new(&mut bytes, 1200, &header);
    write(&mut packet);
    packet.finish();
    let raw = chunks(&bytes).next().unwrap().unwrap();
    check(Chunk::parse(raw).unwrap())
}

fn acknowledge(outgoing: &mut Outgoing, seq: u32, answers: &AsconfWriter) -> Acked {
    let value = asconf_ack_value(seq, answers);
    parsed(
        |packet| packet.asconf_ack(&value),
        |chunk| match chunk {
            Chunk::AsconfAck(ack) => outgoing.on_ack(&ack),
            other => panic!("{other:?}"),
        },
    )
}

/// Sequence number and (correlation, change) of the request under way.
fn under_way(outgoing: &Outgoing) -> (u32, Vec<(u32, AddressChange)>) {
    let value = &outgoing.request().expect("a request").value;
    parsed(
        |packet| packet.asconf(value),
        |chunk| match chunk {
            Chunk::Asconf(asconf) => {
                let requests = asconf.requests().map(Result::unwrap);
                let list = requests.map(|request| (request.correlation, request.change));
                (asconf.seq, list.collect())
            }
            other => panic!("{other:?}"),
        },
    )
}

fn results(acked: Acked) -> Vec<bool> {
    match acked {
        Acked::Done(done) => done.into_iter().map(|(_, performed)| performed).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_request_is_under_way_at_a_time() {
    let mut outgoing = Outgoing::new(Tsn::new(u32::MAX));
    assert!(outgoing.wish(add(1)) && outgoing.wish(add(2)) && outgoing.wish(add(2)));
    outgoing.advance(ip(9));
    let (seq, changes) = under_way(&outgoing);
    assert_eq!((seq, changes.len()), (u32::MAX, 2));
    outgoing.wish(delete(1));
    assert!(!outgoing.waits(), "not before the answer");
    outgoing.advance(ip(9));
    assert_eq!(under_way(&outgoing).1, changes, "it stays as it was");
    // What was answered before, and what comes from nowhere.
    let none = AsconfWriter::new();
    assert_eq!(acknowledge(&mut outgoing, u32::MAX - 1, &none), Acked::Old);
    assert_eq!(acknowledge(&mut outgoing, 0, &none), Acked::Illegal);
    assert_eq!(
        results(acknowledge(&mut outgoing, u32::MAX, &none)),
        [true, true]
    );
    assert_eq!(acknowledge(&mut outgoing, u32::MAX, &none), Acked::Old);
    assert!(outgoing.waits());
    outgoing.advance(ip(9));
    let (seq, changes) = under_way(&outgoing);
    assert_eq!(
        (seq, changes[0].0),
        (0, 3),
        "numbers wrap, correlations go on"
    );
    assert_eq!(acknowledge(&mut outgoing, 1, &none), Acked::Illegal);
}

#[test]
fn answers_are_matched_as_rules_a7_and_a8_have_it() {
    let mut causes = CauseWriter::new();
    causes.cause(cause::RESOURCE_SHORTAGE, &[]);
    let causes = causes.as_bytes();
    // Which of three requests fail, which are said to have succeeded: what holds.
    for (failed, succeeded, expected) in [
        (&[][..], &[][..], [true, true, true]),
        (&[2], &[], [true, false, false]),
        (&[2], &[3], [true, false, true]),
        (&[1], &[2], [false, true, false]),
        (&[3], &[], [true, true, false]),
        (&[1, 3], &[3], [false, false, false]),
        (&[9], &[], [true, true, true]),
    ] {
        let mut outgoing = Outgoing::new(Tsn::new(5));
        for last in 1..=3 {
            outgoing.wish(add(last));
        }
        outgoing.advance(ip(9));
        let mut answers = AsconfWriter::new();
        for correlation in failed {
            answers.error(*correlation, causes);
        }
        for correlation in succeeded {
            answers.success(*correlation);
        }
        let done = results(acknowledge(&mut outgoing, 5, &answers));
        assert_eq!(done, expected, "{failed:?} {succeeded:?}");
    }
}

#[test]
fn what_the_peer_does_not_understand_is_not_asked_again() {
    let mut unknown = CauseWriter::new();
    unknown.unrecognized_parameters(&[0xC0, 4, 0, 4]);
    let mut outgoing = Outgoing::new(Tsn::new(5));
    outgoing.wish(primary(1));
    outgoing.wish(add(2));
    outgoing.advance(ip(9));
    outgoing.wish(primary(2));
    outgoing.wish(delete(3));
    let mut answers = AsconfWriter::new();
    answers.error(1, unknown.as_bytes()).success(2);
    assert_eq!(
        results(acknowledge(&mut outgoing, 5, &answers)),
        [false, true]
    );
    assert!(!outgoing.wish(primary(4)), "rule F3b");
    outgoing.advance(ip(9));
    assert_eq!(under_way(&outgoing).1.len(), 1);
    let mut answers = AsconfWriter::new();
    answers.error(3, unknown.as_bytes());
    assert_eq!(results(acknowledge(&mut outgoing, 6, &answers)), [false]);
    assert!(
        !outgoing.wish(add(5)) && !outgoing.wish(delete(5)),
        "rule F3a"
    );

    let mut outgoing = Outgoing::new(Tsn::new(5));
    outgoing.wish(add(1));
    outgoing.advance(ip(9));
    outgoing.wish(add(2));
    outgoing.stop();
    assert!(outgoing.request().is_none() && !outgoing.waits(), "rule A9");
    assert!(!outgoing.wish(add(3)));
}

#[test]
fn an_address_that_comes_and_goes_at_once_is_not_mentioned() {
    let mut outgoing = Outgoing::new(Tsn::new(5));
    outgoing.wish(add(1));
    outgoing.advance(ip(9));
    outgoing.wish(add(2));
    assert!(outgoing.is_adding(ip(1)) && outgoing.is_adding(ip(2)) && !outgoing.is_adding(ip(3)));
    outgoing.wish(delete(2));
    assert!(!outgoing.waits() && !outgoing.is_adding(ip(2)));
    // Of one that the peer is being told of, it has to be told the end as well.
    outgoing.wish(delete(1));
    acknowledge(&mut outgoing, 5, &AsconfWriter::new());
    outgoing.advance(ip(9));
    assert_eq!(under_way(&outgoing).1, [(2, AddressChange::Delete(ip(1)))]);
}

#[test]
fn wishes_are_few_and_requests_small() {
    let mut outgoing = Outgoing::new(Tsn::new(5));
    let taken = (0..200).filter(|last| outgoing.wish(add(*last))).count();
    assert_eq!(taken, 32);
    outgoing.advance(ip(9));
    assert!(outgoing.request().unwrap().value.len() <= 200);
    // What has to leave from another address goes in a request of its own.
    let mut outgoing = Outgoing::new(Tsn::new(5));
    outgoing.wish(Wish {
        via: Some(ip(7)),
        ..add(7)
    });
    outgoing.wish(add(1));
    outgoing.advance(ip(9));
    assert_eq!(under_way(&outgoing).1.len(), 1);
    assert_eq!(outgoing.request().unwrap().via, Some(ip(7)));
}

#[test]
fn each_request_of_the_peer_is_performed_once() {
    let mut incoming = Incoming::new(Tsn::new(u32::MAX));
    assert_eq!(incoming.judge(0), Order::Stale, "from the future");
    assert_eq!(
        incoming.judge(u32::MAX - 1),
        Order::Stale,
        "before the first"
    );
    for seq in [u32::MAX, 0, 1, 2, 3, 4, 5] {
        assert_eq!(incoming.judge(seq), Order::Next);
        let answer = Bytes::copy_from_slice(&seq.to_be_bytes());
        incoming.answered(answer.clone());
        assert_eq!(incoming.judge(seq), Order::Again(answer));
    }
    // A few answers are kept.
    assert!(matches!(incoming.judge(2), Order::Again(_)));
    assert_eq!(incoming.judge(1), Order::Stale);
    assert_eq!(incoming.judge(7), Order::Stale);
}
