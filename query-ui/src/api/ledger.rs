//! The ledger: what became of the bytes of every source, and of the records.
//!
//! For each life of a file, `read = stored bytes + bytes of holes + pending`, so what is lost can't hide. The agent says what it has read and
//! why parts of it have no records, the store which ranges it holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use axum::Json;
use axum::extract::State;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::filter::Key;
use weir_model::{Incarnation, Signal, identity};
use weir_store::{Agg, LedgerRow, RangeSet, RecordQuery, Snapshot, Table, TimeRange, Total};

use super::Shared;
use super::services::is;
use crate::deps::{SignalCounts, SourceStatus};
use crate::error::{ApiError, ErrorBody};
use crate::params::{Limit, Params, SourcesParams};

/// Sources in one answer.
const SOURCES: Limit = Limit { name: "limit", default: 1_000, max: 1_000 };
/// Questions to the store at a time.
const AT_A_TIME: usize = 8;
/// Sources before those of an answer.
const SKIPPED: Limit = Limit { name: "skip", default: 1, max: 1_000_000 };

/// What became of everything that came.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ledger {
    /// Sorted by path; a file that was cut or replaced under its name is several.
    sources: Vec<Source>,
    /// How many sources there are; more than are listed where the limit was reached.
    total: usize,
    /// Counts since the process was started.
    records: Vec<Records>,
}

/// One life of a file. Offsets and sizes in bytes, ranges half open.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Source {
    /// Empty where neither an agent in this process nor a record tells.
    path: String,
    incarnation: String,
    /// Everything below was read by the agent; `null` where it runs elsewhere, as in the next two.
    read: Option<u64>,
    /// Everything below is durable or a hole.
    acknowledged: Option<u64>,
    /// Read, and neither stored nor a hole: on its way.
    pending: Option<u64>,
    stored: Vec<Stored>,
    holes: Vec<HoleBody>,
}

/// What the store holds of a source by one signal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerStored)]
struct Stored {
    /// `logs` or `spans`.
    signal: &'static str,
    /// Sum of the ranges.
    bytes: u64,
    /// Records that are found now; those that retention removed are not.
    records: u64,
    ranges: Vec<RangeBody>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerRange)]
struct RangeBody {
    start: u64,
    end: u64,
}

/// A part of a source without records.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerHole)]
struct HoleBody {
    start: u64,
    end: u64,
    /// `skipped-at-start`: it was there before the data folder and `start: end` was set. `refused`: it will never be taken. `missing`: what
    /// stands behind it is stored already; it is on its way, or lost, and then the log says why.
    cause: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LedgerRecords)]
struct Records {
    signal: &'static str,
    stored: u64,
    /// Came again and were recognised.
    duplicate: u64,
    /// Can't be stored.
    refused: u64,
    /// Batches that the log could not deliver.
    lost_batches: u64,
}

impl From<SignalCounts> for Records {
    fn from(counts: SignalCounts) -> Self {
        Self {
            signal: counts.signal.name(),
            stored: counts.stored,
            duplicate: counts.duplicate,
            refused: counts.refused,
            lost_batches: counts.lost_batches,
        }
    }
}

#[utoipa::path(get, path = "/api/v1/ledger", params(SourcesParams), responses(
    (status = 200, body = Ledger), (status = "default", body = ErrorBody)))]
pub(crate) async fn ledger(
    State(app): Shared,
    Params(params): Params<SourcesParams>,
) -> Result<Json<Ledger>, ApiError> {
    let shown = SOURCES.of(params.limit)?;
    let skipped = params.skip.map_or(Ok(0), |skip| SKIPPED.of(Some(skip)))?;
    // Before the snapshot: what is acknowledged by then is in it or on its way.
    let agents: BTreeMap<Incarnation, SourceStatus> =
        app.deps.status.sources().into_iter().map(|source| (source.incarnation, source)).collect();
    let snapshot = app.deps.reader.snapshot().await?;
    let rows = snapshot.ledger().await?;
    let mut stored: BTreeMap<Incarnation, Vec<&LedgerRow>> = BTreeMap::new();
    rows.iter().for_each(|row| stored.entry(row.incarnation).or_default().push(row));
    let mut all: Vec<Incarnation> = agents.keys().chain(stored.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    let total = all.len();

    let name = async |incarnation| match agents.get(&incarnation) {
        Some(source) => Ok((source.path.clone(), incarnation)),
        None => Ok((path_of(snapshot.as_ref(), incarnation).await?, incarnation)),
    };
    let named: Result<Vec<_>, ApiError> = stream::iter(all).map(name).buffered(AT_A_TIME).try_collect().await;
    let mut named = named?;
    named.sort();
    named.drain(..skipped.min(named.len()));
    named.truncate(shown);
    let count = async |(incarnation, signal)| {
        Ok(((incarnation, signal), records_of(snapshot.as_ref(), signal, incarnation).await?))
    };
    let lanes = named.iter().flat_map(|(_, incarnation)| stored.get(incarnation).into_iter().flatten());
    let wanted: BTreeSet<_> = lanes.map(|row| (row.incarnation, row.lane.signal)).collect();
    let counts: Result<HashMap<_, _>, ApiError> =
        stream::iter(wanted).map(count).buffered(AT_A_TIME).try_collect().await;
    let counts = counts?;
    let source = |(path, incarnation): (String, Incarnation)| {
        let rows = stored.get(&incarnation).map_or(&[][..], Vec::as_slice);
        source(path, incarnation, agents.get(&incarnation), rows, &counts)
    };
    Ok(Json(Ledger {
        sources: named.into_iter().map(source).collect(),
        total,
        records: app.deps.status.counts().into_iter().map(Records::from).collect(),
    }))
}

/// Records of a source that are found. One count of many: grouping all records would read every one of them.
async fn records_of(
    snapshot: &dyn Snapshot,
    signal: Signal,
    incarnation: Incarnation,
) -> Result<u64, ApiError> {
    let table = snapshot.aggregate(signal, &of(incarnation), &Agg::Count).await?;
    let Table::Count(Total { value, .. }) = table else { return Err(super::unexpected()) };
    Ok(value)
}

/// The records of a source.
fn of(incarnation: Incarnation) -> RecordQuery {
    let key = Key::Attr(format!("resource.{}", identity::INCARNATION));
    RecordQuery { filter: is(key, &incarnation.to_string()), range: TimeRange::ALL }
}

/// The name that a source's records bear; empty where there are none.
async fn path_of(snapshot: &dyn Snapshot, incarnation: Incarnation) -> Result<String, ApiError> {
    let page = snapshot.logs(&of(incarnation), 1, None).await?;
    let name = page.items.first().and_then(|log| {
        let resource = log.view().resource;
        Some(resource.attrs().get(identity::SOURCE)?.as_str()?.to_owned())
    });
    Ok(name.unwrap_or_default())
}

fn source(
    path: String,
    incarnation: Incarnation,
    agent: Option<&SourceStatus>,
    rows: &[&LedgerRow],
    counts: &HashMap<(Incarnation, Signal), u64>,
) -> Source {
    let stored: Vec<Stored> = rows
        .iter()
        .map(|row| Stored {
            signal: row.lane.signal.name(),
            bytes: row.ranges.total(),
            records: counts.get(&(incarnation, row.lane.signal)).copied().unwrap_or(0),
            ranges: row.ranges.iter().map(|range| RangeBody { start: range.start, end: range.end }).collect(),
        })
        .collect();
    // Every line is a log record; spans are derived from some.
    let of_logs = rows.iter().filter(|row| row.lane.signal == Signal::Logs).flat_map(|row| row.ranges.iter());
    let mut known: RangeSet = of_logs.collect();
    let mut holes = Vec::new();
    for hole in agent.map_or(&[][..], |agent| &agent.holes) {
        known.insert(hole.start..hole.end);
        holes.push(HoleBody { start: hole.start, end: hole.end, cause: hole.cause });
    }
    // An agent elsewhere may have skipped what stands before the first range.
    let first = if agent.is_some() { 0 } else { known.iter().next().map_or(0, |range| range.start) };
    let missing = gaps(&known, first);
    holes.extend(missing.iter().map(|gap| HoleBody { start: gap.start, end: gap.end, cause: "missing" }));
    holes.sort_by_key(|hole| hole.start);
    // What is stored was read, also where the agent tells so only with its next checkpoint.
    let read = agent.map(|agent| agent.read.max(known.iter().last().map_or(0, |range| range.end)));
    let accounted = known.total() + missing.iter().map(|gap| gap.end - gap.start).sum::<u64>();
    Source {
        path,
        incarnation: incarnation.to_string(),
        read,
        acknowledged: agent.map(|agent| agent.acknowledged),
        pending: read.map(|read| read.saturating_sub(accounted)),
        stored,
        holes,
    }
}

/// What lies between `first` and the last range, and is in none.
fn gaps(known: &RangeSet, first: u64) -> Vec<Range<u64>> {
    let mut at = first;
    let mut gaps = Vec::new();
    for range in known.iter() {
        if at < range.start {
            gaps.push(at..range.start);
        }
        at = range.end;
    }
    gaps
}

#[cfg(test)]
mod tests {
    use weir_transport::Lane;

    use super::*;
    use crate::deps::Hole;

    #[test]
    fn every_byte_is_accounted_for() {
        let row = LedgerRow {
            incarnation: Incarnation(7),
            lane: Lane { signal: Signal::Logs, partition: 0 },
            ranges: [100..200, 250..300].into_iter().collect(),
        };
        let holes = vec![Hole { start: 0, end: 90, cause: "skipped-at-start" }];
        let agent = |read| SourceStatus {
            path: "/a".into(),
            incarnation: row.incarnation,
            read,
            acknowledged: read - 20,
            holes: holes.clone(),
        };
        let counts = HashMap::from([((row.incarnation, Signal::Logs), 12)]);
        let shown = |agent: Option<SourceStatus>| {
            let source = source("/a".into(), row.incarnation, agent.as_ref(), &[&row], &counts);
            let holes: Vec<_> = source.holes.iter().map(|hole| (hole.start, hole.end, hole.cause)).collect();
            assert_eq!((source.stored[0].bytes, source.stored[0].records), (150, 12));
            (holes, source.read, source.pending)
        };
        let (skipped, missing) = ((0, 90, "skipped-at-start"), (200, 250, "missing"));
        let all = vec![skipped, (90, 100, "missing"), missing];
        assert_eq!(shown(Some(agent(420))), (all.clone(), Some(420), Some(120)));
        // It has read on since it told.
        assert_eq!(shown(Some(agent(290))), (all, Some(300), Some(0)));
        assert_eq!(shown(None), (vec![missing], None, None));
    }
}
