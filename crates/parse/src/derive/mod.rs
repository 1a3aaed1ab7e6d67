//! Spans that a single log line yields.
//!
//! - An access line that tells how long its request took is a server span, with one client span below it for each upstream try.
//! - A line of a structured logger that names a trace, a span and how long something took is that span.
//!
//! What is derived depends on the record and on the incarnation of its source alone, so reading again gives the same spans. A derived span never has
//! a real span's id: the id that the line gives is kept beside it, and the two are joined when the trace is read.
//!
//! **Trace.** The one that the line names. Else one hashed from the request's id (nginx's `$request_id`), so that all hops that write the same one meet;
//! else one of its own, hashed from the line's place.
//!
//! **Times.** nginx and Caddy write their line when the request has ended, Envoy, Traefik and Apache give the time at which it began. Tries follow each other without a
//! gap from the start of the request, since the line does not say how long the request's and the answer's way to the client took.

mod call;
mod route;
#[cfg(test)]
mod tests;
mod tries;
mod write;

use std::borrow::Cow;

use weir_model::otlp::{SpanKind, StatusCode};
use weir_model::{Incarnation, SpanId, TraceId, identity};

use crate::stream::Record;
use call::Call;

pub use tries::Try;

/// Longest time that a line may say it took, in nanoseconds: thirty days, as long as an upgraded connection may live. Above it the number means
/// something else.
const DURATION_MAX: u64 = 30 * 86_400 * 1_000_000_000;
/// Longest name of a span, in bytes.
const NAME_BYTES: usize = 200;

/// A span that a line yields, and those below it.
#[derive(Debug, Clone)]
pub struct Derived<'a> {
    record: Record<'a>,
    call: Call<'a>,
    incarnation: Incarnation,
    pub trace_id: TraceId,
    /// Hashed from the place of the line.
    pub span_id: SpanId,
    /// What the line itself names: the id of its own span, or of the caller's.
    pub named: Option<SpanId>,
    pub parent: Option<SpanId>,
    pub kind: SpanKind,
    pub name: Cow<'a, str>,
    pub route: Option<Cow<'a, str>>,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    pub end: u64,
    pub status: StatusCode,
    pub tries: Vec<Try<'a>>,
    /// Tries beyond [`tries::TRIES`], which are left out.
    pub dropped_tries: u32,
}

/// The span of a record, if it yields one.
#[inline]
pub fn derive<'a>(record: &Record<'a>, incarnation: Incarnation) -> Option<Derived<'a>> {
    let parsed = record.parsed;
    if (parsed.duration.is_none() && !parsed.time_is_start) || record.time == 0 {
        return None;
    }
    of_call(record, incarnation)
}

fn of_call<'a>(record: &Record<'a>, incarnation: Incarnation) -> Option<Derived<'a>> {
    let parsed = record.parsed;
    let call = Call::read(record);
    let duration = parsed.duration.or(call.duration).filter(|nanos| *nanos <= DURATION_MAX)?;
    let (start, end) = match parsed.time_is_start {
        true => (record.time, record.time.checked_add(duration)?),
        false => (record.time.checked_sub(duration)?, record.time),
    };
    let request = call.method.zip(call.status);
    let (trace_id, parent, kind, name, route, failed) = match request {
        Some((method, status)) => {
            let trace_id = parsed.trace_id.unwrap_or_else(|| match call.request_id {
                Some(request) => identity::request_trace_id(request),
                None => identity::derived_trace_id(incarnation, record.start, 0),
            });
            // A header names the caller, unless a proxy has put its own span into it: assembly knows which.
            let parent = parsed.parent_span_id.or(parsed.span_id.filter(|_| parsed.from_header));
            let route = call.route();
            let name = match &route {
                // What is not there has no route: the paths that scanners try would be operations without end.
                Some(route) if status != 404 => Cow::Owned([method, " ", route].concat()),
                _ => Cow::Borrowed(method),
            };
            (trace_id, parent, SpanKind::SERVER, name, route, status >= 500)
        }
        None => {
            let (trace_id, _) = (parsed.trace_id?, parsed.span_id?);
            let name = call.operation.map_or_else(|| route::message(record.body()), Cow::Borrowed);
            (trace_id, parsed.parent_span_id, call.kind, name, None, parsed.severity.is_error())
        }
    };
    let mut derived = Derived {
        record: *record,
        call,
        incarnation,
        trace_id,
        span_id: identity::derived_span_id(incarnation, record.start, 0, 0),
        named: parsed.span_id,
        parent,
        kind,
        name,
        route,
        start,
        end,
        status: if failed { StatusCode::ERROR } else { StatusCode::UNSET },
        tries: Vec::new(),
        dropped_tries: 0,
    };
    if request.is_some() {
        derived.add_tries();
    }
    Some(derived)
}
