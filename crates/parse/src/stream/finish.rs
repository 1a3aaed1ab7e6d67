//! The last step of a record: the exception in its further lines, and where its body ends.

use super::{Counts, Event, Held, Record};
use crate::attr;
use crate::parsed::{Issues, Parsed, Span, Text, Value};
use crate::settle::Source;
use crate::trace;
use weir_model::Severity;

#[inline]
pub(super) fn finish(text: &str, held: &mut Held, counts: &mut Counts, emit: &mut impl FnMut(Event<'_>)) {
    if held.goes_on {
        several_lines(text, &mut held.parsed);
    }
    let issues = held.parsed.issues;
    counts.records += 1;
    counts.truncated += u64::from(issues.has(Issues::TRUNCATED));
    counts.unparsed += u64::from(issues.has(Issues::UNPARSED));
    let (time, time_source) = held.settled.map_or((0, Source::None), |s| (s.time, s.source));
    emit(Event::Record(Record {
        start: held.start,
        end: held.end,
        text,
        parsed: &held.parsed,
        time,
        time_source,
        iostream: held.lane.map(|lane| if lane == 1 { "stderr" } else { "stdout" }),
        lines: held.lines,
    }));
}

fn several_lines(text: &str, parsed: &mut Parsed) {
    let span_of = |inner: &str| {
        let start = inner.as_ptr() as usize - text.as_ptr() as usize;
        Span::new(start, start + inner.len())
    };
    let mut end = text.trim_end().len();
    let newline = text.find('\n').unwrap_or(0);
    let from = match parsed.body {
        Text::Line(span) if span.start == 0 => 0,
        // Go's net/http names the panic in the line above the stack.
        Text::Line(span) if text[newline..].starts_with("\ngoroutine ") => span.start as usize,
        // In a record that its own first line explains, only what follows can be a trace.
        _ => newline,
    };
    if let Some(found) = trace::exception(&text[from..]) {
        for (key, part) in [
            (attr::EXCEPTION_TYPE, found.kind),
            (attr::EXCEPTION_MESSAGE, found.message),
            (attr::EXCEPTION_STACK, found.stack),
        ] {
            // The trace is a part of the body already, unless a message stands for the record.
            if !part.is_empty() && (parsed.structured || key != attr::EXCEPTION_STACK) {
                parsed.set(key, Value::Str(Text::Line(span_of(part))));
            }
        }
        if parsed.severity == Severity::UNSET {
            let fatal = ["panic: ", "fatal error: "].iter().any(|head| found.stack.starts_with(head));
            parsed.severity = if fatal { Severity::FATAL } else { Severity::ERROR };
        }
        let before = text[..span_of(found.stack).start as usize].trim_end().len();
        // A trace without a line before it has its first line as the body.
        end = if before == 0 { text.find('\n').unwrap_or(end) } else { before };
    }
    if let Text::Line(span) = parsed.body {
        let start = span.start as usize;
        parsed.body = Text::Line(Span::new(start, end.max(span.end.min(end as u32) as usize).max(start)));
    }
}
