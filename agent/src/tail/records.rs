//! A parsed record as it goes on the wire.

use weir_model::identity;
use weir_model::otlp::{BodyWriter, LogWriter};
use weir_parse::settle::Source;
use weir_parse::stream::Record;
use weir_parse::{Derived, Issues, attr};

/// Writes a record that was read at `now`, in nanoseconds since the Unix epoch. It belongs to the span that was derived from it, where it
/// names none itself.
#[inline]
pub(super) fn write(record: &Record<'_>, derived: Option<&Derived<'_>>, now: u64, out: &mut BodyWriter) {
    let &Record { text, parsed, .. } = record;
    let trace_id = parsed.trace_id.or(derived.map(|span| span.trace_id));
    let span_id = parsed.span_id.or(derived.map(|span| span.span_id));
    out.record(|out| {
        let mut log = LogWriter::new(out);
        if record.time_source != Source::None {
            log.time(record.time);
        }
        log.observed(now);
        log.severity(parsed.severity, parsed.text(text, parsed.severity_text));
        log.body(record.body());
        parsed.trace_flags.into_iter().for_each(|flags| log.trace_flags(flags.into()));
        trace_id.into_iter().for_each(|id| log.trace_id(id));
        span_id.into_iter().for_each(|id| log.span_id(id));
        let mut attrs = log.attrs();
        attrs.int(identity::OFFSET, record.start as i64);
        if let Some(stream) = record.iostream {
            attrs.str(attr::STREAM, stream);
        }
        // The body of a record that is no set of fields says it as well.
        if parsed.structured && !matches!(record.time_source, Source::Line | Source::None) {
            attrs.str(attr::TIME_TEXT, parsed.text(text, parsed.time_text));
        }
        let whole = parsed.write_attrs(text, &mut attrs);
        if !whole || parsed.issues.has(Issues::TRUNCATED) {
            attrs.bool(identity::TRUNCATED, true);
        }
        if parsed.issues != Issues::NONE {
            let others: Vec<&str> = parsed.issues.names().filter(|name| *name != "truncated").collect();
            if !others.is_empty() {
                attrs.str(attr::ISSUES, &others.join(","));
            }
        }
    });
}
