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

    /// Writes into a buffer, which is emptied first.
    pub fn into_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { buf: buffer }
    }

    pub fn capacity(&self) -> usize {
        self.buf.capacity()
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

    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    #[inline]
    fn raw_varint(&mut self, n: u64) {
        match n {
            0..0x80 => self.buf.push(n as u8),
            0x80..0x4000 => self.buf.extend_from_slice(&[n as u8 | 0x80, (n >> 7) as u8]),
            _ => self.long_varint(n),
        }
    }

    fn long_varint(&mut self, mut n: u64) {
        let mut bytes = [0; 10];
        let mut len = 0;
        while n >= 0x80 {
            bytes[len] = n as u8 | 0x80;
            n >>= 7;
            len += 1;
        }
        bytes[len] = n as u8;
        self.buf.extend_from_slice(&bytes[..=len]);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire_type: u8) {
        self.raw_varint((field as u64) << 3 | wire_type as u64);
    }

    /// Begins a length-delimited field whose content, of `len` bytes, is appended next.
    #[inline]
    pub fn header(&mut self, field: u32, len: usize) {
        let tag = (field << 3 | 2) as u8;
        match len {
            0..0x80 if field < 16 => self.buf.extend_from_slice(&[tag, len as u8]),
            0x80..0x4000 if field < 16 => {
                self.buf.extend_from_slice(&[tag, len as u8 | 0x80, (len >> 7) as u8]);
            }
            _ => {
                self.tag(field, 2);
                self.raw_varint(len as u64);
            }
        }
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
        self.header(field, bytes.len());
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
        let mut varint = Self::new();
        varint.raw_varint(len as u64);
        self.buf.splice(start - PAD..start, varint.buf);
    }
}

/// Bytes of a varint.
#[inline]
pub fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a length-delimited field with a number below 16 and a content of `len` bytes.
#[inline]
pub fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::super::{Fields, Kind};
    use super::*;

    #[test]
    fn lengths_are_those_of_what_is_written() {
        for shift in 0..64 {
            for n in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut w = Writer::new();
                w.varint(1, n);
                assert_eq!(w.len(), 1 + varint_len(n), "{n}");
                assert_eq!(Fields::new(w.as_slice()).next().unwrap().unwrap().kind, Kind::Varint(n));
            }
        }
        for (field, tag) in [(1, 1), (15, 1), (16, 2)] {
            for len in [0, 1, 127, 128, 16_383, 16_384, 3_000_000] {
                let mut w = Writer::new();
                w.bytes(field, &vec![7; len]);
                assert_eq!(w.len() + 1, field_len(len) + tag, "{field} {len}");
                let read = Fields::new(w.as_slice()).next().unwrap().unwrap();
                assert_eq!((read.number, read.bytes().len()), (field, len));
            }
        }
    }

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
