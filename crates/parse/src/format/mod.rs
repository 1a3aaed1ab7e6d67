//! One matcher per known format. Each is written by hand: a regular expression costs ten times as much.
//!
//! A matcher reads one line and fills a [`Parsed`], or says that the line is not of its format. It never fails and never allocates
//! for a line once the buffers have grown. To add a format, write its file and add a line to [`Format`].

mod access;
mod app;
mod envoy;
mod errorlog;
mod fields;
mod golog;
pub mod json;
mod klog;
mod logfmt;
mod parts;
mod python;
mod syslog;
mod zap;

use crate::parsed::{Parsed, Text};

/// A known format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// One JSON object a line: zap, logrus, zerolog, slog, pino, bunyan, winston, logback, ECS, CLEF, structlog, GCP, Caddy, Traefik.
    Json,
    Logfmt,
    /// Common and combined access logs of nginx, Apache and Traefik, with what configurations add to them; Envoy's default format.
    Access,
    /// nginx's and Apache's error logs.
    ErrorLog,
    Syslog5424,
    Syslog3164,
    /// klog and glog.
    Klog,
    /// Python's default `LEVEL:logger:message`.
    Python,
    /// A time, a level, and what logback, log4j, Spring Boot or Python's `logging` put around them.
    App,
    /// Go's `log` package, also with `slog`'s default handler.
    GoLog,
    /// Anything: the line is the body.
    #[default]
    Plain,
}

impl Format {
    /// All formats, the most particular first: of two that match the same lines the earlier one is meant.
    pub const ALL: [Format; 11] = [
        Format::Json,
        Format::Access,
        Format::ErrorLog,
        Format::Syslog5424,
        Format::Syslog3164,
        Format::Klog,
        Format::App,
        Format::GoLog,
        Format::Python,
        Format::Logfmt,
        Format::Plain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Logfmt => "logfmt",
            Format::Access => "access",
            Format::ErrorLog => "errorlog",
            Format::Syslog5424 => "syslog5424",
            Format::Syslog3164 => "syslog3164",
            Format::Klog => "klog",
            Format::Python => "python",
            Format::App => "app",
            Format::GoLog => "golog",
            Format::Plain => "plain",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// Fills `out` (which is cleared first) from a line without its line end. False when the line is not of this format; `out` then
    /// holds nothing of use. [`Format::Plain`] takes every line.
    #[inline]
    pub fn parse(self, line: &str, out: &mut Parsed) -> bool {
        out.clear();
        let bytes = line.as_bytes();
        match self {
            Format::Json => json::parse(bytes, out),
            Format::Logfmt => logfmt::parse(bytes, out),
            Format::Access => access::parse(bytes, out),
            Format::ErrorLog => errorlog::parse(bytes, out),
            Format::Syslog5424 => syslog::parse_5424(bytes, out),
            Format::Syslog3164 => syslog::parse_3164(bytes, out),
            Format::Klog => klog::parse(bytes, out),
            Format::Python => python::parse(bytes, out),
            Format::App => app::parse(bytes, out),
            Format::GoLog => golog::parse(bytes, out),
            Format::Plain => {
                plain(bytes, out);
                return true;
            }
        }
        .is_some()
    }

    /// A quick look at whether a line may begin a record of this format: false is certain, true is not.
    #[inline]
    pub fn may_begin(self, line: &[u8]) -> bool {
        let Some(&first) = line.first() else { return false };
        match self {
            Format::Json => matches!(first, b'{' | b' ' | b'\t'),
            Format::Access => !first.is_ascii_whitespace(),
            Format::ErrorLog => first.is_ascii_digit() || first == b'[',
            Format::Syslog5424 => first == b'<',
            Format::Syslog3164 => first == b'<' || first.is_ascii_uppercase() || first.is_ascii_digit(),
            Format::Klog => matches!(first, b'I' | b'W' | b'E' | b'F' | b'D' | b'T'),
            Format::Python => first.is_ascii_uppercase(),
            Format::App => first.is_ascii_digit() || first == b'[' || first.is_ascii_uppercase(),
            Format::GoLog => first.is_ascii_digit(),
            Format::Logfmt => first > b' ',
            Format::Plain => !first.is_ascii_whitespace(),
        }
    }

    /// Which lines belong to one record, in a sentence.
    pub fn rule(self) -> &'static str {
        match self {
            Format::Plain => {
                "each line is a record; indented lines and stack traces of Java, .NET, Python, Go and Node belong to the line before"
            }
            format if format.one_line() => {
                "each line is a record; stack traces that follow one belong to it, other lines that do not match are kept as plain text"
            }
            _ => "a record begins at each line that matches; the others belong to the record before",
        }
    }

    /// Whether every record of this format is one line: what doesn't match is then a record of its own, unless it is a part of a
    /// stack trace. In the other formats a message may go on over further lines.
    pub fn one_line(self) -> bool {
        !matches!(self, Format::App | Format::GoLog | Format::Python | Format::ErrorLog | Format::Klog)
    }
}

/// The line as the body, with trace ids that it names in a known way.
pub(crate) fn plain(line: &[u8], out: &mut Parsed) {
    out.body = Text::Line(crate::parsed::Span::new(0, line.len()));
}

/// What tests look at: attributes as `key=value`, then the time in microseconds since the Unix epoch, the duration in milliseconds, and the severity.
#[cfg(test)]
fn shown(line: &str, out: &Parsed) -> String {
    use crate::parsed::Value;
    let attrs = out.attrs.iter().map(|attr| {
        let key = out.text(line, attr.key);
        match attr.value {
            Value::Str(text) | Value::Json(text) => format!("{key}={}", out.text(line, text)),
            Value::Int(n) => format!("{key}={n}"),
            Value::Double(x) => format!("{key}={x}"),
            Value::Bool(b) => format!("{key}={b}"),
        }
    });
    let time = out.time.and_then(|when| when.unix()).map_or("no time".into(), |n| (n / 1_000).to_string());
    let took = out.duration.map_or(String::new(), |nanos| format!(" took {}", nanos as f64 / 1e6));
    let start = if out.time_is_start { " from its start" } else { "" };
    let severity = match out.severity.0 {
        9 => "INFO",
        13 => "WARN",
        17 => "ERROR",
        _ => "other",
    };
    format!("{} | {time}{took}{start}, {severity}", attrs.collect::<Vec<_>>().join(" "))
}
