//! From a filter to the query of a search engine that finds all records that match it.

use regex_syntax::hir::{Hir, HirKind};
use serde_json::{Value, json};
use weir_model::Signal;
use weir_model::filter::{Cond, Filter, Key, Level, Matcher, Number, Operand, Record, Test, Text, places};
use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Log, LogRef, Resource, Scope, Span, SpanKind, SpanRef, StatusCode};
use weir_model::{Severity, SpanId, TraceId};
use weir_store::TimeRange;

use crate::meta::Kind;
use crate::patterns::Patterns;
use crate::template::ordered;
use crate::tokens::{self, EVENT, EXACT_INTEGERS, OPERATION, RECORD, RESOURCE, SCOPE, SERVICE};

/// Bytes of a pattern's beginning that are looked up.
const PREFIX_BYTES: usize = 512;
/// Numbers that stand for all kinds and states that nobody has defined.
const UNDEFINED: i32 = 99;

/// A query, and whether what it finds needs no verifying.
#[derive(Debug, Clone)]
pub(crate) struct Candidates {
    pub(crate) query: Value,
    pub(crate) exact: bool,
}

fn exact(query: Value) -> Candidates {
    Candidates { query, exact: true }
}

pub(crate) fn all() -> Candidates {
    exact(json!({ "match_all": {} }))
}

fn none() -> Candidates {
    exact(json!({ "match_none": {} }))
}

fn unknown() -> Candidates {
    all().inexact()
}

impl Candidates {
    fn inexact(self) -> Self {
        Self { exact: false, ..self }
    }

    fn and_not(self, other: Candidates) -> Self {
        // What is found too much there would be missed here.
        if !other.exact {
            return self.inexact();
        }
        Self { query: json!({ "bool": { "filter": [self.query], "must_not": [other.query] } }), ..self }
    }

    pub(crate) fn and(parts: impl IntoIterator<Item = Candidates>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let exact = parts.iter().all(|part| part.exact);
        let queries: Vec<_> = parts.into_iter().map(|part| part.query).collect();
        Self { query: json!({ "bool": { "filter": queries } }), exact }
    }

    fn or(parts: impl IntoIterator<Item = Candidates>) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let exact = parts.iter().all(|part| part.exact);
        let queries: Vec<_> = parts.into_iter().map(|part| part.query).collect();
        if queries.is_empty() {
            return none();
        }
        Self { query: json!({ "bool": { "should": queries, "minimum_should_match": 1 } }), exact }
    }
}

fn term(field: &str, value: impl Into<Value>) -> Candidates {
    exact(json!({ "term": { field: { "value": value.into() } } }))
}

fn terms(field: &str, values: impl IntoIterator<Item = impl Into<Value>>) -> Candidates {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    exact(json!({ "terms": { field: values } }))
}

fn prefix(field: &str, value: &str) -> Candidates {
    exact(json!({ "prefix": { field: { "value": value } } }))
}

/// Records of a signal whose time lies in a range.
pub(crate) fn in_range(signal: Signal, range: TimeRange) -> Candidates {
    if range.from >= range.to {
        return none();
    }
    let times = json!({ "range": { "time": { "gte": ordered(range.from), "lt": ordered(range.to) } } });
    Candidates::and([term("signal", signal.name()), exact(times)])
}

/// Small documents of a kind.
pub(crate) fn of_kind(kind: Kind) -> Candidates {
    term("signal", kind.name())
}

/// The record of an id.
pub(crate) fn ids(signal: Signal, id: &str) -> Candidates {
    Candidates::and([term("signal", signal.name()), exact(json!({ "ids": { "values": [id] } }))])
}

/// Documents with points of a range.
pub(crate) fn overlapping(signal: Signal, range: TimeRange) -> Candidates {
    if range.from >= range.to {
        return none();
    }
    let begins = json!({ "range": { "time": { "lt": ordered(range.to) } } });
    let ends = json!({ "range": { "end": { "gte": ordered(range.from) } } });
    Candidates::and([term("signal", signal.name()), exact(begins), exact(ends)])
}

/// Records of a trace.
pub(crate) fn of_trace(signal: Signal, trace: TraceId) -> Candidates {
    Candidates::and([term("signal", signal.name()), term("trace", trace.to_string())])
}

pub(crate) fn of_traces(signal: Signal, traces: &[TraceId]) -> Candidates {
    let ids = terms("trace", traces.iter().map(TraceId::to_string));
    Candidates::and([term("signal", signal.name()), ids])
}

pub(crate) fn exists(field: &str) -> Candidates {
    exact(json!({ "exists": { "field": field } }))
}

/// A level of tokens, and a name there.
pub(crate) type Named<'a> = (char, &'a str);

/// Records that have one of some keys.
pub(crate) fn with_keys(keys: &[Named<'_>]) -> Candidates {
    terms("keys", keys.iter().map(|(level, name)| tokens::key(*level, name)))
}

/// Series with a label, or a name.
pub(crate) fn with_text(level: char, name: &str, value: &str) -> Candidates {
    term("attrs", tokens::text(level, name, value))
}

/// Records that match a filter, and where it is not exact, some that do not.
pub(crate) fn candidates(signal: Signal, filter: &Filter, patterns: &Patterns) -> Candidates {
    match filter {
        Filter::All => all(),
        Filter::And(parts) => Candidates::and(parts.iter().map(|part| candidates(signal, part, patterns))),
        Filter::Or(parts) => Candidates::or(parts.iter().map(|part| candidates(signal, part, patterns))),
        Filter::Not(inner) => all().and_not(candidates(signal, inner, patterns)),
        Filter::Text(text) => in_text(text),
        Filter::Cond(cond) => condition(signal, cond, patterns),
    }
}

fn in_text(text: &Text) -> Candidates {
    let last = text.words.len().saturating_sub(1);
    let words = text.words.iter().enumerate().map(|(i, word)| {
        let token = tokens::cut(word);
        let found = if i == last && text.prefix { prefix("words", token) } else { term("words", token) };
        if word.len() < INDEXED_VALUE_BYTES { found } else { found.inexact() }
    });
    let found = Candidates::and(words);
    // Words of a phrase stand side by side, of which the index knows nothing.
    if text.words.len() == 1 { found } else { found.inexact() }
}

/// Levels of tokens and the name there, under which the values of a key are found.
pub(crate) fn tokens_of(key: &Key) -> Vec<Named<'_>> {
    match key {
        Key::Service => vec![(SERVICE, "")],
        Key::Operation => vec![(OPERATION, "")],
        Key::Event => vec![(EVENT, "")],
        Key::Attr(key) => attribute_tokens(key),
        _ => Vec::new(),
    }
}

/// The same of an attribute's key.
pub(crate) fn attribute_tokens(key: &str) -> Vec<Named<'_>> {
    let level = |level| match level {
        Level::Resource => RESOURCE,
        Level::Scope => SCOPE,
        Level::Record => RECORD,
    };
    places(key).map(|(own, name)| (level(own), name)).collect()
}

fn condition(signal: Signal, cond: &Cond, patterns: &Patterns) -> Candidates {
    let (span, log) = (signal == Signal::Spans, signal == Signal::Logs);
    match &cond.key {
        Key::Service | Key::Attr(..) => attribute(&tokens_of(&cond.key), &cond.test, patterns),
        Key::Operation if span => only_text(OPERATION, &all(), &cond.test, patterns),
        Key::Event => only_text(EVENT, &with_keys(&[(EVENT, "")]), &cond.test, patterns),
        Key::Kind if span => by_number(cond, "kind", 5, |span, n| span.kind = SpanKind(n)),
        Key::Status if span => by_number(cond, "status", 2, |span, n| span.status.code = StatusCode(n)),
        Key::Duration if span => measure("duration", &cond.test),
        Key::Severity if log => severity(cond),
        Key::TraceId => {
            id("trace", &cond.test, |text| text.parse().is_ok_and(|id: TraceId| id.to_string() == text))
        }
        Key::SpanId => {
            id("span", &cond.test, |text| text.parse().is_ok_and(|id: SpanId| id.to_string() == text))
        }
        _ => none(),
    }
}

/// Attributes of some names, each on a level.
fn attribute(keys: &[Named<'_>], test: &Test, patterns: &Patterns) -> Candidates {
    let on = |find: &dyn Fn(char, &str) -> Candidates| {
        Candidates::or(keys.iter().map(|(level, name)| find(*level, name)))
    };
    let present = || with_keys(keys);
    if keys.iter().any(|(_, name)| tokens::only_present(name)) && *test != Test::Exists {
        return present().inexact();
    }
    match test {
        Test::Exists => present(),
        Test::Eq(operand) => on(&|level, name| equal(level, name, operand)),
        Test::Ne(operand) => present().and_not(on(&|level, name| equal(level, name, operand))),
        Test::Like(pattern) => on(&|level, name| like(level, name, pattern, patterns)),
        Test::Unlike(pattern) => present().and_not(on(&|level, name| like(level, name, pattern, patterns))),
        Test::Lt(n) => on(&|level, name| numbers(level, name, ("gte", None), ("lt", Some(*n)))),
        Test::Le(n) => on(&|level, name| numbers(level, name, ("gte", None), ("lte", Some(*n)))),
        Test::Gt(n) => on(&|level, name| numbers(level, name, ("gt", Some(*n)), ("lt", None))),
        Test::Ge(n) => on(&|level, name| numbers(level, name, ("gte", Some(*n)), ("lt", None))),
    }
}

fn has_text(level: char, name: &str, text: &str) -> Candidates {
    let found = term("attrs", tokens::text(level, name, text));
    // A hash may be another's, and behind a NUL may stand what belongs to another key.
    if tokens::is_long(text) || text.contains('\0') { found.inexact() } else { found }
}

fn equal(level: char, name: &str, operand: &Operand) -> Candidates {
    let mut found = vec![has_text(level, name, &operand.text)];
    if !operand.quoted {
        if let Some(n) = operand.number {
            let number = term("attrs", tokens::number(level, name, n));
            found.push(if n.as_f64().abs() < EXACT_INTEGERS { number } else { number.inexact() });
        }
        let value = [true, false].into_iter().find(|value| operand.text == value.to_string());
        found.extend(value.map(|value| term("attrs", tokens::boolean(level, name, value))));
    }
    Candidates::or(found)
}

/// Numbers between two bounds; without one, all of that end.
fn numbers(
    level: char,
    name: &str,
    from: (&'static str, Option<Number>),
    to: (&'static str, Option<Number>),
) -> Candidates {
    let is_exact = from.1.or(to.1).is_none_or(|n| n.as_f64().abs() < EXACT_INTEGERS);
    // Above 2^53 the token of a bound also stands for its neighbours: then they are candidates.
    let relation = |relation: &'static str, bound: Option<Number>| match (relation, bound, is_exact) {
        ("lt", Some(_), false) => "lte",
        ("gt", Some(_), false) => "gte",
        _ => relation,
    };
    let token = |bound: Option<Number>, kind: char| match bound {
        Some(n) => tokens::number(level, name, n),
        None => tokens::kind(level, name, kind),
    };
    let (least, most) = (relation(from.0, from.1), relation(to.0, to.1));
    // Behind all numbers stands the next kind.
    let range = json!({ "range": { "attrs": { least: token(from.1, 'n'), most: token(to.1, 'o') } } });
    Candidates { query: range, exact: is_exact }
}

/// Texts that match a pattern, or where it is not known which do, those that begin as it does.
fn like(level: char, name: &str, pattern: &str, patterns: &Patterns) -> Candidates {
    if let Some(tokens) = patterns.get(&(level, name.to_owned(), pattern.to_owned())) {
        return terms("attrs", tokens.iter().map(String::as_str));
    }
    let begin = beginning(pattern);
    let texts = ['t', 'c'].map(|kind| prefix("attrs", &(tokens::kind(level, name, kind) + &begin)));
    Candidates::or(texts).inexact()
}

/// What all texts that a pattern matches begin with.
pub(crate) fn beginning(pattern: &str) -> String {
    fn literal(hir: &Hir) -> Option<&[u8]> {
        match hir.kind() {
            HirKind::Literal(literal) => Some(&literal.0),
            HirKind::Concat(parts) => {
                // The text's beginning, which a pattern may name.
                let first = parts.iter().find(|part| !matches!(part.kind(), HirKind::Look(_)))?;
                literal(first)
            }
            HirKind::Capture(capture) => literal(&capture.sub),
            _ => None,
        }
    }
    let Ok(hir) = regex_syntax::parse(pattern) else { return String::new() };
    let text = literal(&hir).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    text[..text.floor_char_boundary(PREFIX_BYTES)].to_owned()
}

/// Keys whose values are texts.
fn only_text(level: char, present: &Candidates, test: &Test, patterns: &Patterns) -> Candidates {
    match test {
        Test::Exists => present.clone(),
        Test::Eq(operand) => has_text(level, "", &operand.text),
        Test::Ne(operand) => present.clone().and_not(has_text(level, "", &operand.text)),
        Test::Like(pattern) => like(level, "", pattern, patterns),
        Test::Unlike(pattern) => present.clone().and_not(like(level, "", pattern, patterns)),
        Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => none(),
    }
}

/// Names that stand for numbers from 0 to `last`, and for all others one of them: each is asked itself.
fn by_number(cond: &Cond, field: &str, last: i32, set: fn(&mut Span<'_>, i32)) -> Candidates {
    let Ok(matcher) = Matcher::new(&Filter::Cond(cond.clone())) else { return unknown() };
    let holds = |n: i32| {
        let (resource, scope) = (Resource::decode(&[]), Scope::decode(&[]));
        let mut span = Span::decode(&[]);
        set(&mut span, n);
        matcher.matches(Record::Span(&SpanRef { resource, scope, span }))
    };
    match holds(UNDEFINED) {
        false => terms(field, (0..=last).filter(|n| holds(*n))),
        true => all().and_not(terms(field, (0..=last).filter(|n| !holds(*n)))),
    }
}

/// Whole numbers that every record has.
fn measure(field: &str, test: &Test) -> Candidates {
    let range = |relation: &str, bound: i64| exact(json!({ "range": { field: { relation: bound } } }));
    // Doubles beyond the integers' range are above or below them all.
    let whole = |n: &Number, round: fn(f64) -> f64| match n {
        Number::Int(n) => Ok(*n),
        Number::Double(x) if round(*x) >= i64::MAX as f64 => Err(true),
        Number::Double(x) if round(*x) < i64::MIN as f64 => Err(false),
        Number::Double(x) => Ok(round(*x) as i64),
    };
    let every = |holds: bool| if holds { all() } else { none() };
    let equal = |operand: &Operand| match operand {
        Operand { number: Some(Number::Int(n)), quoted: false, .. } => term(field, *n),
        Operand { number: Some(Number::Double(x)), quoted: false, .. } if x.fract() == 0.0 => {
            whole(&Number::Double(*x), f64::floor).map_or_else(|_| none(), |n| term(field, n))
        }
        _ => none(),
    };
    match test {
        Test::Exists | Test::Unlike(_) => all(),
        Test::Like(_) => none(),
        Test::Eq(operand) => equal(operand),
        Test::Ne(operand) => all().and_not(equal(operand)),
        Test::Lt(n) => whole(n, f64::ceil).map_or_else(every, |n| range("lt", n)),
        Test::Le(n) => whole(n, f64::floor).map_or_else(every, |n| range("lte", n)),
        Test::Gt(n) => whole(n, f64::floor).map_or_else(|above| every(!above), |n| range("gt", n)),
        Test::Ge(n) => whole(n, f64::ceil).map_or_else(|above| every(!above), |n| range("gte", n)),
    }
}

/// By number, or by level, of which each has four and the first and last also what lies beyond.
fn severity(cond: &Cond) -> Candidates {
    let by_number = match &cond.test {
        Test::Eq(operand) | Test::Ne(operand) => Number::parse(&operand.text).is_some(),
        Test::Like(_) | Test::Unlike(_) => false,
        _ => true,
    };
    if by_number {
        return measure("severity", &cond.test);
    }
    let Ok(matcher) = Matcher::new(&Filter::Cond(cond.clone())) else { return unknown() };
    let levels = [
        (0, json!({ "lte": 0 })),
        (1, json!({ "gte": 1, "lte": 4 })),
        (5, json!({ "gte": 5, "lte": 8 })),
        (9, json!({ "gte": 9, "lte": 12 })),
        (13, json!({ "gte": 13, "lte": 16 })),
        (17, json!({ "gte": 17, "lte": 20 })),
        (21, json!({ "gte": 21 })),
    ];
    let holds = |n: i32| {
        let (resource, scope) = (Resource::decode(&[]), Scope::decode(&[]));
        let mut log = Log::decode(&[]);
        log.severity = Severity(n);
        matcher.matches(Record::Log(&LogRef { resource, scope, log }))
    };
    let hits = levels.into_iter().filter(|(n, _)| holds(*n));
    Candidates::or(hits.map(|(_, range)| exact(json!({ "range": { "severity": range } }))))
}

/// Ids, which not every record has.
fn id(field: &str, test: &Test, is_one: fn(&str) -> bool) -> Candidates {
    let equal = |operand: &Operand| match is_one(&operand.text) {
        true => term(field, operand.text.as_str()),
        false => none(),
    };
    match test {
        Test::Exists => exists(field),
        Test::Eq(operand) => equal(operand),
        Test::Ne(operand) => exists(field).and_not(equal(operand)),
        Test::Like(_) | Test::Unlike(_) => exists(field).inexact(),
        Test::Lt(_) | Test::Le(_) | Test::Gt(_) | Test::Ge(_) => none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_tell_how_texts_begin() {
        for (pattern, expect) in [
            ("cart.*", "cart"),
            ("^cart", "cart"),
            ("(cart)x", "cart"),
            ("cart|order", ""),
            ("(?i)cart", ""),
            ("a*b", ""),
            ("ca?rt", "c"),
            ("支付.", "支付"),
            ("", ""),
        ] {
            assert_eq!(beginning(pattern), expect, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_exact_is_never_excluded() {
        for (text, is_exact) in [
            ("service = cart", true),
            ("NOT service = cart", true),
            ("\"two words\"", false),
            ("NOT \"two words\"", false),
            ("k ~ x", false),
            ("n > 9007199254740993", false),
            ("n > 5", true),
            ("NOT (n > 5 OR k ~ x)", false),
        ] {
            let found = candidates(Signal::Logs, &Filter::parse(text).unwrap(), &Patterns::new());
            assert_eq!(found.exact, is_exact, "{text}");
            if !is_exact && text.starts_with("NOT") {
                assert_eq!(found.query, json!({ "match_all": {} }), "{text}");
            }
        }
    }
}
