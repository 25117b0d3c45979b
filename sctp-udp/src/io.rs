//! Streams as byte streams.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use sctp_proto::MessageData;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{RecvStream, SendStream};

/// Bytes in, messages out: each write becomes one message of at most
/// [`max_message`](Self::max_message) bytes, all with the same `SendInfo`.
///
/// Nothing is buffered here: a write that returned is queued, so flushing has nothing to do.
/// Shutting the writer down ends the writer and never resets the stream; `finish` and `reset` of
/// the [`SendStream`] do.
#[derive(Debug)]
pub struct StreamWriter {}

impl StreamWriter {
    /// Largest message a write makes, bytes; default 64 KiB. Cut to what the association can send.
    pub fn max_message(self, bytes: usize) -> Self {
        todo!()
    }

    /// The stream.
    pub fn get_ref(&self) -> &SendStream {
        todo!()
    }

    /// The stream back, even after the writer was shut down.
    pub fn into_inner(self) -> SendStream {
        todo!()
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        todo!()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}

/// Messages in, bytes out: message boundaries are dropped. A stream reset or SHUTDOWN by the peer
/// is end of file.
#[derive(Debug)]
pub struct StreamReader {}

impl StreamReader {
    /// The stream.
    pub fn get_ref(&self) -> &RecvStream {
        todo!()
    }

    /// The stream back, and what is left unread of the message read last.
    pub fn into_inner(self) -> (RecvStream, MessageData) {
        todo!()
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        todo!()
    }
}
