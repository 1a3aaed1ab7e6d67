//! OTLP as it lies on the wire: borrowed views of encoded requests, and writers that append to a buffer.
//!
//! A body is what an `ExportLogsServiceRequest` (or `…Trace…`, `…Metrics…`) encodes to; field numbers are those of
//! opentelemetry-proto 1.x. [`validate`] is called once, where bytes come in; after it the views are total: they borrow, never fail
//! and never allocate, and what is malformed reads as absent.

mod group;
mod logs;
mod metrics;
mod resource;
mod spans;
mod validate;
mod value;
mod write;

pub use group::{Group, Groups, Refs};
pub use logs::{Log, LogRef, log_refs};
pub use metrics::{Metric, MetricKind, MetricRef, NumberPoint, PointValue, metric_refs};
pub use resource::{Resource, Scope};
pub use spans::{Event, Link, Span, SpanKind, SpanRef, Status, StatusCode, span_refs};
pub use validate::{Counts, validate};
pub use value::{Array, Attr, Attrs, Value};
pub use write::{
    AttrWriter, BodyWriter, ListWriter, LogWriter, MetricWriter, PointsWriter, SpanWriter, ValueWriter,
    write_resource,
};
