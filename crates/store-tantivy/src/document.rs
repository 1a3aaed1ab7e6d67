//! Documents for the index: views into one arena per batch, so that indexing allocates nothing per record.
//!
//! `IndexWriter::run` takes a batch whatever waits before it, so each arena holds one of a few permits, which comes back when the index
//! has taken the arena's last document.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tantivy::Document;
use tantivy::indexer::UserOperation;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Field, Value};

use crate::schema::Fields;
use crate::tokens::Tokens;

/// Documents of an arena: with their tokens some hundred kilobytes, which stay in the cache.
pub(crate) const ARENA_DOCUMENTS: usize = 500;
/// Arenas that are filled or wait for the index.
const ARENAS: usize = 4;

/// How many more arenas may be filled.
#[derive(Debug)]
struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

#[derive(Debug)]
struct Permit(Arc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.returned.notify_one();
    }
}

/// Fills arenas one after the other.
#[derive(Debug)]
pub(crate) struct Documents {
    fields: Fields,
    permits: Arc<Permits>,
    open: Option<Arena>,
}

#[derive(Debug)]
struct Arena {
    fields: Fields,
    tokens: Tokens,
    entries: Vec<Entry>,
    _permit: Permit,
}

/// What the index gets of one record beside its tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) row: u64,
    /// Lower half of the trace id.
    pub(crate) trace_low: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    /// Behind its last token in the arena.
    end: usize,
    numbers: Numbers,
}

impl Documents {
    pub(crate) fn new(fields: Fields) -> Self {
        let permits = Permits { free: Mutex::new(ARENAS), returned: Condvar::new() };
        Self { fields, permits: Arc::new(permits), open: None }
    }

    /// Adds a document with the tokens that `fill` writes. True when the arena is full and is to be [taken](Self::take).
    pub(crate) fn push(&mut self, numbers: Numbers, fill: impl FnOnce(&mut Tokens)) -> bool {
        let arena = self.open.get_or_insert_with(|| {
            let mut free = self.permits.free.lock();
            self.permits.returned.wait_while(&mut free, |free| *free == 0);
            *free -= 1;
            drop(free);
            let permit = Permit(self.permits.clone());
            Arena { fields: self.fields, tokens: Tokens::default(), entries: Vec::new(), _permit: permit }
        });
        fill(&mut arena.tokens);
        arena.entries.push(Entry { end: arena.tokens.len(), numbers });
        arena.entries.len() == ARENA_DOCUMENTS
    }

    /// What was added since the last call, as the index takes it.
    pub(crate) fn take(&mut self) -> Vec<UserOperation<Doc>> {
        let Some(arena) = self.open.take() else { return Vec::new() };
        let arena = Arc::new(arena);
        (0..arena.entries.len()).map(|at| UserOperation::Add(Doc { arena: arena.clone(), at })).collect()
    }
}

/// A document: its place in an arena.
#[derive(Debug, Clone)]
pub(crate) struct Doc {
    arena: Arc<Arena>,
    at: usize,
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DocValue<'a> {
    Token(&'a [u8]),
    Number(u64),
}

impl<'a> Value<'a> for DocValue<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    #[inline]
    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(match *self {
            Self::Token(bytes) => ReferenceValueLeaf::Bytes(bytes),
            Self::Number(n) => ReferenceValueLeaf::U64(n),
        })
    }
}

/// The values of a document in the order of the fields, which spares the index sorting them.
#[derive(Debug)]
pub(crate) struct DocValues<'a> {
    arena: &'a Arena,
    tokens: std::ops::Range<usize>,
    trace_low: Option<u64>,
    row: Option<u64>,
}

impl<'a> Iterator for DocValues<'a> {
    type Item = (Field, DocValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let fields = self.arena.fields;
        if let Some(token) = self.tokens.next() {
            return Some((fields.tokens, DocValue::Token(self.arena.tokens.get(token))));
        }
        if let Some(low) = self.trace_low.take() {
            return Some((fields.trace_low, DocValue::Number(low)));
        }
        Some((fields.row, DocValue::Number(self.row.take()?)))
    }
}

impl Document for Doc {
    type Value<'a> = DocValue<'a>;
    type FieldsValuesIter<'a> = DocValues<'a>;

    fn iter_fields_and_values(&self) -> DocValues<'_> {
        let start = self.at.checked_sub(1).map_or(0, |before| self.arena.entries[before].end);
        let Entry { end, numbers } = &self.arena.entries[self.at];
        DocValues {
            arena: &self.arena,
            tokens: start..*end,
            trace_low: numbers.trace_low,
            row: Some(numbers.row),
        }
    }
}
