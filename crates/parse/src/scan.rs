//! A cursor over one line, for the hand-written matchers.

use crate::parsed::Span;
use memchr::memchr;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) line: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { line, pos: 0 }
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.line.get(self.pos..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.line.get(self.pos).copied()
    }

    #[inline]
    pub(crate) fn at_end(&self) -> bool {
        self.pos >= self.line.len()
    }

    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.pos += 1)
    }

    #[inline]
    pub(crate) fn eat_all(&mut self, text: &[u8]) -> Option<()> {
        self.rest().starts_with(text).then(|| self.pos += text.len())
    }

    #[inline]
    pub(crate) fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
    }

    /// What stands before the next `byte`, which is passed over.
    #[inline]
    pub(crate) fn until(&mut self, byte: u8) -> Option<Span> {
        let start = self.pos;
        let len = memchr(byte, self.rest())?;
        self.pos = start + len + 1;
        Some(Span::new(start, start + len))
    }

    /// What stands before the next `byte` or the end; the byte is not passed over.
    #[inline]
    pub(crate) fn upto(&mut self, byte: u8) -> Span {
        let start = self.pos;
        self.pos = memchr(byte, self.rest()).map_or(self.line.len(), |len| start + len);
        Span::new(start, self.pos)
    }

    /// An unsigned number of at least one digit.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let start = self.pos;
        let mut n = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            n = n.checked_mul(10)?.checked_add((digit - b'0') as u64)?;
            self.pos += 1;
        }
        (self.pos > start).then_some(n)
    }

    /// The rest of the line.
    #[inline]
    pub(crate) fn tail(&self) -> Span {
        Span::new(self.pos.min(self.line.len()), self.line.len())
    }
}

pub(crate) fn str_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}

/// Seconds as written by nginx and others (`0.123`), in nanoseconds.
pub(crate) fn seconds(text: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(text);
    let whole = cursor.number()?;
    let mut nanos = 0u64;
    if cursor.eat(b'.').is_some() {
        let mut scale = 100_000_000;
        while let Some(digit @ b'0'..=b'9') = cursor.peek() {
            nanos += (digit - b'0') as u64 * scale;
            scale /= 10;
            cursor.pos += 1;
        }
    }
    if !cursor.at_end() {
        return None;
    }
    whole.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// A duration with a unit, as Go, Java and Node write it (`12ms`, `1.5s`, `1m2.5s`, `300µs`), in nanoseconds.
pub(crate) fn duration(text: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(text);
    let mut total = 0f64;
    while !cursor.at_end() {
        let start = cursor.pos;
        while matches!(cursor.peek(), Some(b'0'..=b'9' | b'.')) {
            cursor.pos += 1;
        }
        let number: f64 = str_of(&text[start..cursor.pos]).parse().ok()?;
        let unit = cursor.pos;
        while matches!(cursor.peek(), Some(b) if !b.is_ascii_digit() && b != b'.') {
            cursor.pos += 1;
        }
        total += number
            * match str_of(&text[unit..cursor.pos]).trim() {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
    }
    (!text.is_empty() && total.is_finite() && total < u64::MAX as f64).then_some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("12ms", Some(12_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1m2.5s", Some(62_500_000_000)),
            ("300µs", Some(300_000)),
            ("12 ms", Some(12_000_000)),
            ("", None),
            ("12", None),
            ("12 lights", None),
        ];
        for (text, expect) in cases {
            assert_eq!(duration(text.as_bytes()), expect, "{text}");
        }
        assert_eq!(seconds(b"0.123"), Some(123_000_000));
        assert_eq!(seconds(b"-"), None);
    }
}
