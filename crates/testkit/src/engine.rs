//! Where the servers are that `scripts/engine.sh` has fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Little memory, and a start in half the time.
pub(crate) const JAVA: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The folder of an engine of `tests/engines`.
///
/// # Panics
/// When it was not fetched.
pub(crate) fn folder(engine: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/engine.sh");
    let said = Command::new(&script).args([engine, "--where"]).output();
    let said = said.unwrap_or_else(|error| panic!("{} can't be run: {error}", script.display()));
    let folder = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    assert!(
        folder.join("ready").exists(),
        "this test needs {engine}, and there is none in {}: run `scripts/engine.sh {engine}`, or `make test`, which does",
        folder.display()
    );
    folder
}
