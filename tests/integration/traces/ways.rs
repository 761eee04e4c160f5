//! Which spans a request leaves, by the way that it goes.

use serde_json::json;

use super::*;
use crate::support::{Act, ask, ask_stream};

const PROMPT: &str = "Why do larks sing at four in the morning?";
const ANSWER: &str = "To be heard above the traffic.";

#[tokio::test]
async fn a_miss_leaves_a_span_for_each_layer() {
    let site = Site::start("").await;
    site.upstream.script(|request| request.answer(ANSWER));
    let (parent, state) = (recorded(), "vendor=opaque,other=1");
    let headers = [("traceparent", parent.as_str()), ("tracestate", state)];
    let mut question = ask(PROMPT);
    question["temperature"] = json!(0.25);
    question["max_tokens"] = json!(64);
    let answer = site.proxy.chat_with(&question, &headers).await;
    assert_eq!(answer.text(), ANSWER);
    let (sent, address) = (site.upstream.last(), site.upstream.address);
    let (id, collector) = (answer.header("x-request-id").to_owned(), site.collector);
    site.proxy.stop().await;

    let spans = collector.spans();
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker [chat m [POST]]]]"
    );
    assert!(
        spans
            .iter()
            .all(|span| span.trace == TRACE && span.state == state)
    );
    let server = one(&spans, "POST /v1/chat/completions");
    assert_eq!((server.kind, server.parent.as_str()), (SERVER, PARENT));
    assert_says(
        server,
        &json!({
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "http.response.status_code": 200,
            "url.path": "/v1/chat/completions",
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": null,
            "pegasus.cache.status": "miss",
            "pegasus.attempts": 1,
            "pegasus.request_id": id,
            "error.type": null,
        }),
    );
    assert_says(
        one(&spans, "cache"),
        &json!({"pegasus.cache.result": "miss"}),
    );
    assert_says(
        one(&spans, "dedup"),
        &json!({"pegasus.dedup.role": "leader"}),
    );
    let call = one(&spans, "chat m");
    assert_eq!((call.kind, call.has_failed), (CLIENT, false));
    assert_says(
        call,
        &json!({
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.request.temperature": 0.25,
            "gen_ai.request.max_tokens": 64,
            "gen_ai.response.model": "m",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 11,
            "gen_ai.usage.output_tokens": 7,
            "server.address": "127.0.0.1",
            "server.port": address.port(),
        }),
    );
    let attempt = one(&spans, "POST");
    assert_eq!(attempt.kind, CLIENT);
    assert_says(
        attempt,
        &json!({
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "http.request.resend_count": null,
            "url.full": format!("http://{address}/v1/chat/completions"),
            "server.port": address.port(),
            "gen_ai.usage.input_tokens": null,
        }),
    );

    // The attempt is what the upstream's own spans belong to.
    let expected = format!("00-{TRACE}-{}-01", attempt.id);
    assert_eq!(sent.header("traceparent"), expected);
    assert_eq!(sent.header("tracestate"), state);
    assert_nested(&spans);
    for words in [PROMPT, "larks", ANSWER, "traffic"] {
        assert!(!collector.has_seen(words), "{words}");
    }
}

/// Each span lies within the one above it.
fn assert_nested(spans: &[Span]) {
    for span in spans {
        assert!(span.begun <= span.ended, "{span:?}");
        if let Some(above) = spans.iter().find(|above| above.id == span.parent) {
            let is_within = above.begun <= span.begun && span.ended <= above.ended;
            assert!(is_within, "{span:?} {above:?}");
        }
    }
}

#[tokio::test]
async fn a_hit_leaves_the_request_and_the_look_up() {
    let site = Site::start("").await;
    let parent = recorded();
    for (body, headers, expected) in [
        (ask(PROMPT), vec![], "MISS"),
        (ask(PROMPT), vec![("traceparent", &*parent)], "HIT"),
        (ask_stream(PROMPT), vec![], "HIT"),
    ] {
        let answer = site.proxy.chat_with(&body, &headers).await;
        assert_eq!(answer.header("x-cache"), expected);
    }
    assert_eq!(site.upstream.calls(), 1);
    let spans = site.end().await;
    let repeat = of(TRACE, &spans);
    assert_eq!(tree(&repeat), "POST /v1/chat/completions [cache]");
    let cache = one(&repeat, "cache");
    assert_says(
        cache,
        &json!({"pegasus.cache.result": "hit", "pegasus.cache.tier": "memory"}),
    );
    assert_eq!(cache.kind, INTERNAL);
    let server = one(&repeat, "POST /v1/chat/completions");
    assert_says(
        server,
        &json!({"pegasus.cache.status": "hit", "pegasus.tokens_saved": 18, "pegasus.cost_nano_usd": 0, "pegasus.attempts": 0}),
    );
    // Other bytes with the same meaning are read first.
    let [.., streamed] = &*traces(&spans) else {
        panic!("{spans:?}")
    };
    assert_eq!(
        tree(streamed),
        "POST /v1/chat/completions [cache, compress]"
    );
}

#[tokio::test]
async fn other_endpoints_are_told_apart() {
    let site = Site::start("").await;
    site.upstream.script(|request| match request.path.as_str() {
        "/v1/embeddings?key=secret" => Act::json(
            200,
            &json!({"data": [], "model": "e-2", "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
        ),
        "/v1/models" => Act::json(200, &json!({"data": []})),
        _ => request.answer(ANSWER),
    });
    let body = json!({"prompt": PROMPT, "model": "m"});
    assert_eq!(site.proxy.post("/create", &body, &[]).await.status, 200);
    let body = json!({"model": "e", "input": PROMPT});
    let path = "/v1/embeddings?key=secret";
    assert_eq!(site.proxy.post(path, &body, &[]).await.status, 200);
    assert_eq!(site.proxy.get("/v1/models").await.status, 200);
    // Nobody looks for these.
    for path in ["/health", "/health/live", "/metrics"] {
        assert_eq!(site.proxy.get(path).await.status, 200);
    }
    assert_eq!(site.proxy.get("/api/optimization-stats").await.status, 200);
    assert_eq!(site.proxy.get("/no/such/path").await.status, 404);
    let collector = site.collector;
    site.proxy.stop().await;
    let spans = collector.spans();
    let trees: Vec<_> = traces(&spans).iter().map(|spans| tree(spans)).collect();
    assert_eq!(
        trees,
        [
            "POST /create [cache, compress, dedup [breaker [chat m [POST]]]]",
            "POST /v1/* [breaker [embeddings e [POST]]]",
            "GET /v1/* [breaker [retry [GET]]]",
            "GET /api/optimization-stats",
            "GET",
        ]
    );
    let call = one(&spans, "embeddings e");
    assert_says(
        call,
        &json!({"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 3, "gen_ai.response.model": "e-2"}),
    );
    for words in ["secret", "larks"] {
        assert!(!collector.has_seen(words), "{words}");
    }
}

/// The spans of each trace, in the order in which they began.
fn traces(spans: &[Span]) -> Vec<Vec<Span>> {
    let mut traces: Vec<Vec<Span>> = Vec::new();
    for span in spans {
        match traces.iter_mut().find(|known| known[0].trace == span.trace) {
            Some(known) => known.push(span.clone()),
            None => traces.push(vec![span.clone()]),
        }
    }
    traces
}

#[tokio::test]
async fn what_is_worked_on_together_is_told_one_by_one() {
    let site = Site::start("[batch]\nwindow = \"200ms\"\nconcurrency = 1\n").await;
    let embeddings = json!({
        "data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [2]}],
        "model": "e-2", "usage": {"prompt_tokens": 2, "total_tokens": 2},
    });
    site.upstream
        .script(move |request| match request.path.as_str() {
            "/v1/embeddings" => Act::json(200, &embeddings),
            _ => request.answer(ANSWER),
        });
    let body = json!({"requests": [{"prompt": PROMPT, "model": "m"}, {}]});
    let answer = site.proxy.post("/create/batch", &body, &[]).await;
    let id = answer.header("x-request-id").to_owned();
    let [one_call, other] = ["a", "b"].map(|input| json!({"model": "e", "input": input}));
    let path = "/v1/embeddings";
    let both = tokio::join!(
        site.proxy.post(path, &one_call, &[]),
        site.proxy.post(path, &other, &[])
    );
    assert_eq!((both.0.status, both.1.status), (200, 200));
    assert_eq!(site.upstream.calls(), 2);
    let collector = site.collector;
    site.proxy.stop().await;
    let spans = collector.spans();
    let mut trees: Vec<_> = traces(&spans).iter().map(|spans| tree(spans)).collect();
    trees.sort_unstable();
    assert_eq!(
        trees,
        [
            "POST /create/batch [batch.request [cache, compress, dedup [breaker [chat m [POST]]]], batch.request]",
            "POST /v1/* [cache, merge [breaker [embeddings e [POST]]]]",
            "POST /v1/* [cache, merge]",
        ]
    );
    let parts: Vec<_> = spans
        .iter()
        .filter(|span| span.name == "batch.request")
        .collect();
    for (at, (part, status)) in parts.iter().zip([200, 400]).enumerate() {
        let id = format!("{id}-{at}");
        assert_says(
            part,
            &json!({"pegasus.request_id": id, "http.response.status_code": status, "http.route": null}),
        );
    }
    let merged: Vec<_> = spans.iter().filter(|span| span.name == "merge").collect();
    assert!(
        merged
            .iter()
            .all(|span| span.attributes["pegasus.merge.calls"] == 2)
    );
    let links: Vec<_> = merged.iter().flat_map(|span| &span.links).collect();
    let leads = |span: &&&Span| spans.iter().any(|below| below.parent == span.id);
    let leader = merged.iter().find(leads).unwrap();
    assert_eq!(links, [&(leader.trace.clone(), leader.id.clone())]);
}
