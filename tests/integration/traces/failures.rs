//! What the spans of requests say that fail, or are left.

use serde_json::json;

use super::*;
use crate::support::{Act, Gate, ask, ask_stream, delta, event, within};

#[tokio::test]
async fn each_attempt_of_a_call_has_a_span() {
    let site = Site::start("").await;
    site.upstream.once(Act::error(503, &[]));
    site.upstream.once(Act::error(429, &[]));
    let parent = recorded();
    let headers = [("traceparent", parent.as_str())];
    assert_eq!(site.proxy.chat_with(&ask("q"), &headers).await.status, 200);
    let sent = site.upstream.requests();
    let spans = site.end().await;
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker [chat m [POST, POST, POST]]]]"
    );
    let attempts: Vec<_> = spans.iter().filter(|span| span.name == "POST").collect();
    for (attempt, (status, resend, error)) in attempts.iter().zip([
        (503, None, Some("503")),
        (429, Some(1), Some("429")),
        (200, Some(2), None),
    ]) {
        assert_says(
            attempt,
            &json!({"http.response.status_code": status, "http.request.resend_count": resend, "error.type": error}),
        );
    }
    let failed: Vec<_> = attempts.iter().map(|span| span.has_failed).collect();
    assert_eq!(failed, [true, true, false]);
    for (sent, attempt) in sent.iter().zip(&attempts) {
        let expected = format!("00-{TRACE}-{}-01", attempt.id);
        assert_eq!(sent.header("traceparent"), expected);
    }
    // The call as a whole went well.
    let call = one(&spans, "chat m");
    assert!(!call.has_failed);
    assert_eq!(call.says("gen_ai.usage.output_tokens"), 7);
    let server = one(&spans, "POST /v1/chat/completions");
    assert_says(server, &json!({"pegasus.attempts": 3, "error.type": null}));
}

#[tokio::test]
async fn failures_are_told_by_their_codes() {
    let site = Site::start(
        "[retry]\nmax_attempts = 1\n[breaker]\nfailure_threshold = 2\nopen_for = \"1h\"\n",
    )
    .await;
    site.upstream.once(Act::error(500, &[]));
    site.upstream.once(Act::json(200, &json!({"no": "answer"})));
    for (prompt, status) in [("one", 500), ("two", 502), ("three", 503)] {
        assert_eq!(
            site.proxy.chat(&ask(prompt)).await.status,
            status,
            "{prompt}"
        );
    }
    assert_eq!(site.proxy.chat(&json!({"model": 1})).await.status, 400);
    let spans = site.end().await;
    let mut servers = spans.iter().filter(|span| span.kind == SERVER);
    let mut next = || {
        let server = servers.next().unwrap();
        (server, of(&server.trace, &spans))
    };

    let (server, spans) = next();
    assert_says(
        server,
        &json!({"http.response.status_code": 500, "error.type": "500"}),
    );
    assert!(
        server.has_failed && one(&spans, "chat m").has_failed && one(&spans, "POST").has_failed
    );

    let (server, spans) = next();
    assert_says(
        server,
        &json!({"http.response.status_code": 502, "error.type": "upstream_invalid_answer"}),
    );
    let attempt = one(&spans, "POST");
    assert_says(
        attempt,
        &json!({"http.response.status_code": 200, "error.type": "upstream_invalid_answer"}),
    );
    assert!(attempt.has_failed);

    let (server, spans) = next();
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker]]"
    );
    assert_says(
        server,
        &json!({"http.response.status_code": 503, "error.type": "circuit_open"}),
    );
    let breaker = one(&spans, "breaker");
    assert!(breaker.has_failed);
    assert_eq!(breaker.says("error.type"), "circuit_open");

    // It was the client's mistake.
    let (server, spans) = next();
    assert_eq!(tree(&spans), "POST /v1/chat/completions");
    assert_says(
        server,
        &json!({"http.response.status_code": 400, "error.type": null, "pegasus.error": "invalid_request"}),
    );
    assert!(!server.has_failed);
}

#[tokio::test]
async fn a_stream_that_breaks_is_a_failure_all_the_way_up() {
    let site = Site::start("").await;
    let broken = Act::stream().chunk(event(&delta("Half a"))).last_chunk();
    site.upstream.set(broken);
    let events = site.proxy.stream(&ask_stream("q")).await.all().await;
    assert!(events.last().unwrap().contains("error"));
    let spans = site.end().await;
    for name in [
        "POST /v1/chat/completions",
        "dedup",
        "breaker",
        "chat m",
        "POST",
    ] {
        let span = one(&spans, name);
        assert!(span.has_failed, "{name}");
        assert_eq!(
            span.says("error.type"),
            "upstream_connection_lost",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_all_spans_of_its_stream() {
    let site = Site::start("").await;
    let never = Gate::new();
    site.upstream
        .set(Act::stream().chunk(event(&delta("Once "))).wait(&never));
    let mut events = site.proxy.stream(&ask_stream("q")).await;
    events.next().await.unwrap();
    drop(events);
    site.upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
    let collector = site.collector;
    within("the end of the proxy", site.proxy.stop()).await;
    let spans = collector.spans();
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker [chat m [POST]]]]"
    );
    let server = one(&spans, "POST /v1/chat/completions");
    assert_eq!(server.says("pegasus.aborted"), true);
    assert!(!server.has_failed);
    for name in ["dedup", "breaker", "chat m", "POST"] {
        assert_eq!(one(&spans, name).says("pegasus.cancelled"), true, "{name}");
    }
    // What came has its price.
    let call = one(&spans, "chat m");
    assert_eq!(call.says("pegasus.usage.certainty"), "estimated");
    assert!(call.says("gen_ai.usage.output_tokens").as_i64() > Some(0));
}
