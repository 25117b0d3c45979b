use super::*;

/// A chunk of stream 0 with this TSN, unfragmented until told otherwise.
fn chunk(tsn: u32) -> RxChunk {
    RxChunk {
        tsn: Tsn::new(tsn),
        stream: StreamId(0),
        unordered: false,
        begin: true,
        end: true,
        seq: 0,
        fsn: 0,
        ppid: Ppid(7),
        payload: Bytes::from(format!("<{tsn}>")),
        buffer: 0,
        cumulative: true,
    }
}

/// What the tests vary.
impl RxChunk {
    fn stream(self, id: u16) -> Self {
        Self {
            stream: StreamId(id),
            ..self
        }
    }
    fn seq(self, seq: u32) -> Self {
        Self { seq, ..self }
    }
    /// First fragment.
    fn b(self) -> Self {
        Self { end: false, ..self }
    }
    /// Middle fragment.
    fn m(self, fsn: u32) -> Self {
        Self {
            begin: false,
            end: false,
            fsn,
            ppid: Ppid(0),
            ..self
        }
    }
    /// Last fragment.
    fn e(self, fsn: u32) -> Self {
        Self {
            begin: false,
            end: true,
            fsn,
            ppid: Ppid(0),
            ..self
        }
    }
    fn unordered(self) -> Self {
        Self {
            unordered: true,
            ..self
        }
    }
    /// Beyond the cumulative TSN.
    fn above(self) -> Self {
        Self {
            cumulative: false,
            ..self
        }
    }
    fn len(self, len: usize) -> Self {
        Self {
            payload: Bytes::from(vec![b'x'; len]),
            ..self
        }
    }
}

fn reassembly(interleaving: bool) -> Reassembly {
    Reassembly::new(&AssociationConfig::default(), 10, interleaving)
}

fn text(message: Option<Message>) -> String {
    let bytes = message.expect("a message").data.into_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_message_in_one_chunk() {
    let mut rx = reassembly(false);
    rx.insert(chunk(1).stream(3)).unwrap();
    assert_eq!(rx.poll_readable(), Some(StreamId(3)));
    assert_eq!(rx.poll_readable(), None);
    let message = rx.recv(StreamId(3)).unwrap();
    assert_eq!(
        (message.ppid, message.tsn, message.complete),
        (Ppid(7), Tsn::new(1), true)
    );
    assert_eq!(text(Some(message)), "<1>");
    assert_eq!(rx.recv(StreamId(3)), None);
    assert_eq!(rx.held(), 0);
}

#[test]
fn order_is_per_stream() {
    let mut rx = reassembly(false);
    rx.insert(chunk(2).seq(1).above()).unwrap();
    rx.insert(chunk(3).stream(1).above()).unwrap();
    assert_eq!(rx.poll_readable(), Some(StreamId(1)));
    assert_eq!(rx.recv(StreamId(0)), None);
    rx.insert(chunk(1)).unwrap();
    rx.on_cumulative(Tsn::new(3));
    assert_eq!(rx.poll_readable(), Some(StreamId(0)));
    assert_eq!(text(rx.recv(StreamId(0))), "<1>");
    assert_eq!(text(rx.recv(StreamId(0))), "<2>");
}

#[test]
fn fragments_in_any_order() {
    for interleaving in [false, true] {
        for order in [
            [0, 1, 2],
            [2, 1, 0],
            [1, 0, 2],
            [0, 2, 1],
            [2, 0, 1],
            [1, 2, 0],
        ] {
            for unordered in [false, true] {
                let mut rx = reassembly(interleaving);
                for n in order {
                    let fragment = chunk(u32::MAX.wrapping_add(n)).above();
                    let fragment = RxChunk {
                        unordered,
                        ..match n {
                            0 => fragment.b(),
                            1 => fragment.m(1),
                            _ => fragment.e(2),
                        }
                    };
                    rx.insert(fragment).unwrap();
                }
                let message = rx.recv(StreamId(0)).unwrap();
                assert_eq!((message.ppid, message.unordered), (Ppid(7), unordered));
                assert_eq!(text(Some(message)), "<4294967295><0><1>");
                assert_eq!(rx.held(), 0);
            }
        }
    }
}
