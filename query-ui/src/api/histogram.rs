//! Log lines over time.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::Signal;
use weir_store::{Agg, RecordQuery, Snapshot, Table, TimeRange, Total};

use super::Shared;
use crate::body::TotalBody;
use crate::error::{ApiError, ErrorBody};
use crate::params::{HistogramParams, Limit, Params};

const BUCKETS: Limit = Limit { name: "buckets", default: 60, max: 1_000 };
/// Buckets in one step of looking for the times at which there is anything at all.
const ZOOM_BUCKETS: usize = 256;
/// Such steps at most: each narrows the range by up to [`ZOOM_BUCKETS`], so that this many come from all of time to seconds.
const ZOOM_STEPS: usize = 4;

/// Severities in the order in which stores count them.
const LEVELS: [&str; 7] = ["unset", "trace", "debug", "info", "warn", "error", "fatal"];

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const DAY: u64 = 86_400 * SECOND;
/// Widths that people can read an axis by.
const WIDTHS: [u64; 28] = [
    1_000,
    10_000,
    100_000,
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    500 * MS,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
    900 * SECOND,
    1_800 * SECOND,
    3_600 * SECOND,
    10_800 * SECOND,
    21_600 * SECOND,
    43_200 * SECOND,
];

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Histogram {
    total: TotalBody,
    /// Start of the first bucket.
    start: String,
    bucket_ns: u64,
    /// Severities that occur, from `unset` to `fatal`.
    series: Vec<LevelCounts>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LevelCounts {
    severity: &'static str,
    counts: Vec<u64>,
}

#[utoipa::path(get, path = "/api/v1/logs/histogram", params(HistogramParams), responses(
    (status = 200, body = Histogram), (status = "default", body = ErrorBody)))]
pub(crate) async fn histogram(
    State(app): Shared,
    Params(params): Params<HistogramParams>,
) -> Result<Json<Histogram>, ApiError> {
    let mut query = RecordQuery { filter: params.filter()?, range: params.range(app.now())? };
    let wanted = BUCKETS.of(params.buckets)? as u64;
    let snapshot = app.deps.reader.snapshot().await?;
    if query.range.from == 0 || query.range.to == u64::MAX {
        query.range = occupied(snapshot.as_ref(), &query).await?;
    }
    let TimeRange { from, to } = query.range;
    let width = nice_width((to - from).div_ceil(wanted));
    let start = from / width * width;
    let buckets = (to - start).div_ceil(width).max(1) as usize;
    let (total, counts) = count(snapshot.as_ref(), &query, start, width, buckets).await?;
    let series = LEVELS
        .iter()
        .enumerate()
        .map(|(level, &severity)| LevelCounts {
            severity,
            counts: counts.iter().map(|row| row[level]).collect(),
        })
        .filter(|series| series.counts.iter().any(|&count| count > 0))
        .collect();
    Ok(Json(Histogram { total: total.into(), start: start.to_string(), bucket_ns: width, series }))
}

/// The next readable width.
fn nice_width(width: u64) -> u64 {
    WIDTHS.into_iter().find(|nice| *nice >= width).unwrap_or_else(|| width.div_ceil(DAY) * DAY)
}

async fn count(
    snapshot: &dyn Snapshot,
    query: &RecordQuery,
    start: u64,
    width: u64,
    buckets: usize,
) -> Result<(Total, Vec<[u64; 7]>), ApiError> {
    match snapshot.aggregate(Signal::Logs, query, &Agg::Histogram { start, width, buckets }).await? {
        Table::Histogram { total, counts } => Ok((total, counts)),
        _ => Err(super::unexpected()),
    }
}

/// A range that is open at an end, narrowed to where there are records.
async fn occupied(snapshot: &dyn Snapshot, query: &RecordQuery) -> Result<TimeRange, ApiError> {
    let mut query = query.clone();
    for _ in 0..ZOOM_STEPS {
        let TimeRange { from, to } = query.range;
        let width = (to - from).div_ceil(ZOOM_BUCKETS as u64).max(1);
        let (_, counts) = count(snapshot, &query, from, width, ZOOM_BUCKETS).await?;
        let some = |row: &[u64; 7]| row.iter().any(|&count| count > 0);
        let (Some(first), Some(last)) = (counts.iter().position(some), counts.iter().rposition(some)) else {
            // Nothing at all: any range tells as much.
            return Ok(TimeRange { from, to: from.saturating_add(DAY) });
        };
        let at = |bucket: usize| from.saturating_add(width.saturating_mul(bucket as u64)).min(to);
        query.range = TimeRange { from: at(first), to: at(last + 1) };
        if last - first > ZOOM_BUCKETS / 4 {
            break;
        }
    }
    Ok(query.range)
}
