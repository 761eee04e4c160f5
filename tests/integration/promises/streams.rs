//! P20–P24: streams arrive as they leave, in whatever frames they come; a broken one never looks finished; a client that
//! leaves, or does not read, is noticed by the upstream.

use serde_json::{Value, json};

use super::Nest;
use super::upstreams::{Door, Outcome};
use crate::support::{Act, End, Events, Gate, Upstream, delta, event, finish, within};

mod broken;
mod framing;
mod hang_ups;
mod relay;
mod slow;
mod utf_8;

/// The doors that stream.
const STREAMS: [Door; 3] = [Door::ChatStream, Door::CreateStream, Door::TurnStream];

/// Each call for itself, and once.
const ONE_ATTEMPT: &str = "breaker.enabled = false\nretry.max_attempts = 1\n";

async fn start(settings: &str) -> (Upstream, Nest) {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, settings).await;
    (upstream, nest)
}

/// Asks for a stream and waits for its head.
async fn open(nest: &Nest, door: Door, prompt: &str, headers: &[(&str, &str)]) -> Events {
    nest.stream_from(door.path(), &door.body(prompt), headers)
        .await
}

/// The text of one event, whichever the door.
fn text_in(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    let text = event["delta"].as_str();
    let text = text.or(event["choices"][0]["delta"]["content"].as_str());
    text.unwrap_or_default().to_owned()
}

/// The ending of a good stream.
fn ending() -> String {
    event(&finish("stop")) + &event("[DONE]")
}

/// There is nothing in it that any SDK's parser could stumble over.
fn assert_clean(outcome: &Outcome, what: &str) {
    let body = &outcome.body;
    assert!(
        body.is_empty() || body.ends_with("\n\n"),
        "{what}: {body:?}"
    );
    assert!(
        !body.contains('\r') && !body.contains('\u{fffd}') && !body.contains('\u{feff}'),
        "{what}: {body:?}"
    );
    for line in body.lines() {
        let data = line.strip_prefix("data: ");
        let is_json =
            |data: &str| serde_json::from_str::<Value>(data).is_ok_and(|value| value.is_object());
        let is_good = match data {
            Some(data) => data == "[DONE]" || is_json(data),
            None => line.is_empty() || line.starts_with(':'),
        };
        assert!(is_good, "{what}: {line:?} in {body:?}");
    }
    for event in body.trim_end_matches('\n').split("\n\n") {
        assert!(
            event.contains("data: "),
            "{what}: an event without data in {body:?}"
        );
    }
}
