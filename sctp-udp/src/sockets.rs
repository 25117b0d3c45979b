//! The sockets of one endpoint, and how a batch of packets leaves by one of them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use sctp_proto::{ErrorDetection, SocketId, Transmit};

use crate::socket::{Batch, DatagramSocket};

/// Most bytes one GSO batch can carry: what fits an IPv4 packet, less IP and UDP headers.
const MAX_BATCH: usize = 65_535 - 20 - 8;

/// Sockets that an endpoint can have.
pub(crate) const MAX_SOCKETS: usize = u16::MAX as usize;

/// Counters of the sockets of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Batches of packets that the operating system would not send, and which therefore count as
    /// lost on the way.
    pub send_errors: u64,
    /// Those of them that were larger than the local interface carries, which makes packets smaller.
    pub too_big: u64,
    /// Those of them that had no way out: an address of this machine that is gone, or no route.
    pub unreachable: u64,
    /// Replies without an association dropped since the socket had no room.
    pub replies_dropped: u64,
    /// Errors on receiving.
    pub recv_errors: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SocketCounters {
    pub(crate) send_errors: AtomicU64,
    pub(crate) too_big: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    pub(crate) replies_dropped: AtomicU64,
    pub(crate) recv_errors: AtomicU64,
}

impl SocketCounters {
    pub(crate) fn snapshot(&self) -> SocketStats {
        SocketStats {
            send_errors: self.send_errors.load(Ordering::Relaxed),
            too_big: self.too_big.load(Ordering::Relaxed),
            unreachable: self.unreachable.load(Ordering::Relaxed),
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
    /// As `All`; the operating system says that no packet leaves for there, or from the source
    /// address asked for.
    Unreachable,
    /// As `All`; packets of so many bytes are more than the local interface carries.
    TooBig { size: usize },
    /// The socket has no room: this many bytes of it are gone, the rest is to be tried again.
    Blocked { socket: usize, bytes: usize },
}

/// The sockets, by the number that the protocol knows them by. Numbers of sockets that are closed
/// are given to new ones: what a path remembers is only a hint, see [`select`](Self::select).
#[derive(Debug)]
pub(crate) struct Sockets {
    slots: RwLock<Vec<Option<Slot>>>,
    /// What finds errors in whatever comes by any of them. Holds for as long as the endpoint lives:
    /// associations may rely on it.
    detection: Option<ErrorDetection>,
    counters: Arc<SocketCounters>,
}

#[derive(Debug)]
struct Slot {
    socket: Arc<dyn DatagramSocket>,
    address: SocketAddr,
}

impl Slot {
    fn new(socket: Arc<dyn DatagramSocket>) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Whether a datagram to `remote` can leave by this socket.
    fn reaches(&self, remote: SocketAddr) -> bool {
        self.address.is_ipv4() == remote.is_ipv4()
    }

    /// Whether a datagram can have this source address.
    fn sends_from(&self, source: Option<IpAddr>) -> bool {
        let bound = self.address.ip();
        source.is_none_or(|source| bound.is_unspecified() || bound == source)
    }
}

impl Sockets {
    pub(crate) fn new(
        sockets: Vec<Arc<dyn DatagramSocket>>,
        counters: Arc<SocketCounters>,
    ) -> io::Result<Self> {
        let methods = sockets.iter().map(|socket| socket.error_detection());
        let detection = methods
            .reduce(|all, one| all.filter(|_| all == one))
            .flatten();
        let slots = sockets
            .into_iter()
            .map(|socket| Slot::new(socket).map(Some));
        Ok(Self {
            slots: RwLock::new(slots.collect::<io::Result<_>>()?),
            detection,
            counters,
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Option<Slot>>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Option<Slot>>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more than the greatest number.
    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// The socket with this number, unless it is closed.
    pub(crate) fn get(&self, index: usize) -> Option<Arc<dyn DatagramSocket>> {
        let slots = self.read();
        slots.get(index)?.as_ref().map(|slot| slot.socket.clone())
    }

    /// Takes another socket.
    pub(crate) fn add(&self, socket: Arc<dyn DatagramSocket>) -> io::Result<()> {
        if self.detection.is_some() && socket.error_detection() != self.detection {
            let weaker = "the endpoint's other sockets detect errors by other means";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, weaker));
        }
        let slot = Slot::new(socket)?;
        let mut slots = self.write();
        match slots.iter().position(Option::is_none) {
            Some(free) => slots[free] = Some(slot),
            None if slots.len() < MAX_SOCKETS => slots.push(Some(slot)),
            None => return Err(io::Error::other("an endpoint has at most 65535 sockets")),
        }
        Ok(())
    }

    /// Closes the sockets bound to this address by name, once nobody uses them any more; whether
    /// there are some. The last socket of an endpoint stays.
    pub(crate) fn remove(&self, ip: IpAddr) -> bool {
        let mut slots = self.write();
        let is_it = |slot: &Option<Slot>| slot.as_ref().is_some_and(|s| s.address.ip() == ip);
        let others = slots.iter().filter(|slot| slot.is_some() && !is_it(slot));
        if others.count() == 0 {
            return false;
        }
        let mut found = false;
        for slot in slots.iter_mut().filter(|slot| is_it(slot)) {
            *slot = None;
            found = true;
        }
        found
    }

    /// What the sockets are bound to, with their numbers.
    pub(crate) fn bound(&self) -> Vec<(SocketId, SocketAddr)> {
        let slots = self.read();
        let numbers = (0..=u16::MAX).map(SocketId);
        let bound = |(id, slot): (SocketId, &Option<Slot>)| Some((id, slot.as_ref()?.address));
        numbers.zip(slots.iter()).filter_map(bound).collect()
    }

    pub(crate) fn counters(&self) -> &SocketCounters {
        &self.counters
    }

    /// Whether some socket can reach this address's family.
    pub(crate) fn serves(&self, remote: SocketAddr) -> bool {
        let slots = self.read();
        slots.iter().flatten().any(|slot| slot.reaches(remote))
    }

    /// What finds errors in whatever comes by any of the sockets.
    pub(crate) fn error_detection(&self) -> Option<ErrorDetection> {
        self.detection
    }

    /// The largest batch that any of the sockets takes, segments.
    pub(crate) fn max_segments(&self) -> usize {
        let slots = self.read();
        let most = slots.iter().flatten().map(|s| s.socket.max_segments());
        most.max().unwrap_or(1)
    }

    /// The socket the protocol names, if it can send this; else another that can. The protocol does
    /// not know which socket the first packet to a peer has to leave by, and one it knew may be
    /// closed.
    fn select(slots: &[Option<Slot>], transmit: &Transmit) -> Option<usize> {
        let fits = |slot: &Option<Slot>| {
            slot.as_ref().is_some_and(|slot| {
                slot.reaches(transmit.destination) && slot.sends_from(transmit.source_ip)
            })
        };
        let named = usize::from(transmit.socket.0);
        if slots.get(named).is_some_and(fits) {
            return Some(named);
        }
        slots.iter().position(fits)
    }

    /// Sends `contents`, the packets of `transmit` that are not sent yet, in as few system calls as
    /// the socket allows. What the operating system refuses counts as lost: timers see to it.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        // Held while packets leave, which never waits: a socket is closed after that.
        let slots = self.read();
        let selected = Self::select(&slots, transmit)
            .and_then(|index| Some((index, slots.get(index)?.as_ref()?)));
        let Some((index, Slot { socket, .. })) = selected else {
            self.count_error(transmit, &io::ErrorKind::AddrNotAvailable.into());
            return Sent::Unreachable;
        };
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let mut sent = 0;
        let mut too_big = None;
        let mut unreachable = false;
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
                    unreachable |= is_unreachable(&error);
                    if transmit.dont_fragment && quinn_udp::is_msg_size_err(&error) {
                        too_big.get_or_insert(segment.min(part.len()));
                    }
                }
            }
            sent += part.len();
        }
        match too_big {
            Some(size) => Sent::TooBig { size },
            None if unreachable => Sent::Unreachable,
            None => Sent::All,
        }
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
        if is_unreachable(error) {
            self.counters.unreachable.fetch_add(1, Ordering::Relaxed);
        }
        // Once: an unreachable network fails every packet.
        if self.counters.send_errors.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::debug!(%error, to = %transmit.destination, "packets could not be sent");
        }
    }
}

/// Whether the error says that this machine has no way there. It holds until its addresses or
/// routes change, unlike the error for one packet.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

#[cfg(test)]
mod tests {
    use std::{
        io::IoSliceMut,
        sync::Mutex,
        task::{Context, Poll},
    };

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

    /// A socket that says of itself that nothing is changed on its way.
    #[derive(Debug)]
    struct Guarded(Arc<Recorder>);

    impl DatagramSocket for Guarded {
        fn poll_recv(
            &self,
            cx: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            received: &mut [Received],
        ) -> Poll<io::Result<usize>> {
            self.0.poll_recv(cx, buffers, received)
        }

        fn try_send(&self, batch: &Batch<'_>) -> io::Result<()> {
            self.0.try_send(batch)
        }

        fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.poll_writable(cx)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }

        fn error_detection(&self) -> Option<ErrorDetection> {
            Some(ErrorDetection::Dtls)
        }
    }

    #[test]
    fn errors_are_detected_only_if_every_socket_says_so() {
        let plain = || Recorder::new("127.0.0.1:1", 1, vec![]);
        let guarded = || Arc::new(Guarded(plain()));
        let of = |list: Vec<Arc<dyn DatagramSocket>>| Sockets::new(list, Arc::default()).unwrap();
        assert_eq!(of(vec![plain()]).error_detection(), None);
        assert_eq!(of(vec![guarded(), plain()]).error_detection(), None);
        assert_eq!(of(vec![plain(), guarded()]).error_detection(), None);
        let both = of(vec![guarded(), guarded()]);
        assert_eq!(both.error_detection(), Some(ErrorDetection::Dtls));
        // Associations may rely on it by now.
        assert!(both.add(plain()).is_err());
        assert!(both.add(guarded()).is_ok());
        assert!(of(vec![plain()]).add(plain()).is_ok());
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
            Sent::Unreachable
        );
        assert_eq!(none.counters().snapshot().send_errors, 1);
    }

    #[test]
    fn the_source_address_chooses_the_socket_if_the_one_named_is_bound_to_another() {
        let a = Recorder::new("127.0.0.1:1", 1, vec![]);
        let b = Recorder::new("127.0.0.2:1", 1, vec![]);
        let both = sockets(&[&a, &b]);
        let mut t = transmit("127.0.0.9:2", None, 10);
        for (named, source, expected) in [
            (1, None, (0, 1)),
            (0, Some("127.0.0.2"), (0, 2)),
            (1, Some("127.0.0.1"), (1, 2)),
            (7, None, (2, 2)),
        ] {
            t.socket = SocketId(named);
            t.source_ip = source.map(|ip| ip.parse().unwrap());
            assert_eq!(both.send(&t, &[0; 10]), Sent::All);
            assert_eq!((a.batches().len(), b.batches().len()), expected);
        }
        t.source_ip = Some("127.0.0.3".parse().unwrap());
        assert_eq!(both.send(&t, &[0; 10]), Sent::Unreachable);
        assert_eq!(both.counters().snapshot().unreachable, 1);
        let wildcard = Recorder::new("0.0.0.0:1", 1, vec![]);
        both.add(wildcard.clone()).unwrap();
        assert_eq!(both.send(&t, &[0; 10]), Sent::All);
        assert_eq!(wildcard.batches().len(), 1);
    }

    #[test]
    fn sockets_come_and_go() {
        let a = Recorder::new("127.0.0.1:1", 1, vec![]);
        let b = Recorder::new("127.0.0.2:1", 1, vec![]);
        let both = sockets(&[&a, &b]);
        assert!(both.remove(a.address.ip()));
        assert!(both.get(0).is_none());
        assert_eq!(both.bound(), [(SocketId(1), b.address)]);
        // What named the closed socket leaves by another.
        let t = transmit("127.0.0.9:2", None, 10);
        assert_eq!(both.send(&t, &[0; 10]), Sent::All);
        assert_eq!((a.batches().len(), b.batches().len()), (0, 1));
        assert!(!both.remove(a.address.ip()), "gone already");
        assert!(!both.remove(b.address.ip()), "the last one");
        let c = Recorder::new("127.0.0.3:1", 1, vec![]);
        both.add(c.clone()).unwrap();
        assert_eq!(both.len(), 2, "the number is used again");
        assert_eq!(both.bound()[0], (SocketId(0), c.address));
    }

    #[test]
    fn what_has_no_way_out_is_told() {
        for (kind, told) in [
            (io::ErrorKind::AddrNotAvailable, Sent::Unreachable),
            (io::ErrorKind::NetworkUnreachable, Sent::Unreachable),
            (io::ErrorKind::HostUnreachable, Sent::Unreachable),
            (io::ErrorKind::PermissionDenied, Sent::All),
        ] {
            let socket = Recorder::new("127.0.0.1:1", 1, vec![Err(kind.into())]);
            let sockets = sockets(&[&socket]);
            let t = transmit("127.0.0.1:2", None, 10);
            assert_eq!(sockets.send(&t, &[0; 10]), told, "{kind}");
            assert_eq!(sockets.counters().snapshot().send_errors, 1);
        }
    }
}
