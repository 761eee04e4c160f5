//! What adjusts itself: it says what it would do, does it where it may, and an operator has the last word.

use serde_json::{Value, json};

use crate::support::{Act, Proxy, Recorded, Upstream, ask, completion, within};

const MODEL: &str = "m";

/// A proxy whose model costs a thousandth of a dollar for each token, and which looks all the time.
async fn proxy(upstream: &Upstream, settings: &str) -> (Proxy, tempfile::NamedTempFile) {
    let file = crate::process::config_file("[models.m]\ninput = 1000.0\noutput = 1000.0\n");
    let path = file.path().to_str().unwrap();
    let settings = format!("[metering]\nprices_file = {path:?}\n{settings}");
    (Proxy::start(&settings, upstream).await, file)
}

fn asking(prompt: &str) -> Value {
    let mut request = ask(prompt);
    request["model"] = MODEL.into();
    request
}

async fn tuning(proxy: &Proxy) -> Value {
    let answer = proxy.get("/api/tuning").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Asks 150 questions in turns until something was decided that `wanted` holds of: that decision.
async fn decision(proxy: &Proxy, wanted: impl Fn(&Value) -> bool) -> Value {
    let decided = async {
        loop {
            for n in 0..150 {
                let answer = proxy
                    .post(
                        "/v1/chat/completions",
                        &asking(&format!("question {n}")),
                        &[],
                    )
                    .await;
                assert_eq!(answer.status, 200);
            }
            let report = tuning(proxy).await;
            let decisions = report["decisions"].as_array().unwrap();
            if let Some(decision) = decisions.iter().find(|decision| wanted(decision)) {
                return decision.clone();
            }
        }
    };
    within("a decision", decided).await
}

fn is_about_capacity(decision: &Value) -> bool {
    decision["subject"] == "cache.max_entries, cache.max_bytes"
}

const SMALL: &str = "[cache]\nmax_entries = 100\n[tuning]\ninterval = \"50ms\"\nmin_entries = 100\nmax_entries = 1000";

#[tokio::test]
async fn whoever_observes_says_what_would_be_done_and_does_nothing() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, SMALL).await;
    let decision = decision(&proxy, is_about_capacity).await;
    assert_eq!(decision["action"], "proposed");
    assert!(decision["before"].as_str().unwrap().starts_with("100,"));
    assert!(decision["expected"]["amount"].as_f64().unwrap() > 0.0);
    assert_eq!(decision["measured"], Value::Null);
    let report = tuning(&proxy).await;
    assert_eq!(
        (&report["mode"], &report["frozen"]),
        (&json!("observe"), &json!(false))
    );
    let setting = &report["settings"][0];
    assert_eq!(setting["subject"], "cache.max_entries");
    assert_eq!(
        (&setting["configured"], &setting["inForce"]),
        (&json!("100"), &json!("100"))
    );
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert!(stats["performance"]["cacheSize"].as_u64().unwrap() <= 100);
}

#[tokio::test]
async fn whoever_acts_does_it_and_measures_what_it_brought() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, &format!("{SMALL}\nmode = \"act\"")).await;
    let is_measured =
        |decision: &Value| is_about_capacity(decision) && !decision["measured"].is_null();
    let decision = decision(&proxy, is_measured).await;
    assert_eq!(decision["action"], "applied");
    assert!(decision["after"].as_str().unwrap().starts_with("200,"));
    assert!(decision["measured"]["amount"].as_f64().unwrap() > 0.0);
    // All questions have room now.
    let before = upstream.calls();
    for n in 0..150 {
        proxy
            .post(
                "/v1/chat/completions",
                &asking(&format!("question {n}")),
                &[],
            )
            .await;
    }
    let calls = upstream.calls() - before;
    assert_eq!(calls, 0);
    let report = proxy
        .post("/api/tuning/reset", &json!({}), &[])
        .await
        .json();
    assert_eq!(report["settings"][0]["inForce"], "100");
    assert_eq!(report["decisions"][0]["action"], "ordered");
    // Again and again it fills no pages, and is about all of them.
    let known = report["decisions"].as_array().unwrap().len();
    let again = proxy.post("/api/tuning/reset", &json!({}), &[]).await;
    let again = again.json()["decisions"].clone();
    assert_eq!(
        (again.as_array().unwrap().len(), &again[0]["times"]),
        (known, &json!(2))
    );
    let one = json!({"setting": "cache.ttl"});
    let one = proxy.post("/api/tuning/reset", &one, &[]).await;
    let why = one.json()["error"].as_str().unwrap().to_owned();
    assert_eq!((one.status, why.contains("send no body")), (400, true));
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert!(stats["performance"]["cacheSize"].as_u64().unwrap() <= 100);
}

#[tokio::test]
async fn what_is_frozen_stays_as_it_is() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, &format!("{SMALL}\nmode = \"act\"")).await;
    let frozen = proxy
        .post("/api/tuning/freeze", &json!({"frozen": true}), &[])
        .await
        .json();
    assert_eq!(frozen["frozen"], true);
    let decision = decision(&proxy, is_about_capacity).await;
    assert_eq!(decision["action"], "proposed");
    let moving = proxy
        .post("/api/tuning/freeze", &json!({"frozen": false}), &[])
        .await
        .json();
    assert_eq!(moving["frozen"], false);
    let wrong = proxy
        .post("/api/tuning/freeze", &json!({"frosen": true}), &[])
        .await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.json()["error"]
            .as_str()
            .unwrap()
            .contains("{\"frozen\": true}")
    );
}

#[tokio::test]
async fn what_is_off_says_so() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, "[tuning]\nmode = \"off\"").await;
    let report = tuning(&proxy).await;
    assert_eq!(
        (&report["mode"], &report["decisions"]),
        (&json!("off"), &json!([]))
    );
    for path in ["/api/tuning/freeze", "/api/tuning/reset"] {
        let answer = proxy.post(path, &json!({}), &[]).await;
        assert_eq!(answer.status, 409, "{path}");
        assert!(
            answer.json()["error"]
                .as_str()
                .unwrap()
                .contains("tuning.mode")
        );
    }
}

/// Cut off at any limit below 3,000 tokens.
fn long_answer(request: &Recorded) -> Act {
    let mut whole = completion("All of it.");
    if request.json()["max_tokens"].as_u64().unwrap() < 3_000 {
        whole = completion("Half");
        whole["choices"][0]["finish_reason"] = "length".into();
    }
    Act::json(200, &whole)
}

#[tokio::test]
async fn an_answer_that_our_own_limit_cut_off_is_asked_for_once_more_and_kept() {
    let upstream = Upstream::start().await;
    upstream.script(long_answer);
    let (proxy, _prices) = proxy(&upstream, "[tuning]\nmode = \"act\"").await;
    let asked = json!({"prompt": "Tell me everything.", "model": MODEL});
    let answer = proxy.post("/create", &asked, &[]).await.json();
    assert_eq!(
        (&answer["response"], &answer["finish_reason"]),
        (&json!("All of it."), &json!("stop"))
    );
    let limits: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| request.json()["max_tokens"].clone())
        .collect();
    assert_eq!(limits, [2_000, 8_000]);
    let again = proxy.post("/create", &asked, &[]).await;
    assert_eq!(again.header("x-cache"), "HIT");
    // Both calls are paid for.
    let usage = proxy.get("/api/usage").await.json();
    assert_eq!(usage["total"]["attempts"], 2, "{usage}");

    // Whoever sets a limit means it.
    let own = json!({"prompt": "Tell me everything.", "model": MODEL, "max_tokens": 100});
    let answer = proxy.post("/create", &own, &[]).await.json();
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn it_is_the_operators_alone() {
    let upstream = Upstream::start().await;
    let settings = "[auth]\nadmin_token = \"admin-token-of-the-tests\"";
    let proxy = Proxy::start(settings, &upstream).await;
    assert_eq!(proxy.get("/api/tuning").await.status, 401);
    for path in ["/api/tuning/freeze", "/api/tuning/reset"] {
        assert_eq!(
            proxy.post(path, &json!({}), &[]).await.status,
            401,
            "{path}"
        );
    }
}
