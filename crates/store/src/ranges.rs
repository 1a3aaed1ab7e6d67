//! Sets of offset ranges: what of a source is stored.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets, held as disjoint, non-adjacent ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RangeSet {
    /// Start to end, half open.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn contains(&self, offset: u64) -> bool {
        self.ranges.range(..=offset).next_back().is_some_and(|(_, &end)| offset < end)
    }

    /// Whether all of a range is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self.ranges.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        !range.is_empty()
            && self.ranges.range(..range.end).next_back().is_some_and(|(_, &end)| range.start < end)
    }

    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&s, &e)) = self.ranges.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ranges.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
    }

    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// Number of offsets in the set.
    pub fn total(&self) -> u64 {
        self.iter().map(|r| r.end - r.start).sum()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(ranges in prop::collection::vec((0u64..60, 0u64..12), 0..20), probe in (0u64..80, 0u64..12)) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let set: RangeSet = ranges.iter().cloned().collect();
            let model: std::collections::BTreeSet<u64> = ranges.into_iter().flatten().collect();
            for offset in 0..80 {
                prop_assert_eq!(set.contains(offset), model.contains(&offset));
            }
            let probe = probe.0..probe.0 + probe.1;
            prop_assert_eq!(set.covers(&probe), probe.clone().all(|n| model.contains(&n)));
            prop_assert_eq!(set.overlaps(&probe), probe.clone().any(|n| model.contains(&n)));
            prop_assert_eq!(set.total(), model.len() as u64);
            let parts: Vec<_> = set.iter().collect();
            prop_assert!(parts.windows(2).all(|w| w[0].end < w[1].start), "{:?}", parts);
        }
    }
}
