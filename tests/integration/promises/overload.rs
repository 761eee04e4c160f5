//! Too much load, retries, the breaker and the sockets (P50–P62).

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use super::Nest;
use super::service::asking;
use crate::support::Answer;

mod breaker;
mod outages;
mod probes;
mod shedding;
mod sockets;

/// Sends this many requests, each with a prompt of its own, by turns to each endpoint, whole and streaming.
async fn ask_many(nest: &Nest, prefix: &str, requests: usize, at_once: usize) -> Vec<Answer> {
    stream::iter(0..requests)
        .map(async |number| {
            let prompt = format!("{prefix} {number}");
            let [first, second, third] = asking(&prompt, number % 2 == 1);
            let (path, body) = [first, second, third].into_iter().nth(number % 3).unwrap();
            nest.post(path, &body, &[]).await
        })
        .buffer_unordered(at_once)
        .collect()
        .await
}

/// The states of all circuits.
async fn states(nest: &Nest) -> Vec<String> {
    let health = nest.get("/health/circuit-breakers").await.json();
    let all = health["circuitBreakers"].as_array().unwrap();
    let state = |circuit: &Value| circuit["state"].as_str().unwrap().to_owned();
    all.iter().map(state).collect()
}
