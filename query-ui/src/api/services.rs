//! Services and their operations.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_analysis::assemble;
use weir_model::Signal;
use weir_model::filter::{Cond, Filter, Key, Operand, Test};
use weir_store::{Agg, RecordQuery, Snapshot, Table, TimeRange, TraceQuery};

use super::{Shared, blocking};
use crate::colors::{Calls, calls};
use crate::error::{ApiError, ErrorBody};
use crate::params::{Named, Params, RangeParams};

/// Operations of one service that are listed.
const OPERATIONS_MAX: usize = 10_000;
/// Services whose callers are looked for in one request, before they get their colours.
const LOOKED_UP: usize = 64;
/// Traces of each that are looked at.
const TRACES_EACH: usize = 2;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Services {
    services: Vec<Service>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: String,
    /// 0 to 11, assigned once.
    #[schema(maximum = 11)]
    color: u8,
    spans: u64,
    errors: u64,
    logs: u64,
    error_logs: u64,
    last_seen: String,
}

#[utoipa::path(get, path = "/api/v1/services", params(RangeParams), responses(
    (status = 200, body = Services), (status = "default", body = ErrorBody)))]
pub(crate) async fn services(
    State(app): Shared,
    Params(params): Params<RangeParams>,
) -> Result<Json<Services>, ApiError> {
    let snapshot = app.deps.reader.snapshot().await?;
    let rows = snapshot.services(params.range(app.now())?).await?;
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let unknown = app.colors.unknown(names.iter().copied());
    let around = neighbours(snapshot.as_ref(), &unknown).await?;
    let colors = app.colors.of(&names, &around).await;
    let services = rows
        .iter()
        .zip(colors)
        .map(|(row, color)| Service {
            name: row.name.clone(),
            color,
            spans: row.spans,
            errors: row.errors,
            logs: row.logs,
            error_logs: row.error_logs,
            last_seen: row.last_seen.to_string(),
        })
        .collect();
    Ok(Json(Services { services }))
}

/// Who calls whom around these services, as far as a few of their traces show.
async fn neighbours(snapshot: &dyn Snapshot, names: &[&str]) -> Result<Calls, ApiError> {
    let mut around = Calls::new();
    for name in names.iter().take(LOOKED_UP) {
        let query = TraceQuery { filter: is(Key::Service, name), range: TimeRange::ALL };
        for hit in snapshot.traces(&query, TRACES_EACH, None).await?.0.items {
            let spans = snapshot.trace(hit.row.trace_id).await?;
            let found = blocking(move || {
                let spans: Vec<_> = spans.iter().map(|span| span.view()).collect();
                calls(&assemble(&spans, &[]))
            });
            around.extend(found.await?);
        }
    }
    Ok(around)
}

/// A condition that a key has exactly this text.
pub(crate) fn is(key: Key, text: &str) -> Filter {
    Filter::Cond(Cond { key, test: Test::Eq(Operand { text: text.to_owned(), quoted: true, number: None }) })
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operations {
    operations: Vec<Operation>,
    /// False when the service has more operations than are listed.
    complete: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    kind: i32,
    spans: u64,
    errors: u64,
    p50_ns: u64,
    p95_ns: u64,
    max_ns: u64,
}

#[utoipa::path(get, path = "/api/v1/services/{service}/operations",
    params(("service" = String, Path), RangeParams), responses(
    (status = 200, body = Operations), (status = "default", body = ErrorBody)))]
pub(crate) async fn operations(
    State(app): Shared,
    Named(service): Named<String>,
    Params(params): Params<RangeParams>,
) -> Result<Json<Operations>, ApiError> {
    let query = RecordQuery { filter: is(Key::Service, &service), range: params.range(app.now())? };
    let snapshot = app.deps.reader.snapshot().await?;
    let table = snapshot.aggregate(Signal::Spans, &query, &Agg::Operations { limit: OPERATIONS_MAX }).await?;
    let Table::Operations(rows) = table else { return Err(super::unexpected()) };
    let complete = rows.len() < OPERATIONS_MAX;
    let operations = rows
        .into_iter()
        .map(|row| Operation {
            name: row.operation,
            kind: row.kind,
            spans: row.spans,
            errors: row.errors,
            p50_ns: row.p50,
            p95_ns: row.p95,
            max_ns: row.max,
        })
        .collect();
    Ok(Json(Operations { operations, complete }))
}
