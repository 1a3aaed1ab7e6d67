//! Columns of whole numbers: small, and any value can be read without the others.
//!
//! ```text
//! column   varint unit | for each 128 values: varint smallest / unit, u8 width | for each 128 values: (value / unit - smallest) in width bits
//! ```
//! The unit is the greatest common divisor: many clocks count microseconds. Smallest and width are those of 128 neighbours, so that one odd
//! value does not widen all.

use tantivy_bitpacker::{BitPacker, BitUnpacker, compute_num_bits};

/// Values that share a width.
const GROUP: usize = 128;

/// Where the values of a group stand.
#[derive(Debug, Clone, Copy)]
struct Group {
    smallest: u64,
    unpacker: BitUnpacker,
    /// In the bytes that hold the column.
    at: usize,
}

/// A column inside some bytes, which are handed in to read it.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    unit: u64,
    groups: Vec<Group>,
    end: usize,
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn unit_of(values: &[u64]) -> u64 {
    let mut unit = 0;
    for &value in values {
        unit = gcd(value, unit);
        if unit == 1 {
            break;
        }
    }
    unit.max(1)
}

fn packed_bytes(values: usize, width: u8) -> usize {
    (values * width as usize).div_ceil(8)
}

/// Appends a column.
pub(crate) fn pack(values: &[u64], out: &mut Vec<u8>) {
    let unit = unit_of(values);
    varint(unit, out);
    let mut heads = Vec::with_capacity(values.len().div_ceil(GROUP));
    for group in values.chunks(GROUP) {
        let (mut smallest, mut largest) = (u64::MAX, 0);
        for &value in group {
            smallest = smallest.min(value);
            largest = largest.max(value);
        }
        let smallest = smallest / unit;
        let width = compute_num_bits(largest / unit - smallest);
        varint(smallest, out);
        out.push(width);
        heads.push((smallest, width));
    }
    for (group, (smallest, width)) in values.chunks(GROUP).zip(heads) {
        if width == 0 {
            continue;
        }
        let mut packer = BitPacker::new();
        for &value in group {
            packer.write(value / unit - smallest, width, out).expect("a Vec takes all");
        }
        packer.close(out).expect("a Vec takes all");
    }
}

impl Packed {
    /// Finds a column of `count` values that begins at `at`. `None` where the bytes hold no such column.
    pub(crate) fn find(bytes: &[u8], at: usize, count: usize) -> Option<Self> {
        let mut at = at;
        let unit = read_varint(bytes, &mut at)?;
        if count.div_ceil(GROUP) > bytes.len() {
            return None;
        }
        let mut groups = Vec::with_capacity(count.div_ceil(GROUP));
        for _ in 0..count.div_ceil(GROUP) {
            let smallest = read_varint(bytes, &mut at)?;
            let width = *bytes.get(at)?;
            at += 1;
            if width > 56 && width != 64 {
                return None;
            }
            groups.push(Group { smallest, unpacker: BitUnpacker::new(width), at: 0 });
        }
        for (i, group) in groups.iter_mut().enumerate() {
            group.at = at;
            let values = GROUP.min(count - i * GROUP);
            at += packed_bytes(values, group.unpacker.bit_width());
        }
        (at <= bytes.len()).then_some(Self { unit, groups, end: at })
    }

    /// Behind the column's last byte.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The value at an index below the column's count, from the bytes in which it was found.
    #[inline]
    pub(crate) fn get(&self, bytes: &[u8], index: usize) -> u64 {
        let group = &self.groups[index / GROUP];
        let value = group.unpacker.get((index % GROUP) as u32, &bytes[group.at..self.end]);
        (group.smallest.wrapping_add(value)).wrapping_mul(self.unit)
    }

    /// Memory that it takes, bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.groups.len() * size_of::<Group>()
    }
}

pub(crate) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn read_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut n = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        n |= ((byte & 0x7f) as u64) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

/// Small differences of either sign as small numbers.
pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

pub(crate) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[u64]) {
        let mut bytes = vec![7; 3];
        pack(values, &mut bytes);
        let end = bytes.len();
        // What follows does not disturb.
        bytes.extend_from_slice(&[0xff; 9]);
        let packed = Packed::find(&bytes, 3, values.len()).unwrap();
        assert_eq!(packed.end(), end);
        let found: Vec<_> = (0..values.len()).map(|i| packed.get(&bytes, i)).collect();
        assert_eq!(found, values);
    }

    #[test]
    fn columns_come_back() {
        check(&[]);
        check(&[0]);
        check(&[u64::MAX, 0, 1]);
        check(&[5; 300]);
        check(&(0..1_000).map(|n| 1_790_000_000_000_000_000 + n * 1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_common_divisor_costs_nothing() {
        let size = |unit: u64| {
            let mut bytes = Vec::new();
            pack(&(0..500).map(|n| n * 37 % 101 * unit).collect::<Vec<_>>(), &mut bytes);
            bytes.len()
        };
        assert!(size(1_000_000) <= size(1) + 3);
    }

    proptest! {
        #[test]
        fn any_column_comes_back(base: u64, shift in 0_u32..64, values in prop::collection::vec(any::<u64>(), 0..400)) {
            check(&values.iter().map(|v| base.wrapping_add(v >> shift)).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, count in 0_usize..300) {
            if let Some(packed) = Packed::find(&bytes, 0, count) {
                (0..count).for_each(|i| { packed.get(&bytes, i); });
            }
        }
    }
}
