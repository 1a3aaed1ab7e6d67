//! One trace: its columns, one of its spans, its log lines.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_analysis::{Trace, assemble};
use weir_model::TraceId;
use weir_store::{StoredLog, StoredSpan, Total};

use super::traces::Where;
use super::{Shared, blocking};
use crate::app::App;
use crate::body::TotalBody;
use crate::body::log::{LogBody, listed};
use crate::body::span::{SpanBody, span as span_body};
use crate::colors::calls;
use crate::error::{ApiError, ErrorBody};
use crate::params::{Limit, LinesParams, Named, Params, trace_id};

/// Lines of a trace that are looked at, oldest first.
const LINES_READ: usize = 20_000;
/// Lines that one answer gives.
const LINES: Limit = Limit { name: "limit", default: 1_000, max: LINES_READ };

/// One trace in columns of equal length. Rows are in depth-first order, children by start; the first is the root, if it came.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceColumns {
    trace_id: String,
    start: String,
    duration_ns: u64,
    /// Row, or -1.
    root: i64,
    services: Vec<ServiceColor>,
    operations: Vec<String>,
    spans: SpanColumns,
    /// The critical path in time order, without overlap.
    critical: Vec<Critical>,
    r#where: Vec<Where>,
    log_ticks: LogTicks,
    notes: Vec<Note>,
    /// What was left out, if anything.
    cut: Option<Cut>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ServiceColor {
    name: String,
    color: u8,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SpanColumns {
    id: Vec<String>,
    /// Rows, or -1.
    parent: Vec<i64>,
    /// Indices into `services`.
    service: Vec<usize>,
    /// Indices into `operations`.
    operation: Vec<usize>,
    kind: Vec<i32>,
    /// 0 unset, 1 ok, 2 error.
    status: Vec<i32>,
    /// From the start of the trace; negative for what began before its root.
    start_ns: Vec<i64>,
    duration_ns: Vec<u64>,
    self_ns: Vec<u64>,
    flags: Vec<u8>,
    logs: Vec<u32>,
    error_logs: Vec<u32>,
    worst_log: Vec<i32>,
    tag: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Critical {
    row: usize,
    from_ns: i64,
    to_ns: i64,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LogTicks {
    /// Rows, or -1 for a line that names no span.
    row: Vec<i64>,
    at_ns: Vec<i64>,
    severity: Vec<i32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TraceNote)]
struct Note {
    row: usize,
    kind: &'static str,
    ns: u64,
}

/// A part of the records, and by what it was chosen.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Cut {
    shown: u64,
    total: u64,
    sorted_by: &'static str,
}

/// The records of one trace.
struct Records {
    id: TraceId,
    spans: Vec<StoredSpan>,
    logs: Vec<StoredLog>,
    lines: Total,
}

impl Records {
    async fn load(app: &App, id: &str) -> Result<Self, ApiError> {
        let id = trace_id(id)?;
        let snapshot = app.deps.reader.snapshot().await?;
        let spans = snapshot.trace(id).await?;
        let (logs, lines) = snapshot.trace_logs(id, LINES_READ).await?;
        if spans.is_empty() && logs.is_empty() {
            return Err(ApiError::not_found(format!(
                "no span and no log line of trace {id} is stored: it may not have arrived yet, or be older than what is kept"
            )));
        }
        Ok(Self { id, spans, logs, lines })
    }

    /// Assembles the trace on a thread that may be busy, and lets `make` answer from it.
    async fn assembled<R: Send + 'static>(
        self,
        make: impl FnOnce(&Self, &Trace<'_>) -> R + Send + 'static,
    ) -> Result<R, ApiError> {
        blocking(move || {
            let spans: Vec<_> = self.spans.iter().map(StoredSpan::view).collect();
            let logs: Vec<_> = self.logs.iter().map(StoredLog::view).collect();
            make(&self, &assemble(&spans, &logs))
        })
        .await
    }
}

#[utoipa::path(get, path = "/api/v1/traces/{traceId}", params(("traceId" = String, Path)), responses(
    (status = 200, body = TraceColumns), (status = "default", body = ErrorBody)))]
pub(crate) async fn trace(
    State(app): Shared,
    Named(id): Named<String>,
) -> Result<Json<TraceColumns>, ApiError> {
    let records = Records::load(&app, &id).await?;
    let (mut columns, around) =
        records.assembled(|records, trace| (columns(records, trace), calls(trace))).await?;
    let names: Vec<&str> = columns.services.iter().map(|service| service.name.as_str()).collect();
    let colors = app.colors.of(&names, &around).await;
    columns.services.iter_mut().zip(colors).for_each(|(service, color)| service.color = color);
    Ok(Json(columns))
}

fn row_or_none(row: Option<usize>) -> i64 {
    row.map_or(-1, |row| row as i64)
}

/// Nanoseconds from the start of a trace.
fn offset(time: u64, start: u64) -> i64 {
    let offset = i128::from(time) - i128::from(start);
    offset.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

fn columns(records: &Records, trace: &Trace<'_>) -> TraceColumns {
    let at = |time| offset(time, trace.start);
    let rows = &trace.rows;
    let spans = SpanColumns {
        id: rows.iter().map(|row| row.id.map(|id| id.to_string()).unwrap_or_default()).collect(),
        parent: rows.iter().map(|row| row_or_none(row.parent)).collect(),
        service: rows.iter().map(|row| row.service).collect(),
        operation: rows.iter().map(|row| row.operation).collect(),
        kind: rows.iter().map(|row| row.kind.0).collect(),
        status: rows.iter().map(|row| row.status.0).collect(),
        start_ns: rows.iter().map(|row| at(row.start)).collect(),
        duration_ns: rows.iter().map(|row| row.duration()).collect(),
        self_ns: rows.iter().map(|row| row.self_time).collect(),
        flags: rows.iter().map(|row| row.flags.0).collect(),
        logs: rows.iter().map(|row| row.logs).collect(),
        error_logs: rows.iter().map(|row| row.error_logs).collect(),
        worst_log: rows.iter().map(|row| row.worst_log.0).collect(),
        tag: rows.iter().map(|row| row.tag.clone()).collect(),
    };
    let mut ticks = LogTicks::default();
    for (line, row) in records.logs.iter().zip(&trace.log_rows) {
        let log = line.view().log;
        ticks.row.push(row_or_none(*row));
        ticks.at_ns.push(at(log.effective_time()));
        ticks.severity.push(log.severity.0);
    }
    let (shown, total) = (records.logs.len() as u64, records.lines.value);
    TraceColumns {
        trace_id: records.id.to_string(),
        start: trace.start.to_string(),
        duration_ns: trace.duration,
        root: row_or_none(trace.root),
        services: trace
            .services
            .iter()
            .map(|name| ServiceColor { name: (*name).to_owned(), color: 0 })
            .collect(),
        operations: trace.operations.iter().map(|name| (*name).to_owned()).collect(),
        spans,
        critical: trace
            .critical
            .iter()
            .map(|segment| Critical { row: segment.row, from_ns: at(segment.from), to_ns: at(segment.to) })
            .collect(),
        r#where: trace
            .shares
            .iter()
            .map(|share| Where { service: trace.services[share.service].to_owned(), ns: share.ns })
            .collect(),
        log_ticks: ticks,
        notes: trace
            .notes
            .iter()
            .map(|note| Note { row: note.row, kind: note.kind.name(), ns: note.ns })
            .collect(),
        cut: (shown < total).then_some(Cut { shown, total, sorted_by: "log lines, oldest first" }),
    }
}

#[utoipa::path(get, path = "/api/v1/traces/{traceId}/spans/{index}",
    params(("traceId" = String, Path), ("index" = usize, Path, description = "Row in the trace's columns")), responses(
    (status = 200, body = SpanBody), (status = "default", body = ErrorBody)))]
pub(crate) async fn span(
    State(app): Shared,
    Named((id, index)): Named<(String, usize)>,
) -> Result<Json<SpanBody>, ApiError> {
    let records = Records::load(&app, &id).await?;
    let body = records.assembled(move |records, trace| {
        let row = trace.rows.get(index)?;
        let spans: Vec<_> = records.spans.iter().map(StoredSpan::view).collect();
        let logs: Vec<_> = records.logs.iter().map(|line| (line.id.as_str(), line.view())).collect();
        Some(span_body(records.id.to_string(), trace, row, &spans, &logs))
    });
    body.await?.map(Json).ok_or_else(|| no_row(index))
}

fn no_row(index: usize) -> ApiError {
    ApiError::not_found(format!("the trace has no row {index}; its spans may have changed, load it again"))
}

/// Log lines of a trace or of one of its spans, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TraceLogs {
    logs: Vec<LogBody>,
    total: TotalBody,
}

#[utoipa::path(get, path = "/api/v1/traces/{traceId}/logs", params(("traceId" = String, Path), LinesParams), responses(
    (status = 200, body = TraceLogs), (status = "default", body = ErrorBody)))]
pub(crate) async fn trace_logs(
    State(app): Shared,
    Named(id): Named<String>,
    Params(params): Params<LinesParams>,
) -> Result<Json<TraceLogs>, ApiError> {
    let limit = LINES.of(params.limit)?;
    let records = Records::load(&app, &id).await?;
    let answer = records.assembled(move |records, trace| TraceLogs {
        logs: lines(records, trace).take(limit).collect(),
        total: records.lines.into(),
    });
    answer.await.map(Json)
}

#[utoipa::path(get, path = "/api/v1/traces/{traceId}/spans/{index}/logs",
    params(("traceId" = String, Path), ("index" = usize, Path, description = "Row in the trace's columns"), LinesParams), responses(
    (status = 200, body = TraceLogs), (status = "default", body = ErrorBody)))]
pub(crate) async fn span_logs(
    State(app): Shared,
    Named((id, index)): Named<(String, usize)>,
    Params(params): Params<LinesParams>,
) -> Result<Json<TraceLogs>, ApiError> {
    let limit = LINES.of(params.limit)?;
    let records = Records::load(&app, &id).await?;
    // Lines beyond those that were read may be of any span.
    let all_read = records.lines.exact && records.lines.value == records.logs.len() as u64;
    let answer = records.assembled(move |records, trace| {
        let row = trace.rows.get(index)?;
        let total = Total { value: row.logs.into(), exact: all_read };
        let of_span = lines(records, trace).filter(|line| line.span == Some(index as i64));
        Some(TraceLogs { logs: of_span.take(limit).collect(), total: total.into() })
    });
    answer.await?.map(Json).ok_or_else(|| no_row(index))
}

/// The lines of a trace, each with the row of its span.
fn lines<'r>(records: &'r Records, trace: &'r Trace<'_>) -> impl Iterator<Item = LogBody> + 'r {
    let rows = trace.log_rows.iter();
    records.logs.iter().zip(rows).map(|(line, row)| LogBody { span: Some(row_or_none(*row)), ..listed(line) })
}
