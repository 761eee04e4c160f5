//! Calls that go together, and those that must not.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::fingerprint::Scope;
use crate::reply::Provenance;

use house::{Ask, CALL, Got, House, MODEL, answer, ask, ask_for, embed, own, sorted, status};

pub(in crate::layers) mod house;

const NO_CACHE: &str = "cache.enabled = false";

async fn all(house: &House, asks: &[Ask]) -> Vec<Got> {
    let all = asks.iter().map(|ask| house.get(ask));
    join_all(all).await
}

fn words(count: usize) -> Vec<Ask> {
    let words =
        (0..count).map(|n| ask(&json!(format!("{}lark number {n}", "very ".repeat(n % 7)))));
    words.collect()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_become_one_and_each_gets_its_own_answer() {
    let house = House::new(NO_CACHE, embed);
    let asks = words(100);
    let got = all(&house, &asks).await;
    let calls = house.calls();
    assert_eq!(
        (calls.len(), calls[0]["input"].as_array().unwrap().len()),
        (1, 100)
    );
    let mut paid = 0;
    for (ask, got) in asks.iter().zip(&got) {
        assert_eq!(sorted(&got.body), own(ask));
        assert!(String::from_utf8_lossy(&got.body).contains(".10,-1E-07]"));
        let usage = got.row.bought.unwrap();
        assert_eq!(own(ask)["usage"]["total_tokens"], usage.total_tokens);
        assert_eq!(got.row.cost, 20 * usage.total_tokens);
        paid += got.row.cost;
    }
    assert_eq!(paid, house.stack.metrics.cost_nano_usd.get());
    assert_eq!(got.iter().map(|got| got.row.attempts).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_joins_goes_as_it_came_after_the_window() {
    let house = House::new(NO_CACHE, embed);
    let mut alone = ask(&json!("lark"));
    alone.body = format!("{{ \"model\" : \"{MODEL}\", \"input\":\"l\\u0061rk\" }}");
    let begun = Instant::now();
    let got = house.get(&alone).await;
    assert_eq!(house.bodies(), [alone.body.as_bytes()]);
    assert_eq!(begun.elapsed(), CALL + Duration::from_millis(5));
    assert_eq!(
        got.row.bought.map(|usage| usage.total_tokens),
        Some(got.row.cost / 20)
    );
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_anything_is_never_merged() {
    let house = House::new(NO_CACHE, embed);
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": MODEL, "input": "lark"});
        body[key] = value;
        ask_for(&body)
    };
    let header = |name, value| Ask {
        headers: vec![(name, value)],
        ..ask(&json!("lark"))
    };
    let asks = [
        ask(&json!("lark")),
        with("model", "e".into()),
        with("dimensions", 2.into()),
        with("dimensions", json!(2.0)),
        with("encoding_format", "base64".into()),
        with("user", "alice".into()),
        with("user", "bob".into()),
        with("odd", json!({"a": [1]})),
        with("input", json!([1, 2])),
        header("openai-organization", "o"),
        header("http-referer", "a"),
        header("user-agent", "a"),
        header("idempotency-key", "a"),
        Ask {
            scope: Scope::Global,
            ..ask(&json!("lark"))
        },
        Ask {
            credential: Some("Bearer a"),
            ..ask(&json!("lark"))
        },
        Ask {
            credential: Some("Bearer b"),
            ..ask(&json!("lark"))
        },
    ];
    for (ask, got) in asks.iter().zip(all(&house, &asks).await) {
        assert_eq!(sorted(&got.body), own(ask));
    }
    assert_eq!(house.calls().len(), asks.len());
    // What tells of a call alone keeps none from going with others.
    let traced = ["a", "b"].map(|value| header("traceparent", value));
    let sdk = ["1", "2"].map(|value| header("x-stainless-retry-count", value));
    all(&house, &[traced, sdk].concat()).await;
    assert_eq!(house.calls().len(), asks.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn full_calls_go_at_once_and_never_hold_more_than_they_may() {
    let house = House::new(
        "cache.enabled = false\nbatch.max_inputs = 4\nbatch.window = \"1s\"",
        embed,
    );
    let asks = [
        json!(["a", "b"]),
        json!("c"),
        json!(["d", "e"]),
        json!(["f", "g"]),
        json!(["h", "i", "j", "k", "l"]),
    ];
    let begun = Instant::now();
    let got = all(&house, &asks.clone().map(|input| ask(&input))).await;
    assert_eq!(begun.elapsed(), CALL);
    let inputs: Vec<_> = house
        .calls()
        .iter()
        .map(|call| call["input"].clone())
        .collect();
    assert!(
        inputs.contains(&json!(["a", "b", "c"])) && inputs.contains(&json!(["d", "e", "f", "g"])),
        "{inputs:?}"
    );
    assert!(inputs.contains(&asks[4]) && inputs.len() == 3, "{inputs:?}");
    for (input, got) in asks.iter().zip(got) {
        assert_eq!(sorted(&got.body), own(&ask(input)));
    }
    let long = "lark ".repeat(MAX_BYTES / 12);
    let asks: Vec<_> = (0..4).map(|n| ask(&json!(format!("{long}{n}")))).collect();
    let before = house.calls().len();
    let half = tokio::time::timeout(CALL * 2, all(&house, &asks)).await;
    assert!(half.is_err(), "the last two wait for others");
    assert_eq!(house.calls().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn one_bad_input_fails_nobody_else() {
    let house = House::new(NO_CACHE, |body: &Value| {
        if body["input"].to_string().contains("bad") {
            return status(400, "{\"error\":{\"message\":\"input is bad\"}}");
        }
        embed(body)
    });
    let mut asks = words(20);
    asks[7] = ask(&json!("bad"));
    for (at, (ask, got)) in asks.iter().zip(all(&house, &asks).await).enumerate() {
        if at == 7 {
            assert_eq!(got.status, 400);
        } else {
            assert_eq!((got.status, sorted(&got.body)), (200, own(ask)));
        }
    }
    assert_eq!(house.calls().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_taken_apart_is_nobodys() {
    type Spoil = fn(&mut Value);
    let spoils: [Spoil; 6] = [
        |answer| _ = answer["data"].as_array_mut().unwrap().pop(),
        |answer| answer["data"][0]["index"] = 1.into(),
        |answer| answer["data"][0]["index"] = 99.into(),
        |answer| answer["data"][1]["embedding"] = Value::Null,
        |answer| answer["data"] = Value::Null,
        |answer| *answer = json!({"error": {"message": "?"}}),
    ];
    for spoil in spoils {
        let house = House::new(NO_CACHE, move |body: &Value| {
            let Reply::Whole(whole) = embed(body) else {
                panic!("no answer");
            };
            let mut answered: Value = serde_json::from_slice(&whole.body).unwrap();
            if body["input"].is_array() {
                spoil(&mut answered);
            }
            answer(answered.to_string())
        });
        let asks = words(5);
        let got = all(&house, &asks).await;
        for (ask, got) in asks.iter().zip(&got) {
            assert_eq!(sorted(&got.body), own(ask));
        }
        assert_eq!(house.calls().len(), 6);
        // What was paid in vain was paid all the same.
        let paid: u64 = got.iter().map(|got| got.row.cost).sum();
        assert_eq!(paid, house.stack.metrics.cost_nano_usd.get());
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_be_said_of_each_call_is_said_to_all() {
    for code in [401, 402, 403, 404, 429, 500, 503] {
        let house = House::new(NO_CACHE, move |_: &Value| status(code, "{}"));
        let got = all(&house, &words(9)).await;
        assert!(got.iter().all(|got| got.status == code), "{code}");
        assert_eq!(house.calls().len(), 1, "{code}");
    }
    let house = House::before(NO_CACHE, |_: &Value| {
        Err(ProxyError::Unreachable("gone".into()))
    });
    let asks = words(9);
    let all = join_all(asks.iter().map(|ask| house.send(ask))).await;
    assert!(
        all.iter()
            .all(|got| matches!(got, Err(ProxyError::Unreachable(_))))
    );
    assert_eq!(house.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_its_inputs_along_and_the_last_one_ends_the_call() {
    let house = House::new(NO_CACHE, embed);
    let asks = words(4);
    {
        let mut leaving = Box::pin(house.get(&asks[0]));
        assert!(futures_util::poll!(&mut leaving).is_pending());
    }
    let got = all(&house, &asks[1..3]).await;
    assert_eq!(house.calls()[0]["input"].as_array().unwrap().len(), 2);
    assert_eq!(sorted(&got[0].body), own(&asks[1]));

    let half = CALL / 2;
    let mut leaving = Box::pin(house.get(&asks[0]));
    let staying = house.get(&asks[3]);
    tokio::select! {
        _ = &mut leaving => panic!("it is not over"),
        () = sleep(half) => drop(leaving),
    }
    // Nobody else came within its window.
    sleep(CALL).await;
    assert_eq!((house.calls().len(), house.ended()), (2, 1));
    assert_eq!(sorted(&staying.await.body), own(&asks[3]));

    let two = all(&house, &asks[..2]);
    assert!(tokio::time::timeout(half, two).await.is_err());
    sleep(CALL).await;
    assert_eq!((house.calls().len(), house.ended()), (4, 2));

    // One that stays gets its answer, whoever began.
    let mut first = Box::pin(house.get(&asks[0]));
    let mut second = Box::pin(house.get(&asks[1]));
    tokio::select! {
        _ = &mut first => panic!("it is not over"),
        _ = &mut second => panic!("it is not over"),
        () = sleep(half) => drop(first),
    }
    assert_eq!(sorted(&second.await.body), own(&asks[1]));
    assert_eq!((house.calls().len(), house.ended()), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn what_others_ask_for_anyway_is_asked_for_once() {
    let house = House::new(NO_CACHE, embed);
    let asks = [
        json!(["a", "b"]),
        json!("b"),
        json!(["b", "a", "b"]),
        json!(["a", "c"]),
    ]
    .map(|input| ask(&input));
    let got = all(&house, &asks).await;
    assert_eq!(house.calls()[0]["input"], json!(["a", "b", "a", "c"]));
    for (ask, got) in asks.iter().zip(&got) {
        assert_eq!(sorted(&got.body), own(ask));
    }
    let paid: Vec<_> = got
        .iter()
        .map(|got| (got.row.cost, got.row.saved.dedup))
        .collect();
    assert_eq!(paid, [(40, 0), (0, 20), (0, 60), (40, 0)]);
    let joined = |got: &Got| matches!(got.provenance, Provenance::Coalesced { across: false });
    assert_eq!(
        got.iter().map(joined).collect::<Vec<_>>(),
        [false, true, true, false]
    );
}
