//! What became of the bytes of each file: the agent's half of the ledger that users see. The store's half says what is stored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize, Serializer};
use weir_model::Incarnation;

/// Holes of one file that are kept; records dropped after so many are counted only.
const HOLES: usize = 256;

/// Why no record was made of a part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoleCause {
    /// It was there before the data folder, and `start: end` says that such is not read.
    SkippedAtStart,
    /// The next hop will never take its records.
    Refused,
}

/// A part of a file that no stored record was made of. Offsets in bytes, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    pub start: u64,
    pub end: u64,
    pub cause: HoleCause,
}

/// Adds a hole behind those that are there.
pub(crate) fn add_hole(holes: &mut Vec<Hole>, hole: Hole) {
    if hole.start >= hole.end {
        return;
    }
    let room = holes.len() < HOLES;
    match holes.last_mut() {
        Some(last) if last.end == hole.start && last.cause == hole.cause => last.end = hole.end,
        _ if room => holes.push(hole),
        _ => {}
    }
}

/// One life of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceLedger {
    #[serde(serialize_with = "path_as_text")]
    pub path: PathBuf,
    #[serde(serialize_with = "as_text")]
    pub incarnation: Incarnation,
    /// Everything below was read, in bytes.
    pub read: u64,
    /// Everything below is durable with the next hop, or a hole.
    pub acknowledged: u64,
    pub holes: Vec<Hole>,
}

fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn as_text<S: Serializer>(incarnation: &Incarnation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(incarnation)
}

/// The sources as they were when the checkpoint was written last. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources(Arc<Mutex<BTreeMap<Incarnation, SourceLedger>>>);

impl Sources {
    pub(crate) fn put(&self, source: SourceLedger) {
        self.all().insert(source.incarnation, source);
    }

    pub(crate) fn forget(&self, incarnation: Incarnation) {
        self.all().remove(&incarnation);
    }

    pub(crate) fn get(&self) -> Vec<SourceLedger> {
        self.all().values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Incarnation, SourceLedger>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_holes_are_one() {
        let hole = |start, end, cause| Hole { start, end, cause };
        let mut holes = Vec::new();
        for (start, end, cause) in [
            (0, 5, HoleCause::SkippedAtStart),
            (5, 5, HoleCause::Refused),
            (5, 7, HoleCause::Refused),
            (7, 9, HoleCause::Refused),
            (12, 13, HoleCause::Refused),
        ] {
            add_hole(&mut holes, hole(start, end, cause));
        }
        let expect = [
            hole(0, 5, HoleCause::SkippedAtStart),
            hole(5, 9, HoleCause::Refused),
            hole(12, 13, HoleCause::Refused),
        ];
        assert_eq!(holes, expect);
        (100..1_000).for_each(|n| add_hole(&mut holes, hole(2 * n, 2 * n + 1, HoleCause::Refused)));
        assert_eq!(holes.len(), HOLES);
    }
}
