//! What fuzz targets and tests outside the crate reach. No promise of stability.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sctp_udp::AssociationConfig;
use tokio::sync::watch;

use crate::{
    RequestBody,
    body::BoxError,
    client::response::ResponseParser,
    exchange::Shared,
    limits::Limits,
    origin::Origin,
    response_writer::MessageSink,
    stream::{self, MessageSource},
};

/// Settings of the associations of a server that is told nothing else.
pub fn association() -> AssociationConfig {
    crate::server::default_association()
}

/// The messages that answer these, sent on one stream that then ends. The service gives each
/// request's body back.
pub async fn answers(messages: Vec<Bytes>) -> Vec<Bytes> {
    let echo = tower::service_fn(|request: Request<RequestBody>| async move {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::new(Full::new(body)))
    });
    let (_drain, draining) = watch::channel(false);
    let limits = Limits::default();
    let shared = Shared {
        draining,
        turn: None,
        piece: limits.message_bytes,
    };
    let sink = Sink::default();
    let origin = Origin::tcp(([127, 0, 0, 1], 1).into());
    let source = Source(messages.into());
    let _ = stream::serve(echo, origin, shared, &limits, sink.clone(), source).await;
    sink.lock().clone()
}

/// Parses one response from these pieces; the length of its body if it is whole.
pub fn parse_response<'a>(pieces: impl Iterator<Item = &'a [u8]>, bodyless: bool) -> Option<u64> {
    use crate::client::response::Part;
    let (mut parser, mut length) = (ResponseParser::new(bodyless), 0);
    for piece in pieces {
        parser.push(piece);
        while let Some(part) = parser.next().ok()? {
            if let Part::Body(bytes) = part {
                length += bytes.len() as u64;
            }
        }
    }
    parser.end().ok()?;
    Some(length)
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Bytes>>>);

impl Sink {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageSink for Sink {
    fn poll_send(&mut self, _: &mut Context<'_>, message: &mut Bytes) -> Poll<io::Result<()>> {
        self.lock().push(std::mem::take(message));
        Poll::Ready(Ok(()))
    }
}

struct Source(VecDeque<Bytes>);

impl MessageSource for Source {
    type Data = Bytes;

    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        Poll::Ready(Ok(self.0.pop_front()))
    }
}
