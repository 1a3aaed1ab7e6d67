//! The store's battery on this engine, in one large shard, in tiny ones, behind faults; and random records and filters against the store in memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proptest::prelude::*;
use weir_disk::sim::SimDisk;
use weir_disk::{Disk, RealDisk};
use weir_model::Signal;
use weir_model::filter::Filter;
use weir_model::otlp::{AttrWriter, BodyWriter, LogWriter, SpanKind, SpanWriter, StatusCode};
use weir_model::{Severity, SpanId, TraceId};
use weir_store::conformance::{self, Engine, LOG_FILTERS, SPAN_FILTERS, Store, agree, sample};
use weir_store::faulty::FaultyStore;
use weir_store::memory::MemoryStore;
use weir_store::{Reader, TimeRange};
use weir_store_tantivy::{Settings, TantivyStore};
use weir_transport::faulty::{Faults, Rates};
use weir_transport::{Batch, Epoch, Lane, Position};

/// By which address a store is known.
fn address(store: &Arc<dyn Store>) -> usize {
    Arc::as_ptr(store).cast::<()>() as usize
}

/// Stores in folders of one disk.
struct Tantivy {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    settings: Settings,
    /// Each store is behind a fault decorator.
    faults: Option<Rates>,
    next: AtomicU64,
    folders: Mutex<HashMap<usize, PathBuf>>,
}

impl Tantivy {
    fn new(disk: Arc<dyn Disk>, root: &Path, settings: Settings) -> Self {
        let (next, folders) = (AtomicU64::new(1), Mutex::default());
        Self { disk, root: root.into(), settings, faults: None, next, folders }
    }

    fn open(&self, dir: PathBuf) -> Arc<dyn Store> {
        let store =
            TantivyStore::open(self.disk.clone(), &dir, self.settings.clone()).expect("the store opens");
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        let store: Arc<dyn Store> = match self.faults {
            Some(rates) => Arc::new(FaultyStore::new(store, Faults::new(rates, seed))),
            None => Arc::new(store),
        };
        self.folders.lock().unwrap().insert(address(&store), dir);
        store
    }
}

#[async_trait]
impl Engine for Tantivy {
    async fn create(&self) -> Arc<dyn Store> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.open(self.root.join(n.to_string()))
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let dir = self.folders.lock().unwrap().remove(&address(&store)).expect("one of these");
        drop(store);
        self.open(dir)
    }
}

fn tiny() -> Settings {
    Settings { shard_records: 20, merge_segments: 3, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_battery() {
    let engine = Tantivy::new(Arc::new(SimDisk::new(1)), Path::new("/store"), Settings::default());
    conformance::run(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_battery_with_tiny_shards() {
    let engine = Tantivy::new(Arc::new(SimDisk::new(1)), Path::new("/store"), tiny());
    conformance::run(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_battery_on_the_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Tantivy::new(Arc::new(RealDisk), folder.path(), tiny());
    conformance::run(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_passes_the_battery_through_faults() {
    let engine = Tantivy::new(Arc::new(SimDisk::new(1)), Path::new("/store"), tiny());
    conformance::run(&Tantivy { faults: Some(Rates::ALL), ..engine }).await;
}

/// Writes the same to both.
async fn write(stores: [&dyn Store; 2], position: u64, batch: &Batch) {
    let lane = Lane { signal: batch.signal, partition: 0 };
    let mut reports = Vec::new();
    for store in stores {
        let report = store.write(lane, Epoch(1), &[(Position(position), batch.clone())]).await.unwrap();
        reports.push((report.stored, report.duplicate, report.refused));
    }
    assert_eq!(reports[0], reports[1]);
}

fn filters(texts: &[(Signal, &str)]) -> Vec<(Signal, Filter)> {
    texts.iter().map(|(signal, text)| (*signal, Filter::parse(text).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_agrees_with_the_store_in_memory_in_every_state() {
    let engine = Tantivy::new(
        Arc::new(SimDisk::new(1)),
        Path::new("/store"),
        Settings { shard_records: 60, ..tiny() },
    );
    let (memory, mut store) = (MemoryStore::new(), engine.create().await);
    let texts: Vec<_> = (LOG_FILTERS.iter().map(|text| (Signal::Logs, *text)))
        .chain(SPAN_FILTERS.iter().map(|text| (Signal::Spans, *text)))
        .collect();
    let filters = filters(&texts);
    let ranges =
        [TimeRange::ALL, TimeRange { from: 1_030, to: 1_100 }, TimeRange { from: 1_003_000, to: 1_009_500 }];
    let mut batches = Vec::new();
    for n in 0..6 {
        for batch in [sample::logs(n * 25, n * 25 + 25), sample::spans(n * 5, n * 5 + 5)] {
            write([&memory, store.as_ref()], n, &batch).await;
            batches.push(batch);
        }
        let when = format!("after batch {n}");
        if n % 2 == 1 {
            let (expect, found) = (memory.snapshot().await.unwrap(), store.snapshot().await.unwrap());
            agree(expect.as_ref(), found.as_ref(), &batches, &filters, &ranges, &when).await;
            store.sync(Signal::Logs).await.unwrap();
            store.sync(Signal::Spans).await.unwrap();
        }
        if n == 3 {
            store = engine.reopen(store).await;
        }
        let (expect, found) = (memory.snapshot().await.unwrap(), store.snapshot().await.unwrap());
        agree(expect.as_ref(), found.as_ref(), &batches, &filters, &ranges, &when).await;
    }
}

/// A value of an attribute, from a few of each kind, so that filters hit.
#[derive(Debug, Clone)]
enum Any {
    Null,
    Str(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    List(Vec<Any>),
}

fn scalar() -> impl Strategy<Value = Any> {
    prop_oneof![
        Just(Any::Null),
        prop_oneof![
            Just(""),
            Just("7"),
            Just("true"),
            Just("cart"),
            Just("Cart"),
            Just("a b"),
            Just("支付"),
            Just("一\n二")
        ]
        .prop_map(|text| Any::Str(text.to_owned())),
        (1_020usize..1_028, prop_oneof![Just("a"), Just("é")]).prop_map(|(n, c)| Any::Str(c.repeat(n))),
        prop_oneof![
            Just(0),
            Just(7),
            Just(-7),
            Just(1i64 << 53),
            Just((1 << 53) + 1),
            Just(i64::MIN),
            Just(i64::MAX)
        ]
        .prop_map(Any::Int),
        prop_oneof![
            Just(0.0),
            Just(-0.0),
            Just(7.0),
            Just(7.5),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(9007199254740992.0)
        ]
        .prop_map(Any::Double),
        any::<bool>().prop_map(Any::Bool),
    ]
}

fn value() -> impl Strategy<Value = Any> {
    prop_oneof![6 => scalar(), 1 => prop::collection::vec(scalar(), 0..3).prop_map(Any::List)]
}

fn put(a: &mut AttrWriter<'_>, key: &str, value: &Any) {
    a.with(key, |v| one(v, value));
}

fn one(v: weir_model::otlp::ValueWriter<'_>, value: &Any) {
    match value {
        Any::Null => {}
        Any::Str(text) => v.str(text),
        Any::Int(n) => v.int(*n),
        Any::Double(x) => v.double(*x),
        Any::Bool(b) => v.bool(*b),
        Any::List(list) => v.list(|l| list.iter().for_each(|value| l.item(|v| one(v, value)))),
    }
}

const KEYS: [&str; 3] = ["k", "mixed", "k.long"];
const WORDS: [&str; 6] = ["timeout", "order_7", "支付失败", "Straße", "a-b", "x"];

/// What a record is made of.
#[derive(Debug, Clone)]
struct Made {
    service: usize,
    /// Attributes of the record and of its resource.
    attrs: Vec<(usize, Any)>,
    resource: Option<Any>,
    words: Vec<usize>,
    time: u64,
    trace: Option<u64>,
    level: i32,
    root: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let time =
        prop_oneof![4 => 1_000u64..1_300, 1 => Just(0), 1 => Just(u64::MAX - 1), 1 => Just(i64::MAX as u64)];
    (
        0usize..3,
        prop::collection::vec((0..KEYS.len(), value()), 0..4),
        prop::option::of(scalar()),
        prop::collection::vec(0..WORDS.len(), 0..4),
        time,
        prop::option::of(0u64..6),
        0i32..25,
        any::<bool>(),
    )
        .prop_map(|(service, attrs, resource, words, time, trace, level, root)| Made {
            service,
            attrs,
            resource,
            words,
            time,
            trace,
            level,
            root,
        })
}

fn encode(signal: Signal, n: usize, made: &[Made]) -> Batch {
    let mut body = BodyWriter::default();
    for (i, made) in made.iter().enumerate() {
        body.resource(|a| {
            a.str("service.name", ["cart", "order", ""][made.service]);
            made.resource.iter().for_each(|value| put(a, "k", value));
        });
        body.scope(["", "lib"][made.service % 2], "");
        let text = made.words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ");
        body.record(|out| {
            let attrs =
                |a: &mut AttrWriter<'_>| made.attrs.iter().for_each(|(key, value)| put(a, KEYS[*key], value));
            match signal {
                Signal::Spans => {
                    let trace = TraceId::from_low(made.trace.unwrap_or(9) + 1).unwrap();
                    let number = (n * 100 + i + 1) as u64;
                    let mut span = SpanWriter::new(out, trace, SpanId::new(number.to_be_bytes()).unwrap());
                    if !made.root {
                        span.parent(SpanId::new([1; 8]).unwrap());
                    }
                    span.name(["/*", "GET /item", ""][made.level as usize % 3]);
                    span.kind(SpanKind(made.level % 6));
                    // No two spans of a trace begin at the same time: their order among themselves is the engine's own.
                    let start = made.time.saturating_sub(number);
                    span.times(start, start.saturating_add(made.level as u64 * 10));
                    span.status(StatusCode(made.level % 3), &text);
                    attrs(&mut span.attrs());
                }
                _ => {
                    let mut log = LogWriter::new(out);
                    log.time(made.time);
                    log.severity(Severity(made.level), "");
                    log.body(&text);
                    made.trace
                        .and_then(|n| TraceId::from_low(n + 1))
                        .into_iter()
                        .for_each(|id| log.trace_id(id));
                    attrs(&mut log.attrs());
                }
            }
        });
    }
    sample::batch(signal, Vec::new(), body.finish())
}

fn condition() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("k"),
        Just("mixed"),
        Just("k.long"),
        Just("resource.k"),
        Just("span.k"),
        Just("service"),
        Just("missing")
    ];
    let operand = prop_oneof![
        Just("7".to_owned()),
        Just("7.5".to_owned()),
        Just("\"7\"".to_owned()),
        Just("true".to_owned()),
        Just("cart".to_owned()),
        Just("\"\"".to_owned()),
        Just("支付".to_owned()),
        Just("9007199254740993".to_owned()),
        Just("0".to_owned()),
        (1_020usize..1_028).prop_map(|n| "a".repeat(n)),
        (1_020usize..1_028).prop_map(|n| "é".repeat(n)),
    ];
    let number = prop_oneof![
        Just("7"),
        Just("7.5"),
        Just("0"),
        Just("-7"),
        Just("9007199254740992"),
        Just("9223372036854775807")
    ];
    let regex = prop_oneof![
        Just("c.*"),
        Just("[Cc]art"),
        Just("a+"),
        Just("é+"),
        Just(".*"),
        Just("(?i)CART|7"),
        Just("..")
    ];
    let text = prop_oneof![
        Just("timeout"),
        Just("order_7"),
        Just("order"),
        Just("ord*"),
        Just("支付"),
        Just("付失"),
        Just("straße"),
        Just("a-b"),
        Just("\"b x\""),
        Just("x")
    ];
    prop_oneof![
        (key.clone(), prop_oneof![Just("="), Just("!=")], operand)
            .prop_map(|(k, op, v)| format!("{k} {op} {v}")),
        (key.clone(), prop_oneof![Just("<"), Just("<="), Just(">"), Just(">=")], number)
            .prop_map(|(k, op, v)| format!("{k} {op} {v}")),
        (key.clone(), prop_oneof![Just("~"), Just("!~")], regex)
            .prop_map(|(k, op, v)| format!("{k} {op} \"{v}\"")),
        key.prop_map(|k| format!("{k} *")),
        text.prop_map(str::to_owned),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    condition().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT {part}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 300, ..ProptestConfig::default() })]
    /// Random records, random filters: the engine answers as the store that looks at every record.
    #[test]
    fn random_records_and_filters_agree_with_the_store_in_memory(
        logs in prop::collection::vec(prop::collection::vec(made(), 1..12), 1..4),
        spans in prop::collection::vec(prop::collection::vec(made(), 1..12), 1..4),
        filters in prop::collection::vec(filter(), 6),
        committed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let engine = Tantivy::new(Arc::new(SimDisk::new(1)), Path::new("/store"), tiny());
            let (memory, store) = (MemoryStore::new(), engine.create().await);
            let mut batches = Vec::new();
            for (signal, all) in [(Signal::Logs, &logs), (Signal::Spans, &spans)] {
                for (n, made) in all.iter().enumerate() {
                    let batch = encode(signal, n, made);
                    write([&memory, store.as_ref()], n as u64, &batch).await;
                    if committed || n == 0 {
                        store.sync(signal).await.unwrap();
                    }
                    batches.push(batch);
                }
            }
            let filters: Vec<_> = filters
                .iter()
                .flat_map(|text| [Signal::Logs, Signal::Spans].map(|signal| (signal, Filter::parse(text).unwrap())))
                .collect();
            let ranges = [TimeRange::ALL, TimeRange { from: 1_050, to: 1_200 }];
            let (expect, found) = (memory.snapshot().await.unwrap(), store.snapshot().await.unwrap());
            agree(expect.as_ref(), found.as_ref(), &batches, &filters, &ranges, "at random").await;
        });
    }
}
