//! `sctp-udp` over loopback, two processes: what `bench.toml` measures beside other stacks.
//!
//! ```text
//! bench_udp bulk-server PORT                    counts what one client sends, confirms, ends
//! bench_udp bulk-client PORT MESSAGE BYTES      sends BYTES on one stream, waits for the count
//! bench_udp setup-server PORT COUNT             accepts COUNT associations, greets each
//! bench_udp setup-client PORT COUNT             sets up COUNT associations, 16 at a time, keeps them
//! ```
//!
//! A server prints READY once it takes traffic. The last line is JSON.

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
};

use bytes::Bytes;
use sctp_udp::{
    Association, AssociationConfig, Endpoint, EndpointConfig, SendInfo, ServerConfig, StreamId,
};
use tokio::{task::JoinSet, time::Instant};

/// What an association sends when it has set up, or received, everything.
const DONE: &[u8] = b"done";
const STREAM: StreamId = StreamId(0);
/// Associations being set up at a time.
const IN_FLIGHT: usize = 16;

type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

/// Settings of both ends: packets of 1,500 bytes.
fn config() -> AssociationConfig {
    let mut config = AssociationConfig::default();
    config.path_mtu(1500).plpmtud(false);
    config
}

fn server(port: u16, max_pending: usize) -> std::io::Result<Endpoint> {
    let mut server = ServerConfig::default();
    server
        .association(Arc::new(config()))
        .max_pending(max_pending);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let endpoint = Endpoint::bind(EndpointConfig::default(), Some(server), &[address])?;
    println!("READY");
    Ok(endpoint)
}

fn client() -> std::io::Result<Endpoint> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Endpoint::bind(EndpointConfig::default(), None, &[address])
}

async fn bulk_server(port: u16) -> Outcome {
    let endpoint = server(port, 1)?;
    let association = endpoint.accept().await.ok_or("closed")?.accept()?;
    let mut received = 0;
    while let Some(message) = association.recv().await? {
        // The last message is the only one with a byte of its own kind.
        if message.unordered {
            break;
        }
        received += message.data.len() as u64;
    }
    association
        .send(STREAM, Bytes::from_static(DONE), SendInfo::default())
        .await?;
    association.closed().await;
    println!("{{\"bytes\": {received}}}");
    Ok(())
}

async fn bulk_client(port: u16, message: usize, bytes: u64) -> Outcome {
    let endpoint = client()?;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let association = endpoint.connect(&[peer], Arc::new(config())).await?;
    let payload = vec![7; message];
    let started = Instant::now();
    let mut sent = 0;
    while sent < bytes {
        let copy = Bytes::copy_from_slice(&payload);
        association.send(STREAM, copy, SendInfo::default()).await?;
        sent += message as u64;
    }
    association.flushed().await?;
    let end = SendInfo::default().unordered(true);
    association
        .send(STREAM, Bytes::from_static(DONE), end)
        .await?;
    association.recv().await?.ok_or("no confirmation")?;
    let wall = started.elapsed().as_secs_f64();
    association.shutdown().await;
    println!("{{\"bytes\": {sent}, \"wall_s\": {wall}}}");
    Ok(())
}

async fn setup_server(port: u16, count: usize) -> Outcome {
    let endpoint = server(port, 1024)?;
    let mut kept: Vec<Association> = Vec::with_capacity(count);
    while kept.len() < count {
        let association = endpoint.accept().await.ok_or("closed")?.accept()?;
        association.try_send(STREAM, Bytes::from_static(DONE), SendInfo::default())?;
        kept.push(association);
    }
    if let Some(last) = kept.last() {
        last.closed().await;
    }
    Ok(())
}

/// One association, whose server has said something.
async fn greeted(
    endpoint: Endpoint,
    peer: SocketAddr,
    config: Arc<AssociationConfig>,
) -> Result<Association, Failure> {
    let association = endpoint.connect(&[peer], config).await?;
    association.recv().await?.ok_or("no greeting")?;
    Ok(association)
}

async fn setup_client(port: u16, count: usize) -> Outcome {
    let endpoint = client()?;
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let config = Arc::new(config());
    let started = Instant::now();
    let mut kept = Vec::with_capacity(count);
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        if tasks.len() == IN_FLIGHT {
            kept.extend(tasks.join_next().await.transpose()?.transpose()?);
        }
        tasks.spawn(greeted(endpoint.clone(), peer, Arc::clone(&config)));
    }
    while let Some(greeted) = tasks.join_next().await {
        kept.push(greeted??);
    }
    let wall = started.elapsed().as_secs_f64();
    for association in kept {
        association.abort(Bytes::new());
        association.closed().await;
    }
    println!("{{\"count\": {count}, \"wall_s\": {wall}}}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok());
    let port = number(1).and_then(|port| u16::try_from(port).ok());
    let outcome = match (
        words.first().map(String::as_str),
        port,
        number(2),
        number(3),
    ) {
        (Some("bulk-server"), Some(port), ..) => bulk_server(port).await,
        (Some("bulk-client"), Some(port), Some(message), Some(bytes)) => {
            bulk_client(port, message as usize, bytes).await
        }
        (Some("setup-server"), Some(port), Some(count), _) => {
            setup_server(port, count as usize).await
        }
        (Some("setup-client"), Some(port), Some(count), _) => {
            setup_client(port, count as usize).await
        }
        _ => Err("usage: bench_udp bulk-server|bulk-client|setup-server|setup-client ...".into()),
    };
    if let Err(error) = outcome {
        eprintln!("bench_udp: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
