//! What `get` tells while it works: JSON lines, progress bars, the words of `-v`.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sctp_udp::{PathId, PathInfo};
use serde_json::json;
use tokio::time::Instant;

use super::{
    Job,
    paths::{Paths, ends, object, state_name},
    response::Head,
    transfer::{Done, head_text},
};

/// Pause between two progress lines of one object, as the contract of the JSON lines has it.
const PROGRESS_PAUSE: Duration = Duration::from_millis(10);

/// Events of paths kept for one line; further ones are left out.
const PATH_EVENTS: usize = 256;

pub(super) struct Report {
    json: bool,
    verbose: bool,
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Zero of the clock: just before the first packet of the first connection.
    start: Option<Instant>,
    /// By job: time of the last progress line.
    told: HashMap<usize, Instant>,
    drawn: HashMap<usize, ProgressBar>,
    /// Not told yet.
    path_events: Vec<serde_json::Value>,
    watched: Vec<Paths>,
}

impl Report {
    pub(super) fn new(json: bool, verbose: bool, quiet: bool) -> Self {
        let draw = !(json || verbose || quiet) && io::stderr().is_terminal();
        let bars = draw.then(MultiProgress::new);
        Self {
            json,
            verbose,
            bars,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is about to be set up.
    pub(super) fn start(&self) {
        self.state().start.get_or_insert_with(Instant::now);
    }

    /// Milliseconds from the start, to microseconds.
    pub(super) fn ms(&self, at: Instant) -> f64 {
        let since = self
            .state()
            .start
            .map(|start| at.saturating_duration_since(start));
        since.unwrap_or_default().as_micros() as f64 / 1000.0
    }

    pub(super) fn connected(&self, what: &str) {
        let at = self.ms(Instant::now());
        self.line(&json!({ "connected_ms": at }));
        self.say(|| format!("* {what}, after {at} ms\n"));
    }

    /// Something has happened to a path, which may be gone. In JSON it is part of the next line of
    /// an object: readers of these lines need not know of others.
    pub(super) fn path(&self, id: PathId, what: &str, path: Option<&PathInfo>) {
        let at = self.ms(Instant::now());
        if self.json {
            let local = path.and_then(|path| path.local_ip);
            let remote = path.map(|path| path.remote);
            let event = json!({
                "event": what, "id": id.index(), "at_ms": at, "local": local, "remote": remote,
            });
            let events = &mut self.state().path_events;
            if events.len() < PATH_EVENTS {
                events.push(event);
            }
        }
        let which = || path.map_or_else(|| "gone".to_owned(), ends);
        self.say(|| format!("* path {} ({}): {what}, at {at} ms\n", id.index(), which()));
    }

    /// Has the lines of objects tell of these paths.
    pub(super) fn watch(&self, paths: &Paths) {
        self.state().watched.push(paths.clone());
    }

    /// The paths at the end.
    pub(super) fn paths(&self, paths: &[PathInfo]) {
        self.say(|| {
            let text = |path: &PathInfo| {
                let mark = if path.is_primary { ", primary" } else { "" };
                let (state, srtt) = (state_name(path.state), path.stats.srtt);
                let id = path.id.index();
                format!(
                    "* path {id} ({}): {state}{mark}, round trip {srtt:.2?}\n",
                    ends(path)
                )
            };
            paths.iter().map(text).collect()
        });
    }

    pub(super) fn request(&self, job: &Job, stream: Option<u16>) {
        self.say(|| format!("> {}{}\n", job.url, on(stream)));
    }

    pub(super) fn head(&self, job: &Job, stream: Option<u16>, head: &Head) {
        self.say(|| {
            let lines = head_text(head);
            let lines: String = lines.lines().map(|line| format!("< {line}\n")).collect();
            format!("* {}{}\n{lines}", job.url, on(stream))
        });
        if let Some(bars) = &self.bars {
            let length = head.headers.get("content-length");
            let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
            let bar = bars.add(bar(length, &job.url.target));
            self.state().drawn.insert(job.index, bar);
        }
    }

    /// Bytes of a body that is not complete have come.
    pub(super) fn progress(&self, job: &Job, bytes: u64, at: Instant) {
        if let Some(bar) = self.state().drawn.get(&job.index) {
            bar.set_position(bytes);
        }
        if !self.json {
            return;
        }
        let due = {
            let told = &mut self.state().told;
            let due = told
                .get(&job.index)
                .is_none_or(|last| at >= *last + PROGRESS_PAUSE);
            if due {
                told.insert(job.index, at);
            }
            due
        };
        if due {
            let at = self.ms(at);
            self.line(&json!({ "path": job.url.target, "at_ms": at, "bytes_so_far": bytes }));
        }
    }

    pub(super) fn done(&self, job: &Job, done: &Done) {
        self.clear(job);
        let mut line = json!({
            "path": job.url.target,
            "sent_ms": self.ms(done.sent),
            "first_ms": self.ms(done.first),
            "last_ms": self.ms(done.last),
            "bytes": done.bytes,
            "sha256": done.sha256,
            "status": done.status.as_u16(),
            "stream": done.stream,
        });
        if self.json {
            self.add_paths(&mut line);
        }
        self.line(&line);
        self.say(|| {
            let messages = match done.ppid {
                Some(ppid) => format!(" in {} message(s), PPID {ppid}", done.messages),
                None => String::new(),
            };
            format!(
                "* {}{}: {} bytes{messages}; sent {} ms, first byte {} ms, last {} ms\n",
                job.url,
                on(done.stream),
                done.bytes,
                self.ms(done.sent),
                self.ms(done.first),
                self.ms(done.last),
            )
        });
    }

    /// What has happened to the paths since the last line, and how they stand, if there are several.
    fn add_paths(&self, line: &mut serde_json::Value) {
        let (events, watched) = {
            let mut state = self.state();
            (
                std::mem::take(&mut state.path_events),
                state.watched.clone(),
            )
        };
        let paths: Vec<_> = watched.iter().flat_map(Paths::snapshot).collect();
        if !events.is_empty() {
            line["path_events"] = events.into();
        }
        if paths.len() > watched.len() {
            line["paths"] = paths.iter().map(object).collect();
            line["failovers"] = watched.iter().map(Paths::failovers).sum::<u64>().into();
        }
    }

    /// The bar of a job whose transfer is over.
    pub(super) fn clear(&self, job: &Job) {
        if let Some(bar) = self.state().drawn.remove(&job.index) {
            bar.finish_and_clear();
        }
    }

    pub(super) fn failed(&self, text: &str) {
        let at = self.ms(Instant::now());
        self.line(&json!({ "error": text, "at_ms": at }));
        self.error(text);
    }

    /// A line on standard error, above the bars.
    pub(super) fn error(&self, text: &str) {
        let tell = || {
            let _ = writeln!(io::stderr(), "sctp-http: {text}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(tell),
            None => tell(),
        }
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.verbose {
            let _ = io::stderr().write_all(text().as_bytes());
        }
    }

    /// Written and flushed at once: the time of a line's arrival matters to its reader.
    fn line(&self, value: &serde_json::Value) {
        if self.json {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{value}").and_then(|()| out.flush());
        }
    }
}

fn on(stream: Option<u16>) -> String {
    stream
        .map(|id| format!(" (stream {id})"))
        .unwrap_or_default()
}

fn bar(length: Option<u64>, name: &str) -> ProgressBar {
    let (bar, form) = match length {
        Some(length) => {
            let form =
                "{prefix:30!} {bar:30} {bytes:>10}/{total_bytes} {bytes_per_sec:>12} {eta:>4}";
            (ProgressBar::new(length), form)
        }
        None => (
            ProgressBar::new_spinner(),
            "{prefix:30!} {spinner} {bytes:>10} {bytes_per_sec}",
        ),
    };
    let style = ProgressStyle::with_template(form);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(name.to_owned())
}
