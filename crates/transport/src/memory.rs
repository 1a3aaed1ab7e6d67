//! A log in memory. It keeps no promise about crashes: for tests of whatever stands on the seam.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Batch, Epoch, Event, Fenced, Lane, Position, ReceiveError, Receiver, SendError, Sender};

#[derive(Debug)]
struct Shared {
    lane: Lane,
    batches: Mutex<Vec<Batch>>,
    end: watch::Sender<Position>,
}

/// A log in memory with one lane. Cloning shares it.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<Shared>);

impl MemoryLog {
    pub fn new(lane: Lane) -> Self {
        Self(Arc::new(Shared { lane, batches: Mutex::default(), end: watch::Sender::new(Position(0)) }))
    }

    /// All that was sent so far.
    pub fn batches(&self) -> Vec<Batch> {
        self.0.batches.lock().expect("no panic while locked").clone()
    }

    pub fn receiver(&self) -> MemoryReceiver {
        MemoryReceiver { log: self.0.clone(), end: self.0.end.subscribe(), next: None, assigned: false }
    }
}

#[async_trait]
impl Sender for MemoryLog {
    async fn send(&self, batch: Batch) -> Result<Position, SendError> {
        let position = {
            let mut batches = self.0.batches.lock().expect("no panic while locked");
            batches.push(batch);
            Position(batches.len() as u64 - 1)
        };
        self.0.end.send_replace(position.next());
        Ok(position)
    }
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryReceiver {
    log: Arc<Shared>,
    end: watch::Receiver<Position>,
    next: Option<Position>,
    assigned: bool,
}

#[async_trait]
impl Receiver for MemoryReceiver {
    async fn next(&mut self) -> Result<Event, ReceiveError> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Event::Assigned(self.log.lane, Epoch(1)));
        }
        loop {
            let end = *self.end.borrow_and_update();
            if let Some(next) = self.next.filter(|next| *next < end) {
                let batches = self.log.batches.lock().expect("no panic while locked");
                let part = batches[next.0 as usize..end.0 as usize].iter().cloned();
                let data = (next.0..).map(Position).zip(part).collect();
                self.next = Some(end);
                return Ok(Event::Data(self.log.lane, Epoch(1), data));
            }
            self.end.changed().await.map_err(|_| ReceiveError::Closed)?;
        }
    }

    async fn seek(&mut self, _lane: Lane, position: Position) -> Result<(), ReceiveError> {
        self.next = Some(position);
        Ok(())
    }

    async fn done(&mut self, _lane: Lane, _epoch: Epoch, _position: Position) -> Result<(), Fenced> {
        Ok(())
    }
}
