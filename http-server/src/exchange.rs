//! The wrappers around a service and its response bodies that tell the [`Outbox`] where responses
//! begin and end, and let hyper write no faster than the association takes.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use crate::{
    body::{BoxError, RequestBody},
    origin::{Origin, asks_to_close, connection_says, names_host},
    response_writer::{MessageSink, Outbox},
    service::HttpService,
};

/// Formed messages that may wait for the association while the next one is made.
const AHEAD: usize = 1;

/// What the transactions of one association share.
#[derive(Clone)]
pub(crate) struct Shared {
    /// True once the server is asked to stop.
    pub(crate) draining: watch::Receiver<bool>,
    /// One permit, where responses are contiguous.
    pub(crate) turn: Option<Arc<Semaphore>>,
    pub(crate) piece: usize,
}

/// Serves the requests of one stream with `service`.
pub(crate) struct Exchange<S, K> {
    pub(crate) service: S,
    pub(crate) origin: Origin,
    pub(crate) shared: Shared,
    pub(crate) outbox: Outbox<K>,
}

// Nothing in it is ever pinned.
impl<S, K> Unpin for Exchange<S, K> {}

impl<S, K> hyper::service::Service<Request<Incoming>> for Exchange<S, K>
where
    S: HttpService,
    K: MessageSink,
{
    type Response = Response<ResponseBody<S::Body, K>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.outbox.begin();
        if asks_to_close(request.version(), request.headers()) {
            self.outbox.close();
        }
        let mut request = request.map(|body| {
            let open = (!body.is_end_stream()).then(|| self.outbox.open_body());
            RequestBody::new(body, open)
        });
        request.extensions_mut().insert(self.origin.clone());
        let version = request.version();
        let names_host = names_host(version, request.headers());
        let answer = names_host.then(|| self.service.clone().oneshot(request));
        let (outbox, shared) = (self.outbox.clone(), self.shared.clone());
        Box::pin(async move {
            let mut response = match answer {
                Some(answer) => match answer.await {
                    Ok(response) => response.map(|body| Some(Box::pin(body))),
                    Err(error) => {
                        let error: BoxError = error.into();
                        tracing::warn!(%error, "the service failed");
                        bare(StatusCode::INTERNAL_SERVER_ERROR)
                    }
                },
                None => bare(StatusCode::BAD_REQUEST),
            };
            if let Some(turn) = shared.turn {
                // The semaphore is never closed.
                if let Ok(permit) = turn.acquire_owned().await {
                    outbox.hold_turn(permit);
                }
            }
            // Failing is left to hyper's next write; then there is somebody to tell.
            let _ = poll_fn(|cx| outbox.poll_sent(cx, AHEAD)).await;
            if *shared.draining.borrow() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            if connection_says(response.headers(), "close") {
                outbox.close();
            }
            // As hyper frames it (RFC 9112 §6.3): HTTP/1.0 has no chunks.
            let unknown = |body: &Option<Pin<Box<S::Body>>>| {
                body.as_ref()
                    .is_some_and(|b| b.size_hint().exact().is_none())
            };
            let has_length = response.headers().contains_key(header::CONTENT_LENGTH);
            outbox.answer(version < Version::HTTP_11 && !has_length && unknown(response.body()));
            Ok(response.map(|inner| ResponseBody::new(inner, shared.piece, outbox)))
        })
    }
}

/// A response without a body.
fn bare<B>(status: StatusCode) -> Response<Option<B>> {
    let mut response = Response::new(None);
    *response.status_mut() = status;
    response
}

/// A response body in pieces of at most a message, which marks its end.
pub(crate) struct ResponseBody<B: Body, K: MessageSink> {
    inner: Option<Pin<Box<B>>>,
    /// What is left of the frame in hand.
    rest: Option<B::Data>,
    piece: usize,
    /// The length is known and no byte of it was seen: the head waits for the first one.
    head_waits: bool,
    outbox: Outbox<K>,
}

impl<B: Body, K: MessageSink> ResponseBody<B, K> {
    fn new(inner: Option<Pin<Box<B>>>, piece: usize, outbox: Outbox<K>) -> Self {
        let head_waits = inner
            .as_ref()
            .is_some_and(|body| body.size_hint().exact().is_some());
        Self {
            inner,
            rest: None,
            piece,
            head_waits,
            outbox,
        }
    }
}

impl<B: Body, K: MessageSink> Unpin for ResponseBody<B, K> {}

impl<B: Body, K: MessageSink> Body for ResponseBody<B, K>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        ready!(this.outbox.poll_sent(cx, AHEAD))?;
        loop {
            if let Some(rest) = &mut this.rest {
                let size = rest.remaining().min(this.piece);
                if size > 0 {
                    this.head_waits = false;
                    return Poll::Ready(Some(Ok(Frame::data(rest.copy_to_bytes(size)))));
                }
                this.rest = None;
            }
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(None);
            };
            match inner.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = Some(data),
                    Err(other) => {
                        return Poll::Ready(
                            other.into_trailers().ok().map(|t| Ok(Frame::trailers(t))),
                        );
                    }
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    this.inner = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    if !this.head_waits {
                        this.outbox.starve();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| !rest.has_remaining())
            && self
                .inner
                .as_ref()
                .is_none_or(|inner| inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(0, Buf::remaining) as u64;
        let inner = self
            .inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |b| b.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl<B: Body, K: MessageSink> Drop for ResponseBody<B, K> {
    fn drop(&mut self) {
        self.outbox.end();
    }
}
