//! From records to streams.

use std::hash::BuildHasherDefault;
use std::ops::Range;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rustc_hash::FxHasher;
use weir_model::Signal;

use super::{
    ATTRS, BODIES, CODES, FIELDS, HEAD, IDS, KEYS, LENGTHS, Layout, NONE, NUMBERS, PADDED, PARENTS, RAW_TAG,
    SHAPES, STREAMS, TEXTS, layout, op, varint_len,
};
use crate::columns::{Meta, kind_of};
use crate::packed::{read_varint, varint, zigzag};

type Map<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// zstd level. Higher ones gain nothing on streams that are as regular as these.
const LEVEL: i32 = 3;
/// Streams below this are not compressed, bytes.
const COMPRESS_FROM: usize = 24;
/// Fields of a record, roughly.
const FIELDS_EXPECTED: usize = 16;

/// A field as the encoder sees it.
#[derive(Clone, Copy)]
enum Payload<'a> {
    Number(u64),
    Eight([u8; 8]),
    Four(u32),
    /// Bytes, and whether their length is padded.
    Text(&'a [u8], bool),
}

/// A field's tag and what stands in it.
type Tagged<'a> = (u32, Payload<'a>);

/// Reads a varint in its shortest form.
fn canonical(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let start = *at;
    let n = read_varint(bytes, at)?;
    (*at - start == varint_len(n)).then_some(n)
}

/// Reads a field whose bytes can be made again from its tag and value.
fn field<'a>(bytes: &'a [u8], at: &mut usize) -> Option<Tagged<'a>> {
    let tag = u32::try_from(canonical(bytes, at)?).ok()?;
    let payload = match tag & 7 {
        0 => Payload::Number(canonical(bytes, at)?),
        1 => {
            let eight = bytes.get(*at..*at + 8)?.try_into().expect("eight bytes");
            *at += 8;
            Payload::Eight(eight)
        }
        2 => {
            let start = *at;
            let len = usize::try_from(read_varint(bytes, at)?).ok()?;
            let width = *at - start;
            let padded = width != varint_len(len as u64);
            if padded && width != PADDED {
                return None;
            }
            let text = bytes.get(*at..at.checked_add(len)?)?;
            *at += len;
            Payload::Text(text, padded)
        }
        5 => {
            let four = u32::from_le_bytes(bytes.get(*at..*at + 4)?.try_into().expect("four bytes"));
            *at += 4;
            Payload::Four(four)
        }
        _ => return None,
    };
    Some((tag, payload))
}

/// An `AnyValue` with exactly one field that can be made again.
fn single(message: &[u8]) -> Option<Tagged<'_>> {
    let mut at = 0;
    let (tag, payload) = field(message, &mut at)?;
    let plain = !matches!(payload, Payload::Text(_, true) | Payload::Four(_));
    (at == message.len() && plain).then_some((tag, payload))
}

/// Key, value, and whether the value's length is padded, of a `KeyValue` that can be made again.
fn key_value(message: &[u8]) -> Option<(&[u8], u32, Payload<'_>, bool)> {
    let mut at = 0;
    let (0x0a, Payload::Text(key, false)) = field(message, &mut at)? else { return None };
    let (0x12, Payload::Text(value, padded)) = field(message, &mut at)? else { return None };
    if at != message.len() {
        return None;
    }
    let (tag, payload) = single(value)?;
    Some((key, tag, payload, padded))
}

/// The values of one column.
#[derive(Default)]
struct Column<'a> {
    name: (u8, u32, &'a [u8]),
    /// The column that stood behind it in a record last.
    follower: u32,
    codes: Vec<u8>,
    lengths: Vec<u8>,
    texts: Vec<u8>,
    numbers: Vec<u8>,
    ids: Vec<u8>,
    /// The new text, or the number, before.
    last: &'a [u8],
    last_number: u64,
    /// The text before, and its number.
    before: Option<(&'a [u8], u64)>,
    distinct: u64,
}

/// Encodes the records of blocks.
pub(crate) struct Encoder {
    layout: &'static Layout,
    compressor: zstd::bulk::Compressor<'static>,
}

struct Block<'a> {
    layout: &'static Layout,
    columns: Vec<Column<'a>>,
    column_of: Map<(u8, u32, &'a [u8]), u32>,
    /// Number of each text in its column.
    texts: Map<(u32, &'a [u8]), u64>,
    shapes: Map<Vec<u8>, u64>,
    /// The column of the value before.
    column_before: u32,
    rows: Map<[u8; 8], usize>,
    streams: [Vec<u8>; STREAMS],
    columns_head: Vec<u8>,
    /// Of the record that is read, and of the one before it with its number.
    shape: Vec<u8>,
    shape_before: (Vec<u8>, u64),
}

impl<'a> Block<'a> {
    fn column(&mut self, group: u8, tag: u32, key: &'a [u8]) -> u32 {
        let name = (group, tag, key);
        // Mostly the record is like the one before it.
        let before = self.column_before as usize;
        if let Some(column) = self.columns.get(before)
            && let Some(next) = self.columns.get(column.follower as usize)
            && (next.name.0, next.name.1) == (group, tag)
            && same(next.name.2, key)
        {
            self.column_before = column.follower;
            return self.column_before;
        }
        let number = match self.column_of.get(&name) {
            Some(&number) => number,
            None => self.new_column(name),
        };
        if let Some(column) = self.columns.get_mut(before) {
            column.follower = number;
        }
        self.column_before = number;
        number
    }

    fn new_column(&mut self, name: (u8, u32, &'a [u8])) -> u32 {
        let number = self.columns.len() as u32;
        self.column_of.insert(name, number);
        self.columns.push(Column { name, ..Column::default() });
        let (group, tag, key) = name;
        for n in [group as u64, tag as u64, key.len() as u64] {
            varint(n, &mut self.columns_head);
        }
        self.columns_head.extend_from_slice(key);
        number
    }

    fn text(&mut self, column: u32, text: &'a [u8]) {
        let values = &mut self.columns[column as usize];
        if let Some((before, number)) = values.before
            && before == text
        {
            return varint(number + 1, &mut values.codes);
        }
        let number = match self.texts.entry((column, text)) {
            Entry::Occupied(known) => {
                varint(known.get() + 1, &mut values.codes);
                *known.get()
            }
            Entry::Vacant(new) => {
                let number = *new.insert(values.distinct);
                values.distinct += 1;
                values.codes.push(0);
                let shared = text.iter().zip(values.last).take_while(|(a, b)| a == b).count();
                varint(shared as u64, &mut values.lengths);
                varint((text.len() - shared) as u64, &mut values.lengths);
                values.texts.extend_from_slice(&text[shared..]);
                values.last = text;
                number
            }
        };
        values.before = Some((text, number));
    }

    fn value(&mut self, column: u32, payload: &Payload<'a>) {
        let values = &mut self.columns[column as usize];
        match *payload {
            Payload::Text(text, _) => self.text(column, text),
            Payload::Number(n) => {
                varint(zigzag(n.wrapping_sub(values.last_number) as i64), &mut values.numbers);
                values.last_number = n;
            }
            Payload::Four(n) => {
                varint(zigzag((n as u64).wrapping_sub(values.last_number) as i64), &mut values.numbers);
                values.last_number = n as u64;
            }
            Payload::Eight(eight) => values.ids.extend_from_slice(&eight),
        }
    }

    /// Takes one record with its fields, or without where it can't be made again from them.
    fn record(&mut self, row: usize, meta: &Meta, record: &'a [u8], fields: Option<&[Tagged<'a>]>) {
        self.shape.clear();
        self.column_before = 0;
        match fields {
            Some(fields) => fields.iter().for_each(|(tag, payload)| self.field(row, meta, *tag, *payload)),
            None => {
                let column = self.column(FIELDS, RAW_TAG, b"raw");
                self.shape.push(op::RAW);
                varint(column as u64, &mut self.shape);
                self.value(column, &Payload::Text(record, false));
            }
        }
        if self.shapes.is_empty() || self.shape != self.shape_before.0 {
            let next = self.shapes.len() as u64;
            let number = match self.shapes.get(&self.shape) {
                Some(number) => *number,
                None => {
                    self.shapes.insert(self.shape.clone(), next);
                    varint(self.shape.len() as u64, &mut self.streams[HEAD]);
                    self.streams[HEAD].extend_from_slice(&self.shape);
                    next
                }
            };
            self.shape_before.0.clone_from(&self.shape);
            self.shape_before.1 = number;
        }
        varint(self.shape_before.1, &mut self.streams[SHAPES]);
    }

    fn field(&mut self, row: usize, meta: &Meta, tag: u32, payload: Payload<'a>) {
        let layout = self.layout;
        match implied(layout, meta, tag, &payload) {
            Some(operation) => return self.shape.push(operation),
            None if tag == layout.span << 3 | 2 && eight(&payload).is_some() => {
                self.shape.push(op::SPAN);
                return self.streams[IDS].extend_from_slice(&eight(&payload).expect("checked"));
            }
            None if layout.parent != NONE && tag == layout.parent << 3 | 2 && eight(&payload).is_some() => {
                let parent = eight(&payload).expect("checked");
                self.shape.push(op::PARENT);
                match self.rows.get(&parent) {
                    Some(&at) => varint(zigzag(at as i64 - row as i64) + 1, &mut self.streams[PARENTS]),
                    None => {
                        self.streams[PARENTS].push(0);
                        self.streams[IDS].extend_from_slice(&parent);
                    }
                }
                return;
            }
            None => {}
        }
        match payload {
            Payload::Text(message, padded) if tag == layout.attr << 3 | 2 => {
                if let Some((key, tag, value, padded_value)) = key_value(message) {
                    let column = self.column(ATTRS, tag, key);
                    self.shape.push(op::ATTR + padded as u8 + 2 * padded_value as u8);
                    varint(column as u64, &mut self.streams[KEYS]);
                    return self.value(column, &value);
                }
            }
            Payload::Text(message, padded) if layout.body != NONE && tag == layout.body << 3 | 2 => {
                if let Some((tag, value)) = single(message) {
                    let column = self.column(BODIES, tag, b"");
                    self.shape.push(if padded { op::PADDED_BODY } else { op::BODY });
                    varint(column as u64, &mut self.shape);
                    return self.value(column, &value);
                }
            }
            _ => {}
        }
        let column = self.column(FIELDS, tag, b"");
        let padded = matches!(payload, Payload::Text(_, true));
        self.shape.push(if padded { op::PADDED_FIELD } else { op::FIELD });
        varint(column as u64, &mut self.shape);
        self.value(column, &payload);
    }
}

/// Appends the fields of a record; where it can't be made again from them, none.
fn fields<'a>(record: &'a [u8], all: &mut Vec<Tagged<'a>>) -> Option<Range<usize>> {
    let (start, mut at) = (all.len(), 0);
    while at < record.len() {
        let Some(next) = field(record, &mut at) else {
            all.truncate(start);
            return None;
        };
        all.push(next);
    }
    Some(start..all.len())
}

/// Whether two keys are equal. Each field of each record is asked for, and a call of `memcmp` takes longer than comparing a key.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (eights, rest) = a.as_chunks::<8>();
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(last), Some(other)) => last == other && eights.iter().eq(b.as_chunks::<8>().0),
        _ => rest.iter().eq(b),
    }
}

/// The text of eight bytes in a field whose length is not padded.
fn eight(payload: &Payload<'_>) -> Option<[u8; 8]> {
    match payload {
        Payload::Text(text, false) => (*text).try_into().ok(),
        _ => None,
    }
}

/// The operation of a field whose value the columns hold.
fn implied(layout: &Layout, meta: &Meta, tag: u32, payload: &Payload<'_>) -> Option<u8> {
    let time = |field: u32| field != NONE && tag == field << 3 | 1;
    match payload {
        Payload::Text(text, false) if tag == layout.trace << 3 | 2 => {
            (meta.trace.as_ref().map(|id| id.as_bytes().as_slice()) == Some(*text)).then_some(op::TRACE)
        }
        Payload::Eight(eight) if time(layout.time) => {
            (u64::from_le_bytes(*eight) == meta.time).then_some(op::TIME)
        }
        Payload::Eight(eight) if time(layout.end) => {
            (Some(u64::from_le_bytes(*eight)) == meta.time.checked_add(meta.measure)).then_some(op::END)
        }
        Payload::Number(n) if layout.kind != NONE && tag == layout.kind << 3 => {
            (*n == kind_of(meta.class) as u64).then_some(op::KIND)
        }
        _ => None,
    }
}

impl Encoder {
    pub(crate) fn new(signal: Signal) -> std::io::Result<Self> {
        Ok(Self { layout: layout(signal), compressor: zstd::bulk::Compressor::new(LEVEL)? })
    }

    /// Appends the records of a block.
    pub(crate) fn encode(&mut self, rows: &[(Meta, &[u8])], out: &mut Vec<u8>) -> std::io::Result<()> {
        let mut block = Block {
            layout: self.layout,
            columns: Vec::new(),
            column_of: Map::default(),
            texts: Map::with_capacity_and_hasher(rows.len(), BuildHasherDefault::default()),
            shapes: Map::default(),
            column_before: 0,
            rows: Map::default(),
            streams: Default::default(),
            columns_head: Vec::new(),
            shape: Vec::new(),
            shape_before: (Vec::new(), 0),
        };
        let mut all = Vec::with_capacity(rows.len() * FIELDS_EXPECTED);
        let places: Vec<_> = rows.iter().map(|(_, record)| fields(record, &mut all)).collect();
        if self.layout.parent != NONE {
            for (row, (place, (meta, _))) in places.iter().zip(rows).enumerate() {
                let fields = &all[place.clone().unwrap_or_default()];
                let span = fields.iter().rfind(|(tag, payload)| {
                    *tag == self.layout.span << 3 | 2
                        && implied(self.layout, meta, *tag, payload).is_none()
                        && eight(payload).is_some()
                });
                if let Some(span) = span.and_then(|(_, payload)| eight(payload)) {
                    block.rows.insert(span, row);
                }
            }
        }
        for (row, (place, (meta, record))) in places.iter().zip(rows).enumerate() {
            block.record(row, meta, record, place.clone().map(|place| &all[place]));
        }
        let mut streams = std::mem::take(&mut block.streams);
        let shapes = std::mem::take(&mut streams[HEAD]);
        varint(block.shapes.len() as u64, &mut streams[HEAD]);
        streams[HEAD].extend_from_slice(&shapes);
        varint(block.columns.len() as u64, &mut streams[HEAD]);
        streams[HEAD].extend_from_slice(&block.columns_head);
        for column in &block.columns {
            streams[CODES].extend_from_slice(&column.codes);
            streams[LENGTHS].extend_from_slice(&column.lengths);
            streams[TEXTS].extend_from_slice(&column.texts);
            streams[NUMBERS].extend_from_slice(&column.numbers);
            streams[IDS].extend_from_slice(&column.ids);
        }
        for (at, stream) in streams.iter().enumerate() {
            varint(stream.len() as u64, out);
            let compressed = match at != IDS && stream.len() >= COMPRESS_FROM {
                true => {
                    Some(self.compressor.compress(stream)?).filter(|smaller| smaller.len() < stream.len())
                }
                false => None,
            };
            let stored = compressed.as_deref().unwrap_or(stream);
            varint(stored.len() as u64, out);
            out.extend_from_slice(stored);
        }
        Ok(())
    }
}
