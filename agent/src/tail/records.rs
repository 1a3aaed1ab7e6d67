//! From lines to records: parts are joined, stack traces follow the line they belong to, and each record is written as OTLP.

use std::borrow::Cow;

use weir_model::limits::{BODY_BYTES, KEY_BYTES, VALUE_BYTES};
use weir_model::otlp::{AttrWriter, BodyWriter, LogWriter};
use weir_model::{Severity, identity};
use weir_parse::continuation::Trace;
use weir_parse::{Entry, Field, parse_line, unwrap_entry};

/// A record that further lines may belong to.
#[derive(Debug)]
struct Pending {
    start: u64,
    end: u64,
    text: String,
    stream: String,
    time: Option<u64>,
    time_text: String,
    /// The engine split the line and its rest has not come.
    partial: bool,
    truncated: bool,
    trace: Trace,
}

/// Makes records of one file's lines.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    pending: Option<Pending>,
    /// Records that were cut or lack their end.
    pub(super) truncated: u64,
}

impl Assembler {
    /// Where the record begins that is not written yet.
    pub(super) fn pending_start(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.start)
    }

    pub(super) fn pending_end(&self) -> Option<u64> {
        self.pending.as_ref().map(|pending| pending.end)
    }

    /// Takes the line that stands from `start` to `end` (with its newline). What is complete by it is written.
    pub(super) fn push(
        &mut self,
        line: &[u8],
        start: u64,
        end: u64,
        cut: bool,
        now: u64,
        out: &mut BodyWriter,
    ) {
        let entry = unwrap_entry(line);
        if let Some(pending) = &mut self.pending
            && pending.stream == entry.stream
            && joins(pending, &entry)
        {
            let between = if pending.partial { "" } else { "\n" };
            pending.truncated |= !append(&mut pending.text, between, &entry.text) || cut;
            pending.trace = pending.trace.after(&entry.text);
            pending.partial = entry.partial;
            pending.end = end;
            return;
        }
        self.flush(now, out);
        if entry.text.is_empty() {
            return;
        }
        let mut text = String::new();
        let whole = append(&mut text, "", &entry.text);
        self.pending = Some(Pending {
            start,
            end,
            trace: Trace::default().after(&entry.text),
            text,
            stream: entry.stream.into_owned(),
            time: entry.time,
            time_text: entry.time_text.into_owned(),
            partial: entry.partial,
            truncated: cut || !whole,
        });
    }

    /// Writes the record that is open.
    pub(super) fn flush(&mut self, now: u64, out: &mut BodyWriter) {
        let Some(pending) = self.pending.take() else { return };
        let truncated = pending.truncated || pending.partial;
        self.truncated += truncated as u64;
        write(&pending, truncated, now, out);
    }
}

/// Whether an entry goes on with the pending record. A part is joined with one of the same time, or one that begins nothing of its own.
fn joins(pending: &Pending, entry: &Entry<'_>) -> bool {
    if pending.partial {
        let same_time = !pending.time_text.is_empty() && pending.time_text == entry.time_text;
        return same_time || parse_line(&entry.text).format == "text";
    }
    pending.trace.continues(&entry.text)
}

/// Appends within the bound of a body; false when something was left out.
fn append(text: &mut String, between: &str, more: &str) -> bool {
    let room = BODY_BYTES.saturating_sub(text.len() + between.len());
    let part = cut_text(more, room);
    text.push_str(between);
    text.push_str(part);
    part.len() == more.len()
}

/// The longest beginning of a text within so many bytes.
fn cut_text(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn write(pending: &Pending, truncated: bool, now: u64, out: &mut BodyWriter) {
    let (first, rest) = match pending.text.split_once('\n') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pending.text.as_str(), None),
    };
    let line = parse_line(first);
    // The line's own instant, else the wrapper's.
    let time = line.stamp.and_then(|stamp| stamp.instant()).or(pending.time);
    let body: Cow<'_, str> = match rest {
        None => line.body.clone(),
        Some(rest) => Cow::Owned(format!("{}\n{rest}", line.body)),
    };
    out.record(|out| {
        let mut log = LogWriter::new(out);
        if let Some(time) = time {
            log.time(time);
        }
        log.observed(now);
        let severity = match (line.severity, pending.stream.as_str()) {
            (Severity::UNSET, _)
                if rest.is_some_and(|rest| rest.contains("\n\tat ") || rest.starts_with("\tat ")) =>
            {
                Severity::ERROR
            }
            (severity, _) => severity,
        };
        log.severity(severity, &line.severity_text);
        log.body(&body);
        line.trace_id.into_iter().for_each(|id| log.trace_id(id));
        line.span_id.into_iter().for_each(|id| log.span_id(id));
        let mut attrs = log.attrs();
        attrs.int(identity::OFFSET, pending.start as i64);
        if !pending.stream.is_empty() {
            attrs.str("log.iostream", &pending.stream);
        }
        if truncated {
            attrs.bool(identity::TRUNCATED, true);
        }
        line.attributes.iter().for_each(|(key, value)| attribute(&mut attrs, key, value));
    });
}

fn attribute(attrs: &mut AttrWriter<'_>, key: &str, value: &Field<'_>) {
    let key = cut_text(key, KEY_BYTES);
    match value {
        Field::Text(text) => attrs.str(key, cut_text(text, VALUE_BYTES)),
        Field::Int(n) => attrs.int(key, *n),
        Field::Double(x) => attrs.double(key, *x),
        Field::Bool(b) => attrs.bool(key, *b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::otlp::log_refs;

    /// Bodies of the records that lines become, and whether they are marked truncated.
    fn records(lines: &[&str]) -> Vec<(u64, String, bool)> {
        let mut out = BodyWriter::default();
        out.resource(|_| {});
        out.scope("", "");
        let mut assembler = Assembler::default();
        let mut offset = 0;
        for line in lines {
            let end = offset + line.len() as u64 + 1;
            assembler.push(line.as_bytes(), offset, end, false, 7, &mut out);
            offset = end;
        }
        assembler.flush(7, &mut out);
        let body = out.finish();
        let record = |log: weir_model::otlp::LogRef<'_>| {
            let attrs = log.log.attrs();
            let offset = attrs.get(identity::OFFSET).unwrap().as_int().unwrap() as u64;
            (offset, log.log.body.as_str().unwrap().to_owned(), attrs.get(identity::TRUNCATED).is_some())
        };
        log_refs(&body).map(record).collect()
    }

    #[test]
    fn traces_follow_their_line() {
        let lines = [
            "10:00:00.000 ERROR failed",
            "java.io.IOException: x",
            "\tat a.B(B.java:1)",
            "",
            "10:00:01.000 INFO next",
        ];
        let found = records(&lines);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1, "10:00:00.000 ERROR failed\njava.io.IOException: x\n\tat a.B(B.java:1)");
        assert_eq!(found[1].0, lines[..4].iter().map(|line| line.len() as u64 + 1).sum::<u64>());
    }

    #[test]
    fn parts_are_joined_only_with_their_own() {
        let docker = |log: &str, stream: &str, time: &str| {
            format!(r#"{{"log":"{log}","stream":"{stream}","time":"2024-05-01T10:00:0{time}Z"}}"#)
        };
        let check = |lines: &[String], expect: &[(&str, bool)]| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let found = records(&lines);
            let found: Vec<_> =
                found.iter().map(|(_, body, truncated)| (body.as_str(), *truncated)).collect();
            assert_eq!(found, expect);
        };
        check(
            &[docker("10:00:00.000 INFO ab", "stdout", "0.1"), docker("cd\\n", "stdout", "0.1")],
            &[("10:00:00.000 INFO abcd", false)],
        );
        check(
            &[docker("10:00:00.000 INFO ab", "stdout", "0.1"), docker("cd\\n", "stdout", "0.2")],
            &[("10:00:00.000 INFO abcd", false)],
        );
        check(
            &[
                docker("10:00:00.000 INFO ab", "stdout", "0.1"),
                docker("10:00:00.000 INFO cd\\n", "stdout", "0.2"),
            ],
            &[("10:00:00.000 INFO ab", true), ("10:00:00.000 INFO cd", false)],
        );
        check(
            &[docker("10:00:00.000 INFO ab", "stdout", "0.1"), docker("cd\\n", "stderr", "0.1")],
            &[("10:00:00.000 INFO ab", true), ("cd", false)],
        );
    }
}
