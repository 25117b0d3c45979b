//! What a peer has yet to take of the responses of one connection. The window of an HTTP/2 stream
//! stays closed as long as the peer wants, while it takes all else that is written.

use std::{
    io::IoSlice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::time::sleep;

#[derive(Debug, Clone, Default)]
pub(super) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Pieces that are not taken to their end.
    pieces: AtomicUsize,
    /// How often there was a new one, or some of one was taken.
    changes: AtomicUsize,
}

impl Owed {
    /// Counts `data` until it is dropped.
    pub(super) fn piece<D>(&self, data: D) -> Piece<D> {
        let owed = self.clone();
        owed.0.pieces.fetch_add(1, Ordering::Relaxed);
        owed.changed();
        Piece { data, owed }
    }

    /// Resolves when something is owed of which the peer has taken nothing for `timeout`, or up to
    /// twice as long.
    pub(super) async fn overdue(&self, timeout: Duration) {
        loop {
            let seen = self.0.changes.load(Ordering::Relaxed);
            sleep(timeout).await;
            let stands = self.0.changes.load(Ordering::Relaxed) == seen;
            if stands && self.0.pieces.load(Ordering::Relaxed) > 0 {
                return;
            }
        }
    }

    fn changed(&self) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bytes of a response.
#[derive(Debug)]
pub(super) struct Piece<D> {
    data: D,
    owed: Owed,
}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.data.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        self.owed.changed();
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.owed.changed();
        self.data.copy_to_bytes(count)
    }
}

impl<D> Drop for Piece<D> {
    fn drop(&mut self) {
        self.owed.0.pieces.fetch_sub(1, Ordering::Relaxed);
        self.owed.changed();
    }
}
