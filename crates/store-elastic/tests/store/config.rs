//! A store in the one node of a test.

use weir_runtime::Period;
use weir_store_elastic::Config;

/// One shard without copies: what a single node can hold. Nothing is found because some time has passed.
pub(crate) fn config(url: &str, prefix: &str) -> Config {
    Config {
        urls: vec![url.to_owned()],
        prefix: prefix.to_owned(),
        shards: 1,
        replicas: 0,
        refresh: Period::secs(600),
        ..Config::default()
    }
}
