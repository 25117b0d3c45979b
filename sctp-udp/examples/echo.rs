//! A server that sends back what it receives, on the stream it came in on.
//!
//!     cargo run --release -p sctp-udp --example echo -- --help

mod common;

use std::{error::Error, net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use common::{AssociationArgs, duration};
use sctp_udp::{Association, Endpoint, EndpointConfig, SendInfo, ServerConfig};

/// SCTP server that echoes or discards messages.
#[derive(Debug, Parser)]
struct Args {
    /// UDP address and port to listen on; repeatable
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:9899")]
    listen: Vec<SocketAddr>,
    /// SCTP port to listen on
    #[arg(long, value_name = "PORT", default_value_t = 7)]
    sctp_port: u16,
    /// What to do with messages
    #[arg(long, value_enum, default_value_t = Mode::Echo)]
    mode: Mode,
    /// Valid.Cookie.Life
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cookie_lifetime: Option<Duration>,
    /// Tell of every association and what it brought
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    association: AssociationArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Send every message back
    Echo,
    /// Take messages and send nothing
    Discard,
    /// Send the first message back, then shut down
    Once,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let mut server = ServerConfig::default();
    server
        .port(args.sctp_port)
        .association(args.association.config(|_| {})?);
    let mut config = EndpointConfig::default();
    if let Some(lifetime) = args.cookie_lifetime {
        config.cookie_lifetime(lifetime);
    }
    let endpoint = Endpoint::bind(config, Some(server), &args.listen)
        .map_err(|error| format!("cannot listen on {:?}: {error}", args.listen))?;
    for address in endpoint.local_addrs() {
        println!(
            "listening on UDP {address}, SCTP port {port}",
            port = args.sctp_port
        );
    }
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return Ok(()) };
                match incoming.accept() {
                    Ok(association) => {
                        tokio::spawn(serve(association, args.mode, args.verbose));
                    }
                    Err(error) => eprintln!("echo: a peer was not accepted: {error}"),
                }
            }
            _ = tokio::signal::ctrl_c() => {
                if tokio::time::timeout(Duration::from_secs(5), endpoint.close()).await.is_err() {
                    eprintln!("echo: gave up waiting for peers");
                }
                return Ok(());
            }
        }
    }
}

async fn serve(association: Association, mode: Mode, verbose: bool) {
    let peer = association.peer_addr();
    let id = association.id();
    if verbose {
        println!("{id}: {peer} is here");
    }
    let (mut messages, mut bytes) = (0u64, 0u64);
    let result = loop {
        match association.recv().await {
            Ok(Some(message)) => {
                messages += u64::from(message.complete);
                bytes += message.data.len() as u64;
                if mode == Mode::Discard {
                    continue;
                }
                let info = SendInfo::new(message.ppid).unordered(message.unordered);
                let data = message.data.into_bytes();
                if let Err(error) = association.send(message.stream, data, info).await {
                    break Err(error.to_string());
                }
                if mode == Mode::Once {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    let reason = match result {
        Ok(()) => association.shutdown().await.to_string(),
        Err(error) => error,
    };
    if verbose {
        println!("{id}: {peer} brought {messages} messages, {bytes} bytes; {reason}");
    }
}
