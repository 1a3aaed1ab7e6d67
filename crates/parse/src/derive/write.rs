//! Derived spans as they go on the wire. Attribute names follow OpenTelemetry's conventions for HTTP.

use weir_model::otlp::{AttrWriter, BodyWriter, SpanWriter, StatusCode};
use weir_model::{identity, limits};

use super::Derived;
use super::tries::Try;
use crate::attr;

impl Derived<'_> {
    /// Spans that [`write`](Self::write) writes.
    pub fn count(&self) -> usize {
        1 + self.tries.len()
    }

    /// Writes the span and those below it into the open scope.
    pub fn write(&self, out: &mut BodyWriter) {
        out.record(|out| {
            let mut span = SpanWriter::new(out, self.trace_id, self.span_id);
            self.parent.into_iter().for_each(|id| span.parent(id));
            span.name(&self.name);
            span.kind(self.kind);
            span.times(self.start, self.end);
            if self.status != StatusCode::UNSET {
                span.status(self.status, "");
            }
            let mut attrs = span.attrs();
            self.place(0, &mut attrs);
            if let Some(id) = self.named {
                attrs.str(identity::NAMED_SPAN, &id.to_string());
            }
            self.own(&mut attrs);
        });
        for (at, one) in self.tries.iter().enumerate() {
            out.record(|out| {
                let mut span = SpanWriter::new(out, self.trace_id, one.span_id);
                span.parent(self.span_id);
                span.name(&self.name);
                span.kind(Try::KIND);
                span.times(one.start, one.end);
                if one.status != StatusCode::UNSET {
                    span.status(one.status, if one.response.is_none() { "no answer" } else { "" });
                }
                let mut attrs = span.attrs();
                self.place(at as i64 + 1, &mut attrs);
                self.attempt(at, one, &mut attrs);
            });
        }
    }

    /// What makes it the same span when the line is read again.
    fn place(&self, ordinal: i64, attrs: &mut AttrWriter<'_>) {
        attrs.bool(identity::DERIVED, true);
        attrs.int(identity::OFFSET, self.record.start as i64);
        if ordinal > 0 {
            attrs.int(identity::ORDINAL, ordinal);
        }
    }

    /// The record's fields under the names that conventions give them, and those that say nothing of the call as they are.
    fn own(&self, attrs: &mut AttrWriter<'_>) {
        let call = &self.call;
        let texts = [
            (attr::METHOD, call.method),
            (attr::PATH, call.path),
            (attr::ROUTE, self.route.as_deref()),
            (attr::REQUEST_ID, call.request_id),
        ];
        let mut whole = self.dropped_tries == 0;
        for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            whole &= text.len() <= limits::VALUE_BYTES;
            attrs.str(key, &text[..text.floor_char_boundary(limits::VALUE_BYTES)]);
        }
        if let Some(code) = call.status {
            attrs.int(attr::STATUS, code);
        }
        let http = call.method.is_some() && call.status.is_some();
        // What is no call to a server keeps every field that was not used for the span itself.
        let used = |at, key: &str| call.uses(at, key, http);
        whole &= self.record.parsed.write_attrs_unless(self.record.text, attrs, used);
        if !whole {
            attrs.bool(identity::TRUNCATED, true);
        }
    }

    fn attempt(&self, at: usize, one: &Try<'_>, attrs: &mut AttrWriter<'_>) {
        let call = &self.call;
        for (key, text) in [(attr::METHOD, call.method), (attr::PATH, call.path)] {
            if let Some(text) = text {
                attrs.str(key, &text[..text.floor_char_boundary(limits::VALUE_BYTES)]);
            }
        }
        if let Some(code) = one.response {
            attrs.int(attr::STATUS, code);
        }
        if at > 0 {
            attrs.int(attr::RESENDS, at as i64);
        }
        let (host, port) = one.host_and_port();
        if !host.is_empty() {
            attrs.str(attr::SERVER_ADDRESS, host);
        }
        if let Some(port) = port {
            attrs.int(attr::SERVER_PORT, port.into());
        }
        for (key, nanos) in
            [(attr::UPSTREAM_CONNECT_TIME, one.connect), (attr::UPSTREAM_HEADER_TIME, one.header)]
        {
            if let Some(nanos) = nanos {
                attrs.double(key, nanos as f64 / 1e9);
            }
        }
    }
}
