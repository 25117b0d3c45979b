//! A listener's address: `ADDR:PORT` and the transport as an extra word.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

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
/// without a word it is SCTP. One SCTP listener may have several addresses, of both families:
/// `10.0.0.1:9899/sctp+10.0.1.1+[2001:db8::1]`, all with that port. A wildcard has all addresses of
/// its family, and `0.0.0.0:9899/sctp+[::]` all there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listen {
    /// Local address; for SCTP the UDP port. Port 0 takes a free one.
    pub address: SocketAddr,
    /// Further addresses of an SCTP listener, which have the port of the first.
    pub also: Vec<SocketAddr>,
    /// What is spoken there.
    pub transport: Transport,
}

impl Listen {
    /// SCTP in UDP datagrams at `address`.
    pub fn sctp(address: SocketAddr) -> Self {
        Self {
            address,
            also: Vec::new(),
            transport: Transport::Sctp,
        }
    }

    /// TCP at `address`.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address,
            also: Vec::new(),
            transport: Transport::Tcp,
        }
    }

    /// At this address as well: the associations of one listener have paths to each.
    #[must_use]
    pub fn and(mut self, ip: IpAddr) -> Self {
        self.also.push(SocketAddr::new(ip, self.address.port()));
        self
    }

    /// All addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        std::iter::once(&self.address)
            .chain(&self.also)
            .copied()
            .collect()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.transport)?;
        for address in &self.also {
            // Without its port, which is the last thing of it.
            let text = address.to_string();
            let ip = text.rsplit_once(':').map_or(&*text, |(ip, _)| ip);
            write!(f, "+{ip}")?;
        }
        Ok(())
    }
}

/// Not a listener's address; the text says how one looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write ADDR:PORT/sctp or ADDR:PORT/tcp, for example 127.0.0.1:9899/sctp")]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (address, word) = text.split_once('/').unwrap_or((text, "sctp"));
        let mut parts = word.split('+');
        let transport = match parts.next() {
            Some("sctp") => Transport::Sctp,
            Some("tcp") => Transport::Tcp,
            _ => return Err(ListenError(format!("`{word}` is neither `sctp` nor `tcp`"))),
        };
        let address: SocketAddr = address
            .parse()
            .map_err(|_| ListenError(format!("`{address}` is not an IP address and a port")))?;
        let mut listen = Self {
            address,
            also: Vec::new(),
            transport,
        };
        for part in parts {
            if transport == Transport::Tcp {
                let text = "a TCP listener has one address: give --listen once for each";
                return Err(ListenError(text.to_owned()));
            }
            let further = further(part, address.port())?;
            if let Some(other) = listen.addresses().iter().find(|a| covers(**a, further)) {
                let text = format!("`{part}` is listened on already by {}", other.ip());
                return Err(ListenError(text));
            }
            listen.also.push(further);
        }
        Ok(listen)
    }
}

/// A further address, `ADDR` or `[ADDR]`.
fn further(text: &str, port: u16) -> Result<SocketAddr, ListenError> {
    let bracketed = format!("{text}:{port}").parse();
    let bare = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, port));
    bracketed.or_else(|_| bare()).map_err(|_| {
        let why = match text.parse::<SocketAddr>() {
            Ok(_) => "has a port, but further addresses have that of the first",
            Err(_) => "is not an IP address",
        };
        let example = "10.0.0.1:9899/sctp+10.0.1.1";
        ListenError(format!(
            "`{text}` {why} (several addresses look like {example})"
        ))
    })
}

/// Whether who listens on `a` listens on `b`.
fn covers(a: SocketAddr, b: SocketAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.ip().is_unspecified() || b.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "127.0.0.1:9899/sctp",
            "[::1]:8080/tcp",
            "0.0.0.0:0/sctp",
            "10.0.0.1:9899/sctp+10.0.1.1+[2001:db8::1]",
            "0.0.0.0:9899/sctp+[::]",
            "[fe80::1%2]:9899/sctp+[fe80::1%3]",
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        let bare: Listen = "10.77.0.2:8443".parse().unwrap();
        assert_eq!(bare.transport, Transport::Sctp);
        let listen: Listen = "10.0.0.1:9899/sctp+2001:db8::1".parse().unwrap();
        let ip = "2001:db8::1".parse().unwrap();
        assert_eq!(listen, Listen::sctp(listen.address).and(ip));
        assert_eq!(listen.addresses()[1].port(), 9899);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Listen>().unwrap_err().to_string();
        assert!(error("127.0.0.1:80/udp").starts_with("`udp` is neither"));
        assert!(error("localhost:80/tcp").starts_with("`localhost:80` is not"));
        assert!(error("127.0.0.1/tcp").contains("127.0.0.1:9899/sctp"));
        assert!(error("127.0.0.1:1/tcp+127.0.0.2").contains("give --listen once for each"));
        let several = |more: &str| error(&format!("10.0.0.1:1/sctp+{more}"));
        assert!(several("10.0.1.1:2").starts_with("`10.0.1.1:2` has a port"));
        assert!(several("x").starts_with("`x` is not an IP address (several addresses look like"));
        assert!(several("").starts_with("`` is not"));
        assert!(several("10.0.1.1+10.0.0.1").contains("already by 10.0.0.1"));
        assert!(several("0.0.0.0").contains("already by 10.0.0.1"));
        assert!(error("0.0.0.0:1/sctp+10.0.0.1").contains("already by 0.0.0.0"));
    }
}
