//! Shutdown: the first SIGINT or SIGTERM asks for a clean end, a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal, as shells report a death by SIGINT.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal. Must be called inside a tokio runtime.
///
/// # Errors
/// If the handlers can't be installed.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancel = token.clone();
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            let name = tokio::select! {
                Some(()) = interrupt.recv() => "SIGINT",
                Some(()) = terminate.recv() => "SIGTERM",
                else => return,
            };
            if asked {
                tracing::warn!(
                    signal = name,
                    "second signal, ending at once; what is not yet durable will be read again"
                );
                std::process::exit(INTERRUPTED);
            }
            asked = true;
            tracing::info!(signal = name, "shutting down, a second signal ends at once");
            cancel.cancel();
        }
    });
    Ok(token)
}
