//! What is given out of the store, and what is asked for.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Duration, advance};

use super::*;
use crate::fingerprint::Scope;
use crate::layers::merge::tests::house::{
    Ask, Got, House, MODEL, ask, ask_for, embed, own, sorted, status,
};
use crate::stack::Stack;
use crate::store::Filter;

fn x_cache(got: &Got) -> &'static str {
    got.provenance.x_cache()
}

fn with(ask: &Ask, control: &'static str) -> Ask {
    Ask {
        headers: vec![("cache-control", control)],
        ..ask.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_asks_only_for_what_is_not_known() {
    let house = House::new("", embed);
    let first = house.get(&ask(&json!("b"))).await;
    assert_eq!(x_cache(&first), "MISS");
    let again = house.get(&ask(&json!("b"))).await;
    assert_eq!(
        (x_cache(&again), &again.body),
        ("HIT", &first.body),
        "to the bit"
    );
    assert_eq!(
        (again.row.cost, again.row.saved.cache, again.row.attempts),
        (0, 20, 0)
    );

    let some = ask(&json!(["a", "b", "\u{e9}t\u{e9}", "a"]));
    let got = house.get(&some).await;
    assert_eq!(sorted(&got.body), own(&some));
    assert_eq!(
        house.calls()[1]["input"],
        json!(["a", "\u{e9}t\u{e9}", "a"])
    );
    assert_eq!((x_cache(&got), got.row.saved.cache), ("MISS", 20));
    let tokens = own(&some)["usage"]["total_tokens"].as_u64().unwrap();
    assert_eq!(
        got.row.bought.map(|usage| usage.total_tokens),
        Some(tokens - 1)
    );
    assert_eq!(got.row.given.map(|usage| usage.total_tokens), Some(1));

    // All of them, in another order and spelled otherwise.
    let mut all = ask(&json!(["", "", ""]));
    all.body = format!("{{\"model\":\"{MODEL}\",\"input\":[\"\\u00e9t\u{e9}\",\"b\",\"a\"]}}");
    let got = house.get(&all).await;
    assert_eq!((x_cache(&got), sorted(&got.body)), ("HIT", own(&all)));
    assert_eq!(got.row.saved.cache, 20 * (tokens - 1));
    assert_eq!(house.calls().len(), 2);
    let metrics = &house.stack.metrics;
    assert_eq!(metrics.cache_tokens_saved.get(), 1 + 1 + tokens - 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_inputs_as_texts_are() {
    let house = House::new("", embed);
    house.get(&ask(&json!([1, 2]))).await;
    let got = house.get(&ask(&json!([[3], [1, 2]]))).await;
    assert_eq!(sorted(&got.body), own(&ask(&json!([[3], [1, 2]]))));
    assert_eq!(house.calls()[1]["input"], json!([[3]]));
}

/// Eight bytes of text are what one token is: a number in as many bytes.
#[tokio::test(start_paused = true)]
async fn no_text_is_taken_for_a_list_of_tokens() {
    let house = House::new("", embed);
    let tokens = ask(&json!([[5]]));
    let text = ask(&json!(["\u{5}\0\0\0\0\0\0\0"]));
    for one in [&tokens, &text] {
        let got = house.get(one).await;
        assert_eq!((x_cache(&got), sorted(&got.body)), ("MISS", own(one)));
    }
    for one in [&tokens, &text] {
        let got = house.get(one).await;
        assert_eq!((x_cache(&got), sorted(&got.body)), ("HIT", own(one)));
    }
    assert_eq!(house.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_adjusts_the_cache_is_not_told_of_inputs() {
    let config = Config::from_toml("tuning.mode = \"observe\"").unwrap();
    let house = House::new("tuning.mode = \"observe\"", embed);
    let Stack { store, metrics, .. } = &house.stack;
    let keeper = EmbedLayer::new(&config, store, Arc::clone(metrics)).keeper;
    assert!(store.memory.watch().is_some());
    assert!(keeper.store.memory.watch().is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_to_others_or_for_other_embeddings() {
    let house = House::new("", embed);
    let mine = ask(&json!("a"));
    house.get(&mine).await;
    for other in [
        Ask {
            scope: Scope::of(Some(b"another")),
            ..mine.clone()
        },
        ask_for(&json!({"model": "e", "input": "a"})),
        ask_for(&json!({"model": MODEL, "input": "a", "dimensions": 3})),
        ask_for(&json!({"model": MODEL, "input": "a", "encoding_format": "base64"})),
        Ask {
            headers: vec![("openai-organization", "o")],
            ..mine.clone()
        },
    ] {
        assert_eq!(x_cache(&house.get(&other).await), "MISS", "{}", other.body);
    }
    // Who calls, and with what, makes no other embedding.
    let agent = Ask {
        headers: vec![("user-agent", "x")],
        ..mine
    };
    assert_eq!(x_cache(&house.get(&agent).await), "HIT");
}

#[tokio::test(start_paused = true)]
async fn clients_say_what_they_take_and_what_is_kept() {
    let house = House::new("cache.ttl = \"1m\"", embed);
    let one = ask(&json!("a"));
    assert_eq!(x_cache(&house.get(&with(&one, "no-store")).await), "BYPASS");
    let refused = house.send(&with(&one, "only-if-cached")).await;
    assert!(matches!(refused, Err(ProxyError::OnlyIfCached)));
    let kept = house.get(&with(&one, "no-cache")).await;
    assert!(matches!(
        kept.provenance,
        Provenance::Bypass { stored: true }
    ));
    assert_eq!(
        x_cache(&house.get(&with(&one, "only-if-cached")).await),
        "HIT"
    );
    advance(Duration::from_secs(50)).await;
    let Provenance::Hit { age, ttl, .. } = house.get(&one).await.provenance else {
        panic!("no hit");
    };
    assert_eq!((age.as_secs(), ttl.as_secs()), (50, 10));
    assert_eq!(x_cache(&house.get(&with(&one, "max-age=40")).await), "MISS");
    advance(Duration::from_secs(70)).await;
    assert_eq!(
        x_cache(&house.get(&with(&one, "max-stale=60")).await),
        "STALE"
    );
    assert_eq!(x_cache(&house.get(&one).await), "MISS");
    house.stack.store.clear(&Filter::default()).await;
    assert_eq!(x_cache(&house.get(&one).await), "MISS");
    assert_eq!(house.calls().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_good_is_kept() {
    let bad: Arc<Mutex<Option<u16>>> = Arc::default();
    let how = Arc::clone(&bad);
    let house = House::new("", move |body: &Value| match *how.lock() {
        Some(200) => status(200, "{\"data\":[]}"),
        Some(code) => status(code, "{\"error\":{}}"),
        None => embed(body),
    });
    for code in [200, 400, 429, 500] {
        *bad.lock() = Some(code);
        let got = house.get(&ask(&json!("a"))).await;
        assert_eq!((got.status, x_cache(&got)), (code, "BYPASS"));
    }
    assert!(house.stack.store.memory.is_empty());
    *bad.lock() = None;
    assert_eq!(x_cache(&house.get(&ask(&json!("a"))).await), "MISS");
    // A refusal of a part of a call would speak of inputs by wrong numbers.
    *bad.lock() = Some(400);
    let both = ask(&json!(["a", "b"]));
    assert_eq!(house.get(&both).await.status, 400);
    assert_eq!(house.bodies().last().unwrap(), both.body.as_bytes());
    let calls = house.calls().len();
    *bad.lock() = Some(429);
    assert_eq!(house.get(&both).await.status, 429);
    assert_eq!(house.calls().len(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn calls_for_more_than_go_together_push_nothing_out() {
    let house = House::new("batch.max_inputs = 2", embed);
    for _ in 0..2 {
        let got = house.get(&ask(&json!(["a", "b", "c"]))).await;
        assert_eq!(x_cache(&got), "BYPASS");
    }
    assert_eq!(
        (house.calls().len(), house.stack.store.memory.len()),
        (2, 0)
    );
    house.get(&ask(&json!(["a", "b"]))).await;
    assert_eq!(house.stack.store.memory.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_life_stands_in_for_an_upstream_that_fails() {
    let bad: Arc<Mutex<Option<u16>>> = Arc::default();
    let how = Arc::clone(&bad);
    let house = House::new(
        "cache.ttl = \"1m\"\ncache.stale_if_error = \"1h\"",
        move |body: &Value| match *how.lock() {
            Some(code) => status(code, "{\"error\":{}}"),
            None => embed(body),
        },
    );
    let both = ask(&json!(["a", "b"]));
    house.get(&both).await;
    advance(Duration::from_secs(90)).await;
    house.get(&ask(&json!("a"))).await;
    *bad.lock() = Some(503);
    // One of them is fresh, and the other thirty seconds past its life.
    let got = house.get(&both).await;
    assert_eq!((got.status, sorted(&got.body)), (200, own(&both)));
    let Provenance::Stale {
        expired_for,
        excuse: Excuse::Error(Some(StatusCode::SERVICE_UNAVAILABLE)),
        ..
    } = got.provenance
    else {
        panic!("{:?}", got.provenance);
    };
    assert_eq!(expired_for.as_secs(), 30);
    assert_eq!((got.row.cost, got.row.saved.cache > 0), (0, true));
    // Not for what is wrong with the request, not to who wants none, and not for what is not there.
    for (code, ask) in [
        (400, both.clone()),
        (503, with(&both, "no-cache")),
        (503, with(&both, "max-age=1")),
        (503, ask(&json!(["a", "c"]))),
    ] {
        *bad.lock() = Some(code);
        assert_eq!(house.get(&ask).await.status, code, "{:?}", ask.headers);
    }
    advance(Duration::from_hours(1)).await;
    *bad.lock() = Some(503);
    assert_eq!(house.get(&both).await.status, 503, "too old");
    *bad.lock() = None;
    assert_eq!(x_cache(&house.get(&both).await), "MISS");
}
