//! The time by which shards age.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the store takes the time from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The operating system's.
    System,
    /// Seconds since the Unix epoch, set by a test.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// Seconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            Clock::Manual(now) => now.load(Ordering::Relaxed),
        }
    }
}
