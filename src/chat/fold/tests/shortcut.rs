//! The shortcut for plain chunks comes to what the thorough way comes to, and is taken.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// What a chunk can have beside its choices. Those that providers send come first.
const FIELDS: [&str; 25] = [
    r#""id":"c1""#,
    r#""object":"chat.completion.chunk""#,
    r#""created":7"#,
    r#""created":8"#,
    r#""model":"m""#,
    r#""system_fingerprint":"fp""#,
    r#""system_fingerprint":null"#,
    r#""system_fingerprint":"""#,
    r#""usage":null"#,
    r#""obfuscation":"xyz""#,
    r#""usage":{"prompt_tokens":3,"completion_tokens":4}"#,
    r#""usage":{"prompt_tokens":0}"#,
    r#""model":"""#,
    r#""model":"n""#,
    r#""id":"\ud83d""#,
    r#""i\u0064":"c2""#,
    r#""x":[1]"#,
    r#""x":1.50"#,
    r#""x":-0"#,
    r#""x":12345678901234567890123"#,
    r#""x":1e999"#,
    r#""error":null"#,
    r#""error":"died""#,
    r#""object":"error""#,
    r#""choices":null"#,
];

/// What a choice can have beside its delta.
const ENDS: [&str; 12] = [
    "",
    r#","index":0"#,
    r#","index":0,"finish_reason":null"#,
    r#","index":0,"logprobs":null,"finish_reason":null"#,
    r#","index":1"#,
    r#","index":0,"finish_reason":"stop""#,
    r#","finish_reason":"""#,
    r#","finish_reason":"error""#,
    r#","logprobs":{"content":[{"token":"a"}]}"#,
    r#","content_filter_results":{}"#,
    r#","index":0,"index":1"#,
    r#","error":"x""#,
];

const DELTAS: [&str; 20] = [
    r#"{"content":"a"}"#,
    r#"{"content":"b\n\u00e4\ud83d\ude00"}"#,
    r#"{"role":"assistant","content":""}"#,
    r#"{"role":"assistant","content":"c","refusal":null}"#,
    r#"{"content":"","reasoning_content":"r"}"#,
    r#"{"content":null,"reasoning":"s","tool_calls":null}"#,
    "{}",
    "null",
    r#"{"content":null}"#,
    r#"{"content":"x","content":"y"}"#,
    r#"{"content":"\ud83d"}"#,
    r#"{"content":[{"type":"text","text":"p"}]}"#,
    r#"{"content":5}"#,
    r#"{"role":"tool","content":"t"}"#,
    r#"{"role":""}"#,
    r#"{"refusal":"no"}"#,
    r#"{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}"#,
    r#"{"annotations":[1]}"#,
    r#"{"function_call":{"arguments":"1"}}"#,
    r#"{"note":"n"}"#,
];

fn chunk() -> impl Strategy<Value = String> {
    // Mostly what is plain: else the first oddity of a stream would be all that is seen of it.
    let fields = prop_oneof![
        8 => subsequence(&FIELDS[..10], 0..6),
        1 => subsequence(&FIELDS[..], 0..6),
    ];
    let end = prop_oneof![8 => select(&ENDS[..5]), 1 => select(&ENDS[..])];
    let delta = prop_oneof![8 => select(&DELTAS[..7]), 1 => select(&DELTAS[..])];
    let choices = prop_oneof![
        12 => Just(1_usize),
        1 => Just(0),
        1 => Just(2),
    ];
    (fields, end, delta, choices, any::<bool>()).prop_map(|(fields, end, delta, count, first)| {
        let choice = format!(r#"{{"delta":{delta}{end}}}"#);
        let choices = format!(r#""choices":[{}]"#, vec![choice; count].join(","));
        let fields = fields.join(",");
        let (one, other) = if first {
            (choices, fields)
        } else {
            (fields, choices)
        };
        let comma = if one.is_empty() || other.is_empty() {
            ""
        } else {
            " , "
        };
        format!("{{{one}{comma}{other}}}")
    })
}

fn in_full(chunks: &[String]) -> Result<Vec<u8>, Invalid> {
    fold_by(chunks.iter().map(String::as_bytes), |_, _, _, _| None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_comes_to_what_the_thorough_way_comes_to(chunks in prop::collection::vec(chunk(), 0..12)) {
        let text = |whole: Result<Vec<u8>, Invalid>| match whole {
            Ok(whole) => Ok(String::from_utf8(whole).unwrap()),
            Err(invalid) => Err(invalid.reason().to_owned()),
        };
        let short = fold(chunks.iter().map(String::as_bytes));
        prop_assert_eq!(text(short), text(in_full(&chunks)));
    }
}

/// How many of these chunks the shortcut takes.
fn taken(chunks: &[String]) -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let counting: Shortcut<'_> = |data, whole, choices, repeated| {
        let folded = plain::fold(data, whole, choices, repeated);
        TAKEN.fetch_add(usize::from(folded.is_some()), Ordering::Relaxed);
        folded
    };
    fold_by(chunks.iter().map(String::as_bytes), counting).unwrap();
    TAKEN.swap(0, Ordering::Relaxed)
}

#[test]
fn all_but_the_first_and_the_last_chunks_are_plain() {
    let chunk = |rest: &str, delta: &str, end: &str| {
        format!(
            r#"{{"id":"c1","object":"chat.completion.chunk",{rest},"choices":[{{"index":0,"delta":{delta},{end}}}]}}"#
        )
    };
    let openai = |number: u64, delta: &str, end: &str| {
        let rest = format!(
            r#""created":7,"model":"m","service_tier":"default","system_fingerprint":null,"usage":null,"obfuscation":"{number}""#
        );
        chunk(
            &rest,
            delta,
            &format!(r#""logprobs":null,"finish_reason":{end}"#),
        )
    };
    let local = |number: u64, delta: &str, end: &str| {
        let rest = format!(r#""created":{number},"model":"m""#);
        chunk(&rest, delta, &format!(r#""finish_reason":{end}"#))
    };
    for make in [&openai as &dyn Fn(u64, &str, &str) -> String, &local] {
        let mut chunks = vec![make(
            0,
            r#"{"role":"assistant","content":"","refusal":null}"#,
            "null",
        )];
        chunks.extend((1..=20).map(|n| make(n, r#"{"content":" a\n"}"#, "null")));
        chunks.push(make(21, "{}", "\"stop\""));
        assert_eq!(taken(&chunks), 20, "{}", chunks[1]);
    }
}
