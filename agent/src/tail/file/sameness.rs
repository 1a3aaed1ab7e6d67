//! Whether a file is still, or again, the one that was read: it may have been cut, copied, written anew or outgrown by another.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::{Content, Followed};
use crate::checkpoint::Saved;
use crate::tail::identity;

/// How long a file that holds the beginning of another one may be a copy that is being made.
const COPY_WAIT: Duration = Duration::from_secs(5);

impl Followed {
    /// Goes on with another file that begins with what was read of this one, as an editor leaves it that writes a file anew.
    pub(in crate::tail) fn move_to(&mut self, file: File, metadata: &Metadata) {
        self.file = file;
        self.key = identity::key(metadata);
        self.gone = false;
    }

    /// Whether no name leads to it any more, and all of it was read.
    pub(in crate::tail) fn is_removed_and_read(&self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        Ok(matches!(self.content, Content::Plain) && metadata.nlink() == 0 && metadata.len() == self.read)
    }

    /// Whether another file is a copy of this one that is not whole yet. One that no longer grows is a file that begins alike.
    pub(in crate::tail) fn is_copied_to(&self, copy: &File) -> io::Result<bool> {
        let metadata = copy.metadata()?;
        let end = metadata.len();
        Ok(end < self.read
            && metadata.modified()?.elapsed().is_ok_and(|quiet| quiet < COPY_WAIT)
            && identity::first(copy, end)? == identity::first(&self.file, end)?
            && identity::before(copy, end)? == identity::before(&self.file, end)?)
    }

    /// Whether another file that holds what was read of this one has more than this one, which was not cut since: it only begins alike.
    pub(in crate::tail) fn is_outgrown_by(&self, other: &File) -> io::Result<bool> {
        Ok(other.metadata()?.len() > self.file.metadata()?.len() && !self.was_cut()?)
    }

    /// Whether it is, now that it is open, what was saved.
    pub(in crate::tail) fn continues(&self, saved: &Saved) -> io::Result<bool> {
        match self.content {
            Content::Plain => Ok(identity::is_same(saved, &self.file)? && !self.was_cut()?),
            Content::Gzip { .. } => Ok(true),
        }
    }

    /// Whether the file was cut, or cut and written again, since it was read last.
    pub(super) fn was_cut(&self) -> io::Result<bool> {
        if matches!(self.content, Content::Gzip { .. }) {
            return Ok(false);
        }
        // What an earlier run had read further on is still there, too.
        let (known, marker) = self.known;
        Ok(self.file.metadata()?.len() < self.read
            || identity::before(&self.file, self.read)? != self.last
            || (self.read < known && xxh3_64(&identity::before(&self.file, known)?) != marker))
    }

    /// Whether there is nothing to read, and nothing that must be noticed.
    pub(in crate::tail) fn is_idle(&mut self) -> io::Result<bool> {
        let idle = match &self.content {
            Content::Plain => {
                self.len = self.file.metadata()?.len();
                self.len == self.read && identity::before(&self.file, self.read)? == self.last
            }
            Content::Gzip { ended, .. } => *ended,
        };
        if idle {
            self.quiet_since.get_or_insert_with(Instant::now);
        }
        Ok(idle)
    }
}
