//! Buffers that bodies are written into, and that come back when their batch was taken by the next hop.
//!
//! A new buffer of some megabytes costs a page fault for every 4 KiB of it, as much as half of the writing itself.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use weir_model::limits::BATCH_BYTES;

/// Capacity of a new buffer: the last turn before a batch is full may go over it.
const CAPACITY: usize = 2 * BATCH_BYTES;
/// A buffer that grew beyond this for the sake of one batch is not kept.
const CAPACITY_MAX: usize = 4 * BATCH_BYTES;
/// A body that fills less than one part in so many of its buffer is copied out of it, so that many small ones do not keep as many large buffers.
const FILLED: usize = 4;
/// Buffers that are kept at hand. More come back at once where the next hop was slow for a while.
const KEPT: usize = 8;

/// Buffers at hand. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// An empty buffer; the one that came back last, which is likely to be in a processor's cache.
    pub(super) fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Vec::with_capacity(CAPACITY))
    }

    /// Makes a body of a buffer that comes back when the last reference to the body is gone.
    pub(super) fn lend(&self, buffer: Vec<u8>) -> Bytes {
        if buffer.len() < buffer.capacity() / FILLED {
            let body = Bytes::copy_from_slice(&buffer);
            self.give_back(buffer);
            return body;
        }
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.capacity() <= CAPACITY_MAX && kept.len() < KEPT {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(buffers: &Buffers) -> usize {
        buffers.0.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_comes_back_with_the_last_reference() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.resize(CAPACITY / FILLED, b'x');
        let place = buffer.as_ptr();
        let body = buffers.lend(buffer);
        let part = body.slice(1..);
        drop(body);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), place, "a part of it is still read");
        assert_eq!(part.len(), CAPACITY / FILLED - 1);
        drop(part);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop(buffers.lend(vec![0; CAPACITY_MAX + 1]));
        assert_eq!(kept(&buffers), 0);
        let many: Vec<Bytes> = (0..2 * KEPT).map(|_| buffers.lend(vec![0; CAPACITY])).collect();
        drop(many);
        assert_eq!(kept(&buffers), KEPT);
    }

    #[test]
    fn a_small_body_keeps_no_buffer() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"body");
        let place = buffer.as_ptr();
        let body = buffers.lend(buffer);
        let again = buffers.take();
        assert_eq!(again.as_ptr(), place);
        assert_eq!(body, "body");
    }
}
