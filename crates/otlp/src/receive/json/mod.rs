//! OTLP's JSON to its protobuf, written member by member while the text is read.
//!
//! Departures of OTLP from protobuf's JSON mapping: ids are hexadecimal, enums are numbers, keys are lowerCamelCase only. 64-bit integers come
//! as text or as numbers, doubles also as `"NaN"` and `"Infinity"`, a null is an absent field, unknown fields are skipped. Texts nest at most
//! 128 deep, as serde_json counts; a value nested more than about 28 times is therefore refused.
//! Source: OTLP specification 1.x, section "JSON Protobuf Encoding".

mod fields;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use weir_model::Signal;
use weir_model::wire::Writer;

use fields::{Field, Kind};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Doubles at and beyond these are no 64-bit integers.
const INTEGERS: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;

/// Encodes a JSON request as protobuf.
///
/// # Errors
/// Names the first member whose value does not fit, with its line and column.
pub(super) fn transcode(signal: Signal, text: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Writer::with_capacity(text.len());
    let mut json = serde_json::Deserializer::from_slice(text);
    Message { out: &mut out, fields: fields::request(signal) }.deserialize(&mut json)?;
    json.end()?;
    Ok(out.into_vec())
}

/// Writes the fields of a message.
struct Message<'w> {
    out: &'w mut Writer,
    fields: &'static [Field],
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(field) = members.next_key_seed(Name(self.fields))? {
            match field {
                Some(field) => members.next_value_seed(Value { out: self.out, field, in_list: false })?,
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds the field of a name; `None` for one that this version of OTLP does not know.
struct Name(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.name == name))
    }
}

/// Writes the value of a field, or one element of a repeated one.
struct Value<'w> {
    out: &'w mut Writer,
    field: &'static Field,
    in_list: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.kind {
            _ if self.is_list() => "a list",
            Kind::Text => "a text",
            Kind::Id => "an id as hexadecimal digits",
            Kind::Base64 => "bytes as base64",
            Kind::Bool => "true or false",
            Kind::Double => "a number",
            Kind::Enum => "the number of one of the values (not its name)",
            Kind::Uint32 | Kind::Fixed32 => "an integer from 0 to 2^32 - 1",
            Kind::Uint64 | Kind::Fixed64 => "an integer from 0 to 2^64 - 1",
            Kind::Sint32 => "a 32-bit integer",
            Kind::Int64 | Kind::Sfixed64 => "a 64-bit integer",
            Kind::Message(_) => "an object",
        };
        write!(f, "{what} in `{}`", self.field.name)
    }

    /// A null is an absent field; in a list it stands for an empty message, as clients write an attribute value that is null.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind {
            Kind::Message(_) if self.in_list => self.out.bytes(self.field.number, &[]),
            _ if self.in_list => return Err(E::invalid_type(Unexpected::Unit, &self)),
            _ => {}
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.is_list() {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        loop {
            let element = Value { out: &mut *self.out, field: self.field, in_list: true };
            if items.next_element_seed(element)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(fields) if !self.is_list() => {
                let mark = self.out.begin(self.field.number);
                Message { out: &mut *self.out, fields }.visit_map(members)?;
                self.out.end(mark);
                Ok(())
            }
            _ => Err(A::Error::invalid_type(Unexpected::Map, &self)),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool if !self.is_list() => self.out.varint(self.field.number, value.into()),
            _ => return Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(value.into(), value as f64, Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(value.into(), value as f64, Unexpected::Signed(value))
    }

    /// Some encoders write integers as `1e9` or `1.0`.
    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => self.number(0, value, Unexpected::Float(value)),
            _ if value.fract() == 0.0 && INTEGERS.contains(&value) => {
                self.number(value as i128, value, Unexpected::Float(value))
            }
            _ => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let wrong = Unexpected::Str(text);
        let number = self.field.number;
        match self.field.kind {
            _ if self.is_list() => return Err(E::invalid_type(wrong, &self)),
            Kind::Text => self.out.bytes(number, text.as_bytes()),
            Kind::Id => match hex(text) {
                Some(id) => self.out.bytes(number, &id),
                None => return Err(E::invalid_value(wrong, &self)),
            },
            Kind::Base64 => match STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)) {
                Ok(bytes) => self.out.bytes(number, &bytes),
                Err(_) => return Err(E::invalid_value(wrong, &self)),
            },
            Kind::Double => match text.parse() {
                Ok(x) => return self.number(0, x, wrong),
                Err(_) => return Err(E::invalid_value(wrong, &self)),
            },
            Kind::Bool | Kind::Message(_) | Kind::Enum => return Err(E::invalid_type(wrong, &self)),
            _ => match text.parse() {
                Ok(n) => return self.number(n, 0.0, wrong),
                Err(_) => return Err(E::invalid_value(wrong, &self)),
            },
        }
        Ok(())
    }
}

impl Value<'_> {
    /// Whether a list must stand here.
    fn is_list(&self) -> bool {
        self.field.repeated && !self.in_list
    }

    /// Writes the one of both that the field takes.
    fn number<E: Error>(self, integer: i128, double: f64, shown: Unexpected<'_>) -> Result<(), E> {
        let number = self.field.number;
        let fits = match self.field.kind {
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(integer).is_ok(),
            Kind::Uint64 | Kind::Fixed64 => u64::try_from(integer).is_ok(),
            Kind::Enum | Kind::Sint32 => i32::try_from(integer).is_ok(),
            Kind::Int64 | Kind::Sfixed64 => i64::try_from(integer).is_ok(),
            Kind::Double => true,
            Kind::Text | Kind::Id | Kind::Base64 | Kind::Bool | Kind::Message(_) => false,
        };
        if !fits || self.is_list() {
            return Err(E::invalid_type(shown, &self));
        }
        match self.field.kind {
            Kind::Double => self.out.fixed64(number, double.to_bits()),
            Kind::Fixed32 => self.out.fixed32(number, integer as u32),
            Kind::Fixed64 | Kind::Sfixed64 => self.out.fixed64(number, integer as u64),
            // Zigzag: the sign moves to the lowest bit.
            Kind::Sint32 => self.out.varint(number, ((integer << 1) ^ (integer >> 127)) as u32 as u64),
            _ => self.out.varint(number, integer as u64),
        }
        Ok(())
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8)).collect()
}
