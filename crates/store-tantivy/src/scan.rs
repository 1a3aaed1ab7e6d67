//! Visiting the records that satisfy a filter, wherever they stand: in sealed shards, in the open one, in the tail.

use bytes::Bytes;
use weir_model::filter::{Filter, Matcher, ParseError, Record};
use weir_model::otlp::{Log, LogRef, Resource, Scope, Span, SpanRef, StatusCode};
use weir_model::{Signal, TraceId};
use weir_store::{StoredLog, StoredSpan, TimeRange};

use crate::bodies::{Extent, Located};
use crate::candidates;
use crate::columns::status_of;
use crate::conditions::{self, ColumnTest};
use crate::error::Error;
use crate::needle::Needle;
use crate::newest::{Each, Newest};
use crate::part::PartView;
use crate::schema::schema;
use crate::shard::{Reader, ShardView};
use crate::tail::{TailBatch, TailRow};

/// Where a record stands.
pub(crate) enum Place<'a> {
    Shard { number: usize, reader: &'a Reader, block: &'a Located, index: usize, row: u64 },
    Tail { batch: &'a TailBatch, row: &'a TailRow },
}

/// A record that satisfies the filter, or may.
pub(crate) struct Candidate<'a> {
    pub(crate) time: u64,
    /// Its number in the order of storing.
    pub(crate) seq: u64,
    pub(crate) place: Place<'a>,
    /// `None` where it is known to match.
    pub(crate) verify: Option<&'a Matcher>,
    pub(crate) signal: Signal,
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

fn parts_of(reader: &Reader, row: u64) -> Result<Parts, Error> {
    let (meta, record) = reader.bodies.row(row)?;
    let pair = reader.pair(meta.pair)?;
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
            Place::Shard { reader, row, .. } => parts_of(reader, row),
            Place::Tail { batch, row } => {
                let log = batch.stored_log(row);
                Ok(Parts { resource: log.resource, scope: log.scope, record: log.log })
            }
        }
    }

    pub(crate) fn trace(&self) -> Option<TraceId> {
        match self.place {
            Place::Shard { block, index, .. } => block.columns.trace(index),
            Place::Tail { row, .. } => row.trace,
        }
    }

    /// Duration of a span, severity number of a line.
    pub(crate) fn measure(&self) -> u64 {
        match self.place {
            Place::Shard { block, index, .. } => block.columns.measure(index),
            Place::Tail { row, .. } => row.measure,
        }
    }

    /// Whether it is a span with status error, or a line of severity ERROR or above.
    pub(crate) fn is_error(&self) -> bool {
        let class = match self.place {
            _ if self.signal == Signal::Logs => {
                return self.measure() >= weir_model::Severity::ERROR.0 as u64;
            }
            Place::Shard { block, index, .. } => block.columns.class(index),
            Place::Tail { row, .. } => row.class,
        };
        status_of(class) == StatusCode::ERROR.0
    }

    /// Calls `f` with its resource.
    pub(crate) fn with_resource<R>(&self, f: impl FnOnce(Resource<'_>, Scope<'_>) -> R) -> R {
        match self.place {
            Place::Shard { reader, block, index, .. } => match reader.pair(block.columns.pair(index)) {
                Ok(pair) => f(pair.resource(), pair.scope()),
                Err(_) => f(Resource::EMPTY, Scope::EMPTY),
            },
            Place::Tail { batch, row } => f(batch.resource(row), batch.scope(row)),
        }
    }

    /// Names its resource in a way that is the same for all records of a shard that share it; `None` in the tail.
    pub(crate) fn pair_key(&self) -> Option<(usize, u32)> {
        match self.place {
            Place::Shard { number, block, index, .. } => Some((number, block.columns.pair(index))),
            Place::Tail { .. } => None,
        }
    }
}

/// What is looked for.
pub(crate) struct Search<'q> {
    /// All of it, which has the last word.
    pub(crate) matcher: Matcher,
    /// What is asked of the index, and what of the columns: together the same.
    pub(crate) index: Filter,
    pub(crate) tests: Vec<ColumnTest>,
    /// Stands in every batch that has a match.
    pub(crate) needle: Option<Needle>,
    pub(crate) range: TimeRange,
    /// Only records with a lower number.
    pub(crate) below_seq: u64,
    pub(crate) part: &'q PartView,
}

impl<'q> Search<'q> {
    /// A search for all records of a part that satisfy a filter and are of the range.
    ///
    /// # Errors
    /// For a filter that can't be asked.
    pub(crate) fn new(part: &'q PartView, filter: &Filter, range: TimeRange) -> Result<Self, ParseError> {
        let (tests, index) = conditions::split(part.signal, filter);
        let matcher = Matcher::new(filter)?;
        let needle = filter.needle().map(Needle::new);
        Ok(Self { matcher, index, tests, needle, range, below_seq: part.next_seq, part })
    }

    /// The rows of a batch that satisfy it.
    pub(crate) fn in_batch<'a>(&'a self, batch: &'a TailBatch) -> Box<dyn Iterator<Item = &'a TailRow> + 'a> {
        let is_met = |row: &&TailRow| self.is_met_by(batch, row);
        match &self.needle {
            Some(needle) => Box::new(batch.rows_with(needle).filter(is_met)),
            None => Box::new(batch.rows.iter().filter(is_met)),
        }
    }

    fn is_met_by(&self, batch: &TailBatch, row: &TailRow) -> bool {
        row.seq < self.below_seq
            && self.range.contains(row.time)
            && match self.part.signal {
                Signal::Logs => self.matcher.matches(Record::Log(&batch.log(row))),
                _ => self.matcher.matches(Record::Span(&batch.span(row))),
            }
    }

    /// Whether a record satisfies it, wherever it stands.
    pub(crate) fn is_met_by_parts(&self, seq: u64, time: u64, parts: &Parts) -> bool {
        seq < self.below_seq && self.range.contains(time) && parts.matches(self.part.signal, &self.matcher)
    }

    /// False where no record of a block satisfies it.
    pub(crate) fn may_be_in(&self, block: &Extent) -> bool {
        block.times.0 < self.range.to
            && self.range.from <= block.times.1
            && self.tests.iter().all(|test| test.may_hold(block))
    }

    /// Visits every candidate.
    pub(crate) fn each(self, visit: impl FnMut(&Candidate<'_>) -> Result<(), Error>) -> Result<(), Error> {
        Newest::new([self]).run(&mut Each(visit)).map(|_| ())
    }
}

impl PartView {
    /// Visits the parts of every record of a trace.
    pub(crate) fn of_trace(&self, trace: TraceId, visit: &mut dyn FnMut(u64, Parts)) -> Result<(), Error> {
        for shard in &self.shards {
            shard.each_of_trace(trace, &mut |reader, row| {
                visit(shard.base + row, parts_of(reader, row)?);
                Ok(())
            })?;
        }
        for batch in &self.tail {
            for row in batch.rows_of(trace) {
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
        if row >= shard.rows {
            return Ok(None);
        }
        shard.reader()?.map(|reader| parts_of(&reader, row)).transpose()
    }
}

impl ShardView {
    /// Visits the rows of a trace, and what they are read with.
    pub(crate) fn each_of_trace(
        &self,
        trace: TraceId,
        visit: &mut dyn FnMut(&Reader, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(times) = self.times_of(trace)? else { return Ok(()) };
        let Some(reader) = self.reader()? else { return Ok(()) };
        let (_, fields) = schema();
        let mut found = Vec::new();
        for (segment, docs) in reader.segments().filter(|(_, docs)| docs.may_be_within(times)) {
            candidates::of_trace(segment, fields, trace, |doc| found.push(docs.row(doc)))?;
        }
        let mut last: Option<Located> = None;
        for row in found {
            // Neighbours mostly share their block.
            let block = match last.take() {
                Some(block) if block.index(row).is_some() => last.insert(block),
                _ => last.insert(reader.bodies.locate(row)?),
            };
            if block.index(row).and_then(|index| block.columns.trace(index)) == Some(trace) {
                visit(&reader, row)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn stored_log(seq: u64, parts: Parts) -> StoredLog {
    StoredLog { id: seq.to_string(), resource: parts.resource, scope: parts.scope, log: parts.record }
}

pub(crate) fn stored_span(parts: Parts) -> StoredSpan {
    StoredSpan { resource: parts.resource, scope: parts.scope, span: parts.record }
}
