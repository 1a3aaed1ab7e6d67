//! Dead letters on disk: what can't be stored, kept durably for a person to look at and to send again.
//!
//! A log like any other, with a letter in each record: a batch with the records that were refused and, behind them, what is told of them. Which letters
//! were sent again is a position in a file beside it: all below were. Beyond the log's size its oldest segment is removed, and what was in it and
//! was not sent again is counted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use weir_disk::{Disk, Replaced};
use weir_model::otlp::{BodyWriter, Groups, LogWriter, validate, write_resource};
use weir_model::wire::{Fields, Writer};
use weir_model::{Incarnation, Signal, identity};

use super::append::Appender;
use super::receive::Cursor;
use super::{DiskLog, OpenError, Settings, record as records};
use crate::{Batch, DeadLetters, Event, Lane, Letter, Origin, Position, envelope};

/// Into how many files the log is cut, since whole ones are removed.
const SEGMENTS: u64 = 8;
/// Longest text of a cause, bytes.
const CAUSE_BYTES: usize = 4096;
/// The file that says up to where letters were sent again, in decimal digits.
const SENT_AGAIN: &str = "sent-again";
/// The file by which letters of this folder are told apart from those of others, 32 hexadecimal digits.
const ID: &str = "id";

const CAUSE: u32 = 1;
const RECORDS: u32 = 2;
const POSITION: u32 = 3;
const PARTITION: u32 = 4;
const ENVELOPE: u32 = 5;

/// Dead letters in a folder.
#[derive(Debug)]
pub struct DiskDeadLetters {
    log: Arc<DiskLog>,
    max_bytes: u64,
    id: u128,
    appender: Mutex<Appender>,
    sent_again: Mutex<Replaced>,
    dropped: AtomicU64,
}

/// A letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLetter {
    /// Its number; the first one ever is 0.
    pub number: u64,
    /// When it was put here, nanoseconds since the Unix epoch.
    pub time: u64,
    /// Whether it was sent again, or passed over by what was.
    pub sent_again: bool,
    pub letter: Letter,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DiskDeadLetters {
    /// Opens the letters in a folder, creating it where there is none. `id` tells a new folder apart from all others: a random number.
    ///
    /// # Errors
    /// When another process has the folder, or the disk fails.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, max_bytes: u64, id: u128) -> Result<Self, OpenError> {
        let settings = Settings { segment_bytes: max_bytes / SEGMENTS, max_bytes, ..Settings::default() };
        // The signal is that of the log's name only; each letter has its own.
        let log = DiskLog::open(disk.clone(), dir, Signal::Logs, settings)?;
        let error = |source| OpenError::Io { dir: dir.into(), source };
        let file = |name: &str| Replaced::open(disk.clone(), dir.join(name));
        let mut known = file(ID).map_err(error)?;
        if known.content().is_none() {
            known.replace(format!("{id:032x}").as_bytes()).map_err(error)?;
        }
        let text = |file: &Replaced| String::from_utf8_lossy(file.content().unwrap_or_default()).into_owned();
        let damaged = |name: &str| {
            let path: PathBuf = dir.join(name);
            error(io::Error::other(format!("{} is damaged; move it away", path.display())))
        };
        let id = u128::from_str_radix(&text(&known), 16).map_err(|_| damaged(ID))?;
        let sent_again = file(SENT_AGAIN).map_err(error)?;
        if sent_again.content().is_some() {
            text(&sent_again).parse::<u64>().map_err(|_| damaged(SENT_AGAIN))?;
        }
        let appender = Mutex::new(Appender::new(log.clone()));
        Ok(Self {
            log,
            max_bytes,
            id,
            appender,
            sent_again: Mutex::new(sent_again),
            dropped: AtomicU64::new(0),
        })
    }

    /// Bytes of all letters that are kept.
    pub fn bytes(&self) -> u64 {
        self.log.stats().bytes
    }

    /// Letters that were removed for want of room and were not sent again, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Letters that were removed for want of room since the folder is there.
    pub fn removed(&self) -> u64 {
        self.log.stats().oldest
    }

    fn sent_again_below(&self) -> u64 {
        let text = lock(&self.sent_again).content().map(|text| String::from_utf8_lossy(text).into_owned());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Hands letters to `visit` in their order, the oldest first, from a number on, until it answers false. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self, from: u64, mut visit: impl FnMut(KeptLetter) -> bool) -> io::Result<()> {
        let sent_again = self.sent_again_below();
        let mut cursor = Cursor::at(Position(from.max(self.log.stats().oldest)));
        let end = *self.log.durable.borrow();
        while let Some(event) = self.log.read(&mut cursor, end, &mut Vec::new())? {
            // What is damaged was told in the log, and counted.
            let Event::Data(_, _, letters) = event else { continue };
            for (position, batch) in letters {
                let letter = kept(position.0, batch, position.0 < sent_again);
                if !letter.is_none_or(&mut visit) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One letter. Blocks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(&self, number: u64) -> io::Result<Option<KeptLetter>> {
        let mut found = None;
        self.read(number, |letter| {
            found = Some(letter);
            false
        })?;
        Ok(found.filter(|letter| letter.number == number))
    }

    /// Notes durably that a letter and all before it were sent again. Blocks.
    ///
    /// # Errors
    /// When the disk fails; the letter is then sent once more by the next replay.
    pub fn note_sent_again(&self, number: u64) -> io::Result<()> {
        let below = (number + 1).max(self.sent_again_below());
        lock(&self.sent_again).replace(below.to_string().as_bytes())
    }

    /// The batch by which a letter is sent again. Log records that nothing tells apart get a place in a source of their own, the letter, so that
    /// they too are stored once however often they are sent; all others have one.
    ///
    /// # Errors
    /// With a text for a person, where it is no batch.
    pub fn batch(&self, kept: &KeptLetter) -> Result<Batch, String> {
        let letter = &kept.letter;
        let signal = letter.lane.signal;
        let unreadable =
            |error: &dyn std::fmt::Display| format!("the dead letter {} is no batch: {error}", kept.number);
        validate(signal, &letter.body).map_err(|error| unreadable(&error))?;
        let envelope = letter.envelope.as_deref().unwrap_or_default();
        let batch =
            envelope::read(signal, letter.body.clone(), envelope).map_err(|error| unreadable(&error))?;
        Ok(match signal {
            Signal::Logs if batch.origins.is_empty() => {
                with_source(batch, Incarnation(self.id ^ u128::from(kept.number)), kept.number)
            }
            _ => batch,
        })
    }

    /// Removes the oldest letters until there is room for some bytes, as far as whole segments can be.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        while self.log.stats().bytes + bytes > self.max_bytes {
            let (oldest, next) = {
                let state = self.log.state();
                match state.segments.as_slice() {
                    [oldest, next, ..] => (oldest.first, next.first),
                    _ => return Ok(()),
                }
            };
            self.log.trim(next)?;
            let lost = next.0.saturating_sub(self.sent_again_below().max(oldest.0));
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            if lost > 0 {
                tracing::error!(
                    log = %self.log.dir.display(), letters = lost,
                    "the oldest dead letters were removed for want of room, and had not been sent again; collector.dead_letter_bytes says how much is kept"
                );
            }
        }
        Ok(())
    }

    fn append(&self, letters: &[Letter]) -> io::Result<()> {
        let _step = tracing::debug_span!("put_letters", letters = letters.len()).entered();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let batches: Vec<Batch> = letters.iter().map(|letter| record(letter, now)).collect();
        let mut appender = lock(&self.appender);
        self.make_room(batches.iter().map(|batch| (batch.body.len() + records::OVERHEAD) as u64).sum())?;
        appender.put(batches.iter()).map(drop)
    }
}

/// A letter as the log keeps it: when it was put there stands in the place of its arrival.
fn record(letter: &Letter, now: u64) -> Batch {
    let mut about = Writer::new();
    let cause = &letter.cause[..letter.cause.floor_char_boundary(CAUSE_BYTES)];
    about.bytes(CAUSE, cause.as_bytes());
    about.fixed64(RECORDS, letter.records);
    about.fixed64(POSITION, letter.position.0);
    about.fixed64(PARTITION, u64::from(letter.lane.partition));
    if let Some(envelope) = &letter.envelope {
        about.bytes(ENVELOPE, envelope);
    }
    let about = about.into_vec();
    // Its length stands last.
    let mut body = Vec::with_capacity(letter.body.len() + about.len() + 4);
    body.extend_from_slice(&letter.body);
    body.extend_from_slice(&about);
    body.extend_from_slice(&(about.len() as u32).to_le_bytes());
    Batch { signal: letter.lane.signal, origins: Vec::new(), route: 0, arrived: now, body: body.into() }
}

/// The letter of a record; `None` where it was not made by [`record`].
fn kept(number: u64, batch: Batch, sent_again: bool) -> Option<KeptLetter> {
    let (rest, length) = batch.body.split_last_chunk::<4>()?;
    let body_end = rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
    let about = batch.body.slice(body_end..rest.len());
    let mut letter = Letter {
        lane: Lane { signal: batch.signal, partition: 0 },
        position: Position(0),
        cause: String::new(),
        records: 0,
        body: batch.body.slice(..body_end),
        envelope: None,
    };
    for field in Fields::new(&about) {
        let field = field.ok()?;
        match field.number {
            CAUSE => letter.cause = String::from_utf8_lossy(field.bytes()).into_owned(),
            RECORDS => letter.records = field.number_value(),
            POSITION => letter.position = Position(field.number_value()),
            PARTITION => letter.lane.partition = field.number_value() as u32,
            ENVELOPE => letter.envelope = Some(Bytes::copy_from_slice(field.bytes())),
            _ => {}
        }
    }
    Some(KeptLetter { number, time: batch.arrived, sent_again, letter })
}

/// A batch of log records with a source: each record's offset is its number.
fn with_source(batch: Batch, incarnation: Incarnation, letter: u64) -> Batch {
    let mut body = BodyWriter::default();
    let mut records = 0;
    for group in Groups::new(&batch.body) {
        // A field that is repeated may go on at the end of its message.
        let mut resource = Writer::new();
        resource.raw(group.resource.message());
        write_resource(&mut resource, |attrs| {
            attrs.str(identity::SOURCE, &format!("dead letter {letter}"));
            attrs.str(identity::INCARNATION, &incarnation.to_string());
        });
        body.raw_resource(resource.as_slice());
        body.raw_scope(group.scope.message());
        for record in group.records() {
            body.record(|out| {
                out.raw(record);
                LogWriter::new(out).attrs().int(identity::OFFSET, records);
            });
            records += 1;
        }
    }
    let origins = vec![Origin { incarnation, range: 0..records as u64, acked_below: 0 }];
    Batch { origins, body: body.finish().into(), ..batch }
}

/// For use by several signals at a time. Blocks a thread while the disk works, as refusals are rare.
#[async_trait]
impl DeadLetters for DiskDeadLetters {
    async fn put(&self, letters: &[Letter]) -> Result<(), String> {
        tokio::task::block_in_place(|| self.append(letters)).map_err(|error| {
            format!("the dead letters in {} can't be written: {error}", self.log.dir.display())
        })
    }
}
