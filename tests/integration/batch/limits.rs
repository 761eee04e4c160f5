//! What a batch may take: no more than its requests could one by one, and no places that others need.

use serde_json::json;

use super::{PATH, batch, each, parrot, prompts, send};
use crate::budgets::{WEB, settings};
use crate::support::{Gate, Proxy, Upstream, ask};

/// An upstream that answers once the gate is open.
async fn held() -> (Upstream, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    (upstream, gate)
}

#[tokio::test]
async fn so_many_are_worked_on_at_once_and_no_more() {
    let (upstream, gate) = held().await;
    let proxy = Proxy::start("batch.concurrency = 3", &upstream).await;
    let body = prompts(10);
    let then = async {
        upstream
            .wait_for("three calls", |counts| counts.busy == 3)
            .await;
        gate.open();
    };
    let (answer, ()) = tokio::join!(send(&proxy, &body), then);
    assert_eq!(answer.json()["succeeded"], 10);
    assert_eq!((upstream.counts().peak_busy, upstream.calls()), (3, 10));
}

#[tokio::test]
async fn one_place_is_enough_for_a_batch() {
    let (settings, _prices) = settings("max_in_flight = 1");
    for (settings, headers) in [("server.max_in_flight = 1", &[][..]), (&settings, &WEB[..])] {
        let upstream = parrot().await;
        let proxy = Proxy::start(settings, &upstream).await;
        let answer = proxy.post(PATH, &prompts(5), headers).await;
        assert_eq!(answer.json()["succeeded"], 5);
        assert_eq!(upstream.counts().peak_busy, 1);
    }
}

#[tokio::test]
async fn a_batch_leaves_places_to_others() {
    let (upstream, gate) = held().await;
    let proxy = Proxy::start("server.max_in_flight = 6", &upstream).await;
    let (batch, one, two) = (prompts(10), ask("one"), ask("two"));
    let others = async {
        // Its own place, and others while more than three are free.
        upstream
            .wait_for("the batch's calls", |counts| counts.busy == 3)
            .await;
        let then = async {
            upstream
                .wait_for("two more", |counts| counts.busy == 5)
                .await;
            gate.open();
        };
        let (one, two, ()) = tokio::join!(proxy.chat(&one), proxy.chat(&two), then);
        assert_eq!((one.status, two.status), (200, 200));
    };
    let (answer, ()) = tokio::join!(send(&proxy, &batch), others);
    assert_eq!(answer.json()["succeeded"], 10);
    // All of them are back.
    for n in 0..6 {
        assert_eq!(proxy.chat(&ask(&format!("later {n}"))).await.status, 200);
    }
}

#[tokio::test]
async fn each_request_counts_against_the_limits_of_its_client() {
    let upstream = parrot().await;
    let (settings, _prices) = settings("requests_per_minute = 4");
    let proxy = Proxy::start(&settings, &upstream).await;
    let mut requests = vec![json!({"prompt": "a"}); 3];
    requests.extend((0..3).map(|n| json!({"prompt": format!("b {n}")})));
    let answer = proxy.post(PATH, &batch(&requests), &WEB).await;
    let told = answer.json();
    assert_eq!(each(&told, "status"), [200, 200, 200, 200, 429, 429]);
    assert_eq!(each(&told, "code")[4..], ["quota_exceeded"; 2]);
    let seconds = each(&told, "retry_after")[5].as_str().unwrap();
    assert!(
        (1..=60).contains(&seconds.parse::<u64>().unwrap()),
        "{told}"
    );
    assert_eq!(upstream.calls(), 2);
    // The next one comes too soon as a whole.
    let answer = proxy.post(PATH, &prompts(1), &WEB).await;
    assert_eq!(
        (answer.status, answer.header("retry-after").is_empty()),
        (429, false)
    );
}

#[tokio::test]
async fn a_budget_stops_what_costs_in_a_batch_and_nothing_else() {
    let upstream = parrot().await;
    let (settings, _prices) = settings("budget_usd_per_day = 0.0001");
    let settings =
        format!("{settings}batch.concurrency = 1\ncreate.model = \"m\"\nchat.model = \"m\"");
    let proxy = Proxy::start(&settings, &upstream).await;
    let told = proxy.post(PATH, &prompts(3), &WEB).await.json();
    assert_eq!(each(&told, "status"), [200, 402, 402]);
    let answer = proxy.post(PATH, &prompts(2), &WEB).await;
    assert_eq!(each(&answer.json(), "status"), [200, 402]);
    assert!(
        answer
            .header("x-pegasus-budget")
            .starts_with("day; spent=0.0001; limit=0.0001")
    );
    assert_eq!(upstream.calls(), 1);
    let refused = proxy.chat_with(&ask("new"), &WEB).await;
    assert_eq!(refused.status, 402);
}
