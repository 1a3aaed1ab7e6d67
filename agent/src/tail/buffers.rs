//! Buffers that bodies are written into, and that come back when their batch is durable.
//!
//! A new buffer of some megabytes costs a page fault for every 4 KiB of it, as much as half of the writing itself.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use weir_model::limits::BATCH_BYTES;

/// Capacity of a new buffer: the last turn before a batch is full may go over it.
const CAPACITY: usize = 2 * BATCH_BYTES;
/// A buffer that grew beyond this for the sake of one batch is not kept.
const CAPACITY_MAX: usize = 4 * BATCH_BYTES;

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
        Bytes::from_owner(Lent { buffer, home: self.clone() })
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= CAPACITY_MAX {
            buffer.clear();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
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

    #[test]
    fn a_buffer_comes_back_with_the_last_reference() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"body");
        let place = buffer.as_ptr();
        let body = buffers.lend(buffer);
        let part = body.slice(1..);
        drop(body);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), place, "a part of it is still read");
        assert_eq!(part, "ody");
        drop(part);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        drop(buffers.lend(Vec::with_capacity(CAPACITY_MAX + 1)));
        assert!(buffers.take().capacity() <= CAPACITY_MAX);
    }
}
