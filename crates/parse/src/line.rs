//! One line: what it says of time, severity, logger and call.

use std::borrow::Cow;

use weir_model::{Severity, SpanId, TraceId};

use crate::time::{self, Stamp};
use crate::{access, context, json, logfmt};

/// Words at the beginning of a line among which a severity is looked for.
const LEVEL_WORDS: usize = 6;

/// A value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Field<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    Double(f64),
    Bool(bool),
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line<'a> {
    /// Name of the format, as `explain` shows it.
    pub format: &'static str,
    pub stamp: Option<Stamp>,
    pub severity: Severity,
    /// As it is written.
    pub severity_text: Cow<'a, str>,
    /// The message; the line itself where it has no field for that.
    pub body: Cow<'a, str>,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub attributes: Vec<(Cow<'a, str>, Field<'a>)>,
}

impl<'a> Line<'a> {
    pub(crate) fn text(&mut self, key: &'static str, value: impl Into<Cow<'a, str>>) {
        self.attributes.push((Cow::Borrowed(key), Field::Text(value.into())));
    }

    pub(crate) fn int(&mut self, key: &'static str, value: i64) {
        self.attributes.push((Cow::Borrowed(key), Field::Int(value)));
    }

    /// Sets the severity if the word is one.
    pub(crate) fn level(&mut self, word: &str) -> bool {
        let severity = severity(word);
        if severity != Severity::UNSET && self.severity == Severity::UNSET {
            self.severity = severity;
            self.severity_text = Cow::Owned(word.to_owned());
        }
        severity != Severity::UNSET
    }
}

/// The severity that a logger's word for it stands for.
pub fn severity(word: &str) -> Severity {
    let mut lower = [0; 9];
    let Some(lower) = lower.get_mut(..word.len()) else { return Severity::UNSET };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"trace" | b"finest" | b"trc" => Severity::TRACE,
        b"debug" | b"fine" | b"dbg" | b"verbose" => Severity::DEBUG,
        b"info" | b"inf" => Severity::INFO,
        // Between INFO and WARN, as syslog's notice.
        b"notice" => Severity(10),
        b"warn" | b"warning" | b"wrn" => Severity::WARN,
        b"error" | b"err" | b"severe" => Severity::ERROR,
        b"critical" | b"crit" | b"alert" => Severity(18),
        b"fatal" | b"panic" | b"emerg" | b"dpanic" | b"emergency" => Severity::FATAL,
        _ => Severity::UNSET,
    }
}

/// Understands a line as far as it can.
pub fn parse_line(text: &str) -> Line<'_> {
    json::parse(text)
        .or_else(|| access::parse(text))
        .or_else(|| logfmt::parse(text))
        .unwrap_or_else(|| pattern(text))
}

/// Free text, such as logback's patterns: perhaps a timestamp, a severity among the first words, a logger behind it, ids anywhere.
fn pattern(text: &str) -> Line<'_> {
    let mut line = Line { format: "text", body: Cow::Borrowed(text), ..Line::default() };
    let bracket = text.starts_with('[') as usize;
    let mut rest = text;
    if let Some((stamp, len)) = time::parse(&text.as_bytes()[bracket..]) {
        line.stamp = Some(stamp);
        line.format = "pattern";
        rest = &text[bracket + len..];
        if stamp.instant().is_none() {
            line.text("log.time", &text[bracket..bracket + len]);
        }
    }
    let mut words = rest.split([' ', '\t']).filter(|word| !word.is_empty());
    let found = words
        .by_ref()
        .take(LEVEL_WORDS)
        .any(|word| line.level(word.trim_matches(|c: char| "[]():|<>".contains(c))));
    if found && line.stamp.is_some() {
        line.format = "pattern";
        if let Some(logger) = logger(words.next().unwrap_or("")) {
            line.text("logger", logger);
        }
    }
    context::find(&mut line, text);
    line
}

/// A dotted name, as loggers of Java have, is a logger; anything else is the message's first word.
fn logger(word: &str) -> Option<&str> {
    let word = word.trim_end_matches([':', '-']);
    let named =
        word.contains('.') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b".$_#-".contains(&b));
    (named && word.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logback_pattern() {
        let line = parse_line(
            "16:42:10.175 INFO  a.c.AssuranceController#75 TraceID: 93bead877ae15b6d9cdf1c1569881314 SpanID: 0b3fba9c4ba54a89 [create][x, orderId: 04027d90-a300]",
        );
        assert_eq!(
            (line.format, line.severity, line.severity_text.as_ref()),
            ("pattern", Severity::INFO, "INFO")
        );
        assert_eq!(line.trace_id.unwrap().to_string(), "93bead877ae15b6d9cdf1c1569881314");
        assert_eq!(line.span_id.unwrap().to_string(), "0b3fba9c4ba54a89");
        let expect = [("log.time", "16:42:10.175"), ("logger", "a.c.AssuranceController#75")];
        let found: Vec<_> = line.attributes.iter().map(|(k, v)| (k.as_ref(), v.clone())).collect();
        assert_eq!(found, expect.map(|(k, v)| (k, Field::Text(v.into()))));
    }

    #[test]
    fn a_spring_boot_line() {
        let line = parse_line(
            "2024-05-01T10:00:00.123+02:00  WARN [order,93bead877ae15b6d9cdf1c1569881314,0b3fba9c4ba54a89] 7 --- [nio-1] c.e.OrderService : slow",
        );
        assert_eq!(line.stamp, Some(Stamp::Instant(1_714_550_400_123_000_000)));
        assert_eq!(line.severity, Severity::WARN);
        assert_eq!(line.trace_id.unwrap().to_string(), "93bead877ae15b6d9cdf1c1569881314");
        assert_eq!(line.span_id.unwrap().to_string(), "0b3fba9c4ba54a89");
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        for text in ["", "hello world", "error: no such file", "[2023] x", "ünïcödé 支付"] {
            assert_eq!(parse_line(text).body, text);
        }
        assert_eq!(parse_line("error: no such file").severity, Severity::ERROR);
        assert_eq!(
            parse_line("trace_id=93bead877ae15b6d9cdf1c1569881314 x").trace_id.unwrap().low(),
            0x9cdf_1c15_6988_1314
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: String) {
            parse_line(&text);
        }
    }
}
