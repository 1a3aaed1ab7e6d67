//! Metric points: a document holds those of one series in one hour.
//!
//! A document is read, joined with what came, and written in place of the state that was read. Points are unique by series and time, so that
//! whoever does so again comes to the same.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_model::Signal;
use weir_model::otlp::metric_refs;
use weir_store::{Report, Series, value_text};
use weir_transport::{Batch, Lane};
use xxhash_rust::xxh3::xxh3_128;

use crate::bulk::{Bulk, Item, Op, Outcome, Version};
use crate::client::Client;
use crate::error::Error;
use crate::meta;
use crate::template::{Names, ordered};
use crate::tokens::{LABEL, METRIC, Tokens, key};

/// Times that share a document, in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;
/// How often documents are read and written again where others write them too.
const ATTEMPTS: usize = 10;
/// Documents that are read at a time.
const READ: usize = 2_000;

/// Name, unit, and attributes of the resource and the point as text, sorted by key.
pub(crate) type SeriesKey = (String, String, Vec<(String, String)>);

/// Points of a series by time.
type Points = BTreeMap<u64, f64>;

/// What of a document says which points it holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    name: String,
    unit: String,
    labels: Vec<(String, String)>,
    /// Time and value of each, eight bytes each, in base64.
    points: String,
}

impl Chunk {
    pub(crate) fn key(&self) -> SeriesKey {
        (self.name.clone(), self.unit.clone(), self.labels.clone())
    }

    pub(crate) fn points(&self) -> Result<Points, Error> {
        let damaged = || Error::Strange("stored points are damaged".into());
        let bytes = STANDARD.decode(&self.points).map_err(|_| damaged())?;
        let (pairs, []) = bytes.as_chunks::<16>() else { return Err(damaged()) };
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        Ok(pairs.iter().map(|pair| (number(&pair[..8]), f64::from_bits(number(&pair[8..])))).collect())
    }
}

fn encode(points: &Points) -> String {
    let mut bytes = Vec::with_capacity(points.len() * 16);
    for (time, value) in points {
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    STANDARD.encode(bytes)
}

/// Points of a series that came, in the hour that begins at a time.
type Arrived = BTreeMap<(SeriesKey, u64), Points>;

/// Takes the points of batches, and counts in the report what can't be stored.
fn arrived(batches: &[&Batch], report: &mut Report) -> (Arrived, u64) {
    let mut all = Arrived::new();
    let mut taken = 0;
    for metric in batches.iter().flat_map(|batch| metric_refs(&batch.body)) {
        let before = taken;
        for point in metric.metric.number_points() {
            let Some(value) = point.value else { continue };
            let both = point.attrs.iter().chain(metric.resource.attrs().iter());
            let mut labels: Vec<_> =
                both.filter_map(|attr| Some((attr.key.to_owned(), value_text(attr.value)?))).collect();
            labels.sort();
            let key = (metric.metric.name.to_owned(), metric.metric.unit.to_owned(), labels);
            let hour = point.time - point.time % HOUR;
            all.entry((key, hour)).or_default().insert(point.time, value.as_f64());
            taken += 1;
        }
        report.refused += metric.metric.point_count() as u64 + before - taken;
    }
    (all, taken)
}

/// A document that is to be written.
struct Target<'a> {
    index: String,
    id: String,
    hash: u128,
    key: &'a SeriesKey,
    points: &'a Points,
}

/// Stores the points of batches of a lane.
pub(crate) async fn write(
    client: &Client,
    bulk: &Bulk,
    names: &Names,
    lane: Lane,
    batches: &[&Batch],
    at: u64,
) -> Result<Report, Error> {
    let mut report = Report::default();
    let (arrived, taken) = arrived(batches, &mut report);
    let made = batches.iter().map(|batch| batch.arrived).max().unwrap_or(0);
    let mut open: Vec<Target<'_>> = arrived
        .iter()
        .map(|((key, hour), points)| {
            let hash = xxh3_128(json!(key).to_string().as_bytes());
            let id = format!("{hash:032x}.{hour:x}.{}", lane.partition);
            Target { index: names.of(Signal::Metrics, *hour, made), id, hash, key, points }
        })
        .collect();
    let mut fresh = 0;
    for _ in 0..ATTEMPTS {
        let mut left = Vec::new();
        while !open.is_empty() {
            let part: Vec<_> = open.drain(..open.len().min(READ)).collect();
            let ids: Vec<_> = part.iter().map(|t| (t.index.as_str(), t.id.as_str())).collect();
            let before = meta::get_many::<Chunk>(client, &ids).await?;
            let mut counts = Vec::new();
            let mut items = Vec::new();
            for (target, before) in part.iter().zip(before) {
                let (version, mut points) = match before {
                    Some((version, chunk)) => (Some(version), chunk.points()?),
                    None => (None, Points::new()),
                };
                let known = points.len();
                points.extend(target.points);
                counts.push(points.len() - known);
                items.push(target.item(version, &points, lane, at));
            }
            let done = bulk.write(client, &items).await;
            for ((target, outcome), count) in part.into_iter().zip(done.outcomes).zip(counts) {
                match outcome {
                    Some(Outcome::Stored) => fresh += count as u64,
                    Some(Outcome::Conflict) | None => left.push(target),
                    Some(Outcome::Refused(_)) => {
                        report.refused += target.points.len() as u64;
                    }
                }
            }
            if let Some(problem) = done.problem {
                return Err(problem);
            }
        }
        if left.is_empty() {
            let stored_or_known = taken - report.refused.min(taken);
            report.stored = fresh.min(stored_or_known);
            report.duplicate = stored_or_known - report.stored;
            return Ok(report);
        }
        open = left;
    }
    Err(Error::Strange(format!("points of {lane} are written by several processes at a time")))
}

impl Target<'_> {
    fn item(&self, version: Option<Version>, points: &Points, lane: Lane, at: u64) -> Item {
        let (name, unit, labels) = self.key;
        let mut tokens = Tokens::default();
        tokens.put_text(METRIC, "", name);
        labels.iter().for_each(|(label, value)| tokens.put_text(LABEL, label, value));
        tokens.keys.extend(labels.iter().map(|(label, _)| key(LABEL, label)));
        let (first, last) = (points.keys().next(), points.keys().next_back());
        let document = json!({
            "signal": Signal::Metrics.name(),
            "time": ordered(*first.unwrap_or(&0)),
            "end": ordered(*last.unwrap_or(&0)),
            // Two documents of one hour are told apart by their series.
            "pos": (self.hash >> 64) as u64 as i64,
            "n": self.hash as u64 as i64,
            "lane": lane.partition,
            "at": at,
            "attrs": tokens.attrs,
            "keys": tokens.keys,
            "body": Chunk { name: name.clone(), unit: unit.clone(), labels: labels.clone(), points: encode(points) },
        });
        Item {
            index: self.index.clone(),
            id: self.id.clone(),
            op: version.map_or(Op::Create, Op::Replace),
            document: document.to_string().into_bytes(),
        }
    }
}

/// Joins chunks to series, in the order of their keys; of two points with one time the later chunk's counts.
#[derive(Debug, Default)]
pub(crate) struct Joined(BTreeMap<SeriesKey, Points>);

impl Joined {
    pub(crate) fn add(&mut self, key: SeriesKey, points: impl Iterator<Item = (u64, f64)>) {
        self.0.entry(key).or_default().extend(points);
    }

    pub(crate) fn series(self) -> Vec<Series> {
        let some = self.0.into_iter().filter(|(_, points)| !points.is_empty());
        some.map(|((name, unit, attributes), points)| Series {
            name,
            unit,
            attributes,
            points: points.into_iter().collect(),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_are() {
        let points = Points::from([(0, f64::NEG_INFINITY), (7, -0.0), (u64::MAX, 1.5)]);
        let chunk =
            Chunk { name: String::new(), unit: String::new(), labels: Vec::new(), points: encode(&points) };
        assert_eq!(chunk.points().unwrap(), points);
        let nan = Points::from([(1, f64::NAN)]);
        let chunk = Chunk { points: encode(&nan), ..chunk };
        assert!(chunk.points().unwrap()[&1].is_nan());
        assert!(Chunk { points: "AAAA".into(), ..chunk }.points().is_err());
    }
}
