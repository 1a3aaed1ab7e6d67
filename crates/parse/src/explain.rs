//! What is decided about a source and why, for `weir explain`.
//!
//! The records are those of a [`Stream`] that reads the source from its beginning, as an agent does on the first day.

use crate::charset::Charset;
use crate::decision::{Decision, Locked};
use crate::detect::{Detected, detect};
use crate::format::Format;
use crate::settle::{self, Source, ZoneFrom};
use crate::stream::{Counts, Event, Options, Record, Stream};

/// The decisions about a source, and what they rest on.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// How the source is written.
    pub charset: Charset,
    /// How often each candidate matched the first lines.
    pub detected: Detected,
    /// What was decided in the end; `None` for a source without a line.
    pub locked: Option<Locked>,
    /// How the zone in `locked` came to be known.
    pub zone_from: ZoneFrom,
    /// Which lines belong to one record.
    pub rule: &'static str,
    /// Records by where their time comes from.
    pub times: [(Source, u64); 4],
    /// Of all that was read, also of what was not shown.
    pub counts: Counts,
}

impl Explanation {
    /// The choice of the format and its reason in one sentence.
    pub fn reason(&self) -> String {
        match &self.locked {
            Some(locked) if locked.format == crate::stream::PATTERN => match self.detected.wrapper.name() {
                "none" => "the pattern that the configuration sets for this file".into(),
                wrapper => format!("the pattern that the configuration sets for this file, inside {wrapper}"),
            },
            _ => self.detected.reason(),
        }
    }

    /// Where the records' times come from, in one sentence.
    pub fn time_reason(&self) -> String {
        let zone = match self.zone_from {
            ZoneFrom::Configuration => "the configuration",
            ZoneFrom::LastWrite => "the file's last write",
            ZoneFrom::Host => "this host, since nothing else tells it",
        };
        let parts =
            self.times.iter().filter(|(_, records)| *records > 0).map(|(source, records)| match source {
                Source::Line => format!("{records} records with date, time and zone"),
                Source::Wrapper => format!(
                    "{records} records without a whole time, for which the container runtime's counts"
                ),
                Source::Settled => {
                    format!("{records} records that leave out zone, year or day; the zone is that of {zone}")
                }
                Source::None => format!("{records} records without any, for which that of reading counts"),
            });
        let parts: Vec<String> = parts.collect();
        if parts.is_empty() { "there is no record yet".into() } else { parts.join("; ") }
    }
}

/// Explains the source that `bytes` begins. `whole` says that they end where it ends. Records that begin in the first `lines` lines
/// are shown, with the number of their first line, counted from 1.
pub fn explain(
    bytes: &[u8],
    whole: bool,
    options: Options,
    lines: usize,
    show: &mut impl FnMut(usize, &Record<'_>),
) -> Explanation {
    let charset = options.charset.marked(bytes);
    let detected = detect(&charset.text(bytes));
    let (_, zone_from) = settle::zone(&options.evidence, detected.last_time);
    let pattern = options.pattern.clone();
    let mut times = [Source::Line, Source::Wrapper, Source::Settled, Source::None].map(|source| (source, 0));
    let mut locked = None;
    let (mut at, mut line) = (0, 1);
    let mut emit = |event: Event<'_>| match event {
        Event::Decision(Decision::Lock { locked: found, .. }) => locked = Some(found),
        Event::Decision(_) => {}
        Event::Record(record) => {
            line += charset.line_ends(&bytes[at..record.start as usize], at as u64).count();
            at = record.start as usize;
            if let Some((_, n)) = times.iter_mut().find(|(source, _)| *source == record.time_source) {
                *n += 1;
            }
            if line <= lines {
                show(line, &record);
            }
        }
    };
    let mut stream = Stream::new(options, [], 0);
    let used = stream.push(bytes, &mut emit);
    if whole && used < bytes.len() {
        stream.push_cut(&bytes[used..], bytes.len() as u64, &mut emit);
    }
    stream.cut(&mut emit);
    let counts = stream.counts();
    let rule = match (&pattern, locked.as_ref().and_then(|l: &Locked| Format::from_name(l.format))) {
        (Some(pattern), _) => pattern.rule(),
        (None, format) => format.unwrap_or_default().rule(),
    };
    Explanation { charset, detected, locked, zone_from, rule, times, counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settle::Evidence;

    fn check(input: &str, options: Options, lines: usize) -> (Vec<(usize, String)>, Explanation) {
        let mut shown = Vec::new();
        let explanation = explain(input.as_bytes(), true, options, lines, &mut |line, record| {
            shown.push((line, record.text.to_owned()));
        });
        (shown, explanation)
    }

    #[test]
    fn lines_are_counted_and_limited() {
        let input =
            "10:00:01 INFO a.B - one\n\n10:00:02 WARN a.B - two\n\tat c.D\n10:00:03 INFO a.B - three\n";
        let evidence =
            Evidence { modified: Some(1_700_000_000_000_000_000), at_end: true, ..Evidence::default() };
        let (shown, found) = check(input, Options { evidence, ..Options::default() }, 4);
        let expect = [(1, "10:00:01 INFO a.B - one\n"), (3, "10:00:02 WARN a.B - two\n\tat c.D")];
        assert_eq!(shown, expect.map(|(line, text)| (line, text.to_owned())));
        assert_eq!(found.counts.records, 3);
        assert!(found.reason().starts_with("app: it matches 3 of 3"), "{}", found.reason());
        assert!(
            found.time_reason().ends_with("this host, since nothing else tells it"),
            "{}",
            found.time_reason()
        );
    }

    #[test]
    fn nothing_is_explained_too() {
        let (shown, found) = check("", Options::default(), 4);
        assert!(shown.is_empty());
        assert!(found.locked.is_none());
        assert_eq!(found.reason(), "there is no line yet");
        let (_, blank) = check("\n", Options::default(), 4);
        assert_eq!(blank.reason(), "plain: there is no line yet that can begin a record");
    }
}
