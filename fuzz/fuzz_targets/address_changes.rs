#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sctp_fuzz::address_changes(data));
