//! Writing requests record by record into one buffer, with no pass to count lengths and no allocation per record.

use super::metrics::PointValue;
use super::spans::{SpanKind, StatusCode};
use super::value::Value;
use crate::ids::{SpanId, TraceId};
use crate::severity::Severity;
use crate::wire::{Mark, Writer, field_len, varint_len};

/// Builds the body of an export request: resources, in them scopes, in them records.
///
/// `resource` and `scope` close what was open on their level; a record needs both.
#[derive(Debug, Default)]
pub struct BodyWriter {
    out: Writer,
    resource: Option<Mark>,
    scope: Option<Mark>,
    records: u64,
}

impl BodyWriter {
    pub fn with_capacity(bytes: usize) -> Self {
        Self::into_buffer(Vec::with_capacity(bytes))
    }

    /// Writes into a buffer, which is emptied first.
    pub fn into_buffer(buffer: Vec<u8>) -> Self {
        Self { out: Writer::into_buffer(buffer), ..Self::default() }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Records written so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Begins a resource with the given attributes.
    pub fn resource(&mut self, attrs: impl FnOnce(&mut AttrWriter<'_>)) {
        self.close_resource();
        self.resource = Some(self.out.begin(1));
        let mark = self.out.begin(1);
        attrs(&mut AttrWriter { out: &mut self.out, field: 1 });
        self.out.end(mark);
    }

    /// Begins a resource from its encoded message.
    pub fn raw_resource(&mut self, message: &[u8]) {
        self.close_resource();
        self.resource = Some(self.out.begin(1));
        self.out.bytes(1, message);
    }

    /// Begins a scope of the current resource.
    pub fn scope(&mut self, name: &str, version: &str) {
        self.close_scope();
        self.scope = Some(self.out.begin(2));
        let mark = self.out.begin(1);
        if !name.is_empty() {
            self.out.bytes(1, name.as_bytes());
        }
        if !version.is_empty() {
            self.out.bytes(2, version.as_bytes());
        }
        self.out.end(mark);
    }

    /// Begins a scope from its encoded message.
    pub fn raw_scope(&mut self, message: &[u8]) {
        self.close_scope();
        self.scope = Some(self.out.begin(2));
        self.out.bytes(1, message);
    }

    /// Appends a record that is encoded already.
    pub fn raw_record(&mut self, message: &[u8]) {
        debug_assert!(self.scope.is_some(), "a record needs a resource and a scope");
        self.out.bytes(2, message);
        self.records += 1;
    }

    /// Appends a record, whose fields `fill` writes.
    #[inline]
    pub fn record(&mut self, fill: impl FnOnce(&mut Writer)) {
        debug_assert!(self.scope.is_some(), "a record needs a resource and a scope");
        let mark = self.out.begin(2);
        fill(&mut self.out);
        self.out.end(mark);
        self.records += 1;
    }

    fn close_scope(&mut self) {
        if let Some(mark) = self.scope.take() {
            self.out.end(mark);
        }
    }

    fn close_resource(&mut self) {
        self.close_scope();
        if let Some(mark) = self.resource.take() {
            self.out.end(mark);
        }
    }

    /// The finished body; the writer is empty again and has a new buffer of the same capacity.
    pub fn finish(&mut self) -> Vec<u8> {
        let next = Vec::with_capacity(self.out.capacity());
        self.finish_into(next)
    }

    /// The finished body; the writer goes on in another buffer, which is emptied first.
    pub fn finish_into(&mut self, next: Vec<u8>) -> Vec<u8> {
        self.close_resource();
        self.records = 0;
        std::mem::replace(&mut self.out, Writer::into_buffer(next)).into_vec()
    }
}

/// Encodes a resource's message, for [`BodyWriter::raw_resource`].
pub fn write_resource(out: &mut Writer, attrs: impl FnOnce(&mut AttrWriter<'_>)) {
    attrs(&mut AttrWriter { out, field: 1 });
}

/// Writes attributes into the fields numbered `field` of the message that is open.
#[derive(Debug)]
pub struct AttrWriter<'w> {
    out: &'w mut Writer,
    field: u32,
}

impl AttrWriter<'_> {
    #[inline]
    pub fn with(&mut self, key: &str, value: impl FnOnce(ValueWriter<'_>)) {
        let attr = self.out.begin(self.field);
        self.out.bytes(1, key.as_bytes());
        let mark = self.out.begin(2);
        value(ValueWriter { out: self.out });
        self.out.end(mark);
        self.out.end(attr);
    }

    /// Begins an attribute whose `AnyValue`, of `value_len` bytes, is appended next.
    #[inline]
    fn sized(&mut self, key: &str, value_len: usize) -> ValueWriter<'_> {
        self.out.header(self.field, field_len(key.len()) + field_len(value_len));
        self.out.bytes(1, key.as_bytes());
        self.out.header(2, value_len);
        ValueWriter { out: self.out }
    }

    #[inline]
    pub fn str(&mut self, key: &str, value: &str) {
        self.sized(key, field_len(value.len())).str(value);
    }

    #[inline]
    pub fn int(&mut self, key: &str, value: i64) {
        self.sized(key, 1 + varint_len(value as u64)).int(value);
    }

    #[inline]
    pub fn double(&mut self, key: &str, value: f64) {
        self.sized(key, 1 + 8).double(value);
    }

    #[inline]
    pub fn bool(&mut self, key: &str, value: bool) {
        self.sized(key, 1 + 1).bool(value);
    }

    /// Copies a borrowed value.
    pub fn value(&mut self, key: &str, value: Value<'_>) {
        self.with(key, |w| w.value(value));
    }
}

/// Writes one `AnyValue` into the message that is open; writing nothing means null.
#[derive(Debug)]
pub struct ValueWriter<'w> {
    out: &'w mut Writer,
}

impl<'w> ValueWriter<'w> {
    pub fn new(out: &'w mut Writer) -> Self {
        Self { out }
    }

    #[inline]
    pub fn str(self, value: &str) {
        self.out.bytes(1, value.as_bytes());
    }

    #[inline]
    pub fn bool(self, value: bool) {
        self.out.varint(2, value as u64);
    }

    #[inline]
    pub fn int(self, value: i64) {
        self.out.varint(3, value as u64);
    }

    #[inline]
    pub fn double(self, value: f64) {
        self.out.fixed64(4, value.to_bits());
    }

    pub fn bytes(self, value: &[u8]) {
        self.out.bytes(7, value);
    }

    /// A list; `items` calls [`ListWriter::item`] for each element.
    pub fn list(self, items: impl FnOnce(&mut ListWriter<'_>)) {
        let mark = self.out.begin(5);
        items(&mut ListWriter { out: self.out });
        self.out.end(mark);
    }

    pub fn map(self, entries: impl FnOnce(&mut AttrWriter<'_>)) {
        let mark = self.out.begin(6);
        entries(&mut AttrWriter { out: self.out, field: 1 });
        self.out.end(mark);
    }

    /// Copies a borrowed value.
    pub fn value(self, value: Value<'_>) {
        match value {
            Value::Empty => {}
            Value::Str(text) => self.str(text),
            Value::Bool(b) => self.bool(b),
            Value::Int(n) => self.int(n),
            Value::Double(x) => self.double(x),
            Value::Bytes(bytes) => self.bytes(bytes),
            Value::Array(array) => self.list(|list| array.iter().for_each(|v| list.item(|w| w.value(v)))),
            Value::Map(map) => self.map(|w| map.iter().for_each(|attr| w.value(attr.key, attr.value))),
        }
    }
}

/// Writes the elements of a list.
#[derive(Debug)]
pub struct ListWriter<'w> {
    out: &'w mut Writer,
}

impl ListWriter<'_> {
    pub fn item(&mut self, value: impl FnOnce(ValueWriter<'_>)) {
        let mark = self.out.begin(1);
        value(ValueWriter { out: self.out });
        self.out.end(mark);
    }
}

/// Writes the fields of one `LogRecord`; what is not called stays unset.
#[derive(Debug)]
pub struct LogWriter<'w> {
    out: &'w mut Writer,
}

impl<'w> LogWriter<'w> {
    pub fn new(out: &'w mut Writer) -> Self {
        Self { out }
    }

    #[inline]
    pub fn time(&mut self, nanos: u64) {
        self.out.fixed64(1, nanos);
    }

    #[inline]
    pub fn observed(&mut self, nanos: u64) {
        self.out.fixed64(11, nanos);
    }

    #[inline]
    pub fn severity(&mut self, severity: Severity, text: &str) {
        if severity != Severity::UNSET {
            self.out.varint(2, severity.0 as u64);
        }
        if !text.is_empty() {
            self.out.bytes(3, text.as_bytes());
        }
    }

    #[inline]
    pub fn body(&mut self, text: &str) {
        self.out.header(5, field_len(text.len()));
        self.out.bytes(1, text.as_bytes());
    }

    #[inline]
    pub fn body_value(&mut self, value: impl FnOnce(ValueWriter<'_>)) {
        let mark = self.out.begin(5);
        value(ValueWriter { out: self.out });
        self.out.end(mark);
    }

    #[inline]
    pub fn trace_id(&mut self, id: TraceId) {
        self.out.bytes(9, id.as_bytes());
    }

    #[inline]
    pub fn span_id(&mut self, id: SpanId) {
        self.out.bytes(10, id.as_bytes());
    }

    pub fn trace_flags(&mut self, flags: u32) {
        self.out.fixed32(8, flags);
    }

    pub fn event_name(&mut self, name: &str) {
        self.out.bytes(12, name.as_bytes());
    }

    #[inline]
    pub fn attrs(&mut self) -> AttrWriter<'_> {
        AttrWriter { out: self.out, field: 6 }
    }
}

/// Writes the fields of one `Span`; what is not called stays unset.
#[derive(Debug)]
pub struct SpanWriter<'w> {
    out: &'w mut Writer,
}

impl<'w> SpanWriter<'w> {
    /// A span needs both ids.
    pub fn new(out: &'w mut Writer, trace: TraceId, span: SpanId) -> Self {
        out.bytes(1, trace.as_bytes());
        out.bytes(2, span.as_bytes());
        Self { out }
    }

    pub fn parent(&mut self, id: SpanId) {
        self.out.bytes(4, id.as_bytes());
    }

    pub fn trace_state(&mut self, state: &str) {
        self.out.bytes(3, state.as_bytes());
    }

    pub fn name(&mut self, name: &str) {
        self.out.bytes(5, name.as_bytes());
    }

    pub fn kind(&mut self, kind: SpanKind) {
        self.out.varint(6, kind.0 as u64);
    }

    /// Start and end in nanoseconds since the Unix epoch.
    pub fn times(&mut self, start: u64, end: u64) {
        self.out.fixed64(7, start);
        self.out.fixed64(8, end);
    }

    pub fn status(&mut self, code: StatusCode, message: &str) {
        let mark = self.out.begin(15);
        if !message.is_empty() {
            self.out.bytes(2, message.as_bytes());
        }
        self.out.varint(3, code.0 as u64);
        self.out.end(mark);
    }

    pub fn attrs(&mut self) -> AttrWriter<'_> {
        AttrWriter { out: self.out, field: 9 }
    }

    pub fn event(&mut self, time: u64, name: &str, attrs: impl FnOnce(&mut AttrWriter<'_>)) {
        let mark = self.out.begin(11);
        self.out.fixed64(1, time);
        self.out.bytes(2, name.as_bytes());
        attrs(&mut AttrWriter { out: self.out, field: 3 });
        self.out.end(mark);
    }

    pub fn link(&mut self, trace: TraceId, span: SpanId, attrs: impl FnOnce(&mut AttrWriter<'_>)) {
        let mark = self.out.begin(13);
        self.out.bytes(1, trace.as_bytes());
        self.out.bytes(2, span.as_bytes());
        attrs(&mut AttrWriter { out: self.out, field: 4 });
        self.out.end(mark);
    }
}

/// Writes one `Metric` with number points.
#[derive(Debug)]
pub struct MetricWriter<'w> {
    out: &'w mut Writer,
}

impl<'w> MetricWriter<'w> {
    pub fn new(out: &'w mut Writer, name: &str, unit: &str) -> Self {
        out.bytes(1, name.as_bytes());
        out.bytes(3, unit.as_bytes());
        Self { out }
    }

    pub fn gauge(self, points: impl FnOnce(&mut PointsWriter<'_>)) {
        let mark = self.out.begin(5);
        points(&mut PointsWriter { out: self.out });
        self.out.end(mark);
    }

    /// A cumulative sum.
    pub fn sum(self, monotonic: bool, points: impl FnOnce(&mut PointsWriter<'_>)) {
        let mark = self.out.begin(7);
        points(&mut PointsWriter { out: self.out });
        self.out.varint(2, 2);
        self.out.varint(3, monotonic as u64);
        self.out.end(mark);
    }
}

/// Writes the points of a gauge or a sum.
#[derive(Debug)]
pub struct PointsWriter<'w> {
    out: &'w mut Writer,
}

impl PointsWriter<'_> {
    /// `start` and `time` in nanoseconds since the Unix epoch; `start` 0 is unknown.
    pub fn point(
        &mut self,
        start: u64,
        time: u64,
        value: PointValue,
        attrs: impl FnOnce(&mut AttrWriter<'_>),
    ) {
        let mark = self.out.begin(1);
        if start != 0 {
            self.out.fixed64(2, start);
        }
        self.out.fixed64(3, time);
        match value {
            PointValue::Double(x) => self.out.fixed64(4, x.to_bits()),
            PointValue::Int(n) => self.out.fixed64(6, n as u64),
        }
        attrs(&mut AttrWriter { out: self.out, field: 7 });
        self.out.end(mark);
    }
}
