//! Garbage bodies: each gets a 4xx that gives a reason, none a 5xx, a panic or a call upstream.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::support::{Answer, Proxy, Upstream};

const BODIES: usize = 1_000;
const AT_ONCE: usize = 16;
/// The same bodies on every run, so that what fails once fails again.
const SEED: u64 = 0x5EED;

/// A body, how it came about, and whether it cannot be a valid request.
struct Garbage {
    body: Bytes,
    how: String,
    is_hopeless: bool,
}

/// What a field may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    String,
    Array,
    Object,
}

use Kind::{Array, Bool, Number, Object, String as Text};

const CREATE: [(&str, &[Kind]); 15] = [
    ("prompt", &[Text]),
    ("model", &[Text]),
    ("system", &[Text]),
    ("temperature", &[Number]),
    ("top_p", &[Number]),
    ("max_tokens", &[Number]),
    ("stop", &[Text, Array]),
    ("seed", &[Number]),
    ("response_format", &[Object]),
    ("presence_penalty", &[Number]),
    ("frequency_penalty", &[Number]),
    ("stream", &[Bool]),
    ("name", &[Text]),
    ("pluginName", &[Text]),
    ("userId", &[Text]),
];

const CHAT: [(&str, &[Kind]); 6] = [
    ("message", &[Text]),
    ("history", &[Array]),
    ("model", &[Text]),
    ("system", &[Text]),
    ("max_tokens", &[Number]),
    ("stream", &[Bool]),
];

const COMPLETIONS: [(&str, &[Kind]); 20] = [
    ("model", &[Text]),
    ("messages", &[Array]),
    ("temperature", &[Number]),
    ("top_p", &[Number]),
    ("n", &[Number]),
    ("max_tokens", &[Number]),
    ("max_completion_tokens", &[Number]),
    ("seed", &[Number]),
    ("stop", &[Text, Array]),
    ("stream", &[Bool]),
    ("stream_options", &[Object]),
    ("logprobs", &[Bool]),
    ("top_logprobs", &[Number]),
    ("logit_bias", &[Object]),
    ("response_format", &[Object]),
    ("tools", &[Array]),
    ("tool_choice", &[Text, Object]),
    ("user", &[Text]),
    ("presence_penalty", &[Number]),
    ("frequency_penalty", &[Number]),
];

#[tokio::test]
async fn garbage_for_create_is_refused_with_a_reason() {
    let valid = json!({"prompt": "Say hello.", "model": "m", "system": "Be kind.",
        "temperature": 0.5, "max_tokens": 20, "stop": ["x"], "name": "é"});
    let messages = ["prompt"].map(|key| vec![key]);
    assault("/create", &valid, &CREATE, &messages).await;
}

#[tokio::test]
async fn garbage_for_chat_turns_is_refused_with_a_reason() {
    let valid = json!({"message": "And now?", "model": "m", "stream": false,
        "history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let required = ["message"].map(|key| vec![key]);
    assault("/create/chat", &valid, &CHAT, &required).await;
}

#[tokio::test]
async fn garbage_for_completions_is_refused_with_a_reason() {
    let valid = json!({"model": "m", "temperature": 1.0, "stop": ["x"], "max_tokens": 20,
        "messages": [{"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]});
    let required = ["model", "messages"].map(|key| vec![key]);
    assault("/v1/chat/completions", &valid, &COMPLETIONS, &required).await;
}

/// Sends all the garbage to one endpoint.
async fn assault(path: &str, valid: &Value, fields: &[(&str, &[Kind])], required: &[Vec<&str>]) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let bodies = garbage(valid, fields, required);
    assert_eq!(bodies.len(), BODIES);
    let answers: Vec<(Garbage, Answer)> = stream::iter(bodies)
        .map(async |garbage| {
            let request = proxy
                .request(Method::POST, path)
                .header("content-type", "application/json")
                .body(garbage.body.clone());
            let answer = proxy.send(request).await;
            (garbage, answer)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut passed = 0;
    for (garbage, answer) in &answers {
        let shown = garbage.body[..garbage.body.len().min(200)].escape_ascii();
        let what = format!("{}: {shown} got {answer:?}", garbage.how);
        if answer.status == 200 {
            assert!(!garbage.is_hopeless, "{what}");
            let members: Result<BTreeMap<String, IgnoredAny>, _> =
                serde_json::from_slice(&garbage.body);
            assert!(members.is_ok(), "{what}");
            passed += usize::from(answer.header("x-cache") == "MISS");
        } else {
            assert!((400..500).contains(&answer.status), "{what}");
            assert!(gives_a_reason(path, answer), "{what}");
        }
    }
    assert_eq!(upstream.calls(), passed, "only what passed goes upstream");
    assert!(passed < BODIES / 2, "most of it must be garbage: {passed}");
    // The proxy is as well as before.
    let answer = proxy.post(path, valid, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Whether an error has the shape that clients of this path expect.
fn gives_a_reason(path: &str, answer: &Answer) -> bool {
    let body = answer.json();
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if path.starts_with("/v1") {
        let error = &body["error"];
        is_text(&error["message"])
            && is_text(&error["type"])
            && is_text(&error["code"])
            && (error["param"].is_null() || error["param"].is_string())
    } else {
        body["success"] == false
            && is_text(&body["error"])
            && is_text(&body["code"])
            && is_text(&body["request_id"])
    }
}

/// All bodies for one endpoint: the systematic ones, then random ones up to the number wanted.
fn garbage(valid: &Value, fields: &[(&str, &[Kind])], required: &[Vec<&str>]) -> Vec<Garbage> {
    let mut all = Vec::new();
    let mut add = |how: &str, body: Vec<u8>, is_hopeless: bool| {
        all.push(Garbage {
            body: body.into(),
            how: how.to_owned(),
            is_hopeless,
        });
    };
    let text = valid.to_string();
    let members = &text[1..text.len() - 1];
    for body in [
        "",
        " ",
        "\n",
        "null",
        "true",
        "7",
        "-",
        "\"prompt\"",
        "[]",
        "[[]]",
        "{}",
        "[{}]",
        "{",
        "}",
        "{]",
        "{\"a\"",
        "{\"a\":}",
        "nul",
        "NaN",
        "\u{feff}{}",
        "\0",
        "<html></html>",
        "prompt=hello",
        "data: {}\n\n",
    ] {
        add("no request", body.into(), true);
    }
    for (how, body) in [
        ("in an array", format!("[{text}]")),
        ("twice", format!("{text}{text}")),
        ("with a tail", format!("{text},")),
        ("with a trailing comma", format!("{{{members},}}")),
        ("with a comment", format!("{{/* hi */{members}}}")),
        ("in single quotes", text.replace('"', "'")),
        ("after a byte order mark", format!("\u{feff}{text}")),
        (
            "with a duplicate key",
            format!("{{\"model\":\"a\",{members}}}"),
        ),
        (
            "with duplicate unknown keys",
            format!("{{\"x\":1,\"x\":2,{members}}}"),
        ),
        (
            "with an escaped duplicate",
            format!("{{\"\\u006dodel\":\"a\",{members}}}"),
        ),
        ("with NaN", format!("{{\"x\":NaN,{members}}}")),
        ("with infinity", format!("{{\"x\":-Infinity,{members}}}")),
        ("with a leading zero", format!("{{\"x\":012,{members}}}")),
        ("with a bare dot", format!("{{\"x\":1.,{members}}}")),
        ("with a raw NUL", format!("{{\"x\":\"\0\",{members}}}")),
        ("with a raw newline", format!("{{\"x\":\"\n\",{members}}}")),
        (
            "with a bad escape",
            format!("{{\"x\":\"\\x41\",{members}}}"),
        ),
        (
            "with a lone surrogate",
            format!("{{\"x\":\"\\ud800\",{members}}}"),
        ),
        (
            "with a low surrogate",
            format!("{{\"x\":\"\\udc00\",{members}}}"),
        ),
        (
            "with a half pair",
            format!("{{\"x\":\"\\ud83d\\u0041\",{members}}}"),
        ),
        (
            "with a surrogate key",
            format!("{{\"\\ud800\":1,{members}}}"),
        ),
    ] {
        add(how, body.into(), true);
    }
    for depth in [200, 1_000, 20_000, 200_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        add("nested alone", format!("{open}{close}").into(), true);
        add(
            "nested inside",
            format!("{{\"x\":{open}{close},{members}}}").into(),
            true,
        );
        let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        add(
            "nested objects",
            format!("{{\"x\":{objects},{members}}}").into(),
            true,
        );
        add("never closed", open.into(), true);
    }
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf8\x88\x80\x80\x80",
    ] {
        let body = [b"{\"x\":\"", bad, b"\",", members.as_bytes(), b"}"].concat();
        add("with bad UTF-8", body, true);
    }
    wrong_types(valid, fields, &mut add);
    for keys in required {
        let mut body = valid.clone();
        keys.iter().for_each(|key| body[*key] = Value::Null);
        add("with a required field null", body.to_string().into(), true);
        body.as_object_mut()
            .unwrap()
            .retain(|key, _| !keys.contains(&key.as_str()));
        add(
            "with a required field missing",
            body.to_string().into(),
            true,
        );
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    while all.len() < BODIES {
        let mut body = text.clone().into_bytes();
        let at = random.usize(..body.len());
        let (how, is_hopeless) = match random.u8(..5) {
            0 => {
                body.truncate(at);
                ("cut", true)
            }
            1 => {
                body.insert(at, random.u8(..));
                ("with a byte too many", false)
            }
            2 => {
                body.remove(at);
                ("with a byte missing", false)
            }
            _ => {
                for _ in 0..random.usize(1..8) {
                    let at = random.usize(..body.len());
                    body[at] ^= 1 << random.u8(..8);
                }
                ("with bits flipped", false)
            }
        };
        all.push(Garbage {
            body: body.into(),
            how: how.to_owned(),
            is_hopeless,
        });
    }
    all
}

/// Every known field with values of every type that it must not have.
fn wrong_types(
    valid: &Value,
    fields: &[(&str, &[Kind])],
    add: &mut impl FnMut(&str, Vec<u8>, bool),
) {
    let values = [
        (Bool, json!(true)),
        (Number, json!(7)),
        (Number, json!(-1.5)),
        (Text, json!("x")),
        (Array, json!([])),
        (Array, json!([[]])),
        (Array, json!([1, null])),
        (Object, json!({})),
        (Object, json!({"x": [1]})),
    ];
    for (name, kinds) in fields {
        for (kind, value) in &values {
            if !kinds.contains(kind) {
                let mut body = valid.clone();
                body[*name] = value.clone();
                add(
                    &format!("{name} of a wrong type"),
                    body.to_string().into(),
                    true,
                );
            }
        }
        if *kinds == [Number] {
            let mut body = valid.clone();
            body[*name] = json!("@");
            let text = body.to_string();
            for number in ["1e999", "-1e999", &"9".repeat(400)] {
                // The spellings of integers are the upstream's affair where any integer will do.
                let is_hopeless = *name != "seed" && *name != "top_logprobs";
                let body = text.replace("\"@\"", number);
                add(
                    &format!("{name} beyond all numbers"),
                    body.into(),
                    is_hopeless,
                );
            }
        }
    }
}
