//! The program `sctp-http`.

mod args;
mod observe;
mod serve;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::client;
use args::{Args, Command};

/// Runs the program and returns its exit status. Call it at most once in a process: it takes the
/// process's arguments, signals and tracing output.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sctp-http: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let status = match args.command {
        Some(Command::Get(get)) => match get.into_options() {
            Ok(options) => {
                let capture = options.capture.clone();
                let status = runtime.block_on(client::run(options));
                observe::finish(capture.as_ref());
                status
            }
            Err(error) => finish(Err(error)),
        },
        Some(Command::Serve(serve)) => finish(runtime.block_on(serve::run(serve))),
        None => finish(runtime.block_on(serve::run(args::Serve::default()))),
    };
    // Not waited for: a read of standard input cannot be cancelled.
    runtime.shutdown_background();
    status
}

fn finish(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sctp-http: {error}");
            ExitCode::FAILURE
        }
    }
}
