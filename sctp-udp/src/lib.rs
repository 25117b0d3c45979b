//! SCTP over UDP.
