//! Which format a file has, from its first lines.
//!
//! Every format is tried on every line of the sample, the wrapper first and the formats on what it holds. The format with the most
//! matches wins, if it matches at least half of the lines that can begin a record; of equals the more particular one. The counts are
//! kept, so that the choice can be explained.

use crate::format::Format;
use crate::parsed::{Parsed, Text};
use crate::scan::str_of;
use crate::time::When;
use crate::trace::{self, Tracer};
use crate::wrapper::Wrapper;
use memchr::memchr;

/// Lines that are looked at.
pub const SAMPLE_LINES: usize = 64;

/// Lines that must agree before a lock counts as firm; a weaker one is given up at the first line that fails.
pub const AGREE_LINES: u32 = 8;

/// No further line is looked at once so many bytes were. Lines are looked at whole: a part of one says nothing of JSON.
const SAMPLE_BYTES: usize = 256 * 1024;

/// How often each candidate matched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detected {
    pub wrapper: Wrapper,
    pub format: Format,
    /// Lines of the sample that `format` matched.
    pub lines: u32,
    /// Lines of the sample.
    pub sampled: u32,
    /// Lines that can begin a record, which is what formats are measured against.
    pub heads: u32,
    /// Lines with each wrapper.
    pub wrappers: [(Wrapper, u32); 2],
    /// Lines that each format matched, the most particular first.
    pub formats: [(Format, u32); Format::ALL.len()],
    /// Time of the last line that said one, as far as it said it.
    pub last_time: Option<When>,
}

impl Detected {
    /// The choice and its reason in one sentence.
    pub fn reason(&self) -> String {
        let around = match self.wrapper {
            Wrapper::None => String::new(),
            wrapper => format!(" inside {}", wrapper.name()),
        };
        let name = self.format.name();
        if self.sampled == 0 {
            return "there is no line yet".into();
        }
        if self.heads == 0 {
            return format!("{name}{around}: there is no line yet that can begin a record");
        }
        if self.format == Format::Plain {
            let best = self.formats.iter().filter(|(f, _)| *f != Format::Plain).max_by_key(|(_, n)| *n);
            let (best, n) = best.map_or(("none", 0), |(f, n)| (f.name(), *n));
            return format!(
                "{name}{around}: no format matches half of the {} lines that can begin a record (most: {best}, {n})",
                self.heads
            );
        }
        format!("{name}{around}: it matches {} of {} lines that can begin a record", self.lines, self.heads)
    }
}

/// Looks at the first lines of `bytes`; a last line without its end is left out, unless it is the only one.
pub fn detect(bytes: &[u8]) -> Detected {
    let lines = || {
        let mut looked_at = 0;
        let bounded = lines(bytes).take(SAMPLE_LINES);
        bounded.take_while(move |line| {
            let before = looked_at;
            looked_at += line.len();
            before < SAMPLE_BYTES
        })
    };
    let mut found = Detected {
        wrappers: [(Wrapper::Docker, 0), (Wrapper::Cri, 0)],
        formats: Format::ALL.map(|f| (f, 0)),
        ..Detected::default()
    };
    let mut scratch = String::new();
    for line in lines() {
        found.sampled += 1;
        for (wrapper, count) in &mut found.wrappers {
            *count += u32::from(wrapper.unwrap(line, &mut scratch).is_some());
        }
    }
    let best = found.wrappers.iter().max_by_key(|(_, n)| *n);
    found.wrapper = best.filter(|(_, n)| *n * 2 >= found.sampled.max(1)).map_or(Wrapper::None, |(w, _)| *w);
    let mut parsed = Parsed::default();
    let mut tracer = Tracer::default();
    let mut lanes = [Vec::new(), Vec::new()];
    let mut times = [None; 2];
    for line in lines() {
        let Some(entry) = found.wrapper.unwrap(line, &mut scratch) else { continue };
        let content = match entry.content {
            Text::Line(span) => span.of(line),
            Text::Scratch(span) => span.of(scratch.as_bytes()),
            Text::Static(text) => text.as_bytes(),
        };
        let lane = usize::from(entry.lane & 1);
        let (parts, time) = (&mut lanes[lane], &mut times[lane]);
        let joins = found.wrapper == Wrapper::Cri || *time == entry.time || !begins_fields(content);
        if !parts.is_empty() && !joins {
            sample_part(parts, &mut found, &mut tracer, &mut parsed);
        }
        if !entry.partial && parts.is_empty() {
            sample(str_of(content), &mut found, &mut tracer, &mut parsed);
            continue;
        }
        *time = entry.time;
        parts.extend_from_slice(content);
        if !entry.partial {
            sample(&String::from_utf8_lossy(parts), &mut found, &mut tracer, &mut parsed);
            parts.clear();
        }
    }
    lanes.iter_mut().for_each(|parts| sample_part(parts, &mut found, &mut tracer, &mut parsed));
    choose(&mut found);
    found
}

/// Tries every format on a line; whether one matches.
fn try_all(line: &str, found: &mut Detected, parsed: &mut Parsed) -> bool {
    let mut matched = false;
    for (format, count) in &mut found.formats {
        let hit = *format != Format::Plain && format.parse(line, parsed);
        if hit && !matched {
            found.last_time = parsed.time.or(found.last_time);
        }
        matched |= hit;
        *count += u32::from(hit);
    }
    matched
}

fn sample(line: &str, found: &mut Detected, tracer: &mut Tracer, parsed: &mut Parsed) {
    if try_all(line, found, parsed) {
        *tracer = Tracer::begin(line.as_bytes());
    } else if trace::is_crash(line.as_bytes()) {
        // It says nothing about how the lines of the program itself are written.
        *tracer = Tracer::begin(line.as_bytes());
        return;
    } else if line.trim().is_empty() || tracer.continues(line.as_bytes(), true) {
        return;
    }
    found.heads += 1;
}

/// A line of which the end is missing. Its beginning may be that of a set of fields, or tell a format that reads beginnings; it speaks against none.
fn sample_part(parts: &mut Vec<u8>, found: &mut Detected, tracer: &mut Tracer, parsed: &mut Parsed) {
    if begins_fields(parts) {
        found.heads += 1;
        found.formats.iter_mut().filter(|(format, _)| *format == Format::Json).for_each(|(_, n)| *n += 1);
    } else if try_all(&String::from_utf8_lossy(parts), found, parsed) {
        *tracer = Tracer::begin(parts);
        found.heads += 1;
    }
    parts.clear();
}

fn begins_fields(text: &[u8]) -> bool {
    text.starts_with(b"{\"")
}

fn choose(found: &mut Detected) {
    let mut best = (Format::Plain, 0);
    for &(format, n) in &found.formats {
        if n > best.1 {
            best = (format, n);
        }
    }
    if best.1 == 0 || best.1 * 2 < found.heads {
        best = (Format::Plain, found.heads);
    }
    (found.format, found.lines) = best;
    for (format, n) in &mut found.formats {
        if *format == Format::Plain {
            *n = found.heads;
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut first = true;
    std::iter::from_fn(move || {
        let line = match memchr(b'\n', rest) {
            Some(end) => {
                let line = &rest[..end];
                rest = &rest[end + 1..];
                line
            }
            None if first && !rest.is_empty() => std::mem::take(&mut rest),
            None => return None,
        };
        first = false;
        // A hole, which a writer leaves that goes on at its old place in a file that was cut, belongs to no line.
        let line = &line[line.iter().take_while(|b| **b == 0).count()..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}
