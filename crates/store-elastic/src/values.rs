//! Which keys and values there are, counted by the engine over tokens.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_model::Signal;
use weir_store::{FieldKey, TimeRange, Values};

use crate::error::Error;
use crate::query::{Candidates, Named, attribute_tokens, in_range, with_keys};
use crate::tokens::{self, EVENT, OPERATION, RECORD, RESOURCE, SCOPE};
use crate::view::View;

/// Distinct keys or values that are looked at before a list is called incomplete.
pub(crate) const LISTED: usize = 10_000;
/// Bytes of a beginning that the engine compares, below the 1,000 characters that it allows a pattern.
const PATTERN_BYTES: usize = 400;

/// All records of a signal. The last nanosecond is no time that a range can hold.
fn everything(signal: Signal) -> Candidates {
    in_range(signal, TimeRange::ALL)
}

/// A pattern of the engine that matches what begins with a text.
pub(crate) fn begins_with(text: &str) -> String {
    let mut pattern = String::new();
    let text = &text[..text.floor_char_boundary(PATTERN_BYTES)];
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    // `.` leaves out line breaks in none of the engines.
    pattern + ".*"
}

/// Tokens that an aggregation lists, with their counts, and how many records it left out.
pub(crate) fn listed(answer: &Value) -> (Vec<(&str, u64)>, bool) {
    let buckets = answer["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let token = |bucket: &'_ Value| bucket["doc_count"].as_u64().unwrap_or(0);
    let all = buckets.iter().filter_map(|bucket| Some((bucket["key"].as_str()?, token(bucket)))).collect();
    (all, answer["sum_other_doc_count"] == 0)
}

impl View {
    pub(crate) async fn keys(&self, signal: Signal, prefix: &str) -> Result<Vec<FieldKey>, Error> {
        let own = if signal == Signal::Spans { "span" } else { "log" };
        let levels = [(RESOURCE, "resource"), (SCOPE, "scope"), (RECORD, own)];
        let list = |level: char| {
            let pattern = begins_with(&tokens::key(level, prefix));
            json!({ "terms": { "field": "keys", "include": pattern, "size": LISTED, "execution_hint": "map" } })
        };
        let aggregations: Value = levels
            .iter()
            .map(|(level, name)| ((*name).to_owned(), list(*level)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let answer = self.aggregate(&everything(signal), aggregations).await?;
        let mut keys = BTreeSet::new();
        for (level, name) in levels {
            for (token, _) in listed(&answer[name]).0 {
                let key = token.strip_prefix(level).unwrap_or_default().to_owned();
                // Beside the key stands what says that its values are odd.
                if key.ends_with('\0') {
                    continue;
                }
                if key.starts_with(prefix) {
                    keys.insert(FieldKey { key, level: name });
                }
            }
        }
        Ok(keys.into_iter().collect())
    }

    pub(crate) async fn values(
        &self,
        signal: Signal,
        key: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Values, Error> {
        let keys: Vec<Named<'_>> = match key {
            "operation" if signal == Signal::Spans => vec![(OPERATION, "")],
            "event" => vec![(EVENT, "")],
            "service" => vec![(RESOURCE, "service.name")],
            key => attribute_tokens(key),
        };
        let mut aggregations = serde_json::Map::new();
        let kinds = [('t', prefix), ('n', ""), ('b', "")];
        for (n, (level, name)) in keys.iter().enumerate() {
            for (kind, begin) in kinds {
                let pattern = begins_with(&(tokens::kind(*level, name, kind) + begin));
                let list = json!({
                    "field": "attrs", "include": pattern, "size": LISTED, "execution_hint": "map"
                });
                aggregations.insert(format!("{n}{kind}"), json!({ "terms": list }));
            }
        }
        let some = match keys[..] {
            [(OPERATION, _)] => everything(signal),
            _ => Candidates::and([everything(signal), with_keys(&keys)]),
        };
        let answer = self.aggregate(&some, aggregations.into()).await?;
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut complete = true;
        for (n, (level, name)) in keys.iter().enumerate() {
            for (kind, _) in kinds {
                let (tokens, all) = listed(&answer[format!("{n}{kind}")]);
                complete &= all;
                let from = tokens::kind(*level, name, kind).len();
                for (token, count) in tokens {
                    let Some(value) = token.get(from..).and_then(|value| read(kind, value)) else { continue };
                    if value.starts_with(prefix) {
                        *counts.entry(value).or_default() += count;
                    }
                }
            }
        }
        let mut values: Vec<_> = counts.into_iter().collect();
        values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        complete &= values.len() <= limit;
        values.truncate(limit);
        Ok(Values { values, complete })
    }
}

/// The value of a token, as text.
pub(crate) fn read(kind: char, value: &str) -> Option<String> {
    match kind {
        't' => Some(value.to_owned()),
        'n' => tokens::number_of(value).map(|number| number.to_string()),
        _ => Some((value == "1").to_string()),
    }
}
