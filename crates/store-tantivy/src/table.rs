//! The trace table: what is known of each trace without reading its records.
//!
//! Rows of one trace in several shards, and those of spans and of logs, are merged by [`Row::merge`], which gives the same result in any
//! order. Every batch of the tail has a table of its own; a commit merges those it takes into the [`Layers`] of the open shard.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use rustc_hash::FxHasher;
use weir_model::TraceId;
use weir_model::otlp::{Log, Span, StatusCode};
use weir_store::{Operation, TraceRow};

/// Operations that are shared by all rows that name them; beyond, they are shared anew.
const SHARED_OPERATIONS: usize = 100_000;

type Map<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// Operations by service and name, so that each stands in memory once.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    by_service: Map<Box<str>, Map<Box<str>, Arc<Operation>>>,
    count: usize,
}

impl Operations {
    pub(crate) fn share(&mut self, service: &str, name: &str) -> Arc<Operation> {
        if let Some(known) = self.by_service.get(service).and_then(|names| names.get(name)) {
            return known.clone();
        }
        if self.count == SHARED_OPERATIONS {
            *self = Self::default();
        }
        self.count += 1;
        let operation = Arc::new(Operation { service: service.to_owned(), name: name.to_owned() });
        self.by_service.entry(service.into()).or_default().insert(name.into(), operation.clone());
        operation
    }
}

/// When an operation began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Begin {
    pub(crate) start: u64,
    pub(crate) operation: Arc<Operation>,
}

/// One trace. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) root: Option<Begin>,
    /// The first span, and the first one of another service than that one's.
    pub(crate) first: Option<Begin>,
    pub(crate) second: Option<Begin>,
    pub(crate) last_end: u64,
    /// Newest start of a span, or time of a line.
    pub(crate) newest: u64,
    pub(crate) spans: u64,
    pub(crate) errors: u64,
    pub(crate) lines: Option<Box<Lines>>,
}

/// The lines of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) logs: u64,
    pub(crate) error_logs: u64,
}

impl Row {
    fn begin(&mut self, begin: Begin) {
        match &self.first {
            None => self.first = Some(begin),
            Some(first) if begin < *first => {
                let old = self.first.replace(begin);
                let first = self.first.as_ref().expect("just set");
                if let Some(old) = old.filter(|old| old.operation.service != first.operation.service) {
                    self.second = Some(old);
                }
            }
            Some(first) if begin.operation.service != first.operation.service => {
                if self.second.as_ref().is_none_or(|second| begin < *second) {
                    self.second = Some(begin);
                }
            }
            Some(_) => {}
        }
    }

    fn lines(&mut self, lines: &Lines) {
        match &mut self.lines {
            None => self.lines = Some(Box::new(lines.clone())),
            Some(mine) => {
                mine.first = mine.first.min(lines.first);
                mine.last = mine.last.max(lines.last);
                mine.logs += lines.logs;
                mine.error_logs += lines.error_logs;
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Row) {
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
        other.lines.iter().for_each(|lines| self.lines(lines));
    }

    /// Between which times its records lie.
    fn times(&self) -> (u64, u64) {
        let starts = self.first.iter().map(|begin| begin.start);
        let lines = self.lines.iter().map(|lines| lines.first);
        (starts.chain(lines).min().unwrap_or(0), self.newest)
    }

    pub(crate) fn finish(&self, trace_id: TraceId) -> TraceRow {
        let operation = |b: &Begin| Operation::clone(&b.operation);
        let lines = self.lines.as_deref();
        let begin = self.root.as_ref().or(self.first.as_ref());
        let from = begin.map(|begin| begin.start).or(lines.map(|lines| lines.first)).unwrap_or(0);
        let to = if self.spans > 0 { self.last_end } else { lines.map_or(0, |lines| lines.last) };
        TraceRow {
            trace_id,
            start: from,
            duration: to.saturating_sub(from),
            root: self.root.as_ref().map(operation),
            entry: self.entry().map(operation),
            spans: self.spans,
            errors: self.errors,
            logs: lines.map_or(0, |lines| lines.logs),
            error_logs: lines.map_or(0, |lines| lines.error_logs),
        }
    }

    fn entry(&self) -> Option<&Begin> {
        let root = self.root.as_ref()?;
        if !has_no_path(&root.operation.name) {
            return Some(root);
        }
        let service = &root.operation.service;
        let other = |begin: &&Begin| begin.operation.service != *service;
        let below = self.first.as_ref().filter(other).or(self.second.as_ref());
        Some(below.filter(other).unwrap_or(root))
    }
}

/// Names that say nothing of what was called: empty, or nothing but wildcards.
fn has_no_path(name: &str) -> bool {
    name.bytes().all(|b| matches!(b, b'/' | b'*' | b' '))
}

/// Rows by trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct TraceTable {
    rows: Map<TraceId, Row>,
}

impl TraceTable {
    pub(crate) fn get(&self, trace: TraceId) -> Option<&Row> {
        self.rows.get(&trace)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&TraceId, &Row)> {
        self.rows.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn insert(&mut self, trace: TraceId, row: Row) {
        self.rows.insert(trace, row);
    }

    /// Counts a span of a service.
    pub(crate) fn span(
        &mut self,
        trace: TraceId,
        service: &str,
        span: &Span<'_>,
        operations: &mut Operations,
    ) {
        let begin = Begin { start: span.start, operation: operations.share(service, span.name) };
        let row = self.rows.entry(trace).or_default();
        row.last_end = row.last_end.max(span.end);
        row.newest = row.newest.max(span.start);
        row.spans += 1;
        row.errors += u64::from(span.status.code == StatusCode::ERROR);
        if span.parent_span_id.is_none() && row.root.as_ref().is_none_or(|root| begin < *root) {
            row.root = Some(begin.clone());
        }
        row.begin(begin);
    }

    /// Counts a line.
    pub(crate) fn log(&mut self, trace: TraceId, log: &Log<'_>) {
        let time = log.effective_time();
        let row = self.rows.entry(trace).or_default();
        row.newest = row.newest.max(time);
        let error_logs = u64::from(log.severity.is_error());
        row.lines(&Lines { first: time, last: time, logs: 1, error_logs });
    }

    pub(crate) fn merge(&mut self, other: &TraceTable) {
        for (trace, row) in other.iter() {
            match self.rows.entry(*trace) {
                std::collections::hash_map::Entry::Occupied(mut mine) => mine.get_mut().merge(row),
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(row.clone());
                }
            }
        }
    }
}

/// The table of a shard that grows: what a snapshot has seen of it never changes.
///
/// Each commit adds a layer. Layers of about the same size are merged, so that there are few, and large ones are seldom copied for a
/// snapshot that still reads them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers(Vec<Arc<TraceTable>>);

impl Layers {
    pub(crate) fn add(&mut self, table: TraceTable) {
        if table.is_empty() {
            return;
        }
        let mut added = Arc::new(table);
        while let Some(mut below) = self.0.pop_if(|below| below.len() < 2 * added.len()) {
            Arc::make_mut(&mut below).merge(&added);
            added = below;
        }
        self.0.push(added);
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &TraceTable> {
        self.0.iter().map(Arc::as_ref)
    }

    /// Smallest and largest time of a trace's records; `None` where there are none.
    pub(crate) fn times_of(&self, trace: TraceId) -> Option<(u64, u64)> {
        let rows = self.tables().filter_map(|table| table.get(trace));
        rows.map(Row::times).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// All rows, each trace once.
    pub(crate) fn merged(&self) -> TraceTable {
        let mut all = TraceTable::default();
        self.tables().for_each(|table| all.merge(table));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_the_layers_does_not_change() {
        let row = |spans| Row { spans, ..Row::default() };
        let trace = |n| TraceId::from_low(n + 1).unwrap();
        let mut layers = Layers::default();
        let mut snapshots = Vec::new();
        for commit in 0..100_u64 {
            let mut table = TraceTable::default();
            // One trace that is always there, and a new one.
            table.insert(trace(0), row(1));
            table.insert(trace(commit + 1), row(2));
            layers.add(table);
            snapshots.push(layers.clone());
        }
        assert!(layers.0.len() < 12, "{}", layers.0.len());
        for (commit, layers) in (0_u64..).zip(snapshots) {
            let all = layers.merged();
            assert_eq!(all.len() as u64, commit + 2);
            assert_eq!(all.get(trace(0)).unwrap().spans, commit + 1);
            let has = |n| layers.times_of(trace(n)).is_some();
            assert_eq!((has(commit + 1), has(commit + 2)), (true, false));
        }
    }
}
