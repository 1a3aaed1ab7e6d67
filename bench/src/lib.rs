//! What the benchmarks share: seeded data, CPU time, and a table of results.
//!
//! A figure is never judged alone: each stands beside a peer that ran in the same process or run, and the ratio is what counts.

pub mod cpu;
pub mod nginx;
pub mod process;
pub mod spans;
pub mod table;
