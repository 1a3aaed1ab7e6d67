//! What a search means: conditions on keys, and words.
//!
//! One meaning for every engine, for live tail and for rules. [`Filter::parse`] reads what a person wrote, [`Matcher`] decides for one record.
//! An engine may find candidates any way it likes, but [`Matcher::matches`] has the last word.
//!
//! - An attribute key is looked for in the record, its scope and its resource. One that begins with `resource.`, `scope.`, `span.` or `log.` also
//!   means what is called by the rest in that place: [`places`].
//! - `!=` and `!~` hold only for records that have the key; `NOT k = v` also for those without.
//! - Numbers compare by value, whatever type they have on the wire, exactly; NaN equals nothing.

mod matcher;
mod needle;
mod number;
mod parse;
mod places;
mod text;

pub use matcher::{Matcher, Record, TraceFacts};
pub use number::Number;
pub use parse::ParseError;
pub use places::{Level, places};
pub use text::{AsciiWord, AsciiWords, Words, words};

use std::fmt;

/// A search, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Matches everything.
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Cond(Cond),
    Text(Text),
}

/// Words that must stand side by side in the record's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Tokens, folded to lower case.
    pub words: Vec<String>,
    /// The last word is the beginning of one.
    pub prefix: bool,
}

/// One condition on a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Cond {
    pub key: Key,
    pub test: Test,
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Service,
    Operation,
    Kind,
    Status,
    Severity,
    /// A span's, in nanoseconds.
    Duration,
    TraceId,
    SpanId,
    Event,
    /// An attribute, by its key as it is written: [`places`] says where that is.
    Attr(String),
    Trace(TraceKey),
}

/// A property of a whole trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceKey {
    /// Root start to last end, in nanoseconds.
    Duration,
    Spans,
    Errors,
    Service,
    Entry,
}

/// What is asked of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Exists,
    Eq(Operand),
    Ne(Operand),
    Lt(Number),
    Le(Number),
    Gt(Number),
    Ge(Number),
    /// The whole value matches the regular expression.
    Like(String),
    Unlike(String),
}

/// The right side of `=`.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    pub text: String,
    /// In quotes: text only, byte for byte.
    pub quoted: bool,
    /// The number that an unquoted text stands for.
    pub number: Option<Number>,
}

impl Filter {
    /// All filters must match; nested conjunctions are flattened.
    pub fn and(parts: impl IntoIterator<Item = Filter>) -> Filter {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Filter::All => {}
                Filter::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Filter::All,
            1 => flat.remove(0),
            _ => Filter::And(flat),
        }
    }

    /// Whether a condition on the trace table occurs anywhere.
    pub fn has_trace_keys(&self) -> bool {
        match self {
            Filter::All | Filter::Text(_) => false,
            Filter::And(parts) | Filter::Or(parts) => parts.iter().any(Filter::has_trace_keys),
            Filter::Not(inner) => inner.has_trace_keys(),
            Filter::Cond(cond) => matches!(cond.key, Key::Trace(_)),
        }
    }

    /// Whether a condition asks for the services of a trace, which the trace table does not hold.
    pub fn asks_services(&self) -> bool {
        match self {
            Filter::All | Filter::Text(_) => false,
            Filter::And(parts) | Filter::Or(parts) => parts.iter().any(Filter::asks_services),
            Filter::Not(inner) => inner.asks_services(),
            Filter::Cond(cond) => cond.key == Key::Trace(TraceKey::Service),
        }
    }

    fn only_trace_keys(&self) -> bool {
        match self {
            Filter::All | Filter::Text(_) => false,
            Filter::And(parts) | Filter::Or(parts) => parts.iter().all(Filter::only_trace_keys),
            Filter::Not(inner) => inner.only_trace_keys(),
            Filter::Cond(cond) => matches!(cond.key, Key::Trace(_)),
        }
    }

    /// Splits into what one span must satisfy and what its trace must satisfy.
    ///
    /// # Errors
    /// When both are mixed under OR or NOT: then no single span could be asked.
    pub fn split_trace(self) -> Result<(Filter, Filter), ParseError> {
        let parts = match self {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        let (mut spans, mut traces) = (Vec::new(), Vec::new());
        for part in parts {
            if !part.has_trace_keys() {
                spans.push(part);
            } else if part.only_trace_keys() {
                traces.push(part);
            } else {
                return Err(ParseError::whole(
                    "trace-and-span",
                    "a condition on the whole trace can't stand beside one on a span under OR or NOT; ask for them with AND",
                ));
            }
        }
        Ok((Filter::and(spans), Filter::and(traces)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Key::Service => "service",
            Key::Operation => "operation",
            Key::Kind => "kind",
            Key::Status => "status",
            Key::Severity => "severity",
            Key::Duration => "duration",
            Key::TraceId => "trace.id",
            Key::SpanId => "span.id",
            Key::Event => "event",
            Key::Trace(TraceKey::Duration) => "trace.duration",
            Key::Trace(TraceKey::Spans) => "trace.spans",
            Key::Trace(TraceKey::Errors) => "trace.errors",
            Key::Trace(TraceKey::Service) => "trace.service",
            Key::Trace(TraceKey::Entry) => "entry",
            Key::Attr(key) => key,
        })
    }
}

/// Writes text in quotes, so that it reads back the same.
fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let operand = |f: &mut fmt::Formatter<'_>, operand: &Operand| match operand.quoted {
            true => quote(&operand.text, f),
            false => f.write_str(&operand.text),
        };
        let number = |f: &mut fmt::Formatter<'_>, number: &Number| match (number, parse::is_duration(key)) {
            (_, false) => write!(f, "{number}"),
            // Beside a unit there is no exponent.
            (Number::Double(x), true) if format!("{x:?}").contains('e') => write!(f, "{x}ns"),
            (_, true) => write!(f, "{number}ns"),
        };
        match &self.test {
            Test::Exists => write!(f, "{key} *"),
            Test::Eq(value) => write!(f, "{key} = ").and_then(|()| operand(f, value)),
            Test::Ne(value) => write!(f, "{key} != ").and_then(|()| operand(f, value)),
            Test::Lt(n) => write!(f, "{key} < ").and_then(|()| number(f, n)),
            Test::Le(n) => write!(f, "{key} <= ").and_then(|()| number(f, n)),
            Test::Gt(n) => write!(f, "{key} > ").and_then(|()| number(f, n)),
            Test::Ge(n) => write!(f, "{key} >= ").and_then(|()| number(f, n)),
            Test::Like(pattern) => write!(f, "{key} ~ ").and_then(|()| quote(pattern, f)),
            Test::Unlike(pattern) => write!(f, "{key} !~ ").and_then(|()| quote(pattern, f)),
        }
    }
}

impl fmt::Display for Filter {
    /// Reads back as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Filter], between: &str| {
            f.write_str("(")?;
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{part}")?;
            }
            f.write_str(")")
        };
        match self {
            Filter::All => Ok(()),
            Filter::And(parts) => list(f, parts, " AND "),
            Filter::Or(parts) => list(f, parts, " OR "),
            Filter::Not(inner) => write!(f, "NOT {inner}"),
            Filter::Cond(cond) => write!(f, "{cond}"),
            Filter::Text(text) => {
                quote(&text.words.join(" "), f)?;
                f.write_str(if text.prefix { "*" } else { "" })
            }
        }
    }
}
