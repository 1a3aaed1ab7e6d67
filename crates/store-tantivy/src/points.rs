//! Metric points: series held in memory, and two append-only files from which they are read again at start.
//!
//! `series` holds one JSON line per series, `points` entries of `u32 series | u64 time | f64 value`. A small file replaced at each sync names
//! how much of both counts and the positions they came from. Only gauges and sums are taken; other kinds are counted as refused.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use weir_disk::{Disk, File, write_atomic};
use weir_model::Signal;
use weir_model::otlp::{Attrs, metric_refs};
use weir_store::{Matchers, Report, Series, TimeRange, WriteError};
use weir_transport::{Batch, Epoch, Lane, Position};

use crate::aggregate::value_text;
use crate::error::Error;

/// One entry of the file of points, bytes.
const ENTRY: usize = 4 + 8 + 8;
/// Series that are kept; points of further ones are refused.
const SERIES: usize = 100_000;

const META: &str = "metrics.json";

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
struct Meta {
    lanes: BTreeMap<u32, u64>,
    series: u64,
    points: u64,
}

/// What makes a series that series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Name {
    name: String,
    unit: String,
    attributes: Vec<(String, String)>,
}

/// The series, shared with readers. Points of a series stand in order of time.
#[derive(Debug, Default)]
pub(crate) struct PointsView {
    all: RwLock<Vec<(Name, BTreeMap<u64, f64>)>>,
}

impl PointsView {
    pub(crate) fn select(&self, matchers: &Matchers, range: TimeRange) -> Vec<Series> {
        let all = self.all.read();
        let wanted = all.iter().filter(|(name, _)| {
            matchers.name.as_ref().is_none_or(|wanted| *wanted == name.name)
                && matchers.attributes.iter().all(|attr| name.attributes.contains(attr))
        });
        let series = wanted.map(|(name, points)| Series {
            name: name.name.clone(),
            unit: name.unit.clone(),
            attributes: name.attributes.clone(),
            points: points.range(range.from..range.to).map(|(time, value)| (*time, *value)).collect(),
        });
        series.filter(|series| !series.points.is_empty()).collect()
    }
}

struct State {
    meta: Meta,
    next: BTreeMap<u32, u64>,
    numbers: HashMap<Name, u32>,
    fresh_series: Vec<u8>,
    fresh_points: Vec<u8>,
}

pub(crate) struct Points {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    series_file: Arc<dyn File>,
    points_file: Arc<dyn File>,
    state: Mutex<State>,
    pub(crate) view: Arc<PointsView>,
}

impl Points {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, Error> {
        disk.create_dir_all(&dir)?;
        let path = dir.join(META);
        let meta: Meta = match disk.exists(&path)? {
            true => {
                serde_json::from_slice(&weir_disk::read(disk.as_ref(), &path)?).map_err(Error::damaged)?
            }
            false => Meta::default(),
        };
        let series_file = disk.open(&dir.join("series"))?;
        let points_file = disk.open(&dir.join("points"))?;
        disk.sync_dir(&dir)?;
        series_file.truncate(meta.series)?;
        points_file.truncate(meta.points)?;
        let mut lines = vec![0; meta.series as usize];
        series_file.read_exact_at(&mut lines, 0)?;
        let mut all = Vec::new();
        for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            all.push((serde_json::from_slice::<Name>(line).map_err(Error::damaged)?, BTreeMap::new()));
        }
        let mut entries = vec![0; meta.points as usize];
        points_file.read_exact_at(&mut entries, 0)?;
        for entry in entries.chunks_exact(ENTRY) {
            let number = u32::from_le_bytes(entry[..4].try_into().expect("four bytes"));
            let time = u64::from_le_bytes(entry[4..12].try_into().expect("eight bytes"));
            let value = f64::from_le_bytes(entry[12..].try_into().expect("eight bytes"));
            let (_, points) = all
                .get_mut(number as usize)
                .ok_or_else(|| Error::damaged("a point names a series that is not there"))?;
            points.insert(time, value);
        }
        let numbers = all.iter().map(|(name, _)| name.clone()).zip(0..).collect();
        let next = meta.lanes.clone();
        let state = State { meta, next, numbers, fresh_series: Vec::new(), fresh_points: Vec::new() };
        let view = Arc::new(PointsView { all: RwLock::new(all) });
        Ok(Self { disk, dir, series_file, points_file, state: Mutex::new(state), view })
    }

    pub(crate) fn begin(&self, lane: Lane) -> Option<Position> {
        self.state.lock().next.get(&lane.partition).map(|next| Position(*next))
    }

    pub(crate) fn write(&self, lane: Lane, _epoch: Epoch, batches: &[(Position, Batch)]) -> Report {
        let mut report = Report::default();
        let mut state = self.state.lock();
        let mut all = self.view.all.write();
        for (position, batch) in batches {
            if state.next.get(&lane.partition).is_some_and(|next| position.0 < *next) {
                report.duplicate += metric_refs(&batch.body).count() as u64;
                continue;
            }
            state.next.insert(lane.partition, position.0 + 1);
            for metric in metric_refs(&batch.body) {
                let before = report.stored + report.duplicate;
                for point in metric.metric.number_points() {
                    let Some(value) = point.value else { continue };
                    let name = Name {
                        name: metric.metric.name.to_owned(),
                        unit: metric.metric.unit.to_owned(),
                        attributes: labels(metric.resource.attrs(), point.attrs),
                    };
                    let Some(number) = number(&mut state, &mut all, name) else { continue };
                    match all[number as usize].1.insert(point.time, value.as_f64()) {
                        Some(_) => report.duplicate += 1,
                        None => report.stored += 1,
                    }
                    state.fresh_points.extend_from_slice(&number.to_le_bytes());
                    state.fresh_points.extend_from_slice(&point.time.to_le_bytes());
                    state.fresh_points.extend_from_slice(&value.as_f64().to_le_bytes());
                }
                report.refused += u64::from(report.stored + report.duplicate == before);
            }
        }
        report.pending_bytes = (state.fresh_points.len() + state.fresh_series.len()) as u64;
        report
    }

    pub(crate) fn sync(&self) -> Result<Vec<(Lane, Position)>, WriteError> {
        let mut state = self.state.lock();
        if state.next != state.meta.lanes {
            self.persist(&mut state).map_err(Error::on_write)?;
        }
        let lane = |(partition, next): (&u32, &u64)| {
            (Lane { signal: Signal::Metrics, partition: *partition }, Position(*next))
        };
        Ok(state.meta.lanes.iter().map(lane).collect())
    }

    fn persist(&self, state: &mut State) -> Result<(), Error> {
        let meta = Meta {
            lanes: state.next.clone(),
            series: state.meta.series + state.fresh_series.len() as u64,
            points: state.meta.points + state.fresh_points.len() as u64,
        };
        // A failed sync before this one may have left a part behind.
        self.series_file.truncate(state.meta.series)?;
        self.points_file.truncate(state.meta.points)?;
        self.series_file.append(&state.fresh_series)?;
        self.points_file.append(&state.fresh_points)?;
        self.series_file.sync()?;
        self.points_file.sync()?;
        write_atomic(
            self.disk.as_ref(),
            &self.dir.join(META),
            &serde_json::to_vec(&meta).map_err(Error::damaged)?,
        )?;
        state.fresh_series.clear();
        state.fresh_points.clear();
        state.meta = meta;
        Ok(())
    }
}

/// The number of a series; `None` for a new one when there are too many.
fn number(state: &mut State, all: &mut Vec<(Name, BTreeMap<u64, f64>)>, name: Name) -> Option<u32> {
    if let Some(number) = state.numbers.get(&name) {
        return Some(*number);
    }
    if all.len() >= SERIES {
        return None;
    }
    let line = serde_json::to_vec(&name).expect("strings become JSON");
    state.fresh_series.extend_from_slice(&line);
    state.fresh_series.push(b'\n');
    let number = all.len() as u32;
    state.numbers.insert(name.clone(), number);
    all.push((name, BTreeMap::new()));
    Some(number)
}

fn labels(resource: Attrs<'_>, point: Attrs<'_>) -> Vec<(String, String)> {
    let both = point.iter().chain(resource.iter());
    let mut labels: Vec<_> =
        both.filter_map(|attr| Some((attr.key.to_owned(), value_text(attr.value)?))).collect();
    labels.sort();
    labels
}
