//! The bodies of the fuzz targets: functions that take arbitrary bytes and panic when a promise
//! of the code under test is broken.

mod input;

pub use input::Input;
