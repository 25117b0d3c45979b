//! `--pcap` and `--qlog`: what happens over SCTP, written down.

use std::{path::PathBuf, sync::Arc};

use sctp_udp::{AssociationConfig, Capture, QlogDirectory};

/// Bytes that a capture, and all logs together, have at most unless told otherwise.
const LIMIT: u64 = 1_000_000_000;

/// What to write down of what happens over SCTP.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Looking at what happens over SCTP")]
pub(super) struct Observe {
    /// Write what passes the SCTP sockets to FILE, as pcapng for Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Write a log of each association to a file in DIR: JSON lines in qlog's manner
    #[arg(long, value_name = "DIR")]
    qlog: Option<PathBuf>,

    /// Bytes that --pcap, and all files of --qlog, have at most; the rest is left out
    #[arg(long, value_name = "BYTES", default_value_t = LIMIT)]
    trace_limit: u64,
}

impl Observe {
    /// Opens what is asked for: the logs for the associations with these settings, and the capture
    /// for their sockets.
    pub(super) fn open(
        &self,
        association: &mut AssociationConfig,
    ) -> Result<Option<Capture>, String> {
        if let Some(folder) = &self.qlog {
            let log = QlogDirectory::new(folder, self.trace_limit)
                .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
            association.event_log(Some(Arc::new(log)));
        }
        let Some(file) = &self.pcap else {
            return Ok(None);
        };
        Capture::create(file, self.trace_limit)
            .map(Some)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))
    }
}

/// Hands a capture to the system, before the process ends.
pub(super) fn finish(capture: Option<&Capture>) {
    if let Some(capture) = capture {
        if let Err(error) = capture.flush() {
            eprintln!("sctp-http: the capture is not complete: {error}");
        }
        let left_out = capture.left_out();
        if left_out > 0 {
            eprintln!("sctp-http: {left_out} packets are not in the capture: --trace-limit");
        }
    }
}
