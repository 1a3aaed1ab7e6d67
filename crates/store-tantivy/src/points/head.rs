//! The head: open chunks in memory, and closed ones that no file holds yet.

use std::collections::HashMap;
use std::sync::Arc;

use super::chunk::Point;
use super::file::Chunk;
use super::{CHUNK_POINTS, Name};

/// What is not in a file of chunks. Readers share it; what they hold is copied before it changes.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) open: Arc<Vec<Arc<Chunk>>>,
    /// Closed since the last checkpoint.
    pub(crate) closed: Arc<Vec<Chunk>>,
    /// Where a series stands in `open`.
    places: HashMap<Arc<Name>, usize>,
    /// Points in `open`.
    pub(crate) points: u64,
}

impl Head {
    /// Adds a point. False where one with its time stands in the series' open chunk already, which it replaces.
    pub(crate) fn add(&mut self, name: &Arc<Name>, now: u64, point: Point) -> bool {
        let open = Arc::make_mut(&mut self.open);
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            open.push(Arc::new(Chunk { name: name.clone(), arrived: now, points: Vec::new() }));
            open.len() - 1
        });
        let chunk = Arc::make_mut(&mut open[place]);
        // Mostly at the end; a late one goes where it belongs.
        let at = chunk.points.partition_point(|(time, _)| *time < point.0);
        if let Some(same) = chunk.points.get_mut(at).filter(|(time, _)| *time == point.0) {
            *same = point;
            return false;
        }
        chunk.points.insert(at, point);
        self.points += 1;
        if chunk.points.len() >= CHUNK_POINTS {
            self.close(place);
        }
        true
    }

    /// Puts back an open chunk that was read.
    pub(crate) fn restore(&mut self, chunk: Chunk) {
        self.points += chunk.points.len() as u64;
        self.places.insert(chunk.name.clone(), self.open.len());
        Arc::make_mut(&mut self.open).push(Arc::new(chunk));
    }

    fn close(&mut self, place: usize) {
        let open = Arc::make_mut(&mut self.open);
        let chunk = open.swap_remove(place);
        self.places.remove(&chunk.name);
        if let Some(moved) = open.get(place) {
            self.places.insert(moved.name.clone(), place);
        }
        self.points -= chunk.points.len() as u64;
        Arc::make_mut(&mut self.closed).push(Arc::unwrap_or_clone(chunk));
    }

    /// Closes the chunks whose first point arrived at a time, seconds since the Unix epoch, or before it: also those of series that are no longer
    /// reported.
    pub(crate) fn close_old(&mut self, arrived: u64) {
        for place in (0..self.open.len()).rev() {
            if self.open[place].arrived <= arrived {
                self.close(place);
            }
        }
    }
}
