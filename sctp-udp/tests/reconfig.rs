//! Stream reconfiguration (RFC 6525) through the driver's handles, under a paused clock.

#[expect(dead_code, reason = "the tests of the driver use more of it")]
mod common;

use std::time::Duration;

use bytes::Bytes;
use common::Pair;
use sctp_udp::{
    AddStreamsError, AssociationConfig, Notification, Ppid, ReconfigOutcome, ResetError, SendError,
    SendInfo, StreamId,
};

fn obedient(config: &mut AssociationConfig) {
    config
        .obey_stream_reset(true)
        .obey_association_reset(true)
        .outbound_streams(6)
        .max_inbound_streams(4);
}

/// Lets everything happen that happens without further ado.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn info() -> SendInfo {
    SendInfo::new(Ppid(63))
}

fn message(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn added_streams_are_streams_like_any_other() {
    let p = Pair::with(obedient).await;
    assert_eq!(p.client.streams(), (4, 4));
    let new = StreamId(5);
    assert!(p.server.stream(new).is_err());
    let mut notifications = p.client.notifications();
    p.client.add_streams(0, 2).await.unwrap();
    assert_eq!(p.client.streams(), (4, 6));
    let all_there = Notification::StreamsChanged {
        outbound: 4,
        inbound: 6,
    };
    assert_eq!(notifications.next().await, Some(all_there));
    settle().await;
    let (mut send, _) = p.server.stream(new).unwrap();
    send.send(message("on a new stream"), info()).await.unwrap();
    let (_, mut recv) = p.client.accept_stream().await.unwrap().unwrap();
    assert_eq!(recv.id(), new);
    let got = recv.recv().await.unwrap().unwrap();
    assert_eq!(&got.data.into_bytes()[..], b"on a new stream");

    // Nobody takes more than it offered, and there are no more than there are numbers.
    let denied = Err(AddStreamsError::Refused(ReconfigOutcome::Denied));
    assert_eq!(p.client.add_streams(1, 0).await, denied);
    assert_eq!(p.client.add_streams(0, 1).await, denied);
    let max = 65535 - 4;
    assert_eq!(
        p.client.add_streams(65535, 0).await,
        Err(AddStreamsError::TooMany { max })
    );
    assert_eq!(p.client.add_streams(0, 0).await, Ok(()));
    assert_eq!(p.client.streams(), (4, 6));
}

#[tokio::test(start_paused = true)]
async fn a_peer_resets_what_it_is_asked_to_and_the_reader_finds_the_end() {
    let p = Pair::with(obedient).await;
    let (mut send, _keep) = p.server.stream(StreamId(1)).unwrap();
    send.send(message("last"), info()).await.unwrap();
    let (_, mut recv) = p.client.accept_stream().await.unwrap().unwrap();
    p.client.reset_incoming(&[StreamId(1)]).await.unwrap();
    assert!(recv.recv().await.unwrap().is_some());
    assert!(recv.recv().await.unwrap().is_none(), "the end");
    // The other side takes the stream for reset once it is told so.
    let early = send.send(message("early"), info()).await;
    assert_eq!(early, Err(SendError::StreamResetting(StreamId(1))));
    settle().await;
    send.send(message("anew"), info()).await.unwrap();
    let unknown = p.client.reset_incoming(&[StreamId(4)]).await;
    assert_eq!(unknown, Err(ResetError::UnknownStream(StreamId(4))));
}

#[tokio::test(start_paused = true)]
async fn every_reader_finds_the_end_when_the_association_begins_anew() {
    let p = Pair::with(obedient).await;
    let (mut send, mut back) = p.client.stream(StreamId(1)).unwrap();
    for text in ["one", "two"] {
        send.send(message(text), info()).await.unwrap();
    }
    let (mut answer, mut recv) = p.server.accept_stream().await.unwrap().unwrap();
    answer.send(message("answer"), info()).await.unwrap();
    let resetting = tokio::spawn({
        let client = p.client.clone();
        async move { client.reset_association().await }
    });
    tokio::task::yield_now().await;
    let held = send.send(message("too early"), info()).await;
    assert_eq!(held, Err(SendError::StreamResetting(StreamId(1))));
    let twice = p.client.reset_association().await;
    assert_eq!(twice, Err(ResetError::InProgress));
    resetting.await.unwrap().unwrap();
    send.send(message("three"), info()).await.unwrap();
    // What came before is still to be read, then the end, then what came after is the next reader's.
    for text in ["one", "two"] {
        let got = recv.recv().await.unwrap().expect("from before");
        assert_eq!(&got.data.into_bytes()[..], text.as_bytes());
    }
    assert!(recv.recv().await.unwrap().is_none(), "the end");
    assert!(back.recv().await.unwrap().is_some());
    assert!(back.recv().await.unwrap().is_none(), "the end");
    drop((answer, recv));
    let (_answer, mut recv) = p.server.accept_stream().await.unwrap().unwrap();
    let got = recv.recv().await.unwrap().expect("from after");
    assert_eq!(&got.data.into_bytes()[..], b"three");
}

#[tokio::test(start_paused = true)]
async fn who_is_to_blame_shows_in_the_error() {
    let p = Pair::new().await;
    let streams = [StreamId(1)];
    assert_eq!(
        p.client.reset_incoming(&streams).await,
        Err(ResetError::Denied)
    );
    assert_eq!(p.client.reset_association().await, Err(ResetError::Denied));
    let p = Pair::with(|c| {
        c.stream_reset(false);
    })
    .await;
    assert!(!p.client.can_reset_streams());
    assert_eq!(
        p.client.reset_incoming(&streams).await,
        Err(ResetError::NotSupported)
    );
    assert_eq!(
        p.client.add_streams(1, 1).await,
        Err(AddStreamsError::NotSupported)
    );
    p.server.abort(Bytes::new());
    p.client.closed().await;
    assert!(matches!(
        p.client.add_streams(1, 1).await,
        Err(AddStreamsError::Closed(_))
    ));
    assert!(matches!(
        p.client.reset_association().await,
        Err(ResetError::Closed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_learns_of_the_end() {
    let p = Pair::with(obedient).await;
    p.net.lose(|_| true);
    let waiting = {
        let client = p.client.clone();
        async move { tokio::join!(client.add_streams(1, 1), client.reset_association()) }
    };
    let aborting = async {
        tokio::task::yield_now().await;
        p.client.abort(Bytes::new());
    };
    let ((added, reset), ()) = tokio::join!(waiting, aborting);
    assert!(
        matches!(added, Err(AddStreamsError::Closed(_))),
        "{added:?}"
    );
    assert!(matches!(reset, Err(ResetError::Closed(_))), "{reset:?}");
}
