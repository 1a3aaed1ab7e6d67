//! One JSON object a line.
//!
//! The top level is read in one pass; nested objects and arrays are passed over and kept as their text, except where a logger nests
//! what belongs to the record (ECS, MDC, errors). Text without escapes stays where it is.

mod proxy;
mod scan;
mod template;
mod value;

use super::fields::{self, Role};
use crate::attr;
use crate::parsed::{Parsed, Span, Text, Value};
use crate::scan::str_of;
use scan::Scan;

pub(crate) use scan::unescape;
pub use value::write_value;

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
    caddy: bool,
    traefik: bool,
}

impl Deferred {
    fn settle(&self, line: &str, out: &mut Parsed) {
        if self.caddy {
            proxy::caddy(line, out);
        }
        if self.traefik {
            proxy::traefik(line, out);
        }
        if let Some(name) = self.name {
            let key = if self.numeric_level { attr::SERVICE } else { attr::LOGGER };
            out.push(Text::Static(key), Value::Str(name));
        }
        if let Some(template) = self.template {
            out.push(Text::Static("message_template.text"), Value::Str(template));
            if out.body == Text::EMPTY {
                out.body = template::render(template, self.renderings, line, out);
            }
            // Serilog leaves the level out when it is Information.
            if self.event && out.severity_text == Text::EMPTY {
                out.severity = weir_model::Severity::INFO;
            }
        }
    }
}

fn object(scan: &mut Scan<'_>, out: &mut Parsed, deferred: &mut Deferred, nesting: Nesting) -> Option<()> {
    let line = str_of(scan.line);
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
            deferred.traefik |= role == Role::Traefik;
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
        Role::Request => {
            deferred.caddy = proxy::request(inner, line, out);
            deferred.caddy
        }
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
