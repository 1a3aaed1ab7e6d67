//! Spans in the shape of Jaeger's ClickHouse benchmark: traces of 10 spans over 10 services and 10 days, 11 attributes a span from
//! 97 keys with 1,000 values each.
//!
//! Source of the shape: `internal/storage/v2/clickhouse/BENCHMARKING.md` of Jaeger.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use weir_model::otlp::{BodyWriter, SpanKind, SpanWriter, StatusCode};
use weir_model::{SpanId, TraceId};

/// Spans of a trace.
pub const SPANS: u64 = 10;
/// Keys of attributes, and values that each has.
pub const KEYS: usize = 97;
pub const VALUES: u32 = 1_000;
/// Attributes of a span.
const ATTRIBUTES: usize = 11;
const SERVICES: usize = 10;
const OPERATIONS: usize = 20;
/// Time from trace to trace, nanoseconds: a million of them fill the ten days. They arrive in the order of their starts, give or take the jitter.
const STEP: u64 = 10 * 86_400 * 1_000;
const JITTER: u64 = 5_000_000_000;
const BEGIN: u64 = 1_790_000_000_000_000_000;

/// Makes requests of some hundred spans each, the same for the same seed.
#[derive(Debug)]
pub struct Generator {
    random: StdRng,
    traces: u64,
    made: u64,
}

impl Generator {
    pub fn new(traces: u64, seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), traces, made: 0 }
    }

    /// The same number of traces, whose numbers begin at `first`.
    pub fn beginning_at(self, first: u64) -> Self {
        Self { traces: self.traces.saturating_add(first), made: self.made + first, ..self }
    }

    /// The id of a trace by its number.
    pub fn trace_id(number: u64) -> TraceId {
        // Spread over all bits, as random ids are.
        let (high, low) = (mix(number), mix(number ^ 0x5555_5555_5555_5555));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        TraceId::new(bytes).expect("not zero")
    }

    /// The next so many traces, as one request; `None` when all are made.
    pub fn request(&mut self, traces: u64) -> Option<Bytes> {
        if self.made == self.traces {
            return None;
        }
        let until = (self.made + traces).min(self.traces);
        let spans: Vec<Spec> = (self.made..until).flat_map(|trace| self.trace(trace)).collect();
        self.made = until;
        let mut body = BodyWriter::with_capacity(spans.len() * 600);
        for service in 0..SERVICES {
            body.resource(|attrs| attrs.str("service.name", &format!("service-{service}")));
            body.scope("bench", "1");
            for span in spans.iter().filter(|span| span.service == service) {
                span.write(&mut body);
            }
        }
        Some(body.finish().into())
    }

    fn trace(&mut self, number: u64) -> Vec<Spec> {
        let trace = Self::trace_id(number);
        let start = BEGIN + number * STEP + self.random.random_range(0..JITTER);
        let id = |n: u64| SpanId::new(mix(number * SPANS + n + 1).to_be_bytes()).expect("not zero");
        (0..SPANS)
            .map(|n| {
                let start = start + n * self.random.random_range(100_000..2_000_000);
                let keys = index::sample(&mut self.random, KEYS, ATTRIBUTES);
                Spec {
                    trace,
                    id: id(n),
                    parent: (n > 0).then(|| id((n - 1) / 2)),
                    service: self.random.random_range(0..SERVICES),
                    operation: self.random.random_range(0..OPERATIONS),
                    start,
                    duration: self.random.random_range(50_000..800_000_000),
                    error: self.random.random_range(0..100) == 0,
                    attributes: keys
                        .into_iter()
                        .map(|key| (key, self.random.random_range(0..VALUES)))
                        .collect(),
                }
            })
            .collect()
    }
}

/// The finalizer of SplitMix64.
fn mix(n: u64) -> u64 {
    let n = (n.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

struct Spec {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    service: usize,
    operation: usize,
    start: u64,
    duration: u64,
    error: bool,
    attributes: Vec<(usize, u32)>,
}

impl Spec {
    fn write(&self, body: &mut BodyWriter) {
        body.record(|out| {
            let mut span = SpanWriter::new(out, self.trace, self.id);
            self.parent.into_iter().for_each(|id| span.parent(id));
            span.name(&format!("operation-{}", self.operation));
            span.kind(if self.parent.is_none() { SpanKind::SERVER } else { SpanKind::INTERNAL });
            span.times(self.start, self.start + self.duration);
            if self.error {
                span.status(StatusCode::ERROR, "");
            }
            let mut attrs = span.attrs();
            for (key, value) in &self.attributes {
                attrs.str(&format!("key-{key}"), &format!("value-{value}"));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Signal;
    use weir_model::otlp::{span_refs, validate};

    #[test]
    fn a_seed_has_one_set_of_spans() {
        let all = |seed| {
            let mut generator = Generator::new(25, seed);
            std::iter::from_fn(|| generator.request(10)).collect::<Vec<_>>()
        };
        let requests = all(3);
        assert_eq!(requests, all(3));
        assert_ne!(requests, all(4));
        assert_eq!(requests.len(), 3);
        let spans: usize = requests.iter().map(|request| span_refs(request).count()).sum();
        assert_eq!(spans, 250);
        assert!(requests.iter().all(|request| validate(Signal::Spans, request).is_ok()));
    }
}
