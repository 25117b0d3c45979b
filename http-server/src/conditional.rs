//! Conditional and range requests (RFC 9110 §13 and §14), for whatever has validators.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// What is known of the representation asked for.
#[derive(Debug, Clone)]
pub(crate) struct Validators {
    /// Strong entity tag, with its quotes.
    pub(crate) etag: String,
    pub(crate) modified: Option<SystemTime>,
    /// Bytes.
    pub(crate) length: u64,
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    Whole,
    /// First and last byte.
    Range(u64, u64),
    NotModified,
    PreconditionFailed,
    Unsatisfiable,
}

/// Evaluates the request's conditions in the order of RFC 9110 §13.2.2, then its range. Several
/// ranges at once, other units and what cannot be parsed get the whole, as §14.2 allows.
pub(crate) fn select(method: &Method, headers: &HeaderMap, validators: &Validators) -> Selection {
    if has(headers, header::IF_MATCH) {
        if !matches(headers, header::IF_MATCH, &validators.etag, false) {
            return Selection::PreconditionFailed;
        }
    } else if let Some(date) = date(headers, header::IF_UNMODIFIED_SINCE)
        && validators.modified.is_some_and(|m| is_after(m, date))
    {
        return Selection::PreconditionFailed;
    }
    if has(headers, header::IF_NONE_MATCH) {
        if matches(headers, header::IF_NONE_MATCH, &validators.etag, true) {
            return Selection::NotModified;
        }
    } else if let Some(date) = date(headers, header::IF_MODIFIED_SINCE)
        && validators.modified.is_some_and(|m| !is_after(m, date))
    {
        return Selection::NotModified;
    }
    if method != Method::GET || !range_applies(headers, validators) {
        return Selection::Whole;
    }
    headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .map_or(Selection::Whole, |range| {
            parse_range(range, validators.length)
        })
}

impl Selection {
    /// Head of the answer, Content-Length included.
    pub(crate) fn head(self, validators: &Validators, content_type: &str) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = match self {
            Self::Whole => StatusCode::OK,
            Self::Range(..) => StatusCode::PARTIAL_CONTENT,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        };
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Whole | Self::Range(..) => {
                set(header::CONTENT_TYPE, content_type);
                set(header::ACCEPT_RANGES, "bytes");
            }
            Self::Unsatisfiable => {
                set(
                    header::CONTENT_RANGE,
                    &format!("bytes */{}", validators.length),
                );
            }
            Self::NotModified | Self::PreconditionFailed => {}
        }
        if let Self::Range(first, last) = self {
            let range = format!("bytes {first}-{last}/{}", validators.length);
            set(header::CONTENT_RANGE, &range);
        }
        if self != Self::NotModified {
            set(header::CONTENT_LENGTH, &self.length(validators).to_string());
        }
        set(header::ETAG, &validators.etag);
        if let Some(modified) = validators.modified.and_then(http_date) {
            set(header::LAST_MODIFIED, &modified);
        }
        response
    }

    /// Bytes of the answer's content.
    pub(crate) fn length(self, validators: &Validators) -> u64 {
        match self {
            Self::Whole => validators.length,
            Self::Range(first, last) => last - first + 1,
            _ => 0,
        }
    }
}

/// The time as HTTP has it. It cannot tell of times before 1970 or after the year 9999, which file
/// systems can.
pub(crate) fn http_date(time: SystemTime) -> Option<String> {
    const END_OF_9999: Duration = Duration::from_secs(253_402_300_800);
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    (since < END_OF_9999).then(|| httpdate::fmt_http_date(time))
}

fn has(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.contains_key(name)
}

/// Whether the list of entity tags names ours, or is `*`. Weak comparison takes `W/"x"` for `"x"`.
fn matches(headers: &HeaderMap, name: HeaderName, etag: &str, weak: bool) -> bool {
    let same = |tag: &str| {
        let tag = if weak {
            tag.strip_prefix("W/").unwrap_or(tag)
        } else {
            tag
        };
        tag == "*" || tag == etag
    };
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| same(tag.trim()))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// HTTP dates have whole seconds, so the fraction of ours does not count.
fn is_after(modified: SystemTime, date: SystemTime) -> bool {
    modified >= date + Duration::from_secs(1)
}

/// If-Range (RFC 9110 §13.1.5): a date counts only if it is exactly ours.
fn range_applies(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else {
        return true;
    };
    if condition.as_bytes() == validators.etag.as_bytes() {
        return true;
    }
    let modified = validators.modified.and_then(http_date);
    modified.is_some_and(|modified| condition.as_bytes() == modified.as_bytes())
}

fn parse_range(text: &str, length: u64) -> Selection {
    let Some(spec) = text.strip_prefix("bytes=") else {
        return Selection::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Selection::Whole;
    };
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => Selection::Whole,
        (Some(first), last) if last.is_some() || spec.trim().ends_with('-') => {
            if first >= length {
                return Selection::Unsatisfiable;
            }
            Selection::Range(first, last.unwrap_or(u64::MAX).min(length - 1))
        }
        (None, Some(count)) if first.is_empty() => {
            if count == 0 || length == 0 {
                return Selection::Unsatisfiable;
            }
            Selection::Range(length.saturating_sub(count), length - 1)
        }
        _ => Selection::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Selection::{NotModified, PreconditionFailed, Range, Unsatisfiable, Whole};

    const DATE: &str = "Mon, 03 Aug 2026 08:00:00 GMT";
    const LATER: &str = "Mon, 03 Aug 2026 08:00:01 GMT";
    const EARLIER: &str = "Mon, 03 Aug 2026 07:59:59 GMT";

    fn answer(fields: &[(HeaderName, &str)]) -> Selection {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(700);
        let validators = Validators {
            etag: "\"a\"".to_owned(),
            modified: Some(modified),
            length: 100,
        };
        let headers = fields
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        select(&Method::GET, &headers, &validators)
    }

    #[test]
    fn conditions() {
        use header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
        for (fields, expected) in [
            (&[][..], Whole),
            (&[(IF_NONE_MATCH, "\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "\"b\", W/\"a\"")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (
                &[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, LATER)],
                Whole,
            ),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Whole),
            (&[(IF_MATCH, "\"a\"")], Whole),
            (&[(IF_MATCH, "W/\"a\"")], PreconditionFailed),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], PreconditionFailed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Whole),
        ] {
            assert_eq!(answer(fields), expected, "{fields:?}");
        }
    }

    /// RFC 9110 §13.1.3 and §13.1.4 want the fields ignored then.
    #[test]
    fn dates_say_nothing_of_what_has_none() {
        let validators = Validators {
            etag: "\"a\"".to_owned(),
            modified: None,
            length: 100,
        };
        for name in [header::IF_UNMODIFIED_SINCE, header::IF_MODIFIED_SINCE] {
            let headers = [(name.clone(), DATE.parse().unwrap())]
                .into_iter()
                .collect();
            assert_eq!(select(&Method::GET, &headers, &validators), Whole, "{name}");
        }
    }

    #[test]
    fn times_that_http_cannot_tell() {
        let day = Duration::from_secs(86_400);
        let end = httpdate::parse_http_date("Fri, 31 Dec 9999 23:59:59 GMT").unwrap();
        assert_eq!(http_date(UNIX_EPOCH - day), None);
        assert!(http_date(UNIX_EPOCH).is_some() && http_date(end).is_some());
        assert_eq!(http_date(end + day), None);
    }

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-0", Range(0, 0)),
            ("bytes=10-", Range(10, 99)),
            ("bytes=90-1000", Range(90, 99)),
            ("bytes=-5", Range(95, 99)),
            ("bytes=-1000", Range(0, 99)),
            ("bytes=5-18446744073709551999", Range(5, 99)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=5-x", Whole),
            ("bytes=-", Whole),
            ("bytes=+5-6", Whole),
            ("bytes=0-1,3-4", Whole),
            ("lines=0-1", Whole),
        ] {
            assert_eq!(answer(&[(header::RANGE, range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_range_of_something_else_is_not_sent() {
        let ranged =
            |condition| answer(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, condition)]);
        assert_eq!(ranged("\"a\""), Range(0, 1));
        assert_eq!(ranged(DATE), Range(0, 1));
        assert_eq!(ranged("\"b\""), Whole);
        assert_eq!(ranged("W/\"a\""), Whole);
        assert_eq!(ranged(EARLIER), Whole);
    }
}
