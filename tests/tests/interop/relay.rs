//! A UDP relay between two programs on loopback that notes every packet.
//!
//! Unlike a capture of the interface it needs no privileges, runs anywhere, and sees nothing but
//! this test's packets. To both sides it is a NAT: it forwards from ports of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use sctp_proto::Instant;
use sctp_tests::trace::Trace;
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::tshark;

/// Larger than any UDP payload.
const DATAGRAM: usize = 65_536;

/// A relay for one client. Ends when dropped.
pub(crate) struct Relay {
    addr: SocketAddr,
    trace: Arc<Mutex<Trace>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Relays from a new port to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let any = SocketAddr::new(target.ip(), 0);
        let front = UdpSocket::bind(any).await.expect("a port");
        let back = UdpSocket::bind(any).await.expect("a port");
        let addr = front.local_addr().expect("its address");
        let trace = Arc::new(Mutex::new(Trace::default()));
        let task = tokio::spawn(relay(front, back, target, Arc::clone(&trace)));
        Self { addr, trace, task }
    }

    /// Where the client sends to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Has tshark look at the packets so far.
    pub(crate) fn judge(&self, name: &str) {
        tshark::judge(
            name,
            &self.trace.lock().unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(front: UdpSocket, back: UdpSocket, target: SocketAddr, trace: Arc<Mutex<Trace>>) {
    let start = tokio::time::Instant::now();
    let note = |from, to, payload: &[u8]| {
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut trace = trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.record(Instant::from_nanos(nanos), from, to, payload, "");
    };
    let (mut from_client, mut from_target) = (vec![0; DATAGRAM], vec![0; DATAGRAM]);
    let mut client = None;
    loop {
        // Errors are ICMP's news that a program has not begun or has ended; it may be otherwise
        // with the next packet.
        tokio::select! {
            received = front.recv_from(&mut from_client) => {
                let Ok((size, from)) = received else { continue };
                client = Some(from);
                note(from, target, &from_client[..size]);
                let _ = back.send_to(&from_client[..size], target).await;
            }
            received = back.recv_from(&mut from_target) => {
                let (Ok((size, _)), Some(client)) = (received, client) else { continue };
                note(target, client, &from_target[..size]);
                let _ = front.send_to(&from_target[..size], client).await;
            }
        }
    }
}
