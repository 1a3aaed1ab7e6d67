//! The tokens by which a record is found.
//!
//! ```text
//! attrs   level key NUL kind value    level `A` of the record, `R` of the resource, `S` of the scope; `N` name of the service, `O` operation,
//!                                     `E` event name, which have no key; `M` name of a metric, `L` label of a series
//!                                     kind `t` text below 1,024 bytes, `c` the beginning of a longer one, `h` its hash,
//!                                     `n` number, `b` bool
//! keys    level key                   which keys a record has
//! words   word                        full text
//! ```
//! Numbers are sixteen hexadecimal digits whose order is that of the values. Where a record stands in its source is different for each and
//! seldom asked for: of such keys only the presence is indexed.

use std::collections::BTreeSet;

use weir_model::filter::{Number, words};
use weir_model::identity;
use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Attrs, LogRef, Resource, Scope, SpanRef, Value};
use xxhash_rust::xxh3::xxh3_64;

/// Doubles hold every integer up to here; beyond, two numbers may share a token.
pub(crate) const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

pub(crate) const RECORD: char = 'A';
pub(crate) const RESOURCE: char = 'R';
pub(crate) const SCOPE: char = 'S';
pub(crate) const SERVICE: char = 'N';
pub(crate) const OPERATION: char = 'O';
pub(crate) const EVENT: char = 'E';
pub(crate) const METRIC: char = 'M';
pub(crate) const LABEL: char = 'L';

/// Tokens of one record, each once.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Tokens {
    pub(crate) attrs: BTreeSet<String>,
    pub(crate) keys: BTreeSet<String>,
    pub(crate) words: BTreeSet<String>,
}

impl Tokens {
    pub(crate) fn of_span(span: &SpanRef<'_>) -> Self {
        let mut tokens = Self::default();
        tokens.shared(span.resource, span.scope);
        tokens.each(RECORD, span.span.attrs());
        tokens.put_text(OPERATION, "", span.span.name);
        for event in span.span.events() {
            tokens.keys.insert(key(EVENT, ""));
            tokens.put_text(EVENT, "", event.name);
        }
        weir_model::filter::Record::Span(span).each_text(&mut |text| tokens.text(text));
        tokens
    }

    pub(crate) fn of_log(log: &LogRef<'_>) -> Self {
        let mut tokens = Self::default();
        tokens.shared(log.resource, log.scope);
        tokens.each(RECORD, log.log.attrs());
        if !log.log.event_name.is_empty() {
            tokens.keys.insert(key(EVENT, ""));
            tokens.put_text(EVENT, "", log.log.event_name);
        }
        weir_model::filter::Record::Log(log).each_text(&mut |text| tokens.text(text));
        tokens
    }

    fn shared(&mut self, resource: Resource<'_>, scope: Scope<'_>) {
        self.each(RESOURCE, resource.attrs());
        self.each(SCOPE, scope.attrs());
        if let Some(service) = resource.attrs().get("service.name") {
            self.value(SERVICE, "", service);
        }
    }

    fn each(&mut self, level: char, attrs: Attrs<'_>) {
        attrs.iter().for_each(|attr| self.value(level, attr.key, attr.value));
    }

    /// A value, or those of a list.
    fn value(&mut self, level: char, name: &str, value: Value<'_>) {
        let again = !self.keys.insert(key(level, name));
        if only_present(name) {
            return;
        }
        if again || !is_plain(value) {
            self.keys.insert(odd_key(level, name));
        }
        match value {
            Value::Array(array) => array.iter().for_each(|value| self.scalar(level, name, value)),
            value => self.scalar(level, name, value),
        }
    }

    fn scalar(&mut self, level: char, name: &str, value: Value<'_>) {
        let token = match value {
            Value::Str(text) => return self.put_text(level, name, text),
            Value::Int(n) => number(level, name, Number::Int(n)),
            Value::Double(x) if !x.is_nan() => number(level, name, Number::Double(x)),
            Value::Bool(b) => boolean(level, name, b),
            _ => return,
        };
        self.attrs.insert(token);
    }

    pub(crate) fn put_text(&mut self, level: char, name: &str, value: &str) {
        self.attrs.insert(text(level, name, value));
        if is_long(value) {
            self.attrs.insert(beginning(level, name, value));
        }
    }

    /// Notes the words of a text; never wants to see fewer.
    fn text(&mut self, text: &str) -> bool {
        let mut words = words(text);
        while let Some(word) = words.next() {
            if !self.words.contains(cut(word)) {
                self.words.insert(cut(word).to_owned());
            }
        }
        false
    }
}

/// Whether of a key's values only their presence is indexed.
pub(crate) fn only_present(key: &str) -> bool {
    matches!(key, identity::OFFSET | identity::ORDINAL)
}

/// Whether a text is indexed by its beginning and hash.
pub(crate) fn is_long(value: &str) -> bool {
    value.len() >= INDEXED_VALUE_BYTES
}

/// The part of a text that is indexed.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(INDEXED_VALUE_BYTES)]
}

/// Whether the token of a value tells exactly how it reads.
fn is_plain(value: Value<'_>) -> bool {
    match value {
        Value::Str(text) => !is_long(text),
        Value::Int(n) => (n as f64).abs() < EXACT_INTEGERS,
        Value::Double(x) => x.abs() < EXACT_INTEGERS && x.to_bits() != (-0.0_f64).to_bits(),
        Value::Bool(_) => true,
        _ => false,
    }
}

/// Token of a key of which the values' tokens do not tell all.
pub(crate) fn odd_key(level: char, name: &str) -> String {
    key(level, name) + "\0"
}

/// Token of a key.
pub(crate) fn key(level: char, name: &str) -> String {
    format!("{level}{name}")
}

/// What all tokens of a key and kind begin with.
pub(crate) fn kind(level: char, name: &str, kind: char) -> String {
    format!("{level}{name}\0{kind}")
}

/// Token by which a text is found; of a long one a hash, after which it must be verified.
pub(crate) fn text(level: char, name: &str, value: &str) -> String {
    if is_long(value) {
        return format!("{}{:016x}", kind(level, name, 'h'), xxh3_64(value.as_bytes()));
    }
    kind(level, name, 't') + value
}

/// Token of the beginning of a long text.
fn beginning(level: char, name: &str, value: &str) -> String {
    kind(level, name, 'c') + cut(value)
}

pub(crate) fn boolean(level: char, name: &str, value: bool) -> String {
    kind(level, name, 'b') + if value { "1" } else { "0" }
}

pub(crate) fn number(level: char, name: &str, value: Number) -> String {
    // Adding zero makes -0 and 0 one token, since they are equal.
    let bits = (value.as_f64() + 0.0).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    format!("{}{ordered:016x}", kind(level, name, 'n'))
}

/// The number behind the kind of a token.
pub(crate) fn number_of(digits: &str) -> Option<f64> {
    let ordered = u64::from_str_radix(digits, 16).ok()?;
    Some(f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -2.5, -1.0, -0.0, 0.0, 1e-300, 1.0, 2.5, 9e15, f64::INFINITY];
        let tokens: Vec<_> = numbers.iter().map(|n| number(RECORD, "k", Number::Double(*n))).collect();
        assert!(tokens.is_sorted());
        assert_eq!(tokens[4], tokens[5]);
        let back: Vec<_> = tokens.iter().map(|token| number_of(&token[4..])).collect();
        assert_eq!(back, numbers.map(Some));
        assert_eq!(number(RECORD, "k", Number::Int(1)), number(RECORD, "k", Number::Double(1.0)));
    }

    #[test]
    fn long_texts_are_found_by_a_hash() {
        let (short, long) = ("a".repeat(1_023), "é".repeat(600));
        assert_eq!(text(RECORD, "k", &short), format!("Ak\0t{short}"));
        assert_eq!(text(RECORD, "k", &long).len(), "Ak\0h".len() + 16);
        let mut tokens = Tokens::default();
        tokens.put_text(RECORD, "k", &long);
        assert!(tokens.attrs.contains(&format!("Ak\0c{}", "é".repeat(512))), "cut between characters");
    }
}
