//! HTTP: requests as the server's streams get them, responses as the client does.

use bytes::Bytes;

/// Largest message that the server may send.
const MESSAGE_LIMIT: usize = 64 * 1024;

/// The first byte is the length of the messages that the others are cut into.
fn cut(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (first, rest) = data.split_first().unwrap_or((&1, &[]));
    rest.chunks(usize::from(*first).max(1))
}

/// Whatever comes on a stream, the server ends its work on it and answers in messages that keep
/// the limit; the first begins a response.
pub fn http_request(data: &[u8]) {
    let messages = cut(data).map(Bytes::copy_from_slice).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let answers = runtime
        .expect("a runtime")
        .block_on(http_server::internals::answers(messages));
    for (index, answer) in answers.iter().enumerate() {
        assert!((1..=MESSAGE_LIMIT).contains(&answer.len()));
        assert!(index > 0 || answer.starts_with(b"HTTP/1."));
    }
}

/// Where a response is cut changes nothing of what it says.
pub fn http_response(data: &[u8]) {
    let whole = data.get(1..).unwrap_or_default();
    for bodyless in [false, true] {
        let pieces = http_server::internals::parse_response(cut(data), bodyless);
        let at_once = http_server::internals::parse_response([whole].into_iter(), bodyless);
        assert_eq!(pieces, at_once);
        assert!(pieces.is_none_or(|length| length <= whole.len() as u64));
    }
}
