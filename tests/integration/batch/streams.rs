//! Batches whose answers come when they are ready, and clients that leave.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{PATH, prompts, send};
use crate::support::{Gate, Proxy, Upstream, ask, within};

fn streaming(count: usize) -> Value {
    let mut body = prompts(count);
    body["stream"] = true.into();
    body["odd"] = 1.into();
    body
}

/// An upstream whose answers are held back, each by a gate of its own.
async fn gated(count: usize) -> (Upstream, Vec<Gate>) {
    let upstream = Upstream::start().await;
    let gates: Vec<_> = (0..count).map(|_| Gate::new()).collect();
    let behind = gates.clone();
    upstream.script(move |request| {
        let prompt = request.prompt();
        let number = prompt
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse::<usize>().ok());
        let answer = request.answer(&prompt);
        match number.and_then(|n| behind.get(n)) {
            Some(gate) => answer.after(gate),
            None => answer,
        }
    });
    (upstream, gates)
}

#[tokio::test]
async fn each_answer_comes_when_it_is_ready() {
    let (upstream, gates) = gated(3).await;
    let proxy = Proxy::start("", &upstream).await;
    let mut events = proxy
        .stream_from(PATH, &streaming(3), &[("x-request-id", "b")])
        .await;
    assert_eq!(
        (events.status, events.header("content-type")),
        (200, "text/event-stream")
    );
    assert_eq!(events.header("x-request-id"), "b");
    for index in [2, 0, 1] {
        gates[index].open();
        let event: Value = serde_json::from_str(&events.next().await.unwrap()).unwrap();
        assert_eq!(
            (&event["index"], &event["status"]),
            (&json!(index), &json!(200))
        );
        assert_eq!(event["response"], format!("question {index}"));
        assert_eq!(event["request_id"], format!("b-{index}"));
        assert_eq!(event["optimizationStats"]["cacheStatus"], "miss");
    }
    let end = events.all().await;
    let sum: Value = serde_json::from_str(&end[0]).unwrap();
    assert_eq!(
        (&sum["succeeded"], &sum["failed"], &sum["success"]),
        (&json!(3), &json!(0), &json!(true))
    );
    assert_eq!(
        (&sum["ignored"], &sum["responses"]),
        (&json!(["odd"]), &Value::Null)
    );
    assert_eq!(sum["optimizationStats"]["tokensUsed"], 54);
    assert_eq!(end[1..], ["[DONE]"]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_what_has_begun_and_what_has_not() {
    for streams in [false, true] {
        let (upstream, _gates) = gated(10).await;
        let proxy = Proxy::start("batch.concurrency = 2", &upstream).await;
        let mut body = streaming(10);
        body["stream"] = streams.into();
        let began = upstream.wait_for("two calls", |counts| counts.busy == 2);
        if streams {
            let events = proxy.stream_from(PATH, &body, &[]).await;
            began.await;
            drop(events);
        } else {
            tokio::select! {
                answer = send(&proxy, &body) => panic!("{answer:?}"),
                _ = began => {}
            }
        }
        upstream
            .wait_for("both to be ended", |counts| counts.hang_ups == 2)
            .await;
        // What had not begun never does, and all places are free again.
        assert_eq!(proxy.chat(&ask("another")).await.status, 200);
        assert_eq!(upstream.calls(), 3);
        let booked = within("the rows", async {
            loop {
                let report = proxy.get("/api/usage?group_by=endpoint").await.json();
                let mut rows = report["rows"].as_array().unwrap().iter();
                let row = rows.find(|row| row["endpoint"] == PATH && row["requests"] == 2);
                if let Some(row) = row {
                    break row.clone();
                }
            }
        });
        assert_eq!(booked.await["aborted"], 2);
    }
}

#[tokio::test]
async fn an_answer_that_another_client_waits_for_is_not_ended() {
    let (upstream, gates) = gated(1).await;
    let proxy = Proxy::start("", &upstream).await;
    let question = json!({"prompt": "question 0"});
    let events = proxy.stream_from(PATH, &streaming(1), &[]).await;
    upstream
        .wait_for("the call", |counts| counts.busy == 1)
        .await;
    let then = async {
        within("the other to join", async {
            while proxy.get("/api/optimization-stats").await.json()["dedup"]["callers"] != 2 {}
        })
        .await;
        drop(events);
        gates[0].open();
    };
    let (answer, ()) = tokio::join!(proxy.post("/create", &question, &[]), then);
    assert_eq!(
        (answer.status, answer.header("x-cache")),
        (200, "COALESCED")
    );
    assert_eq!((upstream.calls(), upstream.counts().hang_ups), (1, 0));
}

#[tokio::test]
async fn of_a_batch_under_way_what_has_begun_is_finished_before_the_end() {
    let (upstream, gates) = gated(4).await;
    let mut proxy = Proxy::start("batch.concurrency = 1", &upstream).await;
    let mut events = proxy.stream_from(PATH, &streaming(4), &[]).await;
    upstream
        .wait_for("the first call", |counts| counts.busy == 1)
        .await;
    proxy.begin_stop();
    within("the end to begin", async {
        while TcpStream::connect(proxy.address).await.is_ok() {}
    })
    .await;
    gates.iter().for_each(Gate::open);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let event: Value = serde_json::from_str(&events.next().await.unwrap()).unwrap();
        if event["status"] == 503 {
            assert_eq!(event["code"], "shutting_down");
            assert_eq!(event["retry_after"], "1");
        }
        statuses.push((event["index"].clone(), event["status"].clone()));
    }
    statuses.sort_by_key(|(index, _)| index.as_u64());
    let expected = [(0, 200), (1, 503), (2, 503), (3, 503)];
    assert_eq!(
        statuses,
        expected.map(|(index, status)| (json!(index), json!(status)))
    );
    let sum: Value = serde_json::from_str(&events.next().await.unwrap()).unwrap();
    assert_eq!((&sum["succeeded"], &sum["failed"]), (&json!(1), &json!(3)));
    assert_eq!(events.next().await.as_deref(), Some("[DONE]"));
    assert_eq!(upstream.calls(), 1);
    proxy.stop().await;
}
