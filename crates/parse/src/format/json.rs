//! One JSON object a line.
//!
//! The top level is read in one pass; nested objects and arrays are passed over and kept as their text, except where a logger nests
//! what belongs to the record (ECS, MDC, errors). Text without escapes stays where it is.

use super::fields::{self, Role};
use crate::attr;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::str_of;
use memchr::{memchr, memchr2};
use weir_model::limits;
use weir_model::otlp::ValueWriter;

/// How deep objects that belong to the record may lie in each other.
const NEST_DEPTH: usize = 3;

pub(super) fn parse(line: &[u8], out: &mut Parsed) -> Option<()> {
    let mut scan = Scan { line, pos: 0 };
    scan.blank();
    if scan.next()? != b'{' {
        return None;
    }
    let mut deferred = Deferred::default();
    object(&mut scan, out, &mut deferred, Nesting::default())?;
    scan.blank();
    if scan.pos != line.len() {
        return None;
    }
    deferred.settle(str_of(line), out);
    out.structured = true;
    Some(())
}

/// Takes the fields of the object that lies in a line of another format, as the fields of that line. False for what is none; some of its
/// fields may then have been taken.
pub(super) fn fields_in(line: &[u8], span: Span, out: &mut Parsed) -> bool {
    let mut scan = Scan { line: &line[..span.end as usize], pos: span.start as usize };
    let mut deferred = Deferred::default();
    let whole = scan.next() == Some(b'{')
        && object(&mut scan, out, &mut deferred, Nesting::default()).is_some()
        && scan.pos == scan.line.len();
    if whole {
        deferred.settle(str_of(line), out);
    }
    whole
}

/// In which object a field lies.
#[derive(Clone, Copy, Default)]
struct Nesting {
    depth: usize,
    /// What comes before the names of its fields; empty for none.
    prefix: Text,
}

/// Fields whose meaning depends on others of the same line.
#[derive(Default)]
struct Deferred {
    template: Option<Text>,
    renderings: Option<Span>,
    name: Option<Text>,
    numeric_level: bool,
    event: bool,
}

impl Deferred {
    fn settle(&self, line: &str, out: &mut Parsed) {
        if let Some(name) = self.name {
            let key = if self.numeric_level { attr::SERVICE } else { attr::LOGGER };
            out.push(Text::Static(key), Value::Str(name));
        }
        if let Some(template) = self.template {
            out.push(Text::Static("message_template.text"), Value::Str(template));
            if out.body == Text::EMPTY {
                out.body = render(template, self.renderings, line, out);
            }
            // Serilog leaves the level out when it is Information.
            if self.event && out.severity_text == Text::EMPTY {
                out.severity = weir_model::Severity::INFO;
            }
        }
    }
}

fn object(scan: &mut Scan<'_>, out: &mut Parsed, deferred: &mut Deferred, nesting: Nesting) -> Option<()> {
    let line = str_of_checked(scan.line);
    scan.blank();
    if scan.peek()? == b'}' {
        scan.pos += 1;
        return Some(());
    }
    loop {
        scan.blank();
        if scan.next()? != b'"' {
            return None;
        }
        let (span, escaped) = scan.string()?;
        let key = match nesting.prefix {
            Text::EMPTY => scan.text(span, escaped, out),
            prefix => dotted(prefix, span, line, out),
        };
        let (key, role) = match key {
            // In CLEF a name that begins with @ has another one before it.
            Text::Line(Span { start, end }) if span.of(scan.line).starts_with(b"@@") => {
                (Text::Line(Span { start: start + 1, end }), Role::Other)
            }
            Text::Line(span) => (key, fields::role(span.of(scan.line))),
            Text::Scratch(span) if nesting.depth > 0 => (key, fields::role(span.of(out.scratch.as_bytes()))),
            _ => (key, Role::Other),
        };
        scan.blank();
        if scan.next()? != b':' {
            return None;
        }
        scan.blank();
        value(scan, key, role, line, out, deferred, nesting)?;
        scan.blank();
        match scan.next()? {
            b',' => {}
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

#[inline]
fn value(
    scan: &mut Scan<'_>,
    key: Text,
    role: Role,
    line: &str,
    out: &mut Parsed,
    deferred: &mut Deferred,
    nesting: Nesting,
) -> Option<()> {
    match scan.peek()? {
        b'"' => {
            scan.pos += 1;
            let (span, escaped) = scan.string()?;
            let text = scan.text(span, escaped, out);
            match role {
                Role::Other => out.push(key, Value::Str(text)),
                Role::Template => deferred.template = Some(text),
                Role::Name => deferred.name = Some(text),
                Role::Time => {
                    deferred.event |= out.text(line, key) == "@t";
                    fields::take_text(role, key, text, line, out);
                }
                _ => fields::take_text(role, key, text, line, out),
            }
        }
        open @ (b'{' | b'[') => {
            let start = scan.pos;
            scan.skip_nested()?;
            let span = Span::new(start, scan.pos);
            if role == Role::Renderings {
                deferred.renderings = Some(span);
                return Some(());
            }
            if open == b'{'
                && nesting.depth < NEST_DEPTH
                && nested(key, role, line, span, out, deferred, nesting.depth)
            {
                return Some(());
            }
            out.push(key, Value::Json(Text::Line(span)));
        }
        b't' => {
            scan.literal(b"true")?;
            out.push(key, Value::Bool(true));
        }
        b'f' => {
            scan.literal(b"false")?;
            out.push(key, Value::Bool(false));
        }
        b'n' => scan.literal(b"null")?,
        _ => {
            let span = scan.number()?;
            deferred.numeric_level |= role == Role::Level;
            fields::take_number(role, key, span, line, out);
        }
    }
    Some(())
}

/// The name of a field of an object, with that of the object before it.
fn dotted(prefix: Text, name: Span, line: &str, out: &mut Parsed) -> Text {
    let prefix = out.text(line, prefix).to_owned();
    let start = out.scratch.len();
    out.scratch.push_str(&prefix);
    out.scratch.push('.');
    unescape(name.of(line.as_bytes()), &mut out.scratch);
    Text::Scratch(Span::new(start, out.scratch.len()))
}

/// Takes an object whose fields belong to the record; false when it should stay a structured value.
#[allow(clippy::too_many_arguments)]
fn nested(
    key: Text,
    role: Role,
    line: &str,
    span: Span,
    out: &mut Parsed,
    deferred: &mut Deferred,
    depth: usize,
) -> bool {
    let mut inner = Scan { line: &line.as_bytes()[..span.end as usize], pos: span.start as usize + 1 };
    let depth = depth + 1;
    match role {
        Role::Nest => object(&mut inner, out, deferred, Nesting { depth, prefix: Text::EMPTY }).is_some(),
        // A service's name is the service itself, where it is no object.
        Role::Dotted | Role::Process | Role::Renamed(attr::SERVICE) => {
            object(&mut inner, out, deferred, Nesting { depth, prefix: key }).is_some()
        }
        Role::Error | Role::Stack => error(inner, line, out),
        Role::Caller => {
            let Some(file) = find(inner, b"file") else { return false };
            out.push_str(attr::CODE_FILE, file);
            if let Some(Value::Int(n)) = find(inner, b"line").map(|s| fields::number(s.of(line.as_bytes()))) {
                out.push_int(attr::CODE_LINE, n);
            }
            if let Some(function) = find(inner, b"function") {
                out.push_str(attr::CODE_FUNCTION, function);
            }
            true
        }
        _ => false,
    }
}

/// An error object: type (or name), message and stack.
fn error(mut inner: Scan<'_>, line: &str, out: &mut Parsed) -> bool {
    let mut parts: [Option<Text>; 3] = [None; 3];
    let mut code: Option<Text> = None;
    loop {
        inner.blank();
        match inner.next() {
            Some(b'"') => {}
            Some(b',') => continue,
            _ => break,
        }
        let Some((key, _)) = inner.string() else { break };
        inner.blank();
        if inner.next() != Some(b':') {
            break;
        }
        inner.blank();
        let slot = match key.of(line.as_bytes()) {
            b"type" | b"name" | b"class" => &mut parts[0],
            b"message" | b"msg" => &mut parts[1],
            b"stack" | b"stack_trace" | b"stacktrace" => &mut parts[2],
            _ => &mut code,
        };
        if inner.peek() == Some(b'"') {
            inner.pos += 1;
            let Some((span, escaped)) = inner.string() else { break };
            *slot = Some(inner.text(span, escaped, out));
        } else if inner.skip_value().is_none() {
            break;
        }
    }
    let keys = [attr::EXCEPTION_TYPE, attr::EXCEPTION_MESSAGE, attr::EXCEPTION_STACK];
    let found = parts[1].is_some() || parts[2].is_some();
    if found {
        for (key, text) in keys.into_iter().zip(parts).filter_map(|(k, t)| Some((k, t?))) {
            out.set(key, Value::Str(text));
        }
    }
    found
}

/// The scalar under a key of the object that `scan` stands in.
fn find(mut scan: Scan<'_>, wanted: &[u8]) -> Option<Span> {
    loop {
        scan.blank();
        match scan.next()? {
            b'"' => {}
            b',' => continue,
            _ => return None,
        }
        let (key, _) = scan.string()?;
        scan.blank();
        if scan.next()? != b':' {
            return None;
        }
        scan.blank();
        let start = scan.pos;
        scan.skip_value()?;
        if key.of(scan.line) == wanted {
            let quoted = usize::from(scan.line[start] == b'"');
            return Some(Span::new(start + quoted, scan.pos - quoted));
        }
    }
}

/// A message template of <https://messagetemplates.org> with the record's attributes in its holes, or the line's own renderings in those that
/// name a format.
fn render(template: Text, renderings: Option<Span>, line: &str, out: &mut Parsed) -> Text {
    let template = out.text(line, template).to_owned();
    let mut renderings = renderings
        .map(|span| Scan { line: &line.as_bytes()[..span.end as usize], pos: span.start as usize + 1 });
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            text.push_str(brace);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}').filter(|_| brace == "{") else {
            text.push_str(brace);
            rest = &rest[at + 1..];
            continue;
        };
        let hole = &rest[at + 1..at + end];
        let name = hole.trim_start_matches(['@', '$']).split([',', ':']).next().unwrap_or("");
        if let Some(span) = renderings.as_mut().filter(|_| hole.contains(':')).and_then(Scan::element) {
            unescape(span.of(line.as_bytes()), &mut text);
            rest = &rest[at + end + 1..];
            continue;
        }
        match out.attr(line, name) {
            Some(Value::Str(value) | Value::Json(value)) => text.push_str(out.text(line, value)),
            Some(Value::Int(n)) => text.push_str(&n.to_string()),
            Some(Value::Double(x)) => text.push_str(&x.to_string()),
            Some(Value::Bool(b)) => text.push_str(if b { "true" } else { "false" }),
            None => text.push_str(&rest[at..at + end + 1]),
        }
        rest = &rest[at + end + 1..];
    }
    text.push_str(rest);
    out.keep(&text)
}

/// The line was checked to be UTF-8 before it was cut up; a part of it at string borders still is.
fn str_of_checked(line: &[u8]) -> &str {
    str_of(line)
}

/// A position in JSON text.
#[derive(Clone, Copy)]
struct Scan<'a> {
    line: &'a [u8],
    pos: usize,
}

impl Scan<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.pos).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    #[inline]
    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.pos += 1;
        }
    }

    /// The inside of a string whose opening quote was passed, and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Option<(Span, bool)> {
        let start = self.pos;
        let mut escaped = false;
        loop {
            let at = self.pos + memchr2(b'"', b'\\', self.line.get(self.pos..)?)?;
            if self.line[at] == b'"' {
                self.pos = at + 1;
                return Some((Span::new(start, at), escaped));
            }
            escaped = true;
            self.pos = at + 2;
        }
    }

    /// A string's text: where it stands, or unescaped in the scratch buffer.
    #[inline]
    fn text(&self, span: Span, escaped: bool, out: &mut Parsed) -> Text {
        if !escaped {
            return Text::Line(span);
        }
        let start = out.scratch.len();
        unescape(span.of(self.line), &mut out.scratch);
        Text::Scratch(Span::new(start, out.scratch.len()))
    }

    #[inline]
    fn number(&mut self) -> Option<Span> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.pos += 1;
        }
        let span = Span::new(start, self.pos);
        str_of(span.of(self.line)).parse::<f64>().ok()?;
        Some(span)
    }

    /// The inside of the next string of an array.
    fn element(&mut self) -> Option<Span> {
        while matches!(self.peek(), Some(b' ' | b',')) {
            self.pos += 1;
        }
        (self.next()? == b'"').then(|| self.string()).flatten().map(|(span, _)| span)
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.line[self.pos..].starts_with(word).then(|| self.pos += word.len())
    }

    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.pos += 1;
                self.string().map(|_| ())
            }
            b'{' | b'[' => self.skip_nested(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Passes over an object or array, counting brackets outside strings.
    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.next()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Appends the text of a JSON string's inside. An escape that is none stays as written; a lone surrogate becomes U+FFFD.
pub(crate) fn unescape(inside: &[u8], out: &mut String) {
    let mut rest = inside;
    while let Some(at) = memchr(b'\\', rest) {
        out.push_str(str_of(&rest[..at]));
        let (text, used) = escape(&rest[at..]);
        match text {
            Some(c) => out.push(c),
            None => out.push('\\'),
        }
        rest = &rest[at + used..];
    }
    out.push_str(str_of(rest));
}

/// The character of an escape that `text` begins with, and how many bytes it takes.
fn escape(text: &[u8]) -> (Option<char>, usize) {
    let simple = match text.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(c @ (b'"' | b'\\' | b'/')) => *c as char,
        Some(b'u') => return unicode(text),
        _ => return (None, 1),
    };
    (Some(simple), 2)
}

fn unicode(text: &[u8]) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(str_of(digits), 16).ok()
    };
    let Some(first) = unit(2) else { return (None, 1) };
    let second = || unit(8).filter(|u| (0xdc00..0xe000).contains(u));
    if (0xd800..0xdc00).contains(&first)
        && text.get(6..8) == Some(b"\\u")
        && let Some(second) = second()
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code), 12);
    }
    (Some(char::from_u32(first).unwrap_or('\u{fffd}')), 6)
}

/// Writes JSON text as a structured value. What is nested deeper than [`limits::VALUE_DEPTH`], or is no JSON, is written as text.
pub fn write_value(json: &str, out: ValueWriter<'_>) {
    let mut scan = Scan { line: json.as_bytes(), pos: 0 };
    write(&mut scan, out, limits::VALUE_DEPTH - 2);
}

fn write(scan: &mut Scan<'_>, out: ValueWriter<'_>, depth: usize) {
    scan.blank();
    let start = scan.pos;
    let Some(first) = scan.peek() else { return };
    match first {
        b'{' | b'[' if depth == 0 => {
            if scan.skip_nested().is_none() {
                scan.pos = scan.line.len();
            }
            out.str(str_of(&scan.line[start..scan.pos]));
        }
        b'{' => out.map(|map| {
            scan.pos += 1;
            loop {
                scan.blank();
                match scan.next() {
                    Some(b',') => continue,
                    Some(b'"') => {}
                    _ => break,
                }
                let Some((span, escaped)) = scan.string() else { break };
                let key = plain_or_unescaped(scan.line, span, escaped);
                scan.blank();
                if scan.next() != Some(b':') {
                    break;
                }
                map.with(&key, |w| write(scan, w, depth - 1));
            }
        }),
        b'[' => out.list(|list| {
            scan.pos += 1;
            loop {
                scan.blank();
                match scan.peek() {
                    Some(b',') => {
                        scan.pos += 1;
                        continue;
                    }
                    Some(b']') => {
                        scan.pos += 1;
                        break;
                    }
                    None => break,
                    Some(_) => {}
                }
                let before = scan.pos;
                list.item(|w| write(scan, w, depth - 1));
                if scan.pos == before {
                    break;
                }
            }
        }),
        b'"' => {
            scan.pos += 1;
            if let Some((span, escaped)) = scan.string() {
                out.str(&plain_or_unescaped(scan.line, span, escaped));
            }
        }
        b't' if scan.literal(b"true").is_some() => out.bool(true),
        b'f' if scan.literal(b"false").is_some() => out.bool(false),
        b'n' => {
            scan.literal(b"null");
        }
        _ => {
            if let Some(span) = scan.number() {
                match fields::number(span.of(scan.line)) {
                    Value::Int(n) => out.int(n),
                    Value::Double(x) => out.double(x),
                    _ => {}
                }
            }
        }
    }
}

fn plain_or_unescaped(line: &[u8], span: Span, escaped: bool) -> std::borrow::Cow<'_, str> {
    if !escaped {
        return str_of(span.of(line)).into();
    }
    let mut text = String::new();
    unescape(span.of(line), &mut text);
    text.into()
}
