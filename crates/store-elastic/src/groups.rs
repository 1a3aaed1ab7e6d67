//! Records by the values of an attribute, counted by the engine over tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_store::Table;

use crate::aggregate::groups_table;
use crate::error::Error;
use crate::query::{Candidates, Named, attribute_tokens};
use crate::tokens;
use crate::values::{LISTED, begins_with, listed, read};
use crate::view::View;

/// Kinds of plain values.
const KINDS: [char; 3] = ['t', 'n', 'b'];

impl View {
    /// `None` where tokens do not tell: a record has a list, a long text or a key twice, or there are too many values.
    pub(crate) async fn attribute_groups(
        &self,
        query: &Candidates,
        key: &str,
        limit: usize,
    ) -> Result<Option<Table>, Error> {
        // The resource's counts before the scope's, and that before the record's own.
        let keys = attribute_tokens(key);
        if keys.iter().any(|(_, name)| tokens::only_present(name)) {
            return Ok(None);
        }
        let key_on = |(level, name): &Named<'_>| tokens::key(*level, name);
        let odd: Vec<String> = keys.iter().map(|(level, name)| tokens::odd_key(*level, name)).collect();
        let mut aggregations = serde_json::Map::new();
        aggregations.insert("odd".into(), json!({ "filter": { "terms": { "keys": odd } } }));
        for (n, key) in keys.iter().enumerate() {
            let before: Vec<String> = keys[..n].iter().map(key_on).collect();
            let here = json!({ "bool": {
                "filter": [{ "term": { "keys": key_on(key) } }], "must_not": [{ "terms": { "keys": before } }]
            } });
            let list = |kind: char| {
                let pattern = begins_with(&tokens::kind(key.0, key.1, kind));
                json!({ "terms": {
                    "field": "attrs", "include": pattern, "size": LISTED, "execution_hint": "map"
                } })
            };
            let kinds: serde_json::Map<String, Value> =
                KINDS.iter().map(|kind| (kind.to_string(), list(*kind))).collect();
            aggregations.insert(n.to_string(), json!({ "filter": here, "aggs": kinds }));
        }
        let answer = self.aggregate(query, aggregations.into()).await?;
        if answer["odd"]["doc_count"] != 0 {
            return Ok(None);
        }
        let mut groups: BTreeMap<String, u64> = BTreeMap::new();
        for (n, (level, name)) in keys.iter().enumerate() {
            for kind in KINDS {
                let (tokens, all) = listed(&answer[n.to_string()][kind.to_string()]);
                if !all {
                    return Ok(None);
                }
                let from = tokens::kind(*level, name, kind).len();
                for (token, count) in tokens {
                    let Some(value) = token.get(from..).and_then(|value| read(kind, value)) else { continue };
                    *groups.entry(value).or_default() += count;
                }
            }
        }
        let total = answer["total"].as_u64().unwrap_or(0);
        let missing = total.saturating_sub(groups.values().sum());
        Ok(Some(groups_table(total, groups, limit, missing)))
    }
}
