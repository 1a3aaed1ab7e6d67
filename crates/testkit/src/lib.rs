//! For tests and benchmarks only: real servers in processes of their own, on loopback.
//!
//! They are fetched by `scripts/engine.sh` into a cache. One that is not there fails the test with what to run.

mod engine;
pub mod kafka;
pub mod otelcol;
mod process;
pub mod proxy;
pub mod search;
pub mod secured;

pub use process::{Process, free_port};
