//! One upstream call for identical requests on several instances.

use futures_util::future::join_all;

use super::{Pair, source};
use crate::support::{Act, Answer, End, Gate, Proxy, ask, ask_stream, completion, text_of, within};

/// Waits until so many requests have reached the stack.
async fn reached(proxy: &Proxy, requests: u64) {
    within("the requests", async {
        loop {
            let stats = proxy.get("/api/optimization-stats").await.json();
            if stats["performance"]["totalRequests"] == requests {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_hundred_identical_calls_on_each_of_two_instances_are_one() {
    let pair = Pair::start("").await;
    let gate = Gate::new();
    pair.upstream.script({
        let gate = gate.clone();
        move |request| request.answer("Hello.").after(&gate)
    });
    let request = ask("q");
    let calls = (0..200).map(|n| {
        let proxy = if n % 2 == 0 { &pair.one } else { &pair.other };
        proxy.chat(&request)
    });
    let opening = async {
        reached(&pair.one, 100).await;
        reached(&pair.other, 100).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(join_all(calls), opening);
    for answer in &answers {
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello."));
    }
    assert_eq!(pair.upstream.calls(), 1);
    let misses = answers
        .iter()
        .filter(|answer| answer.header("x-cache") == "MISS");
    assert_eq!(misses.count(), 1);
    let joined = |section: &serde_json::Value| section["joinedAcrossInstances"].as_u64().unwrap();
    let mut across = 0;
    for proxy in [&pair.one, &pair.other] {
        across += joined(&proxy.get("/api/optimization-stats").await.json()["dedup"]);
    }
    assert!((1..=100).contains(&across), "{across}");
}

#[tokio::test]
async fn an_answer_that_is_not_kept_is_handed_over() {
    let cut = {
        let mut cut = completion("cut");
        cut["choices"][0]["finish_reason"] = "length".into();
        Act::json(200, &cut)
    };
    let limited = Act::error(429, &[("retry-after", "120")]);
    for act in [cut, limited] {
        let pair = Pair::start("retry.max_attempts = 1").await;
        let (first, second) = second_after(&pair, act).await;
        assert_eq!(first.status, second.status);
        assert_eq!(first.body, second.body);
        assert_eq!(first.header("retry-after"), second.header("retry-after"));
        assert_eq!(second.header("x-cache"), "COALESCED");
        assert_eq!(pair.upstream.calls(), 1);
        // Who comes after the landing asks anew.
        pair.other.chat(&ask("q")).await;
        assert_eq!(pair.upstream.calls(), 2);
    }
}

/// What callers on two instances get when the first one's call does this, and then all others are answered.
async fn second_after(pair: &Pair, first: Act) -> (Answer, Answer) {
    let gate = Gate::new();
    pair.upstream.once(first.after(&gate));
    let request = ask("q");
    let first = pair.one.chat(&request);
    let second = async {
        pair.upstream
            .wait_for("the first call", |counts| counts.calls == 1)
            .await;
        let second = pair.other.chat(&request);
        let opening = async {
            reached(&pair.other, 1).await;
            waits(pair).await;
            gate.open();
        };
        tokio::join!(second, opening).0
    };
    tokio::join!(first, second)
}

/// Waits until somebody waits for a flight.
async fn waits(pair: &Pair) {
    within("the waiter", async {
        loop {
            let keys = pair.redis.keys().await;
            if let Some(flight) = keys.iter().find(|key| key.ends_with(":flight")) {
                let lease: Option<String> = pair.redis.run(&["GET", flight]).await;
                if lease.is_some_and(|lease| lease.starts_with('?')) {
                    return;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_shared_like_an_answer() {
    let pair = Pair::start("retry.max_attempts = 1").await;
    let (first, second) = second_after(&pair, Act::only(End::Reset)).await;
    assert_eq!((first.status, second.status), (502, 502));
    let code = |answer: &Answer| answer.json()["error"]["code"].clone();
    assert_eq!(code(&first), code(&second));
    assert_eq!(pair.upstream.calls(), 1);
    // Who comes after it asks anew.
    assert_eq!(source(&pair.other, "q").await, "MISS");
}

#[tokio::test]
async fn a_refused_credential_is_its_callers_affair() {
    let pair = Pair::start("").await;
    let (first, second) = second_after(&pair, Act::error(401, &[])).await;
    assert_eq!((first.status, second.status), (401, 200));
    assert_eq!(pair.upstream.calls(), 2);
}

#[tokio::test]
async fn a_lease_that_nobody_can_hold_keeps_nobody_waiting() {
    let pair = Pair::start("upstream.total_timeout = \"10s\"").await;
    source(&pair.one, "q").await;
    pair.one.wrote(1).await;
    let entry = pair.redis.entries().await.remove(0);
    let flight = format!("{entry}:flight");
    let _: () = pair.redis.run(&["DEL", &entry]).await;
    for command in [
        &["SET", &flight, ">somebody"][..],
        &["SET", &flight, "?somebody", "PX", "9999999"],
        &["SET", &flight, "=somebody", "PX", "9999999"],
        &["SET", &flight, "nonsense"],
    ] {
        let _: () = pair.redis.run(command).await;
        assert_eq!(source(&pair.third("").await, "q").await, "MISS");
        let _: () = pair.redis.run(&["DEL", &entry]).await;
    }
}

#[tokio::test]
async fn when_all_callers_of_the_holder_leave_the_next_instance_asks() {
    let pair = Pair::start("").await;
    let gate = Gate::new();
    pair.upstream.once(Act::says("never").after(&gate));
    let request = ask("q");
    let mut first = Box::pin(pair.one.chat(&request));
    let second = async {
        pair.upstream
            .wait_for("the first call", |counts| counts.calls == 1)
            .await;
        let second = pair.other.chat(&request);
        let leaving = async {
            reached(&pair.other, 1).await;
            Some(())
        };
        (second, leaving)
    };
    let (second, leaving) = tokio::select! {
        _ = &mut first => panic!("the gate is shut"),
        second = second => second,
    };
    let leave = async {
        tokio::select! {
            _ = &mut first => panic!("the gate is shut"),
            _ = leaving => {}
        }
        drop(first);
    };
    let (second, ()) = within("the second answer", async { tokio::join!(second, leave) }).await;
    assert_eq!((second.status, second.text().as_str()), (200, "Hello."));
    assert_eq!(pair.upstream.calls(), 2);
}

#[tokio::test]
async fn it_can_be_switched_off() {
    for settings in ["dedup.across_instances = false", "dedup.enabled = false"] {
        let pair = Pair::start(settings).await;
        let gate = Gate::new();
        pair.upstream.set(Act::says("Hello.").after(&gate));
        let request = ask("q");
        let opening = async {
            pair.upstream
                .wait_for("both calls", |counts| counts.calls == 2)
                .await;
            gate.open();
        };
        let (one, other, ()) =
            tokio::join!(pair.one.chat(&request), pair.other.chat(&request), opening);
        assert_eq!((one.status, other.status), (200, 200));
        assert!(
            pair.redis
                .keys()
                .await
                .iter()
                .all(|key| !key.ends_with(":flight"))
        );
    }
}

#[tokio::test]
async fn streams_take_no_lease_and_are_found_when_they_have_ended() {
    let pair = Pair::start("").await;
    let gate = Gate::new();
    pair.upstream.script({
        let gate = gate.clone();
        move |request| request.answer("Hello.").after(&gate)
    });
    let request = ask_stream("q");
    let opening = async {
        pair.upstream
            .wait_for("both calls", |counts| counts.calls == 2)
            .await;
        gate.open();
    };
    let stream = async |proxy: &Proxy| text_of(&proxy.stream(&request).await.all().await);
    let (one, other, ()) = tokio::join!(stream(&pair.one), stream(&pair.other), opening);
    assert_eq!((one.as_str(), other.as_str()), ("Hello.", "Hello."));
    pair.one.wrote(1).await;
    assert_eq!(source(&pair.third("").await, "q").await, "HIT");
}

#[tokio::test]
async fn a_lease_ends_with_its_flight() {
    let pair = Pair::start("").await;
    source(&pair.one, "q").await;
    pair.one.wrote(1).await;
    pair.one
        .wait_for_redis("an idle queue", |redis| redis["queued"] == 0)
        .await;
    let keys = pair.redis.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn a_link_that_breaks_and_is_made_anew_parts_no_flight() {
    let pair = Pair::start("").await;
    // A link that breaks young is left alone for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let gate = Gate::new();
    pair.upstream.set(Act::says("Hello.").after(&gate));
    let request = ask("q");
    let second = async {
        pair.upstream
            .wait_for("the first call", |counts| counts.calls == 1)
            .await;
        let second = pair.other.chat(&request);
        let breaking = async {
            reached(&pair.other, 1).await;
            waits(&pair).await;
            let _: u64 = pair.redis.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
            let _: u64 = pair.redis.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
            pair.one.connected().await;
            pair.other.connected().await;
            gate.open();
        };
        tokio::join!(second, breaking).0
    };
    let (first, second) = tokio::join!(pair.one.chat(&request), second);
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(second.header("x-cache"), "COALESCED");
    assert_eq!(pair.upstream.calls(), 1);
}
