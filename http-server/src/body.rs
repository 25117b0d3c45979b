//! The request body that services read, whatever the transport.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::response_writer::OpenBody;

/// Any error, as tower and http-body-util have it.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Body of a request. A stream of an association that is given back for the next request only
/// when the body is read or dropped.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    // Dropped after `inner`, so that hyper, asked once more, knows that nobody reads the rest.
    open: Option<OpenBody>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, open: Option<OpenBody>) -> Self {
        let open = open.filter(|_| !inner.is_end_stream());
        Self { inner, open }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // hyper closes its side of a body read after the response only with the next request.
        if self.inner.is_end_stream() {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.inner.is_end_stream() {
            self.open = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
