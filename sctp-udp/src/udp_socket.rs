//! UDP sockets of the operating system, on `quinn-udp`: GSO, GRO, ECN, pktinfo and DF where the
//! platform has them.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use sctp_proto::EcnCodepoint;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;

use crate::socket::{Batch, DatagramSocket, Received};

/// Kernel buffer to ask for in each direction. A receive window of 1 MiB can arrive in one burst,
/// and the kernel counts about twice the bytes a datagram carries.
const KERNEL_BUFFER: usize = 4 << 20;

/// A UDP socket of the operating system.
///
/// It sends with DF set where the platform can. A [`Batch`] that may be fragmented leaves without
/// it on Linux, and with it elsewhere: there is no other way to change it for one datagram without
/// `unsafe`.
///
/// ICMP messages are not read. Linux keeps them in a queue that the system's crates have no safe
/// way to parse; and a socket that asks for them fails the next send to any peer for what one peer
/// provoked, and is shown by epoll as one that cannot be written to any more. Who receives them by
/// other means has [`Endpoint::handle_icmp`](crate::Endpoint::handle_icmp).
#[derive(Debug)]
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    /// Held while DF is off.
    #[cfg(target_os = "linux")]
    fragmenting: std::sync::Mutex<()>,
}

impl UdpSocket {
    /// Binds a socket; an IPv6 one serves IPv6 only. Must be called within a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        Self::from_std(socket.into())
    }

    /// Takes over a socket that is bound already. Must be called within a tokio runtime.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        // The kernel may refuse, or give less: the default still works, with more loss.
        let options = SockRef::from(&socket);
        if let Err(error) = options
            .set_recv_buffer_size(KERNEL_BUFFER)
            .and_then(|()| options.set_send_buffer_size(KERNEL_BUFFER))
        {
            tracing::debug!(%error, "the system refused a larger socket buffer");
        }
        let state = UdpSocketState::new((&socket).into())?;
        let io = tokio::net::UdpSocket::from_std(socket)?;
        Ok(Self {
            io,
            state,
            #[cfg(target_os = "linux")]
            fragmenting: std::sync::Mutex::default(),
        })
    }

    /// Sends without DF. What other tasks send at the same time may leave so too, which does no
    /// harm.
    #[cfg(target_os = "linux")]
    fn fragmented(&self, ipv6: bool, send: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6, set_ip_mtu_discover,
            set_ipv6_mtu_discover,
        };
        let allow = |fragments: bool| match (ipv6, fragments) {
            (false, true) => set_ip_mtu_discover(&self.io, V4::DONT),
            (false, false) => set_ip_mtu_discover(&self.io, V4::PROBE),
            (true, true) => set_ipv6_mtu_discover(&self.io, V6::DONT),
            (true, false) => set_ipv6_mtu_discover(&self.io, V6::PROBE),
        };
        let _guard = crate::state::lock(&self.fragmenting);
        allow(true)?;
        let result = send();
        allow(false)?;
        result
    }

    #[cfg(not(target_os = "linux"))]
    fn fragmented(&self, _ipv6: bool, send: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        send()
    }
}

impl DatagramSocket for UdpSocket {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        let mut meta = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let room = buffers.len().min(received.len()).min(meta.len());
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let result = self.io.try_io(Interest::READABLE, || {
                self.state
                    .recv((&self.io).into(), &mut buffers[..room], &mut meta[..room])
            });
            match result {
                Ok(count) => {
                    for (received, meta) in received.iter_mut().zip(&meta[..count]) {
                        *received = Received {
                            remote: meta.addr,
                            local_ip: meta.dst_ip,
                            interface: meta.interface_index,
                            ecn: meta.ecn.map(from_quinn),
                            len: meta.len,
                            stride: meta.stride,
                        };
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: batch.destination,
            ecn: batch.ecn.map(to_quinn),
            contents: batch.contents,
            segment_size: (batch.segment_size < batch.contents.len()).then_some(batch.segment_size),
            src_ip: batch.source_ip,
        };
        // Not `send`, which keeps every error but WouldBlock to itself.
        let send = || {
            self.io.try_io(Interest::WRITABLE, || {
                self.state.try_send((&self.io).into(), &transmit)
            })
        };
        if batch.dont_fragment {
            send()
        } else {
            self.fragmented(batch.destination.is_ipv6(), send)
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

fn from_quinn(ecn: quinn_udp::EcnCodepoint) -> EcnCodepoint {
    match ecn {
        quinn_udp::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
        quinn_udp::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
        quinn_udp::EcnCodepoint::Ce => EcnCodepoint::Ce,
    }
}

fn to_quinn(ecn: EcnCodepoint) -> quinn_udp::EcnCodepoint {
    match ecn {
        EcnCodepoint::Ect0 => quinn_udp::EcnCodepoint::Ect0,
        EcnCodepoint::Ect1 => quinn_udp::EcnCodepoint::Ect1,
        EcnCodepoint::Ce => quinn_udp::EcnCodepoint::Ce,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn df_is_back_after_a_datagram_that_may_be_fragmented() {
        use rustix::net::sockopt::{Ipv4PathMtuDiscovery as Df, ip_mtu_discover};
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(!socket.may_fragment());
        std::future::poll_fn(|cx| socket.poll_writable(cx))
            .await
            .unwrap();
        let batch = Batch {
            destination: socket.local_addr().unwrap(),
            source_ip: None,
            ecn: None,
            dont_fragment: false,
            contents: b"hello",
            segment_size: 5,
        };
        socket.try_send(&batch).unwrap();
        assert_eq!(ip_mtu_discover(&socket.io).unwrap(), Df::PROBE);
        let mut during = None;
        let nothing = || {
            during = ip_mtu_discover(&socket.io).ok();
            Ok(())
        };
        socket.fragmented(false, nothing).unwrap();
        assert_eq!(during, Some(Df::DONT));
    }

    #[tokio::test]
    async fn ipv6_packets_are_fragmented_for_one_datagram_too() {
        use rustix::net::sockopt::{Ipv6PathMtuDiscovery as Df, ipv6_mtu_discover};
        let Ok(socket) = UdpSocket::bind("[::1]:0".parse().unwrap()) else {
            eprintln!("skipped: no IPv6 here");
            return;
        };
        let mut during = None;
        let nothing = || {
            during = ipv6_mtu_discover(&socket.io).ok();
            Ok(())
        };
        socket.fragmented(true, nothing).unwrap();
        assert_eq!(during, Some(Df::DONT));
        assert_eq!(ipv6_mtu_discover(&socket.io).unwrap(), Df::PROBE);
    }
}
