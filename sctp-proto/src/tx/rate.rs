//! How fast a path delivers (draft-ietf-ccwg-bbr §4.1): what was acknowledged between the
//! transmission of a chunk and its acknowledgement, by the time that took.
//!
//! Every transmission takes along how much had been delivered when it left; its acknowledgement
//! compares. The time is the longer of that in which the data was sent and that in which it was
//! acknowledged: SACKs that come in a bunch, and data that left in one, look faster than the path
//! is. Retransmissions need no care besides: a chunk has the notes of its last transmission, and
//! what was delivered since then was delivered since then, whichever copy arrived.
//!
//! Only controllers that ask for it pay: without one there are no notes and no samplers.

use std::time::Duration;

use super::outstanding::{Credit, Outstanding, Record};
use crate::{
    congestion::{Delivery, LossAtFlight, RateSample},
    ids::PathId,
    time::Instant,
};

/// What a transmission takes along.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    /// Bytes that had been delivered on the path, and when the last of them were.
    delivered: u64,
    delivered_at: Instant,
    /// When the first chunk of this send interval left.
    first_sent_at: Instant,
    /// Bytes that had been lost.
    lost: u64,
    /// Bytes in flight, this chunk included.
    flight: usize,
    /// Whether there was too little to send for the path.
    app_limited: bool,
}

/// The rate sampler of one path. Byte counts are of chunks.
#[derive(Debug)]
pub(super) struct Sampler {
    delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    lost: u64,
    /// The sender has had too little to send until so much is delivered; 0 if it has not.
    app_limited_until: u64,
    fresh: Fresh,
}

/// What happened since the last sample was taken.
#[derive(Debug, Default)]
struct Fresh {
    acked: usize,
    lost: usize,
    /// Of what was acknowledged, the last to leave: its notes, and when that was.
    newest: Option<(Note, Instant)>,
    loss: Option<LossAtFlight>,
}

impl Sampler {
    fn new() -> Self {
        Self {
            delivered: 0,
            delivered_at: Instant::EPOCH,
            first_sent_at: Instant::EPOCH,
            lost: 0,
            app_limited_until: 0,
            fresh: Fresh::default(),
        }
    }

    /// A chunk of so many bytes leaves; `flight` does not count it yet.
    fn sent(&mut self, now: Instant, bytes: usize, flight: usize) -> Note {
        if flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Note {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            flight: flight + bytes,
            app_limited: self.app_limited_until > 0,
        }
    }

    /// So many bytes are at the peer.
    fn delivered(&mut self, now: Instant, bytes: usize, note: Option<Note>, sent_at: Instant) {
        self.delivered += bytes as u64;
        self.delivered_at = now;
        self.fresh.acked += bytes;
        if self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let Some(note) = note else {
            return;
        };
        let newest = &mut self.fresh.newest;
        if newest.is_none_or(|(_, at)| at <= sent_at) {
            *newest = Some((note, sent_at));
            self.first_sent_at = self.first_sent_at.max(sent_at);
        }
    }

    fn lost(&mut self, bytes: usize, note: Option<Note>) {
        self.lost += bytes as u64;
        self.fresh.lost += bytes;
        if let Some(note) = note {
            let loss = LossAtFlight {
                flight: note.flight,
                lost: self.lost.saturating_sub(note.lost),
                app_limited: note.app_limited,
            };
            if self.fresh.loss.is_none_or(|worst| worst.lost <= loss.lost) {
                self.fresh.loss = Some(loss);
            }
        }
    }

    fn take(&mut self, min_rtt: Option<Duration>) -> Option<Taken> {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.acked == 0 && fresh.lost == 0 {
            return None;
        }
        let delivery = fresh.newest.map(|(note, sent_at)| {
            let bytes = self.delivered.saturating_sub(note.delivered);
            let sending = sent_at - note.first_sent_at;
            let acknowledging = self.delivered_at - note.delivered_at;
            let interval = sending.max(acknowledging);
            // Nothing can have been sent and acknowledged in less than a round trip.
            let valid = !interval.is_zero() && min_rtt.is_none_or(|least| interval >= least);
            Delivery {
                prior: note.delivered,
                bytes,
                rate: valid.then(|| per_second(bytes, interval)),
                flight: note.flight,
                lost: self.lost.saturating_sub(note.lost),
                app_limited: note.app_limited,
            }
        });
        Some(Taken {
            fresh_acked: fresh.acked,
            fresh_lost: fresh.lost,
            delivery,
            loss: fresh.loss,
        })
    }
}

struct Taken {
    fresh_acked: usize,
    fresh_lost: usize,
    delivery: Option<Delivery>,
    loss: Option<LossAtFlight>,
}

/// Bytes per second.
fn per_second(bytes: u64, interval: Duration) -> u64 {
    let nanos = interval.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// The notes of all records, side by side with them; empty where no path is sampled.
impl Outstanding {
    /// From now on the deliveries of a path are sampled. O(window) the first time, O(1) when they
    /// are already.
    pub(crate) fn sample_rate(&mut self, path: PathId) {
        self.know_path(path);
        let sampler = &mut self.paths[path.index()].sampler;
        if sampler.is_none() {
            *sampler = Some(Box::new(Sampler::new()));
            self.sampling = true;
            self.notes.resize(self.records.len(), None);
        }
    }

    /// Everything that could be sent on a path was, and its window has room: what is measured until
    /// all of that is delivered says how much there was to send, not what the path carries.
    pub(crate) fn app_limited(&mut self, path: PathId) {
        if let Some(path) = self.paths.get_mut(path.index())
            && let Some(sampler) = &mut path.sampler
        {
            sampler.app_limited_until = (sampler.delivered + path.bytes as u64).max(1);
        }
    }

    /// What was acknowledged and lost on a path since the last call; `None` if nothing was. To be
    /// called when the losses that a SACK tells of are known.
    pub(crate) fn take_sample(
        &mut self,
        now: Instant,
        path: PathId,
        rtt: Option<Duration>,
        window_used: bool,
    ) -> Option<RateSample> {
        let path = self.paths.get_mut(path.index())?;
        let sampler = path.sampler.as_mut()?;
        let taken = sampler.take(path.rack.min_rtt())?;
        Some(RateSample {
            now,
            acked: taken.fresh_acked,
            lost: taken.fresh_lost,
            flight: path.bytes,
            delivered: sampler.delivered,
            rtt,
            window_used,
            delivery: taken.delivery,
            loss: taken.loss,
        })
    }

    /// A record enters flight: takes its notes, before it is counted.
    pub(super) fn note_sent(&mut self, now: Instant, index: u32, path: PathId, len: u16) {
        if !self.sampling {
            return;
        }
        let size = self.chunk_size(len);
        let note = self.paths.get_mut(path.index()).and_then(|path| {
            let flight = path.bytes;
            let sampler = path.sampler.as_mut()?;
            Some(sampler.sent(now, size, flight))
        });
        match self.notes.get_mut(index as usize) {
            Some(kept) => *kept = note,
            None => self.notes.push_back(note),
        }
    }

    /// A record joins that never left.
    pub(super) fn note_nothing(&mut self) {
        if self.sampling {
            self.notes.push_back(None);
        }
    }

    /// A record is acknowledged. Counts once, whether or not the peer takes that back, and what is
    /// given up does not count, as for any controller.
    pub(super) fn note_delivered(&mut self, now: Instant, note: Option<Note>, record: &Record) {
        if record.credit != Credit::Due {
            return;
        }
        let size = self.chunk_size(record.len);
        if let Some(sampler) = &mut self.paths[record.path.index()].sampler {
            sampler.delivered(now, size, note, record.sent_at);
        }
    }

    /// A record is taken for lost.
    pub(super) fn note_lost(&mut self, index: u32, record: &Record) {
        let size = self.chunk_size(record.len);
        if let Some(sampler) = &mut self.paths[record.path.index()].sampler {
            let note = self.notes.get(index as usize).copied().flatten();
            sampler.lost(size, note);
        }
    }

    /// A record was not lost after all.
    pub(super) fn note_put_back(&mut self, record: &Record) {
        let size = self.chunk_size(record.len) as u64;
        if let Some(sampler) = &mut self.paths[record.path.index()].sampler {
            sampler.lost = sampler.lost.saturating_sub(size);
        }
    }

    /// The notes of the record at an index.
    pub(super) fn note_of(&self, index: u32) -> Option<Note> {
        self.notes.get(index as usize).copied().flatten()
    }

    /// The notes of the record in front, which is taken off.
    pub(super) fn take_front_note(&mut self) -> Option<Note> {
        self.notes.pop_front().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn rate(sampler: &mut Sampler) -> Option<u64> {
        let taken = sampler.take(Some(50 * MS))?;
        taken.delivery?.rate
    }

    #[test]
    fn a_window_per_round_trip() {
        let mut sampler = Sampler::new();
        let notes: Vec<_> = (0..10)
            .map(|n| sampler.sent(at(100), 1000, n * 1000))
            .collect();
        for note in notes {
            sampler.delivered(at(150), 1000, Some(note), at(100));
        }
        assert_eq!(rate(&mut sampler), Some(200_000));
        assert!(sampler.take(None).is_none(), "once");
    }

    /// A path of a packet per millisecond, whose acknowledgements all come at once.
    #[test]
    fn acknowledgements_in_a_bunch_are_no_faster_than_what_was_sent() {
        let mut sampler = Sampler::new();
        let first = sampler.sent(at(0), 1000, 0);
        let notes: Vec<_> = (1..100)
            .map(|n| (sampler.sent(at(n), 1000, n as usize * 1000), at(n)))
            .collect();
        sampler.delivered(at(99), 1000, Some(first), at(0));
        assert_eq!(rate(&mut sampler), Some(1000 * 1000 / 99));
        for (note, sent) in notes {
            sampler.delivered(at(100), 1000, Some(note), sent);
        }
        // Sent within 99 ms and acknowledged within 100.
        assert_eq!(rate(&mut sampler), Some(1_000_000));
    }

    #[test]
    fn what_is_faster_than_the_path_is_long_is_no_measurement() {
        let mut sampler = Sampler::new();
        let note = sampler.sent(at(0), 1000, 0);
        sampler.delivered(at(49), 1000, Some(note), at(0));
        let taken = sampler.take(Some(50 * MS)).expect("something arrived");
        assert_eq!(taken.fresh_acked, 1000);
        assert_eq!(taken.delivery.expect("it has notes").rate, None);
    }

    #[test]
    fn too_little_to_send_marks_what_leaves_until_it_is_delivered() {
        let mut sampler = Sampler::new();
        let first = sampler.sent(at(0), 1000, 0);
        sampler.app_limited_until = 1000;
        let second = sampler.sent(at(1), 1000, 1000);
        assert!(!first.app_limited && second.app_limited);
        sampler.delivered(at(50), 1000, Some(first), at(0));
        assert!(sampler.sent(at(50), 1000, 1000).app_limited);
        sampler.delivered(at(51), 1000, Some(second), at(1));
        assert!(!sampler.sent(at(51), 1000, 1000).app_limited);
        let taken = sampler.take(None).expect("something arrived");
        assert!(taken.delivery.expect("it has notes").app_limited);
    }

    #[test]
    fn losses_count_from_when_a_chunk_left() {
        let mut sampler = Sampler::new();
        let first = sampler.sent(at(0), 1000, 0);
        sampler.lost(500, None);
        let second = sampler.sent(at(1), 1000, 1000);
        sampler.lost(1000, Some(second));
        let taken = sampler.take(None).expect("something was lost");
        let loss = taken.loss.expect("it had notes");
        assert_eq!((loss.lost, loss.flight), (1000, 2000));
        assert_eq!(taken.fresh_lost, 1500);
        sampler.delivered(at(60), 1000, Some(first), at(0));
        let taken = sampler.take(None).expect("something arrived");
        assert_eq!(taken.delivery.expect("it has notes").lost, 1500);
    }

    #[test]
    fn huge_numbers_do_no_harm() {
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
        assert_eq!(per_second(u64::MAX, Duration::MAX), 0);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
