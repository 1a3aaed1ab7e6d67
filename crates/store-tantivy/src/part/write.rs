//! Taking batches: which of their records are new.

use std::sync::Arc;

use weir_model::otlp::{Attrs, Group, Groups, Log, Span};
use weir_model::{Incarnation, Signal, identity};
use weir_store::{RangeSet, Refusals, Report, WITHOUT_IDS, WriteError};
use weir_transport::{Batch, Epoch, Lane, Position};

use super::{Intake, Part, State};
use crate::columns::class;
use crate::error::Error;
use crate::identities;
use crate::shard::ShardView;
use crate::tail::{TailBatch, TailRow};

impl Part {
    pub(crate) fn write(
        &self,
        lane: Lane,
        epoch: Epoch,
        batches: &[(Position, Batch)],
    ) -> Result<Report, WriteError> {
        let mut report = Report::default();
        let mut intake = self.intake.lock();
        for (position, batch) in batches {
            {
                let mut state = self.state.lock();
                let known = state.lanes.entry(lane.partition).or_default();
                if epoch < known.epoch {
                    return Err(WriteError::Fenced(lane));
                }
                if position.0 < known.next {
                    report.duplicate +=
                        Groups::new(&batch.body).map(|g| g.records().count() as u64).sum::<u64>();
                    continue;
                }
            }
            if self.signal == Signal::Spans {
                self.recall(&mut intake, batch).map_err(Error::on_write)?;
            }
            // From here on nothing fails, so what was noted of a batch is never left without it.
            let mut refusals = Refusals::default();
            let mut tail = self.take(&mut intake, lane, *position, batch, &mut refusals, &mut report);
            let mut state = self.state.lock();
            for row in &mut tail.rows {
                row.seq += state.next_seq;
            }
            state.next_seq += tail.rows.len() as u64;
            for origin in refusals.stored(*position, batch) {
                state.ledger.insert(lane.partition, &origin);
            }
            report.refused += refusals.records();
            report.refusals.extend(refusals.finish());
            let known = state.lanes.entry(lane.partition).or_default();
            known.next = position.0 + 1;
            known.known = true;
            let tail = Arc::new(tail);
            state.tail_bytes += tail.bytes();
            if !tail.rows.is_empty() {
                // Nobody may be listening.
                let _ = self.fresh.send(tail.clone());
            }
            state.tail.push_back(tail);
        }
        report.pending_bytes = self.state.lock().tail_bytes;
        Ok(report)
    }

    /// Brings the identities of the spans of a batch's traces that stand in closed shards within the window.
    fn recall(&self, intake: &mut Intake, batch: &Batch) -> Result<(), Error> {
        let from = self.settings.clock.now().saturating_sub(self.settings.unique_spans.as_secs());
        let closed = self.state.lock().closed.clone();
        let recent: Vec<ShardView> = closed.into_iter().filter(|shard| shard.last_arrival > from).collect();
        if recent.is_empty() {
            return Ok(());
        }
        for group in Groups::new(&batch.body).filter(|group| incarnation(batch, group).is_none()) {
            let mut last = None;
            for trace in group.records().filter_map(|record| Span::decode(record).trace_id) {
                if last.replace(trace) != Some(trace) {
                    intake.identities.recall(trace, &recent)?;
                }
            }
        }
        Ok(())
    }

    /// Decides for each record of a batch whether it is new. Rows are numbered from 0.
    fn take(
        &self,
        intake: &mut Intake,
        lane: Lane,
        position: Position,
        batch: &Batch,
        refusals: &mut Refusals,
        report: &mut Report,
    ) -> TailBatch {
        let mut tail = TailBatch::new(lane, batch.body.clone());
        let repeats = self.repeats(lane, batch);
        for group in Groups::new(&batch.body) {
            let incarnation = incarnation(batch, &group);
            let stored = incarnation.filter(|_| repeats).map(|incarnation| self.stored(lane, incarnation));
            let before = |attrs: Attrs<'_>| match &stored {
                Some(stored) => offset_of(attrs).is_some_and(|offset| stored.contains(offset)),
                None => false,
            };
            let number = tail.group(&group);
            let service = group.resource.service();
            for record in group.records() {
                let place = tail.place(record);
                let seq = tail.rows.len() as u64;
                let row = if self.signal == Signal::Spans {
                    let span = Span::decode(record);
                    let (Some(trace), Some(_)) = (span.trace_id, span.span_id) else {
                        let source = incarnation.zip(offset_of(span.attrs()));
                        refusals.add(position, batch, &group, record, source, WITHOUT_IDS);
                        continue;
                    };
                    let duplicate = match incarnation {
                        Some(_) => before(span.attrs()),
                        None => {
                            identities::of(&span).is_some_and(|identity| !intake.identities.insert(identity))
                        }
                    };
                    if duplicate {
                        report.duplicate += 1;
                        continue;
                    }
                    tail.table.span(trace, service, &span, &mut intake.operations);
                    let class = class(span.kind.0, span.status.code.0);
                    let (time, measure) = (span.start, span.duration());
                    TailRow { seq, trace: Some(trace), time, measure, class, group: number, record: place }
                } else {
                    let log = Log::decode(record);
                    if before(log.attrs()) {
                        report.duplicate += 1;
                        continue;
                    }
                    log.trace_id.into_iter().for_each(|trace| tail.table.log(trace, &log));
                    let (time, measure) = (log.effective_time(), log.severity.0.max(0) as u64);
                    let trace = log.trace_id;
                    TailRow { seq, trace, time, measure, class: 0, group: number, record: place }
                };
                tail.add(row);
                report.stored += 1;
            }
        }
        tail
    }

    /// Whether a batch may repeat some of what is stored.
    fn repeats(&self, lane: Lane, batch: &Batch) -> bool {
        let state = self.state.lock();
        let mut origins = batch.origins.iter();
        origins
            .any(|origin| self.sets(&state, lane, origin.incarnation).any(|set| set.overlaps(&origin.range)))
    }

    /// What is stored of a source.
    fn stored(&self, lane: Lane, incarnation: Incarnation) -> RangeSet {
        let state = self.state.lock();
        self.sets(&state, lane, incarnation).flat_map(RangeSet::iter).collect()
    }

    /// The ranges of a source that count for a lane.
    ///
    /// A range of log lines counts in whichever lane it came, since a source's lines are in one, and in another only after lanes were added. The
    /// spans of one range are in several lanes, so that each lane's ranges tell of its own spans alone.
    fn sets<'a>(
        &self,
        state: &'a State,
        lane: Lane,
        incarnation: Incarnation,
    ) -> impl Iterator<Item = &'a RangeSet> + use<'a> {
        let signal = self.signal;
        let lanes = state.lanes.keys().filter(move |at| **at == lane.partition || signal == Signal::Logs);
        lanes.filter_map(move |at| state.ledger.set(incarnation, *at))
    }
}

/// The source of a group's records, where the batch says which of its ranges it holds.
fn incarnation(batch: &Batch, group: &Group<'_>) -> Option<Incarnation> {
    if batch.origins.is_empty() { None } else { group.resource.incarnation() }
}

fn offset_of(attrs: Attrs<'_>) -> Option<u64> {
    attrs.get(identity::OFFSET)?.as_int()?.try_into().ok()
}
