//! A real OpenTelemetry Collector.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::engine;
use crate::process::Process;

/// How long a start may take. Idle machines take a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Collector. Dropping it kills it.
#[derive(Debug)]
pub struct Collector {
    process: Process,
}

impl Collector {
    /// Starts one with a configuration (YAML, without `service.telemetry`) that is written into `dir`.
    ///
    /// # Panics
    /// When it was not built, or does not start.
    pub fn start(dir: &Path, config: &str) -> Self {
        let program = engine::folder("otelcol").join("otelcol");
        let file = dir.join("otelcol.yaml");
        // It is ready when it says so, and it has no port of its own beside the configured ones.
        let telemetry = "  telemetry:\n    logs: {output_paths: [stdout]}\n    metrics: {level: none}\n";
        std::fs::write(&file, config.replace("service:\n", &format!("service:\n{telemetry}")))
            .expect("the folder can be written");
        let mut command = Command::new(program);
        command.arg("--config").arg(file).current_dir(dir);
        let process = Process::start(command, "Everything is ready", PATIENCE);
        Self { process: process.unwrap_or_else(|problem| panic!("{problem}")) }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
