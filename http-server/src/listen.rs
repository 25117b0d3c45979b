//! A listener's address: `ADDR:PORT` and the transport as an extra word.

use std::{fmt, net::SocketAddr, str::FromStr};

/// The transport a request came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SCTP in UDP (RFC 6951).
    Sctp,
    /// TCP: HTTP/1.1, or HTTP/2 by prior knowledge.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sctp => "sctp",
            Self::Tcp => "tcp",
        })
    }
}

/// Where to listen: `127.0.0.1:9899/sctp`, `[::]:8080/tcp`. The port of `/sctp` is the UDP port;
/// without a word it is SCTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listen {
    /// Local address; for SCTP the UDP port. Port 0 takes a free one.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
}

impl Listen {
    /// SCTP in UDP datagrams at `address`.
    pub fn sctp(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Sctp,
        }
    }

    /// TCP at `address`.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address,
            transport: Transport::Tcp,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.transport)
    }
}

/// Not a listener's address; the text says how one looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write ADDR:PORT/sctp or ADDR:PORT/tcp, for example 127.0.0.1:9899/sctp")]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (address, transport) = match text.split_once('/') {
            None | Some((_, "sctp")) => (text.trim_end_matches("/sctp"), Transport::Sctp),
            Some((address, "tcp")) => (address, Transport::Tcp),
            Some((_, word)) => {
                return Err(ListenError(format!("`{word}` is neither `sctp` nor `tcp`")));
            }
        };
        let address = address
            .parse()
            .map_err(|_| ListenError(format!("`{address}` is not an IP address and a port")))?;
        Ok(Self { address, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["127.0.0.1:9899/sctp", "[::1]:8080/tcp", "0.0.0.0:0/sctp"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        let bare: Listen = "10.77.0.2:8443".parse().unwrap();
        assert_eq!(bare.transport, Transport::Sctp);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Listen>().unwrap_err().to_string();
        assert!(error("127.0.0.1:80/udp").starts_with("`udp` is neither"));
        assert!(error("localhost:80/tcp").starts_with("`localhost:80` is not"));
        assert!(error("127.0.0.1/tcp").contains("127.0.0.1:9899/sctp"));
    }
}
