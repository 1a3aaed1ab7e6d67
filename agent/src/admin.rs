//! The agent's own HTTP port, for operators and their tools.
//!
//! - `/metrics`: every metric of the process as Prometheus text.
//! - `/health`: `{"status": "ok" | "degraded", "reasons": [{part, what, seconds}]}`, always with status 200: what is degraded is rarely
//!   mended by a restart, and nothing is lost meanwhile.
//! - `/ledger`: `{"sources": [{path, incarnation, read, acknowledged, holes: [{start, end, cause}]}]}`, in bytes; what `weir audit` compares with a
//!   collector's.
//! - `/ready`: 200 once everything listens and files have been looked for, else 503.

use std::io;
use std::net::SocketAddr;

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use weir_runtime::{Health, Metrics};

use crate::ledger::Sources;

pub(crate) struct Admin {
    listener: TcpListener,
    app: Router,
}

impl Admin {
    pub(crate) async fn bind(
        address: SocketAddr,
        metrics: Metrics,
        health: Health,
        ledger: Sources,
    ) -> io::Result<Self> {
        let ready = health.clone();
        let app = Router::new()
            .route("/metrics", get(async move || metrics.response()))
            .route("/health", get(async move || Json(health.report())))
            .route("/ledger", get(async move || Json(json!({ "sources": ledger.get() }))))
            .route(
                "/ready",
                get(async move || match ready.is_ready() {
                    true => (StatusCode::OK, "ready\n"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "not ready: it starts or ends\n"),
                }),
            );
        Ok(Self { listener: TcpListener::bind(address).await?, app })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        axum::serve(self.listener, self.app).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}
