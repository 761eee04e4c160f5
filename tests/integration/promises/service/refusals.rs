//! P02: a bad request is the caller's fault, says so as JSON, and costs nothing upstream.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::Nest;
use super::{asking, is_described, said};
use crate::support::{Upstream, within};

/// Bodies that are no JSON, or none that can be read in one way alone, made of a good one.
fn unreadable(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let members = &good[1..good.len() - 1];
    let with = |extra: &str| format!("{{{extra},{members}}}").into_bytes();
    let deep = 100_000;
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("nothing", Vec::new()),
        ("blanks", b" \r\n\t".to_vec()),
        ("cut", good[..good.len() - 1].into()),
        ("a tail", format!("{good}x").into()),
        ("two at once", format!("{good}{good}").into()),
        ("a byte order mark", format!("\u{feff}{good}").into()),
        ("UTF-16", utf16),
        ("a trailing comma", format!("{{{members},}}").into()),
        ("a comment", with("/* hi */\"x\":1")),
        ("a lone surrogate", with(r#""x":"\ud800""#)),
        ("a lone low surrogate", with(r#""x":"a\udc00b""#)),
        ("a lone surrogate in a key", with(r#""\udbff":1"#)),
        ("half an escape", with(r#""x":"\ud83d\u00""#)),
        (
            "invalid UTF-8",
            [b"{\"x\":\"\xff\",", members.as_bytes(), b"}"].concat(),
        ),
        (
            "cut UTF-8",
            [b"{\"x\":\"\xf0\x9f\xaa\",", members.as_bytes(), b"}"].concat(),
        ),
        (
            "a surrogate in UTF-8",
            [b"{\"x\":\"\xed\xa0\x80\",", members.as_bytes(), b"}"].concat(),
        ),
        ("a raw control", with("\"x\":\"\u{1}\"")),
        ("100,000 brackets", "[".repeat(deep).into()),
        (
            "100,000 pairs of brackets",
            ["[".repeat(deep), "]".repeat(deep)].concat().into(),
        ),
        (
            "100,000 brackets inside",
            with(&format!("\"x\":{}{}", "[".repeat(deep), "]".repeat(deep))),
        ),
        (
            "100,000 objects inside",
            with(&format!(
                "\"x\":{}1{}",
                "{\"a\":".repeat(deep),
                "}".repeat(deep)
            )),
        ),
        ("NaN", with("\"x\":NaN")),
        ("a leading zero", with("\"x\":012")),
        ("a duplicate", with("\"stream\":false,\"stream\":false")),
        (
            "a duplicate in disguise",
            with(r#""stream":false,"str\u0065am":true"#),
        ),
        (
            "a duplicate deep inside",
            with(r#""x":{"y":[{"z":1,"z":2}]}"#),
        ),
        ("an array", format!("[{good}]").into()),
        ("a string", b"\"prompt\"".to_vec()),
        ("a number", b"7".to_vec()),
        ("null", b"null".to_vec()),
        ("a form", b"prompt=hello&model=m".to_vec()),
    ]
}

/// Values that a field must not have, as JSON text: numbers may be beyond all types.
fn misfits(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("model", "7"),
        ("model", "[]"),
        ("temperature", "\"hot\""),
        ("temperature", "1e999"),
        ("temperature", "-1"),
        ("temperature", "[1]"),
        ("top_p", "\"x\""),
        ("max_tokens", "\"many\""),
        ("max_tokens", "-1"),
        ("max_tokens", "1.5"),
        ("max_tokens", "99999999999999999999999"),
        ("max_tokens", "1e999"),
        ("max_tokens", "true"),
        ("stop", "7"),
        ("stop", "{}"),
        ("stop", "[7]"),
        ("presence_penalty", "\"x\""),
        ("frequency_penalty", "{}"),
        ("presence_penalty", "-1e400"),
        ("response_format", "\"json\""),
        ("stream", "\"yes\""),
        ("stream", "1"),
        ("stream", "{}"),
    ];
    all.extend(match path {
        "/create" => vec![
            ("top_p", "7"),
            ("prompt", "7"),
            ("prompt", "null"),
            ("prompt", "\"\""),
            ("prompt", "\" \\n\""),
            ("prompt", "[\"a\"]"),
            ("prompt", "{}"),
            ("prompt", "true"),
            ("system", "7"),
            ("name", "[]"),
            ("userId", "7"),
        ],
        "/create/chat" => vec![
            ("message", "7"),
            ("message", "null"),
            ("message", "\"\""),
            ("message", "{}"),
            ("history", "\"x\""),
            ("history", "{}"),
            ("history", "[7]"),
            ("history", "[null]"),
            ("history", "[{}]"),
            ("history", "[{\"role\":\"user\"}]"),
            ("history", "[{\"role\":\"wizard\",\"content\":\"x\"}]"),
            ("history", "[{\"role\":\"user\",\"content\":7}]"),
            ("history", "[[]]"),
        ],
        _ => vec![
            ("model", "null"),
            ("model", "\"\""),
            ("messages", "7"),
            ("messages", "null"),
            ("messages", "\"x\""),
            ("messages", "{}"),
            ("messages", "[]"),
            ("messages", "[7]"),
            ("messages", "[null]"),
            ("messages", "[[]]"),
            ("messages", "[{}]"),
            ("messages", "[{\"content\":\"x\"}]"),
            ("messages", "[{\"role\":7,\"content\":\"x\"}]"),
            ("messages", "[{\"role\":\"user\",\"content\":7}]"),
            ("messages", "[{\"role\":\"user\",\"content\":[7]}]"),
            ("tools", "\"x\""),
            ("tools", "{}"),
            ("n", "\"x\""),
            ("n", "0"),
            ("n", "1.5"),
            ("logit_bias", "[]"),
            ("stream_options", "7"),
        ],
    });
    all
}

/// A body with the text of one value replaced.
fn replaced(body: &Value, field: &str, text: &str) -> String {
    let mut body = body.clone();
    body[field] = json!("@@");
    body.to_string().replace("\"@@\"", text)
}

#[tokio::test]
async fn p02_every_bad_request_is_a_4xx_with_a_reason_and_costs_no_call() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let mut wrong = Vec::new();
    for streams in [false, true] {
        for (path, body) in asking("Say hello.", streams) {
            let mut cases: Vec<(String, Vec<u8>)> = unreadable(&body.to_string())
                .into_iter()
                .map(|(what, bytes)| (what.to_owned(), bytes))
                .collect();
            for (field, text) in misfits(path) {
                let bytes = replaced(&body, field, text).into_bytes();
                cases.push((format!("{field}: {text}"), bytes));
            }
            let main = body
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| *key != "stream");
            for key in main {
                let mut without = body.clone();
                without.as_object_mut().unwrap().remove(key);
                cases.push((format!("no {key}"), without.to_string().into()));
            }
            for (what, bytes) in cases {
                let request = nest
                    .request(Method::POST, path)
                    .header("content-type", "application/json")
                    .body(bytes);
                let answer = nest.send(request).await;
                let is_refused = (400..500).contains(&answer.status) && is_described(path, &answer);
                if !is_refused {
                    wrong.push(format!(
                        "{path}, streams: {streams}, {what}: {}",
                        answer.status
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(upstream.counts().opened, 0);
    // It is as well as before, and what is good still passes.
    for (path, body) in asking("Say hello.", true) {
        said(path, &nest.post(path, &body, &[]).await);
    }
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn p02_a_body_that_ends_early_is_refused_or_dropped() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for streams in [false, true] {
        for (path, body) in asking("Say hello.", streams) {
            let body = body.to_string();
            for framing in [
                format!("content-length: {}\r\n\r\n{body}", body.len() + 1),
                format!(
                    "transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
                    body.len()
                ),
                format!(
                    "transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}",
                    body.len() + 9
                ),
            ] {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{framing}"
                );
                // All of the body that ever comes: its sender closes its half.
                let answer = half_closed(nest.address, &request).await;
                let is_fine = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
                assert!(is_fine, "{request}: {answer}");
            }
        }
    }
    assert_eq!(upstream.counts().opened, 0);
}

/// Sends this, and no more; gives what comes back.
async fn half_closed(address: SocketAddr, request: &str) -> String {
    within("the end of the exchange", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    })
    .await
}
