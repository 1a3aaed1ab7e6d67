//! A store in memory that asks [`Matcher`](weir_model::filter::Matcher) about every record. It keeps no promise about crashes: for tests of whatever
//! stands on the seam, and as the oracle that engines are compared with.

mod answer;
mod record;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use weir_model::filter::{Filter, Matcher, Record};
use weir_model::otlp::{Groups, Log, Span, metric_refs};
use weir_model::{Incarnation, Signal, identity};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::{
    Cursor, PutError, RangeSet, Reader, Refusals, Report, Revision, Snapshot, State, StoreError,
    StoreErrorKind, StoredLog, TailEvent, WITHOUT_IDS, WriteError, Writer, value_text,
};
use answer::MemorySnapshot;
use record::Stored;

/// Batches that a live tail may lag behind.
const LIVE_BATCHES: usize = 16;

/// Name, unit and attributes of a series.
type SeriesKey = (String, String, Vec<(String, String)>);

/// Everything that is stored.
#[derive(Debug, Clone, Default)]
struct Data {
    logs: Vec<Arc<Stored>>,
    spans: Vec<Arc<Stored>>,
    points: BTreeMap<SeriesKey, BTreeMap<u64, f64>>,
    ranges: BTreeMap<(Incarnation, Lane), RangeSet>,
}

#[derive(Debug, Default)]
struct Inner {
    data: Data,
    lanes: HashMap<Lane, (Epoch, Option<u64>)>,
    identities: HashSet<Vec<u8>>,
    values: HashMap<String, (u64, Vec<u8>)>,
    snapshots: Vec<Arc<MemorySnapshot>>,
}

/// The store. Cloning shares it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    fresh: broadcast::Sender<Vec<Arc<Stored>>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { inner: Arc::default(), fresh: broadcast::channel(LIVE_BATCHES).0 }
    }
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while locked")
    }
}

impl Inner {
    /// Stores what of a batch is new.
    fn take(
        &mut self,
        lane: Lane,
        position: Position,
        batch: &Batch,
        report: &mut Report,
    ) -> Vec<Arc<Stored>> {
        if lane.signal == Signal::Metrics {
            self.take_points(batch, report);
            return Vec::new();
        }
        // What a range says is about what came before this batch.
        let before = self.data.ranges.clone();
        let mut fresh = Vec::new();
        let mut refusals = Refusals::default();
        for group in Groups::new(&batch.body) {
            let incarnation = group.resource.incarnation().filter(|_| !batch.origins.is_empty());
            for record in group.records() {
                let (ids, attrs) = match lane.signal {
                    Signal::Spans => {
                        let span = Span::decode(record);
                        (span.trace_id.is_some() && span.span_id.is_some(), span.attrs())
                    }
                    _ => (true, Log::decode(record).attrs()),
                };
                let offset =
                    attrs.get(identity::OFFSET).and_then(|value| u64::try_from(value.as_int()?).ok());
                if !ids {
                    refusals.add(position, batch, &group, record, incarnation.zip(offset), WITHOUT_IDS);
                    continue;
                }
                let known = match (incarnation, offset) {
                    (Some(incarnation), Some(offset)) => {
                        // A file's lines are in one lane, and in another after lanes were added; its spans are in many.
                        let counts =
                            |at: Lane| at == lane || at.signal == Signal::Logs && at.signal == lane.signal;
                        let sets = before.iter().filter(|((of, at), _)| *of == incarnation && counts(*at));
                        sets.into_iter().any(|(_, set)| set.contains(offset))
                    }
                    (None, _) if lane.signal == Signal::Spans => !self.identities.insert(record.to_vec()),
                    _ => false,
                };
                if known {
                    report.duplicate += 1;
                    continue;
                }
                let all = match lane.signal {
                    Signal::Spans => &mut self.data.spans,
                    _ => &mut self.data.logs,
                };
                let stored = Arc::new(Stored {
                    signal: lane.signal,
                    seq: all.len() as u64,
                    resource: Bytes::copy_from_slice(group.resource.message()),
                    scope: Bytes::copy_from_slice(group.scope.message()),
                    record: Bytes::copy_from_slice(record),
                });
                all.push(stored.clone());
                fresh.push(stored);
                report.stored += 1;
            }
        }
        for origin in refusals.stored(position, batch) {
            self.data.ranges.entry((origin.incarnation, lane)).or_default().insert(origin.range);
        }
        report.refused += refusals.records();
        report.refusals.extend(refusals.finish());
        fresh
    }

    fn take_points(&mut self, batch: &Batch, report: &mut Report) {
        for metric in metric_refs(&batch.body) {
            let before = report.stored + report.duplicate;
            for point in metric.metric.number_points() {
                let Some(value) = point.value else { continue };
                let both = point.attrs.iter().chain(metric.resource.attrs().iter());
                let mut labels: Vec<_> =
                    both.filter_map(|attr| Some((attr.key.to_owned(), value_text(attr.value)?))).collect();
                labels.sort();
                let key = (metric.metric.name.to_owned(), metric.metric.unit.to_owned(), labels);
                match self.data.points.entry(key).or_default().insert(point.time, value.as_f64()) {
                    None => report.stored += 1,
                    Some(_) => report.duplicate += 1,
                }
            }
            report.refused += metric.metric.point_count() as u64 + before - report.stored - report.duplicate;
        }
    }
}

fn records(batch: &Batch) -> u64 {
    match batch.signal {
        Signal::Metrics => metric_refs(&batch.body).map(|m| m.metric.point_count() as u64).sum(),
        _ => Groups::new(&batch.body).map(|group| group.records().count() as u64).sum(),
    }
}

#[async_trait]
impl Writer for MemoryStore {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        let mut inner = self.inner();
        let (known, next) = inner.lanes.entry(lane).or_default();
        if epoch < *known {
            return Err(WriteError::Fenced(lane));
        }
        *known = epoch;
        Ok(next.map(Position))
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let mut report = Report::default();
        let mut inner = self.inner();
        for (position, batch) in batches {
            let (known, next) = inner.lanes.entry(lane).or_default();
            if epoch < *known {
                return Err(WriteError::Fenced(lane));
            }
            if next.is_some_and(|next| position.0 < next) {
                report.duplicate += records(batch);
                continue;
            }
            *next = Some(position.0 + 1);
            report.pending_bytes += batch.body.len() as u64;
            let fresh = inner.take(lane, *position, batch, &mut report);
            if lane.signal == Signal::Logs && !fresh.is_empty() {
                // Nobody may be listening.
                let _ = self.fresh.send(fresh);
            }
        }
        Ok(report)
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        let inner = self.inner();
        let lanes = inner.lanes.iter().filter(|(lane, _)| lane.signal == signal);
        Ok(lanes.filter_map(|(lane, (_, next))| Some((*lane, Position((*next)?)))).collect())
    }
}

#[async_trait]
impl Reader for MemoryStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let mut inner = self.inner();
        let snapshot = Arc::new(MemorySnapshot { id: inner.snapshots.len(), data: inner.data.clone() });
        inner.snapshots.push(snapshot.clone());
        Ok(snapshot)
    }

    async fn snapshot_at(&self, cursor: &Cursor) -> Result<Arc<dyn Snapshot>, StoreError> {
        let (id, _) = answer::parse(cursor)?;
        let found = self.inner().snapshots.get(id).cloned();
        found.map(|snapshot| snapshot as Arc<dyn Snapshot>).ok_or_else(answer::bad_cursor)
    }

    fn tail(&self, filter: &Filter) -> Result<BoxStream<'static, TailEvent>, StoreError> {
        let matcher = Matcher::new(filter)
            .map_err(|error| StoreError { kind: StoreErrorKind::Query, message: error.message })?;
        let next = self.inner().data.logs.len() as u64;
        let fresh = self.fresh.subscribe();
        let events = futures::stream::unfold((fresh, next), |(mut fresh, next)| async move {
            loop {
                match fresh.recv().await {
                    Ok(logs) => {
                        let (first, last) = (logs.first()?.seq, logs.last()?.seq);
                        return Some(((first - next.min(first), logs), (fresh, last + 1)));
                    }
                    // How many were left out shows with the next one that comes.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let events = events.flat_map(move |(missed, logs)| {
            let hits = logs.iter().filter(|log| matcher.matches(Record::Log(&log.log())));
            let logs: Vec<StoredLog> = hits.map(|log| log.stored_log()).collect();
            let missed = (missed > 0).then_some(TailEvent::Dropped(missed));
            let logs = (!logs.is_empty()).then_some(TailEvent::Logs(logs));
            futures::stream::iter(missed.into_iter().chain(logs))
        });
        Ok(events.boxed())
    }
}

#[async_trait]
impl State for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        Ok(self.inner().values.get(key).map(|(revision, value)| (Revision(*revision), value.clone())))
    }

    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError> {
        let mut inner = self.inner();
        let now = inner.values.get(key).map_or(0, |(now, _)| *now);
        if revision.0 != now {
            return Err(PutError::Conflict(Revision(now)));
        }
        inner.values.insert(key.to_owned(), (now + 1, value.to_vec()));
        Ok(Revision(now + 1))
    }
}
