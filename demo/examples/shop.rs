//! The shop on its own: `shop demo`, as the binary `weir` offers it. The integration test starts it.
use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(weir_demo::DemoArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Command::Demo(args) = Cli::parse().command;
    let shutdown = CancellationToken::new();
    let signal = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            signal.cancel();
        }
    });
    weir_demo::run(args, shutdown).await
}
