//! A server under test, and a client that sees messages.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use http_server::{Limits, Listen, Server};
use sctp_udp::{
    Association, AssociationConfig, CloseReason, Endpoint, EndpointConfig, Ppid, RecvStream,
    SendInfo, SendStream, StreamId,
};
use tokio::{sync::oneshot, task::JoinHandle};

/// A server on free ports of the loopback interface.
pub(crate) struct Running {
    pub(crate) sctp: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(app: Router, limits: Limits) -> Self {
        Self::with(app, limits, AssociationConfig::default()).await
    }

    pub(crate) async fn with(app: Router, limits: Limits, config: AssociationConfig) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::new(app)
            .limits(limits)
            .association(config)
            .listen(Listen::sctp(free))
            .bind()
            .await
            .unwrap();
        let sctp = server.listeners()[0].address;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        }));
        Self {
            sctp,
            stop: Some(stop),
            task,
        }
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has.
    pub(crate) async fn stopped(self) {
        self.task.await.unwrap();
    }

    pub(crate) async fn connect(&self, config: AssociationConfig) -> Client {
        let local = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let endpoint = Endpoint::bind(EndpointConfig::default(), None, &local).unwrap();
        let association = endpoint
            .connect(&[self.sctp], Arc::new(config))
            .await
            .unwrap();
        Client {
            association,
            _endpoint: endpoint,
        }
    }
}

pub(crate) struct Client {
    pub(crate) association: Association,
    _endpoint: Endpoint,
}

impl Client {
    pub(crate) fn stream(&self, id: u16) -> Stream {
        let (send, recv) = self.association.stream(StreamId(id)).unwrap();
        Stream { send, recv }
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        self.association.closed().await
    }
}

pub(crate) struct Stream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// A response and the messages it came in.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) messages: Vec<usize>,
    pub(crate) ppids: Vec<Ppid>,
}

impl Stream {
    pub(crate) async fn send(&mut self, bytes: impl Into<bytes::Bytes>) {
        self.send
            .send(bytes.into(), SendInfo::new(Ppid(63)))
            .await
            .unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
            .await;
        self.response().await.unwrap()
    }

    /// The next response; it must have a Content-Length. `None` if the stream ends instead.
    pub(crate) async fn response(&mut self) -> Option<Response> {
        let mut bytes = Vec::new();
        let (mut messages, mut ppids) = (Vec::new(), Vec::new());
        loop {
            let message = self.recv.recv().await.ok()??;
            messages.push(message.data.len());
            ppids.push(message.ppid);
            bytes.extend_from_slice(&message.data.into_bytes());
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8(bytes[..end + 2].to_vec()).unwrap();
            let length = head.split("content-length: ").nth(1).expect("a length");
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if bytes.len() >= end + 4 + length {
                assert_eq!(
                    bytes.len(),
                    end + 4 + length,
                    "a message with parts of two responses"
                );
                return Some(Response {
                    head,
                    body: bytes.split_off(end + 4),
                    messages,
                    ppids,
                });
            }
        }
    }
}
