//! Files of chunks: an append-only row of blocks, each with the chunks of many series.
//!
//! ```text
//! block      u32 directory length | u32 directory raw length | u32 data length | u32 data raw length | u32 CRC-32 | directory | data
//! directory  zstd of: varint names | per name: varint length, JSON | varint chunks | per chunk: varint series, first time, last - first time,
//!            arrival of its first point in seconds, length in the data
//! data       zstd of the chunks
//! ```
//! A series is the number of its name in the file, counted over all blocks: a file needs no other to be read, and goes with its names.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_disk::{Disk, File};

use super::chunk::{self, Cursor, Point, damaged, varint};
use super::{Name, Names};

/// Bytes before a block's directory.
const HEAD: usize = 20;
/// Raw bytes of data after which a block is closed: what is read to get at one series.
const BLOCK_BYTES: usize = 256 * 1024;
/// zstd level: the best bytes per CPU second that was measured for bodies.
const LEVEL: i32 = 3;

/// Points of one series that will not change any more.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) name: Arc<Name>,
    /// When its first point arrived, seconds since the Unix epoch.
    pub(crate) arrived: u64,
    /// In order of time, never empty.
    pub(crate) points: Vec<Point>,
}

/// Where a block stands, and the times of its points.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    first: u64,
    last: u64,
}

/// A file as it was at some time. Cloning shares it; the file only grows.
#[derive(Debug, Clone)]
pub(crate) struct ChunkFile {
    file: Arc<dyn File>,
    pub(crate) len: u64,
    blocks: Arc<Vec<Block>>,
    names: Arc<Vec<Arc<Name>>>,
}

/// A chunk in a directory.
struct Entry {
    series: u64,
    first: u64,
    last: u64,
    arrived: u64,
    len: u64,
}

impl ChunkFile {
    /// Opens a file, creating it where there is none, and cuts it to `len`.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, len: u64, names: &mut Names) -> io::Result<Self> {
        let file = disk.open(path)?;
        let found = file.len()?;
        if found < len {
            return Err(damaged());
        }
        if found > len {
            file.truncate(len)?;
        }
        let mut opened = Self { file, len: 0, blocks: Arc::default(), names: Arc::default() };
        while opened.len < len {
            let (head, directory) = opened.directory(opened.len)?;
            let mut cursor = Cursor(&directory);
            let mut own = Vec::new();
            for _ in 0..cursor.varint()? {
                let len = cursor.varint()?;
                let name: Name = serde_json::from_slice(cursor.take(len)?)?;
                own.push(names.shared(name));
            }
            Arc::make_mut(&mut opened.names).extend(own);
            let entries = entries(&mut cursor)?;
            opened.add_block(&entries);
            opened.len += HEAD as u64 + u64::from(head[0]) + u64::from(head[2]);
        }
        if opened.len != len {
            return Err(damaged());
        }
        Ok(opened)
    }

    fn add_block(&mut self, entries: &[Entry]) {
        let first = entries.iter().map(|entry| entry.first).min().unwrap_or(u64::MAX);
        let last = entries.iter().map(|entry| entry.last).max().unwrap_or(0);
        Arc::make_mut(&mut self.blocks).push(Block { offset: self.len, first, last });
    }

    /// Lengths and checksum, and the raw directory, of the block at `offset`.
    fn directory(&self, offset: u64) -> io::Result<([u32; 5], Vec<u8>)> {
        let mut bytes = [0; HEAD];
        self.file.read_exact_at(&mut bytes, offset)?;
        let word = |i: usize| u32::from_le_bytes(bytes[i * 4..i * 4 + 4].try_into().expect("four bytes"));
        let head = [word(0), word(1), word(2), word(3), word(4)];
        let mut directory = vec![0; head[0] as usize];
        self.file.read_exact_at(&mut directory, offset + HEAD as u64)?;
        Ok((head, zstd::bulk::decompress(&directory, head[1] as usize)?))
    }

    /// Appends chunks and syncs them. After an error the file may hold a part of them behind `len`; the next call cuts it.
    pub(crate) fn append(
        &mut self,
        chunks: &[&Chunk],
        numbers: &mut HashMap<Arc<Name>, u64>,
    ) -> io::Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        if self.file.len()? != self.len {
            self.file.truncate(self.len)?;
        }
        let before = self.clone();
        let written = self.append_blocks(chunks, numbers).and_then(|()| self.file.sync());
        if written.is_err() {
            numbers.retain(|_, number| *number < before.names.len() as u64);
            *self = before;
        }
        written
    }

    fn append_blocks(&mut self, chunks: &[&Chunk], numbers: &mut HashMap<Arc<Name>, u64>) -> io::Result<()> {
        let (mut names, mut entries, mut data) = (Vec::new(), Vec::new(), Vec::new());
        let mut chunks = chunks.iter().peekable();
        while let Some(chunk) = chunks.next() {
            let next = (self.names.len() + names.len()) as u64;
            let series = *numbers.entry(chunk.name.clone()).or_insert_with(|| {
                names.push(chunk.name.clone());
                next
            });
            let before = data.len();
            chunk::encode(&chunk.points, &mut data);
            let (first, last) = (chunk.points[0].0, chunk.points[chunk.points.len() - 1].0);
            let len = (data.len() - before) as u64;
            entries.push(Entry { series, first, last, arrived: chunk.arrived, len });
            if data.len() >= BLOCK_BYTES || chunks.peek().is_none() {
                self.append_block(std::mem::take(&mut names), &std::mem::take(&mut entries), &data)?;
                data.clear();
            }
        }
        Ok(())
    }

    fn append_block(&mut self, names: Vec<Arc<Name>>, entries: &[Entry], data: &[u8]) -> io::Result<()> {
        let mut directory = Vec::new();
        varint(names.len() as u64, &mut directory);
        for name in &names {
            let json = serde_json::to_vec(name.as_ref())?;
            varint(json.len() as u64, &mut directory);
            directory.extend_from_slice(&json);
        }
        varint(entries.len() as u64, &mut directory);
        for entry in entries {
            for n in [entry.series, entry.first, entry.last - entry.first, entry.arrived, entry.len] {
                varint(n, &mut directory);
            }
        }
        let packed = zstd::bulk::compress(&directory, LEVEL)?;
        let content = zstd::bulk::compress(data, LEVEL)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&packed);
        crc.update(&content);
        let mut block = Vec::with_capacity(HEAD + packed.len() + content.len());
        for n in [packed.len(), directory.len(), content.len(), data.len(), crc.finalize() as usize] {
            block.extend_from_slice(&(n as u32).to_le_bytes());
        }
        block.extend_from_slice(&packed);
        block.extend_from_slice(&content);
        self.file.append(&block)?;
        self.add_block(entries);
        self.len += block.len() as u64;
        Arc::make_mut(&mut self.names).extend(names);
        Ok(())
    }

    /// Numbers of the names in the file, for [`append`](Self::append).
    pub(crate) fn numbers(&self) -> HashMap<Arc<Name>, u64> {
        self.names.iter().cloned().zip(0..).collect()
    }

    /// Calls `each` for every chunk that may have a point in `from..=last`, of series that are `wanted`.
    pub(crate) fn read(
        &self,
        from: u64,
        last: u64,
        wanted: &dyn Fn(&Name) -> bool,
        each: &mut dyn FnMut(Chunk),
    ) -> io::Result<()> {
        let wanted: Vec<bool> = self.names.iter().map(|name| wanted(name)).collect();
        if !wanted.contains(&true) {
            return Ok(());
        }
        for block in self.blocks.iter().filter(|block| block.first <= last && from <= block.last) {
            let (head, directory) = self.directory(block.offset)?;
            let mut cursor = Cursor(&directory);
            for _ in 0..cursor.varint()? {
                let len = cursor.varint()?;
                cursor.take(len)?;
            }
            let entries = entries(&mut cursor)?;
            let hit = |entry: &Entry| {
                entry.first <= last && from <= entry.last && wanted.get(entry.series as usize) == Some(&true)
            };
            if !entries.iter().any(hit) {
                continue;
            }
            let data = self.data(block.offset, head)?;
            let mut data = Cursor(&data);
            for entry in &entries {
                let bytes = data.take(entry.len)?;
                if hit(entry) {
                    let name = self.names[entry.series as usize].clone();
                    each(Chunk { name, arrived: entry.arrived, points: chunk::decode(bytes)? });
                }
            }
        }
        Ok(())
    }

    fn data(&self, offset: u64, head: [u32; 5]) -> io::Result<Vec<u8>> {
        let mut both = vec![0; head[0] as usize + head[2] as usize];
        self.file.read_exact_at(&mut both, offset + HEAD as u64)?;
        if crc32fast::hash(&both) != head[4] {
            return Err(damaged());
        }
        zstd::bulk::decompress(&both[head[0] as usize..], head[3] as usize)
    }
}

fn entries(cursor: &mut Cursor<'_>) -> io::Result<Vec<Entry>> {
    let count = cursor.varint()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (series, first, span) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
        let (arrived, len) = (cursor.varint()?, cursor.varint()?);
        let last = first.checked_add(span).ok_or_else(damaged)?;
        entries.push(Entry { series, first, last, arrived, len });
    }
    Ok(entries)
}
