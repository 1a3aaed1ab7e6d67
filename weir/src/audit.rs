//! `weir audit`: whether everything that agents had acknowledged is stored, file by file.
//!
//! Agents are asked before the collector, so all that they tell of is stored, on its way, or missing. What is stored of what they had not read by then
//! is left out of the sums.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use weir_runtime::Period;
use weir_store::RangeSet;

/// Sources asked for at a time.
const PAGE: usize = 1_000;
/// Pause between two looks while something is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Missing ranges of one source that are listed.
const RANGES: usize = 5;

/// What the words of a report and the exit codes mean.
const EXPLAINED: &str = "\
A source is complete where all that its agent had acknowledged is stored, or was skipped or refused by the agent. What is acknowledged and not stored is \
on its way where nothing behind it is stored, else it is missing.

Exit codes:
  0  all sources are complete
  1  something is missing
  3  nothing is missing, and something is on its way still after --wait
  4  an agent or the collector could not be asked";

/// Something may be missing or late: nobody can tell yet. The process ends with [`Self::CODE`] then, so that scripts can tell it from a loss.
#[derive(Debug, thiserror::Error)]
#[error(
    "something is on its way still after {0}; see whether the collector keeps up, or give --wait more time"
)]
pub(crate) struct OnTheWay(Period);

impl OnTheWay {
    /// 2 is a wrong command line.
    pub(crate) const CODE: u8 = 3;
}

/// Nobody can tell whether something is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unasked {
    /// It may answer a little later.
    #[error("{0} can't answer now: {1}")]
    Passing(String, String),
    #[error("{0}")]
    Final(String),
}

impl Unasked {
    pub(crate) const CODE: u8 = 4;
}

impl From<anyhow::Error> for Unasked {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(format!("{error:#}"))
    }
}

/// What Weir says of an error.
#[derive(Debug, Deserialize)]
struct Said {
    error: Reason,
}

#[derive(Debug, Deserialize)]
struct Reason {
    message: String,
}

#[derive(Debug, Args)]
#[command(after_help = EXPLAINED)]
pub(crate) struct AuditArgs {
    /// Where the collector's web UI is.
    #[arg(long, default_value = "http://127.0.0.1:7070")]
    collector: String,
    /// Where an agent tells of its health and metrics (`agent.admin`); several times for several. Without one only holes in what is stored are found.
    #[arg(long)]
    agent: Vec<String>,
    /// How long to wait for what is on its way.
    #[arg(long, default_value = "30s")]
    wait: Period,
    /// Also list the sources of which everything is stored.
    #[arg(long)]
    all: bool,
}

/// What an agent answers.
#[derive(Debug, Deserialize)]
struct AgentLedger {
    sources: Vec<AgentSource>,
}

#[derive(Debug, Clone, Deserialize)]
struct AgentSource {
    path: String,
    incarnation: String,
    read: u64,
    acknowledged: u64,
    holes: Vec<Hole>,
}

#[derive(Debug, Deserialize)]
struct CollectorLedger {
    sources: Vec<CollectorSource>,
    total: usize,
    records: Vec<Records>,
}

#[derive(Debug, Clone, Deserialize)]
struct CollectorSource {
    path: String,
    incarnation: String,
    read: Option<u64>,
    acknowledged: Option<u64>,
    stored: Vec<Stored>,
    holes: Vec<Hole>,
}

#[derive(Debug, Clone, Deserialize)]
struct Stored {
    signal: String,
    ranges: Vec<Hole>,
}

/// A range of a source, with a cause where it is a hole.
#[derive(Debug, Clone, Deserialize)]
struct Hole {
    start: u64,
    end: u64,
    #[serde(default)]
    cause: String,
}

/// What the collector holds already as missing.
const MISSING: &str = "missing";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Records {
    signal: String,
    stored: u64,
    duplicate: u64,
    refused: u64,
    lost_batches: u64,
}

/// What became of one source. All but `missing` in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    path: String,
    incarnation: String,
    /// Everything below was read; unknown where its agent was not asked.
    read: Option<u64>,
    acknowledged: Option<u64>,
    /// Of what was read.
    stored: u64,
    /// Skipped or refused by the agent.
    dropped: u64,
    /// Acknowledged to the agent, behind all that is stored.
    on_the_way: u64,
    /// Read, and kept by the agent until it is acknowledged.
    unacknowledged: u64,
    /// Acknowledged, not stored, and what stands behind it is stored.
    missing: Vec<Range<u64>>,
}

impl Account {
    fn new(collector: Option<&CollectorSource>, agent: Option<&AgentSource>) -> Self {
        let ranges = collector.map_or(&[][..], |source| &source.stored).iter();
        let logs = ranges.filter(|stored| stored.signal == "logs").flat_map(|stored| &stored.ranges);
        let stored: RangeSet = logs.map(|range| range.start..range.end).collect();
        // `weir up` is both.
        let (read, acknowledged) = match (agent, collector) {
            (Some(agent), _) => (Some(agent.read), Some(agent.acknowledged)),
            (None, Some(collector)) => (collector.read, collector.acknowledged),
            (None, None) => (None, None),
        };
        let holes = collector.map_or(&[][..], |source| &source.holes).iter();
        let known: RangeSet = holes
            .chain(agent.map_or(&[][..], |source| &source.holes))
            .filter(|hole| hole.cause != MISSING)
            .map(|hole| hole.start..hole.end)
            .collect();
        let accounted: RangeSet = stored.iter().chain(known.iter()).collect();
        let end = stored.iter().last().map_or(0, |range| range.end);
        let by_then = read.unwrap_or(u64::MAX);
        let stored_by_then =
            stored.iter().map(|range| range.end.min(by_then).saturating_sub(range.start)).sum();
        // Of an agent that was not asked nobody knows what it skipped before the first range.
        let mut at = match read {
            Some(_) => 0,
            None => stored.iter().next().map_or(0, |range| range.start),
        };
        let mut missing = Vec::new();
        for range in accounted.iter() {
            // Behind all that is stored it may be on its way still.
            if at < range.start && at < end {
                missing.push(at..range.start.min(end));
            }
            at = at.max(range.end);
        }
        let below = acknowledged.unwrap_or(0);
        let behind: RangeSet = accounted.iter().filter(|range| range.end > end).collect();
        let dropped_behind: u64 =
            behind.iter().map(|range| range.end.min(below).saturating_sub(range.start.max(end))).sum();
        let path = agent.map(|source| &source.path).or(collector.map(|source| &source.path));
        let incarnation = agent.map(|a| &a.incarnation).or(collector.map(|c| &c.incarnation));
        Self {
            path: path.cloned().unwrap_or_default(),
            incarnation: incarnation.cloned().unwrap_or_default(),
            read,
            acknowledged,
            stored: stored_by_then,
            dropped: known.total(),
            on_the_way: below.saturating_sub(end).saturating_sub(dropped_behind),
            // What is stored was acknowledged, also where the agent tells so only with its next checkpoint.
            unacknowledged: read.map_or(0, |read| read.saturating_sub(below.max(end))),
            missing,
        }
    }

    fn missing_bytes(&self) -> u64 {
        self.missing.iter().map(|range| range.end - range.start).sum()
    }

    fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.on_the_way == 0
    }

    fn state(&self) -> String {
        let mut parts = Vec::new();
        if self.is_complete() {
            parts.push("complete".into());
        }
        if !self.missing.is_empty() {
            let ranges =
                self.missing.iter().take(RANGES).map(|range| format!("{}..{}", range.start, range.end));
            let more = if self.missing.len() > RANGES { ", ..." } else { "" };
            parts.push(format!("MISSING {}{more}", ranges.collect::<Vec<_>>().join(", ")));
        }
        if self.on_the_way > 0 {
            parts.push(format!("{} on their way to the store", self.on_the_way));
        }
        if self.dropped > 0 {
            parts.push(format!("{} skipped or refused by the agent", self.dropped));
        }
        if self.unacknowledged > 0 {
            parts.push(format!("{} not acknowledged yet, the agent keeps them", self.unacknowledged));
        }
        parts.join("; ")
    }
}

/// Joins what collector and agents say of the same sources, sorted by path.
fn accounts(collector: &[CollectorSource], agents: &[AgentSource]) -> Vec<Account> {
    let mut joined: BTreeMap<&str, (Option<&CollectorSource>, Option<&AgentSource>)> = BTreeMap::new();
    collector.iter().for_each(|source| joined.entry(&source.incarnation).or_default().0 = Some(source));
    agents.iter().for_each(|source| joined.entry(&source.incarnation).or_default().1 = Some(source));
    let mut accounts: Vec<Account> =
        joined.into_values().map(|(collector, agent)| Account::new(collector, agent)).collect();
    accounts.sort_by(|a, b| (&a.path, &a.incarnation).cmp(&(&b.path, &b.incarnation)));
    accounts
}

struct Asker(Client<HttpConnector, Full<Bytes>>);

impl Asker {
    async fn get<T: for<'a> Deserialize<'a>>(&self, url: &str) -> Result<T, Unasked> {
        let exchange = async {
            let uri: http::Uri = url.parse().with_context(|| format!("`{url}` is no address"))?;
            ensure!(uri.scheme_str() == Some("http"), "`{url}` does not begin with http://");
            let answer = self.0.get(uri).await.with_context(|| format!("nobody answers at {url}"))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.with_context(|| format!("reading {url}"))?;
            Ok((status, body.to_bytes()))
        };
        let asked = tokio::time::timeout(PATIENCE, exchange).await;
        let (status, body) = asked.unwrap_or_else(|_| bail!("{url} does not answer"))?;
        if status.is_success() {
            let read = serde_json::from_slice(&body);
            return Ok(read.with_context(|| format!("{url} answers something else than a ledger"))?);
        }
        let said = serde_json::from_slice::<Said>(&body).map(|said| said.error.message);
        let said = said.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Err(Unasked::Passing(url.into(), said)),
            _ => Err(Unasked::Final(format!("{url} answers {status}: {said}"))),
        }
    }

    async fn agents(&self, bases: &[String]) -> Result<Vec<AgentSource>, Unasked> {
        let mut sources = Vec::new();
        for base in bases {
            let url = format!("{}/ledger", base.trim_end_matches('/'));
            sources.extend(self.get::<AgentLedger>(&url).await?.sources);
        }
        Ok(sources)
    }

    async fn collector(&self, base: &str) -> Result<(Vec<CollectorSource>, Vec<Records>), Unasked> {
        let mut sources = Vec::new();
        loop {
            let skip = match sources.len() {
                0 => String::new(),
                known => format!("&skip={known}"),
            };
            let url = format!("{}/api/v1/ledger?limit={PAGE}{skip}", base.trim_end_matches('/'));
            let page: CollectorLedger = self.get(&url).await?;
            let more = !page.sources.is_empty();
            sources.extend(page.sources);
            if !more || sources.len() >= page.total {
                return Ok((sources, page.records));
            }
        }
    }
}

pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<()> {
    let asker = Asker(Client::builder(TokioExecutor::new()).build_http());
    let begun = Instant::now();
    // Agents first, and once: what is acknowledged by then is stored, or on its way, while what comes later is always on its way where lines are written.
    let mut agents = asker.agents(&args.agent).await?;
    loop {
        let (collector, records) = match asker.collector(&args.collector).await {
            Err(Unasked::Passing(..)) if begun.elapsed() < args.wait.0 => {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            asked => asked?,
        };
        let accounts = accounts(&collector, &agents);
        let on_the_way = accounts.iter().any(|account| account.on_the_way > 0);
        let missing: u64 = accounts.iter().map(Account::missing_bytes).sum();
        if (on_the_way || missing > 0) && begun.elapsed() < args.wait.0 {
            tokio::time::sleep(LOOK_EVERY).await;
            if missing > 0 {
                // They may have refused it since.
                agents = asker.agents(&args.agent).await?;
            }
            continue;
        }
        report(&accounts, &records, args.all, &mut io::stdout().lock())
            .context("can't write to standard output")?;
        if missing > 0 {
            bail!(
                "{missing} bytes of files are missing: their records are among the dead letters (`weir dlq list`), lost with a log that its retention \
                 removed, or stored elsewhere"
            );
        }
        if on_the_way {
            return Err(OnTheWay(args.wait).into());
        }
        return Ok(());
    }
}

fn report(accounts: &[Account], records: &[Records], all: bool, out: &mut impl Write) -> io::Result<()> {
    let count = |which: fn(&Account) -> bool| accounts.iter().filter(|account| which(account)).count();
    let missing = count(|account| !account.missing.is_empty());
    let on_the_way = count(|account| account.missing.is_empty() && account.on_the_way > 0);
    let shown: Vec<_> = accounts.iter().filter(|account| all || account.state() != "complete").collect();
    if !shown.is_empty() {
        writeln!(out, "{:>14} {:>14} {:>14}  SOURCE", "READ", "ACKNOWLEDGED", "STORED")?;
    }
    let number = |n: Option<u64>| n.map_or("-".into(), |n| n.to_string());
    for account in shown {
        let path = if account.path.is_empty() { &account.incarnation } else { &account.path };
        let (read, acknowledged) = (number(account.read), number(account.acknowledged));
        writeln!(out, "{read:>14} {acknowledged:>14} {:>14}  {path}: {}", account.stored, account.state())?;
    }
    write!(out, "{} of {} sources are complete", count(Account::is_complete), accounts.len())?;
    for (sources, what) in [(on_the_way, "with something on its way"), (missing, "with something missing")] {
        if sources > 0 {
            write!(out, ", {sources} {what}")?;
        }
    }
    writeln!(out)?;
    for row in records {
        writeln!(
            out,
            "{:>8}: {} stored, {} came again, {} refused, {} batches lost since the collector's start",
            row.signal, row.stored, row.duplicate, row.refused, row.lost_batches
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((start, end, cause): (u64, u64, &str)) -> Hole {
        Hole { start, end, cause: cause.into() }
    }

    fn stored(ranges: &[(u64, u64)]) -> CollectorSource {
        let logs = ranges.iter().map(|&(start, end)| range((start, end, ""))).collect();
        CollectorSource {
            path: "/a".into(),
            incarnation: "7".into(),
            read: None,
            acknowledged: None,
            stored: vec![
                Stored { signal: "logs".into(), ranges: logs },
                Stored { signal: "spans".into(), ranges: vec![range((0, 1_000, ""))] },
            ],
            holes: Vec::new(),
        }
    }

    fn read(read: u64, acknowledged: u64, holes: &[(u64, u64, &str)]) -> AgentSource {
        let holes = holes.iter().copied().map(range).collect();
        AgentSource { path: "/a".into(), incarnation: "7".into(), read, acknowledged, holes }
    }

    /// Ranges stored, what the agent says, then missing ranges, bytes on their way, and the state.
    #[test]
    fn what_is_acknowledged_is_stored_or_on_its_way_or_missing() {
        let skipped = [(0, 40, "skipped-at-start")];
        for (ranges, agent, missing, on_the_way, state) in [
            (&[(0, 100)][..], Some(read(100, 100, &[])), &[][..], 0, "complete"),
            (
                &[(0, 60)],
                Some(read(120, 100, &[])),
                &[],
                40,
                "40 on their way to the store; 20 not acknowledged yet, the agent keeps them",
            ),
            (&[(0, 30), (50, 100)], Some(read(100, 100, &[])), &[(30, 50)][..], 0, "MISSING 30..50"),
            (&[(30, 100)], Some(read(100, 100, &[])), &[(0, 30)][..], 0, "MISSING 0..30"),
            // Of an agent that was not asked nobody knows what it skipped.
            (&[(30, 50), (60, 100)], None, &[(50, 60)][..], 0, "MISSING 50..60"),
            (
                &[(40, 100)],
                Some(read(100, 100, &skipped)),
                &[],
                0,
                "complete; 40 skipped or refused by the agent",
            ),
            (
                &[],
                Some(read(100, 90, &skipped)),
                &[],
                50,
                "50 on their way to the store; 40 skipped or refused by the agent; 10 not acknowledged yet, the agent keeps them",
            ),
            (
                &[(0, 50)],
                Some(read(90, 90, &[(60, 70, "refused")])),
                &[],
                30,
                "30 on their way to the store; 10 skipped or refused by the agent",
            ),
        ] {
            let account = &accounts(&[stored(ranges)], agent.as_slice())[0];
            let found: Vec<_> = account.missing.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!((&found[..], account.on_the_way), (missing, on_the_way), "{ranges:?} {agent:?}");
            assert_eq!(account.state(), state);
        }
        // All of it is stored, and the agent does not know yet.
        let account = &accounts(&[stored(&[(0, 100)])], &[read(100, 60, &[])])[0];
        assert_eq!((account.state().as_str(), account.stored), ("complete", 100));
        // More was read, acknowledged and stored since the agent was asked.
        let account = &accounts(&[stored(&[(0, 130), (130, 150)])], &[read(120, 100, &[])])[0];
        assert_eq!((account.state().as_str(), account.stored), ("complete", 120));
        let unheard = &accounts(&[], &[read(9, 9, &[])])[0];
        assert_eq!((unheard.on_the_way, unheard.stored), (9, 0), "the collector has not heard of it");
    }

    #[test]
    fn the_summary_counts_what_is_not_complete() {
        let source = |incarnation: &str, ranges, acknowledged| {
            let (collector, agent) = (stored(ranges), read(120, acknowledged, &[]));
            let incarnation = incarnation.to_owned();
            (
                CollectorSource { incarnation: incarnation.clone(), ..collector },
                AgentSource { incarnation, ..agent },
            )
        };
        let check = |sources: Vec<(CollectorSource, AgentSource)>, expect: &str| {
            let (collector, agents): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
            let mut out = Vec::new();
            report(&accounts(&collector, &agents), &[], false, &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out.lines().last(), Some(expect), "{out}");
        };
        // What is not acknowledged is nothing that the store owes.
        let complete = source("1", &[(0, 100)], 100);
        let late = source("2", &[(0, 100)], 110);
        let lost = source("3", &[(0, 50), (60, 100)], 110);
        check(vec![complete.clone()], "1 of 1 sources are complete");
        check(
            vec![complete.clone(), late.clone()],
            "1 of 2 sources are complete, 1 with something on its way",
        );
        check(
            vec![complete, late, lost],
            "1 of 3 sources are complete, 1 with something on its way, 1 with something missing",
        );
    }
}
