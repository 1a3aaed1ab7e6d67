//! The columns of a block: what most searches ask of a record, read without decompressing anything.
//!
//! ```text
//! columns   varint rows | u8 anchored | varint traces | 16 bytes a trace | packed: trace of each row (0: none, else one more)
//!           [ packed: anchor of each trace ] | packed: time (anchored: less its trace's anchor) | measure | pair | class
//! ```
//! The times of spans count from the first start of their trace, which takes few bits; the records themselves leave out what stands here.

use bytes::Bytes;
use weir_model::TraceId;

use crate::packed::{Packed, pack, read_varint, varint};

/// What a block's columns say of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) trace: Option<TraceId>,
    /// Start of a span or time of a line, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    /// Duration of a span, nanoseconds; severity number of a line.
    pub(crate) measure: u64,
    /// Number of the pair of resource and scope.
    pub(crate) pair: u32,
    /// Of a span: kind, times four, and status code; see [`class`].
    pub(crate) class: u8,
}

/// Kind and status of a span in one number. Unknown ones count as unset, as their names do.
pub(crate) fn class(kind: i32, status: i32) -> u8 {
    let known = |n: i32, max: i32| if (0..=max).contains(&n) { n as u8 } else { 0 };
    known(kind, 5) << 2 | known(status, 2)
}

pub(crate) fn kind_of(class: u8) -> i32 {
    (class >> 2) as i32
}

pub(crate) fn status_of(class: u8) -> i32 {
    (class & 3) as i32
}

/// Appends the columns of a block's records, in their order.
pub(crate) fn encode(rows: &[Meta], anchored: bool, out: &mut Vec<u8>) {
    let mut traces: Vec<TraceId> = Vec::new();
    let mut anchors: Vec<u64> = Vec::new();
    let mut numbers = std::collections::HashMap::new();
    let mut trace_of = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(trace) = row.trace else {
            trace_of.push(0);
            continue;
        };
        // Neighbours mostly share their trace.
        let number = match traces.last() {
            Some(last) if *last == trace => traces.len() as u64,
            _ => *numbers.entry(trace).or_insert_with(|| {
                traces.push(trace);
                anchors.push(u64::MAX);
                traces.len() as u64
            }),
        };
        let anchor = &mut anchors[number as usize - 1];
        *anchor = row.time.min(*anchor);
        trace_of.push(number);
    }
    varint(rows.len() as u64, out);
    out.push(anchored as u8);
    varint(traces.len() as u64, out);
    traces.iter().for_each(|trace| out.extend_from_slice(trace.as_bytes()));
    pack(&trace_of, out);
    let anchor = |number: u64| number.checked_sub(1).map_or(0, |i| anchors[i as usize]);
    if anchored {
        pack(&anchors, out);
    }
    let times = rows.iter().zip(&trace_of);
    let times: Vec<_> =
        times.map(|(row, &number)| row.time - if anchored { anchor(number) } else { 0 }).collect();
    pack(&times, out);
    for column in [|row: &Meta| row.measure, |row: &Meta| row.pair as u64, |row: &Meta| row.class as u64] {
        pack(&rows.iter().map(column).collect::<Vec<_>>(), out);
    }
}

/// The columns of one block.
#[derive(Debug)]
pub(crate) struct Columns {
    bytes: Bytes,
    rows: usize,
    traces_at: usize,
    traces: usize,
    trace: Packed,
    anchors: Option<Packed>,
    time: Packed,
    measure: Packed,
    pair: Packed,
    class: Packed,
}

impl Columns {
    /// `None` where the bytes are no columns.
    pub(crate) fn decode(bytes: Bytes) -> Option<Self> {
        let mut at = 0;
        let rows = usize::try_from(read_varint(&bytes, &mut at)?).ok()?;
        let anchored = *bytes.get(at)? != 0;
        at += 1;
        let traces = usize::try_from(read_varint(&bytes, &mut at)?).ok()?;
        let traces_at = at;
        at = traces.checked_mul(TraceId::LEN)?.checked_add(at).filter(|at| *at <= bytes.len())?;
        let mut next = |count: usize| {
            let packed = Packed::find(&bytes, at, count)?;
            at = packed.end();
            Some(packed)
        };
        let trace = next(rows)?;
        let anchors = if anchored { Some(next(traces)?) } else { None };
        let (time, measure, pair, class) = (next(rows)?, next(rows)?, next(rows)?, next(rows)?);
        Some(Self { bytes, rows, traces_at, traces, trace, anchors, time, measure, pair, class })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn trace(&self, row: usize) -> Option<TraceId> {
        let number = (self.trace.get(&self.bytes, row) as usize).checked_sub(1)?;
        let at = self.traces_at + number * TraceId::LEN;
        TraceId::from_slice(self.bytes.get(at..at + TraceId::LEN)?)
    }

    pub(crate) fn time(&self, row: usize) -> u64 {
        let time = self.time.get(&self.bytes, row);
        match &self.anchors {
            None => time,
            Some(anchors) => {
                let number = self.trace.get(&self.bytes, row) as usize;
                let anchor =
                    number.checked_sub(1).filter(|i| *i < self.traces).map(|i| anchors.get(&self.bytes, i));
                time.wrapping_add(anchor.unwrap_or(0))
            }
        }
    }

    pub(crate) fn measure(&self, row: usize) -> u64 {
        self.measure.get(&self.bytes, row)
    }

    pub(crate) fn pair(&self, row: usize) -> u32 {
        self.pair.get(&self.bytes, row) as u32
    }

    pub(crate) fn class(&self, row: usize) -> u8 {
        self.class.get(&self.bytes, row) as u8
    }

    pub(crate) fn meta(&self, row: usize) -> Meta {
        Meta {
            trace: self.trace(row),
            time: self.time(row),
            measure: self.measure(row),
            pair: self.pair(row),
            class: self.class(row),
        }
    }

    /// Memory that they take, bytes.
    pub(crate) fn memory(&self) -> usize {
        let packed = [&self.trace, &self.time, &self.measure, &self.pair, &self.class];
        self.bytes.len()
            + packed.into_iter().chain(&self.anchors).map(Packed::memory).sum::<usize>()
            + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn meta()(trace in 0_u64..9, time: u64, measure: u64, pair in 0_u32..300, class in 0_u8..24) -> Meta {
            Meta { trace: TraceId::from_low(trace), time, measure, pair, class }
        }
    }

    proptest! {
        #[test]
        fn columns_come_back(rows in prop::collection::vec(meta(), 0..300), anchored: bool) {
            let mut bytes = Vec::new();
            encode(&rows, anchored, &mut bytes);
            let columns = Columns::decode(bytes.into()).unwrap();
            prop_assert_eq!(columns.rows(), rows.len());
            let found: Vec<_> = (0..rows.len()).map(|i| columns.meta(i)).collect();
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            if let Some(columns) = Columns::decode(bytes.into()) {
                (0..columns.rows().min(1_000)).for_each(|i| { columns.meta(i); });
            }
        }
    }
}
