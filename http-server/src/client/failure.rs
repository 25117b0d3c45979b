//! Why a URL was not fetched, and the exit status that says so.

use std::fmt::Display;

/// Exit status after wrong usage; clap uses the same.
pub(super) const USAGE: u8 = 2;

/// Why one URL was not fetched.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) text: String,
    /// The connection is gone: another one may do better.
    pub(super) lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// A file could not be written, or the like.
    Local,
    Connect,
    Transfer,
    /// The server answered, with an error status.
    Status,
}

impl FailureKind {
    pub(super) fn exit_status(self) -> u8 {
        match self {
            Self::Local => 1,
            Self::Connect => 3,
            Self::Transfer => 4,
            Self::Status => 8,
        }
    }
}

impl Failure {
    pub(super) fn local(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Local,
            text: text.into(),
            lost: false,
        }
    }

    pub(super) fn connect(text: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Connect,
            text: text.into(),
            lost: false,
        }
    }

    pub(super) fn transfer(error: &dyn Display, lost: bool) -> Self {
        Self {
            kind: FailureKind::Transfer,
            text: error.to_string(),
            lost,
        }
    }
}
