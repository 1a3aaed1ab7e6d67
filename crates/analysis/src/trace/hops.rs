//! Where a call went that a proxy's log line tells of.
//!
//! A proxy that traces nothing passes the header on as it came, or none at all. So what it called names the proxy's own caller as its parent, or nobody. It
//! is put below the try of the proxy that contains it: of a request that names the same id, or, where a line names no caller, of any request in
//! the trace, which shares the request's id. The parent is marked as inferred; each try has at most one such child.

use std::cmp::Reverse;

use super::Flags;
use super::join::{SECOND, SLACK};
use super::nodes::{Nodes, is_below, receives, sends};

/// By how much a call may seem to take longer than the try that it is the other end of, in nanoseconds: both are told in milliseconds of a clock that
/// nginx reads now and then.
const ROUNDING: u64 = 2_000_000;
/// Tries that are looked at for one call, latest start first.
const LOOKED_AT: usize = 512;

pub(super) fn find_hops(nodes: &mut Nodes<'_>) {
    let list = &nodes.list;
    let key = |&at: &usize| (list[at].start, Reverse(list[at].end), at);
    let present = |keep: fn(&super::nodes::Node<'_>) -> bool| {
        let mut found: Vec<usize> = (0..list.len()).filter(|&at| !list[at].gone && keep(&list[at])).collect();
        found.sort_unstable_by_key(key);
        found
    };
    let mut tries =
        present(|node| node.flags.has(Flags::DERIVED) && sends(node.kind) && node.parent.is_some());
    if tries.is_empty() {
        return;
    }
    // Of two hops that took nearly as long the shorter one is the inner one.
    let mut calls = present(|node| receives(node.kind));
    calls.sort_by_key(|&at| (list[at].end - list[at].start, Reverse(list[at].start)));
    for call in calls {
        if let Some(place) = place(nodes, &tries, call) {
            nodes.list[call].parent = Some(tries.remove(place));
            nodes.list[call].flags.set(Flags::INFERRED_PARENT);
        }
    }
}

/// The index of the try that a call is the other end of.
fn place(nodes: &Nodes<'_>, tries: &[usize], call: usize) -> Option<usize> {
    let node = &nodes.list[call];
    let told_by_nobody = node.flags.has(Flags::DERIVED) && node.parent.is_none() && node.parent_id.is_none();
    if !told_by_nobody && node.parent_id.is_none() {
        return None;
    }
    let last = tries.partition_point(|&at| nodes.list[at].start <= node.start.saturating_add(SLACK));
    (0..last).rev().take(LOOKED_AT).find(|&place| {
        let attempt = &nodes.list[tries[place]];
        let Some(request) = attempt.parent else { return false };
        let named = [nodes.list[request].call.named_span, nodes.list[request].id];
        let counts_seconds =
            [attempt, node].iter().any(|node| node.flags.has(Flags::DERIVED) && node.is_coarse());
        let slack = if counts_seconds { SLACK + SECOND } else { SLACK };
        attempt.service != node.service
            && request != call
            && (told_by_nobody || named.contains(&node.parent_id))
            && node.start.saturating_add(slack) >= attempt.start
            && node.end <= attempt.end.saturating_add(slack)
            && node.end - node.start <= attempt.end - attempt.start + ROUNDING
            && !is_below(nodes, tries[place], call)
    })
}
