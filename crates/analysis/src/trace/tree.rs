//! Parents, cycles, and the order of rows.

use std::cmp::Reverse;

use super::nodes::{Group, Nodes, receives, sends};
use super::{Flags, Note, NoteKind, Row};

/// Finds each node's parent. Notes carry the index of the node.
pub(super) fn find_parents(nodes: &mut Nodes<'_>, notes: &mut Vec<Note>) {
    for index in 0..nodes.list.len() {
        let node = &nodes.list[index];
        if node.gone {
            continue;
        }
        let twins = node.id.and_then(|id| nodes.by_id.get(&id)).filter(|group| group.members().len() > 1);
        let caller = twins.filter(|_| receives(node.kind)).and_then(|group| sender(nodes, group));
        if let Some(group) = twins
            && is_repeated(nodes, group, index)
        {
            notes.push(Note { row: index, kind: NoteKind::DuplicateId, ns: 0 });
        }
        let parent = match (caller, node.parent_id) {
            (Some(caller), _) => Some(caller),
            (None, None) => None,
            (None, Some(id)) => match nodes.by_id.get(&id) {
                Some(group) => Some(nodes.of_service(group, || node.service)),
                None => {
                    notes.push(Note { row: index, kind: NoteKind::MissingParent, ns: 0 });
                    nodes.list[index].flags.set(Flags::MISSING_PARENT);
                    None
                }
            },
        };
        nodes.list[index].parent = parent;
    }
    break_cycles(nodes, notes);
}

/// The calling side among spans that share an id.
fn sender(nodes: &Nodes<'_>, group: &Group) -> Option<usize> {
    group.members().iter().copied().find(|&at| sends(nodes.list[at].kind))
}

/// Whether an earlier span has the same id and is the same end of a call.
fn is_repeated(nodes: &Nodes<'_>, group: &Group, index: usize) -> bool {
    let side = |at: usize| (sends(nodes.list[at].kind), receives(nodes.list[at].kind));
    group
        .members()
        .iter()
        .take_while(|&&at| at != index)
        .any(|&at| !nodes.list[at].gone && side(at) == side(index))
}

/// Cuts each cycle at its earliest member.
fn break_cycles(nodes: &mut Nodes<'_>, notes: &mut Vec<Note>) {
    // The walk that reached a node first; 0 for none.
    let mut seen = vec![0_usize; nodes.list.len()];
    for walk in 0..nodes.list.len() {
        let mut at = walk;
        while seen[at] == 0 {
            seen[at] = walk + 1;
            match nodes.list[at].parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if seen[at] != walk + 1 || nodes.list[at].parent.is_none() {
            continue;
        }
        let mut first = at;
        let mut member = nodes.list[at].parent;
        while let Some(next) = member.filter(|&next| next != at) {
            if (nodes.list[next].start, next) < (nodes.list[first].start, first) {
                first = next;
            }
            member = nodes.list[next].parent;
        }
        nodes.list[first].parent = None;
        notes.push(Note { row: first, kind: NoteKind::Cycle, ns: 0 });
    }
}

/// The order of rows.
pub(super) struct Order {
    /// Nodes by row.
    pub(super) rows: Vec<usize>,
    /// Rows by node; `None` for one that is gone.
    pub(super) row_of: Vec<Option<usize>>,
    /// Row of the first span without a parent id.
    pub(super) root: Option<usize>,
}

/// The root and what is below it, then the rest of the top level by start.
pub(super) fn depth_first(nodes: &mut Nodes<'_>, notes: &mut Vec<Note>) -> Order {
    let list = &nodes.list;
    // Tries of one request that began in the same millisecond keep their order.
    let key = |at: usize| (list[at].start, list[at].ordinal, Reverse(list[at].end), at);
    let present = || (0..list.len()).filter(|&at| !list[at].gone);
    let root = present()
        .filter(|&at| {
            let node = &list[at];
            node.parent.is_none() && node.parent_id.is_none() && !node.flags.has(Flags::OBSERVED)
        })
        .min_by_key(|&at| (list[at].start, list[at].service, list[at].operation, at));
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); list.len()];
    let mut top = Vec::new();
    for at in present() {
        match list[at].parent {
            Some(parent) => below[parent].push(at),
            None => top.push(at),
        }
    }
    top.sort_unstable_by_key(|&at| (Some(at) != root, key(at)));
    let mut rows = Vec::with_capacity(list.len());
    let mut row_of = vec![None; list.len()];
    let mut stack: Vec<usize> = top.into_iter().rev().collect();
    while let Some(at) = stack.pop() {
        row_of[at] = Some(rows.len());
        rows.push(at);
        let mut children = std::mem::take(&mut below[at]);
        children.sort_unstable_by_key(|&at| Reverse(key(at)));
        stack.append(&mut children);
    }
    notes.retain(|note| row_of[note.row].is_some());
    Order { root: root.and_then(|at| row_of[at]), rows, row_of }
}

/// The children of each row, in order of start, in one list.
pub(super) struct Children {
    list: Vec<usize>,
    from: Vec<usize>,
}

impl Children {
    pub(super) fn of_rows(rows: &[Row]) -> Self {
        let mut from = vec![0; rows.len() + 1];
        for parent in rows.iter().filter_map(|row| row.parent) {
            from[parent + 1] += 1;
        }
        for at in 1..from.len() {
            from[at] += from[at - 1];
        }
        let mut next = from.clone();
        let mut list = vec![0; from[rows.len()]];
        for (row, parent) in rows.iter().enumerate().filter_map(|(at, row)| Some((at, row.parent?))) {
            list[next[parent]] = row;
            next[parent] += 1;
        }
        Children { list, from }
    }

    pub(super) fn of(&self, row: usize) -> &[usize] {
        &self.list[self.from[row]..self.from[row + 1]]
    }
}
