//! Writing: fields appended to one buffer; the length of a nested message is a padded varint, patched when the message ends.
//!
//! A padded varint spends one or two bytes and saves the pass that would count the length first.

/// Bytes kept free for the length of a nested message: enough for 2 MiB; a longer message is shifted when it ends.
const PAD: usize = 3;
const PAD_MAX: usize = (1 << (7 * PAD)) - 1;

/// Where a nested message was begun.
#[derive(Debug)]
#[must_use = "a message that was begun must be ended"]
pub struct Mark(usize);

/// Appends protobuf fields to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(bytes: usize) -> Self {
        Self { buf: Vec::with_capacity(bytes) }
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    /// Cuts back to an earlier [`len`](Self::len), dropping what was written since.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// Takes what was written and leaves an empty buffer of the same capacity.
    pub fn take(&mut self) -> Vec<u8> {
        let capacity = self.buf.capacity();
        std::mem::replace(&mut self.buf, Vec::with_capacity(capacity))
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    fn raw_varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.buf.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.buf.push(n as u8);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire_type: u8) {
        self.raw_varint((field as u64) << 3 | wire_type as u64);
    }

    #[inline]
    pub fn varint(&mut self, field: u32, n: u64) {
        self.tag(field, 0);
        self.raw_varint(n);
    }

    #[inline]
    pub fn fixed64(&mut self, field: u32, n: u64) {
        self.tag(field, 1);
        self.buf.extend_from_slice(&n.to_le_bytes());
    }

    #[inline]
    pub fn fixed32(&mut self, field: u32, n: u32) {
        self.tag(field, 5);
        self.buf.extend_from_slice(&n.to_le_bytes());
    }

    #[inline]
    pub fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.raw_varint(bytes.len() as u64);
        self.buf.extend_from_slice(bytes);
    }

    /// Appends fields that are encoded already.
    #[inline]
    pub fn raw(&mut self, fields: &[u8]) {
        self.buf.extend_from_slice(fields);
    }

    /// Begins a nested message; what is written until [`end`](Self::end) is its content.
    #[inline]
    pub fn begin(&mut self, field: u32) -> Mark {
        self.tag(field, 2);
        self.buf.extend_from_slice(&[0; PAD]);
        Mark(self.buf.len())
    }

    #[inline]
    pub fn end(&mut self, mark: Mark) {
        let len = self.buf.len() - mark.0;
        if len <= PAD_MAX {
            let at = mark.0 - PAD;
            self.buf[at] = len as u8 | 0x80;
            self.buf[at + 1] = (len >> 7) as u8 | 0x80;
            self.buf[at + 2] = (len >> 14) as u8;
        } else {
            self.end_long(mark.0, len);
        }
    }

    #[cold]
    fn end_long(&mut self, start: usize, len: usize) {
        let mut n = len;
        let mut varint = Vec::with_capacity(10);
        while n >= 0x80 {
            varint.push(n as u8 | 0x80);
            n >>= 7;
        }
        varint.push(n as u8);
        self.buf.splice(start - PAD..start, varint);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fields, Kind};
    use super::*;

    #[test]
    fn nested_lengths_are_patched() {
        for len in [0, 1, 127, 128, PAD_MAX, PAD_MAX + 1, 5_000_000] {
            let mut w = Writer::new();
            let outer = w.begin(1);
            let inner = w.begin(2);
            w.raw(&vec![7; len]);
            w.end(inner);
            w.end(outer);
            w.varint(3, 9);
            let fields: Vec<_> = Fields::new(w.as_slice()).map(Result::unwrap).collect();
            assert_eq!(fields[1].kind, Kind::Varint(9), "length {len}");
            let inner = Fields::new(fields[0].bytes()).next().unwrap().unwrap();
            assert_eq!((inner.number, inner.bytes().len()), (2, len));
        }
    }
}
