//! Attributes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;
use weir_model::otlp::{Attrs, Value};

/// Largest integer that every JSON reader keeps exact.
const EXACT: u64 = 1 << 53;

/// One attribute. An `int` is a decimal string, `bytes` are base64, a double that JSON has no number for is text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attr)]
pub(crate) struct AttrBody {
    key: String,
    value: Json,
    /// `string`, `int`, `double`, `bool`, `bytes`, `array`, `map` or `null`.
    r#type: &'static str,
}

pub(crate) fn attrs(attrs: Attrs<'_>) -> Vec<AttrBody> {
    attrs
        .iter()
        .map(|attr| {
            let (r#type, value) = match attr.value {
                Value::Int(n) => ("int", Json::String(n.to_string())),
                other => (type_of(&other), json(other)),
            };
            AttrBody { key: attr.key.to_owned(), value, r#type }
        })
        .collect()
}

fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Empty => "null",
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Double(_) => "double",
        Value::Bytes(_) => "bytes",
        Value::Array(_) => "array",
        Value::Map(_) => "map",
    }
}

/// A value as JSON. Nesting is bounded at intake.
pub(crate) fn json(value: Value<'_>) -> Json {
    match value {
        Value::Empty => Json::Null,
        Value::Str(text) => text.into(),
        Value::Bool(b) => b.into(),
        Value::Int(n) if n.unsigned_abs() <= EXACT => n.into(),
        Value::Int(n) => n.to_string().into(),
        Value::Double(x) => {
            serde_json::Number::from_f64(x).map_or_else(|| x.to_string().into(), Json::Number)
        }
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::Array(array) => Json::Array(array.iter().map(json).collect()),
        Value::Map(map) => Json::Object(
            map.iter().map(|attr| (attr.key.to_owned(), json(attr.value))).collect::<Map<_, _>>(),
        ),
    }
}

/// Text as it is, anything else as JSON.
pub(crate) fn text(value: Value<'_>) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Str(text) => text.to_owned(),
        other => match json(other) {
            Json::String(text) => text,
            json => json.to_string(),
        },
    }
}
