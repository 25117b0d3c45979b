//! The path of a request, decoded and made safe to look up.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What must be escaped in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Decoded segments, none of which can lead out of the folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestPath {
    segments: Vec<String>,
    /// The path ends with a slash.
    pub(super) is_folder: bool,
}

impl RequestPath {
    /// `None` for a path that is never served.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let segments: Option<_> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect();
        Some(Self {
            segments: segments?,
            is_folder: path.is_empty() || path.ends_with('/'),
        })
    }

    pub(super) fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(&self.segments);
        path
    }

    pub(super) fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// For people: decoded, with slashes.
    pub(super) fn display(&self) -> String {
        let mut text = String::from("/");
        for segment in &self.segments {
            text.push_str(segment);
            text.push('/');
        }
        text
    }

    /// The path as a folder's. Made of the segments: `//host` copied from the request would send
    /// the client to another host.
    pub(super) fn folder_url(&self) -> String {
        let mut url = String::from("/");
        for segment in &self.segments {
            url.extend(encode(segment));
            url.push('/');
        }
        url
    }
}

/// A name as a path segment of a URL.
pub(super) fn encode(name: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(name, SEGMENT)
}

/// Whether a name is served: not hidden, and a mere name on every system.
pub(super) fn is_served(name: &str) -> bool {
    let is_hidden = name.starts_with('.') && name != ".well-known";
    let is_path = name.contains(['/', '\\', '\0']) || (cfg!(windows) && name.contains(':'));
    !is_hidden && !is_path
}

fn decode(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    is_served(&name).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leads_out_is_not_served() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/a%2f..%2fx",
            "/a%5cb",
            "/%00",
            "/.git/config",
            "/%ff",
            "*",
            "a",
        ] {
            assert_eq!(RequestPath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_folder_url_stays_on_this_host() {
        let path = RequestPath::parse("//example.org/a%20b").unwrap();
        assert_eq!(path.folder_url(), "/example.org/a%20b/");
        assert!(!path.is_folder);
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_root(path in "[/.%a-f0-9\\\\]{0,40}") {
            let root = Path::new("/root/of/site");
            if let Some(path) = RequestPath::parse(&format!("/{path}")) {
                let path = path.below(root);
                prop_assert!(path.starts_with(root));
                prop_assert!(path.components().all(|c| c.as_os_str() != ".."));
            }
        }
    }
}
