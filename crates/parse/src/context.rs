//! Trace context in the forms that lines carry: W3C `traceparent`, B3, SkyWalking's `sw8`, Jaeger's `uber-trace-id`, `X-Amzn-Trace-Id`,
//! and named ids.

use crate::parsed::Parsed;
use memchr::memchr;
use weir_model::{SpanId, TraceId};

/// Reads `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context). False for what is none.
pub fn traceparent(text: &[u8], out: &mut Parsed) -> bool {
    if text.len() < 55 || text[2] != b'-' || text[35] != b'-' || text[52] != b'-' || &text[..2] == b"ff" {
        return false;
    }
    let (Ok(trace), Ok(span)) = (TraceId::from_hex(&text[3..35]), SpanId::from_hex(&text[36..52])) else {
        return false;
    };
    out.trace_id = Some(trace);
    out.span_id = Some(span);
    out.from_header = true;
    out.trace_flags = hex_byte(&text[53..55]);
    true
}

/// Reads `<trace>-<span>[-<sampled>[-<parent>]]`, the single header of B3.
pub fn b3(text: &[u8], out: &mut Parsed) -> bool {
    let mut parts = text.split(|b| *b == b'-');
    let (Some(trace), Some(span)) = (parts.next(), parts.next()) else { return false };
    let (Ok(trace), Ok(span)) = (TraceId::from_hex_any(trace), SpanId::from_hex(span)) else { return false };
    out.trace_id = Some(trace);
    out.span_id = Some(span);
    out.from_header = true;
    if let Some(sampled) = parts.next() {
        out.trace_flags = Some(matches!(sampled, b"1" | b"d") as u8);
    }
    out.parent_span_id = parts.next().and_then(|p| SpanId::from_hex(p).ok());
    true
}

/// Reads Jaeger's `uber-trace-id`: `<trace>:<span>:<parent>:<flags>`, ids without their leading zeros, bit 0 of the flags says sampled.
pub fn uber(text: &[u8], out: &mut Parsed) -> bool {
    let mut parts = text.split(|b| *b == b':');
    let (Some(trace), Some(span), Some(parent), Some(flags), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Some(trace), Some(span), Some(flags)) = (short_trace(trace), short_span(span), hex_byte(flags))
    else {
        return false;
    };
    out.trace_id = Some(trace);
    out.span_id = Some(span);
    out.parent_span_id = short_span(parent);
    out.from_header = true;
    out.trace_flags = Some(flags & 1);
    true
}

/// Reads AWS X-Ray's `X-Amzn-Trace-Id`: `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=<0 or 1>`, of which all but the root may be
/// missing.
pub fn amzn(text: &[u8], out: &mut Parsed) -> bool {
    let mut found = false;
    for part in text.split(|b| *b == b';').map(<[u8]>::trim_ascii) {
        if let Some(root) = part.strip_prefix(b"Root=1-") {
            let mut id = [0; 32];
            if root.len() != 33 || root[8] != b'-' {
                return false;
            }
            id[..8].copy_from_slice(&root[..8]);
            id[8..].copy_from_slice(&root[9..]);
            found = set(&mut out.trace_id, TraceId::from_hex(&id).ok());
        } else if let Some(parent) = part.strip_prefix(b"Parent=") {
            out.from_header |= set(&mut out.span_id, SpanId::from_hex(parent).ok());
        } else if let Some(sampled) = part.strip_prefix(b"Sampled=") {
            set(&mut out.trace_flags, sampled_flag(sampled));
        }
    }
    found
}

/// A trace id whose leading zeros may be left out.
fn short_trace(text: &[u8]) -> Option<TraceId> {
    let mut id = [b'0'; 32];
    let gap = id.len().checked_sub(text.len()).filter(|_| !text.is_empty())?;
    id[gap..].copy_from_slice(text);
    TraceId::from_hex(&id).ok()
}

/// A span id whose leading zeros may be left out.
fn short_span(text: &[u8]) -> Option<SpanId> {
    let mut id = [b'0'; 16];
    let gap = id.len().checked_sub(text.len()).filter(|_| !text.is_empty())?;
    id[gap..].copy_from_slice(text);
    SpanId::from_hex(&id).ok()
}

/// Whether a trace is sampled, as flags.
fn sampled_flag(text: &[u8]) -> Option<u8> {
    match text {
        b"1" | b"d" | b"true" | b"True" => Some(1),
        b"0" | b"false" | b"False" => Some(0),
        _ => None,
    }
}

/// Reads SkyWalking's `sw8`: eight parts with `-` between them, of which the second is the trace id in base64.
///
/// A SkyWalking trace id is free text; one of 32 hexadecimal digits (with or without its dots' tail) is taken, another is not an OpenTelemetry id.
pub fn sw8(text: &[u8], out: &mut Parsed) -> bool {
    let mut parts = text.split(|b| *b == b'-');
    let (Some(sample @ (b"0" | b"1")), Some(encoded)) = (parts.next(), parts.next()) else { return false };
    let mut decoded = [0u8; 96];
    let Some(len) = base64(encoded, &mut decoded) else { return false };
    if parts.count() != 6 || !skywalking(&decoded[..len], out) {
        return false;
    }
    out.trace_flags = Some(sample[0] - b'0');
    true
}

/// Reads a SkyWalking trace id as its log plug-ins print it (`TID:<id>`, or the third part of `SW_CTX`).
pub fn skywalking(id: &[u8], out: &mut Parsed) -> bool {
    let head = &id[..memchr(b'.', id).unwrap_or(id.len())];
    match TraceId::from_hex(head) {
        Ok(trace) => {
            out.trace_id = Some(trace);
            true
        }
        Err(_) => false,
    }
}

/// What a named field says about the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Trace,
    Span,
    Parent,
    Flags,
    Traceparent,
    B3,
    Sw8,
    Uber,
    Amzn,
    /// Whether the trace is sampled, in words or as a digit.
    Sampled,
    /// Datadog's ids are decimal.
    DecimalTrace,
    DecimalSpan,
}

/// Each [`Field`] by a name that is an identifier; [`field`] knows other spellings, too.
pub const NAMES: [&str; 12] = [
    "trace_id",
    "span_id",
    "parent_id",
    "trace_flags",
    "trace_sampled",
    "traceparent",
    "b3",
    "sw8",
    "uber_trace_id",
    "x_amzn_trace_id",
    "dd_trace_id",
    "dd_span_id",
];

/// Keys under which loggers, MDCs and frameworks write trace context, in lower case without `_`, `-` and `.`.
pub fn field(key: &[u8]) -> Option<Field> {
    // Longest of the names below, with their separators.
    if key.len() > 32 || key.len() < 2 {
        return None;
    }
    let mut plain = [0u8; 32];
    let mut len = 0;
    for b in key.iter().filter(|b| !matches!(b, b'_' | b'-' | b'.')) {
        plain[len] = b.to_ascii_lowercase();
        len += 1;
    }
    Some(match &plain[..len] {
        b"traceid" | b"xb3traceid" | b"oteltraceid" | b"@tr" => Field::Trace,
        b"spanid" | b"xb3spanid" | b"otelspanid" | b"@sp" | b"logginggoogleapiscom/spanid" => Field::Span,
        b"parentspanid" | b"parentid" | b"xb3parentspanid" | b"@ps" => Field::Parent,
        b"traceflags" | b"oteltraceflags" => Field::Flags,
        b"traceparent" => Field::Traceparent,
        b"b3" => Field::B3,
        b"sw8" => Field::Sw8,
        b"ubertraceid" => Field::Uber,
        b"xamzntraceid" => Field::Amzn,
        b"xb3sampled" | b"tracesampled" | b"oteltracesampled" => Field::Sampled,
        b"ddtraceid" => Field::DecimalTrace,
        b"ddspanid" => Field::DecimalSpan,
        b"logginggoogleapiscom/trace" => Field::Trace,
        _ => return None,
    })
}

impl Field {
    /// Takes the field's value into the record; false for a value that is none, which then stays an attribute.
    pub fn take(self, value: &[u8], out: &mut Parsed) -> bool {
        let decimal = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match self {
            Field::Trace => {
                // Google writes projects/<project>/traces/<id>.
                let id = value.rsplit(|b| *b == b'/').next().unwrap_or(value);
                set(&mut out.trace_id, TraceId::from_hex_any(id).ok())
            }
            Field::Span => set(&mut out.span_id, SpanId::from_hex(value).ok()),
            Field::Parent => set(&mut out.parent_span_id, SpanId::from_hex(value).ok()),
            Field::Flags => set(&mut out.trace_flags, hex_byte(value)),
            Field::Traceparent => traceparent(value, out),
            Field::B3 => b3(value, out),
            Field::Sw8 => sw8(value, out),
            Field::Uber => uber(value, out),
            Field::Amzn => amzn(value, out),
            Field::Sampled => set(&mut out.trace_flags, sampled_flag(value)),
            Field::DecimalTrace => set(&mut out.trace_id, decimal().and_then(TraceId::from_low)),
            Field::DecimalSpan => set(&mut out.span_id, decimal().and_then(|n| SpanId::new(n.to_be_bytes()))),
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let found = value.is_some();
    if found {
        *slot = value;
    }
    found
}

/// One or two hexadecimal digits.
fn hex_byte(text: &[u8]) -> Option<u8> {
    if text.is_empty() || text.len() > 2 {
        return None;
    }
    text.iter().try_fold(0, |n, b| Some(n << 4 | (*b as char).to_digit(16)? as u8))
}

/// Decodes base64 with its padding into `out`; gives the length.
fn base64(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut len = 0;
    let (mut bits, mut held) = (0u32, 0);
    for b in text.iter().take_while(|b| **b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | six as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(len)? = (bits >> held) as u8;
            len += 1;
            bits &= (1 << held) - 1;
        }
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "6f3cbf058c2765548a39ad724905d6a1";
    const SPAN: &str = "37d8fe439ba5bef1";

    fn ids(out: &Parsed) -> (Option<String>, Option<String>, Option<u8>) {
        (out.trace_id.map(|t| t.to_string()), out.span_id.map(|s| s.to_string()), out.trace_flags)
    }

    #[test]
    fn headers() {
        let both = (Some(TRACE.into()), Some(SPAN.into()), Some(1));
        let mut out = Parsed::default();
        assert!(traceparent(format!("00-{TRACE}-{SPAN}-01").as_bytes(), &mut out));
        assert_eq!(ids(&out), both);
        let mut out = Parsed::default();
        assert!(b3(format!("{TRACE}-{SPAN}-1-0000000000000007").as_bytes(), &mut out));
        assert_eq!(ids(&out), both);
        assert_eq!(out.parent_span_id.unwrap().to_string(), "0000000000000007");
        let mut out = Parsed::default();
        assert!(uber(format!("{TRACE}:{SPAN}:0:3").as_bytes(), &mut out));
        assert_eq!((ids(&out), out.parent_span_id), (both.clone(), None));
        let mut out = Parsed::default();
        let amzn_id = format!("Self=1-0;Root=1-{}-{};Parent={SPAN};Sampled=1", &TRACE[..8], &TRACE[8..]);
        assert!(amzn(amzn_id.as_bytes(), &mut out));
        assert_eq!(ids(&out), both);
        // The id below is the base64 of TRACE followed by a thread and a sequence, as the Java agent makes it.
        let mut out = Parsed::default();
        let sw = b"1-NmYzY2JmMDU4YzI3NjU1NDhhMzlhZDcyNDkwNWQ2YTEuMzIuMTY=-c2Vn-3-c3Zj-aW5z-ZXA=-cGVlcg==";
        assert!(sw8(sw, &mut out));
        assert_eq!(ids(&out), (Some(TRACE.into()), None, Some(1)));
    }

    #[test]
    fn what_is_no_context() {
        let mut out = Parsed::default();
        for text in ["", "-", "00-zz", "ff-6f3cbf058c2765548a39ad724905d6a1-37d8fe439ba5bef1-01"] {
            assert!(!traceparent(text.as_bytes(), &mut out), "{text}");
            assert!(!b3(text.as_bytes(), &mut out), "{text}");
            assert!(!sw8(text.as_bytes(), &mut out), "{text}");
            assert!(!uber(text.as_bytes(), &mut out), "{text}");
            assert!(!amzn(text.as_bytes(), &mut out), "{text}");
        }
        assert_eq!(out, Parsed::default());
    }

    #[test]
    fn each_field_has_a_name() {
        let fields = NAMES.map(|name| field(name.as_bytes()).unwrap_or_else(|| panic!("{name}")));
        let name = |wanted: Field| NAMES[fields.iter().position(|field| *field == wanted).unwrap()];
        let next = |field| match field {
            Field::Trace => Some(Field::Span),
            Field::Span => Some(Field::Parent),
            Field::Parent => Some(Field::Flags),
            Field::Flags => Some(Field::Traceparent),
            Field::Traceparent => Some(Field::B3),
            Field::B3 => Some(Field::Sw8),
            Field::Sw8 => Some(Field::Uber),
            Field::Uber => Some(Field::Amzn),
            Field::Amzn => Some(Field::Sampled),
            Field::Sampled => Some(Field::DecimalTrace),
            Field::DecimalTrace => Some(Field::DecimalSpan),
            Field::DecimalSpan => None,
        };
        let named: Vec<_> =
            std::iter::successors(Some(Field::Trace), |field| next(*field)).map(name).collect();
        assert_eq!(named.len(), NAMES.len());
    }

    #[test]
    fn keys() {
        for key in ["traceId", "trace_id", "TraceID", "X-B3-TraceId", "trace.id", "@tr"] {
            assert_eq!(field(key.as_bytes()), Some(Field::Trace), "{key}");
        }
        assert_eq!(field(b"otelSpanID"), Some(Field::Span));
        assert_eq!(field(b"dd.trace_id"), Some(Field::DecimalTrace));
        assert_eq!(field(b"message"), None);
    }
}
