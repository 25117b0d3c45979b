//! What the tasks of one endpoint have in common while they run: sockets, send buffers, and the
//! list of associations that wait for room in a socket.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    task::Waker,
};

use crate::{
    sockets::Sockets,
    state::{Shared, lock},
};

/// Send buffers kept for reuse: as many as there are tasks that send at the same time.
const SPARE_BUFFERS: usize = 8;

#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) sockets: Sockets,
    buffers: Mutex<Vec<Vec<u8>>>,
    mailbox: Mutex<Mailbox>,
}

/// What is for the endpoint's task.
#[derive(Debug, Default)]
struct Mailbox {
    /// Associations with a batch that did not fit socket number so-and-so.
    blocked: VecDeque<(usize, Arc<Shared>)>,
    waker: Option<Waker>,
}

impl Net {
    pub(crate) fn new(sockets: Sockets) -> Self {
        Self {
            sockets,
            buffers: Mutex::default(),
            mailbox: Mutex::default(),
        }
    }

    /// An empty buffer. One per association would keep some 60 KiB for each that ever sent much.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        lock(&self.buffers).pop().unwrap_or_default()
    }

    pub(crate) fn return_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        if buffers.len() < SPARE_BUFFERS {
            buffers.push(buffer);
        }
    }

    /// Has the endpoint's task resume this association once the socket has room.
    pub(crate) fn push_blocked(&self, socket: usize, shared: Arc<Shared>) {
        lock(&self.mailbox).blocked.push_back((socket, shared));
        self.wake();
    }

    /// The associations that wait for this socket.
    pub(crate) fn take_blocked(&self, socket: usize) -> Vec<Arc<Shared>> {
        let mut mailbox = lock(&self.mailbox);
        let (these, others) = mailbox.blocked.drain(..).partition(|(s, _)| *s == socket);
        mailbox.blocked = others;
        let these: VecDeque<_> = these;
        these.into_iter().map(|(_, shared)| shared).collect()
    }

    pub(crate) fn is_blocked(&self, socket: usize) -> bool {
        lock(&self.mailbox)
            .blocked
            .iter()
            .any(|(s, _)| *s == socket)
    }

    /// Registers the endpoint's task.
    pub(crate) fn register(&self, waker: &Waker) {
        lock(&self.mailbox).waker = Some(waker.clone());
    }

    /// Wakes the endpoint's task.
    pub(crate) fn wake(&self) {
        let waker = lock(&self.mailbox).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
