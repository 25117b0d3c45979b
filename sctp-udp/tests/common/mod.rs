//! Two endpoints on sockets in memory: latency by the (paused) clock of tokio, loss and lack of
//! room as the test says.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use sctp_udp::{
    Association, AssociationConfig, Batch, DatagramSocket, Endpoint, EndpointConfig, Received,
    ServerConfig,
};
use tokio::time::{Instant, Sleep};

/// One-way latency.
pub(crate) const DELAY: Duration = Duration::from_millis(10);

pub(crate) const CLIENT: &str = "192.0.2.1:40000";
pub(crate) const SERVER: &str = "192.0.2.2:9899";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A network in memory.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<Wires>>);

type Lose = Box<dyn FnMut(&[u8]) -> bool + Send>;

#[derive(Default)]
struct Wires {
    queues: HashMap<SocketAddr, Queue>,
    /// Whether to lose this datagram.
    lose: Option<Lose>,
    /// Bytes of the largest datagram that sockets take unless it may be fragmented.
    interface: Option<usize>,
    /// Inner and outer address of a NAT's mapping.
    nat: Option<(SocketAddr, SocketAddr)>,
    /// Addresses that nothing leaves or reaches.
    dead: HashSet<IpAddr>,
    /// Addresses of hosts that have lost them: sockets there fail to send.
    gone: HashSet<IpAddr>,
    generation: usize,
}

#[derive(Default)]
struct Queue {
    generation: usize,
    datagrams: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
    /// Datagrams that may still be sent before the socket is full.
    room: Option<usize>,
    writer: Option<Waker>,
    sent: usize,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    /// A socket; one that had the address before is cut off.
    pub(crate) fn socket(&self, address: SocketAddr) -> Arc<dyn DatagramSocket> {
        let mut wires = self.0.lock().unwrap();
        wires.generation += 1;
        let generation = wires.generation;
        let queue = Queue {
            generation,
            ..Queue::default()
        };
        wires.queues.insert(address, queue);
        Arc::new(Socket {
            net: self.clone(),
            address,
            generation,
            sleep: Mutex::default(),
        })
    }

    /// Loses the datagrams for which `lose` says so.
    pub(crate) fn lose(&self, lose: impl FnMut(&[u8]) -> bool + Send + 'static) {
        self.0.lock().unwrap().lose = Some(Box::new(lose));
    }

    /// Has sockets refuse larger datagrams than this, unless they may be fragmented.
    pub(crate) fn narrow(&self, bytes: usize) {
        self.0.lock().unwrap().interface = Some(bytes);
    }

    /// A NAT before `inner` shows it as `outer` from now on; what was shown before leads nowhere.
    pub(crate) fn nat(&self, inner: &str, outer: &str) {
        self.0.lock().unwrap().nat = Some((address(inner), address(outer)));
    }

    /// Nothing leaves or reaches this address from now on, and nobody is told; or again something.
    pub(crate) fn set_dead(&self, ip: &str, dead: bool) {
        let ip = ip.parse().unwrap();
        let mut wires = self.0.lock().unwrap();
        if dead {
            wires.dead.insert(ip);
        } else {
            wires.dead.remove(&ip);
        }
    }

    /// The host no longer has this address: the operating system refuses to send from it.
    pub(crate) fn set_gone(&self, ip: &str) {
        self.0.lock().unwrap().gone.insert(ip.parse().unwrap());
    }

    /// Lets the socket take so many datagrams more; `None` for any number.
    pub(crate) fn set_room(&self, address: &str, room: Option<usize>) {
        let mut wires = self.0.lock().unwrap();
        let queue = wires.queues.get_mut(&self::address(address)).unwrap();
        queue.room = room;
        if let Some(waker) = queue.writer.take() {
            waker.wake();
        }
    }

    /// Datagrams sent from the address.
    pub(crate) fn sent(&self, address: &str) -> usize {
        self.0.lock().unwrap().queues[&self::address(address)].sent
    }

    pub(crate) fn endpoint(
        &self,
        address: &str,
        server: Option<ServerConfig>,
        seed: u8,
    ) -> Endpoint {
        self.endpoint_at(&[address], server, seed)
    }

    /// An endpoint with a socket at each of the addresses.
    pub(crate) fn endpoint_at(
        &self,
        addresses: &[&str],
        server: Option<ServerConfig>,
        seed: u8,
    ) -> Endpoint {
        let sockets = addresses.iter().map(|a| self.socket(self::address(a)));
        Endpoint::with_seed(
            EndpointConfig::default(),
            server,
            sockets.collect(),
            [seed; 32],
        )
        .unwrap()
    }
}

/// EMSGSIZE.
fn too_big() -> io::Error {
    io::Error::from_raw_os_error(match std::env::consts::OS {
        "linux" | "android" => 90,
        "windows" => 10_040,
        _ => 40,
    })
}

#[derive(Debug)]
struct Socket {
    net: Net,
    address: SocketAddr,
    generation: usize,
    sleep: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl DatagramSocket for Socket {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let mut wires = self.net.0.lock().unwrap();
        let Some(queue) = wires.queues.get_mut(&self.address) else {
            return Poll::Pending;
        };
        if queue.generation != self.generation {
            return Poll::Pending;
        }
        let mut count = 0;
        while count < buffers.len()
            && queue
                .datagrams
                .front()
                .is_some_and(|d| d.0 <= Instant::now())
        {
            let (_, remote, data) = queue.datagrams.pop_front().unwrap();
            buffers[count][..data.len()].copy_from_slice(&data);
            received[count] = Received {
                remote,
                local_ip: Some(self.address.ip()),
                interface: None,
                ecn: None,
                len: data.len(),
                stride: data.len(),
            };
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        queue.reader = Some(cx.waker().clone());
        if let Some((at, ..)) = queue.datagrams.front() {
            let mut sleep = Box::pin(tokio::time::sleep_until(*at));
            if sleep.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            *self.sleep.lock().unwrap() = Some(sleep);
        }
        Poll::Pending
    }

    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
        let mut wires = self.net.0.lock().unwrap();
        let own = wires.queues.get_mut(&self.address).unwrap();
        if own.generation != self.generation {
            return Ok(());
        }
        if wires.gone.contains(&self.address.ip()) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let datagrams = batch.contents.chunks(batch.segment_size);
        if batch.dont_fragment
            && wires
                .interface
                .is_some_and(|most| batch.segment_size > most)
        {
            return Err(too_big());
        }
        let own = wires.queues.get_mut(&self.address).unwrap();
        if let Some(room) = &mut own.room {
            let left = room.checked_sub(datagrams.len());
            *room = left.unwrap_or(0);
            left.ok_or(io::ErrorKind::WouldBlock)?;
        }
        own.sent += datagrams.len();
        let (from, to) = match wires.nat {
            Some((inner, outer)) if self.address == inner => (outer, batch.destination),
            Some((inner, outer)) if batch.destination == outer => (self.address, inner),
            Some((inner, _)) if batch.destination == inner => return Ok(()),
            _ => (self.address, batch.destination),
        };
        if wires.dead.contains(&from.ip()) || wires.dead.contains(&to.ip()) {
            return Ok(());
        }
        for datagram in datagrams {
            if let Some(lose) = &mut wires.lose
                && lose(datagram)
            {
                continue;
            }
            if let Some(queue) = wires.queues.get_mut(&to) {
                let at = Instant::now() + DELAY;
                queue.datagrams.push_back((at, from, datagram.to_vec()));
                if let Some(waker) = queue.reader.take() {
                    waker.wake();
                }
            }
        }
        Ok(())
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wires = self.net.0.lock().unwrap();
        let own = wires.queues.get_mut(&self.address).unwrap();
        if own.room == Some(0) {
            own.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn max_segments(&self) -> usize {
        8
    }
}

/// Two endpoints and an association between them.
pub(crate) struct Pair {
    pub(crate) net: Net,
    pub(crate) client_endpoint: Endpoint,
    pub(crate) server_endpoint: Endpoint,
    pub(crate) client: Association,
    pub(crate) server: Association,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Both sides configured alike.
    pub(crate) async fn with(change: impl Fn(&mut AssociationConfig)) -> Self {
        let net = Net::default();
        let mut config = AssociationConfig::default();
        change(&mut config);
        let config = Arc::new(config);
        let mut server = ServerConfig::default();
        server.association(Arc::clone(&config));
        let server_endpoint = net.endpoint(SERVER, Some(server), 1);
        let client_endpoint = net.endpoint(CLIENT, None, 2);
        let (client, server) = connect(&client_endpoint, &server_endpoint, config).await;
        Self {
            net,
            client_endpoint,
            server_endpoint,
            client,
            server,
        }
    }
}

pub(crate) async fn connect(
    client: &Endpoint,
    server: &Endpoint,
    config: Arc<AssociationConfig>,
) -> (Association, Association) {
    let peer = [address(SERVER)];
    let (client, server) = tokio::join!(client.connect(&peer, config), async {
        let server = server.accept().await.unwrap().accept().unwrap();
        server.established().await.unwrap();
        server
    });
    (client.unwrap(), server)
}
