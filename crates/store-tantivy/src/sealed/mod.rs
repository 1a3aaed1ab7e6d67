//! Sealed shards: opened when they are asked, and closed again when others are asked more.
//!
//! Beside index, bodies and pairs a sealed shard has the files of [`table`] and [`filter`], and one that says where the blocks of its
//! bodies stand. At start none of them is read; what the manifest says of a shard is enough to leave it out of most searches.

pub(crate) mod filter;
pub(crate) mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::{Index, IndexReader, ReloadPolicy};
use weir_disk::Disk;
use weir_model::{Signal, TraceId};

use crate::bodies::{self, Blocks, BodyReader};
use crate::cache::Cache;
use crate::directory::DiskDirectory;
use crate::docs;
use crate::error::Error;
use crate::pairs;
use crate::shard::{Commit, Reader};
use crate::table::TraceTable;
use filter::TraceFilter;
use table::SealedTable;

/// Sealed shards of a signal that are open at a time. Each has about six mapped files; the system allows 65,530.
const OPEN_SHARDS: usize = 64;
/// Directories of trace tables in memory, bytes a signal.
const TABLES_BYTES: usize = 32 << 20;
/// Filters of trace ids in memory, bytes a signal: 50 million traces.
const FILTERS_BYTES: usize = 64 << 20;

/// Names of a sealed shard's files.
const TRACES: &str = "traces";
const FILTER: &str = "filter";
const BLOCKS: &str = "blocks";
/// Bodies whose small blocks were joined.
const JOINED: &str = "joined";
pub(crate) const BODIES: &str = "bodies";
pub(crate) const PAIRS: &str = "pairs";
pub(crate) const INDEX: &str = "index";

/// What is kept of the sealed shards of a signal that were asked last.
#[derive(Debug)]
pub(crate) struct Caches {
    pub(crate) blocks: Arc<Blocks>,
    readers: Cache<u64, Reader>,
    tables: Cache<u64, SealedTable>,
    filters: Cache<u64, TraceFilter>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            blocks: Arc::default(),
            readers: Cache::new(OPEN_SHARDS),
            tables: Cache::new(TABLES_BYTES),
            filters: Cache::new(FILTERS_BYTES),
        }
    }
}

/// A sealed shard.
#[derive(Debug)]
pub(crate) struct Sealed {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    signal: Signal,
    /// Its number among the shards of the signal.
    id: u64,
    joined: bool,
    caches: Arc<Caches>,
    gone: AtomicBool,
}

impl Sealed {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        signal: Signal,
        id: u64,
        joined: bool,
        caches: Arc<Caches>,
    ) -> Self {
        Self { disk, dir, signal, id, joined, caches, gone: AtomicBool::new(false) }
    }

    /// Marks it as removed by retention: a snapshot that still names it finds nothing in it.
    pub(crate) fn forget(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.caches.readers.remove(&self.id);
        self.caches.tables.remove(&self.id);
        self.caches.filters.remove(&self.id);
    }

    /// `None` where it was removed meanwhile.
    fn unless_gone<V>(&self, opened: Result<V, Error>) -> Result<Option<V>, Error> {
        match opened {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.gone.load(Ordering::Relaxed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn reader(&self) -> Result<Option<Arc<Reader>>, Error> {
        self.unless_gone(self.caches.readers.get(self.id, || {
            let files = DiskDirectory::open_sealed(self.disk.clone(), &self.dir.join(INDEX))?;
            let index = Index::open(files)?;
            let payload = index.load_metas()?.payload;
            let commit: Commit =
                serde_json::from_str(&payload.ok_or_else(|| Error::damaged("a sealed shard has no commit"))?)
                    .map_err(Error::damaged)?;
            let reader: IndexReader =
                index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            let bodies = self.dir.join(if self.joined { JOINED } else { BODIES });
            let directory = bodies::read_directory(self.disk.as_ref(), &self.dir.join(BLOCKS))?;
            let file = self.disk.open_read(&bodies)?;
            let bodies = BodyReader::open(file, directory, self.signal, self.caches.blocks.clone());
            let pairs = self.disk.open_read(&self.dir.join(PAIRS))?;
            let pairs = Arc::new(pairs::read(pairs.as_ref(), commit.pairs)?);
            let reader = Reader::new(reader.searcher(), bodies, pairs, docs::first_row)?;
            Ok::<_, Error>((reader, 1))
        }))
    }

    pub(crate) fn may_have(&self, trace: TraceId) -> Result<bool, Error> {
        let filter = self.unless_gone(self.caches.filters.get(self.id, || {
            let filter = TraceFilter::open(self.disk.as_ref(), &self.dir.join(FILTER))?;
            let weight = filter.memory();
            Ok((filter, weight))
        }))?;
        Ok(filter.is_some_and(|filter| filter.may_have(trace)))
    }

    pub(crate) fn table(&self) -> Result<Option<Arc<SealedTable>>, Error> {
        self.unless_gone(self.caches.tables.get(self.id, || {
            let table = SealedTable::open(self.disk.as_ref(), &self.dir.join(TRACES))?;
            let weight = table.memory();
            Ok((table, weight))
        }))
    }
}

/// Writes and syncs what a shard gets before the manifest calls it sealed. Returns whether its bodies were joined: then the file of before
/// is to be removed once the manifest says so.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    signal: Signal,
    bodies: &BodyReader,
    table: &TraceTable,
) -> Result<bool, Error> {
    table::write(disk, &dir.join(TRACES), table)?;
    filter::write(disk, &dir.join(FILTER), table.iter().map(|(trace, _)| *trace))?;
    let joined = bodies.worth_joining();
    let directory = match joined {
        true => bodies::join(bodies, disk.open(&dir.join(JOINED))?, signal)?,
        false => bodies.directory(),
    };
    bodies::write_directory(disk, &dir.join(BLOCKS), &directory)?;
    disk.sync_dir(dir)?;
    Ok(joined)
}
