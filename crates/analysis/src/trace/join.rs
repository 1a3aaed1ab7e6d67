//! A call that an SDK reported and a log line tells of, too, is one row.
//!
//! A derived span and a real one of the same trace are the same call if
//! 1. the line names the real span's id (`weir.span_id`), or
//! 2. both carry the same `http.request.id`, kind and service, or
//! 3. they agree in service and kind, in method and response status where both have them, and start and end within [`SLACK`] of each
//!    other; of several the nearest start wins.
//!
//! Each real span is joined at most once. It keeps its own times, name and status: an SDK measures finer than a log line.

use std::collections::HashMap;

use weir_model::SpanId;
use weir_model::otlp::SpanKind;

use super::nodes::{Group, Node, Nodes};
use super::{Flags, Origin};

/// How far the times of a line and of the SDK may lie apart, in nanoseconds. An access log counts in milliseconds and writes its line
/// after the last byte was sent.
const SLACK: u64 = 5_000_000;

pub(super) fn join(nodes: &mut Nodes<'_>) {
    let (derived, real): (Vec<usize>, Vec<usize>) =
        (0..nodes.list.len()).partition(|&index| nodes.list[index].flags.has(Flags::DERIVED));
    if derived.is_empty() {
        return;
    }
    let index = Index::of(nodes, &real);
    for line in derived {
        let Some(span) = index.same_call(nodes, line) else {
            // Until the real span comes, the derived one stands for it.
            if let Some(id) = nodes.list[line].call.named_span {
                nodes.by_id.entry(id).or_insert(Group::One(line));
            }
            continue;
        };
        let Origin::Span { span: of_line, .. } = nodes.list[line].origin else { continue };
        let Origin::Span { derived, .. } = &mut nodes.list[span].origin else { continue };
        *derived = Some(of_line);
        nodes.list[span].flags.set(Flags::JOINED);
        nodes.list[line].gone = true;
        // What the line's span was to be the parent of is now the real span's child.
        if let Some(id) = nodes.list[line].id {
            nodes.by_id.insert(id, Group::One(span));
        }
    }
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
        let from = list.partition_point(|&at| nodes.list[at].start < line.start.saturating_sub(SLACK));
        list[from..]
            .iter()
            .take_while(|&&at| nodes.list[at].start <= line.start.saturating_add(SLACK))
            .filter(|&&at| {
                let span = &nodes.list[at];
                is_free(span)
                    && span.end.abs_diff(line.end) <= SLACK
                    && agree(span.call.method, line.call.method)
                    && agree(span.call.response, line.call.response)
            })
            .min_by_key(|&&at| nodes.list[at].start.abs_diff(line.start))
            .copied()
    }
}

/// The real span with this id; a line names one of its own service and kind where several share the id.
fn by_name(nodes: &Nodes<'_>, id: SpanId, line: &Node<'_>) -> Option<usize> {
    let members = nodes.by_id.get(&id)?.members();
    members
        .iter()
        .copied()
        .filter(|&at| is_free(&nodes.list[at]))
        .max_by_key(|&at| (nodes.list[at].kind == line.kind, nodes.list[at].service == line.service))
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
