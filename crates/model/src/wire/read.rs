//! Reading: an iterator over the fields of one message.

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message ends inside a field")]
    Truncated,
    #[error("a number is longer than ten bytes")]
    Varint,
    #[error("field {0} has the unknown or outdated wire type {1}")]
    WireType(u32, u8),
    #[error("a field has the number 0 or one above 2^29 - 1")]
    FieldNumber,
    #[error("field {0} has another wire type than its definition says")]
    Mismatch(u32),
    #[error("a text is not UTF-8")]
    Utf8,
    #[error("values are nested deeper than {0}")]
    Depth(usize),
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u32,
    pub kind: Kind<'a>,
}

impl<'a> Field<'a> {
    /// The bytes of a length-delimited field, else an empty slice.
    pub fn bytes(&self) -> &'a [u8] {
        match self.kind {
            Kind::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// The number in a field of any numeric wire type, else 0.
    pub fn number_value(&self) -> u64 {
        match self.kind {
            Kind::Varint(n) | Kind::Fixed64(n) => n,
            Kind::Fixed32(n) => n as u64,
            Kind::Bytes(_) => 0,
        }
    }
}

/// Iterates over the fields of a message in the order in which they were written. After an error it ends.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, DecodeError> {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(first as u64);
        }
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= ((byte & 0x7f) as u64) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { DecodeError::Truncated } else { DecodeError::Varint })
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, DecodeError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| DecodeError::FieldNumber)?;
        if number == 0 || number >= 1 << 29 {
            return Err(DecodeError::FieldNumber);
        }
        let kind = match tag as u8 & 7 {
            0 => Kind::Varint(self.varint()?),
            1 => Kind::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().expect("eight bytes"))),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
                Kind::Bytes(self.take(len)?)
            }
            5 => Kind::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().expect("four bytes"))),
            other => return Err(DecodeError::WireType(number, other)),
        };
        Ok(Field { number, kind })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expect: Result<Vec<Field<'_>>, DecodeError>) {
        assert_eq!(Fields::new(message).collect::<Result<Vec<_>, _>>(), expect, "{message:?}");
    }

    #[test]
    fn fields() {
        check(b"", Ok(vec![]));
        check(&[0x08, 0x96, 0x01], Ok(vec![Field { number: 1, kind: Kind::Varint(150) }]));
        check(&[0x08, 0x80, 0x80, 0x00], Ok(vec![Field { number: 1, kind: Kind::Varint(0) }]));
        check(&[0x12, 0x02, b'h', b'i'], Ok(vec![Field { number: 2, kind: Kind::Bytes(b"hi") }]));
        check(&[0x0d, 1, 0, 0, 0], Ok(vec![Field { number: 1, kind: Kind::Fixed32(1) }]));
        check(&[0x12, 0x03, b'h', b'i'], Err(DecodeError::Truncated));
        check(&[0x80], Err(DecodeError::Truncated));
        check(&[0xff; 11], Err(DecodeError::Varint));
        check(&[0x00, 0x01], Err(DecodeError::FieldNumber));
        check(&[0x0b], Err(DecodeError::WireType(1, 3)));
    }
}
