//! What carries one exchange at a time: a stream of an association, or a TCP connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use sctp_udp::{MessageData, Ppid, RecvError, RecvStream, SendError, SendInfo, SendStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::failure::Failure;
use crate::association::{GIVEN_UP, PPID_HTTP};

/// Room for one read from TCP.
const READ_SIZE: usize = 64 * 1024;

pub(super) enum Lane {
    Sctp {
        send: SendStream,
        recv: RecvStream,
    },
    /// Connected when first used, and again after the server closed.
    Tcp {
        server: TcpServer,
        stream: Option<TcpStream>,
    },
}

/// Where TCP connections go.
#[derive(Clone)]
pub(super) struct TcpServer {
    /// In the order in which they are tried.
    pub(super) addresses: Arc<[SocketAddr]>,
    /// How long each of them may take.
    pub(super) timeout: Duration,
}

impl TcpServer {
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let mut failure = Failure::connect("no address");
        for address in &*self.addresses {
            let connected = match timeout(self.timeout, TcpStream::connect(address)).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Failure::connect(format!("{address}: {error}")),
            }
        }
        Err(failure)
    }
}

/// Bytes of a response, as they were handed over.
pub(super) enum Piece {
    Message { data: MessageData, ppid: Ppid },
    Bytes(Bytes),
}

impl Lane {
    pub(super) fn stream_id(&self) -> Option<u16> {
        match self {
            Self::Sctp { send, .. } => Some(send.id().0),
            Self::Tcp { .. } => None,
        }
    }

    /// Hands a whole request to the transport.
    pub(super) async fn send(&mut self, request: Bytes) -> Result<(), Failure> {
        match self {
            Self::Sctp { send, .. } => send
                .send(request, SendInfo::new(PPID_HTTP))
                .await
                .map_err(|error| Failure::transfer(&error, is_lost(&error))),
            Self::Tcp { server, stream } => {
                let stream = match stream {
                    Some(stream) => stream,
                    None => stream.insert(server.connect().await?),
                };
                stream
                    .write_all(&request)
                    .await
                    .map_err(|error| Failure::transfer(&error, true))
            }
        }
    }

    /// The next piece; `None` when the server has ended its side. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Option<Piece>, Failure> {
        match self {
            Self::Sctp { recv, .. } => match recv.recv().await {
                Ok(Some(message)) if message.aborted => Err(Failure::transfer(&GIVEN_UP, false)),
                Ok(message) => Ok(message.map(|m| Piece::Message {
                    data: m.data,
                    ppid: m.ppid,
                })),
                Err(error) => {
                    let lost = !matches!(error, RecvError::Stalled);
                    Err(Failure::transfer(&error, lost))
                }
            },
            Self::Tcp { stream, .. } => {
                let Some(stream) = stream else {
                    return Ok(None);
                };
                let mut bytes = BytesMut::with_capacity(READ_SIZE);
                match stream.read_buf(&mut bytes).await {
                    Ok(0) => Ok(None),
                    Ok(_) => Ok(Some(Piece::Bytes(bytes.freeze()))),
                    Err(error) => Err(Failure::transfer(&error, reset(&error))),
                }
            }
        }
    }

    /// Gives up the exchange in progress. `None` if the lane can carry no other.
    pub(super) fn renew(self) -> Option<Self> {
        match self {
            // Dropping the receiving half discards what still comes.
            Self::Sctp { send, .. } => {
                send.reset();
                None
            }
            Self::Tcp { server, .. } => Some(Self::Tcp {
                server,
                stream: None,
            }),
        }
    }
}

impl Piece {
    pub(super) fn ppid(&self) -> Option<u32> {
        match self {
            Self::Message { ppid, .. } => Some(ppid.0),
            Self::Bytes(_) => None,
        }
    }

    pub(super) fn into_buf(self) -> Box<dyn Buf + Send> {
        match self {
            Self::Message { data, .. } => Box::new(data),
            Self::Bytes(bytes) => Box::new(bytes),
        }
    }
}

fn is_lost(error: &SendError) -> bool {
    matches!(
        error,
        SendError::Closing | SendError::Restarted | SendError::Closed(_)
    )
}

fn reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

#[cfg(test)]
mod tests {
    use sctp_udp::StreamId;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{association::tests::large_message, client::failure::FailureKind};

    async fn ask(addresses: &[SocketAddr]) -> Result<(), Failure> {
        let server = TcpServer {
            addresses: addresses.into(),
            timeout: Duration::from_secs(10),
        };
        let mut lane = Lane::Tcp {
            server,
            stream: None,
        };
        lane.send(Bytes::from_static(b"GET")).await
    }

    #[tokio::test]
    async fn a_host_is_asked_at_its_next_address_where_nobody_is_at_the_first() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(ask(&[nobody, there]).await.is_ok());
        let failure = ask(&[nobody]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Connect);
        assert!(
            failure.text.starts_with("127.0.0.1:1: "),
            "{}",
            failure.text
        );
    }

    #[tokio::test]
    async fn a_message_that_is_given_up_is_no_end_of_an_answer() {
        let (reset, recv, _endpoints) = large_message().await;
        let (send, _) = recv.association().stream(StreamId(2)).unwrap();
        let mut lane = Lane::Sctp { send, recv };
        assert!(lane.receive().await.is_ok_and(|piece| piece.is_some()));
        reset.reset();
        let failure = loop {
            match lane.receive().await {
                Ok(piece) => assert!(piece.is_some(), "the end"),
                Err(failure) => break failure,
            }
        };
        assert!(failure.kind == FailureKind::Transfer && !failure.lost);
    }

    /// A listener whose queue is full, as only Linux has it, lets a peer wait for minutes.
    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_given_up() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let full = listener.local_addr().unwrap();
        for _ in 0..16 {
            tokio::spawn(async move {
                let _stream = TcpStream::connect(full).await;
                std::future::pending::<()>().await;
            });
        }
        // They come before the one below, which is the last to be polled first.
        tokio::task::yield_now().await;
        let failure = ask(&[full]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Connect);
        assert!(failure.text.ends_with("timed out"), "{}", failure.text);
    }
}
