//! Throughput and latency between two processes, or within one.
//!
//!     cargo run --release -p sctp-udp --example perf -- loopback
//!     cargo run --release -p sctp-udp --example perf -- loopback --latency --message-size 64 --json

mod common;

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::{Parser, Subcommand, ValueEnum};
use common::{AssociationArgs, duration, local_for};
use sctp_udp::{
    Association, AssociationConfig, CloseReason, Endpoint, EndpointConfig, Ppid, RecvStream,
    SendInfo, SendStream, ServerConfig, StreamId,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Carries the `Order` and the word to stop; data is on the streams after it.
const CONTROL: StreamId = StreamId(0);

/// Measures SCTP throughput and latency.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serve clients until interrupted
    Server {
        /// UDP address and port to listen on
        #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:9899")]
        listen: SocketAddr,
        #[command(flatten)]
        association: AssociationArgs,
    },
    /// Measure against a server
    Client {
        /// UDP address and port of the server
        #[arg(value_name = "ADDR:PORT")]
        peer: SocketAddr,
        /// UDP address and port to send from [default: any]
        #[arg(long, value_name = "ADDR:PORT")]
        local: Option<SocketAddr>,
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        association: AssociationArgs,
    },
    /// Measure within this process, over the loopback interface
    Loopback {
        #[command(flatten)]
        load: Load,
        #[command(flatten)]
        association: AssociationArgs,
    },
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Load")]
struct Load {
    /// Which way data goes, as seen from the client
    #[arg(long, value_enum, default_value_t = Direction::Up, conflicts_with = "latency")]
    direction: Direction,
    /// Measure round trips, one message per stream at a time, instead of throughput
    #[arg(long)]
    latency: bool,
    /// Bytes per message
    #[arg(long, value_name = "BYTES", default_value_t = 16384)]
    message_size: u32,
    /// Streams per association
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    streams: u16,
    /// Associations, all on one socket
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    associations: usize,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    duration: Duration,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// From the client to the server
    Up,
    /// From the server to the client
    Down,
    /// Both at once
    Both,
}

impl Direction {
    fn up(self) -> bool {
        self != Self::Down
    }

    fn down(self) -> bool {
        self != Self::Up
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perf: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    match args.role {
        Role::Server {
            listen,
            association,
        } => {
            let endpoint = bind_server(listen, &association)?;
            println!("listening on UDP {listen}");
            tokio::select! {
                () = serve(endpoint.clone()) => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            Ok(())
        }
        Role::Client {
            peer,
            local,
            load,
            association,
        } => measure(peer, local_for(peer, local), &load, &association).await,
        Role::Loopback { load, association } => {
            let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = bind_server(loopback, &association)?;
            let peer = server.local_addrs()[0];
            let serving = tokio::spawn(serve(server));
            let result = measure(peer, loopback, &load, &association).await;
            serving.abort();
            result
        }
    }
}

fn bind_server(listen: SocketAddr, association: &AssociationArgs) -> Result<Endpoint> {
    let mut server = ServerConfig::default();
    server.port(5001).association(association.config(|config| {
        config
            .max_inbound_streams(u16::MAX)
            .outbound_streams(u16::MAX);
    })?);
    Endpoint::bind(EndpointConfig::default(), Some(server), &[listen])
        .map_err(|error| format!("cannot listen on {listen}: {error}").into())
}

/// What the client wants of the server, as its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    /// Send messages of this size until told to stop; 0: send nothing.
    send: u32,
    /// Send back what comes.
    echo: bool,
    streams: u16,
}

impl Order {
    const MAGIC: [u8; 4] = *b"perf";

    fn encode(self) -> Bytes {
        let mut bytes = Self::MAGIC.to_vec();
        bytes.extend(self.send.to_be_bytes());
        bytes.extend(self.streams.to_be_bytes());
        bytes.push(self.echo.into());
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest: &[u8; 7] = bytes.strip_prefix(&Self::MAGIC)?.try_into().ok()?;
        let [a, b, c, d, e, f, echo] = *rest;
        Some(Self {
            send: u32::from_be_bytes([a, b, c, d]),
            streams: u16::from_be_bytes([e, f]),
            echo: echo != 0,
        })
    }
}

async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        match incoming.accept() {
            Ok(association) => {
                tokio::spawn(async move {
                    let peer = association.peer_addr();
                    if let Err(error) = serve_client(association).await {
                        eprintln!("perf: {peer}: {error}");
                    }
                });
            }
            Err(error) => eprintln!("perf: a client was not accepted: {error}"),
        }
    }
}

async fn serve_client(association: Association) -> Result<()> {
    let (_control, mut orders) = association.stream(CONTROL)?;
    let Some(order) = orders.recv().await? else {
        return Ok(());
    };
    let order =
        Order::decode(&order.data.into_bytes()).ok_or("the client speaks another tongue")?;
    let (stop, stopped) = watch::channel(false);
    let counter = Arc::<AtomicU64>::default();
    let mut tasks = JoinSet::new();
    for id in 1..=order.streams {
        let (send, recv) = association.stream(StreamId(id))?;
        if order.echo {
            tasks.spawn(echo(send, recv));
        } else {
            tasks.spawn(drain(recv, Arc::clone(&counter)));
            if order.send > 0 {
                tasks.spawn(fill(send, order.send, stopped.clone()));
            }
        }
    }
    // The second message says stop; so does the end of the association.
    let _ = orders.recv().await;
    let _ = stop.send(true);
    if !order.echo && order.send > 0 {
        // Takes everything queued along; the client reads to the end.
        association.shutdown().await;
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    association.shutdown().await;
    Ok(())
}

async fn echo(mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    while let Some(message) = recv.recv().await? {
        let info = SendInfo::new(message.ppid);
        send.send(message.data.into_bytes(), info).await?;
    }
    Ok(())
}

/// Reads to the end and counts.
async fn drain(mut recv: RecvStream, counter: Arc<AtomicU64>) -> Result<()> {
    while let Some(message) = recv.recv().await? {
        counter.fetch_add(message.data.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// Sends until told to stop.
async fn fill(mut send: SendStream, size: u32, mut stopped: watch::Receiver<bool>) -> Result<()> {
    let message = Bytes::from(vec![0x5c; size as usize]);
    let info = SendInfo::new(Ppid(0));
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            sent = send.send(message.clone(), info.clone()) => match sent {
                Ok(()) => {}
                Err(sctp_udp::SendError::Closing | sctp_udp::SendError::Closed(CloseReason::Shutdown)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sends a message and waits for its echo, until told to stop; returns the round-trip times.
async fn ping(
    mut send: SendStream,
    mut recv: RecvStream,
    size: u32,
    stopped: watch::Receiver<bool>,
) -> Result<Vec<Duration>> {
    let message = Bytes::from(vec![0x5c; size as usize]);
    let info = SendInfo::new(Ppid(0));
    let mut times = Vec::new();
    while !*stopped.borrow() {
        let begun = Instant::now();
        send.send(message.clone(), info.clone()).await?;
        loop {
            let part = recv.recv().await?.ok_or("the server shut down")?;
            if part.complete {
                break;
            }
        }
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// What came of a measurement.
#[derive(Debug, Default)]
struct Outcome {
    seconds: f64,
    up: u64,
    down: u64,
    round_trips: Vec<Duration>,
    packets_sent: u64,
    packets_received: u64,
    retransmitted: u64,
    send_errors: u64,
}

async fn measure(
    peer: SocketAddr,
    local: SocketAddr,
    load: &Load,
    association: &AssociationArgs,
) -> Result<()> {
    if load.message_size == 0 || load.streams == 0 || load.associations == 0 {
        return Err("--message-size, --streams and --associations must be at least 1".into());
    }
    let config = association.config(|config: &mut AssociationConfig| {
        let streams = load.streams.saturating_add(1);
        config
            .remote_port(5001)
            .outbound_streams(streams)
            .max_inbound_streams(streams);
    })?;
    let endpoint = Endpoint::bind(EndpointConfig::default(), None, &[local])
        .map_err(|error| format!("cannot bind {local}: {error}"))?;
    let mut associations = Vec::new();
    for _ in 0..load.associations {
        associations.push(endpoint.connect(&[peer], config.clone()).await?);
    }

    let (stop, stopped) = watch::channel(false);
    let up = Arc::<AtomicU64>::default();
    let down = Arc::<AtomicU64>::default();
    let mut clients = JoinSet::new();
    let begun = Instant::now();
    for association in &associations {
        clients.spawn(run_client(
            association.clone(),
            load.clone(),
            stopped.clone(),
            Arc::clone(&up),
            Arc::clone(&down),
        ));
    }
    tokio::time::sleep(load.duration).await;
    let _ = stop.send(true);
    let mut outcome = Outcome::default();
    while let Some(times) = clients.join_next().await {
        outcome.round_trips.extend(times??);
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    outcome.up = up.load(Ordering::Relaxed);
    outcome.down = down.load(Ordering::Relaxed);
    for association in &associations {
        let stats = association.stats();
        outcome.packets_sent += stats.packets_sent;
        outcome.packets_received += stats.packets_received;
        outcome.retransmitted += stats.data_chunks_retransmitted;
    }
    outcome.send_errors = endpoint.socket_stats().send_errors;
    report(load, outcome);
    drop(associations);
    endpoint.close().await;
    Ok(())
}

/// One association of the client, to the end of what it measures.
async fn run_client(
    association: Association,
    load: Load,
    mut stopped: watch::Receiver<bool>,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
) -> Result<Vec<Duration>> {
    let info = SendInfo::new(Ppid(0));
    let order = Order {
        send: if !load.latency && load.direction.down() {
            load.message_size
        } else {
            0
        },
        echo: load.latency,
        streams: load.streams,
    };
    association
        .send(CONTROL, order.encode(), info.clone())
        .await?;
    let mut pings = JoinSet::new();
    let mut tasks = JoinSet::new();
    for id in 1..=load.streams {
        let (send, recv) = association.stream(StreamId(id))?;
        if load.latency {
            pings.spawn(ping(send, recv, load.message_size, stopped.clone()));
            continue;
        }
        if load.direction.up() {
            tasks.spawn(fill(send, load.message_size, stopped.clone()));
        }
        tasks.spawn(drain(recv, Arc::clone(&down)));
    }
    let mut times = Vec::new();
    while let Some(result) = pings.join_next().await {
        times.extend(result??);
    }
    let _ = stopped.wait_for(|stopped| *stopped).await;
    if !load.latency && load.direction.up() {
        // Only what has arrived counts: the rest of the time is measured as well.
        association.flushed().await?;
        up.fetch_add(
            association.stats().messages_acked * u64::from(load.message_size),
            Ordering::Relaxed,
        );
    }
    association
        .send(CONTROL, Bytes::from_static(b"stop"), info)
        .await?;
    if !load.direction.down() || load.latency {
        association.start_shutdown();
    }
    while let Some(result) = tasks.join_next().await {
        result??;
    }
    match association.shutdown().await {
        CloseReason::Shutdown => Ok(times),
        reason => Err(format!("the association ended: {reason}").into()),
    }
}

fn report(load: &Load, mut outcome: Outcome) {
    outcome.round_trips.sort_unstable();
    let times = &outcome.round_trips;
    let micros = |share: f64| {
        let index = (times.len().saturating_sub(1)) as f64 * share;
        times
            .get(index as usize)
            .map(|time| time.as_secs_f64() * 1e6)
    };
    let mbit = |bytes: u64| bytes as f64 * 8e-6 / outcome.seconds;
    if load.json {
        let json = serde_json::json!({
            "mode": if load.latency { "latency" } else { "throughput" },
            "direction": format!("{:?}", load.direction).to_lowercase(),
            "message_size": load.message_size,
            "streams": load.streams,
            "associations": load.associations,
            "seconds": outcome.seconds,
            "up_bytes": outcome.up,
            "down_bytes": outcome.down,
            "up_mbit_per_s": mbit(outcome.up),
            "down_mbit_per_s": mbit(outcome.down),
            "round_trips": times.len(),
            "round_trips_per_s": times.len() as f64 / outcome.seconds,
            "rtt_us": {
                "min": micros(0.0), "p50": micros(0.5), "p90": micros(0.9),
                "p99": micros(0.99), "max": micros(1.0),
            },
            "packets_sent": outcome.packets_sent,
            "packets_received": outcome.packets_received,
            "chunks_retransmitted": outcome.retransmitted,
            "send_errors": outcome.send_errors,
        });
        println!("{json}");
        return;
    }
    println!(
        "{} association(s) of {} stream(s), messages of {} bytes, {:.2} s",
        load.associations, load.streams, load.message_size, outcome.seconds
    );
    if load.latency {
        println!(
            "{} round trips, {:.0} per second",
            times.len(),
            times.len() as f64 / outcome.seconds
        );
        for (name, share) in [
            ("min", 0.0),
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("max", 1.0),
        ] {
            println!("  {name} {:10.1} us", micros(share).unwrap_or(f64::NAN));
        }
    } else {
        println!(
            "  up   {:10.1} Mbit/s, {} bytes",
            mbit(outcome.up),
            outcome.up
        );
        println!(
            "  down {:10.1} Mbit/s, {} bytes",
            mbit(outcome.down),
            outcome.down
        );
    }
    println!(
        "  packets sent {}, received {}; chunks retransmitted {}; send errors {}",
        outcome.packets_sent, outcome.packets_received, outcome.retransmitted, outcome.send_errors
    );
}
