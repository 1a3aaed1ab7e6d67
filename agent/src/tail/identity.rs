//! Recognising a file: by device and inode, and always also by its content, since inodes are reused and files are cut and copied.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use xxhash_rust::xxh3::xxh3_64;

use super::{HEAD_BYTES, MARKER_BYTES};
use crate::checkpoint::Saved;

/// The first bytes of a file, as they were read: it may be cut and written again at any time. The hole that a writer leaves which keeps its position
/// over that is passed over: it says nothing.
#[derive(Debug, Default)]
pub(super) struct Head {
    mark: Mark,
    /// Until there are as many as are looked at.
    bytes: Vec<u8>,
}

/// Which bytes of a file are its first ones, and their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub(super) at: u64,
    pub(super) len: u64,
    pub(super) hash: u64,
}

impl Mark {
    pub(super) fn of(saved: &Saved) -> Self {
        Self { at: saved.head_at, len: saved.head_len, hash: saved.head_hash }
    }
}

impl Head {
    /// Of a file that is read from `from` on and was known by `mark`.
    pub(super) fn open(file: &File, mark: Mark, from: u64) -> io::Result<Self> {
        // What was not read yet says nothing: the file may be cut before it is.
        let len = mark.len.max(from.saturating_sub(mark.at)).min(HEAD_BYTES);
        let mut head = Self { mark: Mark { at: mark.at, ..Mark::default() }, bytes: Vec::new() };
        head.add(&read_at(file, mark.at, len as usize)?);
        Ok(head)
    }

    /// Of the content of a compressed file.
    pub(super) fn of_gzip(file: &File) -> io::Result<Self> {
        rewind(file)?;
        let mut content = MultiGzDecoder::new(file.try_clone()?);
        let (mut head, mut at) = (Self::default(), 0);
        let mut buf = vec![0; 64 * 1024];
        while head.mark.len < HEAD_BYTES {
            let n = content.read(&mut buf)?;
            if n == 0 {
                break;
            }
            head.take(at, &buf[..n]);
            at += n as u64;
        }
        rewind(file)?;
        Ok(head)
    }

    /// Takes bytes that were read at `at`.
    pub(super) fn take(&mut self, at: u64, bytes: &[u8]) {
        let Some(known) = (self.mark.at + self.mark.len).checked_sub(at) else { return };
        if self.mark.len < HEAD_BYTES
            && let Some(more) = bytes.get(known as usize..)
        {
            let hole = match self.mark.len {
                0 => more.iter().take_while(|byte| **byte == 0).count(),
                _ => 0,
            };
            self.mark.at += hole as u64;
            self.add(&more[hole..]);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.truncate(HEAD_BYTES as usize);
        (self.mark.len, self.mark.hash) = (self.bytes.len() as u64, xxh3_64(&self.bytes));
        if self.mark.len == HEAD_BYTES {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }
}

/// The first bytes of a file, at most `len` and at most as many as are looked at.
pub(super) fn first(file: &File, len: u64) -> io::Result<Vec<u8>> {
    read_at(file, 0, len.min(HEAD_BYTES) as usize)
}

/// The last bytes before an offset; fewer where the file ends before it.
pub(super) fn before(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let len = offset.min(MARKER_BYTES);
    read_at(file, offset - len, len as usize)
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
    let head = read_at(file, saved.head_at, saved.head_len.min(HEAD_BYTES) as usize)?;
    Ok(head.len() as u64 == saved.head_len
        && xxh3_64(&head) == saved.head_hash
        && xxh3_64(&before(file, saved.read)?) == saved.marker)
}

/// Whether a compressed file holds the one that was saved, perhaps grown since.
pub(super) fn holds(saved: &Saved, file: &File) -> io::Result<bool> {
    rewind(file)?;
    let mut content = MultiGzDecoder::new(file.try_clone()?);
    let wanted = saved.read.max(saved.head_at + saved.head_len);
    let (mut at, mut head, mut last) = (0u64, Vec::new(), Vec::new());
    let mut buf = vec![0; 64 * 1024];
    while at < wanted {
        let take = (wanted - at).min(buf.len() as u64) as usize;
        let n = content.read(&mut buf[..take])?;
        if n == 0 {
            return Ok(false);
        }
        if (head.len() as u64) < saved.head_len {
            let hole = saved.head_at.saturating_sub(at).min(n as u64) as usize;
            let missing = (saved.head_len as usize - head.len()).min(n - hole);
            head.extend_from_slice(&buf[hole..hole + missing]);
            if head.len() as u64 == saved.head_len && xxh3_64(&head) != saved.head_hash {
                return Ok(false);
            }
        }
        let before = saved.read.saturating_sub(at).min(n as u64) as usize;
        last.extend_from_slice(&buf[..before]);
        let excess = last.len().saturating_sub(saved.read.min(MARKER_BYTES) as usize);
        last.drain(..excess);
        at += n as u64;
    }
    Ok(xxh3_64(&head) == saved.head_hash && xxh3_64(&last) == saved.marker)
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

/// The names of which this may be a rotated form: `app.log` for `app.log.1`, `app.log-20240501.gz`, `app-20240501.log` and
/// `app.2024-05-01.0.log.gz`.
pub(super) fn names_before_rotation(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let is_mark = |c: char| matches!(c, '.' | '-' | '_');
    let ends = name.char_indices().filter(|(at, c)| *at > 0 && is_mark(*c));
    let mut names: Vec<PathBuf> = ends.map(|(at, _)| dir.join(&name[..at])).collect();
    // What stands between a mark and the next one is left out where it is a number.
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let is_number = |part: &str| part.len() > 1 && part[1..].bytes().all(|b| b.is_ascii_digit());
    let mut plain = String::new();
    let mut rest = name;
    while !rest.is_empty() {
        let end = rest.char_indices().skip(1).find(|(_, c)| is_mark(*c)).map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(end);
        if !(part.starts_with(is_mark) && is_number(part)) {
            plain.push_str(part);
        }
        rest = after;
    }
    if plain != name {
        names.push(dir.join(plain));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names() {
        for (rotated, expect) in [
            ("/l/app.log.1", true),
            ("/l/app.log.2.gz", true),
            ("/l/app.log-20240501.gz", true),
            ("/l/app.log_old", true),
            ("/l/app-20240501.log", true),
            ("/l/app.2024-05-01.0.log.gz", true),
            ("/l/other.log.1", false),
            ("/l/app.log", false),
            ("/l/app.logs", false),
            ("/m/app.log.1", false),
        ] {
            let names = names_before_rotation(Path::new(rotated));
            assert_eq!(names.contains(&PathBuf::from("/l/app.log")), expect, "{rotated}: {names:?}");
        }
    }
}
