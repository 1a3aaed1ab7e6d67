//! JSON text as a structured value on the wire.

use super::scan::{Scan, unescape};
use crate::format::fields;
use crate::parsed::{Span, Value};
use crate::scan::str_of;
use weir_model::limits;
use weir_model::otlp::ValueWriter;

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
