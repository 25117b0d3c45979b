//! Where a request came from: the request extension that services see.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, Version, header, uri::Authority};
use sctp_udp::StreamId;

use crate::listen::Transport;

/// Where a request came from. Every request carries one among its extensions:
///
/// ```
/// fn stream<B>(request: &http::Request<B>) -> Option<u16> {
///     request.extensions().get::<http_server::Origin>()?.stream.map(|id| id.0)
/// }
/// # assert_eq!(stream(&http::Request::new(())), None);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Origin {
    /// The transport.
    pub transport: Transport,
    /// Address that the connection or association was set up from. Over SCTP with the UDP port.
    pub peer: SocketAddr,
    /// All addresses of the peer known when the request came; over TCP just `peer`.
    pub peers: Arc<[SocketAddr]>,
    /// Number of the association, unique while it lasts. Only over SCTP.
    pub association: Option<u64>,
    /// The stream of the request, which is also the response's. Only over SCTP.
    pub stream: Option<StreamId>,
}

impl Origin {
    pub(crate) fn tcp(peer: SocketAddr) -> Self {
        Self {
            transport: Transport::Tcp,
            peer,
            peers: Arc::new([peer]),
            association: None,
            stream: None,
        }
    }
}

/// Whether the client ends its association, or connection, with this request: it said
/// `Connection: close`, or speaks HTTP/1.0 without `keep-alive`.
pub(crate) fn asks_to_close(version: Version, headers: &HeaderMap) -> bool {
    connection_says(headers, "close")
        || (version < Version::HTTP_11 && !connection_says(headers, "keep-alive"))
}

/// Whether the request names its host once and well, without which RFC 9112 §3.2 wants 400. hyper
/// does not look. HTTP/2 has the host elsewhere, and HTTP/1.0 may have none.
pub(crate) fn names_host(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version != Version::HTTP_11,
        (Some(host), None) => host.is_empty() || Authority::try_from(host.as_bytes()).is_ok(),
        (Some(_), Some(_)) => false,
    }
}

/// Whether `Connection` has this option (RFC 9110 §7.6.1).
pub(crate) fn connection_says(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_close() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, value.parse().unwrap());
            headers
        };
        assert!(asks_to_close(Version::HTTP_10, &HeaderMap::new()));
        assert!(!asks_to_close(Version::HTTP_10, &with("Keep-Alive")));
        assert!(!asks_to_close(Version::HTTP_11, &HeaderMap::new()));
        assert!(asks_to_close(Version::HTTP_11, &with("te, Close")));
        assert!(!asks_to_close(Version::HTTP_11, &with("closed")));
    }

    #[test]
    fn who_names_a_host() {
        let hosts = |values: &[&'static str]| {
            let value = |value: &&'static str| (header::HOST, value.parse().unwrap());
            values.iter().map(value).collect::<HeaderMap>()
        };
        assert!(!names_host(Version::HTTP_11, &hosts(&[])));
        assert!(names_host(Version::HTTP_10, &hosts(&[])));
        assert!(names_host(Version::HTTP_2, &hosts(&[])));
        assert!(names_host(Version::HTTP_11, &hosts(&["[::1]:8080"])));
        assert!(names_host(Version::HTTP_11, &hosts(&[""])));
        assert!(!names_host(Version::HTTP_11, &hosts(&["a", "a"])));
        assert!(!names_host(Version::HTTP_11, &hosts(&["a b"])));
    }
}
