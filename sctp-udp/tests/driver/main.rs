//! The driver on sockets in memory, under a paused clock: nothing here waits for real time.

#[path = "../common/mod.rs"]
mod common;
mod paths;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use common::{CLIENT, DELAY, Net, Pair, SERVER, address, connect};
use sctp_udp::{
    Association, AssociationConfig, AssociationState, CloseReason, ConnectError, IcmpKind,
    IcmpMessage, Message, Notification, Ppid, RecvError, SendError, SendInfo, ServerConfig,
    StreamId,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

const S0: StreamId = StreamId(0);
const S1: StreamId = StreamId(1);

fn info() -> SendInfo {
    SendInfo::new(Ppid(63))
}

fn text(message: Message) -> String {
    String::from_utf8(message.data.into_bytes().to_vec()).unwrap()
}

async fn send(association: &Association, stream: StreamId, text: &'static str) {
    association.send(stream, text.into(), info()).await.unwrap();
}

async fn recv(association: &Association) -> String {
    text(association.recv().await.unwrap().expect("a message"))
}

/// Lets everything happen that happens without further ado.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn messages_go_there_and_back_and_both_sides_close() {
    let p = Pair::new().await;
    send(&p.client, S0, "hello").await;
    let message = p.server.recv().await.unwrap().unwrap();
    assert_eq!((message.stream, message.ppid), (S0, Ppid(63)));
    assert_eq!(text(message), "hello");
    send(&p.server, S1, "world").await;
    assert_eq!(recv(&p.client).await, "world");

    let (client, end, server) =
        tokio::join!(p.client.shutdown(), p.server.recv(), p.server.closed());
    assert_eq!(client, CloseReason::Shutdown);
    assert_eq!(end, Ok(None));
    assert_eq!(server, CloseReason::Shutdown);
    let late = p.client.send(S0, "late".into(), info()).await;
    assert_eq!(late, Err(SendError::Closed(CloseReason::Shutdown)));
}

#[tokio::test(start_paused = true)]
async fn an_early_request_is_answered_in_two_round_trips() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let begun = Instant::now();
    let association = client
        .connect_early(&[address(SERVER)], Arc::default())
        .unwrap();
    send(&association, S0, "request").await;
    let serve = async {
        let association = server.accept().await.unwrap().accept().unwrap();
        assert_eq!(recv(&association).await, "request");
        send(&association, S0, "answer").await;
        association
    };
    let (_server, answer) = tokio::join!(serve, recv(&association));
    assert_eq!(answer, "answer");
    let taken = begun.elapsed();
    assert!(taken >= 4 * DELAY && taken < 5 * DELAY, "took {taken:?}");
    association.established().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_early_arrives_although_all_handles_are_gone() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let association = client
        .connect_early(&[address(SERVER)], Arc::default())
        .unwrap();
    send(&association, S0, "fire and forget").await;
    drop(association);
    let association = server.accept().await.unwrap().accept().unwrap();
    assert_eq!(recv(&association).await, "fire and forget");
    assert_eq!(association.recv().await, Ok(None));
    assert_eq!(association.closed().await, CloseReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn close_does_not_wait_for_a_peer_that_never_answered() {
    let net = Net::default();
    let client = net.endpoint(CLIENT, None, 2);
    let association = client
        .connect_early(&[address(SERVER)], Arc::default())
        .unwrap();
    settle().await;
    let begun = Instant::now();
    client.close().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    association.closed().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_answers() {
    let net = Net::default();
    let client = net.endpoint(CLIENT, None, 2);
    let result = client.connect(&[address(SERVER)], Arc::default()).await;
    assert!(
        matches!(
            result,
            Err(ConnectError::Failed(CloseReason::HandshakeTimedOut))
        ),
        "{result:?}"
    );
    assert_eq!(client.associations(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_listens() {
    let net = Net::default();
    let _server = net.endpoint(SERVER, None, 1);
    let client = net.endpoint(CLIENT, None, 2);
    let result = client.connect(&[address(SERVER)], Arc::default()).await;
    assert!(
        matches!(result, Err(ConnectError::Failed(CloseReason::PeerAbort(_)))),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_aborts_the_attempt() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let peer = [address(SERVER)];
    let attempt = client.connect(&peer, Arc::default());
    // Enough for INIT and INIT ACK, not for COOKIE ACK.
    assert!(timeout(DELAY * 5 / 2, attempt).await.is_err());
    settle().await;
    assert_eq!(client.associations(), 0);
    // The COOKIE ECHO was under way: the server may have seen it, and then the ABORT.
    if let Ok(Some(incoming)) = timeout(DELAY, server.accept()).await
        && let Ok(association) = incoming.accept()
    {
        assert!(matches!(
            association.closed().await,
            CloseReason::PeerAbort(_)
        ));
    }
    settle().await;
    assert_eq!(server.associations(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_refuses_is_told_apart_from_who_is_silent() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let peer = [address(SERVER)];
    let refuse = async { server.accept().await.unwrap().refuse() };
    let (result, ()) = tokio::join!(client.connect(&peer, Arc::default()), refuse);
    // Established at COOKIE ACK at the earliest; here the ABORT comes instead of it.
    assert!(
        matches!(result, Err(ConnectError::Failed(CloseReason::PeerAbort(_)))),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unread_peer_holds_the_sender_back_and_nothing_is_lost() {
    let p = Pair::with(|config| {
        config
            .receive_window(64 * 1024)
            .send_buffer(64 * 1024)
            .stream_send_buffer(64 * 1024);
    })
    .await;
    let message = Bytes::from(vec![7; 1000]);
    let mut sent = 0;
    while timeout(
        Duration::from_secs(2),
        p.client.send(S0, message.clone(), info()),
    )
    .await
    .is_ok()
    {
        sent += 1;
    }
    // What both buffers hold, overhead included, and no more.
    assert!((64..=132).contains(&sent), "{sent} messages were taken");
    // The send that did not return in time left nothing behind.
    let mut received = 0;
    while let Ok(message) = timeout(Duration::from_secs(30), p.server.recv()).await {
        assert_eq!(message.unwrap().unwrap().data.len(), 1000);
        received += 1;
    }
    assert_eq!(received, sent);
    p.client.send(S0, message, info()).await.unwrap();
    p.client.flushed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn try_send_gives_the_message_back() {
    let p = Pair::with(|config| {
        config.stream_send_buffer(4096);
    })
    .await;
    let message = Bytes::from(vec![1; 4096]);
    p.client.try_send(S0, message.clone(), info()).unwrap();
    let blocked = p.client.try_send(S0, message.clone(), info());
    assert_eq!(blocked, Err(SendError::Blocked(message.clone())));
    // Another stream has a share of its own.
    p.client.try_send(S1, message, info()).unwrap();
    assert_eq!(
        p.client.try_send(S0, Bytes::new(), info()),
        Err(SendError::Empty)
    );
    let far = StreamId(60_000);
    assert_eq!(
        p.client.try_send(far, "x".into(), info()),
        Err(SendError::UnknownStream(far))
    );
}

#[tokio::test(start_paused = true)]
async fn writers_of_several_streams_are_all_woken() {
    let p = Pair::with(|config| {
        config
            .send_buffer(32 * 1024)
            .stream_send_buffer(8 * 1024)
            .receive_window(32 * 1024);
    })
    .await;
    let mut writers = tokio::task::JoinSet::new();
    for id in 0..8 {
        let client = p.client.clone();
        writers.spawn(async move {
            // Half of them by a handle of the stream, half by the association.
            let message = Bytes::from(vec![id as u8; 3000]);
            if id % 2 == 0 {
                let (mut tx, _rx) = client.stream(StreamId(id)).unwrap();
                for _ in 0..40 {
                    tx.send(message.clone(), info()).await.unwrap();
                }
            } else {
                for _ in 0..40 {
                    let message = message.clone();
                    client.send(StreamId(id), message, info()).await.unwrap();
                }
            }
        });
    }
    // With a window this small, messages come in parts.
    let mut received = 0;
    while received < 8 * 40 * 3000 {
        received += p.server.recv().await.unwrap().unwrap().data.len();
    }
    assert_eq!(received, 8 * 40 * 3000);
    while let Some(result) = writers.join_next().await {
        result.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_unread_stream_stalls_alone() {
    let p = Pair::with(|config| {
        config.stall_timeout(Duration::from_secs(5));
    })
    .await;
    let (_s, mut unread) = p.server.stream(S1).unwrap();
    let mut notifications = p.server.notifications();
    let client = p.client.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..300 {
            let message = Bytes::from(vec![1; 10_000]);
            client.send(S1, message, info()).await.unwrap();
        }
    });
    // Other streams go on all the time.
    for round in 0..100u16 {
        let stream = StreamId(2 + round % 20);
        send(&p.client, stream, "request").await;
        let request = timeout(Duration::from_secs(20), p.server.recv()).await;
        assert_eq!(text(request.unwrap().unwrap().unwrap()), "request");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    writer.await.unwrap();
    assert_eq!(unread.recv().await, Err(RecvError::Stalled));
    assert_eq!(
        notifications.next().await,
        Some(Notification::StreamStalled(S1))
    );
    assert_eq!(
        notifications.next().await,
        Some(Notification::StreamDiscarded(S1))
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_dropped_shuts_down_after_what_was_queued() {
    let p = Pair::new().await;
    let clone = p.client.clone();
    for _ in 0..50 {
        send(&p.client, S0, "queued").await;
    }
    drop(p.client);
    settle().await;
    // A clone keeps it alive.
    send(&clone, S1, "still here").await;
    drop(clone);
    for _ in 0..50 {
        assert_eq!(recv(&p.server).await, "queued");
    }
    assert_eq!(recv(&p.server).await, "still here");
    assert_eq!(p.server.recv().await, Ok(None));
    assert_eq!(p.server.closed().await, CloseReason::Shutdown);
    settle().await;
    assert_eq!(p.client_endpoint.associations(), 0);
    assert_eq!(p.server_endpoint.associations(), 0);
}

#[tokio::test(start_paused = true)]
async fn stream_handles_keep_the_association_alive() {
    let p = Pair::new().await;
    let (mut tx, rx) = p.client.stream(S0).unwrap();
    drop((p.client, rx));
    settle().await;
    tx.send("hello".into(), info()).await.unwrap();
    assert_eq!(recv(&p.server).await, "hello");
    drop(tx);
    assert_eq!(p.server.recv().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn abort_tells_the_peer_why() {
    let p = Pair::new().await;
    p.client.abort("no reason".into());
    let reason = p.server.closed().await;
    let CloseReason::PeerAbort(Some(cause)) = &reason else {
        panic!("{reason:?}")
    };
    assert_eq!(cause.info, "no reason");
    assert_eq!(p.server.recv().await, Err(RecvError::Closed(reason)));
    assert_eq!(p.client.closed().await, CloseReason::LocalAbort);
}

#[tokio::test(start_paused = true)]
async fn receiving_can_be_cancelled_without_loss() {
    let p = Pair::new().await;
    let client = p.client.clone();
    tokio::spawn(async move {
        for i in 0..200u8 {
            tokio::time::sleep(Duration::from_millis(u64::from(i % 7))).await;
            client.send(S0, vec![i].into(), info()).await.unwrap();
        }
    });
    let mut next = 0;
    while next < 200 {
        if let Ok(message) = timeout(Duration::from_millis(1), p.server.recv()).await {
            let data = message.unwrap().unwrap().data.into_bytes();
            assert_eq!(data[0], next);
            next += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_claimed_stream_is_not_seen_by_recv() {
    let p = Pair::new().await;
    let (_tx, mut rx) = p.server.stream(S0).unwrap();
    assert!(p.server.stream(S0).is_err(), "claimed twice");
    assert!(p.server.stream(StreamId(1024)).is_err(), "out of range");
    send(&p.client, S0, "mine").await;
    send(&p.client, S1, "anybody's").await;
    assert_eq!(recv(&p.server).await, "anybody's");
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "mine");
    let none = timeout(Duration::from_secs(1), p.server.recv()).await;
    assert!(none.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_each_request_on_its_stream() {
    let p = Pair::new().await;
    let server = p.server.clone();
    let serving = tokio::spawn(async move {
        let mut served = 0;
        while let Some((mut tx, mut rx)) = server.accept_stream().await.unwrap() {
            let request = rx.recv().await.unwrap().unwrap();
            assert_eq!(request.stream, tx.id());
            tx.send(request.data.into_bytes(), info()).await.unwrap();
            tx.release(rx).expect("nothing is unread");
            served += 1;
        }
        served
    });
    for round in 0..3 {
        for id in 0..20 {
            send(&p.client, StreamId(id), "request").await;
            let answer = p.client.recv().await.unwrap().unwrap();
            assert_eq!(answer.stream, StreamId(id), "round {round}");
        }
    }
    p.client.shutdown().await;
    assert_eq!(serving.await.unwrap(), 60);
}

#[tokio::test(start_paused = true)]
async fn release_fails_while_something_is_unread() {
    let p = Pair::new().await;
    send(&p.client, S0, "one").await;
    send(&p.client, S0, "two").await;
    let (tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "one");
    settle().await;
    let (tx, mut rx) = tx.release(rx).unwrap_err();
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "two");
    tx.release(rx).unwrap();
    send(&p.client, S0, "three").await;
    let (_tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "three");
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_reader_left_is_no_new_request() {
    let p = Pair::new().await;
    send(&p.client, S0, "begin").await;
    let (mut tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "begin");
    drop(rx);
    tx.send("enough".into(), info()).await.unwrap();
    drop(tx);
    send(&p.client, S0, "rest").await;
    send(&p.client, S1, "next").await;
    let (tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
    assert_eq!(tx.id(), S1);
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "next");
    // Once the client has ended the stream, it can begin anew.
    p.client.reset_streams(&[S0]).await.unwrap();
    send(&p.client, S0, "again").await;
    let (tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
    assert_eq!(tx.id(), S0);
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "again");
}

#[tokio::test(start_paused = true)]
async fn a_finished_stream_ends_once_and_lives_again() {
    let p = Pair::new().await;
    for life in ["first", "second"] {
        let (mut tx, _rx) = p.client.stream(S0).unwrap();
        tx.send(life.into(), info()).await.unwrap();
        tx.send("end".into(), info()).await.unwrap();
        tx.finish().await.unwrap();
    }
    // Nobody has read anything: both lives wait, one behind the other.
    for life in ["first", "second"] {
        let (tx, mut rx) = p.server.accept_stream().await.unwrap().unwrap();
        assert_eq!(tx.id(), S0);
        assert_eq!(text(rx.recv().await.unwrap().unwrap()), life);
        assert_eq!(text(rx.recv().await.unwrap().unwrap()), "end");
        assert_eq!(rx.recv().await, Ok(None));
        assert_eq!(rx.recv().await, Ok(None), "and stays at its end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_waiting_when_the_stream_ends_is_told() {
    let p = Pair::new().await;
    let (tx, _rx) = p.client.stream(S0).unwrap();
    let (_tx, mut rx) = p.server.stream(S0).unwrap();
    let (end, finished) = tokio::join!(rx.recv(), tx.finish());
    assert_eq!(end, Ok(None));
    finished.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reset_discards_what_was_not_sent() {
    let p = Pair::with(|config| {
        config.receive_window(16 * 1024);
    })
    .await;
    let (mut tx, _rx) = p.client.stream(S0).unwrap();
    let (_tx, mut rx) = p.server.stream(S0).unwrap();
    for _ in 0..100 {
        tx.send(vec![1; 1000].into(), info()).await.unwrap();
    }
    settle().await;
    tx.reset();
    let mut received = 0;
    while let Some(message) = rx.recv().await.unwrap() {
        assert_eq!(message.data.len(), 1000);
        received += 1;
    }
    assert!((1..50).contains(&received), "{received} messages arrived");
}

#[tokio::test(start_paused = true)]
async fn bytes_survive_loss() {
    let p = Pair::new().await;
    let mut state = 1u32;
    p.net.lose(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24 < 8
    });
    let (client_tx, _client_rx) = p.client.stream(S0).unwrap();
    let (_server_tx, server_rx) = p.server.stream(S0).unwrap();
    let data: Vec<u8> = (0..2_000_000u32).map(|i| (i * 7 / 3) as u8).collect();
    let expected = data.clone();
    let write = async move {
        let mut writer = client_tx.into_writer(info()).max_message(20_000);
        writer.write_all(&data).await.unwrap();
        writer.shutdown().await.unwrap();
        let late = writer.write(b"x").await.unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::BrokenPipe);
        writer.into_inner().finish().await.unwrap();
    };
    let read = async move {
        let mut received = Vec::new();
        let mut reader = server_rx.into_reader();
        reader.read_to_end(&mut received).await.unwrap();
        received
    };
    let ((), received) = tokio::join!(write, read);
    assert!(received == expected, "{} bytes", received.len());
    assert!(p.client.stats().data_chunks_retransmitted > 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_together_is_one_message() {
    let p = Pair::new().await;
    let (tx, _rx) = p.client.stream(S0).unwrap();
    let mut writer = tx.into_writer(info()).max_message(8);
    let parts = [b"head".as_slice(), b"", b"body and more"];
    let parts = parts.map(std::io::IoSlice::new);
    assert_eq!(writer.write_vectored(&parts).await.unwrap(), 8);
    assert_eq!(recv(&p.server).await, "headbody");
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_delays_and_loses_nothing() {
    let p = Pair::new().await;
    p.net.set_room(CLIENT, Some(3));
    let client = p.client.clone();
    let writer = tokio::spawn(async move {
        for i in 0..400u32 {
            let message = Bytes::from(vec![i as u8; 1000]);
            client.send(S0, message, info()).await.unwrap();
        }
        client.flushed().await.unwrap();
    });
    // Before any retransmission timer: what was not sent is not lost.
    for _ in 0..25 {
        tokio::time::sleep(DELAY).await;
        p.net.set_room(CLIENT, Some(0));
    }
    p.net.set_room(CLIENT, None);
    for i in 0..400u32 {
        let message = p.server.recv().await.unwrap().unwrap();
        assert_eq!(message.data.into_bytes()[0], i as u8);
    }
    writer.await.unwrap();
    assert_eq!(p.client_endpoint.socket_stats().send_errors, 0);
}

#[tokio::test(start_paused = true)]
async fn close_drains_and_then_refuses() {
    let p = Pair::new().await;
    for _ in 0..20 {
        send(&p.client, S0, "queued").await;
    }
    let read = async {
        for _ in 0..20 {
            assert_eq!(recv(&p.server).await, "queued");
        }
        assert_eq!(p.server.recv().await, Ok(None));
    };
    tokio::join!(p.client_endpoint.close(), read);
    assert_eq!(p.client.closed().await, CloseReason::Shutdown);
    let again = p
        .client_endpoint
        .connect(&[address(SERVER)], Arc::default())
        .await;
    assert!(matches!(again, Err(ConnectError::EndpointClosed)));

    let (accepted, ()) = tokio::join!(p.server_endpoint.accept(), p.server_endpoint.close());
    assert!(accepted.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_endpoint_leaves_its_associations_alone() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let socket = net.socket(address(CLIENT));
    let client = sctp_udp::Endpoint::with_seed(
        sctp_udp::EndpointConfig::default(),
        None,
        vec![Arc::clone(&socket)],
        [2; 32],
    )
    .unwrap();
    let (client_side, server_side) = connect(&client, &server, Arc::default()).await;
    drop(client);
    settle().await;
    send(&client_side, S0, "hello").await;
    assert_eq!(recv(&server_side).await, "hello");
    client_side.shutdown().await;
    settle().await;
    assert_eq!(Arc::strong_count(&socket), 1, "the socket is closed");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_server_endpoint_refuses_who_waits() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let peer = [address(SERVER)];
    let connecting = client.connect(&peer, Arc::default());
    let (result, ()) = tokio::join!(connecting, async {
        tokio::time::sleep(DELAY * 7 / 2).await;
        drop(server);
    });
    assert!(
        matches!(result, Err(ConnectError::Failed(CloseReason::PeerAbort(_)))),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_associations_share_an_endpoint() {
    let net = Net::default();
    let server = net.endpoint(SERVER, Some(ServerConfig::default()), 1);
    let client = net.endpoint(CLIENT, None, 2);
    let serving = server.clone();
    tokio::spawn(async move {
        while let Some(incoming) = serving.accept().await {
            let association = incoming.accept().unwrap();
            tokio::spawn(async move {
                while let Some(message) = association.recv().await.unwrap() {
                    let data = message.data.into_bytes();
                    association.send(S0, data, info()).await.unwrap();
                }
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for id in 0..300u32 {
        let client = client.clone();
        clients.spawn(async move {
            let peer = [address(SERVER)];
            let association = client.connect(&peer, Arc::default()).await.unwrap();
            let message = Bytes::from(id.to_be_bytes().repeat(700));
            association.send(S0, message.clone(), info()).await.unwrap();
            let answer = association.recv().await.unwrap().unwrap();
            assert_eq!(answer.data.into_bytes(), message);
            assert_eq!(association.shutdown().await, CloseReason::Shutdown);
            association.id()
        });
    }
    let mut ids = Vec::new();
    while let Some(id) = clients.join_next().await {
        ids.push(id.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 300);
    settle().await;
    assert_eq!((client.associations(), server.associations()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn failed_messages_come_back_and_a_slow_reader_is_told_how_many_it_missed() {
    let p = Pair::new().await;
    let mut notifications = p.client.notifications();
    p.net.lose(|_| true);
    for i in 0..300 {
        let info = info().context(i);
        p.client.try_send(S0, "lost".into(), info).unwrap();
    }
    p.client.abort(Bytes::new());
    p.client.closed().await;
    settle().await;
    let mut missed = 0;
    let mut failed = Vec::new();
    while let Some(notification) = notifications.next().await {
        match notification {
            Notification::Lagged(count) => missed += count,
            Notification::SendFailed { context, data, .. } => {
                assert_eq!(data, "lost");
                failed.push(context);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(missed as usize + failed.len(), 300);
    assert_eq!(failed.last(), Some(&299));
    assert_eq!(failed.len(), 256);
}

#[tokio::test(start_paused = true)]
async fn handles_of_before_a_restart_fail() {
    let p = Pair::new().await;
    let (local, _) = p.client.ports();
    let peer = [address(SERVER)];
    let mut notifications = p.server.notifications();
    let (mut tx, mut rx) = p.server.stream(S0).unwrap();
    // A new process at the same address with the same ports.
    let client = p.net.endpoint(CLIENT, None, 3);
    let mut config = AssociationConfig::default();
    config.local_port(Some(local));
    let (association, end) = tokio::join!(client.connect(&peer, Arc::new(config)), rx.recv());
    let association = association.unwrap();
    assert_eq!(end, Err(RecvError::Restarted));
    let sent = tx.send("old".into(), info()).await;
    assert_eq!(sent, Err(SendError::Restarted));
    assert_eq!(notifications.next().await, Some(Notification::Restarted));
    // The stream is free again at once, even before the old handles are gone.
    let (_tx, mut rx) = p.server.stream(S0).unwrap();
    send(&association, S0, "new").await;
    assert_eq!(text(rx.recv().await.unwrap().unwrap()), "new");
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_followed_when_a_nat_gives_it_another_port() {
    let p = Pair::new().await;
    send(&p.client, S0, "before").await;
    assert_eq!(recv(&p.server).await, "before");
    p.net.nat(CLIENT, "192.0.2.1:40404");
    send(&p.client, S0, "after").await;
    assert_eq!(recv(&p.server).await, "after");
    assert_eq!(p.server.peer_addr(), address("192.0.2.1:40404"));
    send(&p.server, S0, "answer").await;
    assert_eq!(recv(&p.client).await, "answer");
    p.server.flushed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_association_sends_little() {
    let p = Pair::new().await;
    settle().await;
    let before = p.net.sent(CLIENT) + p.net.sent(SERVER);
    tokio::time::sleep(Duration::from_secs(600)).await;
    // A HEARTBEAT and its answer, each way, every 15 s or so.
    let sent = p.net.sent(CLIENT) + p.net.sent(SERVER) - before;
    assert!((40..=200).contains(&sent), "{sent} datagrams in 10 minutes");
}

//= RFC 6951 §5.5, test
//# In particular, this means that the SCTP stack MUST...
#[tokio::test(start_paused = true)]
async fn a_vanished_peer_is_noticed() {
    let p = Pair::with(|config| {
        config
            .association_max_retrans(3)
            .rto_max(Duration::from_secs(2));
    })
    .await;
    p.net.lose(|_| true);
    send(&p.client, S0, "anybody there?").await;
    let reason = p.client.closed().await;
    assert_eq!(reason, CloseReason::TimedOut);
    let flushed = p.client.flushed().await;
    assert_eq!(flushed, Err(SendError::Closed(CloseReason::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn packets_too_big_for_the_interface_become_smaller() {
    let p = Pair::with(|config| {
        config.path_mtu(1500);
    })
    .await;
    send(&p.client, S0, "before").await;
    assert_eq!(recv(&p.server).await, "before");
    p.net.narrow(1372);
    let message = Bytes::from(vec![7; 100_000]);
    p.client.send(S0, message.clone(), info()).await.unwrap();
    let received = timeout(Duration::from_millis(900), p.server.recv()).await;
    let received = received.expect("no time-out").unwrap().unwrap();
    assert_eq!(received.data.into_bytes(), message);
    assert_eq!(p.client.paths()[0].stats.max_packet, 1372);
    let too_big = p.client_endpoint.socket_stats().too_big;
    assert_eq!(too_big, 2, "1,500 and 1,492 bytes");
    assert_eq!(p.client.stats().t3_expiries, 0);
}

#[tokio::test(start_paused = true)]
async fn an_icmp_message_with_the_tag_ends_an_attempt_and_one_without_does_not() {
    let net = Net::default();
    let client = net.endpoint(CLIENT, None, 2);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    net.lose(move |datagram| {
        seen.lock().unwrap().extend_from_slice(datagram);
        true
    });
    let association = client
        .connect_early(&[address(SERVER)], Arc::default())
        .unwrap();
    settle().await;
    let mut quoted = sent.lock().unwrap()[..20].to_vec();
    let tell = |quoted: &[u8]| {
        client.handle_icmp(&IcmpMessage {
            kind: IcmpKind::NotSupported,
            destination: address(SERVER),
            quoted,
        });
    };
    tell(&quoted[..19]);
    quoted[19] ^= 1;
    tell(&quoted);
    settle().await;
    assert_eq!(association.state(), AssociationState::CookieWait);
    assert_eq!(association.stats().icmp_discarded, 2);
    quoted[19] ^= 1;
    tell(&quoted);
    let result = association.established().await;
    assert!(
        matches!(result, Err(ConnectError::Failed(CloseReason::Unreachable))),
        "{result:?}"
    );
    settle().await;
    assert_eq!(client.associations(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_association_closes_itself_where_that_is_asked_for() {
    let p = Pair::with(|config| {
        config.autoclose(Some(Duration::from_secs(60)));
    })
    .await;
    send(&p.client, S0, "only this").await;
    let closing = async {
        p.client.closing().await;
        Instant::now()
    };
    let begin = Instant::now();
    let idle = closing.await - begin;
    assert!(
        idle >= Duration::from_secs(60) && idle < Duration::from_secs(62),
        "{idle:?}"
    );
    assert_eq!(p.client.closed().await, CloseReason::Shutdown);
    assert_eq!(p.server.closed().await, CloseReason::Shutdown);
    assert_eq!(recv(&p.server).await, "only this");
}
