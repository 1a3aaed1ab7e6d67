//! Log records.

use serde::Serialize;
use utoipa::ToSchema;
use weir_model::identity;
use weir_model::otlp::{Attrs, Value};
use weir_store::StoredLog;

use super::attr::{AttrBody, attrs, text};

/// What the parser noticed about a line, as a list or one text.
const ISSUES: &str = "weir.issues";

/// One log record.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Log)]
pub(crate) struct LogBody {
    /// Finds it again.
    pub(crate) id: String,
    /// Its own time, or where it has none the time at which it was seen.
    pub(crate) time: String,
    /// When it was seen; `0` where that is not known.
    pub(crate) observed: String,
    /// 1 to 24, 0 is unset.
    pub(crate) severity: i32,
    /// As the line has it.
    pub(crate) severity_text: String,
    pub(crate) service: String,
    /// Text; a structured body is JSON.
    pub(crate) body: String,
    /// Empty where there is none.
    pub(crate) trace_id: String,
    /// Empty where there is none.
    pub(crate) span_id: String,
    /// Such as `truncated`.
    pub(crate) flags: Vec<String>,
    pub(crate) attributes: Vec<AttrBody>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<Vec<AttrBody>>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<ScopeBody>,
    /// In the logs of a trace: row of its span, or -1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) span: Option<i64>,
}

/// The library that recorded something.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
pub(crate) struct ScopeBody {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) attributes: Vec<AttrBody>,
}

/// A log record as lists have it.
pub(crate) fn listed(stored: &StoredLog) -> LogBody {
    let record = stored.view();
    let log = record.log;
    LogBody {
        id: stored.id.clone(),
        time: log.effective_time().to_string(),
        observed: log.observed.to_string(),
        severity: log.severity.0,
        severity_text: log.severity_text.to_owned(),
        service: record.resource.service().to_owned(),
        body: text(log.body),
        trace_id: log.trace_id.map(|id| id.to_string()).unwrap_or_default(),
        span_id: log.span_id.map(|id| id.to_string()).unwrap_or_default(),
        flags: flags(log.attrs()),
        attributes: attrs(log.attrs()),
        resource: None,
        scope: None,
        span: None,
    }
}

/// A log record with its resource and scope.
pub(crate) fn whole(stored: &StoredLog) -> LogBody {
    let record = stored.view();
    let scope = ScopeBody {
        name: record.scope.name().to_owned(),
        version: record.scope.version().to_owned(),
        attributes: attrs(record.scope.attrs()),
    };
    LogBody { resource: Some(attrs(record.resource.attrs())), scope: Some(scope), ..listed(stored) }
}

fn flags(attrs: Attrs<'_>) -> Vec<String> {
    let mut flags = Vec::new();
    for attr in attrs.iter() {
        match (attr.key, attr.value) {
            (identity::TRUNCATED, Value::Bool(true)) => flags.push("truncated".to_owned()),
            (ISSUES, Value::Str(issues)) => flags.push(issues.to_owned()),
            (ISSUES, Value::Array(issues)) => flags.extend(issues.iter().map(text)),
            _ => {}
        }
    }
    flags
}
