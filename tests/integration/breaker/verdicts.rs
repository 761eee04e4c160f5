//! What is no verdict on the upstream, and how many models can have one.

use serde_json::{Value, json};

use super::{Act, End, Proxy, ask, start, state};

fn ask_model(model: &str, prompt: &str) -> Value {
    let mut request = ask(prompt);
    request["model"] = model.into();
    request
}

async fn circuits(proxy: &Proxy) -> Vec<Value> {
    let health = proxy.get("/health/circuit-breakers").await.json();
    health["circuitBreakers"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_refusal_inside_a_200_is_none_and_a_failure_is_one() {
    let (upstream, proxy) = start("").await;
    let reports = |code: u16| {
        let error = json!({"error": {"code": code, "message": "slow down"}});
        upstream.set(Act::json(200, &error));
    };
    reports(429);
    for number in 0..6 {
        let prompt = number.to_string();
        assert_eq!(proxy.chat(&ask(&prompt)).await.status, 429);
        let body = json!({"prompt": prompt, "model": "m"});
        let native = proxy.post("/create", &body, &[]).await;
        assert_eq!(native.status, 429, "{native:?}");
    }
    assert_eq!(upstream.calls(), 12);
    upstream.once(Act::says("fine"));
    assert_eq!(proxy.chat(&ask("fine")).await.status, 200);
    assert_eq!(state(&proxy).await, "CLOSED");
    reports(502);
    for number in 0..3 {
        let prompt = format!("failure {number}");
        assert_eq!(proxy.chat(&ask(&prompt)).await.status, 502);
    }
    assert_eq!(state(&proxy).await, "OPEN");
}

#[tokio::test]
async fn answers_that_are_too_large_are_none() {
    let (upstream, proxy) = start("upstream.max_response_bytes = \"1KiB\"").await;
    upstream.set(Act::says(&"x".repeat(2_000)));
    for number in 0..32 {
        let answer = proxy.chat(&ask(&number.to_string())).await;
        assert_eq!(answer.status, 502, "{number}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "upstream_answer_too_large", "{number}");
    }
    assert_eq!(upstream.calls(), 32);
    upstream.set(Act::says("fine"));
    assert_eq!(proxy.chat(&ask("q")).await.status, 200);
    assert_eq!(state(&proxy).await, "CLOSED");
}

#[tokio::test]
async fn many_models_leave_room_for_one_more() {
    let (upstream, proxy) = start("").await;
    for number in 0..1_100 {
        let model = format!("model-{number}");
        assert_eq!(proxy.chat(&ask_model(&model, "q")).await.status, 200);
    }
    let known = circuits(&proxy).await.len();
    assert!(known <= 1_001, "{known}");

    upstream.set(Act::only(End::Close));
    for number in 0..3 {
        let question = ask_model("late", &number.to_string());
        assert_eq!(proxy.chat(&question).await.status, 502);
    }
    upstream.set(Act::says("fine"));
    assert_eq!(proxy.chat(&ask_model("late", "q")).await.status, 503);
    assert_eq!(proxy.chat(&ask_model("later", "q")).await.status, 200);
    let all = circuits(&proxy).await;
    let open: Vec<_> = all.iter().filter(|one| one["state"] == "OPEN").collect();
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0]["name"].as_str().unwrap().ends_with("/late"));
}
