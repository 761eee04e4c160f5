//! Shared calls and the cache (P30–P45; P45 is in `crate::cache::memory`).

use serde_json::Value;

use super::Nest;
use crate::support::within;

mod flights;
mod hits;
mod identity;
mod replays;

/// Waits until the proxy works on so many requests in all, which counts those that wait for a shared call.
async fn wait_for_requests(nest: &Nest, requests: u64) {
    within("the requests' arrival", async {
        while figure(nest, "/performance/totalRequests").await < requests {}
    })
    .await;
}

/// A figure of `/api/optimization-stats`.
async fn figure(nest: &Nest, pointer: &str) -> u64 {
    let stats: Value = nest.get("/api/optimization-stats").await.json();
    stats.pointer(pointer).and_then(Value::as_u64).unwrap()
}
