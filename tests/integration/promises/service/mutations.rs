//! P04: bodies with random damage, the same on every run: always an answer, never the service's fault.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::{Value, json};

use super::super::Nest;
use super::{asking, is_described, said};
use crate::support::Upstream;

const BODIES: usize = 300;
const AT_ONCE: usize = 16;
const SEED: u64 = 0x9E60;

/// Fragments that mean something to a parser.
const FRAGMENTS: [&str; 26] = [
    "null",
    "true",
    "{}",
    "[]",
    "[[]]",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "1e999",
    "-0",
    "0.1e-400",
    "99999999999999999999",
    "{\"role\":\"user\"}",
    "{\"type\":\"image_url\"}",
    "\"stream\":true,",
    "\"n\":0,",
    "\"model\":\"\",",
    "\\",
    "\"",
    ",",
    ":",
    "}",
    "]",
    "\u{feff}",
    "\r\n\r\n",
    "\0",
];

/// Three to eight kinds of damage at random places.
fn damage(text: &str, random: &mut fastrand::Rng) -> Bytes {
    let mut body = text.as_bytes().to_vec();
    for _ in 0..random.usize(1..6) {
        if body.is_empty() {
            break;
        }
        let at = random.usize(..body.len());
        let end = random.usize(at..=body.len().min(at + 30));
        match random.u8(..7) {
            0 => body[at] ^= 1 << random.u8(..8),
            1 => body[at] = random.u8(..),
            2 => drop(body.drain(at..end)),
            3 => {
                let piece = body[at..end].repeat(random.usize(1..200));
                body.splice(at..at, piece);
            }
            4 => {
                let fragment = FRAGMENTS[random.usize(..FRAGMENTS.len())];
                body.splice(at..at, fragment.bytes());
            }
            5 => {
                let fragment = FRAGMENTS[random.usize(..FRAGMENTS.len())];
                body.splice(at..end, fragment.bytes());
            }
            _ => body.truncate(at.max(1)),
        }
    }
    body.into()
}

/// Replaces one value anywhere in a body by another one, so that the result is JSON that means nothing.
fn transplant(body: &Value, random: &mut fastrand::Rng) -> Bytes {
    let strange = [
        json!(null),
        json!(false),
        json!(-1),
        json!(1e300),
        json!(""),
        json!([]),
        json!({}),
        json!("\0"),
        json!([null]),
        json!({"role": {}}),
        json!("x".repeat(5_000)),
        json!([[[[[[]]]]]]),
    ];
    let value = strange[random.usize(..strange.len())].clone();
    let mut body = body.clone();
    graft(&mut body, value, random);
    body.to_string().into()
}

/// Puts a value in the place of this one or of something in it.
fn graft(place: &mut Value, value: Value, random: &mut fastrand::Rng) {
    let mut children: Vec<&mut Value> = match place {
        Value::Object(members) => members.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    if children.is_empty() || random.u8(..4) == 0 {
        *place = value;
        return;
    }
    let at = random.usize(..children.len());
    graft(children.swap_remove(at), value, random);
}

#[tokio::test]
async fn p04_300_mutated_bodies_on_each_endpoint_all_get_an_answer() {
    let upstream = Upstream::start().await;
    let mut nest = Nest::start(&upstream).await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut sent = Vec::new();
    for streams in [false, true] {
        for (path, mut body) in asking("Say hello, 🪶.", streams) {
            body["temperature"] = json!(0.5);
            body["max_tokens"] = json!(20);
            body["stop"] = json!(["x"]);
            if path == "/create/chat" {
                body["history"] = json!([{"role": "user", "content": "a"}]);
            }
            for number in 0..BODIES / 2 {
                let mutated = if number % 3 == 0 {
                    transplant(&body, &mut random)
                } else {
                    damage(&body.to_string(), &mut random)
                };
                sent.push((path, mutated));
            }
        }
    }
    assert_eq!(sent.len(), 3 * BODIES);
    let client = &nest;
    let answers: Vec<_> = stream::iter(&sent)
        .map(async |(path, body)| {
            let request = client
                .request(Method::POST, path)
                .header("content-type", "application/json")
                .body(body.clone());
            (*path, body, client.send(request).await)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut refused = 0;
    for (path, body, answer) in &answers {
        let shown = body[..body.len().min(400)].escape_ascii();
        if answer.status == 200 {
            // Complete, with its end.
            said(path, answer);
        } else {
            assert!(
                (400..500).contains(&answer.status),
                "{path}: {shown}: {answer:?}"
            );
            assert!(is_described(path, answer), "{path}: {shown}: {answer:?}");
            refused += 1;
        }
    }
    let (few, most) = (BODIES, 3 * BODIES);
    assert!(
        (few..most).contains(&refused),
        "most is garbage, not all: {refused}"
    );
    assert_eq!(nest.get("/health").await.json()["status"], "ok");
    let stderr = nest.process().stderr();
    assert!(!stderr.contains("panicked"), "{stderr}");
}
