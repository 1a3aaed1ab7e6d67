//! Dead letters as `weir dlq` tells of them, and a line that becomes one.

use std::path::Path;
use std::process::Command;

use weir_model::otlp::{BodyWriter, LogWriter};
use weir_model::{Incarnation, Signal, identity};
use weir_transport::{Batch, Origin};

use crate::server::binary;

/// A line of a list of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    /// Where it stood, such as `otlp_logs/1@17`.
    pub from: String,
    pub records: u64,
    pub cause: String,
}

/// `weir dlq` with arguments, of the brokers that a configuration names: what it prints.
///
/// # Panics
/// When it does not end well.
pub fn dlq(config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.arg("dlq").args(arguments).arg("--config").arg(config).env("WEIR_LOG", "warn");
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dlq {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}

/// The letters of brokers that were not sent again.
///
/// # Panics
/// When `weir dlq` does not end well.
pub fn letters(config: &Path) -> Vec<Listed> {
    listed(&dlq(config, &["list", "--limit", "100000"]))
}

/// The letters of what `weir dlq list` prints.
pub fn listed(list: &str) -> Vec<Listed> {
    list.lines().filter_map(letter).collect()
}

/// `None` for the head and for what stands below the list.
fn letter(line: &str) -> Option<Listed> {
    let mut words = line.split_whitespace();
    let (id, _time, from, records) = (words.next()?, words.next()?, words.next()?, words.next()?);
    from.contains('@').then(|| Listed {
        id: id.to_owned(),
        from: from.to_owned(),
        records: records.parse().expect("a count"),
        cause: words.collect::<Vec<_>>().join(" "),
    })
}

/// The bodies of a letter's lines.
///
/// # Panics
/// When `weir dlq` does not end well.
pub fn bodies(config: &Path, letter: &str) -> Vec<String> {
    let shown = dlq(config, &["show", letter]);
    shown.lines().filter_map(|line| line.strip_prefix("    | ").map(str::to_owned)).collect()
}

/// A line of a file that nobody follows any more, in a batch of its own.
pub fn line(source: Incarnation, body: &str) -> Batch {
    let mut written = BodyWriter::default();
    written.resource(|attrs| {
        attrs.str("service.name", "shop");
        attrs.str(identity::INCARNATION, &source.to_string());
    });
    written.scope("", "");
    written.record(|out| {
        let mut log = LogWriter::new(out);
        log.body(body);
        log.attrs().int(identity::OFFSET, 0);
    });
    let origins = vec![Origin { incarnation: source, range: 0..1, acked_below: 0 }];
    Batch { signal: Signal::Logs, origins, route: 0, arrived: 1, body: written.finish().into() }
}
