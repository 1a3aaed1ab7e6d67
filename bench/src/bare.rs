//! Bare loops over a file, the peers of the tail: what reading, finding lines, writing records and finding fields cost at the least.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::Path;

use memchr::{memchr, memchr_iter};

use crate::cpu;
use crate::report::mb_per_second;

/// Size of a read, as the agent's.
const READ: usize = 256 * 1024;

/// Reads a file in blocks that end with a whole line and gives each to the loop, with a buffer to write into. Returns MB a CPU-second.
///
/// # Errors
/// When the file can't be read.
pub fn run(path: &Path, mut each: impl FnMut(&[u8], &mut Vec<u8>)) -> anyhow::Result<f64> {
    let bytes = fs::metadata(path)?.len();
    let before = cpu::used();
    let mut file = File::open(path)?;
    let (mut block, mut kept) = (vec![0; READ + 64 * 1024], 0);
    let mut out = Vec::with_capacity(2 << 20);
    loop {
        let read = file.read(&mut block[kept..kept + READ])?;
        if read == 0 {
            break;
        }
        let filled = kept + read;
        let whole = memchr::memrchr(b'\n', &block[..filled]).map_or(0, |at| at + 1);
        each(&block[..whole], &mut out);
        if out.len() > 1 << 20 {
            black_box(&out);
            out.clear();
        }
        block.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    Ok(mb_per_second(bytes, cpu::used() - before))
}

/// Nothing but reading.
pub fn read(_: &[u8], _: &mut Vec<u8>) {}

/// Counts the lines.
pub fn newlines(block: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(memchr_iter(b'\n', block).count() as u64).to_le_bytes());
}

/// One OTLP log record per line: a time and the body, lengths as they come.
pub fn records(block: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for end in memchr_iter(b'\n', block) {
        let line = &block[start..end];
        start = end + 1;
        // Field 5 (body) holds an AnyValue whose field 1 is the text.
        let text = 1 + varint_len(line.len()) + line.len();
        let record = 9 + 1 + varint_len(text) + text;
        out.push(0x12);
        varint(record, out);
        out.push(0x09);
        out.extend_from_slice(&1_764_000_000_000_000_000_u64.to_le_bytes());
        out.push(0x2a);
        varint(text, out);
        out.push(0x0a);
        varint(line.len(), out);
        out.extend_from_slice(line);
    }
}

fn varint_len(n: usize) -> usize {
    1 + (n >= 1 << 7) as usize + (n >= 1 << 14) as usize
}

fn varint(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Finds twelve fields of an access line by their delimiters and adds up their lengths.
pub fn fields(block: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    let mut sum = 0_u64;
    for end in memchr_iter(b'\n', block) {
        let mut rest = &block[start..end];
        start = end + 1;
        for delimiter in [b' ', b' ', b'[', b']', b'"', b' ', b' ', b'"', b' ', b' ', b'"', b'"'] {
            let Some(at) = memchr(delimiter, rest) else { break };
            sum += at as u64;
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(&sum.to_le_bytes());
}
