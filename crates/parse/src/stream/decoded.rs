//! Sources that are no UTF-8: their lines are decoded first, and keep their places in the source.

use super::chunk::Chunk;
use super::{Event, Stream};
use crate::parsed::Issues;

/// Lines as UTF-8. The buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    text: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// Where it ends in the text, and where in the source.
    to: usize,
    end: u64,
    /// Some of its bytes were no text.
    replaced: bool,
}

impl Stream {
    /// Takes whole lines.
    pub(super) fn push_decoded(&mut self, chunk: &[u8], emit: &mut impl FnMut(Event<'_>)) {
        let (offset, charset) = (self.position, self.charset);
        let Decoded { mut text, mut lines } = std::mem::take(&mut self.decoded);
        let mut at = 0;
        for end in charset.line_ends(chunk, offset) {
            let replaced = charset.decode(&chunk[at..end], offset + at as u64, true, &mut text);
            lines.push(Line { to: text.len(), end: offset + end as u64, replaced });
            at = end;
        }
        self.look(text.as_bytes(), emit);
        self.hold(offset + chunk.len() as u64, emit);
        let whole = Chunk::new(text.as_bytes());
        let (mut from, mut start) = (0, offset);
        for Line { to, end, replaced } in lines.drain(..) {
            let line = &text[from..to];
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let issues = self.replaced_some(replaced);
            self.line(whole, from..from + line.len(), start, end, issues, emit);
            (from, start) = (to, end);
        }
        self.keep_slice(whole);
        self.position = offset + chunk.len() as u64;
        text.clear();
        self.decoded = Decoded { text, lines };
    }

    /// Takes the head of a line.
    pub(super) fn cut_decoded(&mut self, head: &[u8], end: u64, emit: &mut impl FnMut(Event<'_>)) {
        let mut text = String::new();
        let replaced = self.charset.decode(head, self.position, false, &mut text);
        let issues = self.replaced_some(replaced) | Issues::TRUNCATED;
        self.single(text.as_bytes(), end, issues, emit);
    }

    fn replaced_some(&mut self, replaced: bool) -> Issues {
        self.counts.invalid_utf8 += u64::from(replaced);
        if replaced { Issues::INVALID_UTF8 } else { Issues::NONE }
    }
}
