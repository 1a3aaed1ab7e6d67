//! What every role needs to run: configuration, shutdown, logs and metrics of its own.

pub mod cause;
pub mod config;
pub mod health;
pub mod metrics;
pub mod reference;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod trouble;
pub mod units;

pub use health::Health;
pub use metrics::Metrics;
pub use secret::Secret;
pub use trouble::Trouble;
pub use units::{ByteSize, Period};
