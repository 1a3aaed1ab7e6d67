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
use super::{Cond, Filter, Key, Number, Operand, Test, Text, TraceKey, words};
use crate::severity::Severity;

/// Nesting of brackets and NOT that is still read.
const DEPTH: usize = 64;
/// Longest filter, in bytes.
const FILTER_BYTES: usize = 16 * 1024;

/// A filter that can't be understood, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// In English.
    pub message: String,
    /// The same for programs, such as one that says it in another language: a word, and what `message` has filled in.
    pub reason: &'static str,
    pub params: Vec<String>,
    /// Byte offsets of the offending token.
    pub start: usize,
    pub end: usize,
    /// What may stand in place of the token.
    pub suggestion: Option<String>,
}

impl ParseError {
    pub(super) fn whole(reason: &'static str, message: &str) -> Self {
        Self { message: message.into(), reason, params: Vec::new(), start: 0, end: 0, suggestion: None }
    }

    pub(super) fn with(self, params: &[&str]) -> Self {
        Self { params: params.iter().map(|param| (*param).to_owned()).collect(), ..self }
    }

    fn instead(self, suggestion: Option<impl Into<String>>) -> Self {
        Self { suggestion: suggestion.map(Into::into), ..self }
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
            let most = FILTER_BYTES.to_string();
            let message = format!("a filter has at most {most} bytes");
            return Err(parser.error(0..text.len(), "too-long", message).with(&[&most]));
        }
        parser.space();
        if parser.rest().is_empty() {
            return Ok(Filter::All);
        }
        let filter = parser.or(DEPTH)?;
        match parser.rest() {
            "" => Ok(filter),
            _ => Err(parser.error(
                parser.at..parser.at + 1,
                "bracket-not-opened",
                "this bracket was never opened".into(),
            )),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

const OPERATORS: [&str; 8] = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"];
/// Characters of operators.
const OPERATOR: [char; 5] = ['=', '<', '>', '~', '!'];
/// Operators of other languages, and what they are here.
const FOREIGN: [(&str, &str); 8] = [
    ("==", "="),
    ("===", "="),
    ("!==", "!="),
    ("<>", "!="),
    ("=~", "~"),
    ("!=~", "!~"),
    ("=<", "<="),
    ("=>", ">="),
];

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, span: std::ops::Range<usize>, reason: &'static str, message: String) -> ParseError {
        ParseError { start: span.start, end: span.end, message, ..ParseError::whole(reason, "") }
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
            let most = DEPTH.to_string();
            let message = format!("nested deeper than {most}");
            return Err(self.error(self.at..self.text.len(), "too-deep", message).with(&[&most]));
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
                    "bracket-not-closed",
                    "this bracket is never closed".into(),
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
            return Err(self.error(start..start, "end-missing", "something is missing at the end".into()));
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
        if self.rest().starts_with(OPERATOR) {
            let at = self.at;
            let op = self.until(|c| !OPERATOR.contains(&c));
            let span = at..self.at;
            if word.is_empty() {
                let message = format!("`{op}` needs a key before it, as in service = cart");
                return Err(self.error(span, "key-missing", message).with(&[op]));
            }
            if !OPERATORS.contains(&op) {
                let meant = FOREIGN.iter().find(|(foreign, _)| *foreign == op).map(|(_, own)| *own);
                let message = format!("`{op}` is no operator; there are {}", OPERATORS.join(" "));
                return Err(self.error(span, "no-operator", message).with(&[op]).instead(meant));
            }
            self.space();
            return self.condition(key(word), op, start..after_word);
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
                "nothing",
                "a key, a word or a text in quotes should stand here".into(),
            ));
        }
        self.full_text(word, false, start)
    }

    fn full_text(&self, text: &str, prefix: bool, start: usize) -> Result<Filter, ParseError> {
        let words = words(text).collect();
        if words.is_empty() {
            return Err(self.error(start..self.at, "no-word", "there is no word in this".into()));
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
        Err(self.error(start..self.text.len(), "quote-not-closed", "this quote is never closed".into()))
    }

    /// An unquoted value.
    fn value(&mut self) -> &'a str {
        self.until(|c| c.is_whitespace() || c == ')')
    }

    /// A number with the unit that stands apart from it, as in `5 min`.
    fn with_unit(&mut self, number: String) -> String {
        let before = self.at;
        self.space();
        let unit = self.value();
        let whole = number + unit;
        if Number::parse(&whole[..whole.len() - unit.len()]).is_some() && parse_duration(&whole).is_some() {
            return whole;
        }
        self.at = before;
        whole[..whole.len() - unit.len()].to_owned()
    }

    fn condition(&mut self, key: Key, op: &str, at: std::ops::Range<usize>) -> Result<Filter, ParseError> {
        let start = self.at;
        let quoted = self.rest().starts_with('"');
        let mut text = if quoted { self.quoted()? } else { self.value().to_owned() };
        if text.is_empty() && !quoted {
            let message = format!("`{op}` needs a value behind it");
            return Err(self.error(at.start..start, "value-missing", message).with(&[op]));
        }
        if is_duration(&key) && !quoted {
            text = self.with_unit(text);
        }
        let value = start..self.at;
        self.space();
        let number = if quoted { None } else { number(&key, &text) };
        let compares = !matches!(op, "~" | "!~");
        if compares && is_duration(&key) && number.is_none() && Number::parse(&text).is_some() {
            let message = format!("a duration needs its unit: write {text}ms, or ns, us, s, min, h");
            let meant = Some(format!("{text}ms"));
            return Err(self.error(value, "unit-missing", message).with(&[&text]).instead(meant));
        }
        let test = match op {
            "=" | "!=" => {
                if let Some((reason, what, names)) = refuse_value(&key, number, &text) {
                    let message = format!("`{text}` is no {what}: write {names}");
                    return Err(self.error(value, reason, message).with(&[&text, names]));
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
                    let message = format!("the regular expression can't be used: {reason}");
                    return Err(self.error(value, "regex", message).with(&[reason]));
                }
                if op == "~" { Test::Like(text) } else { Test::Unlike(text) }
            }
            _ => {
                let Some(n) = number else {
                    let (reason, hint) = match is_duration(&key) {
                        true => ("no-duration", "a duration such as 60ms"),
                        false => ("no-number", "a number"),
                    };
                    let message = format!("`{op}` compares numbers: write {hint}");
                    return Err(self.error(value, reason, message).with(&[op]));
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

pub(super) fn is_duration(key: &Key) -> bool {
    matches!(key, Key::Duration | Key::Trace(TraceKey::Duration))
}

/// The number that an unquoted value stands for under this key.
fn number(key: &Key, text: &str) -> Option<Number> {
    if is_duration(key) {
        // Nothing is as short in every unit.
        let zero = || Number::parse(text).filter(|number| number.as_f64() == 0.0);
        return parse_duration(text).or_else(zero);
    }
    if *key == Key::Severity
        && let Some(level) = Severity::from_level(text)
    {
        return Some(Number::Int(level.0 as i64));
    }
    Number::parse(text)
}

/// Values that can never match are more likely a slip: what they are not, for programs and for a person, and what may be written.
fn refuse_value(
    key: &Key,
    number: Option<Number>,
    text: &str,
) -> Option<(&'static str, &'static str, &'static str)> {
    const STATUS: &str = "unset, ok, error";
    const KIND: &str = "internal, server, client, producer, consumer, unspecified";
    let named = |names: &str| names.split(", ").any(|name| name == text);
    let (refused, known) = match key {
        Key::Severity => {
            (("no-severity", "severity", "trace, debug, info, warn, error, fatal"), number.is_some())
        }
        Key::Status => (("no-status", "status", STATUS), named(STATUS)),
        Key::Kind => (("no-kind", "kind of span", KIND), named(KIND)),
        key if is_duration(key) => (("no-length", "duration", "60ms, 1.5s"), number.is_some()),
        Key::Trace(TraceKey::Spans | TraceKey::Errors) => {
            (("no-count", "number", "3, 100"), number.is_some())
        }
        _ => return None,
    };
    (!known).then_some(refused)
}

fn key(word: &str) -> Key {
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
        _ => Key::Attr(word.to_owned()),
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
        reads("service = cart duration>60ms", "(service = cart AND duration > 60000000ns)");
        reads("duration > 5 min", "duration > 300000000000ns");
        reads("(duration > 5 ms) slow", "(duration > 5000000ns AND \"slow\")");
        reads("duration = 5 ms slow", "(duration = 5ms AND \"slow\")");
        reads("duration > 5ms min", "(duration > 5000000ns AND \"min\")");
        reads("duration > 0", "duration > 0ns");
        reads("duration > 99999999999999999.5h", "duration > 360000000000000000000000000000ns");
        reads("a = =b", "a = =b");
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
        reads(
            "trace.duration > 1s trace.spans >= 10",
            "(trace.duration > 1000000000ns AND trace.spans >= 10)",
        );
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
        fails("= 3", "=", "`=` needs a key before it, as in service = cart");
        fails("a == 1", "==", "`==` is no operator; there are != !~ <= >= = < > ~");
        fails("a=!1", "=!", "`=!` is no operator; there are != !~ <= >= = < > ~");
        fails("duration > 5", "5", "a duration needs its unit: write 5ms, or ns, us, s, min, h");
        fails("duration > 5 )", "5", "a duration needs its unit: write 5ms, or ns, us, s, min, h");
        fails("trace.duration = 5 x", "5", "a duration needs its unit: write 5ms, or ns, us, s, min, h");
        fails("a > x", "x", "`>` compares numbers: write a number");
        fails("duration > soon", "soon", "`>` compares numbers: write a duration such as 60ms");
        fails(
            "a ~ \"(?=x)\"",
            "\"(?=x)\"",
            "the regular expression can't be used: look-around, including look-ahead and look-behind, is not supported",
        );
        fails("status = bad", "bad", "`bad` is no status: write unset, ok, error");
        fails("a AND", "", "something is missing at the end");
        fails("--", "--", "there is no word in this");
    }

    /// What is suggested may stand in the token's place.
    #[test]
    fn what_was_meant() {
        for (text, meant) in [
            ("service == cart", "service = cart"),
            ("a=>1", "a>=1"),
            ("a !== b", "a != b"),
            ("a =~ b.*", "a ~ b.*"),
            ("duration > 5 x", "duration > 5ms x"),
        ] {
            let error = Filter::parse(text).expect_err(text);
            let mut mended = text.to_owned();
            mended.replace_range(error.start..error.end, &error.suggestion.expect(text));
            assert_eq!(mended, meant);
            assert!(Filter::parse(&mended).is_ok(), "{mended}");
        }
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
