//! The same service over TCP: HTTP/1.1, or HTTP/2 by prior knowledge.

mod owed;

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, join},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tower::ServiceExt;

use owed::Owed;

use crate::{
    association::{deadline, stopping},
    body::{BoxError, RequestBody},
    limits::Limits,
    origin::{Origin, names_host},
    service::HttpService,
};

/// First bytes of every HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Pause after an `accept` that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the server is asked to stop, then waits until all are over.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Arc<Limits>,
    mut draining: watch::Receiver<bool>,
) where
    S: HttpService,
{
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = stopping(&mut draining) => break,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let (service, limits) = (service.clone(), limits.clone());
                let draining = draining.clone();
                tasks.spawn(async move {
                    connection(stream, peer, service, &limits, draining).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a TCP connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, impl Drop + use<>)> {
    let permit = room
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn connection<S>(
    mut stream: TcpStream,
    peer: SocketAddr,
    service: S,
    limits: &Limits,
    mut draining: watch::Receiver<bool>,
) where
    S: HttpService,
{
    // Without this a response's last segment may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let first = tokio::select! {
        first = timeout(limits.header_timeout, first_bytes(&mut stream)) => first,
        () = stopping(&mut draining) => return,
    };
    let Ok(Ok(first)) = first else { return };
    let origin = Origin::tcp(SocketAddr::new(peer.ip().to_canonical(), peer.port()));
    let owed = Owed::default();
    let responses = owed.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| RequestBody::new(body, None));
        request.extensions_mut().insert(origin.clone());
        let names_host = names_host(request.version(), request.headers());
        let answer = names_host.then(|| service.clone().oneshot(request));
        let (owed, in_progress) = (responses.clone(), responses.request());
        async move {
            let counted = |body: S::Body| {
                Either::Left(body.map_frame(move |frame| {
                    let _with_the_body = &in_progress;
                    frame.map_data(|data| owed.piece(data))
                }))
            };
            let status = match answer {
                Some(answer) => match answer.await {
                    Ok(response) => return Ok::<_, Infallible>(response.map(counted)),
                    Err(error) => {
                        let error: BoxError = error.into();
                        tracing::warn!(%error, "the service failed");
                        StatusCode::INTERNAL_SERVER_ERROR
                    }
                },
                None => StatusCode::BAD_REQUEST,
            };
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = status;
            Ok(response)
        }
    });
    let (read, write) = stream.into_split();
    let write = Impatient {
        inner: write,
        timeout: limits.send_timeout,
        stalled: None,
    };
    let io = TokioIo::new(join(std::io::Cursor::new(first).chain(read), write));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(limits.header_fields)
        // A head must fit hyper's buffer.
        .max_buf_size(limits.header_bytes)
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.transactions.try_into().unwrap_or(u32::MAX))
        .max_header_list_size(limits.header_bytes.try_into().unwrap_or(u32::MAX))
        .keep_alive_interval(limits.idle_timeout)
        .keep_alive_timeout(limits.header_timeout);
    let connection = builder.serve_connection(io, service);
    tokio::pin!(connection);
    let deadline = deadline(draining.clone(), limits.drain_timeout);
    let stopping_or_idle = async {
        tokio::select! {
            () = stopping(&mut draining) => {}
            () = owed.idle(limits.idle_timeout) => {}
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = owed.overdue(limits.send_timeout) => {
            tracing::debug!(%peer, "the peer did not take its responses");
            return;
        }
        () = stopping_or_idle => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection => result,
                () = owed.overdue(limits.send_timeout) => return,
                () = deadline => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, error, "TCP connection failed");
    }
}

/// Reads until it is clear whether HTTP/2 is spoken, so that the time this takes is bounded.
async fn first_bytes(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(1024);
    while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
        if stream.read_buf(&mut first).await? == 0 {
            break;
        }
    }
    Ok(first)
}

/// Fails when the peer has taken nothing for a time.
struct Impatient<W> {
    inner: W,
    timeout: Duration,
    /// Runs since a write found no room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<W: AsyncWrite + Unpin> Impatient<W> {
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut W>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = write(Pin::new(&mut self.inner), cx) {
            self.stalled = None;
            return Poll::Ready(result);
        }
        let timeout = self.timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Impatient<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |inner, cx| inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, AsyncWrite::poll_shutdown)
    }
}
