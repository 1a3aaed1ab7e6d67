//! The router, and what its handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::{any, get};
use axum::{Json, Router, middleware};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use weir_runtime::{Health, Metrics};

use crate::api::status::Overview;
use crate::colors::Colors;
use crate::config::Config;
use crate::deps::Deps;
use crate::forward::Forward;
use crate::guard::Hosts;
use crate::{api, assets, forward, guard};

/// After what time, and how often from then on, a query that waits looks whether it does so in vain. Whoever is back answers within the first.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What handlers share.
pub(crate) struct App {
    pub(crate) deps: Deps,
    pub(crate) colors: Colors,
    pub(crate) turns: Semaphore,
    pub(crate) tails: Arc<Semaphore>,
    pub(crate) query_timeout: Duration,
    /// Ends the live tails.
    pub(crate) shutdown: CancellationToken,
    pub(crate) overview: Mutex<Option<Overview>>,
}

impl App {
    pub(crate) fn now(&self) -> u64 {
        (self.deps.now)()
    }

    /// Waits until whoever has the data is known not to answer. Which that is, and for how long.
    pub(crate) async fn away(&self) -> String {
        tokio::time::sleep(LOOK_AFTER).await;
        loop {
            if let Some(away) = self.deps.status.away() {
                return away;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Weir query API",
    description = "Times are nanoseconds since the Unix epoch as decimal strings; durations are numbers of nanoseconds; ids are lower-case hex.",
))]
struct Description;

/// Queries, each documented by being routed.
fn queries() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(api::services::services))
        .routes(routes!(api::services::operations))
        .routes(routes!(api::traces::traces))
        .routes(routes!(api::scatter::scatter))
        .routes(routes!(api::traces::trace_count))
        .routes(routes!(api::trace::trace))
        .routes(routes!(api::trace::span))
        .routes(routes!(api::trace::span_logs))
        .routes(routes!(api::trace::trace_logs))
        .routes(routes!(api::logs::logs))
        .routes(routes!(api::logs::log))
        .routes(routes!(api::histogram::histogram))
        .routes(routes!(api::groups::log_groups))
        .routes(routes!(api::groups::span_groups))
        .routes(routes!(api::fields::keys))
        .routes(routes!(api::fields::values))
        .routes(routes!(api::hosts::hosts))
        .routes(routes!(api::hosts::metrics))
        .routes(routes!(api::ledger::ledger))
}

/// What has limits of its own: a live tail lasts, and the status is there where no query is answered.
fn others() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(api::tail::tail)).routes(routes!(api::status::status))
}

/// The description that `/api/openapi.json` serves.
pub fn openapi() -> OpenApi {
    let (_, mut description) = queries().split_for_parts();
    description.merge(others().split_for_parts().1);
    description
}

/// The whole service over a store. Cancelling `shutdown` ends live tails.
pub fn app(config: &Config, deps: Deps, shutdown: CancellationToken) -> Router {
    let (metrics, health) = (deps.metrics.clone(), deps.health.clone());
    let app = Arc::new(App {
        colors: Colors::new(deps.state.clone()),
        deps,
        turns: Semaphore::new(config.queries),
        tails: Arc::new(Semaphore::new(config.tails)),
        query_timeout: config.query_timeout.0,
        shutdown,
        overview: Mutex::default(),
    });
    let (queries, _) = queries().split_for_parts();
    let (others, _) = others().split_for_parts();
    let description = openapi();
    let api = queries
        .layer(middleware::from_fn_with_state(app.clone(), guard::limits))
        .merge(others)
        .route("/api/openapi.json", get(move || async move { Json(description) }))
        .with_state(app);
    served(config, api, metrics, health)
}

/// The whole service with calls handed on to a collector.
pub(crate) fn forwarding(config: &Config, forward: Arc<Forward>, metrics: Metrics, health: Health) -> Router {
    let api = Router::new()
        .route("/api", any(forward::forward))
        .route("/api/{*path}", any(forward::forward))
        .with_state(forward);
    served(config, api, metrics, health)
}

/// The API with the web app and what operators ask for.
fn served(config: &Config, api: Router, metrics: Metrics, health: Health) -> Router {
    api.route("/metrics", get(move || async move { metrics.response() }))
        .route("/health", get(move || async move { Json(health.report()) }))
        .route("/ready", get(|| async { "ready\n" }))
        .fallback(assets::serve)
        .method_not_allowed_fallback(assets::only_get)
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn_with_state(Arc::new(Hosts::new(config)), guard::hosts))
        .layer(middleware::from_fn(guard::headers))
}
