//! The trace table of a sealed shard: a file of columns that is read a few traces at a time.
//!
//! ```text
//! file       blocks | operations | directory | footer
//! block      rows in the order of their ids: varint count | 16 bytes an id | the packed columns of [`row_columns`]
//! operations varint count | for each: varint length and bytes of the service, then of the name
//! directory  for each block: first id | u64 offset | u32 length | u32 CRC-32
//! footer     u64 offset of the operations | u64 offset of the directory | u32 CRC-32 from the operations to here | magic
//! ```
//! Written and synced before the manifest calls the shard sealed; opening it reads the operations and the directory only.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_disk::{Disk, File};
use weir_model::TraceId;
use weir_store::Operation;

use crate::packed::{Packed, pack, read_varint, unzigzag, varint, zigzag};
use crate::table::{Begin, Lines, Row, TraceTable};

/// Traces of a block: a look-up decodes one.
const BLOCK_TRACES: usize = 256;
/// Bytes that are written with one call.
const WRITE_BYTES: usize = 1 << 20;
const MAGIC: &[u8; 8] = b"WEIRTRC1";
const FOOTER: usize = 8 + 8 + 4 + 8;
/// An entry of the directory, bytes.
const ENTRY: usize = TraceId::LEN + 8 + 4 + 4;
/// Columns of a row.
const COLUMNS: usize = 15;

/// The difference of two times, small where they are near.
fn since(base: u64, time: u64) -> u64 {
    zigzag(time.wrapping_sub(base) as i64)
}

fn at(base: u64, since: u64) -> u64 {
    base.wrapping_add(unzigzag(since) as u64)
}

/// Numbers of operations in the file.
#[derive(Default)]
struct Numbers {
    list: Vec<Arc<Operation>>,
    numbers: HashMap<Arc<Operation>, u64>,
}

impl Numbers {
    fn of(&mut self, operation: &Arc<Operation>) -> u64 {
        if let Some(number) = self.numbers.get(operation) {
            return *number;
        }
        let number = self.list.len() as u64;
        self.list.push(operation.clone());
        self.numbers.insert(operation.clone(), number);
        number
    }
}

/// A row as numbers: first start, its operation plus 1, last end since, newest since, root (0 none, 1 the first, 2 another), its start since
/// and operation, operation plus 1 of the second and its start since, spans, errors, first line, lines, last line since, ERROR lines.
fn row_columns(row: &Row, numbers: &mut Numbers) -> [u64; COLUMNS] {
    let base = row.first.as_ref().map_or(0, |first| first.start);
    let mut begin = |begin: &Option<Begin>| {
        begin.as_ref().map_or((0, 0), |b| (numbers.of(&b.operation) + 1, since(base, b.start)))
    };
    let (first, _) = begin(&row.first);
    let (second, second_start) = begin(&row.second);
    let (root, root_start, root_operation) = match &row.root {
        None => (0, 0, 0),
        Some(root) if Some(root) == row.first.as_ref() => (1, 0, 0),
        Some(_) => {
            let (operation, start) = begin(&row.root);
            (2, start, operation - 1)
        }
    };
    let none = Lines { first: 0, last: 0, logs: 0, error_logs: 0 };
    let lines = row.lines.as_deref().unwrap_or(&none);
    let newest_base = if row.first.is_some() { base } else { lines.first };
    let last_end = if row.first.is_some() { since(base, row.last_end) } else { row.last_end };
    [
        base,
        first,
        last_end,
        since(newest_base, row.newest),
        root,
        root_start,
        root_operation,
        second,
        second_start,
        row.spans,
        row.errors,
        lines.first,
        lines.logs,
        since(lines.first, lines.last),
        lines.error_logs,
    ]
}

fn row_of(n: [u64; COLUMNS], operations: &[Arc<Operation>]) -> Option<Row> {
    let begin = |operation: u64, start: u64| match operation.checked_sub(1) {
        None => Some(None),
        Some(number) => {
            let operation = operations.get(usize::try_from(number).ok()?)?.clone();
            Some(Some(Begin { start, operation }))
        }
    };
    let [base, first, last_end, newest, root, root_start, root_operation, second, second_start, ..] = n;
    let [.., spans, errors, first_line, logs, last_line, error_logs] = n;
    let first = begin(first, base)?;
    let root = match root {
        0 => None,
        1 => first.clone(),
        _ => begin(root_operation.checked_add(1)?, at(base, root_start))?,
    };
    let second = begin(second, at(base, second_start))?;
    let lines = (logs > 0)
        .then(|| Box::new(Lines { first: first_line, last: at(first_line, last_line), logs, error_logs }));
    let newest = at(if first.is_some() { base } else { first_line }, newest);
    let last_end = if first.is_some() { at(base, last_end) } else { last_end };
    Some(Row { root, first, second, last_end, newest, spans, errors, lines })
}

/// Writes a table to a new file and syncs it; the folder is not.
pub(crate) fn write(disk: &dyn Disk, path: &Path, table: &TraceTable) -> io::Result<()> {
    let mut rows: Vec<_> = table.iter().collect();
    rows.sort_unstable_by_key(|(trace, _)| **trace);
    let file = disk.open(path)?;
    file.truncate(0)?;
    let (mut numbers, mut directory, mut buffer) = (Numbers::default(), Vec::new(), Vec::new());
    let mut written = 0;
    for block in rows.chunks(BLOCK_TRACES) {
        let start = buffer.len();
        varint(block.len() as u64, &mut buffer);
        block.iter().for_each(|(trace, _)| buffer.extend_from_slice(trace.as_bytes()));
        let columns: Vec<_> = block.iter().map(|(_, row)| row_columns(row, &mut numbers)).collect();
        for column in 0..COLUMNS {
            pack(&columns.iter().map(|row| row[column]).collect::<Vec<_>>(), &mut buffer);
        }
        directory.extend_from_slice(block[0].0.as_bytes());
        directory.extend_from_slice(&(written + start as u64).to_le_bytes());
        directory.extend_from_slice(&((buffer.len() - start) as u32).to_le_bytes());
        directory.extend_from_slice(&crc32fast::hash(&buffer[start..]).to_le_bytes());
        if buffer.len() >= WRITE_BYTES {
            file.append(&buffer)?;
            written += buffer.len() as u64;
            buffer.clear();
        }
    }
    let operations_at = written + buffer.len() as u64;
    let start = buffer.len();
    varint(numbers.list.len() as u64, &mut buffer);
    for operation in &numbers.list {
        for text in [&operation.service, &operation.name] {
            varint(text.len() as u64, &mut buffer);
            buffer.extend_from_slice(text.as_bytes());
        }
    }
    let directory_at = written + buffer.len() as u64;
    buffer.extend_from_slice(&directory);
    buffer.extend_from_slice(&operations_at.to_le_bytes());
    buffer.extend_from_slice(&directory_at.to_le_bytes());
    let crc = crc32fast::hash(&buffer[start..]);
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(MAGIC);
    file.append(&buffer)?;
    file.sync()
}

/// Where a block stands.
#[derive(Debug)]
struct Entry {
    first: TraceId,
    offset: u64,
    len: u32,
    crc: u32,
}

/// An open table.
#[derive(Debug)]
pub(crate) struct SealedTable {
    file: Arc<dyn File>,
    operations: Vec<Arc<Operation>>,
    directory: Vec<Entry>,
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a trace table is damaged")
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl SealedTable {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open_read(path)?;
        let len = file.len()?;
        let footer_at = len.checked_sub(FOOTER as u64).ok_or_else(damaged)?;
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, footer_at)?;
        let (operations_at, directory_at) = (number(&footer, 0), number(&footer, 8));
        let (Some(operations_at), Some(directory_at)) = (operations_at, directory_at) else {
            return Err(damaged());
        };
        let sound = operations_at <= directory_at && directory_at <= footer_at && footer.ends_with(MAGIC);
        if !sound {
            return Err(damaged());
        }
        let mut bytes = vec![0; (footer_at - operations_at) as usize + 16];
        file.read_exact_at(&mut bytes, operations_at)?;
        if crc32fast::hash(&bytes).to_le_bytes() != footer[16..20] {
            return Err(damaged());
        }
        bytes.truncate((footer_at - operations_at) as usize);
        let (operations, directory) = bytes.split_at((directory_at - operations_at) as usize);
        let operations = read_operations(operations).ok_or_else(damaged)?;
        let entry = |entry: &[u8]| {
            Some(Entry {
                first: TraceId::from_slice(&entry[..16])?,
                offset: number(entry, 16)?,
                len: u32::from_le_bytes(entry[24..28].try_into().ok()?),
                crc: u32::from_le_bytes(entry[28..].try_into().ok()?),
            })
        };
        let directory = directory.chunks_exact(ENTRY).map(entry).collect::<Option<_>>();
        Ok(Self { file, operations, directory: directory.ok_or_else(damaged)? })
    }

    /// Memory that it takes, bytes, roughly.
    pub(crate) fn memory(&self) -> usize {
        self.directory.len() * size_of::<Entry>() + self.operations.len() * 128
    }

    pub(crate) fn get(&self, trace: TraceId) -> io::Result<Option<Row>> {
        let behind = self.directory.partition_point(|entry| entry.first <= trace);
        let Some(entry) = behind.checked_sub(1).map(|i| &self.directory[i]) else { return Ok(None) };
        let block = Block::read(self.file.as_ref(), entry)?;
        match (0..block.count).find(|i| block.id(*i) == Some(trace)) {
            Some(index) => block.row(index, &self.operations).map(Some).ok_or_else(damaged),
            None => Ok(None),
        }
    }
}

fn read_operations(bytes: &[u8]) -> Option<Vec<Arc<Operation>>> {
    let mut at = 0;
    let text = |at: &mut usize| {
        let len = usize::try_from(read_varint(bytes, at)?).ok()?;
        let text = bytes.get(*at..at.checked_add(len)?)?;
        *at += len;
        std::str::from_utf8(text).ok().map(str::to_owned)
    };
    let count = read_varint(bytes, &mut at)?;
    let mut operations = Vec::new();
    for _ in 0..count {
        let (service, name) = (text(&mut at)?, text(&mut at)?);
        operations.push(Arc::new(Operation { service, name }));
    }
    Some(operations)
}

struct Block {
    bytes: Vec<u8>,
    count: usize,
    ids_at: usize,
    columns: Vec<Packed>,
}

impl Block {
    fn read(file: &dyn File, entry: &Entry) -> io::Result<Self> {
        let mut bytes = vec![0; entry.len as usize];
        file.read_exact_at(&mut bytes, entry.offset)?;
        if crc32fast::hash(&bytes) != entry.crc {
            return Err(damaged());
        }
        Self::parse(bytes).ok_or_else(damaged)
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let mut at = 0;
        let count = usize::try_from(read_varint(&bytes, &mut at)?).ok()?;
        let ids_at = at;
        at = count.checked_mul(TraceId::LEN)?.checked_add(at).filter(|at| *at <= bytes.len())?;
        let mut columns = Vec::with_capacity(COLUMNS);
        for _ in 0..COLUMNS {
            let column = Packed::find(&bytes, at, count)?;
            at = column.end();
            columns.push(column);
        }
        Some(Self { bytes, count, ids_at, columns })
    }

    fn id(&self, index: usize) -> Option<TraceId> {
        let at = self.ids_at + index * TraceId::LEN;
        TraceId::from_slice(self.bytes.get(at..at + TraceId::LEN)?)
    }

    fn row(&self, index: usize, operations: &[Arc<Operation>]) -> Option<Row> {
        let mut numbers = [0; COLUMNS];
        for (number, column) in numbers.iter_mut().zip(&self.columns) {
            *number = column.get(&self.bytes, index);
        }
        row_of(numbers, operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weir_disk::sim::SimDisk;

    prop_compose! {
        fn begin()(start in prop_oneof![0..u64::MAX, 1_000..2_000_u64], service in 0..3, name in 0..9) -> Begin {
            let operation = Operation { service: format!("s{service}"), name: format!("GET /{name}") };
            Begin { start, operation: Arc::new(operation) }
        }
    }

    prop_compose! {
        fn row()(
            first in prop::option::of(begin()),
            second in prop::option::of(begin()),
            root in prop::option::of(begin()),
            root_is_first: bool,
            times in any::<(u64, u64)>(),
            counts in (0_u64..500, 0_u64..5),
            lines in prop::option::of((any::<u64>(), any::<u64>(), 1_u64..100, 0_u64..9)),
        ) -> Row {
            let lines = lines.map(|(first, last, logs, error_logs)| Box::new(Lines { first, last, logs, error_logs }));
            let root = if root_is_first { first.clone() } else { root };
            Row { root, first, second, last_end: times.0, newest: times.1, spans: counts.0, errors: counts.1, lines }
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(rows in prop::collection::vec((1_u64..2_000, row()), 0..700)) {
            let disk = SimDisk::new(1);
            let path = Path::new("/traces");
            let mut table = TraceTable::default();
            rows.into_iter().for_each(|(id, row)| table.insert(TraceId::from_low(id).unwrap(), row));
            // What a seal that was interrupted has left is written over.
            disk.open(path).unwrap().append(b"half a table").unwrap();
            write(&disk, path, &table).unwrap();
            let sealed = SealedTable::open(&disk, path).unwrap();
            for id in 1..2_001 {
                let id = TraceId::from_low(id).unwrap();
                let found = sealed.get(id).unwrap();
                prop_assert_eq!(found.as_ref(), table.get(id));
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        let disk = SimDisk::new(1);
        let mut table = TraceTable::default();
        let row = |n| Row { newest: n, spans: n, ..Row::default() };
        (1..600).for_each(|n| table.insert(TraceId::from_low(n).unwrap(), row(n)));
        write(&disk, Path::new("/traces"), &table).unwrap();
        let bytes = weir_disk::read(&disk, Path::new("/traces")).unwrap();
        for at in (0..bytes.len()).step_by(11).chain(bytes.len() - FOOTER..bytes.len()) {
            let path = Path::new("/broken");
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            let file = disk.open(path).unwrap();
            file.truncate(0).unwrap();
            file.append(&bytes).unwrap();
            let all = |sealed: SealedTable| table.iter().try_for_each(|(id, _)| sealed.get(*id).map(|_| ()));
            let read = SealedTable::open(&disk, path).and_then(all);
            assert!(read.is_err(), "at {at}");
        }
    }
}
