//! Recognising a file: by device and inode, and always also by its content, since inodes are reused and files are cut and copied.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use xxhash_rust::xxh3::xxh3_64;

use super::{HEAD_BYTES, MARKER_BYTES};
use crate::checkpoint::Saved;

/// Hash of the first `len` bytes at the most, and how many there were.
pub(super) fn head(file: &File, len: u64) -> io::Result<(u64, u64)> {
    let bytes = read_at(file, 0, len.min(HEAD_BYTES) as usize)?;
    Ok((bytes.len() as u64, xxh3_64(&bytes)))
}

/// Hash of the last bytes before an offset; `None` where the file ends before it.
pub(super) fn marker(file: &File, offset: u64) -> io::Result<Option<u64>> {
    let len = offset.min(MARKER_BYTES);
    let bytes = read_at(file, offset - len, len as usize)?;
    Ok((bytes.len() as u64 == len).then(|| xxh3_64(&bytes)))
}

fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match file.read_at(&mut bytes[at..], offset + at as u64)? {
            0 => break,
            n => at += n,
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Whether a file is the one that was saved, perhaps grown since.
pub(super) fn is_same(saved: &Saved, file: &File) -> io::Result<bool> {
    Ok(head(file, saved.head_len)? == (saved.head_len, saved.head_hash)
        && marker(file, saved.acked)? == Some(saved.marker))
}

/// Whether a compressed file holds the one that was saved, perhaps grown since.
pub(super) fn holds(saved: &Saved, file: &File) -> io::Result<bool> {
    rewind(file)?;
    let mut content = MultiGzDecoder::new(file.try_clone()?);
    let wanted = saved.acked.max(saved.head_len);
    let (mut at, mut head, mut last) = (0u64, Vec::new(), Vec::new());
    let mut buf = vec![0; 64 * 1024];
    while at < wanted {
        let take = (wanted - at).min(buf.len() as u64) as usize;
        let n = content.read(&mut buf[..take])?;
        if n == 0 {
            return Ok(false);
        }
        if (head.len() as u64) < saved.head_len {
            let missing = (saved.head_len as usize - head.len()).min(n);
            head.extend_from_slice(&buf[..missing]);
            if head.len() as u64 == saved.head_len && xxh3_64(&head) != saved.head_hash {
                return Ok(false);
            }
        }
        if at < saved.acked {
            let before = (saved.acked - at).min(n as u64) as usize;
            last.extend_from_slice(&buf[..before]);
            let excess = last.len().saturating_sub(saved.acked.min(MARKER_BYTES) as usize);
            last.drain(..excess);
        }
        at += n as u64;
    }
    Ok(xxh3_64(&head) == saved.head_hash && xxh3_64(&last) == saved.marker)
}

/// Hash of the first bytes of a compressed file's content, and how many there were.
pub(super) fn head_of_gzip(file: &File) -> io::Result<(u64, u64)> {
    rewind(file)?;
    let mut head = Vec::new();
    MultiGzDecoder::new(file.try_clone()?).take(HEAD_BYTES).read_to_end(&mut head)?;
    rewind(file)?;
    Ok((head.len() as u64, xxh3_64(&head)))
}

/// Decoders read from the file's own position.
pub(super) fn rewind(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0)).map(|_| ())
}

/// Device and inode.
pub(super) fn key(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

pub(super) fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// Whether one name looks like a rotated form of another: `app.log` and `app.log.1`, `app.log-20240501.gz`.
pub(super) fn is_rotated_name(rotated: &Path, live: &Path) -> bool {
    match (rotated.to_str(), live.to_str()) {
        (Some(rotated), Some(live)) => {
            rotated.strip_prefix(live).is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        }
        _ => false,
    }
}
