//! Writing: positions, fencing, and what comes again.

use weir_model::otlp::{BodyWriter, Group, Groups, SpanWriter};
use weir_model::{Incarnation, Signal, SpanId, TraceId, identity};
use weir_transport::{Batch, Epoch, Lane, Origin, Position};

use super::{
    EPOCH, Engine, ask, begin, count, lane, query, sample, snapshot, sync, write, write_at, write_in,
};
use crate::{WITHOUT_IDS, WriteError};

pub(super) async fn run(engine: &dyn Engine) {
    positions_are_kept(engine).await;
    a_later_assignment_fences_the_one_before(engine).await;
    a_position_is_stored_once(engine).await;
    a_range_is_stored_once(engine).await;
    spans_without_a_range_are_stored_once(engine).await;
    equal_lines_at_two_offsets_are_two(engine).await;
    lines_that_come_again_in_an_added_lane_are_known(engine).await;
    the_ledger_shows_holes(engine).await;
    spans_without_ids_are_refused(engine).await;
}

/// A new lane has no position; a commit names the one behind what was written; it is there again after opening.
async fn positions_are_kept(engine: &dyn Engine) {
    let mut store = engine.create().await;
    for signal in [Signal::Logs, Signal::Spans] {
        assert_eq!(begin(store.as_ref(), signal, EPOCH).await.expect("free"), None);
    }
    for round in 0..3u64 {
        let from = round * 6;
        for n in from..from + 6 {
            let batch = sample::logs(n * 10, n * 10 + 10);
            write_at(store.as_ref(), Epoch(1 + round), 100 + n, &batch)
                .await
                .expect("the lane is this one's");
        }
        assert_eq!(sync(store.as_ref(), Signal::Logs).await, [(lane(Signal::Logs), Position(106 + from))]);
        store = engine.reopen(store).await;
        let position = begin(store.as_ref(), Signal::Logs, Epoch(2 + round)).await.expect("free");
        assert_eq!(position, Some(Position(106 + from)));
    }
}

async fn a_later_assignment_fences_the_one_before(engine: &dyn Engine) {
    let store = engine.create().await;
    for (signal, batch) in [(Signal::Logs, sample::logs(0, 5)), (Signal::Spans, sample::spans(0, 5))] {
        begin(store.as_ref(), signal, Epoch(5)).await.expect("free");
        begin(store.as_ref(), signal, Epoch(7)).await.expect("later");
        let refused = write_at(store.as_ref(), Epoch(5), 0, &batch).await;
        assert!(matches!(refused, Err(WriteError::Fenced(l)) if l == lane(signal)), "{refused:?}");
        let refused = begin(store.as_ref(), signal, Epoch(6)).await;
        assert!(matches!(refused, Err(WriteError::Fenced(_))), "{refused:?}");
        write_at(store.as_ref(), Epoch(7), 0, &batch).await.expect("the lane is this one's");
    }
}

async fn a_position_is_stored_once(engine: &dyn Engine) {
    let mut store = engine.create().await;
    let batches = [(sample::logs(0, 10), 10), (sample::spans(0, 3), 3 + 6 + 9)];
    for (batch, records) in &batches {
        write(store.as_ref(), 3, batch).await.assert(*records, 0, 0);
        for _ in 0..2 {
            write(store.as_ref(), 3, batch).await.assert(0, *records, 0);
            sync(store.as_ref(), batch.signal).await;
        }
    }
    store = engine.reopen(store).await;
    for (batch, records) in &batches {
        // Whatever it holds: a position says that it is the same batch.
        let other = if batch.signal == Signal::Logs { sample::logs(70, 80) } else { sample::spans(6, 9) };
        write(store.as_ref(), 3, &other).await.assert(0, *records, 0);
        write(store.as_ref(), 2, batch).await.assert(0, *records, 0);
    }
}

/// Lines come again in other batches, in part, before and behind commits, rolls and openings.
async fn a_range_is_stored_once(engine: &dyn Engine) {
    let mut store = engine.create().await;
    write(store.as_ref(), 0, &sample::logs(0, 30)).await.assert(30, 0, 0);
    for position in 1..5 {
        let written = write(store.as_ref(), position, &sample::logs(10, 30 + position * 5)).await;
        written.assert(5, 15 + position * 5, 0);
        if position % 2 == 0 {
            sync(store.as_ref(), Signal::Logs).await;
            store = engine.reopen(store).await;
        }
    }
    let found = snapshot(store.as_ref()).await;
    assert_eq!(count(found.as_ref(), Signal::Logs, &query("")).await, 50);
    for n in [0, 20, 29, 30, 49] {
        assert_eq!(count(found.as_ref(), Signal::Logs, &query(&format!("n = {n}"))).await, 1, "line {n}");
    }
}

/// The records of some batches, `size` to a batch.
fn regrouped(batches: &[Batch], size: usize) -> Vec<Batch> {
    let mut records = Vec::new();
    for batch in batches {
        for group in Groups::new(&batch.body) {
            records.extend(group.records().map(|record| (group, record)));
        }
    }
    let body = |records: &[(Group<'_>, &[u8])]| {
        let mut body = BodyWriter::default();
        for (group, record) in records {
            body.raw_resource(group.resource.message());
            body.raw_scope(group.scope.message());
            body.raw_record(record);
        }
        body.finish()
    };
    records.chunks(size).map(|records| sample::batch(batches[0].signal, Vec::new(), body(records))).collect()
}

/// Spans from an SDK that sends again, in other requests: unique by what they are.
async fn spans_without_a_range_are_stored_once(engine: &dyn Engine) {
    let mut store = engine.create().await;
    let batches: Vec<Batch> = (0..4).map(|n| sample::spans(n * 5, n * 5 + 5)).collect();
    let stored = (0..20).map(sample::spans_of).sum();
    for (position, batch) in (0..).zip(&batches) {
        write(store.as_ref(), position, batch).await;
        sync(store.as_ref(), Signal::Spans).await;
    }
    let mut position = batches.len() as u64;
    for size in [1, 7, 1_000] {
        for batch in regrouped(&batches, size) {
            let records = Groups::new(&batch.body).map(|group| group.records().count() as u64).sum();
            write(store.as_ref(), position, &batch).await.assert(0, records, 0);
            position += 1;
        }
        sync(store.as_ref(), Signal::Spans).await;
        store = engine.reopen(store).await;
    }
    let found = snapshot(store.as_ref()).await;
    assert_eq!(count(found.as_ref(), Signal::Spans, &query("")).await, stored);
    assert_eq!(ask!(found.trace(sample::trace(2))).len() as u64, sample::spans_of(2));
}

async fn equal_lines_at_two_offsets_are_two(engine: &dyn Engine) {
    let store = engine.create().await;
    let line = |incarnation: Incarnation, offset: u64| {
        let mut body = BodyWriter::default();
        body.resource(|a| a.str(identity::INCARNATION, &incarnation.to_string()));
        body.scope("", "");
        body.record(|out| {
            let mut log = weir_model::otlp::LogWriter::new(out);
            log.body("the same");
            log.attrs().int(identity::OFFSET, offset as i64);
        });
        let origin = Origin { incarnation, range: offset..offset + 9, acked_below: 0 };
        sample::batch(Signal::Logs, vec![origin], body.finish())
    };
    let lines = [
        (Incarnation(1), 0),
        (Incarnation(1), 9),
        (Incarnation(2), 0),
        (Incarnation(1), 9),
        (Incarnation(2), 0),
    ];
    for (position, (incarnation, offset)) in (0..).zip(lines) {
        write(store.as_ref(), position, &line(incarnation, offset)).await;
    }
    let found = snapshot(store.as_ref()).await;
    assert_eq!(count(found.as_ref(), Signal::Logs, &query("same")).await, 3);
}

async fn lines_that_come_again_in_an_added_lane_are_known(engine: &dyn Engine) {
    let mut store = engine.create().await;
    write(store.as_ref(), 0, &sample::logs(0, 30)).await.assert(30, 0, 0);
    sync(store.as_ref(), Signal::Logs).await;
    for known in [30, 40] {
        let added = Lane { signal: Signal::Logs, partition: 1 };
        let written = write_in(store.as_ref(), added, EPOCH, known, &sample::logs(0, 40)).await;
        written.expect("nobody else has the lane").assert(40 - known, known, 0);
        sync(store.as_ref(), Signal::Logs).await;
        store = engine.reopen(store).await;
    }
}

async fn the_ledger_shows_holes(engine: &dyn Engine) {
    let mut store = engine.create().await;
    for (position, range) in (0..).zip([0..10, 20..30, 30..35]) {
        write(store.as_ref(), position, &sample::logs(range.start, range.end)).await;
    }
    for _ in 0..2 {
        let ledger = ask!(snapshot(store.as_ref()).await.ledger());
        let rows: Vec<_> = ledger.iter().filter(|row| row.incarnation == sample::SOURCE).collect();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].lane, lane(Signal::Logs));
        assert_eq!(rows[0].ranges.iter().collect::<Vec<_>>(), [0..10, 20..35]);
        sync(store.as_ref(), Signal::Logs).await;
        store = engine.reopen(store).await;
    }
}

/// They are handed back, and leave a hole in the ranges of their source that they fill when they come in a form that can be stored.
async fn spans_without_ids_are_refused(engine: &dyn Engine) {
    let mut store = engine.create().await;
    let body = |ids: bool| {
        let mut body = BodyWriter::default();
        body.resource(|a| a.str(identity::INCARNATION, &sample::SOURCE.to_string()));
        body.scope("", "");
        for start in [10, 20, 30] {
            body.record(|out| {
                let id = if ids || start != 20 { start } else { 0 };
                if let (Some(trace), Some(span)) = (TraceId::from_low(id), SpanId::new(id.to_be_bytes())) {
                    SpanWriter::new(out, trace, span).attrs().int(identity::OFFSET, start as i64);
                } else {
                    // Attributes are field 9 of a span: a key and a whole number.
                    let attribute = out.begin(9);
                    out.bytes(1, identity::OFFSET.as_bytes());
                    let value = out.begin(2);
                    out.varint(3, start);
                    out.end(value);
                    out.end(attribute);
                }
            });
        }
        body.finish()
    };
    let origin = |range| vec![Origin { incarnation: sample::SOURCE, range, acked_below: 7 }];
    let batch = sample::batch(Signal::Spans, origin(10..40), body(false));
    let written = write(store.as_ref(), 0, &batch).await;
    written.assert(2, 0, 1);
    let [refusal] = &written.report.refusals[..] else { panic!("{:?}", written.report) };
    assert_eq!((refusal.position, refusal.records, refusal.cause.as_str()), (Position(0), 1, WITHOUT_IDS));
    assert_eq!(refusal.batch.origins, [Origin { acked_below: 0, ..origin(20..21)[0].clone() }]);
    assert_eq!(Groups::new(&refusal.batch.body).map(|group| group.records().count()).sum::<usize>(), 1);
    let ledger = ask!(snapshot(store.as_ref()).await.ledger());
    let row = ledger.iter().find(|row| row.lane == lane(Signal::Spans)).expect("a source");
    assert_eq!(row.ranges.iter().collect::<Vec<_>>(), [10..20, 21..40]);
    sync(store.as_ref(), Signal::Spans).await;
    store = engine.reopen(store).await;
    // Sent again and again, once with the ids that were missing.
    for (position, ids, stored, refused) in [(1, false, 0, 1), (2, true, 1, 0), (3, true, 0, 0)] {
        let batch = sample::batch(Signal::Spans, origin(10..40), body(ids));
        write(store.as_ref(), position, &batch).await.assert(stored, 3 - stored - refused, refused);
    }
    let found = snapshot(store.as_ref()).await;
    assert_eq!(count(found.as_ref(), Signal::Spans, &query("")).await, 3);
}
