//! A clear reaches every instance, whatever becomes of the message, and can be narrowed.

use redis::AsyncCommands as _;
use serde_json::{Value, json};

use super::{Pair, source};
use crate::support::{Act, Gate, Proxy, ask, within};

const ONLY: [(&str, &str); 1] = [("cache-control", "only-if-cached")];

async fn clear(proxy: &Proxy, query: &str) -> Value {
    let cleared = proxy.get(&format!("/api/clear-cache{query}")).await;
    assert_eq!(cleared.status, 200, "{:?}", cleared.body);
    cleared.json()
}

/// Waits until an instance has no answer to this prompt.
async fn forgets(proxy: &Proxy, prompt: &str) {
    within("the clear on the other instance", async {
        while proxy.chat_with(&ask(prompt), &ONLY).await.status != 504 {}
    })
    .await;
}

/// Fills both instances and Redis with answers to these prompts.
async fn fill(pair: &Pair, prompts: &[&str]) {
    for prompt in prompts {
        pair.one.chat(&ask(prompt)).await;
    }
    pair.one.wrote(prompts.len() as u64).await;
    for prompt in prompts {
        assert_eq!(source(&pair.other, prompt).await, "HIT");
    }
}

#[tokio::test]
async fn a_clear_empties_every_instance_and_counts_each_answer_once() {
    let pair = Pair::start("").await;
    fill(&pair, &["a", "b", "c"]).await;
    let counted = clear(&pair.one, "?dry_run=true").await;
    assert_eq!(
        (&counted["cleared"], &counted["dryRun"]),
        (&json!(3), &json!(true))
    );
    let cleared = clear(&pair.one, "").await;
    assert_eq!(cleared["cleared"], 3);
    assert_eq!(cleared["redis"], "cleared, and all instances told");
    assert_eq!(
        cleared["message"],
        "🧹 Optimization cache cleared successfully"
    );
    assert_eq!(pair.redis.entries().await, [""; 0]);
    for prompt in ["a", "b", "c"] {
        forgets(&pair.other, prompt).await;
        assert_eq!(pair.one.chat_with(&ask(prompt), &ONLY).await.status, 504);
    }
    assert_eq!(clear(&pair.other, "").await["cleared"], 0);
    // It goes on as before.
    pair.one.chat(&ask("a")).await;
    pair.one.wrote(4).await;
    assert_eq!(source(&pair.other, "a").await, "HIT");
}

#[tokio::test]
async fn answers_that_this_instance_does_not_have_count_too() {
    let pair = Pair::start("").await;
    for prompt in ["a", "b"] {
        pair.one.chat(&ask(prompt)).await;
    }
    pair.one.wrote(2).await;
    assert_eq!(clear(&pair.other, "").await["cleared"], 2);
}

#[tokio::test]
async fn an_instance_that_missed_the_message_learns_of_the_clear_all_the_same() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    // What a clear does, less its message.
    let key = "pegasus:default:clears";
    let fields = [("latest", "1"), ("generation", "1"), ("1", "1 {}")];
    let () = pair
        .redis
        .connect()
        .await
        .hset_multiple(key, &fields)
        .await
        .unwrap();
    // A look-up sees it.
    assert_eq!(source(&pair.other, "b").await, "MISS");
    forgets(&pair.other, "a").await;
    // An idle instance sees it with the next heartbeat.
    forgets(&pair.one, "a").await;
}

#[tokio::test]
async fn what_is_in_flight_on_another_instance_is_not_kept() {
    for query in ["", "?model=m"] {
        let pair = Pair::start("").await;
        let gate = Gate::new();
        pair.upstream.once(Act::says("old").after(&gate));
        let request = ask("q");
        let clearing = async {
            pair.upstream
                .wait_for("the call", |counts| counts.calls == 1)
                .await;
            assert_eq!(clear(&pair.other, query).await["cleared"], 0);
            gate.open();
        };
        let (answer, ()) = tokio::join!(pair.one.chat(&request), clearing);
        assert_eq!(answer.text(), "old");
        pair.one
            .wait_for_redis("an idle queue", |redis| redis["queued"] == 0)
            .await;
        for proxy in [&pair.one, &pair.other, &pair.third("").await] {
            let late = proxy.chat_with(&request, &ONLY).await;
            assert_eq!(late.status, 504, "{query}: {:?}", late.body);
        }
    }
}

#[tokio::test]
async fn a_value_that_was_written_behind_a_narrowed_clear_is_refused() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    let key = pair.redis.entries().await.remove(0);
    let mut connection = pair.redis.connect().await;
    let value: Vec<u8> = connection.get(&key).await.unwrap();
    assert_eq!(clear(&pair.one, "?model=m").await["cleared"], 1);
    // An instance that had not heard of the clear yet.
    let () = connection.pset_ex(&key, value, 1_000_000).await.unwrap();
    for proxy in [&pair.one, &pair.other, &pair.third("").await] {
        forgets(proxy, "a").await;
    }
}

#[tokio::test]
async fn a_clear_can_be_narrowed() {
    let pair = Pair::start("").await;
    let me = [("authorization", "Bearer me")];
    let of_model = |model: &str| {
        let mut request = ask("q");
        request["model"] = model.into();
        request
    };
    for model in ["m", "n/x"] {
        pair.one.chat(&of_model(model)).await;
        pair.one.chat_with(&of_model(model), &me).await;
    }
    pair.one.wrote(4).await;
    for (query, expected) in [
        ("?dry_run=1", 4),
        ("?model=n%2Fx&dry_run=1", 2),
        ("?scope=me&dry_run=1", 2),
        ("?scope=me&model=m&dry_run=1", 1),
        ("?model=other&dry_run=1", 0),
        ("?older_than=10m&dry_run=1", 0),
        ("?older_than=0s&dry_run=1", 4),
        ("?older_than=10m", 0),
        ("?model=n%2Fx", 2),
        ("?scope=me", 1),
        ("", 1),
    ] {
        let path = format!("/api/clear-cache{query}");
        let request = pair.other.request(http::Method::POST, &path);
        let request = if query.contains("scope") {
            request.header("authorization", "Bearer me")
        } else {
            request
        };
        let cleared = pair.other.send(request).await.json();
        assert_eq!(cleared["cleared"], expected, "{query}: {cleared}");
        let left = pair.redis.entries().await.len();
        if query == "?model=n%2Fx" {
            assert_eq!(left, 2);
            within("the narrowed clear", async {
                while pair.one.chat_with(&of_model("n/x"), &ONLY).await.status != 504 {}
            })
            .await;
            assert_eq!(pair.one.chat_with(&of_model("m"), &ONLY).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_slip_in_a_name_clears_nothing() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    for query in [
        "?modle=m",
        "?older_than=soon",
        "?scope=you",
        "?model=",
        "?dry_run=2",
    ] {
        let refused = pair.one.get(&format!("/api/clear-cache{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.json()["code"], "invalid_parameter");
    }
    assert_eq!(source(&pair.one, "a").await, "HIT");
}

#[tokio::test]
async fn a_clear_without_redis_is_owed_to_it() {
    let mut pair = Pair::start("cache.redis_timeout = \"150ms\"").await;
    fill(&pair, &["a"]).await;
    pair.redis.freeze().await;
    let owed = clear(&pair.one, "").await;
    assert_eq!(owed["cleared"], 1);
    assert_eq!(
        owed["redis"],
        "unreachable: it is cleared as soon as it is back"
    );
    assert_eq!(pair.one.chat_with(&ask("a"), &ONLY).await.status, 504);
    pair.redis.thaw().await;
    pair.one.connected().await;
    forgets(&pair.other, "a").await;
    within("the deletion", async {
        while !pair.redis.entries().await.is_empty() {}
    })
    .await;
    pair.redis.kill().await;
}

#[tokio::test]
async fn a_redis_that_lost_its_memory_of_clears_takes_it_from_the_instances() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    clear(&pair.one, "").await;
    forgets(&pair.other, "a").await;
    fill_after(&pair).await;
    let _: () = pair.redis.run(&["FLUSHALL"]).await;
    within("the heartbeat", async {
        let keys = || {
            pair.redis
                .run::<Option<String>>(&["HGET", "pegasus:default:clears", "generation"])
        };
        while keys().await.as_deref() != Some("1") {}
    })
    .await;
    // Nothing here was cleared.
    assert_eq!(source(&pair.one, "after").await, "HIT");
    assert_eq!(source(&pair.other, "after").await, "HIT");
}

async fn fill_after(pair: &Pair) {
    pair.one.chat(&ask("after")).await;
    pair.one.wrote(2).await;
    assert_eq!(source(&pair.other, "after").await, "HIT");
}

#[tokio::test]
async fn more_clears_than_are_remembered_are_carried_out_too() {
    let pair = Pair::start("").await;
    fill(&pair, &["a", "b"]).await;
    let key = "pegasus:default:clears";
    // An instance that was away for longer than the log goes back.
    let () = pair
        .redis
        .connect()
        .await
        .hset(key, "latest", 500)
        .await
        .unwrap();
    assert_eq!(source(&pair.other, "c").await, "MISS");
    // Whatever they were about, Redis was rid of it by those who cleared.
    within("the clears", async {
        loop {
            let hit = pair.other.chat(&ask("a")).await;
            if hit.header("cache-status").ends_with("detail=redis") {
                return;
            }
        }
    })
    .await;
    for n in 0..130 {
        assert_eq!(clear(&pair.one, "?model=none").await["cleared"], 0, "{n}");
    }
    let fields: usize = pair.redis.run(&["HLEN", key]).await;
    assert!(fields <= 130, "{fields} fields");
}

#[tokio::test]
async fn numbers_that_no_clear_has_are_none() {
    for nonsense in ["9007199254740993", "inf", "nan", "1e20", "-5", "1.5", "x"] {
        let pair = Pair::start("").await;
        fill(&pair, &["a"]).await;
        let key = "pegasus:default:clears";
        let fields = [("latest", nonsense), ("generation", nonsense)];
        let mut connection = pair.redis.connect().await;
        let () = connection.hset_multiple(key, &fields).await.unwrap();
        assert_eq!(source(&pair.one, "b").await, "MISS", "{nonsense}");
        assert_eq!(clear(&pair.one, "").await["cleared"], 2, "{nonsense}");
        forgets(&pair.other, "a").await;
        let latest: String = connection.hget(key, "latest").await.unwrap();
        assert_eq!(latest, "1", "{nonsense}");
        // What is shared is found again.
        assert_eq!(source(&pair.one, "c").await, "MISS");
        pair.one.wrote(3).await;
        assert_eq!(source(&pair.other, "c").await, "HIT", "{nonsense}");
        assert_eq!(pair.other.cache().await["redis"]["failures"], 0);
    }
}

#[tokio::test]
async fn a_full_redis_is_cleared_too() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    let _: () = pair.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let narrowed = clear(&pair.one, "?model=m").await;
    assert_eq!(narrowed["redis"], "cleared, and all instances told");
    assert_eq!(narrowed["cleared"], 1);
    for proxy in [&pair.one, &pair.other] {
        forgets(proxy, "a").await;
    }
}

#[tokio::test]
async fn without_the_leave_to_scan_a_clear_is_told_and_not_repeated() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    let _: () = pair
        .redis
        .run(&["ACL", "SETUSER", "default", "-scan"])
        .await;
    let told = clear(&pair.one, "").await;
    assert_eq!(
        told["redis"],
        "all instances told; what Redis itself had is not counted"
    );
    forgets(&pair.other, "a").await;
    assert_eq!(source(&pair.one, "b").await, "MISS");
    pair.one.wrote(2).await;
    assert_eq!(source(&pair.other, "b").await, "HIT");
    for proxy in [&pair.one, &pair.other] {
        assert_eq!(proxy.cache().await["redis"]["failures"], 0);
    }
    let latest: String = pair
        .redis
        .run(&["HGET", "pegasus:default:clears", "latest"])
        .await;
    assert_eq!(latest, "1");
}

#[tokio::test]
async fn a_clear_is_carried_out_whether_its_caller_waits_or_not() {
    let pair = Pair::start("cache.redis_timeout = \"10s\"").await;
    fill(&pair, &["a"]).await;
    pair.redis.freeze().await;
    let request = pair.one.request(http::Method::POST, "/api/clear-cache");
    let left = tokio::time::timeout(std::time::Duration::from_millis(50), request.send()).await;
    assert!(left.is_err(), "Redis does not answer");
    pair.redis.thaw().await;
    for proxy in [&pair.one, &pair.other] {
        forgets(proxy, "a").await;
    }
}

#[tokio::test]
async fn clears_that_redis_is_owed_are_few() {
    let mut pair = Pair::start("").await;
    pair.redis.kill().await;
    pair.one
        .wait_for_redis("the failure", |redis| redis["state"] == "off")
        .await;
    for n in 0..200 {
        clear(&pair.one, &format!("?model=m{n}")).await;
    }
    clear(&pair.one, "").await;
    clear(&pair.one, "?model=m").await;
    pair.redis.revive().await;
    pair.one.connected().await;
    let key = "pegasus:default:clears";
    let latest: String = pair.redis.run(&["HGET", key, "latest"]).await;
    assert_eq!(latest, "1", "one of everything stands for all");
}

#[tokio::test]
async fn a_number_that_is_none_is_put_right_without_a_clear() {
    let pair = Pair::start("").await;
    let key = "pegasus:default:clears";
    let mut connection = pair.redis.connect().await;
    let () = connection
        .hset(key, "latest", "9007199254740993")
        .await
        .unwrap();
    within("the heartbeat", async {
        while connection
            .hget::<_, _, String>(key, "latest")
            .await
            .unwrap()
            != "0"
        {}
    })
    .await;
    fill(&pair, &["a"]).await;
}

#[tokio::test]
async fn names_that_are_no_text_are_passed_over() {
    let pair = Pair::start("").await;
    fill(&pair, &["a"]).await;
    let odd = b"pegasus:default:\xff".as_slice();
    let () = pair.redis.connect().await.set(odd, "x").await.unwrap();
    let cleared = clear(&pair.one, "").await;
    assert_eq!(cleared["redis"], "cleared, and all instances told");
    assert_eq!(cleared["cleared"], 1);
}
