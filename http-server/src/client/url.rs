//! URLs that `get` takes, and the links of a page relative to them.

use std::{fmt, path::PathBuf};

use http::{Uri, uri::Authority};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::listen::Transport;

/// UDP port of SCTP encapsulation (RFC 6951 §5.1), where `http+sctp` URLs name no other.
const UDP_PORT: u16 = 9899;

/// What people type and pages have that a URL cannot: blanks and, by default, all beyond ASCII.
const UNTYPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// A URL to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) transport: Transport,
    pub(crate) authority: Authority,
    /// Path and query, as they go into the request.
    pub(crate) target: String,
}

impl Url {
    /// The text says what is wrong, and how a URL looks.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write http+sctp://HOST[:UDP-PORT]/PATH or http://HOST[:PORT]/PATH";
        let encoded = utf8_percent_encode(text, UNTYPED).to_string();
        let uri: Uri = encoded
            .parse()
            .map_err(|error| format!("`{text}`: {error}; {FORM}"))?;
        let transport = match uri.scheme_str() {
            Some("http+sctp") => Transport::Sctp,
            Some("http") => Transport::Tcp,
            Some(other) => return Err(format!("`{text}`: scheme `{other}` is unknown; {FORM}")),
            None => return Err(format!("`{text}` is not a URL; {FORM}")),
        };
        let authority = uri.authority().cloned();
        let authority = authority.ok_or_else(|| format!("`{text}` names no host; {FORM}"))?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "`{text}`: user names in URLs are not supported; {FORM}"
            ));
        }
        let port = authority.as_str().strip_prefix(authority.host());
        if let Some(port) = port.and_then(|rest| rest.strip_prefix(':'))
            && !port.is_empty()
            && authority.port_u16().is_none()
        {
            return Err(format!("`{text}`: `{port}` is not a port; {FORM}"));
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('?') {
            format!("/{target}")
        } else {
            target.to_owned()
        };
        Ok(Self {
            transport,
            authority,
            target,
        })
    }

    /// The host without brackets, as name lookup wants it.
    pub(crate) fn host(&self) -> &str {
        self.authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    /// UDP or TCP port.
    pub(crate) fn port(&self) -> u16 {
        let default = if self.transport == Transport::Sctp {
            UDP_PORT
        } else {
            80
        };
        self.authority.port_u16().unwrap_or(default)
    }

    /// The same host, another path and query.
    pub(crate) fn with_target(&self, target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..self.clone()
        }
    }

    /// Resolves a link found in a page at this URL (RFC 3986 §5.2). `None` for what leads to
    /// another host, or nowhere.
    pub(crate) fn join(&self, link: &str) -> Option<Self> {
        let link = link.trim();
        let link = link.split('#').next().filter(|link| !link.is_empty())?;
        if has_scheme(link) {
            let url = Self::parse(link).ok()?;
            return (url.authority == self.authority && url.transport == self.transport)
                .then_some(url);
        }
        if let Some(rest) = link.strip_prefix("//") {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            return (host == self.authority.as_str())
                .then(|| self.with_target(&normal(&format!("/{path}"))));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if link.starts_with('/') {
            normal(link)
        } else if link.starts_with('?') {
            format!("{path}{link}")
        } else {
            let folder = &path[..=path.rfind('/')?];
            normal(&format!("{folder}{link}"))
        };
        Some(self.with_target(&utf8_percent_encode(&target, UNTYPED).to_string()))
    }

    /// Name of the file that the URL stands for: the last segment, or `None` if it has none.
    pub(crate) fn file_name(&self) -> Option<String> {
        self.segments()?.pop()
    }

    /// Where the URL goes in a folder that mirrors the site: `/` becomes `index.html`. `None` if
    /// that would lead out of the folder.
    pub(crate) fn mirror_path(&self) -> Option<PathBuf> {
        let mut segments = self.segments()?;
        if self
            .target
            .split('?')
            .next()
            .is_some_and(|path| path.ends_with('/'))
        {
            segments.push("index.html".to_owned());
        }
        (!segments.is_empty()).then(|| segments.iter().collect())
    }

    /// Decoded, each one a mere file name.
    fn segments(&self) -> Option<Vec<String>> {
        let path = self.target.split('?').next().unwrap_or_default();
        let decode = |segment: &str| {
            let name = percent_decode_str(segment).decode_utf8().ok()?;
            let separators = ['/', '\\', '\0'];
            let plain = name != "." && name != ".." && !name.contains(separators);
            let plain = plain && !(cfg!(windows) && name.contains(':'));
            plain.then(|| name.into_owned())
        };
        path.split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.transport == Transport::Sctp {
            "http+sctp"
        } else {
            "http"
        };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

fn has_scheme(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// Removes `.` and `..` segments (RFC 3986 §5.2.4).
fn normal(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    format!("/{}{query}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Url::parse("http+sctp://example.org/a b?c#d").unwrap();
        assert_eq!(
            (url.port(), url.host(), &url.target[..]),
            (9899, "example.org", "/a%20b?c")
        );
        let url = Url::parse("http+sctp://[::1]:7").unwrap();
        assert_eq!((url.port(), url.host(), &url.target[..]), (7, "::1", "/"));
        assert_eq!(url.to_string(), "http+sctp://[::1]:7/");
        assert_eq!(Url::parse("http://127.0.0.1").unwrap().port(), 80);
        assert_eq!(Url::parse("http://[::1]:/").unwrap().port(), 80);
        for wrong in [
            "example.org",
            "https://example.org/",
            "http+sctp:///x",
            "http://me@host/",
            "http+sctp://host:99999/",
            "http://[::1]:65536/",
            "",
        ] {
            assert!(
                Url::parse(wrong).unwrap_err().contains("http+sctp://HOST"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn links() {
        let page = Url::parse("http://host:81/a/b.html?q").unwrap();
        for (link, expected) in [
            ("c.png", "/a/c.png"),
            ("./c/../d.png?x#y", "/a/d.png?x"),
            ("/c.png", "/c.png"),
            ("../../../c", "/c"),
            ("..", "/"),
            ("?z", "/a/b.html?z"),
            ("//host:81/e", "/e"),
            ("http://host:81/f", "/f"),
            ("g h", "/a/g%20h"),
        ] {
            assert_eq!(page.join(link).unwrap().target, expected, "{link}");
        }
        for link in [
            "",
            "#top",
            "data:,x",
            "mailto:a@b",
            "//other/x",
            "http://host/x",
            "http+sctp://host:81/",
        ] {
            assert_eq!(page.join(link), None, "{link}");
        }
    }

    #[test]
    fn files_stay_in_their_folder() {
        let page = Url::parse("http://host/").unwrap();
        let mirror = |target: &str| page.with_target(target).mirror_path();
        assert_eq!(mirror("/"), Some("index.html".into()));
        assert_eq!(mirror("/a/b%20c?d"), Some(["a", "b c"].iter().collect()));
        assert_eq!(mirror("/a/../b"), None);
        assert_eq!(mirror("/%2e%2e/b"), None);
        assert_eq!(mirror("/a%2fb"), None);
        assert_eq!(page.file_name(), None);
        assert_eq!(page.with_target("/a/b.txt?x").file_name().unwrap(), "b.txt");
    }
}
