//! What a format finds in one line: positions, not copies.
//!
//! One [`Parsed`] is reused for all lines of a source, so that a line costs no allocation once its buffers have grown. A [`Text`] is
//! a range of the line, a range of the scratch buffer (text that had to be unescaped), or fixed text.

use crate::time::When;
use std::ops::BitOr;
use weir_model::{Severity, SpanId, TraceId, limits};

/// Text that lies in the line, in the scratch buffer of its [`Parsed`], or in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    Line(Span),
    Scratch(Span),
    Static(&'static str),
}

impl Text {
    pub const EMPTY: Text = Text::Static("");
}

impl Default for Text {
    fn default() -> Self {
        Text::EMPTY
    }
}

/// A range of bytes; a line is never longer than `u32` can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    #[inline]
    pub fn of(self, line: &[u8]) -> &[u8] {
        line.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Str(Text),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// An object or array as JSON text; [`crate::format::json::write_value`] writes it as a structured value.
    Json(Text),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attr {
    pub key: Text,
    pub value: Value,
}

/// What was wrong with a record, as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Issues(pub u8);

impl Issues {
    pub const NONE: Issues = Issues(0);
    /// Cut at a limit, or its end is missing.
    pub const TRUNCATED: Issues = Issues(1);
    /// It says a time that is none.
    pub const BAD_TIME: Issues = Issues(2);
    /// Bytes that are no text in the source's encoding were replaced.
    pub const INVALID_UTF8: Issues = Issues(4);
    /// The file's format does not match this line: it is kept as plain text.
    pub const UNPARSED: Issues = Issues(8);
    /// More attributes than a record may have.
    pub const TOO_MANY_ATTRIBUTES: Issues = Issues(16);

    const NAMES: [(Issues, &'static str); 5] = [
        (Issues::TRUNCATED, "truncated"),
        (Issues::BAD_TIME, "bad_time"),
        (Issues::INVALID_UTF8, "invalid_utf8"),
        (Issues::UNPARSED, "unparsed"),
        (Issues::TOO_MANY_ATTRIBUTES, "too_many_attributes"),
    ];

    pub fn has(self, other: Issues) -> bool {
        self.0 & other.0 != 0
    }

    pub fn add(&mut self, other: Issues) {
        self.0 |= other.0;
    }

    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| name)
    }
}

impl BitOr for Issues {
    type Output = Issues;
    fn bitor(self, other: Issues) -> Issues {
        Issues(self.0 | other.0)
    }
}

/// The fields of one line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    pub time: Option<When>,
    /// The characters that say the time.
    pub time_text: Text,
    pub severity: Severity,
    /// The level as the line writes it.
    pub severity_text: Text,
    /// The message. Empty where the line has no part that is one.
    pub body: Text,
    /// The line is a set of named fields, so that its message can stand for it.
    pub structured: bool,
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
    pub parent_span_id: Option<SpanId>,
    /// The ids stood in a header of the request (`traceparent`, B3): the span may be the caller's.
    pub from_header: bool,
    /// The time is when the operation began, not when the line was written.
    pub time_is_start: bool,
    /// W3C trace flags; bit 0 says sampled.
    pub trace_flags: Option<u8>,
    /// Nanoseconds that the line says its operation took.
    pub duration: Option<u64>,
    pub attrs: Vec<Attr>,
    pub dropped_attrs: u32,
    pub issues: Issues,
    pub(crate) scratch: String,
}

impl Parsed {
    /// Empty again, with its buffers kept.
    pub fn clear(&mut self) {
        // Every field by name: a new one can't be forgotten, and nothing is built only to be copied here.
        let Self {
            time,
            time_text,
            severity,
            severity_text,
            body,
            structured,
            trace_id,
            span_id,
            parent_span_id,
            trace_flags,
            duration,
            attrs,
            dropped_attrs,
            issues,
            scratch,
            from_header,
            time_is_start,
        } = self;
        *time = None;
        *time_text = Text::EMPTY;
        *severity = Severity::UNSET;
        *severity_text = Text::EMPTY;
        *body = Text::EMPTY;
        *structured = false;
        *trace_id = None;
        *span_id = None;
        *parent_span_id = None;
        *trace_flags = None;
        *duration = None;
        attrs.clear();
        *dropped_attrs = 0;
        *issues = Issues::NONE;
        scratch.clear();
        *from_header = false;
        *time_is_start = false;
    }

    /// The characters of a text; `line` is the one that was parsed.
    #[inline]
    pub fn text<'a>(&'a self, line: &'a str, text: Text) -> &'a str {
        match text {
            Text::Line(span) => line.get(span.start as usize..span.end as usize).unwrap_or(""),
            Text::Scratch(span) => self.scratch.get(span.start as usize..span.end as usize).unwrap_or(""),
            Text::Static(text) => text,
        }
    }

    /// The value of the first attribute with this key.
    pub fn attr(&self, line: &str, key: &str) -> Option<Value> {
        self.attrs.iter().find(|a| self.text(line, a.key) == key).map(|a| a.value)
    }

    /// Like [`Self::attr`], for a text.
    pub fn attr_str<'a>(&'a self, line: &'a str, key: &str) -> Option<&'a str> {
        match self.attr(line, key)? {
            Value::Str(text) | Value::Json(text) => Some(self.text(line, text)),
            _ => None,
        }
    }

    /// Like [`Self::attr`], for a number.
    pub fn attr_f64(&self, line: &str, key: &str) -> Option<f64> {
        match self.attr(line, key)? {
            Value::Int(n) => Some(n as f64),
            Value::Double(x) => Some(x),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, key: Text, value: Value) {
        if self.attrs.len() < limits::ATTRIBUTES {
            self.attrs.push(Attr { key, value });
        } else {
            self.dropped_attrs += 1;
            self.issues.add(Issues::TOO_MANY_ATTRIBUTES);
        }
    }

    #[inline]
    pub(crate) fn push_str(&mut self, key: &'static str, span: Span) {
        if !span.is_empty() {
            self.push(Text::Static(key), Value::Str(Text::Line(span)));
        }
    }

    /// Gives an attribute that a record has once its value; a later one replaces an earlier one.
    pub(crate) fn set(&mut self, key: &'static str, value: Value) {
        match self.attrs.iter_mut().find(|attr| attr.key == Text::Static(key)) {
            Some(attr) => attr.value = value,
            None => self.push(Text::Static(key), value),
        }
    }

    /// Like [`Self::set`], but leaves a value that is there already.
    pub(crate) fn set_default(&mut self, key: &'static str, value: Value) {
        if !self.attrs.iter().any(|attr| attr.key == Text::Static(key)) {
            self.push(Text::Static(key), value);
        }
    }

    pub(crate) fn push_int(&mut self, key: &'static str, value: i64) {
        self.push(Text::Static(key), Value::Int(value));
    }

    pub(crate) fn set_level(&mut self, line: &[u8], span: Span) {
        self.severity_text = Text::Line(span);
        self.severity = crate::severity::from_name(span.of(line)).unwrap_or(Severity::UNSET);
    }

    /// Copies text into the scratch buffer.
    pub(crate) fn keep(&mut self, text: &str) -> Text {
        let start = self.scratch.len();
        self.scratch.push_str(text);
        Text::Scratch(Span::new(start, self.scratch.len()))
    }

    /// Writes the attributes as they go on the wire. False when a key or value was cut at its limit.
    #[inline]
    pub fn write_attrs(&self, line: &str, out: &mut weir_model::otlp::AttrWriter<'_>) -> bool {
        self.write_attrs_unless(line, out, |_, _| false)
    }

    /// Like [`Self::write_attrs`], without those of which `skip` says so, given their number and key.
    #[inline]
    pub fn write_attrs_unless(
        &self,
        line: &str,
        out: &mut weir_model::otlp::AttrWriter<'_>,
        skip: impl Fn(usize, &str) -> bool,
    ) -> bool {
        let mut whole = true;
        for (at, attr) in self.attrs.iter().enumerate() {
            let key = self.text(line, attr.key);
            if skip(at, key) {
                continue;
            }
            let key = cut(key, limits::KEY_BYTES, &mut whole);
            match attr.value {
                Value::Str(text) => {
                    out.str(key, cut(self.text(line, text), limits::VALUE_BYTES, &mut whole));
                }
                Value::Int(n) => out.int(key, n),
                Value::Double(x) => out.double(key, x),
                Value::Bool(b) => out.bool(key, b),
                Value::Json(text) => match self.text(line, text) {
                    json if json.len() <= limits::VALUE_BYTES => {
                        out.with(key, |w| crate::format::json::write_value(json, w));
                    }
                    long => out.str(key, cut(long, limits::VALUE_BYTES, &mut whole)),
                },
            }
        }
        whole
    }
}

/// The longest beginning of a text within a limit.
#[inline]
fn cut<'a>(text: &'a str, limit: usize, whole: &mut bool) -> &'a str {
    if text.len() <= limit {
        return text;
    }
    *whole = false;
    &text[..text.floor_char_boundary(limit)]
}
