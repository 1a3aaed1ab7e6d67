//! The `weir` binary: one subcommand per role, and tools.

mod agent;
mod audit;
mod collector;
mod config;
mod control;
mod dlq;
mod engine;
mod explain;
mod ports;
mod query;
mod status;
mod store;
mod up;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weir_runtime::telemetry::{self, LogFormat};
use weir_runtime::{config as loading, shutdown};

/// Measures and carries a fleet of services.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    /// Write Weir's own log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run agent, collector and web UI in one process, on embedded defaults.
    Up(up::UpArgs),
    /// Run an agent alone: follow log files, receive telemetry, and send both to a collector or Kafka.
    Agent(agent::AgentArgs),
    /// Run a collector with its store and the web UI, fed by agents, or from Kafka.
    Collector(collector::CollectorArgs),
    /// Run the query API and the web UI alone, over a search engine or a collector elsewhere.
    Query(query::QueryArgs),
    /// Run the sample shop, one of its services, or switch a fault.
    Demo(weir_demo::DemoArgs),
    /// Show what is detected about a log file and why, and the records that its first lines become.
    Explain(explain::ExplainArgs),
    /// Say whether all that agents had acknowledged is stored, file by file.
    Audit(audit::AuditArgs),
    /// Look at what could not be stored (dead letters), and send it again.
    Dlq(dlq::DlqArgs),
    /// Check or show a configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a configuration file is right.
    Check { file: PathBuf },
    /// Print the configuration as it counts: file, environment and defaults.
    Print { file: Option<PathBuf> },
    /// Print what every key takes, is by default and means, as Markdown.
    Reference,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = if cli.log_json { LogFormat::Json } else { LogFormat::Text };
    telemetry::init(format, "info,tantivy=warn");
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            if error.is::<audit::OnTheWay>() {
                ExitCode::from(audit::OnTheWay::CODE)
            } else if error.is::<audit::Unasked>() {
                ExitCode::from(audit::Unasked::CODE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let load = |file: Option<&PathBuf>| -> anyhow::Result<config::Config> {
        // A variable that is no text is no override of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(loading::load(file.map(PathBuf::as_path), config::PREFIX, environment)?)
    };
    match command {
        Command::Config { command: ConfigCommand::Check { file } } => {
            load(Some(&file))?;
            println!("{} is right", file.display());
            Ok(())
        }
        Command::Config { command: ConfigCommand::Print { file } } => {
            print!("{}", serde_yaml_ng::to_string(&load(file.as_ref())?)?);
            Ok(())
        }
        Command::Config { command: ConfigCommand::Reference } => {
            print!("{}", config::reference());
            Ok(())
        }
        Command::Explain(args) => {
            let config = load(args.config.as_ref())?;
            explain::run(&args, &config)
        }
        Command::Up(args) => {
            let config = load(args.config.as_ref())?;
            block_on(async { up::run(args, config, shutdown::on_signals()?).await })
        }
        Command::Agent(args) => {
            let config = load(args.config.as_ref())?;
            block_on(async { agent::run(args, config, shutdown::on_signals()?).await })
        }
        Command::Collector(args) => {
            let config = load(args.config.as_ref())?;
            block_on(async { collector::run(args, config, shutdown::on_signals()?).await })
        }
        Command::Query(args) => {
            let config = load(args.config.as_ref())?;
            block_on(async { query::run(args, config, shutdown::on_signals()?).await })
        }
        Command::Audit(args) => block_on(audit::run(args)),
        Command::Dlq(args) => {
            let config = load(args.config.as_ref())?;
            block_on(dlq::run(args, config))
        }
        // The shop ends its services, and says so once for all of them.
        Command::Demo(args) if args.is_service() => {
            block_on(async { weir_demo::run(args, Default::default()).await })
        }
        Command::Demo(args) => block_on(async { weir_demo::run(args, shutdown::on_signals()?).await }),
    }
}

fn block_on<R>(task: impl Future<Output = anyhow::Result<R>>) -> anyhow::Result<R> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(task);
    // A thread that waits for a disk must not hold up the exit; what it does not finish is done again at the next start.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_demo::DemoCommand;
    use weir_runtime::Period;

    #[test]
    fn the_shop_takes_periods_as_the_configuration_does() {
        let check = |text: &str, expect: Option<Period>| {
            let cli = Cli::try_parse_from(["weir", "demo", "fault", "payment", "slow", "--for", text]);
            let found = cli.ok().map(|cli| match cli.command {
                Command::Demo(weir_demo::DemoArgs {
                    command: Some(DemoCommand::Fault { duration, .. }),
                    ..
                }) => Period(duration),
                other => panic!("{other:?}"),
            });
            assert_eq!(found, expect, "{text}");
        };
        for text in ["200ms", "30s", "2m", "1.5h", "1d", "0s", "2 m"] {
            check(text, Some(text.parse().unwrap()));
        }
        for text in ["", "s", "2 parsecs", "-1s", "x", "2m!"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
            check(text, None);
        }
        // Plain seconds came before units, and faults end by themselves within a day.
        check("90", Some(Period::secs(90)));
        check("25h", None);
    }
}
