//! What the benchmarks share: seeded data, bare loops, CPU time, and a report with floors.
//!
//! A figure is never judged alone: each stands beside a peer that ran in the same process or run, and the ratio is what counts.

pub mod bare;
pub mod bulk;
pub mod cpu;
pub mod follow;
pub mod index;
pub mod load;
pub mod nginx;
pub mod process;
pub mod report;
pub mod rsyslog;
pub mod spans;
pub mod topic;
pub mod traces;
