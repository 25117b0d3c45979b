//! What one peer may hold, and how long it may take.

use std::time::Duration;

/// Limits and time-outs of a [`Server`](crate::Server). `Default` suits a public server.
#[derive(Debug, Clone)]
pub struct Limits {
    pub(crate) header_bytes: usize,
    pub(crate) header_fields: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) send_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) associations: usize,
    pub(crate) connections: usize,
    pub(crate) transactions: usize,
    pub(crate) message_bytes: usize,
    pub(crate) contiguous: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            header_fields: 100,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            send_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(30),
            associations: 10_000,
            connections: 10_000,
            transactions: 256,
            message_bytes: 64 * 1024,
            contiguous: false,
        }
    }
}

impl Limits {
    /// Largest request head, bytes; a larger one is answered with 431. At least 8 KiB, default
    /// 64 KiB. Each transaction may hold this much.
    pub fn header_bytes(&mut self, bytes: usize) -> &mut Self {
        self.header_bytes = bytes.max(8 * 1024);
        self
    }

    /// Most header fields in a request. Default 100.
    pub fn header_fields(&mut self, count: usize) -> &mut Self {
        self.header_fields = count;
        self
    }

    /// How long a request head may take from its first byte; then its transaction alone ends, with
    /// 408 over SCTP. Default 30 s.
    pub fn header_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.header_timeout = timeout;
        self
    }

    /// How long an association, or an HTTP/2 connection, may have no request in progress before the
    /// server shuts it down gracefully. Default 120 s.
    pub fn idle_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a response may make no progress because the peer does not take it. Its transaction
    /// fails alone then; over TCP its connection ends, unless others on it make progress. Default
    /// 120 s.
    pub fn send_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.send_timeout = timeout;
        self
    }

    /// How long requests in progress may take once the server is asked to stop; what is left then
    /// is aborted. Default 30 s.
    pub fn drain_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.drain_timeout = timeout;
        self
    }

    /// Most associations at a time on one listener; further peers are refused. Default 10,000.
    pub fn associations(&mut self, count: usize) -> &mut Self {
        self.associations = count.max(1);
        self
    }

    /// Most TCP connections at a time on one listener; further ones wait in its queue. Default
    /// 10,000.
    pub fn connections(&mut self, count: usize) -> &mut Self {
        self.connections = count.max(1);
        self
    }

    /// Most transactions in progress at a time on one association, or on one HTTP/2 connection;
    /// further requests wait in the receive window. Default 256.
    pub fn transactions(&mut self, count: usize) -> &mut Self {
        self.transactions = count.max(1);
        self
    }

    /// Largest user message of a response, bytes. Default 64 KiB: without I-DATA (RFC 8260) a
    /// message blocks all other streams while it is sent, so a large response yields after each. Its
    /// first messages have 16 and 32 KiB, if that is less, for small responses not to wait longer.
    pub fn message_bytes(&mut self, bytes: usize) -> &mut Self {
        self.message_bytes = bytes.max(1024);
        self
    }

    /// Send each response in one piece across the whole association, for peers that ignore stream
    /// ids (phttpget). A large response then holds up all others. Default false.
    pub fn contiguous(&mut self, on: bool) -> &mut Self {
        self.contiguous = on;
        self
    }
}
