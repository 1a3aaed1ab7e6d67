//! The trace table: what is known of each trace without reading its records.
//!
//! It is kept in memory and rebuilt from the records when a shard is opened. Rows of one trace in several shards, and those of spans and of
//! logs, are merged by [`Row::merge`], which gives the same result in any order.

use std::collections::HashMap;
use std::sync::Arc;

use weir_model::TraceId;
use weir_model::otlp::{Log, Span, StatusCode};
use weir_store::{Operation, TraceRow};

/// When an operation began, and its service and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Begin {
    start: u64,
    service: Arc<str>,
    name: Arc<str>,
}

/// One trace. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    first_start: Option<u64>,
    last_end: u64,
    /// Newest start of a span, or time of a line.
    pub(crate) newest: u64,
    root: Option<Begin>,
    /// The first span, and the first one of another service than that one's.
    first: Option<Begin>,
    second: Option<Begin>,
    spans: u64,
    errors: u64,
    logs: u64,
    error_logs: u64,
    first_line: Option<u64>,
    last_line: u64,
}

fn earlier(a: &mut Option<u64>, b: u64) {
    *a = Some(a.map_or(b, |a| a.min(b)));
}

impl Row {
    fn begin(&mut self, begin: Begin) {
        match &self.first {
            None => self.first = Some(begin),
            Some(first) if begin < *first => {
                let old = self.first.replace(begin);
                let first = self.first.as_ref().expect("just set");
                if let Some(old) = old.filter(|old| old.service != first.service) {
                    self.second = Some(old);
                }
            }
            Some(first) if begin.service != first.service => {
                if self.second.as_ref().is_none_or(|second| begin < *second) {
                    self.second = Some(begin);
                }
            }
            Some(_) => {}
        }
    }

    pub(crate) fn merge(&mut self, other: &Row) {
        if let Some(start) = other.first_start {
            earlier(&mut self.first_start, start);
        }
        self.last_end = self.last_end.max(other.last_end);
        self.newest = self.newest.max(other.newest);
        if let Some(root) = &other.root
            && self.root.as_ref().is_none_or(|mine| root < mine)
        {
            self.root = Some(root.clone());
        }
        other.first.iter().chain(&other.second).for_each(|begin| self.begin(begin.clone()));
        self.spans += other.spans;
        self.errors += other.errors;
        self.logs += other.logs;
        self.error_logs += other.error_logs;
        if let Some(time) = other.first_line {
            earlier(&mut self.first_line, time);
        }
        self.last_line = self.last_line.max(other.last_line);
    }

    pub(crate) fn finish(&self, trace_id: TraceId) -> TraceRow {
        let operation = |b: &Begin| Operation { service: b.service.to_string(), name: b.name.to_string() };
        let from =
            self.root.as_ref().map(|root| root.start).or(self.first_start).or(self.first_line).unwrap_or(0);
        let to = if self.spans > 0 { self.last_end } else { self.last_line };
        TraceRow {
            trace_id,
            start: from,
            duration: to.saturating_sub(from),
            root: self.root.as_ref().map(operation),
            entry: self.entry().map(operation),
            spans: self.spans,
            errors: self.errors,
            logs: self.logs,
            error_logs: self.error_logs,
        }
    }

    fn entry(&self) -> Option<&Begin> {
        let root = self.root.as_ref()?;
        if !has_no_path(&root.name) {
            return Some(root);
        }
        let below =
            self.first.as_ref().filter(|first| first.service != root.service).or(self.second.as_ref());
        Some(below.filter(|b| b.service != root.service).unwrap_or(root))
    }
}

/// Names that say nothing of what was called: empty, or nothing but wildcards.
fn has_no_path(name: &str) -> bool {
    name.bytes().all(|b| matches!(b, b'/' | b'*' | b' '))
}

/// The rows of one shard, with what its uncommitted tail adds.
#[derive(Debug, Default)]
pub(crate) struct TraceTable {
    rows: HashMap<TraceId, Row>,
    names: HashMap<Arc<str>, Arc<str>>,
}

impl TraceTable {
    pub(crate) fn get(&self, trace: TraceId) -> Option<&Row> {
        self.rows.get(&trace)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TraceId, &Row)> {
        self.rows.iter()
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        self.names.insert(name.clone(), name.clone());
        name
    }

    pub(crate) fn span(&mut self, trace: TraceId, service: &str, span: &Span<'_>) {
        let begin = Begin { start: span.start, service: self.name(service), name: self.name(span.name) };
        let row = self.rows.entry(trace).or_default();
        earlier(&mut row.first_start, span.start);
        row.last_end = row.last_end.max(span.end);
        row.newest = row.newest.max(span.start);
        row.spans += 1;
        row.errors += u64::from(span.status.code == StatusCode::ERROR);
        if span.parent_span_id.is_none() && row.root.as_ref().is_none_or(|root| begin < *root) {
            row.root = Some(begin.clone());
        }
        row.begin(begin);
    }

    pub(crate) fn log(&mut self, trace: TraceId, log: &Log<'_>) {
        let time = log.effective_time();
        let row = self.rows.entry(trace).or_default();
        earlier(&mut row.first_line, time);
        row.last_line = row.last_line.max(time);
        row.newest = row.newest.max(time);
        row.logs += 1;
        row.error_logs += u64::from(log.severity.is_error());
    }
}
