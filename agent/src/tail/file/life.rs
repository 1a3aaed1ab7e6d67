//! The lives of a file: a new one begins when it is met, and goes on in whatever file holds what was read of it.

use weir_model::Incarnation;
use weir_parse::Decision;

use crate::checkpoint::Saved;
use crate::ledger::{Hole, HoleCause, add_hole};

/// One life of a file, and from where it is to be read.
#[derive(Debug, Clone)]
pub(in crate::tail) struct Life {
    pub(in crate::tail) incarnation: Incarnation,
    pub(in crate::tail) from: u64,
    pub(in crate::tail) decisions: Vec<Decision>,
    pub(in crate::tail) holes: Vec<Hole>,
    /// What the checkpoint said of it.
    pub(in crate::tail) saved: Option<Saved>,
}

impl Life {
    /// A new one. The incarnation must be saved before a record that carries it is sent.
    pub(in crate::tail) fn new(from: u64) -> Self {
        let mut holes = Vec::new();
        add_hole(&mut holes, Hole { start: 0, end: from, cause: HoleCause::SkippedAtStart });
        Self { incarnation: Incarnation(rand::random()), from, decisions: Vec::new(), holes, saved: None }
    }

    pub(in crate::tail) fn of(saved: &Saved) -> Option<Self> {
        let incarnation = saved.incarnation.parse().ok()?;
        Some(Self {
            incarnation,
            from: saved.acked,
            decisions: saved.decisions.iter().filter_map(|text| decision(text)).collect(),
            holes: saved.holes.clone(),
            saved: Some(saved.clone()),
        })
    }
}

/// A decision as the checkpoint has it.
fn decision(text: &str) -> Option<Decision> {
    text.parse()
        .inspect_err(|error| tracing::warn!(%error, "the checkpoint holds what this version does not know; it is ignored"))
        .ok()
}
