//! Configuration of the role.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_runtime::Period;
use weir_runtime::config::Validate;

use crate::forward::authority;

/// Where and how the query API and the web app are served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host names under which this server may be addressed, besides those of the loopback. Empty on an address that is not a loopback
    /// one: any.
    pub allowed_hosts: Vec<String>,
    /// For `weir query` alone: where the web app of the collector is whose data folder holds the data, as `http://collector:7070`. Left out where
    /// `store.elastic.urls` are named.
    pub collector: String,
    /// A query that takes longer is given up.
    pub query_timeout: Period,
    /// Queries that run at a time; further ones wait.
    pub queries: usize,
    /// Live tails at a time; further ones are refused.
    pub tails: usize,
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long open requests may take to end when the role stops.
    pub drain: Period,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            allowed_hosts: Vec::new(),
            collector: String::new(),
            query_timeout: Period::secs(30),
            queries: 32,
            tails: 64,
            connections: 1024,
            drain: Period::secs(5),
        }
    }
}

impl Validate for Config {
    fn validate(&self, problems: &mut Vec<String>) {
        for (name, value) in
            [("queries", self.queries), ("tails", self.tails), ("connections", self.connections)]
        {
            if value == 0 {
                problems.push(format!("query.{name}: must be at least 1"));
            }
        }
        if !self.collector.is_empty() && authority(&self.collector).is_none() {
            problems.push(format!(
                "query.collector: `{}` is no address of a collector; write it like http://collector:7070",
                self.collector
            ));
        }
        if self.query_timeout.0.is_zero() {
            problems.push("query.query_timeout: must be longer than 0s, for example 30s".into());
        }
    }
}
