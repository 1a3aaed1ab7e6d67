//! What was read last stays in memory, up to a limit.

use std::hash::Hash;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

/// Values by key; beyond the limit those that were used longest ago go. A value that is in use stays alive outside of it.
#[derive(Debug)]
pub(crate) struct Cache<K: Hash + Eq, V> {
    limit: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K: Hash + Eq, V> {
    entries: LruCache<K, (Arc<V>, usize)>,
    weight: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// `limit` has the unit of the weights: bytes, or a number of values.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::new(State { entries: LruCache::unbounded(), weight: 0 }) }
    }

    /// The value of a key, which `load` brings with its weight where it is not there.
    pub(crate) fn get<E>(&self, key: K, load: impl FnOnce() -> Result<(V, usize), E>) -> Result<Arc<V>, E> {
        if let Some((value, _)) = self.state.lock().entries.get(&key) {
            return Ok(value.clone());
        }
        // Loading takes longer than anybody should hold a lock; two may do it at once.
        let (value, weight) = load()?;
        let value = Arc::new(value);
        let mut state = self.state.lock();
        if let Some((_, (_, before))) = state.entries.push(key, (value.clone(), weight)) {
            state.weight -= before;
        }
        state.weight += weight;
        while state.weight > self.limit
            && state.entries.len() > 1
            && let Some((_, (_, weight))) = state.entries.pop_lru()
        {
            state.weight -= weight;
        }
        Ok(value)
    }

    pub(crate) fn remove(&self, key: &K) {
        let mut state = self.state.lock();
        if let Some((_, weight)) = state.entries.pop(key) {
            state.weight -= weight;
        }
    }

    #[cfg(test)]
    fn weight(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.weight, state.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go_first() {
        let cache = Cache::new(10);
        let load = |key: u32, weight| *cache.get(key, || Ok::<_, ()>((key * 10, weight))).unwrap();
        (0..4).for_each(|key| assert_eq!(load(key, 3), key * 10));
        assert_eq!(cache.weight(), (9, 3));
        // What is there is not loaded again.
        assert_eq!(*cache.get(1, || Err(())).unwrap(), 10);
        assert_eq!(cache.get(0, || Err(())), Err(()));
        load(5, 3);
        assert_eq!(cache.get(2, || Err(())), Err(()), "2 was used longest ago");
        assert_eq!(*cache.get(1, || Err(())).unwrap(), 10);
        cache.remove(&1);
        assert_eq!(cache.weight(), (6, 2));
        // One that is larger than all stays until the next comes.
        load(7, 50);
        assert_eq!(cache.weight(), (50, 1));
    }
}
