//! A shard: an index that only finds, and beside it the bodies and the pairs of resource and scope.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::{BoxFuture, Either, select};
use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::NoMergePolicy;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader};
use tokio::sync::watch;
use weir_disk::Disk;
use weir_model::otlp::{Log, Span};
use weir_model::{Signal, TraceId};
use weir_transport::Lane;

use crate::bodies::{BLOCK_BYTES, BLOCK_ROWS, Blocks, BodyReader, BodyWriter};
use crate::columns::Meta;
use crate::directory::DiskDirectory;
use crate::docs::{self, Docs};
use crate::document::{Doc, Documents, Numbers};
use crate::error::Error;
use crate::ledger::LedgerMark;
use crate::pairs::{Pair, Pairs};
use crate::schema::schema;
use crate::sealed::{BODIES, INDEX, PAIRS, Sealed};
use crate::table::{Layers, Operations, Row, TraceTable};
use crate::tail::{TailBatch, TailRow};
use crate::tokens::Tokens;

/// Memory of the index writer before it writes a segment, bytes.
const WRITER_BYTES: usize = 128 << 20;
/// Spans that are sorted by trace before they are written: adjacent rows of a trace compress well and are read together.
const SORT_ROWS: usize = 20_000;
/// Documents from which on a segment waits for its merge until the shard is sealed: writing waits for the merge of small ones, which takes
/// half a second at the most.
const SMALL_SEGMENT: u32 = 50_000;

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

/// What is read of a shard: the index, the bodies and the pairs.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) searcher: Searcher,
    pub(crate) bodies: BodyReader,
    pub(crate) pairs: Arc<Vec<Pair>>,
    /// Of each segment.
    docs: Vec<Docs>,
}

impl Reader {
    /// `first_row` tells the row of a segment's first document.
    pub(crate) fn new(
        searcher: Searcher,
        bodies: BodyReader,
        pairs: Arc<Vec<Pair>>,
        first_row: impl Fn(&SegmentReader) -> Result<u64, Error>,
    ) -> Result<Self, Error> {
        let segments = searcher.segment_readers().iter();
        let docs = segments.map(|segment| Ok(Docs::new(bodies.clone(), segment, first_row(segment)?)));
        let docs = docs.collect::<Result<_, Error>>()?;
        Ok(Self { searcher, bodies, pairs, docs })
    }

    /// The segments of the index with their documents.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&SegmentReader, &Docs)> {
        self.searcher.segment_readers().iter().zip(&self.docs)
    }

    /// The documents of a segment with a number.
    pub(crate) fn docs(&self, segment: usize) -> &Docs {
        &self.docs[segment]
    }

    pub(crate) fn pair(&self, number: u32) -> Result<&Pair, Error> {
        self.pairs
            .get(number as usize)
            .ok_or_else(|| Error::damaged("a record names a resource that is not there"))
    }
}

/// What readers see of a shard.
#[derive(Debug, Clone)]
pub(crate) struct ShardView {
    /// Number, in the order of storing, of the record in row 0.
    pub(crate) base: u64,
    pub(crate) rows: u64,
    /// Smallest and largest time of a record.
    pub(crate) times: Option<(u64, u64)>,
    /// When its last record arrived, seconds since the Unix epoch; 0 while it is open.
    pub(crate) last_arrival: u64,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Open or full: its table is in memory.
    Grown(Arc<Reader>, Layers),
    Sealed(Arc<Sealed>),
}

impl ShardView {
    pub(crate) fn sealed(
        base: u64,
        rows: u64,
        times: Option<(u64, u64)>,
        last_arrival: u64,
        sealed: Arc<Sealed>,
    ) -> Self {
        Self { base, rows, times, last_arrival, source: Source::Sealed(sealed) }
    }

    /// The same shard, whose last record arrived at a time in seconds since the Unix epoch.
    pub(crate) fn closed(self, last_arrival: u64) -> Self {
        Self { last_arrival, ..self }
    }

    /// Opens it where that was not done yet. `None` where retention has removed it.
    pub(crate) fn reader(&self) -> Result<Option<Arc<Reader>>, Error> {
        match &self.source {
            Source::Grown(reader, _) => Ok(Some(reader.clone())),
            Source::Sealed(sealed) => sealed.reader(),
        }
    }

    /// Segments of the index of a shard that grows.
    pub(crate) fn segments(&self) -> usize {
        match &self.source {
            Source::Grown(reader, _) => reader.searcher.segment_readers().len(),
            Source::Sealed(_) => 1,
        }
    }

    /// Between which times its records of a trace lie, as far as that is known. `None` where it has none.
    pub(crate) fn times_of(&self, trace: TraceId) -> Result<Option<(u64, u64)>, Error> {
        match &self.source {
            Source::Grown(_, layers) => Ok(layers.times_of(trace)),
            Source::Sealed(sealed) => Ok(sealed.may_have(trace)?.then_some((0, u64::MAX))),
        }
    }

    /// What it knows of a trace, added to what is known already.
    pub(crate) fn row(&self, trace: TraceId, merged: &mut Option<Row>) -> Result<(), Error> {
        match &self.source {
            Source::Grown(_, layers) => {
                for row in layers.tables().filter_map(|table| table.get(trace)) {
                    merged.get_or_insert_default().merge(row);
                }
            }
            Source::Sealed(sealed) => {
                if sealed.may_have(trace)?
                    && let Some(table) = sealed.table()?
                    && let Some(row) = table.get(trace)?
                {
                    merged.get_or_insert_default().merge(&row);
                }
            }
        }
        Ok(())
    }

    /// Retention has removed it.
    pub(crate) fn forget(&self) {
        if let Source::Sealed(sealed) = &self.source {
            sealed.forget();
        }
    }
}

/// A shard that is written to.
pub(crate) struct Shard {
    signal: Signal,
    base: u64,
    directory: DiskDirectory,
    index: Index,
    /// Made when something is written; one that failed is made anew.
    writer: Option<IndexWriter<Doc>>,
    reader: IndexReader,
    /// Of the segments that are read, as reading them takes time.
    first_rows: HashMap<SegmentId, u64>,
    documents: Documents,
    bodies: BodyWriter,
    pairs: Pairs,
    layers: Layers,
    /// As of the last commit; `None` in a shard that has none yet.
    pub(crate) committed: Option<Commit>,
    committed_rows: u64,
    /// Something was put in that is neither committed nor rolled back.
    unsettled: bool,
}

/// What was put into a shard since its last commit.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Smallest and largest time of a record.
    times: Option<(u64, u64)>,
    table: TraceTable,
}

impl Shard {
    /// Opens a shard, or creates it, and brings the files beside the index to where its last commit says.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        signal: Signal,
        base: u64,
        blocks: Arc<Blocks>,
    ) -> Result<Self, Error> {
        let index_dir = dir.join(INDEX);
        disk.create_dir_all(&index_dir)?;
        let directory = DiskDirectory::open(disk.clone(), &index_dir)?;
        let index = Index::open_or_create(directory.clone(), schema().0)?;
        let payload = index.load_metas()?.payload;
        let committed: Option<Commit> =
            payload.map(|text| serde_json::from_str(&text)).transpose().map_err(Error::damaged)?;
        let marks = committed.clone().unwrap_or_default();
        let bodies = BodyWriter::open(disk.open(&dir.join(BODIES))?, marks.bodies, signal, blocks)?;
        let pairs = Pairs::open(disk.open(&dir.join(PAIRS))?, marks.pairs)?;
        disk.sync_dir(dir)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let mut shard = Self {
            signal,
            base,
            directory,
            index,
            writer: None,
            reader,
            first_rows: HashMap::new(),
            documents: Documents::new(schema().1),
            committed_rows: bodies.rows,
            bodies,
            pairs,
            layers: Layers::default(),
            committed,
            unsettled: false,
        };
        shard.sweep()?;
        shard.reload()?;
        Ok(shard)
    }

    fn writer(&mut self) -> Result<&mut IndexWriter<Doc>, Error> {
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

    /// Reads all records again, rebuilds the trace table, and calls `each` with the bytes of every record.
    pub(crate) fn rebuild(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut operations = Operations::default();
        let mut table = TraceTable::default();
        for block in self.bodies.reader().each_block() {
            let (columns, records) = block?;
            for index in 0..columns.rows() {
                let record = records.get(index).ok_or_else(|| Error::damaged("a block lacks a record"))?;
                each(&record);
                let Some(trace) = columns.trace(index) else { continue };
                if self.signal == Signal::Spans {
                    let pair = self.pairs.list.get(columns.pair(index) as usize);
                    let service = pair.map_or("", |pair| pair.resource().service());
                    table.span(trace, service, &Span::decode(&record), &mut operations);
                } else {
                    table.log(trace, &Log::decode(&record));
                }
            }
        }
        self.layers.add(table);
        Ok(())
    }

    /// Puts batches into the index and the files beside it. Nothing of it counts before [`commit`](Self::commit).
    pub(crate) fn index(&mut self, batches: &[Arc<TailBatch>]) -> Result<Added, Error> {
        self.rollback()?;
        self.unsettled = true;
        let mut added = Added::default();
        let mut rows: Vec<(usize, &TailRow)> = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            rows.extend(batch.rows.iter().map(|row| (at, row)));
            added.table.merge(&batch.table);
        }
        if self.signal == Signal::Spans {
            for window in rows.chunks_mut(SORT_ROWS) {
                window.sort_unstable_by_key(|(_, row)| (row.trace, row.time, row.seq));
            }
        }
        let mut pairs: Vec<Vec<Option<u32>>> = batches.iter().map(|b| vec![None; b.groups()]).collect();
        let mut block: Vec<(Meta, &[u8])> = Vec::with_capacity(BLOCK_ROWS);
        let mut bytes = 0;
        for (at, row) in rows {
            let (batch, record) = (&batches[at], batches[at].record(row));
            let pair = match pairs[at][row.group as usize] {
                Some(number) => number,
                None => self.pairs.number(batch.resource(row).message(), batch.scope(row).message())?,
            };
            pairs[at][row.group as usize] = Some(pair);
            let (first, last) = added.times.unwrap_or((row.time, row.time));
            added.times = Some((first.min(row.time), last.max(row.time)));
            let number = self.bodies.rows + block.len() as u64;
            self.document(number, pair, row, record)?;
            block.push((row.meta(pair), record));
            bytes += record.len();
            if block.len() == BLOCK_ROWS || bytes >= BLOCK_BYTES {
                self.bodies.append(&block)?;
                block.clear();
                bytes = 0;
            }
        }
        self.bodies.append(&block)?;
        self.hand_over()?;
        Ok(added)
    }

    fn document(&mut self, number: u64, pair: u32, row: &TailRow, record: &[u8]) -> Result<(), Error> {
        let numbers = Numbers { row: number, trace_low: row.trace.map(|trace| trace.low()) };
        let signal = self.signal;
        let full = self.documents.push(numbers, |tokens: &mut Tokens| {
            match signal {
                Signal::Spans => tokens.span(&Span::decode(record)),
                _ => tokens.log(&Log::decode(record)),
            }
            tokens.pair(pair);
        });
        if full { self.hand_over() } else { Ok(()) }
    }

    /// Gives the index the documents that were made.
    fn hand_over(&mut self) -> Result<(), Error> {
        let documents = self.documents.take();
        self.writer()?.run(documents)?;
        Ok(())
    }

    /// Makes durable what was put in, together with the positions it came from: bodies and pairs are synced first, then one atomic commit
    /// names their lengths. `now` is in seconds since the Unix epoch. Readers see it after [`reload`](Self::reload).
    pub(crate) fn commit(
        &mut self,
        lanes: Vec<(u32, u64)>,
        ledger: LedgerMark,
        added: Added,
        now: u64,
    ) -> Result<(), Error> {
        self.bodies.sync()?;
        self.pairs.sync()?;
        let before = self.committed.clone().unwrap_or_default();
        let times = match (before.times, added.times) {
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
        self.layers.add(added.table);
        Ok(())
    }

    /// Lets new views see the last commit.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        self.reader.reload()?;
        let mut first_rows = HashMap::new();
        for segment in self.reader.searcher().segment_readers() {
            let id = segment.segment_id();
            let known = self.first_rows.get(&id).copied();
            first_rows.insert(id, known.map_or_else(|| docs::first_row(segment), Ok)?);
        }
        self.first_rows = first_rows;
        Ok(())
    }

    /// Forgets what was put in since the last commit. When it fails it is tried again before anything else is put in.
    pub(crate) fn rollback(&mut self) -> Result<(), Error> {
        if !self.unsettled {
            return Ok(());
        }
        // Else an unfinished arena would be handed over with the next commit.
        drop(self.documents.take());
        self.writer = None;
        // Only when it is sure that the last commit is in force may be cut what a failed one after it names.
        self.directory.settle()?;
        let marks = self.committed.clone().unwrap_or_default();
        self.bodies.rollback(marks.bodies, self.committed_rows)?;
        self.pairs.rollback(marks.pairs)?;
        self.unsettled = false;
        Ok(())
    }

    /// Merges small segments that are neighbours when there are `limit` small ones, so that small commits do not pile up: of all runs of half as
    /// many the one with the fewest documents. Where larger ones stand between them, the smallest pair of neighbours.
    pub(crate) fn merge_some(&mut self, limit: usize) -> Result<(), Error> {
        let small = |docs: &u32| *docs < SMALL_SEGMENT;
        let metas = self.index.searchable_segment_metas()?;
        let count = metas.iter().filter(|meta| small(&meta.num_docs())).count();
        if count < limit.max(2) {
            return Ok(());
        }
        let docs: HashMap<SegmentId, u32> = metas.iter().map(|meta| (meta.id(), meta.num_docs())).collect();
        let ids = self.in_order(docs.keys().copied().collect())?;
        let total = |run: &&[SegmentId]| run.iter().map(|id| docs[id] as u64).sum::<u64>();
        let runs = ids.windows((count / 2).max(2)).filter(|run| run.iter().all(|id| small(&docs[id])));
        let Some(run) = runs.min_by_key(total).or_else(|| ids.windows(2).min_by_key(total)) else {
            return Ok(());
        };
        self.merge(run, &watch::Sender::new(false))
    }

    /// Merges all segments: what a shard gets before it is only read. Gives up when the watched value becomes true.
    pub(crate) fn merge_all(&mut self, stop: &watch::Sender<bool>) -> Result<(), Error> {
        self.directory.settle()?;
        let ids = self.in_order(self.index.searchable_segment_ids()?)?;
        if ids.len() > 1 { self.merge(&ids, stop) } else { Ok(()) }
    }

    fn merge(&mut self, ids: &[SegmentId], stop: &watch::Sender<bool>) -> Result<(), Error> {
        let _step = tracing::debug_span!("merge", signal = %self.signal, segments = ids.len()).entered();
        let merging = self.writer()?.merge(ids).boxed();
        if let Err(error) = wait(merging, stop) {
            // The writer may take the merged segment for committed, which on the disk it is not.
            self.writer = None;
            return Err(error);
        }
        self.reload()?;
        self.sweep()
    }

    /// Segments in the order of their rows. Only neighbours are merged, in this order: so each segment is a run of rows without a hole, on which
    /// searches rely.
    fn in_order(&mut self, mut ids: Vec<SegmentId>) -> Result<Vec<SegmentId>, Error> {
        self.reload()?;
        ids.sort_by_key(|id| self.first_rows.get(id).copied());
        Ok(ids)
    }

    /// What stands beside the index when nothing is written any more: all records, and what they say of their traces.
    pub(crate) fn content(&self) -> (BodyReader, TraceTable) {
        (self.bodies.reader(), self.layers.merged())
    }

    /// What was committed, as of the last [`reload`](Self::reload).
    pub(crate) fn view(&self) -> Result<ShardView, Error> {
        let searcher = self.reader.searcher();
        let reader = Reader::new(searcher, self.bodies.reader(), self.pairs.list.clone(), |segment| {
            let known = self.first_rows.get(&segment.segment_id());
            known.map_or_else(|| docs::first_row(segment), |row| Ok(*row))
        })?;
        Ok(ShardView {
            base: self.base,
            rows: self.bodies.rows,
            times: self.committed.as_ref().and_then(|commit| commit.times),
            last_arrival: 0,
            source: Source::Grown(Arc::new(reader), self.layers.clone()),
        })
    }
}

/// Waits for a merge, or until it is not wanted any more.
fn wait(
    merging: BoxFuture<'static, tantivy::Result<Option<SegmentMeta>>>,
    stop: &watch::Sender<bool>,
) -> Result<(), Error> {
    let mut stop = stop.subscribe();
    let stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
    match block_on(select(merging, stopped)) {
        Either::Left((merged, _)) => Ok(merged.map(|_| ())?),
        Either::Right(_) => Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into()),
    }
}

/// Partition and position of each lane, as a commit keeps them.
pub(crate) fn lane_of(signal: Signal, partition: u32) -> Lane {
    Lane { signal, partition }
}
