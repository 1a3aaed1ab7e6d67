//! Small documents that are read by their id and replaced only in the state that was read: lanes, their ledgers, and users' values.

use elasticsearch::http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bulk::Version;
use crate::client::Client;
use crate::error::Error;

/// What a document of the index is, in its field `signal`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Lane,
    Ledger,
    Value,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Ledger => "ledger",
            Self::Value => "value",
        }
    }
}

#[derive(Deserialize)]
struct Found {
    #[serde(flatten)]
    version: Option<Version>,
    /// Not there in the answer of an engine that has no such index.
    found: Option<bool>,
    #[serde(rename = "_source", default)]
    source: Value,
}

/// The document of a body. Its id is a field as well, by which such documents are sorted.
pub(crate) fn document(kind: Kind, id: &str, body: &impl Serialize) -> Value {
    json!({ "signal": kind.name(), "key": id, "body": body })
}

/// The body of a document's source.
pub(crate) fn body<T: DeserializeOwned>(mut source: Value) -> Result<T, Error> {
    serde_json::from_value(source["body"].take())
        .map_err(|error| Error::Strange(format!("a document of the store is damaged: {error}")))
}

/// What was written last, whether searches see it yet or not.
pub(crate) async fn get<T: DeserializeOwned>(
    client: &Client,
    index: &str,
    id: &str,
) -> Result<Option<(Version, T)>, Error> {
    let answer = client.ask(Method::Get, &format!("/{index}/_doc/{id}?realtime=true")).await?;
    match answer.json() {
        Ok(Found { found: Some(true), version: Some(version), source }) => Ok(Some((version, body(source)?))),
        Ok(Found { found: Some(false), .. }) => Ok(None),
        _ => Err(answer.refusal()),
    }
}

/// Writes a document in place of the one of a version, or where there is none. `None` where it is another's meanwhile.
pub(crate) async fn put(
    client: &Client,
    index: &str,
    id: &str,
    version: Option<Version>,
    document: &Value,
) -> Result<Option<Version>, Error> {
    let condition = match version {
        None => "op_type=create".to_owned(),
        Some(Version { seq_no, primary_term }) => {
            format!("if_seq_no={seq_no}&if_primary_term={primary_term}")
        }
    };
    let answer = client.json(Method::Put, &format!("/{index}/_doc/{id}?{condition}"), document).await?;
    match answer.status {
        409 => Ok(None),
        _ => Ok(Some(answer.success()?.json()?)),
    }
}

/// Reads several documents of an index by their ids, in their order.
pub(crate) async fn get_many<T: DeserializeOwned>(
    client: &Client,
    ids: &[(&str, &str)],
) -> Result<Vec<Option<(Version, T)>>, Error> {
    #[derive(Deserialize)]
    struct Answer {
        docs: Vec<Found>,
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let docs: Vec<Value> = ids.iter().map(|(index, id)| json!({ "_index": index, "_id": id })).collect();
    let answer = client.json(Method::Post, "/_mget?realtime=true", &json!({ "docs": docs })).await?;
    let answer: Answer = answer.success()?.json()?;
    let read = |found: Found| match found {
        Found { found: Some(true), version: Some(version), source } => Ok(Some((version, body(source)?))),
        _ => Ok(None),
    };
    answer.docs.into_iter().map(read).collect()
}
