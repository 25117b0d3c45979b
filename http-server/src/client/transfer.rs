//! One exchange on a lane: the request out, the response to where it belongs.

use std::{fmt::Write, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::{
    Job,
    failure::Failure,
    lane::Lane,
    output::Sink,
    report::Report,
    response::{Head, Part, ResponseParser},
};
use crate::origin::asks_to_close;

/// What all exchanges have in common.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) head: bool,
    /// Name the URL's host: the fields name none.
    pub(super) host: bool,
    /// Further header fields, each with its line end.
    pub(super) fields: String,
    /// Do not write the body of an error.
    pub(super) fail: bool,
    /// Of silence.
    pub(super) timeout: Duration,
    pub(super) digest: bool,
}

/// A response that is whole.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) status: StatusCode,
    /// Of the body.
    pub(super) bytes: u64,
    pub(super) sha256: Option<String>,
    pub(super) sent: Instant,
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) stream: Option<u16>,
    /// Of the first message.
    pub(super) ppid: Option<u32>,
    /// User messages, over SCTP.
    pub(super) messages: u32,
    /// The body, or the head for HEAD, if it was to be kept.
    pub(super) kept: Option<Bytes>,
    /// Whether the lane can carry another exchange.
    pub(super) reusable: bool,
}

/// Fetches one URL. A [`Failure`] that is `lost` came before any byte of an answer.
pub(super) async fn transfer(
    lane: &mut Lane,
    job: &Job,
    settings: &Settings,
    report: &Report,
) -> Result<Done, Failure> {
    let stream = lane.stream_id();
    report.request(job, stream);
    let sent = Instant::now();
    lane.send(request(job, settings)).await?;
    let mut exchange = Exchange {
        parser: ResponseParser::new(settings.head),
        sink: Sink::new(&job.output),
        digest: settings.digest.then(Sha256::new),
        bytes: 0,
        head: None,
    };
    let (mut first, mut ppid, mut messages) = (None, None, 0);
    let last = loop {
        let piece = match timeout(settings.timeout, lane.receive()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(mut failure)) => {
                failure.lost &= first.is_none();
                return Err(failure);
            }
            Err(_) => {
                let silence = format!("no byte for {} s", settings.timeout.as_secs());
                return Err(Failure::transfer(&silence, false));
            }
        };
        let now = Instant::now();
        let Some(piece) = piece else {
            exchange.parser.end().map_err(|error| match first {
                None => Failure::transfer(&"the server ended the stream without an answer", true),
                Some(_) => Failure::transfer(&error, false),
            })?;
            break now;
        };
        first.get_or_insert(now);
        ppid = ppid.or(piece.ppid());
        messages += 1;
        exchange.parser.push(piece.into_buf());
        exchange
            .take_parts(job, settings, report, stream, now)
            .await?;
        if exchange.parser.is_done() {
            break now;
        }
    };
    let Some((head, first)) = exchange.head.as_ref().zip(first) else {
        return Err(Failure::transfer(&"no answer", true));
    };
    // Bytes after the end cannot be told from the next answer's.
    let reusable = !exchange.parser.has_excess() && !asks_to_close(head.version, &head.headers);
    Ok(Done {
        status: head.status,
        bytes: exchange.bytes,
        sha256: exchange.digest.map(|digest| hex(&digest.finalize())),
        sent,
        first,
        last,
        stream,
        ppid,
        messages,
        kept: exchange.sink.finish().await?,
        reusable,
    })
}

struct Exchange {
    parser: ResponseParser,
    sink: Sink,
    digest: Option<Sha256>,
    bytes: u64,
    head: Option<Head>,
}

impl Exchange {
    async fn take_parts(
        &mut self,
        job: &Job,
        settings: &Settings,
        report: &Report,
        stream: Option<u16>,
        now: Instant,
    ) -> Result<(), Failure> {
        let before = self.bytes;
        while let Some(part) = self
            .parser
            .next()
            .map_err(|error| Failure::transfer(&error, false))?
        {
            match part {
                Part::Head(head) => {
                    report.head(job, stream, &head);
                    if settings.fail && is_error(head.status) {
                        self.sink = Sink::Nowhere;
                    } else if settings.head {
                        self.sink.write(head_text(&head).into()).await?;
                    }
                    self.head = Some(head);
                }
                Part::Body(bytes) => {
                    self.bytes += bytes.len() as u64;
                    if let Some(digest) = &mut self.digest {
                        digest.update(&bytes);
                    }
                    self.sink.write(bytes).await?;
                }
                Part::End => {}
            }
        }
        if self.bytes > before && !self.parser.is_done() {
            report.progress(job, self.bytes, now);
        }
        Ok(())
    }
}

pub(super) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn request(job: &Job, settings: &Settings) -> Bytes {
    let method = if settings.head { "HEAD" } else { "GET" };
    let mut text = BytesMut::with_capacity(256);
    // Writing to memory does not fail.
    let _ = write!(text, "{method} {} HTTP/1.1\r\n", job.url.target);
    if settings.host {
        let _ = write!(text, "host: {}\r\n", job.url.authority);
    }
    let _ = write!(text, "{}\r\n", settings.fields);
    text.freeze()
}

/// As on the wire, for `-I` and `-v`.
pub(super) fn head_text(head: &Head) -> String {
    let mut text = format!("{:?} {}\n", head.version, head.status);
    for (name, value) in &head.headers {
        let _ = writeln!(text, "{name}: {}", value.as_bytes().escape_ascii());
    }
    text.push('\n');
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
