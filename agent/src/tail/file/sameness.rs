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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::SourceConfig;
    use crate::stats::TailStats;
    use crate::tail::bodies::Bodies;
    use crate::tail::discover::Source;
    use crate::tail::file::{Life, Turn};
    use crate::tail::{LINE_BYTES, TURN_BYTES};

    /// So much is acknowledged of a file that an earlier run has read to its end.
    const ACKED: usize = 2_030;

    /// Whether a file is taken for the one that was saved, if it is written anew after it was recognised: before it is opened to be followed, or then.
    fn continues(text: &[u8], before: &[u8], after: &[u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        let config = SourceConfig { include: vec![path.display().to_string()], ..SourceConfig::default() };
        let source = Source::new(&config, &TailStats::default()).unwrap();
        let open = |life| {
            Followed::open(&source, &path, &fs::metadata(&path).unwrap(), File::open(&path).unwrap(), life)
                .unwrap()
        };
        fs::write(&path, text).unwrap();
        let mut earlier = open(Life::new(0));
        let (mut buf, mut bodies) = (vec![0; LINE_BYTES + TURN_BYTES], Bodies::new());
        bodies.open(1, |_| {});
        while earlier.turn(&mut buf, 0, &mut bodies).unwrap() == Turn::Read {}
        earlier.acknowledge(ACKED as u64);
        let saved = earlier.saved();
        assert!(identity::is_same(&saved, &File::open(&path).unwrap()).unwrap());

        let replace = |text| {
            // As it is, where nothing happens: also the time of writing.
            if fs::read(&path).unwrap() != text {
                fs::write(&path, text).unwrap();
            }
        };
        replace(before);
        let followed = open(Life::of(&saved).unwrap());
        replace(after);
        followed.continues(&saved).unwrap()
    }

    #[test]
    fn what_happens_between_two_looks_is_noticed() {
        let text: Vec<u8> = (0..40).flat_map(|n| format!("{n:02} {:096}\n", n * 7).into_bytes()).collect();
        let grown = [&text[..], b"one more line\n"].concat();
        assert!(continues(&text, &text, &text));
        assert!(continues(&text, &grown, &grown));
        assert!(continues(&text, &text, &grown));

        let with = |at: usize| {
            let mut text = grown.clone();
            text[at] = b'#';
            text
        };
        let others = [
            ("cut", Vec::new()),
            ("cut within what is acknowledged", text[..ACKED - 1].to_vec()),
            ("cut behind what is acknowledged", text[..ACKED + 1].to_vec()),
            ("written anew with other lines", vec![b'#'; grown.len()]),
            ("written anew with another beginning", with(10)),
            ("written anew with another end", with(text.len() - 1)),
        ];
        for (what, other) in others {
            assert!(!continues(&text, &other, &other), "{what} before it was opened");
            assert!(!continues(&text, &text, &other), "{what} after it was opened");
        }
        // Only what was read as it was opened tells this.
        assert!(!continues(&text, &text, &with(ACKED - 1)), "other lines are acknowledged");
    }
}
