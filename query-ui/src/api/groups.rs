//! Counts by the values of a key.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::Signal;
use weir_store::{Agg, RecordQuery, Table};

use super::Shared;
use crate::app::App;
use crate::body::TotalBody;
use crate::error::{ApiError, ErrorBody};
use crate::params::{GroupParams, Limit, Params, group_key};

const GROUPS: Limit = Limit { name: "limit", default: 20, max: 1_000 };

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Groups {
    total: TotalBody,
    /// Most frequent first.
    groups: Vec<GroupCount>,
    /// Records with other values.
    other: u64,
    /// Records without the key.
    missing: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct GroupCount {
    value: String,
    count: u64,
}

#[utoipa::path(get, path = "/api/v1/logs/groups", params(GroupParams), responses(
    (status = 200, body = Groups), (status = "default", body = ErrorBody)))]
pub(crate) async fn log_groups(
    State(app): Shared,
    Params(params): Params<GroupParams>,
) -> Result<Json<Groups>, ApiError> {
    groups(&app, Signal::Logs, &params).await
}

#[utoipa::path(get, path = "/api/v1/spans/groups", params(GroupParams), responses(
    (status = 200, body = Groups), (status = "default", body = ErrorBody)))]
pub(crate) async fn span_groups(
    State(app): Shared,
    Params(params): Params<GroupParams>,
) -> Result<Json<Groups>, ApiError> {
    groups(&app, Signal::Spans, &params).await
}

async fn groups(app: &App, signal: Signal, params: &GroupParams) -> Result<Json<Groups>, ApiError> {
    let query = RecordQuery { filter: params.filter()?, range: params.range(app.now())? };
    let agg = Agg::Groups { by: group_key(&params.by)?, limit: GROUPS.of(params.limit)? };
    let snapshot = app.deps.reader.snapshot().await?;
    let Table::Groups { total, groups, other, missing } = snapshot.aggregate(signal, &query, &agg).await?
    else {
        return Err(super::unexpected());
    };
    let groups = groups.into_iter().map(|(value, count)| GroupCount { value, count }).collect();
    Ok(Json(Groups { total: total.into(), groups, other, missing }))
}
