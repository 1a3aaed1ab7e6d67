//! In which encoding a source is written. Line ends are found in its own bytes, and whole lines become UTF-8, so that every position stays one of
//! the source.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::memchr_iter;
use std::borrow::Cow;

/// An encoding in which the bytes tell where a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Default for Charset {
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl Charset {
    /// The one that has a label in <https://encoding.spec.whatwg.org/#names-and-labels>, such as `utf-8`, `gbk` or `utf-16le`. `None` also for one in
    /// which a byte says nothing without those before it.
    pub fn of(label: &str) -> Option<Self> {
        let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
        let tells = encoding.is_ascii_compatible() || [UTF_16LE, UTF_16BE].contains(&encoding);
        tells.then_some(Self(encoding))
    }

    /// The one of a source that begins with these bytes: UTF-16 where they are its byte order mark.
    pub fn marked(self, first: &[u8]) -> Self {
        match first {
            [0xff, 0xfe, ..] => Self(UTF_16LE),
            [0xfe, 0xff, ..] => Self(UTF_16BE),
            _ => self,
        }
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    pub(crate) fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }

    /// Bytes of its smallest character.
    pub(crate) fn unit(self) -> usize {
        if self.0 == UTF_16LE || self.0 == UTF_16BE { 2 } else { 1 }
    }

    /// Where lines end in bytes that stand at `offset` in the source, each behind its line end.
    pub fn line_ends(self, bytes: &[u8], offset: u64) -> impl DoubleEndedIterator<Item = usize> {
        memchr_iter(b'\n', bytes).filter_map(move |at| {
            let even = (offset + at as u64).is_multiple_of(2);
            if self.0 == UTF_16LE {
                (even && bytes.get(at + 1) == Some(&0)).then_some(at + 2)
            } else if self.0 == UTF_16BE {
                (!even && at > 0 && bytes[at - 1] == 0).then_some(at + 1)
            } else {
                Some(at + 1)
            }
        })
    }

    /// How many of the bytes that a line begins with are zeros of a hole.
    pub fn hole(self, line: &[u8]) -> usize {
        let zeros = line.iter().take_while(|byte| **byte == 0).count();
        zeros - zeros % self.unit()
    }

    /// Bytes from the beginning of a source on, as UTF-8.
    pub(crate) fn text(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        if self.is_utf8() {
            return bytes.into();
        }
        let mut text = String::new();
        self.decode(bytes, 0, true, &mut text);
        text.into_bytes().into()
    }

    /// Appends a line that stands at `offset` in the source, or its beginning where it is not `whole`: of a character that was cut nothing is kept then.
    /// True where something had to be replaced.
    pub(crate) fn decode(self, line: &[u8], offset: u64, whole: bool, out: &mut String) -> bool {
        let mark = offset == 0 && self.unit() == 2 && Self::default().marked(line) == self;
        // Reading may have begun in the middle of a character.
        let skip = if mark { 2 } else { offset as usize % self.unit() };
        let line = line.get(skip..).unwrap_or_default();
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let room = decoder.max_utf8_buffer_length(line.len());
        out.reserve(room.expect("what lies in memory has a length"));
        let (_, _, replaced) = decoder.decode_to_string(line, out, whole);
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    }

    #[test]
    fn labels() {
        for (label, name) in [
            ("utf-8", Some("UTF-8")),
            ("GBK", Some("GBK")),
            ("gb2312", Some("GBK")),
            ("gb18030", Some("gb18030")),
            ("utf-16", Some("UTF-16LE")),
            ("utf-16be", Some("UTF-16BE")),
            ("latin1", Some("windows-1252")),
            ("iso-2022-jp", None),
            ("hz-gb-2312", None),
            ("klingon", None),
            ("", None),
        ] {
            assert_eq!(Charset::of(label).map(Charset::name), name, "{label}");
        }
        assert_eq!(Charset::of("gbk").unwrap().marked(b"\xff\xfe").name(), "UTF-16LE");
        assert_eq!(Charset::of("gbk").unwrap().marked(b"\xff").name(), "GBK");
    }

    #[test]
    fn lines_end_at_characters() {
        // U+0A0A and U+0A00 have the byte of a line end, and so do two characters of which one ends and the next begins with a half of it.
        let text = "a\u{a0a}\u{a00}\n\u{d00}\u{a00}\u{20a}\u{a}\u{100}";
        for (big, label) in [(false, "utf-16le"), (true, "utf-16be")] {
            let charset = Charset::of(label).unwrap();
            let bytes = utf16(text, big);
            assert_eq!(charset.line_ends(&bytes, 0).collect::<Vec<_>>(), [8, 16], "{label}");
            assert_eq!(charset.line_ends(&bytes[1..], 1).collect::<Vec<_>>(), [7, 15], "{label}");
            assert_eq!(charset.line_ends(&bytes, 0).next_back(), Some(16));
            assert_eq!(charset.hole(&utf16("\0\0a", big)), 4, "{label}");
            assert_eq!(charset.hole(&utf16("\0\u{100}", big)), 2, "{label}");
            let mut out = String::new();
            assert!(!charset.decode(&utf16("\u{feff}茶\n", big), 0, true, &mut out));
            assert!(!charset.decode(&utf16("\u{feff}b", big), 2, true, &mut out));
            assert!(!charset.decode(&utf16("c", big)[..1], 4, false, &mut out));
            assert!(charset.decode(&utf16("c", big)[..1], 4, true, &mut out));
            assert_eq!(out, "茶\n\u{feff}b\u{fffd}", "{label}");
        }
    }
}
