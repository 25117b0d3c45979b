//! The bodies of the fuzz targets: functions that take arbitrary bytes and panic when a promise
//! of the code under test is broken.
//!
//! A target is a name: of a function here, a file in `fuzz_targets`, a folder in `corpus`.

mod address_changes;
mod association;
mod cookie;
mod http;
mod input;
mod outstanding;
mod packet;
mod params;
mod reassembly;
mod tsn_map;

pub use address_changes::address_changes;
pub use association::association;
pub use cookie::cookie;
pub use http::{http_request, http_response};
pub use input::Input;
pub use outstanding::outstanding;
pub use packet::packet;
pub use params::params;
pub use reassembly::reassembly;
pub use tsn_map::tsn_map;

/// A target: takes any bytes, panics on a bug.
pub type Target = fn(&[u8]);

/// Every target and its name.
pub const TARGETS: [(&str, Target); 10] = [
    ("address_changes", address_changes),
    ("association", association),
    ("cookie", cookie),
    ("http_request", http_request),
    ("http_response", http_response),
    ("outstanding", outstanding),
    ("packet", packet),
    ("params", params),
    ("reassembly", reassembly),
    ("tsn_map", tsn_map),
];
