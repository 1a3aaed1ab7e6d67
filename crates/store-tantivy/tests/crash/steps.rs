//! What the disk was doing: steps by the part of the store's work they belong to.

use weir_model::Signal;

/// A part of the work. A step belongs to the next landmark at or behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The log takes a batch.
    Append,
    /// Bodies, pairs and ranges are written, up to the rename that makes a commit.
    Commit,
    /// Segments become one, up to the rename that says so.
    Merge,
    /// The next shard is made.
    Roll,
    /// What a sealed shard has is written, up to the manifest that calls a shard full or sealed.
    Seal,
    /// Chunks and the head are written, up to the manifest that names them.
    Checkpoint,
    /// The log forgets what is committed.
    Trim,
    /// Shards past their retention go.
    Retention,
    /// Behind the last landmark.
    Other,
}

impl Phase {
    /// Those that a test must have met.
    pub(crate) fn of(signal: Signal) -> &'static [Phase] {
        use Phase::{Append, Checkpoint, Commit, Merge, Retention, Roll, Seal, Trim};
        match signal {
            Signal::Metrics => &[Append, Checkpoint, Trim, Retention],
            _ => &[Append, Commit, Merge, Roll, Seal, Trim, Retention],
        }
    }

    /// Few steps, of which more are tried.
    pub(crate) fn is_rare(self) -> bool {
        matches!(self, Phase::Seal | Phase::Retention)
    }
}

/// The phase of each step.
pub(crate) fn phases(steps: &[String]) -> Vec<Phase> {
    // A rename of `meta.json` right after bodies were synced is a commit; the first one in a folder makes an empty index.
    let (mut committing, mut made) = (false, std::collections::HashSet::new());
    let landmarks: Vec<Option<Phase>> = steps
        .iter()
        .map(|step| {
            let (what, path) = step.split_once(' ').expect("a step has a path");
            match what {
                "sync" if path.ends_with("/bodies") => {
                    committing = true;
                    None
                }
                "sync" if path.ends_with(".seg") => Some(Phase::Append),
                "remove" if path.ends_with(".seg") => Some(Phase::Trim),
                "rename" if path.ends_with("meta.json") => match made.insert(path.to_owned()) {
                    true => Some(Phase::Roll),
                    false if std::mem::take(&mut committing) => Some(Phase::Commit),
                    false => Some(Phase::Merge),
                },
                "rename" if path.ends_with("metrics/manifest.json") => Some(Phase::Checkpoint),
                "rename" if path.ends_with("manifest.json") => Some(Phase::Seal),
                "remove" if path.contains("/metrics/chunks-") => Some(Phase::Retention),
                "remove_dir_all" => Some(Phase::Retention),
                _ => None,
            }
        })
        .collect();
    let mut next = Phase::Other;
    let mut phases: Vec<Phase> = landmarks
        .into_iter()
        .rev()
        .map(|landmark| {
            next = landmark.unwrap_or(next);
            next
        })
        .collect();
    phases.reverse();
    phases
}
