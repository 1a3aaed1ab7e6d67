//! Values as text: how a person reads them in groups, lists of values, and series.

use weir_model::limits::INDEXED_VALUE_BYTES;
use weir_model::otlp::{Attrs, Value};

/// A value as a person reads it; lists, maps, bytes and null have none.
pub fn value_text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.to_owned()),
        Value::Int(n) => Some(n.to_string()),
        Value::Double(x) => Some(x.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Empty | Value::Bytes(_) | Value::Array(_) | Value::Map(_) => None,
    }
}

/// The values of a key on one level of a record as [`Snapshot::values`](crate::Snapshot::values) lists them: the elements of lists, text below
/// 1,024 bytes, numbers as the double next to them. Text, numbers and booleans are listed once each, also where two kinds read the same.
pub fn listed_values(attrs: Attrs<'_>, key: &str) -> Vec<String> {
    let mut listed = Vec::new();
    let mut add = |value: Value<'_>| {
        let (kind, text) = match value {
            Value::Int(n) => ('n', Some((n as f64).to_string())),
            // Minus zero equals zero, and NaN equals nothing.
            Value::Double(x) => ('n', (!x.is_nan()).then(|| (x + 0.0).to_string())),
            Value::Bool(b) => ('b', Some(b.to_string())),
            other => ('t', value_text(other).filter(|text| text.len() < INDEXED_VALUE_BYTES)),
        };
        if let Some(text) = text
            && !listed.contains(&(kind, text.clone()))
        {
            listed.push((kind, text));
        }
    };
    for attr in attrs.iter().filter(|attr| attr.key == key) {
        match attr.value {
            Value::Array(array) => array.iter().for_each(&mut add),
            value => add(value),
        }
    }
    listed.into_iter().map(|(_, text)| text).collect()
}
