//! The access log: one line a request, in the common or combined log format, with the transport,
//! association and stream after it.

use std::{
    fmt::{self, Write as _},
    io::Write,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::Service;

use crate::origin::Origin;

/// Lines that may wait for the writer. What comes beyond that is counted, not kept: a log that
/// nobody reads must not stop the server.
const WAITING_LINES: usize = 4096;

/// How long the last lines may take to be written at the end.
const LAST_LINES_WAIT: Duration = Duration::from_secs(1);

/// Status logged for a request whose client went away before the answer.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => unreachable!(),
};

/// How a line looks, before what all have at the end: `sctp association=3 stream=7 0.412ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `host - - [date] "request" status bytes`.
    Common,
    /// `Common`, then `"referer" "user agent"`.
    Combined,
}

/// A service that logs the requests of another when their answers are sent, or given up (status
/// 499). Lines are written by a thread of their own, which the last clone waits for, but no longer
/// than a second.
#[derive(Debug, Clone)]
pub struct AccessLog<S> {
    inner: S,
    format: LogFormat,
    writer: Arc<Writer>,
}

impl<S> AccessLog<S> {
    /// Logs the requests of `inner` to `output`.
    pub fn new(inner: S, format: LogFormat, output: impl Write + Send + 'static) -> Self {
        Self {
            inner,
            format,
            writer: Arc::new(Writer::start(output)),
        }
    }
}

impl<S, A, B> Service<Request<A>> for AccessLog<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body,
{
    type Response = Response<LoggedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut entry = Entry::new(&request, self.format, self.writer.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await.inspect_err(|_| {
                // What the server makes of it.
                entry.status = StatusCode::INTERNAL_SERVER_ERROR;
            })?;
            entry.status = response.status();
            Ok(response.map(|inner| LoggedBody { inner, entry }))
        })
    }
}

pin_project! {
    /// A response body that is counted for the log.
    pub struct LoggedBody<B> {
        #[pin]
        inner: B,
        entry: Entry,
    }
}

impl<B: Body> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        use bytes::Buf;
        let this = self.project();
        let frame = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.entry.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// One request; logged when dropped.
struct Entry {
    before_status: String,
    after_bytes: String,
    status: StatusCode,
    bytes: u64,
    started: Instant,
    writer: Arc<Writer>,
}

impl Entry {
    fn new<A>(request: &Request<A>, format: LogFormat, writer: Arc<Writer>) -> Self {
        let origin = request.extensions().get::<Origin>();
        let mut before_status = String::with_capacity(128);
        match origin {
            Some(origin) => _ = write!(before_status, "{}", origin.peer.ip()),
            None => before_status.push('-'),
        }
        let _ = write!(
            before_status,
            " - - [{}] \"{} {} {:?}\"",
            log_date(now()),
            request.method(),
            Escaped(request.uri().to_string().as_bytes()),
            request.version(),
        );
        let mut after_bytes = String::new();
        if format == LogFormat::Combined {
            let field = |name| Escaped(value(request.headers(), name));
            let (referer, agent) = (field(header::REFERER), field(header::USER_AGENT));
            let _ = write!(after_bytes, " \"{referer}\" \"{agent}\"");
        }
        if let Some(origin) = origin {
            let _ = write!(after_bytes, " {}", origin.transport);
            if let Some((association, stream)) = origin.association.zip(origin.stream) {
                let _ = write!(
                    after_bytes,
                    " association={association} stream={}",
                    stream.0
                );
            }
        }
        let started = Instant::now();
        Self {
            before_status,
            after_bytes,
            status: CLIENT_GONE,
            bytes: 0,
            started,
            writer,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.started.elapsed().as_secs_f64() * 1000.0;
        self.writer.write(format!(
            "{} {} {}{} {took:.3}ms\n",
            self.before_status,
            self.status.as_u16(),
            self.bytes,
            self.after_bytes
        ));
    }
}

fn value(headers: &HeaderMap, name: HeaderName) -> &[u8] {
    headers.get(name).map_or(b"-", |value| value.as_bytes())
}

/// Bytes of the client that cannot end a quoted field or a line.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

#[expect(clippy::disallowed_methods, reason = "a log line has the time of day")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// `23/Nov/2026:01:58:13 +0000`, cut from the HTTP date `Mon, 23 Nov 2026 01:58:13 GMT`.
fn log_date(time: SystemTime) -> String {
    let date = httpdate::fmt_http_date(time);
    let mut words = date.split(' ').skip(1);
    let mut word = || words.next().unwrap_or_default();
    format!("{}/{}/{}:{} +0000", word(), word(), word(), word())
}

/// The thread that writes the lines.
#[derive(Debug)]
struct Writer {
    lines: Option<SyncSender<String>>,
    lost: Arc<AtomicU64>,
    /// Disconnected once the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Writer {
    fn start(output: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let seen = lost.clone();
        let (running, ended) = channel();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                write_lines(output, &waiting, &seen);
                drop(running);
            });
        if let Err(error) = &thread {
            tracing::error!(%error, "no access log");
        }
        Self {
            lines: Some(lines),
            lost,
            ended: Mutex::new(ended),
        }
    }

    fn write(&self, line: String) {
        if self
            .lines
            .as_ref()
            .is_some_and(|lines| lines.try_send(line).is_err())
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(LAST_LINES_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the last access log lines may be lost: the output takes them too slowly"
            );
        }
    }
}

/// Writes what waits, flushes when nothing does. Ends with the last sender, or with the output.
fn write_lines(mut output: impl Write, waiting: &Receiver<String>, lost: &AtomicU64) {
    while let Ok(line) = waiting.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if output.write_all(line.as_bytes()).is_err() {
                return;
            }
            next = waiting.try_recv().ok();
        }
        if output.flush().is_err() {
            return;
        }
        let lost = lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "access log lines lost: the output is too slow");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    use super::*;
    use crate::listen::Transport;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn request(agent: &str) -> Request<()> {
        let mut request = Request::get("/a%20b?c")
            .header("user-agent", agent)
            .body(())
            .unwrap();
        let mut origin = Origin::tcp("192.0.2.1:4000".parse().unwrap());
        origin.transport = Transport::Sctp;
        origin.association = Some(3);
        origin.stream = Some(sctp_udp::StreamId(7));
        request.extensions_mut().insert(origin);
        request
    }

    async fn logged(format: LogFormat, request: Request<()>, read: bool) -> String {
        let lines = Lines::default();
        let service = tower::service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"12345"))))
        });
        let log = AccessLog::new(service, format, lines.clone());
        let answer = log.oneshot(request);
        if read {
            answer.await.unwrap().into_body().collect().await.unwrap();
        } else {
            drop(answer);
        }
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_per_answer() {
        let line = logged(LogFormat::Combined, request("me"), true).await;
        let (before, after) = line.split_once(" [").unwrap();
        assert_eq!(before, "192.0.2.1 - -");
        let (_, after) = after.split_once("] ").unwrap();
        assert_eq!(
            after,
            "\"GET /a%20b?c HTTP/1.1\" 200 5 \"-\" \"me\" sctp association=3 stream=7 0.000ms\n"
        );
        let line = logged(LogFormat::Common, request("me"), true).await;
        assert!(
            line.ends_with("\" 200 5 sctp association=3 stream=7 0.000ms\n"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn a_service_that_fails_is_no_client_that_went_away() {
        let lines = Lines::default();
        let service =
            tower::service_fn(|_: Request<()>| async { Err::<Response<Full<Bytes>>, _>("broken") });
        let log = AccessLog::new(service, LogFormat::Common, lines.clone());
        assert!(log.oneshot(request("me")).await.is_err());
        let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(line.contains("\" 500 0 sctp"), "{line}");
    }

    #[tokio::test]
    async fn a_client_cannot_forge_a_field() {
        let line = logged(LogFormat::Combined, request("\" 200 \t\\"), true).await;
        assert!(line.contains(r#""-" "\" 200 \t\\" sctp"#), "{line}");
    }

    /// Takes no line as long as the sender lives.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_keep_the_server_from_ending() {
        let (held, stuck) = channel();
        let (ended, waiting) = channel();
        std::thread::spawn(move || {
            let writer = Writer::start(Stuck(stuck));
            writer.write("line\n".to_owned());
            drop(writer);
            let _ = ended.send(());
        });
        assert_eq!(waiting.recv_timeout(30 * LAST_LINES_WAIT), Ok(()));
        drop(held);
    }

    #[test]
    fn dates() {
        let time = httpdate::parse_http_date("Mon, 23 Nov 2026 01:58:13 GMT").unwrap();
        assert_eq!(log_date(time), "23/Nov/2026:01:58:13 +0000");
    }
}
