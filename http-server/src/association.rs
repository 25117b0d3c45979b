//! One SCTP association: accepts streams, answers their requests, ends gracefully.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use sctp_udp::{
    Association, MessageData, Ppid, RecvError, RecvStream, SendError, SendInfo, SendStream,
    StreamId,
};
use tokio::{
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::sleep,
};

use crate::{
    client::paths::{ends, path_event},
    exchange::Shared,
    limits::Limits,
    listen::Transport,
    origin::Origin,
    response_writer::MessageSink,
    service::HttpService,
    stream::{self, MessageSource, Outcome},
};

/// PPID of HTTP messages, as every known implementation sends it. Any is accepted.
pub(crate) const PPID_HTTP: Ppid = Ppid(63);

/// What a message that ends before its end means (RFC 3758): what comes next does not go on where
/// it ended.
pub(crate) const GIVEN_UP: &str = "the peer gave up a message of which a part was read";

/// Serves one association until it is over.
pub(crate) async fn serve<S>(
    association: Association,
    service: S,
    limits: Arc<Limits>,
    draining: watch::Receiver<bool>,
) where
    S: HttpService,
{
    let id = association.id();
    tracing::debug!(association = id, peer = %association.peer_addr(), "association up");
    let shared = Shared {
        draining: draining.clone(),
        turn: limits.contiguous.then(|| Arc::new(Semaphore::new(1))),
        piece: limits.message_bytes,
    };
    let deadline = deadline(draining.clone(), limits.drain_timeout);
    let mut serving = Serving {
        association: association.clone(),
        draining,
        limits,
        ends_when_idle: false,
    };
    tokio::select! {
        () = async {
            serving.run(service, shared).await;
            let reason = association.shutdown().await;
            tracing::debug!(association = id, %reason, "association over");
        } => {}
        () = deadline => {
            // A peer with a closed window would keep SHUTDOWN waiting for ever.
            association.abort(Bytes::from_static(b"the server is stopping"));
        }
        () = log_paths(&association), if tracing::enabled!(tracing::Level::INFO) => {}
    }
}

/// Logs what happens to the paths. Does not return.
async fn log_paths(association: &Association) {
    let mut notifications = association.notifications();
    let id = association.id();
    tracing::info!(association = id, peer = %association.peer_addr(), "up");
    while let Some(notification) = notifications.next().await {
        let Some((path, what)) = path_event(&notification) else {
            continue;
        };
        let paths = association.paths();
        let found = paths.iter().find(|found| found.id == path);
        let ends = found.map_or_else(|| "gone".to_owned(), ends);
        tracing::info!(association = id, path = path.index(), "{ends}: {what}");
    }
    std::future::pending().await
}

/// Resolves when the server is asked to stop.
pub(crate) async fn stopping(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Resolves `timeout` after the server is asked to stop.
pub(crate) async fn deadline(mut draining: watch::Receiver<bool>, timeout: Duration) {
    stopping(&mut draining).await;
    sleep(timeout).await;
}

struct Serving {
    association: Association,
    draining: watch::Receiver<bool>,
    limits: Arc<Limits>,
    /// `Connection: close` was said, the server drains, or a stream is lost that cannot be reset:
    /// once every response is out, the association is shut down.
    ends_when_idle: bool,
}

impl Serving {
    /// Returns when the association has nothing more to do: its end is then up to SHUTDOWN.
    async fn run<S>(&mut self, service: S, shared: Shared)
    where
        S: HttpService,
    {
        let association = self.association.clone();
        let mut draining = self.draining.clone();
        let mut tasks: JoinSet<Result<(), Unfinished>> = JoinSet::new();
        self.ends_when_idle = *draining.borrow_and_update();
        let mut peer_done = false;
        loop {
            tokio::select! {
                // In this order: requests that are here are answered before the association ends.
                biased;
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => self.ended(ended),
                stream = association.accept_stream(),
                    if !peer_done && tasks.len() < self.limits.transactions =>
                {
                    match stream {
                        Ok(Some((send, recv))) => {
                            tasks.spawn(transaction(
                                service.clone(),
                                self.origin(send.id()),
                                shared.clone(),
                                self.limits.clone(),
                                send,
                                recv,
                            ));
                        }
                        Ok(None) => peer_done = true,
                        Err(error) => {
                            tracing::debug!(%error, "association lost");
                            return;
                        }
                    }
                }
                _ = association.closed() => return,
                Ok(()) = draining.changed() => self.ends_when_idle |= *draining.borrow(),
                () = std::future::ready(()),
                    if tasks.is_empty() && (self.ends_when_idle || peer_done) => return,
                () = sleep(self.limits.idle_timeout), if tasks.is_empty() => {
                    self.ends_when_idle = true;
                }
            }
        }
    }

    fn origin(&self, stream: StreamId) -> Origin {
        Origin {
            transport: Transport::Sctp,
            peer: self.association.peer_addr(),
            peers: self.association.peer_addrs().into(),
            association: Some(self.association.id()),
            stream: Some(stream),
        }
    }

    fn ended(&mut self, ended: Result<Result<(), Unfinished>, JoinError>) {
        let unfinished = match ended {
            Ok(result) => result.err(),
            Err(error) => {
                // Not in the service but around it: nobody knows how far the stream is.
                tracing::error!(%error, "a transaction failed");
                self.association.abort("internal error".into());
                return;
            }
        };
        match unfinished {
            None => {}
            Some(Unfinished::Close) => self.ends_when_idle = true,
            Some(Unfinished::Spent(send)) => {
                if self.association.can_reset_streams() {
                    tokio::spawn(send.finish());
                } else {
                    self.ends_when_idle = true;
                }
            }
            Some(Unfinished::Truncated {
                reason,
                close,
                seems_whole,
                send,
            }) => {
                self.ends_when_idle |= close;
                let stream = send.id();
                tracing::info!(
                    association = self.association.id(),
                    stream = stream.0,
                    reason,
                    "a response was cut short"
                );
                if seems_whole || !self.association.can_reset_streams() {
                    // Nothing else can tell the peer that the response is not whole.
                    let text = format!("response on stream {} cut short: {reason}", stream.0);
                    self.association.abort(text.into());
                } else {
                    send.reset();
                }
            }
        }
    }
}

/// Why a stream could not be given back for further requests.
enum Unfinished {
    Close,
    Spent(SendStream),
    Truncated {
        reason: String,
        close: bool,
        seems_whole: bool,
        send: SendStream,
    },
}

/// Answers the requests on one stream, then gives it back.
async fn transaction<S>(
    service: S,
    origin: Origin,
    shared: Shared,
    limits: Arc<Limits>,
    send: SendStream,
    recv: RecvStream,
) -> Result<(), Unfinished>
where
    S: HttpService,
{
    let (mut send, mut recv) = (send, recv);
    loop {
        let (outcome, stream) = stream::serve(
            service.clone(),
            origin.clone(),
            shared.clone(),
            &limits,
            Sink {
                stream: send,
                info: SendInfo::new(PPID_HTTP),
            },
            Source(recv),
        )
        .await;
        let Some((sink, Source(source))) = stream else {
            return Ok(());
        };
        match outcome {
            Outcome::Idle => match sink.stream.release(source) {
                Ok(()) => return Ok(()),
                // The next request is here already.
                Err(both) => (send, recv) = both,
            },
            Outcome::Close => {
                source.stop();
                return Err(Unfinished::Close);
            }
            Outcome::Spent => {
                source.stop();
                return Err(Unfinished::Spent(sink.stream));
            }
            Outcome::Gone => return Ok(()),
            Outcome::Truncated {
                reason,
                close,
                seems_whole,
            } => {
                source.stop();
                return Err(Unfinished::Truncated {
                    reason,
                    close,
                    seems_whole,
                    send: sink.stream,
                });
            }
        }
    }
}

struct Sink {
    stream: SendStream,
    info: SendInfo,
}

impl MessageSink for Sink {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &mut Bytes) -> Poll<io::Result<()>> {
        self.stream
            .poll_send(cx, message, &self.info)
            .map_err(send_error)
    }
}

struct Source(RecvStream);

impl MessageSource for Source {
    type Data = MessageData;

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<MessageData>>> {
        let message = ready!(self.0.poll_recv(cx)).map_err(recv_error)?;
        if message.as_ref().is_some_and(|message| message.aborted) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, GIVEN_UP)));
        }
        Poll::Ready(Ok(message.map(|message| message.data)))
    }
}

fn send_error(error: SendError) -> io::Error {
    let kind = match error {
        SendError::Closing | SendError::Restarted | SendError::Closed(_) => {
            io::ErrorKind::ConnectionAborted
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn recv_error(error: RecvError) -> io::Error {
    let kind = match error {
        RecvError::Restarted | RecvError::Closed(_) => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;

    use sctp_udp::{AssociationConfig, Endpoint, EndpointConfig, ServerConfig};

    use super::*;

    /// Both ends of a stream on which a message has begun that the reader has no room for, and
    /// what is to live as long.
    pub(crate) async fn large_message() -> (SendStream, RecvStream, [Endpoint; 2]) {
        let mut config = AssociationConfig::default();
        config.receive_window(64 * 1024);
        let mut server = ServerConfig::default();
        server.association(Arc::new(config));
        let local = [([127, 0, 0, 1], 0).into()];
        let bind = |server| Endpoint::bind(EndpointConfig::default(), server, &local).unwrap();
        let (to, from) = (bind(Some(server)), bind(None));
        let peer = to.local_addrs();
        let accept = async { to.accept().await.unwrap().accept().unwrap() };
        let (sender, reader) = tokio::join!(from.connect(&peer, Arc::default()), accept);
        let (mut send, _) = sender.unwrap().stream(StreamId(1)).unwrap();
        let (_, recv) = reader.stream(StreamId(1)).unwrap();
        let message = Bytes::from(vec![0; 256 * 1024]);
        send.send(message, SendInfo::default()).await.unwrap();
        (send, recv, [to, from])
    }

    #[tokio::test]
    async fn a_message_that_is_given_up_is_not_joined_with_the_next() {
        let (send, recv, _endpoints) = large_message().await;
        let mut source = Source(recv);
        let part = poll_fn(|cx| source.poll_recv(cx)).await.unwrap();
        assert!(!part.unwrap().is_empty());
        send.reset();
        let end = loop {
            match poll_fn(|cx| source.poll_recv(cx)).await {
                Ok(Some(part)) if !part.is_empty() => {}
                end => break end,
            }
        };
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
