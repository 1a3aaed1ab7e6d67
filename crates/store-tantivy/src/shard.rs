//! A shard: an index that only finds, and beside it the bodies and the pairs of resource and scope.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use tantivy::indexer::NoMergePolicy;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument};
use weir_disk::Disk;
use weir_model::otlp::{Log, Span};
use weir_model::{Signal, TraceId};
use weir_transport::Lane;

use crate::bodies::{BodyReader, BodyWriter};
use crate::directory::DiskDirectory;
use crate::error::Error;
use crate::ledger::LedgerMark;
use crate::pairs::{Pair, Pairs};
use crate::schema::{Fields, schema};
use crate::table::TraceTable;
use crate::tail::{TailBatch, TailRow};
use crate::tokens::Tokens;

/// Memory of the index writer before it writes a segment, bytes.
const WRITER_BYTES: usize = 128 << 20;
/// Spans that are sorted by trace before they are written: adjacent rows of a trace compress well and are read together.
const SORT_ROWS: usize = 20_000;

/// What a commit names: everything beside the index that belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Commit {
    /// Partition of each lane, and the position from which it would have to be delivered again.
    pub(crate) lanes: Vec<(u32, u64)>,
    pub(crate) bodies: u64,
    pub(crate) pairs: u64,
    pub(crate) ledger: LedgerMark,
    /// Smallest and largest time of a record, nanoseconds since the Unix epoch.
    pub(crate) times: Option<(u64, u64)>,
    /// When its first and its last records were committed, seconds since the Unix epoch.
    #[serde(default)]
    pub(crate) arrivals: Option<(u64, u64)>,
}

/// What readers see of a shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardView {
    /// Number, in the order of storing, of the record in row 0.
    pub(crate) base: u64,
    pub(crate) searcher: Searcher,
    pub(crate) bodies: Arc<BodyReader>,
    pub(crate) pairs: Arc<Vec<Pair>>,
    /// Trace ids by number.
    pub(crate) traces: Arc<RwLock<Vec<TraceId>>>,
    pub(crate) table: Arc<RwLock<TraceTable>>,
    pub(crate) times: Option<(u64, u64)>,
}

/// A shard that is written to.
pub(crate) struct Shard {
    signal: Signal,
    base: u64,
    fields: Fields,
    directory: DiskDirectory,
    index: Index,
    /// Made when something is written: a sealed shard has none, and one that failed is made anew.
    writer: Option<IndexWriter<TantivyDocument>>,
    reader: IndexReader,
    bodies: BodyWriter,
    pairs: Pairs,
    numbers: HashMap<TraceId, u32>,
    traces: Arc<RwLock<Vec<TraceId>>>,
    /// How many of them the last commit knew.
    committed_traces: usize,
    pub(crate) table: Arc<RwLock<TraceTable>>,
    /// As of the last commit; `None` in a shard that has none yet.
    pub(crate) committed: Option<Commit>,
    committed_rows: u64,
    /// Something was put in that is neither committed nor rolled back.
    unsettled: bool,
    tokens: Tokens,
}

impl Shard {
    /// Opens a shard, or creates it, and brings the files beside the index to where its last commit says.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, signal: Signal, base: u64) -> Result<Self, Error> {
        let index_dir = dir.join("index");
        disk.create_dir_all(&index_dir)?;
        let directory = DiskDirectory::open(disk.clone(), &index_dir)?;
        let (schema, fields) = schema();
        let index = Index::open_or_create(directory.clone(), schema)?;
        let payload = index.load_metas()?.payload;
        let committed: Option<Commit> =
            payload.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::damaged)?;
        let marks = committed.clone().unwrap_or_default();
        let bodies = BodyWriter::open(disk.open(&dir.join("bodies"))?, marks.bodies)?;
        let pairs = Pairs::open(disk.open(&dir.join("pairs"))?, marks.pairs)?;
        disk.sync_dir(dir)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let shard = Self {
            signal,
            base,
            fields,
            directory,
            index,
            writer: None,
            reader,
            committed_rows: bodies.rows,
            bodies,
            pairs,
            numbers: HashMap::new(),
            traces: Arc::default(),
            committed_traces: 0,
            table: Arc::default(),
            committed,
            unsettled: false,
            tokens: Tokens::default(),
        };
        shard.sweep()?;
        Ok(shard)
    }

    fn writer(&mut self) -> Result<&mut IndexWriter<TantivyDocument>, Error> {
        if self.writer.is_none() {
            let writer = self.index.writer_with_num_threads(1, WRITER_BYTES)?;
            writer.set_merge_policy(Box::new(NoMergePolicy));
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("just made"))
    }

    /// Removes the files of segments that the last commit does not name. Those who search in them have them mapped.
    fn sweep(&self) -> Result<(), Error> {
        Ok(self.directory.sweep(&self.index.load_metas()?.list_segment_files())?)
    }

    /// Records in the index.
    pub(crate) fn rows(&self) -> u64 {
        self.bodies.rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bodies.len + self.pairs.len
    }

    /// Reads all records again and rebuilds what is kept in memory only. Calls `each` with the trace and the bytes of every record.
    pub(crate) fn rebuild(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let reader = self.bodies.reader();
        let mut table = self.table.write();
        for row in 0..reader.rows {
            let (pair, record) = reader.row(row)?;
            let resource = self
                .pairs
                .list
                .get(pair as usize)
                .ok_or_else(|| Error::damaged("a record names a resource that is not there"))?;
            let trace = match self.signal {
                Signal::Spans => {
                    let span = Span::decode(&record);
                    if let Some(trace) = span.trace_id {
                        table.span(trace, resource.resource().service(), &span);
                    }
                    span.trace_id
                }
                _ => {
                    let log = Log::decode(&record);
                    if let Some(trace) = log.trace_id {
                        table.log(trace, &log);
                    }
                    log.trace_id
                }
            };
            if let Some(trace) = trace {
                number(&mut self.numbers, &self.traces, trace);
            }
            each(&record);
        }
        drop(table);
        self.committed_traces = self.numbers.len();
        Ok(())
    }

    /// Puts batches into the index and the files beside it. Nothing of it counts before [`commit`](Self::commit).
    pub(crate) fn index(&mut self, batches: &[Arc<TailBatch>]) -> Result<Option<(u64, u64)>, Error> {
        self.rollback()?;
        self.unsettled = true;
        let mut rows: Vec<(&TailBatch, &TailRow)> = Vec::new();
        for batch in batches {
            rows.extend(batch.rows.iter().map(|row| (batch.as_ref(), row)));
        }
        let mut times: Option<(u64, u64)> = None;
        let mut seen = |time: u64| {
            let (first, last) = times.unwrap_or((time, time));
            times = Some((first.min(time), last.max(time)));
        };
        if self.signal == Signal::Spans {
            for window in rows.chunks_mut(SORT_ROWS) {
                window.sort_by_cached_key(|(batch, row)| (row.trace, batch.span(row).span.start));
                for (batch, row) in window {
                    let span = batch.span(row).span;
                    seen(span.start);
                    self.tokens.clear();
                    self.tokens.span(&span);
                    self.add(batch, row, span.start, span.duration(), span.status.code.0 as u64)?;
                }
            }
        } else {
            for (batch, row) in rows {
                let log = batch.log(row).log;
                seen(log.effective_time());
                self.tokens.clear();
                self.tokens.log(&log);
                self.add(batch, row, log.effective_time(), log.severity.0.max(0) as u64, 0)?;
            }
        }
        Ok(times)
    }

    fn add(
        &mut self,
        batch: &TailBatch,
        row: &TailRow,
        time: u64,
        measure: u64,
        status: u64,
    ) -> Result<(), Error> {
        let pair = self.pairs.number(batch.resource(row).message(), batch.scope(row).message())?;
        let body = self.bodies.push(pair, batch.record(row))?;
        self.tokens.pair(pair);
        let fields = self.fields;
        let mut doc = TantivyDocument::new();
        for token in self.tokens.iter() {
            doc.add_bytes(fields.tokens, token);
        }
        let trace = match row.trace {
            Some(id) => {
                doc.add_u64(fields.trace_low, id.low());
                number(&mut self.numbers, &self.traces, id) as u64 + 1
            }
            None => 0,
        };
        doc.add_u64(fields.row, body);
        doc.add_u64(fields.time, time);
        doc.add_u64(fields.pair, pair as u64);
        doc.add_u64(fields.trace, trace);
        doc.add_u64(fields.measure, measure);
        doc.add_u64(fields.status, status);
        self.writer()?.add_document(doc)?;
        Ok(())
    }

    /// Makes durable what was put in, together with the positions it came from: bodies and pairs are synced first, then one atomic commit
    /// names their lengths. `now` is in seconds since the Unix epoch. Readers see it after [`reload`](Self::reload).
    pub(crate) fn commit(
        &mut self,
        lanes: Vec<(u32, u64)>,
        ledger: LedgerMark,
        times: Option<(u64, u64)>,
        now: u64,
    ) -> Result<(), Error> {
        self.bodies.sync()?;
        self.pairs.sync()?;
        let before = self.committed.clone().unwrap_or_default();
        let times = match (before.times, times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        let arrivals = match before.arrivals {
            Some((first, last)) => Some((first, now.max(last))),
            None => Some((now, now)),
        };
        let commit =
            Commit { lanes, bodies: self.bodies.len, pairs: self.pairs.len, ledger, times, arrivals };
        let mut prepared = self.writer()?.prepare_commit()?;
        prepared.set_payload(&serde_json::to_string(&commit).map_err(Error::damaged)?);
        prepared.commit()?;
        self.unsettled = false;
        self.committed = Some(commit);
        self.committed_rows = self.bodies.rows;
        self.committed_traces = self.numbers.len();
        Ok(())
    }

    /// Lets new views see the last commit.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        Ok(self.reader.reload()?)
    }

    /// Forgets what was put in since the last commit. When it fails it is tried again before anything else is put in.
    pub(crate) fn rollback(&mut self) -> Result<(), Error> {
        if !self.unsettled {
            return Ok(());
        }
        self.writer = None;
        // Only when it is sure that the last commit is in force may be cut what a failed one after it names.
        self.directory.settle()?;
        let marks = self.committed.clone().unwrap_or_default();
        self.bodies.rollback(marks.bodies, self.committed_rows)?;
        self.pairs.rollback(marks.pairs)?;
        // Numbers are given in the order of the index, so that reading it again gives the same ones.
        let gone = self.traces.write().split_off(self.committed_traces);
        gone.iter().for_each(|trace| {
            self.numbers.remove(trace);
        });
        self.unsettled = false;
        Ok(())
    }

    /// Merges the smaller half of the segments when there are `limit`, so that small commits do not pile up.
    pub(crate) fn merge_some(&mut self, limit: usize) -> Result<(), Error> {
        let mut segments = self.index.searchable_segment_metas()?;
        if segments.len() < limit.max(2) {
            return Ok(());
        }
        segments.sort_by_key(|meta| meta.num_docs());
        let ids: Vec<_> = segments.iter().take((segments.len() / 2).max(2)).map(|meta| meta.id()).collect();
        self.merge(&ids)
    }

    /// Merges all segments: what a shard gets before it is only read.
    pub(crate) fn merge_all(&mut self) -> Result<(), Error> {
        let ids = self.index.searchable_segment_ids()?;
        if ids.len() > 1 { self.merge(&ids) } else { Ok(()) }
    }

    fn merge(&mut self, ids: &[tantivy::index::SegmentId]) -> Result<(), Error> {
        if let Err(error) = self.writer()?.merge(ids).wait() {
            // The writer may take the merged segment for committed, which on the disk it is not.
            self.writer = None;
            return Err(error.into());
        }
        self.reader.reload()?;
        self.sweep()
    }

    pub(crate) fn view(&self) -> ShardView {
        ShardView {
            base: self.base,
            searcher: self.reader.searcher(),
            bodies: Arc::new(self.bodies.reader()),
            pairs: self.pairs.list.clone(),
            traces: self.traces.clone(),
            table: self.table.clone(),
            times: self.committed.as_ref().and_then(|commit| commit.times),
        }
    }
}

/// The number of a trace in the shard, given in the order in which traces come into the index.
fn number(numbers: &mut HashMap<TraceId, u32>, traces: &RwLock<Vec<TraceId>>, trace: TraceId) -> u32 {
    *numbers.entry(trace).or_insert_with(|| {
        let mut traces = traces.write();
        traces.push(trace);
        traces.len() as u32 - 1
    })
}

/// Partition and position of each lane, as a commit keeps them.
pub(crate) fn lane_of(signal: Signal, partition: u32) -> Lane {
    Lane { signal, partition }
}
