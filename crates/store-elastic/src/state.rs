//! Small values, each in a document that is replaced only in the state that was read.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use weir_store::{PutError, Revision, State};
use xxhash_rust::xxh3::xxh3_128;

use crate::ElasticStore;
use crate::bulk::Version;
use crate::client::Client;
use crate::error::Error;
use crate::meta::{self, Kind};

#[derive(Serialize, Deserialize)]
struct Stored {
    key: String,
    revision: u64,
    /// In base64.
    value: String,
}

/// Keys may be anything, ids not.
fn id(key: &str) -> String {
    format!("value.{:032x}", xxh3_128(key.as_bytes()))
}

async fn read(client: &Client, index: &str, key: &str) -> Result<Option<(Version, Stored)>, PutError> {
    let found = meta::get::<Stored>(client, index, &id(key)).await.map_err(Error::on_put)?;
    // Nobody has seen two keys with one hash of 128 bits.
    Ok(found.filter(|(_, stored)| stored.key == key))
}

/// The value of a key.
pub(crate) async fn get(
    client: &Client,
    index: &str,
    key: &str,
) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
    let Some((_, stored)) = read(client, index, key).await? else { return Ok(None) };
    let value = STANDARD.decode(&stored.value);
    let value = value.map_err(|error| PutError::Retry(format!("the value of {key} is damaged: {error}")))?;
    Ok(Some((Revision(stored.revision), value)))
}

#[async_trait]
impl State for ElasticStore {
    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>, PutError> {
        get(&self.inner.reading.client, &self.inner.meta, key).await
    }

    async fn put_if(&self, key: &str, revision: Revision, value: &[u8]) -> Result<Revision, PutError> {
        let (client, index) = (&self.inner.reading.client, &self.inner.meta);
        let before = read(client, index, key).await?;
        let now = before.as_ref().map_or(0, |(_, stored)| stored.revision);
        if now != revision.0 {
            return Err(PutError::Conflict(Revision(now)));
        }
        let stored = Stored { key: key.to_owned(), revision: now + 1, value: STANDARD.encode(value) };
        let id = id(key);
        let (version, document) =
            (before.map(|(version, _)| version), meta::document(Kind::Value, &id, &stored));
        let written = meta::put(client, index, &id, version, &document).await;
        match written.map_err(Error::on_put)? {
            Some(_) => Ok(Revision(now + 1)),
            None => {
                let now = read(client, index, key).await?.map_or(0, |(_, stored)| stored.revision);
                Err(PutError::Conflict(Revision(now)))
            }
        }
    }
}
