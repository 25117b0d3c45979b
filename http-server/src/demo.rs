//! The embedded demo: a page of some thirty objects that shows what the streams are for.

use std::{
    convert::Infallible,
    fmt::Write,
    future::{Ready, ready},
    path::Path,
    sync::LazyLock,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use tower::Service;

use crate::{
    conditional::{Selection, Validators, select},
    files::{FileBody, content_type, plain, refuse_method},
    origin::Origin,
};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

macro_rules! objects {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../demo/", $path)))),*]
    };
}

/// Path below `demo/`, content.
const OBJECTS: &[(&str, &[u8])] = objects! {
    "index.html" "style.css" "demo.js" "favicon.svg"
    "figures/handshake.svg" "figures/streams.svg" "figures/blocking.svg" "figures/packet.svg"
    "tiles/00.svg" "tiles/01.svg" "tiles/02.svg" "tiles/03.svg" "tiles/04.svg" "tiles/05.svg"
    "tiles/06.svg" "tiles/07.svg" "tiles/08.svg" "tiles/09.svg" "tiles/10.svg" "tiles/11.svg"
    "tiles/12.svg" "tiles/13.svg" "tiles/14.svg" "tiles/15.svg" "tiles/16.svg" "tiles/17.svg"
    "tiles/18.svg" "tiles/19.svg" "tiles/20.svg" "tiles/21.svg" "tiles/22.svg" "tiles/23.svg"
};

static ETAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| OBJECTS.iter().map(|(_, content)| etag(content)).collect());

/// Serves the embedded demo. Each answer says in `Server-Timing`, which a page's scripts can read,
/// what transport, association and stream it came over.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Demo;

impl Demo {
    /// Number of objects, the page itself included.
    pub fn objects() -> usize {
        OBJECTS.len()
    }

    fn answer<B>(request: &Request<B>) -> Response<FileBody> {
        let method = request.method();
        if let Some(refusal) = refuse_method(method) {
            return refusal;
        }
        let path = match request.uri().path() {
            "/" => "index.html",
            path => path.trim_start_matches('/'),
        };
        let Some(index) = OBJECTS.iter().position(|(name, _)| *name == path) else {
            return plain(method, StatusCode::NOT_FOUND);
        };
        let (name, content) = OBJECTS[index];
        let validators = Validators {
            etag: ETAGS[index].clone(),
            modified: None,
            length: content.len() as u64,
        };
        let selection = select(method, request.headers(), &validators);
        let bytes = match selection {
            _ if method == Method::HEAD => Bytes::new(),
            Selection::Whole => Bytes::from_static(content),
            Selection::Range(first, last) => {
                Bytes::from_static(&content[first as usize..=last as usize])
            }
            _ => Bytes::new(),
        };
        let mut response = selection
            .head(&validators, &content_type(Path::new(name)))
            .map(|()| FileBody::whole(bytes));
        let headers = response.headers_mut();
        // A reload is to show the streams again, not the browser's cache.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(timing) = request.extensions().get().and_then(timing) {
            headers.insert(SERVER_TIMING, timing);
        }
        response
    }
}

impl<B> Service<Request<B>> for Demo {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(Self::answer(&request)))
    }
}

fn timing(origin: &Origin) -> Option<HeaderValue> {
    let mut text = format!("transport;desc={}", origin.transport);
    if let Some((association, stream)) = origin.association.zip(origin.stream) {
        let _ = write!(
            text,
            ", association;desc={association}, stream;desc={}",
            stream.0
        );
    }
    HeaderValue::from_str(&text).ok()
}

fn etag(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let mut etag = String::from("\"");
    for byte in &digest[..8] {
        let _ = write!(etag, "{byte:02x}");
    }
    etag.push('"');
    etag
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Paths of the files below `folder`.
    fn files(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                files(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_embedded_and_every_object_used() {
        let mut found = BTreeSet::new();
        files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("demo"),
            "",
            &mut found,
        );
        let embedded: BTreeSet<_> = OBJECTS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, embedded);
        let (_, page) = OBJECTS[0];
        let page = std::str::from_utf8(page).unwrap();
        for (name, _) in &OBJECTS[1..] {
            assert!(
                page.contains(&format!("\"{name}\"")),
                "the page does not use {name}"
            );
        }
    }

    #[test]
    fn answers_tell_their_stream() {
        let mut request = Request::get("/tiles/00.svg").body(()).unwrap();
        let mut origin = Origin::tcp("127.0.0.1:1".parse().unwrap());
        origin.transport = crate::listen::Transport::Sctp;
        (origin.association, origin.stream) = (Some(1), Some(sctp_udp::StreamId(9)));
        request.extensions_mut().insert(origin);
        let response = Demo::answer(&request);
        assert_eq!(response.headers()["content-type"], "image/svg+xml");
        assert_eq!(
            response.headers()[SERVER_TIMING],
            "transport;desc=sctp, association;desc=1, stream;desc=9"
        );
        let again = Request::get("/tiles/00.svg")
            .header(header::IF_NONE_MATCH, &response.headers()[header::ETAG]);
        assert_eq!(
            Demo::answer(&again.body(()).unwrap()).status(),
            StatusCode::NOT_MODIFIED
        );
    }
}
