//! Reading: one receiver follows the log from any position.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::DiskLog;
use super::recent::Entry;
use super::segment::{self, Found, Segment};
use crate::{Batch, Cause, Epoch, Event, Fenced, Lane, Position, ReceiveError, Receiver};

/// Bytes of bodies that one event carries at the most, unless its first batch alone is larger.
const EVENT_BYTES: usize = 4 << 20;

/// Where the next record stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) position: Position,
    /// The first position of its segment, and the offset in it, where they are known.
    pub(super) place: Option<(Position, u64)>,
}

impl Cursor {
    /// At a position, wherever that stands.
    pub(super) fn at(position: Position) -> Self {
        Self { position, place: None }
    }
}

/// What was read, where each of its batches ends, and where reading goes on.
type Read = (Option<Event>, Vec<Cursor>, Cursor);

/// Reads a [`DiskLog`], whose one lane is always this receiver's.
#[derive(Debug)]
pub struct DiskLogReceiver {
    log: Arc<DiskLog>,
    durable: watch::Receiver<Position>,
    cursor: Option<Cursor>,
    /// Where each batch ends that was delivered and that the owner is not done with.
    ends: VecDeque<Cursor>,
    /// A read under way. A caller that stops waiting for `next` finds it again with the next call.
    reading: Option<JoinHandle<io::Result<Read>>>,
    assigned: bool,
}

/// The only assignment there ever is.
const EPOCH: Epoch = Epoch(1);

impl DiskLogReceiver {
    pub fn new(log: Arc<DiskLog>) -> Self {
        let durable = log.durable.subscribe();
        Self { log, durable, cursor: None, ends: VecDeque::new(), reading: None, assigned: false }
    }

    /// Reads what is durable behind the cursor; `None` where there is nothing yet.
    async fn read(&mut self, mut cursor: Cursor, end: Position) -> Result<Option<Event>, ReceiveError> {
        let reading = self.reading.get_or_insert_with(|| {
            let log = self.log.clone();
            tokio::task::spawn_blocking(move || {
                let mut ends = Vec::new();
                let event = log.read(&mut cursor, end, &mut ends)?;
                Ok((event, ends, cursor))
            })
        });
        let read = reading.await;
        self.reading = None;
        let (event, ends, cursor) = read
            .map_err(|error| ReceiveError::Fatal(format!("reading the log failed: {error}")))?
            .map_err(|error| {
                ReceiveError::Retry(format!("can't read the log {}: {error}", self.log.dir.display()))
            })?;
        self.cursor = Some(cursor);
        self.ends.extend(ends);
        Ok(event)
    }
}

impl DiskLog {
    /// What is kept in memory from a position on, and where reading goes on behind it. Adds where each batch ends.
    fn recent(&self, position: Position, ends: &mut VecDeque<Cursor>) -> Option<(Event, Cursor)> {
        let mut state = self.state();
        let entries = state.recent.take(position, EVENT_BYTES);
        if position.0 == state.stats.next {
            state.recent.caught_up();
        }
        drop(state);
        let end = |entry: &Entry| Cursor { position: entry.position.next(), place: Some(entry.next) };
        let cursor = end(entries.last()?);
        self.taken.notify_one();
        ends.extend(entries.iter().map(end));
        let batches = entries.into_iter().map(|entry| (entry.position, entry.batch)).collect();
        Some((Event::Data(self.lane(), EPOCH, batches), cursor))
    }

    /// What is durable behind the cursor and before `end`; `None` where there is nothing. Adds where each batch ends.
    pub(super) fn read(
        &self,
        cursor: &mut Cursor,
        end: Position,
        ends: &mut Vec<Cursor>,
    ) -> io::Result<Option<Event>> {
        let lane = self.lane();
        let mut batches: Vec<(Position, Batch)> = Vec::new();
        let mut bytes = 0;
        while cursor.position < end && bytes < EVENT_BYTES {
            let Some((segment, offset, limit)) = self.locate(cursor)? else {
                // Everything before the oldest segment is gone.
                let oldest = self.state().segments.first().map_or(end, |s| s.first);
                let gap = Event::Gap(lane, cursor.position..oldest, Cause::Expired);
                *cursor = Cursor::at(oldest);
                return Ok(Some(gap));
            };
            match segment::read(segment.file.as_ref(), offset, segment.len)? {
                Found::Record { position, batch, next } if position == cursor.position => {
                    bytes += batch.body.len();
                    batches.push((position, batch));
                    *cursor = Cursor { position: position.next(), place: Some((segment.first, next)) };
                    ends.push(cursor.clone());
                }
                _ if !batches.is_empty() => break,
                _ => {
                    let gap = cursor.position..limit.min(end);
                    let lost = gap.end.0 - gap.start.0;
                    self.state().stats.corrupt_positions += lost;
                    tracing::error!(log = %self.dir.display(), positions = lost, "a part of the log is damaged and can't be read; it is skipped");
                    *cursor = Cursor::at(gap.end);
                    return Ok(Some(Event::Gap(lane, gap, Cause::Corrupt)));
                }
            }
        }
        Ok((!batches.is_empty()).then_some(Event::Data(lane, EPOCH, batches)))
    }

    /// The position at which a reader resumes, with its place where there is one.
    fn resume(&self, position: Position) -> io::Result<Cursor> {
        let at_the_end = {
            let state = self.state();
            let last = state.segments.last().map(|segment| (segment.first, segment.len));
            last.filter(|_| position.0 == state.stats.next)
        };
        let place = match at_the_end {
            Some(place) => Some(place),
            None => self.locate(&Cursor::at(position))?.map(|(segment, offset, _)| (segment.first, offset)),
        };
        let cursor = Cursor { position, place };
        self.state().waits = cursor.clone();
        Ok(cursor)
    }

    /// Segment and offset of the cursor's record, and the position at which the next segment begins. `None` below the oldest segment.
    fn locate(&self, cursor: &Cursor) -> io::Result<Option<(Segment, u64, Position)>> {
        let (segment, limit) = {
            let state = self.state();
            let at = state.segments.partition_point(|s| s.first <= cursor.position);
            let Some(segment) = at.checked_sub(1).and_then(|i| state.segments.get(i)) else {
                return Ok(None);
            };
            (segment.clone(), state.segments.get(at).map_or(Position(u64::MAX), |s| s.first))
        };
        if let Some((first, offset)) = cursor.place
            && first == segment.first
        {
            return Ok(Some((segment, offset, limit)));
        }
        let mut offset = 0;
        loop {
            match segment::read(segment.file.as_ref(), offset, segment.len)? {
                Found::Record { position, next, .. } if position < cursor.position => offset = next,
                _ => return Ok(Some((segment, offset, limit))),
            }
        }
    }
}

#[async_trait]
impl Receiver for DiskLogReceiver {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Event::Assigned(self.log.lane(), EPOCH));
        }
        loop {
            let end = *self.durable.borrow_and_update();
            if let Some(cursor) = self.cursor.clone() {
                if self.reading.is_none()
                    && let Some((event, cursor)) = self.log.recent(cursor.position, &mut self.ends)
                {
                    self.cursor = Some(cursor);
                    return Ok(event);
                }
                if (self.reading.is_some() || cursor.position < end)
                    && let Some(event) = self.read(cursor, end).await?
                {
                    return Ok(event);
                }
            }
            self.durable.changed().await.map_err(|_| ReceiveError::Closed)?;
        }
    }

    async fn seek(&mut self, lane: Lane, position: Position) -> Result<(), ReceiveError> {
        let end = *self.durable.borrow();
        if lane != self.log.lane() || position > end {
            return Err(ReceiveError::Fatal(format!(
                "the log {} ends at position {end}, but reading is to resume at {position} of {lane}: the log was replaced or lost; \
                 move both the log and the store away, or restore the log",
                self.log.dir.display()
            )));
        }
        let log = self.log.clone();
        // What can't be read now is told when it is to be read.
        let found = tokio::task::spawn_blocking(move || log.resume(position)).await;
        let cursor = found.ok().and_then(Result::ok).unwrap_or_else(|| Cursor::at(position));
        self.cursor = Some(cursor);
        self.ends.clear();
        self.reading = None;
        Ok(())
    }

    async fn done(&mut self, _lane: Lane, _epoch: Epoch, position: Position) -> Result<(), Fenced> {
        let mut waits = Cursor::at(position);
        while let Some(end) = self.ends.front()
            && end.position <= position
        {
            waits.place = end.place.filter(|_| end.position == position);
            self.ends.pop_front();
        }
        let log = self.log.clone();
        {
            let mut state = log.state();
            // The same again tells nothing new.
            if state.waits.position != position {
                state.waits = waits;
            }
        }
        let trimmed = tokio::task::spawn_blocking(move || log.trim(position)).await;
        match trimmed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "can't remove old segments of the log; it is tried again")
            }
            Err(error) => tracing::warn!(%error, "removing old segments of the log failed"),
        }
        Ok(())
    }
}
