//! Two endpoints, with an address or two each, over a wire that loses, repeats, delays and changes
//! packets. Interfaces go and come, and ends crash.
//!
//! The hosts check the polling contract at every step; on top of it, messages come in order and
//! unchanged while no packet is changed and nobody crashes.

use std::{collections::HashMap, time::Duration};

use sctp_proto::{AssociationState, CongestionControl, SendInfo, StreamId};
use sctp_tests::{
    codec::seal,
    host::local_addresses,
    net::{Datagram, Verdict},
    pair::{Pair, Side},
};

use crate::Input;

const STREAMS: u16 = 4;
/// Addresses of both sides: one or two of each.
const CLIENT: [&str; 2] = ["10.0.0.1:9899", "10.1.0.1:9899"];
const SERVER: [&str; 2] = ["10.0.0.2:9899", "10.1.0.2:9899"];
/// Operations of a run: more only repeat themselves.
const OPERATIONS: usize = 200;

/// Takes settings, the fates of packets, and a list of operations.
pub fn association(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.u8();
    let fates: Vec<u8> = {
        let count = input.u8();
        input.take(usize::from(count % 64)).to_vec()
    };
    let mangled = fates.iter().any(|fate| fate % 8 == 4);
    let addresses = 1 + usize::from(settings >> 4 & 1);
    let mut pair = Pair::builder()
        .seed(settings.into())
        .addrs(&CLIENT[..addresses], &SERVER[..addresses])
        .both(|config| {
            config
                .interleaving(settings & 1 != 0)
                .receive_window(32 * 1024);
            config.send_buffer(64 * 1024).stream_send_buffer(32 * 1024);
            config.outbound_streams(STREAMS).nodelay(settings & 2 != 0);
            config.congestion_control(match settings >> 2 & 3 {
                1 => CongestionControl::Cubic,
                2 => CongestionControl::Bbr,
                _ => CongestionControl::Rfc9260,
            });
        })
        .untraced()
        .steps(1_000_000)
        .build();
    let mut index = 0;
    pair.net.script(move |_, datagram| {
        let fate = fates.get(index % fates.len().max(1)).copied().unwrap_or(0);
        index += 1;
        verdict(fate, index, datagram)
    });
    pair.start();
    let mut sent: HashMap<(bool, u16), Vec<Vec<u8>>> = HashMap::new();
    let mut got: HashMap<(bool, u16), (usize, usize)> = HashMap::new();
    let mut numbering_holds = !mangled;
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        let operation = input.u8();
        let side = if operation & 0x80 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let stream = u16::from(operation >> 3) % STREAMS;
        if pair.host(side).conns.is_empty() {
            pair.drive_for(Duration::from_millis(100));
            continue;
        }
        match operation % 8 {
            0 | 1 => {
                let size = usize::from(input.u16()) % 20_000 + 1;
                let messages = sent.entry((side == Side::Client, stream)).or_default();
                let message = vec![messages.len() as u8; size];
                let info = SendInfo::default();
                if pair
                    .try_send(side, stream, message.clone().into(), info)
                    .is_ok()
                {
                    messages.push(message);
                }
            }
            2 => {
                let unordered = SendInfo::default().unordered(true);
                let _ = pair.try_send(side, STREAMS - 1, vec![0; 100].into(), unordered);
            }
            3 => pair.drive_for(Duration::from_millis(u64::from(input.u8()) * 4)),
            4 => {
                let id = StreamId(stream);
                while let Some(message) = pair.conn(side).association.recv(id) {
                    // The last stream carries unordered messages as well.
                    if !numbering_holds || stream == STREAMS - 1 {
                        continue;
                    }
                    // A message may come in parts.
                    let (index, length) = got.entry((side == Side::Client, stream)).or_default();
                    let expected = &sent[&(side == Side::Server, stream)][*index];
                    let part = message.data.into_bytes();
                    assert!(expected[*length..].starts_with(&part), "other bytes");
                    *length += part.len();
                    if message.complete {
                        assert_eq!(*length, expected.len(), "message {index}");
                        (*index, *length) = (*index + 1, 0);
                    }
                }
            }
            5 => {
                let now = pair.now;
                let streams = [StreamId(stream)];
                let _ = pair.conn(side).association.reset_streams(now, &streams);
            }
            6 if operation & 0x40 != 0 => pair.shutdown(side),
            6 => pair.conn(side).association.stop(StreamId(STREAMS - 1)),
            _ => match operation >> 5 & 3 {
                3 => {
                    pair.abort(side, "enough");
                    numbering_holds = false;
                }
                2 => {
                    pair.crash(side);
                    if side == Side::Client {
                        pair.start();
                    }
                    numbering_holds = false;
                }
                1 => on_paths(&mut pair, side, input.u8()),
                _ => pair.drive_for(Duration::from_secs(1)),
            },
        }
        pair.flush();
    }
    pair.drive_for(Duration::from_secs(5));
    for side in [Side::Client, Side::Server] {
        if !pair.host(side).conns.is_empty() && pair.state(side) == AssociationState::Closed {
            assert!(pair.closed(side).is_some(), "closed without a reason");
        }
    }
}

/// One side probes a path or prefers it, or its interfaces go and come, or are said to.
fn on_paths(pair: &mut Pair, side: Side, which: u8) {
    let now = pair.now;
    let addresses = local_addresses(&pair.host(side).addrs);
    let index = usize::from(which >> 2);
    let association = &mut pair.conn(side).association;
    let paths: Vec<_> = association.paths().map(|path| path.id).collect();
    let path = (!paths.is_empty()).then(|| paths[index % paths.len()]);
    match (which & 3, path) {
        (0, Some(path)) => _ = association.request_heartbeat(now, path),
        (1, Some(path)) => _ = association.set_primary(path),
        (2, _) => {
            let ip = addresses[index % addresses.len()].ip;
            let _ = association.set_peer_primary(now, ip);
        }
        _ if addresses.len() > 1 => {
            let mut left = addresses;
            if index & 4 != 0 {
                left.remove(index & 1);
            }
            association.handle_local_addresses(now, &left);
            pair.host(side).endpoint.set_local_addresses(left);
        }
        _ => {}
    }
}

fn verdict(fate: u8, index: usize, datagram: &Datagram) -> Verdict {
    let argument = usize::from(fate >> 3);
    match fate % 8 {
        1 => Verdict::Drop,
        2 => Verdict::Duplicate,
        3 => Verdict::Delay(Duration::from_millis(10 * argument as u64)),
        4 => {
            let mut payload = datagram.payload.clone();
            let position = (argument * 7 + index) % payload.len();
            payload[position] ^= 1 << (index % 8);
            seal(&mut payload);
            Verdict::Replace(payload)
        }
        _ => Verdict::Pass,
    }
}
