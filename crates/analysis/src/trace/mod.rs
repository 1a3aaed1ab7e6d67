//! Trace assembly.
//!
//! [`assemble`] takes the spans and log lines of one trace in any order and gives its rows: depth first, children by start.
//!
//! - **Parents** are found by span id. Where a client and a server share an id (Zipkin), the server stands below the client and what
//!   names the id as its parent stands below the server. Further spans of the same id and kind are kept as rows of their own and noted.
//! - **A missing parent** leaves a span at the top level, flagged; **a cycle** is broken at its earliest member, and noted.
//! - **Joined:** a span that was derived from a log line (`weir.derived`) and a real span of the same call become one row; `join` has the rules.
//! - **Behind a proxy:** what a proxy called without naming itself is put below its try; `hops` has the rules.
//! - **Observed:** a span id that only log lines name becomes a row from its first to its last line; `infer` finds its parent
//!   from times. When the real span comes it takes that row's place. A pair of lines that tell of a beginning and its end is a row, too; `pairs` has the rules.
//! - **Times are never moved**, except those of tries whose line counts in whole seconds: they go with the real span that their request joins. Where
//!   clocks disagree a note says by how much.
//! - **Critical path:** see `critical`.

mod clock;
mod critical;
mod hops;
mod infer;
mod join;
mod lines;
mod nodes;
mod pairs;
mod summary;
mod tag;
mod tree;

pub use critical::{Segment, Share};
pub use summary::{Summary, summary};

use weir_model::otlp::{LogRef, SpanKind, SpanRef, StatusCode};
use weir_model::{Severity, SpanId};

use nodes::Nodes;

/// What is special about a row. The bits are those of the query API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// Made from one log line.
    pub const DERIVED: Flags = Flags(1);
    /// Made from the first to the last line that names the span.
    pub const OBSERVED: Flags = Flags(2);
    pub const MISSING_PARENT: Flags = Flags(4);
    /// Starts after its parent's end or runs past it.
    pub const ASYNC: Flags = Flags(8);
    /// Starts before its parent.
    pub const CLOCK: Flags = Flags(16);
    /// Made from a real span and one that was derived from a log line.
    pub const JOINED: Flags = Flags(32);
    /// Its parent was found from times: it is observed, or a proxy passed the header on as it came.
    pub const INFERRED_PARENT: Flags = Flags(64);

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    fn set(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

/// Where a row comes from, as indices into the arguments of [`assemble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A span, and perhaps the derived one of the same call.
    Span { span: usize, derived: Option<usize> },
    /// Only log lines; the first of them, or the one that tells of the beginning.
    Observed { line: usize },
}

/// One span of the picture. Times in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: Option<SpanId>,
    /// An earlier row; `None` at the top level.
    pub parent: Option<usize>,
    /// Index into [`Trace::services`].
    pub service: usize,
    /// Index into [`Trace::operations`].
    pub operation: usize,
    pub kind: SpanKind,
    pub status: StatusCode,
    pub start: u64,
    /// Never before the start.
    pub end: u64,
    /// Nanoseconds in which no child was running.
    pub self_time: u64,
    pub flags: Flags,
    /// Log lines of this span, those of severity ERROR or above, and the highest severity among them.
    pub logs: u32,
    pub error_logs: u32,
    pub worst_log: Severity,
    /// What was called, for a database, HTTP, RPC or messaging span; else empty.
    pub tag: String,
    pub origin: Origin,
}

impl Row {
    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }
}

/// Something about a row that the reader should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    StartsBeforeParent,
    EndsAfterParent,
    StartsAfterParentEnd,
    MissingParent,
    Cycle,
    DuplicateId,
}

impl NoteKind {
    /// As the query API writes it.
    pub fn name(self) -> &'static str {
        match self {
            NoteKind::StartsBeforeParent => "starts-before-parent",
            NoteKind::EndsAfterParent => "ends-after-parent",
            NoteKind::StartsAfterParentEnd => "starts-after-parent-end",
            NoteKind::MissingParent => "missing-parent",
            NoteKind::Cycle => "cycle",
            NoteKind::DuplicateId => "duplicate-id",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    pub row: usize,
    pub kind: NoteKind,
    /// By how many nanoseconds; 0 where that means nothing.
    pub ns: u64,
}

/// A trace, assembled.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace<'a> {
    /// Start of the root; of the first span where no root came; of the first line where no span came. Nanoseconds since the Unix epoch.
    pub start: u64,
    /// From there to the last end of a span (of a line, where no span came), in nanoseconds.
    pub duration: u64,
    /// Row of the first span that names no parent.
    pub root: Option<usize>,
    /// In order of their first row.
    pub services: Vec<&'a str>,
    pub operations: Vec<&'a str>,
    pub rows: Vec<Row>,
    /// In order of time; they cover `duration` without gap or overlap.
    pub critical: Vec<Segment>,
    /// The critical path by service, largest first; its sum is `duration`.
    pub shares: Vec<Share>,
    /// For each log line that was given, its row.
    pub log_rows: Vec<Option<usize>>,
    /// By row.
    pub notes: Vec<Note>,
}

/// Assembles the records of one trace.
pub fn assemble<'a>(spans: &[SpanRef<'a>], logs: &[LogRef<'a>]) -> Trace<'a> {
    let mut nodes = Nodes::from_spans(spans);
    join::join(&mut nodes);
    let mut observed = nodes.add_observed(logs);
    pairs::add_pairs(&mut nodes, logs, &mut observed);
    let mut notes = Vec::new();
    tree::find_parents(&mut nodes, &mut notes);
    hops::find_hops(&mut nodes);
    infer::infer_parents(&mut nodes);
    let order = tree::depth_first(&mut nodes, &mut notes);
    let (services, operations, mut rows) = nodes.into_rows(&order.rows, &order.row_of);
    for note in &mut notes {
        note.row = order.row_of[note.row].expect("a note is on a node that has a row");
    }
    let children = tree::Children::of_rows(&rows);
    clock::check(&mut rows, &children, &mut notes);
    notes.sort_unstable();
    let log_rows = lines::attach(&mut rows, logs, &observed, &order.row_of);
    let root = order.root;
    let window = critical::Window::of(&rows, root);
    let critical = critical::path(&rows, &children, root, window);
    let shares = critical::shares(&rows, &critical);
    Trace {
        start: window.start,
        duration: window.end - window.start,
        root,
        services,
        operations,
        rows,
        critical,
        shares,
        log_rows,
        notes,
    }
}

#[cfg(test)]
mod tests;
