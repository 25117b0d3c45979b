//! HTTP/1.1 responses, parsed as their bytes come.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};

/// Largest head, or trailer section, bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// Most fields in a head.
const FIELD_LIMIT: usize = 128;

/// Longest line that begins a chunk, bytes: its size, and extensions nobody uses.
const CHUNK_LINE_LIMIT: usize = 4 * 1024;

/// Status line and fields.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// The next thing in a response.
#[derive(Debug)]
pub(crate) enum Part {
    Head(Head),
    Body(Bytes),
    End,
}

/// The peer does not speak HTTP/1.1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    #[error("malformed response head: {0}")]
    Head(#[from] httparse::Error),
    #[error("the response head is too large")]
    HeadTooLarge,
    #[error("conflicting or malformed Content-Length")]
    Length,
    #[error("unknown transfer coding")]
    Coding,
    #[error("malformed chunk")]
    Chunk,
    #[error("the response ended too soon")]
    Truncated,
}

/// Parses one response. Push bytes, take parts until there are none.
#[derive(Debug)]
pub(crate) struct ResponseParser {
    input: BytesMut,
    state: State,
    /// The request was HEAD: there is no body, whatever the fields say.
    bodyless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// Bytes left of a body, or of a chunk.
    Body {
        left: u64,
        chunked: bool,
    },
    ChunkSize,
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl ResponseParser {
    pub(crate) fn new(bodyless: bool) -> Self {
        Self {
            input: BytesMut::new(),
            state: State::Head,
            bodyless,
        }
    }

    pub(crate) fn push(&mut self, mut bytes: impl Buf) {
        while bytes.has_remaining() {
            let chunk = bytes.chunk();
            self.input.extend_from_slice(chunk);
            let size = chunk.len();
            bytes.advance(size);
        }
    }

    /// The next part; `None` until more bytes are pushed. After an error nothing further comes.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, ResponseError> {
        loop {
            match self.state {
                State::Head => return self.head(),
                State::Body {
                    left: 0,
                    chunked: false,
                } => {
                    self.state = State::Done;
                    return Ok(Some(Part::End));
                }
                State::Body {
                    left: 0,
                    chunked: true,
                } => self.state = State::ChunkEnd,
                State::Body { left, chunked } => {
                    if self.input.is_empty() {
                        return Ok(None);
                    }
                    let size = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(self.input.len());
                    self.state = State::Body {
                        left: left - size as u64,
                        chunked,
                    };
                    return Ok(Some(Part::Body(self.input.split_to(size).freeze())));
                }
                State::ChunkSize => match httparse::parse_chunk_size(&self.input) {
                    Ok(httparse::Status::Complete((line, size))) if line <= CHUNK_LINE_LIMIT => {
                        self.input.advance(line);
                        self.state = match size {
                            0 => State::Trailers,
                            left => State::Body {
                                left,
                                chunked: true,
                            },
                        };
                    }
                    Ok(httparse::Status::Partial) if self.input.len() <= CHUNK_LINE_LIMIT => {
                        return Ok(None);
                    }
                    _ => return Err(ResponseError::Chunk),
                },
                State::ChunkEnd => {
                    if self.input.len() < 2 {
                        return Ok(None);
                    }
                    if self.input.split_to(2) != b"\r\n"[..] {
                        return Err(ResponseError::Chunk);
                    }
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
                    match httparse::parse_headers(&self.input, &mut fields)? {
                        httparse::Status::Complete((size, _)) if size <= HEAD_LIMIT => {
                            self.input.advance(size);
                            self.state = State::Done;
                            return Ok(Some(Part::End));
                        }
                        httparse::Status::Partial if self.input.len() <= HEAD_LIMIT => {
                            return Ok(None);
                        }
                        _ => return Err(ResponseError::HeadTooLarge),
                    }
                }
                State::UntilClose => {
                    let bytes = self.input.split().freeze();
                    return Ok((!bytes.is_empty()).then_some(Part::Body(bytes)));
                }
                State::Done => return Ok(None),
            }
        }
    }

    /// The stream ended: the end of a response that has no other, and of none else.
    pub(crate) fn end(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(ResponseError::Truncated),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether bytes came that belong to no response.
    pub(crate) fn has_excess(&self) -> bool {
        self.is_done() && !self.input.is_empty()
    }

    fn head(&mut self) -> Result<Option<Part>, ResponseError> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
            let mut response = httparse::Response::new(&mut fields);
            let size = match response.parse(&self.input)? {
                httparse::Status::Complete(size) if size <= HEAD_LIMIT => size,
                httparse::Status::Partial if self.input.len() <= HEAD_LIMIT => return Ok(None),
                _ => return Err(ResponseError::HeadTooLarge),
            };
            let head = Head {
                version: if response.version == Some(0) {
                    Version::HTTP_10
                } else {
                    Version::HTTP_11
                },
                status: StatusCode::from_u16(response.code.unwrap_or_default())
                    .map_err(|_| httparse::Error::Status)?,
                headers: header_map(response.headers)?,
            };
            self.input.advance(size);
            // Interim responses (RFC 9110 §15.2) precede the one that counts.
            if !head.status.is_informational() {
                self.state = self.body(&head)?;
                return Ok(Some(Part::Head(head)));
            }
        }
    }

    /// How the body is framed: RFC 9112 §6.3.
    fn body(&self, head: &Head) -> Result<State, ResponseError> {
        let none = head.status == StatusCode::NO_CONTENT || head.status == StatusCode::NOT_MODIFIED;
        if self.bodyless || none {
            return Ok(State::Body {
                left: 0,
                chunked: false,
            });
        }
        if let Some(coding) = head.headers.get(header::TRANSFER_ENCODING) {
            return match coding.as_bytes() {
                coding if coding.eq_ignore_ascii_case(b"chunked") => Ok(State::ChunkSize),
                _ => Err(ResponseError::Coding),
            };
        }
        let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
        let Some(length) = lengths.next() else {
            return Ok(State::UntilClose);
        };
        if lengths.any(|other| other != length) {
            return Err(ResponseError::Length);
        }
        let digits = length.to_str().map_err(|_| ResponseError::Length)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ResponseError::Length);
        }
        let left = digits.parse().map_err(|_| ResponseError::Length)?;
        Ok(State::Body {
            left,
            chunked: false,
        })
    }
}

fn header_map(fields: &[httparse::Header<'_>]) -> Result<HeaderMap, ResponseError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_bytes(field.value);
        headers.append(name, value.map_err(|_| httparse::Error::HeaderValue)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Status, body and whether the end was seen, with the bytes pushed `step` at a time.
    fn parse(
        text: &[u8],
        step: usize,
        bodyless: bool,
    ) -> Result<(u16, Vec<u8>, bool), ResponseError> {
        let mut parser = ResponseParser::new(bodyless);
        let (mut status, mut body, mut ended) = (0, Vec::new(), false);
        for piece in text.chunks(step) {
            parser.push(piece);
            while let Some(part) = parser.next()? {
                match part {
                    Part::Head(head) => status = head.status.as_u16(),
                    Part::Body(bytes) => body.extend_from_slice(&bytes),
                    Part::End => ended = true,
                }
            }
        }
        Ok((status, body, ended))
    }

    #[test]
    fn framings() {
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
            5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nsum: 1\r\n\r\n";
        let length =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello!";
        for step in 1..20 {
            assert_eq!(
                parse(chunked, step, false),
                Ok((200, b"hello!".to_vec(), true))
            );
            assert_eq!(
                parse(length, step, false),
                Ok((200, b"hello!".to_vec(), true))
            );
        }
        let close = b"HTTP/1.0 200 OK\r\n\r\nhello!";
        assert_eq!(parse(close, 3, false), Ok((200, b"hello!".to_vec(), false)));
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";
        assert_eq!(parse(head, 9, true), Ok((200, Vec::new(), true)));
        let none = b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n";
        assert_eq!(parse(none, 9, false), Ok((304, Vec::new(), true)));
    }

    #[test]
    fn what_is_refused() {
        let error = |text: &str| parse(text.as_bytes(), 7, false).unwrap_err();
        assert!(matches!(error("SSH-2.0-x\r\n\r\n"), ResponseError::Head(_)));
        let two = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-length: 7\r\n\r\n";
        assert_eq!(error(two), ResponseError::Length);
        assert_eq!(
            error("HTTP/1.1 200 OK\r\ncontent-length: +6\r\n\r\n"),
            ResponseError::Length
        );
        let gzip = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
        assert_eq!(error(gzip), ResponseError::Coding);
        let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n";
        assert_eq!(error(chunk), ResponseError::Chunk);
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_LIMIT));
        assert_eq!(error(&endless), ResponseError::HeadTooLarge);
        let mut parser = ResponseParser::new(false);
        parser.push(&b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhell"[..]);
        while parser.next().unwrap().is_some() {}
        assert_eq!(parser.end(), Err(ResponseError::Truncated));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(HTTP/1\\.1 200 OK\r\n)?([a-z-]{0,9}: [a-z0-9 ]{0,9}\r\n){0,3}[ -~\r\n]{0,60}", step in 1usize..40) {
            let _ = parse(text.as_bytes(), step, false);
        }

        #[test]
        fn cutting_changes_nothing(body in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..60) {
            let mut text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            text.extend_from_slice(&body);
            prop_assert_eq!(parse(&text, step, false), Ok((200, body, true)));
        }
    }
}
