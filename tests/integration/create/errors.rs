//! What `/create` says when something is wrong, with the request or with the upstream.

use serde_json::{Value, json};

use super::keys;
use crate::support::{Act, Answer, End, Proxy, Upstream};

const ONE_ATTEMPT: &str = "[retry]\nmax_attempts = 1\n[breaker]\nenabled = false\n";

fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], false);
    assert_eq!(body["code"], code, "{body}");
    assert!(
        body["error"].as_str().is_some_and(|text| !text.is_empty()),
        "{body}"
    );
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    let known = ["code", "error", "param", "request_id", "success"];
    assert!(keys(&body).iter().all(|key| known.contains(key)), "{body}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (path, status, field, body) in [
        ("/create", 400, "prompt", json!({})),
        ("/create", 400, "prompt", json!({"prompt": ""})),
        ("/create", 400, "prompt", json!({"prompt": 5})),
        (
            "/create",
            400,
            "temperature",
            json!({"prompt": "x", "temperature": "hot"}),
        ),
        (
            "/create",
            422,
            "temperature",
            json!({"prompt": "x", "temperature": 2.5}),
        ),
        ("/create", 422, "top_p", json!({"prompt": "x", "top_p": -1})),
        (
            "/create",
            422,
            "max_tokens",
            json!({"prompt": "x", "max_tokens": 0}),
        ),
        ("/create", 400, "stop", json!({"prompt": "x", "stop": [1]})),
        (
            "/create",
            400,
            "stream",
            json!({"prompt": "x", "stream": 1}),
        ),
        (
            "/create",
            400,
            "features",
            json!({"description": "x", "features": [1]}),
        ),
        ("/create/chat", 400, "message", json!({"prompt": "x"})),
        (
            "/create/chat",
            400,
            "history",
            json!({"message": "x", "history": {}}),
        ),
        (
            "/create/chat",
            400,
            "history[0].role",
            json!({"message": "x", "history": [{}]}),
        ),
        (
            "/create/chat",
            422,
            "history[1].role",
            json!({"message": "x", "history": [{"role": "user", "content": "a"},
                {"role": "king", "content": "b"}]}),
        ),
    ] {
        let answer = proxy.post(path, &body, &[]).await;
        assert_error(&answer, status, "invalid_request");
        let said = answer.json();
        assert_eq!(said["param"], field, "{body}");
        let leaf = field.rsplit('.').next().unwrap();
        assert!(said["error"].as_str().unwrap().contains(leaf), "{said}");
    }
    let answer = proxy.post("/create", &json!([]), &[]).await;
    assert_error(&answer, 400, "invalid_request");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn errors_of_the_upstream_keep_their_status_and_its_words() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(ONE_ATTEMPT, &upstream).await;
    for path in ["/create", "/create/chat"] {
        let body = json!({"prompt": "x", "message": "x"});
        for (status, code) in [
            (400, "upstream_rejected"),
            (404, "upstream_rejected"),
            (422, "upstream_rejected"),
            (401, "upstream_refused_credentials"),
            (403, "upstream_refused_credentials"),
            (429, "rate_limited"),
        ] {
            upstream.set(Act::error(status, &[("retry-after", "120")]));
            let answer = proxy.post(path, &body, &[]).await;
            assert_error(&answer, status, code);
            let said = answer.json();
            assert!(
                said["error"].as_str().unwrap().contains("scripted failure"),
                "{said}"
            );
            if status == 429 {
                assert_eq!(answer.header("retry-after"), "120");
            }
        }
        for (status, outward, code) in [
            (500, 502, "upstream_error"),
            (502, 502, "upstream_error"),
            (503, 503, "upstream_unavailable"),
            (504, 504, "upstream_timeout"),
        ] {
            upstream.set(Act::error(status, &[("retry-after", "3600")]));
            let answer = proxy.post(path, &body, &[]).await;
            assert_error(&answer, outward, code);
            assert_eq!(answer.header("retry-after"), "3600");
        }
        // A stream that never began is an error like any other.
        upstream.set(Act::error(400, &[]));
        let mut streaming = body.clone();
        streaming["stream"] = true.into();
        assert_error(
            &proxy.post(path, &streaming, &[]).await,
            400,
            "upstream_rejected",
        );
    }
}

#[tokio::test]
async fn the_proxys_own_key_refused_is_no_fault_of_the_client() {
    let upstream = Upstream::start().await;
    let settings = format!("{ONE_ATTEMPT}[upstream]\napi_key = \"sk-own\"");
    let proxy = Proxy::start(&settings, &upstream).await;
    for status in [401, 403] {
        upstream.set(Act::error(status, &[]));
        let answer = proxy.post("/create", &json!({"prompt": "x"}), &[]).await;
        assert_error(&answer, 502, "upstream_credentials");
        let answer = proxy.chat(&crate::support::ask("x")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["error"]["code"], "upstream_credentials");
        let answer = proxy.get("/v1/models").await;
        assert_eq!(answer.status, 502);
        assert!(!String::from_utf8_lossy(&answer.body).contains("sk-own"));
    }
}

#[tokio::test]
async fn an_upstream_that_gives_no_answer_is_502_or_504() {
    let upstream = Upstream::start().await;
    let settings = format!("{ONE_ATTEMPT}[upstream]\nread_timeout = \"200ms\"");
    let proxy = Proxy::start(&settings, &upstream).await;
    let empty = |choices: Value| Act::json(200, &json!({"model": "m", "choices": choices}));
    for (status, code, act) in [
        (502, "upstream_connection_lost", Act::only(End::Close)),
        (504, "upstream_timeout", Act::only(End::Silence)),
        (
            502,
            "upstream_invalid_answer",
            Act::response(200, &[], "<html>"),
        ),
        (502, "upstream_invalid_answer", empty(json!([]))),
        (
            502,
            "upstream_invalid_answer",
            empty(json!([{"index": 0, "finish_reason": "stop", "message": {"content": ""}}])),
        ),
        (
            502,
            "upstream_error",
            Act::json(200, &json!({"error": {"message": "no", "code": 500}})),
        ),
    ] {
        upstream.set(act);
        let answer = proxy.post("/create", &json!({"prompt": "x"}), &[]).await;
        assert_error(&answer, status, code);
    }
    let answer = proxy
        .post(
            "/create",
            &json!({"prompt": "y"}),
            &[("cache-control", "only-if-cached")],
        )
        .await;
    assert_error(&answer, 504, "only_if_cached");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502() {
    let gone = Upstream::start().await;
    let url = format!("http://{}/v1", gone.address);
    drop(gone);
    let proxy = Proxy::before(&url, ONE_ATTEMPT).await;
    let answer = proxy.post("/create", &json!({"prompt": "x"}), &[]).await;
    assert_error(&answer, 502, "upstream_unreachable");
}
