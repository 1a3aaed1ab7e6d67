//! Keys and values, as the search field proposes them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::filter::Filter;
use weir_store::{Agg, RecordQuery, Table, TimeRange};

use super::Shared;
use crate::error::{ApiError, ErrorBody};
use crate::params::{KeyParams, Limit, Params, ValueParams, group_key, signal};
use crate::time;

const VALUES: Limit = Limit { name: "limit", default: 50, max: 1_000 };
/// Keys in one answer; a longer prefix finds the others.
const KEYS_MAX: usize = 1_000;
/// Values that are counted to find those with a prefix in a time range.
const VALUES_COUNTED: usize = 10_000;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    keys: Vec<KeyInfo>,
    /// False when there are more keys than an answer holds: a longer prefix finds them.
    complete: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct KeyInfo {
    key: String,
    /// `resource`, `scope`, `span` or `log`.
    level: String,
}

#[utoipa::path(get, path = "/api/v1/keys", params(KeyParams), responses(
    (status = 200, body = Keys), (status = "default", body = ErrorBody)))]
pub(crate) async fn keys(
    State(app): Shared,
    Params(params): Params<KeyParams>,
) -> Result<Json<Keys>, ApiError> {
    let signal = signal(&params.signal)?;
    let snapshot = app.deps.reader.snapshot().await?;
    let found = snapshot.keys(signal, &params.prefix).await?;
    let complete = found.len() <= KEYS_MAX;
    let keys = found.into_iter().take(KEYS_MAX);
    let keys = keys.map(|key| KeyInfo { key: key.key, level: key.level.to_owned() }).collect();
    Ok(Json(Keys { keys, complete }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldValues {
    /// Most frequent first.
    values: Vec<ValueCount>,
    /// False when there may be more values than were looked at.
    complete: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct ValueCount {
    value: String,
    count: u64,
}

#[utoipa::path(get, path = "/api/v1/values", params(ValueParams), responses(
    (status = 200, body = FieldValues), (status = "default", body = ErrorBody)))]
pub(crate) async fn values(
    State(app): Shared,
    Params(params): Params<ValueParams>,
) -> Result<Json<FieldValues>, ApiError> {
    let signal = signal(&params.signal)?;
    let range = time::range(params.from.as_deref(), params.to.as_deref(), app.now())?;
    let limit = VALUES.of(params.limit)?;
    let snapshot = app.deps.reader.snapshot().await?;
    let (mut values, complete) = if range == TimeRange::ALL {
        let found = snapshot.values(signal, &params.key, &params.prefix, limit).await?;
        (found.values, found.complete)
    } else {
        let agg = Agg::Groups { by: group_key(&params.key)?, limit: VALUES_COUNTED };
        let query = RecordQuery { filter: Filter::All, range };
        let Table::Groups { groups, other, .. } = snapshot.aggregate(signal, &query, &agg).await? else {
            return Err(super::unexpected());
        };
        (groups.into_iter().filter(|(value, _)| value.starts_with(&params.prefix)).collect(), other == 0)
    };
    let complete = complete && values.len() <= limit;
    values.truncate(limit);
    let values = values.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
    Ok(Json(FieldValues { values, complete }))
}
