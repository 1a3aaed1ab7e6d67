//! One followed file: where reading stands, what is acknowledged, and how it is recognised.

mod life;
mod reading;
mod sameness;

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use weir_model::Incarnation;
use weir_model::otlp::AttrWriter;
use weir_parse::Decision;
use weir_parse::stream::{Counts, Stream};
use xxhash_rust::xxh3::xxh3_64;

use super::discover::Source;
use super::identity::{Head, Mark};
use super::{bodies, identity};
use crate::checkpoint::Saved;
use crate::ledger::{Hole, HoleCause, SourceLedger, add_hole};
use crate::stats::{FileGauge, SourceStats};

pub(super) use life::Life;
pub(super) use reading::Turn;

/// How long a file whose name is gone is still followed: its writer may not have noticed.
const ROTATE_WAIT: Duration = Duration::from_secs(5);

/// A file that begins with a byte order mark of UTF-16 is of that encoding.
const ORDER_MARK_BYTES: u64 = 2;

/// Where bytes come from.
#[derive(Debug)]
enum Content {
    Plain,
    /// A rotated, compressed file. It does not grow. The checkpoint keeps what was known when it was opened: reading it again from there is
    /// recognised by offset, and nothing in the middle of a compressed file could be found again without reading it all.
    Gzip {
        decoder: Box<MultiGzDecoder<File>>,
        ended: bool,
        saved: Box<Saved>,
    },
}

/// A followed file.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    /// Where the path leads if it is a symbolic link.
    pub(super) target: Option<PathBuf>,
    pub(super) key: (u64, u64),
    pub(super) incarnation: Incarnation,
    /// Resource attributes from path and configuration.
    pub(super) attributes: Vec<(String, String)>,
    /// Spans are derived from its lines.
    derives: bool,
    pub(super) stats: Arc<SourceStats>,
    file: File,
    /// Its length when it was last looked at.
    len: u64,
    content: Content,
    /// Next byte to be read; bytes of an unfinished line are in `carry`.
    read: u64,
    carry: Vec<u8>,
    /// Bytes of the unfinished line that were dropped because it is over the limit.
    dropped: u64,
    /// The last one of them: it may be a half of a line's end.
    passed: u8,
    stream: Stream,
    /// What was decided about the file and may be needed to read it again.
    decisions: Vec<Decision>,
    /// There are decisions, or first bytes, that the checkpoint does not know: nothing may be sent before it does. Otherwise another file that
    /// is given the same inode could pass for this one.
    pub(super) unsaved: bool,
    /// Where the range of the batch under construction begins.
    batch_start: u64,
    /// Everything below is acknowledged.
    pub(super) acked: u64,
    head: Head,
    /// The last bytes before `read`, as they were read: they show that a file was cut and written again.
    last: Vec<u8>,
    /// How far an earlier run had read this life of the file, and the hash of the last bytes before that.
    known: (u64, u64),
    holes: Vec<Hole>,
    last_data: Instant,
    /// Since when there has been nothing to read.
    quiet_since: Option<Instant>,
    /// The name is gone or means another file: the rest is read, then it is let go.
    pub(super) gone: bool,
}

impl Followed {
    /// Follows a file from `from` on. `saved` is what is known of this life of it.
    pub(super) fn open(
        source: &Source,
        path: &Path,
        metadata: &Metadata,
        file: File,
        saved: Life,
    ) -> io::Result<Self> {
        let mark = saved.saved.as_ref().map(Mark::of).unwrap_or_default();
        let mark_bytes = saved.from.min(ORDER_MARK_BYTES);
        let mut first = Vec::new();
        let (head, content, last) = match identity::is_gzip(path) {
            false => {
                first = identity::first(&file, mark_bytes)?;
                (Head::open(&file, mark, saved.from)?, Content::Plain, identity::before(&file, saved.from)?)
            }
            true => {
                let head = Head::of_gzip(&file)?;
                let mark = head.mark();
                let known = saved.saved.clone().unwrap_or_else(|| Saved {
                    path: path.to_owned(),
                    incarnation: saved.incarnation.to_string(),
                    device: 0,
                    inode: 0,
                    acked: 0,
                    head_at: mark.at,
                    head_len: mark.len,
                    head_hash: mark.hash,
                    read: 0,
                    marker: xxh3_64(b""),
                    decisions: Vec::new(),
                    holes: Vec::new(),
                });
                let (device, inode) = identity::key(metadata);
                let known = Box::new(Saved { path: path.to_owned(), device, inode, ..known });
                let mut decoder = Box::new(MultiGzDecoder::new(file.try_clone()?));
                decoder.by_ref().take(mark_bytes).read_to_end(&mut first)?;
                io::copy(&mut decoder.by_ref().take(saved.from - mark_bytes), &mut io::sink())?;
                (head, Content::Gzip { decoder, ended: false, saved: known }, Vec::new())
            }
        };
        Ok(Self {
            path: path.to_owned(),
            target: target(path),
            key: identity::key(metadata),
            incarnation: saved.incarnation,
            attributes: source.attributes(path),
            derives: source.derive_spans,
            stats: source.stats.clone(),
            file,
            len: metadata.len(),
            content,
            read: saved.from,
            carry: Vec::new(),
            dropped: 0,
            passed: 0,
            stream: Stream::new(
                source.options(metadata, &first, saved.from),
                saved.decisions.iter().cloned(),
                saved.from,
            ),
            decisions: saved.decisions,
            unsaved: false,
            batch_start: saved.from,
            acked: saved.from,
            head,
            last,
            known: saved.saved.map_or((0, 0), |saved| (saved.read, saved.marker)),
            holes: saved.holes,
            last_data: Instant::now(),
            quiet_since: None,
            gone: false,
        })
    }

    /// Resource of its records.
    pub(super) fn resource(&self, attrs: &mut AttrWriter<'_>, host: &str) {
        self.attributes.iter().for_each(|(key, value)| attrs.str(key, value));
        attrs.str("host.name", host);
        bodies::place(attrs, &self.path.to_string_lossy(), &self.incarnation.to_string());
    }

    /// Whether the name is gone and so long has nothing come that nothing will.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.last_data.elapsed() >= ROTATE_WAIT
    }

    /// Takes what was written so far as the range of a batch.
    pub(super) fn take_range(&mut self) -> Range<u64> {
        let range = self.batch_start..self.stream.resume();
        self.batch_start = range.end;
        self.stats.queued_bytes.inc_by(range.end - range.start);
        range
    }

    /// Everything up to `end` that is not acknowledged yet will never be taken.
    pub(super) fn refuse(&mut self, end: u64) {
        add_hole(&mut self.holes, Hole { start: self.acked, end, cause: HoleCause::Refused });
    }

    /// What the ledger says of it.
    pub(super) fn ledger(&self) -> SourceLedger {
        SourceLedger {
            path: self.path.clone(),
            incarnation: self.incarnation,
            read: self.read,
            acknowledged: self.acked,
            holes: self.holes.clone(),
        }
    }

    pub(super) fn acknowledge(&mut self, end: u64) {
        self.stats.acknowledged_bytes.inc_by(end.saturating_sub(self.acked));
        self.acked = self.acked.max(end);
        let from = match &self.content {
            Content::Plain => self.acked,
            Content::Gzip { saved, .. } => saved.acked,
        };
        Decision::forget(&mut self.decisions, from);
    }

    /// Whether everything that was read is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.acked >= self.read
    }

    /// Whether every batch that has a part of it is acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acked >= self.batch_start
    }

    /// Remembers under which name and how long the file was seen. Returns whether that is new.
    pub(super) fn seen(&mut self, path: &Path, metadata: &Metadata) -> bool {
        let grown = std::mem::replace(&mut self.len, metadata.len()) != metadata.len();
        // Of two names it keeps the one that it has.
        let still = || fs::metadata(&self.path).is_ok_and(|metadata| identity::key(&metadata) == self.key);
        let renamed = self.path != path && !still();
        if renamed {
            self.path = path.to_owned();
            self.target = target(path);
        }
        grown || renamed
    }

    /// Bytes that are not read, and those that are read but not acknowledged. A compressed file's own bytes say nothing of what is in it.
    pub(super) fn gauge(&self) -> FileGauge {
        let unread = match self.content {
            Content::Plain => self.len.saturating_sub(self.read),
            Content::Gzip { .. } => 0,
        };
        FileGauge { unread, unacknowledged: self.read.saturating_sub(self.acked) }
    }

    pub(super) fn counts(&self) -> Counts {
        self.stream.counts()
    }

    /// What the checkpoint says of the file.
    pub(super) fn saved(&self) -> Saved {
        if let Content::Gzip { saved, .. } = &self.content {
            return Saved {
                decisions: self.decisions.iter().map(Decision::to_string).collect(),
                ..saved.as_ref().clone()
            };
        }
        let mark = self.head.mark();
        // Where an earlier run was further, it is still recognised by that.
        let (read, marker) = self.known.max((self.read, xxh3_64(&self.last)));
        Saved {
            path: self.path.clone(),
            incarnation: self.incarnation.to_string(),
            device: self.key.0,
            inode: self.key.1,
            acked: self.acked,
            head_at: mark.at,
            head_len: mark.len,
            head_hash: mark.hash,
            read,
            marker,
            decisions: self.decisions.iter().map(Decision::to_string).collect(),
            holes: self.holes.clone(),
        }
    }
}

fn target(path: &Path) -> Option<PathBuf> {
    fs::symlink_metadata(path).ok().filter(Metadata::is_symlink).and_then(|_| fs::canonicalize(path).ok())
}
