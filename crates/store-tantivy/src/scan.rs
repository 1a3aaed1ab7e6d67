//! Visiting the records that satisfy a filter, wherever they stand: in sealed shards, in the open one, in the tail.

use std::sync::Arc;

use bytes::Bytes;
use tantivy::SegmentReader;
use tantivy::columnar::ColumnValues;
use weir_model::filter::{Filter, Matcher, Record};
use weir_model::otlp::{Log, LogRef, Resource, Scope, Span, SpanRef};
use weir_model::{Signal, TraceId};
use weir_store::{StoredLog, StoredSpan, TimeRange};

use crate::candidates::Finder;
use crate::error::Error;
use crate::part::PartView;
use crate::schema::{column, schema};
use crate::shard::ShardView;
use crate::tail::{TailBatch, TailRow};

/// The columns of a segment.
pub(crate) struct Columns {
    pub(crate) row: Arc<dyn ColumnValues<u64>>,
    pub(crate) time: Arc<dyn ColumnValues<u64>>,
    pub(crate) pair: Arc<dyn ColumnValues<u64>>,
    pub(crate) trace: Arc<dyn ColumnValues<u64>>,
    pub(crate) measure: Arc<dyn ColumnValues<u64>>,
    pub(crate) status: Arc<dyn ColumnValues<u64>>,
}

impl Columns {
    fn open(segment: &SegmentReader) -> Result<Self, Error> {
        let fast = segment.fast_fields();
        let column = |name: &str| fast.column_first_or_default::<u64>(name);
        Ok(Self {
            row: column(column::ROW)?,
            time: column(column::TIME)?,
            pair: column(column::PAIR)?,
            trace: column(column::TRACE)?,
            measure: column(column::MEASURE)?,
            status: column(column::STATUS)?,
        })
    }
}

/// Where a record stands.
pub(crate) enum Place<'a> {
    Shard { number: usize, shard: &'a ShardView, columns: &'a Columns, doc: u32 },
    Tail { batch: &'a TailBatch, row: &'a TailRow },
}

/// A record that satisfies the filter, or may.
pub(crate) struct Candidate<'a> {
    pub(crate) time: u64,
    /// Its number in the order of storing.
    pub(crate) seq: u64,
    pub(crate) place: Place<'a>,
    /// `None` where it is known to match.
    verify: Option<&'a Matcher>,
    signal: Signal,
}

/// The parts of a stored record.
pub(crate) struct Parts {
    pub(crate) resource: Bytes,
    pub(crate) scope: Bytes,
    pub(crate) record: Bytes,
}

impl Parts {
    pub(crate) fn span(&self) -> SpanRef<'_> {
        SpanRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            span: Span::decode(&self.record),
        }
    }

    pub(crate) fn log(&self) -> LogRef<'_> {
        LogRef {
            resource: Resource::decode(&self.resource),
            scope: Scope::decode(&self.scope),
            log: Log::decode(&self.record),
        }
    }

    fn matches(&self, signal: Signal, matcher: &Matcher) -> bool {
        match signal {
            Signal::Logs => matcher.matches(Record::Log(&self.log())),
            _ => matcher.matches(Record::Span(&self.span())),
        }
    }
}

pub(crate) fn parts_of(shard: &ShardView, row: u64) -> Result<Parts, Error> {
    let (pair, record) = shard.bodies.row(row)?;
    let pair = shard
        .pairs
        .get(pair as usize)
        .ok_or_else(|| Error::damaged("a record names a resource that is not there"))?;
    Ok(Parts { resource: pair.resource.clone(), scope: pair.scope.clone(), record })
}

impl Candidate<'_> {
    /// Whether it satisfies the filter; reads the record where the index alone can't tell.
    pub(crate) fn matches(&self) -> Result<bool, Error> {
        match self.verify {
            None => Ok(true),
            Some(matcher) => Ok(self.parts()?.matches(self.signal, matcher)),
        }
    }

    pub(crate) fn parts(&self) -> Result<Parts, Error> {
        match self.place {
            Place::Shard { shard, columns, doc, .. } => parts_of(shard, columns.row.get_val(doc)),
            Place::Tail { batch, row } => {
                let log = batch.stored_log(row);
                Ok(Parts { resource: log.resource, scope: log.scope, record: log.log })
            }
        }
    }

    pub(crate) fn trace(&self) -> Option<TraceId> {
        match self.place {
            Place::Shard { shard, columns, doc, .. } => {
                let number = columns.trace.get_val(doc).checked_sub(1)?;
                shard.traces.read().get(number as usize).copied()
            }
            Place::Tail { row, .. } => row.trace,
        }
    }

    /// Duration of a span, severity number of a line.
    pub(crate) fn measure(&self) -> u64 {
        match self.place {
            Place::Shard { columns, doc, .. } => columns.measure.get_val(doc),
            Place::Tail { batch, row } => match self.signal {
                Signal::Logs => batch.log(row).log.severity.0.max(0) as u64,
                _ => batch.span(row).span.duration(),
            },
        }
    }

    /// Whether it is a span with status error, or a line of severity ERROR or above.
    pub(crate) fn is_error(&self) -> bool {
        match (self.signal, &self.place) {
            (Signal::Logs, _) => self.measure() >= weir_model::Severity::ERROR.0 as u64,
            (_, Place::Shard { columns, doc, .. }) => columns.status.get_val(*doc) == 2,
            (_, Place::Tail { batch, row }) => batch.span(row).span.status.code.0 == 2,
        }
    }

    /// Calls `f` with its resource.
    pub(crate) fn with_resource<R>(&self, f: impl FnOnce(Resource<'_>, Scope<'_>) -> R) -> R {
        match self.place {
            Place::Shard { shard, columns, doc, .. } => {
                match shard.pairs.get(columns.pair.get_val(doc) as usize) {
                    Some(pair) => f(pair.resource(), pair.scope()),
                    None => f(Resource::EMPTY, Scope::EMPTY),
                }
            }
            Place::Tail { batch, row } => f(batch.resource(row), batch.scope(row)),
        }
    }

    /// Names its resource in a way that is the same for all records of a shard that share it; `None` in the tail.
    pub(crate) fn pair_key(&self) -> Option<(usize, u64)> {
        match self.place {
            Place::Shard { number, columns, doc, .. } => Some((number, columns.pair.get_val(doc))),
            Place::Tail { .. } => None,
        }
    }
}

/// What is looked for.
pub(crate) struct Search<'q> {
    pub(crate) filter: &'q Filter,
    pub(crate) matcher: Matcher,
    pub(crate) range: TimeRange,
    /// Only records with a lower number.
    pub(crate) below_seq: u64,
}

impl PartView {
    /// Visits every candidate of a search. The order is none in particular.
    pub(crate) fn scan(
        &self,
        search: &Search<'_>,
        visit: &mut dyn FnMut(&Candidate<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (_, fields) = schema();
        for (number, shard) in self.shards.iter().enumerate() {
            let Some((first, last)) = shard.times else { continue };
            if first >= search.range.to || last < search.range.from {
                continue;
            }
            let inside = search.range.from <= first && last < search.range.to;
            for segment in shard.searcher.segment_readers() {
                let finder = Finder { signal: self.signal, segment, fields, pairs: &shard.pairs };
                let set = finder.find(search.filter)?;
                if set.is_empty() {
                    continue;
                }
                let columns = Columns::open(segment)?;
                for doc in set.iter() {
                    let time = columns.time.get_val(doc);
                    if !inside && !search.range.contains(time) {
                        continue;
                    }
                    let seq = shard.base + columns.row.get_val(doc);
                    if seq >= search.below_seq {
                        continue;
                    }
                    let verify = (!set.exact).then_some(&search.matcher);
                    let place = Place::Shard { number, shard, columns: &columns, doc };
                    visit(&Candidate { time, seq, place, verify, signal: self.signal })?;
                }
            }
        }
        for batch in &self.tail {
            for row in batch.rows.iter().filter(|row| row.seq < search.below_seq) {
                let (time, hit) = match self.signal {
                    Signal::Logs => {
                        let log = batch.log(row);
                        (log.log.effective_time(), search.matcher.matches(Record::Log(&log)))
                    }
                    _ => {
                        let span = batch.span(row);
                        (span.span.start, search.matcher.matches(Record::Span(&span)))
                    }
                };
                if hit && search.range.contains(time) {
                    let place = Place::Tail { batch, row };
                    visit(&Candidate { time, seq: row.seq, place, verify: None, signal: self.signal })?;
                }
            }
        }
        Ok(())
    }

    /// Visits the parts of every record of a trace.
    pub(crate) fn of_trace(&self, trace: TraceId, visit: &mut dyn FnMut(u64, Parts)) -> Result<(), Error> {
        let (_, fields) = schema();
        for shard in &self.shards {
            if shard.table.read().get(trace).is_none() {
                continue;
            }
            for segment in shard.searcher.segment_readers() {
                let finder = Finder { signal: self.signal, segment, fields, pairs: &shard.pairs };
                let set = finder.trace(trace)?;
                if set.is_empty() {
                    continue;
                }
                let columns = Columns::open(segment)?;
                for doc in set.iter() {
                    let number = columns.trace.get_val(doc).checked_sub(1);
                    if number.and_then(|n| shard.traces.read().get(n as usize).copied()) != Some(trace) {
                        continue;
                    }
                    let row = columns.row.get_val(doc);
                    visit(shard.base + row, parts_of(shard, row)?);
                }
            }
        }
        for batch in &self.tail {
            for row in batch.rows.iter().filter(|row| row.trace == Some(trace)) {
                let log = batch.stored_log(row);
                visit(row.seq, Parts { resource: log.resource, scope: log.scope, record: log.log });
            }
        }
        Ok(())
    }

    /// The record with a number.
    pub(crate) fn by_seq(&self, seq: u64) -> Result<Option<Parts>, Error> {
        for batch in &self.tail {
            if let Ok(at) = batch.rows.binary_search_by_key(&seq, |row| row.seq) {
                let log = batch.stored_log(&batch.rows[at]);
                return Ok(Some(Parts { resource: log.resource, scope: log.scope, record: log.log }));
            }
        }
        let at = self.shards.partition_point(|shard| shard.base <= seq);
        let Some(shard) = at.checked_sub(1).map(|i| &self.shards[i]) else { return Ok(None) };
        let row = seq - shard.base;
        if row >= shard.bodies.rows { Ok(None) } else { parts_of(shard, row).map(Some) }
    }
}

pub(crate) fn stored_log(seq: u64, parts: Parts) -> StoredLog {
    StoredLog { id: seq.to_string(), resource: parts.resource, scope: parts.scope, log: parts.record }
}

pub(crate) fn stored_span(parts: Parts) -> StoredSpan {
    StoredSpan { resource: parts.resource, scope: parts.scope, span: parts.record }
}
