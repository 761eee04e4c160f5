//! Shared calls and the cache (P30–P45; P45 is in `crate::cache::memory`).

use serde_json::Value;

use super::Nest;
use crate::support::within;

mod flights;
mod hits;
mod identity;
mod replays;

/// Waits until so many callers share calls.
async fn wait_for_callers(nest: &Nest, callers: usize) {
    within("the callers of shared calls", async {
        while figure(nest, "/dedup/callers").await != callers as u64 {}
    })
    .await;
}

/// A figure of `/api/optimization-stats`.
async fn figure(nest: &Nest, pointer: &str) -> u64 {
    let stats: Value = nest.get("/api/optimization-stats").await.json();
    stats.pointer(pointer).and_then(Value::as_u64).unwrap()
}
