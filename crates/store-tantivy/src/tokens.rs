//! The tokens of the index: one field of bytes holds everything by which a record is found.
//!
//! ```text
//! attribute    key NUL kind value     kind `t` text, `n` number, `b` bool, `p` present in another form
//! built in     0x01 letter value      `o` operation, `s` status that is not unset, `e` event name, `w` word of full text,
//!                                     `r` pair number
//! ```
//! Where a record stands in its source is different for each and seldom asked for: of such keys only the presence is indexed.
//! Numbers are eight bytes whose order is that of the values. Text is cut at [`INDEXED_VALUE_BYTES`]; whoever looks a cut one up must verify.

use weir_model::filter::{AsciiWords, Number, words};
use weir_model::identity;
use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Attrs, Log, Span, StatusCode, Value};

/// Marks a built-in token; no attribute key begins with it.
const BUILT_IN: u8 = 1;

/// Which built-in a token is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BuiltIn {
    Operation = b'o',
    Status = b's',
    Event = b'e',
    Word = b'w',
    Pair = b'r',
}

/// Slots for the words that a record has already, a power of two: for lines of some hundred words. Sixteen kilobytes.
const SLOTS: usize = 512;
/// Slots that are looked at for a word.
const PROBES: usize = 4;

/// Tokens of one record after the other, in one buffer.
///
/// Words come again within a line, in lists of alike objects most of them; the index is spared what it would only find to be known. That goes
/// for short words of ASCII, which nearly all are.
#[derive(Debug)]
pub(crate) struct Tokens {
    bytes: Vec<u8>,
    /// Behind the last byte of each.
    ends: Vec<usize>,
    /// Short words by their hashes, each with the number of the record that it was last seen in. One that finds no slot is not recognised when
    /// it comes again, which only costs time.
    seen: Box<[(u128, u64); SLOTS]>,
    /// Number of the record, from 1.
    record: u64,
    ascii: AsciiWords,
}

impl Default for Tokens {
    fn default() -> Self {
        let seen = Box::new([(0, 0); SLOTS]);
        Self { bytes: Vec::new(), ends: Vec::new(), seen, record: 0, ascii: AsciiWords::default() }
    }
}

impl Tokens {
    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of tokens that it has memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets all of them, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn built_in(&mut self, what: BuiltIn, value: &[u8]) {
        built_in_into(what, value, &mut self.bytes);
        self.end();
    }

    pub(crate) fn pair(&mut self, pair: u32) {
        self.built_in(BuiltIn::Pair, &pair.to_be_bytes());
    }

    pub(crate) fn span(&mut self, span: &Span<'_>) {
        self.record += 1;
        self.built_in(BuiltIn::Operation, span.name.as_bytes());
        if let StatusCode::OK | StatusCode::ERROR = span.status.code {
            self.built_in(BuiltIn::Status, span.status.code.name().as_bytes());
        }
        self.text(span.name);
        self.text(span.status.message);
        for event in span.events() {
            self.built_in(BuiltIn::Event, event.name.as_bytes());
            self.text(event.name);
            for key in ["exception.type", "exception.message"] {
                if let Some(Value::Str(text)) = event.attrs.get(key) {
                    self.text(text);
                }
            }
        }
        self.attrs(span.attrs());
    }

    pub(crate) fn log(&mut self, log: &Log<'_>) {
        self.record += 1;
        if !log.event_name.is_empty() {
            self.built_in(BuiltIn::Event, log.event_name.as_bytes());
        }
        self.body(log.body);
        self.attrs(log.attrs());
    }

    fn body(&mut self, value: Value<'_>) {
        match value {
            Value::Str(text) => self.text(text),
            Value::Array(array) => array.iter().for_each(|v| self.body(v)),
            Value::Map(map) => map.iter().for_each(|attr| self.body(attr.value)),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let Self { bytes, ends, seen, record, ascii } = self;
        let is_ascii = ascii.each(text, |word| {
            if !word.short().is_some_and(|word| again(seen, *record, word)) {
                word_into(bytes, ends, |out| word.append_to(out));
            }
        });
        if !is_ascii {
            let mut words = words(text);
            while let Some(word) = words.next() {
                word_into(bytes, ends, |out| out.extend_from_slice(word.as_bytes()));
            }
        }
    }

    fn attrs(&mut self, attrs: Attrs<'_>) {
        for attr in attrs.iter() {
            match attr.value {
                Value::Array(array) => {
                    self.with_key(attr.key, |out| out.push(b'p'));
                    array.iter().for_each(|value| self.value(attr.key, value));
                }
                value => self.value(attr.key, value),
            }
        }
    }

    fn value(&mut self, key: &str, value: Value<'_>) {
        self.with_key(key, |out| match value {
            _ if only_present(key) => out.push(b'p'),
            Value::Str(text) => {
                out.push(b't');
                out.extend_from_slice(cut(text.as_bytes()));
            }
            Value::Int(n) => number_into(Number::Int(n), out),
            Value::Double(x) if !x.is_nan() => number_into(Number::Double(x), out),
            Value::Bool(b) => out.extend_from_slice(&[b'b', b as u8]),
            _ => out.push(b'p'),
        });
    }

    fn with_key(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        key_into(key, &mut self.bytes);
        value(&mut self.bytes);
        self.end();
    }
}

#[inline]
fn word_into(bytes: &mut Vec<u8>, ends: &mut Vec<usize>, append: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend_from_slice(&[BUILT_IN, BuiltIn::Word as u8]);
    append(bytes);
    bytes.truncate(start + 2 + INDEXED_VALUE_BYTES);
    ends.push(bytes.len());
}

/// Whether a record has a word already; else notes it.
#[inline]
fn again(seen: &mut [(u128, u64); SLOTS], record: u64, word: u128) -> bool {
    // Any odd number with bits all over mixes well: the fraction of the golden ratio, and that of the square root of 3.
    let mixed = (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ ((word >> 64) as u64).wrapping_mul(0xbb67_ae85_84ca_a73b);
    let hash = (mixed >> 32) as usize;
    for slot in (hash..hash + PROBES).map(|slot| slot % SLOTS) {
        match &mut seen[slot] {
            (known, of) if *of == record => {
                if *known == word {
                    return true;
                }
            }
            free => {
                *free = (word, record);
                return false;
            }
        }
    }
    false
}

/// Whether of a key's values only their presence is indexed.
pub(crate) fn only_present(key: &str) -> bool {
    matches!(key, identity::OFFSET | identity::ORDINAL)
}

pub(crate) fn cut(value: &[u8]) -> &[u8] {
    &value[..value.len().min(INDEXED_VALUE_BYTES)]
}

fn built_in_into(what: BuiltIn, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[BUILT_IN, what as u8]);
    out.extend_from_slice(cut(value));
}

pub(crate) fn built_in(what: BuiltIn, value: &[u8]) -> Vec<u8> {
    let mut token = Vec::new();
    built_in_into(what, value, &mut token);
    token
}

fn key_into(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    out.push(0);
}

/// What all tokens of a key begin with.
pub(crate) fn key(key: &str) -> Vec<u8> {
    let mut token = Vec::new();
    key_into(key, &mut token);
    token
}

/// What all text tokens of a key that begin with `value` begin with; the whole token where the value is shorter than the cut.
pub(crate) fn text(name: &str, value: &str) -> Vec<u8> {
    let mut token = key(name);
    token.push(b't');
    token.extend_from_slice(cut(value.as_bytes()));
    token
}

pub(crate) fn boolean(name: &str, value: bool) -> Vec<u8> {
    let mut token = key(name);
    token.extend_from_slice(&[b'b', value as u8]);
    token
}

pub(crate) fn number(name: &str, value: Number) -> Vec<u8> {
    let mut token = key(name);
    number_into(value, &mut token);
    token
}

/// First token behind all numbers of a key, or the first of them.
pub(crate) fn number_bound(name: &str, end: bool) -> Vec<u8> {
    let mut token = key(name);
    token.push(b'n' + end as u8);
    token
}

fn number_into(value: Number, out: &mut Vec<u8>) {
    // Adding zero makes -0 and 0 one token, since they are equal.
    let bits = (value.as_f64() + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    out.push(b'n');
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// The number behind the `n` of a token.
pub(crate) fn number_of(value: &[u8]) -> Option<f64> {
    let ordered = u64::from_be_bytes(value.try_into().ok()?);
    Some(f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered }))
}

/// Splits a token of an attribute into its key and what stands behind the NUL; `None` for a built-in.
pub(crate) fn split(token: &[u8]) -> Option<(&str, &[u8])> {
    let at = token.iter().position(|b| *b == 0)?;
    if token[0] == BUILT_IN {
        return None;
    }
    Some((std::str::from_utf8(&token[..at]).ok()?, &token[at + 1..]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use weir_model::otlp::LogWriter;
    use weir_model::wire::Writer;

    use super::*;

    #[test]
    fn a_word_is_handed_over_once_a_record() {
        let mut tokens = Tokens::default();
        let mut check = |text: &str| {
            let mut record = Writer::new();
            let mut log = LogWriter::new(&mut record);
            log.body(text);
            log.attrs().str("k", "v");
            let from = tokens.len();
            tokens.log(&Log::decode(record.as_slice()));
            let found: Vec<_> = (from..tokens.len()).map(|at| tokens.get(at).to_vec()).collect();
            let mut expect: Vec<_> = Vec::new();
            for word in words(text).collect() {
                let token = built_in(BuiltIn::Word, word.as_bytes());
                // Longer ones, and those of other texts, are seldom and not looked for.
                if !text.is_ascii() || word.len() > 16 || !expect.contains(&token) {
                    expect.push(token);
                }
            }
            expect.push(super::text("k", "v"));
            assert_eq!(found, expect, "{text}");
            if text.is_empty() {
                tokens.clear();
            }
        };
        let long = "x".repeat(INDEXED_VALUE_BYTES + 1);
        let some: String = (0..200).chain(0..200).map(|n| format!("w{n} ")).collect();
        for text in [
            "a",
            "A b a B c",
            "a b",
            &format!("{long} {long}y"),
            &some,
            "w1 w2 w1",
            "",
            "w2 a a",
            "",
            "\u{e9}t\u{e9} a",
        ] {
            check(text);
        }
    }

    #[test]
    fn no_word_is_left_out() {
        let text: String = (0..5_000).map(|n| format!("w{n} ")).collect();
        let mut tokens = Tokens::default();
        tokens.text(&text);
        let found: HashSet<_> = (0..tokens.len()).map(|at| tokens.get(at).to_vec()).collect();
        assert_eq!(found.len(), 5_000);
    }

    #[test]
    fn numbers_keep_their_order() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -2.5, -1.0, -0.0, 0.0, 1e-300, 1.0, 2.5, 9e15, f64::INFINITY];
        let tokens: Vec<_> = numbers.iter().map(|n| number("k", Number::Double(*n))).collect();
        assert!(tokens.is_sorted());
        assert_eq!(tokens[4], tokens[5]);
        let back: Vec<_> = tokens.iter().map(|token| number_of(&token[3..])).collect();
        assert_eq!(back, numbers.map(Some));
        assert_eq!(number("k", Number::Int(1)), number("k", Number::Double(1.0)));
        assert!(number_bound("k", false) < tokens[0] && tokens[10] < number_bound("k", true));
    }
}
