//! Calls through the fleet: spans with every kind of attribute, and every kind of trouble that tracers make.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Ledger, MS, text};
use crate::raw::{Attrs, Span, Value};

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// The spans of one call that are sent.
pub(super) struct Call {
    pub(super) spans: Vec<Span>,
    /// Some of them are sent twice.
    pub(super) again: bool,
}

impl Call {
    /// Makes a call at a time, and writes it down. `services` have a name and how far their clock is off.
    pub(super) fn make(rng: &mut StdRng, services: &[(&str, i64)], now: u64, ledger: &mut Ledger) -> Self {
        let wide = rng.random_ratio(3, 4);
        let trace =
            format!("{:016x}{:016x}", if wide { rng.random() } else { 0_u64 }, rng.random::<u64>() | 1);
        if !wide {
            ledger.trouble("a trace id of 64 bits");
        }
        let mut maker = Maker { rng, services, trace, spans: Vec::new(), ledger };
        maker.server(None, 0, now, 0);
        let Maker { rng, trace, mut spans, ledger, .. } = maker;
        if spans.len() > 2 && rng.random_ratio(1, 10) {
            // A span in the middle that never comes: those below it have lost their parent.
            let gone = spans.remove(rng.random_range(1..spans.len()));
            if spans.iter().any(|span| span.parent.as_deref() == Some(&gone.span)) {
                ledger.trouble("spans without their parent");
            }
        }
        if rng.random_ratio(1, 15) {
            let mut twin = spans[rng.random_range(0..spans.len())].clone();
            twin.name.push_str(" again");
            spans.push(twin);
            ledger.odd.insert(trace.clone());
            ledger.trouble("a span id of two spans");
        }
        if rng.random_ratio(1, 25) {
            let span = spans.last_mut().expect("a root");
            // Too early, too late, and backwards.
            (span.start, span.end) = match rng.random_range(0..3) {
                0 => (0, 0),
                1 => (9_000_000_000_000_000_000, 9_000_000_000_000_000_500),
                _ => (span.end, span.start),
            };
            ledger.odd.insert(trace.clone());
            ledger.trouble("an absurd time");
        }
        ledger.spans.extend(spans.iter().cloned());
        Self { spans, again: rng.random_ratio(1, 5) }
    }
}

struct Maker<'a> {
    rng: &'a mut StdRng,
    services: &'a [(&'a str, i64)],
    trace: String,
    spans: Vec<Span>,
    ledger: &'a mut Ledger,
}

impl Maker<'_> {
    fn id(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>() | 1)
    }

    /// A server's span with the calls that it makes. Returns how long it took, nanoseconds.
    fn server(&mut self, from: Option<(String, bool)>, service: usize, now: u64, depth: usize) -> u64 {
        let (name, skew) = self.services[service];
        // With B3 a server takes its client's id for its own.
        let (span, parent) = match from {
            Some((client, true)) => (client, self.spans.last().and_then(|client| client.parent.clone())),
            Some((client, false)) => (self.id(), Some(client)),
            None => (self.id(), None),
        };
        let at = self.spans.len();
        let operation = ["GET /cart", "POST /orders", "GET /items/{id}", "POST /付款"]
            .choose(self.rng)
            .expect("not empty");
        self.spans.push(Span {
            service: name.to_owned(),
            resource: Attrs::from([("host.name".into(), format!("{name}-1").as_str().into())]),
            attrs: attributes(self.rng),
            trace: self.trace.clone(),
            span: span.clone(),
            parent,
            name: (*operation).to_owned(),
            kind: SERVER,
            error: self.rng.random_ratio(1, 12),
            start: now.saturating_add_signed(skew),
            end: 0,
        });
        if skew != 0 && depth > 0 {
            self.ledger.trouble("a clock that is off");
        }
        let mut took = self.rng.random_range(100..20_000) * 1_000;
        let calls = if depth < 3 { self.rng.random_range(0..3) } else { 0 };
        for _ in 0..calls {
            took += self.client(&span, service, now + took, depth);
        }
        self.spans[at].end = self.spans[at].start + took;
        took
    }

    fn client(&mut self, parent: &str, service: usize, now: u64, depth: usize) -> u64 {
        let (name, skew) = self.services[service];
        let (id, at) = (self.id(), self.spans.len());
        let start = now.saturating_add_signed(skew);
        self.spans.push(Span {
            service: name.to_owned(),
            resource: Attrs::from([("host.name".into(), format!("{name}-1").as_str().into())]),
            trace: self.trace.clone(),
            span: id.clone(),
            parent: Some(parent.to_owned()),
            name: "HTTP call".into(),
            kind: CLIENT,
            start,
            ..Span::default()
        });
        let shares = self.rng.random_ratio(1, 8);
        if shares {
            self.ledger.odd.insert(self.trace.clone());
            self.ledger.trouble("a client and a server with one id");
        }
        let callee = (service + self.rng.random_range(1..self.services.len())) % self.services.len();
        let took = MS + self.server(Some((id, shares)), callee, now + MS / 2, depth + 1);
        self.spans[at].end = start + took;
        took
    }
}

/// Some attributes of every kind.
fn attributes(rng: &mut StdRng) -> Attrs {
    let code = *[200, 201, 404, 500, 503].choose(rng).expect("not empty");
    let long = format!("{}{}", "x".repeat(2_000), rng.random_range(0..3));
    let all = [
        ("http.response.status_code", Value::Int(code)),
        ("http.request.method", text(rng, &["GET", "POST"])),
        ("order.total", Value::Double(f64::from(rng.random_range(0..40_000)) / 100.0)),
        ("queue.delta", Value::Int(rng.random_range(-50..50))),
        ("cache.hit", Value::Bool(rng.random())),
        (
            "order.items",
            Value::List(vec![text(rng, &["tea", "cup"]), text(rng, &["pot", "tray"]), Value::Int(7)]),
        ),
        // Above 2^53, where a double can't tell neighbours apart.
        ("big", Value::Int(9_007_199_254_740_992 + rng.random_range(0..3))),
        ("empty", "".into()),
        ("nothing", Value::Null),
        ("blob", Value::Bytes(vec![0, 255, rng.random()])),
        ("cart", Value::Map(vec![("size".into(), Value::Int(3)), ("gift".into(), Value::Bool(true))])),
        ("customer.name", text(rng, &["张三", "李四", "Zoë", "o'neil \"o\""])),
        ("long.value", Value::Text(long)),
        ("mixed", if rng.random() { Value::Int(5) } else { "5".into() }),
    ];
    all.into_iter().filter(|_| rng.random_ratio(1, 2)).map(|(key, value)| (key.to_owned(), value)).collect()
}
