//! The front door: a tower service on any number of SCTP and TCP listeners.

use std::{fmt, io, sync::Arc, time::Duration};

use sctp_udp::{
    AssociationConfig, Capture, CongestionControl, Endpoint, EndpointConfig, SchedulerKind,
    ServerConfig,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    association::{self, stopping},
    limits::Limits,
    listen::{Listen, Transport},
    service::HttpService,
    tcp,
};

/// SCTP port of HTTP (RFC 9260 §15.4 has it registered for http).
pub const SCTP_PORT: u16 = 80;

/// Pause between HEARTBEATs on a path that is not used: two small packets and their answers.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// Serves a tower service over SCTP and TCP.
///
/// ```no_run
/// # use http_server::{Listen, Server};
/// # async fn run(app: axum::Router) -> std::io::Result<()> {
/// Server::new(app)
///     .listen(Listen::sctp(([127, 0, 0, 1], 9899).into()))
///     .listen(Listen::tcp(([127, 0, 0, 1], 8080).into()))
///     .bind()
///     .await?
///     .run_until(std::future::pending())
///     .await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Server<S> {
    service: S,
    limits: Limits,
    listeners: Vec<Listen>,
    sctp_port: u16,
    association: AssociationConfig,
    capture: Option<Capture>,
}

impl<S> Server<S> {
    /// A server without a listener. `service` is cloned for every request.
    pub fn new(service: S) -> Self {
        Self {
            service,
            limits: Limits::default(),
            listeners: Vec::new(),
            sctp_port: SCTP_PORT,
            association: default_association(),
            capture: None,
        }
    }

    /// Listens there as well.
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listeners.push(listen);
        self
    }

    /// Limits and time-outs.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The SCTP port inside the UDP datagrams, default [`SCTP_PORT`].
    pub fn sctp_port(mut self, port: u16) -> Self {
        self.sctp_port = port;
        self
    }

    /// Settings of the associations. The default is that of `sctp-udp`, but for what makes pages
    /// quick: streams take turns by message ([`SchedulerKind::RoundRobinPerMessage`]), so that the
    /// objects of a page are complete one after another, not all at the end; the controller after
    /// BBRv3 ([`CongestionControl::Bbr`]) and an initial window of ten packets, where RFC 9260 has
    /// its own controller and three or four; a send buffer of 4 MiB, so that all of a page can take
    /// turns, of which one response may have 1 MiB; an RTO.Min of 200 ms instead of 400. A path that is
    /// not used is probed every five seconds, not every fifteen, so that what data falls back on is
    /// known to work.
    pub fn association(mut self, config: AssociationConfig) -> Self {
        self.association = config;
        self
    }

    /// Writes what passes the SCTP listeners to this capture.
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = Some(capture);
        self
    }

    /// Takes all listeners, or none.
    pub async fn bind(self) -> Result<Bound<S>, BindError> {
        let (mut endpoints, mut tcp, mut bound) = (Vec::new(), Vec::new(), Vec::new());
        for listen in &self.listeners {
            let failed = |error| BindError {
                listen: listen.clone(),
                error,
            };
            match listen.transport {
                Transport::Sctp => {
                    let endpoint = self.endpoint(listen).map_err(failed)?;
                    bound.push(bound_by(&endpoint, listen));
                    endpoints.push(endpoint);
                }
                Transport::Tcp => {
                    let listener = TcpListener::bind(listen.address).await.map_err(failed)?;
                    bound.push(Listen::tcp(listener.local_addr().map_err(failed)?));
                    tcp.push(listener);
                }
            }
        }
        Ok(Bound {
            service: self.service,
            limits: Arc::new(self.limits),
            endpoints,
            tcp,
            bound,
        })
    }

    fn endpoint(&self, listen: &Listen) -> io::Result<Endpoint> {
        let mut association = self.association.clone();
        if self.limits.contiguous {
            // Whole responses in the order they were begun, not in turn.
            association.scheduler(SchedulerKind::FirstComeFirstServed);
        }
        let mut server = ServerConfig::default();
        server
            .port(self.sctp_port)
            .association(Arc::new(association));
        let mut endpoint = EndpointConfig::default();
        endpoint.max_associations(self.limits.associations);
        let (server, local) = (Some(server), listen.addresses());
        match &self.capture {
            Some(capture) => Endpoint::bind_captured(endpoint, server, &local, capture),
            None => Endpoint::bind(endpoint, server, &local),
        }
    }
}

/// The listener with the port it got.
fn bound_by(endpoint: &Endpoint, listen: &Listen) -> Listen {
    let mut addresses = endpoint.local_addrs().into_iter();
    Listen {
        address: addresses.next().unwrap_or(listen.address),
        also: addresses.collect(),
        transport: Transport::Sctp,
    }
}

/// Bytes that the responses of an association may hold until they are acknowledged: as much as
/// Linux lets a TCP connection have. With less the small objects of a large page wait until large
/// ones make room, instead of in turn with them.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// Bytes of them that one response may hold: as many as the peer's receive window, which is what
/// limits a download then. A lost packet keeps all that follows it for two round trips and more, and
/// word of room comes when half of it is free: with 256 KiB a link of 10 Mbit/s and 50 ms idled.
const STREAM_SEND_BUFFER: usize = 1024 * 1024;

/// RTO.Min, as Linux has it for TCP. A COOKIE ECHO with a request, and a lone request, wait for it
/// when they are lost. Peers may delay a SACK for as long (RFC 9260 §6.2), so that the first packet
/// that comes alone on a short path may leave once more for nothing; that is found out and taken back
/// (RFC 4015), and the round-trip time measured has the delay in it from then on.
const RTO_MIN: Duration = Duration::from_millis(200);

/// What [`Server::association`] describes. docs/congestion.md has the measurements behind it.
pub(crate) fn default_association() -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config
        .scheduler(SchedulerKind::RoundRobinPerMessage)
        .congestion_control(CongestionControl::Bbr)
        .initial_window(Some(10))
        .rto_min(RTO_MIN)
        .send_buffer(SEND_BUFFER)
        .stream_send_buffer(STREAM_SEND_BUFFER)
        .heartbeat_interval(Some(HEARTBEAT_INTERVAL));
    config
}

/// A listener could not be had.
#[derive(Debug)]
pub struct BindError {
    /// Which.
    pub listen: Listen,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.listen, self.error)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<BindError> for io::Error {
    fn from(error: BindError) -> Self {
        Self::new(error.error.kind(), error)
    }
}

/// A server that holds its listeners and has not begun to answer.
pub struct Bound<S> {
    service: S,
    limits: Arc<Limits>,
    endpoints: Vec<Endpoint>,
    tcp: Vec<TcpListener>,
    bound: Vec<Listen>,
}

impl<S> Bound<S> {
    /// The listeners, with the ports they got.
    pub fn listeners(&self) -> &[Listen] {
        &self.bound
    }

    /// Serves until `stop` resolves, then drains: nothing new is accepted, requests in progress
    /// are answered with `Connection: close`, each association is shut down gracefully, and what
    /// is left at [`Limits::drain_timeout`] is aborted. Returns when all is over. Dropping the
    /// future ends everything without that care.
    pub async fn run_until(self, stop: impl Future<Output = ()>)
    where
        S: HttpService,
    {
        let (drain, draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for listener in self.tcp {
            let (service, limits) = (self.service.clone(), self.limits.clone());
            tasks.spawn(tcp::serve(listener, service, limits, draining.clone()));
        }
        for endpoint in self.endpoints {
            let (service, limits) = (self.service.clone(), self.limits.clone());
            tasks.spawn(serve_endpoint(endpoint, service, limits, draining.clone()));
        }
        stop.await;
        let _ = drain.send(true);
        while tasks.join_next().await.is_some() {}
    }
}

/// Accepts associations until the server is asked to stop, then waits until all are over.
async fn serve_endpoint<S>(
    endpoint: Endpoint,
    service: S,
    limits: Arc<Limits>,
    mut draining: watch::Receiver<bool>,
) where
    S: HttpService,
{
    let room = Arc::new(Semaphore::new(limits.associations));
    let mut tasks = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            // In this order: nobody is accepted once the server is asked to stop.
            biased;
            () = stopping(&mut draining) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::warn!(peer = %incoming.remote(), "refused: too many associations");
            incoming.refuse();
            continue;
        };
        match incoming.accept() {
            Ok(association) => {
                let (service, limits) = (service.clone(), limits.clone());
                let draining = draining.clone();
                tasks.spawn(async move {
                    association::serve(association, service, limits, draining).await;
                    drop(permit);
                });
            }
            Err(error) => tracing::debug!(%error, "a peer could not be accepted"),
        }
    }
    if let Err(error) = endpoint.set_server_config(None) {
        tracing::warn!(%error, "cannot stop accepting associations");
    }
    loop {
        tokio::select! {
            ended = tasks.join_next() => if ended.is_none() { break },
            // Who came before that; nobody else comes.
            Some(incoming) = endpoint.accept() => incoming.refuse(),
        }
    }
    endpoint.close().await;
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, pin::pin};

    use http::{Request, Response};
    use sctp_udp::{CloseReason, ConnectError, SendInfo, StreamId};
    use tokio::{select, sync::Notify};

    use super::*;
    use crate::RequestBody;

    #[tokio::test]
    async fn who_waits_when_the_server_is_asked_to_stop_is_refused_at_once() {
        let local = [([127, 0, 0, 1], 0).into()];
        let server = Endpoint::bind(
            EndpointConfig::default(),
            Some(ServerConfig::default()),
            &local,
        )
        .unwrap();
        let client = Endpoint::bind(EndpointConfig::default(), None, &local).unwrap();
        let begun = Arc::new(Notify::new());
        let told = begun.clone();
        let service = tower::service_fn(move |_: Request<RequestBody>| {
            told.notify_one();
            std::future::pending::<Result<Response<String>, Infallible>>()
        });
        let (drain, draining) = watch::channel(false);
        let limits = Arc::new(Limits::default());
        let mut serving = pin!(serve_endpoint(server.clone(), service, limits, draining));

        let peer = server.local_addrs();
        let busy = client.connect_early(&peer, Arc::default()).unwrap();
        let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".into();
        busy.send(StreamId(0), request, SendInfo::default())
            .await
            .unwrap();
        select! {
            () = &mut serving => panic!("over"),
            () = begun.notified() => {}
        }
        // Another peer comes while nobody is at the door.
        let other = Endpoint::bind(EndpointConfig::default(), None, &local).unwrap();
        let waiting = other.connect_early(&peer, Arc::default()).unwrap();
        while server.associations() < 2 {
            tokio::task::yield_now().await;
        }
        drain.send(true).unwrap();
        let refused = tokio::time::timeout(Duration::from_secs(20), waiting.established());
        let refused = select! {
            () = &mut serving => panic!("over"),
            refused = refused => refused.expect("an answer"),
        };
        assert!(
            matches!(
                refused,
                Err(ConnectError::Failed(CloseReason::PeerAbort(_)))
            ),
            "{refused:?}"
        );
    }
}
