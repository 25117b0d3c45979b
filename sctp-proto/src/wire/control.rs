//! The chunks with little in them: HEARTBEAT and its ack, ABORT, ERROR, the three of SHUTDOWN, the
//! two of the cookie (§3.3.5 to §3.3.13).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | type = 4 or 5 |     flags     |  length = 8 + info            |  HEARTBEAT, HEARTBEAT ACK
//! +---------------+---------------+-------------------------------+
//! | Heartbeat Info parameter, = 1 |  parameter length = 4 + info  |
//! +-------------------------------+-------------------------------+
//! /     info, opaque to everybody but the sender of HEARTBEAT     /
//! +---------------------------------------------------------------+
//!
//! +---------------+-------------+-+-------------------------------+
//! | type = 6 or 9 |  reserved   |T|  length = 4 + causes          |  ABORT, ERROR (without T)
//! +---------------+-------------+-+-------------------------------+
//! /                         error causes                          /
//! +---------------------------------------------------------------+
//!
//! +---------------+---------------+-------------------------------+
//! |   type = 7    |     flags     |  length = 8                   |  SHUTDOWN
//! +---------------+---------------+-------------------------------+
//! |                      cumulative TSN ack                       |
//! +---------------------------------------------------------------+
//!
//! +---------------+---------------+-------------------------------+
//! |   type = 10   |     flags     |  length = 4 + cookie          |  COOKIE ECHO
//! +---------------+---------------+-------------------------------+
//! /                            cookie                             /
//! +---------------------------------------------------------------+
//!
//! +---------------+-------------+-+-------------------------------+
//! |     type      |  reserved   |T|  length = 4                   |  SHUTDOWN ACK = 8,
//! +---------------+-------------+-+-------------------------------+  COOKIE ACK = 11,
//!                                                         SHUTDOWN COMPLETE = 14 (the one with T)
//! ```

use bytes::BufMut;

use super::{
    causes::CauseWriter,
    chunk::{T_BIT, kind},
    packet::Malformed,
    params::param,
    reader::Reader,
    tlv::{TLV_HEADER, Tlvs},
    writer::PacketWriter,
};
use crate::ids::Tsn;

/// The value of the Heartbeat Info parameter, the one parameter of HEARTBEAT and HEARTBEAT ACK.
pub(super) fn heartbeat_info(value: &[u8]) -> Result<&[u8], Malformed> {
    match Tlvs::new(value).next() {
        Some(Ok(info)) if info.kind == param::HEARTBEAT_INFO => Ok(info.value),
        _ => Err(Malformed("HEARTBEAT")),
    }
}

/// The cumulative TSN ack of SHUTDOWN.
pub(super) fn shutdown(value: &[u8]) -> Result<Tsn, Malformed> {
    let mut fields = Reader::new(value, "SHUTDOWN");
    let cumulative = fields.tsn()?;
    fields.end()?;
    Ok(cumulative)
}

/// Checks a chunk that is all header.
pub(super) const fn no_value(value: &[u8], what: &'static str) -> Result<(), Malformed> {
    Reader::new(value, what).end()
}

impl PacketWriter<'_> {
    /// Appends a HEARTBEAT or HEARTBEAT ACK, as `kind` says, around this heartbeat information. Takes
    /// [`chunk_size`](Self::chunk_size)`(4 + info.len())`.
    pub fn heartbeat(&mut self, kind: u8, info: &[u8]) {
        let length = TLV_HEADER + info.len();
        let buf = self.open(kind, 0, length);
        buf.put_u16(param::HEARTBEAT_INFO);
        buf.put_u16(length as u16);
        buf.put_slice(info);
        self.close();
    }

    /// Appends an ABORT, after which a receiver reads nothing. `t_bit`: the verification tag is
    /// reflected.
    //= RFC 9260 §3.3.7
    //# If the Verification Tag is reflected, the T bit MUST be set to 1.
    pub fn abort(&mut self, t_bit: bool, causes: &CauseWriter) {
        self.chunk(kind::ABORT, t_flag(t_bit), causes.as_bytes());
    }

    /// Appends an ERROR, which has one cause at least.
    pub fn error(&mut self, causes: &CauseWriter) {
        self.chunk(kind::ERROR, 0, causes.as_bytes());
    }

    /// Appends a SHUTDOWN.
    pub fn shutdown(&mut self, cumulative: Tsn) {
        self.chunk(kind::SHUTDOWN, 0, &cumulative.value().to_be_bytes());
    }

    /// Appends a SHUTDOWN ACK.
    pub fn shutdown_ack(&mut self) {
        self.chunk(kind::SHUTDOWN_ACK, 0, &[]);
    }

    /// Appends a SHUTDOWN COMPLETE, the only chunk of its packet (§3). `t_bit`: the verification tag
    /// is reflected.
    //= RFC 9260 §3.3.13
    //# If the Verification Tag is reflected, the T bit MUST be set to 1.
    //= RFC 9260 §3.1
    //# A packet containing a SHUTDOWN COMPLETE chunk with the T bit set MUST have the Verification
    //# Tag copied from the packet with the SHUTDOWN ACK chunk.
    pub fn shutdown_complete(&mut self, t_bit: bool) {
        self.chunk(kind::SHUTDOWN_COMPLETE, t_flag(t_bit), &[]);
    }

    /// Appends a COOKIE ECHO, the first chunk of its packet (§3.2.2).
    pub fn cookie_echo(&mut self, cookie: &[u8]) {
        self.chunk(kind::COOKIE_ECHO, 0, cookie);
    }

    /// Appends a COOKIE ACK.
    pub fn cookie_ack(&mut self) {
        self.chunk(kind::COOKIE_ACK, 0, &[]);
    }
}

const fn t_flag(t_bit: bool) -> u8 {
    if t_bit { T_BIT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{chunk::Chunk, tests::assert_chunk};

    #[test]
    fn bytes_of_heartbeat_and_its_ack() {
        assert_chunk(
            &[4, 0, 0, 11, 0, 1, 0, 7, 9, 8, 7, 0],
            |packet| packet.heartbeat(kind::HEARTBEAT, &[9, 8, 7]),
            |chunk| assert_eq!(chunk, Chunk::Heartbeat(&[9, 8, 7])),
        );
        assert_chunk(
            &[5, 0, 0, 8, 0, 1, 0, 4],
            |packet| packet.heartbeat(kind::HEARTBEAT_ACK, &[]),
            |chunk| assert_eq!(chunk, Chunk::HeartbeatAck(&[])),
        );
    }

    #[test]
    fn heartbeat_needs_its_parameter() {
        assert_eq!(heartbeat_info(&[0, 1, 0, 6, 7, 8, 0, 0]), Ok(&[7, 8][..]));
        assert!(heartbeat_info(&[]).is_err());
        assert!(heartbeat_info(&[0, 2, 0, 5, 7, 0, 0, 0]).is_err());
        assert!(heartbeat_info(&[0, 1, 0, 9, 7, 0, 0, 0]).is_err());
    }

    #[test]
    fn bytes_of_abort() {
        for (t_bit, flags) in [(false, 0), (true, 1)] {
            assert_chunk(
                &[6, flags, 0, 4],
                |packet| packet.abort(t_bit, &CauseWriter::new()),
                |chunk| assert!(matches!(chunk, Chunk::Abort { t_bit: t, .. } if t == t_bit)),
            );
        }
    }

    #[test]
    fn bytes_of_the_shutdown_chunks() {
        let cumulative = Tsn::new(0x0102_0304);
        assert_chunk(
            &[7, 0, 0, 8, 1, 2, 3, 4],
            |packet| packet.shutdown(cumulative),
            |chunk| assert_eq!(chunk, Chunk::Shutdown { cumulative }),
        );
        assert_chunk(
            &[8, 0, 0, 4],
            |packet| packet.shutdown_ack(),
            |chunk| assert_eq!(chunk, Chunk::ShutdownAck),
        );
        for (t_bit, flags) in [(false, 0), (true, 1)] {
            assert_chunk(
                &[14, flags, 0, 4],
                |packet| packet.shutdown_complete(t_bit),
                |chunk| assert_eq!(chunk, Chunk::ShutdownComplete { t_bit }),
            );
        }
    }

    #[test]
    fn bytes_of_the_cookie_chunks() {
        assert_chunk(
            &[10, 0, 0, 9, 1, 2, 3, 4, 5, 0, 0, 0],
            |packet| packet.cookie_echo(&[1, 2, 3, 4, 5]),
            |chunk| assert_eq!(chunk, Chunk::CookieEcho(&[1, 2, 3, 4, 5])),
        );
        assert_chunk(
            &[11, 0, 0, 4],
            |packet| packet.cookie_ack(),
            |chunk| assert_eq!(chunk, Chunk::CookieAck),
        );
    }
}
