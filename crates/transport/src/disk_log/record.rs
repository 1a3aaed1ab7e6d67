//! One record of the log: a batch with its position, framed by length and checksum.
//!
//! ```text
//! u32 length of what follows the checksum | u32 CRC-32 of it | u64 position | u64 arrived | u64 route | u8 signal
//! | u32 number of origins | per origin: u128 incarnation, u64 start, u64 end, u64 acked below | body
//! ```
//! All numbers are little endian. A length of zero, as in a hole that was never written, is no record.

use bytes::Bytes;
use weir_model::{Incarnation, Signal, limits};

use crate::{Batch, Origin, Position};

/// Length and checksum, bytes.
pub(super) const FRAME: usize = 8;
/// What stands before the origins, bytes.
const HEAD: usize = 8 + 8 + 8 + 1 + 4;
/// One origin, bytes.
const ORIGIN: usize = 16 + 8 + 8 + 8;
/// Bytes of a record without origins beside its body.
pub(super) const OVERHEAD: usize = FRAME + HEAD;
/// Longest record that is believed; a longer length is damage. Bytes.
const RECORD_BYTES_MAX: usize = limits::BATCH_BYTES_MAX + (1 << 20);

/// The bytes are not a record: length, checksum or content is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// Adds what stands before a batch's body.
pub(super) fn encode_head(position: Position, batch: &Batch, out: &mut Vec<u8>) {
    let frame = out.len();
    out.extend_from_slice(&[0; FRAME]);
    out.extend_from_slice(&position.0.to_le_bytes());
    out.extend_from_slice(&batch.arrived.to_le_bytes());
    out.extend_from_slice(&batch.route.to_le_bytes());
    out.push(batch.signal as u8);
    out.extend_from_slice(&(batch.origins.len() as u32).to_le_bytes());
    for origin in &batch.origins {
        out.extend_from_slice(&origin.incarnation.0.to_le_bytes());
        out.extend_from_slice(&origin.range.start.to_le_bytes());
        out.extend_from_slice(&origin.range.end.to_le_bytes());
        out.extend_from_slice(&origin.acked_below.to_le_bytes());
    }
    let head = &out[frame + FRAME..];
    let len = (head.len() + batch.body.len()) as u32;
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(&batch.body);
    out[frame..frame + 4].copy_from_slice(&len.to_le_bytes());
    out[frame + 4..frame + FRAME].copy_from_slice(&crc.finalize().to_le_bytes());
}

/// Length of the content behind a frame.
pub(super) fn content_len(frame: &[u8; FRAME]) -> Result<usize, Damaged> {
    let len = u32::from_le_bytes(frame[..4].try_into().expect("four bytes")) as usize;
    if (HEAD..=RECORD_BYTES_MAX).contains(&len) { Ok(len) } else { Err(Damaged) }
}

/// Reads the content behind a frame. The body shares its memory.
pub(super) fn decode(frame: &[u8; FRAME], content: Bytes) -> Result<(Position, Batch), Damaged> {
    let crc = u32::from_le_bytes(frame[4..].try_into().expect("four bytes"));
    if crc32fast::hash(&content) != crc {
        return Err(Damaged);
    }
    let mut at = 0;
    let position = Position(u64_at(&content, &mut at)?);
    let arrived = u64_at(&content, &mut at)?;
    let route = u64_at(&content, &mut at)?;
    let signal = take(&content, &mut at, 1)?[0];
    let signal = Signal::from_u8(signal).ok_or(Damaged)?;
    let count = u32::from_le_bytes(take(&content, &mut at, 4)?.try_into().expect("four bytes")) as usize;
    if count > (content.len() - at) / ORIGIN {
        return Err(Damaged);
    }
    let mut origins = Vec::with_capacity(count);
    for _ in 0..count {
        let incarnation = take(&content, &mut at, 16)?.try_into().expect("sixteen bytes");
        let (start, end) = (u64_at(&content, &mut at)?, u64_at(&content, &mut at)?);
        let acked_below = u64_at(&content, &mut at)?;
        let incarnation = Incarnation(u128::from_le_bytes(incarnation));
        origins.push(Origin { incarnation, range: start..end, acked_below });
    }
    let body = content.slice(at..);
    Ok((position, Batch { signal, origins, route, arrived, body }))
}

fn take<'a>(content: &'a [u8], at: &mut usize, n: usize) -> Result<&'a [u8], Damaged> {
    let part = content.get(*at..*at + n).ok_or(Damaged)?;
    *at += n;
    Ok(part)
}

fn u64_at(content: &[u8], at: &mut usize) -> Result<u64, Damaged> {
    Ok(u64::from_le_bytes(take(content, at, 8)?.try_into().expect("eight bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(position: Position, batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        encode_head(position, batch, &mut out);
        out.extend_from_slice(&batch.body);
        out
    }

    prop_compose! {
        fn origins()(list in prop::collection::vec(any::<(u128, u64, u64, u64)>(), 0..4)) -> Vec<Origin> {
            list.into_iter()
                .map(|(id, a, b, acked_below)| Origin { incarnation: Incarnation(id), range: a..b, acked_below })
                .collect()
        }
    }

    proptest! {
        #[test]
        fn round_trip(origins in origins(), position: u64, route: u64, arrived: u64, body: Vec<u8>) {
            let batch = Batch { signal: Signal::Spans, origins, route, arrived, body: body.into() };
            let out = encode(Position(position), &batch);
            let frame: [u8; FRAME] = out[..FRAME].try_into().unwrap();
            prop_assert_eq!(content_len(&frame), Ok(out.len() - FRAME));
            let content = Bytes::from(out).slice(FRAME..);
            prop_assert_eq!(decode(&frame, content), Ok((Position(position), batch)));
        }

        #[test]
        fn a_flipped_bit_is_damage(body: Vec<u8>, bit: prop::sample::Index) {
            let batch = Batch { signal: Signal::Logs, origins: vec![], route: 1, arrived: 2, body: body.into() };
            let mut out = encode(Position(3), &batch);
            let bit = bit.index((out.len() - 4) * 8) + 32;
            out[bit / 8] ^= 1 << (bit % 8);
            let frame: [u8; FRAME] = out[..FRAME].try_into().unwrap();
            prop_assert_eq!(decode(&frame, Bytes::from(out).slice(FRAME..)), Err(Damaged));
        }
    }
}
