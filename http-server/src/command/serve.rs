//! `sctp-http serve`: the service, its listeners, what is printed, signals.

use std::{
    io::{self, ErrorKind, Write},
    process,
    time::Duration,
};

use super::{
    args::{LogKind, LogTo, Serve},
    observe,
};
use crate::{
    AccessLog, Demo, Files, Limits, Listen, LogFormat, Server, Transport,
    server::{BindError, SCTP_PORT},
    service::HttpService,
};

/// Exit status of a process ended by a second signal, as shells count: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

pub(super) async fn run(args: Serve) -> Result<(), String> {
    match args.dir.as_ref().or(args.root.as_ref()) {
        None => log_and_serve(Demo, &args).await,
        Some(folder) => {
            let files = Files::new(folder).map_err(|error| {
                format!(
                    "cannot serve {}: {error}; name an existing folder, or none for the demo",
                    folder.display()
                )
            })?;
            log_and_serve(files.listing(!args.no_listing), &args).await
        }
    }
}

async fn log_and_serve<S>(service: S, args: &Serve) -> Result<(), String>
where
    S: HttpService<Future: Send + 'static>,
{
    let format = match args.access_log {
        LogKind::None => return serve(service, args).await,
        LogKind::Common => LogFormat::Common,
        LogKind::Combined => LogFormat::Combined,
    };
    match args.log_to {
        LogTo::Stdout => serve(AccessLog::new(service, format, io::stdout()), args).await,
        LogTo::Stderr => serve(AccessLog::new(service, format, io::stderr()), args).await,
    }
}

async fn serve<S>(service: S, args: &Serve) -> Result<(), String>
where
    S: HttpService,
{
    let mut limits = Limits::default();
    limits
        .contiguous(args.contiguous)
        .drain_timeout(Duration::from_secs(args.drain_timeout));
    let mut association = args.tuning.association();
    let capture = args.observe.open(&mut association)?;
    let mut server = Server::new(service)
        .limits(limits)
        .sctp_port(args.sctp_port)
        .association(association);
    if let Some(capture) = &capture {
        server = server.capture(capture.clone());
    }
    for listen in &args.listen {
        server = server.listen(listen.clone());
    }
    // Before anybody can know that the server is up, and stop it.
    let signals = Signals::new().map_err(|error| format!("cannot handle signals: {error}"))?;
    let server = server.bind().await.map_err(|error| mend(&error))?;
    // The text is for people and for harnesses; a closed output is no reason to stop.
    let _ = io::stdout().write_all(banner(args, server.listeners()).as_bytes());
    let _ = io::stdout().flush();
    server.run_until(told_to_stop(signals)).await;
    observe::finish(capture.as_ref());
    Ok(())
}

fn mend(error: &BindError) -> String {
    let (address, transport) = (error.listen.address, error.listen.transport);
    let advice = match error.error.kind() {
        ErrorKind::AddrInUse => format!(
            "; stop the other program, or choose another port: --listen {}:PORT/{transport}",
            address.ip()
        ),
        ErrorKind::AddrNotAvailable => {
            let which = match error.listen.also.is_empty() {
                true => "the address",
                false => "one of the addresses",
            };
            format!("; this machine does not have {which}: 0.0.0.0 and [::] stand for all")
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need privileges".to_owned()
        }
        _ => String::new(),
    };
    format!("{error}{advice}")
}

fn banner(args: &Serve, listeners: &[Listen]) -> String {
    let mut text = String::new();
    for listen in listeners {
        text += &format!("listening on {listen}\n");
    }
    if args.dir.is_some() || args.root.is_some() {
        return text;
    }
    text += &format!(
        "\nThis is the demo, a page of {} objects. Fetch it\n",
        Demo::objects()
    );
    for listen in listeners {
        let mut address = listen.address;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                [0u16, 0, 0, 0, 0, 0, 0, 1].into()
            });
        }
        text += &match listen.transport {
            Transport::Sctp => {
                let port = match args.sctp_port {
                    SCTP_PORT => String::new(),
                    port => format!(" --sctp-port {port}"),
                };
                format!(
                    "  over SCTP, each object on its own stream:  {} get{port} --page http+sctp://{address}/\n",
                    program()
                )
            }
            Transport::Tcp => {
                format!("  over TCP, in a browser:                    http://{address}/\n")
            }
        };
    }
    text + "Ctrl-C stops it.\n\n"
}

/// How this program was called, for commands to copy.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "sctp-http".to_owned())
}

/// Resolves on the first SIGINT or SIGTERM; the second ends the process at once.
async fn told_to_stop(mut signals: Signals) {
    signals.next().await;
    let _ = writeln!(io::stderr(), "stopping; once more stops at once");
    tokio::spawn(async move {
        signals.next().await;
        process::exit(INTERRUPTED);
    });
}

/// SIGINT and SIGTERM since this was made.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C since this was made.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
