//! A real search engine, one node: OpenSearch or Elasticsearch.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::engine::{self, JAVA};
use crate::process::{Process, free_port};

/// How long a start may take. Idle machines take 5 s.
const PATIENCE: Duration = Duration::from_secs(120);
const MEMORY: &str = "-Xmx512m";

/// Which one, as its folder in `tests/engines` is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    OpenSearch,
    Elasticsearch,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::OpenSearch, Self::Elasticsearch];

    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSearch => "opensearch",
            Self::Elasticsearch => "elasticsearch",
        }
    }
}

/// A node with a folder of its own. Dropping it kills it and removes what it holds.
#[derive(Debug)]
pub struct SearchServer {
    family: Family,
    engine: PathBuf,
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
    pub fn start(family: Family, settings: &[(&str, &str)]) -> Self {
        let mut server = Self {
            family,
            engine: engine::folder(family.name()),
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
        let (libraries, classes) = (self.engine.join("lib"), self.engine.join("classes"));
        let mut command = Command::new("java");
        command.args(JAVA).arg(MEMORY);
        match self.family {
            Family::OpenSearch => {
                let path = format!("{}:{}/*", classes.display(), libraries.display());
                command.args(["-cp", &path, "Node"]);
            }
            Family::Elasticsearch => {
                command.arg("--module-path").arg(libraries).args(["--add-modules", "ALL-MODULE-PATH", "-cp"]);
                command.arg(classes).arg("Node").arg(&self.engine);
            }
        }
        command.arg(self.dir.path()).arg(self.port.to_string()).args(&self.settings);
        command.current_dir(self.dir.path());
        let process = Process::start(command, "node is ready", PATIENCE);
        self.process = Some(process.unwrap_or_else(|problem| panic!("{problem}")));
    }
}
