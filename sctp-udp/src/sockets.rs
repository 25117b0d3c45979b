//! The sockets of one endpoint, and how a batch of packets leaves by one of them.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sctp_proto::Transmit;

use crate::socket::{Batch, DatagramSocket};

/// Most bytes one GSO batch can carry: what fits an IPv4 packet, less IP and UDP headers.
const MAX_BATCH: usize = 65_535 - 20 - 8;

/// Counters of the sockets of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Batches of packets that the operating system would not send, and which therefore count as
    /// lost on the way.
    pub send_errors: u64,
    /// Those of them that were larger than the local interface carries, which makes packets smaller.
    pub too_big: u64,
    /// Replies without an association dropped since the socket had no room.
    pub replies_dropped: u64,
    /// Errors on receiving.
    pub recv_errors: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SocketCounters {
    pub(crate) send_errors: AtomicU64,
    pub(crate) too_big: AtomicU64,
    pub(crate) replies_dropped: AtomicU64,
    pub(crate) recv_errors: AtomicU64,
}

impl SocketCounters {
    pub(crate) fn snapshot(&self) -> SocketStats {
        SocketStats {
            send_errors: self.send_errors.load(Ordering::Relaxed),
            too_big: self.too_big.load(Ordering::Relaxed),
            replies_dropped: self.replies_dropped.load(Ordering::Relaxed),
            recv_errors: self.recv_errors.load(Ordering::Relaxed),
        }
    }
}

/// How far a batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it left, or was lost.
    All,
    /// As `All`; packets of so many bytes are more than the local interface carries.
    TooBig { size: usize },
    /// The socket has no room: this many bytes of it are gone, the rest is to be tried again.
    Blocked { socket: usize, bytes: usize },
}

#[derive(Debug)]
pub(crate) struct Sockets {
    sockets: Vec<(Arc<dyn DatagramSocket>, SocketAddr)>,
    counters: Arc<SocketCounters>,
}

impl Sockets {
    pub(crate) fn new(
        sockets: Vec<Arc<dyn DatagramSocket>>,
        counters: Arc<SocketCounters>,
    ) -> io::Result<Self> {
        let sockets = sockets
            .into_iter()
            .map(|socket| {
                let address = socket.local_addr()?;
                Ok((socket, address))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { sockets, counters })
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn get(&self, index: usize) -> &dyn DatagramSocket {
        &*self.sockets[index].0
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(_, address)| *address)
    }

    pub(crate) fn counters(&self) -> &SocketCounters {
        &self.counters
    }

    /// Whether some socket can reach this address's family.
    pub(crate) fn serves(&self, remote: SocketAddr) -> bool {
        self.addresses()
            .any(|local| local.is_ipv4() == remote.is_ipv4())
    }

    /// The largest batch that any of the sockets takes, segments.
    pub(crate) fn max_segments(&self) -> usize {
        let most = self.sockets.iter().map(|(s, _)| s.max_segments()).max();
        most.unwrap_or(1)
    }

    /// The socket the protocol names, unless it is of the wrong family: the protocol does not know
    /// which socket the first packet to a peer has to leave by.
    fn select(&self, transmit: &Transmit) -> Option<usize> {
        let fits = |address: &SocketAddr| address.is_ipv4() == transmit.destination.is_ipv4();
        let named = usize::from(transmit.socket.0);
        if self.sockets.get(named).is_some_and(|(_, a)| fits(a)) {
            return Some(named);
        }
        self.sockets.iter().position(|(_, address)| fits(address))
    }

    /// Sends `contents`, the packets of `transmit` that are not sent yet, in as few system calls as
    /// the socket allows. What the operating system refuses counts as lost: timers see to it.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        let Some(index) = self.select(transmit) else {
            self.count_error(transmit, &io::ErrorKind::AddrNotAvailable.into());
            return Sent::All;
        };
        let socket = self.get(index);
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let mut sent = 0;
        let mut too_big = None;
        while sent < contents.len() {
            // What may be fragmented is larger than the path, and so larger than GSO's segments.
            let max_segments = match transmit.dont_fragment {
                true => socket.max_segments().max(1),
                false => 1,
            };
            let most = segment * max_segments.min((MAX_BATCH / segment).max(1));
            let part = &contents[sent..contents.len().min(sent + most)];
            let result = socket.try_send(&Batch {
                destination: transmit.destination,
                source_ip: transmit.source_ip,
                ecn: transmit.ecn,
                dont_fragment: transmit.dont_fragment,
                contents: part,
                segment_size: segment.min(part.len()),
            });
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Sent::Blocked {
                        socket: index,
                        bytes: sent,
                    };
                }
                // The network card turned out not to segment: again, one by one.
                Err(_) if part.len() > segment && socket.max_segments() < max_segments => continue,
                Err(error) => {
                    self.count_error(transmit, &error);
                    if transmit.dont_fragment && quinn_udp::is_msg_size_err(&error) {
                        too_big.get_or_insert(segment.min(part.len()));
                    }
                }
            }
            sent += part.len();
        }
        too_big.map_or(Sent::All, |size| Sent::TooBig { size })
    }

    /// Sends a reply that no association waits for; drops it when the socket has no room.
    pub(crate) fn send_reply(&self, transmit: &Transmit, contents: &[u8]) {
        if let Sent::Blocked { .. } = self.send(transmit, contents) {
            self.counters
                .replies_dropped
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_error(&self, transmit: &Transmit, error: &io::Error) {
        if quinn_udp::is_msg_size_err(error) {
            self.counters.too_big.fetch_add(1, Ordering::Relaxed);
        }
        // Once: an unreachable network fails every packet.
        if self.counters.send_errors.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::debug!(%error, to = %transmit.destination, "packets could not be sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::IoSliceMut,
        sync::Mutex,
        task::{Context, Poll},
    };

    use sctp_proto::SocketId;

    use super::*;
    use crate::socket::Received;

    /// Notes the sizes of batches; fails as told.
    #[derive(Debug)]
    struct Recorder {
        address: SocketAddr,
        segments: Mutex<usize>,
        results: Mutex<Vec<io::Result<()>>>,
        batches: Mutex<Vec<(usize, usize)>>,
    }

    impl Recorder {
        fn new(address: &str, segments: usize, mut results: Vec<io::Result<()>>) -> Arc<Self> {
            results.reverse();
            Arc::new(Self {
                address: address.parse().unwrap(),
                segments: Mutex::new(segments),
                results: Mutex::new(results),
                batches: Mutex::default(),
            })
        }

        fn batches(&self) -> Vec<(usize, usize)> {
            self.batches.lock().unwrap().clone()
        }
    }

    impl DatagramSocket for Recorder {
        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [Received],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
            let mut batches = self.batches.lock().unwrap();
            batches.push((batch.contents.len(), batch.segment_size));
            let result = self.results.lock().unwrap().pop().unwrap_or(Ok(()));
            if result
                .as_ref()
                .is_err_and(|e| e.kind() == io::ErrorKind::InvalidInput)
            {
                *self.segments.lock().unwrap() = 1;
            }
            result
        }

        fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(self.address)
        }

        fn max_segments(&self) -> usize {
            *self.segments.lock().unwrap()
        }
    }

    fn transmit(to: &str, segment_size: Option<usize>, size: usize) -> Transmit {
        Transmit {
            path: None,
            destination: to.parse().unwrap(),
            socket: SocketId(0),
            source_ip: None,
            dont_fragment: true,
            ecn: None,
            size,
            segment_size,
        }
    }

    fn sockets(list: &[&Arc<Recorder>]) -> Sockets {
        let list = list.iter().map(|s| Arc::clone(s) as _).collect();
        Sockets::new(list, Arc::default()).unwrap()
    }

    #[test]
    fn a_batch_is_cut_to_what_gso_can_carry() {
        let socket = Recorder::new("127.0.0.1:1", 64, vec![]);
        let sockets = sockets(&[&socket]);
        let contents = vec![0; 60 * 1240 + 7];
        let t = transmit("127.0.0.1:2", Some(1240), contents.len());
        assert_eq!(sockets.send(&t, &contents), Sent::All);
        assert_eq!(
            socket.batches(),
            [(52 * 1240, 1240), (8 * 1240 + 7, 1240)],
            "52 segments are the most that fit 65,507 bytes"
        );
    }

    #[test]
    fn what_may_be_fragmented_leaves_one_by_one() {
        let socket = Recorder::new("127.0.0.1:1", 64, vec![]);
        let sockets = sockets(&[&socket]);
        let mut t = transmit("127.0.0.1:2", Some(2000), 5000);
        t.dont_fragment = false;
        assert_eq!(sockets.send(&t, &[0; 5000]), Sent::All);
        assert_eq!(socket.batches(), [(2000, 2000), (2000, 2000), (1000, 1000)]);
    }

    #[test]
    fn what_did_not_fit_the_socket_is_told() {
        let full = || Err(io::ErrorKind::WouldBlock.into());
        let socket = Recorder::new("127.0.0.1:1", 2, vec![Ok(()), full()]);
        let sockets = sockets(&[&socket]);
        let t = transmit("127.0.0.1:2", Some(100), 500);
        let blocked = Sent::Blocked {
            socket: 0,
            bytes: 200,
        };
        assert_eq!(sockets.send(&t, &[0; 500]), blocked);
        assert_eq!(sockets.counters().snapshot(), SocketStats::default());

        *socket.results.lock().unwrap() = vec![full()];
        sockets.send_reply(&transmit("127.0.0.1:2", None, 10), &[0; 10]);
        assert_eq!(sockets.counters().snapshot().replies_dropped, 1);
    }

    #[test]
    fn a_refused_batch_leaves_packet_by_packet_when_gso_turns_out_broken() {
        let broken = Err(io::ErrorKind::InvalidInput.into());
        let socket = Recorder::new("127.0.0.1:1", 64, vec![broken]);
        let sockets = sockets(&[&socket]);
        let t = transmit("127.0.0.1:2", Some(100), 250);
        assert_eq!(sockets.send(&t, &[0; 250]), Sent::All);
        assert_eq!(
            socket.batches(),
            [(250, 100), (100, 100), (100, 100), (50, 50)]
        );
        assert_eq!(sockets.counters().snapshot().send_errors, 0);
    }

    #[test]
    fn other_errors_lose_the_batch_and_go_on() {
        let refused = Err(io::ErrorKind::PermissionDenied.into());
        let socket = Recorder::new("127.0.0.1:1", 1, vec![refused]);
        let sockets = sockets(&[&socket]);
        let t = transmit("127.0.0.1:2", Some(100), 200);
        assert_eq!(sockets.send(&t, &[0; 200]), Sent::All);
        assert_eq!(socket.batches().len(), 2);
        assert_eq!(sockets.counters().snapshot().send_errors, 1);
    }

    #[test]
    fn packets_too_big_for_the_interface_are_told() {
        let number = match std::env::consts::OS {
            "linux" | "android" => 90,
            "windows" => 10_040,
            _ => 40,
        };
        let too_big = || Err(io::Error::from_raw_os_error(number));
        let results = vec![too_big(), too_big(), Ok(()), too_big()];
        let socket = Recorder::new("127.0.0.1:1", 1, results);
        let sockets = sockets(&[&socket]);
        let mut t = transmit("127.0.0.1:2", Some(1472), 3000);
        assert_eq!(sockets.send(&t, &[0; 3000]), Sent::TooBig { size: 1472 });
        assert_eq!(sockets.counters().snapshot().too_big, 2);
        // What may be fragmented cannot be made smaller.
        t.dont_fragment = false;
        assert_eq!(sockets.send(&t, &[0; 1000]), Sent::All);
    }

    #[test]
    fn the_address_family_chooses_the_socket() {
        let v4 = Recorder::new("127.0.0.1:1", 1, vec![]);
        let v6 = Recorder::new("[::1]:1", 1, vec![]);
        let both = sockets(&[&v4, &v6]);
        assert_eq!(
            both.send(&transmit("[::1]:2", None, 10), &[0; 10]),
            Sent::All
        );
        assert_eq!((v4.batches().len(), v6.batches().len()), (0, 1));
        let none = sockets(&[&v4]);
        assert!(!none.serves("[::1]:2".parse().unwrap()));
        assert_eq!(
            none.send(&transmit("[::1]:2", None, 10), &[0; 10]),
            Sent::All
        );
        assert_eq!(none.counters().snapshot().send_errors, 1);
    }
}
