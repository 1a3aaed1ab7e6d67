//! Reading: from bytes to lines, and from lines to what the parser makes of them.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use weir_parse::derive;
use weir_parse::stream::Event;

use super::{Content, Followed};
use crate::tail::bodies::Bodies;
use crate::tail::{LINE_BYTES, MARKER_BYTES, TURN_BYTES, records};

/// What the parser is given.
enum Input<'a> {
    Lines(&'a [u8]),
    /// The head of a line that lacks its end or is too long.
    CutLine {
        head: &'a [u8],
        end: u64,
    },
    /// Nothing has come for a while, or ever will.
    Nothing,
}

/// What a turn has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tail) enum Turn {
    /// There may be more.
    Read,
    /// All that is there was read.
    AtEnd,
    /// The file is shorter, or its content another, than what was read: it is to be opened anew.
    Cut,
}

impl Followed {
    /// Reads up to a turn's bytes and writes the records that are complete. `buf` holds an unfinished line and a turn's bytes.
    pub(in crate::tail) fn turn(&mut self, buf: &mut [u8], now: u64, out: &mut Bodies) -> io::Result<Turn> {
        debug_assert!(buf.len() >= LINE_BYTES + TURN_BYTES);
        let kept = self.carry.len();
        let room = &mut buf[kept..kept + TURN_BYTES];
        let n = match &mut self.content {
            Content::Plain => self.file.read_at(room, self.read)?,
            Content::Gzip { decoder, ended, .. } => {
                let n = decoder.read(room)?;
                *ended = n == 0;
                n
            }
        };
        if n == 0 {
            return Ok(if self.was_cut()? { Turn::Cut } else { Turn::AtEnd });
        }
        if self.was_cut()? {
            return Ok(Turn::Cut);
        }
        self.last_data = Instant::now();
        self.quiet_since = None;
        buf[..kept].copy_from_slice(&self.carry);
        self.read += n as u64;
        self.stats.read_bytes.inc_by(n as u64);
        self.take(&buf[..kept + n], kept, now, out);
        if matches!(self.content, Content::Plain) {
            // From what was read: the file may have been cut since.
            self.last.extend_from_slice(&buf[kept + n.saturating_sub(MARKER_BYTES as usize)..kept + n]);
            let excess = self.last.len().saturating_sub(MARKER_BYTES as usize);
            self.last.drain(..excess);
            let known = self.head.mark();
            self.head.take(self.read - n as u64, &buf[kept..kept + n]);
            self.unsaved |= self.head.mark() != known;
        }
        Ok(Turn::Read)
    }

    /// Takes bytes of which the first `kept` are the unfinished line.
    fn take(&mut self, mut bytes: &[u8], kept: usize, now: u64, out: &mut Bodies) {
        if self.dropped > 0 {
            let Some(line_end) = self.line_end(&bytes[kept..]) else {
                self.dropped += (bytes.len() - kept) as u64;
                self.passed = bytes.last().copied().unwrap_or(self.passed);
                return;
            };
            let rest = &bytes[kept + line_end..];
            let end = self.read - rest.len() as u64;
            self.parse(Input::CutLine { head: &bytes[..kept], end }, now, out);
            self.dropped = 0;
            bytes = rest;
        }
        let used = self.parse(Input::Lines(bytes), now, out);
        let line = &bytes[used..];
        let hole = self.stream.charset().hole(line);
        self.stream.skip(hole as u64);
        let line = &line[hole..];
        let held = line.len().min(LINE_BYTES);
        self.carry.clear();
        self.carry.extend_from_slice(&line[..held]);
        self.dropped = (line.len() - held) as u64;
        self.passed = line.last().copied().unwrap_or(0);
    }

    /// Where the line that is over the limit ends in the bytes that were just read.
    fn line_end(&self, bytes: &[u8]) -> Option<usize> {
        let (charset, offset) = (self.stream.charset(), self.read - bytes.len() as u64);
        // A line's end may begin in what was dropped.
        let border = [self.passed, *bytes.first()?];
        let over = charset.line_ends(&border, offset - 1).next().map(|end| end - 1);
        over.or_else(|| charset.line_ends(bytes, offset).next())
    }

    /// Runs the parser over something. What it decides is kept, what is a record is written. Returns how many bytes it took.
    fn parse(&mut self, what: Input<'_>, now: u64, out: &mut Bodies) -> usize {
        let Self { stream, decisions, unsaved, derives, incarnation, stats, .. } = self;
        let mut emit = |event: Event<'_>| match event {
            Event::Record(record) => {
                let derived = if *derives { derive(&record, *incarnation) } else { None };
                records::write(&record, derived.as_ref(), now, &mut out.logs);
                if let Some(derived) = derived {
                    stats.derived_spans.inc_by(derived.count() as u64);
                    out.add_spans(&derived);
                }
            }
            Event::Decision(decision) => {
                decisions.push(decision);
                *unsaved = true;
            }
        };
        match what {
            Input::Lines(chunk) => stream.push(chunk, &mut emit),
            Input::CutLine { head, end } => {
                stream.push_cut(head, end, &mut emit);
                head.len()
            }
            Input::Nothing => {
                stream.cut(&mut emit);
                0
            }
        }
    }

    /// Whether a record waits for further lines.
    pub(in crate::tail) fn is_holding(&self) -> bool {
        self.stream.is_holding()
    }

    /// Whether a record has been waiting for further lines since before `since`. What lies in the file unread while the next hop takes nothing
    /// does not count as missing.
    pub(in crate::tail) fn waits_since(&self, since: Instant) -> bool {
        self.stream.is_holding() && self.quiet_since.is_some_and(|quiet| quiet < since)
    }

    /// Decides that the waiting record is complete, and writes it.
    pub(in crate::tail) fn cut(&mut self, now: u64, out: &mut Bodies) {
        self.parse(Input::Nothing, now, out);
    }

    /// Writes what a file leaves that will never grow again: the waiting record and a line without its end.
    pub(in crate::tail) fn finish(&mut self, now: u64, out: &mut Bodies) {
        let line = std::mem::take(&mut self.carry);
        let end = self.read;
        if !line.is_empty() {
            self.parse(Input::CutLine { head: &line, end }, now, out);
        }
        self.dropped = 0;
        self.cut(now, out);
    }

    /// Whether there is a line without its end, or a record that may go on.
    pub(in crate::tail) fn is_unfinished(&self) -> bool {
        !self.carry.is_empty() || self.stream.is_holding()
    }
}
