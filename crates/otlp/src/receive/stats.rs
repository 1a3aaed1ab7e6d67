//! What came in by a protocol, and what was refused.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use weir_model::Signal;
use weir_runtime::Metrics;

use super::Refusal;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    OtlpHttp,
    OtlpGrpc,
    Zipkin,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Zipkin => "zipkin",
        }
    }
}

type Labels = [(&'static str, &'static str); 2];

/// Counters of an intake. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct IntakeStats {
    requests: Family<Labels, Counter>,
    records: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
}

impl IntakeStats {
    /// Registers the counters under the name of a role.
    pub fn register(metrics: &Metrics, role: &str) -> Self {
        let stats = Self::default();
        let family = |name, help, family: &Family<_, _>| {
            metrics.register(&format!("weir_{role}_{name}"), help, family.clone());
        };
        family("received_requests", "Requests of clients that are durable", &stats.requests);
        family("received_records", "Log records, spans and metrics in these requests", &stats.records);
        family("refused_requests", "Requests of clients that were not taken", &stats.refused);
        stats
    }

    pub(super) fn taken(&self, protocol: Protocol, signal: Signal, records: u64) {
        let labels = [("protocol", protocol.name()), ("signal", signal.name())];
        self.requests.get_or_create(&labels).inc();
        self.records.get_or_create(&labels).inc_by(records);
    }

    pub(super) fn refused(&self, protocol: Protocol, refusal: &Refusal) {
        let cause = match refusal {
            Refusal::Malformed(_) => "malformed",
            Refusal::Unsupported(_) => "unsupported",
            Refusal::TooLarge => "too_large",
            Refusal::Busy { .. } => "busy",
            Refusal::Broken(_) => "broken",
        };
        self.refused.get_or_create(&[("protocol", protocol.name()), ("cause", cause)]).inc();
    }
}
