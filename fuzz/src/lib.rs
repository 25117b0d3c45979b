//! The bodies of the fuzz targets: functions that take arbitrary bytes and panic when a promise
//! of the code under test is broken.
//!
//! A target is a name: of a function here, a file in `fuzz_targets`, a folder in `corpus`.

mod input;
mod packet;
mod params;

pub use input::Input;
pub use packet::packet;
pub use params::params;

/// A target: takes any bytes, panics on a bug.
pub type Target = fn(&[u8]);

/// Every target and its name.
pub const TARGETS: [(&str, Target); 2] = [("packet", packet), ("params", params)];
