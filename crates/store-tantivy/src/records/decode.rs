//! From streams to records.

use bytes::Bytes;
use weir_model::Signal;

use super::{
    ATTRS, CODES, HEAD, IDS, KEYS, LENGTHS, Layout, NUMBERS, PADDED, PARENTS, SHAPES, STREAM_BYTES_MAX,
    STREAMS, TEXTS, layout, op, varint_len,
};
use crate::columns::{Meta, kind_of};
use crate::packed::{read_varint, unzigzag, varint};

/// The records of a block, decoded: one after the other in one buffer.
#[derive(Debug)]
pub(crate) struct Records {
    bytes: Bytes,
    ends: Vec<u32>,
}

impl Records {
    pub(crate) fn get(&self, row: usize) -> Option<Bytes> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = *self.ends.get(row)?;
        Some(self.bytes.slice(start as usize..end as usize))
    }

    /// Memory that they take, bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<u32>() + size_of::<Self>()
    }
}

/// A column that is read.
struct Source<'s> {
    group: u8,
    tag: u32,
    key: &'s [u8],
    /// How many values the records take from it.
    count: usize,
    values: Vec<Value>,
    next: usize,
}

#[derive(Clone, Copy)]
enum Value {
    Number(u64),
    Eight([u8; 8]),
    /// Where it stands among the texts.
    Text(u32, u32),
}

/// A stream that is read from its beginning.
struct Cursor<'s> {
    bytes: &'s [u8],
    at: usize,
}

impl<'s> Cursor<'s> {
    fn number(&mut self) -> Option<u64> {
        read_varint(self.bytes, &mut self.at)
    }

    fn small(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    fn take(&mut self, n: usize) -> Option<&'s [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }
}

fn streams(bytes: &[u8]) -> Option<[Vec<u8>; STREAMS]> {
    let mut cursor = Cursor { bytes, at: 0 };
    let mut streams: [Vec<u8>; STREAMS] = Default::default();
    for stream in &mut streams {
        let (len, stored) = (cursor.small()?, cursor.small()?);
        let stored = cursor.take(stored)?;
        *stream = match stored.len() == len {
            true => stored.to_vec(),
            false if len <= STREAM_BYTES_MAX => zstd::bulk::decompress(stored, len).ok()?,
            false => return None,
        };
    }
    Some(streams)
}

/// Makes the records of a block again. `None` where the bytes are damaged.
pub(crate) fn decode(
    signal: Signal,
    meta: impl Fn(usize) -> Meta,
    rows: usize,
    bytes: &[u8],
) -> Option<Records> {
    let layout = layout(signal);
    let streams = streams(bytes)?;
    let open = |stream: usize| Cursor { bytes: &streams[stream], at: 0 };
    let mut head = open(HEAD);
    let mut shapes = Vec::new();
    for _ in 0..head.small()? {
        let len = head.small()?;
        shapes.push(head.take(len)?);
    }
    let mut columns = Vec::new();
    for _ in 0..head.small()? {
        let (group, tag) = (u8::try_from(head.number()?).ok()?, u32::try_from(head.number()?).ok()?);
        let len = head.small()?;
        columns.push(Source { group, tag, key: head.take(len)?, count: 0, values: Vec::new(), next: 0 });
    }

    // First pass: which shape each record has, how many values each column has, and all span ids.
    let (mut of_rows, mut keys, mut parents, mut ids) = (open(SHAPES), open(KEYS), open(PARENTS), open(IDS));
    let mut shape_of = Vec::new();
    let mut span_of = Vec::new();
    for _ in 0..rows {
        let shape = *shapes.get(of_rows.small()?)?;
        let (mut operations, mut span) = (Cursor { bytes: shape, at: 0 }, [0; 8]);
        while operations.at < shape.len() {
            let column = match operations.take(1)?[0] {
                op::SPAN => {
                    span = ids.eight()?;
                    continue;
                }
                op::PARENT => {
                    if parents.number()? == 0 {
                        ids.eight()?;
                    }
                    continue;
                }
                op::TRACE | op::TIME | op::END | op::KIND => continue,
                op::ATTR.. => keys.small()?,
                _ => operations.small()?,
            };
            columns.get_mut(column)?.count += 1;
        }
        shape_of.push(shape);
        span_of.push(span);
    }

    // Second pass: the values, column by column.
    let (mut codes, mut lengths, mut new, mut numbers) =
        (open(CODES), open(LENGTHS), open(TEXTS), open(NUMBERS));
    let mut texts: Vec<u8> = Vec::new();
    for column in &mut columns {
        let (mut distinct, mut last, mut number) = (Vec::new(), (0_usize, 0_usize), 0_u64);
        for _ in 0..column.count {
            let value = match column.tag & 7 {
                2 => match codes.small()?.checked_sub(1) {
                    Some(known) => *distinct.get(known)?,
                    None => {
                        let (shared, more) = (lengths.small()?, lengths.small()?);
                        if shared > last.1 || texts.len() > STREAM_BYTES_MAX {
                            return None;
                        }
                        let start = texts.len();
                        texts.extend_from_within(last.0..last.0 + shared);
                        texts.extend_from_slice(new.take(more)?);
                        last = (start, shared + more);
                        let value = Value::Text(start as u32, texts.len() as u32);
                        distinct.push(value);
                        value
                    }
                },
                1 => Value::Eight(ids.eight()?),
                _ => {
                    number = number.wrapping_add(unzigzag(numbers.number()?) as u64);
                    Value::Number(number)
                }
            };
            column.values.push(value);
        }
    }

    // Third pass: the records.
    let (mut keys, mut parents, mut ids) = (open(KEYS), open(PARENTS), open(IDS));
    let mut out: Vec<u8> = Vec::with_capacity(texts.len() + rows * 64);
    let mut ends = Vec::with_capacity(rows);
    let next = |columns: &mut Vec<Source<'_>>, column: usize| {
        let source = columns.get_mut(column)?;
        let value = *source.values.get(source.next)?;
        source.next += 1;
        Some(value)
    };
    for (row, shape) in shape_of.into_iter().enumerate() {
        let meta = meta(row);
        let mut operations = Cursor { bytes: shape, at: 0 };
        while operations.at < shape.len() {
            match operations.take(1)?[0] {
                op::TRACE => text(layout.trace << 3 | 2, meta.trace?.as_bytes(), false, &mut out),
                op::TIME => fixed(layout.time << 3 | 1, &meta.time.to_le_bytes(), &mut out),
                op::END => {
                    fixed(layout.end << 3 | 1, &meta.time.checked_add(meta.measure)?.to_le_bytes(), &mut out)
                }
                op::KIND => {
                    varint((layout.kind << 3) as u64, &mut out);
                    varint(kind_of(meta.class) as u64, &mut out);
                }
                op::SPAN => text(layout.span << 3 | 2, &ids.eight()?, false, &mut out),
                op::PARENT => {
                    let id = match parents.number()?.checked_sub(1) {
                        None => ids.eight()?,
                        Some(rows) => *span_of.get(usize::try_from(row as i64 + unzigzag(rows)).ok()?)?,
                    };
                    text(layout.parent << 3 | 2, &id, false, &mut out);
                }
                op::RAW => match next(&mut columns, operations.small()?)? {
                    Value::Text(from, to) => out.extend_from_slice(&texts[from as usize..to as usize]),
                    _ => return None,
                },
                operation @ (op::FIELD | op::PADDED_FIELD) => {
                    let column = operations.small()?;
                    let value = next(&mut columns, column)?;
                    put(columns[column].tag, value, operation == op::PADDED_FIELD, &texts, &mut out);
                }
                operation @ (op::BODY | op::PADDED_BODY) => {
                    let column = operations.small()?;
                    let value = next(&mut columns, column)?;
                    let tag = columns[column].tag;
                    varint((layout.body << 3 | 2) as u64, &mut out);
                    length(put_len(tag, value), operation == op::PADDED_BODY, &mut out);
                    put(tag, value, false, &texts, &mut out);
                }
                operation => {
                    let form = operation.checked_sub(op::ATTR).filter(|form| *form < 4)?;
                    let column = keys.small()?;
                    let value = next(&mut columns, column)?;
                    let source = columns.get(column).filter(|source| source.group == ATTRS)?;
                    attribute(layout, source, value, form, &texts, &mut out);
                }
            }
        }
        ends.push(u32::try_from(out.len()).ok()?);
    }
    Some(Records { bytes: out.into(), ends })
}

fn attribute(layout: &Layout, source: &Source<'_>, value: Value, form: u8, texts: &[u8], out: &mut Vec<u8>) {
    let (padded, padded_value) = (form & 1 != 0, form & 2 != 0);
    let width = |len: usize, padded: bool| if padded { PADDED } else { varint_len(len as u64) };
    let value_len = put_len(source.tag, value);
    let key_len = source.key.len();
    let len = 1 + varint_len(key_len as u64) + key_len + 1 + width(value_len, padded_value) + value_len;
    varint((layout.attr << 3 | 2) as u64, out);
    length(len, padded, out);
    text(0x0a, source.key, false, out);
    out.push(0x12);
    length(value_len, padded_value, out);
    put(source.tag, value, false, texts, out);
}

fn length(len: usize, padded: bool, out: &mut Vec<u8>) {
    if padded {
        out.extend_from_slice(&[len as u8 | 0x80, (len >> 7) as u8 | 0x80, (len >> 14) as u8 & 0x7f]);
    } else {
        varint(len as u64, out);
    }
}

pub(super) fn text(tag: u32, text: &[u8], padded: bool, out: &mut Vec<u8>) {
    varint(tag as u64, out);
    length(text.len(), padded, out);
    out.extend_from_slice(text);
}

pub(super) fn fixed(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    varint(tag as u64, out);
    out.extend_from_slice(bytes);
}

fn put(tag: u32, value: Value, padded: bool, texts: &[u8], out: &mut Vec<u8>) {
    match value {
        Value::Text(from, to) => text(tag, &texts[from as usize..to as usize], padded, out),
        Value::Eight(eight) => fixed(tag, &eight, out),
        Value::Number(n) if tag & 7 == 5 => fixed(tag, &(n as u32).to_le_bytes(), out),
        Value::Number(n) => {
            varint(tag as u64, out);
            varint(n, out);
        }
    }
}

/// Bytes that [`put`] writes.
fn put_len(tag: u32, value: Value) -> usize {
    varint_len(tag as u64)
        + match value {
            Value::Text(from, to) => varint_len((to - from) as u64) + (to - from) as usize,
            Value::Eight(_) => 8,
            Value::Number(_) if tag & 7 == 5 => 4,
            Value::Number(n) => varint_len(n),
        }
}
