//! The processes of the shop: started, restarted with a back-off, stopped by process id.
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{SERVICES, Settings, traffic};

const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LAST_BACKOFF: Duration = Duration::from_secs(8);
/// A service that does not end within this time of SIGTERM is killed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// `program` must understand `demo service NAME`.
#[derive(Debug, Clone)]
pub struct ShopConfig {
    pub program: PathBuf,
    pub settings: Settings,
}

/// A running shop; dropping it kills the services.
pub struct Shop {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Shop {
    /// Starts every service and the traffic. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The folders cannot be made or the program cannot be started.
    pub fn start(config: ShopConfig) -> anyhow::Result<Self> {
        let settings = &config.settings;
        for dir in [&settings.log_dir, &settings.run_dir] {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make the folder {}", dir.display()))?;
        }
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for name in SERVICES {
            let child = spawn(&config, name)?;
            tasks.spawn(supervise(config.clone(), name, child, stop.clone()));
        }
        tasks.spawn(traffic::run(settings.run_dir.clone(), settings.rate, stop.clone()));
        Ok(Self { stop, tasks })
    }

    /// Ends all services, within three seconds.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn supervise(config: ShopConfig, name: &'static str, mut child: Child, stop: CancellationToken) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let ended: std::io::Result<ExitStatus> = tokio::select! {
            ended = child.wait() => ended,
            () = stop.cancelled() => return end(child).await,
        };
        tracing::warn!(service = name, ?ended, ?backoff, "service ended, restarting after the back-off");
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = stop.cancelled() => return,
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
        match spawn(&config, name) {
            Ok(restarted) => child = restarted,
            Err(error) => {
                tracing::error!(service = name, error = format!("{error:#}"), "cannot restart the service");
                return;
            }
        }
    }
}

fn spawn(config: &ShopConfig, name: &str) -> anyhow::Result<Child> {
    let settings = &config.settings;
    let mut command = Command::new(&config.program);
    command.args(["demo", "service", name]).arg("--log-dir").arg(&settings.log_dir);
    command.arg("--run-dir").arg(&settings.run_dir).args(["--otlp", &settings.otlp]);
    command.arg("--rotate-bytes").arg(settings.rotate_bytes.to_string()).kill_on_drop(true);
    // A group of its own: Ctrl-C reaches the shop only, which then ends its services.
    command.process_group(0);
    // SAFETY: prctl is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command.spawn().with_context(|| format!("cannot start {name} from {}", config.program.display()))
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id() {
        // SAFETY: the child is not yet waited for, so the id is still its own.
        unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
    }
    if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::error!(%error, "cannot kill a service of the demo");
    }
}
