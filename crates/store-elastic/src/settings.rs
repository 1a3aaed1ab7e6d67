//! What is told about a search engine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_runtime::config::Validate;
use weir_runtime::{Period, Secret};

/// An Elasticsearch (7.17, 8, 9) or OpenSearch (2, 3) that stores the data, where one does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Nodes, each as `http://host:port` or `https://host:port`. They are asked in turn; where one is away the next one is.
    pub urls: Vec<String>,
    /// What the names of all indices begin with.
    pub prefix: String,
    /// User for basic authentication.
    pub username: String,
    /// Password for basic authentication.
    pub password: Secret,
    /// API key in its encoded form, instead of a user.
    pub api_key: Secret,
    /// PEM file of the certificate authority that signed the nodes' certificates, beside those that are known everywhere.
    pub ca_file: Option<PathBuf>,
    /// Shards of an index.
    pub shards: u32,
    /// Copies of a shard beside the first.
    pub replicas: u32,
    /// How long what was written may take to be found by another process.
    pub refresh: Period,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            prefix: "weir".into(),
            username: String::new(),
            password: Secret::default(),
            api_key: Secret::default(),
            ca_file: None,
            shards: 1,
            replicas: 1,
            refresh: Period::secs(1),
        }
    }
}

/// Longest prefix, so that names of indices stay below the 255 bytes that engines allow.
const PREFIX_BYTES: usize = 100;

impl Config {
    /// Whether a search engine is to be used at all.
    pub fn is_used(&self) -> bool {
        !self.urls.is_empty()
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        if !self.is_used() {
            return;
        }
        let mut wrong = |key: &str, what: String| problems.push(format!("store.elastic.{key}: {what}"));
        for url in &self.urls {
            let usable = url::Url::parse(url).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
            });
            if !usable {
                wrong(
                    "urls",
                    format!("`{url}` is no address of a node; write it like https://search-1:9200"),
                );
            }
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        if !self.prefix.starts_with(|c: char| c.is_ascii_lowercase())
            || self.prefix.len() > PREFIX_BYTES
            || !self.prefix.chars().all(allowed)
        {
            wrong("prefix", format!("a-z first, then up to {PREFIX_BYTES} of a-z 0-9 _ - ."));
        }
        if !self.api_key.is_empty() && !self.username.is_empty() {
            wrong("api_key", "either an API key or a user, not both".into());
        }
        if self.username.is_empty() != self.password.is_empty() {
            wrong(
                "username",
                "username and password belong together; the password is best told in WEIR_STORE__ELASTIC__PASSWORD".into(),
            );
        }
        if self.shards == 0 || self.shards > 100 {
            wrong("shards", "between 1 and 100".into());
        }
        if self.refresh.0 < std::time::Duration::from_millis(100) {
            wrong("refresh", "at least 100ms".into());
        }
    }
}
