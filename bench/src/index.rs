//! The peer of the store: a bare tantivy loop of the same layout, fed from memory.
//!
//! The layout: one field of bytes for all tokens, the lower half of the trace id, and the row of the record in the files beside the index as
//! the only column. The store adds those files, sorting, identities, the trace table, the tail and durable commits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tantivy::directory::MmapDirectory;
use tantivy::indexer::{NoMergePolicy, UserOperation};
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{BytesOptions, Document, Field, NumericOptions, Schema, Value};
use tantivy::{Index, IndexWriter};
use weir_model::Signal;
use weir_model::filter::words;
use weir_model::otlp::{self, Attrs, Groups, Log, Span};

use crate::cpu;

/// Memory of the writer before it writes a segment, bytes; as the store's.
const WRITER_BYTES: usize = 128 << 20;
/// Documents that are handed over together, and how many such arenas may wait.
const DOCUMENTS: usize = 500;
const ARENAS: usize = 16;

/// Records indexed, bytes of their texts, and the processor time that indexing took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Indexed {
    pub records: u64,
    pub text_bytes: u64,
    pub used: Duration,
}

/// Indexes export requests. Decoding them and making their tokens happens on the calling thread, whose time is not counted.
///
/// # Errors
/// When the index can't be written.
pub fn run(signal: Signal, bodies: impl Iterator<Item = Bytes>) -> anyhow::Result<Indexed> {
    let folder = tempfile::tempdir()?;
    let mut schema = Schema::builder();
    let tokens = schema.add_bytes_field("tokens", BytesOptions::default().set_indexed());
    let trace = schema.add_u64_field("trace_low", NumericOptions::default().set_indexed());
    let row = schema.add_u64_field("row", NumericOptions::default().set_fast());
    let fields = [tokens, trace, row];
    let index = Index::open_or_create(MmapDirectory::open(folder.path())?, schema.build())?;
    let mut writer: IndexWriter<Doc> = index.writer_with_num_threads(1, WRITER_BYTES)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));

    let mut indexed = Indexed::default();
    let (before, own) = (cpu::used(), cpu::of_thread());
    let alive = Arc::new(());
    let mut arena = Arena::new(fields, &alive);
    for body in bodies {
        for group in Groups::new(&body) {
            for record in group.records() {
                indexed.text_bytes += arena.push(signal, record, indexed.records);
                indexed.records += 1;
                if arena.docs.len() == DOCUMENTS {
                    hand_over(&writer, std::mem::replace(&mut arena, Arena::new(fields, &alive)))?;
                    // The queue of the writer has no bound.
                    while Arc::strong_count(&alive) > ARENAS {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        }
    }
    hand_over(&writer, arena)?;
    let own = cpu::of_thread() - own;
    writer.commit()?;
    indexed.used = cpu::used() - before - own;
    Ok(indexed)
}

fn hand_over(writer: &IndexWriter<Doc>, arena: Arena) -> anyhow::Result<()> {
    let arena = Arc::new(arena);
    let docs = 0..arena.docs.len();
    writer.run(docs.map(|at| UserOperation::Add(Doc { arena: arena.clone(), at })))?;
    Ok(())
}

/// Tokens of some documents, one after the other.
#[derive(Debug)]
struct Arena {
    fields: [Field; 3],
    bytes: Vec<u8>,
    /// Behind the last byte of each token.
    tokens: Vec<u32>,
    /// Behind the last token of each document, and its numbers.
    docs: Vec<(u32, Option<u64>, u64)>,
    _alive: Arc<()>,
}

impl Arena {
    fn new(fields: [Field; 3], alive: &Arc<()>) -> Self {
        Self { fields, bytes: Vec::new(), tokens: Vec::new(), docs: Vec::new(), _alive: alive.clone() }
    }

    /// Adds a record and returns the bytes of its text.
    fn push(&mut self, signal: Signal, record: &[u8], row: u64) -> u64 {
        let (trace, text) = match signal {
            Signal::Spans => {
                let span = Span::decode(record);
                self.token(b"\x01o", span.name.as_bytes());
                self.words(span.name);
                self.attrs(span.attrs());
                (span.trace_id, span.name)
            }
            _ => {
                let log = Log::decode(record);
                let text = log.body.as_str().unwrap_or_default();
                self.words(text);
                self.attrs(log.attrs());
                (log.trace_id, text)
            }
        };
        self.token(b"\x01r", &0_u32.to_be_bytes());
        self.docs.push((self.tokens.len() as u32, trace.map(|id| id.low()), row));
        text.len() as u64
    }

    fn token(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.tokens.push(self.bytes.len() as u32);
    }

    fn words(&mut self, text: &str) {
        let mut words = words(text);
        while let Some(word) = words.next() {
            self.bytes.extend_from_slice(b"\x01w");
            self.bytes.extend_from_slice(word.as_bytes());
            self.tokens.push(self.bytes.len() as u32);
        }
    }

    /// Attributes with texts and numbers, which is all that the benchmarks' data has. What says where a record stands in its source is no
    /// attribute that is searched for.
    fn attrs(&mut self, attrs: Attrs<'_>) {
        for attr in attrs.iter().filter(|attr| !attr.key.starts_with("weir.")) {
            self.bytes.extend_from_slice(attr.key.as_bytes());
            match attr.value {
                otlp::Value::Str(text) => self.token(b"\0t", text.as_bytes()),
                otlp::Value::Int(n) => self.token(b"\0n", &(n as f64).to_bits().to_be_bytes()),
                otlp::Value::Double(x) => self.token(b"\0n", &x.to_bits().to_be_bytes()),
                _ => self.token(b"\0p", b""),
            }
        }
    }

    fn get(&self, token: usize) -> &[u8] {
        let start = token.checked_sub(1).map_or(0, |before| self.tokens[before] as usize);
        &self.bytes[start..self.tokens[token] as usize]
    }
}

#[derive(Debug, Clone)]
struct Doc {
    arena: Arc<Arena>,
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum DocValue<'a> {
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

/// The values of a document in the order of the fields.
#[derive(Debug)]
struct DocValues<'a> {
    arena: &'a Arena,
    tokens: std::ops::Range<usize>,
    trace: Option<u64>,
    row: Option<u64>,
}

impl<'a> Iterator for DocValues<'a> {
    type Item = (Field, DocValue<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let [tokens, trace, row] = self.arena.fields;
        if let Some(token) = self.tokens.next() {
            return Some((tokens, DocValue::Token(self.arena.get(token))));
        }
        if let Some(low) = self.trace.take() {
            return Some((trace, DocValue::Number(low)));
        }
        Some((row, DocValue::Number(self.row.take()?)))
    }
}

impl Document for Doc {
    type Value<'a> = DocValue<'a>;
    type FieldsValuesIter<'a> = DocValues<'a>;

    fn iter_fields_and_values(&self) -> DocValues<'_> {
        let start = self.at.checked_sub(1).map_or(0, |before| self.arena.docs[before].0 as usize);
        let (end, trace, row) = self.arena.docs[self.at];
        DocValues { arena: &self.arena, tokens: start..end as usize, trace, row: Some(row) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spans::Generator;

    #[test]
    fn every_record_is_indexed() {
        let mut generator = Generator::new(130, 1);
        let indexed = run(Signal::Spans, std::iter::from_fn(|| generator.request(50))).unwrap();
        assert_eq!(indexed.records, 1300);
        assert!(indexed.text_bytes > 0);
    }
}
