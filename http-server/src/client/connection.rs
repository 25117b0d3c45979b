//! One server: its association, or its TCP connections, and the jobs spread over them.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sctp_udp::{Association, AssociationConfig, Capture, Endpoint, EndpointConfig, StreamId};
use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Job,
    failure::{Failure, FailureKind},
    lane::{Lane, TcpServer},
    paths::Paths,
    report::Report,
    transfer::{Done, Settings, transfer},
    url::Url,
};
use crate::listen::Transport;

/// TCP connections to one server at a time, as browsers have it.
const TCP_CONNECTIONS: usize = 6;

/// Head start of each address of a host over the next (RFC 8305 §5).
const ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// How long the end of an association may take. Everything is fetched by then.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(2);

/// Where and how to connect.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// Instead of the URL's host: addresses of one server.
    pub(super) connect: Vec<SocketAddr>,
    /// Addresses of this side; all if there is none.
    pub(super) bind: Vec<SocketAddr>,
    pub(super) association: Arc<AssociationConfig>,
    /// Where what passes the sockets is written.
    pub(super) capture: Option<Capture>,
    pub(super) timeout: Duration,
}

/// A finished job, failed or not.
pub(super) type Finished = (Job, Result<Done, Failure>);

type Queue = Arc<Mutex<VecDeque<Job>>>;

pub(super) struct Connection {
    kind: Kind,
    /// Lanes that carry nothing now.
    idle: VecDeque<Lane>,
}

enum Kind {
    Sctp {
        endpoint: Endpoint,
        association: Association,
        paths: Paths,
        /// The first stream not yet used.
        next_stream: u16,
        timed_out: Arc<AtomicBool>,
    },
    Tcp {
        server: TcpServer,
        /// Further connections allowed.
        left: usize,
    },
}

impl Connection {
    pub(super) async fn open(
        url: &Url,
        route: &Route,
        report: &Arc<Report>,
    ) -> Result<Self, Failure> {
        let mut addresses = route.connect.clone();
        if addresses.is_empty() {
            addresses = lookup_host((url.host(), url.port()))
                .await
                .map_err(|error| Failure::connect(format!("{}: {error}", url.host())))?
                .collect();
            addresses.sort_by_key(SocketAddr::is_ipv6);
        }
        addresses.dedup();
        report.start();
        let kind = match (url.transport, &addresses[..]) {
            (_, []) => return Err(Failure::connect(format!("{} has no address", url.host()))),
            (Transport::Tcp, several) => Kind::Tcp {
                server: TcpServer {
                    addresses: several.into(),
                    timeout: route.timeout,
                },
                left: TCP_CONNECTIONS,
            },
            (Transport::Sctp, one) if one.len() == 1 || !route.connect.is_empty() => {
                early(one, route, report)?
            }
            (Transport::Sctp, several) => race(several, route, report).await?,
        };
        Ok(Self {
            kind,
            idle: VecDeque::new(),
        })
    }

    /// Runs all jobs, as many at a time as there are lanes. Jobs that found no lane come back as
    /// lost.
    pub(super) async fn run(
        &mut self,
        jobs: Vec<Job>,
        settings: &Settings,
        report: &Arc<Report>,
    ) -> Vec<Finished> {
        let mut waiting = VecDeque::from(jobs);
        let mut finished = Vec::with_capacity(waiting.len());
        while let Some(first) = waiting.pop_front() {
            let Some(lane) = self.lane() else {
                waiting.push_front(first);
                break;
            };
            let queue = Queue::default();
            let mut tasks = JoinSet::new();
            let mut spawn = |lane, job| {
                tasks.spawn(work(
                    lane,
                    job,
                    queue.clone(),
                    settings.clone(),
                    report.clone(),
                ));
            };
            // Leaves with the COOKIE ECHO; how many streams there are is known only after that.
            spawn(lane, first);
            if !waiting.is_empty() && self.established().await.is_ok() {
                let lanes: Vec<_> = std::iter::from_fn(|| self.lane())
                    .take(waiting.len())
                    .collect();
                // Each lane has its job before the first begins; who is done first takes more.
                *lock(&queue) = waiting.split_off(lanes.len());
                lanes
                    .into_iter()
                    .zip(waiting.drain(..))
                    .for_each(|(lane, job)| spawn(lane, job));
            }
            while let Some(worked) = tasks.join_next().await {
                // A task that panicked took its job along; the program is broken then anyway.
                let Ok((lane, mut results)) = worked else {
                    continue;
                };
                self.idle.extend(lane);
                finished.append(&mut results);
            }
            waiting.append(&mut lock(&queue));
        }
        let lost = Failure::transfer(&"the connection was lost", true);
        finished.extend(waiting.into_iter().map(|job| (job, Err(lost.clone()))));
        if let Err(failure) = self.established().await {
            for (_, result) in &mut finished {
                if result
                    .as_ref()
                    .is_err_and(|f| f.kind == FailureKind::Transfer)
                {
                    *result = Err(failure.clone());
                }
            }
        }
        finished
    }

    /// A stream not used before, or else one that is free again.
    fn lane(&mut self) -> Option<Lane> {
        match &mut self.kind {
            Kind::Sctp {
                association,
                next_stream,
                ..
            } => {
                let (outbound, inbound) = association.streams();
                while *next_stream < outbound.min(inbound) {
                    let id = StreamId(*next_stream);
                    *next_stream += 1;
                    if let Ok((send, recv)) = association.stream(id) {
                        return Some(Lane::Sctp { send, recv });
                    }
                }
            }
            Kind::Tcp { server, left } => {
                if self.idle.is_empty() && *left > 0 {
                    *left -= 1;
                    return Some(Lane::Tcp {
                        server: server.clone(),
                        stream: None,
                    });
                }
            }
        }
        self.idle.pop_front()
    }

    async fn established(&self) -> Result<(), Failure> {
        match &self.kind {
            Kind::Tcp { .. } => Ok(()),
            Kind::Sctp {
                association,
                timed_out,
                ..
            } => association.established().await.map_err(|error| {
                if timed_out.load(Ordering::Relaxed) {
                    Failure::connect(no_answer(association.peer_addr()))
                } else {
                    Failure::connect(format!("{}: {error}", association.peer_addr()))
                }
            }),
        }
    }

    /// Ends it in good order: the client's SHUTDOWN comes last, when everything is fetched. Waits
    /// for the endpoint, so that the last packet has left when the process ends.
    pub(super) async fn close(self, report: &Report) {
        drop(self.idle);
        if let Kind::Sctp {
            endpoint, paths, ..
        } = self.kind
        {
            report.paths(&paths.snapshot());
            let _ = timeout(SHUTDOWN_WAIT, endpoint.close()).await;
        }
    }
}

fn lock(queue: &Queue) -> MutexGuard<'_, VecDeque<Job>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs jobs from the queue until there are none, or the lane can carry no more.
async fn work(
    lane: Lane,
    first: Job,
    queue: Queue,
    settings: Settings,
    report: Arc<Report>,
) -> (Option<Lane>, Vec<Finished>) {
    let mut finished = Vec::new();
    let (mut lane, mut first) = (Some(lane), Some(first));
    while let Some(used) = &mut lane {
        let Some(job) = first.take().or_else(|| lock(&queue).pop_front()) else {
            break;
        };
        let result = transfer(used, &job, &settings, &report).await;
        match &result {
            Ok(done) => report.done(&job, done),
            Err(_) => report.clear(&job),
        }
        if !result.as_ref().is_ok_and(|done| done.reusable) {
            lane = lane.and_then(Lane::renew);
        }
        finished.push((job, result));
    }
    (lane, finished)
}

/// One server: the first request leaves with the COOKIE ECHO.
fn early(peer: &[SocketAddr], route: &Route, report: &Arc<Report>) -> Result<Kind, Failure> {
    let endpoint = endpoint(peer, route)?;
    let association = endpoint
        .connect_early(peer, route.association.clone())
        .map_err(|error| Failure::connect(format!("{}: {error}", list(peer))))?;
    let timed_out = Arc::new(AtomicBool::new(false));
    let (watched, mark) = (association.clone(), timed_out.clone());
    let (limit, told) = (route.timeout, report.clone());
    let paths = Paths::watch(&association, report);
    tokio::spawn(async move {
        match timeout(limit, watched.established()).await {
            Ok(Ok(())) => told.connected(&describe(&watched)),
            Ok(Err(_)) => {}
            Err(_) => {
                mark.store(true, Ordering::Relaxed);
                watched.abort("no answer in time".into());
            }
        }
    });
    Ok(Kind::Sctp {
        endpoint,
        association,
        paths,
        next_stream: 0,
        timed_out,
    })
}

/// The first of several addresses that answers. A name's addresses may be different machines, so
/// they are not given to one association: the server
/// that answers lists its own.
async fn race(
    addresses: &[SocketAddr],
    route: &Route,
    report: &Arc<Report>,
) -> Result<Kind, Failure> {
    let mut attempts = JoinSet::new();
    for (index, address) in addresses.iter().copied().enumerate() {
        let route = route.clone();
        attempts.spawn(async move {
            sleep(ADDRESS_DELAY * u32::try_from(index).unwrap_or(u32::MAX)).await;
            let endpoint = endpoint(&[address], &route)?;
            let association = timeout(
                route.timeout,
                endpoint.connect(&[address], route.association),
            )
            .await
            .map_err(|_| Failure::connect(no_answer(address)))?
            .map_err(|error| Failure::connect(format!("{address}: {error}")))?;
            Ok::<_, Failure>((endpoint, association))
        });
    }
    let mut failure = Failure::connect("no address");
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok((endpoint, association))) => {
                report.connected(&describe(&association));
                let timed_out = Arc::default();
                let paths = Paths::watch(&association, report);
                return Ok(Kind::Sctp {
                    endpoint,
                    association,
                    paths,
                    next_stream: 0,
                    timed_out,
                });
            }
            Ok(Err(error)) => failure = error,
            Err(error) => failure = Failure::connect(error.to_string()),
        }
    }
    Err(failure)
}

/// Sockets for these addresses, or for all of this machine's; both families, since the server may
/// list addresses of the other.
fn endpoint(peer: &[SocketAddr], route: &Route) -> Result<Endpoint, Failure> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let open = |local: &[SocketAddr]| {
        let config = EndpointConfig::default();
        match &route.capture {
            Some(capture) => Endpoint::bind_captured(config, None, local, capture),
            None => Endpoint::bind(config, None, local),
        }
    };
    let opened = match &route.bind[..] {
        // One of the families may be missing here.
        [] => open(&[v4, v6]).or_else(|_| {
            let needed = [v4, v6].into_iter();
            let needed = needed.filter(|a| peer.iter().any(|p| p.is_ipv4() == a.is_ipv4()));
            open(&needed.collect::<Vec<_>>())
        }),
        bind => open(bind),
    };
    opened.map_err(|error| {
        let at = match &route.bind[..] {
            [] => String::new(),
            bind => format!(" at {}", list(bind)),
        };
        Failure::connect(format!("cannot open a UDP socket{at}: {error}"))
    })
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}

fn describe(association: &Association) -> String {
    let (outbound, inbound) = association.streams();
    format!(
        "association with {} up: {outbound} streams out, {inbound} in",
        association.peer_addr()
    )
}

fn no_answer(address: SocketAddr) -> String {
    format!(
        "{address}: nobody answers; is a server with SCTP in UDP there, with this UDP port and SCTP \
         port?"
    )
}
