//! Which ranges of which sources are stored: what recognises a record that comes again, and the ledger that users see.
//!
//! On disk an append-only file of `u128 incarnation | u32 partition | u64 start | u64 end`, synced and cut like the bodies.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_disk::{Disk, File};
use weir_model::{Incarnation, Signal};
use weir_store::{LedgerRow, RangeSet};
use weir_transport::{Lane, Origin};

/// One entry, bytes.
const ENTRY: usize = 16 + 4 + 8 + 8;
/// Where the file stands; part of each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct LedgerMark {
    pub(crate) len: u64,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    signal: Signal,
    file: Arc<dyn File>,
    pub(crate) mark: LedgerMark,
    sets: HashMap<(Incarnation, u32), RangeSet>,
    /// Added since the last sync.
    fresh: Vec<u8>,
}

impl Ledger {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, signal: Signal, mark: LedgerMark) -> io::Result<Self> {
        let file = disk.open(&dir.join("ranges"))?;
        disk.sync_dir(dir)?;
        if file.len()? != mark.len {
            file.truncate(mark.len)?;
        }
        let mut bytes = vec![0; mark.len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let mut ledger = Self { signal, file, mark, sets: HashMap::new(), fresh: Vec::new() };
        for entry in bytes.chunks_exact(ENTRY) {
            let incarnation = u128::from_le_bytes(entry[..16].try_into().expect("sixteen bytes"));
            let partition = u32::from_le_bytes(entry[16..20].try_into().expect("four bytes"));
            let start = u64::from_le_bytes(entry[20..28].try_into().expect("eight bytes"));
            let end = u64::from_le_bytes(entry[28..].try_into().expect("eight bytes"));
            ledger.sets.entry((Incarnation(incarnation), partition)).or_default().insert(start..end);
        }
        Ok(ledger)
    }

    pub(crate) fn set(&self, incarnation: Incarnation, partition: u32) -> Option<&RangeSet> {
        self.sets.get(&(incarnation, partition))
    }

    pub(crate) fn insert(&mut self, partition: u32, origin: &Origin) {
        let set = self.sets.entry((origin.incarnation, partition)).or_default();
        if set.covers(&origin.range) {
            return;
        }
        set.insert(origin.range.clone());
        entry(origin.incarnation, partition, origin.range.start, origin.range.end, &mut self.fresh);
    }

    /// Takes what was added since the last sync, to be handed to [`write`](Self::write) outside of any lock.
    pub(crate) fn take_fresh(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.fresh)
    }

    /// Gives back what could not be written.
    pub(crate) fn restore_fresh(&mut self, mut fresh: Vec<u8>) {
        fresh.append(&mut self.fresh);
        self.fresh = fresh;
    }

    pub(crate) fn file(&self) -> Arc<dyn File> {
        self.file.clone()
    }

    /// Writes durably behind `mark` what [`take_fresh`](Self::take_fresh) gave, and returns the mark behind it.
    pub(crate) fn write(file: &dyn File, mark: LedgerMark, fresh: &[u8]) -> io::Result<LedgerMark> {
        if fresh.is_empty() {
            return Ok(mark);
        }
        // A write that failed before may have left a part behind.
        if file.len()? != mark.len {
            file.truncate(mark.len)?;
        }
        file.append(fresh)?;
        file.sync()?;
        Ok(LedgerMark { len: mark.len + fresh.len() as u64 })
    }

    pub(crate) fn rows(&self) -> Vec<LedgerRow> {
        let row = |(&(incarnation, partition), ranges): (&(Incarnation, u32), &RangeSet)| LedgerRow {
            incarnation,
            lane: Lane { signal: self.signal, partition },
            ranges: ranges.clone(),
        };
        self.sets.iter().map(row).collect()
    }
}

fn entry(incarnation: Incarnation, partition: u32, start: u64, end: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&incarnation.0.to_le_bytes());
    out.extend_from_slice(&partition.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
}
