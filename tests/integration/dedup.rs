//! Identical requests in flight are one call, whoever leaves, however fast they read.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{
    Act, End, Events, Gate, Proxy, Upstream, ask, ask_stream, delta, event, finish, text_of, within,
};

mod flow;

async fn start() -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    (upstream, proxy)
}

/// Waits until the proxy works on so many requests.
async fn wait_for_requests(proxy: &Proxy, requests: u64) {
    let total = async || {
        let stats = proxy.get("/api/optimization-stats").await.json();
        stats["performance"]["totalRequests"].as_u64().unwrap()
    };
    within("the requests' arrival", async {
        while total().await < requests {}
    })
    .await;
}

async fn end_of(events: Events) -> String {
    let all = events.all().await;
    assert_eq!(all.last().unwrap(), "[DONE]");
    text_of(&all)
}

#[tokio::test]
async fn a_hundred_identical_requests_half_of_them_streaming_are_one_call() {
    for upstream_streams in [false, true] {
        let (upstream, proxy) = start().await;
        let gate = Gate::new();
        let act = if upstream_streams {
            Act::streams(&["Hel", "lo."])
        } else {
            Act::says("Hello.")
        };
        upstream.set(act.after(&gate));
        let proxy = Arc::new(proxy);
        let mut callers = JoinSet::new();
        for number in 0..100 {
            let proxy = Arc::clone(&proxy);
            callers.spawn(async move {
                if number % 2 == 0 {
                    let events = proxy.stream(&ask_stream("q")).await;
                    let source = events.header("x-cache").to_owned();
                    (end_of(events).await, source)
                } else {
                    let answer = proxy.chat(&ask("q")).await;
                    assert_eq!(answer.status, 200);
                    (answer.text(), answer.header("x-cache").to_owned())
                }
            });
        }
        wait_for_requests(&proxy, 100).await;
        gate.open();
        let all = within("all callers", callers.join_all()).await;
        assert!(all.iter().all(|(text, _)| text == "Hello."));
        let misses = all.iter().filter(|(_, source)| source == "MISS").count();
        let joined = all
            .iter()
            .filter(|(_, source)| source == "COALESCED")
            .count();
        assert_eq!((misses, joined, upstream.calls()), (1, 99, 1));
    }
}

#[tokio::test]
async fn whole_and_streaming_callers_join_each_other() {
    for leader_streams in [false, true] {
        let (upstream, proxy) = start().await;
        let gate = Gate::new();
        upstream.script({
            let gate = gate.clone();
            move |request| request.answer("Hello.").after(&gate)
        });
        let whole = async |after: usize| {
            upstream
                .wait_for("the leader", |counts| counts.calls >= after)
                .await;
            proxy.chat(&ask("q")).await.text()
        };
        let stream = async |after: usize| {
            upstream
                .wait_for("the leader", |counts| counts.calls >= after)
                .await;
            end_of(proxy.stream(&ask_stream("q")).await).await
        };
        let release = async {
            wait_for_requests(&proxy, 2).await;
            gate.open();
        };
        let (whole, stream, ()) = tokio::join!(
            whole(usize::from(leader_streams)),
            stream(usize::from(!leader_streams)),
            release
        );
        assert_eq!((whole.as_str(), stream.as_str()), ("Hello.", "Hello."));
        assert_eq!(upstream.calls(), 1);
        assert_eq!(
            upstream.last().json()["stream"] == true,
            leader_streams,
            "the leader's own shape goes up"
        );
    }
}

#[tokio::test]
async fn a_leader_that_leaves_fails_nobody() {
    for streams in [false, true] {
        let (upstream, proxy) = start().await;
        let gate = Gate::new();
        upstream.script({
            let gate = gate.clone();
            move |request| request.answer("Hello.").after(&gate)
        });
        let proxy = Arc::new(proxy);
        let call = |proxy: Arc<Proxy>| async move {
            if streams {
                end_of(proxy.stream(&ask_stream("q")).await).await
            } else {
                proxy.chat(&ask("q")).await.text()
            }
        };
        let leader = tokio::spawn(call(Arc::clone(&proxy)));
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        let mut followers = JoinSet::new();
        for _ in 0..99 {
            followers.spawn(call(Arc::clone(&proxy)));
        }
        wait_for_requests(&proxy, 100).await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        gate.open();
        let texts = within("the followers", followers.join_all()).await;
        assert!(texts.iter().all(|text| text == "Hello."));
        let counts = upstream.counts();
        assert_eq!((counts.calls, counts.hang_ups), (1, 0));
    }
}

#[tokio::test]
async fn a_leader_that_leaves_midway_through_its_stream_fails_nobody() {
    let (upstream, proxy) = start().await;
    let gate = Gate::new();
    let act = Act::stream()
        .chunk(event(&delta("Hel")))
        .wait(&gate)
        .chunk(event(&delta("lo.")) + &event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let mut leader = proxy.stream(&ask_stream("q")).await;
    leader.next().await.unwrap();
    let follower = proxy.stream(&ask_stream("q")).await;
    let whole = async {
        wait_for_requests(&proxy, 3).await;
        drop(leader);
        gate.open();
    };
    let request = ask("q");
    let (text, answer, ()) = tokio::join!(end_of(follower), proxy.chat(&request), whole);
    assert_eq!(
        (text.as_str(), answer.text().as_str()),
        ("Hello.", "Hello.")
    );
    assert_eq!(upstream.counts().calls, 1);
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "HIT");
}

#[tokio::test]
async fn when_all_have_left_the_upstream_call_is_dropped_and_the_key_is_free() {
    for begun in [false, true] {
        let (upstream, proxy) = start().await;
        let act = if begun {
            Act::stream().chunk(event(&delta("Hel")))
        } else {
            Act::only(End::Silence)
        };
        upstream.once(act.then(End::Silence));
        let proxy = Arc::new(proxy);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let proxy = Arc::clone(&proxy);
                tokio::spawn(async move { proxy.stream(&ask_stream("q")).await.all().await })
            })
            .collect();
        wait_for_requests(&proxy, 3).await;
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        assert_eq!(upstream.counts().hang_ups, 0);
        for caller in callers {
            caller.abort();
            let _ = caller.await;
        }
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == 1)
            .await;
        assert_eq!(proxy.chat(&ask("q")).await.text(), "Hello.");
        assert_eq!(upstream.calls(), 2);
    }
}

#[tokio::test]
async fn a_failure_is_shared_and_the_key_is_free_afterwards() {
    let (upstream, proxy) = start().await;
    let gate = Gate::new();
    upstream.once(Act::error(400, &[("x-mark", "same")]).after(&gate));
    let proxy = Arc::new(proxy);
    let mut callers = JoinSet::new();
    for number in 0..10 {
        let proxy = Arc::clone(&proxy);
        let request = if number % 2 == 0 {
            ask("q")
        } else {
            ask_stream("q")
        };
        callers.spawn(async move { proxy.chat(&request).await });
    }
    wait_for_requests(&proxy, 10).await;
    gate.open();
    for answer in within("all callers", callers.join_all()).await {
        assert_eq!((answer.status, answer.header("x-mark")), (400, "same"));
        assert_eq!(answer.json()["error"]["type"], "scripted");
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!(proxy.chat(&ask("q")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_questions_are_never_mixed() {
    let (upstream, proxy) = start().await;
    upstream.script(|request| request.answer(&format!("echo {}", request.prompt())));
    let proxy = Arc::new(proxy);
    let mut workers = JoinSet::new();
    for worker in 0..40 {
        let proxy = Arc::clone(&proxy);
        workers.spawn(async move {
            for round in 0..10 {
                let prompt = format!("question {worker} {round}");
                let text = if (worker + round) % 2 == 0 {
                    proxy.chat(&ask(&prompt)).await.text()
                } else {
                    end_of(proxy.stream(&ask_stream(&prompt)).await).await
                };
                assert_eq!(text, format!("echo {prompt}"));
            }
        });
    }
    within("all workers", workers.join_all()).await;
    assert_eq!(upstream.calls(), 400);
}

#[tokio::test]
async fn who_wants_an_answer_of_its_own_joins_nobody() {
    let (upstream, proxy) = start().await;
    let gate = Gate::new();
    upstream.set(Act::says("Hello.").after(&gate));
    let release = async {
        upstream
            .wait_for("both calls", |counts| counts.calls == 2)
            .await;
        gate.open();
    };
    let request: Value = ask("q");
    let (first, second, ()) = tokio::join!(
        proxy.chat(&request),
        proxy.chat_with(&request, &[("cache-control", "no-store")]),
        release
    );
    assert_eq!((first.status, second.status), (200, 200));
}
