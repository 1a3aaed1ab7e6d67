//! Ids and their hexadecimal form.
//!
//! Invariant: a [`TraceId`] or [`SpanId`] in hand is never all zero; OTLP says that such an id means "none", so it is `None` here.

use std::fmt;
use std::str::FromStr;

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an id has {expected} hexadecimal digits, this has {found}")]
    Length { expected: usize, found: usize },
    #[error("not a hexadecimal digit at position {0}")]
    Digit(usize),
    #[error("an id of zeros means that there is none")]
    Zero,
}

/// Value of each hexadecimal digit; above 15 for every other byte.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

fn from_hex<const N: usize>(text: &[u8]) -> Result<[u8; N], IdError> {
    if text.len() != 2 * N {
        return Err(IdError::Length { expected: 2 * N, found: text.len() });
    }
    let (mut out, mut seen) = ([0; N], 0);
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (DIGITS[pair[0] as usize], DIGITS[pair[1] as usize]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    // One look at the end: ids are read far more often than something that is none.
    if seen > 15 {
        let at = text.iter().position(|b| DIGITS[*b as usize] > 15);
        return Err(IdError::Digit(at.unwrap_or_default()));
    }
    Ok(out)
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[(byte >> 4) as usize];
        pair[1] = b"0123456789abcdef"[(byte & 15) as usize];
    }
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len()]).expect("digits"))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// `None` for all zeros.
            pub fn new(bytes: [u8; $len]) -> Option<Self> {
                (bytes != [0; $len]).then_some(Self(bytes))
            }

            /// `None` for a wrong length or all zeros.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Self::new(bytes.try_into().ok()?)
            }

            /// Parses hexadecimal digits of either case.
            pub fn from_hex(text: &[u8]) -> Result<Self, IdError> {
                Self::new(from_hex(text)?).ok_or(IdError::Zero)
            }

            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::from_hex(text.as_bytes())
            }
        }
    };
}

id!(
    /// Names one call chain. A 64-bit id (B3, Zipkin) is padded with zeros on the left.
    TraceId, 16
);
id!(
    /// Names one span inside its trace; not unique beyond it.
    SpanId, 8
);

impl TraceId {
    /// A 64-bit id in its 128-bit form; `None` for zero.
    pub fn from_low(low: u64) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Self::new(bytes)
    }

    /// The last eight bytes, big endian: the half that also a 64-bit id fills.
    pub fn low(&self) -> u64 {
        u64::from_be_bytes(self.0[8..].try_into().expect("eight bytes"))
    }

    /// Accepts 32 digits, or 16 for a 64-bit id.
    pub fn from_hex_any(text: &[u8]) -> Result<Self, IdError> {
        if text.len() == 16 {
            let low = from_hex::<8>(text)?;
            return Self::from_low(u64::from_be_bytes(low)).ok_or(IdError::Zero);
        }
        Self::from_hex(text)
    }
}

/// Names one life of a source: the same file with the same content so far. Random, and written durably before its first use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u128);

impl Incarnation {
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        from_hex(text.as_bytes()).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip() {
        for text in ["6f3cbf058c2765548a39ad724905d6a1", "00000000000000000000000000000001"] {
            assert_eq!(text.parse::<TraceId>().unwrap().to_string(), text);
        }
        assert_eq!("37D8FE439BA5BEF1".parse::<SpanId>().unwrap().to_string(), "37d8fe439ba5bef1");
    }

    #[test]
    fn what_is_not_an_id() {
        assert_eq!("".parse::<SpanId>(), Err(IdError::Length { expected: 16, found: 0 }));
        assert_eq!("0000000000000000".parse::<SpanId>(), Err(IdError::Zero));
        assert_eq!("37d8fe439ba5beg1".parse::<SpanId>(), Err(IdError::Digit(14)));
        assert_eq!(TraceId::from_slice(&[1; 8]), None);
        assert_eq!(TraceId::from_slice(&[0; 16]), None);
    }

    #[test]
    fn a_short_trace_id_is_padded_on_the_left() {
        let short = TraceId::from_hex_any(b"37d8fe439ba5bef1").unwrap();
        assert_eq!(short.to_string(), "000000000000000037d8fe439ba5bef1");
        assert_eq!(short.low(), 0x37d8_fe43_9ba5_bef1);
    }
}
