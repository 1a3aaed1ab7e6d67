//! The critical path: at each moment of a trace the one span that it waits for.
//!
//! It is found backward from the last end. A span waits for the child that ended last before the moment in question, and so on
//! inside that child back to its start; time in which no child was waited for is the span's own. A child that runs past its parent's
//! end counts until that end, unless the parent's end itself is passed. Where the last end is not the root's, the path begins at the span that ended last and climbs
//! from parent to parent; a pause between a parent's end and what it set off counts for that parent. Top-level spans beside the root
//! count as its children; without a root the first of them takes its place. (The walk is that of Zhang et al., "CRISP: Critical Path
//! Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022, with the rules for asynchronous work added.)

use std::cmp::Reverse;

use super::tree::Children;
use super::{Flags, Row};

/// A stretch of the critical path. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub row: usize,
    pub from: u64,
    pub to: u64,
}

/// How much of the critical path a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Index into [`Trace::services`](super::Trace::services).
    pub service: usize,
    /// Nanoseconds.
    pub ns: u64,
}

/// From when to when a trace is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Window {
    /// Root start, or else first start, to last end. Rows that were only observed count where there are no others.
    pub(super) fn of(rows: &[Row], root: Option<usize>) -> Self {
        let all_observed = rows.iter().all(|row| row.flags.has(Flags::OBSERVED));
        let counted = || rows.iter().filter(|row| all_observed || !row.flags.has(Flags::OBSERVED));
        let first = || counted().map(|row| row.start).min().unwrap_or(0);
        let start = root.map_or_else(first, |root| rows[root].start);
        let end = counted().map(|row| row.end).max().unwrap_or(0);
        Self { start, end: end.max(start) }
    }
}

/// A span whose stretch of the path is being walked.
struct Frame {
    row: usize,
    /// Earliest moment of the stretch.
    from: u64,
    /// The walk has come back to here.
    at: u64,
    /// Children that are still to be looked at, in `Walk::waiting`, the last of them first.
    children: std::ops::Range<usize>,
}

struct Walk<'t> {
    rows: &'t [Row],
    children: &'t Children,
    /// Takes the place of the parent for other top-level rows.
    anchor: usize,
    top: Vec<usize>,
    window: Window,
    used: Vec<bool>,
    /// Children of the open frames with the ends that count, the last end at the back.
    waiting: Vec<(u64, usize)>,
    /// Backward.
    path: Vec<Segment>,
}

/// The path in order of time. It covers the window.
pub(super) fn path(rows: &[Row], children: &Children, root: Option<usize>, window: Window) -> Vec<Segment> {
    let top: Vec<usize> = (0..rows.len()).filter(|&row| rows[row].parent.is_none()).collect();
    let Some(anchor) = root.or_else(|| top.iter().copied().min_by_key(|&row| rows[row].start)) else {
        return Vec::new();
    };
    let used = vec![false; rows.len()];
    let mut walk = Walk { rows, children, anchor, top, window, used, waiting: Vec::new(), path: Vec::new() };
    // The outermost of those that end last, so that it is not left out between its own child and parent.
    let mut climb = (0..rows.len()).find(|&row| rows[row].end == window.end);
    let mut at = window.end;
    while let Some(row) = climb {
        climb = walk.parent(row);
        let from = if climb.is_none() { window.start } else { rows[row].start.max(window.start).min(at) };
        walk.descend(row, from, at);
        at = from;
    }
    walk.path.reverse();
    walk.path
}

impl Walk<'_> {
    fn parent(&self, row: usize) -> Option<usize> {
        self.rows[row].parent.or((row != self.anchor).then_some(self.anchor))
    }

    /// Walks from `to` back to `from` in a row and what it waited for.
    fn descend(&mut self, row: usize, from: u64, to: u64) {
        let mut frames = vec![self.open(row, from, to)];
        while let Some(frame) = frames.last_mut() {
            let Some(next) = frame.children.next_back() else {
                self.path.extend(segment(frame.row, frame.from, frame.at));
                self.waiting.truncate(frame.children.start);
                frames.pop();
                continue;
            };
            let (end, child) = self.waiting[next];
            let start = self.rows[child].start.max(frame.from);
            if self.used[child] || end > frame.at || end <= start {
                continue;
            }
            self.path.extend(segment(frame.row, end, frame.at));
            frame.at = start;
            let frame = self.open(child, start, end);
            frames.push(frame);
        }
    }

    fn open(&mut self, row: usize, from: u64, to: u64) -> Frame {
        self.used[row] = true;
        let first = self.waiting.len();
        let own_end = self.rows[row].end;
        let others: &[usize] = if row == self.anchor { &self.top } else { &[] };
        for &child in self.children.of(row).iter().chain(others) {
            let Row { start, end, .. } = self.rows[child];
            let cut = to <= own_end && start < own_end && self.rows[child].parent == Some(row);
            let counts_to = if cut { end.min(own_end) } else { end };
            if child != row && counts_to > from && counts_to <= to.min(self.window.end) {
                self.waiting.push((counts_to, child));
            }
        }
        let rows = self.rows;
        self.waiting[first..]
            .sort_unstable_by_key(|&(end, child)| (end, Reverse((rows[child].start, child))));
        Frame { row, from, at: to, children: first..self.waiting.len() }
    }
}

fn segment(row: usize, from: u64, to: u64) -> Option<Segment> {
    (from < to).then_some(Segment { row, from, to })
}

/// The path by service, largest first, ties in the order of rows.
pub(super) fn shares(rows: &[Row], path: &[Segment]) -> Vec<Share> {
    let services = rows.iter().map(|row| row.service + 1).max().unwrap_or(0);
    let mut sums = vec![0; services];
    for segment in path {
        sums[rows[segment.row].service] += segment.to - segment.from;
    }
    let mut shares: Vec<Share> = sums
        .into_iter()
        .enumerate()
        .filter(|(_, ns)| *ns > 0)
        .map(|(service, ns)| Share { service, ns })
        .collect();
    shares.sort_by_key(|share| (Reverse(share.ns), share.service));
    shares
}
