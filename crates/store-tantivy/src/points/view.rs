//! Reading series from one state of the head and the files.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_store::{Matchers, Series, TimeRange};

use super::Name;
use super::file::{Chunk, ChunkFile};
use crate::error::Error;

/// One state.
#[derive(Debug)]
pub(crate) struct PointsView {
    pub(crate) open: Arc<Vec<Arc<Chunk>>>,
    pub(crate) closed: Arc<Vec<Chunk>>,
    pub(crate) files: Vec<ChunkFile>,
}

fn wanted(name: &Name, matchers: &Matchers) -> bool {
    matchers.name.as_ref().is_none_or(|wanted| *wanted == name.name)
        && matchers.attributes.iter().all(|attr| name.attributes.contains(attr))
}

impl PointsView {
    /// Series that match, by name, with their points in the range.
    pub(crate) fn select(&self, matchers: &Matchers, range: TimeRange) -> Result<Vec<Series>, Error> {
        let wanted = |name: &Name| wanted(name, matchers);
        let mut found: BTreeMap<Arc<Name>, BTreeMap<u64, f64>> = BTreeMap::new();
        // From the oldest to the newest: a point that came again later stands for the one before it.
        let mut add = |chunk: &Chunk| {
            let inside = chunk.points.iter().filter(|(time, _)| range.contains(*time)).copied();
            let mut inside = inside.peekable();
            if inside.peek().is_some() {
                found.entry(chunk.name.clone()).or_default().extend(inside);
            }
        };
        let Some(last) = range.to.checked_sub(1) else { return Ok(Vec::new()) };
        for file in &self.files {
            file.read(range.from, last, &wanted, &mut |chunk| add(&chunk))?;
        }
        self.closed.iter().filter(|chunk| wanted(&chunk.name)).for_each(&mut add);
        self.open.iter().filter(|chunk| wanted(&chunk.name)).for_each(|chunk| add(chunk));
        let series = found.into_iter().map(|(name, points)| Series {
            name: name.name.clone(),
            unit: name.unit.clone(),
            attributes: name.attributes.clone(),
            points: points.into_iter().collect(),
        });
        Ok(series.collect())
    }
}
