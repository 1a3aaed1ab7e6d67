//! Records for tests: numbered, so that each is told apart, with odd values among them.

use bytes::Bytes;
use weir_model::otlp::{
    BodyWriter, LogWriter, MetricWriter, PointValue, PointsWriter, SpanKind, SpanWriter, StatusCode,
};
use weir_model::{Incarnation, Severity, Signal, SpanId, TraceId, identity};
use weir_transport::{Batch, Origin};

use crate::StoredLog;

/// The one source of [`logs`].
pub const SOURCE: Incarnation = Incarnation(9);

/// A trace by its number; an id of 64 bits.
pub fn trace(n: u64) -> TraceId {
    TraceId::from_low(n + 1).expect("not zero")
}

/// Wraps a body.
pub fn batch(signal: Signal, origins: Vec<Origin>, body: Vec<u8>) -> Batch {
    Batch { signal, origins, route: 0, arrived: 0, body: Bytes::from(body) }
}

/// Lines `from..to` of one source, grouped by three pods; the line's number is its offset.
pub fn logs(from: u64, to: u64) -> Batch {
    let mut body = BodyWriter::default();
    for pod in 0..3 {
        body.resource(|a| {
            a.str("service.name", ["cart", "order", "pay"][pod as usize]);
            a.str("k8s.pod.name", &format!("pod-{pod}"));
            a.str(identity::INCARNATION, &SOURCE.to_string());
        });
        body.scope("", "");
        for n in (from..to).filter(|n| n % 3 == pod) {
            body.record(|out| {
                let mut log = LogWriter::new(out);
                log.time(1_000 + n * 10 % 170);
                let severity = [Severity::INFO, Severity::WARN, Severity::ERROR, Severity(18)];
                log.severity(severity[n as usize % 4], "");
                log.body(&format!("Order {n} ticket_{} failed 支付 {}", n % 7, "x".repeat(n as usize % 5)));
                if n % 2 == 0 {
                    log.trace_id(trace(n % 11));
                }
                let mut attrs = log.attrs();
                attrs.int(identity::OFFSET, n as i64);
                attrs.int("n", n as i64);
                match n % 5 {
                    0 => attrs.str("mixed", "7"),
                    1 => attrs.int("mixed", 7),
                    2 => attrs.double("mixed", 7.5),
                    3 => attrs.bool("mixed", true),
                    _ => attrs.str("mixed", &"long".repeat(400 + n as usize % 2)),
                }
            });
        }
    }
    let origin = Origin { incarnation: SOURCE, range: from..to, acked_below: 0 };
    batch(Signal::Logs, vec![origin], body.finish())
}

/// The number of a line of [`logs`].
///
/// # Panics
/// When it is another's.
pub fn number(log: &StoredLog) -> u64 {
    let offset = log.view().log.attrs().get(identity::OFFSET).and_then(|value| value.as_int());
    offset.and_then(|n| u64::try_from(n).ok()).expect("a line of the sample")
}

/// Spans of traces `from..to`: a wildcard root in the gateway, and below it `n % 3 * i + 1` of the `i`-th other service.
pub fn spans(from: u64, to: u64) -> Batch {
    let mut body = BodyWriter::default();
    for (i, service) in ["gateway", "cart", "order"].into_iter().enumerate() {
        body.resource(|a| a.str("service.name", service));
        body.scope("lib", "1");
        for n in from..to {
            for k in 0..=(n % 3) * i as u64 {
                body.record(|out| {
                    let id = SpanId::new([(i as u8) * 50 + k as u8 + 1; 8]).expect("not zero");
                    let mut span = SpanWriter::new(out, trace(n), id);
                    if i > 0 {
                        span.parent(SpanId::new([1; 8]).expect("not zero"));
                    }
                    span.name(if i == 0 { "/*" } else { "GET /item" });
                    span.kind(if i == 0 { SpanKind::SERVER } else { SpanKind::INTERNAL });
                    let start = 1_000_000 + n * 1_000 + i as u64 * 10 + k;
                    span.times(start, start + 500 * (3 - i as u64) + n);
                    if (n + k).is_multiple_of(5) {
                        span.status(StatusCode::ERROR, "it broke");
                    }
                    span.attrs().int("http.response.status_code", 200 + (n as i64 % 4) * 100);
                });
            }
        }
    }
    batch(Signal::Spans, Vec::new(), body.finish())
}

/// How many spans of trace `n` [`spans`] makes.
pub fn spans_of(n: u64) -> u64 {
    3 + 3 * (n % 3)
}

/// One line with a time, and nothing else of note.
pub fn log_at(time: u64) -> Batch {
    let mut body = BodyWriter::default();
    body.resource(|a| a.str("service.name", "clock"));
    body.scope("", "");
    body.record(|out| {
        let mut log = LogWriter::new(out);
        log.time(time);
        log.body(&format!("at {time}"));
    });
    batch(Signal::Logs, Vec::new(), body.finish())
}

/// Points `from..to` of a gauge and a sum, one every ten seconds, of each of two hosts; the value is the point's number.
pub fn points(from: u64, to: u64) -> Batch {
    let mut body = BodyWriter::default();
    for host in ["a", "b"] {
        body.resource(|a| a.str("host.name", host));
        body.scope("", "");
        for (name, is_sum) in [("system.load", false), ("system.calls", true)] {
            body.record(|out| {
                let metric = MetricWriter::new(out, name, "1");
                let points = |points: &mut PointsWriter<'_>| {
                    for n in from..to {
                        let value = match is_sum {
                            true => PointValue::Int(n as i64),
                            false => PointValue::Double(n as f64),
                        };
                        points.point(0, point_time(n), value, |a| a.str("core", "0"));
                    }
                };
                if is_sum { metric.sum(true, points) } else { metric.gauge(points) }
            });
        }
    }
    batch(Signal::Metrics, Vec::new(), body.finish())
}

/// The time of point `n` of [`points`].
pub fn point_time(n: u64) -> u64 {
    1_700_000_000_000_000_000 + n * 10_000_000_000
}

/// How many points there are of each number in [`points`].
pub const SERIES: u64 = 4;
