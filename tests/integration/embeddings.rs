//! `/v1/embeddings`: calls that come at once go together, inputs are cached one by one, and nobody can tell by the answer.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use pegasus_nest::config::Config;
use pegasus_nest::demo;
use pegasus_nest::metering::tokens::count::count_text;
use serde_json::{Value, json};

use crate::budgets::{WEB, settings};
use crate::support::{Act, Answer, Gate, Proxy, Recorded, Upstream};

const PATH: &str = "/v1/embeddings";
/// 20 nano-dollars a token.
const MODEL: &str = "text-embedding-3-small";

/// A provider's answer to a call, pretty as some write it.
pub(crate) fn embed(request: &Recorded) -> Act {
    let body = request.json();
    let inputs = match &body["input"] {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let sum: u32 = input.to_string().bytes().map(u32::from).sum();
        format!(
            "    {{\n      \"index\": {index},\n      \"embedding\": [ {sum}.50, -1.0E-5 ]\n    }}"
        )
    });
    let data = data.collect::<Vec<_>>().join(",\n");
    let texts = inputs.iter().filter_map(Value::as_str);
    let tokens: u64 = texts.map(|text| count_text(MODEL, text).tokens).sum();
    let answer = format!(
        "{{\n  \"object\": \"list\",\n  \"data\": [\n{data}\n  ],\n  \"model\": {},\n  \"usage\": {{ \"prompt_tokens\": {tokens}, \"total_tokens\": {tokens} }}\n}}\n",
        body["model"]
    );
    Act::response(
        200,
        &[
            ("content-type", "application/json"),
            ("x-ratelimit-remaining", "7"),
        ],
        answer,
    )
}

/// An upstream that embeds once the gate is open.
async fn provider(gate: Option<&Gate>) -> Upstream {
    let upstream = Upstream::start().await;
    let gate = gate.cloned();
    upstream.script(move |request| match &gate {
        Some(gate) => embed(request).after(gate),
        None => embed(request),
    });
    upstream
}

/// A proxy whose calls wait for others until so many inputs are together, however long that takes: no test here depends on
/// how fast its machine is. What the window does is tested on a clock that stands.
async fn gathering(inputs: usize, settings: &str, base_url: &str) -> Proxy {
    let settings = format!("batch.max_inputs = {inputs}\n{settings}");
    let forever = |config: &mut Config| config.batch.window = Duration::from_hours(1);
    Proxy::beyond(base_url, &settings, forever).await
}

fn url_of(upstream: &Upstream) -> String {
    format!("http://{}/v1", upstream.address)
}

pub(crate) fn call(input: &Value) -> Value {
    json!({"model": MODEL, "input": input})
}

async fn send(proxy: &Proxy, input: &Value) -> Answer {
    proxy.post(PATH, &call(input), &[]).await
}

#[tokio::test]
async fn a_hundred_clients_make_few_calls_and_each_gets_its_own_answer_to_the_bit() {
    let upstream = provider(None).await;
    let off = Proxy::start("batch.window = \"0s\"", &upstream).await;
    let on = gathering(20, "", &url_of(&upstream)).await;
    let inputs: Vec<_> = (0..100)
        .map(|n| json!(format!("the {n}th lark of the day")))
        .collect();
    let own = join_all(inputs.iter().map(|input| send(&off, input))).await;
    assert_eq!(upstream.calls(), 100);
    let merged = join_all(inputs.iter().map(|input| send(&on, input))).await;
    assert_eq!(upstream.calls(), 105);
    for (own, merged) in own.iter().zip(&merged) {
        assert_eq!((own.status, merged.status), (200, 200));
        assert_eq!(own.body, merged.body);
        assert_eq!(merged.header("x-ratelimit-remaining"), "7");
        assert_eq!(merged.header("x-cache"), "MISS");
    }
    let [alone, merged] = [&off, &on].map(async |proxy| {
        let report = proxy.get("/api/usage").await.json();
        report["total"].clone()
    });
    let (alone, merged) = (alone.await, merged.await);
    for figure in ["requests", "prompt_tokens", "cost_usd"] {
        assert_eq!(alone[figure], merged[figure], "{figure}: {merged}");
    }
    // Now all of them are known, one by one and together.
    for (some, own) in inputs.chunks(20).zip(own.chunks(20)) {
        let answer = send(&on, &some.iter().cloned().collect()).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "HIT"));
        assert!(
            answer
                .header("cache-status")
                .starts_with("pegasus-nest; hit; ttl=")
        );
        let answer = answer.json();
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), 20);
        for (embedding, own) in data.iter().zip(own) {
            assert_eq!(embedding["embedding"], own.json()["data"][0]["embedding"]);
        }
    }
    assert_eq!(upstream.calls(), 105);
}

#[tokio::test]
async fn what_is_known_is_not_asked_for_and_what_that_saves_is_told() {
    let upstream = provider(None).await;
    let proxy = Proxy::start("", &upstream).await;
    let first = send(&proxy, &json!("a bird")).await;
    assert_eq!(
        first.header("cache-status"),
        "pegasus-nest; fwd=miss; stored"
    );
    let hit = send(&proxy, &json!("a bird")).await;
    assert_eq!((hit.header("x-cache"), hit.header("age")), ("HIT", "0"));
    assert_eq!(
        (hit.header("x-pegasus-tokens-saved"), &hit.body),
        ("2", &first.body)
    );
    let some = send(&proxy, &json!(["an owl", "a bird"])).await;
    assert_eq!(
        (
            some.header("x-cache"),
            some.header("x-pegasus-tokens-saved")
        ),
        ("MISS", "2")
    );
    assert_eq!(upstream.last().json()["input"], json!(["an owl"]));
    assert_eq!(some.json()["usage"]["total_tokens"], 4);
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(stats["tokens"]["savedByCache"], 4);
    assert_eq!(stats["savings"]["cacheHits"], 1);
    let report = proxy.get("/api/usage/savings").await.json();
    let cache = &report["layers"][0];
    assert_eq!(
        (&cache["savedNanoUsd"], &cache["tokens"]),
        (&json!(80), &json!(4))
    );
    proxy.get("/api/clear-cache").await;
    assert_eq!(
        send(&proxy, &json!("a bird")).await.header("x-cache"),
        "MISS"
    );
    assert_eq!(upstream.calls(), 3);
}

/// Eight bytes of text are what one token is: a number in as many bytes.
#[tokio::test]
async fn a_text_never_gets_the_embedding_of_a_list_of_tokens() {
    let upstream = provider(None).await;
    let proxy = Proxy::start("", &upstream).await;
    let (tokens, text) = (json!([[5]]), json!(["\u{5}\0\0\0\0\0\0\0"]));
    let first = send(&proxy, &tokens).await;
    let other = send(&proxy, &text).await;
    assert_eq!((other.status, other.header("x-cache")), (200, "MISS"));
    assert_eq!(upstream.last().json()["input"], text);
    assert_ne!(first.json()["data"], other.json()["data"]);
    for (input, own) in [(&tokens, &first), (&text, &other)] {
        let again = send(&proxy, input).await;
        assert_eq!((again.header("x-cache"), &again.body), ("HIT", &own.body));
    }
}

#[tokio::test]
async fn a_lone_call_and_all_with_a_window_of_nothing_pass_byte_for_byte() {
    let body = "{ \"input\" : [\"l\\u0061rk\"],\n\"model\":\"e\", \"odd\": 1.0 }";
    for settings in ["", "batch.window = \"0s\""] {
        let upstream = provider(None).await;
        let proxy = Proxy::start(settings, &upstream).await;
        let post = || {
            let request = proxy
                .request(Method::POST, PATH)
                .header("content-type", "application/json");
            proxy.send(request.body(body))
        };
        let answer = post().await;
        assert_eq!(upstream.last().body, body);
        assert!(
            answer.body.starts_with(
                b"{\n  \"object\": \"list\",\n  \"data\": [\n    {\n      \"index\": 0,"
            )
        );
        let again = post().await;
        let is_off = !settings.is_empty();
        assert_eq!(
            again.header("x-cache"),
            if is_off { "BYPASS" } else { "HIT" }
        );
        assert_eq!(upstream.calls(), if is_off { 2 } else { 1 });
        assert_eq!(again.body, answer.body);
    }
}

#[tokio::test]
async fn whoever_leaves_fails_nobody_and_the_last_one_ends_the_call() {
    let gate = Gate::new();
    let upstream = provider(Some(&gate)).await;
    let proxy = gathering(2, "", &url_of(&upstream)).await;
    let (one, two) = (call(&json!("one")), call(&json!("two")));
    {
        let both = async { tokio::join!(proxy.post(PATH, &one, &[]), proxy.post(PATH, &two, &[])) };
        tokio::select! {
            both = both => panic!("{both:?}"),
            _ = upstream.wait_for("the call", |counts| counts.busy == 1) => {}
        }
    }
    upstream
        .wait_for("its end", |counts| counts.hang_ups == 1)
        .await;
    assert_eq!(upstream.calls(), 1);
    let staying = async {
        let mut leaving = Box::pin(proxy.post(PATH, &one, &[]));
        tokio::select! {
            answer = &mut leaving => panic!("{answer:?}"),
            _ = upstream.wait_for("the call", |counts| counts.calls == 2) => {}
        }
        drop(leaving);
        gate.open();
    };
    let (answer, ()) = tokio::join!(proxy.post(PATH, &two, &[]), staying);
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.counts().hang_ups, 1);
}

#[tokio::test]
async fn a_budget_stops_what_costs_and_gives_what_is_known() {
    let upstream = provider(None).await;
    let (settings, _prices) = settings("budget_usd_per_day = 0.0001");
    let proxy = Proxy::start(&settings, &upstream).await;
    let post = async |input: Value| {
        let body = json!({"model": "m", "input": input});
        proxy.post(PATH, &body, &WEB).await.status
    };
    assert_eq!(post(json!("a")).await, 200);
    assert_eq!(post(json!("b")).await, 402);
    assert_eq!(post(json!(["a", "b"])).await, 402);
    assert_eq!(post(json!(["a", "a"])).await, 200);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn the_simulated_model_serves_merged_calls() {
    let demo = demo::start().await.unwrap();
    let proxy = gathering(20, "cache.enabled = false", &demo.base_url).await;
    let inputs: Vec<_> = (0..20).map(|n| json!(format!("lark {n}"))).collect();
    let all = join_all(inputs.iter().map(|input| send(&proxy, input))).await;
    let together = send(&proxy, &inputs.clone().into()).await.json();
    for (at, answer) in all.iter().enumerate() {
        let answer = answer.json();
        assert_eq!(
            answer["data"][0]["embedding"],
            together["data"][at]["embedding"]
        );
        assert_eq!(
            (&answer["data"][0]["index"], &answer["simulated"]),
            (&json!(0), &json!(true))
        );
    }
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(stats["upstream"]["attempts"], 2, "{stats}");
}
