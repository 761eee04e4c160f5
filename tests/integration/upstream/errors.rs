//! What an upstream's refusal means to the client, wherever and however the upstream words it.

use super::{Act, Answer, Proxy, Upstream, ask, ask_stream, json, start};

const ONE_ATTEMPT: &str = "retry.max_attempts = 1\nbreaker.enabled = false";

/// Asks the same through both doors; the code and the words of each answer.
async fn both(proxy: &Proxy, prompt: &str) -> [(Answer, String, String); 2] {
    let openai = proxy.chat(&ask(prompt)).await;
    let error = openai.json()["error"].clone();
    let openai = (openai, error["code"].clone(), error["message"].clone());
    let native = proxy.post("/create", &json!({"prompt": prompt}), &[]).await;
    let error = native.json();
    let native = (native, error["code"].clone(), error["error"].clone());
    [openai, native].map(|(answer, code, message)| {
        let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        (answer, text(code), text(message))
    })
}

#[tokio::test]
async fn a_503_without_json_keeps_its_status_and_its_retry_after() {
    for body in ["<html>maintenance</html>", "busy", "", "{\"oops\":1}"] {
        for path in ["/v1/chat/completions", "/v1/embeddings"] {
            // With retries: nobody waits for an hour.
            let (upstream, proxy) = start("").await;
            let headers = [("content-type", "text/html"), ("retry-after", "3600")];
            upstream.set(Act::response(503, &headers, body));
            for request in [ask("q"), ask_stream("q")] {
                let answer = proxy.post(path, &request, &[]).await;
                assert_eq!(answer.status, 503, "{path} {body:?}: {answer:?}");
                assert_eq!(answer.header("retry-after"), "3600", "{path} {body:?}");
                assert_eq!(answer.header("content-type"), "application/json");
                let error = &answer.json()["error"];
                assert_eq!(error["code"], "upstream_unavailable", "{error}");
                assert_eq!(error["type"], "overloaded_error", "{error}");
                assert!(error["message"].is_string() && error["param"].is_null());
            }
            assert_eq!(upstream.calls(), 2, "{path} {body:?}");
        }
    }
}

#[tokio::test]
async fn a_500_without_json_is_a_502() {
    let (upstream, proxy) = start(ONE_ATTEMPT).await;
    let html = [("content-type", "text/html")];
    upstream.set(Act::response(500, &html, "<html>oops</html>"));
    for path in ["/v1/chat/completions", "/v1/embeddings"] {
        let answer = proxy.post(path, &ask("q"), &[]).await;
        assert_eq!(answer.status, 502, "{path}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "upstream_error", "{error}");
        assert_eq!(error["type"], "api_error", "{error}");
    }
}

#[tokio::test]
async fn an_error_inside_a_200_has_the_status_that_it_names() {
    let reports = |upstream: &Upstream, code: u16, message: &str| {
        let error = json!({"error": {"code": code, "message": message}});
        upstream.set(Act::json(200, &error));
    };
    let (upstream, proxy) = start(ONE_ATTEMPT).await;
    for (status, code) in [
        (429, "rate_limited"),
        (400, "upstream_rejected"),
        (402, "upstream_rejected"),
    ] {
        reports(&upstream, status, "slow down");
        for (answer, said, message) in both(&proxy, "q").await {
            assert_eq!((answer.status, said.as_str()), (status, code), "{answer:?}");
            assert!(message.contains("slow down"), "{message}");
        }
    }
    for status in [500, 502, 503] {
        reports(&upstream, status, "it fell over");
        for (answer, code, _) in both(&proxy, "q").await {
            assert_eq!((answer.status, code.as_str()), (502, "upstream_error"));
        }
    }
}
