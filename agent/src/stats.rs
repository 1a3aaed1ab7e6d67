//! What the agent counts.
//!
//! Figures of files are kept by source: the first glob of a group in `agent.sources`, so that there are as many label values as the configuration has
//! groups.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use weir_model::Signal;
use weir_parse::stream::Counts;
use weir_runtime::Metrics;

use crate::ledger::{SourceLedger, Sources};

type BySource<M> = Family<[(&'static str, String); 1], M>;
type BySignalAndCause = Family<[(&'static str, &'static str); 2], Counter>;

/// Figures of the tail as a whole.
#[derive(Debug, Default)]
pub(crate) struct TailStats {
    pub(crate) errors: Counter,
    /// Batches that wait for the next hop or are on their way to it.
    pub(crate) queued_batches: Gauge,
    /// Folders of whose files no change is heard, so that they are looked at again and again.
    pub(crate) unwatched_folders: Gauge,
    last_acknowledged: Gauge,
    /// When the oldest batch was made that is not acknowledged, nanoseconds since the Unix epoch; 0 where there is none.
    pub(crate) oldest_unacknowledged: AtomicU64,
    dropped: BySignalAndCause,
    families: Families,
    /// What became of each file.
    pub(crate) ledger: Sources,
    globs: Mutex<Vec<GlobFiles>>,
    sources: Mutex<BTreeMap<String, Arc<SourceStats>>>,
}

/// A glob of the configuration, and how many files it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobFiles {
    pub glob: String,
    pub files: u64,
}

/// Figures of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceStats {
    pub(crate) read_bytes: Counter,
    pub(crate) queued_bytes: Counter,
    pub(crate) acknowledged_bytes: Counter,
    lines: Counter,
    records: Counter,
    pub(crate) derived_spans: Counter,
    truncated: Counter,
    unparsed: Counter,
    invalid_utf8: Counter,
    cut_bytes: Counter,
    files: Gauge,
    unread_bytes: Gauge,
    unacknowledged_bytes: Gauge,
}

#[derive(Debug, Default)]
struct Families {
    counters: [BySource<Counter>; COUNTERS.len()],
    gauges: [BySource<Gauge>; GAUGES.len()],
}

/// In the order of [`SourceStats`].
const COUNTERS: [(&str, &str); 10] = [
    ("weir_agent_read_bytes", "Bytes read from files"),
    ("weir_agent_queued_bytes", "Bytes of files whose records were handed over for sending"),
    (
        "weir_agent_acknowledged_bytes",
        "Bytes of files whose records are durable with the next hop, or were refused by it and counted",
    ),
    ("weir_agent_lines", "Lines read from files"),
    ("weir_agent_records", "Log records made of lines"),
    ("weir_agent_derived_spans", "Spans made of log lines"),
    ("weir_agent_truncated_records", "Records cut at a limit or without their end"),
    (
        "weir_agent_unparsed_records",
        "Records that the format of their file does not match, kept as plain text",
    ),
    ("weir_agent_invalid_utf8_lines", "Lines with bytes that are no UTF-8, which were replaced"),
    ("weir_agent_cut_bytes", "Bytes of lines and records cut off at a limit"),
];
const GAUGES: [(&str, &str); 3] = [
    ("weir_agent_open_files", "Files that are followed"),
    ("weir_agent_unread_bytes", "Bytes that stand in files and are not read yet"),
    ("weir_agent_unacknowledged_bytes", "Bytes read but not yet durable with the next hop"),
];

impl TailStats {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let stats = Self {
            errors: metrics.register(
                "weir_agent_errors",
                "Failed reads of files and writes of the checkpoint",
                Counter::default(),
            ),
            queued_batches: metrics.register(
                "weir_agent_queued_batches",
                "Batches of files' records that wait for the next hop or are on their way to it",
                Gauge::default(),
            ),
            unwatched_folders: metrics.register(
                "weir_agent_unwatched_folders",
                "Folders of whose files no change is heard, so that they are looked at again and again",
                Gauge::default(),
            ),
            last_acknowledged: metrics.register(
                "weir_agent_last_acknowledged_timestamp_seconds",
                "When the next hop last acknowledged records of files, in seconds since the Unix epoch; 0 for never",
                Gauge::default(),
            ),
            dropped: metrics.register(
                "weir_agent_dropped_records",
                "Records of files that are lost, by cause: refused by the next hop for good",
                Family::default(),
            ),
            ..Self::default()
        };
        for ((name, help), family) in COUNTERS.iter().zip(&stats.families.counters) {
            metrics.register(name, help, family.clone());
        }
        for ((name, help), family) in GAUGES.iter().zip(&stats.families.gauges) {
            metrics.register(name, help, family.clone());
        }
        stats
    }

    /// The figures of a source; two of one name share them.
    pub(crate) fn source(&self, name: &str) -> Arc<SourceStats> {
        self.sources().entry(name.to_owned()).or_insert_with(|| Arc::new(self.new_source(name))).clone()
    }

    fn new_source(&self, name: &str) -> SourceStats {
        let label = [("source", name.to_owned())];
        let Families { counters, gauges } = &self.families;
        let counter = |at: usize| counters[at].get_or_create(&label).clone();
        let gauge = |at: usize| gauges[at].get_or_create(&label).clone();
        SourceStats {
            read_bytes: counter(0),
            queued_bytes: counter(1),
            acknowledged_bytes: counter(2),
            lines: counter(3),
            records: counter(4),
            derived_spans: counter(5),
            truncated: counter(6),
            unparsed: counter(7),
            invalid_utf8: counter(8),
            cut_bytes: counter(9),
            files: gauge(0),
            unread_bytes: gauge(1),
            unacknowledged_bytes: gauge(2),
        }
    }

    /// What the globs named at the last look; none before the first one.
    pub(crate) fn globs(&self) -> Vec<GlobFiles> {
        self.globs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_globs(&self, globs: Vec<GlobFiles>) {
        *self.globs.lock().unwrap_or_else(PoisonError::into_inner) = globs;
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, Arc<SourceStats>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauges of all sources from those of their files.
    pub(crate) fn gauge<'a>(&self, files: impl Iterator<Item = (&'a Arc<SourceStats>, FileGauge)>) {
        let sources = self.sources();
        let mut sums: Vec<(&Arc<SourceStats>, FileGauge, i64)> =
            sources.values().map(|source| (source, FileGauge::default(), 0)).collect();
        for (of, file) in files {
            if let Some((_, sum, count)) = sums.iter_mut().find(|(source, ..)| Arc::ptr_eq(source, of)) {
                sum.unread += file.unread;
                sum.unacknowledged += file.unacknowledged;
                *count += 1;
            }
        }
        for (source, sum, count) in sums {
            source.files.set(count);
            source.unread_bytes.set(sum.unread as i64);
            source.unacknowledged_bytes.set(sum.unacknowledged as i64);
        }
    }

    /// Records that the next hop will never take.
    pub(crate) fn refused(&self, signal: Signal, records: u64) {
        if records > 0 {
            self.dropped.get_or_create(&[("signal", signal.name()), ("cause", "refused")]).inc_by(records);
        }
    }

    pub(crate) fn acknowledged_now(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_acknowledged.set(now as i64);
    }
}

/// Bytes of one file that are on their way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FileGauge {
    pub(crate) unread: u64,
    pub(crate) unacknowledged: u64,
}

impl SourceStats {
    /// Adds what happened to one file between two looks at its parser.
    pub(crate) fn count(&self, before: &Counts, after: &Counts) {
        self.lines.inc_by(after.lines - before.lines);
        self.records.inc_by(after.records - before.records);
        self.truncated.inc_by(after.truncated - before.truncated);
        self.unparsed.inc_by(after.unparsed - before.unparsed);
        self.invalid_utf8.inc_by(after.invalid_utf8 - before.invalid_utf8);
        self.cut_bytes.inc_by(after.dropped_bytes - before.dropped_bytes);
    }
}

/// Counters of what was sent to the next hop, over all signals.
#[derive(Debug, Clone, Default)]
pub struct RelayStats {
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) refused: Counter,
    pub(crate) retries: Counter,
    pub(crate) lost: Counter,
    /// When the oldest batch of each signal was made that the next hop has not taken, nanoseconds since the Unix epoch; 0 where there is none.
    oldest: Arc<[AtomicU64; Signal::ALL.len()]>,
}

impl RelayStats {
    pub fn register(metrics: &Metrics) -> Self {
        let counter = |name, help| metrics.register(name, help, Counter::default());
        let oldest: Arc<[AtomicU64; Signal::ALL.len()]> = Arc::default();
        let read = oldest.clone();
        metrics.register_waits(
            "weir_agent_forwarding_lag_seconds",
            "How long ago the oldest batch was made that the next hop has not taken yet, 0 where there is none",
            move || {
                Signal::ALL.map(|signal| (signal.name(), read[signal as usize - 1].load(Ordering::Relaxed)))
            },
        );
        Self {
            sent: counter("weir_agent_sent_batches", "Batches that the collector has taken"),
            sent_bytes: counter("weir_agent_sent_bytes", "Bytes of these batches"),
            refused: counter("weir_agent_refused_batches", "Batches that the collector refused for good"),
            retries: counter("weir_agent_send_retries", "Attempts that failed and were made again"),
            lost: counter("weir_agent_lost_batches", "Batches that the spool could not give back"),
            oldest,
        }
    }

    /// Takes note of when the oldest batch was made that waits.
    pub(crate) fn waits(&self, signal: Signal, since: Option<u64>) {
        self.oldest[signal as usize - 1].store(since.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Tells of an agent, also after it runs.
#[derive(Debug, Clone)]
pub struct View {
    pub(crate) stats: Arc<TailStats>,
}

impl View {
    pub fn stats(&self) -> AgentStats {
        AgentStats::from(self.stats.as_ref())
    }

    /// The globs of the configuration in their order, with the files that each named at the last look.
    pub fn globs(&self) -> Vec<GlobFiles> {
        self.stats.globs()
    }

    /// The files that are followed or were, as they were within the last second.
    pub fn sources(&self) -> Vec<SourceLedger> {
        self.stats.ledger.get()
    }
}

/// What the agent has done, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgentStats {
    pub files: u64,
    pub records: u64,
    pub dropped: u64,
    /// Bytes read but not yet durable with the next hop.
    pub unacknowledged_bytes: u64,
    /// When the oldest batch was made that is not acknowledged, nanoseconds since the Unix epoch.
    pub unacknowledged_since: Option<u64>,
}

impl From<&TailStats> for AgentStats {
    fn from(stats: &TailStats) -> Self {
        let sources = stats.sources();
        let sum = |gauge: fn(&SourceStats) -> &Gauge| {
            sources.values().map(|source| gauge(source).get() as u64).sum()
        };
        let refused = |signal: Signal| {
            stats.dropped.get_or_create(&[("signal", signal.name()), ("cause", "refused")]).get()
        };
        Self {
            files: sum(|source| &source.files),
            records: sources.values().map(|source| source.records.get()).sum(),
            dropped: refused(Signal::Logs) + refused(Signal::Spans),
            unacknowledged_bytes: sum(|source| &source.unacknowledged_bytes),
            unacknowledged_since: Some(stats.oldest_unacknowledged.load(Ordering::Relaxed))
                .filter(|since| *since > 0),
        }
    }
}
