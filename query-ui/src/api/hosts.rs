//! Hosts and what they measure.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_model::Signal;
use weir_model::filter::Key;
use weir_store::{Agg, GroupKey, Matchers, RecordQuery, Series, Snapshot, Table, TimeRange};

use super::Shared;
use super::services::is;
use crate::app::App;
use crate::error::{ApiError, ErrorBody};
use crate::params::{Limit, Named, Params, PointParams};
use crate::time;

const HOST: &str = "host.name";
const OS: [&str; 2] = ["os.description", "os.type"];
/// A host that has measured nothing for so long is no longer listed, in nanoseconds.
const LISTED: u64 = 86_400_000_000_000;
/// Services of one host that are listed.
const SERVICES_MAX: usize = 200;
/// Range of measurements where the request does not say, in nanoseconds.
const RANGE: u64 = 30 * 60 * 1_000_000_000;
const POINTS: Limit = Limit { name: "points", default: 180, max: 2_000 };

/// Sums of OpenTelemetry's conventions that only rise; their rate per second is what can be read.
const RISING: [&str; 9] = [
    "system.cpu.time",
    "system.disk.io",
    "system.disk.operations",
    "system.network.io",
    "system.network.packets",
    "system.network.errors",
    "system.network.dropped",
    "system.paging.operations",
    "process.cpu.time",
];
const PROCESS_PREFIX: &str = "process.";

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hosts {
    hosts: Vec<Host>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Host {
    name: String,
    last_seen: String,
    os: String,
    services: Vec<String>,
}

/// What the metrics tell of a host.
#[derive(Debug, Default)]
pub(crate) struct HostRow {
    last_seen: u64,
    os: String,
}

/// Hosts with recent measurements, by name.
pub(crate) async fn host_rows(
    app: &App,
    snapshot: &dyn Snapshot,
) -> Result<BTreeMap<String, HostRow>, ApiError> {
    let range = TimeRange { from: app.now().saturating_sub(LISTED), to: u64::MAX };
    let every = Matchers { name: None, attributes: Vec::new() };
    let mut hosts: BTreeMap<String, HostRow> = BTreeMap::new();
    for series in snapshot.select(&every, range).await? {
        let (Some(name), Some((time, _))) = (attribute(&series, HOST), series.points.last()) else {
            continue;
        };
        let row = hosts.entry(name.to_owned()).or_default();
        row.last_seen = row.last_seen.max(*time);
        if let Some(os) = OS.iter().find_map(|key| attribute(&series, key)).filter(|_| row.os.is_empty()) {
            row.os = os.to_owned();
        }
    }
    Ok(hosts)
}

fn attribute<'s>(series: &'s Series, key: &str) -> Option<&'s str> {
    series.attributes.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
}

#[utoipa::path(get, path = "/api/v1/hosts", responses(
    (status = 200, body = Hosts), (status = "default", body = ErrorBody)))]
pub(crate) async fn hosts(State(app): Shared) -> Result<Json<Hosts>, ApiError> {
    let snapshot = app.deps.reader.snapshot().await?;
    let range = TimeRange { from: app.now().saturating_sub(LISTED), to: u64::MAX };
    let mut hosts = Vec::new();
    for (name, row) in host_rows(&app, snapshot.as_ref()).await? {
        let services = services_on(snapshot.as_ref(), &name, range).await?;
        hosts.push(Host { name, last_seen: row.last_seen.to_string(), os: row.os, services });
    }
    Ok(Json(Hosts { hosts }))
}

async fn services_on(snapshot: &dyn Snapshot, host: &str, range: TimeRange) -> Result<Vec<String>, ApiError> {
    let query = RecordQuery { filter: is(Key::Attr(format!("resource.{HOST}")), host), range };
    let mut names = BTreeSet::new();
    for signal in [Signal::Spans, Signal::Logs] {
        let agg = Agg::Groups { by: GroupKey::Service, limit: SERVICES_MAX };
        let Table::Groups { groups, .. } = snapshot.aggregate(signal, &query, &agg).await? else {
            return Err(super::unexpected());
        };
        names.extend(groups.into_iter().map(|(name, _)| name).filter(|name| !name.is_empty()));
    }
    Ok(names.into_iter().collect())
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostMetrics {
    start: String,
    step_ns: u64,
    series: Vec<MetricSeries>,
    /// Watched processes with their newest measurements, busiest first.
    processes: Vec<Process>,
}

/// The mean of each step; a sum that only rises is given as its rate per second, which the unit says.
#[derive(Debug, Serialize, ToSchema)]
struct MetricSeries {
    name: String,
    unit: String,
    attributes: BTreeMap<String, String>,
    /// `null` where nothing was measured.
    values: Vec<Option<f64>>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
struct Process {
    pid: u64,
    name: String,
    /// Share of one processor; 1 is all of it.
    cpu: f64,
    /// Bytes.
    memory: f64,
}

#[utoipa::path(get, path = "/api/v1/hosts/{host}/metrics", params(("host" = String, Path), PointParams), responses(
    (status = 200, body = HostMetrics), (status = "default", body = ErrorBody)))]
pub(crate) async fn metrics(
    State(app): Shared,
    Named(host): Named<String>,
    Params(params): Params<PointParams>,
) -> Result<Json<HostMetrics>, ApiError> {
    let now = app.now();
    let mut range = time::range(params.from.as_deref(), params.to.as_deref(), now)?;
    if range.to == u64::MAX {
        range.to = now;
    }
    if params.from.is_none() {
        range.from = range.to.saturating_sub(RANGE);
    }
    let points = POINTS.of(params.points)?;
    let step_ns = range.to.saturating_sub(range.from).div_ceil(points as u64).max(1);
    let matchers = Matchers { name: None, attributes: vec![(HOST.to_owned(), host)] };
    let snapshot = app.deps.reader.snapshot().await?;
    let found = snapshot.select(&matchers, range).await?;
    let (of_processes, of_host): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|series| series.name.starts_with(PROCESS_PREFIX));
    let series = of_host.into_iter().map(|series| resample(series, range.from, step_ns, points)).collect();
    Ok(Json(HostMetrics {
        start: range.from.to_string(),
        step_ns,
        series,
        processes: processes(&of_processes),
    }))
}

fn resample(series: Series, start: u64, step: u64, points: usize) -> MetricSeries {
    let rising = RISING.contains(&series.name.as_str());
    let values = if rising { rates(&series.points) } else { series.points };
    let mut sums = vec![(0.0, 0_u32); points];
    for (time, value) in values {
        let at = time.saturating_sub(start) / step;
        if let Some((sum, count)) = sums.get_mut(at as usize) {
            *sum += value;
            *count += 1;
        }
    }
    let mean = |(sum, count): (f64, u32)| {
        (count > 0).then(|| sum / f64::from(count)).filter(|mean| mean.is_finite())
    };
    MetricSeries {
        unit: if rising { format!("{}/s", series.unit) } else { series.unit },
        name: series.name,
        attributes: series.attributes.into_iter().collect(),
        values: sums.into_iter().map(mean).collect(),
    }
}

/// Rise per second between neighbouring points; a fall means that the counter began anew.
fn rates(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    points
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0 && pair[1].1 >= pair[0].1)
        .map(|pair| (pair[1].0, (pair[1].1 - pair[0].1) / ((pair[1].0 - pair[0].0) as f64 / 1e9)))
        .collect()
}

fn processes(series: &[Series]) -> Vec<Process> {
    let mut processes: BTreeMap<u64, Process> = BTreeMap::new();
    for series in series {
        let Some(pid) = attribute(series, "process.pid").and_then(|pid| pid.parse().ok()) else { continue };
        let Some((_, value)) = series.points.last() else { continue };
        let process = processes.entry(pid).or_insert_with(|| Process { pid, ..Process::default() });
        if let Some(name) = attribute(series, "process.executable.name") {
            process.name = name.to_owned();
        }
        match series.name.as_str() {
            "process.cpu.utilization" => process.cpu = *value,
            "process.memory.usage" => process.memory = *value,
            _ => {}
        }
    }
    let mut processes: Vec<_> = processes.into_values().collect();
    processes.sort_by(|a, b| b.cpu.total_cmp(&a.cpu).then(a.pid.cmp(&b.pid)));
    processes
}
