//! Writing: batches of a lane to documents.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use weir_model::otlp::{Groups, Log, Span, metric_refs};
use weir_model::{Incarnation, Signal, identity};
use weir_store::{LedgerRow, RangeSet, Refusals, Report, StoredLog, WITHOUT_IDS, WriteError, Writer};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::ElasticStore;
use crate::Inner;
use crate::bulk::{Item, Op, Outcome};
use crate::document::{Fresh, Place};
use crate::error::Error;
use crate::lane::{self, Held};
use crate::points;

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn count(batch: &Batch) -> u64 {
    match batch.signal {
        Signal::Metrics => metric_refs(&batch.body).map(|m| m.metric.point_count() as u64).sum(),
        _ => Groups::new(&batch.body).map(|group| group.records().count() as u64).sum(),
    }
}

/// What of batches is to be written.
struct Work<'a> {
    records: Vec<Fresh<'a>>,
    items: Vec<Item>,
}

/// Takes what is not known already, and counts the rest.
fn work<'a>(
    inner: &Inner,
    held: &Held,
    batches: &[&'a (Position, Batch)],
    at: u64,
    refusals: &mut Refusals,
    report: &mut Report,
) -> Work<'a> {
    let lane = held.lane();
    let mut work = Work { records: Vec::new(), items: Vec::new() };
    // Ranges of earlier batches of this call.
    let mut earlier: HashMap<Incarnation, RangeSet> = HashMap::new();
    for (position, batch) in batches {
        let mut n = 0;
        for group in Groups::new(&batch.body) {
            let incarnation = group.resource.incarnation().filter(|_| !batch.origins.is_empty());
            for record in group.records() {
                let place = Place { lane, position: *position, n };
                n += 1;
                let attrs = match lane.signal {
                    Signal::Spans => Span::decode(record).attrs(),
                    _ => Log::decode(record).attrs(),
                };
                let offset = || u64::try_from(attrs.get(identity::OFFSET)?.as_int()?).ok();
                let source = incarnation.and_then(|incarnation| Some((incarnation, offset()?)));
                let fresh = Fresh { group, record, place, source };
                let Some(id) = fresh.id() else {
                    refusals.add(*position, batch, &group, record, source, WITHOUT_IDS);
                    continue;
                };
                let known = source.is_some_and(|(source, offset)| {
                    held.is_known(source, offset)
                        || earlier.get(&source).is_some_and(|set| set.contains(offset))
                });
                if known {
                    report.duplicate += 1;
                    continue;
                }
                let index = inner.reading.names.of(lane.signal, fresh.time(), batch.arrived);
                work.items.push(Item { index, id, op: Op::Create, document: fresh.document(at) });
                work.records.push(fresh);
            }
        }
        for origin in &batch.origins {
            earlier.entry(origin.incarnation).or_default().insert(origin.range.clone());
        }
    }
    work
}

impl Inner {
    async fn write_records(
        &self,
        held: &mut Held,
        batches: &[&(Position, Batch)],
        report: &mut Report,
    ) -> Result<Refusals, Error> {
        let origins = batches.iter().flat_map(|(_, batch)| &batch.origins);
        let sources: HashSet<Incarnation> = origins.map(|origin| origin.incarnation).collect();
        held.recall(self.place(), sources).await?;
        let mut refusals = Refusals::default();
        let Work { records, items } = work(self, held, batches, now(), &mut refusals, report);
        let done = self.bulk.write(&self.reading.client, &items).await;
        self.wrote();
        if let Some(problem) = done.problem {
            for (fresh, outcome) in records.iter().zip(&done.outcomes) {
                if *outcome == Some(Outcome::Stored) {
                    held.stored_before.insert((fresh.place.position.0, fresh.place.n));
                }
            }
            return Err(problem);
        }
        let mut stored = Vec::new();
        for ((fresh, item), outcome) in records.iter().zip(items).zip(done.outcomes) {
            let before = held.stored_before.contains(&(fresh.place.position.0, fresh.place.n));
            match outcome {
                Some(Outcome::Stored) => stored.push((fresh, item.id)),
                Some(Outcome::Conflict) if before => stored.push((fresh, item.id)),
                Some(Outcome::Refused(why)) => {
                    let (position, batch) = batches
                        .iter()
                        .find(|(position, _)| *position == fresh.place.position)
                        .expect("a record is of one of the batches");
                    refusals.add(*position, batch, &fresh.group, fresh.record, fresh.source, &why);
                }
                Some(Outcome::Conflict) | None => report.duplicate += 1,
            }
        }
        held.stored_before.clear();
        report.stored += stored.len() as u64;
        if held.lane().signal == Signal::Logs {
            self.live.publish(stored.len() as u64, || {
                let log = |(fresh, id): (&Fresh<'_>, String)| StoredLog {
                    id,
                    resource: fresh.group.resource.message().to_vec().into(),
                    scope: fresh.group.scope.message().to_vec().into(),
                    log: fresh.record.to_vec().into(),
                };
                stored.into_iter().map(log).collect()
            });
        }
        Ok(refusals)
    }

    async fn write_lane(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let slot = self.slot(lane);
        let mut slot = slot.lock().await;
        let held = match &mut *slot {
            Some(held) if held.epoch == epoch => held,
            Some(held) if epoch < held.epoch => return Err(WriteError::Fenced(lane)),
            other => other.insert(Held::claim(self.place(), lane, epoch).await?),
        };
        let mut report = Report::default();
        let (old, new): (Vec<_>, Vec<_>) =
            batches.iter().partition(|(position, _)| held.next.is_some_and(|next| position.0 < next));
        report.duplicate += old.iter().map(|(_, batch)| count(batch)).sum::<u64>();
        let refusals = match lane.signal {
            Signal::Metrics => {
                let bodies: Vec<&Batch> = new.iter().map(|(_, batch)| batch).collect();
                let points = points::write(
                    &self.reading.client,
                    &self.bulk,
                    &self.reading.names,
                    lane,
                    &bodies,
                    now(),
                )
                .await;
                self.wrote();
                let points = points.map_err(Error::on_write)?;
                report.stored += points.stored;
                report.duplicate += points.duplicate;
                report.refused += points.refused;
                Refusals::default()
            }
            _ => self.write_records(held, &new, &mut report).await.map_err(Error::on_write)?,
        };
        for (position, batch) in &new {
            refusals.stored(*position, batch).iter().for_each(|origin| held.insert(origin));
            held.next = held.next.max(Some(position.0 + 1));
            held.pending_bytes += batch.body.len() as u64;
        }
        report.refused += refusals.records();
        report.refusals = refusals.finish();
        self.fresh.lock().insert(lane, held.fresh_rows());
        report.pending_bytes = held.pending_bytes;
        Ok(report)
    }

    /// From where a signal's only lane is to be delivered.
    pub(crate) async fn resume(&self, signal: Signal) -> Result<Position, Error> {
        let lane = Lane { signal, partition: 0 };
        Ok(Position(lane::position(self.place(), lane).await?.unwrap_or(0)))
    }

    /// Ranges that are stored and stand in no document yet.
    pub(crate) fn fresh_rows(&self) -> Vec<LedgerRow> {
        self.fresh.lock().values().flatten().cloned().collect()
    }
}

#[async_trait]
impl Writer for ElasticStore {
    async fn begin(&self, lane: Lane, epoch: Epoch) -> Result<Option<Position>, WriteError> {
        let inner = &self.inner;
        let slot = inner.slot(lane);
        let mut slot = slot.lock().await;
        if slot.as_ref().is_some_and(|held| epoch < held.epoch) {
            return Err(WriteError::Fenced(lane));
        }
        // What was written after the last sync is delivered again, and known by its ids.
        let held = slot.insert(Held::claim(inner.place(), lane, epoch).await?);
        inner.fresh.lock().remove(&lane);
        Ok(held.durable.map(Position))
    }

    async fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        self.inner.write_lane(lane, epoch, batches).await
    }

    async fn sync(&self, signal: Signal) -> Result<Vec<(Lane, Position)>, WriteError> {
        let inner = &self.inner;
        let mut lanes = Vec::new();
        for lane in inner.lanes_of(signal) {
            let slot = inner.slot(lane);
            let mut slot = slot.lock().await;
            let Some(held) = &mut *slot else { continue };
            match held.sync(inner.place()).await {
                Ok(()) => {}
                Err(WriteError::Fenced(_)) => {
                    tracing::info!(%lane, "another process has taken the lane over");
                    *slot = None;
                    inner.fresh.lock().remove(&lane);
                    continue;
                }
                Err(error) => return Err(error),
            }
            inner.wrote();
            inner.fresh.lock().insert(lane, held.fresh_rows());
            lanes.extend(held.durable.map(|position| (lane, Position(position))));
        }
        Ok(lanes)
    }
}
