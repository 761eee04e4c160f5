//! P01: the documented shapes, whatever the shape in which the upstream answers.

use serde_json::{Value, json};

use super::super::Nest;
use super::{asking, events_of, said};
use crate::support::{Act, Answer, Upstream, completion, delta, event, finish, raw};

/// Ways in which the upstream may say "Hello."
fn upstream_shapes() -> [(&'static str, Act); 3] {
    let mut chunk: Value = serde_json::from_str(&finish("stop")).unwrap();
    chunk["usage"] = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    let stream = Act::stream()
        .chunk(event(&delta("Hel")) + &event(&delta("lo.")))
        .chunk(event(&chunk.to_string()))
        .chunk(event("[DONE]"))
        .last_chunk();
    [
        ("whole", Act::says("Hello.")),
        ("streamed", stream.clone()),
        ("streamed byte by byte", stream.drip()),
    ]
}

/// Checks what every `/create` answer says beside its text.
fn check_report(what: &str, report: &Value, cache_status: &str) {
    assert_eq!(report["success"], true, "{what}: {report}");
    assert_eq!(report["finish_reason"], "stop", "{what}: {report}");
    for name in ["message", "model"] {
        let text = report[name].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{what}: {name} in {report}");
    }
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
    assert_eq!(report["usage"], usage, "{what}: {report}");
    let stats = &report["optimizationStats"];
    for name in ["tokensUsed", "tokensSaved"] {
        assert!(stats[name].is_u64(), "{what}: {name} in {report}");
    }
    for name in ["costUsd", "costSavedUsd"] {
        assert!(stats[name].is_number(), "{what}: {name} in {report}");
    }
    assert_eq!(stats["cacheHit"], cache_status == "hit", "{what}: {report}");
    assert_eq!(stats["cacheStatus"], cache_status, "{what}: {report}");
    for (name, unit) in [("compressionSavings", '%'), ("processingTime", 's')] {
        let figure = stats[name]
            .as_str()
            .and_then(|text| text.strip_suffix(unit));
        let figure = figure.and_then(|text| text.parse::<f64>().ok());
        assert!(
            figure.is_some_and(|figure| figure >= 0.0),
            "{what}: {name} in {report}"
        );
    }
    assert!(report["ignored"].is_array(), "{what}: {report}");
}

#[tokio::test]
async fn p01_whole_and_streamed_answers_have_the_documented_shape() {
    for (upstream_shape, act) in upstream_shapes() {
        let upstream = Upstream::start().await;
        upstream.set(act);
        let nest = Nest::start(&upstream).await;
        for first_streams in [false, true] {
            let prompt = format!("Greet me {first_streams}.");
            // The cache answers the second one, who asks in the other shape.
            for (streams, cache) in [(first_streams, "miss"), (!first_streams, "hit")] {
                for (path, body) in asking(&prompt, streams) {
                    let what = format!("{path}, streams: {streams}, upstream {upstream_shape}");
                    let answer = nest.post(path, &body, &[]).await;
                    check(&what, path, streams, cache, &answer);
                }
            }
        }
    }
}

fn check(what: &str, path: &str, streams: bool, cache: &str, answer: &Answer) {
    assert_eq!(said(path, answer), "Hello.", "{what}");
    for name in ["x-cache", "cache-status", "x-request-id", "server-timing"] {
        assert!(
            !answer.header(name).is_empty(),
            "{what}: {name} in {answer:?}"
        );
    }
    assert_eq!(answer.header("x-cache"), cache.to_uppercase(), "{what}");
    match (path.starts_with("/v1"), streams) {
        (true, true) => check_chunks(what, &events_of(answer)),
        (true, false) => check_completion(what, &answer.json()),
        (false, true) => {
            let events = events_of(answer);
            let report: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
            check_report(what, &report, cache);
            assert!(report.get("response").is_none(), "{what}: {report}");
        }
        (false, false) => check_report(what, &answer.json(), cache),
    }
    if !streams {
        assert!(
            answer
                .header("content-type")
                .starts_with("application/json"),
            "{what}"
        );
        let saved = answer.header("x-pegasus-tokens-saved");
        assert!(saved.parse::<u64>().is_ok(), "{what}: {answer:?}");
    }
}

fn check_completion(what: &str, answer: &Value) {
    assert_eq!(answer["object"], "chat.completion", "{what}: {answer}");
    assert!(
        answer["id"].is_string() && answer["model"].is_string(),
        "{what}: {answer}"
    );
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant", "{what}: {answer}");
    assert_eq!(choice["finish_reason"], "stop", "{what}: {answer}");
    assert_eq!(answer["usage"]["total_tokens"], 18, "{what}: {answer}");
}

fn check_chunks(what: &str, events: &[String]) {
    let (_, chunks) = events.split_last().unwrap();
    let mut finished = 0;
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk", "{what}: {chunk}");
        for choice in chunk["choices"].as_array().unwrap() {
            assert_eq!(finished, 0, "{what}: nothing follows the end: {events:?}");
            finished += usize::from(choice["finish_reason"] == "stop");
        }
    }
    assert_eq!(finished, 1, "{what}: {events:?}");
}

#[tokio::test]
async fn p01_a_stream_ends_with_done_and_a_proper_last_chunk() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for round in ["miss", "hit"] {
        for (path, body) in asking("To the end, please.", true) {
            let body = body.to_string();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = raw(nest.address, request).await;
            let (head, framed) = answer.split_once("\r\n\r\n").unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200"),
                "{path}, {round}: {answer}"
            );
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map(|length| length.parse::<usize>().unwrap());
            // From the cache it is here at once, and may have a length in place of chunks.
            if let Some(length) = length {
                assert_eq!(framed.len(), length, "{path}, {round}: {answer}");
                assert!(
                    framed.ends_with("data: [DONE]\n\n"),
                    "{path}, {round}: {answer}"
                );
            } else {
                assert!(
                    head.contains("transfer-encoding: chunked"),
                    "{path}, {round}: {answer}"
                );
                assert!(
                    framed.ends_with("\r\n0\r\n\r\n"),
                    "{path}, {round}: {answer}"
                );
                assert!(
                    framed.contains("data: [DONE]\n\n\r\n0"),
                    "{path}, {round}: {answer}"
                );
            }
        }
    }
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn p01_every_finish_reason_reaches_the_client() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for reason in ["stop", "length", "content_filter"] {
        for upstream_streams in [false, true] {
            upstream.set(if upstream_streams {
                let all = event(&delta("Hello.")) + &event(&finish(reason)) + &event("[DONE]");
                Act::stream().chunk(all).last_chunk()
            } else {
                let mut answer = completion("Hello.");
                answer["choices"][0]["finish_reason"] = reason.into();
                Act::json(200, &answer)
            });
            for streams in [false, true] {
                let prompt = format!("{reason} {upstream_streams} {streams}");
                for (path, body) in asking(&prompt, streams) {
                    let answer = nest.post(path, &body, &[]).await;
                    assert_eq!(said(path, &answer), "Hello.", "{path}: {prompt}");
                    let body = String::from_utf8_lossy(&answer.body);
                    let expected = format!("\"finish_reason\":\"{reason}\"");
                    assert!(body.contains(&expected), "{path}: {prompt}: {body}");
                }
            }
        }
    }
}

#[tokio::test]
async fn p01_who_accepts_plain_text_alone_gets_the_text_alone() {
    let upstream = Upstream::start().await;
    upstream.set(Act::says("Just \"this\"\nand 🪶."));
    let nest = Nest::start(&upstream).await;
    for round in ["MISS", "HIT"] {
        for (path, body) in &asking("Text, please.", false)[..2] {
            let answer = nest.post(path, body, &[("accept", "text/plain")]).await;
            assert_eq!(answer.header("x-cache"), round, "{path}: {answer:?}");
            let content_type = answer.header("content-type");
            assert!(content_type.starts_with("text/plain"), "{path}: {answer:?}");
            assert_eq!(answer.body, "Just \"this\"\nand 🪶.", "{path}, {round}");
        }
    }
}

#[tokio::test]
async fn p01_older_forms_and_unknown_fields_are_understood() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let body = json!({"type": "plugin", "name": "Feathers", "description": "A bird.",
        "features": ["flies", "sings"], "colour": "blue"});
    for streams in [false, true] {
        let mut body = body.clone();
        body["stream"] = streams.into();
        let answer = nest.post("/create", &body, &[]).await;
        assert_eq!(said("/create", &answer), "Hello.", "{answer:?}");
        let prompt = upstream.last().prompt();
        for part in ["A bird.", "flies", "sings"] {
            assert!(prompt.contains(part), "{part} in {prompt:?}");
        }
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            text.contains("\"colour\""),
            "what was ignored is named: {text}"
        );
    }
}
