//! Parents of observed spans, from times alone.
//!
//! Log lines name their span but not its parent. A service that waits for the one it calls logs before and after, so the parent of an
//! observed span is taken to be the span that contains it and began last. What runs side by side within one parent is told apart rightly,
//! what runs side by side in two is not: such a parent is marked as inferred.

use std::cmp::Reverse;

use super::Flags;
use super::nodes::{Nodes, is_below};

/// Spans that are open at one time and are looked at; the earliest ones are passed over beyond it.
const OPEN_MAX: usize = 512;

/// Gives each observed node that has no parent the one that its times suggest.
pub(super) fn infer_parents(nodes: &mut Nodes<'_>) {
    if !nodes.list.iter().any(|node| node.flags.has(Flags::OBSERVED)) {
        return;
    }
    let list = &nodes.list;
    let mut order: Vec<usize> = (0..list.len()).filter(|&at| !list[at].gone).collect();
    order.sort_unstable_by_key(|&at| (list[at].start, Reverse(list[at].end), at));
    let mut open: Vec<usize> = Vec::new();
    for at in order {
        let (start, end) = (nodes.list[at].start, nodes.list[at].end);
        open.retain(|&other| nodes.list[other].end >= start);
        if nodes.list[at].flags.has(Flags::OBSERVED) && nodes.list[at].parent.is_none() {
            let contains = |&&other: &&usize| nodes.list[other].end >= end && !is_below(nodes, other, at);
            if let Some(&parent) = open.iter().rev().find(contains) {
                nodes.list[at].parent = Some(parent);
                nodes.list[at].flags.set(Flags::INFERRED_PARENT);
            }
        }
        if open.len() == OPEN_MAX {
            open.remove(0);
        }
        open.push(at);
    }
}
