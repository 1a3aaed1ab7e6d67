//! Lists of traces: newest match first, with as little of the store as that takes.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use weir_model::TraceId;
use weir_model::filter::{Filter, Matcher, TraceFacts};
use weir_store::{StoreError, Total, TraceQuery};

use crate::error::Error;
use crate::newest::{Newest, Visitor};
use crate::scan::{Candidate, Search};
use crate::snapshot::{View, refused};

/// Once a page is complete, the traces that follow are counted until this much was done: some milliseconds. The units are candidates.
const COUNTING: u64 = 250_000;
/// What else costs as much as so many candidates: a record that is read, a block that is opened, a trace that is looked up.
const RECORD: u64 = 20;
const BLOCK: u64 = 2_000;
const LOOKUP: u64 = 200;

/// A trace in a list. Their order is the list's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    pub(crate) newest: Reverse<u64>,
    pub(crate) trace: TraceId,
    pub(crate) matched: u64,
}

/// The first traces of a list, and how many there are.
pub(crate) struct Traces {
    pub(crate) list: Vec<Listed>,
    pub(crate) total: Total,
}

/// Traces that satisfy a query, newest first: all of them, or where `first` says how many are wanted, these and one more, if there is one.
pub(crate) fn traces(view: &View, query: &TraceQuery, first: Option<usize>) -> Result<Traces, StoreError> {
    let (spans, traces) = query.filter.clone().split_trace().map_err(refused)?;
    let mut searches = vec![Search::new(&view.spans, &spans, query.range).map_err(refused)?];
    // Traces that only lines tell of have a place, too, where nothing is asked of spans.
    let counts = spans != Filter::All;
    if !counts {
        searches.push(Search::new(&view.logs, &spans, query.range).map_err(refused)?);
    }
    let mut list = TraceList {
        view,
        matcher: Matcher::new(&traces).map_err(refused)?,
        filter: traces,
        first: first.map_or(usize::MAX, |first| first.saturating_add(1)),
        found: HashMap::new(),
        with_spans: HashSet::new(),
        order: BinaryHeap::new(),
        list: Vec::new(),
        work: 0,
    };
    let whole = Newest::new(searches).run(&mut list).map_err(Error::on_read)?;
    // Where the walk ended early, it may not have come by all matches of the traces that it lists.
    let again = match counts && !whole {
        true => Some(Search::new(&view.spans, &spans, query.range).map_err(refused)?),
        false => None,
    };
    let mut end = || {
        // All that is left is settled, as far as counting goes.
        let all = whole && list.settle(None)?;
        let total = Total { value: list.list.len() as u64, exact: all };
        list.list.truncate(list.first);
        for listed in &mut list.list {
            listed.matched = match &again {
                Some(search) => matched(view, search, listed.trace)?,
                None if counts => list.found[&listed.trace].matched,
                None => 0,
            };
        }
        Ok(Traces { list: std::mem::take(&mut list.list), total })
    };
    end().map_err(Error::on_read)
}

/// How many spans of a trace satisfy a search.
fn matched(view: &View, search: &Search<'_>, trace: TraceId) -> Result<u64, Error> {
    let mut count = 0;
    view.spans.of_trace(trace, &mut |seq, parts| {
        let time = parts.span().span.start;
        count += search.is_met_by_parts(seq, time, &parts) as u64;
    })?;
    Ok(count)
}

/// A trace that has a match.
struct Found {
    newest: u64,
    matched: u64,
    /// Only lines tell of it.
    by_lines: bool,
}

struct TraceList<'v> {
    view: &'v View,
    /// What is asked of traces as a whole.
    filter: Filter,
    matcher: Matcher,
    /// How many are wanted.
    first: usize,
    found: HashMap<TraceId, Found>,
    /// Traces of lines that have spans: the spans say where they stand.
    with_spans: HashSet<TraceId>,
    /// Newest match of each trace that was found; those that have been replaced by a newer one are still in it.
    order: BinaryHeap<(u64, Reverse<TraceId>)>,
    /// What is settled and satisfies the query, in order.
    list: Vec<Listed>,
    /// What was done, in candidates.
    work: u64,
}

impl TraceList<'_> {
    /// Puts those traces into the list whose newest match is newer than all that is left. Returns whether all of them were looked at: beyond what is
    /// wanted only as many are as counting may take.
    fn settle(&mut self, left: Option<u64>) -> Result<bool, Error> {
        while let Some(&(newest, Reverse(trace))) = self.order.peek()
            && left.is_none_or(|left| newest > left)
        {
            if self.has_counted() {
                return Ok(false);
            }
            self.order.pop();
            if self.found.get(&trace).is_some_and(|found| found.newest == newest) && self.satisfies(trace)? {
                self.list.push(Listed { newest: Reverse(newest), trace, matched: 0 });
            }
        }
        Ok(true)
    }

    /// Whether the page is complete and enough was done to count what follows it.
    fn has_counted(&self) -> bool {
        self.list.len() >= self.first && self.work > COUNTING
    }

    fn satisfies(&mut self, trace: TraceId) -> Result<bool, Error> {
        if self.filter == Filter::All {
            return Ok(true);
        }
        self.work += LOOKUP;
        let Some(row) = self.view.row(trace)?.map(|row| row.finish(trace)) else { return Ok(false) };
        let mut services = BTreeSet::new();
        if self.filter.asks_services() {
            self.view.spans.of_trace(trace, &mut |_, parts| {
                services.insert(parts.span().resource.service().to_owned());
            })?;
        }
        let services: Vec<&str> = services.iter().map(String::as_str).collect();
        let entry = row.entry.as_ref().map(|entry| entry.name.as_str());
        let facts = TraceFacts {
            duration: row.duration,
            spans: row.spans,
            errors: row.errors,
            services: &services,
            entry,
        };
        Ok(self.matcher.matches_trace(&facts))
    }

    /// Whether a trace that a line belongs to has spans.
    fn has_spans(&mut self, trace: TraceId) -> Result<bool, Error> {
        if self.with_spans.contains(&trace) {
            return Ok(true);
        }
        self.work += LOOKUP;
        let mut row = None;
        self.view.spans.row(trace, &mut row)?;
        if row.is_some() {
            self.with_spans.insert(trace);
        }
        Ok(row.is_some())
    }
}

impl Visitor for TraceList<'_> {
    fn visit(&mut self, search: usize, candidate: &Candidate<'_>) -> Result<(), Error> {
        self.work += if candidate.verify.is_some() { RECORD } else { 1 };
        let Some(trace) = candidate.trace() else { return Ok(()) };
        if !candidate.matches()? {
            return Ok(());
        }
        let line = search > 0;
        if let Some(found) = self.found.get_mut(&trace) {
            // A line does not move the trace of a span.
            if found.by_lines != line {
                return Ok(());
            }
            found.matched += 1;
            if candidate.time <= found.newest {
                return Ok(());
            }
            found.newest = candidate.time;
        } else if line && self.has_spans(trace)? {
            return Ok(());
        } else {
            self.found.insert(trace, Found { newest: candidate.time, matched: 1, by_lines: line });
        }
        self.order.push((candidate.time, Reverse(trace)));
        Ok(())
    }

    fn has_enough(&mut self, left: u64) -> Result<bool, Error> {
        self.work += BLOCK;
        self.settle(Some(left))?;
        Ok(self.has_counted())
    }
}
