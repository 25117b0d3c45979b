//! The server over SCTP, seen by a client that looks at messages.

mod peer;

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, body::Body, response::IntoResponse, routing::get};
use http_server::{Limits, Origin};
use peer::Running;
use sctp_udp::{AssociationConfig, CloseReason, Ppid, RecvError, SendInfo, StreamId};
use tokio::sync::Notify;

fn app() -> Router {
    Router::new()
        .route(
            "/",
            get(|Extension(origin): Extension<Origin>| async move {
                format!("{} {:?}", origin.transport, origin.stream.map(|id| id.0))
            }),
        )
        .route("/big", get(|| async { vec![b'x'; 300_000] }))
}

#[tokio::test]
async fn each_answer_comes_on_the_stream_of_its_request() {
    let server = Running::start(app(), Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    for id in [0, 7, 1023] {
        let answer = client.stream(id).get("/").await;
        assert_eq!(answer.body, format!("sctp Some({id})").into_bytes());
        assert_eq!((answer.messages.len(), answer.ppids), (1, vec![Ppid(63)]));
    }
}

#[tokio::test]
async fn a_stream_serves_one_request_after_another_and_pipelined_ones() {
    let server = Running::start(app(), Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let mut stream = client.stream(3);
    for _ in 0..20 {
        assert_eq!(stream.get("/").await.body, b"sctp Some(3)");
    }
    for _ in 0..5 {
        stream.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    }
    for _ in 0..5 {
        assert_eq!(stream.response().await.unwrap().body, b"sctp Some(3)");
    }
    let big = stream.get("/big").await;
    assert_eq!(big.body, vec![b'x'; 300_000]);
    assert!(big.messages.iter().all(|size| *size <= 64 * 1024));
}

#[tokio::test]
async fn the_rest_of_an_upload_that_is_refused_is_not_taken_for_a_request() {
    let server = Running::start(app(), Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let mut stream = client.stream(3);
    stream
        .send("PUT / HTTP/1.1\r\nhost: test\r\ncontent-length: 500\r\n\r\n")
        .await;
    let answer = stream.response().await.unwrap();
    assert!(answer.head.starts_with("HTTP/1.1 405 "), "{}", answer.head);
    stream.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(stream.response().await.is_none());
    assert_eq!(client.stream(4).get("/").await.body, b"sctp Some(4)");
}

#[tokio::test]
async fn connection_close_ends_the_association_gracefully_after_all_answers() {
    let release = Arc::new(Notify::new());
    let waiting = release.clone();
    let app = app().route(
        "/slow",
        get(move || async move {
            waiting.notified().await;
            "slow"
        }),
    );
    let server = Running::start(app, Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let (mut slow, mut last) = (client.stream(1), client.stream(2));
    slow.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    last.send("GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(last.response().await.unwrap().body, b"sctp Some(2)");
    release.notify_one();
    assert_eq!(slow.response().await.unwrap().body, b"slow");
    assert_eq!(client.closed().await, CloseReason::Shutdown);
}

#[tokio::test]
async fn a_stopping_server_cuts_no_answer_short() {
    let release = Arc::new(Notify::new());
    let started = Arc::new(Notify::new());
    let (waiting, starting) = (release.clone(), started.clone());
    let app = app().route(
        "/slow",
        get(move || async move {
            starting.notify_one();
            waiting.notified().await;
            vec![b'y'; 200_000]
        }),
    );
    let mut server = Running::start(app, Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let idle = server.connect(AssociationConfig::default()).await;
    let mut slow = client.stream(1);
    slow.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n").await;
    started.notified().await;
    server.stop();
    assert_eq!(idle.closed().await, CloseReason::Shutdown);
    // Requests on an association that is busy are still answered.
    let answer = client.stream(2).get("/").await;
    assert!(answer.head.contains("connection: close"));
    release.notify_one();
    let answer = slow.response().await.unwrap();
    assert_eq!(answer.body, vec![b'y'; 200_000]);
    assert!(answer.head.contains("connection: close"));
    assert_eq!(client.closed().await, CloseReason::Shutdown);
    server.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_is_aborted_at_the_deadline() {
    let started = Arc::new(Notify::new());
    let starting = started.clone();
    let app = app().route(
        "/never",
        get(move || async move {
            starting.notify_one();
            std::future::pending::<()>().await;
        }),
    );
    let mut limits = Limits::default();
    limits.drain_timeout(Duration::from_millis(100));
    let mut server = Running::start(app, limits).await;
    let client = server.connect(AssociationConfig::default()).await;
    client
        .stream(0)
        .send("GET /never HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    started.notified().await;
    server.stop();
    assert!(matches!(client.closed().await, CloseReason::PeerAbort(_)));
    server.stopped().await;
}

#[tokio::test]
async fn an_idle_association_is_shut_down() {
    let mut limits = Limits::default();
    limits.idle_timeout(Duration::from_millis(50));
    let server = Running::start(app(), limits).await;
    let client = server.connect(AssociationConfig::default()).await;
    client.stream(0).get("/").await;
    assert_eq!(client.closed().await, CloseReason::Shutdown);
}

#[tokio::test]
async fn more_requests_than_allowed_wait_for_their_turn() {
    let mut limits = Limits::default();
    limits.transactions(2);
    let server = Running::start(app(), limits).await;
    let client = server.connect(AssociationConfig::default()).await;
    let mut streams: Vec<_> = (0..20).map(|id| client.stream(id)).collect();
    for stream in &mut streams {
        stream.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    }
    for stream in &mut streams {
        assert!(stream.response().await.is_some());
    }
}

#[tokio::test]
async fn a_handler_that_panics_fails_alone() {
    let server = Running::start(broken(), Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let mut stream = client.stream(1);
    stream
        .send("GET /panic HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    assert!(stream.response().await.is_none());
    assert_eq!(client.stream(2).get("/").await.body, b"sctp Some(2)");
}

/// Streams of the messages of six large responses, in the order of their arrival.
async fn arrivals(contiguous: bool) -> Vec<u16> {
    let mut limits = Limits::default();
    limits.contiguous(contiguous);
    let server = Running::start(app(), limits).await;
    let mut config = AssociationConfig::default();
    // Room for a message and a half: what waits to be read is read in turn, stream by stream, so
    // that more of it would hide the order of arrival.
    config.interleaving(false).receive_window(96 * 1024);
    let client = server.connect(config).await;
    for id in 0..6 {
        let request = bytes::Bytes::from_static(b"GET /big HTTP/1.1\r\nhost: test\r\n\r\n");
        let info = SendInfo::new(Ppid(63));
        client
            .association
            .send(StreamId(id), request, info)
            .await
            .unwrap();
    }
    let (mut order, mut bytes) = (Vec::new(), 0);
    while bytes < 6 * 300_000 {
        let message = client.association.recv().await.unwrap().unwrap();
        bytes += message.data.len();
        order.push(message.stream.0);
    }
    order
}

#[tokio::test]
async fn responses_take_turns_unless_they_are_to_be_contiguous() {
    let mut order = arrivals(true).await;
    order.dedup();
    assert_eq!(order.len(), 6, "{order:?}");
    let mut order = arrivals(false).await;
    order.dedup();
    assert!(order.len() > 12, "{order:?}");
}

#[tokio::test]
async fn a_truncated_answer_resets_its_stream_alone() {
    let server = Running::start(broken(), Limits::default()).await;
    let client = server.connect(AssociationConfig::default()).await;
    let mut stream = client.stream(4);
    stream
        .send("GET /broken HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    assert!(stream.response().await.is_none());
    assert_eq!(client.stream(5).get("/").await.body, b"sctp Some(5)");
}

#[tokio::test]
async fn a_truncated_answer_ends_the_association_where_that_was_asked_for() {
    let mut limits = Limits::default();
    limits.idle_timeout(Duration::from_secs(3600));
    let server = Running::start(broken(), limits).await;
    for path in ["/broken", "/panic"] {
        let client = server.connect(AssociationConfig::default()).await;
        let mut stream = client.stream(4);
        let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.send(head).await;
        assert!(stream.response().await.is_none());
        let closed = tokio::time::timeout(Duration::from_secs(20), client.closed());
        assert_eq!(closed.await, Ok(CloseReason::Shutdown), "{path}");
    }
}

#[tokio::test]
async fn without_stream_reset_a_truncated_answer_aborts_with_a_reason() {
    let server = Running::start(broken(), Limits::default()).await;
    let mut config = AssociationConfig::default();
    config.stream_reset(false);
    let client = server.connect(config).await;
    let mut stream = client.stream(4);
    stream
        .send("GET /broken HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    assert!(stream.response().await.is_none());
    let CloseReason::PeerAbort(Some(cause)) = client.closed().await else {
        panic!("no reason given");
    };
    let text = String::from_utf8_lossy(&cause.info).into_owned();
    assert!(text.starts_with("response on stream 4 cut short"), "{text}");
}

#[tokio::test]
async fn a_truncated_answer_that_only_the_end_of_the_stream_ends_is_not_taken_for_a_whole_one() {
    let server = Running::start(broken(), Limits::default()).await;
    for path in ["/endless", "/panic/late"] {
        let client = server.connect(AssociationConfig::default()).await;
        let mut stream = client.stream(4);
        stream.send(format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        let end = loop {
            match stream.recv.recv().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        let aborted = matches!(end, Err(RecvError::Closed(CloseReason::PeerAbort(_))));
        assert!(aborted, "{path}: {end:?}");
    }
}

/// An application whose `/broken` promises more than it has, and `/endless` does not say how much;
/// the others panic.
fn broken() -> Router {
    let one_frame = |panics| Body::from_stream(OneFrame { next: true, panics });
    app()
        .route("/endless", get(move || async move { one_frame(false) }))
        .route("/panic/late", get(move || async move { one_frame(true) }))
        .route("/panic", get(panics))
        .route(
            "/broken",
            get(move || async move {
                ([("content-length", "1000")], one_frame(false)).into_response()
            }),
        )
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// One frame, then an error or a panic.
struct OneFrame {
    next: bool,
    panics: bool,
}

impl futures_core::Stream for OneFrame {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(Some(if std::mem::take(&mut self.next) {
            Ok(bytes::Bytes::from_static(b"part"))
        } else if self.panics {
            panic!("on purpose")
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }))
    }
}

#[tokio::test]
async fn who_does_not_read_stalls_alone() {
    let app = app()
        .route(
            "/huge",
            get(|| async { Body::from_stream(Endless(1_000_000_000)) }),
        )
        .route(
            "/upload",
            axum::routing::put(|_unread: Body| std::future::pending::<()>()),
        );
    let mut config = AssociationConfig::default();
    config.stall_timeout(Duration::from_millis(200));
    let server = Running::with(app, Limits::default(), config.clone()).await;
    let client = server.connect(config).await;

    let mut huge = client.stream(1);
    huge.send("GET /huge HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut upload = client.stream(2);
    upload
        .send("PUT /upload HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n")
        .await;
    let uploading = tokio::spawn(async move {
        loop {
            upload.send(vec![0; 60_000]).await;
        }
    });
    for id in 10..110 {
        assert_eq!(
            client.stream(id).get("/").await.body,
            format!("sctp Some({id})").into_bytes()
        );
    }
    uploading.abort();
    drop(huge);
}

/// So many zeros.
struct Endless(usize);

impl futures_core::Stream for Endless {
    type Item = Result<bytes::Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let size = self.0.min(64 * 1024);
        self.0 -= size;
        std::task::Poll::Ready((size > 0).then(|| Ok(bytes::Bytes::from(vec![0; size]))))
    }
}
