//! The HTTP server over loopback, and a client that speaks it over SCTP: what `bench.toml` measures
//! beside other servers.
//!
//! ```text
//! bench_http server PORT                              GET /N answers N bytes, over SCTP and TCP
//! bench_http client PORT SIZE CONCURRENCY SECONDS     so many streams of one association
//! bench_http idle-client PORT COUNT                   COUNT associations, one request on each
//! ```
//!
//! The server has one thread, prints READY and serves until it is killed. The last line of a client
//! is JSON.

use std::{
    convert::Infallible,
    error::Error,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use http_server::{Limits, Listen, Server};
use sctp_udp::{
    Association, AssociationConfig, Endpoint, EndpointConfig, Ppid, RecvStream, SendInfo,
    SendStream, StreamId,
};
use tokio::{task::JoinSet, time::Instant};

/// Largest answer.
const MAX_SIZE: usize = 1 << 20;
/// Associations that the server holds.
const MAX_ASSOCIATIONS: usize = 100_000;
/// Size of the answer that an association gets before it is idle.
const IDLE_SIZE: usize = 128;
/// PPID of HTTP messages.
const PPID: Ppid = Ppid(63);

type Failure = Box<dyn Error + Send + Sync>;

/// Packets of 1,500 bytes.
fn config() -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config.path_mtu(1500).plpmtud(false);
    config
}

async fn server(port: u16) -> Result<(), Failure> {
    let content = Bytes::from(vec![b'b'; MAX_SIZE]);
    let service = tower::service_fn(move |request: Request<_>| {
        let size = request.uri().path()[1..].parse().unwrap_or(0);
        let body = content.slice(..MAX_SIZE.min(size));
        std::future::ready(Ok::<_, Infallible>(answer(request, body)))
    });
    let mut limits = Limits::default();
    limits.associations(MAX_ASSOCIATIONS);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server::new(service)
        .limits(limits)
        .association(config())
        .listen(Listen::sctp(address))
        .listen(Listen::tcp(address))
        .bind()
        .await?;
    println!("READY");
    std::io::stdout().flush()?;
    server.run_until(std::future::pending()).await;
    Ok(())
}

fn answer(_: Request<http_server::RequestBody>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let kind = http::HeaderValue::from_static("application/octet-stream");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}

async fn client(port: u16, size: usize, streams: u16, seconds: u64) -> Result<(), Failure> {
    let (_endpoint, association) = connect(port).await?;
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for id in 0..streams {
        let lane = Lane::new(&association, StreamId(id), size)?;
        tasks.spawn(lane.run(until));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.append(&mut ended??);
    }
    let wall = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let micros = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, Duration::as_secs_f64) * 1e6
    };
    println!(
        "{{\"requests\": {}, \"wall_s\": {wall}, \"p50_us\": {:.1}, \"p99_us\": {:.1}}}",
        latencies.len(),
        micros(50),
        micros(99),
    );
    Ok(())
}

async fn idle_client(port: u16, count: usize) -> Result<(), Failure> {
    let (endpoint, first) = connect(port).await?;
    let peer = first.peer_addr();
    let config = Arc::new(config());
    let started = Instant::now();
    let mut kept = vec![first];
    while kept.len() < count {
        kept.push(endpoint.connect(&[peer], Arc::clone(&config)).await?);
    }
    for association in &kept {
        Lane::new(association, StreamId(0), IDLE_SIZE)?
            .exchange()
            .await?;
    }
    let wall = started.elapsed().as_secs_f64();
    println!("{{\"count\": {count}, \"wall_s\": {wall}}}");
    Ok(())
}

async fn connect(port: u16) -> Result<(Endpoint, Association), Failure> {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::bind(EndpointConfig::default(), None, &[local])?;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let association = endpoint.connect(&[peer], Arc::new(config())).await?;
    Ok((endpoint, association))
}

/// One stream, on which requests follow one another.
struct Lane {
    send: SendStream,
    recv: RecvStream,
    request: Bytes,
    size: usize,
}

impl Lane {
    fn new(association: &Association, id: StreamId, size: usize) -> Result<Self, Failure> {
        let (send, recv) = association.stream(id)?;
        let request = format!("GET /{size} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        Ok(Self {
            send,
            recv,
            request: request.into(),
            size,
        })
    }

    /// Requests until then; how long each took.
    async fn run(mut self, until: Instant) -> Result<Vec<Duration>, Failure> {
        let mut latencies = Vec::new();
        loop {
            let asked = Instant::now();
            if asked >= until {
                return Ok(latencies);
            }
            self.exchange().await?;
            latencies.push(asked.elapsed());
        }
    }

    /// A request, and its answer checked for its length.
    async fn exchange(&mut self) -> Result<(), Failure> {
        let info = SendInfo::new(PPID);
        self.send.send(self.request.clone(), info).await?;
        let mut head = BytesMut::new();
        let (mut length, mut body) = loop {
            head.extend_from_slice(&self.message().await?.into_bytes());
            if let Some((at, length)) = parse(&head)? {
                break (length, head.len() - at);
            }
        };
        while body < length {
            body += self.message().await?.len();
        }
        length = length.max(body);
        if length != self.size {
            return Err(format!("{length} bytes of {}", self.size).into());
        }
        Ok(())
    }

    async fn message(&mut self) -> Result<sctp_udp::MessageData, Failure> {
        let message = self.recv.recv().await?;
        Ok(message.ok_or("the server closed the stream")?.data)
    }
}

/// Where the body begins, and its length; `None` if the head is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(usize, usize)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(at) = response.parse(bytes)? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(format!("status {:?}", response.code).into());
    }
    let length = (response.headers.iter())
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .ok_or("no content-length")?;
    let length = std::str::from_utf8(length.value)?.parse()?;
    Ok(Some((at, length)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    let port = number(1).and_then(|port| u16::try_from(port).ok());
    let what = words.first().map(String::as_str);
    let outcome = match (what, port, number(2), number(3), number(4)) {
        (Some("server"), Some(port), ..) => server(port).await,
        (Some("client"), Some(port), Some(size), Some(streams), Some(seconds)) => {
            client(port, size as usize, streams as u16, seconds).await
        }
        (Some("idle-client"), Some(port), Some(count), ..) => {
            idle_client(port, count as usize).await
        }
        _ => Err("usage: bench_http server|client|idle-client ...".into()),
    };
    if let Err(error) = outcome {
        eprintln!("bench_http: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
