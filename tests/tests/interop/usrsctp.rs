//! usrsctp's programs, as Debian's package `libusrsctp-examples` has them, over UDP on loopback.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use sctp_tests::rng::Rng;
use sctp_udp::{
    Association, AssociationConfig, CloseReason, ConnectError, Endpoint, EndpointConfig, SendInfo,
    ServerConfig, StreamId,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Split},
    process::{Child, ChildStdout, Command},
    sync::{Semaphore, oneshot},
};

use crate::{programs, relay::Relay};

/// What the tests move: 100 MB.
const BYTES: usize = 100_000_000;
/// Bytes of a message, below the 10,240 that the servers read at once.
const MESSAGE: usize = 10_000;
/// Ports of the echo and discard services, which the programs have built in.
const ECHO: u16 = 7;
const DISCARD: u16 = 9;

/// Guards against a test that hangs.
pub(crate) async fn within_minutes<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(240), what)
        .await
        .expect("the test hangs")
}

/// Starts a program that is killed when dropped.
pub(crate) fn start(program: &Path, change: impl FnOnce(&mut Command)) -> Child {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.kill_on_drop(true);
    change(&mut command);
    command.spawn().expect("the program starts")
}

/// A UDP port that nobody uses: the programs cannot be told to choose one.
pub(crate) fn free_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    socket.local_addr().expect("its address").port()
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Starts one of the servers, with a relay before it.
pub(crate) async fn server(program: &Path, arguments: &[&str], stdout: Stdio) -> (Child, Relay) {
    let port = free_port();
    let child = start(program, |command| {
        command.args(arguments).arg(port.to_string()).stdout(stdout);
    });
    (child, Relay::to(loopback(port)).await)
}

/// Connects to a server of theirs, which may take a moment to begin.
pub(crate) async fn connect(
    relay: &Relay,
    port: u16,
    change: impl FnOnce(&mut AssociationConfig),
) -> (Endpoint, Association) {
    let endpoint = Endpoint::bind(EndpointConfig::default(), None, &[loopback(0)]).expect("bind");
    let mut config = AssociationConfig::default();
    config
        .remote_port(port)
        .rto_initial(Duration::from_millis(500));
    change(&mut config);
    let config = Arc::new(config);
    loop {
        match endpoint.connect(&[relay.addr()], config.clone()).await {
            // It has its UDP port, and does not listen yet: it answers with an ABORT.
            Err(ConnectError::Failed(CloseReason::PeerAbort(None))) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return (endpoint, outcome.expect("the association is set up")),
        }
    }
}

/// A server of ours, with a relay before it.
async fn listen(port: u16) -> (Endpoint, Relay) {
    let mut server = ServerConfig::default();
    server.port(port);
    let endpoint =
        Endpoint::bind(EndpointConfig::default(), Some(server), &[loopback(0)]).expect("bind");
    let relay = Relay::to(endpoint.local_addrs()[0]).await;
    (endpoint, relay)
}

async fn accept(endpoint: &Endpoint) -> Association {
    let incoming = endpoint.accept().await.expect("the endpoint is open");
    incoming.accept().expect("the association is accepted")
}

/// Sends `BYTES` in messages on four streams in turn; the digest of each stream.
async fn send_all(association: &Association) -> Vec<[u8; 32]> {
    let mut rng = Rng::new(1);
    let mut hashes = vec![Sha256::new(); 4];
    for index in 0..BYTES / MESSAGE {
        let data = Bytes::from(rng.bytes(MESSAGE));
        hashes[index % 4].update(&data);
        let stream = StreamId(index as u16 % 4);
        association
            .send(stream, data, SendInfo::default())
            .await
            .expect("send");
    }
    hashes
        .into_iter()
        .map(|hash| hash.finalize().into())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_come_back_from_echo_server() {
    let Some(program) = programs::find("echo_server") else {
        return;
    };
    let (_child, relay) = server(&program, &[], Stdio::null()).await;
    within_minutes(async {
        let (_endpoint, association) = connect(&relay, ECHO, |_| {}).await;
        let sender = tokio::spawn({
            let association = association.clone();
            async move { send_all(&association).await }
        });
        let mut hashes = vec![Sha256::new(); 4];
        let mut received = 0;
        while received < BYTES {
            let message = association
                .recv()
                .await
                .expect("recv")
                .expect("more messages");
            received += message.data.len();
            let hash = &mut hashes[usize::from(message.stream.0)];
            message
                .data
                .into_fragments()
                .for_each(|fragment| hash.update(fragment));
        }
        assert_eq!(received, BYTES);
        let got: Vec<[u8; 32]> = hashes
            .into_iter()
            .map(|hash| hash.finalize().into())
            .collect();
        assert_eq!(got, sender.await.expect("the sender ends"));
        assert_eq!(association.shutdown().await, CloseReason::Shutdown);
    })
    .await;
    relay.judge("usrsctp-echo_server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_of_client_go_through_our_echo() {
    /// `client` sends a line at a time, and reads no more than this at once.
    const LINE: usize = 79;
    /// Its socket does not block: a line for which the socket has no room (512 chunks) is lost.
    const WINDOW: usize = 400 * LINE;
    let Some(program) = programs::find("client") else {
        return;
    };
    let (endpoint, relay) = listen(ECHO).await;
    let mut child = start(&program, |command| {
        command.args([
            "127.0.0.1",
            &ECHO.to_string(),
            "0",
            &free_port().to_string(),
        ]);
        command.arg(relay.addr().port().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    });
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    within_minutes(async {
        let echo = tokio::spawn(async move {
            let association = accept(&endpoint).await;
            while let Some(message) = association.recv().await.expect("recv") {
                let mut info = SendInfo::new(message.ppid);
                info.unordered = message.unordered;
                let data = message.data.into_bytes();
                association
                    .send(message.stream, data, info)
                    .await
                    .expect("send");
            }
            association.closed().await
        });
        let room = Arc::new(Semaphore::new(WINDOW));
        let room_to_write = Arc::clone(&room);
        let writer = tokio::spawn(async move {
            let (mut rng, mut hash) = (Rng::new(2), Sha256::new());
            let mut left = BYTES;
            while left > 0 {
                let mut text = Vec::new();
                while left > 0 && text.len() < WINDOW / 4 {
                    let line = left.min(LINE);
                    text.extend(rng.bytes(line - 1).iter().map(|byte| b'0' + byte % 64));
                    text.push(b'\n');
                    left -= line;
                }
                hash.update(&text);
                let room = room_to_write.acquire_many(text.len() as u32).await;
                room.expect("never closed").forget();
                stdin
                    .write_all(&text)
                    .await
                    .expect("client reads its input");
            }
            // Not closed before everything has come back: the end of input makes `client` shut
            // the association down, and then our echo could not send any more.
            (stdin, <[u8; 32]>::from(hash.finalize()))
        });
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut left = BYTES;
        while left > 0 {
            let most = left.min(buffer.len());
            let count = stdout
                .read(&mut buffer[..most])
                .await
                .expect("client's output");
            assert!(count > 0, "client ended with {left} bytes to come");
            hash.update(&buffer[..count]);
            room.add_permits(count);
            left -= count;
        }
        let (stdin, sent) = writer.await.expect("the writer ends");
        assert_eq!(<[u8; 32]>::from(hash.finalize()), sent);
        drop(stdin);
        assert_success(child.wait().await);
        assert_eq!(echo.await.expect("the echo ends"), CloseReason::Shutdown);
    })
    .await;
    relay.judge("usrsctp-client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_of_tsctp_are_counted() {
    let Some(program) = programs::find("tsctp") else {
        return;
    };
    let (endpoint, relay) = listen(DISCARD).await;
    let mut child = start(&program, |command| {
        command.args(["-p", &DISCARD.to_string(), "-E", &free_port().to_string()]);
        command.args(["-U", &relay.addr().port().to_string()]);
        command.args([
            "-l",
            &MESSAGE.to_string(),
            "-n",
            &(BYTES / MESSAGE).to_string(),
        ]);
        command.arg("127.0.0.1");
    });
    within_minutes(async {
        let association = accept(&endpoint).await;
        let (mut bytes, mut messages) = (0, 0);
        while let Some(message) = association.recv().await.expect("recv") {
            bytes += message.data.len();
            messages += usize::from(message.complete);
        }
        assert_eq!((bytes, messages), (BYTES, BYTES / MESSAGE));
        assert_eq!(association.closed().await, CloseReason::Shutdown);
        assert_success(child.wait().await);
    })
    .await;
    relay.judge("usrsctp-tsctp-client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tsctp_counts_a_hundred_megabytes() {
    /// The port that tsctp has unless told otherwise.
    const TSCTP: u16 = 5001;
    let Some(program) = programs::find("tsctp") else {
        return;
    };
    let (mut child, relay) = server(&program, &["-E"], Stdio::piped()).await;
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).split(b'\n');
    // Between Debian's debug lines: first length, messages, calls, bytes, seconds, rate, notifications.
    let (tell, count) = oneshot::channel();
    tokio::spawn(async move {
        let result = format!("{MESSAGE}, ");
        while let Some(line) = lines.next_segment().await.expect("tsctp's output") {
            // The debug lines are not always text.
            let line = String::from_utf8_lossy(&line);
            let fields: Vec<&str> = match line.find(&result) {
                Some(at) => line[at..].split(", ").collect(),
                None => continue,
            };
            if let [_, messages, _, bytes, _, _, _] = fields[..] {
                let counted = (messages.parse(), bytes.parse());
                tell.send(counted).expect("the test waits");
                break;
            }
        }
        drain(lines).await;
    });
    within_minutes(async {
        let (_endpoint, association) = connect(&relay, TSCTP, |_| {}).await;
        send_all(&association).await;
        assert_eq!(association.shutdown().await, CloseReason::Shutdown);
        let (messages, bytes) = count.await.expect("tsctp tells");
        assert_eq!((bytes, messages), (Ok(BYTES), Ok(BYTES / MESSAGE)));
    })
    .await;
    relay.judge("usrsctp-tsctp-server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discard_server_counts_what_we_send() {
    /// Less than elsewhere: the program writes lines of debug output for each packet.
    const MESSAGES: usize = 1_000;
    let Some(stdbuf) = programs::find("stdbuf") else {
        return;
    };
    let Some(program) = programs::find("discard_server") else {
        return;
    };
    let program = program.to_str().expect("a path of ASCII");
    let (mut child, relay) = server(&stdbuf, &["-oL", program], Stdio::piped()).await;
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).split(b'\n');
    let (tell, count) = oneshot::channel();
    tokio::spawn(async move {
        let (mut bytes, mut messages) = (0, 0);
        while messages < MESSAGES {
            let line = lines.next_segment().await.expect("its output");
            let line = line.expect("more output");
            let line = String::from_utf8_lossy(&line);
            let Some((_, rest)) = line.split_once("Msg of length ") else {
                continue;
            };
            let (length, rest) = rest.split_once(' ').expect("a length");
            bytes += length.parse::<usize>().expect("a number");
            messages += usize::from(rest.contains("complete 1"));
        }
        tell.send(bytes).expect("the test waits");
        drain(lines).await;
    });
    within_minutes(async {
        let (_endpoint, association) = connect(&relay, DISCARD, |_| {}).await;
        for index in 0..MESSAGES {
            let data = Bytes::from(vec![index as u8; MESSAGE]);
            association
                .send(StreamId(0), data, SendInfo::default())
                .await
                .expect("send");
        }
        assert_eq!(association.shutdown().await, CloseReason::Shutdown);
        assert_eq!(count.await.expect("the count"), MESSAGES * MESSAGE);
    })
    .await;
    relay.judge("usrsctp-discard_server");
}

/// Goes on reading: a program whose output nobody reads is killed at its next word.
async fn drain(mut lines: Split<BufReader<ChildStdout>>) {
    while let Ok(Some(_)) = lines.next_segment().await {}
}

pub(crate) fn assert_success(status: std::io::Result<ExitStatus>) {
    let status = status.expect("its exit status");
    assert!(status.success(), "{status}");
}
