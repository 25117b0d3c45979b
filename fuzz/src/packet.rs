//! Reading packets: nothing panics, and what was understood is the same once written anew.

use sctp_proto::internals::wire::check_round_trip;

/// Takes a packet.
pub fn packet(data: &[u8]) {
    check_round_trip(data);
}
