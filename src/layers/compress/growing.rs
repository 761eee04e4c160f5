//! A conversation that grows turn by turn: what went out once goes out again byte for byte, or the provider's own cache,
//! which was paid for with the first of these turns, would hold something else.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::compress_messages;
use crate::compressor::{Compressor, Level, Plan};
use crate::json::Json;

/// Texts in which levels find something to take out, by themselves or because they came before.
const TEXTS: [&str; 5] = [
    "We went home  and nobody was there to open the door for us, in order to see which of the rooms were free.\n",
    "{\n    \"rooms\": [\n        {\"id\": 1,  \"name\": \"blue\", \"free\": true}\n    ]\n}\n",
    "2026-01-02T10:00:00Z INFO request served path=/a status=200\n2026-01-02T10:00:01Z INFO request served path=/b status=200\n",
    "```\ndef read(path):\n    with open(path) as file:  \n        return file.read()\n\n\n\n\nprint(read(a))\n```\n",
    "The rooms on the first floor were painted last week, and their keys hang beside the door of the kitchen.\n",
];

const LEVELS: [Level; 3] = [Level::Safe, Level::Balanced, Level::Aggressive];

fn text() -> impl Strategy<Value = String> {
    let paragraphs =
        proptest::collection::vec((proptest::sample::select(&TEXTS[..]), 1..6_usize), 1..5);
    paragraphs.prop_map(|all| {
        let texts = all.into_iter().map(|(text, times)| text.repeat(times));
        texts.collect::<Vec<_>>().join("\n")
    })
}

/// A message, with breakpoints that its client set or without.
fn message() -> impl Strategy<Value = Value> {
    let role = proptest::sample::select(&["user", "tool", "assistant", "system"][..]);
    (role, text(), 0..4_u8).prop_map(|(role, text, shape)| match shape {
        0 | 1 => json!({"role": role, "content": text}),
        2 => json!({"role": role, "content": [{"type": "text", "text": text}]}),
        _ => json!({"role": role, "content": [
            {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}},
        ]}),
    })
}

/// What goes out of a conversation, up to where the next message would stand.
fn outgoing(level: Level, messages: &[Value]) -> Bytes {
    let body = json!({"messages": messages}).to_string();
    let json = Json::parse(Bytes::from(body)).unwrap();
    let plan = Plan::uniform(&Compressor::new(level));
    let edited = compress_messages(&json, &plan, None).map_or(json, |edited| edited.json);
    let text = edited.text();
    text.slice(..text.len() - "]}".len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn every_turn_begins_with_the_bytes_of_the_one_before(
        messages in proptest::collection::vec(message(), 2..8),
    ) {
        for level in LEVELS {
            let mut before = outgoing(level, &messages[..1]);
            for length in 2..=messages.len() {
                let now = outgoing(level, &messages[..length]);
                prop_assert!(now.starts_with(&before), "{level} {length}");
                before = now;
            }
        }
    }
}

#[test]
fn these_texts_are_edited_and_refer_to_each_other() {
    // Of each more than is needed to fold it where it comes again.
    let long = TEXTS.map(|text| text.repeat(3)).join("\n");
    let messages = ["user", "user"].map(|role| json!({"role": role, "content": long}));
    let plain = outgoing(Level::Off, &messages[..1]).len();
    for level in [Level::Balanced, Level::Aggressive] {
        let first = outgoing(level, &messages[..1]).len();
        let second = outgoing(level, &messages).len() - first;
        assert!(first < plain, "{level}: {first} of {plain}");
        assert!(second < first / 2, "{level}: {second} of {first}");
    }
    let wide = json!({"role": "user", "content": TEXTS[0].trim_end().repeat(9)});
    let off = outgoing(Level::Off, std::slice::from_ref(&wide)).len();
    assert!(outgoing(Level::Safe, &[wide]).len() < off);
}
