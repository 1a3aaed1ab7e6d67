//! Errors as the API tells them.

use std::ops::Range;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::filter::ParseError;
use weir_store::{StoreError, StoreErrorKind};

/// Seconds after which a client may ask again when the server is busy.
const RETRY_SECONDS: &str = "1";

/// The body of every answer with status 4xx or 5xx.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorInfo,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorInfo {
    /// A word for programs.
    code: &'static str,
    /// A sentence for a person: what is wrong and what to do.
    message: String,
    /// Byte offsets of the offending part of `q`.
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<usize>,
    /// What was probably meant: it may stand in place of the offending part.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    /// Of a filter that can't be used: what is wrong with it, a word for programs that say it in another language.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What `message` has filled in, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<String>,
}

/// A request that is not answered with what it asked for.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    info: Box<ErrorInfo>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            info: Box::new(ErrorInfo {
                code,
                message: message.into(),
                start: None,
                end: None,
                suggestion: None,
                reason: None,
                params: Vec::new(),
            }),
        }
    }

    /// The caller's mistake.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A filter that can't be used, and the bytes of it that are to blame.
    pub(crate) fn filter(reason: &'static str, message: impl Into<String>, at: Range<usize>) -> Self {
        let mut bad = Self::bad("filter", message);
        (bad.info.start, bad.info.end) = (Some(at.start), Some(at.end));
        bad.info.reason = Some(reason);
        bad
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// Whoever has the data can't be asked.
    pub(crate) fn away(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "away", message)
    }

    /// Whoever was asked is not who has the data.
    pub(crate) fn foreign(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "foreign", message)
    }

    pub(crate) fn message(&self) -> &str {
        &self.info.message
    }

    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", message)
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        let mut bad = Self::filter(error.reason, error.message, error.start..error.end);
        (bad.info.suggestion, bad.info.params) = (error.suggestion, error.params);
        bad
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Query => Self::bad("query", error.message),
            StoreErrorKind::Retry => Self::busy(error.message),
            StoreErrorKind::Away => Self::away(error.message),
            StoreErrorKind::Broken => {
                tracing::error!(error = error.message, "a query met damaged data");
                Self::broken(error.message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { error: *self.info })).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_apart() {
        let check = |kind, status: u16, code: &str| {
            let response = ApiError::from(StoreError { kind, message: String::new() });
            assert_eq!((response.status.as_u16(), response.info.code), (status, code), "{kind:?}");
            let comes_again = response.into_response().headers().contains_key(header::RETRY_AFTER);
            assert_eq!(comes_again, status == 503, "{kind:?}");
        };
        check(StoreErrorKind::Query, 400, "query");
        check(StoreErrorKind::Retry, 503, "busy");
        check(StoreErrorKind::Away, 503, "away");
        check(StoreErrorKind::Broken, 500, "broken");
    }
}
