//! Attribute values and lists of attributes.

use crate::wire::{Field, Fields, Kind};

/// An `AnyValue`, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No variant is set; OTLP's null.
    Empty,
    Str(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    Array(Array<'a>),
    Map(Attrs<'a>),
}

impl<'a> Value<'a> {
    /// Reads an encoded `AnyValue`.
    pub fn decode(message: &'a [u8]) -> Self {
        let mut value = Value::Empty;
        for field in Fields::new(message).map_while(Result::ok) {
            value = match (field.number, field.kind) {
                (1, Kind::Bytes(bytes)) => Value::Str(text(bytes)),
                (2, Kind::Varint(n)) => Value::Bool(n != 0),
                (3, Kind::Varint(n)) => Value::Int(n as i64),
                (4, Kind::Fixed64(n)) => Value::Double(f64::from_bits(n)),
                (5, Kind::Bytes(bytes)) => Value::Array(Array { message: bytes }),
                (6, Kind::Bytes(bytes)) => Value::Map(Attrs::new(bytes, 1)),
                (7, Kind::Bytes(bytes)) => Value::Bytes(bytes),
                _ => value,
            };
        }
        value
    }

    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }
}

/// Text of a validated body; what [`validate`](super::validate) would have refused reads as one replacement character.
pub(super) fn text(bytes: &[u8]) -> &str {
    simdutf8::basic::from_utf8(bytes).unwrap_or("\u{fffd}")
}

/// A list of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    message: &'a [u8],
}

impl<'a> Array<'a> {
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        Fields::new(self.message)
            .map_while(Result::ok)
            .filter(|f| f.number == 1)
            .map(|f| Value::decode(f.bytes()))
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attr<'a> {
    pub key: &'a str,
    pub value: Value<'a>,
}

impl<'a> Attr<'a> {
    fn decode(field: Field<'a>) -> Self {
        let mut attr = Attr { key: "", value: Value::Empty };
        for field in Fields::new(field.bytes()).map_while(Result::ok) {
            match field.number {
                1 => attr.key = text(field.bytes()),
                2 => attr.value = Value::decode(field.bytes()),
                _ => {}
            }
        }
        attr
    }
}

/// The attributes of a message, in their order on the wire. Keys may repeat; then each of them counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attrs<'a> {
    message: &'a [u8],
    field: u32,
}

impl<'a> Attrs<'a> {
    pub const EMPTY: Attrs<'static> = Attrs { message: &[], field: 1 };

    /// The `KeyValue`s in the fields numbered `field` of a message.
    pub(super) fn new(message: &'a [u8], field: u32) -> Self {
        Self { message, field }
    }

    pub fn iter(&self) -> impl Iterator<Item = Attr<'a>> + use<'a> {
        let number = self.field;
        Fields::new(self.message).map_while(Result::ok).filter(move |f| f.number == number).map(Attr::decode)
    }

    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.iter().find(|attr| attr.key == key).map(|attr| attr.value)
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}
