//! The same server over TCP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use http_server::{HttpService, Limits, Listen, Origin, RequestBody, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};

async fn start<S>(app: S, limits: Limits) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>)
where
    S: HttpService + Sync,
{
    let server = Server::new(app)
        .limits(limits)
        .listen(Listen::tcp(([127, 0, 0, 1], 0).into()))
        .bind()
        .await
        .unwrap();
    let address = server.listeners()[0].address;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run_until(async {
        let _ = stopped.await;
    }));
    (address, stop, task)
}

fn app() -> Router {
    let whence = |Extension(origin): Extension<Origin>| async move {
        format!("{} {:?}", origin.transport, origin.stream)
    };
    Router::new().route("/", get(whence))
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn http_1_and_2_at_one_port() {
    let (address, _stop, _task) = start(app(), Limits::default()).await;
    let request =
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(address, request).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(answer.ends_with("tcp None"));

    // The preface and an empty SETTINGS frame; a SETTINGS frame comes back (RFC 9113 §3.4).
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4);
}

#[tokio::test]
async fn a_request_without_host_is_refused() {
    let (address, _stop, _task) = start(app(), Limits::default()).await;
    let answer = exchange(address, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = exchange(address, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("tcp None"),
        "{answer}"
    );
}

#[tokio::test]
async fn who_says_nothing_or_half_a_request_is_let_go() {
    let mut limits = Limits::default();
    limits.header_timeout(Duration::from_millis(50));
    let (address, _stop, _task) = start(app(), limits).await;
    assert_eq!(exchange(address, b"").await, "");
    assert_eq!(exchange(address, b"PRI * HT").await, "");
    exchange(address, b"GET / HTTP/1.1\r\n").await;
}

#[tokio::test]
async fn a_stopping_server_answers_what_has_begun() {
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (starting, waiting) = (started.clone(), release.clone());
    let slow = get(move || async move {
        starting.notify_one();
        waiting.notified().await;
        "whole"
    });
    let (address, stop, task) = start(app().route("/slow", slow), Limits::default()).await;
    let answer =
        tokio::spawn(
            async move { exchange(address, b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await },
        );
    let _idle = TcpStream::connect(address).await.unwrap();
    started.notified().await;
    stop.send(()).unwrap();
    release.notify_one();
    assert!(answer.await.unwrap().ends_with("whole"));
    task.await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_an_answer_does_not_keep_a_connection_for_ever() {
    let app = app().route("/big", get(|| async { vec![b'x'; 64 << 20] }));
    let mut limits = Limits::default();
    limits
        .connections(1)
        .send_timeout(Duration::from_millis(50));
    let (address, _stop, _task) = start(app, limits).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    // Accepted once the other is given up.
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(address, request);
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
    assert!(answer.expect("an answer").ends_with("tcp None"));
    drop(idle);
}

#[tokio::test]
async fn who_opens_no_window_does_not_keep_a_connection_for_ever() {
    let app = Router::new().route("/", get(|| async { vec![b'x'; 100_000] }));
    let mut limits = Limits::default();
    limits
        .connections(1)
        .send_timeout(Duration::from_millis(50));
    let (address, _stop, _task) = start(app, limits).await;
    for window in [0, 1] {
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS with INITIAL_WINDOW_SIZE, and HEADERS with GET http://a/.
        bytes.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, window]);
        bytes.extend([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86, 0x41, 1, b'a']);
        idle.write_all(&bytes).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), idle.read_to_end(&mut bytes));
        assert!(ended.await.is_ok(), "{window}");
    }
}

#[tokio::test]
async fn an_idle_http_2_connection_is_ended_although_its_client_is_there() {
    let mut limits = Limits::default();
    limits.idle_timeout(Duration::from_millis(50));
    let (address, _stop, _task) = start(app(), limits).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    idle.write_all(preface).await.unwrap();
    let answering_pings = async {
        let mut head = [0; 9];
        while idle.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; head[2].into()];
            idle.read_exact(&mut payload).await.unwrap();
            if (head[3], head[4]) == (6, 0) {
                head[4] = 1;
                let _ = idle.write_all(&[&head[..], &payload].concat()).await;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), answering_pings);
    assert!(ended.await.is_ok());
}

#[tokio::test]
async fn a_service_that_fails_is_answered_500_as_over_sctp() {
    let service = tower::service_fn(|_: http::Request<RequestBody>| async {
        Err::<http::Response<String>, _>("broken")
    });
    let (address, _stop, _task) = start(service, Limits::default()).await;
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(address, request).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
}
