//! Weir's own logs: to standard error, as text or JSON lines, filtered by `WEIR_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Installs the subscriber. `WEIR_LOG` takes the directives of tracing's `EnvFilter` (`debug`, `weir_agent=trace,info`); `default`
/// serves where it is unset. At `debug` every step that makes something durable (`append`, `roll`, `commit`, `merge`, `close`, `seal`, `trim`,
/// `checkpoint`) says when it begins (`new`) and ends (`close`, with the time it took). Call once per process.
pub fn init(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
