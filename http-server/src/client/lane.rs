//! What carries one exchange at a time: a stream of an association, or a TCP connection.

use std::{io, net::SocketAddr};

use bytes::{Buf, Bytes, BytesMut};
use sctp_udp::{MessageData, Ppid, RecvError, RecvStream, SendError, SendInfo, SendStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::failure::Failure;
use crate::association::PPID_HTTP;

/// Room for one read from TCP.
const READ_SIZE: usize = 64 * 1024;

pub(super) enum Lane {
    Sctp {
        send: SendStream,
        recv: RecvStream,
    },
    /// Connected when first used, and again after the server closed.
    Tcp {
        address: SocketAddr,
        stream: Option<TcpStream>,
    },
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
            Self::Tcp { address, stream } => {
                let stream = match stream {
                    Some(stream) => stream,
                    None => {
                        let connected = TcpStream::connect(*address).await;
                        let connected = connected
                            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                            .map_err(|error| Failure::connect(format!("{address}: {error}")))?;
                        stream.insert(connected)
                    }
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
            Self::Tcp { address, .. } => Some(Self::Tcp {
                address,
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
