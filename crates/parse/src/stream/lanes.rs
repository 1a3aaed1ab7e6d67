//! Sources with a wrapper: stdout and stderr interleave in one file, and long lines come in fragments.
//!
//! Each lane puts its own lines together; records leave in the order of their starts. Docker's fragments don't say that they are
//! some: an entry without a line end is joined with the next of its lane if that has the same time or doesn't begin a record, and
//! otherwise stands alone, flagged truncated. CRI cuts between any two bytes, so fragments are joined before they count as text.

use super::{Event, Held, RECORD_LINES, Stream};
use crate::parsed::{Issues, Parsed, Text};
use crate::trace::Tracer;
use crate::wrapper::{Entry, Wrapper};
use std::collections::VecDeque;
use weir_model::limits;

/// Records that wait for an earlier one of the other lane; then that one is cut.
const QUEUED_RECORDS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Lanes {
    parts: [Part; 2],
    /// Per lane the number of its open record.
    open: [Option<u64>; 2],
    queue: VecDeque<Held>,
    /// Number of the record at the front of the queue.
    front: u64,
    /// Finished records, for their buffers.
    free: Vec<Held>,
    scratch: String,
    probe: Parsed,
}

/// A line of which fragments have come.
#[derive(Debug, Default)]
struct Part {
    active: bool,
    text: Vec<u8>,
    start: u64,
    end: u64,
    time: Option<u64>,
    issues: Issues,
    lines: u32,
}

/// A whole line without its wrapper.
struct Whole<'a> {
    lane: u8,
    text: &'a [u8],
    start: u64,
    end: u64,
    time: Option<u64>,
    issues: Issues,
    lines: u32,
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.parts.iter().all(|p| !p.active)
    }

    /// Whether there are others than those of which only fragments have come.
    pub(super) fn has_records(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(super) fn first_start(&self) -> Option<u64> {
        self.queue.front().map(|h| h.start).into_iter().chain(self.part_start()).min()
    }

    /// How many records at the front are finished and end before everything that is pending begins: reading again from there must not meet a
    /// line of theirs, which without the lines before it would be a record of its own.
    fn ready(&self) -> usize {
        let limit = self.part_start().unwrap_or(u64::MAX);
        let finished = self.queue.iter().take_while(|held| held.closed && held.start < limit).count();
        let (mut ready, mut end) = (0, 0);
        for at in 0..finished {
            end = end.max(self.queue[at].end);
            let pending = self.queue.get(at + 1).map_or(limit, |next| next.start.min(limit));
            if end <= pending {
                ready = at + 1;
            }
        }
        ready
    }

    fn part_start(&self) -> Option<u64> {
        self.parts.iter().filter(|p| p.active).map(|p| p.start).min()
    }
}

impl Stream {
    pub(super) fn wrapped(
        &mut self,
        wrapper: Wrapper,
        line: &[u8],
        start: u64,
        end: u64,
        mut issues: Issues,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let mut scratch = std::mem::take(&mut self.lanes.scratch);
        let entry = wrapper.unwrap(line, &mut scratch).unwrap_or_else(|| {
            issues.add(Issues::UNPARSED);
            Entry { content: Text::Line(crate::parsed::Span::new(0, line.len())), ..Entry::default() }
        });
        let text = match entry.content {
            Text::Line(span) => span.of(line),
            Text::Scratch(span) => span.of(scratch.as_bytes()),
            Text::Static(text) => text.as_bytes(),
        };
        let lane = entry.lane as usize & 1;
        if self.lanes.parts[lane].active && !self.joins(wrapper, lane, &entry, text) {
            self.lanes.parts[lane].issues.add(Issues::TRUNCATED);
            self.part_done(lane, emit);
        }
        if entry.partial || self.lanes.parts[lane].active {
            self.join(lane, &entry, text, start, end, issues);
            if !entry.partial {
                self.part_done(lane, emit);
            }
        } else {
            let whole = Whole { lane: lane as u8, text, start, end, time: entry.time, issues, lines: 1 };
            self.whole(whole, emit);
        }
        self.lanes.scratch = scratch;
        self.drain(emit);
    }

    fn joins(&mut self, wrapper: Wrapper, lane: usize, entry: &Entry, text: &[u8]) -> bool {
        if wrapper == Wrapper::Cri || self.lanes.parts[lane].time == entry.time {
            return true;
        }
        let mut probe = std::mem::take(&mut self.lanes.probe);
        let text = String::from_utf8_lossy(text);
        // The first part of a set of fields can't be read yet.
        let begins =
            self.matcher.parse(&text, &mut probe) || entry.partial && self.matcher.begins_fields(&text);
        self.lanes.probe = probe;
        !begins
    }

    fn join(&mut self, lane: usize, entry: &Entry, text: &[u8], start: u64, end: u64, issues: Issues) {
        let part = &mut self.lanes.parts[lane];
        if !part.active {
            part.active = true;
            part.text.clear();
            part.start = start;
            part.time = entry.time;
            part.issues = Issues::NONE;
            part.lines = 0;
        }
        part.end = end;
        part.lines += 1;
        part.issues.add(issues);
        let room = limits::BODY_BYTES.saturating_sub(part.text.len());
        let taken = super::floor_char(text, room);
        part.text.extend_from_slice(&text[..taken]);
        if taken < text.len() {
            part.issues.add(Issues::TRUNCATED);
            self.counts.dropped_bytes += (text.len() - taken) as u64;
        }
    }

    fn part_done(&mut self, lane: usize, emit: &mut impl FnMut(Event<'_>)) {
        let part = &mut self.lanes.parts[lane];
        part.active = false;
        let text = std::mem::take(&mut part.text);
        let whole = Whole {
            lane: lane as u8,
            text: &text,
            start: part.start,
            end: part.end,
            time: part.time,
            issues: part.issues,
            lines: part.lines,
        };
        self.whole(whole, emit);
        self.lanes.parts[lane].text = text;
    }

    fn whole(&mut self, mut line: Whole<'_>, emit: &mut impl FnMut(Event<'_>)) {
        let replaced;
        let text = match simdutf8::basic::from_utf8(line.text) {
            Ok(text) => text,
            Err(_) => {
                replaced = self.replaced(line.text, &mut line.issues);
                &replaced
            }
        };
        let lane = line.lane as usize;
        let open = self.lanes.open[lane].map(|n| (n - self.lanes.front) as usize);
        let mut tracer = open.map(|at| self.lanes.queue[at].tracer);
        let Some(matched) = self.begins(text, tracer.as_mut()) else {
            let at = open.expect("only an open record is continued");
            let held = &mut self.lanes.queue[at];
            held.tracer = tracer.unwrap_or_default();
            held.end = held.end.max(line.end);
            held.lines += line.lines;
            held.goes_on = true;
            held.parsed.issues.add(line.issues);
            if held.lines > RECORD_LINES || held.text.len() + text.len() + 1 > limits::BODY_BYTES {
                held.parsed.issues.add(Issues::TRUNCATED);
                self.counts.dropped_bytes += text.len() as u64 + 1;
            } else {
                held.text.push('\n');
                held.text.push_str(text);
            }
            return;
        };
        if let Some(at) = open {
            self.lanes.queue[at].closed = true;
            self.lanes.open[lane] = None;
        }
        if text.is_empty() {
            self.counts.blank += 1;
            return;
        }
        let settled = self.settle(line.start, line.time, emit);
        let mut held = self.lanes.free.pop().unwrap_or_default();
        std::mem::swap(&mut held.parsed, &mut self.next);
        held.parsed.issues.add(line.issues);
        held.text.clear();
        held.text.push_str(text);
        held.start = line.start;
        held.end = line.end;
        held.settled = Some(settled);
        held.tracer = if matched { Tracer::default() } else { Tracer::begin(text.as_bytes()) };
        held.lines = line.lines;
        held.goes_on = false;
        held.lane = Some(line.lane);
        held.closed = matched && self.matcher.one_line();
        let open = (!held.closed).then_some(self.lanes.front + self.lanes.queue.len() as u64);
        self.lanes.open[lane] = open;
        self.lanes.insert(held);
    }

    /// Lets out the finished records before which nothing is pending.
    fn drain(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        if self.lanes.queue.len() > QUEUED_RECORDS {
            self.flush_lanes(emit);
            return;
        }
        for _ in 0..self.lanes.ready() {
            self.pop(emit);
        }
    }

    fn pop(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        let Some(mut held) = self.lanes.queue.pop_front() else { return };
        self.lanes.front += 1;
        let text = std::mem::take(&mut held.text);
        super::finish::finish(&text, &mut held, &mut self.counts, emit);
        held.text = text;
        self.lanes.free.push(held);
    }

    pub(super) fn flush_lanes(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        let mut lanes = [0, 1];
        lanes.sort_by_key(|lane| self.lanes.parts[*lane].start);
        for lane in lanes {
            if self.lanes.parts[lane].active {
                self.lanes.parts[lane].issues.add(Issues::TRUNCATED);
                self.part_done(lane, emit);
            }
        }
        self.lanes.open = [None; 2];
        while !self.lanes.queue.is_empty() {
            self.pop(emit);
        }
    }
}

impl Lanes {
    /// Keeps the queue in the order of starts: a line put together from fragments began before what came meanwhile.
    fn insert(&mut self, held: Held) {
        let at = self.queue.partition_point(|other| other.start < held.start);
        if at < self.queue.len() {
            let number = self.front + at as u64;
            let lane = held.lane.unwrap_or(0) as usize & 1;
            for open in self.open.iter_mut().flatten() {
                *open += u64::from(*open >= number);
            }
            self.open[lane] = (!held.closed).then_some(number);
        }
        self.queue.insert(at, held);
    }
}
