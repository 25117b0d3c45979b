//! JSON, written: objects and arrays of numbers and words, and nothing else.

use std::{
    fmt::{Debug, Display, Write},
    net::SocketAddr,
    time::Duration,
};

use sctp_proto::PathId;

/// An object under construction, at the end of a line.
#[derive(Debug)]
pub(super) struct Object<'a> {
    line: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn new(line: &'a mut String) -> Self {
        line.push('{');
        Self { line, empty: true }
    }

    pub(super) fn end(self) {
        self.line.push('}');
    }

    fn key(&mut self, key: &str) {
        separate(self.line, &mut self.empty);
        quote(self.line, key);
        self.line.push(':');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(self.line, value);
    }

    /// A number as it prints.
    pub(super) fn number(&mut self, key: &str, value: impl Display) {
        self.key(key);
        // Writing to a string does not fail.
        let _ = write!(self.line, "{value}");
    }

    /// Milliseconds, to the nanosecond.
    pub(super) fn millis(&mut self, key: &str, time: Duration) {
        let nanos = time.as_nanos();
        let (whole, part) = (nanos / 1_000_000, nanos % 1_000_000);
        self.number(key, format_args!("{whole}.{part:06}"));
    }

    /// The name of an enum's variant, as qlog has such: `SlowStart` is `slow_start`.
    pub(super) fn name(&mut self, key: &str, value: &impl Debug) {
        let mut name = String::new();
        for letter in format!("{value:?}").chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        self.text(key, &name);
    }

    pub(super) fn address(&mut self, key: &str, address: SocketAddr) {
        self.key(key);
        let _ = write!(self.line, "\"{address}\"");
    }

    pub(super) fn path(&mut self, path: Option<PathId>) {
        if let Some(path) = path {
            self.number("path", path.index());
        }
    }

    pub(super) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut object = Object::new(self.line);
        write(&mut object);
        object.end();
    }

    pub(super) fn array(&mut self, key: &str, write: impl FnOnce(&mut Array<'_>)) {
        self.key(key);
        array(self.line, write);
    }
}

/// An array under construction.
#[derive(Debug)]
pub(super) struct Array<'a> {
    line: &'a mut String,
    empty: bool,
}

impl Array<'_> {
    pub(super) fn number(&mut self, value: impl Display) {
        separate(self.line, &mut self.empty);
        let _ = write!(self.line, "{value}");
    }

    pub(super) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        separate(self.line, &mut self.empty);
        let mut object = Object::new(self.line);
        write(&mut object);
        object.end();
    }

    pub(super) fn array(&mut self, write: impl FnOnce(&mut Array<'_>)) {
        separate(self.line, &mut self.empty);
        array(self.line, write);
    }
}

fn array(line: &mut String, write: impl FnOnce(&mut Array<'_>)) {
    line.push('[');
    write(&mut Array { line, empty: true });
    line.push(']');
}

fn separate(line: &mut String, empty: &mut bool) {
    if !std::mem::replace(empty, false) {
        line.push(',');
    }
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                line.push('\\');
                line.push(letter);
            }
            letter if letter < ' ' => {
                let _ = write!(line, "\\u{:04x}", letter as u32);
            }
            letter => line.push(letter),
        }
    }
    line.push('"');
}
