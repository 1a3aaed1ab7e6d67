//! Bodies: the records of a shard, row by row in compressed blocks of one append-only file beside the index.
//!
//! ```text
//! block   u32 rows | u32 compressed length | u32 raw length | u32 CRC-32 of the compressed bytes | zstd of the rows
//! row     varint pair number | varint length | encoded record
//! ```
//! The file is synced before the commit that names its length, and cut back to that length when the shard is opened.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use weir_disk::File;

/// Bytes before a block's content.
const HEAD: usize = 16;
/// Rows of a block at the most.
pub(crate) const BLOCK_ROWS: usize = 500;
/// Uncompressed bytes after which a block is closed.
const BLOCK_BYTES: usize = 128 * 1024;
/// zstd level: the best bytes per CPU second that was measured.
const LEVEL: i32 = 3;
/// Decompressed blocks kept in memory per shard.
const CACHED_BLOCKS: usize = 64;

/// Where a block stands.
#[derive(Debug, Clone, Copy)]
struct Block {
    first_row: u64,
    offset: u64,
}

/// Appends rows.
pub(crate) struct BodyWriter {
    file: Arc<dyn File>,
    pub(crate) len: u64,
    pub(crate) rows: u64,
    blocks: Vec<Block>,
    raw: Vec<u8>,
    raw_rows: u32,
    compressor: zstd::bulk::Compressor<'static>,
}

impl BodyWriter {
    /// Opens the file, cuts it to `len`, and reads where the blocks stand.
    pub(crate) fn open(file: Arc<dyn File>, len: u64) -> io::Result<Self> {
        if file.len()? != len {
            file.truncate(len)?;
            file.sync()?;
        }
        let (blocks, rows) = directory(file.as_ref(), len)?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { file, len, rows, blocks, raw: Vec::new(), raw_rows: 0, compressor })
    }

    /// Adds a row and returns its number.
    pub(crate) fn push(&mut self, pair: u32, record: &[u8]) -> io::Result<u64> {
        varint(pair as u64, &mut self.raw);
        varint(record.len() as u64, &mut self.raw);
        self.raw.extend_from_slice(record);
        self.raw_rows += 1;
        let row = self.rows;
        self.rows += 1;
        if self.raw_rows as usize >= BLOCK_ROWS || self.raw.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(row)
    }

    /// Writes what is open as a block.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.raw_rows == 0 {
            return Ok(());
        }
        let content = self.compressor.compress(&self.raw)?;
        let mut block = Vec::with_capacity(HEAD + content.len());
        for n in [self.raw_rows, content.len() as u32, self.raw.len() as u32, crc32fast::hash(&content)] {
            block.extend_from_slice(&n.to_le_bytes());
        }
        block.extend_from_slice(&content);
        self.file.append(&block)?;
        self.blocks.push(Block { first_row: self.rows - self.raw_rows as u64, offset: self.len });
        self.len += block.len() as u64;
        self.raw.clear();
        self.raw_rows = 0;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()
    }

    /// Forgets what was added behind the given length.
    pub(crate) fn rollback(&mut self, len: u64, rows: u64) -> io::Result<()> {
        self.raw.clear();
        self.raw_rows = 0;
        self.blocks.retain(|block| block.offset < len);
        (self.len, self.rows) = (len, rows);
        self.file.truncate(len)
    }

    pub(crate) fn reader(&self) -> BodyReader {
        BodyReader {
            file: self.file.clone(),
            blocks: self.blocks.clone(),
            rows: self.rows - self.raw_rows as u64,
            cache: Mutex::default(),
        }
    }
}

fn directory(file: &dyn File, len: u64) -> io::Result<(Vec<Block>, u64)> {
    let (mut blocks, mut rows, mut offset) = (Vec::new(), 0, 0);
    while offset < len {
        let head = head(file, offset)?;
        blocks.push(Block { first_row: rows, offset });
        rows += head[0] as u64;
        offset += HEAD as u64 + head[1] as u64;
    }
    Ok((blocks, rows))
}

fn head(file: &dyn File, offset: u64) -> io::Result<[u32; 4]> {
    let mut bytes = [0; HEAD];
    file.read_exact_at(&mut bytes, offset)?;
    let word = |i: usize| u32::from_le_bytes(bytes[i * 4..i * 4 + 4].try_into().expect("four bytes"));
    Ok([word(0), word(1), word(2), word(3)])
}

/// A decompressed block.
#[derive(Debug)]
struct Rows {
    bytes: Bytes,
    /// Pair number and record of each row.
    rows: Vec<(u32, Range<usize>)>,
}

/// Reads rows of a state of the file. Shares it with the writer, who only appends.
#[derive(Debug)]
pub(crate) struct BodyReader {
    file: Arc<dyn File>,
    blocks: Vec<Block>,
    pub(crate) rows: u64,
    /// Blocks used last, newest at the end.
    cache: Mutex<Vec<(usize, Arc<Rows>)>>,
}

impl BodyReader {
    /// Pair number and encoded record of a row.
    pub(crate) fn row(&self, row: u64) -> io::Result<(u32, Bytes)> {
        if row >= self.rows {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("row {row} of {}", self.rows)));
        }
        let at = self.blocks.partition_point(|block| block.first_row <= row) - 1;
        let rows = self.block(at)?;
        let (pair, range) = rows.rows.get((row - self.blocks[at].first_row) as usize).ok_or_else(damaged)?;
        Ok((*pair, rows.bytes.slice(range.clone())))
    }

    fn block(&self, at: usize) -> io::Result<Arc<Rows>> {
        {
            let mut cache = self.cache.lock();
            if let Some(found) = cache.iter().rposition(|(number, _)| *number == at) {
                let entry = cache.remove(found);
                cache.push(entry.clone());
                return Ok(entry.1);
            }
        }
        let rows = Arc::new(self.read_block(at)?);
        let mut cache = self.cache.lock();
        if cache.len() == CACHED_BLOCKS {
            cache.remove(0);
        }
        cache.push((at, rows.clone()));
        Ok(rows)
    }

    fn read_block(&self, at: usize) -> io::Result<Rows> {
        let offset = self.blocks[at].offset;
        let [count, len, raw_len, crc] = head(self.file.as_ref(), offset)?;
        let mut content = vec![0; len as usize];
        self.file.read_exact_at(&mut content, offset + HEAD as u64)?;
        if crc32fast::hash(&content) != crc {
            return Err(damaged());
        }
        let bytes = zstd::bulk::decompress(&content, raw_len as usize)?;
        let mut rows = Vec::with_capacity(count as usize);
        let mut at = 0;
        for _ in 0..count {
            let pair = read_varint(&bytes, &mut at).ok_or_else(damaged)?;
            let len = read_varint(&bytes, &mut at).ok_or_else(damaged)? as usize;
            let end = at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(damaged)?;
            rows.push((pair as u32, at..end));
            at = end;
        }
        Ok(Rows { bytes: bytes.into(), rows })
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a block of bodies is damaged")
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        n |= ((byte & 0x7f) as u64) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use weir_disk::Disk;
    use weir_disk::sim::SimDisk;

    #[test]
    fn rows_come_back_also_after_a_cut() {
        let disk = SimDisk::new(1);
        let file = disk.open(Path::new("/bodies")).unwrap();
        let record = |n: u64| vec![n as u8; (n as usize * 7) % 400];
        let mut writer = BodyWriter::open(file.clone(), 0).unwrap();
        for n in 0..1_700 {
            assert_eq!(writer.push(n as u32 % 3, &record(n)).unwrap(), n);
        }
        writer.sync().unwrap();
        let (len, rows) = (writer.len, writer.rows);
        for n in 0..900 {
            writer.push(0, &record(n)).unwrap();
        }
        writer.sync().unwrap();
        let mut again = BodyWriter::open(file, len).unwrap();
        assert_eq!(again.rows, rows);
        again.push(9, b"last").unwrap();
        again.sync().unwrap();
        let reader = again.reader();
        for n in (0..rows).rev() {
            assert_eq!(reader.row(n).unwrap(), (n as u32 % 3, record(n).into()));
        }
        assert_eq!(reader.row(rows).unwrap(), (9, Bytes::from_static(b"last")));
        assert!(reader.row(rows + 1).is_err());
    }
}
