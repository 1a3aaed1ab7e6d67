//! What requests carry in their query string.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use weir_model::filter::Filter;
use weir_model::{Signal, TraceId};
use weir_store::{Cursor, GroupKey, TimeRange};

use crate::error::ApiError;
use crate::time;

/// Entries in a list.
const LIMIT_MAX: usize = 1_000;
/// Entries in a list where the request does not say.
const LIMIT: usize = 100;

/// The query string; what is not understood is refused in the API's own words.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|rejection| ApiError::bad("parameter", rejection.body_text()))
    }
}

/// A time range, half open.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeParams {
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
}

impl RangeParams {
    pub(crate) fn range(&self, now: u64) -> Result<TimeRange, ApiError> {
        time::range(self.from.as_deref(), self.to.as_deref(), now)
    }
}

/// A search whose answer is a list in pages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// A filter; empty means all.
    #[serde(default)]
    q: String,
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
    /// From the page before.
    cursor: Option<String>,
}

/// A search, ready to be asked.
pub(crate) struct Search {
    pub(crate) filter: Filter,
    pub(crate) range: TimeRange,
    pub(crate) limit: usize,
    /// Continues a page.
    pub(crate) after: Option<Cursor>,
    /// When the first page was asked for, in nanoseconds since the Unix epoch.
    pub(crate) asked: u64,
    mark: u64,
}

impl ListParams {
    /// A cursor holds the time at which the first page was asked for, so that `-30m` means the same on every page, and a mark of the
    /// search it belongs to.
    pub(crate) fn search(&self, now: u64) -> Result<Search, ApiError> {
        let mark = mark(&[&self.q, self.from.as_deref().unwrap_or(""), self.to.as_deref().unwrap_or("")]);
        let (asked, after) = match &self.cursor {
            None => (now, None),
            Some(cursor) => read_cursor(cursor, mark).map(|(asked, after)| (asked, Some(after)))?,
        };
        Ok(Search {
            filter: Filter::parse(&self.q)?,
            range: time::range(self.from.as_deref(), self.to.as_deref(), asked)?,
            limit: limit(self.limit, LIMIT, LIMIT_MAX),
            after,
            asked,
            mark,
        })
    }
}

impl Search {
    /// The cursor of the next page as clients see it.
    pub(crate) fn cursor(&self, next: Option<&Cursor>) -> Option<String> {
        next.map(|next| format!("{:x}~{:x}~{}", self.asked, self.mark, next.0))
    }
}

fn read_cursor(text: &str, mark: u64) -> Result<(u64, Cursor), ApiError> {
    let bad = |message: &str| {
        ApiError::bad("cursor", format!("{message}; leave it out to begin with the first page"))
    };
    let mut parts = text.splitn(3, '~');
    let mut number = || parts.next().and_then(|part| u64::from_str_radix(part, 16).ok());
    let (Some(asked), Some(of)) = (number(), number()) else {
        return Err(bad("the cursor is not one that this server gave"));
    };
    if of != mark {
        return Err(bad("the cursor belongs to another search"));
    }
    let engine = parts.next().ok_or_else(|| bad("the cursor is not one that this server gave"))?;
    Ok((asked, Cursor(engine.to_owned())))
}

/// FNV-1a, 64 bit: enough to notice a cursor in the wrong place.
fn mark(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// A search whose answer is counted or drawn.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParams {
    /// A filter; empty means all.
    #[serde(default)]
    q: String,
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// A search whose answer is a histogram.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistogramParams {
    /// A filter; empty means all.
    #[serde(default)]
    q: String,
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
    /// About how many buckets are wanted.
    pub(crate) buckets: Option<usize>,
}

/// A search whose answer is grouped.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GroupParams {
    /// A filter; empty means all.
    #[serde(default)]
    q: String,
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
    /// `service`, `operation`, `kind`, `status`, `severity` or an attribute's key.
    pub(crate) by: String,
    pub(crate) limit: Option<usize>,
}

macro_rules! has_filter {
    ($($name:ident)*) => { $(
        impl $name {
            pub(crate) fn filter(&self) -> Result<Filter, ApiError> {
                Ok(Filter::parse(&self.q)?)
            }

            pub(crate) fn range(&self, now: u64) -> Result<TimeRange, ApiError> {
                time::range(self.from.as_deref(), self.to.as_deref(), now)
            }
        }
    )* };
}

has_filter!(SearchParams HistogramParams GroupParams);

/// Only a limit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitParams {
    pub(crate) limit: Option<usize>,
}

/// A live tail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TailParams {
    /// A filter; empty means all.
    #[serde(default)]
    pub(crate) q: String,
}

/// Which keys are known.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeyParams {
    /// `spans` or `logs`.
    pub(crate) signal: String,
    #[serde(default)]
    pub(crate) prefix: String,
}

/// Which values a key has.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ValueParams {
    /// `spans` or `logs`.
    pub(crate) signal: String,
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// Which points are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PointParams {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Points of each series.
    pub(crate) points: Option<usize>,
}

pub(crate) fn limit(asked: Option<usize>, default: usize, max: usize) -> usize {
    asked.unwrap_or(default).clamp(1, max)
}

pub(crate) fn signal(name: &str) -> Result<Signal, ApiError> {
    match name {
        "spans" => Ok(Signal::Spans),
        "logs" => Ok(Signal::Logs),
        _ => Err(ApiError::bad("parameter", "`signal` is `spans` or `logs`")),
    }
}

pub(crate) fn group_key(name: &str) -> Result<GroupKey, ApiError> {
    Ok(match name {
        "" => return Err(ApiError::bad("parameter", "`by` names no key: give for example `service`")),
        "service" => GroupKey::Service,
        "operation" => GroupKey::Operation,
        "kind" => GroupKey::Kind,
        "status" => GroupKey::Status,
        "severity" => GroupKey::Severity,
        key => GroupKey::Attribute(key.to_owned()),
    })
}

pub(crate) fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    TraceId::from_hex_any(text.as_bytes())
        .map_err(|error| ApiError::bad("trace-id", format!("`{text}` is not a trace id: {error}")))
}
