//! The garbage itself: the systematic kinds, then random ones, the same on every run.

use bytes::Bytes;
use serde_json::{Value, json};

use Kind::{Array, Bool, Number, Object, String as Text};

/// How many there are for an endpoint.
pub(super) const BODIES: usize = 1_000;
/// The same bodies on every run, so that what fails once fails again.
const SEED: u64 = 0x5EED;

/// A body, how it came about, and whether it cannot be a valid request.
pub(super) struct Garbage {
    pub(super) body: Bytes,
    pub(super) how: String,
    pub(super) is_hopeless: bool,
}

/// What a field may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// All bodies for one endpoint: the systematic ones, then random ones up to the number wanted.
pub(super) fn garbage(
    valid: &Value,
    fields: &[(&str, &[Kind])],
    required: &[Vec<&str>],
) -> Vec<Garbage> {
    let mut all = Vec::new();
    let mut add = |how: &str, body: Vec<u8>, is_hopeless: bool| {
        all.push(Garbage {
            body: body.into(),
            how: how.to_owned(),
            is_hopeless,
        });
    };
    let text = valid.to_string();
    no_requests(&mut add);
    misspelled(&text, &mut add);
    nested(&text, &mut add);
    wrong_types(valid, fields, &mut add);
    incomplete(valid, required, &mut add);
    let mut random = fastrand::Rng::with_seed(SEED);
    while all.len() < BODIES {
        all.push(mutated(&text, &mut random));
    }
    all
}

/// Bodies that have nothing of a request.
fn no_requests(add: &mut impl FnMut(&str, Vec<u8>, bool)) {
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
}

/// A good request, and one thing that JSON does not have.
fn misspelled(text: &str, add: &mut impl FnMut(&str, Vec<u8>, bool)) {
    let members = &text[1..text.len() - 1];
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
}

/// Deep nesting: alone, within a good request, and never closed.
fn nested(text: &str, add: &mut impl FnMut(&str, Vec<u8>, bool)) {
    let members = &text[1..text.len() - 1];
    for depth in [128, 200, 1_000, 20_000, 200_000] {
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
}

/// Requests that lack what they need.
fn incomplete(valid: &Value, required: &[Vec<&str>], add: &mut impl FnMut(&str, Vec<u8>, bool)) {
    for keys in required {
        let mut body = valid.clone();
        for key in keys {
            body[*key] = Value::Null;
        }
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
}

/// A good request with a few bytes or bits changed, or its end missing.
fn mutated(text: &str, random: &mut fastrand::Rng) -> Garbage {
    let mut body = text.as_bytes().to_vec();
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
    Garbage {
        body: body.into(),
        how: how.to_owned(),
        is_hopeless,
    }
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
