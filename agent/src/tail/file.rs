//! One followed file: where reading stands, what is acknowledged, and how it is recognised.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use weir_model::Incarnation;
use weir_model::limits::BODY_BYTES;
use weir_model::otlp::BodyWriter;
use xxhash_rust::xxh3::xxh3_64;

use super::records::Assembler;
use super::{HEAD_BYTES, TURN_BYTES, identity};
use crate::checkpoint::Saved;

/// How long a file whose name is gone is still followed: its writer may not have noticed.
const ROTATE_WAIT: Duration = Duration::from_secs(5);

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
    pub(super) key: (u64, u64),
    pub(super) incarnation: Incarnation,
    /// Resource attributes from path and configuration.
    pub(super) attributes: Vec<(String, String)>,
    file: File,
    content: Content,
    /// Next byte to be read; bytes of an unfinished line are in `carry`.
    read: u64,
    carry: Vec<u8>,
    /// Dropping the rest of a line that is over the limit.
    skipping: bool,
    assembler: Assembler,
    /// Where the range of the batch under construction begins.
    batch_start: u64,
    /// Everything below is acknowledged.
    pub(super) acked: u64,
    head: (u64, u64),
    /// Hash of the bytes before `acked`.
    acked_marker: u64,
    /// Ends of ranges that are under way, each with the hash of the bytes before it, taken while they were surely there.
    sent: VecDeque<(u64, u64)>,
    /// Hash of the bytes before `read`, to notice that a file was cut and written again.
    read_marker: Option<u64>,
    cuts: VecDeque<u64>,
    skipped: u64,
    last_data: Instant,
    /// The name is gone or means another file: the rest is read, then it is let go.
    pub(super) gone: bool,
    pub(super) lines: u64,
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
        path: &Path,
        metadata: &Metadata,
        file: File,
        attributes: Vec<(String, String)>,
        saved: Life,
    ) -> io::Result<Self> {
        let (head, content, read_marker) = match identity::is_gzip(path) {
            false => {
                (identity::head(&file, HEAD_BYTES)?, Content::Plain, identity::marker(&file, saved.from)?)
            }
            true => {
                let head = identity::head_of_gzip(&file)?;
                let known = saved.saved.clone().unwrap_or_else(|| Saved {
                    path: path.to_owned(),
                    incarnation: saved.incarnation.to_string(),
                    device: 0,
                    inode: 0,
                    acked: 0,
                    head_len: head.0,
                    head_hash: head.1,
                    marker: xxh3_64(b""),
                    cuts: Vec::new(),
                    skipped: 0,
                });
                let (device, inode) = identity::key(metadata);
                let known = Box::new(Saved { path: path.to_owned(), device, inode, ..known });
                let mut decoder = Box::new(MultiGzDecoder::new(file.try_clone()?));
                io::copy(&mut decoder.by_ref().take(saved.from), &mut io::sink())?;
                (head, Content::Gzip { decoder, ended: false, saved: known }, None)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            key: identity::key(metadata),
            incarnation: saved.incarnation,
            attributes,
            file,
            content,
            read: saved.from,
            carry: Vec::new(),
            skipping: false,
            assembler: Assembler::default(),
            batch_start: saved.from,
            acked: saved.from,
            head,
            acked_marker: read_marker.unwrap_or_default(),
            sent: VecDeque::new(),
            read_marker,
            cuts: saved.cuts.into(),
            skipped: saved.skipped,
            last_data: Instant::now(),
            gone: false,
            lines: 0,
        })
    }

    /// Whether the file was cut, or cut and written again, since it was read last.
    fn was_cut(&self) -> io::Result<bool> {
        if matches!(self.content, Content::Gzip { .. }) {
            return Ok(false);
        }
        Ok(self.file.metadata()?.len() < self.read
            || identity::marker(&self.file, self.read)? != self.read_marker)
    }

    /// Whether there is nothing to read, and nothing that must be noticed.
    pub(super) fn is_idle(&self) -> io::Result<bool> {
        match &self.content {
            Content::Plain => Ok(self.file.metadata()?.len() == self.read
                && identity::marker(&self.file, self.read)? == self.read_marker),
            Content::Gzip { ended, .. } => Ok(*ended),
        }
    }

    /// Whether the name is gone and so long has nothing come that nothing will.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.last_data.elapsed() >= ROTATE_WAIT
    }

    /// Reads up to a turn's bytes and writes the records that are complete.
    pub(super) fn turn(&mut self, buf: &mut [u8], now: u64, out: &mut BodyWriter) -> io::Result<Turn> {
        debug_assert!(buf.len() >= TURN_BYTES);
        let n = match &mut self.content {
            Content::Plain => self.file.read_at(buf, self.read)?,
            Content::Gzip { decoder, ended, .. } => {
                let n = decoder.read(buf)?;
                *ended = n == 0;
                n
            }
        };
        if n == 0 {
            return Ok(if self.was_cut()? { Turn::Cut } else { Turn::AtEnd });
        }
        if self.carry.is_empty() && self.was_cut()? {
            return Ok(Turn::Cut);
        }
        self.last_data = Instant::now();
        self.take(&buf[..n], now, out);
        self.read += n as u64;
        if matches!(self.content, Content::Plain) {
            self.read_marker = identity::marker(&self.file, self.read)?;
            if self.head.0 < HEAD_BYTES {
                self.head = identity::head(&self.file, HEAD_BYTES.min(self.read))?;
            }
        }
        Ok(Turn::Read)
    }

    fn take(&mut self, bytes: &[u8], now: u64, out: &mut BodyWriter) {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let end = self.read + newline as u64 + 1;
            let part = &bytes[from..newline];
            from = newline + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.carry.is_empty() {
                let start = end - 1 - part.len() as u64;
                self.line(part, start, end, now, out);
            } else {
                let mut line = std::mem::take(&mut self.carry);
                let start = end - 1 - (line.len() + part.len()) as u64;
                line.extend_from_slice(part);
                self.line(&line, start, end, now, out);
                line.clear();
                self.carry = line;
            }
        }
        if self.skipping {
            return;
        }
        self.carry.extend_from_slice(&bytes[from..]);
        if self.carry.len() > BODY_BYTES {
            // The line goes on beyond the limit: its beginning is a record, the rest is dropped up to its newline.
            let end = self.read + bytes.len() as u64;
            let line = std::mem::take(&mut self.carry);
            self.push(&line[..BODY_BYTES], end - line.len() as u64, end, true, now, out);
            self.skipping = true;
        }
    }

    fn line(&mut self, line: &[u8], start: u64, end: u64, now: u64, out: &mut BodyWriter) {
        // A writer that kept its position over a truncation leaves a hole of zeros before its next line.
        let zeros = line.iter().take_while(|b| **b == 0).count();
        let cut = line.len() > BODY_BYTES;
        let line = &line[zeros..line.len().min(BODY_BYTES).max(zeros)];
        self.push(line, start + zeros as u64, end, cut, now, out);
    }

    fn push(&mut self, line: &[u8], start: u64, end: u64, cut: bool, now: u64, out: &mut BodyWriter) {
        while self.cuts.front().is_some_and(|cut| *cut <= start) {
            let cut = self.cuts.pop_front();
            if cut == self.assembler.pending_end() {
                self.assembler.flush(now, out);
            }
        }
        self.lines += 1;
        self.assembler.push(line, start, end, cut, now, out);
    }

    /// Below this, every record is written to a batch.
    fn written(&self) -> u64 {
        let unread = self.read - self.carry.len() as u64;
        self.assembler.pending_start().unwrap_or(unread).min(unread)
    }

    /// Whether a record has been waiting for further lines since before `since`.
    pub(super) fn waits_since(&self, since: Instant) -> bool {
        self.assembler.pending_start().is_some() && self.last_data < since
    }

    /// Decides that the waiting record is complete. To be made durable before [`flush`](Self::flush).
    pub(super) fn decide_cut(&mut self) {
        if let Some(end) = self.assembler.pending_end() {
            self.cuts.push_back(end);
        }
    }

    pub(super) fn flush(&mut self, now: u64, out: &mut BodyWriter) {
        self.assembler.flush(now, out);
    }

    /// Writes what a file leaves that will never grow again: the waiting record and a line without its end.
    pub(super) fn finish(&mut self, now: u64, out: &mut BodyWriter) {
        let line = std::mem::take(&mut self.carry);
        if !line.is_empty() {
            self.push(&line, self.read - line.len() as u64, self.read, true, now, out);
        }
        self.assembler.flush(now, out);
    }

    /// Takes what was written so far as the range of a batch.
    pub(super) fn take_range(&mut self) -> Range<u64> {
        let range = self.batch_start..self.written();
        if !range.is_empty()
            && let Ok(Some(marker)) = identity::marker(&self.file, range.end)
        {
            self.sent.push_back((range.end, marker));
        }
        self.batch_start = range.end;
        range
    }

    pub(super) fn acknowledge(&mut self, end: u64) {
        self.acked = self.acked.max(end);
        while let Some((_, marker)) = self.sent.pop_front_if(|(sent, _)| *sent <= end) {
            self.acked_marker = marker;
        }
        while self.cuts.front().is_some_and(|cut| *cut < self.acked) {
            self.cuts.pop_front();
        }
    }

    /// Whether everything that was read is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.acked >= self.read
    }

    /// Whether every batch that has a part of it is acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acked >= self.batch_start
    }

    /// Bytes that are read but not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.read.saturating_sub(self.acked)
    }

    pub(super) fn truncated(&self) -> u64 {
        self.assembler.truncated
    }

    /// What the checkpoint says of the file.
    pub(super) fn saved(&self) -> Saved {
        if let Content::Gzip { saved, .. } = &self.content {
            return saved.as_ref().clone();
        }
        let head_len = self.head.0.min(HEAD_BYTES);
        Saved {
            path: self.path.clone(),
            incarnation: self.incarnation.to_string(),
            device: self.key.0,
            inode: self.key.1,
            acked: self.acked,
            head_len,
            head_hash: self.head.1,
            marker: self.acked_marker,
            cuts: self.cuts.iter().copied().collect(),
            skipped: self.skipped,
        }
    }
}

/// One life of a file, and from where it is to be read.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    pub(super) from: u64,
    pub(super) cuts: Vec<u64>,
    pub(super) skipped: u64,
    /// What the checkpoint said of it.
    pub(super) saved: Option<Saved>,
}

impl Life {
    /// A new one. The incarnation must be saved before a record that carries it is sent.
    pub(super) fn new(from: u64) -> Self {
        Self { incarnation: Incarnation(rand::random()), from, cuts: Vec::new(), skipped: from, saved: None }
    }

    pub(super) fn of(saved: &Saved) -> Option<Self> {
        let incarnation = saved.incarnation.parse().ok()?;
        Some(Self {
            incarnation,
            from: saved.acked,
            cuts: saved.cuts.clone(),
            skipped: saved.skipped,
            saved: Some(saved.clone()),
        })
    }
}
