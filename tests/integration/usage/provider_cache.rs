//! The provider's own cache: prompts are marked for it where that pays, and what it saved and cost is in the books.

use serde_json::{Value, json};

use super::usage;
use crate::support::{Act, Proxy, Recorded, Upstream, completion};

const MODEL: &str = "claude-test";

/// A proxy whose model costs 1,000 nano-dollars a token, 100 out of the provider's cache and 1,250 into it.
async fn proxy(upstream: &Upstream, mode: &str) -> (Proxy, tempfile::NamedTempFile) {
    let prices = format!(
        "[models.{MODEL}]\ninput = 1\noutput = 0\ncached_input = 0.1\ncache_write = 1.25\n"
    );
    let file = crate::process::config_file(&prices);
    let path = file.path().to_str().unwrap();
    let settings = format!(
        "[metering]\nprices_file = {path:?}\n[upstream]\nprompt_cache = {mode:?}\n[compression]\nlevel = \"off\""
    );
    (Proxy::start(&settings, upstream).await, file)
}

/// Instructions that are long enough to be kept, and a question.
fn asking(question: &str) -> Value {
    json!({"model": MODEL, "messages": [
        {"role": "system", "content": "Be kind. ".repeat(800)},
        {"role": "user", "content": question},
    ]})
}

fn marks(request: &Recorded) -> usize {
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    body.matches(r#""cache_control":{"type":"ephemeral"}"#)
        .count()
}

/// A model behind a cache that takes in what is marked, and has it when it comes again.
fn keeps(request: &Recorded) -> Act {
    let has_it = request.prompt().starts_with("again");
    let (read, written) = match marks(request) {
        0 => (0, 0),
        _ if has_it => (1_800, 0),
        _ => (0, 1_800),
    };
    let mut whole = completion("Yes.");
    whole["usage"] = json!({
        "prompt_tokens": 1_900, "completion_tokens": 1, "total_tokens": 1_901,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    });
    Act::json(200, &whole)
}

#[tokio::test]
async fn instructions_that_come_again_are_marked_and_what_that_brings_is_in_the_books() {
    let upstream = Upstream::start().await;
    upstream.script(keeps);
    let (proxy, _prices) = proxy(&upstream, "on").await;
    let mut sent = Vec::new();
    for question in ["one", "two", "again 3", "again 4"] {
        let answer = proxy.chat(&asking(question)).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "MISS"));
        sent.push(marks(&upstream.last()));
    }
    assert_eq!(sent, [0, 1, 1, 1]);
    let marked = upstream.last().json();
    assert_eq!(
        marked["messages"][0]["content"][0]["text"],
        "Be kind. ".repeat(800)
    );
    assert_eq!(marked["messages"][1], asking("again 4")["messages"][1]);
    // The marks are no part of what was asked.
    for question in ["one", "two"] {
        assert_eq!(proxy.chat(&asking(question)).await.header("x-cache"), "HIT");
    }
    let total = usage(&proxy, "").await["total"].clone();
    assert_eq!(total["cachedTokens"], 2 * 1_800);
    assert_eq!(total["cacheWriteTokens"], 1_800);
    // The first plain, the second with what is put there, and two that use it.
    let cost = 1_900_000 + (1_900_000 + 1_800 * 250) + 2 * (1_900_000 - 1_800 * 900);
    assert_eq!(total["costNanoUsd"], cost);
    let savings = proxy.get("/api/usage/savings").await.json();
    let layer = &savings["layers"][3];
    assert_eq!(layer["layer"], "provider_cache");
    assert_eq!(layer["savedNanoUsd"], 2 * 1_800 * 900);
    assert_eq!(layer["tokens"], 2 * 1_800);
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(
        stats["upstream"]["promptCache"],
        json!({"marked": 3, "refused": 0, "readTokens": 3_600, "writtenTokens": 1_800,
            "savedUsd": 0.003_24, "surchargeUsd": 0.000_45})
    );
    let metrics = proxy.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "pegasus_nest_prompt_cache_marked_total 3\n",
        "pegasus_nest_prompt_cache_saved_usd_total 0.00324\n",
        "pegasus_nest_prompt_cache_surcharge_usd_total 0.00045\n",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    let decisions = proxy.get("/api/tuning").await.json()["decisions"].clone();
    assert_eq!(
        decisions[0]["subject"],
        "upstream.prompt_cache (claude-test)"
    );
    assert_eq!(decisions[0]["action"], "applied");
}

#[tokio::test]
async fn whoever_marks_prompts_themselves_or_asks_elsewhere_sends_the_bytes_they_sent() {
    let upstream = Upstream::start().await;
    let (on, _prices) = proxy(&upstream, "on").await;
    let (auto, _more) = proxy(&upstream, "auto").await;
    let mut own = asking("q");
    own["messages"][0]["content"] = json!([
        {"type": "text", "text": "Be kind. ".repeat(800), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]);
    let mut other = asking("q");
    other["model"] = "gpt-test".into();
    for (proxy, body) in [(&on, own), (&on, other), (&auto, asking("q"))] {
        for _ in 0..3 {
            let answer = proxy
                .chat_with(&body, &[("cache-control", "no-cache")])
                .await;
            assert_eq!(answer.status, 200);
            assert_eq!(upstream.last().body, body.to_string());
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_marks_is_asked_without_them() {
    for status in [400, 422] {
        refuse_marks_with(status).await;
    }
}

async fn refuse_marks_with(code: u16) {
    let upstream = Upstream::start().await;
    upstream.script(move |request| match marks(request) {
        0 => request.answer("Yes."),
        _ => Act::error(code, &[]),
    });
    let (proxy, _prices) = proxy(&upstream, "on").await;
    for (question, calls) in [("one", 1), ("two", 3), ("three", 4)] {
        let answer = proxy.chat(&asking(question)).await;
        assert_eq!((answer.status, answer.text()), (200, "Yes.".to_owned()));
        assert_eq!(upstream.calls(), calls);
    }
    let decisions = proxy.get("/api/tuning").await.json()["decisions"].clone();
    assert_eq!(decisions[0]["action"], "stopped");
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(stats["upstream"]["promptCache"]["refused"], 1);
    // A prompt that is refused without marks, too, is its client's own affair.
    upstream.set(Act::error(400, &[]));
    assert_eq!(proxy.chat(&asking("four")).await.status, 400);
}

#[tokio::test]
async fn what_is_refused_without_marks_as_well_is_soon_sent_but_once() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, "on").await;
    assert_eq!(proxy.chat(&asking("one")).await.status, 200);
    upstream.set(Act::error(400, &[]));
    for (question, calls) in [("two", 3), ("three", 5), ("four", 7), ("five", 8)] {
        assert_eq!(proxy.chat(&asking(question)).await.status, 400);
        assert_eq!(upstream.calls(), calls);
    }
}

#[tokio::test]
async fn a_stream_is_marked_and_asked_for_its_usage_as_well() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, "on").await;
    for question in ["one", "two"] {
        let mut body = asking(question);
        body["stream"] = true.into();
        proxy.stream(&body).await.all().await;
    }
    let sent = upstream.last();
    assert_eq!(marks(&sent), 1);
    assert_eq!(sent.json()["stream_options"]["include_usage"], true);
}
