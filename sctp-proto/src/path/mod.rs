//! Paths: where packets go, and what is known about the way there.

#![allow(dead_code)] // until the association uses it

pub(crate) mod rto;
