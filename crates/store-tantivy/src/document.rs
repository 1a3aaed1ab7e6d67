//! Documents for the index: views into one arena per batch, so that indexing allocates nothing per record.
//!
//! `IndexWriter::run` takes a batch whatever waits before it, so there are only a few arenas, and each comes back to be filled again when the
//! index has taken its last document.

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

/// Bytes of tokens up to which an arena keeps its memory.
const KEPT_BYTES: usize = 4 << 20;

/// Arenas that may be filled, with the memory that they have from before.
#[derive(Debug)]
struct Free {
    contents: Mutex<Vec<Content>>,
    returned: Condvar,
}

impl Free {
    fn take(&self) -> Content {
        let mut contents = self.contents.lock();
        self.returned.wait_while(&mut contents, |contents| contents.is_empty());
        contents.pop().expect("waited for")
    }
}

/// Fills arenas one after the other.
#[derive(Debug)]
pub(crate) struct Documents {
    fields: Fields,
    free: Arc<Free>,
    open: Option<Arena>,
}

#[derive(Debug, Default)]
struct Content {
    tokens: Tokens,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Arena {
    fields: Fields,
    content: Content,
    home: Arc<Free>,
}

impl Drop for Arena {
    fn drop(&mut self) {
        let mut content = std::mem::take(&mut self.content);
        if content.tokens.capacity() > KEPT_BYTES {
            content = Content::default();
        }
        content.tokens.clear();
        content.entries.clear();
        self.home.contents.lock().push(content);
        self.home.returned.notify_one();
    }
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
        let contents = (0..ARENAS).map(|_| Content::default()).collect();
        let free = Free { contents: Mutex::new(contents), returned: Condvar::new() };
        Self { fields, free: Arc::new(free), open: None }
    }

    /// Adds a document with the tokens that `fill` writes. True when the arena is full and is to be [taken](Self::take).
    pub(crate) fn push(&mut self, numbers: Numbers, fill: impl FnOnce(&mut Tokens)) -> bool {
        let arena = self.open.get_or_insert_with(|| Arena {
            fields: self.fields,
            content: self.free.take(),
            home: self.free.clone(),
        });
        let Content { tokens, entries } = &mut arena.content;
        fill(tokens);
        entries.push(Entry { end: tokens.len(), numbers });
        entries.len() == ARENA_DOCUMENTS
    }

    /// What was added since the last call, as the index takes it.
    pub(crate) fn take(&mut self) -> Vec<UserOperation<Doc>> {
        let Some(arena) = self.open.take() else { return Vec::new() };
        let arena = Arc::new(arena);
        (0..arena.content.entries.len())
            .map(|at| UserOperation::Add(Doc { arena: arena.clone(), at }))
            .collect()
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
            return Some((fields.tokens, DocValue::Token(self.arena.content.tokens.get(token))));
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
        let entries = &self.arena.content.entries;
        let start = self.at.checked_sub(1).map_or(0, |before| entries[before].end);
        let Entry { end, numbers } = &entries[self.at];
        DocValues {
            arena: &self.arena,
            tokens: start..*end,
            trace_low: numbers.trace_low,
            row: Some(numbers.row),
        }
    }
}
