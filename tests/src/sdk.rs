//! Real SDKs, each in a process of its own: what `scripts/sdks.sh` runs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::Value;

/// Runs the program of a language, which sends what it has and prints ids as JSON.
///
/// # Errors
/// When it is not installed, fails, or says something else; with what it said.
pub fn run(language: &str, arguments: &[&str]) -> anyhow::Result<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/sdks.sh");
    let output = Command::new(script)
        .arg(language)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("scripts/sdks.sh can't be run")?;
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the {language} SDK failed with {}: {said}", output.status);
    serde_json::from_str(out.trim()).with_context(|| format!("the {language} SDK says `{out}` and {said}"))
}
