//! Many traces at a glance: columns for the scatter, and a table by entry operation.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::{Operation, TraceQuery, TraceRow};

use super::Shared;
use crate::body::{TotalBody, is_arriving};
use crate::error::{ApiError, ErrorBody};
use crate::params::{Limit, Params, SearchParams};

/// Traces that are drawn.
const POINTS: Limit = Limit { name: "limit", default: 5_000, max: 20_000 };

/// The newest traces in columns of equal length.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scatter {
    total: TotalBody,
    shown: usize,
    /// By what the shown ones were chosen.
    sorted_by: &'static str,
    /// Of the shown traces, most calls first.
    entries: Vec<Entry>,
    trace_id: Vec<String>,
    start: Vec<String>,
    duration_ns: Vec<u64>,
    spans: Vec<u64>,
    errors: Vec<u64>,
    error_logs: Vec<u64>,
    /// Indices into `entries`.
    entry: Vec<usize>,
    /// As in a summary.
    arriving: Vec<bool>,
}

/// An entry operation. Service and operation are empty for traces that only log lines tell of.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScatterEntry)]
struct Entry {
    service: String,
    operation: String,
    calls: u64,
    /// Traces with an error in them.
    errors: u64,
    p50_ns: u64,
    p95_ns: u64,
}

#[utoipa::path(get, path = "/api/v1/traces/scatter", params(SearchParams), responses(
    (status = 200, body = Scatter), (status = "default", body = ErrorBody)))]
pub(crate) async fn scatter(
    State(app): Shared,
    Params(params): Params<SearchParams>,
) -> Result<Json<Scatter>, ApiError> {
    let query = TraceQuery { filter: params.filter()?, range: params.range(app.now())? };
    let snapshot = app.deps.reader.snapshot().await?;
    let (rows, total) = snapshot.trace_table(&query, POINTS.of(params.limit)?).await?;
    let (entries, entry) = by_entry(&rows);
    Ok(Json(Scatter {
        total: total.into(),
        shown: rows.len(),
        sorted_by: "newest",
        entries,
        trace_id: rows.iter().map(|row| row.trace_id.to_string()).collect(),
        start: rows.iter().map(|row| row.start.to_string()).collect(),
        duration_ns: rows.iter().map(|row| row.duration).collect(),
        spans: rows.iter().map(|row| row.spans).collect(),
        errors: rows.iter().map(|row| row.errors).collect(),
        error_logs: rows.iter().map(|row| row.error_logs).collect(),
        entry,
        arriving: rows.iter().map(|row| arriving(row, app.now())).collect(),
    }))
}

fn arriving(row: &TraceRow, now: u64) -> bool {
    is_arriving(row.root.is_some(), row.start.saturating_add(row.duration), now)
}

/// The table, and for each trace its line in it.
fn by_entry(rows: &[TraceRow]) -> (Vec<Entry>, Vec<usize>) {
    let mut groups: HashMap<Option<&Operation>, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        groups.entry(row.entry.as_ref()).or_default().push(at);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    let mut entry = vec![0; rows.len()];
    let table = groups.into_iter().enumerate().map(|(line, (operation, members))| {
        members.iter().for_each(|&at| entry[at] = line);
        let mut durations: Vec<u64> = members.iter().map(|&at| rows[at].duration).collect();
        durations.sort_unstable();
        Entry {
            service: operation.map(|o| o.service.clone()).unwrap_or_default(),
            operation: operation.map(|o| o.name.clone()).unwrap_or_default(),
            calls: members.len() as u64,
            errors: members.iter().filter(|&&at| rows[at].errors > 0).count() as u64,
            p50_ns: quantile(&durations, 50),
            p95_ns: quantile(&durations, 95),
        }
    });
    let table = table.collect();
    (table, entry)
}

/// The smallest value that at least `percent` of the sorted values do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
