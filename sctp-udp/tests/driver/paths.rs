//! Several addresses on both sides: sockets in memory and a paused clock, as in `driver.rs`.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::common::{DELAY, Net, address};
use bytes::Bytes;
use sctp_udp::{
    Association, AssociationConfig, Endpoint, Notification, Notifications, PathState, SendInfo,
    ServerConfig, StreamId,
};
use tokio::time::{Instant, sleep};

/// The client's addresses, then the server's: the first two are one network, the others another.
const CLIENT: [&str; 2] = ["192.0.2.1:40000", "198.51.100.1:40000"];
const SERVER: [&str; 2] = ["192.0.2.2:9899", "198.51.100.2:9899"];
const A: &str = "192.0.2.2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two endpoints with two addresses each, and an association between their first ones.
struct Pair {
    net: Net,
    client_endpoint: Endpoint,
    server_endpoint: Endpoint,
    client: Association,
    server: Association,
}

impl Pair {
    async fn new() -> Self {
        let net = Net::default();
        let config = Arc::new(AssociationConfig::default());
        let mut server = ServerConfig::default();
        server.association(config.clone());
        let server_endpoint = net.endpoint_at(&SERVER, Some(server), 1);
        let client_endpoint = net.endpoint_at(&CLIENT, None, 2);
        let peer = [address(SERVER[0])];
        let (client, server) = tokio::join!(client_endpoint.connect(&peer, config), async {
            server_endpoint.accept().await.unwrap().accept().unwrap()
        });
        // Until each path has had its HEARTBEAT.
        sleep(Duration::from_secs(10)).await;
        Self {
            net,
            client_endpoint,
            server_endpoint,
            client: client.unwrap(),
            server,
        }
    }

    /// Sends numbers from the server every ten milliseconds and does `what` in the middle; all
    /// arrive, once and in order. Returns the longest pause.
    async fn longest_pause(&self, what: impl FnOnce(&Self)) -> Duration {
        const MESSAGES: u32 = 600;
        let sending = async {
            let mut what = Some(what);
            for number in 0..MESSAGES {
                if number == MESSAGES / 3 {
                    what.take().unwrap()(self);
                }
                let message = Bytes::copy_from_slice(&number.to_be_bytes());
                let info = SendInfo::default();
                self.server.send(StreamId(0), message, info).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
        };
        let receiving = async {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            for number in 0..MESSAGES {
                let message = self.client.recv().await.unwrap().unwrap();
                assert_eq!(message.data.into_bytes(), number.to_be_bytes()[..]);
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        };
        tokio::join!(sending, receiving).1
    }
}

/// The state changes of paths that have been told of so far.
async fn told(notifications: &mut Notifications) -> Vec<PathState> {
    let mut list = Vec::new();
    while let Ok(Some(notification)) =
        tokio::time::timeout(Duration::from_millis(1), notifications.next()).await
    {
        if let Notification::PathChanged { state, .. } = notification {
            list.push(state);
        }
    }
    list
}

#[tokio::test(start_paused = true)]
async fn every_pair_of_addresses_is_a_path() {
    let p = Pair::new().await;
    for (association, local, remote) in [(&p.client, CLIENT, SERVER), (&p.server, SERVER, CLIENT)] {
        let paths = association.paths();
        assert_eq!(paths.iter().filter(|path| path.is_primary).count(), 1);
        for (a, b) in local.iter().zip(remote) {
            let path = paths
                .iter()
                .find(|path| path.local_ip == Some(address(a).ip()) && path.remote == address(b));
            let path = path.unwrap_or_else(|| panic!("{a} - {b}: {paths:?}"));
            assert_eq!(path.state, PathState::Active);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn data_goes_on_by_another_path_when_one_dies_and_comes_back_with_it() {
    let p = Pair::new().await;
    let mut notifications = p.server.notifications();
    let pause = p.longest_pause(|p| p.net.set_dead(A, true)).await;
    assert!(pause < Duration::from_millis(500), "{pause:?}");
    assert!(
        told(&mut notifications)
            .await
            .contains(&PathState::PotentiallyFailed)
    );
    let pause = p.longest_pause(|p| p.net.set_dead(A, false)).await;
    assert!(pause < Duration::from_millis(100), "{pause:?}");
    assert!(told(&mut notifications).await.contains(&PathState::Active));
    sleep(Duration::from_secs(10)).await;
    let paths = p.server.paths();
    let primary = paths.iter().find(|path| path.is_primary).unwrap();
    assert_eq!(primary.remote, address(CLIENT[0]), "it is what it was");
    // Not the one packet that the failure left.
    assert!(primary.stats.cwnd > 4000, "{primary:?}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_cannot_send_any_more_costs_less_than_a_silent_path() {
    let p = Pair::new().await;
    let pause = p.longest_pause(|p| p.net.set_gone(A)).await;
    assert!(pause < 10 * DELAY, "{pause:?}");
    let stats = p.server_endpoint.socket_stats();
    assert!(
        stats.unreachable > 0 && stats.unreachable == stats.send_errors,
        "{stats:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_goes_takes_its_paths_along() {
    let p = Pair::new().await;
    let mut notifications = p.server.notifications();
    p.server_endpoint
        .handle_interfaces(SERVER.map(|a| address(a).ip()).to_vec());
    let pause = p
        .longest_pause(|p| {
            p.net.set_gone(A);
            p.server_endpoint
                .handle_interfaces(vec![ip("198.51.100.2")]);
        })
        .await;
    assert!(pause < 10 * DELAY, "{pause:?}");
    let paths = p.server.paths();
    assert!(
        paths
            .iter()
            .all(|path| path.local_ip == Some(ip("198.51.100.2"))),
        "{paths:?}"
    );
    let removed = std::iter::from_fn(|| futures_now(notifications.next()));
    assert!(
        removed
            .flatten()
            .any(|n| matches!(n, Notification::PathRemoved(_)))
    );
    assert_eq!(p.server_endpoint.addresses(), [ip("198.51.100.2")]);
    assert_eq!(p.client_endpoint.addresses().len(), 2);
}

/// What the future yields at once.
fn futures_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_zone_of_a_link_local_address_is_kept() {
    let net = Net::default();
    // Interface 3, and 4: to the system, other addresses.
    let there = ["[fe80::2%3]:9899", "[fe80::2%4]:9899"];
    let server = net.endpoint_at(&there, Some(ServerConfig::default()), 1);
    let client = net.endpoint_at(&["[fe80::1%3]:40000"], None, 2);
    let peer = [address(there[0])];
    let (client, server) = tokio::join!(client.connect(&peer, Arc::default()), async {
        server.accept().await.unwrap().accept().unwrap()
    });
    let client = client.unwrap();
    let info = SendInfo::default;
    for _ in 0..2 {
        client
            .send(StreamId(0), "there".into(), info())
            .await
            .unwrap();
        assert_eq!(server.recv().await.unwrap().unwrap().data.len(), 5);
        server
            .send(StreamId(0), "and back".into(), info())
            .await
            .unwrap();
        assert_eq!(client.recv().await.unwrap().unwrap().data.len(), 8);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(client.peer_addr(), peer[0]);
    assert_eq!(server.peer_addr(), address("[fe80::1%3]:40000"));
    client.flushed().await.unwrap();
}
