//! Reading packets: nothing panics, and what was understood is the same once written anew.

use sctp_proto::{event_log::chunk_headers, internals::wire::check_round_trip};

/// Takes a packet.
pub fn packet(data: &[u8]) {
    check_round_trip(data);
    // As a log shows it: at least four bytes a chunk, whatever they say.
    assert!(chunk_headers(data).count() <= data.len() / 4);
}
