//! Deciding for one record.

use regex::Regex;

use super::parse::whole_regex;
use super::text::words;
use super::{Cond, Filter, Key, Level, Number, Operand, ParseError, Test, Text, TraceKey, places};
use crate::otlp::{Attrs, LogRef, Resource, Scope, SpanRef, Value};
use std::cmp::Ordering;

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub enum Record<'r, 'a> {
    Span(&'r SpanRef<'a>),
    Log(&'r LogRef<'a>),
}

/// What the trace table knows, for conditions on the whole trace.
#[derive(Debug, Clone, Copy)]
pub struct TraceFacts<'a> {
    /// Nanoseconds.
    pub duration: u64,
    pub spans: u64,
    pub errors: u64,
    pub services: &'a [&'a str],
    /// Name of the entry operation, if known.
    pub entry: Option<&'a str>,
}

/// A filter made ready: regular expressions are compiled once.
#[derive(Debug, Clone)]
pub struct Matcher {
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    All,
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Cond(Key, Check),
    Text(Text),
}

#[derive(Debug, Clone)]
enum Check {
    Exists,
    Eq(Operand),
    Ne(Operand),
    Order(Number, fn(Ordering) -> bool),
    Like(Regex),
    Unlike(Regex),
}

impl Matcher {
    /// # Errors
    /// If a regular expression is refused. What [`Filter::parse`] returned is never refused.
    pub fn new(filter: &Filter) -> Result<Self, ParseError> {
        Ok(Self { node: compile(filter)? })
    }

    /// Whether a span or log record satisfies the filter. Conditions on the trace do not hold here.
    pub fn matches(&self, record: Record<'_, '_>) -> bool {
        eval(&self.node, &mut |key, check| on_record(record, key, check), &mut |text| phrase_in(record, text))
    }

    /// Whether a trace satisfies a filter made of conditions on the trace.
    pub fn matches_trace(&self, trace: &TraceFacts<'_>) -> bool {
        eval(&self.node, &mut |key, check| on_trace(trace, key, check), &mut |_| false)
    }
}

fn compile(filter: &Filter) -> Result<Node, ParseError> {
    let list = |parts: &[Filter]| parts.iter().map(compile).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::All => Node::All,
        Filter::And(parts) => Node::And(list(parts)?),
        Filter::Or(parts) => Node::Or(list(parts)?),
        Filter::Not(inner) => Node::Not(Box::new(compile(inner)?)),
        Filter::Text(text) => Node::Text(text.clone()),
        Filter::Cond(Cond { key, test }) => Node::Cond(key.clone(), check(test)?),
    })
}

fn check(test: &Test) -> Result<Check, ParseError> {
    let regex = |pattern: &str| {
        whole_regex(pattern).map_err(|_| {
            let message = format!("the regular expression can't be used: {pattern}");
            ParseError::whole("regex", &message).with(&[pattern])
        })
    };
    Ok(match test {
        Test::Exists => Check::Exists,
        Test::Eq(operand) => Check::Eq(operand.clone()),
        Test::Ne(operand) => Check::Ne(operand.clone()),
        Test::Lt(n) => Check::Order(*n, Ordering::is_lt),
        Test::Le(n) => Check::Order(*n, Ordering::is_le),
        Test::Gt(n) => Check::Order(*n, Ordering::is_gt),
        Test::Ge(n) => Check::Order(*n, Ordering::is_ge),
        Test::Like(pattern) => Check::Like(regex(pattern)?),
        Test::Unlike(pattern) => Check::Unlike(regex(pattern)?),
    })
}

fn eval(
    node: &Node,
    cond: &mut dyn FnMut(&Key, &Check) -> bool,
    text: &mut dyn FnMut(&Text) -> bool,
) -> bool {
    match node {
        Node::All => true,
        Node::And(parts) => parts.iter().all(|part| eval(part, cond, text)),
        Node::Or(parts) => parts.iter().any(|part| eval(part, cond, text)),
        Node::Not(inner) => !eval(inner, cond, text),
        Node::Cond(key, check) => cond(key, check),
        Node::Text(words) => text(words),
    }
}

/// Collects what the values of a key say: whether there is one, and whether one passes.
struct Verdict<'c> {
    check: &'c Check,
    present: bool,
    hit: bool,
}

impl<'c> Verdict<'c> {
    fn new(check: &'c Check) -> Self {
        Self { check, present: false, hit: false }
    }

    fn value(&mut self, value: Value<'_>) {
        self.present = true;
        match value {
            // A list passes if one of its elements does.
            Value::Array(array) => array.iter().for_each(|v| self.scalar(v)),
            other => self.scalar(other),
        }
    }

    fn text(&mut self, text: &str) {
        self.value(Value::Str(text));
    }

    fn scalar(&mut self, value: Value<'_>) {
        self.hit |= match self.check {
            Check::Exists => true,
            Check::Eq(operand) | Check::Ne(operand) => equal(value, operand),
            Check::Order(n, holds) => number(value).and_then(|v| v.compare(*n)).is_some_and(holds),
            Check::Like(regex) | Check::Unlike(regex) => {
                matches!(value, Value::Str(text) if regex.is_match(text))
            }
        };
    }

    fn result(self) -> bool {
        match self.check {
            // A list without elements is there all the same.
            Check::Exists => self.present,
            Check::Ne(_) | Check::Unlike(_) => self.present && !self.hit,
            _ => self.hit,
        }
    }
}

fn number(value: Value<'_>) -> Option<Number> {
    match value {
        Value::Int(n) => Some(Number::Int(n)),
        Value::Double(x) => Some(Number::Double(x)),
        _ => None,
    }
}

fn equal(value: Value<'_>, operand: &Operand) -> bool {
    match value {
        Value::Str(text) => text == operand.text,
        _ if operand.quoted => false,
        Value::Bool(b) => operand.text == if b { "true" } else { "false" },
        _ => match (number(value), operand.number) {
            (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

fn on_record(record: Record<'_, '_>, key: &Key, check: &Check) -> bool {
    let (resource, scope, attrs) = record.levels();
    let mut verdict = Verdict::new(check);
    match key {
        Key::Service => {
            if let Some(value) = resource.attrs().get("service.name") {
                verdict.value(value);
            }
        }
        Key::Attr(key) => {
            for (level, name) in places(key) {
                let attrs = match level {
                    Level::Resource => resource.attrs(),
                    Level::Scope => scope.attrs(),
                    Level::Record => attrs,
                };
                attrs.iter().filter(|a| a.key == name).for_each(|a| verdict.value(a.value));
            }
        }
        Key::Trace(_) => {}
        key => match record {
            Record::Span(span) => on_span(span, key, &mut verdict),
            Record::Log(log) => on_log(log, key, &mut verdict),
        },
    }
    verdict.result()
}

fn on_span(span: &SpanRef<'_>, key: &Key, verdict: &mut Verdict<'_>) {
    let span = &span.span;
    match key {
        Key::Operation => verdict.text(span.name),
        Key::Kind => verdict.text(span.kind.name()),
        Key::Status => verdict.text(span.status.code.name()),
        Key::Duration => verdict.value(Value::Int(i64::try_from(span.duration()).unwrap_or(i64::MAX))),
        Key::TraceId => span.trace_id.iter().for_each(|id| verdict.text(&id.to_string())),
        Key::SpanId => span.span_id.iter().for_each(|id| verdict.text(&id.to_string())),
        Key::Event => span.events().for_each(|event| verdict.text(event.name)),
        _ => {}
    }
}

fn on_log(log: &LogRef<'_>, key: &Key, verdict: &mut Verdict<'_>) {
    let log = &log.log;
    match key {
        Key::Severity => severity(log.severity.0, verdict),
        Key::TraceId => log.trace_id.iter().for_each(|id| verdict.text(&id.to_string())),
        Key::SpanId => log.span_id.iter().for_each(|id| verdict.text(&id.to_string())),
        Key::Event if !log.event_name.is_empty() => verdict.text(log.event_name),
        _ => {}
    }
}

/// A level's name means all four of its numbers under `=`; comparisons use the number.
fn severity(n: i32, verdict: &mut Verdict<'_>) {
    let by_name = match verdict.check {
        Check::Eq(operand) | Check::Ne(operand) => Number::parse(&operand.text).is_none(),
        Check::Like(_) | Check::Unlike(_) => true,
        Check::Exists | Check::Order(..) => false,
    };
    if by_name {
        let level = crate::severity::Severity(n).level();
        verdict.present = true;
        verdict.hit |= match verdict.check {
            Check::Eq(operand) | Check::Ne(operand) => operand.text.eq_ignore_ascii_case(level),
            Check::Like(regex) | Check::Unlike(regex) => regex.is_match(level),
            Check::Exists | Check::Order(..) => false,
        };
    } else {
        verdict.value(Value::Int(n as i64));
    }
}

fn on_trace(trace: &TraceFacts<'_>, key: &Key, check: &Check) -> bool {
    let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let mut verdict = Verdict::new(check);
    match key {
        Key::Trace(TraceKey::Duration) => verdict.value(int(trace.duration)),
        Key::Trace(TraceKey::Spans) => verdict.value(int(trace.spans)),
        Key::Trace(TraceKey::Errors) => verdict.value(int(trace.errors)),
        Key::Trace(TraceKey::Service) => trace.services.iter().for_each(|name| verdict.text(name)),
        Key::Trace(TraceKey::Entry) => trace.entry.iter().for_each(|name| verdict.text(name)),
        _ => {}
    }
    verdict.result()
}

impl<'a> Record<'_, 'a> {
    fn levels(&self) -> (Resource<'a>, Scope<'a>, Attrs<'a>) {
        match self {
            Record::Span(span) => (span.resource, span.scope, span.span.attrs()),
            Record::Log(log) => (log.resource, log.scope, log.log.attrs()),
        }
    }

    /// Calls `f` with each text that full-text search covers: a log's body; a span's name, status message, event names, and the type and
    /// message of its exceptions. Stops when `f` returns true, and returns that.
    pub fn each_text(&self, f: &mut dyn FnMut(&str) -> bool) -> bool {
        match self {
            Record::Log(log) => value_text(log.log.body, f),
            Record::Span(span) => {
                let span = &span.span;
                f(span.name)
                    || f(span.status.message)
                    || span.events().any(|event| {
                        let mut exception =
                            |key| matches!(event.attrs.get(key), Some(Value::Str(text)) if f(text));
                        exception("exception.type") || exception("exception.message") || f(event.name)
                    })
            }
        }
    }
}

/// Texts of a log body; a structured one is covered by its texts, at any depth.
fn value_text(value: Value<'_>, f: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::Str(text) => f(text),
        Value::Array(array) => array.iter().any(|v| value_text(v, f)),
        Value::Map(map) => map.iter().any(|attr| value_text(attr.value, f)),
        _ => false,
    }
}

fn phrase_in(record: Record<'_, '_>, text: &Text) -> bool {
    record.each_text(&mut |part| phrase(part, text))
}

fn phrase(part: &str, text: &Text) -> bool {
    let wanted = &text.words;
    let last = wanted.len() - 1;
    // Progress of every place at which the phrase may have begun: how many words were met there.
    let mut begun: Vec<usize> = Vec::new();
    let mut tokens = words(part);
    while let Some(token) = tokens.next() {
        let fits = |at: usize| {
            if at == last && text.prefix { token.starts_with(&wanted[at]) } else { token == wanted[at] }
        };
        begun.push(0);
        begun.retain_mut(|at| {
            fits(*at) && {
                *at += 1;
                true
            }
        });
        if begun.contains(&wanted.len()) {
            return true;
        }
    }
    false
}
