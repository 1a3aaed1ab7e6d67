//! Whole lines as they were read, and the text they are.

use std::ops::Range;
use std::str::Utf8Error;

/// Some lines. Validated in one go, so that a line or a record is a slice of it and costs no second look at its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chunk<'a> {
    bytes: &'a [u8],
    /// All of `bytes`, where it is UTF-8.
    text: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: simdutf8::basic::from_utf8(bytes).ok() }
    }

    #[inline]
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The text of a part that begins and ends between characters.
    ///
    /// # Errors
    /// When the part is not UTF-8.
    #[inline]
    pub(super) fn text(self, at: Range<usize>) -> Result<&'a str, Utf8Error> {
        match self.text {
            Some(text) => Ok(&text[at]),
            None => std::str::from_utf8(&self.bytes[at]),
        }
    }
}
