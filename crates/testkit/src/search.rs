//! A real search engine, one node: OpenSearch or Elasticsearch.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::engine::{self, JAVA};
use crate::process::{Process, free_port};

/// How long a start may take. Idle machines take 5 s.
const PATIENCE: Duration = Duration::from_secs(120);
const MEMORY: &str = "-Xmx512m";

/// Names of the engines that a test is to run with, where it is not one of each family: folders of `tests/engines`.
const CHOICE: &str = "WEIR_TEST_ENGINES";

/// Which one, by the name of its folder in `tests/engines`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine(String);

impl Engine {
    pub fn opensearch() -> Self {
        Self("opensearch".into())
    }

    pub fn elasticsearch() -> Self {
        Self("elasticsearch".into())
    }

    /// Those that tests of all engines run with.
    pub fn all() -> Vec<Self> {
        match std::env::var(CHOICE) {
            Ok(names) => names.split_whitespace().map(|name| Self(name.to_owned())).collect(),
            Err(_) => vec![Self::opensearch(), Self::elasticsearch()],
        }
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn is_opensearch(&self) -> bool {
        self.0.starts_with("opensearch")
    }
}

/// A node with a folder of its own. Dropping it kills it and removes what it holds.
#[derive(Debug)]
pub struct SearchServer {
    engine: Engine,
    folder: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Process>,
}

impl SearchServer {
    /// Starts a node with settings beside those for a single small one.
    ///
    /// # Panics
    /// When the engine was not fetched, or does not start.
    pub fn start(engine: &Engine, settings: &[(&str, &str)]) -> Self {
        let mut server = Self {
            engine: engine.clone(),
            folder: engine::folder(engine.name()),
            dir: tempfile::tempdir().expect("a temporary folder"),
            port: free_port(),
            settings: settings.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            process: None,
        };
        server.resume();
        server
    }

    /// Where clients reach it; the same after a restart.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// kill -9, as a crash; what it holds stays.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again with what it holds.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn resume(&mut self) {
        let (libraries, classes) = (self.folder.join("lib"), self.folder.join("classes"));
        let mut command = Command::new("java");
        command.args(JAVA).arg(MEMORY);
        if self.engine.is_opensearch() {
            command.args(["-cp", &format!("{}:{}/*", classes.display(), libraries.display()), "Node"]);
        } else {
            command.arg("--module-path").arg(libraries).args(["--add-modules", "ALL-MODULE-PATH", "-cp"]);
            command.arg(classes).arg("Node").arg(&self.folder);
        }
        command.arg(self.dir.path()).arg(self.port.to_string()).args(&self.settings);
        command.current_dir(self.dir.path());
        let process = Process::start(command, "node is ready", PATIENCE);
        self.process = Some(process.unwrap_or_else(|problem| panic!("{problem}")));
    }
}
