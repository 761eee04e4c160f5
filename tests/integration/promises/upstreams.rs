//! P10–P19: whatever the upstream does wrong, the caller gets a proper error or a proper answer, in time, through every
//! door and in its dialect.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Nest;
use crate::support::{Act, End, Upstream, completion};

pub(super) use door::{Door, Outcome};

mod absent;
mod attempts;
mod bombs;
mod deadline;
mod door;
mod errors;
mod faults;
mod gibberish;
mod shapes;

/// Every call is judged for itself: no circuit opens after a row of faults, and no budget of retries runs out.
const EACH_FOR_ITSELF: &str =
    "breaker.enabled = false\n[retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\nbudget = 1.0\n";

/// The same without a second attempt.
const ONE_ATTEMPT: &str = "breaker.enabled = false\nretry.max_attempts = 1\n";

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn start(settings: &str) -> (Upstream, Nest) {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, settings).await;
    (upstream, nest)
}

/// The process lives, whatever the upstream does.
async fn assert_alive(nest: &Nest, what: &str) {
    for path in ["/health", "/health/live", "/health/ready"] {
        let answer = nest.get(path).await;
        assert_eq!(answer.status, 200, "{what}: {path} {answer:?}");
    }
}
