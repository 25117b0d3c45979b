use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use proptest::prelude::*;
use tokio::sync::{Semaphore, mpsc, watch};
use tower::service_fn;

use super::*;
use crate::{
    RequestBody,
    client::response::{Part, ResponseParser},
};

type TestBody = UnsyncBoxBody<Bytes, io::Error>;

/// Keeps the messages it is given; waits once it has `room` of them.
#[derive(Clone)]
struct Sent {
    messages: Arc<Mutex<Vec<Bytes>>>,
    room: usize,
    /// The association is over.
    gone: bool,
    /// Takes a message only when asked again.
    hesitates: Option<bool>,
}

impl MessageSink for Sent {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &mut Bytes) -> Poll<io::Result<()>> {
        let mut messages = self.messages.lock().unwrap();
        if self.gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if messages.len() == self.room {
            return Poll::Pending;
        }
        if let Some(ready) = &mut self.hesitates {
            *ready = !*ready;
            if !*ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        messages.push(std::mem::take(message));
        Poll::Ready(Ok(()))
    }
}

struct Received(mpsc::UnboundedReceiver<Bytes>);

impl MessageSource for Received {
    type Data = Bytes;

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.0.poll_recv(cx).map(Ok)
    }
}

/// One stream and its peer.
struct Peer {
    send: Option<mpsc::UnboundedSender<Bytes>>,
    source: Received,
    sent: Sent,
    shared: Shared,
    drain: watch::Sender<bool>,
}

impl Peer {
    fn new() -> Self {
        let (send, recv) = mpsc::unbounded_channel();
        let (drain, draining) = watch::channel(false);
        Self {
            send: Some(send),
            source: Received(recv),
            sent: Sent {
                messages: Arc::default(),
                room: usize::MAX,
                gone: false,
                hesitates: None,
            },
            shared: Shared {
                draining,
                turn: None,
                piece: Limits::default().message_bytes,
            },
            drain,
        }
    }

    fn says(self, message: impl Into<Bytes>) -> Self {
        self.send.as_ref().unwrap().send(message.into()).unwrap();
        self
    }

    fn ends(mut self) -> Self {
        self.send = None;
        self
    }

    /// Serves the stream; the outcome, and the messages that came back.
    async fn served<S>(self, service: S) -> (Outcome, Vec<Bytes>)
    where
        S: HttpService<Body = TestBody>,
    {
        let messages = self.sent.messages.clone();
        let origin = Origin::tcp(([192, 0, 2, 1], 7).into());
        let limits = Limits::default();
        let (outcome, stream) = serve(
            service,
            origin,
            self.shared,
            &limits,
            self.sent,
            self.source,
        )
        .await;
        assert!(stream.is_some());
        let messages = messages.lock().unwrap().clone();
        (outcome, messages)
    }
}

fn body(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into())
        .map_err(|error| match error {})
        .boxed_unsync()
}

/// Frames that come after a pause each; an error ends them where one is given.
fn slow(frames: Vec<io::Result<&'static [u8]>>) -> TestBody {
    let (send, recv) = mpsc::channel(1);
    tokio::spawn(async move {
        for frame in frames {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let _ = send
                .send(frame.map(|bytes| Frame::data(Bytes::from_static(bytes))))
                .await;
        }
    });
    Frames(recv).boxed_unsync()
}

struct Frames(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }
}

/// Answers with the path.
macro_rules! echo {
    () => {
        service_fn(|request: Request<RequestBody>| async move {
            Ok::<_, Infallible>(Response::new(body(request.uri().path().to_owned())))
        })
    };
}

/// Answers every request with this expression's body.
macro_rules! answer {
    ($body:expr) => {
        service_fn(
            |_: Request<RequestBody>| async move { Ok::<_, Infallible>(Response::new($body)) },
        )
    };
}

fn text(message: &Bytes) -> &str {
    std::str::from_utf8(message).unwrap()
}

#[tokio::test]
async fn head_and_body_in_one_message() {
    let peer = Peer::new().says("GET /page HTTP/1.1\r\nhost: a\r\n\r\n");
    let (outcome, messages) = peer.served(echo!()).await;
    assert_eq!((outcome, messages.len()), (Outcome::Idle, 1));
    let message = text(&messages[0]);
    assert!(
        message.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"),
        "{message}"
    );
    assert!(message.ends_with("\r\n\r\n/page"));
}

#[tokio::test]
async fn a_request_in_pieces_and_two_in_one() {
    let peer = Peer::new()
        .says("GET /a HTTP/1.1\r\nho")
        .says("st: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\nGET /c HTTP")
        .says("/1.1\r\nhost: a\r\n\r\n");
    let (outcome, messages) = peer.served(echo!()).await;
    let ends: Vec<_> = messages
        .iter()
        .map(|m| &text(m)[text(m).len() - 2..])
        .collect();
    assert_eq!((outcome, ends), (Outcome::Idle, vec!["/a", "/b", "/c"]));
}

#[tokio::test]
async fn a_large_body_fills_its_messages() {
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (outcome, messages) = peer.served(answer!(body(vec![b'x'; 200_000]))).await;
    assert_eq!(outcome, Outcome::Idle);
    let lengths: Vec<_> = messages.iter().map(Bytes::len).collect();
    assert_eq!(lengths[..4], [16, 32, 64, 64].map(|kib| kib * 1024));
    assert_eq!(lengths.len(), 5);
    let whole = messages.concat();
    assert!(whole.ends_with(&[b'x'; 200_000]));
    assert_eq!(whole.iter().filter(|byte| **byte == b'x').count(), 200_000);
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_body_has_goes_out() {
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (outcome, messages) = peer
        .served(answer!(slow(vec![Ok(b"one"), Ok(b"two")])))
        .await;
    assert_eq!(outcome, Outcome::Idle);
    assert!(
        text(&messages[0]).ends_with("\r\n\r\n"),
        "the length is unknown: the head goes ahead"
    );
    assert_eq!(messages[1..], ["3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n"]);
}

#[tokio::test]
async fn who_speaks_http_1_0_needs_no_host_and_ends_the_association() {
    let request = "GET /index.html HTTP/1.0\r\nUser-agent: libusrsctp\r\nConnection: close\r\n\r\n";
    let (outcome, messages) = Peer::new().says(request).served(echo!()).await;
    assert_eq!((outcome, messages.len()), (Outcome::Close, 1));
    assert!(text(&messages[0]).ends_with("/index.html"));
}

#[tokio::test]
async fn http_1_1_without_host_is_answered_400() {
    let peer = Peer::new().says("GET / HTTP/1.1\r\n\r\n");
    let (outcome, messages) = peer.served(echo!()).await;
    assert_eq!((outcome, messages.len()), (Outcome::Idle, 1));
    assert!(text(&messages[0]).starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_service_may_end_the_association() {
    let service = service_fn(|_: Request<RequestBody>| async {
        let mut response = Response::new(body("bye"));
        response
            .headers_mut()
            .insert("connection", HeaderValue::from_static("close"));
        Ok::<_, Infallible>(response)
    });
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(peer.served(service).await.0, Outcome::Close);
}

#[tokio::test]
async fn a_draining_server_says_so() {
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    peer.drain.send(true).unwrap();
    let (outcome, messages) = peer.served(echo!()).await;
    assert_eq!(outcome, Outcome::Close);
    assert!(text(&messages[0]).contains("\r\nconnection: close\r\n"));
}

#[tokio::test]
async fn the_end_of_the_stream_does_not_cut_the_answer() {
    let peer = Peer::new()
        .says("GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .ends();
    let service = service_fn(|_: Request<RequestBody>| async {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(Response::new(body("whole")))
    });
    let (outcome, messages) = peer.served(service).await;
    assert_eq!(outcome, Outcome::Spent);
    assert!(text(&messages[0]).ends_with("whole"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_a_truncated_response() {
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let service = answer!(slow(vec![
        Ok(b"part"),
        Err(io::ErrorKind::UnexpectedEof.into())
    ]));
    let (outcome, messages) = peer.served(service).await;
    assert!(matches!(outcome, Outcome::Truncated { .. }), "{outcome:?}");
    assert!(!messages.concat().ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn a_service_that_fails_answers_500() {
    let service =
        service_fn(|_: Request<RequestBody>| async { Err::<Response<TestBody>, _>("broken") });
    let peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let (outcome, messages) = peer.served(service).await;
    assert_eq!(outcome, Outcome::Idle);
    assert!(text(&messages[0]).starts_with("HTTP/1.1 500 "));
}

#[tokio::test]
async fn what_is_no_request_is_answered_400() {
    let (outcome, messages) = Peer::new().says("\0\0\0\0\r\n\r\n").served(echo!()).await;
    assert_eq!((outcome, messages.len()), (Outcome::Spent, 1));
    assert!(text(&messages[0]).starts_with("HTTP/1.1 400 "));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_answered_408() {
    let (outcome, messages) = Peer::new().says("GET / HTTP/1.1\r\n").served(echo!()).await;
    assert_eq!((outcome, messages.len()), (Outcome::Spent, 1));
    assert!(text(&messages[0]).starts_with("HTTP/1.1 408 "));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_given_up() {
    let mut peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    peer.sent.room = 1;
    let (outcome, messages) = peer.served(answer!(body(vec![0; 1_000_000]))).await;
    assert!(matches!(outcome, Outcome::Truncated { .. }));
    assert_eq!(messages.len(), 1);
}

#[tokio::test]
async fn nothing_is_reported_of_an_association_that_is_over() {
    let mut peer = Peer::new().says("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    peer.sent.gone = true;
    let (outcome, _) = peer.served(answer!(body(vec![0; 1_000_000]))).await;
    assert_eq!(outcome, Outcome::Gone);
}

#[tokio::test(start_paused = true)]
async fn the_stream_waits_for_an_upload_that_is_still_read() {
    let (read, all) = tokio::sync::oneshot::channel();
    let read = Arc::new(Mutex::new(Some(read)));
    let service = service_fn(move |request: Request<RequestBody>| {
        let read = read.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let _ = read.send(bytes);
        });
        std::future::ready(Ok::<_, Infallible>(Response::new(body("early"))))
    });
    let peer = Peer::new().says("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
    let send = peer.send.clone().unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        send.send(Bytes::from_static(b"cd")).unwrap();
    });
    let (outcome, _) = peer.served(service).await;
    assert_eq!(
        (outcome, &all.await.unwrap()[..]),
        (Outcome::Idle, &b"abcd"[..])
    );
}

#[tokio::test]
async fn the_rest_of_a_body_that_nobody_reads_is_not_taken_for_a_request() {
    let hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let put = |length| format!("PUT /put HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let chunked = "PUT /put HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    // More is to come of all but the last two, and would be taken for requests on an idle stream.
    for (first, second, expected) in [
        (put(500), "", Outcome::Spent),
        (put(500) + hidden, "", Outcome::Spent),
        (put(500), hidden, Outcome::Spent),
        (put(500) + "x", hidden, Outcome::Spent),
        (chunked.to_owned() + "1\r\nx\r\n", hidden, Outcome::Spent),
        (put(hidden.len()) + hidden, "", Outcome::Idle),
        (put(hidden.len()), hidden, Outcome::Idle),
    ] {
        let what = format!("{first:?}, {second:?}");
        let mut peer = Peer::new().says(first);
        if !second.is_empty() {
            peer = peer.says(second);
        }
        let _open = peer.send.clone();
        let (outcome, messages) = peer.served(echo!()).await;
        assert_eq!((outcome, messages.len()), (expected, 1), "{what}");
        assert!(text(&messages[0]).ends_with("/put"), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_given_up_after_the_answer_spends_the_stream() {
    let service = service_fn(|request: Request<RequestBody>| {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(request);
        });
        std::future::ready(Ok::<_, Infallible>(Response::new(body("early"))))
    });
    let peer = Peer::new().says("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
    let _open = peer.send.clone();
    let (outcome, messages) = peer.served(service).await;
    assert_eq!((outcome, messages.len()), (Outcome::Spent, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let peer = Peer::new()
        .says("PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    let (send, messages) = (peer.send.clone().unwrap(), peer.sent.messages.clone());
    tokio::spawn(async move {
        while messages.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        send.send(Bytes::from_static(b"body")).unwrap();
    });
    let service = service_fn(|request: Request<RequestBody>| async move {
        let bytes = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(body(bytes)))
    });
    let served = tokio::time::timeout(Duration::from_secs(10), peer.served(service));
    let (outcome, messages) = served.await.expect("an answer");
    assert_eq!((outcome, messages.len()), (Outcome::Idle, 2));
    assert_eq!(text(&messages[0]), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(
        text(&messages[1]).starts_with("HTTP/1.1 200 ") && text(&messages[1]).ends_with("body")
    );
}

#[tokio::test(start_paused = true)]
async fn contiguous_responses_wait_for_their_turn() {
    let turn = Arc::new(Semaphore::new(1));
    let log = Arc::new(Mutex::new(Vec::new()));
    let streams = ["/a", "/b"].map(|path| {
        let mut peer = Peer::new().says(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        peer.shared.turn = Some(turn.clone());
        peer.sent.messages = log.clone();
        peer.served(answer!(slow(vec![Ok(b"x"), Ok(b"y"), Ok(b"z")])))
    });
    let [a, b] = streams;
    let _ = tokio::join!(a, b);
    let heads: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, message)| message.starts_with(b"HTTP"))
        .map(|(index, _)| index)
        .collect();
    assert_eq!(heads, [0, 4]);
}

#[tokio::test(start_paused = true)]
async fn contiguous_responses_on_one_stream_follow_each_other() {
    let request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut peer = Peer::new().says(request.repeat(3));
    peer.shared.turn = Some(Arc::new(Semaphore::new(1)));
    peer.sent.hesitates = Some(true);
    let served = peer.served(answer!(body(vec![0; 150_000])));
    let (outcome, messages) = tokio::time::timeout(Duration::from_secs(5), served)
        .await
        .unwrap();
    assert_eq!((outcome, messages.len()), (Outcome::Idle, 12));
}

/// Frames of a body, and whether its length is known.
fn bodies() -> impl Strategy<Value = Vec<(Vec<usize>, bool)>> {
    let frames = proptest::collection::vec(prop_oneof![0usize..50, 0usize..200_000], 0..4);
    proptest::collection::vec((frames, any::<bool>()), 1..5)
}

/// A body of these frames; the byte is their number.
struct SizedFrames {
    frames: std::collections::VecDeque<Bytes>,
    known: bool,
}

impl SizedFrames {
    fn new(frames: &[usize], known: bool) -> Self {
        let frame = |(index, size): (usize, &usize)| Bytes::from(vec![index as u8; *size]);
        Self {
            frames: frames.iter().enumerate().map(frame).collect(),
            known,
        }
    }
}

impl Body for SizedFrames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.frames.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let length = self.frames.iter().map(|bytes| bytes.len() as u64).sum();
        match self.known {
            true => http_body::SizeHint::with_exact(length),
            false => http_body::SizeHint::default(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bodies and however the requests are cut: the responses are right, each head
    /// is whole in its message, and no message holds parts of two responses.
    #[test]
    fn messages_keep_the_rules(bodies in bodies(), cut in 1usize..80) {
        let requests: String = (0..bodies.len())
            .map(|index| format!("GET /{index} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .collect();
        let mut peer = Peer::new();
        for piece in requests.as_bytes().chunks(cut) {
            peer = peer.says(piece.to_vec());
        }
        let served = bodies.clone();
        let service = service_fn(move |request: Request<RequestBody>| {
            let index: usize = request.uri().path()[1..].parse().unwrap();
            let (frames, known) = &served[index];
            let body = SizedFrames::new(frames, *known).boxed_unsync();
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (outcome, messages) = runtime.block_on(peer.served(service));
        prop_assert_eq!(outcome, Outcome::Idle);

        let mut messages = messages.into_iter();
        for (frames, _) in &bodies {
            let mut parser = ResponseParser::new(false);
            let (mut first, mut body) = (true, Vec::new());
            while !parser.is_done() {
                let message = messages.next().expect("a response that ends");
                prop_assert!(message.len() <= 64 * 1024);
                prop_assert!(!first || message.windows(4).any(|four| four == b"\r\n\r\n"));
                first = false;
                parser.push(message);
                while let Some(part) = parser.next().unwrap() {
                    if let Part::Body(bytes) = part {
                        body.extend_from_slice(&bytes);
                    }
                }
            }
            prop_assert!(!parser.has_excess(), "a message with parts of two responses");
            let expected: Vec<u8> = frames
                .iter()
                .enumerate()
                .flat_map(|(index, size)| vec![index as u8; *size])
                .collect();
            prop_assert!(body == expected);
        }
        prop_assert!(messages.next().is_none());
    }
}
