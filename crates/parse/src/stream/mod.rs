//! The whole path for one source: wrapper off, fragments joined, records begun and continued, times settled.
//!
//! Push whole lines in the order of the source; out come decisions and records. Records come in the order of their starts, so that
//! "every record that starts before [`Stream::resume`] has come out" always holds, and reading may begin again there. A record that
//! may go on is held until the next line shows that it doesn't, or [`Stream::cut`] says that nothing came for a while.

mod bare;
mod chunk;
mod decide;
mod decoded;
mod finish;
mod lanes;
#[cfg(test)]
mod tests;

use crate::charset::Charset;
use crate::decision::{Decision, Locked};
use crate::format::{self, Format};
use crate::parsed::{Issues, Parsed};
use crate::pattern::Pattern;
use crate::settle::{Evidence, Settled, Settler, Source};
use crate::trace::{self, Tracer};
use crate::wrapper::Wrapper;
use chunk::Chunk;
use decide::Matcher;
use jiff::tz::TimeZone;
use memchr::memchr_iter;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use weir_model::limits;

pub(crate) use decide::format_name;

/// Lines of one record; what goes on longer is dropped and the record flagged. A deep Java trace has some 500.
pub const RECORD_LINES: u32 = 4096;

/// Name of the format that the user set, in a [`Locked`].
pub const PATTERN: &str = "pattern";

/// What a source's reader knows about it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The format that the user set; it is then not detected.
    pub pattern: Option<Arc<Pattern>>,
    pub evidence: Evidence,
    /// How the source is written. A byte order mark that is read overrides it; whoever reads from further on has looked for one.
    pub charset: Charset,
    /// Looks up the rules of a region by its name, for zones that were recorded.
    pub regions: Option<fn(&str) -> Option<TimeZone>>,
}

/// What comes out of a [`Stream`].
#[derive(Debug)]
pub enum Event<'a> {
    /// To be stored durably before any record that comes after it is sent.
    Decision(Decision),
    Record(Record<'a>),
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it begins and ends in the source, in bytes.
    pub start: u64,
    pub end: u64,
    /// Its lines without wrapper, with `\n` between them; the texts of `parsed` lie in it.
    pub text: &'a str,
    pub parsed: &'a Parsed,
    /// Nanoseconds since the Unix epoch; 0 is unknown, and the time of reading has to do.
    pub time: u64,
    pub time_source: Source,
    /// `stdout` or `stderr` where a wrapper says it.
    pub iostream: Option<&'static str>,
    /// Lines of the source that it took.
    pub lines: u32,
}

impl<'a> Record<'a> {
    /// What is searched as the record's text: the lines as they were written, or the message of a line that is a set of fields.
    #[inline]
    pub fn body(&self) -> &'a str {
        let message = self.parsed.text(self.text, self.parsed.body);
        if self.parsed.structured && !message.is_empty() { message } else { self.text }
    }
}

/// What happened so far, for the source's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub lines: u64,
    pub records: u64,
    /// Empty lines outside a record, of which none is made.
    pub blank: u64,
    pub truncated: u64,
    pub unparsed: u64,
    pub invalid_utf8: u64,
    /// Bytes cut off at a limit.
    pub dropped_bytes: u64,
    /// Zeros skipped before lines.
    pub hole_bytes: u64,
}

/// One source being read.
#[derive(Debug)]
pub struct Stream {
    options: Options,
    matcher: Matcher,
    locked: Option<Locked>,
    settler: Settler,
    /// Recorded decisions that lie ahead.
    upcoming: VecDeque<Decision>,
    position: u64,
    charset: Charset,
    /// Lines of another encoding than UTF-8.
    decoded: decoded::Decoded,
    /// Records before this may have been sent by an earlier reader, so that nothing new is decided.
    fixed_until: u64,
    /// How far the announced holds reach.
    hold_until: u64,
    held: Held,
    holding: Holding,
    /// The line at hand. Boxed, as in [`Held`], because the two change places at every record.
    next: Box<Parsed>,
    lanes: lanes::Lanes,
    failed: u32,
    /// Lines that matched since the lock.
    agreed: u32,
    chunks: u32,
    counts: Counts,
}

/// The record that is being put together.
#[derive(Debug, Default)]
struct Held {
    start: u64,
    end: u64,
    /// Its text, where it is not a slice of the chunk.
    text: String,
    parsed: Box<Parsed>,
    settled: Option<Settled>,
    tracer: Tracer,
    lines: u32,
    /// Further lines follow the first one, which the format read.
    goes_on: bool,
    /// Only for a wrapped source.
    lane: Option<u8>,
    closed: bool,
}

/// Where the text of the held record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Nothing,
    /// In the chunk that is being pushed.
    Slice {
        from: usize,
        to: usize,
    },
    Owned,
}

impl Stream {
    /// A source read from `offset` on, with what was recorded about it before.
    pub fn new(options: Options, decisions: impl IntoIterator<Item = Decision>, offset: u64) -> Self {
        let settler = Settler::new(
            options.evidence.zone.clone().unwrap_or_else(|| options.evidence.host_zone.clone()),
            options.evidence.modified,
        );
        let charset = options.charset;
        let mut stream = Self {
            options,
            charset,
            decoded: decoded::Decoded::default(),
            matcher: Matcher::Known(Format::Plain),
            locked: None,
            settler,
            upcoming: decisions.into_iter().collect(),
            position: offset,
            fixed_until: 0,
            hold_until: 0,
            held: Held::default(),
            holding: Holding::Nothing,
            next: Box::default(),
            lanes: lanes::Lanes::default(),
            failed: 0,
            agreed: 0,
            chunks: 0,
            counts: Counts::default(),
        };
        for decision in &stream.upcoming {
            if let Decision::Hold { until, .. } = decision {
                stream.fixed_until = stream.fixed_until.max(*until);
            }
        }
        stream.hold_until = stream.fixed_until;
        while let Some(decision) = stream.upcoming.pop_front_if(|d| d.from() <= offset) {
            stream.adopt(decision);
        }
        stream
    }

    /// Every record that starts before this position has come out, and reading may begin again here.
    pub fn resume(&self) -> u64 {
        let held = (self.holding != Holding::Nothing).then_some(self.held.start);
        held.or_else(|| self.lanes.first_start()).unwrap_or(self.position)
    }

    /// Up to where lines were pushed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether something is held that [`Self::cut`] would let out.
    pub fn is_holding(&self) -> bool {
        self.holding != Holding::Nothing || !self.lanes.is_empty()
    }

    /// Whether a record has begun that is held, other than in fragments that no one has read yet.
    fn holds_records(&self) -> bool {
        self.holding != Holding::Nothing || self.lanes.has_records()
    }

    /// The format in use; `None` before the first line.
    pub fn locked(&self) -> Option<&Locked> {
        self.locked.as_ref()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes the whole lines that `chunk` begins with and returns how many bytes they are; the rest, a line without its end, is to be
    /// pushed again with what follows. `chunk` stands at [`Self::position`] in the source.
    ///
    /// A line may not exceed what the caller can buffer: [`Self::push_cut`] takes the head of one that does.
    pub fn push(&mut self, chunk: &[u8], emit: &mut impl FnMut(Event<'_>)) -> usize {
        self.recognise(chunk);
        let charset = self.charset;
        let Some(whole) = charset.line_ends(chunk, self.position).next_back() else { return 0 };
        // Behind what an earlier reader may have sent the format may be looked for anew.
        let known = self.fixed_until.saturating_sub(self.position).min(whole as u64) as usize;
        let known = match known.checked_sub(charset.unit()) {
            Some(last) => {
                let mut ends = charset.line_ends(&chunk[last..whole], self.position + last as u64);
                last + ends.find(|end| last + end >= known).unwrap_or(0)
            }
            None => 0,
        };
        for lines in [&chunk[..known], &chunk[known..whole]] {
            if !lines.is_empty() {
                self.push_whole(lines, emit);
            }
        }
        whole
    }

    /// Takes whole lines.
    fn push_whole(&mut self, chunk: &[u8], emit: &mut impl FnMut(Event<'_>)) {
        if !self.charset.is_utf8() {
            return self.push_decoded(chunk, emit);
        }
        self.look(chunk, emit);
        self.hold(self.position + chunk.len() as u64, emit);
        let offset = self.position;
        let lines = Chunk::new(chunk);
        let mut at = 0;
        for newline in memchr_iter(b'\n', chunk) {
            let next = newline + 1;
            let end = if newline > at && chunk[newline - 1] == b'\r' { newline - 1 } else { newline };
            self.line(lines, at..end, offset + at as u64, offset + next as u64, Issues::NONE, emit);
            at = next;
        }
        self.keep_slice(lines);
        self.position = offset + chunk.len() as u64;
    }

    /// Takes a line of which only `head` is at hand: it is longer than the caller's buffer, or the source ended without a line end.
    /// `end` is where the next line begins. Its record is flagged truncated.
    pub fn push_cut(&mut self, head: &[u8], end: u64, emit: &mut impl FnMut(Event<'_>)) {
        self.recognise(head);
        let start = self.position;
        self.counts.dropped_bytes += (end - start).saturating_sub((head.len() + self.charset.unit()) as u64);
        if self.charset.is_utf8() {
            self.single(head, end, Issues::TRUNCATED, emit);
        } else {
            self.cut_decoded(head, end, emit);
        }
    }

    /// Takes a line alone, of which `end` is the end in the source.
    fn single(&mut self, text: &[u8], end: u64, issues: Issues, emit: &mut impl FnMut(Event<'_>)) {
        self.look(text, emit);
        self.hold(end, emit);
        let line = Chunk::new(text);
        self.line(line, 0..text.len(), self.position, end, issues, emit);
        self.keep_slice(line);
        self.position = end;
    }

    /// How the source is written, as far as is known.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// Looks for a byte order mark in what is at the beginning of the source.
    fn recognise(&mut self, bytes: &[u8]) {
        if self.position == 0 {
            self.charset = self.options.charset.marked(bytes);
        }
    }

    /// Passes over zeros at [`Self::position`] that no line end has followed yet: a hole may be larger than what the caller can buffer.
    pub fn skip(&mut self, zeros: u64) {
        self.counts.hole_bytes += zeros;
        self.position += zeros;
    }

    /// Lets out what is held, because nothing followed for a while or the source has ended. The decision comes out first.
    pub fn cut(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        if self.is_holding() {
            emit(Event::Decision(Decision::Cut { at: self.position }));
            self.flush(Chunk::default(), emit);
        }
    }

    /// Takes the line that is at `at` in the chunk, and from `start` to `end` with its line end in the source.
    #[inline]
    fn line(
        &mut self,
        chunk: Chunk<'_>,
        at: Range<usize>,
        start: u64,
        end: u64,
        mut issues: Issues,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.counts.lines += 1;
        if self.upcoming.front().is_some_and(|d| d.from() <= start) {
            self.follow(start, chunk, emit);
        }
        let line = &chunk.bytes()[at.clone()];
        // A writer that kept its position over a truncation leaves a hole of zeros before its next line.
        let hole = match line.first() {
            Some(0) => line.iter().take_while(|b| **b == 0).count(),
            _ => 0,
        };
        let in_source = (hole * self.charset.unit()) as u64;
        self.counts.hole_bytes += in_source;
        // The record begins behind it, however much of the hole came with the line.
        let start = start + in_source;
        let mut at = at.start + hole..at.end;
        if at.len() > limits::BODY_BYTES {
            issues.add(Issues::TRUNCATED);
            let kept = floor_char(&chunk.bytes()[at.clone()], limits::BODY_BYTES);
            self.counts.dropped_bytes += (at.len() - kept) as u64;
            at.end = at.start + kept;
        }
        match self.locked.as_ref().map_or(Wrapper::None, |l| l.wrapper) {
            Wrapper::None => match chunk.text(at.clone()) {
                Ok(text) => self.bare(chunk, Some(at), text, start, end, issues, emit),
                Err(_) => {
                    let text = self.replaced(&chunk.bytes()[at], &mut issues);
                    self.bare(chunk, None, &text, start, end, issues, emit);
                }
            },
            wrapper => self.wrapped(wrapper, &chunk.bytes()[at], start, end, issues, emit),
        }
    }

    /// The text of bytes that are no UTF-8, which is counted.
    fn replaced(&mut self, line: &[u8], issues: &mut Issues) -> String {
        self.counts.invalid_utf8 += 1;
        issues.add(Issues::INVALID_UTF8);
        String::from_utf8_lossy(line).into_owned()
    }

    /// Reads a line into `next`: `Some(true)` for a record of the format, `Some(false)` for one of its own that is none, `None` for
    /// a line that goes on with the record whose tracer is given.
    #[inline]
    fn begins(&mut self, line: &str, held: Option<&mut Tracer>) -> Option<bool> {
        if self.matcher.is_plain() {
            if held.is_some_and(|tracer| tracer.continues(line.as_bytes(), false)) {
                return None;
            }
            self.next.clear();
            format::plain(line.as_bytes(), &mut self.next);
            return Some(false);
        }
        if self.matcher.parse(line, &mut self.next) {
            self.failed = 0;
            self.agreed = self.agreed.saturating_add(1);
            return Some(true);
        }
        let one_line = self.matcher.one_line();
        let crash = trace::is_crash(line.as_bytes());
        if let Some(tracer) = held {
            if tracer.continues(line.as_bytes(), true) {
                return None;
            }
            if !one_line && !crash {
                self.failed += 1;
                return None;
            }
        }
        self.next.clear();
        format::plain(line.as_bytes(), &mut self.next);
        if !crash {
            self.failed += 1;
            self.next.issues.add(Issues::UNPARSED);
        }
        Some(false)
    }

    fn flush(&mut self, chunk: Chunk<'_>, emit: &mut impl FnMut(Event<'_>)) {
        self.flush_bare(chunk, emit);
        self.flush_lanes(emit);
    }
}

/// The last border of a character at or before `at`.
fn floor_char(text: &[u8], at: usize) -> usize {
    let mut at = at.min(text.len());
    while at > 0 && text.get(at).is_some_and(|b| b & 0xc0 == 0x80) {
        at -= 1;
    }
    at
}
