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
/// It sends everything with DF set where the platform can: one socket cannot have it both ways, so
/// a [`Batch`] that may be fragmented leaves with DF too.
#[derive(Debug)]
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
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
        Ok(Self { io, state })
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
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.io).into(), &transmit)
        })
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
