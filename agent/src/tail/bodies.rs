//! The two requests that are being written: log records, and the spans that they yield. Both cover the same ranges of the same files.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_model::identity;
use weir_model::limits::BATCH_BYTES;
use weir_model::otlp::{AttrWriter, BodyWriter, write_resource};
use weir_model::wire::Writer;
use weir_parse::Derived;

use super::buffers::Buffers;

/// Bodies under construction.
pub(super) struct Bodies {
    pub(super) logs: BodyWriter,
    spans: BodyWriter,
    buffers: Buffers,
    /// Files with records in the one, and those of them with spans in the other.
    files: Vec<u64>,
    files_of_spans: Vec<u64>,
    /// The file whose resource is the last one written, and that resource.
    open: Option<u64>,
    open_in_spans: bool,
    resource: Writer,
    since: Instant,
}

/// What was written, with the files that it is from.
pub(super) struct Written {
    pub(super) body: Bytes,
    pub(super) records: u64,
    pub(super) files: Vec<u64>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        let buffers = Buffers::default();
        Self {
            logs: BodyWriter::into_buffer(buffers.take()),
            // Most files yield none.
            spans: BodyWriter::default(),
            buffers,
            files: Vec::new(),
            files_of_spans: Vec::new(),
            open: None,
            open_in_spans: false,
            resource: Writer::new(),
            since: Instant::now(),
        }
    }

    /// Makes a file the one that records are from.
    pub(super) fn open(&mut self, file: u64, resource: impl FnOnce(&mut AttrWriter<'_>)) {
        if self.open.replace(file) == Some(file) {
            return;
        }
        if self.files.is_empty() {
            self.since = Instant::now();
        }
        self.resource.truncate(0);
        write_resource(&mut self.resource, resource);
        self.logs.raw_resource(self.resource.as_slice());
        self.logs.scope("weir.agent", env!("CARGO_PKG_VERSION"));
        self.open_in_spans = false;
        if !self.files.contains(&file) {
            self.files.push(file);
        }
    }

    /// Adds the spans of a line of the open file.
    pub(super) fn add_spans(&mut self, derived: &Derived<'_>) {
        let Some(file) = self.open else { return };
        if !self.open_in_spans {
            self.open_in_spans = true;
            self.spans.raw_resource(self.resource.as_slice());
            self.spans.scope("weir.agent", env!("CARGO_PKG_VERSION"));
            if !self.files_of_spans.contains(&file) {
                self.files_of_spans.push(file);
            }
        }
        derived.write(&mut self.spans);
    }

    /// Whether something of a file is in them.
    pub(super) fn hold(&self, file: u64) -> bool {
        self.files.contains(&file)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether one of the two is as large as a batch should be.
    pub(super) fn is_full(&self) -> bool {
        self.logs.len().max(self.spans.len()) >= BATCH_BYTES
    }

    /// How long the first record has been waiting.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Log records and, if there are any, spans. Both bodies are empty again.
    pub(super) fn finish(&mut self) -> (Written, Option<Written>) {
        self.open = None;
        let finish = |body: &mut BodyWriter, files: &mut Vec<u64>| Written {
            records: body.records(),
            body: self.buffers.lend(body.finish_into(self.buffers.take())),
            files: std::mem::take(files),
        };
        let logs = finish(&mut self.logs, &mut self.files);
        let spans = (!self.spans.is_empty()).then(|| finish(&mut self.spans, &mut self.files_of_spans));
        (logs, spans)
    }
}

/// The attributes that make records of a file recognisable when they come again.
pub(super) fn place(attrs: &mut AttrWriter<'_>, path: &str, incarnation: &str) {
    attrs.str("log.file.path", path);
    attrs.str(identity::SOURCE, path);
    attrs.str(identity::INCARNATION, incarnation);
}
