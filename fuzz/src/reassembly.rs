//! Reassembly and the TSN map, fed by a peer that says anything.

use std::time::Duration;

use bytes::Bytes;
use sctp_proto::{
    AssociationConfig, Instant, Ppid, StreamId, Tsn,
    internals::rx::{Reassembly, RxChunk, RxError, Skipped, TsnCheck, TsnMap},
};

use crate::Input;

const STREAMS: u16 = 4;
const WINDOW: u32 = 16 * 1024;

/// Takes settings and a list of operations, most of them chunks that arrive.
pub fn reassembly(data: &[u8]) {
    let mut input = Input::new(data);
    let interleaving = input.u8() & 1 != 0;
    let initial = Tsn::new(u32::from(input.u16()).wrapping_sub(100));
    let mut config = AssociationConfig::default();
    config
        .receive_window(WINDOW)
        .stall_timeout(Duration::from_secs(10));
    let mut rx = Reassembly::new(&config, STREAMS, interleaving);
    let mut map = TsnMap::new(initial);
    let mut now = Instant::EPOCH;
    while !input.is_empty() {
        let operation = input.u8();
        let stream = StreamId(u16::from(operation >> 3) % (STREAMS + 1));
        match operation % 8 {
            0..=3 => {
                if arrive(&mut rx, &mut map, &mut input, stream).is_err() {
                    return; // the association is aborted
                }
            }
            4 if operation & 0x80 != 0 => skip(&mut rx, &mut map, &mut input),
            4 => read(&mut rx),
            5 => {
                while let Some(message) = rx.recv(stream) {
                    assert!(message.stream == stream);
                    assert_eq!(message.data.is_empty(), message.aborted);
                }
            }
            6 => match operation >> 6 {
                0 => rx.stop(stream),
                1 => rx.reset(Some(&[stream])),
                2 => rx.reset(None),
                _ => rx.compact(),
            },
            _ => {
                now += Duration::from_secs(input.u8().into());
                while rx.poll_stalled(now).is_some() {}
                while let Some((discarded, _)) = rx.discard_stalled(now) {
                    assert!(rx.is_discarding(discarded));
                }
                assert!(rx.stall_deadline().is_none_or(|deadline| deadline > now));
            }
        }
        while rx.poll_readable().is_some() {}
        assert!(rx.advertise() <= WINDOW);
        // A single chunk may exceed the window, when nothing else is held.
        assert!(rx.held() <= 2 * WINDOW as usize, "{} bytes held", rx.held());
    }
    read(&mut rx);
}

fn arrive(
    rx: &mut Reassembly,
    map: &mut TsnMap,
    input: &mut Input<'_>,
    stream: StreamId,
) -> Result<(), RxError> {
    let (flags, ahead) = (input.u8(), input.u8());
    let tsn = map.cumulative().plus(u32::from(ahead % 32) + 1);
    let len = match ahead >> 5 {
        0 => usize::from(input.u16()) % (WINDOW as usize) + 1,
        small => usize::from(small) * 40,
    };
    if map.check(tsn) != TsnCheck::New {
        return Ok(());
    }
    while !rx.has_room(stream, len) {
        let Some(given_up) = rx.renege(map.cumulative(), tsn) else {
            return Ok(());
        };
        assert!(tsn.before(given_up), "given up for an older one");
        map.remove(given_up);
    }
    let numbers = input.u8();
    rx.insert(RxChunk {
        tsn,
        stream,
        unordered: flags & 1 != 0,
        begin: flags & 2 != 0,
        end: flags & 4 != 0,
        seq: u32::from(numbers >> 4).wrapping_sub(2) & 0xffff,
        fsn: if flags & 2 != 0 {
            0
        } else {
            u32::from(numbers & 15)
        },
        ppid: Ppid(numbers.into()),
        payload: Bytes::from(vec![flags; len]),
        buffer: len as u32 + u32::from(flags) * 100,
        cumulative: tsn == map.cumulative().next(),
    })?;
    let before = map.cumulative();
    map.insert(tsn);
    if map.cumulative() != before {
        rx.on_cumulative(map.cumulative());
    }
    Ok(())
}

/// The peer gives up what is missing up to some TSN, and messages of any streams.
fn skip(rx: &mut Reassembly, map: &mut TsnMap, input: &mut Input<'_>) {
    let before = map.cumulative();
    let (distance, entries) = (input.u8(), input.u8());
    if !map.advance_to(before.plus(u32::from(distance % 40))) {
        return;
    }
    let skipped: Vec<_> = (0..entries % 4)
        .map(|_| (input.u8(), input.u8()))
        .map(|(stream, number)| Skipped {
            stream: StreamId(u16::from(stream >> 1) % (STREAMS + 1)),
            unordered: stream & 1 != 0,
            seq: u32::from(number >> 3).wrapping_sub(2) & 0xffff,
        })
        .collect();
    rx.skip(before, skipped.into_iter());
    rx.on_cumulative(map.cumulative());
}

/// Reads everything: what is left is only what waits for more.
fn read(rx: &mut Reassembly) {
    while let Some(message) = rx.recv_any() {
        assert!(message.stream.0 < STREAMS);
        assert_eq!(message.data.is_empty(), message.aborted);
    }
}
