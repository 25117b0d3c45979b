//! What is owed to the peer of one connection, answers and bytes of them. HTTP/2 lets a peer hold
//! the connection without asking for anything, and keep the windows of its streams closed while it
//! takes all else that is written.

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
    /// Requests whose responses are not over.
    requests: AtomicUsize,
    /// Pieces that are not taken to their end.
    pieces: AtomicUsize,
    /// How often there was a new one of either, less of one, or one less.
    changes: AtomicUsize,
}

impl Owed {
    /// Counts a request until what is returned is dropped.
    pub(super) fn request(&self) -> InProgress {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.changed();
        InProgress(self.clone())
    }

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
        self.stands(timeout, |counts| counts.pieces.load(Ordering::Relaxed) > 0)
            .await;
    }

    /// Resolves when there was no request for `timeout`, or up to twice as long.
    pub(super) async fn idle(&self, timeout: Duration) {
        self.stands(timeout, |counts| {
            counts.requests.load(Ordering::Relaxed) == 0
        })
        .await;
    }

    async fn stands(&self, timeout: Duration, is: impl Fn(&Counts) -> bool) {
        loop {
            let seen = self.0.changes.load(Ordering::Relaxed);
            sleep(timeout).await;
            if self.0.changes.load(Ordering::Relaxed) == seen && is(&self.0) {
                return;
            }
        }
    }

    fn changed(&self) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request whose response is not over.
#[derive(Debug)]
pub(super) struct InProgress(Owed);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.changed();
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
