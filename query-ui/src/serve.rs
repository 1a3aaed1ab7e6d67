//! Listening, and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{app, forwarding};
use crate::config::Config;
use crate::deps::Deps;
use crate::forward::{Forward, Remote};

/// Time in which a client must have sent its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The role can't start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "can't serve the web app on {address}; is another weir running there? Stop it, or choose another address with `query.listen`"
    )]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// Who answers.
pub enum Source {
    /// A store that this process reads.
    Store(Box<Deps>),
    /// The collector that [`Config::collector`] names.
    Collector(Remote),
}

/// The role, bound and ready to run.
pub struct QueryUi {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    source: Source,
}

/// Binds the address, so that its port is known before anything runs.
///
/// # Errors
/// If the address can't be bound.
pub async fn build(config: Config, source: Source) -> Result<QueryUi, BuildError> {
    let failed = |source| BuildError::Bind { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(QueryUi { listener, address, config, source })
}

impl QueryUi {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then lets open requests end within the configured time.
    pub async fn run(self, shutdown: CancellationToken) {
        let open = TaskTracker::new();
        let app = match self.source {
            Source::Store(deps) => app(&self.config, *deps, shutdown.clone()),
            Source::Collector(remote) => {
                let (metrics, health) = (remote.metrics.clone(), remote.health.clone());
                let forward = Forward::new(&self.config, remote, shutdown.clone());
                let watched = forward.clone();
                open.spawn(async move { watched.watch().await });
                forwarding(&self.config, forward, metrics, health)
            }
        };
        let connections = Arc::new(Semaphore::new(self.config.connections));
        tracing::info!(address = %self.address, "query API and web app are served");
        while let Some((stream, permit)) = accept(&self.listener, &connections, &shutdown).await {
            open.spawn(serve(stream, app.clone(), shutdown.clone(), permit));
        }
        drop(self.listener);
        open.close();
        if tokio::time::timeout(self.config.drain.0, open.wait()).await.is_err() {
            tracing::warn!(
                connections = open.len(),
                "requests were still open when the time to drain was over"
            );
        }
    }
}

/// The next connection, or `None` at shutdown.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let next = async {
        let permit = connections.clone().acquire_owned().await.expect("never closed");
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(next).await
}

async fn serve(stream: TcpStream, app: Router, shutdown: CancellationToken, _permit: OwnedSemaphorePermit) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}
