//! The trace table: what is known of traces, computed from their records when it is asked for.

use std::collections::{BTreeMap, HashMap};

use weir_model::filter::{Matcher, TraceFacts};
use weir_model::otlp::StatusCode;
use weir_model::{Severity, Signal, TraceId};
use weir_store::{Operation, TraceRow};

use crate::document::Source;
use crate::error::Error;
use crate::query::of_traces;
use crate::template::unordered;
use crate::view::{Fields, Order, ROWS, Scan, Search, View};

/// Traces whose records are asked for together.
const TOGETHER: usize = 500;
/// Fields from which a row is made.
const FIELDS: &[&str] = &["time", "trace", "service", "name", "end", "status", "severity", "root"];

/// How a span begins; the least of some is the first.
type Begin = (u64, String);

/// What the records of a trace amount to.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Root with its service.
    root: Option<(u64, String, String)>,
    /// The first span of each service: start and name.
    first: BTreeMap<String, Begin>,
    last_end: u64,
    pub(crate) spans: u64,
    errors: u64,
    /// First and last time of a line.
    lines: Option<(u64, u64)>,
    logs: u64,
    error_logs: u64,
}

impl Row {
    fn span(&mut self, span: Source) {
        let (start, end) = (unordered(span.time), unordered(span.end));
        let (service, name) = (span.service.unwrap_or_default(), span.name.unwrap_or_default());
        self.spans += 1;
        self.errors += u64::from(StatusCode(span.status) == StatusCode::ERROR);
        self.last_end = self.last_end.max(end);
        if span.root {
            let root = (start, service.clone(), name.clone());
            self.root = Some(self.root.take().map_or(root.clone(), |other| other.min(root)));
        }
        let begin = (start, name);
        self.first
            .entry(service)
            .and_modify(|first| {
                if begin < *first {
                    *first = begin.clone();
                }
            })
            .or_insert(begin);
    }

    fn log(&mut self, log: &Source) {
        let time = unordered(log.time);
        self.logs += 1;
        self.error_logs += u64::from(Severity(log.severity).is_error());
        let (first, last) = self.lines.unwrap_or((time, time));
        self.lines = Some((first.min(time), last.max(time)));
    }

    fn entry(&self) -> Option<Operation> {
        let (_, service, name) = self.root.as_ref()?;
        let root = Operation { service: service.clone(), name: name.clone() };
        // Names that say nothing of what was called: empty, or nothing but wildcards.
        if !name.bytes().all(|b| matches!(b, b'/' | b'*' | b' ')) {
            return Some(root);
        }
        let others = self.first.iter().filter(|(other, _)| *other != service);
        let below = others.min_by_key(|(service, (start, name))| (*start, *service, name));
        Some(
            below.map_or(root, |(service, (_, name))| Operation {
                service: service.clone(),
                name: name.clone(),
            }),
        )
    }

    pub(crate) fn finish(&self, trace_id: TraceId) -> TraceRow {
        let first = self.first.values().map(|(start, _)| *start).min();
        let start = self.root.as_ref().map(|root| root.0).or(first).or(self.lines.map(|lines| lines.0));
        let start = start.unwrap_or(0);
        let end = if self.spans > 0 { self.last_end } else { self.lines.map_or(0, |lines| lines.1) };
        TraceRow {
            trace_id,
            start,
            duration: end.saturating_sub(start),
            root: self.root.clone().map(|(_, service, name)| Operation { service, name }),
            entry: self.entry(),
            spans: self.spans,
            errors: self.errors,
            logs: self.logs,
            error_logs: self.error_logs,
        }
    }

    /// Whether the trace satisfies conditions on the whole.
    pub(crate) fn matches(&self, trace: TraceId, matcher: &Matcher) -> bool {
        let row = self.finish(trace);
        let services: Vec<&str> = self.first.keys().map(String::as_str).collect();
        matcher.matches_trace(&TraceFacts {
            duration: row.duration,
            spans: row.spans,
            errors: row.errors,
            services: &services,
            entry: row.entry.as_ref().map(|entry| entry.name.as_str()),
        })
    }
}

impl View {
    /// The rows of traces; those of which there is nothing are left out.
    pub(crate) async fn rows(&self, traces: &[TraceId]) -> Result<HashMap<TraceId, Row>, Error> {
        let mut rows: HashMap<TraceId, Row> = HashMap::new();
        for some in traces.chunks(TOGETHER) {
            for signal in [Signal::Spans, Signal::Logs] {
                let query = of_traces(signal, some);
                let search = Search {
                    query: &query,
                    order: Order::Oldest,
                    fields: Fields::Stored(FIELDS),
                    size: ROWS,
                    after: None,
                };
                let mut scan = Scan::new(self, search);
                while let Some(hits) = scan.next().await? {
                    for mut hit in hits {
                        let source = hit.source()?;
                        let Some(trace) = source.trace_id() else { continue };
                        let row = rows.entry(trace).or_default();
                        if signal == Signal::Spans { row.span(source) } else { row.log(&source) }
                    }
                }
            }
        }
        Ok(rows)
    }
}
