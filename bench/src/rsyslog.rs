//! Debian's rsyslog as a peer of the agent: lines of files to Kafka, a message each. `scripts/servers.sh peers` installs it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// Where Debian has it, which is not on everybody's path.
const PROGRAM: &str = "/usr/sbin/rsyslogd";

/// A process of its own, with nothing but these files for its input. Dropping it kills it.
#[derive(Debug)]
pub struct Rsyslog(Child);

impl Rsyslog {
    /// Follows the files that a glob names and sends what is in them to a topic, with `acks=all`. What it keeps is kept in `dir`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn start(
        dir: &Path,
        glob: &str,
        brokers: &str,
        topic: &str,
        compression: &str,
    ) -> anyhow::Result<Self> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "there is no {PROGRAM}: run `scripts/servers.sh peers`, or `make bench`, which does"
        );
        let config = dir.join("rsyslog.conf");
        // A message that was not taken is sent again. Messages go to the action in batches of 1,024, which is more than by default.
        let text = format!(
            r#"global(workDirectory="{dir}")
module(load="imfile")
module(load="omkafka")
template(name="line" type="string" string="%msg%")
main_queue(queue.type="FixedArray" queue.dequeueBatchSize="1024")
input(type="imfile" File="{glob}" Tag="bench" ruleset="kafka")
ruleset(name="kafka") {{
  action(type="omkafka" broker=["{brokers}"] topic="{topic}" partitions.auto="on" template="line" resubmitOnFailure="on"
    confParam=["acks=all", "compression.codec={compression}"])
}}
"#,
            dir = dir.display()
        );
        fs::write(&config, text)?;
        let child = Command::new(PROGRAM)
            .args(["-n", "-f"])
            .arg(&config)
            .arg("-i")
            .arg(dir.join("rsyslog.pid"))
            .stdout(Stdio::null())
            .spawn()
            .context("starting rsyslog")?;
        Ok(Self(child))
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
