//! Recognises spans that come again, however their sender groups them.
//!
//! Spans by OTLP or Zipkin have no range in a source. Within a window they are unique by their identity: those of the open shard are in a set,
//! and when a trace is first seen, the sealed shards of the window whose filters may have it are asked for the identities of its spans.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;
use weir_model::otlp::Span;
use weir_model::{TraceId, identity};

use crate::error::Error;
use crate::sealed::filter::key;
use crate::shard::ShardView;

/// Traces that are remembered as asked, and identities that were found; beyond, both are forgotten and asked again.
const ASKED_TRACES: usize = 4_000_000;
const FOUND_IDENTITIES: usize = 4_000_000;

type Set = HashSet<u64, BuildHasherDefault<FxHasher>>;

#[derive(Debug, Default)]
pub(crate) struct Identities {
    /// Of the open shard and the tail.
    own: Set,
    /// Traces for which the sealed shards were asked, by their keys, and what these had.
    asked: Set,
    found: Set,
}

/// The identity of a span; `None` without ids, which no stored span is.
pub(crate) fn of(span: &Span<'_>) -> Option<u64> {
    let (trace, id) = (span.trace_id?, span.span_id?);
    Some(identity::span_identity(trace.as_bytes(), id.as_bytes(), span.kind.0, span.message()))
}

impl Identities {
    /// Brings the identities of a trace's spans from the shards that are not open, where this was not done yet.
    pub(crate) fn recall(&mut self, trace: TraceId, shards: &[ShardView]) -> Result<(), Error> {
        if self.asked.contains(&key(trace)) {
            return Ok(());
        }
        if self.asked.len() >= ASKED_TRACES || self.found.len() >= FOUND_IDENTITIES {
            self.asked.clear();
            self.found.clear();
        }
        for shard in shards {
            shard.each_of_trace(trace, &mut |reader, row| {
                let (_, record) = reader.bodies.row(row)?;
                self.found.extend(of(&Span::decode(&record)));
                Ok(())
            })?;
        }
        self.asked.insert(key(trace));
        Ok(())
    }

    /// Notes a span. False where it is stored already; its trace must have been [recalled](Self::recall).
    pub(crate) fn insert(&mut self, identity: u64) -> bool {
        !self.found.contains(&identity) && self.own.insert(identity)
    }

    /// The open shard is closed: what it holds is found there from now on. Begins anew with the identities of the tail.
    pub(crate) fn roll(&mut self, tail: impl Iterator<Item = u64>) {
        *self = Self { own: tail.collect(), ..Self::default() };
    }
}
