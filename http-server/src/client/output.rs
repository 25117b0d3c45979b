//! Where bodies go.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::{
    fs::File,
    io::{AsyncWriteExt, Stdout},
};

use super::failure::Failure;

/// Most bytes of one body held in memory, for pages and for several URLs to standard output.
const KEEP_LIMIT: usize = 64 * 1024 * 1024;

/// Where the body of a job goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Nowhere,
    /// As it comes.
    Stdout,
    /// To memory: printed later, or searched for links.
    Memory,
    File(PathBuf),
    /// Both.
    FileAndMemory(PathBuf),
}

/// Takes the pieces of one body. tokio's files write in the background and hold at most 2 MiB, so
/// a slow disk stops the stream it slows and no other.
pub(super) enum Sink {
    Nowhere,
    Stdout(Stdout),
    Open {
        path: Option<PathBuf>,
        file: Option<File>,
        memory: Option<BytesMut>,
    },
}

impl Sink {
    pub(super) fn new(output: &Output) -> Self {
        let (path, memory) = match output {
            Output::Nowhere => return Self::Nowhere,
            Output::Stdout => return Self::Stdout(tokio::io::stdout()),
            Output::Memory => (None, Some(BytesMut::new())),
            Output::File(path) => (Some(path.clone()), None),
            Output::FileAndMemory(path) => (Some(path.clone()), Some(BytesMut::new())),
        };
        Self::Open {
            path,
            file: None,
            memory,
        }
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout(out) => out
                .write_all(&bytes)
                .await
                .map_err(|error| stdout_failed(&error)),
            Self::Open { path, file, memory } => {
                if let Some(path) = path {
                    let file = match file {
                        Some(file) => file,
                        None => file.insert(create(path).await?),
                    };
                    let written = file.write_all(&bytes).await;
                    written.map_err(|error| failed(path, &error))?;
                }
                if let Some(memory) = memory {
                    if memory.len() + bytes.len() > KEEP_LIMIT {
                        return Err(Failure::local("too large to hold in memory: use -o or -O"));
                    }
                    memory.extend_from_slice(&bytes);
                }
                Ok(())
            }
        }
    }

    /// Writes the rest. Returns what was kept in memory.
    pub(super) async fn finish(self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Stdout(mut out) => out
                .flush()
                .await
                .map_err(|error| stdout_failed(&error))
                .map(|()| None),
            Self::Open { path, file, memory } => {
                if let Some(path) = path {
                    let mut file = match file {
                        Some(file) => file,
                        None => create(&path).await?,
                    };
                    file.flush().await.map_err(|error| failed(&path, &error))?;
                }
                Ok(memory.map(BytesMut::freeze))
            }
        }
    }
}

async fn create(path: &Path) -> Result<File, Failure> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|error| failed(folder, &error))?;
    }
    File::create(path)
        .await
        .map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("cannot write {}: {error}", path.display()))
}

fn stdout_failed(error: &std::io::Error) -> Failure {
    Failure::local(format!("cannot write standard output: {error}"))
}
