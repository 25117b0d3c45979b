//! A network in virtual time: what it does to a packet follows from its seed and its scripts.
//!
//! Nobody waits here. [`Net::send`] decides what becomes of a packet and when it arrives;
//! [`Net::poll`] gives those that have arrived.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sctp_proto::{EcnCodepoint, Instant};

use crate::{codec::Packet, rng::Rng, trace::Trace};

/// What a link does to packets of one direction.
#[derive(Debug, Clone)]
pub struct Link {
    /// Time a packet takes at least. Default 10 ms.
    pub delay: Duration,
    /// Random addition to the delay, up to this; packets do not overtake each other by it.
    pub jitter: Duration,
    /// Packets arrive only once in this time, all that are due, as over a medium that senders take
    /// in turns (Wi-Fi, LTE, cable).
    pub turn: Duration,
    /// Bytes per second, IP and UDP headers not counted; `None` for no limit.
    pub rate: Option<u64>,
    /// With a rate: bytes that wait at most; what comes on top is dropped, but for a packet that
    /// finds nothing before it, however large. Default 64 KiB.
    pub queue: usize,
    /// Share of packets lost at random.
    pub loss: f64,
    /// Losses in bursts.
    pub burst: Option<Gilbert>,
    /// Share of packets that later ones may overtake: held back up to [`Link::hold`].
    pub reorder: f64,
    /// How long a reordered packet is held back at most. Default 20 ms.
    pub hold: Duration,
    /// Share of packets that arrive twice.
    pub duplicate: f64,
    /// Share of packets of which one bit is flipped.
    pub corrupt: f64,
    /// Largest UDP payload that may be sent without fragmentation; larger packets marked "do not
    /// fragment" are dropped.
    pub max_payload: usize,
    /// Whether every packet is dropped.
    pub down: bool,
    /// What becomes of ECN bits.
    pub ecn: Ecn,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            turn: Duration::ZERO,
            rate: None,
            queue: 64 * 1024,
            loss: 0.0,
            burst: None,
            reorder: 0.0,
            hold: Duration::from_millis(20),
            duplicate: 0.0,
            corrupt: 0.0,
            max_payload: 65_507,
            down: false,
            ecn: Ecn::default(),
        }
    }
}

/// What a link does with packets that are marked ECT.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Ecn {
    /// Nothing.
    #[default]
    Pass,
    /// Marks this share of them with Congestion Experienced.
    Mark(f64),
    /// Marks those before which so many bytes wait, on a link with a rate.
    MarkAbove(usize),
    /// Clears the bits.
    Bleach,
    /// Loses them.
    Lose,
}

/// Gilbert and Elliott's model of bursty loss: in the good state packets are lost as
/// [`Link::loss`] has it, in the bad state many more are.
#[derive(Debug, Clone, Copy)]
pub struct Gilbert {
    /// Probability per packet to go from good to bad.
    pub enter: f64,
    /// Probability per packet to go from bad to good: bursts last `1 / leave` packets on average.
    pub leave: f64,
    /// Share of packets lost in the bad state.
    pub loss: f64,
}

/// A UDP datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// The SCTP packet.
    pub payload: Vec<u8>,
    /// Whether it must not be fragmented.
    pub dont_fragment: bool,
    /// ECN bits of its IP header.
    pub ecn: Option<EcnCodepoint>,
}

impl Datagram {
    /// Whether it has a chunk of this type.
    pub fn has(&self, kind: u8) -> bool {
        Packet::kinds(&self.payload).contains(&kind)
    }
}

/// What a script decides about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As if the script were not there.
    Pass,
    /// Lost.
    Drop,
    /// Held back by this much, and spared by the randomness of the link.
    Delay(Duration),
    /// Arrives twice, and spared by the randomness of the link.
    Duplicate,
    /// Another payload arrives instead.
    Replace(Vec<u8>),
}

type Script = Box<dyn FnMut(Instant, &Datagram) -> Verdict + Send>;

/// Counters of what became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct NetStats {
    pub sent: u64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    pub bytes: u64,
}

#[derive(Debug)]
struct Direction {
    link: Link,
    /// When the last byte queued will have left.
    busy_until: Instant,
    /// Arrival of the packet sent last, which the next may not precede.
    last_arrival: Instant,
    bad: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Arrival {
    at: Instant,
    number: u64,
    datagram: Datagram,
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The network between the hosts of a test.
pub struct Net {
    rng: Rng,
    default_link: Link,
    directions: HashMap<(IpAddr, IpAddr), Direction>,
    in_flight: BinaryHeap<Reverse<Arrival>>,
    sent: u64,
    scripts: Vec<Script>,
    /// Inside address -> outside address.
    nat: HashMap<SocketAddr, SocketAddr>,
    /// What a host is outside for one of its peers alone.
    nat_toward: HashMap<(SocketAddr, IpAddr), SocketAddr>,
    stats: NetStats,
    /// What was sent.
    pub trace: Trace,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("in_flight", &self.in_flight.len())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Net {
    /// A network all of whose links are like `link` unless told otherwise.
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            rng: Rng::new(seed),
            default_link: link,
            directions: HashMap::new(),
            in_flight: BinaryHeap::new(),
            sent: 0,
            scripts: Vec::new(),
            nat: HashMap::new(),
            nat_toward: HashMap::new(),
            stats: NetStats::default(),
            trace: Trace::default(),
        }
    }

    /// The link from one address to another, to be changed.
    pub fn link(&mut self, from: IpAddr, to: IpAddr) -> &mut Link {
        &mut self.direction(from, to).link
    }

    /// Changes all links.
    pub fn links(&mut self, change: impl Fn(&mut Link)) {
        change(&mut self.default_link);
        for direction in self.directions.values_mut() {
            change(&mut direction.link);
        }
    }

    /// Adds a script: it sees every packet, after those added before it let it pass.
    pub fn script(&mut self, script: impl FnMut(Instant, &Datagram) -> Verdict + Send + 'static) {
        self.scripts.push(Box::new(script));
    }

    /// Removes all scripts.
    pub fn clear_scripts(&mut self) {
        self.scripts.clear();
    }

    /// Loses the next `count` packets, whoever sends them.
    pub fn drop_next(&mut self, count: usize) {
        self.drop_next_if(count, |_| true);
    }

    /// Loses the next `count` packets that have a chunk of this type.
    pub fn drop_chunk(&mut self, kind: u8, count: usize) {
        self.drop_next_if(count, move |datagram| datagram.has(kind));
    }

    /// Loses the next `count` packets that `which` says yes to.
    pub fn drop_next_if(
        &mut self,
        count: usize,
        which: impl Fn(&Datagram) -> bool + Send + 'static,
    ) {
        let mut left = count;
        self.script(move |_, datagram| {
            if left > 0 && which(datagram) {
                left -= 1;
                return Verdict::Drop;
            }
            Verdict::Pass
        });
    }

    /// Puts a host behind a NAT, or gives it a new address there: from now on its packets come
    /// from `outside`, and what is sent to an earlier outside address is lost.
    pub fn rebind(&mut self, inside: SocketAddr, outside: SocketAddr) {
        self.nat.insert(inside, outside);
    }

    /// Has the NAT give a host another address for one of its peers, from which alone packets to it
    /// get through.
    pub fn rebind_toward(&mut self, inside: SocketAddr, peer: IpAddr, outside: SocketAddr) {
        self.nat_toward.insert((inside, peer), outside);
    }

    /// Takes a packet at `now`.
    pub fn send(&mut self, now: Instant, mut datagram: Datagram) {
        self.stats.sent += 1;
        self.stats.bytes += datagram.payload.len() as u64;
        let toward = self.nat_toward.get(&(datagram.from, datagram.to.ip()));
        if let Some(outside) = toward.or_else(|| self.nat.get(&datagram.from)) {
            datagram.from = *outside;
        }
        let mut verdict = Verdict::Pass;
        for script in &mut self.scripts {
            verdict = script(now, &datagram);
            if verdict != Verdict::Pass {
                break;
            }
        }
        if let Err(why) = self.apply_ecn(now, &mut datagram) {
            let (from, to) = (datagram.from, datagram.to);
            self.trace.record(now, from, to, &datagram.payload, why);
            self.stats.lost += 1;
            return;
        }
        let fate = match verdict {
            Verdict::Pass => self.fate(now, &datagram),
            Verdict::Drop => Err("dropped by the test"),
            Verdict::Delay(extra) => Ok((vec![self.transit(now, &datagram) + extra], "delayed")),
            Verdict::Duplicate => {
                let at = self.transit(now, &datagram);
                Ok((vec![at, at], "duplicated by the test"))
            }
            Verdict::Replace(payload) => {
                datagram.payload = payload;
                Ok((vec![self.transit(now, &datagram)], "replaced by the test"))
            }
        };
        let comment = match &fate {
            Ok((_, comment)) | Err(comment) => comment,
        };
        let (from, to) = (datagram.from, datagram.to);
        self.trace.record(now, from, to, &datagram.payload, comment);
        match fate {
            Ok((arrivals, _)) => {
                if arrivals.len() > 1 {
                    self.stats.duplicated += 1;
                }
                for at in arrivals {
                    self.deliver(at, datagram.clone());
                }
            }
            Err(_) => self.stats.lost += 1,
        }
    }

    /// Puts a datagram into the network that arrives at `at`, whatever the links are like.
    pub fn deliver(&mut self, at: Instant, mut datagram: Datagram) {
        if !self.translate(&mut datagram) {
            self.stats.lost += 1;
            return;
        }
        self.sent += 1;
        let corrupt = self
            .direction(datagram.from.ip(), datagram.to.ip())
            .link
            .corrupt;
        if self.rng.chance(corrupt) {
            self.stats.corrupted += 1;
            let bit = self.rng.below(datagram.payload.len() * 8);
            datagram.payload[bit / 8] ^= 1 << (bit % 8);
        }
        self.in_flight.push(Reverse(Arrival {
            at,
            number: self.sent,
            datagram,
        }));
    }

    /// When the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.peek().map(|Reverse(arrival)| arrival.at)
    }

    /// The next packet that has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Datagram> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse(arrival) = self.in_flight.pop()?;
        self.stats.delivered += 1;
        Some(arrival.datagram)
    }

    /// Counters.
    pub fn stats(&self) -> NetStats {
        self.stats
    }

    /// Destination back to the inside; false if it is an inside address already, which nobody
    /// outside can reach.
    fn translate(&self, datagram: &mut Datagram) -> bool {
        if self.nat.contains_key(&datagram.to) {
            return false;
        }
        let to = datagram.to;
        if let Some(((inside, peer), _)) = self.nat_toward.iter().find(|(_, out)| **out == to) {
            datagram.to = *inside;
            return *peer == datagram.from.ip();
        }
        if let Some((inside, _)) = self.nat.iter().find(|(_, out)| **out == to) {
            datagram.to = *inside;
        }
        true
    }

    fn direction(&mut self, from: IpAddr, to: IpAddr) -> &mut Direction {
        self.directions
            .entry((from, to))
            .or_insert_with(|| Direction {
                link: self.default_link.clone(),
                busy_until: Instant::EPOCH,
                last_arrival: Instant::EPOCH,
                bad: false,
            })
    }

    /// What the link does with the packet's ECN bits, or why it is lost.
    fn apply_ecn(&mut self, now: Instant, datagram: &mut Datagram) -> Result<(), &'static str> {
        if datagram.ecn.is_none() {
            return Ok(());
        }
        let direction = self.direction(datagram.from.ip(), datagram.to.ip());
        let rate = direction.link.rate.unwrap_or(0);
        let wait = direction.busy_until.saturating_duration_since(now);
        let queued = (wait.as_secs_f64() * rate as f64) as usize;
        match direction.link.ecn {
            Ecn::Pass => {}
            Ecn::Mark(share) => {
                if self.rng.chance(share) {
                    datagram.ecn = Some(EcnCodepoint::Ce);
                }
            }
            Ecn::MarkAbove(bytes) => {
                if queued > bytes {
                    datagram.ecn = Some(EcnCodepoint::Ce);
                }
            }
            Ecn::Bleach => datagram.ecn = None,
            Ecn::Lose => return Err("lost: marked ECT"),
        }
        Ok(())
    }

    /// What chance decides: when the packet arrives (twice, if duplicated), or why it does not.
    fn fate(
        &mut self,
        now: Instant,
        datagram: &Datagram,
    ) -> Result<(Vec<Instant>, &'static str), &'static str> {
        let mut rng = self.rng.clone();
        let direction = self.direction(datagram.from.ip(), datagram.to.ip());
        let link = direction.link.clone();
        if let Some(gilbert) = link.burst {
            let change = if direction.bad {
                gilbert.leave
            } else {
                gilbert.enter
            };
            direction.bad ^= rng.chance(change);
        }
        let queued = link.rate.map_or(0, |rate| {
            let wait = direction.busy_until.saturating_duration_since(now);
            (wait.as_secs_f64() * rate as f64) as usize
        });
        let family = |address: SocketAddr| address.ip().to_canonical().is_ipv4();
        let lost = if family(datagram.from) != family(datagram.to) {
            Some("lost: addresses of two families")
        } else if link.down {
            Some("lost: the link is down")
        } else if direction.bad && rng.chance(link.burst.map_or(0.0, |burst| burst.loss)) {
            Some("lost in a burst")
        } else if rng.chance(link.loss) {
            Some("lost")
        } else if datagram.dont_fragment && datagram.payload.len() > link.max_payload {
            Some("lost: too large for the link")
        } else if queued > 0 && queued + datagram.payload.len() > link.queue {
            Some("lost: the queue is full")
        } else {
            None
        };
        if let Some(why) = lost {
            self.rng = rng;
            return Err(why);
        }
        let jitter = rng.below(link.jitter.as_nanos() as usize + 1);
        let reordered = rng.chance(link.reorder);
        let held = rng.below(link.hold.as_nanos() as usize + 1);
        let duplicated = rng.chance(link.duplicate);
        let echo = rng.below(link.hold.as_nanos() as usize + 1);
        self.rng = rng;

        let mut at = self.transit(now, datagram) + Duration::from_nanos(jitter as u64);
        let direction = self.direction(datagram.from.ip(), datagram.to.ip());
        let turn = direction.link.turn;
        if !turn.is_zero() {
            let due = at.saturating_duration_since(Instant::EPOCH).as_nanos();
            let turns = due.div_ceil(turn.as_nanos()) as u32;
            at = Instant::EPOCH + turn * turns;
        }
        if reordered {
            at += Duration::from_nanos(held as u64);
        } else {
            at = at.max(direction.last_arrival);
            direction.last_arrival = at;
        }
        if duplicated {
            let twice = vec![at, at + Duration::from_nanos(echo as u64)];
            return Ok((twice, "duplicated"));
        }
        Ok((vec![at], if reordered { "held back" } else { "" }))
    }

    /// When a packet arrives that leaves nothing to chance; takes its share of the rate.
    fn transit(&mut self, now: Instant, datagram: &Datagram) -> Instant {
        let direction = self.direction(datagram.from.ip(), datagram.to.ip());
        let Some(rate) = direction.link.rate else {
            return now + direction.link.delay;
        };
        let nanos = datagram.payload.len() as u64 * 1_000_000_000 / rate;
        direction.busy_until = direction.busy_until.max(now) + Duration::from_nanos(nanos);
        direction.busy_until + direction.link.delay
    }
}

#[cfg(test)]
mod tests;
