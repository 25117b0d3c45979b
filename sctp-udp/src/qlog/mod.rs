//! Event logs of associations as files of JSON lines, in qlog's manner
//! (draft-ietf-quic-qlog-main-schema, its NDJSON form): a header, then one object an event with
//! `time` in milliseconds, `name` and `data`.

mod json;

use std::{
    fmt::Debug,
    fs,
    io::{self, BufWriter, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use sctp_proto::{
    Event, Instant, PathId,
    event_log::{
        ChunkFields, ChunkHeader, EventLog, EventWriter, LogEvent, PathMetrics, Vantage,
        chunk_headers, chunk_name,
    },
};

use self::json::Object;

/// A folder with a file for each association, `NUMBER-SIDE-PEER.qlog`; for
/// [`AssociationConfig::event_log`](crate::AssociationConfig::event_log).
///
/// Files are written through a buffer, by the tasks that drive the associations, and are blocking:
/// it is for looking at what happens, not for a server at its limit.
#[derive(Debug)]
pub struct QlogDirectory {
    path: PathBuf,
    max_bytes: u64,
    /// Bytes left for all files together.
    left: Arc<AtomicU64>,
    opened: AtomicU64,
}

impl QlogDirectory {
    /// Makes the folder if it is not there. Its files together have `max_bytes` at most: what would
    /// be more is left out.
    pub fn new(path: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self {
            path: path.to_owned(),
            max_bytes,
            left: Arc::new(AtomicU64::new(max_bytes)),
            opened: AtomicU64::new(0),
        })
    }

    /// Bytes written so far, in all files.
    pub fn written(&self) -> u64 {
        self.max_bytes - self.left.load(Relaxed)
    }
}

impl EventLog for QlogDirectory {
    fn open(&self, now: Instant, association: &Vantage) -> Option<Box<dyn EventWriter>> {
        if self.left.load(Relaxed) == 0 {
            return None;
        }
        let number = self.opened.fetch_add(1, Relaxed);
        let side = side(association);
        let peer = association
            .remote
            .to_string()
            .replace([':', '[', ']', '%'], "_");
        let path = self.path.join(format!("{number:06}-{side}-{peer}.qlog"));
        match fs::File::create(&path) {
            Ok(file) => {
                let out = BufWriter::new(file);
                let left = Arc::clone(&self.left);
                Some(Box::new(QlogWriter::sharing(out, left, now, association)))
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "an event log could not be made");
                None
            }
        }
    }
}

/// Writes the events of one association.
#[derive(Debug)]
pub struct QlogWriter<W: Write> {
    /// `None` once it could not be written, or no byte is left.
    out: Option<W>,
    left: Arc<AtomicU64>,
    began: Instant,
    /// The line at hand.
    line: String,
}

impl<W: Write> QlogWriter<W> {
    /// Begins a log of at most `max_bytes`, which ends where the next line would not fit.
    pub fn new(out: W, max_bytes: u64, now: Instant, association: &Vantage) -> Self {
        let left = Arc::new(AtomicU64::new(max_bytes));
        Self::sharing(out, left, now, association)
    }

    fn sharing(out: W, left: Arc<AtomicU64>, now: Instant, association: &Vantage) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "logs of several machines are compared"
        )]
        let unix_time = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let mut writer = Self {
            out: Some(out),
            left,
            began: now,
            line: String::new(),
        };
        let mut header = Object::new(&mut writer.line);
        header.text("qlog_version", "0.3");
        header.text("qlog_format", "NDJSON");
        header.text("title", "SCTP association");
        header.object("trace", |trace| {
            trace.object("vantage_point", |point| {
                point.text("type", side(association))
            });
            trace.object("common_fields", |fields| {
                fields.text("time_format", "relative");
                fields.number("reference_time", unix_time.as_millis());
                fields.text("protocol_type", "SCTP");
                fields.text("group_id", &format!("{:08x}", association.local_tag));
                fields.address("remote", association.remote);
                fields.number("local_port", association.local_port);
                fields.number("remote_port", association.remote_port);
            });
        });
        header.end();
        writer.finish_line();
        writer
    }

    /// Writes the line at hand, if there is room for it.
    fn finish_line(&mut self) {
        self.line.push('\n');
        let size = self.line.len() as u64;
        let fits = self
            .left
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(size))
            .is_ok();
        if let Some(out) = &mut self.out {
            let result = if fits {
                out.write_all(self.line.as_bytes())
            } else {
                // No gaps: what comes after it would be misread.
                self.left.store(0, Relaxed);
                out.flush()
            };
            if !fits || result.is_err() {
                self.out = None;
            }
            if let Err(error) = result {
                tracing::warn!(%error, "an event log ends: it could not be written");
            }
        }
        self.line.clear();
    }

    fn event(&mut self, now: Instant, name: &str, data: impl FnOnce(&mut Object<'_>)) {
        let mut event = Object::new(&mut self.line);
        event.millis("time", now - self.began);
        event.text("name", name);
        event.object("data", data);
        event.end();
        self.finish_line();
    }
}

impl<W: Write + Send> EventWriter for QlogWriter<W> {
    fn write(&mut self, now: Instant, event: &LogEvent<'_>) {
        if self.out.is_none() {
            return;
        }
        match event {
            LogEvent::PacketSent { path, to, packet } => {
                self.event(now, "transport:packet_sent", |data| {
                    write_packet(data, *path, "to", *to, packet);
                });
            }
            LogEvent::PacketReceived { path, from, packet } => {
                self.event(now, "transport:packet_received", |data| {
                    write_packet(data, *path, "from", *from, packet);
                });
            }
            LogEvent::StateChanged { old, new } => {
                self.event(now, "connectivity:association_state_updated", |data| {
                    data.name("old", old);
                    data.name("new", new);
                });
                // What a state is reached by can be looked at from now on.
                if let Some(Err(_)) = self.out.as_mut().map(Write::flush) {
                    self.out = None;
                }
            }
            LogEvent::MetricsUpdated { path, metrics } => {
                self.event(now, "recovery:metrics_updated", |data| {
                    write_metrics(data, *path, metrics);
                });
            }
            LogEvent::CongestionStateChanged { path, new } => {
                self.event(now, "recovery:congestion_state_updated", |data| {
                    data.number("path", path.index());
                    data.name("new", new);
                });
            }
            LogEvent::DataLost {
                path,
                bytes,
                trigger,
            } => self.event(now, "recovery:data_lost", |data| {
                data.number("path", path.index());
                data.number("bytes", bytes);
                data.name("trigger", trigger);
            }),
            LogEvent::TimerExpired { timer, path } => {
                self.event(now, "recovery:timer_expired", |data| {
                    data.text("timer", timer);
                    data.path(*path);
                });
            }
            LogEvent::Notified(event) => write_notification(self, now, event),
            _ => {}
        }
    }
}

impl<W: Write> Drop for QlogWriter<W> {
    fn drop(&mut self) {
        if let Some(out) = &mut self.out {
            // Nobody is left to tell.
            let _ = out.flush();
        }
    }
}

fn side(association: &Vantage) -> &'static str {
    match association.is_client {
        true => "client",
        false => "server",
    }
}

fn write_packet(
    data: &mut Object<'_>,
    path: Option<PathId>,
    peer: &str,
    address: SocketAddr,
    packet: &[u8],
) {
    data.path(path);
    data.address(peer, address);
    data.number("length", packet.len());
    data.array("chunks", |chunks| {
        for chunk in chunk_headers(packet) {
            chunks.object(|object| write_chunk(object, &chunk));
        }
    });
}

/// Gap ack blocks and duplicate TSNs of one SACK that are written: a peer decides how many there
/// are.
const MAX_LISTED: usize = 32;

fn write_chunk(object: &mut Object<'_>, chunk: &ChunkHeader) {
    match chunk_name(chunk.kind) {
        "unknown" => object.number("type", chunk.kind),
        name => object.text("type", name),
    }
    object.number("flags", chunk.flags);
    object.number("length", chunk.length);
    match &chunk.fields {
        ChunkFields::Data {
            tsn,
            stream,
            seq,
            fsn,
            ppid,
            payload,
        } => {
            object.number("tsn", tsn.value());
            object.number("stream", stream.0);
            object.number("seq", seq);
            if let Some(fsn) = fsn {
                object.number("fsn", fsn);
            }
            if let Some(ppid) = ppid {
                object.number("ppid", ppid.0);
            }
            object.number("payload_length", payload);
        }
        ChunkFields::Init {
            initiate_tag,
            a_rwnd,
            outbound_streams,
            inbound_streams,
            initial_tsn,
        } => {
            object.number("initiate_tag", initiate_tag);
            object.number("a_rwnd", a_rwnd);
            object.number("outbound_streams", outbound_streams);
            object.number("inbound_streams", inbound_streams);
            object.number("initial_tsn", initial_tsn.value());
        }
        ChunkFields::Sack {
            cumulative,
            a_rwnd,
            gaps,
            duplicates,
        } => {
            object.number("cumulative_tsn", cumulative.value());
            object.number("a_rwnd", a_rwnd);
            object.array("gaps", |list| {
                for (start, end) in gaps.iter().take(MAX_LISTED) {
                    list.array(|pair| {
                        pair.number(start);
                        pair.number(end);
                    });
                }
            });
            object.array("duplicates", |list| {
                for tsn in duplicates.iter().take(MAX_LISTED) {
                    list.number(tsn.value());
                }
            });
        }
        ChunkFields::Shutdown { cumulative } => {
            object.number("cumulative_tsn", cumulative.value());
        }
        ChunkFields::ForwardTsn { new_cumulative } => {
            object.number("new_cumulative_tsn", new_cumulative.value());
        }
        ChunkFields::Causes(codes) => object.array("causes", |list| {
            codes
                .iter()
                .take(MAX_LISTED)
                .for_each(|code| list.number(code));
        }),
        ChunkFields::Malformed => object.text("error", "malformed"),
        _ => {}
    }
}

fn write_metrics(data: &mut Object<'_>, path: PathId, metrics: &PathMetrics) {
    data.number("path", path.index());
    for (name, time) in [
        ("smoothed_rtt", metrics.smoothed_rtt),
        ("min_rtt", metrics.min_rtt),
        ("latest_rtt", metrics.latest_rtt),
    ] {
        if let Some(time) = time {
            data.millis(name, time);
        }
    }
    data.millis("rtt_variance", metrics.rtt_variance);
    data.millis("rto", metrics.rto);
    data.number("congestion_window", metrics.congestion_window);
    data.number("ssthresh", metrics.ssthresh);
    data.number("bytes_in_flight", metrics.bytes_in_flight);
    if let Some(rate) = metrics.pacing_rate {
        // qlog counts bits.
        data.number("pacing_rate", rate.saturating_mul(8));
    }
    data.number("peer_window", metrics.peer_window);
    data.number("max_packet", metrics.max_packet);
}

fn write_notification<W: Write>(log: &mut QlogWriter<W>, now: Instant, event: &Event) {
    match event {
        Event::PathChanged { path, state } => log.event(now, "connectivity:path_updated", |data| {
            data.number("path", path.index());
            data.name("state", state);
        }),
        Event::PathAdded(path) => log.event(now, "connectivity:path_added", |data| {
            data.number("path", path.index());
        }),
        Event::PrimaryChanged(path) => log.event(now, "connectivity:primary_changed", |data| {
            data.number("path", path.index());
        }),
        Event::Closed(reason) => log.event(now, "connectivity:association_closed", |data| {
            data.text("reason", &reason.to_string());
        }),
        Event::PeerStalled { waited } => log.event(now, "recovery:peer_stalled", |data| {
            data.millis("waited", *waited);
        }),
        Event::SendFailed {
            stream,
            context,
            sent,
            data: message,
        } => log.event(now, "application:send_failed", |data| {
            data.number("stream", stream.0);
            data.number("context", context);
            data.text("sent", if *sent > 0 { "some" } else { "nothing" });
            data.number("length", message.len());
        }),
        Event::StreamStalled(stream) => log.event(now, "application:stream_stalled", |data| {
            data.number("stream", stream.0);
        }),
        Event::StreamDiscarded(stream) => log.event(now, "application:stream_discarded", |data| {
            data.number("stream", stream.0);
        }),
        Event::PeerError(cause) => log.event(now, "application:peer_error", |data| {
            data.number("code", cause.code);
            data.text("cause", cause.name());
        }),
        other => {
            // The name and the plain fields; no event but `SendFailed` has user data.
            let text = format!("{other:?}");
            log.event(now, "application:notification", |data| {
                data.text("event", &text);
            });
        }
    }
}

#[cfg(test)]
mod tests;
