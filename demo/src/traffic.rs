//! Weighted journeys of the shop's visitors.
use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use crate::call;

const SEED: u64 = 0x5eed;

/// Sends about `rate` requests per second to the storefront until `stop`.
pub(crate) async fn run(run_dir: PathBuf, rate: f64, stop: CancellationToken) {
    let http = call::client();
    let mut random = StdRng::seed_from_u64(SEED);
    loop {
        let pause = Duration::from_secs_f64(random.random_range(0.5..1.5) / rate.max(0.01));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        let (method, path) = match random.random_range(0..10) {
            0..6 => (Method::POST, format!("/checkout/{}", random.random_range(2..5))),
            _ => (Method::GET, "/".to_owned()),
        };
        let (http, run_dir) = (http.clone(), run_dir.clone());
        tokio::spawn(async move {
            // An unreachable storefront is part of the show: its absence is seen in its own logs.
            let _ = call::send(&http, &run_dir, "storefront", method, &path, "").await;
        });
    }
}
