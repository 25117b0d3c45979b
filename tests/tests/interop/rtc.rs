//! rtc-sctp, the SCTP of webrtc-rs.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time};

use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event,
    Payload, PayloadProtocolIdentifier, ReliabilityType, ServerConfig, TransportConfig,
    max_payload_size_for_mtu,
};
use sctp_proto::Instant;

use crate::stage::{self, Ended, Msg, PACKET, PORT, Peer, Side};

/// Bytes that may wait on a stream before the scenario pauses.
const SEND_BUFFER: usize = 256 * 1024;

struct Rtc {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    epoch: time::Instant,
    established: bool,
    aborted: bool,
    resets: Vec<u16>,
    messages: VecDeque<Msg>,
}

impl Rtc {
    fn new() -> Self {
        let mut config = EndpointConfig::new();
        config.max_payload_size(max_payload_size_for_mtu(PACKET as u32));
        let server = ServerConfig::new(Self::transport());
        let endpoint = Endpoint::new(
            "10.0.0.2:9899".parse().expect("an address"),
            Default::default(),
            Arc::new(config),
            Some(Arc::new(server)),
        );
        // Only a point to count from: its timers are told virtual time.
        #[allow(clippy::disallowed_methods)]
        let epoch = time::Instant::now();
        Self {
            endpoint,
            association: None,
            epoch,
            established: false,
            aborted: false,
            resets: Vec::new(),
            messages: VecDeque::new(),
        }
    }

    fn transport() -> TransportConfig {
        TransportConfig::default()
            .with_sctp_port(PORT)
            .with_max_num_outbound_streams(100)
    }

    fn time(&self, now: Instant) -> time::Instant {
        self.epoch + now.saturating_duration_since(Instant::EPOCH)
    }

    fn association(&mut self) -> &mut Association {
        &mut self.association.as_mut().expect("an association").1
    }

    /// Events, and the messages that are complete: a reset takes the unread ones away.
    fn take_events(&mut self) {
        let Some((_, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => self.established = true,
                Event::HandshakeFailed { reason } => panic!("rtc-sctp: {reason}"),
                Event::AssociationLost { id, .. } if !association.is_closed() => {
                    self.resets.push(id)
                }
                _ => {}
            }
        }
        for id in association.stream_ids() {
            let mut stream = association.stream(id).expect("a stream it named");
            while let Ok(Some(chunks)) = stream.read() {
                assert_eq!(chunks.ppi, PayloadProtocolIdentifier::Binary);
                let data = chunks.to_payload(usize::MAX).expect("a message").to_vec();
                self.messages.push_back(Msg {
                    stream: id,
                    // rtc-sctp does not tell.
                    unordered: false,
                    data,
                });
            }
        }
    }
}

impl Peer for Rtc {
    /// Version 0.21.1 puts its own cumulative TSN ack point where the peer's belongs, so that its
    /// SHUTDOWN may acknowledge what was never sent, and does not close after SHUTDOWN COMPLETE.
    const CAN_SHUT_DOWN: bool = false;

    fn connect(&mut self, now: Instant) {
        let remote: SocketAddr = "10.0.0.1:9899".parse().expect("an address");
        let config = ClientConfig::new(Self::transport());
        let association = self.endpoint.connect(self.time(now), config, remote);
        self.association = Some(association.expect("connect"));
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        /// Chunk type of ABORT.
        const ABORT: u8 = 6;
        self.aborted |= packet[12] == ABORT;
        let remote = "10.0.0.1:9899".parse().expect("an address");
        let packet = bytes::Bytes::copy_from_slice(packet);
        match self.endpoint.handle(self.time(now), remote, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.association = Some((handle, association));
            }
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                self.association().handle_event(event)
            }
            _ => {}
        }
        self.take_events();
    }

    fn poll(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>) {
        let now = self.time(now);
        let Some((_, association)) = &mut self.association else {
            return;
        };
        if association.poll_timeout().is_some_and(|at| at <= now) {
            association.handle_timeout(now);
        }
        while let Some(transmit) = association.poll_transmit(now) {
            if let Payload::RawEncode(encoded) = transmit.message {
                packets.extend(encoded.iter().map(|packet| packet.to_vec()));
            }
        }
        self.take_events();
    }

    fn timeout(&self) -> Option<Instant> {
        let at = self.association.as_ref()?.1.poll_timeout()?;
        Some(Instant::EPOCH + (at - self.epoch))
    }

    fn is_established(&self) -> bool {
        self.established
    }

    fn send(&mut self, now: Instant, message: &Msg) -> bool {
        let now = self.time(now);
        let binary = PayloadProtocolIdentifier::Binary;
        let association = self.association();
        if !association.stream_ids().contains(&message.stream) {
            association
                .open_stream(message.stream, binary)
                .expect("open");
        }
        let mut stream = association.stream(message.stream).expect("an open stream");
        if stream.buffered_amount().expect("buffered amount") > SEND_BUFFER {
            return false;
        }
        stream
            .set_reliability_params(message.unordered, ReliabilityType::Reliable, 0)
            .expect("reliability");
        stream
            .write_with_ppi(now, &message.data, binary)
            .expect("write");
        true
    }

    fn recv(&mut self) -> Option<Msg> {
        self.messages.pop_front()
    }

    fn reset(&mut self, now: Instant, stream: u16) {
        let now = self.time(now);
        let mut stream = self.association().stream(stream).expect("an open stream");
        stream.close(now).expect("close");
    }

    fn saw_reset(&self, stream: u16) -> bool {
        self.resets.contains(&stream)
    }

    fn shutdown(&mut self, _: Instant) {
        self.association().shutdown().expect("shutdown");
    }

    fn abort(&mut self, _: Instant) {
        self.aborted = true;
        self.association().abort().expect("abort");
    }

    fn ended(&self) -> Option<Ended> {
        let closed = self
            .association
            .as_ref()
            .is_some_and(|(_, association)| association.is_closed());
        closed.then_some(if self.aborted {
            Ended::Aborted
        } else {
            Ended::Gracefully
        })
    }
}

#[test]
fn we_connect_and_they_shut_down() {
    stage::hello("rtc-we-connect", Rtc::new(), Side::Us);
}

#[test]
fn they_connect_and_we_shut_down() {
    stage::hello("rtc-they-connect", Rtc::new(), Side::Them);
}

#[test]
fn messages_get_through_a_lossy_network_when_we_connect() {
    stage::through_a_lossy_network("rtc-lossy-we", Rtc::new(), Side::Us, |_| {});
}

#[test]
fn messages_get_through_a_lossy_network_when_they_connect() {
    stage::through_a_lossy_network("rtc-lossy-they", Rtc::new(), Side::Them, |_| {});
}

#[test]
fn streams_are_reset_and_used_again() {
    stage::reset_streams("rtc-reset", Rtc::new(), Side::Us);
}

#[test]
fn they_are_told_of_our_abort() {
    stage::abort("rtc-abort-us", Rtc::new(), Side::Us);
}

#[test]
fn we_are_told_of_their_abort() {
    stage::abort("rtc-abort-them", Rtc::new(), Side::Them);
}
