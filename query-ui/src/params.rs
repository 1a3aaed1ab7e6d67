//! What requests carry in their query string.

use std::ops::Range;

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use weir_model::filter::Filter;
use weir_model::{Signal, TraceId};
use weir_store::{Cursor, GroupKey, TimeRange};

use crate::error::ApiError;
use crate::time;

/// How many entries an answer may have, and has where the request does not say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// The parameter's name.
    pub(crate) name: &'static str,
    pub(crate) default: usize,
    pub(crate) max: usize,
}

/// Entries of a list.
const LIST: Limit = Limit { name: "limit", default: 100, max: 1_000 };

impl Limit {
    /// A number beyond the limit is refused rather than lowered: an answer that is shorter than asked for looks complete.
    pub(crate) fn of(self, asked: Option<usize>) -> Result<usize, ApiError> {
        let Self { name, default, max } = self;
        match asked.unwrap_or(default) {
            n if (1..=max).contains(&n) => Ok(n),
            n => Err(ApiError::bad("parameter", format!("`{name}` is {n}: it must be from 1 to {max}"))),
        }
    }
}

/// Keys that ask for a whole trace.
const TRACE_KEYS: [&str; 5] = ["trace.duration", "trace.spans", "trace.errors", "trace.service", "entry"];

/// Reads a filter of spans or log lines.
pub(crate) fn of_records(q: &str) -> Result<Filter, ApiError> {
    let filter = Filter::parse(q)?;
    if filter.has_trace_keys() {
        let message =
            "this asks for whole traces, and here single records are searched: search traces with it";
        return Err(ApiError::filter("whole-trace", message, first_trace_key(q)));
    }
    Ok(filter)
}

/// Reads a filter of traces.
pub(crate) fn of_traces(q: &str) -> Result<Filter, ApiError> {
    let filter = Filter::parse(q)?;
    match filter.clone().split_trace() {
        Ok(_) => Ok(filter),
        Err(error) => Err(ApiError::filter(error.reason, error.message, first_trace_key(q))),
    }
}

/// Where the first key stands that asks for a whole trace, in bytes.
fn first_trace_key(q: &str) -> Range<usize> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    for (at, c) in q.char_indices().chain([(q.len(), ' ')]) {
        if quoted {
            (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
        } else if c.is_whitespace() || "\"()=<>!~".contains(c) {
            if TRACE_KEYS.contains(&&q[start..at]) {
                return start..at;
            }
            quoted = c == '"';
        } else {
            continue;
        }
        start = at + c.len_utf8();
    }
    0..q.len()
}

/// The query string; what is not understood is refused in the API's own words.
pub(crate) struct Params<T>(pub(crate) T);

/// What the path names, likewise.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(names)| Self(names)).map_err(|rejection| ApiError::bad("path", rejection.body_text()))
    }
}

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
    /// Default 100.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
    /// From the page before; the other parameters must stay the same.
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
    pub(crate) fn search(
        &self,
        now: u64,
        read: fn(&str) -> Result<Filter, ApiError>,
    ) -> Result<Search, ApiError> {
        let mark = mark(&[&self.q, self.from.as_deref().unwrap_or(""), self.to.as_deref().unwrap_or("")]);
        let (asked, after) = match &self.cursor {
            None => (now, None),
            Some(cursor) => read_cursor(cursor, mark).map(|(asked, after)| (asked, Some(after)))?,
        };
        Ok(Search {
            filter: read(&self.q)?,
            range: time::range(self.from.as_deref(), self.to.as_deref(), asked)?,
            limit: LIST.of(self.limit)?,
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

/// A search whose answer is a number.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CountParams {
    /// A filter; empty means all.
    #[serde(default)]
    q: String,
    /// Nanoseconds since the Unix epoch, RFC 3339, or relative to now (`-30m`).
    from: Option<String>,
    to: Option<String>,
}

/// A search whose answer is drawn.
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
    /// Traces that are drawn; default 5,000.
    #[param(minimum = 1, maximum = 20_000)]
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
    /// About how many buckets are wanted; default 60. Their width is rounded up to one that can be read.
    #[param(minimum = 1, maximum = 1_000)]
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
    /// Groups in the answer; default 20. The rest is in `other`.
    #[param(minimum = 1, maximum = 1_000)]
    pub(crate) limit: Option<usize>,
}

macro_rules! has_filter {
    ($($name:ident $read:ident)*) => { $(
        impl $name {
            pub(crate) fn filter(&self) -> Result<Filter, ApiError> {
                $read(&self.q)
            }

            pub(crate) fn range(&self, now: u64) -> Result<TimeRange, ApiError> {
                time::range(self.from.as_deref(), self.to.as_deref(), now)
            }
        }
    )* };
}

has_filter!(CountParams of_traces SearchParams of_traces HistogramParams of_records GroupParams of_records);

/// How many sources.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SourcesParams {
    /// Default 1,000.
    #[param(minimum = 1, maximum = 1_000)]
    pub(crate) limit: Option<usize>,
    /// How many are left out first. Default none.
    #[param(minimum = 1, maximum = 1_000_000)]
    pub(crate) skip: Option<usize>,
}

/// Which of a trace's lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinesParams {
    /// Default 1,000.
    #[param(minimum = 1, maximum = 20_000)]
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
    /// Default 50.
    #[param(minimum = 1, maximum = 1_000)]
    pub(crate) limit: Option<usize>,
}

/// Which points are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PointParams {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    /// Points of each series; default 180.
    #[param(minimum = 1, maximum = 2_000)]
    pub(crate) points: Option<usize>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_asks_for_a_trace_is_named() {
        for (q, expect) in [
            ("trace.duration > 1s", "trace.duration"),
            ("a = b AND (entry=c)", "entry"),
            (r#""entry \" trace.spans" OR NOT trace.errors>0"#, "trace.errors"),
            ("名 = 值 trace.service = b", "trace.service"),
        ] {
            assert_eq!(&q[first_trace_key(q)], expect, "{q}");
            assert!(of_records(q).is_err(), "{q}");
        }
        assert!(of_records("trace.id = 0af7651916cd43dd8448eb211c80319c").is_ok());
        assert!(of_traces("service = a trace.spans > 3").is_ok());
        assert!(of_traces("service = a OR trace.spans > 3").is_err());
    }
}
