//! What is not asked of records at rest: live tail, metric series, small values.

use std::time::Duration;

use futures::StreamExt;
use weir_model::Signal;
use weir_model::filter::Filter;

use super::{Engine, STAGES, ask, begin, lane, sample, snapshot, store_with, sync, write};
use crate::{Matchers, PutError, Revision, StoreErrorKind, TailEvent, TimeRange};

/// How long a test waits for what must come. Generous: it is only reached when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);
/// More batches than any engine keeps for a slow reader.
const MANY: u64 = 600;

pub(super) async fn run(engine: &dyn Engine) {
    a_tail_delivers_each_line_once(engine).await;
    a_slow_tail_is_told_what_it_missed(engine).await;
    small_values_change_one_at_a_time(engine).await;
    for stage in STAGES {
        series_come_back(engine, stage).await;
    }
    a_snapshot_of_series_does_not_change(engine).await;
}

async fn a_tail_delivers_each_line_once(engine: &dyn Engine) {
    let store = engine.create().await;
    write(store.as_ref(), 0, &sample::logs(0, 10)).await;
    let filter = Filter::parse("severity >= error").expect("a filter");
    let mut tail = store.tail(&filter).expect("a tail");
    for n in 1..6 {
        write(store.as_ref(), n, &sample::logs(n * 10, n * 10 + 10)).await;
        if n % 2 == 0 {
            sync(store.as_ref(), Signal::Logs).await;
        }
    }
    // Again: nothing of it is new.
    write(store.as_ref(), 6, &sample::logs(10, 60)).await;
    write(store.as_ref(), 7, &sample::logs(60, 64)).await;
    let expect: Vec<u64> = (10..64).filter(|n| n % 4 >= 2).collect();
    let mut found = Vec::new();
    while found.len() < expect.len() {
        match tokio::time::timeout(PATIENCE, tail.next()).await.expect("lines come").expect("an open tail") {
            TailEvent::Logs(logs) => found.extend(logs.iter().map(sample::number)),
            TailEvent::Dropped(count) => panic!("{count} lines were left out"),
        }
    }
    found.sort_unstable();
    assert_eq!(found, expect, "what is stored from now on, each once");
}

async fn a_slow_tail_is_told_what_it_missed(engine: &dyn Engine) {
    let store = engine.create().await;
    let mut tail = store.tail(&Filter::All).expect("a tail");
    for n in 0..MANY {
        write(store.as_ref(), n, &sample::logs(n * 3, n * 3 + 3)).await;
    }
    let (mut seen, mut dropped) = (0, 0);
    while seen + dropped < MANY * 3 {
        match tokio::time::timeout(PATIENCE, tail.next()).await.expect("events come").expect("an open tail") {
            TailEvent::Logs(logs) => seen += logs.len() as u64,
            TailEvent::Dropped(count) => dropped += count,
        }
    }
    assert_eq!(seen + dropped, MANY * 3, "what was left out is counted in records");
    assert!(dropped > 0 && seen > 0, "{seen} seen, {dropped} dropped");
}

async fn small_values_change_one_at_a_time(engine: &dyn Engine) {
    let mut store = engine.create().await;
    macro_rules! put {
        ($key:expr, $revision:expr, $value:expr) => {{
            let mut attempts = 0;
            loop {
                match store.put_if($key, Revision($revision), $value).await {
                    Err(PutError::Retry(_)) if attempts < 1_000 => attempts += 1,
                    other => break other,
                }
            }
        }};
    }
    macro_rules! get {
        ($key:expr) => {{
            let mut attempts = 0;
            loop {
                match store.get($key).await {
                    Err(PutError::Retry(_)) if attempts < 1_000 => attempts += 1,
                    other => break other.expect("a value"),
                }
            }
        }};
    }
    assert_eq!(get!("colours"), None);
    assert!(matches!(put!("colours", 1, b"early"), Err(PutError::Conflict(Revision(0)))));
    let first = put!("colours", 0, b"one").expect("nobody else writes");
    assert!(first > Revision(0));
    assert!(matches!(put!("colours", 0, b"other"), Err(PutError::Conflict(now)) if now == first));
    let second = put!("colours", first.0, b"two").expect("nobody else writes");
    assert!(second > first);
    for key in ["Colours", "colours/a", "../colours", "colours ", "farbe ü", ""] {
        put!(key, 0, key.as_bytes()).expect("another key");
    }
    store = engine.reopen(store).await;
    assert_eq!(get!("colours"), Some((second, b"two".to_vec())));
    assert_eq!(get!("../colours").map(|(_, value)| value), Some(b"../colours".to_vec()));
    assert_eq!(get!("").map(|(_, value)| value), Some(Vec::new()));
}

fn named(name: Option<&str>, attributes: &[(&str, &str)]) -> Matchers {
    let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Matchers { name: name.map(str::to_owned), attributes }
}

async fn series_come_back(engine: &dyn Engine, stage: super::Stage) {
    // More points than any chunk holds, in uneven batches, one of them late.
    let parts = [(0, 50), (50, 170), (170, 171), (180, 400), (171, 180)];
    let batches: Vec<_> = parts.iter().map(|(from, to)| sample::points(*from, *to)).collect();
    let store = store_with(engine, stage, &batches).await;
    let found = snapshot(store.as_ref()).await;
    let all = ask!(found.select(&named(None, &[]), TimeRange::ALL));
    assert_eq!(all.len() as u64, sample::SERIES, "{stage:?}");
    for series in &all {
        let expect: Vec<_> = (0..400).map(|n| (sample::point_time(n), n as f64)).collect();
        assert_eq!(series.points, expect, "{} {stage:?}", series.name);
        assert_eq!(series.unit, "1");
    }
    let range = TimeRange { from: sample::point_time(100), to: sample::point_time(103) };
    for (matchers, expect) in [
        (named(Some("system.load"), &[]), 2),
        (named(Some("system.load"), &[("host.name", "a")]), 1),
        (named(None, &[("host.name", "a"), ("core", "0")]), 2),
        (named(None, &[("host.name", "c")]), 0),
        (named(Some("system"), &[]), 0),
    ] {
        let some = ask!(found.select(&matchers, range));
        assert_eq!(some.len(), expect, "{matchers:?} {stage:?}");
        for series in some {
            let values: Vec<f64> = series.points.iter().map(|(_, value)| *value).collect();
            assert_eq!(values, [100.0, 101.0, 102.0], "{stage:?}");
        }
    }
    let none = TimeRange { from: 0, to: sample::point_time(0) };
    assert!(ask!(found.select(&named(None, &[]), none)).is_empty());
    // What is delivered again stands there once, and positions go on where they were.
    let position = begin(store.as_ref(), Signal::Metrics, super::EPOCH).await.expect("free");
    for n in position.map_or(0, |position| position.0)..batches.len() as u64 + 2 {
        write(store.as_ref(), n, &batches[n as usize % batches.len()]).await;
    }
    sync(store.as_ref(), Signal::Metrics).await;
    let again = ask!(snapshot(store.as_ref()).await.select(&named(None, &[]), TimeRange::ALL));
    assert_eq!(again, all, "{stage:?}");
}

async fn a_snapshot_of_series_does_not_change(engine: &dyn Engine) {
    let store = engine.create().await;
    let mut snapshots = Vec::new();
    for n in 0..8 {
        let written = write(store.as_ref(), n, &sample::points(n * 40, n * 40 + 40)).await;
        written.assert(40 * sample::SERIES, 0, 0);
        snapshots.push(snapshot(store.as_ref()).await);
        if n % 3 == 2 {
            let lanes = sync(store.as_ref(), Signal::Metrics).await;
            assert!(lanes.iter().all(|(l, position)| *l == lane(Signal::Metrics) && position.0 <= n + 1));
        }
    }
    for (n, snapshot) in (1..).zip(snapshots) {
        for series in ask!(snapshot.select(&named(None, &[]), TimeRange::ALL)) {
            assert_eq!(series.points.len(), n * 40, "{}", series.name);
        }
    }
    let bad = Filter::And(vec![Filter::Cond(weir_model::filter::Cond {
        key: weir_model::filter::Key::Service,
        test: weir_model::filter::Test::Like("(".into()),
    })]);
    assert_eq!(store.tail(&bad).err().map(|error| error.kind), Some(StoreErrorKind::Query));
}
