//! Static files below a folder.
//!
//! Never leaves the folder: a path segment that decodes to `..`, or has a separator in it, is not
//! found; a symbolic link is followed only where its target lies inside the folder. Names that
//! begin with a dot are not served, but for `.well-known` (RFC 8615). File system calls run on
//! tokio's blocking threads; one call opens a small file and reads all of it.

mod body;
mod listing;
mod path;

use std::{
    convert::Infallible,
    fs::{File, Metadata},
    future::Future,
    io::{self, ErrorKind, Seek, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::Service;

use crate::conditional::{Selection, Validators, select};

pub use body::FileBody;
use path::RequestPath;

/// Serves the files of a folder: GET and HEAD, MIME types, ranges, conditional requests,
/// `index.html`, folder listings.
#[derive(Debug, Clone)]
pub struct Files {
    root: Arc<Path>,
    listing: bool,
}

impl Files {
    /// Files below `folder`, which must exist.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Self> {
        let root = folder.as_ref().canonicalize()?;
        if !root.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root: root.into(),
            listing: true,
        })
    }

    /// Whether folders without `index.html` are listed. Default true.
    pub fn listing(mut self, on: bool) -> Self {
        self.listing = on;
        self
    }

    /// Blocking.
    fn answer(&self, method: &Method, target: &str, headers: &HeaderMap) -> Response<FileBody> {
        let Some(path) = RequestPath::parse(target) else {
            return plain(method, StatusCode::NOT_FOUND);
        };
        match self.find(&path) {
            Ok(Found::File(file, metadata, name)) => send(method, headers, file, &metadata, &name),
            Ok(Found::Folder(folder)) => match listing::html(&self.root, &folder, &path) {
                Ok(html) => page(method, StatusCode::OK, "text/html; charset=utf-8", html),
                Err(error) => failed(method, &error),
            },
            Ok(Found::Elsewhere) => {
                let mut response = plain(method, StatusCode::MOVED_PERMANENTLY);
                if let Ok(location) = HeaderValue::from_str(&path.folder_url()) {
                    response.headers_mut().insert(header::LOCATION, location);
                }
                response
            }
            Err(error) => failed(method, &error),
        }
    }

    fn find(&self, path: &RequestPath) -> io::Result<Found> {
        let mut found = self.inside(&path.below(&self.root))?;
        if found.is_dir() {
            if !path.is_folder {
                return Ok(Found::Elsewhere);
            }
            match self.inside(&found.join("index.html")) {
                Ok(index) if index.is_file() => found = index,
                _ if self.listing => return Ok(Found::Folder(found)),
                _ => return Err(ErrorKind::NotFound.into()),
            }
        } else if path.is_folder || !found.is_file() {
            // Not a pipe or device either: opening one may wait for ever.
            return Err(ErrorKind::NotFound.into());
        }
        let file = File::open(&found)?;
        let metadata = file.metadata()?;
        Ok(Found::File(file, metadata, found))
    }

    /// The path without links, if it lies below the root.
    fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let path = path.canonicalize()?;
        if path.starts_with(&self.root) {
            Ok(path)
        } else {
            Err(ErrorKind::NotFound.into())
        }
    }
}

fn send(
    method: &Method,
    headers: &HeaderMap,
    mut file: File,
    metadata: &Metadata,
    name: &Path,
) -> Response<FileBody> {
    let validators = validators(metadata);
    let selection = select(method, headers, &validators);
    let head = selection.head(&validators, &content_type(name));
    let length = selection.length(&validators);
    if method == Method::HEAD || length == 0 {
        return head.map(|()| FileBody::empty());
    }
    let seek = match selection {
        Selection::Range(first, _) => file.seek(SeekFrom::Start(first)).map(|_| ()),
        _ => Ok(()),
    };
    match seek.and_then(|()| FileBody::start(file, length)) {
        Ok(body) => head.map(|()| body),
        Err(error) => failed(method, &error),
    }
}

enum Found {
    /// Open, with its metadata and its path.
    File(File, Metadata, PathBuf),
    /// A folder to list.
    Folder(PathBuf),
    /// A folder asked for without the slash, which relative links in it need.
    Elsewhere,
}

impl<B: Send + 'static> Service<Request<B>> for Files {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        if let Some(refusal) = refuse_method(&parts.method) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        let files = self.clone();
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || {
                files.answer(&parts.method, parts.uri.path(), &parts.headers)
            });
            Ok(work.await.unwrap_or_else(|error| {
                tracing::error!(%error, "serving a file failed");
                plain(&Method::GET, StatusCode::INTERNAL_SERVER_ERROR)
            }))
        })
    }
}

/// The answer to methods other than GET and HEAD.
pub(crate) fn refuse_method(method: &Method) -> Option<Response<FileBody>> {
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let mut response = plain(method, StatusCode::METHOD_NOT_ALLOWED);
    if method == Method::OPTIONS {
        response = Response::new(FileBody::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response.headers_mut().insert(
        header::ALLOW,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    Some(response)
}

/// An answer that has only its status to say.
pub(crate) fn plain(method: &Method, status: StatusCode) -> Response<FileBody> {
    page(
        method,
        status,
        "text/plain; charset=utf-8",
        format!("{status}\n"),
    )
}

fn page(
    method: &Method,
    status: StatusCode,
    kind: &'static str,
    text: String,
) -> Response<FileBody> {
    let text = Bytes::from(text);
    let length = HeaderValue::from(text.len());
    let body = if method == Method::HEAD {
        FileBody::empty()
    } else {
        FileBody::whole(text)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

fn failed(method: &Method, error: &io::Error) -> Response<FileBody> {
    let status = match error.kind() {
        ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
        _ => {
            tracing::warn!(%error, "cannot read a file");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    plain(method, status)
}

/// Time of change in nanoseconds and length: what changes with every edit.
fn validators(metadata: &Metadata) -> Validators {
    let modified = metadata.modified().ok();
    let stamp = modified
        .map(|time| {
            time.duration_since(UNIX_EPOCH)
                .unwrap_or_else(|before| before.duration())
        })
        .unwrap_or_default();
    let length = metadata.len();
    Validators {
        etag: format!("\"{:x}-{length:x}\"", stamp.as_nanos()),
        // RFC 9110 §8.8.2.1: a time to come is replaced by that of the answer.
        modified: modified.map(|time| time.min(now())),
        length,
    }
}

#[expect(clippy::disallowed_methods, reason = "files have the time of day")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// By the name's extension; text is UTF-8.
pub(crate) fn content_type(name: &Path) -> String {
    let kind = mime_guess::from_path(name)
        .first_raw()
        .unwrap_or("application/octet-stream");
    if kind.starts_with("text/") {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_owned()
    }
}

#[cfg(test)]
mod tests;
