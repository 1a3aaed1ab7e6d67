//! Spans before they have an order.

use std::collections::HashMap;

use weir_model::identity::{DERIVED, INCARNATION, NAMED_SPAN, OFFSET, ORDINAL};
use weir_model::otlp::{LogRef, SpanKind, SpanRef, StatusCode, Value};
use weir_model::{Severity, SpanId};

use super::join::SECOND;
use super::tag::Tag;
use super::{Flags, Origin, Row};

/// One span to be. Times in nanoseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) id: Option<SpanId>,
    pub(super) parent_id: Option<SpanId>,
    /// Index of a node.
    pub(super) parent: Option<usize>,
    pub(super) service: &'a str,
    pub(super) operation: &'a str,
    pub(super) kind: SpanKind,
    pub(super) status: StatusCode,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Which of the derived spans of one line it is; 0 for every other.
    pub(super) ordinal: i64,
    pub(super) flags: Flags,
    pub(super) tag: String,
    pub(super) call: Call<'a>,
    pub(super) origin: Origin,
    /// Taken into another node; has no row.
    pub(super) gone: bool,
}

impl Node<'_> {
    /// A line that counts in whole seconds, as common access logs do.
    pub(super) fn is_coarse(&self) -> bool {
        self.end.is_multiple_of(SECOND) || self.start.is_multiple_of(SECOND)
    }
}

/// By what a derived span and a real one of the same call are recognised.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Call<'a> {
    /// The span id that the line names as its own.
    pub(super) named_span: Option<SpanId>,
    pub(super) request: Option<&'a str>,
    pub(super) method: Option<&'a str>,
    pub(super) path: Option<&'a str>,
    pub(super) response: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Nodes<'a> {
    pub(super) list: Vec<Node<'a>>,
    /// Nodes by span id. A derived span that was joined points to the real one.
    pub(super) by_id: HashMap<SpanId, Group>,
    /// Ids of derived spans by the incarnation and offset of their line.
    of_line: HashMap<(&'a str, i64), SpanId>,
}

/// Nodes that share a span id.
#[derive(Debug, Clone)]
pub(super) enum Group {
    One(usize),
    Many(Vec<usize>),
}

impl Group {
    pub(super) fn members(&self) -> &[usize] {
        match self {
            Group::One(node) => std::slice::from_ref(node),
            Group::Many(nodes) => nodes,
        }
    }

    fn push(&mut self, node: usize) {
        match self {
            Group::One(first) => *self = Group::Many(vec![*first, node]),
            Group::Many(nodes) => nodes.push(node),
        }
    }
}

impl<'a> Nodes<'a> {
    pub(super) fn from_spans(spans: &[SpanRef<'a>]) -> Self {
        let mut nodes = Nodes {
            list: Vec::with_capacity(spans.len()),
            by_id: HashMap::with_capacity(spans.len()),
            ..Nodes::default()
        };
        let mut resource: (&[u8], &str) = (&[], "");
        for index in in_order(spans) {
            let SpanRef { resource: from, span, .. } = &spans[index];
            // Neighbours often share their resource's bytes.
            if !std::ptr::eq(resource.0, from.message()) || nodes.list.is_empty() {
                resource = (from.message(), from.service());
            }
            let (mut tag, mut call, mut flags) = (Tag::default(), Call::default(), Flags::default());
            let mut ordinal = 0;
            for attr in span.attrs().iter() {
                match (attr.key, attr.value) {
                    (DERIVED, Value::Bool(true)) => flags.set(Flags::DERIVED),
                    (ORDINAL, Value::Int(n)) => ordinal = n,
                    (NAMED_SPAN, Value::Str(id)) => call.named_span = id.parse().ok(),
                    ("http.request.id", Value::Str(id)) => call.request = Some(id),
                    ("url.path", Value::Str(path)) => call.path = Some(path),
                    ("http.request.method" | "http.method", Value::Str(method)) => call.method = Some(method),
                    ("http.response.status_code" | "http.status_code", Value::Int(code)) => {
                        call.response = Some(code)
                    }
                    _ => {}
                }
                tag.see(attr.key, attr.value);
            }
            if flags.has(Flags::DERIVED)
                && let Some(id) = span.span_id
                && let Some(Value::Str(incarnation)) = from.attrs().get(INCARNATION)
                && ordinal == 0
                && let Some(Value::Int(offset)) = span.attrs().get(OFFSET)
            {
                nodes.of_line.insert((incarnation, offset), id);
            }
            nodes.push(Node {
                id: span.span_id,
                parent_id: span.parent_span_id,
                parent: None,
                service: resource.1,
                operation: span.name,
                kind: span.kind,
                status: span.status.code,
                start: span.start,
                end: span.end.max(span.start),
                ordinal,
                flags,
                tag: tag.text(span.kind),
                call,
                origin: Origin::Span { span: index, derived: None },
                gone: false,
            });
        }
        nodes
    }

    pub(super) fn push(&mut self, node: Node<'a>) {
        let index = self.list.len();
        if let Some(id) = node.id {
            self.by_id.entry(id).and_modify(|group| group.push(index)).or_insert(Group::One(index));
        }
        self.list.push(node);
    }

    /// Adds a node for each span id that only lines name, and tells for each line the node that carries its id.
    pub(super) fn add_observed(&mut self, logs: &[LogRef<'a>]) -> Vec<Option<usize>> {
        let mut node_of_line = Vec::with_capacity(logs.len());
        for (line, LogRef { resource, log, .. }) in logs.iter().enumerate() {
            // A line stands on the span that it yielded, whatever it names.
            let Some(id) = self.span_of_line(&logs[line]).or(log.span_id) else {
                node_of_line.push(None);
                continue;
            };
            let time = log.effective_time();
            if !self.by_id.contains_key(&id) {
                self.push(Node {
                    id: Some(id),
                    parent_id: None,
                    parent: None,
                    service: resource.service(),
                    operation: "",
                    kind: SpanKind::UNSPECIFIED,
                    status: StatusCode::UNSET,
                    start: time,
                    end: time,
                    ordinal: 0,
                    flags: Flags::OBSERVED,
                    tag: String::new(),
                    call: Call::default(),
                    origin: Origin::Observed { line },
                    gone: false,
                });
            }
            let index = self.of_service(&self.by_id[&id], || resource.service());
            let node = &mut self.list[index];
            if node.flags.has(Flags::OBSERVED) {
                node.start = node.start.min(time);
                node.end = node.end.max(time);
            }
            node_of_line.push(Some(index));
        }
        node_of_line
    }

    fn span_of_line(&self, line: &LogRef<'a>) -> Option<SpanId> {
        if self.of_line.is_empty() {
            return None;
        }
        let incarnation = line.resource.attrs().get(INCARNATION)?.as_str()?;
        let offset = line.log.attrs().get(OFFSET)?.as_int()?;
        self.of_line.get(&(incarnation, offset)).copied()
    }

    /// Of the nodes that share an id the one that a record of this service means: the server of that service, else any of that
    /// service, else a server, else the first.
    pub(super) fn of_service(&self, group: &Group, service: impl FnOnce() -> &'a str) -> usize {
        let members = group.members();
        if let [only] = members {
            return *only;
        }
        let service = service();
        let rank = |&&index: &&usize| {
            let node = &self.list[index];
            2 * u8::from(node.service == service) + u8::from(receives(node.kind))
        };
        let best = members.iter().map(|index| rank(&index)).max().unwrap_or(0);
        members.iter().find(|index| rank(index) == best).copied().expect("a group has members")
    }

    /// The nodes as rows, in the given order.
    pub(super) fn into_rows(
        self,
        order: &[usize],
        row_of: &[Option<usize>],
    ) -> (Vec<&'a str>, Vec<&'a str>, Vec<Row>) {
        let (mut services, mut operations) = (Names::default(), Names::default());
        let mut list: Vec<Option<Node<'a>>> = self.list.into_iter().map(Some).collect();
        let rows = order
            .iter()
            .map(|&index| {
                let node = list[index].take().expect("each node has one place");
                Row {
                    id: node.id,
                    parent: node.parent.and_then(|parent| row_of[parent]),
                    service: services.index(node.service),
                    operation: operations.index(node.operation),
                    kind: node.kind,
                    status: node.status,
                    start: node.start,
                    end: node.end,
                    self_time: node.end - node.start,
                    flags: node.flags,
                    logs: 0,
                    error_logs: 0,
                    worst_log: Severity::UNSET,
                    tag: node.tag,
                    origin: node.origin,
                }
            })
            .collect();
        (services.list, operations.list, rows)
    }
}

/// The spans in an order of their own, so that which of several with one id is meant does not depend on how they came.
fn in_order(spans: &[SpanRef<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_unstable_by_key(|&at| {
        let span = &spans[at].span;
        (span.start, span.end, span.span_id, span.parent_span_id, span.kind.0, span.name, at)
    });
    order
}

/// Whether a span of this kind is the receiving end of a call.
pub(super) fn receives(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::SERVER | SpanKind::CONSUMER)
}

/// Whether a span of this kind is the sending end of a call.
pub(super) fn sends(kind: SpanKind) -> bool {
    matches!(kind, SpanKind::CLIENT | SpanKind::PRODUCER)
}

/// Whether a node stands somewhere below another one, or is that one: a real span may name an observed one as its parent.
pub(super) fn is_below(nodes: &Nodes<'_>, node: usize, above: usize) -> bool {
    std::iter::successors(Some(node), |&at| nodes.list[at].parent).any(|at| at == above)
}

/// Distinct names in order of their first use.
#[derive(Default)]
struct Names<'a> {
    list: Vec<&'a str>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn index(&mut self, name: &'a str) -> usize {
        *self.index.entry(name).or_insert_with(|| {
            self.list.push(name);
            self.list.len() - 1
        })
    }
}
