//! Load on a running server: spans sent as busy exporters do, and questions whose answers are timed.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use tokio::task::JoinSet;
use weir_tests::client::Client;
use weir_tests::http::Http;

use crate::report::quantile;

/// Requests under way at a time: as four exporters would have.
const EXPORTERS: usize = 4;

/// Sends all requests as fast as they are taken. Returns the time until the last was acknowledged.
///
/// # Errors
/// When the server is gone.
pub async fn send(otlp: &str, requests: impl Iterator<Item = Bytes>) -> anyhow::Result<Duration> {
    let (begun, http) = (Instant::now(), Http::default());
    let mut under_way = JoinSet::new();
    for body in requests {
        if under_way.len() == EXPORTERS {
            taken(under_way.join_next().await)?;
        }
        let (http, otlp) = (http.clone(), otlp.to_owned());
        under_way.spawn(async move { http.export_spans(&otlp, &body).await });
    }
    while let Some(done) = under_way.join_next().await {
        taken(Some(done))?;
    }
    Ok(begun.elapsed())
}

/// Sends one request every `pause`, until it is aborted or there is none left.
///
/// # Errors
/// When the server is gone.
pub async fn pace(
    otlp: String,
    requests: impl Iterator<Item = Bytes>,
    pause: Duration,
) -> anyhow::Result<()> {
    let http = Http::default();
    let mut ticks = tokio::time::interval(pause);
    for body in requests {
        ticks.tick().await;
        taken(Some(Ok(http.export_spans(&otlp, &body).await)))?;
    }
    Ok(())
}

fn taken(done: Option<Result<bool, tokio::task::JoinError>>) -> anyhow::Result<()> {
    ensure!(done.transpose()?.unwrap_or(true), "the server went away");
    Ok(())
}

/// Asks `count` questions, one after the other. Returns the median and the 99th percentile of the times.
pub async fn ask(client: &Client, count: u64, path: impl Fn(u64) -> String) -> (Duration, Duration) {
    let mut times = Vec::new();
    for n in 0..count {
        let begun = Instant::now();
        // A status but 200 panics.
        client.get(&path(n)).await;
        times.push(begun.elapsed());
    }
    (quantile(&mut times, 0.5), quantile(&mut times, 0.99))
}
