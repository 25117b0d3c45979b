//! Streams as byte streams.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use sctp_proto::{MessageData, SendInfo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{RecvStream, SendStream};

/// Default of [`StreamWriter::max_message`]. Without I-DATA a message holds up all other streams
/// until it has left.
const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes in, messages out: each write becomes one message of at most
/// [`max_message`](Self::max_message) bytes, all with the same `SendInfo`.
///
/// Nothing is buffered here: a write that returned is queued, so flushing has nothing to do.
/// Shutting the writer down ends the writer and never resets the stream; `finish` and `reset` of
/// the [`SendStream`] do.
#[derive(Debug)]
pub struct StreamWriter {
    stream: SendStream,
    info: SendInfo,
    max_message: usize,
    shut_down: bool,
}

impl StreamWriter {
    pub(crate) fn new(stream: SendStream, info: SendInfo) -> Self {
        Self {
            stream,
            info,
            max_message: 0,
            shut_down: false,
        }
        .max_message(MAX_MESSAGE)
    }

    /// Largest message a write makes, bytes; default 64 KiB. Cut to what the association can send.
    pub fn max_message(mut self, bytes: usize) -> Self {
        let most = self.stream.association().max_message_size();
        self.max_message = bytes.min(most).max(1);
        self
    }

    /// The stream.
    pub fn get_ref(&self) -> &SendStream {
        &self.stream
    }

    /// The stream back, even after the writer was shut down.
    pub fn into_inner(self) -> SendStream {
        self.stream
    }

    /// Sends what `gather` makes of at most `max_message` bytes as one message.
    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        gather: impl FnOnce(usize) -> Bytes,
    ) -> Poll<io::Result<usize>> {
        if self.shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = len.min(self.max_message);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.stream.poll_room(cx));
        let mut message = gather(len);
        ready!(self.stream.poll_send(cx, &mut message, &self.info))?;
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_message(cx, buf.len(), |len| Bytes::copy_from_slice(&buf[..len]))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_message(cx, len, |len| {
            let mut message = BytesMut::with_capacity(len);
            for buf in bufs {
                let room = len - message.len();
                message.extend_from_slice(&buf[..buf.len().min(room)]);
            }
            message.freeze()
        })
    }

    /// True: what is written together leaves as one message, a header with its body.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// Messages in, bytes out: message boundaries are dropped. A stream reset or SHUTDOWN by the peer
/// is end of file, a message that it gives up after a part was read an error. Whole messages left
/// out by a sender that does not send reliably go unnoticed: bytes are not for such a sender.
#[derive(Debug)]
pub struct StreamReader {
    stream: RecvStream,
    unread: MessageData,
}

impl StreamReader {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self {
            stream,
            unread: MessageData::default(),
        }
    }

    /// The stream.
    pub fn get_ref(&self) -> &RecvStream {
        &self.stream
    }

    /// The stream back, and what is left unread of the message read last.
    pub fn into_inner(self) -> (RecvStream, MessageData) {
        (self.stream, self.unread)
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.unread.is_empty() {
            match ready!(self.stream.poll_recv(cx))? {
                Some(message) if message.aborted => {
                    let how = "the peer gave up a message of which a part was read";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, how)));
                }
                Some(message) => self.unread = message.data,
                None => return Poll::Ready(Ok(())),
            }
        }
        while buf.remaining() > 0 && !self.unread.is_empty() {
            let chunk = self.unread.chunk();
            let count = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..count]);
            self.unread.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}
