//! How the process is doing.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use weir_store::TimeRange;

use super::Shared;
use super::hosts::host_rows;
use crate::app::App;
use crate::deps::GlobStatus;
use crate::error::{ApiError, ErrorBody};

/// How old counted figures may be: the page asks every few seconds, from every open window.
const OVERVIEW_AGE: Duration = Duration::from_secs(2);

/// How long they may take: the page tells of the rest all the same.
const OVERVIEW_WITHIN: Duration = Duration::from_secs(10);

/// Figures that take a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overview {
    at: Instant,
    newest: Option<u64>,
    services: usize,
    hosts: usize,
}

/// How the process is doing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    version: String,
    started_at: String,
    /// Newest event time of all records; `null` where there are none, or where that can't be told.
    newest_ns: Option<String>,
    /// For how many milliseconds the oldest thing waits that was read or received and can't be searched yet; 0 where all can be, `null` where this process
    /// neither reads nor receives, and only reads a search engine.
    behind_ms: Option<u64>,
    /// In the order in which data passes them.
    stages: Vec<Stage>,
    /// Where this process takes telemetry.
    receivers: Vec<ReceiverAddress>,
    /// The files that an agent in this process looks for.
    globs: Vec<Glob>,
    /// How many there are; `null` where that can't be told.
    services: Option<usize>,
    hosts: Option<usize>,
    /// Why `newestNs`, `services` and `hosts` can't be told now; `null` where they can.
    untold: Option<String>,
}

/// How one stage is doing.
#[derive(Debug, Serialize, ToSchema)]
struct Stage {
    name: String,
    /// `ok`, `slow`, `failing` or `stopped`.
    state: String,
    records: u64,
    bytes: u64,
    /// Records that were lost or refused.
    lost: u64,
    detail: String,
}

/// Where telemetry is taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receiver)]
struct ReceiverAddress {
    /// Such as `OTLP/HTTP`.
    protocol: String,
    url: String,
}

/// Files that are looked for.
#[derive(Debug, Serialize, ToSchema)]
struct Glob {
    glob: String,
    /// How many it named at the last look.
    files: u64,
}

#[utoipa::path(get, path = "/api/v1/status", responses(
    (status = 200, body = Status), (status = "default", body = ErrorBody)))]
pub(crate) async fn status(State(app): Shared) -> Json<Status> {
    let (overview, untold) = told(&app).await;
    let report = app.deps.status.report();
    Json(Status {
        version: report.version,
        started_at: report.started_at.to_string(),
        newest_ns: overview.and_then(|overview| overview.newest).map(|ns| ns.to_string()),
        behind_ms: report.behind_ms,
        stages: report
            .stages
            .into_iter()
            .map(|stage| Stage {
                name: stage.name,
                state: stage.state,
                records: stage.records,
                bytes: stage.bytes,
                lost: stage.lost,
                detail: stage.detail,
            })
            .collect(),
        receivers: report
            .receivers
            .into_iter()
            .map(|receiver| ReceiverAddress { protocol: receiver.protocol, url: receiver.url })
            .collect(),
        globs: report.globs.into_iter().map(|GlobStatus { glob, files }| Glob { glob, files }).collect(),
        services: overview.map(|overview| overview.services),
        hosts: overview.map(|overview| overview.hosts),
        untold,
    })
}

/// The figures that take a query, or why there are none.
async fn told(app: &App) -> (Option<Overview>, Option<String>) {
    let asked = async {
        let _turn = app.turns.acquire().await.expect("never closed");
        overview(app).await
    };
    let why = tokio::select! {
        biased;
        asked = asked => match asked {
            Ok(overview) => return (Some(overview), None),
            Err(error) => error.message().to_owned(),
        },
        away = app.away() => away,
        () = tokio::time::sleep(OVERVIEW_WITHIN) => format!("counting takes longer than {OVERVIEW_WITHIN:?}"),
    };
    (None, Some(why))
}

async fn overview(app: &App) -> Result<Overview, ApiError> {
    let recent = *app.overview.lock();
    if let Some(recent) = recent.filter(|recent| recent.at.elapsed() < OVERVIEW_AGE) {
        return Ok(recent);
    }
    let snapshot = app.deps.reader.snapshot().await?;
    let services = snapshot.services(TimeRange::ALL).await?;
    let overview = Overview {
        at: Instant::now(),
        newest: services.iter().map(|row| row.last_seen).max(),
        services: services.len(),
        hosts: host_rows(app, snapshot.as_ref()).await?.len(),
    };
    *app.overview.lock() = Some(overview);
    Ok(overview)
}
