//! A text that every record which satisfies a search has somewhere, looked for in encoded records without decoding them.

use memchr::memmem::Finder;

/// A whole text of a record: a string field, whose length stands before it.
#[derive(Debug)]
pub(crate) struct Needle {
    finder: Finder<'static>,
    /// The last byte of its length.
    length_end: u8,
}

impl Needle {
    /// For a text that is not empty.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut length = text.len();
        while length >= 0x80 {
            length >>= 7;
        }
        Self { finder: Finder::new(text).into_owned(), length_end: length as u8 }
    }

    /// Where the text may stand as a string field, in order.
    pub(crate) fn places(&self, bytes: &[u8]) -> Vec<u32> {
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(at) = self.finder.find(&bytes[from..]) {
            let at = from + at;
            // A length that is written with more bytes than it needs ends with a zero.
            if at.checked_sub(1).is_some_and(|before| [self.length_end, 0].contains(&bytes[before])) {
                places.push(at as u32);
            }
            from = at + 1;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_strings_are_found() {
        let places = |text: &str, bytes: &[u8]| Needle::new(text.as_bytes()).places(bytes);
        assert_eq!(places("ab", b"\x0a\x02ab\x12\x03abc\x02ab"), [2, 10]);
        assert_eq!(places("ab", b"ab"), [] as [u32; 0]);
        // A length of two bytes, and one of three that could do with one.
        let long = "x".repeat(300);
        let bytes = [b"\x0a\xac\x02", long.as_bytes()].concat();
        assert_eq!(places(&long, &bytes), [3]);
        assert_eq!(places("ab", b"\x0a\x82\x80\x00ab"), [4]);
        // Its length is one of its own letters.
        let letters = "a".repeat(97);
        let bytes = [b"\x0aa", letters.as_bytes()].concat();
        assert_eq!(places(&letters, &bytes), [2]);
    }
}
