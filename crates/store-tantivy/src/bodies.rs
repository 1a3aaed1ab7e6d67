//! Bodies: the records of a shard, row by row in blocks of one append-only file beside the index.
//!
//! ```text
//! block   u32 rows | u32 bytes of columns | u32 bytes of records | u32 CRC-32 of each | u64 smallest and largest time |
//!         u64 smallest and largest measure | u32 CRC-32 of all this | columns | records
//! ```
//! What stands before the content is kept in memory, and spares searches the blocks that can't have what they want.
//! See [`crate::columns`] and [`crate::records`]. The file is synced before the commit that names its length, and cut back to that length
//! when the shard is opened.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use weir_disk::{Disk, File};
use weir_model::Signal;

use crate::cache::Cache;
use crate::columns::{self, Columns, Meta};
use crate::records::{self, Encoder, Records};

/// Bytes before a block's content.
const HEAD: usize = 56;
/// Rows of a block at the most: larger ones take a little less room, and longer to read a trace from.
pub(crate) const BLOCK_ROWS: usize = 512;
/// Bytes of records after which a block is closed.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;
/// A block with fewer rows and bytes on disk is small: small commits make such blocks, which take up to twice the room.
const SMALL_ROWS: u64 = BLOCK_ROWS as u64 / 2;
const SMALL_BYTES: u64 = BLOCK_BYTES as u64 / 8;
/// Columns and records of blocks that are kept decoded, bytes each, for all shards of a signal together.
const COLUMNS_BYTES: usize = 64 << 20;
const RECORDS_BYTES: usize = 64 << 20;

/// Names a block: the number of its file, in the order of opening, and its own.
type BlockKey = (u64, usize);

/// Blocks of all shards of a signal that were read last.
#[derive(Debug)]
pub(crate) struct Blocks {
    columns: Cache<BlockKey, Columns>,
    records: Cache<BlockKey, Records>,
    files: AtomicU64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            columns: Cache::new(COLUMNS_BYTES),
            records: Cache::new(RECORDS_BYTES),
            files: AtomicU64::new(0),
        }
    }
}

/// Where a block stands, and between what its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_row: u64,
    pub(crate) offset: u64,
    pub(crate) span: Extent,
}

/// Smallest and largest values of a block's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// As in [`Meta`].
    pub(crate) times: (u64, u64),
    pub(crate) measures: (u64, u64),
}

impl Extent {
    fn of(rows: &[Meta]) -> Self {
        let around = |value: fn(&Meta) -> u64| {
            let values = rows.iter().map(value);
            values.fold((u64::MAX, 0), |(least, most), n| (n.min(least), n.max(most)))
        };
        Self { times: around(|row| row.time), measures: around(|row| row.measure) }
    }

    fn numbers(self) -> [u64; 4] {
        [self.times.0, self.times.1, self.measures.0, self.measures.1]
    }

    fn from_numbers(mut next: impl FnMut() -> u64) -> Self {
        Self { times: (next(), next()), measures: (next(), next()) }
    }
}

/// Where all blocks of a file stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) blocks: Arc<Vec<Block>>,
    pub(crate) rows: u64,
    /// Bytes of the file that count.
    pub(crate) len: u64,
}

/// Bytes of a block in a directory on disk.
const ENTRY: usize = 48;

/// Writes a directory to a new file and syncs it; the folder is not. `u32 CRC-32 of the rest | u64 rows | u64 length of the bodies | for each
/// block u64 first row | u64 offset | u64 smallest and largest time | u64 smallest and largest measure`
pub(crate) fn write_directory(disk: &dyn Disk, path: &Path, directory: &Directory) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    let blocks = directory.blocks.iter();
    let blocks =
        blocks.flat_map(|block| [block.first_row, block.offset].into_iter().chain(block.span.numbers()));
    for n in [directory.rows, directory.len].into_iter().chain(blocks) {
        bytes.extend_from_slice(&n.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    let file = disk.open(path)?;
    file.truncate(0)?;
    file.append(&bytes)?;
    file.sync()
}

pub(crate) fn read_directory(disk: &dyn Disk, path: &Path) -> io::Result<Directory> {
    let bytes = weir_disk::read(disk, path)?;
    let (crc, rest) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let count = rest.len().checked_sub(16).filter(|bytes| bytes % ENTRY == 0).ok_or_else(damaged)? / ENTRY;
    if crc32fast::hash(rest).to_le_bytes() != *crc {
        return Err(damaged());
    }
    let mut numbers = rest.chunks_exact(8).map(|n| u64::from_le_bytes(n.try_into().expect("eight bytes")));
    let mut next = || numbers.next().unwrap_or(0);
    let (rows, len) = (next(), next());
    let block = |_| Block { first_row: next(), offset: next(), span: Extent::from_numbers(&mut next) };
    let blocks = (0..count).map(block).collect();
    Ok(Directory { blocks: Arc::new(blocks), rows, len })
}

/// Writes all rows to a new file in blocks that are as large as they may be, and syncs it. Rows keep their numbers.
pub(crate) fn join(reader: &BodyReader, file: Arc<dyn File>, signal: Signal) -> io::Result<Directory> {
    let mut writer = BodyWriter::open(file, 0, signal, reader.cache.clone())?;
    let mut waiting: Vec<(Meta, Bytes)> = Vec::new();
    let mut bytes = 0;
    let mut write = |waiting: &mut Vec<(Meta, Bytes)>| {
        let rows: Vec<_> = waiting.iter().map(|(meta, record)| (*meta, record.as_ref())).collect();
        writer.append(&rows)?;
        waiting.clear();
        Ok::<_, io::Error>(())
    };
    for block in reader.each_block() {
        let (columns, records) = block?;
        for index in 0..columns.rows() {
            let record = records.get(index).ok_or_else(damaged)?;
            bytes += record.len();
            waiting.push((columns.meta(index), record));
            if waiting.len() == BLOCK_ROWS || bytes >= BLOCK_BYTES {
                write(&mut waiting)?;
                bytes = 0;
            }
        }
    }
    write(&mut waiting)?;
    writer.sync()?;
    Ok(writer.reader().directory())
}

/// Appends blocks.
pub(crate) struct BodyWriter {
    signal: Signal,
    file: Arc<dyn File>,
    number: u64,
    cache: Arc<Blocks>,
    pub(crate) len: u64,
    pub(crate) rows: u64,
    blocks: Arc<Vec<Block>>,
    encoder: Encoder,
    buffer: Vec<u8>,
}

impl BodyWriter {
    /// Opens the file, cuts it to `len`, and reads where the blocks stand.
    pub(crate) fn open(
        file: Arc<dyn File>,
        len: u64,
        signal: Signal,
        cache: Arc<Blocks>,
    ) -> io::Result<Self> {
        if file.len()? != len {
            file.truncate(len)?;
            file.sync()?;
        }
        let (blocks, rows) = directory(file.as_ref(), len)?;
        let number = cache.files.fetch_add(1, Ordering::Relaxed);
        let encoder = Encoder::new(signal)?;
        let blocks = Arc::new(blocks);
        Ok(Self { signal, file, number, cache, len, rows, blocks, encoder, buffer: Vec::new() })
    }

    /// Adds rows, which become one block.
    pub(crate) fn append(&mut self, rows: &[(Meta, &[u8])]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let out = &mut self.buffer;
        out.clear();
        out.resize(HEAD, 0);
        let metas: Vec<Meta> = rows.iter().map(|(meta, _)| *meta).collect();
        columns::encode(&metas, self.signal == Signal::Spans, out);
        let columns = out.len() - HEAD;
        self.encoder.encode(rows, out)?;
        let crc = crc32fast::hash;
        let (at, records) = (HEAD + columns, out.len() - HEAD - columns);
        let words = [rows.len() as u32, columns as u32, records as u32, crc(&out[HEAD..at]), crc(&out[at..])];
        let span = Extent::of(&metas);
        let head = words.into_iter().flat_map(u32::to_le_bytes);
        let head: Vec<u8> = head.chain(span.numbers().into_iter().flat_map(u64::to_le_bytes)).collect();
        out[..HEAD - 4].copy_from_slice(&head);
        out[HEAD - 4..HEAD].copy_from_slice(&crc(&head).to_le_bytes());
        self.file.append(out)?;
        Arc::make_mut(&mut self.blocks).push(Block { first_row: self.rows, offset: self.len, span });
        self.len += out.len() as u64;
        self.rows += rows.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Forgets what was added behind the given length.
    pub(crate) fn rollback(&mut self, len: u64, rows: u64) -> io::Result<()> {
        Arc::make_mut(&mut self.blocks).retain(|block| block.offset < len);
        (self.len, self.rows) = (len, rows);
        self.file.truncate(len)
    }

    pub(crate) fn reader(&self) -> BodyReader {
        BodyReader {
            signal: self.signal,
            file: self.file.clone(),
            number: self.number,
            cache: self.cache.clone(),
            blocks: self.blocks.clone(),
            rows: self.rows,
            len: self.len,
        }
    }
}

fn directory(file: &dyn File, len: u64) -> io::Result<(Vec<Block>, u64)> {
    let (mut blocks, mut rows, mut offset) = (Vec::new(), 0, 0);
    while offset < len {
        let head = Head::read(file, offset)?;
        blocks.push(Block { first_row: rows, offset, span: head.span });
        rows += head.rows as u64;
        offset += HEAD as u64 + head.columns as u64 + head.records as u64;
    }
    Ok((blocks, rows))
}

/// What stands before a block's content.
struct Head {
    rows: u32,
    columns: u32,
    records: u32,
    columns_crc: u32,
    records_crc: u32,
    span: Extent,
}

impl Head {
    fn read(file: &dyn File, offset: u64) -> io::Result<Self> {
        let mut bytes = [0; HEAD];
        file.read_exact_at(&mut bytes, offset)?;
        let word = |i: usize| u32::from_le_bytes(bytes[i * 4..i * 4 + 4].try_into().expect("four bytes"));
        if crc32fast::hash(&bytes[..HEAD - 4]) != word(HEAD / 4 - 1) {
            return Err(damaged());
        }
        let mut numbers = bytes[20..HEAD - 4]
            .chunks_exact(8)
            .map(|n| u64::from_le_bytes(n.try_into().expect("eight bytes")));
        Ok(Self {
            span: Extent::from_numbers(|| numbers.next().unwrap_or(0)),
            rows: word(0),
            columns: word(1),
            records: word(2),
            columns_crc: word(3),
            records_crc: word(4),
        })
    }
}

/// Reads rows of a state of the file. Shares it with the writer, who only appends.
#[derive(Debug, Clone)]
pub(crate) struct BodyReader {
    signal: Signal,
    file: Arc<dyn File>,
    number: u64,
    cache: Arc<Blocks>,
    blocks: Arc<Vec<Block>>,
    pub(crate) rows: u64,
    len: u64,
}

/// A row's block and its place there.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    block: usize,
    first_row: u64,
    pub(crate) columns: Arc<Columns>,
}

impl Located {
    /// The row's index in the columns, where it is in this block.
    #[inline]
    pub(crate) fn index(&self, row: u64) -> Option<usize> {
        let index = row.checked_sub(self.first_row)? as usize;
        (index < self.columns.rows()).then_some(index)
    }
}

impl BodyReader {
    /// Reads a file that nobody writes to any more.
    pub(crate) fn open(
        file: Arc<dyn File>,
        directory: Directory,
        signal: Signal,
        cache: Arc<Blocks>,
    ) -> Self {
        let Directory { blocks, rows, len } = directory;
        let number = cache.files.fetch_add(1, Ordering::Relaxed);
        Self { signal, file, number, cache, blocks, rows, len }
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory { blocks: self.blocks.clone(), rows: self.rows, len: self.len }
    }

    /// Whether many of its blocks are small.
    pub(crate) fn worth_joining(&self) -> bool {
        let ends = self.blocks.iter().skip(1).map(|next| (next.first_row, next.offset));
        let ends = ends.chain([(self.rows, self.len)]);
        let small = self.blocks.iter().zip(ends).filter(|(block, (row, offset))| {
            row - block.first_row < SMALL_ROWS && offset - block.offset < SMALL_BYTES
        });
        let small = small.count();
        small > 1 && small > self.blocks.len() / 8
    }

    /// All blocks in their order.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Number of the block in which a row stands, which must be one of the file's.
    pub(crate) fn block_of(&self, row: u64) -> usize {
        self.blocks.partition_point(|block| block.first_row <= row).saturating_sub(1)
    }

    /// Behind the last row of a block.
    pub(crate) fn end_of(&self, block: usize) -> u64 {
        self.blocks.get(block + 1).map_or(self.rows, |next| next.first_row)
    }

    /// A block by its number.
    pub(crate) fn block(&self, block: usize) -> io::Result<Located> {
        let first_row = self.blocks.get(block).ok_or_else(damaged)?.first_row;
        Ok(Located { block, first_row, columns: self.columns(block)? })
    }

    /// The block of a row.
    pub(crate) fn locate(&self, row: u64) -> io::Result<Located> {
        if row >= self.rows {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("row {row} of {}", self.rows)));
        }
        let located = self.block(self.block_of(row))?;
        located.index(row).ok_or_else(damaged)?;
        Ok(located)
    }

    /// Encoded record of a row, which stands in the given block.
    pub(crate) fn record(&self, located: &Located, row: u64) -> io::Result<Bytes> {
        let records = self.records(located.block, &located.columns)?;
        located.index(row).and_then(|index| records.get(index)).ok_or_else(damaged)
    }

    /// Columns and encoded record of a row.
    pub(crate) fn row(&self, row: u64) -> io::Result<(Meta, Bytes)> {
        let located = self.locate(row)?;
        let record = self.record(&located, row)?;
        Ok((located.columns.meta(located.index(row).ok_or_else(damaged)?), record))
    }

    /// All blocks in their order, without remembering them.
    pub(crate) fn each_block(&self) -> impl Iterator<Item = io::Result<(Columns, Records)>> + '_ {
        (0..self.blocks.len()).map(|block| {
            let columns = self.read_columns(block)?;
            let records = self.read_records(block, &columns)?;
            Ok((columns, records))
        })
    }

    fn columns(&self, block: usize) -> io::Result<Arc<Columns>> {
        self.cache.columns.get((self.number, block), || {
            let columns = self.read_columns(block)?;
            let weight = columns.memory();
            Ok((columns, weight))
        })
    }

    fn records(&self, block: usize, columns: &Columns) -> io::Result<Arc<Records>> {
        self.cache.records.get((self.number, block), || {
            let records = self.read_records(block, columns)?;
            let weight = records.memory();
            Ok((records, weight))
        })
    }

    fn read_columns(&self, block: usize) -> io::Result<Columns> {
        let offset = self.blocks[block].offset;
        let head = Head::read(self.file.as_ref(), offset)?;
        let bytes = self.part(offset + HEAD as u64, head.columns, head.columns_crc)?;
        let columns = Columns::decode(bytes.into()).ok_or_else(damaged)?;
        if columns.rows() == head.rows as usize { Ok(columns) } else { Err(damaged()) }
    }

    fn read_records(&self, block: usize, columns: &Columns) -> io::Result<Records> {
        let offset = self.blocks[block].offset;
        let head = Head::read(self.file.as_ref(), offset)?;
        let at = offset + HEAD as u64 + head.columns as u64;
        let bytes = self.part(at, head.records, head.records_crc)?;
        records::decode(self.signal, |row| columns.meta(row), columns.rows(), &bytes).ok_or_else(damaged)
    }

    fn part(&self, offset: u64, len: u32, crc: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset)?;
        if crc32fast::hash(&bytes) == crc { Ok(bytes) } else { Err(damaged()) }
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a block of bodies is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use weir_disk::Disk;
    use weir_disk::sim::SimDisk;

    fn meta(n: u64) -> Meta {
        Meta { trace: None, time: n * 10, measure: n % 24, pair: n as u32 % 3, class: 0 }
    }

    #[test]
    fn rows_come_back_also_after_a_cut() {
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/bodies")).unwrap();
        let record = |n: u64| vec![n as u8; (n as usize * 7) % 400];
        let open = |len| BodyWriter::open(file.clone(), len, Signal::Logs, Arc::default()).unwrap();
        let append = |writer: &mut BodyWriter, rows: std::ops::Range<u64>| {
            let records: Vec<_> = rows.clone().map(record).collect();
            let rows: Vec<_> = rows.zip(&records).map(|(n, record)| (meta(n), record.as_slice())).collect();
            writer.append(&rows).unwrap();
        };
        let mut writer = open(0);
        append(&mut writer, 0..500);
        append(&mut writer, 500..501);
        append(&mut writer, 501..1_700);
        writer.sync().unwrap();
        let (len, rows) = (writer.len, writer.rows);
        assert_eq!(rows, 1_700);
        append(&mut writer, 0..900);
        writer.sync().unwrap();
        let mut again = open(len);
        assert_eq!(again.rows, rows);
        append(&mut again, 1_700..1_701);
        let reader = again.reader();
        for n in (0..=rows).rev() {
            assert_eq!(reader.row(n).unwrap(), (meta(n), record(n).into()));
        }
        assert!(reader.row(rows + 1).is_err());
        assert_eq!(reader.each_block().map(|block| block.unwrap().0.rows()).sum::<usize>(), 1_701);
    }

    #[test]
    fn small_blocks_are_joined() {
        let disk = SimDisk::new(1);
        let open = |name: &str| {
            let file = disk.open(Path::new(name)).unwrap();
            BodyWriter::open(file, 0, Signal::Logs, Arc::default()).unwrap()
        };
        let record = |n: u64| format!("line {n}").into_bytes();
        let mut writer = open("/bodies");
        for n in 0..1_300 {
            writer.append(&[(meta(n), &record(n))]).unwrap();
        }
        let reader = writer.reader();
        assert!(reader.worth_joining());
        let joined = disk.open(Path::new("/joined")).unwrap();
        // What a seal that was interrupted has left.
        joined.append(b"half a block").unwrap();
        let directory = join(&reader, joined.clone(), Signal::Logs).unwrap();
        assert_eq!((directory.blocks.len(), directory.rows), (3, 1_300));
        assert!(directory.len * 5 < writer.len, "{} of {}", directory.len, writer.len);
        let path = Path::new("/blocks");
        write_directory(&disk, path, &directory).unwrap();
        assert_eq!(read_directory(&disk, path).unwrap(), directory);
        let reader = BodyReader::open(joined, directory, Signal::Logs, Arc::default());
        assert!(!reader.worth_joining());
        for n in 0..1_300 {
            assert_eq!(reader.row(n).unwrap(), (meta(n), record(n).into()));
        }
        disk.open(path).unwrap().append(&[0; 16]).unwrap();
        assert!(read_directory(&disk, path).is_err());
    }

    #[test]
    fn damage_is_an_error() {
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/bodies")).unwrap();
        let mut writer = BodyWriter::open(file.clone(), 0, Signal::Logs, Arc::default()).unwrap();
        writer.append(&[(meta(1), b"one"), (meta(2), b"two")]).unwrap();
        let mut bytes = vec![0; writer.len as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes[writer.len as usize - 1] ^= 1;
        let other = disk.open(Path::new("/other")).unwrap();
        other.append(&bytes).unwrap();
        let writer = BodyWriter::open(other, writer.len, Signal::Logs, Arc::default()).unwrap();
        assert!(writer.reader().row(0).is_err());
    }
}
