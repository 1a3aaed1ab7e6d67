//! A format that the user describes: a regular expression with named groups, or a layout as logback writes it.

use crate::attr;
use crate::context;
use crate::parsed::{Issues, Parsed, Span, Text, Value};
use crate::time::{self, Date, SECOND, When};
use jiff::fmt::strtime::BrokenDownTime;
use regex::{Regex, RegexBuilder};
use weir_model::Severity;

/// Largest compiled expression, in bytes.
const COMPILED_BYTES: usize = 1024 * 1024;

/// What the configuration says about one source's lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatternConfig {
    /// A regular expression with named groups; those of [`group_names`] have a meaning, any other group is an attribute of its name.
    pub regex: Option<String>,
    /// Instead of `regex`, a layout such as `%d [%thread] %-5level %logger - %msg`.
    pub layout: Option<String>,
    /// How `time` is written, in strptime's terms (`%d/%m/%Y %H:%M:%S`); without it the usual forms are recognised.
    pub time_format: Option<String>,
    /// A regular expression that the first line of a record matches; without it a record begins where the pattern matches.
    pub start: Option<String>,
}

/// What is wrong with a [`PatternConfig`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("set either `regex` or `layout`, not both")]
    Both,
    #[error("set `regex`, `layout` or `start`: there is nothing to match a line with")]
    Neither,
    #[error("`{key}` is not a regular expression: {reason}")]
    Regex { key: &'static str, reason: String },
    #[error(
        "`regex` has no named group; write the parts to keep as (?P<name>…), for example (?P<message>.*)"
    )]
    NoGroup,
    #[error(
        "`layout` has the conversion %{0}, which is not known; known are %d %level %thread %logger %msg %X{{key}} %pid %L %M %F %n"
    )]
    Conversion(String),
    #[error("`time_format` is not one that strptime knows: {0}")]
    TimeFormat(String),
}

/// What a named group is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Group {
    Time,
    Level,
    Message,
    Attribute(&'static str),
    Number(&'static str),
    Context(context::Field),
    Named,
}

/// Names of groups that say something about a record.
const GROUPS: [(&str, Group); 13] = [
    ("time", Group::Time),
    ("timestamp", Group::Time),
    ("level", Group::Level),
    ("severity", Group::Level),
    ("message", Group::Message),
    ("body", Group::Message),
    ("msg", Group::Message),
    ("logger", Group::Attribute(attr::LOGGER)),
    ("thread", Group::Attribute(attr::THREAD)),
    ("file", Group::Attribute(attr::CODE_FILE)),
    ("function", Group::Attribute(attr::CODE_FUNCTION)),
    ("line", Group::Number(attr::CODE_LINE)),
    ("pid", Group::Number(attr::PID)),
];

/// Names of groups that have a meaning: what they say about a record, then trace context, each of its fields in one of the spellings that are known.
pub fn group_names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|(name, _)| *name).chain(context::NAMES)
}

/// A compiled [`PatternConfig`].
#[derive(Debug, Clone)]
pub struct Pattern {
    line: Option<Regex>,
    /// Group number, meaning, and the group's own name.
    groups: Vec<(usize, Group, String)>,
    time_format: Option<String>,
    start: Option<Regex>,
}

impl Pattern {
    pub fn new(config: &PatternConfig) -> Result<Self, PatternError> {
        let line = match (&config.regex, &config.layout) {
            (Some(_), Some(_)) => return Err(PatternError::Both),
            (None, None) if config.start.is_none() => return Err(PatternError::Neither),
            (None, None) => None,
            (Some(regex), None) => Some(compile("regex", regex)?),
            (None, Some(layout)) => Some(compile("layout", &from_layout(layout)?)?),
        };
        let groups = line.as_ref().map_or_else(Vec::new, groups);
        if line.is_some() && groups.is_empty() {
            return Err(PatternError::NoGroup);
        }
        if let Some(format) = &config.time_format {
            check_time_format(format)?;
        }
        let start = config.start.as_ref().map(|s| compile("start", s)).transpose()?;
        Ok(Self { line, groups, time_format: config.time_format.clone(), start })
    }

    /// Which lines belong to one record, in a sentence.
    pub fn rule(&self) -> &'static str {
        match self.start {
            Some(_) => {
                "a record begins at each line that `record_start` matches; the others belong to the record before"
            }
            None => {
                "a record begins at each line that the pattern matches; the others belong to the record before"
            }
        }
    }

    /// Whether the line begins a record.
    pub fn begins(&self, line: &str) -> bool {
        match (&self.start, &self.line) {
            (Some(start), _) => start.is_match(line),
            (None, Some(pattern)) => pattern.is_match(line),
            (None, None) => true,
        }
    }

    /// Fills `out` (which is cleared first); false for a line that the pattern does not match.
    pub fn parse(&self, line: &str, out: &mut Parsed) -> bool {
        out.clear();
        let Some(pattern) = &self.line else {
            crate::format::plain(line.as_bytes(), out);
            return true;
        };
        let Some(captures) = pattern.captures(line) else { return false };
        out.body = Text::Line(Span::new(0, line.len()));
        for (index, group, name) in &self.groups {
            let Some(found) = captures.get(*index).filter(|m| !m.is_empty()) else { continue };
            let span = Span::new(found.start(), found.end());
            self.take(group, name, found.as_str(), span, out);
        }
        true
    }

    fn take(&self, group: &Group, name: &str, text: &str, span: Span, out: &mut Parsed) {
        let named = |out: &mut Parsed| {
            let key = out.keep(name);
            out.push(key, Value::Str(Text::Line(span)));
        };
        match group {
            Group::Time => {
                out.time_text = Text::Line(span);
                out.time = match &self.time_format {
                    Some(format) => strptime(format, text),
                    None => time::any(text.as_bytes()),
                };
                if out.time.is_none() {
                    out.issues.add(Issues::BAD_TIME);
                }
            }
            Group::Level => {
                out.severity_text = Text::Line(span);
                out.severity = crate::severity::from_name(text.as_bytes()).unwrap_or(Severity::UNSET);
            }
            Group::Message => out.body = Text::Line(span),
            Group::Attribute(key) => out.push_str(key, span),
            Group::Number(key) => match text.parse() {
                Ok(n) => out.push_int(key, n),
                Err(_) => out.push_str(key, span),
            },
            Group::Context(field) => {
                if !field.take(text.as_bytes(), out) {
                    named(out);
                }
            }
            Group::Named => named(out),
        }
    }
}

fn compile(key: &'static str, regex: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(regex)
        .size_limit(COMPILED_BYTES)
        .build()
        .map_err(|error| PatternError::Regex { key, reason: error.to_string() })
}

fn groups(pattern: &Regex) -> Vec<(usize, Group, String)> {
    let named = pattern.capture_names().enumerate().filter_map(|(i, name)| Some((i, name?)));
    let meaning = |name: &str| match GROUPS.iter().find(|(known, _)| *known == name) {
        Some((_, group)) => group.clone(),
        None => context::field(name.as_bytes()).map_or(Group::Named, Group::Context),
    };
    named.map(|(index, name)| (index, meaning(name), name.to_owned())).collect()
}

/// A layout as a regular expression: literal text stands for itself, each conversion for a named group.
fn from_layout(layout: &str) -> Result<String, PatternError> {
    let mut out = String::from("^");
    let mut rest = layout.trim_end();
    while let Some(at) = rest.find('%') {
        literal(&rest[..at], &mut out);
        rest = &rest[at + 1..];
        let width =
            rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '.'))).unwrap_or(rest.len());
        let padded = width > 0;
        rest = &rest[width..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        let mut option = "";
        if let Some(inside) = rest.strip_prefix('{') {
            let close = inside.find('}').ok_or_else(|| PatternError::Conversion(format!("{word}{{")))?;
            option = &inside[..close];
            rest = &inside[close + 1..];
        }
        let group = match word {
            "d" | "date" => r"(?P<time>\d[\d\-/.:,TZ+ ]*\d(?:Z|[+-]\d\d:?\d\d)?)".to_owned(),
            "level" | "p" | "le" => r"(?P<level>[A-Za-z]+)".to_owned(),
            "thread" | "t" => "(?P<thread>.*?)".to_owned(),
            "logger" | "c" | "lo" | "class" | "C" => r"(?P<logger>\S*)".to_owned(),
            "msg" | "m" | "message" => "(?P<message>.*)".to_owned(),
            "L" | "line" => r"(?P<line>\d+|\?)".to_owned(),
            "M" | "method" => r"(?P<function>\S*?)".to_owned(),
            "F" | "file" => r"(?P<file>\S*?)".to_owned(),
            "pid" => r"(?P<pid>\d+)".to_owned(),
            "n" | "ex" | "wEx" | "throwable" | "nopex" => continue,
            "X" | "mdc" if !option.is_empty() => {
                let key = option.split(":-").next().unwrap_or(option);
                let name: String =
                    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                format!(r"(?P<{name}>[^\s,\]]*)")
            }
            _ => return Err(PatternError::Conversion(word.to_owned())),
        };
        out.push_str(if padded { r"\s*" } else { "" });
        out.push_str(&group);
        out.push_str(if padded { r"\s*" } else { "" });
    }
    literal(rest, &mut out);
    out.push('$');
    Ok(out)
}

/// Padding makes runs of spaces vary, so each run matches any.
fn literal(text: &str, out: &mut String) {
    let mut spaces = false;
    for c in text.chars() {
        if c == ' ' {
            if !spaces {
                out.push_str(r"\s*");
            }
        } else {
            out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
        spaces = c == ' ';
    }
}

fn check_time_format(format: &str) -> Result<(), PatternError> {
    // A moment that has all parts shows what the format would write, and that it can be read back.
    let sample = jiff::civil::date(2001, 2, 3).at(4, 5, 6, 0).to_zoned(jiff::tz::TimeZone::UTC);
    let wrong = |error: jiff::Error| PatternError::TimeFormat(error.to_string());
    let text = jiff::fmt::strtime::format(format, &sample.map_err(wrong)?).map_err(wrong)?;
    BrokenDownTime::parse(format, &text).map_err(wrong).map(drop)
}

fn strptime(format: &str, text: &str) -> Option<When> {
    let parts = BrokenDownTime::parse(format, text).ok()?;
    if let Some(seconds) = parts.to_timestamp().ok().filter(|_| parts.offset().is_some()) {
        return Some(When::from_unix(i64::try_from(seconds.as_nanosecond()).ok()?));
    }
    let time = parts.to_time().ok()?;
    let nanos = time.duration_since(jiff::civil::Time::midnight()).as_nanos();
    let date = match (parts.year(), parts.month(), parts.day()) {
        (Some(year), Some(month), Some(day)) => {
            Date::Full(time::days(year as i32, month as u32, day as u32)?)
        }
        (None, Some(month), Some(day)) => Date::MonthDay(month as u8, day as u8),
        _ => Date::None,
    };
    let zone = parts.offset().map(|offset| offset.seconds());
    debug_assert!(nanos < 86_400 * SECOND as i128);
    Some(When { date, time: nanos as i64, zone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(regex: &str, layout: &str, time_format: &str) -> PatternConfig {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        PatternConfig {
            regex: some(regex),
            layout: some(layout),
            time_format: some(time_format),
            start: None,
        }
    }

    #[test]
    fn a_regular_expression_with_its_own_time() {
        let pattern = Pattern::new(&config(
            r"^(?P<time>\S+ \S+) (?P<level>\w+) seat=(?P<seat>\d+) (?P<message>.*)$",
            "",
            "%d.%m.%Y %H:%M:%S",
        ))
        .unwrap();
        let line = "30.01.2023 11:38:53 WARN seat=7 no seat";
        let mut out = Parsed::default();
        assert!(pattern.parse(line, &mut out));
        assert_eq!(out.time, time::any(b"2023-01-30 11:38:53"));
        assert_eq!(out.severity, Severity::WARN);
        assert_eq!(out.text(line, out.body), "no seat");
        assert_eq!(out.attr_str(line, "seat"), Some("7"));
        assert!(!pattern.parse("something else", &mut out));
    }

    #[test]
    fn a_layout() {
        let pattern = Pattern::new(&config(
            "",
            "%d{HH:mm:ss.SSS} [%thread] %-5level %logger{36} [%X{traceId:-}] - %msg%n",
            "",
        ))
        .unwrap();
        let line = "19:38:53.621 [main] INFO  c.e.App [6f3cbf058c2765548a39ad724905d6a1] - up - and running";
        let mut out = Parsed::default();
        assert!(pattern.parse(line, &mut out));
        assert_eq!(out.text(line, out.body), "up - and running");
        assert_eq!(out.attr_str(line, attr::THREAD), Some("main"));
        assert_eq!(out.attr_str(line, attr::LOGGER), Some("c.e.App"));
        assert_eq!(out.trace_id.unwrap().to_string(), "6f3cbf058c2765548a39ad724905d6a1");
        assert_eq!(out.time, time::any(b"19:38:53.621"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let cases = [
            (config("a(", "", ""), "`regex` is not a regular expression"),
            (config("abc", "", ""), "no named group"),
            (config("", "%wat", ""), "%wat, which is not known"),
            (config("a", "b", ""), "not both"),
            (config("", "", ""), "nothing to match"),
            (config("(?P<time>.*)", "", "%Q%"), "`time_format`"),
        ];
        for (config, expect) in cases {
            let error = Pattern::new(&config).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
