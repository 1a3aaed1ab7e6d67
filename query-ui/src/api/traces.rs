//! Searching traces: summaries, newest first.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_analysis::{Summary, summary};
use weir_store::{Operation, Snapshot, Total, TraceHit, TraceQuery};

use super::{Shared, blocking};
use crate::body::{TotalBody, is_arriving};
use crate::error::{ApiError, ErrorBody};
use crate::params::{CountParams, ListParams, Params, of_traces};

/// Spans that are read for one page to tell where the time went; traces beyond them say nothing of it.
const SPANS_READ: u64 = 200_000;
/// Lines of a trace without spans that are read for the same.
const LINES_READ: usize = 10_000;

/// Summaries, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TracePage {
    traces: Vec<TraceSummary>,
    total: TotalBody,
    cursor: Option<String>,
    /// When the first page was asked for.
    snapshot: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TraceSummary {
    trace_id: String,
    start: String,
    duration_ns: u64,
    root: Option<OperationName>,
    entry: Option<OperationName>,
    /// As the trace shows them: a line's span that joins a reported one is counted once.
    spans: u64,
    errors: u64,
    logs: u64,
    error_logs: u64,
    /// Spans that satisfy the conditions on spans; 0 where there are no such conditions.
    matched: u64,
    /// Its root has not come yet and it ended just now, so what is said of it here may change within seconds.
    arriving: bool,
    /// Critical path by service, largest first; it sums to the duration. Empty for what is too large to be looked at in a list.
    r#where: Vec<Where>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OperationName {
    service: String,
    operation: String,
}

impl From<Operation> for OperationName {
    fn from(operation: Operation) -> Self {
        Self { service: operation.service, operation: operation.name }
    }
}

/// A service's part of the critical path.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Where {
    pub(crate) service: String,
    pub(crate) ns: u64,
}

#[utoipa::path(get, path = "/api/v1/traces", params(ListParams), responses(
    (status = 200, body = TracePage), (status = "default", body = ErrorBody)))]
pub(crate) async fn traces(
    State(app): Shared,
    Params(params): Params<ListParams>,
) -> Result<Json<TracePage>, ApiError> {
    let search = params.search(app.now(), of_traces)?;
    let snapshot = match &search.after {
        Some(cursor) => app.deps.reader.snapshot_at(cursor).await?,
        None => app.deps.reader.snapshot().await?,
    };
    let query = TraceQuery { filter: search.filter.clone(), range: search.range };
    let (page, total) = snapshot.traces(&query, search.limit, search.after.as_ref()).await?;
    let cursor = search.cursor(page.next.as_ref());
    let mut left = SPANS_READ;
    let mut traces = Vec::with_capacity(page.items.len());
    for hit in page.items {
        let affordable = hit.row.spans <= left;
        let seen = if affordable { Some(look(snapshot.as_ref(), &hit).await?) } else { None };
        left -= if affordable { hit.row.spans } else { 0 };
        traces.push(body(hit, seen, app.now()));
    }
    Ok(Json(TracePage { traces, total: total.into(), cursor, snapshot: search.asked.to_string() }))
}

/// How many traces satisfy a query.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceCount {
    total: TotalBody,
}

/// The exact number, which a page of summaries gives only where it is cheap to tell.
#[utoipa::path(get, path = "/api/v1/traces/count", params(CountParams), responses(
    (status = 200, body = TraceCount), (status = "default", body = ErrorBody)))]
pub(crate) async fn trace_count(
    State(app): Shared,
    Params(params): Params<CountParams>,
) -> Result<Json<TraceCount>, ApiError> {
    let query = TraceQuery { filter: params.filter()?, range: params.range(app.now())? };
    let value = app.deps.reader.snapshot().await?.trace_count(&query).await?;
    Ok(Json(TraceCount { total: Total { value, exact: true }.into() }))
}

async fn look(snapshot: &dyn Snapshot, hit: &TraceHit) -> Result<Summary, ApiError> {
    let spans = snapshot.trace(hit.row.trace_id).await?;
    let lines = match spans.is_empty() {
        true => snapshot.trace_logs(hit.row.trace_id, LINES_READ).await?.0,
        false => Vec::new(),
    };
    blocking(move || {
        let spans: Vec<_> = spans.iter().map(|span| span.view()).collect();
        let lines: Vec<_> = lines.iter().map(|line| line.view()).collect();
        summary(&spans, &lines)
    })
    .await
}

fn body(hit: TraceHit, seen: Option<Summary>, now: u64) -> TraceSummary {
    let row = hit.row;
    let (start, duration_ns) =
        seen.as_ref().map_or((row.start, row.duration), |seen| (seen.start, seen.duration));
    // A trace that only log lines tell of has no spans to count.
    let (spans, errors) = match &seen {
        Some(seen) if row.spans > 0 => (seen.spans, seen.errors),
        _ => (row.spans, row.errors),
    };
    let arriving = is_arriving(row.root.is_some(), start.saturating_add(duration_ns), now);
    TraceSummary {
        trace_id: row.trace_id.to_string(),
        start: start.to_string(),
        duration_ns,
        root: row.root.map(OperationName::from),
        entry: row.entry.map(OperationName::from),
        spans,
        errors,
        logs: row.logs,
        error_logs: row.error_logs,
        matched: hit.matched,
        arriving,
        r#where: seen
            .into_iter()
            .flat_map(|seen| seen.shares)
            .map(|(service, ns)| Where { service, ns })
            .collect(),
    }
}
