//! What was appended last, for a reader that keeps up: it is spared reading back from disk what has just been written there.
//!
//! A reader that has fallen behind finds nothing here until it has read all there is on disk: what it could use would be gone again when it gets there.

use std::collections::VecDeque;

use crate::{Batch, Position};

/// What an origin takes beside the body, bytes.
const ORIGIN: usize = 48;

/// A batch that is durable, and where the one behind it begins: segment and offset.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) batch: Batch,
    pub(super) next: (Position, u64),
}

/// Bytes of memory that a batch counts for.
pub(super) fn bytes(batch: &Batch) -> usize {
    batch.body.len() + batch.origins.len() * ORIGIN
}

/// A run of positions without a gap, up to the end of the log.
#[derive(Debug)]
pub(super) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    limit: usize,
    behind: bool,
}

impl Recent {
    /// Holds so many bytes; nothing where that is 0, or until the reader has read all there is.
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, limit, behind: true }
    }

    /// Whether so many bytes more would be kept, or nothing is anyhow.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.behind || self.entries.is_empty() || self.bytes + bytes <= self.limit
    }

    /// Adds the batch at the end of the log. Where there is no room for it the reader is behind.
    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += bytes(&entry.batch);
        self.entries.push_back(entry);
        if self.bytes > self.limit {
            self.give_up();
        }
        if self.behind {
            self.clear();
        }
    }

    /// The reader does not keep up.
    pub(super) fn give_up(&mut self) {
        self.behind = true;
        self.clear();
    }

    fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    /// The reader has read all there is.
    pub(super) fn caught_up(&mut self) {
        self.behind = self.limit == 0;
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= bytes(&entry.batch);
        Some(entry)
    }

    /// Drops what stands before a position: it was read, or removed from disk.
    pub(super) fn forget_below(&mut self, position: Position) {
        while self.entries.front().is_some_and(|entry| entry.position < position) {
            self.pop();
        }
    }

    /// Takes the batches from a position on, until they have so many bytes; none where the first one is not here. A reader that comes again for them finds
    /// them on disk.
    pub(super) fn take(&mut self, position: Position, limit: usize) -> Vec<Entry> {
        self.forget_below(position);
        let mut taken = Vec::new();
        if self.entries.front().is_none_or(|entry| entry.position != position) {
            return taken;
        }
        let before = self.bytes;
        while before - self.bytes < limit
            && let Some(entry) = self.pop()
        {
            taken.push(entry);
        }
        taken
    }
}
