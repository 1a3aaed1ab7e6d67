//! The records of a block, turned on their side: what is alike in all of them stands together, and comes back byte for byte.
//!
//! Each record is a *shape* (which fields in which order, how their lengths are written) and the values of its fields. Shapes are numbered.
//! Values go to columns: one for each attribute key and type, one for each other field; the columns of a type share a stream, and each
//! stream is compressed by itself, since ids, digits and small numbers have nothing in common.
//! ```text
//! records  for each stream: varint raw length | varint stored length | zstd of it, or itself where both lengths are equal
//! streams  head      the shapes, then the columns: varint group, varint tag, varint length and bytes of the key
//!          shapes    of each record the number of its shape, a varint
//!          keys      of each attribute the number of its column, a varint
//!          codes     of each text, column by column: 0 for a new one, else one more than the number of the one it repeats
//!          lengths   of each new text: varint bytes shared with the new one before it in its column, varint of the bytes that follow
//!          texts     these bytes
//!          numbers   of each number: the zigzag varint of its difference from the one before it in its column
//!          parents   of each parent: 0 if it is no record of the block, else the zigzag varint of the rows to it, plus 1
//!          ids       span ids, parents that are not in the block, and doubles: eight bytes each, never compressed
//! ```
//! What the block's [columns](crate::columns) hold (trace, times, kind) is left out here.

mod decode;
mod encode;

use weir_model::Signal;

pub(crate) use decode::{Records, decode};
pub(crate) use encode::Encoder;

/// Uncompressed bytes of a stream at the most; more is damage.
const STREAM_BYTES_MAX: usize = 256 << 20;

/// Numbers of the fields that have a place of their own.
#[derive(Debug, Clone, Copy)]
struct Layout {
    trace: u32,
    span: u32,
    parent: u32,
    kind: u32,
    time: u32,
    end: u32,
    attr: u32,
    body: u32,
}

/// No field has this number.
const NONE: u32 = 0;
const SPAN: Layout = Layout { trace: 1, span: 2, parent: 4, kind: 6, time: 7, end: 8, attr: 9, body: NONE };
const LOG: Layout =
    Layout { trace: 9, span: 10, parent: NONE, kind: NONE, time: 1, end: NONE, attr: 6, body: 5 };

fn layout(signal: Signal) -> &'static Layout {
    if signal == Signal::Logs { &LOG } else { &SPAN }
}

/// How wide the length of a nested message is written by `weir_model::wire::Writer`, which does not know it beforehand.
const PADDED: usize = 3;

/// What a shape is made of: an operation, followed by a column where the operation says so.
mod op {
    pub(super) const TRACE: u8 = 0;
    pub(super) const TIME: u8 = 1;
    pub(super) const END: u8 = 2;
    pub(super) const KIND: u8 = 3;
    pub(super) const SPAN: u8 = 4;
    pub(super) const PARENT: u8 = 5;
    /// The whole record as one text; a column follows.
    pub(super) const RAW: u8 = 6;
    /// A field as it is; a column follows.
    pub(super) const FIELD: u8 = 7;
    /// A field with a padded length; a column follows.
    pub(super) const PADDED_FIELD: u8 = 8;
    /// A body; a column follows.
    pub(super) const BODY: u8 = 10;
    /// A body with a padded length; a column follows.
    pub(super) const PADDED_BODY: u8 = 11;
    /// An attribute; its column stands in the keys. Plus 1 if its own length is padded, plus 2 if its value's is.
    pub(super) const ATTR: u8 = 12;
}

/// Tag of the column of whole records: a text of no field.
const RAW_TAG: u32 = 2;

/// Which columns are told apart that have the same tag and key.
const FIELDS: u8 = 0;
const ATTRS: u8 = 1;
const BODIES: u8 = 2;

/// Streams, in their order.
const HEAD: usize = 0;
const SHAPES: usize = 1;
const KEYS: usize = 2;
const CODES: usize = 3;
const LENGTHS: usize = 4;
const TEXTS: usize = 5;
const NUMBERS: usize = 6;
const PARENTS: usize = 7;
const IDS: usize = 8;
const STREAMS: usize = 9;

fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{Meta, class};
    use proptest::prelude::*;
    use weir_model::otlp::{BodyWriter, Log, LogWriter, Refs, Span, SpanKind, SpanWriter, StatusCode};
    use weir_model::{Severity, SpanId, TraceId};

    use super::decode::{fixed, text};

    fn meta_of(signal: Signal, record: &[u8]) -> Meta {
        if signal == Signal::Logs {
            let log = Log::decode(record);
            let (trace, time) = (log.trace_id, log.effective_time());
            return Meta { trace, time, measure: log.severity.0.max(0) as u64, pair: 0, class: 0 };
        }
        let span = Span::decode(record);
        let class = class(span.kind.0, span.status.code.0);
        Meta { trace: span.trace_id, time: span.start, measure: span.duration(), pair: 0, class }
    }

    /// Bytes that the records take in a block, having come back as they were.
    fn check(signal: Signal, records: &[&[u8]]) -> usize {
        let rows: Vec<_> = records.iter().map(|record| (meta_of(signal, record), *record)).collect();
        let mut bytes = Vec::new();
        Encoder::new(signal).unwrap().encode(&rows, &mut bytes).unwrap();
        let found = decode(signal, |row| rows[row].0, rows.len(), &bytes).unwrap();
        for (row, record) in records.iter().enumerate() {
            assert_eq!(found.get(row).unwrap(), *record, "record {row}");
        }
        assert_eq!(found.get(records.len()), None);
        bytes.len()
    }

    #[test]
    fn keys_that_differ_in_one_byte_are_told_apart() {
        for len in 0..40 {
            let key = "k".repeat(len);
            let mut body = BodyWriter::default();
            body.resource(|_| ());
            body.scope("", "");
            for at in 0..len {
                let other = format!("{}x{}", &key[..at], &key[at + 1..]);
                for key in [&key, &other] {
                    body.record(|out| LogWriter::new(out).attrs().str(key, "v"));
                }
            }
            let bytes = body.finish();
            check(Signal::Logs, &Refs::new(&bytes).map(|(_, record)| record).collect::<Vec<_>>());
        }
    }

    /// A span as any encoder writes it that counts lengths first.
    fn tight(n: u64) -> Vec<u8> {
        let mut out = vec![0x0a, 16];
        out.extend_from_slice(TraceId::from_low(n / 3 + 1).unwrap().as_bytes());
        text(0x12, &n.to_be_bytes(), false, &mut out);
        if !n.is_multiple_of(3) {
            text(0x22, &(n - 1).to_be_bytes(), false, &mut out);
        }
        text(0x2a, format!("GET /{}", n % 5).as_bytes(), false, &mut out);
        out.extend_from_slice(&[0x30, 2]);
        fixed(0x39, &(1_000 + n * 7).to_le_bytes(), &mut out);
        fixed(0x41, &(1_900 + n * 7).to_le_bytes(), &mut out);
        for (key, value) in [("http.route", "/item"), ("url.full", &format!("http://shop/item/{n}"))] {
            let mut any = Vec::new();
            text(0x0a, value.as_bytes(), false, &mut any);
            let mut attr = Vec::new();
            text(0x0a, key.as_bytes(), false, &mut attr);
            text(0x12, &any, false, &mut attr);
            text(0x4a, &attr, false, &mut out);
        }
        out
    }

    #[test]
    fn spans_come_back_and_take_little() {
        let spans: Vec<_> = (1..500).map(tight).collect();
        let spans: Vec<_> = spans.iter().map(Vec::as_slice).collect();
        let bytes = check(Signal::Spans, &spans);
        // Span ids alone are 8 bytes.
        assert!(bytes < 500 * 13, "{bytes}");
        check(Signal::Spans, &[]);
        check(Signal::Spans, &[b"", b"no protobuf \xff\xff\xff\xff\xff", spans[3], spans[3]]);
    }

    #[test]
    fn what_our_own_writers_write_comes_back() {
        let mut body = BodyWriter::default();
        body.resource(|a| a.str("service.name", "shop"));
        body.scope("", "");
        for n in 0..200_u64 {
            body.record(|out| {
                let id = |n: u64| SpanId::new((n + 1).to_be_bytes()).unwrap();
                let mut span = SpanWriter::new(out, TraceId::from_low(n / 7 + 1).unwrap(), id(n));
                span.parent(id(n + 1));
                span.name("call");
                span.kind(SpanKind(n as i32 % 9));
                // Some end before they start.
                span.times(1_000 + n, 1_100);
                span.status(StatusCode(n as i32 % 4), "why");
                let mut attrs = span.attrs();
                attrs.int("n", n as i64 - 100);
                attrs.double("x", n as f64 / 3.0);
                attrs.bool("b", n % 2 == 0);
                attrs.with("list", |w| w.list(|list| list.item(|w| w.int(n as i64))));
                attrs.with("null", |_| ());
                attrs.str("", "");
            });
        }
        let bytes = body.finish();
        check(Signal::Spans, &Refs::new(&bytes).map(|(_, record)| record).collect::<Vec<_>>());
        body.resource(|_| ());
        body.scope("", "");
        for n in 0..200_u64 {
            body.record(|out| {
                let mut log = LogWriter::new(out);
                if n % 3 > 0 {
                    log.time(5_000 + n);
                }
                log.observed(6_000);
                log.severity(Severity(n as i32 % 25), "INFO");
                log.body(&format!("line {n} 行"));
                log.trace_flags(1);
                if n % 2 == 0 {
                    log.trace_id(TraceId::from_low(n + 1).unwrap());
                    log.span_id(SpanId::new([n as u8 + 1; 8]).unwrap());
                }
                log.attrs().int("weir.offset", n as i64 * 90);
            });
        }
        let bytes = body.finish();
        check(Signal::Logs, &Refs::new(&bytes).map(|(_, record)| record).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_records_come_back(mut records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8), cut: prop::sample::Index, flip: u8, logs: bool) {
            // Also those that are almost spans.
            let mut span = tight(4);
            let at = cut.index(span.len());
            span[at] ^= flip;
            records.push(span);
            let mut span = tight(5);
            span.truncate(cut.index(span.len()));
            records.push(span);
            let signal = if logs { Signal::Logs } else { Signal::Spans };
            check(signal, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }

        #[test]
        fn damage_is_survived(at: prop::sample::Index, flip: u8) {
            let spans: Vec<_> = (1..40).map(tight).collect();
            let rows: Vec<_> = spans.iter().map(|span| (meta_of(Signal::Spans, span), span.as_slice())).collect();
            let mut bytes = Vec::new();
            Encoder::new(Signal::Spans).unwrap().encode(&rows, &mut bytes).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            decode(Signal::Spans, |row| rows[row].0, rows.len(), &bytes);
        }
    }
}
