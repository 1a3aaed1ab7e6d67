//! A real search engine, one node: OpenSearch or Elasticsearch.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::engine::{self, JAVA};
use crate::process::{Process, free_port};
use crate::secured::{authority, certificate};

/// How long a start may take. Idle machines take 5 s.
const PATIENCE: Duration = Duration::from_secs(120);
const MEMORY: &str = "-Xmx512m";
/// Heap of a node that is measured or has much to take, with all compilers.
const MEMORY_UNDER_LOAD: &str = "-Xmx3g";
/// Where an engine is for another Java than Debian's.
const JAVA_OF_ITS_OWN: &str = "java/bin/java";

/// Of every user of a server that asks who is there.
pub const PASSWORD: &str = "correct-horse";
/// Its bcrypt hash, as Elasticsearch's file of users has it.
const HASH: &str = "$2a$04$abcdefghijklmnopqrstuuPoaPXzWjiVz4HaNq2LJXksWbO79E.S6";
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

    /// The only one without modules.
    fn is_elasticsearch_7(&self) -> bool {
        self.0.starts_with("elasticsearch-7")
    }
}

/// A node with a folder of its own. Dropping it kills it and removes what it holds.
#[derive(Debug)]
pub struct SearchServer {
    engine: Engine,
    folder: PathBuf,
    dir: tempfile::TempDir,
    scheme: &'static str,
    port: u16,
    java: Vec<&'static str>,
    settings: Vec<String>,
    process: Option<Process>,
}

impl SearchServer {
    /// Starts a node with settings beside those for a single small one.
    ///
    /// # Panics
    /// When the engine was not fetched, or does not start.
    pub fn start(engine: &Engine, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::new(engine, settings);
        server.resume();
        server
    }

    /// Starts a node that takes as much as it can: with a larger heap and all of Java's compilers. It takes longer to start.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_for_load(engine: &Engine) -> Self {
        let mut server = Self::new(engine, &[]);
        server.java = vec![MEMORY_UNDER_LOAD];
        server.resume();
        server
    }

    fn new(engine: &Engine, settings: &[(&str, &str)]) -> Self {
        Self {
            engine: engine.clone(),
            folder: engine::folder(engine.name()),
            dir: tempfile::tempdir().expect("a temporary folder"),
            scheme: "http",
            port: free_port(),
            java: JAVA.into_iter().chain([MEMORY]).collect(),
            settings: settings.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            process: None,
        }
    }

    /// Starts an Elasticsearch that speaks TLS, vouched for by [`Self::ca`], and knows users by their roles (as in `roles.yml`): each role is
    /// the one of the user of its name, and all have [`PASSWORD`].
    ///
    /// # Panics
    /// When the engine was not fetched, openssl is missing, or it does not start.
    pub fn start_secured(engine: &Engine, roles: &[(&str, &str)]) -> Self {
        let mut server = Self::new(engine, &[]);
        let config = server.config();
        std::fs::create_dir(&config).expect("a temporary folder can be written");
        authority(&config, "ca");
        authority(&config, "stranger");
        certificate(&config, "ca", "node");
        let text = |line: &dyn Fn(&str, &str) -> String| -> String {
            roles.iter().map(|(name, rights)| line(name, rights) + "\n").collect()
        };
        let write = |file: &str, text: String| std::fs::write(config.join(file), text).expect("just made");
        write("roles.yml", text(&|name, rights| format!("{name}: {rights}")));
        write("users", text(&|name, _| format!("{name}:{HASH}")));
        write("users_roles", text(&|name, _| format!("{name}:{name}")));
        let settings = [
            "xpack.security.enabled=true",
            "xpack.security.http.ssl.enabled=true",
            "xpack.security.http.ssl.key=node.key",
            "xpack.security.http.ssl.certificate=node.pem",
        ];
        server.settings = settings.map(str::to_owned).into();
        server.scheme = "https";
        server.resume();
        server
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// The authority that vouches for a server that was started with TLS.
    pub fn ca(&self) -> PathBuf {
        self.config().join("ca.pem")
    }

    /// An authority that has nothing to do with it.
    pub fn other_ca(&self) -> PathBuf {
        self.config().join("stranger.pem")
    }

    /// Where clients reach it; the same after a restart.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process's id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").pid()
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
        let own_java = self.folder.join(JAVA_OF_ITS_OWN);
        let mut command = if own_java.exists() { Command::new(own_java) } else { Command::new("java") };
        command.args(&self.java);
        if self.engine.is_opensearch() || self.engine.is_elasticsearch_7() {
            command.args(["-cp", &format!("{}:{}/*", classes.display(), libraries.display()), "Node"]);
        } else {
            command.arg("--module-path").arg(libraries).args(["--add-modules", "ALL-MODULE-PATH", "-cp"]);
            command.arg(classes).arg("Node");
        }
        if !self.engine.is_opensearch() {
            command.arg(&self.folder);
        }
        command.arg(self.dir.path()).arg(self.port.to_string()).args(&self.settings);
        command.current_dir(self.dir.path());
        let process = Process::start(command, "node is ready", PATIENCE);
        self.process = Some(process.unwrap_or_else(|problem| panic!("{problem}")));
    }
}
