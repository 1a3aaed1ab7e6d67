//! Which files are to be read next: one after the other, so that a file that is written without a pause leaves the others their turn.

use std::collections::{HashSet, VecDeque};

#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: VecDeque<u64>,
    queued: HashSet<u64>,
}

impl Turns {
    pub(super) fn push(&mut self, file: u64) {
        if self.queued.insert(file) {
            self.queue.push_back(file);
        }
    }

    pub(super) fn pop(&mut self) -> Option<u64> {
        let file = self.queue.pop_front()?;
        self.queued.remove(&file);
        Some(file)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn() {
        let mut turns = Turns::default();
        [1, 2, 1, 3].into_iter().for_each(|file| turns.push(file));
        assert_eq!((turns.len(), turns.is_empty()), (3, false));
        assert_eq!(turns.pop(), Some(1));
        turns.push(1);
        assert_eq!([(); 4].map(|()| turns.pop()), [Some(2), Some(3), Some(1), None]);
    }
}
