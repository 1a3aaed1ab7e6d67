//! The JSON of records.

mod arriving;
pub(crate) mod attr;
pub(crate) mod log;
pub(crate) mod span;

pub(crate) use arriving::is_arriving;
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::Total;

/// A count; where it is not exact the true one is larger.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Total)]
pub(crate) struct TotalBody {
    value: u64,
    exact: bool,
}

impl From<Total> for TotalBody {
    fn from(total: Total) -> Self {
        Self { value: total.value, exact: total.exact }
    }
}
