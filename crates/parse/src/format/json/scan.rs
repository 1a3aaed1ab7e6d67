//! Reading JSON text without building a tree of it.

use crate::parsed::{Parsed, Span, Text};
use crate::scan::str_of;
use memchr::{memchr, memchr2};

/// A position in JSON text.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) line: &'a [u8],
    pub(super) pos: usize,
}

impl Scan<'_> {
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.line.get(self.pos).copied()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    #[inline]
    pub(super) fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.pos += 1;
        }
    }

    /// The inside of a string whose opening quote was passed, and whether it has escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Option<(Span, bool)> {
        let start = self.pos;
        let mut escaped = false;
        loop {
            let at = self.pos + memchr2(b'"', b'\\', self.line.get(self.pos..)?)?;
            if self.line[at] == b'"' {
                self.pos = at + 1;
                return Some((Span::new(start, at), escaped));
            }
            escaped = true;
            self.pos = at + 2;
        }
    }

    /// A string's text: where it stands, or unescaped in the scratch buffer.
    #[inline]
    pub(super) fn text(&self, span: Span, escaped: bool, out: &mut Parsed) -> Text {
        if !escaped {
            return Text::Line(span);
        }
        let start = out.scratch.len();
        unescape(span.of(self.line), &mut out.scratch);
        Text::Scratch(Span::new(start, out.scratch.len()))
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<Span> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.pos += 1;
        }
        let span = Span::new(start, self.pos);
        str_of(span.of(self.line)).parse::<f64>().ok()?;
        Some(span)
    }

    /// The inside of the next string of an array.
    pub(super) fn element(&mut self) -> Option<Span> {
        while matches!(self.peek(), Some(b' ' | b',')) {
            self.pos += 1;
        }
        (self.next()? == b'"').then(|| self.string()).flatten().map(|(span, _)| span)
    }

    pub(super) fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.line[self.pos..].starts_with(word).then(|| self.pos += word.len())
    }

    pub(super) fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.pos += 1;
                self.string().map(|_| ())
            }
            b'{' | b'[' => self.skip_nested(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Passes over an object or array, counting brackets outside strings.
    pub(super) fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.next()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Appends the text of a JSON string's inside. An escape that is none stays as written; a lone surrogate becomes U+FFFD.
pub(crate) fn unescape(inside: &[u8], out: &mut String) {
    let mut rest = inside;
    while let Some(at) = memchr(b'\\', rest) {
        out.push_str(str_of(&rest[..at]));
        let (text, used) = escape(&rest[at..]);
        match text {
            Some(c) => out.push(c),
            None => out.push('\\'),
        }
        rest = &rest[at + used..];
    }
    out.push_str(str_of(rest));
}

/// The character of an escape that `text` begins with, and how many bytes it takes.
fn escape(text: &[u8]) -> (Option<char>, usize) {
    let simple = match text.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(c @ (b'"' | b'\\' | b'/')) => *c as char,
        Some(b'u') => return unicode(text),
        _ => return (None, 1),
    };
    (Some(simple), 2)
}

fn unicode(text: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(str_of(digits), 16).ok()
    };
    let Some(first) = unit(2) else { return (None, 1) };
    let second = || unit(8).filter(|u| (0xdc00..0xe000).contains(u));
    if (0xd800..0xdc00).contains(&first)
        && text.get(6..8) == Some(b"\\u")
        && let Some(second) = second()
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code), 12);
    }
    (Some(char::from_u32(first).unwrap_or('\u{fffd}')), 6)
}
