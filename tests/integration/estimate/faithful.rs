//! The figures are those that the service itself would have come to.

use serde_json::{Value, json};

use super::{PRICES, answer, asking, estimate, figure, line, log, report};
use crate::process::config_file;
use crate::support::{Act, Proxy, Recorded, Upstream, event};

/// A text in which compression finds something at every level.
fn wordy(number: usize) -> String {
    let text =
        "We went home  and nobody was there to open the door for us, in order to see it all. ";
    format!("{}Case {number}.", text.repeat(9))
}

/// Draws that are the same wherever the tests run.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// Requests as users send them: a few prompts most of the time, many others now and then, in both shapes, of two callers,
/// long and short.
fn trace(length: usize) -> Vec<(&'static str, Value)> {
    let mut state = 7;
    let mut request = |at: usize| {
        // Zipf's law, roughly: half of all requests are for one prompt in thirty.
        let bound = 1 + draw(&mut state, 60);
        let number = usize::try_from(draw(&mut state, bound)).unwrap();
        let model = if number.is_multiple_of(3) { "a" } else { "b" };
        let prompt = if number.is_multiple_of(2) {
            wordy(number)
        } else {
            format!("Case {number}?")
        };
        let mut request = asking(model, &prompt);
        if at.is_multiple_of(5) {
            request["stream"] = true.into();
        }
        let caller = if at.is_multiple_of(4) { "one" } else { "other" };
        (caller, request)
    };
    (0..length).map(&mut request).collect()
}

/// The model, as a server.
fn perform(request: &Recorded) -> Act {
    let body = request.json();
    if body["messages"][0]["content"]
        .as_str()
        .unwrap()
        .contains("Case 10.")
    {
        return Act::error(500, &[]);
    }
    let whole = answer(&body);
    if body["stream"] != true {
        return Act::json(200, &whole);
    }
    let chunk =
        |delta: Value, reason: Value, usage: Option<&Value>| {
            let choices = match usage {
                Some(_) => json!([]),
                None => json!([{"index": 0, "delta": delta, "finish_reason": reason}]),
            };
            event(&json!({
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": whole["model"],
            "choices": choices, "usage": usage,
        }).to_string())
        };
    Act::stream()
        .chunk(chunk(json!({"content": "Hello."}), Value::Null, None))
        .chunk(chunk(json!({}), "stop".into(), None))
        .chunk(chunk(json!({}), Value::Null, Some(&whole["usage"])))
        .chunk(event("[DONE]"))
        .last_chunk()
}

/// To the nano-dollar, with compression, evictions, streams, two callers and failures.
#[tokio::test]
async fn a_log_comes_to_what_serving_it_came_to() {
    for settings in [
        "[cache]\nmax_entries = 20\n[compression]\nlevel = \"balanced\"\n",
        "[cache]\nmax_entries = 12\nscope = \"global\"\neviction = \"value\"\n[compression]\nlevel = \"off\"\n",
        "[cache]\nenabled = false\n[compression]\nlevel = \"aggressive\"\n",
    ] {
        let trace = trace(250);
        let upstream = Upstream::start().await;
        upstream.script(perform);
        let prices = config_file(PRICES);
        let path = prices.path().to_str().unwrap();
        // A failure is in the log as it was; what other attempts would have got is not.
        let of_the_log = format!(
            "metering.prices_file = {path:?}\nretry.max_attempts = 1\nbreaker.enabled = false\n{settings}"
        );
        let proxy = Proxy::start(&of_the_log, &upstream).await;
        let mut lines = Vec::new();
        for (at, (caller, request)) in (0_u32..).zip(&trace) {
            let authorization = format!("Bearer {caller}");
            let headers = [("authorization", authorization.as_str())];
            let before = upstream.calls();
            if request["stream"] == true {
                proxy
                    .stream_from("/v1/chat/completions", request, &headers)
                    .await
                    .all()
                    .await;
            } else {
                proxy.chat_with(request, &headers).await;
            }
            assert!(upstream.calls() - before <= 1);
            let mut line = line(f64::from(at) * 1.5, request);
            line["caller"] = (*caller).into();
            if request["messages"][0]["content"]
                .as_str()
                .unwrap()
                .contains("Case 10.")
            {
                line["response"] = json!({"status_code": 500, "body": {"error": {"message": "x"}}});
            }
            lines.push(line);
        }
        let served = proxy.get("/api/usage").await.json()["total"].clone();
        let savings = proxy.get("/api/usage/savings").await.json();
        let report = report(&log(lines), settings, &[]).await;
        let total = &report["total"];
        for key in [
            "requests",
            "errors",
            "promptTokens",
            "completionTokens",
            "cachedTokens",
            "tokensSaved",
            "costNanoUsd",
            "wouldHaveCostNanoUsd",
            "savedNanoUsd",
            "saved",
            "attempts",
            "reportedRequests",
            "estimatedRequests",
            "unpricedRequests",
        ] {
            assert_eq!(
                total[key], served[key],
                "{key} with {settings}:\n{total}\n{served}"
            );
        }
        for layer in 0..4 {
            for key in ["layer", "requests", "tokens", "savedNanoUsd"] {
                let (ours, theirs) = (
                    &report["layers"][layer][key],
                    &savings["layers"][layer][key],
                );
                assert_eq!(ours, theirs, "{layer} {key}");
            }
        }
        // What the test is about is there.
        assert!(figure(total, "/errors") > 0);
        assert_eq!(
            figure(total, "/saved/cacheNanoUsd") > 0,
            !settings.contains("enabled = false")
        );
        assert_eq!(
            figure(total, "/saved/compressionNanoUsd") > 0,
            !settings.contains("off")
        );
        let assumptions = report["assumptions"].as_array().unwrap();
        assert_eq!(
            assumptions.len(),
            if settings.contains("off") { 4 } else { 5 },
            "{assumptions:?}"
        );
    }
}

#[tokio::test]
async fn calls_that_overlap_are_shared_and_others_are_not() {
    let request = asking("a", "Why do birds sing at dawn?");
    // Two of its tokens are the provider's cache's.
    let cost = 1_000 * (super::tokens(&request) as u64 - 2) + 250 * 2 + 2_000 * 40;
    let at = |second: f64| line(second, &request);
    // Within the 900 ms of the first call, then after its end.
    let overlapping = [0.0, 0.2, 0.8, 0.899, 1.0, 1.1].map(at);
    let total = report(&log(overlapping), "", &[]).await["total"].clone();
    assert_eq!((figure(&total, "/joined"), figure(&total, "/hits")), (3, 2));
    assert_eq!(figure(&total, "/saved/dedupNanoUsd"), 3 * cost);
    assert_eq!(figure(&total, "/saved/cacheNanoUsd"), 2 * cost);
    assert_eq!(figure(&total, "/costNanoUsd"), cost);
    let apart = [0.0, 1.0, 2.0, 3.0].map(at);
    let total = report(&log(apart), "cache.enabled = false", &[]).await["total"].clone();
    assert_eq!(
        (figure(&total, "/joined"), figure(&total, "/costNanoUsd")),
        (0, 4 * cost)
    );
}

#[tokio::test]
async fn answers_expire_by_the_times_of_the_log() {
    let request = asking("a", "q");
    let minutes = [0.0, 30.0, 59.9, 60.1, 61.0, 119.0, 125.0];
    let log = log(minutes.map(|minute| line(minute * 60.0, &request)));
    let hits = |total: &Value| figure(total, "/total/hits");
    // Bought at 0, at 60.1 and at 125 minutes; with half the life at 0, 59.9, 119 and so on.
    assert_eq!(hits(&report(&log, "", &[]).await), 4);
    assert_eq!(hits(&report(&log, "cache.ttl = \"20m\"", &[]).await), 3);
    assert_eq!(hits(&report(&log, "cache.ttl = \"1d\"", &[]).await), 6);
    // A stale answer stands in for a failure.
    let failed = json!({"time": 1_750_009_000, "request": request, "status": 503, "latency_ms": 5});
    let lines = [line(0.0, &request), failed];
    let report = report(&super::log(lines), "cache.ttl = \"20m\"", &[]).await;
    assert_eq!((hits(&report), figure(&report, "/total/errors")), (1, 0));
}

#[tokio::test]
async fn a_log_without_repeats_is_told_that_a_cache_saves_nothing() {
    let lines = (0_u32..200).map(|n| line(f64::from(n), &asking("a", &format!("Question {n}?"))));
    let log = log(lines);
    let total = report(&log, "", &[]).await["total"].clone();
    assert_eq!(
        (
            figure(&total, "/hits"),
            figure(&total, "/saved/cacheNanoUsd")
        ),
        (0, 0)
    );
    assert_eq!(figure(&total, "/proxySavedNanoUsd"), 0);
    let output = estimate(&log, "", &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("a cache saves nothing on this log"), "{text}");
    assert!(text.contains("0.0 %"), "{text}");
}

/// A call for the embeddings of these at this second, and what it was answered.
fn embedding(second: f64, input: &Value, tokens: u64) -> Value {
    let count = input.as_array().map_or(1, Vec::len);
    let data: Vec<_> = (0..count)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": [0.5]}))
        .collect();
    json!({
        "time": 1_750_000_000.0 + second, "endpoint": "/v1/embeddings", "latency_ms": 300,
        "request": {"model": "a", "input": input},
        "response": {"object": "list", "data": data, "model": "a", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}},
    })
}

/// Nobody knows what a part of a recorded answer would have cost: each call costs what it did, whatever others ask for at
/// that time or have asked for before.
#[tokio::test]
async fn embeddings_cost_what_the_log_says() {
    let at_once = [json!("one"), json!(["two", "three"]), json!("four")];
    let mut lines: Vec<_> = (10..)
        .zip(&at_once)
        .map(|(tokens, input)| embedding(0.0, input, tokens))
        .collect();
    // Known in part, known altogether, and known but for their number.
    lines.push(embedding(5.0, &json!(["one", "five"]), 100));
    lines.push(embedding(9.0, &json!("one"), 10));
    lines.push(embedding(9.0, &json!(["four", "one"]), 22));
    let report = report(&log(lines), "", &[]).await;
    let total = &report["total"];
    assert_eq!(
        (figure(total, "/requests"), figure(total, "/errors")),
        (6, 0)
    );
    assert_eq!(figure(total, "/attempts"), 6);
    assert_eq!(
        figure(total, "/costNanoUsd"),
        (10 + 11 + 12 + 100 + 10 + 22) * 1_000
    );
    assert_eq!(figure(total, "/proxySavedNanoUsd"), 0);
    let assumptions = report["assumptions"].to_string();
    assert!(
        assumptions.contains("6 of them are calls for embeddings"),
        "{assumptions}"
    );
}

/// What makes calls of its own, or other ones than the log has, would be paid with invented figures.
#[tokio::test]
async fn what_no_log_can_tell_changes_no_figure() {
    let lines = (0_u32..40).map(|n| {
        let request = json!({"model": "a", "prompt": format!("Question {}?", n % 8)});
        let mut response = answer(&asking("a", "q"));
        if n % 3 == 0 {
            response["choices"][0]["finish_reason"] = "length".into();
        }
        json!({
            "time": 1_750_000_000 + 900 * n, "endpoint": "/create", "request": request, "response": response,
            "latency_ms": 900,
        })
    });
    let log = log(lines);
    let rules = tempfile::tempdir().unwrap();
    let file = rules.path().join("rules.toml");
    let on = format!(
        "[tuning]\nmode = \"act\"\n[prefetch]\nenabled = true\n[upstream]\nprompt_cache = \"on\"\n\
         [compression]\nlearn = \"act\"\nholdout = 0.5\nrules.file = {file:?}\n"
    );
    let off = "tuning.mode = \"off\"\nupstream.prompt_cache = \"off\"\n";
    let plain = report(&log, off, &[]).await;
    for settings in ["tuning.mode = \"observe\"\n", &on] {
        let report = report(&log, settings, &[]).await;
        for part in ["total", "byModel", "overTime", "layers"] {
            assert_eq!(report[part], plain[part], "{part} with {settings}");
        }
    }
    let said = |report: &Value| report["assumptions"].to_string();
    assert!(!said(&plain).contains("Left out, although"), "{plain}");
    let told = said(&report(&log, &on, &[]).await);
    for setting in [
        "tuning.mode",
        "prefetch.enabled",
        "compression.learn",
        "upstream.prompt_cache",
    ] {
        assert!(told.contains(setting), "{setting}: {told}");
    }
    let written: Vec<_> = std::fs::read_dir(rules.path()).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");
}
