//! Sources without a wrapper: records are slices of the chunk, copied only where a chunk ends inside one.

use super::chunk::Chunk;
use super::{Event, Held, Holding, RECORD_LINES, Stream};
use crate::parsed::Issues;
use crate::trace::Tracer;
use std::ops::Range;
use weir_model::limits;

impl Stream {
    #[allow(clippy::too_many_arguments)]
    #[inline]
    pub(super) fn bare(
        &mut self,
        chunk: Chunk<'_>,
        slice: Option<Range<usize>>,
        line: &str,
        start: u64,
        end: u64,
        issues: Issues,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let holding = self.holding != Holding::Nothing;
        let mut tracer = self.held.tracer;
        let begins = self.begins(line, holding.then_some(&mut tracer));
        self.held.tracer = tracer;
        let Some(matched) = begins else {
            self.extend(chunk, slice, line, end, issues);
            return;
        };
        self.flush_bare(chunk, emit);
        if line.is_empty() {
            self.counts.blank += 1;
            return;
        }
        let settled = self.settle(start, None, emit);
        std::mem::swap(&mut self.held.parsed, &mut self.next);
        let held = &mut self.held;
        held.parsed.issues.add(issues);
        held.start = start;
        held.end = end;
        held.settled = Some(settled);
        held.tracer = if matched { Tracer::default() } else { Tracer::begin(line.as_bytes()) };
        held.lines = 1;
        held.goes_on = false;
        self.holding = match slice {
            Some(at) => Holding::Slice { from: at.start, to: at.end },
            None => {
                held.text.clear();
                held.text.push_str(line);
                Holding::Owned
            }
        };
        if matched && self.matcher.one_line() {
            self.flush_bare(chunk, emit);
        }
    }

    fn extend(
        &mut self,
        chunk: Chunk<'_>,
        slice: Option<Range<usize>>,
        line: &str,
        end: u64,
        issues: Issues,
    ) {
        let held = &mut self.held;
        held.end = end;
        held.lines += 1;
        held.goes_on = true;
        held.parsed.issues.add(issues);
        let size = match self.holding {
            Holding::Slice { from, .. } => slice.as_ref().map_or(0, |at| at.end - from),
            _ => held.text.len() + line.len() + 1,
        };
        if held.lines > RECORD_LINES || size > limits::BODY_BYTES {
            self.counts.dropped_bytes += line.len() as u64 + 1;
            held.parsed.issues.add(Issues::TRUNCATED);
            return;
        }
        match (self.holding, slice) {
            // A line that was dropped before must not come back by widening the slice.
            (Holding::Slice { from, .. }, Some(at)) if !held.parsed.issues.has(Issues::TRUNCATED) => {
                self.holding = Holding::Slice { from, to: at.end };
            }
            (Holding::Slice { from, to }, _) => {
                own(held, chunk, from, to);
                self.holding = Holding::Owned;
                append(held, line);
            }
            _ => append(held, line),
        }
    }

    /// Copies what is held out of a chunk that goes away.
    pub(super) fn keep_slice(&mut self, chunk: Chunk<'_>) {
        if let Holding::Slice { from, to } = self.holding {
            own(&mut self.held, chunk, from, to);
            self.holding = Holding::Owned;
        }
    }

    #[inline]
    pub(super) fn flush_bare(&mut self, chunk: Chunk<'_>, emit: &mut impl FnMut(Event<'_>)) {
        match std::mem::replace(&mut self.holding, Holding::Nothing) {
            Holding::Nothing => {}
            Holding::Slice { from, to } => {
                let text = chunk.text(from..to).unwrap_or("");
                super::finish::finish(text, &mut self.held, &mut self.counts, emit);
            }
            Holding::Owned => {
                let text = std::mem::take(&mut self.held.text);
                super::finish::finish(&text, &mut self.held, &mut self.counts, emit);
                self.held.text = text;
            }
        }
    }
}

fn own(held: &mut Held, chunk: Chunk<'_>, from: usize, to: usize) {
    held.text.clear();
    held.text.push_str(chunk.text(from..to).unwrap_or(""));
}

fn append(held: &mut Held, line: &str) {
    held.text.push('\n');
    held.text.push_str(line);
}
