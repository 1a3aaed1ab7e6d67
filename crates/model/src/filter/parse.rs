//! Reading a filter: recursive descent, one method per rule.
//!
//! ```text
//! or   := and ("OR" and)*
//! and  := not ("AND"? not)*
//! not  := "NOT" not | "(" or ")" | cond | text
//! cond := key "*" | key op value
//! text := word "*"? | quoted "*"?
//! ```

use regex::Regex;

use super::number::parse_duration;
use super::{Cond, Filter, Key, Level, Number, Operand, Test, Text, TraceKey, words};
use crate::severity::Severity;

/// Nesting of brackets and NOT that is still read.
const DEPTH: usize = 64;
/// Longest filter, in bytes.
const FILTER_BYTES: usize = 16 * 1024;

/// A filter that can't be understood, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub message: String,
    /// Byte offsets of the offending token.
    pub start: usize,
    pub end: usize,
    pub suggestion: Option<String>,
}

impl ParseError {
    pub(super) fn whole(message: &str, suggestion: Option<&str>) -> Self {
        Self { message: message.into(), start: 0, end: 0, suggestion: suggestion.map(str::to_owned) }
    }
}

/// Compiles the pattern of `~`: it must match the whole value, and `.` matches a newline.
pub(super) fn whole_regex(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
}

impl Filter {
    /// Reads a filter. Empty text matches everything.
    ///
    /// # Errors
    /// Names the token that can't be understood, and where it can, what was probably meant.
    pub fn parse(text: &str) -> Result<Filter, ParseError> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > FILTER_BYTES {
            return Err(parser.error(
                0..text.len(),
                format!("a filter has at most {FILTER_BYTES} bytes"),
                None,
            ));
        }
        parser.space();
        if parser.rest().is_empty() {
            return Ok(Filter::All);
        }
        let filter = parser.or(DEPTH)?;
        match parser.rest() {
            "" => Ok(filter),
            _ => Err(parser.error(parser.at..parser.at + 1, "this bracket was never opened".into(), None)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"];

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, span: std::ops::Range<usize>, message: String, suggestion: Option<&str>) -> ParseError {
        ParseError { message, start: span.start, end: span.end, suggestion: suggestion.map(str::to_owned) }
    }

    /// Consumes a keyword in capitals that stands alone.
    fn keyword(&mut self, word: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(word) else { return false };
        if !after.is_empty() && !after.starts_with(|c: char| c.is_whitespace() || c == '(') {
            return false;
        }
        self.at += word.len();
        self.space();
        true
    }

    fn or(&mut self, depth: usize) -> Result<Filter, ParseError> {
        let mut parts = vec![self.and(depth)?];
        while self.keyword("OR") {
            parts.push(self.and(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Or(parts) })
    }

    fn and(&mut self, depth: usize) -> Result<Filter, ParseError> {
        let mut parts = vec![self.not(depth)?];
        loop {
            let explicit = self.keyword("AND");
            let rest = self.rest();
            let ends = rest.is_empty()
                || rest.starts_with(')')
                || rest.starts_with("OR ")
                || rest.starts_with("OR(");
            if ends && !explicit {
                return Ok(Filter::and(parts));
            }
            parts.push(self.not(depth)?);
        }
    }

    fn not(&mut self, depth: usize) -> Result<Filter, ParseError> {
        let Some(below) = depth.checked_sub(1) else {
            return Err(self.error(self.at..self.text.len(), format!("nested deeper than {DEPTH}"), None));
        };
        if self.keyword("NOT") {
            return Ok(Filter::Not(Box::new(self.not(below)?)));
        }
        let open = self.at;
        if self.rest().starts_with('(') {
            self.at += 1;
            self.space();
            let inner = self.or(below)?;
            if !self.rest().starts_with(')') {
                return Err(self.error(
                    open..open + 1,
                    "this bracket is never closed".into(),
                    Some("add `)`"),
                ));
            }
            self.at += 1;
            self.space();
            return Ok(inner);
        }
        self.term()
    }

    fn term(&mut self) -> Result<Filter, ParseError> {
        let start = self.at;
        if self.rest().is_empty() {
            return Err(self.error(start..start, "something is missing at the end".into(), None));
        }
        if self.rest().starts_with('"') {
            let text = self.quoted()?;
            let prefix = self.rest().starts_with('*');
            self.at += usize::from(prefix);
            self.space();
            return self.full_text(&text, prefix, start);
        }
        let word = self.until(|c| c.is_whitespace() || "()=<>~!\"*".contains(c));
        let after_word = self.at;
        self.space();
        if let Some(op) = OPERATORS.iter().find(|op| self.rest().starts_with(**op)) {
            if word.is_empty() {
                return Err(self.error(
                    start..start + op.len(),
                    format!("`{op}` needs a key before it"),
                    Some("write for example service = cart"),
                ));
            }
            let key = key(word);
            self.at += op.len();
            self.space();
            return self.condition(key, op, start..after_word);
        }
        if after_word == self.at && self.rest().starts_with('*') && !word.is_empty() {
            self.at += 1;
            self.space();
            return self.full_text(word, true, start);
        }
        if self.rest().starts_with('*') && !word.is_empty() {
            self.at += 1;
            self.space();
            return Ok(Filter::Cond(Cond { key: key(word), test: Test::Exists }));
        }
        if word.is_empty() {
            let end = start + self.rest().chars().next().map_or(0, char::len_utf8);
            return Err(self.error(
                start..end,
                "a key, a word or a text in quotes should stand here".into(),
                None,
            ));
        }
        self.full_text(word, false, start)
    }

    fn full_text(&self, text: &str, prefix: bool, start: usize) -> Result<Filter, ParseError> {
        let words = words(text).collect();
        if words.is_empty() {
            return Err(self.error(start..self.at, "there is no word in this".into(), None));
        }
        Ok(Filter::Text(Text { words, prefix }))
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(stop).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// Text in quotes; `\"` and `\\` are escapes.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + 1 + at + 1;
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, other)) => text.extend(['\\', other]),
                    None => {}
                },
                _ => text.push(c),
            }
        }
        Err(self.error(start..self.text.len(), "this quote is never closed".into(), Some("add `\"`")))
    }

    fn condition(&mut self, key: Key, op: &str, at: std::ops::Range<usize>) -> Result<Filter, ParseError> {
        let start = self.at;
        let quoted = self.rest().starts_with('"');
        let text =
            if quoted { self.quoted()? } else { self.until(|c| c.is_whitespace() || c == ')').to_owned() };
        if text.is_empty() && !quoted {
            return Err(self.error(at.start..start, format!("`{op}` needs a value behind it"), None));
        }
        let value = start..self.at;
        self.space();
        let number = if quoted { None } else { number(&key, &text) };
        let test = match op {
            "=" | "!=" => {
                if let Some(problem) = refuse_value(&key, &text, number) {
                    return Err(self.error(value, problem.0, problem.1));
                }
                let operand = Operand { text, quoted, number };
                if op == "=" { Test::Eq(operand) } else { Test::Ne(operand) }
            }
            "~" | "!~" => {
                if let Err(error) = whole_regex(&text) {
                    let reason = error.to_string();
                    let reason = reason
                        .lines()
                        .last()
                        .unwrap_or("not a regular expression")
                        .trim_start_matches("error: ");
                    return Err(self.error(
                        value,
                        format!("the regular expression can't be used: {reason}"),
                        None,
                    ));
                }
                if op == "~" { Test::Like(text) } else { Test::Unlike(text) }
            }
            _ => {
                let Some(n) = number else {
                    let hint = if is_duration(&key) { "a duration such as 60ms" } else { "a number" };
                    return Err(self.error(value, format!("`{op}` compares numbers: write {hint}"), None));
                };
                match op {
                    "<" => Test::Lt(n),
                    "<=" => Test::Le(n),
                    ">" => Test::Gt(n),
                    _ => Test::Ge(n),
                }
            }
        };
        Ok(Filter::Cond(Cond { key, test }))
    }
}

fn is_duration(key: &Key) -> bool {
    matches!(key, Key::Duration | Key::Trace(TraceKey::Duration))
}

/// The number that an unquoted value stands for under this key.
fn number(key: &Key, text: &str) -> Option<Number> {
    if is_duration(key)
        && let Some(nanos) = parse_duration(text)
    {
        return Some(nanos);
    }
    if *key == Key::Severity
        && let Some(level) = Severity::from_level(text)
    {
        return Some(Number::Int(level.0 as i64));
    }
    Number::parse(text)
}

/// Values that can never match are more likely a slip.
fn refuse_value(key: &Key, text: &str, number: Option<Number>) -> Option<(String, Option<&'static str>)> {
    let one_of = |what: &str, names: &'static str, known: bool| {
        (!known).then(|| (format!("`{text}` is no {what}"), Some(names)))
    };
    match key {
        Key::Severity => one_of("severity", "trace, debug, info, warn, error or fatal", number.is_some()),
        Key::Status => one_of("status", "unset, ok or error", ["unset", "ok", "error"].contains(&text)),
        Key::Kind => one_of(
            "kind of span",
            "internal, server, client, producer, consumer or unspecified",
            ["internal", "server", "client", "producer", "consumer", "unspecified"].contains(&text),
        ),
        Key::Duration | Key::Trace(TraceKey::Duration | TraceKey::Spans | TraceKey::Errors) => {
            one_of("number", "a number, or for durations 60ms", number.is_some())
        }
        _ => None,
    }
}

fn key(word: &str) -> Key {
    let level = |level, rest: &str| Key::Attr(level, rest.to_owned());
    match word {
        "service" => Key::Service,
        "operation" => Key::Operation,
        "kind" => Key::Kind,
        "status" => Key::Status,
        "severity" => Key::Severity,
        "duration" => Key::Duration,
        "trace.id" => Key::TraceId,
        "span.id" => Key::SpanId,
        "event" => Key::Event,
        "trace.duration" => Key::Trace(TraceKey::Duration),
        "trace.spans" => Key::Trace(TraceKey::Spans),
        "trace.errors" => Key::Trace(TraceKey::Errors),
        "trace.service" => Key::Trace(TraceKey::Service),
        "entry" => Key::Trace(TraceKey::Entry),
        _ => match word.split_once('.') {
            Some(("resource", rest)) => level(Level::Resource, rest),
            Some(("scope", rest)) => level(Level::Scope, rest),
            Some(("span" | "log", rest)) => level(Level::Record, rest),
            _ => level(Level::Any, word),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, canonical: &str) {
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        assert_eq!(filter.to_string(), canonical, "{text}");
        assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter, "{text} reads back");
    }

    #[test]
    fn what_is_understood() {
        reads("", "");
        reads("service=cart", "service = cart");
        reads("service = cart duration>60ms", "(service = cart AND duration > 60000000)");
        reads("a = 1 OR b = 2 c = 3", "(a = 1 OR (b = 2 AND c = 3))");
        reads("NOT (a = 1 OR timeout)", "NOT (a = 1 OR \"timeout\")");
        reads("http.route ~ \"/api/.*\"", "http.route ~ \"/api/.*\"");
        reads("db.statement *", "db.statement *");
        reads("time*", "\"time\"*");
        reads("\"connection refused\"", "\"connection refused\"");
        reads("connection-refused", "\"connection refused\"");
        reads("severity >= warn", "severity >= 13");
        reads("resource.k8s.pod.name = \"x y\"", "resource.k8s.pod.name = \"x y\"");
        reads("n >= -1.5", "n >= -1.5");
        reads("path = /a(b", "path = /a(b");
        reads("trace.duration > 1s trace.spans >= 10", "(trace.duration > 1000000000 AND trace.spans >= 10)");
        reads("q = \"a \\\"b\\\" \\\\c\"", "q = \"a \\\"b\\\" \\\\c\"");
    }

    fn fails(text: &str, token: &str, message: &str) {
        let error = Filter::parse(text).expect_err(text);
        assert_eq!((&text[error.start..error.end], error.message.as_str()), (token, message), "{text}");
    }

    #[test]
    fn what_is_not() {
        fails("a =", "a =", "`=` needs a value behind it");
        fails("(a = 1", "(", "this bracket is never closed");
        fails("a = 1 )", ")", "this bracket was never opened");
        fails("a = \"x", "\"x", "this quote is never closed");
        fails("= 3", "=", "`=` needs a key before it");
        fails("a > x", "x", "`>` compares numbers: write a number");
        fails("duration > soon", "soon", "`>` compares numbers: write a duration such as 60ms");
        fails(
            "a ~ \"(?=x)\"",
            "\"(?=x)\"",
            "the regular expression can't be used: look-around, including look-ahead and look-behind, is not supported",
        );
        fails("status = bad", "bad", "`bad` is no status");
        fails("a AND", "", "something is missing at the end");
        fails("--", "--", "there is no word in this");
    }

    #[test]
    fn trace_conditions_are_split_off() {
        let filter = Filter::parse("service = a trace.spans > 3 timeout entry = b").unwrap();
        let (spans, traces) = filter.split_trace().unwrap();
        assert_eq!(spans.to_string(), "(service = a AND \"timeout\")");
        assert_eq!(traces.to_string(), "(trace.spans > 3 AND entry = b)");
        assert!(Filter::parse("service = a OR trace.spans > 3").unwrap().split_trace().is_err());
    }
}
