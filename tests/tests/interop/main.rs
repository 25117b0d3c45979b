//! Our stack against others: usrsctp's programs over loopback, dcsctp and rtc-sctp in memory.
//!
//! tshark reads a capture of every scenario. What needs a program that is not installed skips
//! itself, or fails where `SCTP_REQUIRE_PEERS` is set.

mod auth;
mod dcsctp;
mod http;
mod programs;
mod relay;
mod rtc;
mod stage;
mod tshark;
mod usrsctp;
