//! The filter of the trace ids of a sealed shard: what it does not know is not there.
//!
//! A binary fuse filter (Graf and Lemire, 2022): about 9.5 bits a trace, one in 256 of other traces found by mistake.
//! ```text
//! file   u32 CRC-32 of the rest | descriptor | fingerprints          the rest is empty where there is no trace
//! ```

use std::io;
use std::path::Path;

use weir_disk::Disk;
use weir_model::TraceId;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};
use xxhash_rust::xxh3::xxh3_64;

const CRC: usize = 4;

/// What the filter, and [`crate::identities`], know of a trace: a hash of all its bytes, since the upper half of a 64-bit id is zero.
pub(crate) fn key(trace: TraceId) -> u64 {
    xxh3_64(trace.as_bytes())
}

/// Writes a filter to a new file and syncs it; the folder is not.
pub(crate) fn write(disk: &dyn Disk, path: &Path, traces: impl Iterator<Item = TraceId>) -> io::Result<()> {
    let mut keys: Vec<u64> = traces.map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut bytes = vec![0; CRC];
    if !keys.is_empty() {
        let filter = BinaryFuse8::try_from(&keys).map_err(io::Error::other)?;
        bytes.resize(CRC + BinaryFuse8::DESCRIPTOR_LEN, 0);
        filter.dma_copy_descriptor_to(&mut bytes[CRC..]);
        bytes.extend_from_slice(filter.dma_fingerprints());
    }
    let crc = crc32fast::hash(&bytes[CRC..]);
    bytes[..CRC].copy_from_slice(&crc.to_le_bytes());
    let file = disk.open(path)?;
    file.truncate(0)?;
    file.append(&bytes)?;
    file.sync()
}

/// A filter in memory.
#[derive(Debug)]
pub(crate) struct TraceFilter(Vec<u8>);

impl TraceFilter {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let bytes = weir_disk::read(disk, path)?;
        let sound = bytes.split_first_chunk::<CRC>().is_some_and(|(crc, rest)| {
            (rest.is_empty() || rest.len() > BinaryFuse8::DESCRIPTOR_LEN)
                && crc32fast::hash(rest).to_le_bytes() == *crc
        });
        if sound {
            Ok(Self(bytes))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "a filter of trace ids is damaged"))
        }
    }

    /// False where the trace is not in the shard.
    pub(crate) fn may_have(&self, trace: TraceId) -> bool {
        let rest = &self.0[CRC..];
        if rest.is_empty() {
            return false;
        }
        let (descriptor, fingerprints) = rest.split_at(BinaryFuse8::DESCRIPTOR_LEN);
        BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&key(trace))
    }

    /// Memory that it takes, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_disk::sim::SimDisk;

    fn trace(n: u64) -> TraceId {
        TraceId::from_low(n.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)).unwrap()
    }

    #[test]
    fn all_that_are_there_are_found_and_few_others() {
        let disk = SimDisk::new(1);
        let path = Path::new("/filter");
        for count in [0, 1, 2, 3, 10, 1_000, 50_000] {
            write(&disk, path, (0..count).chain(0..count).map(trace)).unwrap();
            let filter = TraceFilter::open(&disk, path).unwrap();
            assert!((0..count).all(|n| filter.may_have(trace(n))), "{count}");
            let others = (count..count + 100_000).filter(|n| filter.may_have(trace(*n))).count();
            assert!(others < 600, "{others} of 100,000 beside {count}");
            // A few traces take some bytes more each than many.
            assert!(filter.memory() as u64 <= count * 3 / 2 + 100, "{} for {count}", filter.memory());
        }
        disk.open(path).unwrap().append(b"x").unwrap();
        assert!(TraceFilter::open(&disk, path).is_err());
    }
}
