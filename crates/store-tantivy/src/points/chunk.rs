//! A chunk: a run of points of one series, compressed.
//!
//! ```text
//! chunk   varint points | per point: zigzag varint of the change of the time's step | varint of the value's changed bits, reversed
//! ```
//! Steps between points hardly change, so most times take one byte. A value is XORed with the one before it and its bits are reversed: bits
//! that changed stand at the upper end of a float, so that a small change becomes a small number (the idea of Gorilla, VLDB 2015, in bytes).

use std::io;

/// A point: nanoseconds since the Unix epoch, and value.
pub(crate) type Point = (u64, f64);

/// Appends points, which must stand in order of time.
pub(crate) fn encode(points: &[Point], out: &mut Vec<u8>) {
    varint(points.len() as u64, out);
    let (mut time, mut step, mut bits) = (0u64, 0i64, 0u64);
    for &(next, value) in points {
        let next_step = next.wrapping_sub(time) as i64;
        zigzag(next_step.wrapping_sub(step), out);
        let next_bits = value.to_bits();
        varint((next_bits ^ bits).reverse_bits(), out);
        (time, step, bits) = (next, next_step, next_bits);
    }
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// When it is no chunk.
pub(crate) fn decode(bytes: &[u8]) -> io::Result<Vec<Point>> {
    let mut rest = Cursor(bytes);
    let count = rest.varint()?;
    // Each point takes two bytes at the least.
    let mut points = Vec::with_capacity((count as usize).min(bytes.len() / 2));
    let (mut time, mut step, mut bits) = (0u64, 0i64, 0u64);
    for _ in 0..count {
        step = step.wrapping_add(rest.zigzag()?);
        time = time.wrapping_add(step as u64);
        bits ^= rest.varint()?.reverse_bits();
        points.push((time, f64::from_bits(bits)));
    }
    Ok(points)
}

pub(crate) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn zigzag(n: i64, out: &mut Vec<u8>) {
    varint(((n << 1) ^ (n >> 63)) as u64, out);
}

/// Reads numbers from bytes that may be damaged.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn varint(&mut self) -> io::Result<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(damaged)?;
            self.0 = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(damaged())
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        let n = self.varint()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub(crate) fn take(&mut self, len: u64) -> io::Result<&'a [u8]> {
        let len = usize::try_from(len).map_err(|_| damaged())?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }
}

pub(crate) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "stored metric points are damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn points_come_back_bit_by_bit(points in prop::collection::vec((any::<u64>(), any::<u64>()), 0..200), cut in 0usize..400) {
            let points: Vec<Point> = points.into_iter().map(|(time, bits)| (time, f64::from_bits(bits))).collect();
            let mut bytes = Vec::new();
            encode(&points, &mut bytes);
            let bits = |points: &[Point]| points.iter().map(|(time, value)| (*time, value.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&decode(&bytes).unwrap()), bits(&points));
            if cut < bytes.len() {
                prop_assert!(decode(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn a_steady_series_takes_few_bytes() {
        let points: Vec<Point> = (0..120)
            .map(|n| (1_700_000_000_000_000_000 + n * 10_000_000_000, 40.0 + (n % 3) as f64))
            .collect();
        let mut bytes = Vec::new();
        encode(&points, &mut bytes);
        assert!(bytes.len() < 120 * 5, "{} bytes", bytes.len());
    }
}
