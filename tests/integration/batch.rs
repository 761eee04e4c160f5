//! `/create/batch`: many prompts at once, each as if it had come alone.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Act, Answer, Proxy, Upstream};

mod limits;
mod streams;

const PATH: &str = "/create/batch";

/// A batch of these requests.
fn batch(requests: &[Value]) -> Value {
    json!({"requests": requests})
}

/// A batch of so many prompts that differ.
fn prompts(count: usize) -> Value {
    let all: Vec<_> = (0..count)
        .map(|n| json!({"prompt": format!("question {n}")}))
        .collect();
    batch(&all)
}

async fn send(proxy: &Proxy, body: &Value) -> Answer {
    proxy.post(PATH, body, &[]).await
}

/// One field of each response.
fn each<'a>(body: &'a Value, field: &str) -> Vec<&'a Value> {
    let responses = body["responses"].as_array().unwrap();
    responses.iter().map(|one| &one[field]).collect()
}

/// An upstream that repeats what it is asked, and fails where that says so.
async fn parrot() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.script(|request| match request.prompt().as_str() {
        "refuse" => Act::error(400, &[]),
        "break" => Act::error(500, &[]),
        prompt => request.answer(prompt),
    });
    upstream
}

#[tokio::test]
async fn answers_come_in_order_each_with_its_own_status() {
    let upstream = parrot().await;
    let proxy = Proxy::start("retry.max_attempts = 1", &upstream).await;
    let body = batch(&[
        json!({"prompt": "one", "odd": 1, "name": "x"}),
        json!({"prompt": "refuse"}),
        json!({"prompt": "two", "temperature": 7}),
        json!({"message": "three", "history": [{"role": "user", "content": "before"}]}),
        json!("four"),
        json!({"type": "page", "description": "five", "features": ["six"]}),
        json!({"prompt": "break"}),
        json!({"prompt": "seven", "stream": true}),
        json!({}),
    ]);
    let answer = proxy.post(PATH, &body, &[("x-request-id", "b")]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(answer.header("x-request-id"), "b");
    let told = answer.json();
    assert_eq!(each(&told, "index"), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        each(&told, "status"),
        [200, 400, 422, 200, 400, 200, 502, 400, 400]
    );
    let texts = each(&told, "response");
    assert_eq!(
        [texts[0], texts[3], texts[5]],
        ["one", "three", "five\nsix"]
    );
    let ids: Vec<_> = (0..9).map(|n| json!(format!("b-{n}"))).collect();
    assert_eq!(each(&told, "request_id"), ids.iter().collect::<Vec<_>>());
    let codes = each(&told, "code");
    assert_eq!(codes[1], "upstream_rejected");
    assert_eq!([codes[2], codes[4], codes[8]], ["invalid_request"; 3]);
    assert_eq!(each(&told, "param")[7], "stream");
    let responses = &told["responses"];
    assert_eq!(responses[0]["ignored"], json!(["odd"]));
    assert_eq!(responses[0]["success"], true);
    assert_eq!(responses[1]["success"], false);
    assert!(
        responses[4]["error"]
            .as_str()
            .unwrap()
            .contains("not a string")
    );
    assert_eq!(
        (&told["success"], &told["succeeded"], &told["failed"]),
        (&json!(false), &json!(3), &json!(6))
    );
    assert_eq!(told["message"], "3 of 9 requests answered, 0 tokens saved");
    assert_eq!(told["optimizationStats"]["tokensUsed"], 3 * 18);
    // Each endpoint's own model was asked.
    let models: Vec<_> = upstream
        .requests()
        .iter()
        .map(|r| r.json()["model"].clone())
        .collect();
    assert!(
        models.contains(&json!("google/gemini-flash-1.5")),
        "{models:?}"
    );
    // What cannot be right was asked of nobody.
    assert_eq!(upstream.calls(), 5);
    let timing = answer.header("server-timing");
    assert!(
        timing.contains("upstream;dur=") && timing.contains("total;dur="),
        "{timing}"
    );
}

#[tokio::test]
async fn what_asks_the_same_is_asked_once_whatever_is_switched_off() {
    for (settings, headers) in [
        ("", &[][..]),
        ("cache.enabled = false\ndedup.enabled = false", &[]),
        ("", &[("cache-control", "no-store")]),
    ] {
        let upstream = parrot().await;
        let proxy = Proxy::start(settings, &upstream).await;
        let priced = "anthropic/claude-sonnet-4";
        let mut requests = vec![json!({"prompt": "same", "model": priced}); 50];
        requests.insert(1, json!({"prompt": "other", "model": priced}));
        requests[7]["userId"] = "alice".into();
        let answer = proxy.post(PATH, &batch(&requests), headers).await;
        let told = answer.json();
        assert_eq!(
            (&told["success"], upstream.calls()),
            (&json!(true), 2),
            "{told}"
        );
        let stats = each(&told, "optimizationStats");
        let first = if headers.is_empty() && settings.is_empty() {
            "miss"
        } else {
            "bypass"
        };
        assert_eq!(
            (&stats[0]["cacheStatus"], &stats[0]["costUsd"]),
            (&json!(first), &json!(0.000_138))
        );
        for (at, stats) in stats.iter().enumerate().skip(2) {
            assert_eq!(stats["cacheStatus"], "coalesced", "{at}");
            assert_eq!(
                (&stats["tokensUsed"], &stats["tokensSaved"]),
                (&json!(0), &json!(18))
            );
            assert_eq!(
                (&stats["costUsd"], &stats["costSavedUsd"]),
                (&json!(0.0), &json!(0.000_138))
            );
        }
        assert!(
            each(&told, "response")[2..]
                .iter()
                .all(|text| *text == "same")
        );
        assert_eq!(
            told["responses"][9]["message"],
            "Answered by request 0 of this batch, which asks the same, 18 tokens saved"
        );
        let sum = &told["optimizationStats"];
        assert_eq!(
            (&sum["tokensUsed"], &sum["tokensSaved"]),
            (&json!(36), &json!(49 * 18))
        );
        assert_eq!(
            (&sum["coalesced"], &sum["costUsd"]),
            (&json!(49), &json!(0.000_276))
        );
        assert_eq!(
            answer.header("x-pegasus-tokens-saved"),
            (49 * 18).to_string()
        );
        let stats = proxy.get("/api/optimization-stats").await.json();
        assert_eq!(stats["performance"]["totalRequests"], 51);
        assert_eq!(stats["tokens"]["savedByDedup"], 49 * 18);
    }
}

#[tokio::test]
async fn a_batch_shares_the_cache_with_all_other_requests() {
    let upstream = parrot().await;
    let proxy = Proxy::start("", &upstream).await;
    let one = json!({"prompt": "question 1"});
    assert_eq!(proxy.post("/create", &one, &[]).await.status, 200);
    let told = send(&proxy, &prompts(3)).await.json();
    let statuses: Vec<_> = each(&told, "optimizationStats")
        .iter()
        .map(|stats| stats["cacheStatus"].clone())
        .collect();
    assert_eq!(statuses, ["miss", "hit", "miss"]);
    assert_eq!(told["optimizationStats"]["cacheHits"], 1);
    let again = proxy
        .post("/create", &json!({"prompt": "question 2"}), &[])
        .await;
    assert_eq!(again.header("x-cache"), "HIT");
    let strict = [("cache-control", "only-if-cached")];
    let told = proxy.post(PATH, &prompts(4), &strict).await.json();
    assert_eq!(each(&told, "status"), [200, 200, 200, 504]);
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn what_fails_for_one_fails_for_all_who_ask_the_same() {
    let upstream = parrot().await;
    let proxy = Proxy::start("retry.max_attempts = 1", &upstream).await;
    let requests = ["break", "fine", "break", "break"].map(|prompt| json!({"prompt": prompt}));
    let told = send(&proxy, &batch(&requests)).await.json();
    assert_eq!(each(&told, "status"), [502, 200, 502, 502]);
    assert_eq!(upstream.calls(), 2);
    let stats = proxy.get("/api/optimization-stats").await.json();
    assert_eq!(stats["performance"]["totalRequests"], 4);
    assert_eq!(stats["cache"]["misses"], 4);
}

#[tokio::test]
async fn each_request_is_in_the_books_and_the_batch_is_not() {
    let upstream = parrot().await;
    let proxy = Proxy::start("", &upstream).await;
    let requests = [
        json!({"prompt": "a", "userId": "alice"}),
        json!({"prompt": "a", "userId": "bob"}),
        json!({"prompt": ""}),
    ];
    assert_eq!(send(&proxy, &batch(&requests)).await.status, 200);
    assert_eq!(send(&proxy, &json!({})).await.status, 400);
    let report = proxy.get("/api/usage?group_by=endpoint,user").await.json();
    let mut rows: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            assert_eq!(row["endpoint"], PATH, "{row}");
            (
                row["user"].as_str().unwrap_or_default().to_owned(),
                row["requests"].clone(),
                row["errors"].clone(),
            )
        })
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    // Nobody's: the request that is none, and the batch that is none.
    let expected = [("", 2, 2), ("alice", 1, 0), ("bob", 1, 0)];
    assert_eq!(
        rows,
        expected.map(|(user, requests, errors)| (user.to_owned(), json!(requests), json!(errors)))
    );
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let upstream = parrot().await;
    let proxy = Proxy::start("server.max_body_bytes = \"64KiB\"", &upstream).await;
    for (body, status, param) in [
        (json!([{"prompt": "x"}]), 400, json!("")),
        (json!({"prompt": "x"}), 400, json!("requests")),
        (json!({"requests": {"prompt": "x"}}), 400, json!("requests")),
        (json!({"requests": []}), 400, json!("requests")),
        (prompts(257), 400, json!("requests")),
        (
            json!({"requests": [{"prompt": "x"}], "stream": 1}),
            400,
            json!("stream"),
        ),
        (
            batch(&[json!({"prompt": "x".repeat(70_000)})]),
            413,
            Value::Null,
        ),
    ] {
        let answer = send(&proxy, &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let told = answer.json();
        assert_eq!(
            (&told["success"], &told["param"]),
            (&json!(false), &param),
            "{told}"
        );
    }
    let headers = [("x-pegasus-compression", "max")];
    assert_eq!(proxy.post(PATH, &prompts(1), &headers).await.status, 400);
    let text = proxy
        .request(Method::POST, PATH)
        .header("content-type", "text/plain");
    let answer = proxy.send(text.body(prompts(1).to_string())).await;
    assert_eq!(answer.status, 415);
    assert_eq!(upstream.calls(), 0);
    assert_eq!(send(&proxy, &prompts(256)).await.json()["succeeded"], 256);
}

#[tokio::test]
async fn headers_are_for_all_requests_and_keys_of_repeats_for_one_each() {
    let upstream = parrot().await;
    let proxy = Proxy::start("", &upstream).await;
    let headers = [
        ("idempotency-key", "k"),
        ("openai-organization", "o"),
        ("accept", "text/plain"),
        ("x-pegasus-compression", "off"),
    ];
    let answer = proxy.post(PATH, &prompts(2), &headers).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let mut keys: Vec<_> = upstream
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.header("openai-organization"), "o");
            request.header("idempotency-key").to_owned()
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["k-0", "k-1"]);
}
