//! Lines that tell of a beginning and of its end: `started charge card` and `charge card finished in 12 ms`.
//!
//! Both must be of one service and one span (or both of none) and say the same apart from the verb and the time it took. The innermost open beginning is the
//! one that ends. A pair that spans all lines of an observed span gives that span its name; any other is a row of its own, marked as observed, below the
//! span that its lines name, or where its times put it.

use std::collections::HashMap;

use weir_model::otlp::{LogRef, SpanKind, StatusCode};
use weir_model::{Incarnation, SpanId, identity};

use super::nodes::{Call, Node, Nodes};
use super::{Flags, Origin};

/// Longer lines are prose, in bytes.
const LINE_BYTES: usize = 200;
/// Words of a line that is looked at; with more it is prose.
const WORDS: usize = 16;

const BEGIN: [&str; 9] =
    ["start", "started", "starting", "begin", "began", "beginning", "enter", "entered", "entering"];
const END: [&str; 12] = [
    "end",
    "ended",
    "finish",
    "finished",
    "complete",
    "completed",
    "done",
    "exit",
    "exited",
    "leave",
    "left",
    "leaving",
];
const FAILED: [&str; 2] = ["failed", "aborted"];
/// Before a number it begins what is said of the time.
const TOOK: [&str; 4] = ["in", "took", "after", "within"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Begin,
    End { failed: bool },
}

/// Service, span and subject.
type Key<'a> = (&'a str, Option<SpanId>, &'a str);

/// Adds the spans of pairs. `node_of_line` gives the node of each line, and is told of the lines that make a span and stood on none.
pub(super) fn add_pairs<'a>(nodes: &mut Nodes<'a>, logs: &[LogRef<'a>], node_of_line: &mut [Option<usize>]) {
    let mut marks: Vec<(u64, usize, Mark, &str)> = Vec::new();
    for (line, found) in logs.iter().enumerate() {
        let Some((mark, subject)) = found.log.body.as_str().and_then(mark) else { continue };
        marks.push((found.log.effective_time(), line, mark, subject));
    }
    if !marks.iter().any(|(_, _, mark, _)| *mark == Mark::Begin) {
        return;
    }
    marks.sort_by_key(|&(time, line, ..)| (time, line));
    let mut open: HashMap<Key<'_>, Vec<(u64, usize)>> = HashMap::new();
    for (time, line, mark, subject) in marks {
        let LogRef { resource, log, .. } = &logs[line];
        let key = (resource.service(), log.span_id, subject);
        let Mark::End { failed } = mark else {
            open.entry(key).or_default().push((time, line));
            continue;
        };
        let Some((start, begin)) = open.get_mut(&key).and_then(Vec::pop) else { continue };
        let status = if failed { StatusCode::ERROR } else { StatusCode::UNSET };
        let (service, parent_id, subject) = key;
        let whole = node_of_line[line].map(|at| &mut nodes.list[at]).filter(|node| {
            node.flags.has(Flags::OBSERVED) && node.id == parent_id && (node.start, node.end) == (start, time)
        });
        if let Some(node) = whole {
            (node.operation, node.status) = (subject, status);
            continue;
        }
        let node = nodes.list.len();
        nodes.push(Node {
            id: Some(id(&logs[begin])),
            parent_id,
            parent: None,
            service,
            operation: subject,
            kind: SpanKind::INTERNAL,
            status,
            start,
            end: time,
            ordinal: 0,
            flags: Flags::OBSERVED,
            tag: String::new(),
            call: Call::default(),
            origin: Origin::Observed { line: begin },
            gone: false,
        });
        for line in [begin, line] {
            node_of_line[line].get_or_insert(node);
        }
    }
}

/// An id from the place of the line, the same each time.
fn id(line: &LogRef<'_>) -> SpanId {
    let attrs = line.resource.attrs();
    let incarnation =
        attrs.get(identity::INCARNATION).and_then(|value| value.as_str()?.parse::<Incarnation>().ok());
    let offset = line.log.attrs().get(identity::OFFSET).and_then(|value| value.as_int());
    if let (Some(incarnation), Some(offset)) = (incarnation, offset) {
        return identity::derived_span_id(incarnation, offset as u64, 0, u32::MAX);
    }
    let body = line.log.body.as_str().unwrap_or("");
    let hash = identity::span_identity(&line.log.effective_time().to_le_bytes(), b"pair", 0, body.as_bytes());
    SpanId::new(hash.max(1).to_be_bytes()).expect("not zero")
}

/// What a line tells of the beginning or end of something, and of what.
fn mark(body: &str) -> Option<(Mark, &str)> {
    let line = body.lines().next()?.trim();
    if line.len() > LINE_BYTES {
        return None;
    }
    let words: Vec<&str> = said(line).take(WORDS + 1).collect();
    if words.len() > WORDS {
        return None;
    }
    let is = |verbs: &[&str], word: &str| verbs.iter().any(|verb| word.eq_ignore_ascii_case(verb));
    let of = |word: &str| match word {
        _ if is(&BEGIN, word) => Some(Mark::Begin),
        _ if is(&END, word) => Some(Mark::End { failed: false }),
        _ if is(&FAILED, word) => Some(Mark::End { failed: true }),
        _ => None,
    };
    let (mark, subject) = match words.as_slice() {
        [_] | [] => return None,
        [first, rest @ ..] if of(first).is_some() => (of(first)?, rest),
        [rest @ .., last] => (of(last)?, rest),
    };
    let place = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    let (first, last) = (subject.first()?, subject.last()?);
    Some((mark, &line[place(first)..place(last) + last.len()]))
}

/// The words of a line without punctuation around them, up to what it says of the time it took.
fn said(line: &str) -> impl Iterator<Item = &str> {
    let mut words = line.split_whitespace().peekable();
    std::iter::from_fn(move || {
        let word = words.next()?;
        let number =
            |word: &str| word.trim_start_matches(['(', '[']).starts_with(|c: char| c.is_ascii_digit());
        let took = TOOK.iter().any(|took| word.eq_ignore_ascii_case(took));
        if word.starts_with('(') && number(word) || took && words.peek().is_some_and(|next| number(next)) {
            return None;
        }
        Some(word.trim_matches([':', ',', '.', ';', '!', '…', '-', '"', '\'']))
    })
    .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let (begin, end) = (Mark::Begin, Mark::End { failed: false });
        for (line, expect) in [
            ("started charge card", Some((begin, "charge card"))),
            ("Starting: charge card...", Some((begin, "charge card"))),
            ("charge card finished in 12 ms", Some((end, "charge card"))),
            ("Completed charge card (12ms)", Some((end, "charge card"))),
            ("charge card done.", Some((end, "charge card"))),
            ("charge card failed after 3s: no funds", Some((Mark::End { failed: true }, "charge card"))),
            ("charge, card - done", Some((end, "charge, card"))),
            ("order 17 started\n\tat x", Some((begin, "order 17"))),
            ("started", None),
            ("", None),
            ("the card was started by hand", None),
            ("bezahlt 支付 done", Some((end, "bezahlt 支付"))),
        ] {
            assert_eq!(mark(line), expect, "{line}");
        }
        assert_eq!(mark(&format!("started {}", "x".repeat(500))), None);
    }
}
