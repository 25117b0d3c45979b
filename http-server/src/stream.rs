//! One stream: requests in, responses out on the same stream id.
//!
//! A hyper HTTP/1 connection is made on the first byte of a request and dropped as soon as nothing
//! is in progress; an idle one would hold 17 KB per stream.

use std::{
    fmt::Display,
    future::poll_fn,
    io::{self, IoSlice},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    exchange::{Exchange, Shared},
    limits::Limits,
    origin::Origin,
    response_writer::{MessageSink, Outbox},
    service::HttpService,
};

/// Yields the user messages of one stream, in order.
pub(crate) trait MessageSource: Send + Unpin + 'static {
    /// A message's bytes, in one piece or several.
    type Data: Buf + Send + Unpin;

    /// The next message; `None` after a stream reset or SHUTDOWN.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Self::Data>>>;
}

/// How the work on a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every request is answered; the stream can serve others.
    Idle,
    /// Every response is whole, but the stream can serve no other request.
    Spent,
    /// As `Spent`, and `Connection: close` was said: the association is to end as well.
    Close,
    /// The association is over; there is nothing left to do, or to tell anybody.
    Gone,
    /// A response was begun and cannot be completed. `close` as in `Close`; `seems_whole` if the
    /// end of the stream is the only one it has.
    Truncated {
        reason: String,
        close: bool,
        seems_whole: bool,
    },
}

/// Answers the requests of one stream until nothing is in progress. Gives the stream back.
pub(crate) async fn serve<S, K, R>(
    service: S,
    origin: Origin,
    shared: Shared,
    limits: &Limits,
    sink: K,
    source: R,
) -> (Outcome, Option<(K, R)>)
where
    S: HttpService,
    K: MessageSink,
    R: MessageSource,
{
    let outbox = Outbox::new(sink, limits.message_bytes);
    let mut io = StreamIo {
        source,
        read_before: Bytes::new(),
        message: None,
        outbox: outbox.clone(),
    };
    let outcome = loop {
        let exchange = Exchange {
            service: service.clone(),
            origin: origin.clone(),
            shared: shared.clone(),
            outbox: outbox.clone(),
        };
        let mut connection = http1::Builder::new()
            .half_close(true)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(2 * limits.message_bytes))
            .max_headers(limits.header_fields)
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .serve_connection(io, exchange);
        let ended = run(&mut connection, &outbox, limits.send_timeout).await;
        let parts = connection.into_parts();
        io = parts.io;
        io.give_back(parts.read_buf);
        match ended {
            _ if outbox.is_gone() => break Outcome::Gone,
            Ended::Idle if io.has_unread() => {}
            Ended::Idle if outbox.asked_to_close() => break Outcome::Close,
            Ended::Idle => break Outcome::Idle,
            Ended::Stalled => break truncated(&"the peer did not take the response", &outbox),
            Ended::Panicked => break truncated(&"the service panicked", &outbox),
            Ended::Connection(result) => break conclude(result, &outbox, limits).await,
        }
    };
    let sink = outbox.take_sink();
    (outcome, sink.map(|sink| (sink, io.source)))
}

enum Ended {
    /// All that was begun is answered and handed to the association.
    Idle,
    /// hyper will serve no more on this connection.
    Connection(hyper::Result<()>),
    /// No message could be sent for the send time-out.
    Stalled,
    /// The service has, or the body of its response.
    Panicked,
}

async fn run<S, K, R>(
    connection: &mut http1::Connection<StreamIo<K, R>, Exchange<S, K>>,
    outbox: &Outbox<K>,
    send_timeout: Duration,
) -> Ended
where
    S: HttpService,
    K: MessageSink,
    R: MessageSource,
{
    let begun_before = outbox.responses_begun();
    let mut watchdog = Watchdog::new(send_timeout);
    poll_fn(|cx| {
        loop {
            // What panicked is dropped next.
            let polled = AssertUnwindSafe(|| connection.poll_without_shutdown(cx));
            let Ok(result) = catch_unwind(polled) else {
                return Poll::Ready(Ended::Panicked);
            };
            // An error of the sink shows in hyper's own writes, or in `conclude`.
            let _ = outbox.poll_sent(cx, 0);
            if let Poll::Ready(result) = result {
                return Poll::Ready(Ended::Connection(result));
            }
            if outbox.responses_begun() == begun_before || !outbox.is_idle(cx) {
                break;
            }
            // The rest of a body that nobody reads is no request: hyper, asked once more, reads it
            // to its end if that is here, and otherwise serves no other request.
            if !outbox.take_body_closed() {
                return Poll::Ready(Ended::Idle);
            }
        }
        watchdog
            .poll(cx, outbox.blocked_at())
            .map(|()| Ended::Stalled)
    })
    .await
}

/// What hyper's end means for the stream; sends what is still to send.
async fn conclude<K: MessageSink>(
    result: hyper::Result<()>,
    outbox: &Outbox<K>,
    limits: &Limits,
) -> Outcome {
    if let Err(error) = &result {
        if outbox.is_open() {
            return truncated(error, outbox);
        }
        if error.is_timeout() {
            outbox.append(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            );
        }
        tracing::debug!(%error, "request not served");
    }
    outbox.flush();
    let mut watchdog = Watchdog::new(limits.send_timeout);
    let sent = poll_fn(|cx| {
        if let Poll::Ready(sent) = outbox.poll_sent(cx, 0) {
            return Poll::Ready(sent);
        }
        watchdog
            .poll(cx, outbox.blocked_at())
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    });
    if let Err(error) = sent.await {
        if outbox.is_gone() {
            return Outcome::Gone;
        }
        return truncated(&error, outbox);
    }
    if outbox.asked_to_close() {
        Outcome::Close
    } else {
        Outcome::Spent
    }
}

fn truncated<K: MessageSink>(reason: &dyn Display, outbox: &Outbox<K>) -> Outcome {
    Outcome::Truncated {
        reason: reason.to_string(),
        close: outbox.asked_to_close(),
        seems_whole: outbox.seems_whole(),
    }
}

/// Ready when messages wait and none was sent for `timeout`.
struct Watchdog {
    timeout: Duration,
    seen: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Watchdog {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            seen: None,
            sleep: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, blocked_at: Option<u64>) -> Poll<()> {
        if blocked_at.is_none() {
            self.seen = None;
            return Poll::Pending;
        }
        let deadline = Instant::now() + self.timeout;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if self.seen != blocked_at {
            self.seen = blocked_at;
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

/// A stream as hyper's I/O: message boundaries are dropped on the way in, formed on the way out.
pub(crate) struct StreamIo<K, R: MessageSource> {
    source: R,
    /// What an earlier connection on this stream read beyond its last request.
    read_before: Bytes,
    message: Option<R::Data>,
    outbox: Outbox<K>,
}

impl<K, R: MessageSource> StreamIo<K, R> {
    fn give_back(&mut self, read: Bytes) {
        if self.read_before.is_empty() {
            self.read_before = read;
        } else if !read.is_empty() {
            let mut both = BytesMut::from(&read[..]);
            both.extend_from_slice(&self.read_before);
            self.read_before = both.freeze();
        }
    }

    fn has_unread(&self) -> bool {
        !self.read_before.is_empty() || self.message.as_ref().is_some_and(Buf::has_remaining)
    }
}

impl<K: MessageSink, R: MessageSource> hyper::rt::Read for StreamIo<K, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.read_before.is_empty() {
            while !this.message.as_ref().is_some_and(Buf::has_remaining) {
                let received = ready!(this.source.poll_recv(cx));
                this.message = received.inspect_err(|error| this.outbox.failed(error))?;
                if this.message.is_none() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        while buffer.remaining() > 0 {
            let from: &mut dyn Buf = match &mut this.message {
                _ if !this.read_before.is_empty() => &mut this.read_before,
                Some(message) if message.has_remaining() => message,
                _ => break,
            };
            let size = from.chunk().len().min(buffer.remaining());
            buffer.put_slice(&from.chunk()[..size]);
            from.advance(size);
        }
        Poll::Ready(Ok(()))
    }
}

impl<K: MessageSink, R: MessageSource> hyper::rt::Write for StreamIo<K, R> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outbox.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        slices.iter().for_each(|slice| self.outbox.append(slice));
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Hands over what may go; whether the association has room for it is the wrappers' concern.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.flush();
        match self.outbox.poll_sent(cx, 0) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// The end of hyper's connection is not the end of the stream.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests;
