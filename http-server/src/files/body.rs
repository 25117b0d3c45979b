//! The bytes of a file as a response body, read ahead by one piece.

use std::{
    fs::File,
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

/// First piece: with the response head it fits one message of 64 KiB.
const FIRST: u64 = 63 * 1024;

/// Further pieces: a message each.
const PIECE: u64 = 64 * 1024;

/// Body of a response of [`Files`](crate::Files) or [`Demo`](crate::Demo).
#[derive(Debug)]
pub struct FileBody {
    /// Read and not yet handed out.
    ready: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
    /// Bytes not yet handed out.
    left: u64,
}

impl FileBody {
    pub(crate) fn empty() -> Self {
        Self {
            ready: None,
            reading: None,
            left: 0,
        }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self {
            ready: Some(bytes),
            reading: None,
            left,
        }
    }

    /// `length` bytes from where `file` stands. Blocking: reads the first piece, and begins to
    /// read the second in the background.
    pub(crate) fn start(mut file: File, length: u64) -> io::Result<Self> {
        let first = read(&mut file, length.min(FIRST))?;
        let mut body = Self {
            ready: Some(first),
            reading: None,
            left: length,
        };
        body.read_ahead(file, length - length.min(FIRST));
        Ok(body)
    }

    fn read_ahead(&mut self, mut file: File, unread: u64) {
        if unread > 0 {
            let size = unread.min(PIECE);
            let piece = move || read(&mut file, size).map(|bytes| (file, bytes));
            self.reading = Some(spawn_blocking(piece));
        }
    }
}

/// Exactly `size` bytes: a file that became shorter is an error, since its length is promised.
fn read(file: &mut File, size: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(size as usize);
    if file.take(size).read_to_end(&mut bytes)? as u64 == size {
        Ok(bytes.into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match self.ready.take() {
            Some(bytes) => bytes,
            None => {
                let Some(reading) = &mut self.reading else {
                    return Poll::Ready(None);
                };
                let result = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                match result.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok((file, bytes)) => {
                        let unread = self.left - bytes.len() as u64;
                        self.read_ahead(file, unread);
                        bytes
                    }
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
