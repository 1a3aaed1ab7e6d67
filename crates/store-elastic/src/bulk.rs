//! Writing many documents: each item of an answer is judged by itself.
//!
//! A status of success says that a document is on disk. 409 says that there is one with its id already, which is the record itself, since the id is
//! its identity. What a document can't help is tried again, also an error that nobody has heard of: only what names the document itself as its cause
//! refuses it for ever.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use elasticsearch::http::Method;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, cause};
use crate::error::Error;

/// Bytes of a request at which it is full, uncompressed. What engines' makers and other clients use.
const REQUEST_BYTES: usize = 5_000_000;
/// Requests that are under way at a time.
const IN_FLIGHT: usize = 4;
/// First and longest wait before what failed is tried again, and how often it is before the caller is told.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 6;
/// Causes of refusals that are told apart; further ones count as one.
const CAUSES: usize = 32;

/// How a document is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// Only where there is none with its id.
    Create,
    /// In place of the one of this version.
    Replace(Version),
}

/// Which state of a document is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Version {
    #[serde(rename = "_seq_no")]
    pub(crate) seq_no: u64,
    #[serde(rename = "_primary_term")]
    pub(crate) primary_term: u64,
}

/// A document to be written.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) index: String,
    pub(crate) id: String,
    pub(crate) op: Op,
    /// JSON.
    pub(crate) document: Vec<u8>,
}

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    /// There is one with its id, or in another version than expected.
    Conflict,
    /// It can never be stored; why, for a person.
    Refused(String),
}

/// Outcomes by item; `None` where it is open, and then why.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcomes: Vec<Option<Outcome>>,
    pub(crate) problem: Option<Error>,
}

/// Writes to the indices of a store.
#[derive(Debug)]
pub(crate) struct Bulk {
    /// Indices that are known to be there: not every cluster makes one when it is first written to.
    indices: Mutex<HashSet<String>>,
    /// Refused documents by cause.
    refused: Mutex<BTreeMap<String, u64>>,
}

impl Bulk {
    pub(crate) fn new() -> Self {
        Self { indices: Mutex::default(), refused: Mutex::default() }
    }

    /// How many documents were refused, by cause.
    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        self.refused.lock().clone()
    }

    /// Writes documents, a few requests at a time, and tries again for a while.
    pub(crate) async fn write(&self, client: &Client, items: &[Item]) -> Done {
        let mut parts = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut bytes = 0;
        for (n, item) in items.iter().enumerate() {
            if bytes + item.document.len() > REQUEST_BYTES && !open.is_empty() {
                parts.push(std::mem::take(&mut open));
                bytes = 0;
            }
            bytes += item.document.len();
            open.push(n);
        }
        parts.push(open);
        let run = |part: Vec<usize>| Part::new(self, client, items, part).run();
        let parts: Vec<Part<'_>> = stream::iter(parts).map(run).buffer_unordered(IN_FLIGHT).collect().await;
        let mut done = Done { outcomes: vec![None; items.len()], problem: None };
        for part in parts {
            part.outcomes.into_iter().for_each(|(n, outcome)| done.outcomes[n] = Some(outcome));
            done.problem = done.problem.or(part.problem);
        }
        done
    }

    /// Makes indices that may not be there.
    async fn make(&self, client: &Client, items: &[Item], open: &[usize]) -> Result<(), Error> {
        let wanted: HashSet<&str> = open.iter().map(|n| items[*n].index.as_str()).collect();
        for index in wanted {
            if !self.indices.lock().contains(index) {
                create_index(client, index).await?;
                self.indices.lock().insert(index.to_owned());
            }
        }
        Ok(())
    }

    fn refuse(&self, item: &Item, cause: &str) {
        let mut refused = self.refused.lock();
        let known = refused.contains_key(cause) || refused.len() < CAUSES;
        let count = refused.entry(if known { cause } else { "other" }.to_owned()).or_default();
        *count += 1;
        // The first of a kind, and then fewer and fewer.
        if count.is_power_of_two() {
            let (index, id, count) = (&item.index, &item.id, *count);
            tracing::error!(index, id, cause, count, "the search engine refuses a record, which is lost");
        }
    }
}

/// Makes an index where there is none.
pub(crate) async fn create_index(client: &Client, index: &str) -> Result<(), Error> {
    let answer = client.json(Method::Put, &format!("/{index}"), &json!({})).await?;
    match answer.success() {
        Err(Error::Refused { kind, .. }) if kind == "resource_already_exists_exception" => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The items of one request, until each has an outcome.
struct Part<'a> {
    bulk: &'a Bulk,
    client: &'a Client,
    items: &'a [Item],
    /// Items without an outcome.
    open: Vec<usize>,
    outcomes: BTreeMap<usize, Outcome>,
    /// An attempt got no answer, and may have been done all the same.
    unanswered: bool,
    problem: Option<Error>,
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BTreeMap<String, ItemAnswer>>,
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl<'a> Part<'a> {
    fn new(bulk: &'a Bulk, client: &'a Client, items: &'a [Item], open: Vec<usize>) -> Self {
        Self { bulk, client, items, open, outcomes: BTreeMap::new(), unanswered: false, problem: None }
    }

    async fn run(mut self) -> Self {
        let mut wait = RETRY;
        let mut attempt = 0;
        while !self.open.is_empty() {
            let before = self.open.len();
            let attempted = self.attempt().await;
            self.open.retain(|n| !self.outcomes.contains_key(n));
            match attempted {
                // Some were stored: it goes on.
                Ok(()) if self.open.len() < before => attempt = 0,
                Ok(()) => attempt += 1,
                Err(problem) => {
                    self.problem = Some(problem);
                    attempt += 1;
                }
            }
            if self.open.is_empty() {
                break;
            }
            if attempt >= ATTEMPTS {
                return self;
            }
            // Jittered, so that those who were refused together do not come again together.
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..1.0));
            tokio::time::sleep(jittered).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
        self.problem = None;
        self
    }

    /// Sends what is open once.
    async fn attempt(&mut self) -> Result<(), Error> {
        self.bulk.make(self.client, self.items, &self.open).await?;
        // Halves of what was too large as a whole, the first one last.
        let mut parts = vec![self.open.clone()];
        while let Some(part) = parts.pop() {
            let answer = match self.client.lines("/_bulk", &self.body(&part)).await {
                Ok(answer) => answer,
                Err(problem) => {
                    self.unanswered = true;
                    return Err(problem);
                }
            };
            if answer.status == 413 {
                match &part[..] {
                    [one] => self.refuse(*one, "larger than the search engine takes", ""),
                    many => {
                        let (first, second) = many.split_at(many.len() / 2);
                        parts.extend([second.to_vec(), first.to_vec()]);
                    }
                }
                continue;
            }
            // A gateway's answer tells nothing of what the node behind it has done.
            self.unanswered |= matches!(answer.status, 500..=599);
            let answer: BulkAnswer = answer.success()?.json()?;
            if answer.items.len() != part.len() {
                self.unanswered = true;
                return Err(Error::Strange(
                    "the search engine answers for other items than were sent".into(),
                ));
            }
            for (n, item) in part.into_iter().zip(answer.items) {
                if let Some(item) = item.into_values().next() {
                    self.judge(n, &item);
                }
            }
        }
        Ok(())
    }

    fn body(&self, part: &[usize]) -> Vec<u8> {
        let mut body = Vec::new();
        for n in part {
            let Item { index, id, op, document } = &self.items[*n];
            let head = match op {
                Op::Create => json!({ "create": { "_index": index, "_id": id } }),
                Op::Replace(Version { seq_no, primary_term }) => json!({ "index": {
                    "_index": index, "_id": id, "if_seq_no": seq_no, "if_primary_term": primary_term } }),
            };
            body.extend_from_slice(head.to_string().as_bytes());
            body.push(b'\n');
            body.extend_from_slice(document);
            body.push(b'\n');
        }
        body
    }

    fn refuse(&mut self, n: usize, kind: &str, reason: &str) {
        self.bulk.refuse(&self.items[n], kind);
        let why = if reason.is_empty() { kind.to_owned() } else { format!("{kind}: {reason}") };
        self.outcomes.insert(n, Outcome::Refused(why));
    }

    fn judge(&mut self, n: usize, answer: &ItemAnswer) {
        let (kind, reason) = cause(&answer.error);
        match answer.status {
            200..=299 => {
                self.outcomes.insert(n, Outcome::Stored);
            }
            // It was this process that stored it.
            409 if self.unanswered && matches!(self.items[n].op, Op::Create) => {
                self.outcomes.insert(n, Outcome::Stored);
            }
            409 => {
                self.outcomes.insert(n, Outcome::Conflict);
            }
            400 | 413 if is_of_the_document(&kind, &reason) => self.refuse(n, &kind, &reason),
            status => {
                if status == 404 {
                    self.bulk.indices.lock().remove(&self.items[n].index);
                }
                self.problem = Some(Error::Refused { status, kind, reason });
            }
        }
    }
}

/// Whether an error names the document as its cause, and not the state of its index or cluster.
fn is_of_the_document(kind: &str, reason: &str) -> bool {
    match kind {
        "mapper_parsing_exception" | "document_parsing_exception" | "strict_dynamic_mapping_exception" => {
            true
        }
        "illegal_argument_exception" => reason.contains("immense term") || reason.contains("is too long"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_the_document_refuses_it() {
        for (kind, reason, expect) in [
            ("mapper_parsing_exception", "failed to parse field [name]", true),
            ("document_parsing_exception", "[1:20] failed to parse", true),
            (
                "illegal_argument_exception",
                "Document contains at least one immense term in field=\"x\"",
                true,
            ),
            ("illegal_argument_exception", "id [aaa] is too long, must be no longer than 512 bytes", true),
            ("validation_exception", "this action would add [1] shards, but this cluster has 1", false),
            ("illegal_argument_exception", "Validation Failed: 1: this action would add [2] shards", false),
            ("index_closed_exception", "closed", false),
            ("something_new_exception", "", false),
        ] {
            assert_eq!(is_of_the_document(kind, reason), expect, "{kind} {reason}");
        }
    }
}
