//! Which spans a request leaves, by the way that it goes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::*;
use crate::support::{Act, Gate, ask, ask_stream, delta, event, finish, text_of};

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
    let repeat: Vec<_> = spans
        .iter()
        .filter(|span| span.trace == TRACE)
        .cloned()
        .collect();
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
async fn a_follower_points_to_the_call_of_its_leader() {
    let site = Site::start("").await;
    let gate = Gate::new();
    let act = Act::response(
        200,
        &[
            ("content-type", "application/json"),
            ("traceresponse", "00-the-leaders-own"),
        ],
        crate::support::completion("Shared.").to_string(),
    );
    site.upstream.set(act.after(&gate));
    let other = TRACE.replace('4', "5");
    let parents = [recorded(), format!("00-{other}-{PARENT}-01")];
    let ask_as = |parent: &str| {
        let headers = [("traceparent", parent)];
        let request = site
            .proxy
            .request(http::Method::POST, "/v1/chat/completions");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let request = request
            .header("content-type", "application/json")
            .body(ask(PROMPT).to_string());
        tokio::spawn(request.send())
    };
    let leader = ask_as(&parents[0]);
    site.upstream
        .wait_for("the call", |counts| counts.calls == 1)
        .await;
    let follower = ask_as(&parents[1]);
    joined(&site.proxy).await;
    gate.open();
    let (leader, follower) = (
        leader.await.unwrap().unwrap(),
        follower.await.unwrap().unwrap(),
    );
    assert_eq!(leader.headers()["x-cache"], "MISS");
    assert_eq!(leader.headers()["traceresponse"], "00-the-leaders-own");
    assert_eq!(follower.headers()["x-cache"], "COALESCED");
    assert!(!follower.headers().contains_key("traceresponse"));
    for response in [leader, follower] {
        response.bytes().await.unwrap();
    }
    let sent = site.upstream.requests();
    let spans = site.end().await;
    let of = |trace: &str| -> Vec<Span> {
        spans
            .iter()
            .filter(|span| span.trace == trace)
            .cloned()
            .collect()
    };
    let (leaders, followers) = (of(TRACE), of(&other));
    assert_eq!(
        tree(&followers),
        "POST /v1/chat/completions [cache, compress, dedup]"
    );
    let (flight, joined) = (one(&leaders, "dedup"), one(&followers, "dedup"));
    assert_eq!(joined.says("pegasus.dedup.role"), "follower");
    assert_eq!(joined.links, [(TRACE.to_owned(), flight.id.clone())]);
    assert!(flight.links.is_empty());
    let server = one(&followers, "POST /v1/chat/completions");
    assert_eq!(server.says("pegasus.cache.status"), "coalesced");
    // What goes up is the leader's.
    let [sent] = &*sent else { panic!("{sent:?}") };
    let attempt = one(&leaders, "POST");
    assert_eq!(
        sent.header("traceparent"),
        format!("00-{TRACE}-{}-01", attempt.id)
    );
}

/// Waits until two requests share a call.
async fn joined(proxy: &Proxy) {
    crate::support::within("a joined call", async {
        loop {
            let metrics = proxy.get("/metrics").await;
            let text = String::from_utf8(metrics.body.to_vec()).unwrap();
            if text.contains("pegasus_nest_dedup_callers 2") {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_streams_spans_end_with_its_last_event() {
    let site = Site::start("").await;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4}}});
    let gate = Gate::new();
    site.upstream.set(
        Act::stream()
            .chunk(event(&delta("Larks ")))
            .wait(&gate)
            .chunk(event(&delta("sing.")))
            .chunk(event(&finish("length")))
            .chunk(event(&usage.to_string()))
            .chunk(event("[DONE]"))
            .last_chunk(),
    );
    let mut events = site.proxy.stream(&ask_stream(PROMPT)).await;
    events.next().await.unwrap();
    let opened = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    gate.open();
    assert_eq!(text_of(&events.all().await), "sing.");
    let spans = site.end().await;
    assert_eq!(
        tree(&spans),
        "POST /v1/chat/completions [cache, compress, dedup [breaker [chat m [POST]]]]"
    );
    let call = one(&spans, "chat m");
    assert_says(
        call,
        &json!({"gen_ai.request.stream": true, "gen_ai.response.finish_reasons": ["length"], "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 4}),
    );
    let waited = call.says("gen_ai.response.time_to_first_chunk");
    let lasted = Duration::from_nanos(call.ended - call.begun).as_secs_f64();
    assert!(
        waited.as_f64().is_some_and(|waited| waited <= lasted),
        "{waited} {lasted}"
    );
    for span in &spans {
        assert!(
            !span.has_failed && span.says("pegasus.cancelled").is_null(),
            "{span:?}"
        );
        let is_short = ["cache", "compress"].contains(&&*span.name);
        assert_eq!(u128::from(span.ended) < opened, is_short, "{span:?}");
    }
}

#[tokio::test]
async fn a_refresh_is_below_the_request_that_asked_for_it() {
    let settings = "[cache]\nttl = \"1ms\"\nstale_while_revalidate = \"1h\"\n";
    let site = Site::start(settings).await;
    site.proxy.chat(&ask(PROMPT)).await;
    let parent = recorded();
    let headers = [("traceparent", parent.as_str())];
    while site
        .proxy
        .chat_with(&ask(PROMPT), &headers)
        .await
        .header("x-cache")
        != "STALE"
    {}
    site.upstream
        .wait_for("the refresh", |counts| {
            counts.calls == 2 && counts.busy == 0
        })
        .await;
    let sent = site.upstream.last();
    let spans = site.end().await;
    let spans: Vec<_> = spans
        .into_iter()
        .filter(|span| span.trace == TRACE)
        .collect();
    let refresh = one(&spans, "refresh");
    let of: Vec<_> = spans
        .iter()
        .filter(|span| span.id == refresh.parent)
        .collect();
    assert_eq!(of[0].says("pegasus.cache.status"), "stale");
    assert!(
        tree(&spans).contains("refresh [dedup [breaker [chat m [POST]]]]"),
        "{}",
        tree(&spans)
    );
    assert_eq!(
        sent.header("traceparent"),
        format!("00-{TRACE}-{}-01", one(&spans, "POST").id)
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
