//! What the proxy tells about itself: the figures and the health.

use serde_json::{Value, json};

use crate::support::{Act, End, Gate, Proxy, Upstream, ask, completion};

mod cache;
mod health;

const STATS: &str = "/api/optimization-stats";

async fn stats(proxy: &Proxy) -> Value {
    let answer = proxy.get(STATS).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    let body = answer.json();
    assert_contract(&body);
    body
}

/// Whether this is a time such as 2025-06-01T10:12:01.479Z.
fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    let digits = text.bytes().map(|b| {
        if b.is_ascii_digit() {
            '0'
        } else {
            char::from(b)
        }
    });
    digits.collect::<String>() == "0000-00-00T00:00:00.000Z"
}

/// Checks every key and type that today's dashboards read.
fn assert_contract(body: &Value) {
    assert_eq!(
        body["message"],
        "🚀 Pegasus Nest API Optimization Statistics"
    );
    assert!(is_timestamp(&body["timestamp"]), "{body}");
    assert!(
        ["Waiting for requests", "Optimization Active"].contains(&body["status"].as_str().unwrap())
    );
    let performance = &body["performance"];
    for count in [
        "totalRequests",
        "totalTokens",
        "averageTokensPerRequest",
        "cacheSize",
    ] {
        assert!(performance[count].is_u64(), "{count}: {body}");
    }
    let rate = performance["cacheHitRate"].as_str().unwrap();
    let (whole, decimal) = rate.strip_suffix('%').unwrap().split_once('.').unwrap();
    assert!(whole.parse::<u8>().is_ok() && decimal.len() == 1, "{rate}");
    let saved = performance["compressionSavings"].as_str().unwrap();
    assert!(
        saved
            .strip_suffix(" characters saved")
            .unwrap()
            .parse::<u64>()
            .is_ok(),
        "{saved}"
    );
    let savings = &body["savings"];
    for count in ["cacheHits", "cacheMisses", "estimatedTokensSaved"] {
        assert!(savings[count].is_u64(), "{count}: {body}");
    }
    let usd = savings["estimatedCostSavings"]
        .as_str()
        .unwrap()
        .strip_prefix('$')
        .unwrap();
    assert!(
        usd.parse::<f64>().is_ok() && usd.split_once('.').unwrap().1.len() == 4,
        "{usd}"
    );
    assert!(body["unpricedModels"].is_array(), "{body}");
    assert!(body["circuitBreakers"].is_array(), "{body}");
}

/// A question for this model.
fn ask_model(model: &str, prompt: &str) -> Value {
    let mut question = ask(prompt);
    question["model"] = model.into();
    question
}

#[tokio::test]
async fn before_the_first_request_there_is_nothing_to_tell() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    // Looking at the figures, at the health or at what is not there is no request.
    for path in ["/health", STATS, "/nowhere", "/"] {
        proxy.get(path).await;
    }
    proxy.chat(&json!({"messages": "wrong"})).await;
    let body = stats(&proxy).await;
    assert_eq!(body["status"], "Waiting for requests");
    let expected = json!({"totalRequests": 0, "totalTokens": 0, "averageTokensPerRequest": 0,
        "cacheHitRate": "0.0%", "cacheSize": 0, "compressionSavings": "0 characters saved"});
    assert_eq!(body["performance"], expected);
    let expected = json!({"cacheHits": 0, "cacheMisses": 0, "estimatedTokensSaved": 0,
        "estimatedCostSavings": "$0.0000"});
    assert_eq!(body["savings"], expected);
}

#[tokio::test]
async fn hits_and_misses_add_up_and_tokens_are_those_reported() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for _ in 0..4 {
        for question in 0..10 {
            let question = ask_model("openai/gpt-4o", &format!("question {question}"));
            assert_eq!(proxy.chat(&question).await.status, 200);
        }
    }
    assert_eq!(upstream.calls(), 10);
    let body = stats(&proxy).await;
    assert_eq!(body["status"], "Optimization Active");
    let performance = &body["performance"];
    assert_eq!(performance["totalRequests"], 40);
    assert_eq!(performance["totalTokens"], 180, "paid for, ten times 18");
    assert_eq!(performance["averageTokensPerRequest"], 5, "4.5, rounded");
    assert_eq!(performance["cacheHitRate"], "75.0%");
    assert_eq!(performance["cacheSize"], 10);
    let savings = &body["savings"];
    assert_eq!(
        (&savings["cacheHits"], &savings["cacheMisses"]),
        (&json!(30), &json!(10))
    );
    assert_eq!(savings["estimatedTokensSaved"], 540, "thirty times 18");
    // 11 × 2.5 + 7 × 10 = 97.5 millionths an answer.
    assert_eq!(body["cost"]["spentUsd"], 0.000_975, "{body}");
    assert_eq!(body["cost"]["savedUsd"], 0.002_925, "{body}");
    assert_eq!(savings["estimatedCostSavings"], "$0.0029");
    assert_eq!(body["unpricedModels"], json!([]));
}

#[tokio::test]
async fn tokens_that_nobody_reported_are_estimated_and_marked() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let mut silent = completion("Four words are here.");
    silent.as_object_mut().unwrap().remove("usage");
    upstream.set(Act::json(200, &silent));
    let question = json!({"prompt": "What is here?", "model": "m"});
    let usage = proxy.post("/create", &question, &[]).await.json()["usage"].clone();
    assert_eq!(usage["estimated"], true, "{usage}");
    let [prompt, completion, total] = ["prompt_tokens", "completion_tokens", "total_tokens"]
        .map(|key| usage[key].as_u64().unwrap());
    assert!(
        prompt > 0 && completion > 0 && total == prompt + completion,
        "{usage}"
    );
    let body = stats(&proxy).await;
    assert_eq!(body["tokens"]["answersWithEstimatedTokens"], 1);
    assert_eq!(body["performance"]["totalTokens"], total);
    // The streamed answer without usage likewise.
    upstream.set(Act::streams(&["Four words ", "are here."]));
    let mut question = ask("And what is there?");
    question["stream"] = true.into();
    proxy.stream(&question).await.all().await;
    let body = stats(&proxy).await;
    assert_eq!(body["tokens"]["answersWithEstimatedTokens"], 2);
    assert!(body["performance"]["totalTokens"].as_u64().unwrap() > total);
    assert_eq!(
        body["unpricedModels"],
        json!(["m"]),
        "a model without a price costs nothing"
    );
    assert_eq!(body["cost"]["spentUsd"], 0.0);
}

#[tokio::test]
async fn joined_calls_are_counted_as_misses_that_cost_nothing() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let gate = Gate::new();
    upstream.set(Act::says("Shared.").after(&gate));
    let question = ask_model("gpt-4o", "shared");
    let all = futures_util::future::join_all((0..5).map(|_| proxy.chat(&question)));
    let then = async {
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        // All five have come in, whatever waits where.
        while stats(&proxy).await["performance"]["totalRequests"] != 5 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    let (answers, ()) = tokio::join!(all, then);
    assert!(answers.iter().all(|answer| answer.text() == "Shared."));
    let shared = answers
        .iter()
        .filter(|answer| answer.header("x-cache") == "COALESCED")
        .count();
    let hits = answers
        .iter()
        .filter(|answer| answer.header("x-cache") == "HIT")
        .count();
    let body = stats(&proxy).await;
    assert_eq!(body["dedup"]["joined"], shared);
    assert_eq!(body["savings"]["cacheHits"], hits);
    assert_eq!(body["savings"]["cacheMisses"], 5 - hits);
    assert_eq!(body["performance"]["totalTokens"], 18, "paid for once");
    assert_eq!(body["savings"]["estimatedTokensSaved"], 4 * 18);
    assert_eq!(body["cost"]["spentUsd"], 0.000_097_5);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn what_compression_takes_out_is_counted() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[compression]\nlevel = \"safe\"", &upstream).await;
    let sentences = "We went home  and nobody was there to open the door. ".repeat(8);
    let question = ask(&format!("{sentences}Please tell us why."));
    proxy.chat(&question).await;
    let sent = upstream.last().prompt();
    let taken = question["messages"][0]["content"].as_str().unwrap().len() - sent.len();
    assert!(taken > 0, "{sent:?}");
    let body = stats(&proxy).await;
    let expected = format!("{taken} characters saved");
    assert_eq!(body["performance"]["compressionSavings"], expected);
    let compression = &body["compression"];
    assert_eq!(compression["level"], "safe");
    let expected = json!({"edits": taken, "characters": taken, "tokens": taken});
    assert_eq!(compression["byRule"]["inner-blanks"], expected);
    assert_eq!(compression["byKind"]["payload"], expected);
    assert_eq!(compression["tokensSaved"], taken);
}

#[tokio::test]
async fn retries_attempts_and_failures_are_counted() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    upstream.once(Act::error(503, &[]));
    assert_eq!(proxy.chat(&ask("again")).await.status, 200);
    let body = stats(&proxy).await;
    assert_eq!(body["upstream"]["attempts"], 2);
    assert_eq!(body["upstream"]["retries"], 1);
    assert_eq!(
        body["savings"]["cacheMisses"], 1,
        "one question, however many attempts"
    );
}

#[tokio::test]
async fn a_call_that_an_open_circuit_refused_is_no_failure_of_the_upstream() {
    let upstream = Upstream::start().await;
    let settings = "breaker.failure_threshold = 3\nretry.max_attempts = 1";
    let proxy = Proxy::start(settings, &upstream).await;
    upstream.set(Act::only(End::Close));
    for number in 0..8 {
        let expected = if number < 3 { 502 } else { 503 };
        let answer = proxy.chat(&ask(&number.to_string())).await;
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let body = stats(&proxy).await;
    assert_eq!(body["upstream"]["attempts"], 3);
    assert_eq!(body["upstream"]["failures"], 3);
    assert_eq!(body["performance"]["totalRequests"], 8);
}
