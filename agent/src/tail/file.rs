//! One followed file: where reading stands, what is acknowledged, and how it is recognised.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use weir_model::Incarnation;
use weir_model::otlp::AttrWriter;
use weir_parse::stream::{Counts, Event, Stream};
use weir_parse::{Decision, derive};
use xxhash_rust::xxh3::xxh3_64;

use super::bodies::{self, Bodies};
use super::discover::Source;
use super::identity::{Head, Mark};
use super::{LINE_BYTES, MARKER_BYTES, TURN_BYTES, identity, records};
use crate::checkpoint::Saved;
use crate::ledger::{Hole, HoleCause, SourceLedger, add_hole};
use crate::stats::{FileGauge, SourceStats};

/// How long a file whose name is gone is still followed: its writer may not have noticed.
const ROTATE_WAIT: Duration = Duration::from_secs(5);

/// How long a file that holds the beginning of another one may be a copy that is being made.
const COPY_WAIT: Duration = Duration::from_secs(5);

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

/// What the parser is given.
enum Input<'a> {
    Lines(&'a [u8]),
    /// The head of a line that lacks its end or is too long.
    CutLine {
        head: &'a [u8],
        end: u64,
    },
    /// Nothing has come for a while, or ever will.
    Nothing,
}

/// What a turn has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more.
    Read,
    /// All that is there was read.
    AtEnd,
    /// The file is shorter, or its content another, than what was read: it is to be opened anew.
    Cut,
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
        let (head, content, last) = match identity::is_gzip(path) {
            false => {
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
                io::copy(&mut decoder.by_ref().take(saved.from), &mut io::sink())?;
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
            stream: Stream::new(
                source.options(metadata, saved.from),
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

    /// Goes on with another file that begins with what was read of this one, as an editor leaves it that writes a file anew.
    pub(super) fn move_to(&mut self, file: File, metadata: &Metadata) {
        self.file = file;
        self.key = identity::key(metadata);
        self.gone = false;
    }

    /// Whether no name leads to it any more, and all of it was read.
    pub(super) fn is_removed_and_read(&self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        Ok(matches!(self.content, Content::Plain) && metadata.nlink() == 0 && metadata.len() == self.read)
    }

    /// Whether another file is a copy of this one that is not whole yet. One that no longer grows is a file that begins alike.
    pub(super) fn is_copied_to(&self, copy: &File) -> io::Result<bool> {
        let metadata = copy.metadata()?;
        let end = metadata.len();
        Ok(end < self.read
            && metadata.modified()?.elapsed().is_ok_and(|quiet| quiet < COPY_WAIT)
            && identity::first(copy, end)? == identity::first(&self.file, end)?
            && identity::before(copy, end)? == identity::before(&self.file, end)?)
    }

    /// Whether another file that holds what was read of this one has more than this one, which was not cut since: it only begins alike.
    pub(super) fn is_outgrown_by(&self, other: &File) -> io::Result<bool> {
        Ok(other.metadata()?.len() > self.file.metadata()?.len() && !self.was_cut()?)
    }

    /// Whether it is, now that it is open, what was saved.
    pub(super) fn continues(&self, saved: &Saved) -> io::Result<bool> {
        match self.content {
            Content::Plain => Ok(identity::is_same(saved, &self.file)? && !self.was_cut()?),
            Content::Gzip { .. } => Ok(true),
        }
    }

    /// Whether there is a line without its end, or a record that may go on.
    pub(super) fn is_unfinished(&self) -> bool {
        !self.carry.is_empty() || self.stream.is_holding()
    }

    /// Whether the file was cut, or cut and written again, since it was read last.
    fn was_cut(&self) -> io::Result<bool> {
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
    pub(super) fn is_idle(&mut self) -> io::Result<bool> {
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

    /// Whether the name is gone and so long has nothing come that nothing will.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.last_data.elapsed() >= ROTATE_WAIT
    }

    /// Reads up to a turn's bytes and writes the records that are complete. `buf` holds an unfinished line and a turn's bytes.
    pub(super) fn turn(&mut self, buf: &mut [u8], now: u64, out: &mut Bodies) -> io::Result<Turn> {
        debug_assert!(buf.len() >= LINE_BYTES + TURN_BYTES);
        let kept = self.carry.len();
        let room = &mut buf[kept..kept + TURN_BYTES];
        let n = match &mut self.content {
            Content::Plain => self.file.read_at(room, self.read)?,
            Content::Gzip { decoder, ended, .. } => {
                let n = decoder.read(room)?;
                *ended = n == 0;
                n
            }
        };
        if n == 0 {
            return Ok(if self.was_cut()? { Turn::Cut } else { Turn::AtEnd });
        }
        if self.was_cut()? {
            return Ok(Turn::Cut);
        }
        self.last_data = Instant::now();
        self.quiet_since = None;
        buf[..kept].copy_from_slice(&self.carry);
        self.read += n as u64;
        self.stats.read_bytes.inc_by(n as u64);
        self.take(&buf[..kept + n], kept, now, out);
        if matches!(self.content, Content::Plain) {
            // From what was read: the file may have been cut since.
            self.last.extend_from_slice(&buf[kept + n.saturating_sub(MARKER_BYTES as usize)..kept + n]);
            let excess = self.last.len().saturating_sub(MARKER_BYTES as usize);
            self.last.drain(..excess);
            let known = self.head.mark();
            self.head.take(self.read - n as u64, &buf[kept..kept + n]);
            self.unsaved |= self.head.mark() != known;
        }
        Ok(Turn::Read)
    }

    /// Takes bytes of which the first `kept` are the unfinished line.
    fn take(&mut self, mut bytes: &[u8], kept: usize, now: u64, out: &mut Bodies) {
        if self.dropped > 0 {
            let Some(newline) = memchr::memchr(b'\n', &bytes[kept..]) else {
                self.dropped += (bytes.len() - kept) as u64;
                return;
            };
            let rest = &bytes[kept + newline + 1..];
            let end = self.read - rest.len() as u64;
            self.parse(Input::CutLine { head: &bytes[..kept], end }, now, out);
            self.dropped = 0;
            bytes = rest;
        }
        let used = self.parse(Input::Lines(bytes), now, out);
        let line = &bytes[used..];
        let hole = line.iter().take_while(|byte| **byte == 0).count();
        self.stream.skip(hole as u64);
        let line = &line[hole..];
        let held = line.len().min(LINE_BYTES);
        self.carry.clear();
        self.carry.extend_from_slice(&line[..held]);
        self.dropped = (line.len() - held) as u64;
    }

    /// Runs the parser over something. What it decides is kept, what is a record is written. Returns how many bytes it took.
    fn parse(&mut self, what: Input<'_>, now: u64, out: &mut Bodies) -> usize {
        let Self { stream, decisions, unsaved, derives, incarnation, stats, .. } = self;
        let mut emit = |event: Event<'_>| match event {
            Event::Record(record) => {
                let derived = if *derives { derive(&record, *incarnation) } else { None };
                records::write(&record, derived.as_ref(), now, &mut out.logs);
                if let Some(derived) = derived {
                    stats.derived_spans.inc_by(derived.count() as u64);
                    out.add_spans(&derived);
                }
            }
            Event::Decision(decision) => {
                decisions.push(decision);
                *unsaved = true;
            }
        };
        match what {
            Input::Lines(chunk) => stream.push(chunk, &mut emit),
            Input::CutLine { head, end } => {
                stream.push_cut(head, end, &mut emit);
                head.len()
            }
            Input::Nothing => {
                stream.cut(&mut emit);
                0
            }
        }
    }

    /// Whether a record waits for further lines.
    pub(super) fn is_holding(&self) -> bool {
        self.stream.is_holding()
    }

    /// Whether a record has been waiting for further lines since before `since`. What lies in the file unread while the next hop takes nothing
    /// does not count as missing.
    pub(super) fn waits_since(&self, since: Instant) -> bool {
        self.stream.is_holding() && self.quiet_since.is_some_and(|quiet| quiet < since)
    }

    /// Decides that the waiting record is complete, and writes it.
    pub(super) fn cut(&mut self, now: u64, out: &mut Bodies) {
        self.parse(Input::Nothing, now, out);
    }

    /// Writes what a file leaves that will never grow again: the waiting record and a line without its end.
    pub(super) fn finish(&mut self, now: u64, out: &mut Bodies) {
        let line = std::mem::take(&mut self.carry);
        let end = self.read;
        if !line.is_empty() {
            self.parse(Input::CutLine { head: &line, end }, now, out);
        }
        self.dropped = 0;
        self.cut(now, out);
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

/// One life of a file, and from where it is to be read.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    pub(super) from: u64,
    pub(super) decisions: Vec<Decision>,
    pub(super) holes: Vec<Hole>,
    /// What the checkpoint said of it.
    pub(super) saved: Option<Saved>,
}

impl Life {
    /// A new one. The incarnation must be saved before a record that carries it is sent.
    pub(super) fn new(from: u64) -> Self {
        let mut holes = Vec::new();
        add_hole(&mut holes, Hole { start: 0, end: from, cause: HoleCause::SkippedAtStart });
        Self { incarnation: Incarnation(rand::random()), from, decisions: Vec::new(), holes, saved: None }
    }

    pub(super) fn of(saved: &Saved) -> Option<Self> {
        let incarnation = saved.incarnation.parse().ok()?;
        Some(Self {
            incarnation,
            from: saved.acked,
            decisions: saved.decisions.iter().filter_map(|text| decision(text)).collect(),
            holes: saved.holes.clone(),
            saved: Some(saved.clone()),
        })
    }
}

/// A decision as the checkpoint has it.
fn decision(text: &str) -> Option<Decision> {
    text.parse()
        .inspect_err(|error| tracing::warn!(%error, "the checkpoint holds what this version does not know; it is ignored"))
        .ok()
}
