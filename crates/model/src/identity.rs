//! What makes a record the same record when it comes again: its source, never its content alone.

use crate::ids::{Incarnation, SpanId, TraceId};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

/// Resource attribute: the source's name, such as a file's path.
pub const SOURCE: &str = "weir.source";
/// Resource attribute: the source's [`Incarnation`] as 32 hexadecimal digits.
pub const INCARNATION: &str = "weir.incarnation";
/// Record attribute, an integer: where in its source the record starts, in bytes.
pub const OFFSET: &str = "weir.offset";
/// Record attribute, an integer: which of the records that start at the same offset this is; absent for 0.
pub const ORDINAL: &str = "weir.ordinal";
/// Span attribute, `true`: made from one log line rather than reported by an SDK.
pub const DERIVED: &str = "weir.derived";
/// Span attribute of a derived span: the span id that its line names, as 16 hexadecimal digits.
pub const NAMED_SPAN: &str = "weir.span_id";
/// Record attribute, `true`: the record was cut at a limit or lacks its end.
pub const TRUNCATED: &str = "weir.truncated";

/// Identity of a span from an SDK: clients and servers may share a span id, so kind and content belong to it.
/// `bytes` is the span's message as received.
pub fn span_identity(trace: &[u8], span: &[u8], kind: i32, bytes: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(trace.len() as u32).to_le_bytes());
    hash.update(trace);
    hash.update(&(span.len() as u32).to_le_bytes());
    hash.update(span);
    hash.update(&kind.to_le_bytes());
    hash.update(&xxh3_64(bytes).to_le_bytes());
    hash.digest()
}

/// Id of a span that was derived from the line at `start` of a source; `nth` tells the spans of one line apart.
pub fn derived_span_id(incarnation: Incarnation, start: u64, ordinal: u32, nth: u32) -> SpanId {
    let hash = derived(b"span", incarnation, start, ordinal, nth) as u64;
    SpanId::new(hash.max(1).to_be_bytes()).expect("not zero")
}

/// Id of the trace of a derived span whose line names none.
pub fn derived_trace_id(incarnation: Incarnation, start: u64, ordinal: u32) -> TraceId {
    let hash = derived(b"trace", incarnation, start, ordinal, 0);
    TraceId::new(hash.max(1).to_be_bytes()).expect("not zero")
}

/// Id of the trace of derived spans whose lines name no trace but the same request: several hops write down one id of a request.
pub fn request_trace_id(request: &str) -> TraceId {
    let mut hash = Xxh3::new();
    hash.update(b"request");
    hash.update(request.as_bytes());
    TraceId::new(hash.digest128().max(1).to_be_bytes()).expect("not zero")
}

fn derived(what: &[u8], incarnation: Incarnation, start: u64, ordinal: u32, nth: u32) -> u128 {
    // In one piece: the state of a hash that is fed part by part is ten times as large as all of them.
    let mut bytes = [0; 40];
    let mut len = 0;
    let parts: [&[u8]; 5] =
        [what, &incarnation.to_bytes(), &start.to_le_bytes(), &ordinal.to_le_bytes(), &nth.to_le_bytes()];
    for part in parts {
        bytes[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    xxh3_128(&bytes[..len])
}
