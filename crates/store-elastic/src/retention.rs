//! Retention: indices are deleted whole.

use std::collections::BTreeMap;
use std::time::Duration;

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_model::Signal;

use crate::Inner;
use crate::error::Error;
use crate::template::UNDATED;
use crate::write::now;

const DAY_MS: u64 = 86_400_000;
/// How often it is looked for what is too old or too much.
pub(crate) const EVERY: Duration = Duration::from_secs(600);

/// How much is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention {
    /// By the day of the records' own times; of those with absurd times by the last arrival.
    pub age: Option<Duration>,
    /// Over all indices with their copies, bytes. The newest day is never deleted.
    pub bytes: Option<u64>,
}

/// Figures of indices by their names.
#[derive(Debug, Deserialize)]
struct Stats {
    indices: BTreeMap<String, Value>,
}

/// An index, with the end of its day in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dated {
    index: String,
    end: u64,
    bytes: u64,
}

/// Which of them are to be deleted.
fn expired(mut all: Vec<Dated>, retention: Retention, now: u64) -> Vec<String> {
    all.sort_by(|a, b| (a.end, &a.index).cmp(&(b.end, &b.index)));
    let newest = all.iter().map(|dated| dated.end).max().unwrap_or(0);
    let mut total: u64 = all.iter().map(|dated| dated.bytes).sum();
    let mut expired = Vec::new();
    for dated in all {
        let old = retention.age.is_some_and(|age| dated.end.saturating_add(age.as_millis() as u64) < now);
        let much = retention.bytes.is_some_and(|bytes| total > bytes) && dated.end < newest;
        if old || much {
            total -= dated.bytes;
            expired.push(dated.index);
        }
    }
    expired
}

/// The end of the day that an index's name says.
fn end_of(day: &str) -> Option<u64> {
    let date = jiff::civil::Date::strptime("%Y.%m.%d", day).ok()?;
    let begin = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    u64::try_from(begin).ok().map(|begin| begin + DAY_MS)
}

impl Inner {
    /// Deletes what is too old or too much; returns which indices.
    pub(crate) async fn retain(&self, retention: Retention) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for signal in Signal::ALL {
            let pattern = self.reading.names.all_of(signal);
            // Needs no right on the cluster, as a list of indices would. What is closed is left out, and stays.
            let path = format!("/{pattern}/_stats/store");
            let stats: Stats = self.reading.client.ask(Method::Get, &path).await?.success()?.json()?;
            for (index, figures) in stats.indices {
                let day = index.get(pattern.len() - 1..).unwrap_or_default();
                let end = if day == UNDATED { self.last_arrival(&index).await? } else { end_of(day) };
                let bytes = figures["total"]["store"]["size_in_bytes"].as_u64().unwrap_or(0);
                // An index of another name is not the store's.
                all.extend(end.map(|end| Dated { index, end, bytes }));
            }
        }
        let expired = expired(all, retention, now());
        for index in &expired {
            let answer = self.reading.client.ask(Method::Delete, &format!("/{index}")).await?;
            match answer.success() {
                Ok(_) => tracing::info!(index, "deleted by retention"),
                // Another process was first.
                Err(error) if error.status() == Some(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// When the newest record of an index was written, in milliseconds since the Unix epoch.
    async fn last_arrival(&self, index: &str) -> Result<Option<u64>, Error> {
        let body = json!({ "size": 1, "sort": [{ "at": "desc" }], "_source": ["at"] });
        let answer = self.reading.client.json(Method::Post, &format!("/{index}/_search"), &body).await?;
        let found: Value = answer.success()?.json()?;
        Ok(found["hits"]["hits"][0]["_source"]["at"].as_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let all: Vec<Dated> =
            (1..=5).map(|day| Dated { index: format!("i{day}"), end: day * DAY_MS, bytes: 10 }).collect();
        let check = |age: Option<u64>, bytes: Option<u64>, expect: &[&str]| {
            let age = age.map(|days| Duration::from_millis(days * DAY_MS));
            let found = expired(all.clone(), Retention { age, bytes }, 5 * DAY_MS + 1);
            assert_eq!(found, expect, "{age:?} {bytes:?}");
        };
        check(None, None, &[]);
        check(Some(3), None, &["i1", "i2"]);
        check(None, Some(50), &[]);
        check(None, Some(35), &["i1", "i2"]);
        check(Some(1), Some(35), &["i1", "i2", "i3", "i4"]);
        check(None, Some(0), &["i1", "i2", "i3", "i4"]);
    }

    #[test]
    fn names_tell_days() {
        assert_eq!(end_of("1970.01.01"), Some(DAY_MS));
        assert_eq!(end_of("2023.11.15"), Some(1_700_092_800_000));
        assert_eq!(end_of("undated"), None);
        assert_eq!(end_of("2023.11.15-x"), None);
    }
}
