//! What holds for every packet that leaves, whoever sends it and in whatever state.

use crate::codec::{Chunk, Init, Packet, flag, kind, param};

/// Checks a packet that an honest stack sent; the error says what it must not look like.
pub fn check(packet: &Packet) -> Result<(), String> {
    check_header(packet)?;
    check_bundle(&packet.chunks)?;
    for chunk in &packet.chunks {
        check_chunk(chunk).map_err(|why| format!("{why}: {chunk:?}"))?;
    }
    Ok(())
}

//= RFC 9260 §3.1, test
//# The Source Port Number 0 MUST NOT be used.
//= RFC 9260 §3.1, test
//# The Destination Port Number 0 MUST NOT be used.
//= RFC 9260 §3.1, test
//# A packet containing an INIT chunk MUST have a...
fn check_header(packet: &Packet) -> Result<(), String> {
    if packet.source == 0 || packet.destination == 0 {
        return Err("port 0".into());
    }
    let init = packet.chunks.iter().any(|chunk| chunk.kind == kind::INIT);
    if init != (packet.tag == 0) {
        return Err(format!("verification tag {:#x}", packet.tag));
    }
    Ok(())
}

//= RFC 9260 §3, test
//# INIT, INIT ACK, and SHUTDOWN COMPLETE chunks MUST NOT be bundled with any...
//= RFC 9260 §3.2.2, test
//# Any time a COOKIE ECHO chunk is sent in a packet, it MUST be the...
//= RFC 9260 §5.1, test
//# A COOKIE ACK chunk MAY be bundled with any pending...
//= RFC 9260 §3.3.7, test
//# Control chunks (except for INIT, INIT ACK, and SHUTDOWN COMPLETE) MAY be...
//= RFC 9260 §3.3.7, test
//# DATA chunks MUST NOT be bundled with ABORT chunks.
//= RFC 9260 §6, test
//# Control chunks MUST come before DATA chunks in the packet.
//= RFC 9260 §6.10, test
//# The transmitter MUST transmit DATA chunks within an SCTP...
fn check_bundle(chunks: &[Chunk]) -> Result<(), String> {
    let is_data = |chunk: &Chunk| matches!(chunk.kind, kind::DATA | kind::I_DATA);
    let has_data = chunks.iter().any(is_data);
    let auths = chunks.iter().filter(|chunk| chunk.kind == kind::AUTH);
    if auths.count() > 1 {
        return Err(format!("two AUTH chunks: {chunks:?}"));
    }
    for (at, chunk) in chunks.iter().enumerate() {
        // What has to be first comes first behind an AUTH as well (RFC 4895 §6.3).
        let first = at == 0 || (at == 1 && chunks[0].kind == kind::AUTH);
        let (first, last) = (first, at == chunks.len() - 1);
        let allowed = match chunk.kind {
            kind::INIT | kind::INIT_ACK | kind::SHUTDOWN_COMPLETE => at == 0 && last,
            kind::AUTH => !last,
            kind::COOKIE_ECHO | kind::COOKIE_ACK => first,
            kind::ABORT => last && !has_data,
            _ => true,
        };
        if !allowed {
            return Err(format!("chunk {} of {chunks:?} is out of place", at + 1));
        }
    }
    for pair in chunks.windows(2).filter(|pair| is_data(&pair[0])) {
        if !is_data(&pair[1]) {
            return Err(format!("a control chunk after DATA: {chunks:?}"));
        }
        let step = pair[1].as_data().tsn.wrapping_sub(pair[0].as_data().tsn);
        if !(1..1 << 31).contains(&step) {
            return Err(format!("TSNs that do not increase: {chunks:?}"));
        }
    }
    Ok(())
}

fn check_chunk(chunk: &Chunk) -> Result<(), &'static str> {
    //= RFC 9260 §3.3.2, test
    //# The Chunk Flags field in INIT chunks is reserved, and all...
    //= RFC 9260 §3.3.3, test
    //# The Chunk Flags field in INIT ACK chunks is reserved, and all...
    let meant = match chunk.kind {
        kind::DATA | kind::I_DATA => flag::BEGIN | flag::END | flag::UNORDERED | flag::IMMEDIATE,
        kind::ABORT | kind::SHUTDOWN_COMPLETE => flag::T,
        _ => 0,
    };
    if chunk.flags & !meant != 0 {
        return Err("a reserved flag");
    }
    match chunk.kind {
        kind::DATA | kind::I_DATA if chunk.as_data().payload.is_empty() => Err("no user data"),
        kind::INIT | kind::INIT_ACK => check_init(&chunk.as_init()),
        kind::SACK => check_gaps(&chunk.as_sack().gaps),
        kind::ERROR if chunk.causes().is_empty() => Err("no cause"),
        // Walks the causes, which panics unless they fill the chunk.
        kind::ABORT => {
            let _ = chunk.causes();
            Ok(())
        }
        _ => Ok(()),
    }
}

//= RFC 9260 §3.3.3, test
//# The Initiate Tag MUST NOT take the value 0.
//= RFC 9260 §3.3.2, test
//# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
//= RFC 9260 §3.3.3, test
//# The Advertised Receiver Window Credit MUST NOT be smaller than 1500.
//= RFC 9260 §3.3.2, test
//# The value of 0 MUST NOT be used.
//= RFC 9260 §3.3.2, test
//# The value 0 MUST NOT be used.
//= RFC 9260 §3.3.3, test
//# The value 0 MUST NOT be used.
fn check_init(init: &Init) -> Result<(), &'static str> {
    if init.tag == 0 {
        return Err("initiate tag 0");
    }
    if init.a_rwnd < 1500 {
        return Err("a window too small to be announced");
    }
    if init.outbound_streams == 0 || init.inbound_streams == 0 {
        return Err("no streams");
    }
    let repeats = [
        param::IPV4_ADDRESS,
        param::IPV6_ADDRESS,
        param::UNRECOGNIZED,
    ];
    for (at, (kind, _)) in init.params.iter().enumerate() {
        let before = &init.params[..at];
        if !repeats.contains(kind) && before.iter().any(|(other, _)| other == kind) {
            return Err("a parameter twice");
        }
        if *kind == param::HOST_NAME {
            return Err("a host name");
        }
    }
    Ok(())
}

/// Gap blocks ascend, and between two of them, and before the first, something is missing.
//= RFC 9260 §3.3.4, test
//# The Gap Ack Blocks SHOULD be isolated.
fn check_gaps(gaps: &[(u16, u16)]) -> Result<(), &'static str> {
    let mut before = 0;
    for &(start, end) in gaps {
        if u32::from(start) < before + 2 || end < start {
            return Err("gap blocks that are not isolated");
        }
        before = u32::from(end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::{
        bare_abort, cookie_ack, cookie_echo, data, error, init, init_ack, sack, shutdown_complete,
    };

    fn verdict(tag: u32, chunks: Vec<Chunk>) -> Result<(), String> {
        check(&Packet {
            source: 1,
            destination: 2,
            tag,
            chunks,
        })
    }

    #[test]
    fn what_is_right_passes() {
        let right = [
            (0, vec![init(1).into()]),
            (1, vec![init_ack(1, b"cookie").into()]),
            (
                1,
                vec![Chunk::new(kind::AUTH, 0, &[0; 36]), cookie_echo(b"cookie")],
            ),
            (1, vec![cookie_echo(b"cookie"), error(8, b""), data(1).be()]),
            (1, vec![cookie_ack(), sack(7).gap(2, 3).gap(5, 5).into()]),
            (1, vec![error(6, b"what"), bare_abort(true)]),
            (1, vec![data(1).tsn(u32::MAX).be(), data(1).tsn(0).be()]),
        ];
        for (tag, chunks) in right {
            assert_eq!(verdict(tag, chunks), Ok(()));
        }
    }

    #[test]
    fn what_is_wrong_does_not() {
        let flagged = Chunk::new(kind::COOKIE_ACK, 1, &[]);
        let wrong = [
            (1, vec![init(1).into()]),
            (1, vec![Chunk::new(kind::AUTH, 0, &[0; 36])]),
            (1, vec![Chunk::new(kind::AUTH, 0, &[0; 36]); 3]),
            (0, vec![cookie_ack()]),
            (0, vec![init(1).into(), data(1).be()]),
            (1, vec![data(1).be(), init_ack(1, b"cookie").into()]),
            (1, vec![shutdown_complete(false), sack(1).into()]),
            (1, vec![error(8, b""), cookie_echo(b"cookie")]),
            (1, vec![sack(1).into(), cookie_ack()]),
            (1, vec![bare_abort(false), error(6, b"what")]),
            (1, vec![data(1).be(), bare_abort(false)]),
            (1, vec![data(1).be(), sack(1).into()]),
            (1, vec![data(1).tsn(0).be(), data(1).tsn(u32::MAX).be()]),
            (1, vec![data(1).tsn(5).be(), data(1).tsn(5).be()]),
            (1, vec![data(1).payload("").be()]),
            (1, vec![flagged]),
            (1, vec![Chunk::new(kind::ERROR, 0, &[])]),
            (0, vec![init(0).into()]),
            (0, vec![init(1).a_rwnd(1499).into()]),
            (0, vec![init(1).streams(0, 1).into()]),
            (0, vec![init(1).streams(1, 0).into()]),
            (0, vec![init(1).param(11, b"host\0").into()]),
            (0, vec![init(1).param(9, &[0; 4]).param(9, &[0; 4]).into()]),
            (1, vec![sack(1).gap(1, 1).into()]),
            (1, vec![sack(1).gap(3, 2).into()]),
            (1, vec![sack(1).gap(2, 3).gap(4, 4).into()]),
        ];
        for (tag, chunks) in wrong {
            assert!(verdict(tag, chunks.clone()).is_err(), "{chunks:?}");
        }
    }
}
