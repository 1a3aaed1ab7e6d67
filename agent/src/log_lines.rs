//! What a test's own thread writes to the log.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::subscriber::DefaultGuard;

#[derive(Debug, Clone, Default)]
pub(crate) struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// The lines, without the times at their ends.
    pub(crate) fn get(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split(" seconds=").next().unwrap_or_default().to_owned()).collect()
    }
}

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps this thread's lines, from INFO on, until the guard is dropped.
pub(crate) fn log_lines() -> (LogLines, DefaultGuard) {
    let lines = LogLines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || to.clone())
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}
