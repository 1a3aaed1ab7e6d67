//! What is decided about a source on the way: its format, how far records may have come out, a day or year that moved on. A decision is announced
//! before a record depends on it; those that an earlier reader announced are followed.

use super::chunk::Chunk;
use super::{Event, PATTERN, Stream};
use crate::decision::{Decision, Locked};
use crate::detect::{AGREE_LINES, Detected, detect};
use crate::format::Format;
use crate::parsed::Parsed;
use crate::pattern::Pattern;
use crate::settle::{self, Evidence, Settled};
use crate::wrapper::Wrapper;
use crate::zone::{Zone, ZoneName};
use std::sync::Arc;

/// Lines in a row that don't match before another format is looked for.
const FAILED_LINES: u32 = 64;

/// Chunks between two looks at a source that was taken for plain text; the first ones are all looked at.
const PLAIN_LOOK: u32 = 64;

/// Smallest stretch that a [`Decision::Hold`] covers, in bytes, once the format is firm: until then another one may be found in the next chunk,
/// also by a reader that begins again. Stretches grow with what was read, so their number is its logarithm.
const HOLD_BYTES: u64 = 256 * 1024;

/// How lines are read.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Known(Format),
    Pattern(Arc<Pattern>),
}

impl Matcher {
    #[inline]
    pub(super) fn parse(&self, line: &str, out: &mut Parsed) -> bool {
        match self {
            Matcher::Known(Format::Plain) => false,
            Matcher::Known(format) => format.may_begin(line.as_bytes()) && format.parse(line, out),
            Matcher::Pattern(pattern) => pattern.begins(line) && pattern.parse(line, out),
        }
    }

    /// Whether a line that is not whole looks like the beginning of one of this format, of which only whole lines can be read.
    pub(super) fn begins_fields(&self, part: &str) -> bool {
        matches!(self, Matcher::Known(Format::Json)) && Format::Json.may_begin(part.as_bytes())
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Matcher::Known(Format::Plain))
    }

    /// A record of this format that matched is whole at the end of its line.
    pub(super) fn one_line(&self) -> bool {
        matches!(self, Matcher::Known(format) if format.one_line() && *format != Format::Plain)
    }
}

impl Stream {
    /// Decides on the format where it has not been or seems wrong. Chunks are not a function of the source's
    /// bytes, which is why this never happens where an earlier reader may have been.
    pub(super) fn look(&mut self, chunk: &[u8], emit: &mut impl FnMut(Event<'_>)) {
        self.chunks = self.chunks.wrapping_add(1);
        if self.locked.is_some() && self.position < self.fixed_until {
            return;
        }
        let doubt = match &self.locked {
            None => true,
            Some(_) if self.options.pattern.is_some() => false,
            Some(lock) if lock.format == Format::Plain.name() => {
                !self.is_firm(lock) || self.chunks.is_multiple_of(PLAIN_LOOK)
            }
            Some(lock) => self.failed >= if self.is_firm(lock) { FAILED_LINES } else { 1 },
        };
        if !doubt {
            return;
        }
        let found = detect(chunk);
        if found.sampled == 0 {
            return;
        }
        self.failed = 0;
        if self.locked.as_ref().is_some_and(|lock| !better(&found, lock, self.agreeing(lock))) {
            return;
        }
        let (zone, _) = settle::zone(&self.options.evidence, found.last_time);
        let format = if self.options.pattern.is_some() { PATTERN } else { found.format.name() };
        let locked = Locked { wrapper: found.wrapper, format, lines: found.lines, zone: zone.name() };
        let decision = Decision::Lock { from: self.position, locked };
        // What is held was read with the old format and, above all, wrapper, whose lanes the new one doesn't know. Fragments of a line were not read yet.
        let rewrapped = self.locked.as_ref().is_none_or(|lock| lock.wrapper != found.wrapper);
        if self.is_holding() && (rewrapped || self.holds_records()) {
            self.cut(emit);
        }
        emit(Event::Decision(decision.clone()));
        self.adopt(decision);
    }

    /// The zone that was recorded under a name. A region that this system does not know any more has to be taken for the host's.
    pub(super) fn zone(&self, name: &ZoneName) -> Zone {
        let Evidence { zone, host_zone, .. } = &self.options.evidence;
        match name {
            ZoneName::Fixed(seconds) => Zone::Fixed(*seconds),
            ZoneName::Region(region) => {
                let known = zone.iter().chain([host_zone]).find(|known| known.name() == *name).cloned();
                let found = || Some(Zone::Region(self.options.regions?(region)?));
                known.or_else(found).unwrap_or_else(|| host_zone.clone())
            }
        }
    }

    /// Whether a lock is not given up easily.
    pub(super) fn is_firm(&self, lock: &Locked) -> bool {
        match lock.format == Format::Plain.name() {
            true => self.chunks >= PLAIN_LOOK,
            false => self.options.pattern.is_some() || self.agreeing(lock) >= AGREE_LINES,
        }
    }

    /// Lines that spoke for a lock so far.
    pub(super) fn agreeing(&self, lock: &Locked) -> u32 {
        lock.lines.saturating_add(self.agreed)
    }

    pub(super) fn adopt(&mut self, decision: Decision) {
        use settle::Turn;
        match decision {
            Decision::Lock { locked, .. } => {
                self.matcher = match (&self.options.pattern, Format::from_name(locked.format)) {
                    (Some(pattern), None) => Matcher::Pattern(pattern.clone()),
                    (_, format) => Matcher::Known(format.unwrap_or_default()),
                };
                self.settler.set_zone(self.zone(&locked.zone));
                self.agreed = 0;
                self.locked = Some(locked);
            }
            Decision::Day { day, quarter, .. } => self.settler.day = Some(Turn { count: day, quarter }),
            Decision::Year { year, quarter, .. } => self.settler.year = Some(Turn { count: year, quarter }),
            Decision::Hold { .. } | Decision::Cut { .. } => {}
        }
    }

    /// Announces that records up to `end` are going to come out, and, where the format is not likely to be given up, more.
    pub(super) fn hold(&mut self, end: u64, emit: &mut impl FnMut(Event<'_>)) {
        if end > self.hold_until {
            let firm =
                self.chunks >= PLAIN_LOOK || self.locked.as_ref().is_some_and(|lock| self.is_firm(lock));
            let until = if firm { end + HOLD_BYTES.max(end) } else { end };
            self.hold_until = until;
            emit(Event::Decision(Decision::Hold { from: self.position, until }));
        }
    }

    /// Adopts the recorded decisions that hold from `start` on.
    pub(super) fn follow(&mut self, start: u64, chunk: Chunk<'_>, emit: &mut impl FnMut(Event<'_>)) {
        while let Some(decision) = self.upcoming.pop_front_if(|d| d.from() <= start) {
            if matches!(decision, Decision::Cut { .. }) {
                self.flush(chunk, emit);
            }
            self.adopt(decision);
        }
    }

    /// Settles the time of a record that begins, and announces a day or year that moved on.
    #[inline]
    pub(super) fn settle(
        &mut self,
        start: u64,
        wrapper_time: Option<u64>,
        emit: &mut impl FnMut(Event<'_>),
    ) -> Settled {
        let before = (self.settler.day, self.settler.year);
        let settled = self.settler.settle(self.next.time, wrapper_time);
        if settled.moved {
            if let Some(turn) = self.settler.day.filter(|t| Some(*t) != before.0) {
                emit(Event::Decision(Decision::Day { from: start, day: turn.count, quarter: turn.quarter }));
            }
            if let Some(turn) = self.settler.year.filter(|t| Some(*t) != before.1) {
                emit(Event::Decision(Decision::Year {
                    from: start,
                    year: turn.count,
                    quarter: turn.quarter,
                }));
            }
        }
        settled
    }
}

/// Whether what was found is worth giving up a lock for which `agreeing` lines spoke.
fn better(found: &Detected, lock: &Locked, agreeing: u32) -> bool {
    // Text that no format matches says nothing against one that matched before.
    if found.format == Format::Plain && (found.wrapper == Wrapper::None || found.wrapper == lock.wrapper) {
        return false;
    }
    (found.format.name() != lock.format || found.wrapper != lock.wrapper)
        && (found.lines >= AGREE_LINES.min(agreeing) || found.lines >= agreeing)
}

/// The formats that a [`Locked`] may name.
pub(crate) fn format_name(name: &str) -> Option<&'static str> {
    if name == PATTERN {
        return Some(PATTERN);
    }
    Format::from_name(name).map(Format::name)
}
