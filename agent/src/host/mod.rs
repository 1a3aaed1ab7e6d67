//! What this host measures of itself: processors, memory, disks, network, load, and watched processes.
//!
//! Best effort: a sample that is not taken by the next hop is counted and gone, since the next one tells of the same host. Names follow
//! OpenTelemetry's semantic conventions for systems and processes, load averages those of its collector's `hostmetrics` receiver.

mod cpu;
mod page;
mod processes;
mod system;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use prometheus_client::metrics::counter::Counter;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use weir_model::Signal;
use weir_model::otlp::BodyWriter;
use weir_runtime::Metrics;
use weir_transport::{Batch, Sender};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;
use page::Page;
use processes::Processes;
use system::System;

/// Disks, network interfaces and processes that are measured, of each the first so many; further ones are left out and counted.
const EACH: usize = 64;

#[derive(Debug, Clone, Default)]
struct HostStats {
    samples: Counter,
    lost: Counter,
    left_out: Counter,
}

impl HostStats {
    fn register(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.register(name, help, Counter::default());
        Self {
            samples: counter("weir_agent_host_samples", "Samples of this host's metrics that are durable"),
            lost: counter("weir_agent_host_samples_lost", "Samples that the next hop did not take"),
            left_out: counter(
                "weir_agent_host_left_out",
                "Disks, interfaces and processes of samples that were over the limit",
            ),
        }
    }
}

/// Measures this host, ready to run.
pub(crate) struct HostMetrics {
    every: Duration,
    sampler: Sampler,
    stats: HostStats,
}

impl HostMetrics {
    /// `None` where they are turned off.
    ///
    /// # Errors
    /// When the system can't be asked, or a pattern is wrong.
    pub(crate) fn new(config: &Config, host: &str, metrics: &Metrics) -> anyhow::Result<Option<Self>> {
        let every = config.host_metrics.0;
        if every.is_zero() {
            return Ok(None);
        }
        let stats = HostStats::register(metrics);
        let sampler = Sampler {
            host: host.to_owned(),
            system: System::new()
                .context("can't measure this host; `agent.host_metrics: 0s` turns it off")?,
            processes: Processes::new(&config.watch_processes)?,
            body: BodyWriter::default(),
            left_out: stats.left_out.clone(),
        };
        Ok(Some(Self { every, sampler, stats }))
    }

    /// Measures until the token is cancelled.
    pub(crate) async fn run(
        self,
        sender: Arc<dyn Sender>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { every, mut sampler, stats } = self;
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
            let (back, body) = tokio::task::spawn_blocking(move || {
                let body = sampler.sample(now);
                (sampler, body)
            })
            .await
            .context("measuring this host failed")?;
            sampler = back;
            let route = xxh3_64(sampler.host.as_bytes());
            let batch = Batch {
                signal: Signal::Metrics,
                origins: Vec::new(),
                route,
                arrived: now,
                body: body.into(),
            };
            match sender.send(batch).await {
                Ok(_) => stats.samples.inc(),
                Err(error) => {
                    tracing::debug!(error = error.message, "a sample of this host's metrics is not taken");
                    stats.lost.inc()
                }
            };
        }
    }
}

/// Asks the system. Shares and rates are those since the sample before.
struct Sampler {
    host: String,
    system: System,
    processes: Processes,
    body: BodyWriter,
    left_out: Counter,
}

impl Sampler {
    /// An export request, its points at `now` in nanoseconds since the Unix epoch.
    fn sample(&mut self, now: u64) -> Vec<u8> {
        let os = self.system.description().to_owned();
        let resource =
            [("host.name", self.host.as_str()), ("os.type", std::env::consts::OS), ("os.description", &os)];
        let mut page = Page::new(&mut self.body, now, self.system.booted());
        page.resource(&resource, None);
        let mut left_out = self.system.measure(&mut page);
        left_out += self.processes.measure(&resource, &mut page);
        self.left_out.inc_by(left_out as u64);
        self.body.finish()
    }
}

#[cfg(test)]
mod tests;
