//! Whether the nodes of a search engine answer, found out beside all that is asked of it for its own sake.

use std::sync::Arc;
use std::time::Instant;

use weir_store::StoreError;

use crate::client::Client;
use crate::error::Error;

/// A document that is never there: what can be asked with the right to read alone, and costs next to nothing.
const NOTHING: &str = "look";

/// The nodes. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Nodes {
    client: Arc<Client>,
    /// Index of what there is always.
    meta: String,
}

impl Nodes {
    pub(crate) fn new(client: Arc<Client>, meta: String) -> Self {
        Self { client, meta }
    }

    /// Asks all of them something small, which takes a few seconds at most. What the other functions tell is as of the last look.
    ///
    /// # Errors
    /// When none answers, or the first that does refuses.
    pub async fn look(&self) -> Result<(), StoreError> {
        let look = async {
            let answer = self.client.look(&format!("/{}/_doc/{NOTHING}", self.meta)).await?;
            match answer.status {
                404 => match answer.refusal() {
                    error @ Error::Missing(_) => Err(error),
                    _ => Ok(()),
                },
                _ => answer.success().map(drop),
            }
        };
        look.await.map_err(Error::on_read)
    }

    /// Since when none of them answers; `None` where one does.
    pub fn away_since(&self) -> Option<Instant> {
        let (silences, are_all) = self.client.silences();
        silences.iter().map(|silence| silence.since).max().filter(|_| are_all)
    }

    /// The same in words: which, for how long, and why where more is known.
    pub fn away(&self) -> Option<String> {
        self.away_since()
            .map(|_| format!("no node of the search engine answers: {}", self.silent().join("; ")))
    }

    /// Those that do not answer, in words.
    pub fn silent(&self) -> Vec<String> {
        self.client.silences().0.iter().map(|silence| silence.told()).collect()
    }
}
