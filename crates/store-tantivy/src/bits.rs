//! A set of documents of one segment, and whether it is exactly what was asked for.

/// Bits for documents 0 to `len`.
#[derive(Debug, Clone)]
pub(crate) struct DocSet {
    words: Vec<u64>,
    len: u32,
    /// False where documents may be in it that do not match; none is ever missing.
    pub(crate) exact: bool,
}

impl DocSet {
    pub(crate) fn empty(len: u32) -> Self {
        Self { words: vec![0; len.div_ceil(64) as usize], len, exact: true }
    }

    pub(crate) fn full(len: u32) -> Self {
        let mut set = Self { words: vec![u64::MAX; len.div_ceil(64) as usize], len, exact: true };
        set.clear_beyond();
        set
    }

    /// All documents, as candidates that must be verified.
    pub(crate) fn unknown(len: u32) -> Self {
        Self::full(len).inexact()
    }

    /// The same documents, as candidates that must be verified.
    pub(crate) fn inexact(self) -> Self {
        Self { exact: false, ..self }
    }

    fn clear_beyond(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }

    pub(crate) fn insert(&mut self, doc: u32) {
        self.words[doc as usize / 64] |= 1 << (doc % 64);
    }

    pub(crate) fn and(&mut self, other: &DocSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
        self.exact &= other.exact;
    }

    pub(crate) fn or(&mut self, other: &DocSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
        self.exact &= other.exact;
    }

    /// The complement. Of candidates nothing can be excluded.
    pub(crate) fn not(mut self) -> DocSet {
        if !self.exact {
            return DocSet::unknown(self.len);
        }
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_beyond();
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(i, &word)| bits(i as u32 * 64, word))
    }

    /// Documents of a range.
    pub(crate) fn iter_in(&self, range: std::ops::Range<u32>) -> impl Iterator<Item = u32> {
        let words = range.start as usize / 64..(range.end as usize).div_ceil(64).min(self.words.len());
        let first = words.start;
        let words = self.words.get(words).unwrap_or_default();
        words
            .iter()
            .enumerate()
            .flat_map(move |(i, &word)| bits((first + i) as u32 * 64, word))
            .filter(move |doc| range.contains(doc))
    }

    /// How many documents are in it.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// The bits that are set in a word, of which the first one has the number `first`.
fn bits(first: u32, word: u64) -> impl Iterator<Item = u32> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let bit = (rest != 0).then(|| rest.trailing_zeros())?;
        rest &= rest - 1;
        Some(first + bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let mut a = DocSet::empty(70);
        [0, 63, 64, 69].into_iter().for_each(|d| a.insert(d));
        assert_eq!(a.iter().collect::<Vec<_>>(), [0, 63, 64, 69]);
        assert_eq!((a.count(), a.iter_in(1..64).collect::<Vec<_>>()), (4, vec![63]));
        assert_eq!(a.iter_in(63..70).collect::<Vec<_>>(), [63, 64, 69]);
        assert_eq!(a.iter_in(65..65).count() + a.iter_in(70..900).count(), 0);
        let mut b = a.clone().not();
        assert_eq!((b.iter().count(), b.iter().next()), (66, Some(1)));
        b.or(&a);
        assert_eq!(b.iter().count(), 70);
        b.and(&DocSet::unknown(70));
        assert!(!b.exact);
        assert_eq!(b.not().iter().count(), 70);
    }
}
