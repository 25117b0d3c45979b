//! Authenticated chunks and address changes with usrsctp, which offers both by itself.

use std::process::Stdio;

use bytes::Bytes;
use sctp_udp::{CloseReason, HmacAlgorithm, LocalChange, Notification, SendInfo, StreamId};

use crate::{
    programs,
    usrsctp::{connect, server, within_minutes},
};

/// Types of chunks as on the wire.
const DATA: u8 = 0;
const SACK: u8 = 3;
const SHUTDOWN_ACK: u8 = 8;
const COOKIE_ACK: u8 = 11;
const I_DATA: u8 = 64;
const ASCONF_ACK: u8 = 128;
const ASCONF: u8 = 193;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usrsctp_authenticates_and_believes_what_we_do() {
    let Some(program) = programs::find("echo_server") else {
        return;
    };
    for algorithms in [
        &[HmacAlgorithm::Sha256, HmacAlgorithm::Sha1][..],
        &[HmacAlgorithm::Sha1],
    ] {
        let (_child, relay) = server(&program, &[], Stdio::null()).await;
        within_minutes(async {
            let (endpoint, association) = connect(&relay, 7, |config| {
                config
                    .auth_chunks(&[DATA, SACK, SHUTDOWN_ACK, COOKIE_ACK, I_DATA])
                    .hmac_algorithms(algorithms);
            })
            .await;
            assert!(association.can_authenticate());
            assert!(association.can_change_addresses());
            let wanted = association.peer_auth_chunks();
            assert!(
                wanted.contains(&ASCONF) && wanted.contains(&ASCONF_ACK),
                "{wanted:?}"
            );
            for round in 0..20_u8 {
                let data = Bytes::from(vec![round; 5000]);
                let sent = association.send(StreamId(0), data, SendInfo::default());
                sent.await.expect("send");
                let mut received = 0;
                while received < 5000 {
                    let message = association.recv().await.expect("recv").expect("an echo");
                    received += message.data.len();
                }
            }
            // An ASCONF of ours, and its answer.
            let mut told = association.notifications();
            let local = association.paths()[0].local_ip;
            let local = local.unwrap_or(endpoint.local_addrs()[0].ip());
            association.set_peer_primary(local).expect("asked");
            let answer = loop {
                match told.next().await {
                    Some(Notification::LocalAddress { change, .. }) => break change,
                    Some(_) => {}
                    None => panic!("no answer"),
                }
            };
            assert_eq!(answer, LocalChange::MadePrimary);
            let stats = association.stats();
            assert!(stats.auth_verified >= 20, "{stats:?}");
            assert_eq!((stats.auth_rejected, stats.auth_missing), (0, 0));
            assert_eq!(association.shutdown().await, CloseReason::Shutdown);
        })
        .await;
        relay.judge("usrsctp-auth");
    }
}
