//! Searching log lines.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::RecordQuery;

use super::Shared;
use crate::body::log::{LogBody, listed, whole};
use crate::error::{ApiError, ErrorBody};
use crate::params::{ListParams, Named, Params, of_records};

/// Log lines, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPage {
    logs: Vec<LogBody>,
    cursor: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/logs", params(ListParams), responses(
    (status = 200, body = LogPage), (status = "default", body = ErrorBody)))]
pub(crate) async fn logs(
    State(app): Shared,
    Params(params): Params<ListParams>,
) -> Result<Json<LogPage>, ApiError> {
    let search = params.search(app.now(), of_records)?;
    let snapshot = match &search.after {
        Some(cursor) => app.deps.reader.snapshot_at(cursor).await?,
        None => app.deps.reader.snapshot().await?,
    };
    let query = RecordQuery { filter: search.filter.clone(), range: search.range };
    let page = snapshot.logs(&query, search.limit, search.after.as_ref()).await?;
    let cursor = search.cursor(page.next.as_ref());
    Ok(Json(LogPage { logs: page.items.iter().map(listed).collect(), cursor }))
}

#[utoipa::path(get, path = "/api/v1/logs/{id}", params(("id" = String, Path)), responses(
    (status = 200, body = LogBody), (status = "default", body = ErrorBody)))]
pub(crate) async fn log(State(app): Shared, Named(id): Named<String>) -> Result<Json<LogBody>, ApiError> {
    let snapshot = app.deps.reader.snapshot().await?;
    let missing = || ApiError::not_found("there is no such log line; it may be older than what is kept");
    snapshot.log(&id).await?.as_ref().map(whole).map(Json).ok_or_else(missing)
}
