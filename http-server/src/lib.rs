//! HTTP over SCTP.
