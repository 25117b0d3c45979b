//! The program `sctp-http`.

mod args;
mod observe;
mod serve;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::client;
use args::{Args, Command, Tuning};

/// Runs the program and returns its exit status. Call it at most once in a process: it takes the
/// process's arguments, signals and tracing output.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let default = match &args.command {
        Some(Command::Serve(serve)) if serve.verbose => "warn,http_server=info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match &args.command {
        Some(Command::Serve(serve)) if serve.print_config => return print_config(&serve.tuning),
        Some(Command::Get(get)) if get.print_config => return print_config(&get.tuning),
        _ => {}
    }
    let mut runtime = match &args.command {
        // One association to serve, in one thread: the requests of a page are all there when the
        // association sends, and leave in as few packets as they fit into. With several threads the
        // first ones left alone.
        Some(Command::Get(_)) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match runtime.enable_all().build() {
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

/// Prints every setting of an association, as it would be made, a line each.
fn print_config(tuning: &Tuning) -> ExitCode {
    let text = format!("{:?}", tuning.association());
    // The name of the type and its braces are of no use here.
    let fields = text.split_once('{').map_or(&*text, |(_, fields)| fields);
    let mut depth = 0;
    let mut lines: Vec<&str> = fields
        .split(|c| {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && c == ','
        })
        .map(str::trim)
        .collect();
    if let Some(last) = lines.last_mut() {
        *last = last.trim_end_matches([' ', '}']);
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut out = io::stdout();
    let written = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    finish(written.map_err(|error| format!("cannot write standard output: {error}")))
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
