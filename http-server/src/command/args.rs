//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, Subcommand, ValueEnum};
use sctp_udp::{AssociationConfig, CongestionControl, LossDetection};

use super::observe::Observe;
use crate::{
    client,
    listen::Listen,
    server::{SCTP_PORT, default_association},
};

/// HTTP over SCTP and TCP: server and client.
///
/// Without a command: serves the embedded demo on 127.0.0.1:9899/sctp and 127.0.0.1:8080/tcp.
#[derive(Debug, Parser)]
#[command(name = "sctp-http", version)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(Serve),
    Get(Get),
}

/// Serve a folder of files, or the embedded demo.
#[derive(Debug, Parser)]
pub(super) struct Serve {
    /// The folder; without it the embedded demo
    pub(super) dir: Option<PathBuf>,

    /// The same as DIR
    #[arg(long = "root", value_name = "DIR", conflicts_with = "dir")]
    pub(super) root: Option<PathBuf>,

    /// Listen on ADDR:PORT/sctp (PORT is the UDP port) or ADDR:PORT/tcp; repeatable. Several
    /// addresses of one SCTP listener: ADDR:PORT/sctp+ADDR+ADDR; 0.0.0.0 and :: stand for all
    #[arg(long, value_name = "ADDR:PORT/TRANSPORT", default_values = ["127.0.0.1:9899/sctp", "127.0.0.1:8080/tcp"])]
    pub(super) listen: Vec<Listen>,

    /// SCTP port inside the UDP datagrams
    #[arg(long, value_name = "PORT", default_value_t = SCTP_PORT)]
    pub(super) sctp_port: u16,

    /// One line a request: its form
    #[arg(long, value_enum, default_value_t = LogKind::Common)]
    pub(super) access_log: LogKind,

    /// Where the access log goes
    #[arg(long, value_enum, default_value_t = LogTo::Stdout)]
    pub(super) log_to: LogTo,

    /// Do not list folders that have no index.html
    #[arg(long)]
    pub(super) no_listing: bool,

    /// Send each response in one piece, for peers that ignore stream ids (phttpget)
    #[arg(long)]
    pub(super) contiguous: bool,

    /// How long requests in progress may take once told to stop, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(super) drain_timeout: u64,

    /// Tell of associations and of what happens to their paths, on standard error
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Print the settings of associations that these options make, and do nothing else
    #[arg(long)]
    pub(super) print_config: bool,

    // Last: a heading holds for all that follows it.
    #[command(flatten)]
    pub(super) tuning: Tuning,

    #[command(flatten)]
    pub(super) observe: Observe,
}

impl Default for Serve {
    fn default() -> Self {
        Self::parse_from(["serve"])
    }
}

/// How associations send: what a measurement, or a path that is unlike others, may want otherwise.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sending over SCTP")]
pub(super) struct Tuning {
    /// Path MTU, bytes of IP packet, which is then not found out [default: 1280, and what the path is
    /// found to carry]
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,

    /// Congestion control [default: bbr]
    #[arg(long, value_enum)]
    congestion: Option<Congestion>,

    /// Packets that may leave before the first acknowledgement, 1 to 10; 0 for RFC 9260's three or
    /// four [default: 10]
    #[arg(long, value_name = "PACKETS", value_parser = clap::value_parser!(u32).range(..=10))]
    initial_window: Option<u32>,

    /// Send what the window allows at once, not spread over the round trip
    #[arg(long)]
    no_pacing: bool,

    /// What makes a loss before a timer runs out [default: send-times]
    #[arg(long, value_enum)]
    loss_detection: Option<Losses>,

    /// Leave the loss of the last packets to the retransmission timer
    #[arg(long)]
    no_tail_loss_probes: bool,

    /// Keep to a reduction of the window when all it was for turns out to have arrived
    #[arg(long)]
    no_undo: bool,

    /// Pause between HEARTBEATs on a path that is not used, seconds; 0 for none [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    heartbeat_interval: Option<Duration>,

    /// Failures in a row after which a path counts as dead [default: 5]
    #[arg(long, value_name = "COUNT")]
    path_max_retrans: Option<u32>,

    /// Paths at most, 1 to 8: pairs of an address here and one there [default: 8]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=8))]
    max_paths: Option<u8>,
}

/// Seconds with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of seconds, as 5 or 0.5 is");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

impl Tuning {
    /// The settings of an association that these words stand for.
    pub(super) fn association(&self) -> AssociationConfig {
        let mut config = default_association();
        if let Some(mtu) = self.mtu {
            config.path_mtu(mtu).plpmtud(false);
        }
        if let Some(congestion) = self.congestion {
            config.congestion_control(congestion.into());
        }
        if let Some(packets) = self.initial_window {
            config.initial_window(Some(packets).filter(|packets| *packets > 0));
        }
        if self.no_pacing {
            config.pacing(false);
        }
        if let Some(losses) = self.loss_detection {
            config.loss_detection(losses.into());
        }
        if self.no_tail_loss_probes {
            config.tail_loss_probes(false);
        }
        if self.no_undo {
            config.undo_spurious(false);
        }
        if let Some(interval) = self.heartbeat_interval {
            config.heartbeat_interval(Some(interval).filter(|interval| !interval.is_zero()));
        }
        if let Some(count) = self.path_max_retrans {
            config.path_max_retrans(count);
        }
        if let Some(count) = self.max_paths {
            config.max_paths(count.into());
        }
        config
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Congestion {
    /// RFC 9260's own: half the window after a loss, a packet more per round trip
    Rfc9260,
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406)
    Cubic,
    /// After BBRv3: the rate that the path delivers, whatever it loses at random
    Bbr,
}

impl From<Congestion> for CongestionControl {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::Rfc9260 => Self::Rfc9260,
            Congestion::Cubic => Self::Cubic,
            Congestion::Bbr => Self::Bbr,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Losses {
    /// Three reports that a chunk is missing (RFC 9260)
    MissingReports,
    /// Send times besides (RACK, RFC 8985)
    SendTimes,
}

impl From<Losses> for LossDetection {
    fn from(losses: Losses) -> Self {
        match losses {
            Losses::MissingReports => Self::MissingReports,
            Losses::SendTimes => Self::SendTimes,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogKind {
    None,
    Common,
    Combined,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogTo {
    Stdout,
    Stderr,
}

/// Fetch URLs: `http+sctp://HOST[:UDP-PORT]/PATH`, or `http://HOST[:PORT]/PATH` over TCP.
///
/// All URLs of one host go out at once, one per SCTP stream of one association (over TCP: on up
/// to six connections). Redirects are not followed.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: of the first URL, in the order given, that failed.
  0  every URL was fetched
  1  something here failed: a file could not be written, a list not be read
  2  wrong usage
  3  no connection: the name is unknown, nobody answers, or the peer refused
  4  a transfer broke: connection lost, answer cut short or malformed, time-out
  8  the server answered with an error status (4xx, 5xx)")]
pub(super) struct Get {
    /// What to fetch
    #[arg(required_unless_present_any = ["page", "requests", "json", "print_config"])]
    urls: Vec<String>,

    /// Write to FILE instead of standard output; once per URL, in their order
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Write each URL to a file named as in the URL
    #[arg(short = 'O', long, conflicts_with = "output")]
    remote_name: bool,

    /// Folder for -O; with --page the URL's folders are made in it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Fetch this HTML page, then all that it shows, over distinct streams; prints a table
    #[arg(long, value_name = "URL", conflicts_with_all = ["urls", "requests", "output"])]
    page: Option<String>,

    /// Only the heads
    #[arg(short = 'I', long)]
    head: bool,

    /// Add a header field, `Name: value`; repeatable
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,

    /// Do not write the body of an answer with an error status
    #[arg(short, long)]
    fail: bool,

    /// Tell what happens: streams, heads, payload protocol identifiers, times
    #[arg(short, long)]
    verbose: bool,

    /// No progress bars
    #[arg(short, long)]
    quiet: bool,

    /// Write what happens to standard output as JSON lines, times in milliseconds
    #[arg(long)]
    json: bool,

    /// Paths to fetch, one a line, `-` for standard input: the first alone, then all others at
    /// once. The default with --json and no URL is standard input
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,

    /// Connect there, whatever host the URLs name; repeatable, for several addresses of one server
    #[arg(long, value_name = "ADDR:PORT")]
    connect: Vec<SocketAddr>,

    /// Send from this address and receive there; repeatable, for several paths. Without it all
    /// addresses of this machine are used
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = local_address)]
    bind: Vec<SocketAddr>,

    /// SCTP port of the server, inside the UDP datagrams
    #[arg(long, value_name = "PORT", default_value_t = SCTP_PORT)]
    sctp_port: u16,

    /// How long the server may take to accept the connection, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    connect_timeout: u64,

    /// How long a transfer may go without a byte, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// How often to connect again for requests that got no byte of an answer
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    retry: u32,

    /// Print the settings of associations that these options make, and do nothing else
    #[arg(long)]
    pub(super) print_config: bool,

    #[command(flatten)]
    pub(super) tuning: Tuning,

    #[command(flatten)]
    observe: Observe,
}

/// An address of this machine; without a port, any.
fn local_address(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().or_else(|_| format!("{text}:0").parse());
    let bare = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    with_port.or_else(|_| bare()).map_err(|_| {
        format!("`{text}` is not an IP address; write 10.0.0.1, [::1] or 10.0.0.1:9899")
    })
}

impl Get {
    pub(super) fn into_options(self) -> Result<client::Options, String> {
        let mut association = self.tuning.association();
        let capture = self.observe.open(&mut association)?;
        Ok(client::Options {
            urls: self.urls,
            outputs: self.output,
            remote_names: self.remote_name,
            folder: self.dir,
            page: self.page,
            head: self.head,
            headers: self.headers,
            fail: self.fail,
            verbose: self.verbose,
            quiet: self.quiet,
            json: self.json,
            requests: self.requests,
            connect: self.connect,
            bind: self.bind,
            sctp_port: self.sctp_port,
            association,
            capture,
            connect_timeout: Duration::from_secs(self.connect_timeout),
            timeout: Duration::from_secs(self.timeout),
            retries: self.retry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Args::command().debug_assert();
        let serve = Serve::default();
        assert_eq!(serve.listen.len(), 2);
        assert!(serve.dir.is_none());
    }

    #[test]
    fn the_letter_of_rfc_9260_can_be_had() {
        let tuning = |words: &[&str]| match Args::parse_from(words).command {
            Some(Command::Serve(serve)) => format!("{:?}", serve.tuning.association()),
            _ => panic!(),
        };
        let shipped = tuning(&["sctp-http", "serve"]);
        assert_eq!(shipped, format!("{:?}", default_association()));
        let letter = tuning(&[
            "sctp-http",
            "serve",
            "--congestion",
            "rfc9260",
            "--initial-window",
            "0",
            "--loss-detection",
            "missing-reports",
            "--no-tail-loss-probes",
            "--no-undo",
            "--no-pacing",
        ]);
        let mut config = default_association();
        config
            .congestion_control(CongestionControl::Rfc9260)
            .initial_window(None)
            .loss_detection(LossDetection::MissingReports)
            .tail_loss_probes(false)
            .undo_spurious(false)
            .pacing(false);
        assert_eq!(letter, format!("{config:?}"));
    }

    #[test]
    fn addresses_of_this_side_come_with_or_without_a_port() {
        for (text, address) in [
            ("10.0.0.1", "10.0.0.1:0"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
            ("[fe80::1%2]:7", "[fe80::1%2]:7"),
        ] {
            assert_eq!(local_address(text), Ok(address.parse().unwrap()), "{text}");
        }
        assert!(
            local_address("eth0")
                .unwrap_err()
                .contains("not an IP address")
        );
    }

    #[test]
    fn paths_can_be_tuned() {
        let words = "get --connect 10.0.0.1:9 --connect 10.0.1.1:9 --bind ::1 --heartbeat-interval 0.5 \
                     --path-max-retrans 2 --max-paths 4 http+sctp://a/";
        let words = words.split_whitespace();
        let Some(Command::Get(get)) =
            Args::parse_from(["sctp-http"].into_iter().chain(words)).command
        else {
            panic!()
        };
        let options = get.into_options().unwrap();
        assert_eq!((options.connect.len(), options.bind.len()), (2, 1));
        let mut config = default_association();
        config
            .heartbeat_interval(Some(Duration::from_millis(500)))
            .path_max_retrans(2)
            .max_paths(4);
        assert_eq!(format!("{:?}", options.association), format!("{config:?}"));
        for (text, expected) in [
            ("5", Ok(Duration::from_secs(5))),
            ("-1", Err(())),
            ("x", Err(())),
        ] {
            assert_eq!(seconds(text).map_err(|_| ()), expected);
        }
    }

    #[test]
    fn the_words_of_a_page_load_harness() {
        let words = [
            "sctp-http",
            "serve",
            "--listen",
            "10.77.0.2:8443",
            "--root",
            "site",
        ];
        let Some(Command::Serve(serve)) = Args::parse_from(words).command else {
            panic!()
        };
        assert_eq!(serve.listen.len(), 1);
        let words = [
            "sctp-http",
            "get",
            "--json",
            "--connect",
            "10.77.0.2:8443",
            "--requests",
            "r",
        ];
        assert!(matches!(Args::parse_from(words).command, Some(Command::Get(get)) if get.json));
    }
}
