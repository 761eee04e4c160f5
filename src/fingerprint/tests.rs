use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::json::Json;

mod bodies;
mod properties;
mod spelling;

const PATH: &str = "/chat/completions";

/// Lengths around those of blocks.
const LENGTHS: [usize; 8] = [
    0,
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    2 * BLOCK - 1,
    2 * BLOCK,
    3 * BLOCK + 5,
];

fn of(text: &str) -> Fingerprint {
    let json = Json::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    fingerprint(
        None,
        Scope::Anonymous,
        PATH,
        &HeaderMap::new(),
        json.root(),
        &[],
    )
}

#[test]
fn equal_when_the_meaning_is_equal() {
    let base = of(r#"{"model":"m","messages":[{"role":"user","content":"hé"}]}"#);
    assert_eq!(
        base,
        of(
            "{ \"messages\" : [ {\"content\":\"h\\u00e9\", \"role\":\"user\"} ],\n\"model\":\"m\" }"
        )
    );
    assert_eq!(
        base,
        of(
            r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"stream":true,"stream_options":{"include_usage":true}}"#
        )
    );
}

#[test]
fn an_input_is_what_it_is_and_what_it_means() {
    let name = |kind, meaning| {
        let (headers, fields) = (HeaderMap::new(), digest(b"fields"));
        input(Scope::Anonymous, PATH, &headers, fields, kind, meaning)
    };
    let token: &[u8] = &5_u64.to_le_bytes();
    assert_eq!(name("tokens", token), name("tokens", token));
    assert_ne!(name("tokens", token), name("texts", token));
    assert_ne!(name("texts", b"a"), name("texts", b"b"));
}

#[test]
fn different_when_anything_else_differs() {
    let variants = [
        r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
        r#"{"model":"n","messages":[{"role":"user","content":"a"}]}"#,
        r#"{"model":"m","messages":[{"role":"system","content":"a"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a "}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"A"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":""}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":["a"]}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":1}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":1.0}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":1.00}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":"1"}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":null}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":123456789012345678901}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"seed":123456789012345678902}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"unknown":true}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"a","stream":true}]}"#,
    ];
    let set: std::collections::HashSet<_> = variants.iter().map(|text| of(text)).collect();
    assert_eq!(set.len(), variants.len());
}

#[test]
fn scopes_headers_and_injections_count_as_they_should() {
    let json = Json::parse(Bytes::from_static(b"{\"model\":\"m\",\"max_tokens\":5}")).unwrap();
    let other = Json::parse(Bytes::from_static(b"{\"model\":\"m\"}")).unwrap();
    let none = HeaderMap::new();
    let scopes = [
        Scope::Global,
        Scope::Anonymous,
        Scope::of(Some(b"Bearer a")),
        Scope::of(Some(b"Bearer b")),
    ];
    let set: std::collections::HashSet<_> = scopes
        .iter()
        .map(|s| fingerprint(None, *s, PATH, &none, json.root(), &[]))
        .collect();
    assert_eq!(set.len(), 4);
    let plain = |headers: &HeaderMap| {
        fingerprint(
            None,
            Scope::Global,
            PATH,
            headers,
            json.root(),
            &["max_tokens"],
        )
    };
    assert_eq!(
        plain(&none),
        fingerprint(None, Scope::Global, PATH, &none, other.root(), &[])
    );
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", "curl".parse().unwrap());
    headers.insert("x-stainless-lang", "js".parse().unwrap());
    assert_eq!(plain(&none), plain(&headers));
    headers.insert("openai-organization", "o".parse().unwrap());
    assert_ne!(plain(&none), plain(&headers));
}

#[test]
fn an_alias_covers_bytes_level_scope_and_injections() {
    let none = HeaderMap::new();
    let base = alias(None, Scope::Global, PATH, &none, b"1safe", &[], b"{}");
    assert_ne!(
        base,
        alias(None, Scope::Global, PATH, &none, b"1safe", &[], b"{ }")
    );
    assert_ne!(
        base,
        alias(None, Scope::Global, PATH, &none, b"1off", &[], b"{}")
    );
    assert_ne!(
        base,
        alias(None, Scope::Anonymous, PATH, &none, b"1safe", &[], b"{}")
    );
    assert_ne!(
        base,
        alias(
            None,
            Scope::Global,
            PATH,
            &none,
            b"1safe",
            &["max_tokens"],
            b"{}"
        )
    );
}

fn alias_of(known: Option<Own<'_>>, body: &[u8]) -> Fingerprint {
    alias(
        known,
        Scope::Global,
        PATH,
        &HeaderMap::new(),
        b"1",
        &[],
        body,
    )
}

fn said(known: Option<Own<'_>>, text: &[u8]) -> Fingerprint {
    let text = std::str::from_utf8(text).unwrap();
    let body = serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let json = Json::parse(body.into()).unwrap();
    fingerprint(
        known,
        Scope::Global,
        PATH,
        &HeaderMap::new(),
        json.root(),
        &[],
    )
}

#[test]
fn long_texts_are_told_apart_wherever_they_differ() {
    let mut texts = Vec::new();
    for length in LENGTHS {
        let text = "x".repeat(length);
        for at in LENGTHS.into_iter().filter(|at| *at < length) {
            let mut other = text.clone();
            other.replace_range(at..=at, "y");
            texts.push(other);
        }
        texts.push(text);
    }
    for name in [said, alias_of] {
        let names = texts.iter().map(|text| name(None, text.as_bytes()));
        let set: std::collections::HashSet<_> = names.collect();
        assert_eq!(set.len(), texts.len());
    }
    // Nor is a text what stands for it.
    let block = [b'x'; BLOCK];
    assert_ne!(
        alias_of(None, &block),
        alias_of(None, digest(&block).as_bytes())
    );
}

#[test]
fn what_is_known_changes_no_name() {
    let blocks = Blocks::new();
    let known = Some(blocks.of([1; 32]));
    for length in LENGTHS {
        let text = vec![b'x'; length];
        for _ in 0..3 {
            for name in [said, alias_of] {
                assert_eq!(name(known, &text), name(None, &text));
            }
        }
    }
}

proptest! {
    #[test]
    fn parts_never_run_together(a in ".{0,8}", b in ".{0,8}", c in ".{0,8}", d in ".{0,8}") {
        let two = |x: &str, y: &str| of(&serde_json::json!([x, y]).to_string());
        prop_assert_eq!(two(&a, &b) == two(&c, &d), a == c && b == d);
    }
}
