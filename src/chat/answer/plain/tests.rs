use proptest::prelude::*;
use serde_json::Value;

use super::read;
use crate::chat::answer::read_thoroughly;

/// An answer as they are.
const PLAIN: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":
    {"role":"assistant","content":"Hello \u00e9","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],
    "usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}}}"#;

/// What may stand anywhere in an answer, and some of what may not.
fn anything() -> impl Strategy<Value = String> {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "7",
        "-3",
        "12.0",
        "1e999",
        "1e+999",
        "2e5",
        "1.5E-3",
        "18446744073709551616",
        "\"\"",
        "\" \"",
        "\"text\"",
        "\"stop\"",
        "\"tool_calls\"",
        "\"length\"",
        "\"error\"",
        "\"\\ud83d\"",
        "\"\\u00e9\\n\"",
        "[]",
        "{}",
        "[1]",
        "{\"a\":1}",
        "{\"message\":\"bad\",\"code\":400}",
        "{\"cached_tokens\":3}",
        "[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]",
    ];
    prop::sample::select(values.map(ToOwned::to_owned).to_vec())
}

/// Fields with these names and values, each perhaps.
fn fields(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let field = (prop::sample::select(names.to_vec()), anything());
    prop::collection::vec(
        field.prop_map(|(name, value)| format!("\"{name}\":{value}")),
        0..3,
    )
}

fn object(mut own: Vec<String>, more: Vec<String>) -> String {
    own.extend(more);
    format!("{{{}}}", own.join(","))
}

proptest! {
    /// The plain reading says nothing that the thorough one would not say.
    #[test]
    fn plain_answers_are_read_as_thoroughly_as_others(
        message in fields(&["content", "refusal", "tool_calls", "reasoning", "audio", "role", "images", "x"]),
        choice in fields(&["finish_reason", "index", "error", "object", "message", "logprobs"]),
        usage in fields(&["prompt_tokens", "total_tokens", "cached_tokens", "input_tokens", "prompt_tokens_details", "cost"]),
        outer in fields(&["id", "object", "error", "choices", "usage", "created"]),
        keeps in any::<[bool; 4]>(),
    ) {
        let own = |text: &str, keep: bool| if keep { vec![text.to_owned()] } else { Vec::new() };
        let message = object(own("\"content\":\"Hi.\\n\"", keeps[0]), message);
        let mut own_choice = own("\"finish_reason\":\"stop\"", keeps[1]);
        own_choice.push(format!("\"message\":{message}"));
        let choice = object(own_choice, choice);
        let counts = own("\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7", keeps[2]);
        let mut own_outer = vec![format!("\"choices\":[{choice}]")];
        if keeps[3] {
            own_outer.push(format!("\"usage\":{}", object(counts, usage)));
        }
        let body = object(own_outer, outer);
        if let Some(plain) = read(body.as_bytes()) {
            let thorough = read_thoroughly(body.as_bytes());
            prop_assert_eq!(Ok(plain), thorough.map_err(|invalid| invalid.to_string()), "{}", body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    /// Nor of a body that is hurt somewhere.
    #[test]
    fn hurt_answers_are_read_as_thoroughly_as_others(
        at in any::<prop::sample::Index>(),
        cut in 0..3_usize,
        put in prop::sample::select(vec!["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "9", "e9", "-", ".", " ", "\n", "null", "\u{1}", "\\ud83d", "\\u00e9", "é"]),
        again in 0..4_usize,
    ) {
        let from = at.index(PLAIN.len());
        let to = (from + cut).min(PLAIN.len());
        let body = [&PLAIN[..from], &put.repeat(again), &PLAIN[to..]].concat();
        if let Some(plain) = read(body.as_bytes()) {
            let thorough = read_thoroughly(body.as_bytes());
            prop_assert_eq!(Ok(plain), thorough.map_err(|invalid| invalid.to_string()), "{}", body);
        }
    }
}

#[test]
fn arrays_of_the_right_values_are_no_objects() {
    let nulls = |head: &str, count: usize| format!("[{head}{}]", ",null".repeat(count));
    let message = r#"{"content":"hi"}"#;
    let choice = format!(r#"{{"message":{message},"finish_reason":"stop"}}"#);
    let counts = r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}"#;
    for body in [
        nulls(&format!("[{choice}]"), 3),
        format!(
            r#"{{"choices":[{}]}}"#,
            nulls(&format!(r#"{message},"stop""#), 2)
        ),
        format!(
            r#"{{"choices":[{{"message":{},"finish_reason":"stop"}}]}}"#,
            nulls("\"hi\"", 8)
        ),
        format!(r#"{{"choices":[{choice}],"usage":{}}}"#, nulls("9,3,12", 5)),
        format!(
            r#"{{"choices":[{choice}],"usage":{}}}"#,
            counts.replace('}', r#","prompt_tokens_details":[5]}"#)
        ),
    ] {
        serde_json::from_str::<Value>(&body).unwrap();
        assert_eq!(read(body.as_bytes()), None, "{body}");
    }
    let body = format!(r#"{{"choices":[{choice}],"usage":{counts}}}"#);
    assert!(read(body.as_bytes()).is_some());
}

#[test]
fn what_a_skipped_value_may_hold_is_bounded() {
    let with = |value: &str| PLAIN.replacen("\"created\":1", &format!("\"created\":{value}"), 1);
    let nested = |levels: usize| with(&("[".repeat(levels) + &"]".repeat(levels)));
    for (body, is_plain) in [
        (nested(100), true),
        (nested(101), false),
        (with("1e99"), true),
        (with("1e100"), false),
        (with(&"9".repeat(200)), true),
        (with(&"9".repeat(201)), false),
        (with(r#""\ud83d\ude00""#), true),
        (with(r#""\ud83d""#), false),
        (PLAIN.replacen("\"created\"", r#""err\u006fr""#, 1), false),
        (PLAIN.replacen("\"created\"", "\"usage\"", 1), false),
        (PLAIN.replacen("\"created\":1", r#""usage":null"#, 1), false),
        (PLAIN.to_owned() + " \n", true),
        (PLAIN.to_owned() + "}", false),
    ] {
        assert_eq!(read(body.as_bytes()).is_some(), is_plain, "{body}");
        assert!(!is_plain || read_thoroughly(body.as_bytes()).is_ok());
    }
}

#[test]
fn most_answers_are_plain() {
    let answer = read(PLAIN.as_bytes()).unwrap();
    assert_eq!(answer.usage.unwrap().cached_tokens, 4);
    assert_eq!(answer.text, "Hello é".len());
    let body = r#"{"id":"c-1e","created":1760000000,"choices":[{"message":{"content":"All play"},"logprobs":null,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":420,"completion_tokens":260,"total_tokens":680},"system_fingerprint":"fp"}"#;
    assert!(read(body.as_bytes()).is_some());
}
