//! Segments: the files of the log, each named by the position of its first record.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weir_disk::{Disk, File};

use super::record::{self, FRAME};
use crate::{Batch, Position};

const SUFFIX: &str = ".seg";

/// One file of the log.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: Position,
    pub(super) file: Arc<dyn File>,
    /// Bytes that are durable records.
    pub(super) len: u64,
}

pub(super) fn path(dir: &Path, first: Position) -> PathBuf {
    dir.join(format!("{:020}{SUFFIX}", first.0))
}

/// First positions of the segments in a folder, in order.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<Position>> {
    let names = disk.list(dir)?;
    Ok(names.iter().filter_map(|n| n.strip_suffix(SUFFIX)?.parse().ok()).map(Position).collect())
}

/// What stands at an offset of a segment.
#[derive(Debug)]
pub(super) enum Found {
    Record {
        position: Position,
        batch: Batch,
        next: u64,
    },
    /// The segment ends here.
    End,
    /// It ends inside the record, or the record is not sound.
    Damaged,
}

/// Reads the record at `offset` of a file of which the first `len` bytes count.
pub(super) fn read(file: &dyn File, offset: u64, len: u64) -> io::Result<Found> {
    if offset == len {
        return Ok(Found::End);
    }
    let mut frame = [0; FRAME];
    if offset + FRAME as u64 > len {
        return Ok(Found::Damaged);
    }
    file.read_exact_at(&mut frame, offset)?;
    let Ok(size) = record::content_len(&frame) else { return Ok(Found::Damaged) };
    let next = offset + (FRAME + size) as u64;
    if next > len {
        return Ok(Found::Damaged);
    }
    let mut content = vec![0; size];
    file.read_exact_at(&mut content, offset + FRAME as u64)?;
    Ok(match record::decode(&frame, Bytes::from(content)) {
        Ok((position, batch)) => Found::Record { position, batch, next },
        Err(_) => Found::Damaged,
    })
}

/// What a scan of a segment found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) records: u64,
    /// Bytes of whole, sound records from the beginning on.
    pub(super) len: u64,
    /// Bytes behind them.
    pub(super) rest: u64,
}

/// Walks a segment from its beginning to its end or first damage.
pub(super) fn scan(file: &dyn File, first: Position) -> io::Result<Scan> {
    let end = file.len()?;
    let (mut records, mut offset) = (0, 0);
    while let Found::Record { position, next, .. } = read(file, offset, end)? {
        if position.0 != first.0 + records {
            break;
        }
        records += 1;
        offset = next;
    }
    Ok(Scan { records, len: offset, rest: end - offset })
}
