//! A call that an SDK reported and a log line tells of, too, is one row.
//!
//! A derived span and a real one of the same trace are the same call if
//! 1. the line names the real span's id (`weir.span_id`) and they are of one kind and service, or took equally long, or
//! 2. both carry the same `http.request.id`, kind and service, or
//! 3. they agree in service and kind, in method, path and response status where both have them, and start and end within [`SLACK`] of each other; a line
//!    that counts in whole seconds must agree in its duration and may lie up to a second earlier. Of several the nearest start wins.
//!
//! Each real span is joined at most once. It keeps its own times, name and status: an SDK measures finer than a log line.
//!
//! An id that a line names without being that call is its caller's, or that of the span in which it tells of a step: it stands below it. Until the real
//! span comes, the longest of the lines that name it stands for it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use weir_model::SpanId;
use weir_model::otlp::SpanKind;

use super::nodes::{Group, Node, Nodes, receives};
use super::{Flags, Origin};

/// How far the times of a line and of the SDK may lie apart, in nanoseconds. An access log counts in milliseconds and writes its line
/// after the last byte was sent.
pub(super) const SLACK: u64 = 5_000_000;
/// The step in which common access logs count, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn join(nodes: &mut Nodes<'_>) {
    let (mut derived, real): (Vec<usize>, Vec<usize>) =
        (0..nodes.list.len()).partition(|&index| nodes.list[index].flags.has(Flags::DERIVED));
    if derived.is_empty() {
        return;
    }
    derived.sort_by_key(|&at| (Reverse(nodes.list[at].end - nodes.list[at].start), nodes.list[at].start));
    let index = Index::of(nodes, &real);
    // By how much the tries below a joined request are to be moved.
    let mut moved: HashMap<SpanId, i128> = HashMap::new();
    for line in derived {
        let Some(span) = index.same_call(nodes, line) else {
            stand_alone(nodes, line);
            continue;
        };
        let Origin::Span { span: of_line, .. } = nodes.list[line].origin else { continue };
        let Origin::Span { derived, .. } = &mut nodes.list[span].origin else { continue };
        *derived = Some(of_line);
        nodes.list[span].flags.set(Flags::JOINED);
        nodes.list[span].call.named_span = nodes.list[line].call.named_span;
        nodes.list[line].gone = true;
        // What the line's span was to be the parent of is now the real span's child.
        if let Some(id) = nodes.list[line].id {
            if let Some(by) = step(&nodes.list[line], &nodes.list[span]) {
                moved.insert(id, by);
            }
            nodes.by_id.insert(id, Group::One(span));
        }
    }
    if !moved.is_empty() {
        for node in nodes.list.iter_mut().filter(|node| node.flags.has(Flags::DERIVED)) {
            if let Some(by) = node.parent_id.and_then(|id| moved.get(&id)) {
                let to = |time: u64| u64::try_from(i128::from(time) + by).unwrap_or(time);
                (node.start, node.end) = (to(node.start), to(node.end));
            }
        }
    }
}

/// A line whose call nobody reported.
fn stand_alone(nodes: &mut Nodes<'_>, line: usize) {
    let Some(id) = nodes.list[line].call.named_span else { return };
    let node = &mut nodes.list[line];
    match nodes.by_id.entry(id) {
        Entry::Occupied(_) => {
            node.parent_id.get_or_insert(id);
        }
        Entry::Vacant(place) => {
            // Its header named the caller or itself, and there is none that could be its parent.
            node.parent_id = node.parent_id.filter(|parent| *parent != id);
            place.insert(Group::One(line));
        }
    }
}

/// How far a real span lies from the line that was joined with it, where that counts in whole seconds.
fn step(line: &Node<'_>, real: &Node<'_>) -> Option<i128> {
    let apart = |real: u64, line: u64| Some(i128::from(real) - i128::from(line));
    if line.end.is_multiple_of(SECOND) {
        return apart(real.end, line.end);
    }
    if line.start.is_multiple_of(SECOND) { apart(real.start, line.start) } else { None }
}

/// Real spans by what can be asked of them.
struct Index<'a> {
    by_request: HashMap<(&'a str, &'a str, SpanKind), usize>,
    /// By service and kind, in order of start.
    by_time: HashMap<(&'a str, SpanKind), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(nodes: &Nodes<'a>, real: &[usize]) -> Self {
        let mut index = Index { by_request: HashMap::new(), by_time: HashMap::new() };
        for &at in real {
            let node = &nodes.list[at];
            if let Some(request) = node.call.request {
                index.by_request.entry((request, node.service, node.kind)).or_insert(at);
            }
            index.by_time.entry((node.service, node.kind)).or_default().push(at);
        }
        for list in index.by_time.values_mut() {
            list.sort_by_key(|&at| nodes.list[at].start);
        }
        index
    }

    fn same_call(&self, nodes: &Nodes<'a>, line: usize) -> Option<usize> {
        let node = &nodes.list[line];
        let named = node.call.named_span.and_then(|id| by_name(nodes, id, node));
        let request = || self.by_request.get(&(node.call.request?, node.service, node.kind)).copied();
        named
            .or_else(|| request().filter(|&at| is_free(&nodes.list[at])))
            .or_else(|| self.nearest(nodes, node))
    }

    fn nearest(&self, nodes: &Nodes<'a>, line: &Node<'a>) -> Option<usize> {
        let list = self.by_time.get(&(line.service, line.kind))?;
        let counts_seconds = line.is_coarse();
        let late = if counts_seconds { SLACK + SECOND } else { SLACK };
        let from = list.partition_point(|&at| nodes.list[at].start < line.start.saturating_sub(SLACK));
        list[from..]
            .iter()
            .take_while(|&&at| nodes.list[at].start <= line.start.saturating_add(late))
            .filter(|&&at| {
                let span = &nodes.list[at];
                let in_time = match counts_seconds {
                    true => took_as_long(span, line),
                    false => span.end.abs_diff(line.end) <= SLACK,
                };
                in_time
                    && is_free(span)
                    && agree(span.call.method, line.call.method)
                    && agree(span.call.path, line.call.path)
                    && agree(span.call.response, line.call.response)
            })
            .min_by_key(|&&at| nodes.list[at].start.abs_diff(line.start))
            .copied()
    }
}

/// The real span with this id, if it is the call that the line tells of.
fn by_name(nodes: &Nodes<'_>, id: SpanId, line: &Node<'_>) -> Option<usize> {
    let is_same = |at: &usize| {
        let span = &nodes.list[*at];
        let same_end = span.kind == line.kind && receives(line.kind);
        let equal = (same_end && span.service == line.service)
            || ((same_end || !receives(line.kind)) && took_as_long(span, line));
        is_free(span) && equal
    };
    let members = nodes.by_id.get(&id)?.members().iter().copied().filter(is_same);
    members.max_by_key(|&at| (nodes.list[at].kind == line.kind, nodes.list[at].service == line.service))
}

fn took_as_long(a: &Node<'_>, b: &Node<'_>) -> bool {
    (a.end - a.start).abs_diff(b.end - b.start) <= SLACK
}

fn is_free(node: &Node<'_>) -> bool {
    !node.flags.has(Flags::DERIVED) && !node.flags.has(Flags::JOINED)
}

fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}
