//! dcsctp, the Rust SCTP of WebRTC's authors.

use std::{collections::VecDeque, time::Duration};

use dcsctp::api::{
    DcSctpSocket, ErrorKind, Message, Options, PpId, SendOptions, SocketEvent, SocketState,
    SocketTime, StreamId, ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
};
use sctp_proto::Instant;

use crate::stage::{self, Ended, Msg, PACKET, PORT, Peer, Side};

struct Dcsctp {
    socket: Box<dyn DcSctpSocket>,
    packets: VecDeque<Vec<u8>>,
    resets: Vec<u16>,
    ended: Option<Ended>,
    send_buffer: usize,
}

impl Dcsctp {
    fn new(interleaving: bool) -> Self {
        Self::with(interleaving, |_| {})
    }

    fn with(interleaving: bool, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            local_port: PORT,
            remote_port: PORT,
            mtu: PACKET,
            enable_message_interleaving: interleaving,
            ..Options::default()
        };
        change(&mut options);
        Self {
            socket: dcsctp::new_socket("peer", &options),
            packets: VecDeque::new(),
            resets: Vec::new(),
            ended: None,
            send_buffer: options.per_stream_send_queue_limit / 8,
        }
    }

    fn set_time(&mut self, now: Instant) {
        // A timer of dcsctp fires strictly after its deadline.
        let since = now.saturating_duration_since(Instant::EPOCH) + Duration::from_nanos(1);
        self.socket.advance_time(SocketTime::zero() + since);
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.socket.poll_event() {
            match event {
                SocketEvent::SendPacket(packet) => self.packets.push_back(packet),
                SocketEvent::OnClosed() => self.ended = Some(Ended::Gracefully),
                SocketEvent::OnAborted(ErrorKind::PeerReported, _) => {
                    self.ended = Some(Ended::Aborted)
                }
                SocketEvent::OnAborted(kind, text) => panic!("dcsctp: {kind:?} {text}"),
                SocketEvent::OnIncomingStreamReset(streams) => {
                    self.resets.extend(streams.iter().map(|stream| stream.0));
                }
                _ => {}
            }
        }
    }
}

impl Peer for Dcsctp {
    fn connect(&mut self, now: Instant) {
        self.set_time(now);
        self.socket.connect();
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.set_time(now);
        self.socket.handle_input(packet);
    }

    fn poll(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>) {
        self.set_time(now);
        packets.extend(self.packets.drain(..));
    }

    fn timeout(&self) -> Option<Instant> {
        let at = self.socket.poll_timeout();
        (at != SocketTime::infinite_future()).then(|| Instant::EPOCH + (at - SocketTime::zero()))
    }

    fn is_established(&self) -> bool {
        self.socket.state() == SocketState::Connected
    }

    fn send(&mut self, now: Instant, message: &Msg) -> bool {
        let stream = StreamId(message.stream);
        if self.socket.buffered_amount(stream) > self.send_buffer {
            return false;
        }
        self.set_time(now);
        let options = SendOptions {
            unordered: message.unordered,
            max_retransmissions: message.retransmits(),
            ..SendOptions::default()
        };
        let message = Message::new(stream, PpId(53), message.data.clone());
        self.socket.send(message, &options).expect("send");
        true
    }

    fn recv(&mut self) -> Option<Msg> {
        let message = self.socket.get_next_message()?;
        assert_eq!(message.ppid, PpId(53));
        Some(Msg {
            stream: message.stream_id.0,
            // dcsctp does not tell.
            unordered: false,
            data: message.payload,
        })
    }

    fn reset(&mut self, now: Instant, stream: u16) {
        self.set_time(now);
        self.socket
            .reset_streams(&[StreamId(stream)])
            .expect("reset");
    }

    fn saw_reset(&self, stream: u16) -> bool {
        self.resets.contains(&stream)
    }

    fn shutdown(&mut self, now: Instant) {
        self.set_time(now);
        self.socket.shutdown();
    }

    fn abort(&mut self, now: Instant) {
        self.set_time(now);
        self.socket.close();
        self.take_events();
        self.ended = Some(Ended::Aborted);
    }

    fn ended(&self) -> Option<Ended> {
        self.ended
    }
}

#[test]
fn we_connect_and_they_shut_down() {
    stage::hello("dcsctp-we-connect", Dcsctp::new(false), Side::Us);
}

#[test]
fn they_connect_and_we_shut_down() {
    stage::hello("dcsctp-they-connect", Dcsctp::new(false), Side::Them);
}

#[test]
fn messages_get_through_a_lossy_network_when_we_connect() {
    stage::through_a_lossy_network("dcsctp-lossy-we", Dcsctp::new(false), Side::Us, |_| {});
}

#[test]
fn messages_get_through_a_lossy_network_when_they_connect() {
    stage::through_a_lossy_network("dcsctp-lossy-they", Dcsctp::new(false), Side::Them, |_| {});
}

#[test]
fn streams_are_reset_and_used_again() {
    stage::reset_streams("dcsctp-reset", Dcsctp::new(false), Side::Us);
}

#[test]
fn they_are_told_of_our_abort() {
    stage::abort("dcsctp-abort-us", Dcsctp::new(false), Side::Us);
}

#[test]
fn we_are_told_of_their_abort() {
    stage::abort("dcsctp-abort-them", Dcsctp::new(false), Side::Them);
}

#[test]
fn interleaved_messages_get_through_a_lossy_network() {
    let interleaving = |config: &mut sctp_proto::AssociationConfig| {
        config.interleaving(true);
    };
    for side in [Side::Us, Side::Them] {
        let peer = Dcsctp::new(true);
        stage::through_a_lossy_network("dcsctp-interleaving", peer, side, interleaving);
    }
}

#[test]
fn what_either_side_gives_up_is_skipped_by_the_other() {
    for side in [Side::Us, Side::Them] {
        let peer = Dcsctp::new(false);
        stage::some_given_up("dcsctp-forward-tsn", peer, side, |_| {});
        let peer = Dcsctp::new(true);
        stage::some_given_up("dcsctp-i-forward-tsn", peer, side, |_| {});
    }
}

#[test]
fn packets_go_without_checksums_where_both_have_said_so() {
    for side in [Side::Us, Side::Them] {
        let peer = Dcsctp::with(false, |options| {
            options.zero_checksum_alternate_error_detection_method =
                ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS;
        });
        stage::without_checksums(peer, side);
    }
}
