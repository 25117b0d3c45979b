//! The task of an endpoint: receives, routes, and hands datagrams to their associations. See
//! `association_driver` for what runs where.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use sctp_proto::{AssociationEvent, DatagramEvent, DatagramMeta, SocketId};
use tokio::time::Sleep;

use crate::{
    association_driver::flush, endpoint::EndpointShared, net::Net, socket::Received, state::Shared,
};

/// Bytes per receive buffer: the largest UDP datagram, or the largest run that GRO makes.
const BUFFER: usize = 65_536;

/// Receive buffers per system call. More would let more arrive before the first is acknowledged.
const BUFFERS: usize = 8;

/// Receive calls per socket before other tasks get their turn.
const RECV_LIMIT: usize = 8;

/// Pause after an error on receiving, which otherwise could repeat as fast as the processor goes.
const RECV_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct EndpointDriver {
    endpoint: Arc<EndpointShared>,
    net: Arc<Net>,
    buffers: Vec<u8>,
    reply: Vec<u8>,
    /// What the batch at hand has for associations.
    inbox: Vec<(Arc<Shared>, AssociationEvent)>,
    /// By socket: set while receiving pauses after an error.
    pauses: Vec<Option<Pin<Box<Sleep>>>>,
}

impl EndpointDriver {
    pub(crate) fn new(endpoint: Arc<EndpointShared>, net: Arc<Net>) -> Self {
        Self {
            endpoint,
            net,
            buffers: vec![0; BUFFER * BUFFERS],
            reply: Vec::new(),
            inbox: Vec::new(),
            pauses: Vec::new(),
        }
    }

    /// Resumes associations that waited for room in a socket. One that finds it full again comes
    /// back by the mailbox, which wakes this task.
    fn drive_blocked(&mut self, cx: &mut Context<'_>) {
        for socket in 0..self.net.sockets.len() {
            if !self.net.is_blocked(socket) {
                continue;
            }
            // What waits for a closed socket leaves by another.
            let open = self.net.sockets.get(socket);
            if open.is_none_or(|socket| socket.poll_writable(cx).is_ready()) {
                let now = self.endpoint.clock.now();
                for shared in self.net.take_blocked(socket) {
                    flush(&self.net, &self.endpoint, &shared, now, true, |_| {});
                }
            }
        }
    }

    /// Receives from one socket; true if there may be more.
    fn drive_socket(&mut self, cx: &mut Context<'_>, socket: usize) -> bool {
        let Some(open) = self.net.sockets.get(socket) else {
            return false;
        };
        if self.pauses.len() <= socket {
            self.pauses.resize_with(socket + 1, || None);
        }
        if let Some(pause) = &mut self.pauses[socket] {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pauses[socket] = None;
        }
        for _ in 0..RECV_LIMIT {
            let mut received = [NOTHING; BUFFERS];
            let mut slices = self.buffers.chunks_mut(BUFFER);
            let mut slices: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(slices.next().unwrap_or_default()));
            match open.poll_recv(cx, &mut slices, &mut received) {
                Poll::Ready(Ok(count)) => self.handle_batch(socket, &received[..count]),
                Poll::Ready(Err(error)) if is_passing(&error) => {}
                Poll::Ready(Err(error)) => {
                    let errors = &self.net.sockets.counters().recv_errors;
                    if errors.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::debug!(%error, "a socket failed to receive");
                    }
                    self.pauses[socket] = Some(Box::pin(tokio::time::sleep(RECV_PAUSE)));
                    return true;
                }
                Poll::Pending => return false,
            }
        }
        true
    }

    fn handle_batch(&mut self, socket: usize, received: &[Received]) {
        let now = self.endpoint.clock.now();
        let mut state = self.endpoint.lock();
        let mut new = false;
        for (received, buffer) in received.iter().zip(self.buffers.chunks(BUFFER)) {
            let meta = DatagramMeta {
                remote: received.remote,
                socket: SocketId(u16::try_from(socket).unwrap_or(u16::MAX)),
                local_ip: received.local_ip,
                interface: received.interface,
                ecn: received.ecn,
            };
            let run = &buffer[..received.len.min(BUFFER)];
            let stride = match received.stride {
                0 => run.len().max(1),
                stride => stride,
            };
            for datagram in run.chunks(stride) {
                // A copy of its own: payloads are slices of it, and a few kept bytes must not pin
                // a whole receive buffer.
                let data = BytesMut::from(datagram);
                self.reply.clear();
                match state
                    .proto
                    .handle_datagram(now, meta, data, &mut self.reply)
                {
                    Some(DatagramEvent::Association(handle, event)) => {
                        if let Some(shared) = state.associations.get(&handle) {
                            self.inbox.push((Arc::clone(shared), event));
                        }
                    }
                    Some(DatagramEvent::New(incoming)) => {
                        state.incoming.push_back(incoming);
                        new = true;
                    }
                    Some(DatagramEvent::Response(transmit)) => {
                        drop(state);
                        self.net.sockets.send_reply(&transmit, &self.reply);
                        state = self.endpoint.lock();
                    }
                    None => {}
                }
            }
        }
        drop(state);
        if new {
            self.endpoint.incoming.notify_waiters();
        }
        self.deliver(now);
    }

    /// Hands the batch to the associations: each is locked, woken and flushed once.
    fn deliver(&mut self, now: sctp_proto::Instant) {
        // Stable: the datagrams of one association stay in order.
        self.inbox.sort_by_key(|(shared, _)| shared.id);
        let mut inbox = self.inbox.drain(..).peekable();
        while let Some((shared, event)) = inbox.next() {
            flush(&self.net, &self.endpoint, &shared, now, false, |state| {
                state.proto.handle_event(now, event);
                while let Some((_, event)) = inbox.next_if(|(next, _)| next.id == shared.id) {
                    state.proto.handle_event(now, event);
                }
            });
        }
    }
}

impl Future for EndpointDriver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.net.register(cx.waker());
        self.drive_blocked(cx);
        let mut more = false;
        for socket in 0..self.net.sockets.len() {
            more |= self.drive_socket(cx, socket);
        }
        if self.endpoint.is_over() {
            return Poll::Ready(());
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for EndpointDriver {
    fn drop(&mut self) {
        self.endpoint.driver_ended();
    }
}

const NOTHING: Received = Received {
    remote: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    local_ip: None,
    interface: None,
    ecn: None,
    len: 0,
    stride: 0,
};

/// Errors that say something about one datagram sent earlier, as an ICMP message that Windows
/// reports on receiving, and nothing about the socket.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}
