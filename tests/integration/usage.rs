//! What requests cost and saved: the ledger, `/metrics`, the statistics and a calculation beside them agree.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Act, Gate, Proxy, Recorded, Upstream, ask, event, within};

mod day;
mod ledger;
mod prometheus;
mod provider_cache;
mod summary;

/// A proxy whose models cost what is easily told apart: `a` 1,000 and 2,000 nano-dollars a token, `b` 10 and 30.
async fn proxy(upstream: &Upstream, more: &str) -> (Proxy, tempfile::NamedTempFile) {
    let prices = "[models.a]\ninput = 1.0\noutput = 2.0\ncached_input = 0.25\n[models.b]\ninput = 0.01\noutput = 0.03\n";
    let file = crate::process::config_file(prices);
    let path = file.path().to_str().unwrap();
    let settings = format!("[metering]\nprices_file = {path:?}\n{more}");
    (Proxy::start(&settings, upstream).await, file)
}

/// A chat request to this model.
fn asking(model: &str, prompt: &str) -> Value {
    let mut request = ask(prompt);
    request["model"] = model.into();
    request
}

/// A prompt with this gets half a stream and then silence.
const HALF: &str = "half";

/// The answer of a model that counts tokens as its prompt says: "…|prompt,completion,cached[,cost]".
fn counted(request: &Recorded) -> Act {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let prompt = body["messages"][0]["content"].as_str().unwrap();
    let (text, counts) = prompt.split_once('|').unwrap_or(("", "10,5,0"));
    let counts: Vec<&str> = counts.split(',').collect();
    let number = |at: usize| counts[at].parse::<u64>().unwrap();
    let mut usage = json!({
        "prompt_tokens": number(0), "completion_tokens": number(1), "total_tokens": number(0) + number(1),
        "prompt_tokens_details": {"cached_tokens": number(2)},
    });
    if let Some(cost) = counts.get(3) {
        usage["cost"] = serde_json::from_str(cost).unwrap();
    }
    let model = format!("{}-2026", body["model"].as_str().unwrap());
    if body["stream"] != true {
        let mut whole = crate::support::completion("Hello.");
        whole["usage"] = usage;
        whole["model"] = model.into();
        return Act::json(200, &whole);
    }
    if text.ends_with(HALF) {
        let mut first: Value = serde_json::from_str(&crate::support::delta("Half")).unwrap();
        first["usage"] = usage;
        return Act::stream()
            .chunk(event(&first.to_string()))
            .wait(&Gate::new());
    }
    let mut last = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": []});
    last["usage"] = usage;
    let act = Act::stream()
        .chunk(event(&crate::support::delta("Hello.")))
        .chunk(event(&crate::support::finish("stop")));
    // Only who asks for it gets it.
    let act = if body["stream_options"]["include_usage"] == true {
        act.chunk(event(&last.to_string()))
    } else {
        act
    };
    act.chunk(event("[DONE]")).last_chunk()
}

async fn usage(proxy: &Proxy, query: &str) -> Value {
    let answer = proxy.get(&format!("/api/usage{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The samples of `/metrics`: name with labels → value.
async fn samples(proxy: &Proxy) -> BTreeMap<String, f64> {
    let text = proxy.get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn each_way_of_a_request_has_its_price() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let (proxy, _prices) = proxy(&upstream, "").await;
    let request = asking("a", "q|100,10,0");
    assert_eq!(proxy.chat(&request).await.header("x-cache"), "MISS");
    assert_eq!(proxy.chat(&request).await.header("x-cache"), "HIT");
    let by_source = usage(&proxy, "?group_by=source,model").await;
    let rows = by_source["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{by_source}");
    let [hit, miss] = &rows[..] else { panic!() };
    assert_eq!(
        (&hit["source"], &hit["model"]),
        (&json!("cache"), &json!("a"))
    );
    assert_eq!(hit["costNanoUsd"], 0);
    assert_eq!(hit["saved"]["cacheNanoUsd"], 120_000);
    assert_eq!(hit["tokensSaved"]["cache"], 110);
    assert_eq!(hit["promptTokens"], 0);
    assert_eq!(miss["source"], "upstream");
    assert_eq!(
        (&miss["costNanoUsd"], &miss["promptTokens"]),
        (&json!(120_000), &json!(100))
    );
    assert_eq!(miss["attempts"], 1);
    assert_eq!(by_source["total"]["wouldHaveCostNanoUsd"], 240_000);
    assert_eq!(by_source["total"]["reportedRequests"], 2);

    let csv = proxy.get("/api/usage?group_by=source&format=csv").await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let text = String::from_utf8(csv.body.to_vec()).unwrap();
    assert!(text.starts_with("source,requests,errors,"), "{text}");
    assert!(text.contains(",0.00012,"), "{text}");
}

/// What the upstream says that a call cost is believed, to the nano-dollar, and is what a hit saves.
#[tokio::test]
async fn what_the_upstream_says_is_believed() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let (proxy, _prices) = proxy(&upstream, "").await;
    for (n, (cost, nano)) in [
        ("0.000123456", 123_456),
        ("1.5e-7", 150),
        ("0", 0),
        ("2", 2_000_000_000),
    ]
    .into_iter()
    .enumerate()
    {
        let before = usage(&proxy, "").await["total"].clone();
        for body in [true, false] {
            let mut request = asking("a", &format!("{n}|100,10,0,{cost}"));
            request["stream"] = body.into();
            if body {
                proxy.stream(&request).await.all().await;
            } else {
                proxy.chat(&request).await;
            }
        }
        let after = usage(&proxy, "").await["total"].clone();
        let more = |key: &str| after[key].as_u64().unwrap() - before[key].as_u64().unwrap();
        assert_eq!(
            (more("costNanoUsd"), more("savedNanoUsd")),
            (nano, nano),
            "{cost}"
        );
    }
}

#[tokio::test]
async fn streams_are_asked_for_their_usage_and_who_did_not_ask_does_not_see_it() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let (proxy, _prices) = proxy(&upstream, "").await;
    for (wishes, is_seen, is_sent) in [
        (None, false, true),
        (Some(json!({"include_usage": true})), true, true),
        (Some(json!(null)), false, true),
        (Some(json!({})), false, true),
        (Some(json!({"include_obfuscation": false})), false, true),
        (Some(json!({"include_usage": false})), false, false),
    ] {
        let mut request = asking("a", &format!("{wishes:?}|100,10,0"));
        request["stream"] = true.into();
        if let Some(wishes) = &wishes {
            request["stream_options"] = wishes.clone();
        }
        let events = proxy.stream(&request).await.all().await;
        let seen = events.iter().any(|event| event.contains("\"usage\":{"));
        assert_eq!(seen, is_seen, "{wishes:?}: {events:?}");
        assert_eq!(events.last().unwrap(), "[DONE]");
        let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
        assert_eq!(sent["stream_options"]["include_usage"], is_sent);
    }
    let total = usage(&proxy, "").await["total"].clone();
    // Whoever says that no usage is wanted gets none, and the books an estimate.
    assert_eq!(
        (&total["reportedRequests"], &total["estimatedRequests"]),
        (&json!(5), &json!(1))
    );
}

/// Who leaves pays: the call went on, or was broken off.
#[tokio::test]
async fn a_call_that_nobody_waited_for_is_paid_by_who_began_it() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, "").await;
    let gate = Gate::new();
    let act = Act::stream()
        .chunk(event(&crate::support::delta("Half of a word")))
        .wait(&gate)
        .chunk(event(&crate::support::finish("stop")))
        .chunk(event("[DONE]"))
        .last_chunk();
    upstream.set(act);
    let mut request = asking("a", "Why do birds sing at dawn?");
    request["stream"] = true.into();
    let mut events = proxy.stream(&request).await;
    events.next().await;
    drop(events);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
    let total = within("the row", async {
        loop {
            let total = usage(&proxy, "").await["total"].clone();
            if total["requests"] == 1 {
                return total;
            }
        }
    })
    .await;
    assert_eq!(
        (&total["aborted"], &total["estimatedRequests"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(total["completionTokens"], 4);
    let expected = total["promptTokens"].as_u64().unwrap() * 1_000 + 4 * 2_000;
    assert_eq!(total["costNanoUsd"], expected);
    gate.open();
}

#[tokio::test]
async fn savings_are_explained_and_models_without_a_price_named() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let (proxy, _prices) = proxy(&upstream, "").await;
    for model in ["a", "a", "nobody/knows"] {
        proxy.chat(&asking(model, "q|100,10,0")).await;
    }
    let savings = proxy.get("/api/usage/savings").await.json();
    assert_eq!(savings["spentNanoUsd"], 120_000);
    assert_eq!(savings["savedNanoUsd"], 120_000);
    assert_eq!(savings["unpricedModels"], json!(["nobody/knows"]));
    let layers = savings["layers"].as_array().unwrap();
    let names: Vec<_> = layers
        .iter()
        .map(|layer| layer["layer"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "cache",
            "dedup",
            "compression",
            "provider_cache",
            "max_tokens"
        ]
    );
    assert_eq!(
        (&layers[0]["savedNanoUsd"], &layers[0]["requests"]),
        (&json!(120_000), &json!(1))
    );
    assert!(
        layers
            .iter()
            .all(|layer| layer["explanation"].as_str().unwrap().len() > 20)
    );
}

#[tokio::test]
async fn reports_are_for_the_operator() {
    let upstream = Upstream::start().await;
    let settings = "[auth]\nadmin_token = \"boss\"\nclient_tokens = [\"one\"]";
    let proxy = Proxy::start(settings, &upstream).await;
    for path in ["/api/usage", "/api/usage/savings", "/api/events"] {
        assert_eq!(proxy.get(path).await.status, 401, "{path}");
        let asked = proxy
            .request(http::Method::GET, path)
            .header("authorization", "Bearer one");
        assert_eq!(proxy.send(asked).await.status, 403, "{path}");
    }
    let asked = proxy
        .request(http::Method::GET, "/api/usage")
        .header("authorization", "Bearer boss");
    assert_eq!(proxy.send(asked).await.status, 200);
    assert_eq!(proxy.get("/metrics").await.status, 200);
    let wrong = proxy
        .request(http::Method::GET, "/api/usage?group_by=colour")
        .header("authorization", "Bearer boss");
    let wrong = proxy.send(wrong).await;
    assert_eq!(
        (wrong.status, &wrong.json()["param"]),
        (400, &json!("group_by"))
    );
}

#[tokio::test]
async fn where_no_ledger_is_kept_that_is_said() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[ledger]\npath = \"off\"", &upstream).await;
    let answer = proxy.get("/api/usage").await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (404, &json!("no_ledger"))
    );
    proxy.chat(&ask("q")).await;
    let samples = samples(&proxy).await;
    assert_eq!(day::whole(samples["pegasus_nest_cache_misses_total"]), 1);
}

/// What is known of a request stands in its row also where nothing came back.
#[tokio::test]
async fn failures_are_kept_with_their_model() {
    let upstream = Upstream::start().await;
    upstream.set(Act::error(503, &[]));
    let (proxy, _prices) = proxy(&upstream, "[retry]\nmax_attempts = 1").await;
    proxy.chat(&asking("a", "q")).await;
    let report = usage(&proxy, "?group_by=model").await;
    let row = &report["rows"][0];
    assert_eq!((&row["model"], &row["errors"]), (&json!("a"), &json!(1)));
    assert_eq!(
        (&row["costNanoUsd"], &row["attempts"]),
        (&json!(0), &json!(1))
    );
}

/// Of other endpoints the answers to POST are paid for, not those that are fetched again.
#[tokio::test]
async fn forwarded_answers_are_paid_for_once() {
    let upstream = Upstream::start().await;
    let answer = json!({"object": "response", "model": "a", "usage": {
        "input_tokens": 10, "output_tokens": 4, "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 8}, "output_tokens_details": {"reasoning_tokens": 3},
    }});
    upstream.set(Act::json(200, &answer));
    let (proxy, _prices) = proxy(&upstream, "").await;
    proxy
        .post("/v1/responses", &json!({"model": "a", "input": "q"}), &[])
        .await;
    for _ in 0..3 {
        proxy.get("/v1/responses/resp_1").await;
    }
    let total = usage(&proxy, "").await["total"].clone();
    assert_eq!(
        (&total["requests"], &total["promptTokens"]),
        (&json!(4), &json!(10))
    );
    assert_eq!(
        (&total["cachedTokens"], &total["reasoningTokens"]),
        (&json!(8), &json!(3))
    );
    assert_eq!(total["costNanoUsd"], 2 * 1_000 + 8 * 250 + 4 * 2_000);
}

/// A stream of another endpoint passes byte for byte, and is paid for all the same.
#[tokio::test]
async fn forwarded_streams_are_paid_for() {
    let upstream = Upstream::start().await;
    let usage = json!({"input_tokens": 10, "output_tokens": 4, "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 8}});
    let pieces = [
        "event: response.created\ndata: {\"response\":{\"model\":\"a\",\"usage\":null}}\n\n",
        "event: response.output_text.delta\ndata: {\"delta\":\"Hello.\"}\n\n",
        &format!(
            "event: response.completed\ndata: {{\"response\":{{\"model\":\"a\",\"usage\":{usage}}}}}\n\n"
        ),
    ];
    let act = pieces.iter().fold(Act::stream(), |act, piece| {
        let (one, other) = piece.split_at(piece.len() / 2);
        act.chunk(one).chunk(other)
    });
    upstream.set(act.last_chunk());
    let (proxy, _prices) = proxy(&upstream, "").await;
    let asked = json!({"model": "a", "input": "q", "stream": true});
    let answer = proxy.post("/v1/responses", &asked, &[]).await;
    assert_eq!(answer.body, pieces.concat());
    let total = self::usage(&proxy, "").await["total"].clone();
    assert_eq!(
        (
            &total["promptTokens"],
            &total["cachedTokens"],
            &total["reportedRequests"]
        ),
        (&json!(10), &json!(8), &json!(1))
    );
    assert_eq!(total["costNanoUsd"], 2 * 1_000 + 8 * 250 + 4 * 2_000);
}

/// What is sent unasked goes on where the proxy did not ask for it either.
#[tokio::test]
async fn usage_that_a_provider_volunteers_is_passed_on() {
    let upstream = Upstream::start().await;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    upstream.set(
        Act::stream()
            .chunk(event(&crate::support::delta("Hello.")))
            .chunk(event(&crate::support::finish("stop")))
            .chunk(event(&usage.to_string()))
            .chunk(event("[DONE]"))
            .last_chunk(),
    );
    for (asks, is_seen) in [(false, true), (true, false)] {
        let proxy = Proxy::start(&format!("[metering]\nstream_usage = {asks}"), &upstream).await;
        let events = proxy
            .stream(&crate::support::ask_stream("q"))
            .await
            .all()
            .await;
        let seen = events
            .iter()
            .any(|event| event.contains("\"total_tokens\":2"));
        assert_eq!(seen, is_seen, "{asks}: {events:?}");
    }
}

/// What no model reads is not sent, and says nothing of the upstream.
#[tokio::test]
async fn a_prompt_beyond_the_window_is_refused_before_it_is_sent() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let proxy = Proxy::start("[breaker]\nfailure_threshold = 1", &upstream).await;
    let long = "birds sing at dawn ".repeat(3_000);
    let answer = proxy.chat(&asking("gpt-4", &long)).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (422, &json!("context_length_exceeded"))
    );
    let message = answer.json()["error"]["message"].to_string();
    assert!(
        message.contains("8192") && message.contains("gpt-4"),
        "{message}"
    );
    assert_eq!(upstream.calls(), 0);
    // Where the upstream is told what to do about it, and where the operator knows better, it is asked.
    let mut flexible = asking("gpt-4", &long);
    flexible["transforms"] = json!(["middle-out"]);
    assert_eq!(proxy.chat(&flexible).await.status, 200);
    let proxy = Proxy::start("[metering]\nrefuse_overflow = false", &upstream).await;
    assert_eq!(proxy.chat(&asking("gpt-4", &long)).await.status, 200);
    assert_eq!(upstream.calls(), 2);
}
