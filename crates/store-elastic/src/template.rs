//! Indices: their names, and the template from which each is made.

use serde_json::{Value, json};
use weir_model::Signal;

use crate::settings::Config;

/// Longest value of a keyword field, in characters; below the 32,766 bytes that Lucene allows a term. Longer ones are still in the source.
const KEYWORD_CHARS: u32 = 8_191;
/// How far the time of a record may lie behind and before the time at which its batch was made, in nanoseconds. What is further away goes to an
/// index of its own: some source with a broken clock would otherwise make an index for each day that it claims.
const BEHIND: u64 = 366 * DAY;
const AHEAD: u64 = 2 * DAY;
const DAY: u64 = 86_400_000_000_000;
/// Above other templates that may match the same names.
const PRIORITY: u32 = 500;

/// Names of one store's indices.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The index of a record, by its own time and that at which its batch was made (0 where nobody knows).
    pub(crate) fn of(&self, signal: Signal, time: u64, arrived: u64) -> String {
        let named = |day: &str| format!("{}-{}-{day}", self.prefix, signal.name());
        let usual = arrived.saturating_sub(BEHIND) <= time && time < arrived.saturating_add(AHEAD);
        match usual.then(|| jiff::Timestamp::from_nanosecond(i128::from(time)).ok()).flatten() {
            Some(time) => named(&time.strftime("%Y.%m.%d").to_string()),
            None => named(UNDATED),
        }
    }

    /// Lanes, ledger and small values.
    pub(crate) fn meta(&self) -> String {
        format!("{}-meta", self.prefix)
    }

    /// All dated indices of a signal.
    pub(crate) fn all_of(&self, signal: Signal) -> String {
        format!("{}-{}-*", self.prefix, signal.name())
    }

    /// All indices of the store.
    pub(crate) fn all(&self) -> String {
        let signals = Signal::ALL.map(|signal| self.all_of(signal));
        format!("{},{}", self.meta(), signals.join(","))
    }

    pub(crate) fn template(&self) -> String {
        self.prefix.clone()
    }
}

/// What the name of the index of records with absurd times ends with.
pub(crate) const UNDATED: &str = "undated";

/// The template: users' keys are tokens of one field, so that no key makes a field of its own.
pub(crate) fn template(names: &Names, config: &Config) -> Value {
    let tokens = |doc_values: bool| {
        json!({
            "type": "keyword", "doc_values": doc_values, "norms": false, "index_options": "docs", "ignore_above": KEYWORD_CHARS
        })
    };
    let indexed = json!({ "type": "keyword", "doc_values": false, "norms": false, "index_options": "docs" });
    let keyword = json!({ "type": "keyword", "ignore_above": KEYWORD_CHARS });
    let stored = json!({ "type": "keyword", "index": false, "doc_values": false });
    let names: Vec<String> = names.all().split(',').map(str::to_owned).collect();
    json!({
        "index_patterns": names,
        "priority": PRIORITY,
        "template": {
            "settings": {
                "index.number_of_shards": config.shards,
                "index.number_of_replicas": config.replicas,
                "index.refresh_interval": format!("{}ms", config.refresh.0.as_millis()),
                "index.codec": "best_compression",
                // What is acknowledged must be on disk.
                "index.translog.durability": "request",
            },
            "mappings": {
                "dynamic": false,
                // Tokens follow from the record, which is stored as it came.
                "_source": { "excludes": ["attrs", "words", "keys"] },
                "properties": {
                    "signal": { "type": "keyword" },
                    "key": { "type": "keyword" },
                    "@timestamp": { "type": "date_nanos" },
                    "time": { "type": "long" },
                    "end": { "type": "long" },
                    "pos": { "type": "long" },
                    "n": { "type": "long" },
                    "lane": { "type": "long" },
                    "at": { "type": "long" },
                    "trace": { "type": "keyword" },
                    "span": indexed,
                    "service": keyword,
                    "name": keyword,
                    "kind": { "type": "integer" },
                    "status": { "type": "integer" },
                    "severity": { "type": "integer" },
                    "duration": { "type": "long" },
                    "attrs": tokens(true),
                    "keys": tokens(true),
                    "words": tokens(false),
                    "resource": stored,
                    "scope": stored,
                    "record": stored,
                    "body": { "type": "object", "enabled": false },
                },
            },
        },
    })
}

/// A time as a number whose order as a signed integer, which is all that engines know, is that of the times.
pub(crate) fn ordered(time: u64) -> i64 {
    (time ^ 1 << 63) as i64
}

/// The time behind an [`ordered`] number.
pub(crate) fn unordered(number: i64) -> u64 {
    number as u64 ^ 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_to_the_index_of_their_day() {
        let names = Names::new("weir");
        let check = |time: u64, arrived: u64, expect: &str| {
            assert_eq!(names.of(Signal::Logs, time, arrived), expect, "{time} {arrived}");
        };
        const NOON: u64 = 1_700_049_600_000_000_000;
        check(NOON, NOON, "weir-logs-2023.11.15");
        check(NOON, NOON + 300 * DAY, "weir-logs-2023.11.15");
        check(NOON, NOON + 400 * DAY, "weir-logs-undated");
        check(NOON + DAY, NOON, "weir-logs-2023.11.16");
        check(NOON + 9 * DAY, NOON, "weir-logs-undated");
        check(0, 0, "weir-logs-1970.01.01");
        check(u64::MAX - 1, NOON, "weir-logs-undated");
        check(u64::MAX - 1, u64::MAX - 1, "weir-logs-2554.07.21");
    }

    #[test]
    fn times_keep_their_order() {
        let times = [0, 1, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX];
        assert!(times.map(ordered).is_sorted());
        assert_eq!(times.map(ordered).map(unordered), times);
    }
}
