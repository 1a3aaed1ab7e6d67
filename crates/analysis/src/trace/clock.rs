//! Self time, and what a row's times say of its parent's. Times are reported as they came, never moved.

use super::tree::Children;
use super::{Flags, Note, NoteKind, Row};

pub(super) fn check(rows: &mut [Row], children: &Children, notes: &mut Vec<Note>) {
    for at in 0..rows.len() {
        rows[at].self_time = self_time(rows, children, at);
        let Some(parent) = rows[at].parent else { continue };
        let (row, parent) = (&rows[at], &rows[parent]);
        let mut flags = row.flags;
        let mut note = |kind, ns| notes.push(Note { row: at, kind, ns });
        if row.start < parent.start {
            flags.set(Flags::CLOCK);
            note(NoteKind::StartsBeforeParent, parent.start - row.start);
        }
        if row.start > parent.end {
            flags.set(Flags::ASYNC);
            note(NoteKind::StartsAfterParentEnd, row.start - parent.end);
        } else if row.end > parent.end {
            flags.set(Flags::ASYNC);
            note(NoteKind::EndsAfterParent, row.end - parent.end);
        }
        rows[at].flags = flags;
    }
}

/// Nanoseconds of a row in which none of its children runs.
fn self_time(rows: &[Row], children: &Children, at: usize) -> u64 {
    let row = &rows[at];
    let (mut covered_to, mut own) = (row.start, 0);
    for child in children.of(at).iter().map(|&child| &rows[child]) {
        if child.start >= row.end {
            break;
        }
        own += child.start.saturating_sub(covered_to);
        covered_to = covered_to.max(child.end.min(row.end));
    }
    own + row.end.saturating_sub(covered_to)
}
