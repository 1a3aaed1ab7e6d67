//! A lane: who writes it, how far it is, and which ranges of which sources it has.
//!
//! A search engine has no transaction over several documents, so their order makes the promise: first records, then the ranges that say that they
//! are there, then the position behind them. After a crash in between records are delivered again, and are known by range or by id.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use weir_model::{Incarnation, Signal};
use weir_store::{LedgerRow, RangeSet, WriteError};
use weir_transport::{Epoch, Lane, Origin};

use crate::bulk::{Bulk, Item, Op, Outcome, Version};
use crate::client::Client;
use crate::error::Error;
use crate::meta::{self, Kind};
use crate::query::of_kind;
use crate::view::View;

/// How often a document is read and written again where others write it too.
const ATTEMPTS: usize = 10;

/// The document of a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claim {
    epoch: u64,
    /// Tells two processes with one epoch apart.
    owner: u64,
    /// From where it is to be delivered.
    position: Option<u64>,
}

/// The document of a source in a lane.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ranges {
    pub(crate) partition: u32,
    pub(crate) lane: String,
    pub(crate) incarnation: String,
    pub(crate) ranges: Vec<(u64, u64)>,
}

impl Ranges {
    fn set(&self) -> RangeSet {
        self.ranges.iter().map(|(start, end)| *start..*end).collect()
    }

    /// The ledger's row that it is.
    pub(crate) fn row(&self) -> Option<LedgerRow> {
        let signal = weir_model::Signal::ALL.into_iter().find(|signal| signal.name() == self.lane)?;
        let lane = Lane { signal, partition: self.partition };
        Some(LedgerRow { incarnation: self.incarnation.parse().ok()?, lane, ranges: self.set() })
    }
}

/// What is stored of a source.
#[derive(Debug, Default)]
struct Known {
    set: RangeSet,
    /// Of its document, where it has one.
    version: Option<Version>,
    /// It is more than the document says.
    fresh: bool,
}

/// A lane as this process holds it.
#[derive(Debug)]
pub(crate) struct Held {
    lane: Lane,
    pub(crate) epoch: Epoch,
    owner: u64,
    version: Version,
    /// Behind what was written, and behind what a restart knows of.
    pub(crate) next: Option<u64>,
    pub(crate) durable: Option<u64>,
    known: HashMap<Incarnation, Known>,
    /// Records that a call stored which failed all the same: position and number in the batch. When the call comes again, they count as stored.
    pub(crate) stored_before: HashSet<(u64, u32)>,
    /// Bytes written since the last sync.
    pub(crate) pending_bytes: u64,
}

/// Where the documents are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) client: &'a Client,
    pub(crate) index: &'a str,
    pub(crate) bulk: &'a Bulk,
}

fn lane_id(lane: Lane) -> String {
    format!("lane.{}.{}", lane.signal.name(), lane.partition)
}

fn ledger_id(lane: Lane, incarnation: Incarnation) -> String {
    format!("ledger.{}.{}.{incarnation}", lane.signal.name(), lane.partition)
}

/// From where a lane is to be delivered.
pub(crate) async fn position(at: Place<'_>, lane: Lane) -> Result<Option<u64>, Error> {
    let found = meta::get::<Claim>(at.client, at.index, &lane_id(lane)).await?;
    Ok(found.and_then(|(_, claim)| claim.position))
}

/// How far the lanes of a signal are by a state of the store: everything before is stored.
pub(crate) async fn positions(view: &View, signal: Signal) -> Result<BTreeMap<u32, u64>, Error> {
    #[derive(Deserialize)]
    struct Holder {
        key: String,
        body: Claim,
    }
    let (query, prefix) = (of_kind(Kind::Lane), format!("lane.{}.", signal.name()));
    let (mut positions, mut after) = (BTreeMap::new(), None);
    loop {
        let hits = view.small(&query, &["key", "body"], after.take()).await?;
        let Some(last) = hits.last() else { return Ok(positions) };
        after = Some(last.first_key()?);
        for mut hit in hits {
            let Holder { key, body } = hit.parse()?;
            let partition = key.strip_prefix(&prefix).and_then(|partition| partition.parse().ok());
            positions.extend(partition.zip(body.position));
        }
    }
}

impl Held {
    /// Makes the lane this process's, and every older epoch's no longer.
    pub(crate) async fn claim(at: Place<'_>, lane: Lane, epoch: Epoch) -> Result<Self, WriteError> {
        let Place { client, index, .. } = at;
        let (id, owner) = (lane_id(lane), rand::random());
        for _ in 0..ATTEMPTS {
            let found = meta::get::<Claim>(client, index, &id).await.map_err(Error::on_write)?;
            let (before, claim) = match found {
                Some((version, claim)) => (Some(version), claim),
                None => (None, Claim { epoch: 0, owner, position: None }),
            };
            if epoch.0 < claim.epoch {
                return Err(WriteError::Fenced(lane));
            }
            let claim = Claim { epoch: epoch.0, owner, ..claim };
            let document = meta::document(Kind::Lane, &id, &claim);
            let written = meta::put(client, index, &id, before, &document).await.map_err(Error::on_write)?;
            if let Some(version) = written {
                return Ok(Self {
                    lane,
                    epoch,
                    owner,
                    version,
                    next: claim.position,
                    durable: claim.position,
                    known: HashMap::new(),
                    stored_before: HashSet::new(),
                    pending_bytes: 0,
                });
            }
        }
        Err(WriteError::Retry(format!("{lane} is claimed by several processes at a time")))
    }

    /// Reads what the ledger says of sources of which it is not known yet.
    pub(crate) async fn recall(
        &mut self,
        at: Place<'_>,
        mut sources: HashSet<Incarnation>,
    ) -> Result<(), Error> {
        sources.retain(|source| !self.known.contains_key(source));
        let ids: Vec<_> = sources.iter().map(|source| (*source, ledger_id(self.lane, *source))).collect();
        let wanted: Vec<_> = ids.iter().map(|(_, id)| (at.index, id.as_str())).collect();
        let found = meta::get_many::<Ranges>(at.client, &wanted).await?;
        for ((source, _), found) in ids.iter().zip(found) {
            let known = match found {
                Some((version, ranges)) => Known { set: ranges.set(), version: Some(version), fresh: false },
                None => Known::default(),
            };
            self.known.insert(*source, known);
        }
        Ok(())
    }

    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    pub(crate) fn is_known(&self, source: Incarnation, offset: u64) -> bool {
        self.known.get(&source).is_some_and(|known| known.set.contains(offset))
    }

    /// Notes that what an origin covers is stored.
    pub(crate) fn insert(&mut self, origin: &Origin) {
        let known = self.known.entry(origin.incarnation).or_default();
        if !known.set.covers(&origin.range) {
            known.set.insert(origin.range.clone());
            known.fresh = true;
        }
    }

    /// What is in no document yet.
    pub(crate) fn fresh_rows(&self) -> Vec<LedgerRow> {
        let fresh = self.known.iter().filter(|(_, known)| known.fresh);
        let row = |(&incarnation, known): (&Incarnation, &Known)| LedgerRow {
            incarnation,
            lane: self.lane,
            ranges: known.set.clone(),
        };
        fresh.map(row).collect()
    }

    /// Makes durable which ranges are stored, then how far the lane is.
    pub(crate) async fn sync(&mut self, at: Place<'_>) -> Result<(), WriteError> {
        self.sync_ranges(at).await.map_err(Error::on_write)?;
        if self.next == self.durable {
            return Ok(());
        }
        let (id, claim) =
            (lane_id(self.lane), Claim { epoch: self.epoch.0, owner: self.owner, position: self.next });
        let document = meta::document(Kind::Lane, &id, &claim);
        for _ in 0..ATTEMPTS {
            let written = meta::put(at.client, at.index, &id, Some(self.version), &document).await;
            if let Some(version) = written.map_err(Error::on_write)? {
                (self.version, self.durable, self.pending_bytes) = (version, self.next, 0);
                return Ok(());
            }
            // Either another has it now, or the answer to an earlier attempt was lost.
            match meta::get::<Claim>(at.client, at.index, &id).await.map_err(Error::on_write)? {
                Some((version, now)) if now.owner == self.owner => self.version = version,
                _ => return Err(WriteError::Fenced(self.lane)),
            }
        }
        Err(WriteError::Retry(format!("the position of {} can't be written", self.lane)))
    }

    async fn sync_ranges(&mut self, at: Place<'_>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let fresh: Vec<Incarnation> =
                self.known.iter().filter(|(_, known)| known.fresh).map(|(source, _)| *source).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            let items: Vec<Item> = fresh.iter().map(|source| self.item(at.index, *source)).collect();
            let done = at.bulk.write(at.client, &items).await;
            for (source, outcome) in fresh.iter().zip(&done.outcomes) {
                if *outcome == Some(Outcome::Stored) {
                    let known = self.known.get_mut(source).expect("just written");
                    known.fresh = false;
                }
            }
            if let Some(problem) = done.problem {
                return Err(problem);
            }
            // Versions changed, by this process or by one that had the lane before: read, joined, and written again where there is more.
            let ids: Vec<_> = fresh.iter().map(|source| (*source, ledger_id(self.lane, *source))).collect();
            let wanted: Vec<_> = ids.iter().map(|(_, id)| (at.index, id.as_str())).collect();
            let found = meta::get_many::<Ranges>(at.client, &wanted).await?;
            for ((source, _), found) in ids.iter().zip(found) {
                let known = self.known.get_mut(source).expect("just written");
                let Some((version, ranges)) = found else { continue };
                known.version = Some(version);
                let durable = ranges.set();
                known.fresh = known.set.iter().any(|range| !durable.covers(&range));
                durable.iter().for_each(|range| known.set.insert(range));
            }
        }
        Err(Error::Strange(format!("the ledger of {} can't be written", self.lane)))
    }

    fn item(&self, index: &str, source: Incarnation) -> Item {
        let (known, id) = (&self.known[&source], ledger_id(self.lane, source));
        let ranges = Ranges {
            partition: self.lane.partition,
            lane: self.lane.signal.name().to_owned(),
            incarnation: source.to_string(),
            ranges: known.set.iter().map(|range| (range.start, range.end)).collect(),
        };
        Item {
            index: index.to_owned(),
            op: known.version.map_or(Op::Create, Op::Replace),
            document: meta::document(Kind::Ledger, &id, &ranges).to_string().into_bytes(),
            id,
        }
    }
}
