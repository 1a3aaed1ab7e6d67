//! The role that people look at: the query API (`/api/v1`) and the web app.
//!
//! It reads through the store's [`Reader`](weir_store::Reader) and knows no engine. `docs/reference/api.md` is the contract of the API;
//! `/api/openapi.json` describes it to machines.
//!
//! - [`build`] binds, [`QueryUi::run`] serves until shutdown; [`app`] is the same without a socket
//! - `api`: one file per group of endpoints; `body`: the JSON of records
//! - `forward`: instead of both, asking the collector that owns the data
//! - `guard`: who may ask (DNS rebinding), for how long and how many at a time
//! - `colors`: each service's colour, assigned once
//! - `assets`: the embedded web app

mod api;
mod app;
mod assets;
mod body;
mod colors;
mod config;
mod deps;
mod error;
mod forward;
mod guard;
mod params;
mod serve;
mod time;

pub use app::{app, openapi};
pub use config::Config;
pub use deps::{
    Deps, GlobStatus, Hole, ReceiverStatus, SignalCounts, SourceStatus, StageStatus, StatusReport,
    StatusSource,
};
pub use forward::Remote;
pub use serve::{BuildError, QueryUi, Source, build};
