//! `sctp-http`
fn main() {}
