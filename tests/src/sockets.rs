//! The simulated network for drivers: sockets of `sctp-udp` under tokio's paused clock.
//!
//! ```no_run
//! # async fn story() -> Result<(), Box<dyn std::error::Error>> {
//! use sctp_tests::{net::Link, sockets::SimNet};
//! use sctp_udp::{Endpoint, EndpointConfig};
//!
//! let net = SimNet::new(7, Link::default());
//! let sockets = vec![net.socket("10.0.0.1:9899".parse()?)];
//! let client = Endpoint::with_seed(EndpointConfig::default(), None, sockets, [1; 32])?;
//! net.with(|net| net.drop_next(3));
//! # Ok(())
//! # }
//! ```

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use sctp_proto::Instant;
use sctp_udp::{Batch, DatagramSocket, Received};
use tokio::time::{self, Sleep};

use crate::net::{Datagram, Link, Net};

/// A [`Net`] whose clock is tokio's. Clones are the same network.
///
/// A run is a function of the seed as long as the runtime is single-threaded and its clock paused,
/// and the endpoints are made with seeds.
#[derive(Clone)]
pub struct SimNet(Arc<Mutex<Inner>>);

struct Inner {
    net: Net,
    seed: u64,
    epoch: time::Instant,
    inboxes: BTreeMap<SocketAddr, Inbox>,
}

#[derive(Default)]
struct Inbox {
    arrived: VecDeque<Datagram>,
    reader: Option<Waker>,
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNet")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.net.trace.write_if_failing(self.seed);
    }
}

impl Inner {
    fn now(&self) -> Instant {
        Instant::EPOCH + self.epoch.elapsed()
    }

    /// Gives what has arrived to the sockets.
    fn deliver(&mut self) {
        let now = self.now();
        while let Some(datagram) = self.net.poll(now) {
            if let Some(inbox) = self.inboxes.get_mut(&datagram.to) {
                inbox.arrived.push_back(datagram);
                if let Some(waker) = inbox.reader.take() {
                    waker.wake();
                }
            }
        }
    }
}

impl SimNet {
    /// A network whose links are like `link`. To be called in a runtime.
    pub fn new(seed: u64, link: Link) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            net: Net::new(seed, link),
            seed,
            epoch: time::Instant::now(),
            inboxes: BTreeMap::new(),
        })))
    }

    /// A socket of this address.
    pub fn socket(&self, address: SocketAddr) -> Arc<dyn DatagramSocket> {
        self.lock().inboxes.insert(address, Inbox::default());
        Arc::new(SimSocket {
            net: self.clone(),
            address,
            sleep: Mutex::default(),
        })
    }

    /// Scripts and links.
    pub fn with<T>(&self, act: impl FnOnce(&mut Net) -> T) -> T {
        act(&mut self.lock().net)
    }

    /// Time since the network was made.
    pub fn elapsed(&self) -> Duration {
        self.lock().epoch.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct SimSocket {
    net: SimNet,
    address: SocketAddr,
    /// Until the next arrival anywhere.
    sleep: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.address)
    }
}

impl DatagramSocket for SimSocket {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut inner = self.net.lock();
            inner.deliver();
            let next = inner.net.next_arrival();
            let epoch = inner.epoch;
            let Some(inbox) = inner.inboxes.get_mut(&self.address) else {
                return Poll::Pending;
            };
            let mut filled = 0;
            for (buffer, received) in buffers.iter_mut().zip(received.iter_mut()) {
                let Some(Datagram {
                    from, to, payload, ..
                }) = inbox.arrived.pop_front()
                else {
                    break;
                };
                buffer[..payload.len()].copy_from_slice(&payload);
                *received = Received {
                    remote: from,
                    local_ip: Some(to.ip()),
                    interface: None,
                    ecn: None,
                    len: payload.len(),
                    stride: payload.len(),
                };
                filled += 1;
            }
            if filled > 0 {
                return Poll::Ready(Ok(filled));
            }
            inbox.reader = Some(cx.waker().clone());
            drop(inner);

            let Some(at) = next else {
                return Poll::Pending;
            };
            // Tokio's clock ticks in milliseconds: what arrives within one is delivered with it.
            let deadline = epoch + Duration::from_nanos(at.as_nanos());
            let mut sleep = self
                .sleep
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let sleep = sleep.insert(Box::pin(time::sleep_until(deadline)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
        let mut inner = self.net.lock();
        let now = inner.now();
        let mut from = self.address;
        if let Some(ip) = batch.source_ip {
            from.set_ip(ip);
        }
        for payload in batch.contents.chunks(batch.segment_size) {
            inner.net.send(
                now,
                Datagram {
                    from,
                    to: batch.destination,
                    payload: payload.to_vec(),
                    dont_fragment: batch.dont_fragment,
                    ecn: None,
                },
            );
        }
        // The next arrival may be earlier than those who sleep believe.
        for inbox in inner.inboxes.values_mut() {
            if let Some(waker) = inbox.reader.take() {
                waker.wake();
            }
        }
        Ok(())
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn max_segments(&self) -> usize {
        16
    }
}
