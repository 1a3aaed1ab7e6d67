//! Stack traces in two goes, with a kill of the agent in between: whole where the agent has not sent the first half, else cut in the pause and
//! nowhere else, however often it is read again.

use std::path::Path;
use std::time::Instant;

use weir_tests::client::{Client, LOOK_EVERY};
use weir_tests::generator::{Ledger, Outcome, Slow};
use weir_tests::http::Http;
use weir_tests::server::PATIENCE;

/// A writer for each thing that can become of a trace.
pub(crate) struct Pauses {
    whole: Slow,
    cut: Slow,
    either: Slow,
}

impl Pauses {
    pub(crate) fn create(logs: &Path) -> Self {
        let slow = |outcome| Slow::create(logs, outcome);
        Self { whole: slow(Outcome::Whole), cut: slow(Outcome::Cut), either: slow(Outcome::Either) }
    }

    /// Further sources of an agent.
    pub(crate) fn sources(&self) -> String {
        let source = |slow: &Slow| {
            let glob = slow.glob();
            format!(
                "    - include: [\"{glob}\"]\n      attributes: {{ service.name: slow }}\n      format: {{ zone: \"UTC\" }}\n"
            )
        };
        [&self.whole, &self.cut, &self.either].map(source).concat()
    }

    /// Begins traces, the second of them when `meanwhile` is over, and waits until the agent has sent what there is of the first one. `admin` is
    /// where it tells of itself. That it has is not in its checkpoint yet.
    pub(crate) async fn begin(&mut self, admin: &str, meanwhile: impl Future<Output = ()>) {
        let agent = Agent { admin, http: Http::default() };
        let glob = self.cut.glob();
        let before = self.cut.written();
        agent.until(async || agent.acknowledged_in_checkpoint(&glob).await == Some(before)).await;
        let acknowledged = agent.acknowledged_bytes(&glob).await;
        self.cut.begin();
        meanwhile.await;
        self.either.begin();
        let all = acknowledged + self.cut.written() - before;
        agent.until(async || agent.acknowledged_bytes(&glob).await == all).await;
    }

    pub(crate) fn agent_is_away(&mut self) {
        self.whole.begin();
    }

    /// Before the agent is back.
    pub(crate) fn end(&mut self) {
        [&mut self.whole, &mut self.cut, &mut self.either].into_iter().for_each(Slow::end);
    }

    pub(crate) async fn settle(&mut self, client: &Client, ledger: &mut Ledger) {
        for slow in [&mut self.whole, &mut self.cut, &mut self.either] {
            slow.settle(client, ledger).await;
        }
    }
}

struct Agent<'a> {
    admin: &'a str,
    http: Http,
}

impl Agent<'_> {
    /// Up to where the file of a glob is acknowledged, as the checkpoint has it.
    async fn acknowledged_in_checkpoint(&self, glob: &str) -> Option<u64> {
        let ledger = self.http.get_json(&format!("{}/ledger", self.admin)).await.expect("the agent answers");
        let folder = glob.trim_end_matches("*.log");
        let mut sources = ledger["sources"].as_array().expect("a list").iter();
        let source = sources.find(|source| source["path"].as_str().expect("a text").starts_with(folder))?;
        source["acknowledged"].as_u64()
    }

    /// Bytes of a source that were acknowledged since the agent's start.
    async fn acknowledged_bytes(&self, glob: &str) -> u64 {
        let metrics = self.http.get(&format!("{}/metrics", self.admin)).await.expect("the agent answers");
        let name = format!("weir_agent_acknowledged_bytes_total{{source=\"{glob}\"}} ");
        let text = std::str::from_utf8(&metrics).expect("metrics are text");
        let count = text.lines().find_map(|line| line.strip_prefix(&name)).expect("each source has one");
        count.parse().expect("a count")
    }

    async fn until(&self, is_so: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < PATIENCE, "the agent does not send what waits for further lines");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
