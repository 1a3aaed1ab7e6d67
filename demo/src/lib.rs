//! The sample shop: five small services in processes of their own, with traffic, logs, spans and faults.
mod call;
mod logs;
mod service;
mod shop;
mod spans;
mod traffic;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
pub use shop::{Shop, ShopConfig};
use tokio_util::sync::CancellationToken;

/// Every service of the shop, in the order in which it is started.
pub const SERVICES: [&str; 5] = ["product", "inventory", "payment", "order", "storefront"];

/// Longest time that a fault stays on.
const FAULT_MAX: Duration = Duration::from_secs(86_400);

/// `weir demo`: the shop with its traffic, one of its services, or a fault.
#[derive(Args, Debug)]
pub struct DemoArgs {
    #[command(subcommand)]
    pub command: Option<DemoCommand>,
    #[command(flatten)]
    pub settings: Settings,
}

impl DemoArgs {
    /// Whether they run one service, which listens for signals itself.
    pub fn is_service(&self) -> bool {
        matches!(self.command, Some(DemoCommand::Service { .. }))
    }
}

/// What every process of the shop is told.
#[derive(Args, Debug, Clone)]
pub struct Settings {
    /// Folder of the log files.
    #[arg(long, global = true, default_value = "demo-run/logs")]
    pub log_dir: PathBuf,
    /// Folder in which each service leaves its port.
    #[arg(long, global = true, default_value = "demo-run")]
    pub run_dir: PathBuf,
    /// Where spans are sent (OTLP over HTTP, protobuf).
    #[arg(long, global = true, default_value = "http://127.0.0.1:4318/v1/traces")]
    pub otlp: String,
    /// Requests per second of the traffic.
    #[arg(long, global = true, default_value_t = 4.0)]
    pub rate: f64,
    /// Bytes after which a log file is renamed.
    #[arg(long, global = true, default_value_t = 10_000_000)]
    pub rotate_bytes: u64,
}

#[derive(Subcommand, Debug)]
pub enum DemoCommand {
    /// Run one service in this process.
    Service { name: String },
    /// Switch a fault of a service on, or all off with --clear.
    Fault {
        #[arg(required_unless_present = "clear")]
        service: Option<String>,
        #[arg(required_unless_present = "clear")]
        kind: Option<FaultKind>,
        /// How long the fault stays on: `90s`, `5m`, `2h`, or a number of seconds; at most a day.
        #[arg(long = "for", default_value = "60s", value_parser = period)]
        duration: Duration,
        #[arg(long)]
        clear: bool,
    },
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    Slow,
    Error,
    Exception,
    Crash,
}

impl FaultKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Error => "error",
            Self::Exception => "exception",
            Self::Crash => "crash",
        }
    }
}

/// Runs what the arguments ask for until it is done or `shutdown` is cancelled.
///
/// # Errors
/// A folder or port that cannot be used, an unknown service, a service that cannot be reached for a fault.
pub async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    match args.command {
        Some(DemoCommand::Service { name }) => service::run(&name, &args.settings, shutdown).await,
        Some(DemoCommand::Fault { service, kind, duration, clear }) => {
            let http = call::client();
            let kind = kind.filter(|_| !clear).map_or("none", FaultKind::name);
            for name in SERVICES.iter().filter(|name| clear || service.as_deref() == Some(**name)) {
                call::set_fault(&http, &args.settings.run_dir, name, kind, duration).await?;
            }
            let known = clear || service.as_deref().is_some_and(|name| SERVICES.contains(&name));
            anyhow::ensure!(known, "no such service; the shop has {}", SERVICES.join(", "));
            println!("{}", told(service.as_deref().filter(|_| !clear), kind, duration));
            Ok(())
        }
        None => {
            let program = std::env::current_exe()?;
            let shop = Shop::start(ShopConfig { program, settings: args.settings })?;
            shutdown.cancelled().await;
            shop.stop().await;
            Ok(())
        }
    }
}

/// What was switched, for the person who asked for it. No service means that all faults are off.
fn told(service: Option<&str>, kind: &str, duration: Duration) -> String {
    match (service, jiff::SignedDuration::try_from(duration)) {
        (None, _) => "all faults are off".into(),
        (Some(service), Ok(duration)) => format!("{service}: {kind} for {duration:#}"),
        (Some(service), Err(_)) => format!("{service}: {kind}"),
    }
}

/// Reads a number of seconds, or what a configuration takes for a period: the shop knows nothing of Weir, and reads it on its own.
fn period(text: &str) -> Result<Duration, String> {
    let with_unit = || {
        let span: jiff::Span = text.parse().ok()?;
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
    };
    let period = text.parse().ok().map(Duration::from_secs).or_else(with_unit);
    period
        .filter(|period| *period <= FAULT_MAX)
        .ok_or_else(|| "write for example 90s, 5m or 2h, at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told() {
        let check = |service, kind, seconds, expect: &str| {
            assert_eq!(told(service, kind, Duration::from_secs(seconds)), expect);
        };
        check(Some("payment"), "slow", 60, "payment: slow for 1m");
        check(Some("order"), "error", 90, "order: error for 1m 30s");
        check(None, "none", 60, "all faults are off");
    }
}
