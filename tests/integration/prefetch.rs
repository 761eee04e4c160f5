//! Fetching ahead as operators and clients see it.

use serde_json::{Value, json};

use crate::support::{Proxy, RedisServer, Upstream, ask, within};

/// Answers expire soon, yet not before even a busy machine asks for them again; and any wait is worth any money.
const SETTINGS: &str = "[cache]\nttl = \"2s\"\nstale_if_error = \"0s\"\n\
                        [prefetch]\nenabled = true\nvalue_per_second = 1000\nmax_share = 0.9\nbudget_usd_per_day = 1000\n";

/// A proxy whose model costs a dollar for a million tokens.
async fn proxy(upstream: &Upstream, settings: &str) -> (Proxy, tempfile::NamedTempFile) {
    let file = crate::process::config_file("[models.m]\ninput = 1\noutput = 1\n");
    let path = file.path().to_str().unwrap();
    let settings = format!("{settings}[metering]\nprices_file = {path:?}\n");
    (Proxy::start(&settings, upstream).await, file)
}

async fn stats(proxy: &Proxy) -> Value {
    let stats = proxy.get("/api/optimization-stats").await.json();
    stats["prefetch"].clone()
}

/// Asks one thing after the other until answers were fetched ahead and asked for.
async fn until_it_was_of_use(proxy: &Proxy) -> Value {
    within("fetching ahead", async {
        loop {
            for prompt in ["one", "two", "three"] {
                assert_eq!(proxy.chat(&ask(prompt)).await.status, 200);
            }
            let stats = stats(proxy).await;
            if stats["used"].as_u64().unwrap() >= 3 {
                return stats;
            }
        }
    })
    .await
}

#[tokio::test]
async fn calls_ahead_are_counted_paid_for_and_explained_apart_from_those_of_clients() {
    let upstream = Upstream::start().await;
    let (proxy, _prices) = proxy(&upstream, SETTINGS).await;
    let seen = until_it_was_of_use(&proxy).await;
    let calls = seen["calls"].as_object().unwrap().values();
    assert!(calls.filter_map(Value::as_u64).sum::<u64>() >= 3, "{seen}");
    assert!(seen["spentUsd"].as_f64().unwrap() > 0.0, "{seen}");
    let sent = upstream.requests();
    let text = |at: usize| String::from_utf8(sent[at].body.to_vec()).unwrap();
    // What goes out ahead is what its client sent, to the byte.
    assert!((0..sent.len()).all(|at| (0..3).any(|first| text(at) == text(first))));

    let usage = proxy.get("/api/usage?group_by=source").await.json();
    let groups = usage["rows"].as_array().unwrap();
    let ahead = groups.iter().find(|group| group["source"] == "prefetch");
    let ahead = ahead.unwrap_or_else(|| panic!("{usage}"));
    assert!(ahead["costNanoUsd"].as_u64().unwrap() > 0, "{ahead}");
    let savings = proxy.get("/api/usage/savings").await.json();
    let paid = savings["prefetchSpentNanoUsd"].as_u64().unwrap();
    assert!(paid > 0 && paid < savings["spentNanoUsd"].as_u64().unwrap());
    // Nobody would have paid for it without the proxy.
    let figure = |name: &str| savings[name].as_u64().unwrap();
    let layers = savings["layers"].as_array().unwrap().iter();
    let layers: u64 = layers
        .map(|layer| layer["savedNanoUsd"].as_u64().unwrap())
        .sum();
    assert_eq!(
        (
            figure("wouldHaveCostNanoUsd") + paid,
            figure("savedNanoUsd") + paid
        ),
        (figure("spentNanoUsd") + layers, layers)
    );
    let metrics = proxy.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for beginning in [
        "pegasus_nest_prefetch_calls_total{kind=\"follower\"} ",
        "pegasus_nest_prefetch_answers_total{outcome=\"used\"} ",
        "pegasus_nest_prefetch_held_back_total{reason=\"budget\"} 0\n",
        "pegasus_nest_prefetch_spent_usd_total 0.",
        "pegasus_nest_prefetch_stopped 0\n",
    ] {
        assert!(metrics.contains(beginning), "{beginning}");
    }
    let decisions = proxy.get("/api/tuning").await.json();
    let first = decisions["decisions"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&first["subject"], &first["action"]),
        (&json!("prefetch"), &json!("applied"))
    );
    // Nothing of it is left after a clear.
    proxy.get("/api/clear-cache").await;
    within("forgetting", async {
        loop {
            let stats = stats(&proxy).await;
            if (&stats["questions"], &stats["bytes"]) == (&json!(0), &json!(0)) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn off_it_says_so_and_does_nothing() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for prompt in ["one", "two", "one", "two"] {
        proxy.chat(&ask(prompt)).await;
    }
    assert_eq!(stats(&proxy).await, json!({"enabled": false}));
    assert_eq!(upstream.calls(), 2);
    let metrics = proxy.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(!metrics.contains("pegasus_nest_prefetch"));
}

#[tokio::test]
async fn instances_that_share_a_cache_give_what_others_renew() {
    let (upstream, redis) = (Upstream::start().await, RedisServer::start().await);
    let settings = SETTINGS.replace(
        "ttl = \"2s\"\n",
        &format!(
            "ttl = \"2s\"\nredis_timeout = \"5s\"\n{}",
            redis.setting().replace("cache.", "")
        ),
    );
    let (one, _prices) = proxy(&upstream, &settings).await;
    let (other, _prices) = proxy(&upstream, &settings).await;
    one.connected().await;
    other.connected().await;
    let from_redis = async |proxy: &Proxy| {
        let stats = proxy.get("/api/optimization-stats").await.json();
        stats["cache"]["hitsByTier"]["redis"].as_u64().unwrap()
    };
    within("renewals by either that the other gives", async {
        loop {
            for proxy in [&one, &other] {
                assert_eq!(proxy.chat(&ask("q")).await.status, 200);
            }
            let given = from_redis(&one).await + from_redis(&other).await;
            let (one, other) = (stats(&one).await, stats(&other).await);
            let sum = |figure: &str| {
                let of = |stats: &Value| stats[figure].as_u64().unwrap();
                of(&one) + of(&other)
            };
            // The first time it is what a client had asked for.
            if sum("used") > 0 && given + sum("wasThere") > 1 {
                return;
            }
        }
    })
    .await;
}
