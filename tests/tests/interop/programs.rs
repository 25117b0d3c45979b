//! The programs that these tests run, if they are there.

use std::{env, path::PathBuf};

/// Where Debian's `libusrsctp-examples` has its programs.
const USRSCTP: &str = "/usr/lib/usrsctp";

/// The program's path. If it is missing: a line that says so, and `None` for the test to skip
/// itself; a panic where `SCTP_REQUIRE_PEERS` is set.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain([PathBuf::from(USRSCTP)]);
    let found = places.find_map(|place| Some(place.join(name)).filter(|file| file.is_file()));
    if found.is_none() {
        let required = env::var_os("SCTP_REQUIRE_PEERS").is_some();
        assert!(!required, "{name} is not installed");
        eprintln!("skipped: {name} is not installed");
    }
    found
}
