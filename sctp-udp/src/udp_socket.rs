//! UDP sockets of the operating system, on `quinn-udp`: GSO, GRO, ECN, pktinfo and DF where the
//! platform has them.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    sync::{PoisonError, RwLock, RwLockReadGuard},
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
/// UDP checksums are the system's: it computes them for both families, and drops what comes with a
/// wrong one, or over IPv6 with none, as RFC 6951 §5.3 would have it (RFC 6936 has the exceptions;
/// no system allows them unasked). SCTP's own checksum is verified at any rate.
///
/// ICMP messages are not read. Linux keeps them in a queue that the system's crates have no safe
/// way to parse; and a socket that asks for them fails the next send to any peer for what one peer
/// provoked, and is shown by epoll as one that cannot be written to any more. Who receives them by
/// other means has [`Endpoint::handle_icmp`](crate::Endpoint::handle_icmp).
#[derive(Debug)]
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    /// What the system has turned out to be able to.
    state: RwLock<UdpSocketState>,
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
            state: RwLock::new(state),
            #[cfg(target_os = "linux")]
            fragmenting: std::sync::Mutex::default(),
        })
    }

    fn state(&self) -> RwLockReadGuard<'_, UdpSocketState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Linux may say EINVAL when the source address is none of this machine, and `quinn-udp` takes
    /// that for a system that knows neither GSO nor ECN, from then on. Whether it was the
    /// address; the rest is then as before.
    fn is_about_source(&self, error: &io::Error, source: Option<IpAddr>) -> bool {
        if error.kind() != io::ErrorKind::InvalidInput {
            return false;
        }
        let bound = || self.io.local_addr().map(|address| address.ip()).ok();
        let Some(source) = source.or_else(bound).filter(|ip| !ip.is_unspecified()) else {
            return false;
        };
        let probe = std::net::UdpSocket::bind((source, 0));
        let gone = probe.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable);
        if gone && let Ok(fresh) = UdpSocketState::new((&self.io).into()) {
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        gone
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
                self.state()
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
                self.state().try_send((&self.io).into(), &transmit)
            })
        };
        let result = if batch.dont_fragment {
            send()
        } else {
            self.fragmented(batch.destination.is_ipv6(), send)
        };
        match result {
            Err(error) if self.is_about_source(&error, batch.source_ip) => {
                Err(io::ErrorKind::AddrNotAvailable.into())
            }
            result => result,
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_send_ready(cx)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_segments(&self) -> usize {
        self.state().max_gso_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state().may_fragment()
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
    async fn a_source_address_that_is_gone_is_an_error_of_its_own_and_costs_nothing_else() {
        let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let before = socket.max_segments();
        let mut batch = Batch {
            destination: receiver.local_addr().unwrap(),
            source_ip: Some("192.0.2.77".parse().unwrap()),
            ecn: Some(EcnCodepoint::Ect0),
            dont_fragment: true,
            contents: b"hello",
            segment_size: 5,
        };
        std::future::poll_fn(|cx| socket.poll_writable(cx))
            .await
            .unwrap();
        let error = socket.try_send(&batch).unwrap_err();
        use io::ErrorKind as E;
        let told = matches!(error.kind(), E::AddrNotAvailable | E::NetworkUnreachable);
        assert!(told, "{error}");
        assert_eq!(socket.max_segments(), before);
        batch.source_ip = Some("127.0.0.2".parse().unwrap());
        socket.try_send(&batch).unwrap();
        let mut buffer = [0; 64];
        let mut received = [Received {
            remote: batch.destination,
            local_ip: None,
            interface: None,
            ecn: None,
            len: 0,
            stride: 0,
        }];
        std::future::poll_fn(|cx| {
            receiver.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut received)
        })
        .await
        .unwrap();
        let [received] = received;
        assert_eq!(received.remote.ip(), batch.source_ip.unwrap());
        assert_eq!(received.ecn, batch.ecn, "ECN goes on");
        assert_eq!(&buffer[..received.len], b"hello");
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
