//! Spans derived from lines, whatever happens to the answers: each comes once, and again it is the same.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_agent::{Config, Deps, SourceConfig};
use weir_disk::RealDisk;
use weir_model::otlp::{Attrs, log_refs, span_refs};
use weir_model::{Incarnation, Signal, identity};
use weir_runtime::{Health, Metrics, Period};
use weir_transport::memory::MemoryLog;
use weir_transport::{Batch, Lane, Position, SendError, SendErrorKind, Sender, Senders};

/// Generous: only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at what has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A next hop that is gone after so many batches: it takes one more, and its answer is lost.
struct Mortal {
    log: MemoryLog,
    left: Arc<AtomicU64>,
    dead: CancellationToken,
}

#[async_trait]
impl Sender for Mortal {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if before.is_ok() {
            return self.log.send(batch).await;
        }
        if !self.dead.is_cancelled() {
            self.log.send(batch.clone()).await?;
        }
        self.dead.cancel();
        Err(SendError { kind: SendErrorKind::Closed, message: "gone".into(), batch: Box::new(batch) })
    }
}

struct Rig {
    folder: tempfile::TempDir,
    logs: MemoryLog,
    spans: MemoryLog,
    derive_spans: bool,
}

/// Where a record is from: incarnation, offset, ordinal.
type Place = (Incarnation, i64, i64);

impl Rig {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("logs")).unwrap();
        fs::write(folder.path().join("logs/access.log"), lines).unwrap();
        let log = |signal| MemoryLog::new(Lane { signal, partition: 0 });
        Self { folder, logs: log(Signal::Logs), spans: log(Signal::Spans), derive_spans: true }
    }

    /// Runs an agent until its next hop is gone, or until `done`.
    async fn live(&self, batches: u64, done: impl Fn(&Self) -> bool) {
        let (left, dead) = (Arc::new(AtomicU64::new(batches)), CancellationToken::new());
        let mortal = |log: &MemoryLog| -> Arc<dyn Sender> {
            Arc::new(Mortal { log: log.clone(), left: left.clone(), dead: dead.clone() })
        };
        let (logs, spans) = (mortal(&self.logs), mortal(&self.spans));
        let include = vec![format!("{}/logs/*", self.folder.path().display())];
        let loopback = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            sources: vec![SourceConfig {
                include,
                derive_spans: self.derive_spans,
                ..SourceConfig::default()
            }],
            otlp_http: loopback,
            otlp_grpc: loopback,
            zipkin: None,
            admin: None,
            host_metrics: Period::secs(0),
            ..Config::default()
        };
        let deps = Deps {
            senders: Senders { metrics: logs.clone(), logs, spans },
            disk: Arc::new(RealDisk),
            data_dir: self.folder.path().join("data"),
            metrics: Metrics::new(),
            health: Health::default(),
            host: "here".into(),
        };
        let shutdown = CancellationToken::new();
        let agent = weir_agent::build(&config, deps).await.unwrap();
        let agent = tokio::spawn(agent.run(shutdown.clone()));
        let over = async {
            while !dead.is_cancelled() && !done(self) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, over).await.expect("all of it comes");
        shutdown.cancel();
        agent.await.unwrap().unwrap();
    }

    fn places(&self, signal: Signal) -> BTreeMap<Place, Vec<u8>> {
        match signal {
            Signal::Logs => stored(&self.logs, |body| {
                let with = |found: weir_model::otlp::LogRef<'_>| {
                    let incarnation = incarnation(found.resource.attrs());
                    // The time of reading is the one thing that may differ.
                    let content =
                        format!("{:?} {:?} {:?}", found.log.trace_id, found.log.span_id, found.log.body);
                    (place(incarnation, found.log.attrs()), content.into_bytes())
                };
                log_refs(body).map(with).collect()
            }),
            _ => stored(&self.spans, |body| {
                let with = |found: weir_model::otlp::SpanRef<'_>| {
                    let (incarnation, span) = (incarnation(found.resource.attrs()), found.span);
                    let attrs: Vec<_> = span.attrs().iter().map(|attr| format!("{attr:?}")).collect();
                    let ids = (span.trace_id, span.span_id, span.parent_span_id);
                    let content = format!("{ids:?} {} {} {} {attrs:?}", span.name, span.start, span.end);
                    (place(incarnation, span.attrs()), content.into_bytes())
                };
                span_refs(body).map(with).collect()
            }),
        }
    }
}

fn incarnation(attrs: Attrs<'_>) -> Incarnation {
    attrs.get(identity::INCARNATION).unwrap().as_str().unwrap().parse().unwrap()
}

fn place(incarnation: Incarnation, attrs: Attrs<'_>) -> Place {
    let number = |key| attrs.get(key).map(|value| value.as_int().unwrap());
    (incarnation, number(identity::OFFSET).expect("an offset"), number(identity::ORDINAL).unwrap_or(0))
}

/// What a store keeps, which removes by ranges alone: a record is known if its offset is in a range that came in an earlier batch.
fn stored(log: &MemoryLog, records: impl Fn(&[u8]) -> Vec<(Place, Vec<u8>)>) -> BTreeMap<Place, Vec<u8>> {
    let mut ranges: Vec<(Incarnation, Range<u64>)> = Vec::new();
    let mut kept = BTreeMap::new();
    for batch in log.batches() {
        for (place, content) in records(&batch.body) {
            let (incarnation, offset) = (place.0, place.1 as u64);
            let covers =
                |(of, range): &(Incarnation, Range<u64>)| *of == incarnation && range.contains(&offset);
            assert!(
                batch.origins.iter().any(|origin| covers(&(origin.incarnation, origin.range.clone()))),
                "{place:?}"
            );
            match ranges.iter().any(covers) {
                true => assert_eq!(kept.get(&place), Some(&content), "read again it is the same"),
                false => assert!(kept.insert(place, content).is_none(), "{place:?} came twice"),
            }
        }
        ranges.extend(batch.origins.iter().map(|origin| (origin.incarnation, origin.range.clone())));
    }
    kept
}

/// Access lines, each of a request with two tries.
fn lines(count: usize) -> String {
    let line = |n: usize| {
        format!(
            "10.0.0.9 - - [25/Nov/2026:12:00:{:02} +0000] \"GET /orders/{n} HTTP/1.1\" 200 5 \"-\" \"{}\" rt=0.250 ua=\"10.0.0.1:80, 10.0.0.2:80\" ust=\"502, 200\" urt=\"0.001, 0.200\"\n",
            n % 60,
            "agent".repeat(20)
        )
    };
    (0..count).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_hop_that_dies_again_and_again() {
    const LINES: usize = 8_000;
    let rig = Rig::new(&lines(LINES));
    let done =
        |rig: &Rig| rig.places(Signal::Logs).len() == LINES && rig.places(Signal::Spans).len() == 3 * LINES;
    // Each life ends at another batch, so that now the logs and now the spans of a range are without an answer.
    for batches in [0, 1, 2, 3, 1, 5, 2] {
        rig.live(batches, |_| false).await;
    }
    let sent: usize = rig.spans.batches().iter().map(|batch| span_refs(&batch.body).count()).sum();
    assert!(sent > rig.places(Signal::Spans).len(), "some were sent again");
    rig.live(u64::MAX, done).await;
    assert!(done(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_stands_on_the_span_that_it_yields() {
    let named = "0af7651916cd43dd8448eb211c80319c";
    let plain = lines(1);
    let with_context = format!("{} tp=x traceparent=00-{named}-b7ad6b7169203331-01\n", plain.trim_end());
    let rig = Rig::new(&format!("{plain}{with_context}"));
    rig.live(u64::MAX, |rig| rig.places(Signal::Spans).len() == 6 && rig.places(Signal::Logs).len() == 2)
        .await;
    let (logs, spans) = (rig.logs.batches(), rig.spans.batches());
    let logs: Vec<_> = logs.iter().flat_map(|batch| log_refs(&batch.body)).collect();
    let spans: Vec<_> = spans.iter().flat_map(|batch| span_refs(&batch.body)).collect();
    let servers: Vec<_> = spans.iter().filter(|found| found.span.kind.name() == "server").collect();
    assert_eq!(
        (logs[0].log.trace_id, logs[0].log.span_id),
        (servers[0].span.trace_id, servers[0].span.span_id)
    );
    // What the line names is kept, and the span keeps an id of its own.
    assert_eq!(logs[1].log.trace_id.unwrap().to_string(), named);
    assert_eq!(logs[1].log.span_id.unwrap().to_string(), "b7ad6b7169203331");
    assert_eq!(servers[1].span.trace_id.unwrap().to_string(), named);
    assert_ne!(servers[1].span.span_id, logs[1].log.span_id);
    let resource = servers[0].resource.attrs();
    assert_eq!(resource.get("service.name").unwrap().as_str(), Some("access"));
    assert!(resource.get(identity::SOURCE).unwrap().as_str().unwrap().ends_with("/logs/access.log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn none_where_it_is_switched_off() {
    let mut rig = Rig::new(&lines(3));
    rig.derive_spans = false;
    rig.live(u64::MAX, |rig| rig.places(Signal::Logs).len() == 3).await;
    assert_eq!(rig.spans.batches(), []);
    let logs = rig.logs.batches();
    assert!(logs.iter().flat_map(|batch| log_refs(&batch.body)).all(|found| found.log.trace_id.is_none()));
}
