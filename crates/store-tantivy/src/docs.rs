//! How the documents of a segment and the rows of its shard belong together.

use std::ops::Range;

use tantivy::SegmentReader;

use crate::bodies::BodyReader;
use crate::error::Error;
use crate::schema::ROW;

/// The documents of a segment. Their rows rise one by one: one thread writes them, and only segments that are neighbours are merged.
#[derive(Debug)]
pub(crate) struct Docs {
    bodies: BodyReader,
    len: u32,
    first_row: u64,
    /// No record is older or newer than these.
    times: (u64, u64),
}

/// Row of a segment's first document. Reading it takes as long as looking some tokens up.
///
/// # Errors
/// Where the rows have a hole or another order: no such segment was written.
pub(crate) fn first_row(segment: &SegmentReader) -> Result<u64, Error> {
    let rows = segment.fast_fields().column_first_or_default::<u64>(ROW)?;
    let Some(last) = segment.max_doc().checked_sub(1) else { return Ok(0) };
    let (first, end) = (rows.get_val(0), rows.get_val(last));
    if first != rows.min_value() || end != rows.max_value() || first.checked_add(last as u64) != Some(end) {
        return Err(Error::damaged("the rows of a segment have a hole"));
    }
    Ok(first)
}

impl Docs {
    pub(crate) fn new(bodies: BodyReader, segment: &SegmentReader, first_row: u64) -> Self {
        let mut docs = Self { bodies, len: segment.max_doc(), first_row, times: (u64::MAX, 0) };
        for block in &docs.bodies.blocks()[docs.blocks()] {
            let (first, last) = block.span.times;
            docs.times = (docs.times.0.min(first), docs.times.1.max(last));
        }
        docs
    }

    /// False where all records are older or newer.
    pub(crate) fn may_be_within(&self, (first, last): (u64, u64)) -> bool {
        self.times.0 <= last && first <= self.times.1
    }

    /// Row of a document.
    #[inline]
    pub(crate) fn row(&self, doc: u32) -> u64 {
        self.first_row + doc as u64
    }

    /// Number of the block in which a document stands.
    pub(crate) fn block(&self, doc: u32) -> usize {
        self.bodies.block_of(self.row(doc))
    }

    /// The blocks in which documents of the segment may stand.
    pub(crate) fn blocks(&self) -> Range<usize> {
        match self.len.checked_sub(1) {
            Some(last) => self.block(0)..self.block(last) + 1,
            None => 0..0,
        }
    }

    /// The documents that stand in a block.
    pub(crate) fn of_block(&self, block: usize) -> Range<u32> {
        let below = |row: u64| row.saturating_sub(self.first_row).min(self.len as u64) as u32;
        below(self.bodies.blocks()[block].first_row)..below(self.bodies.end_of(block))
    }
}
