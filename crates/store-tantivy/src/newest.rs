//! Visiting the records that may satisfy a search from the newest to the oldest, as far as somebody wants them.
//!
//! What can be told apart by its times (a batch of the tail, a shard, a block of one) waits in a heap by its largest time. The first one is taken
//! out: a shard is asked for the documents that may match, and its blocks go into the heap; the records of a batch or block are visited. So when
//! something is taken out, everything that is newer was visited, and whoever has enough that is newer may stop. Within a block the order is
//! none in particular.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::bits::DocSet;
use crate::candidates::Finder;
use crate::conditions::ColumnTest;
use crate::error::Error;
use crate::scan::{Candidate, Place, Search};
use crate::schema::schema;
use crate::shard::Reader;

/// Whoever is shown candidates.
pub(crate) trait Visitor {
    /// A candidate of the search with a number.
    fn visit(&mut self, search: usize, candidate: &Candidate<'_>) -> Result<(), Error>;

    /// Whether nothing more is wanted of what is not newer than a time, which is all that is left.
    fn has_enough(&mut self, _left: u64) -> Result<bool, Error> {
        Ok(false)
    }
}

/// Wants all.
pub(crate) struct Each<F>(pub(crate) F);

impl<F: FnMut(&Candidate<'_>) -> Result<(), Error>> Visitor for Each<F> {
    fn visit(&mut self, _: usize, candidate: &Candidate<'_>) -> Result<(), Error> {
        self.0(candidate)
    }
}

/// A walk through one or more searches at once.
pub(crate) struct Newest<'q> {
    searches: Vec<Search<'q>>,
    /// Largest time, and which of the units has it.
    heap: BinaryHeap<(u64, usize)>,
    units: Vec<Unit>,
    segments: Vec<Segment>,
}

/// Something that is visited at once.
#[derive(Clone, Copy)]
enum Unit {
    /// Of a search, a batch of the tail.
    Batch(usize, usize),
    /// Of a search, a shard.
    Shard(usize, usize),
    /// Of a segment, a block.
    Block(usize, usize),
}

/// A segment of a shard that was opened, and what the index finds in it.
struct Segment {
    search: usize,
    shard: usize,
    reader: Arc<Reader>,
    /// Its number in the shard.
    number: usize,
    set: DocSet,
    /// What the set has in each block, where that is little.
    few: Option<HashMap<usize, Vec<u32>>>,
}

impl<'q> Newest<'q> {
    pub(crate) fn new(searches: impl IntoIterator<Item = Search<'q>>) -> Self {
        let searches: Vec<_> = searches.into_iter().collect();
        let mut walk = Self { searches, heap: BinaryHeap::new(), units: Vec::new(), segments: Vec::new() };
        for search in 0..walk.searches.len() {
            let Search { part, range, .. } = walk.searches[search];
            for (at, shard) in part.shards.iter().enumerate() {
                if let Some((first, last)) = shard.times
                    && first < range.to
                    && range.from <= last
                {
                    walk.add(last, Unit::Shard(search, at));
                }
            }
            for (at, batch) in part.tail.iter().enumerate() {
                if let Some(last) = batch.newest() {
                    walk.add(last, Unit::Batch(search, at));
                }
            }
        }
        walk
    }

    fn add(&mut self, last: u64, unit: Unit) {
        self.heap.push((last, self.units.len()));
        self.units.push(unit);
    }

    /// Goes until there is nothing more or the visitor has enough. Returns whether all was visited.
    pub(crate) fn run(mut self, visitor: &mut dyn Visitor) -> Result<bool, Error> {
        while let Some((last, unit)) = self.heap.pop() {
            if visitor.has_enough(last)? {
                return Ok(false);
            }
            match self.units[unit] {
                Unit::Batch(search, at) => {
                    let by = &self.searches[search];
                    let batch = &by.part.tail[at];
                    for row in by.in_batch(batch) {
                        let place = Place::Tail { batch, row };
                        let signal = by.part.signal;
                        let candidate =
                            Candidate { time: row.time, seq: row.seq, place, verify: None, signal };
                        visitor.visit(search, &candidate)?;
                    }
                }
                Unit::Shard(search, at) => self.open(search, at)?,
                Unit::Block(segment, block) => {
                    let segment = &self.segments[segment];
                    segment.block(&self.searches[segment.search], block, visitor)?;
                }
            }
        }
        Ok(true)
    }

    /// Asks a shard for what may match, and adds the blocks in which it stands.
    fn open(&mut self, search: usize, at: usize) -> Result<(), Error> {
        let (_, fields) = schema();
        let by = &self.searches[search];
        let shard = &by.part.shards[at];
        let Some(reader) = shard.reader()? else { return Ok(()) };
        let mut found = Vec::new();
        for (number, (segment, docs)) in reader.segments().enumerate() {
            if !docs.may_be_within((by.range.from, by.range.to)) {
                continue;
            }
            let finder = Finder { signal: by.part.signal, segment, docs, fields, reader: &reader };
            let set = finder.find(&by.index)?;
            if set.is_empty() {
                continue;
            }
            // Where there are fewer documents than blocks, most blocks have none.
            let few = (set.count() < docs.blocks().len()).then(|| {
                let mut of_blocks: HashMap<usize, Vec<u32>> = HashMap::new();
                set.iter().for_each(|doc| of_blocks.entry(docs.block(doc)).or_default().push(doc));
                of_blocks
            });
            found.push(Segment { search, shard: at, reader: reader.clone(), number, set, few });
        }
        let below = by.below_seq.saturating_sub(shard.base);
        for segment in found {
            let blocks: Vec<usize> = match &segment.few {
                Some(few) => few.keys().copied().collect(),
                None => reader.docs(segment.number).blocks().collect(),
            };
            for block in blocks {
                let at = segment.reader.bodies.blocks()[block];
                if at.first_row < below && self.searches[search].may_be_in(&at.span) {
                    self.add(at.span.times.1, Unit::Block(self.segments.len(), block));
                }
            }
            self.segments.push(segment);
        }
        Ok(())
    }
}

impl Segment {
    fn block(&self, by: &Search<'_>, block: usize, visitor: &mut dyn Visitor) -> Result<(), Error> {
        let docs = self.reader.docs(self.number);
        let located = self.reader.bodies.block(block)?;
        let span = self.reader.bodies.blocks()[block].span;
        let inside = by.range.from <= span.times.0 && span.times.1 < by.range.to;
        let base = by.part.shards[self.shard].base;
        let verify = (!self.set.exact).then_some(&by.matcher);
        let mut one = |doc: u32| -> Result<(), Error> {
            let row = docs.row(doc);
            let Some(index) = located.index(row) else { return Ok(()) };
            let columns = &located.columns;
            let time = columns.time(index);
            let seq = base + row;
            let holds = |test: &ColumnTest| test.holds(columns.measure(index), columns.class(index));
            if !inside && !by.range.contains(time) || seq >= by.below_seq || !by.tests.iter().all(holds) {
                return Ok(());
            }
            let place =
                Place::Shard { number: self.shard, reader: &self.reader, block: &located, index, row };
            visitor.visit(self.search, &Candidate { time, seq, place, verify, signal: by.part.signal })
        };
        match &self.few {
            Some(few) => few.get(&block).into_iter().flatten().copied().try_for_each(&mut one),
            None => self.set.iter_in(docs.of_block(block)).try_for_each(&mut one),
        }
    }
}
