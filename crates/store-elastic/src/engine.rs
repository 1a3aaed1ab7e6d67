//! Which engine answers, and where the two families differ.

use std::time::Duration;

use elasticsearch::http::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::Error;

/// How long a point in time is kept after it was last used.
pub(crate) const KEEP_ALIVE: &str = "5m";
/// A little less, for what is asked at its end.
pub(crate) const KEPT: Duration = Duration::from_secs(290);
/// Oldest versions that are known to work.
const ELASTICSEARCH: (u64, u64) = (7, 17);
const OPENSEARCH: (u64, u64) = (2, 4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Elasticsearch,
    OpenSearch,
}

impl Family {
    /// Asks who is there. Where that is not allowed, what an engine understands tells: `index` is one that exists.
    pub(crate) async fn detect(client: &Client, index: &str) -> Result<Self, Error> {
        let answer = client.ask(Method::Get, "/").await?;
        if answer.status == 200
            && let Some((family, version)) = introduced(&answer.json()?)
        {
            let (name, least) = match family {
                Self::Elasticsearch => ("Elasticsearch", ELASTICSEARCH),
                Self::OpenSearch => ("OpenSearch", OPENSEARCH),
            };
            if version < least {
                return Err(Error::Config(format!(
                    "{name} {}.{} is too old: at least {}.{} is needed",
                    version.0, version.1, least.0, least.1
                )));
            }
            return Ok(family);
        }
        let refused = answer.refusal();
        for family in [Self::Elasticsearch, Self::OpenSearch] {
            match family.open_pit(client, index).await {
                Ok(pit) => {
                    family.close_pit(client, &pit).await?;
                    return Ok(family);
                }
                Err(error @ Error::Missing(_)) => return Err(error),
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// Opens a point in time over indices, of which there must be one.
    pub(crate) async fn open_pit(self, client: &Client, indices: &str) -> Result<String, Error> {
        // OpenSearch would leave out shards that it has no room for, and say nothing later.
        let (path, field) = match self {
            Self::Elasticsearch => ("_pit?", "id"),
            Self::OpenSearch => ("_search/point_in_time?allow_partial_pit_creation=false&", "pit_id"),
        };
        let path = format!("/{indices}/{path}keep_alive={KEEP_ALIVE}");
        let answer: Value = client.ask(Method::Post, &path).await?.success()?.json()?;
        match answer[field].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(Error::Strange("the search engine gives no point in time".into())),
        }
    }

    pub(crate) async fn close_pit(self, client: &Client, pit: &str) -> Result<(), Error> {
        let (path, body) = match self {
            Self::Elasticsearch => ("/_pit", json!({ "id": pit })),
            Self::OpenSearch => ("/_search/point_in_time", json!({ "pit_id": [pit] })),
        };
        client.json(Method::Delete, path, &body).await?;
        Ok(())
    }
}

/// Family and version by what `GET /` says. OpenSearch may claim the version of an Elasticsearch, so the number alone tells nothing.
fn introduced(root: &Value) -> Option<(Family, (u64, u64))> {
    let number = root["version"]["number"].as_str()?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    let version = (parts.next()??, parts.next()??);
    let tagline = root["tagline"].as_str().unwrap_or_default();
    if root["version"]["distribution"] == "opensearch" || tagline.contains("OpenSearch") {
        // The version that it may claim says nothing of its own.
        return Some((Family::OpenSearch, if version.0 == 7 { OPENSEARCH } else { version }));
    }
    Some((Family::Elasticsearch, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_introduce_themselves() {
        let check = |root: Value, expect: Option<(Family, (u64, u64))>| {
            assert_eq!(introduced(&root), expect, "{root}");
        };
        let for_search = "You Know, for Search";
        check(
            json!({ "version": { "number": "8.8.2" }, "tagline": for_search }),
            Some((Family::Elasticsearch, (8, 8))),
        );
        check(
            json!({ "version": { "number": "7.17.29", "build_flavor": "default" }, "tagline": for_search }),
            Some((Family::Elasticsearch, (7, 17))),
        );
        check(
            json!({ "version": { "number": "3.8.0", "distribution": "opensearch" }, "tagline": "The OpenSearch Project" }),
            Some((Family::OpenSearch, (3, 8))),
        );
        // With `compatibility.override_main_response_version`.
        check(
            json!({ "version": { "number": "7.10.2" }, "tagline": "The OpenSearch Project: https://opensearch.org/" }),
            Some((Family::OpenSearch, OPENSEARCH)),
        );
        check(json!({ "error": "no" }), None);
    }
}
