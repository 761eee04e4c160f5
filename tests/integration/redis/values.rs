//! What stands in Redis: names, lives, and everything that is no answer.

use std::time::Duration;

use redis::AsyncCommands as _;

use super::{Pair, source};
use crate::support::{Act, ask, completion};

/// The one answer's key.
async fn entry(pair: &Pair) -> String {
    let entries = pair.redis.entries().await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

#[tokio::test]
async fn keys_have_a_life_and_hold_no_prompt() {
    let pair = Pair::start("").await;
    for prompt in ["a very secret prompt", "another"] {
        pair.one.chat(&ask(prompt)).await;
    }
    pair.one.wrote(2).await;
    pair.other.get("/api/clear-cache?older_than=5m").await;
    let keys = pair.redis.keys().await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &keys {
        let left: i64 = pair.redis.run(&["PTTL", key]).await;
        assert!(left > 0, "{key} has no end");
        assert!(!key.contains("secret"), "{key}");
    }
    for key in pair.redis.entries().await {
        let rest = key.strip_prefix("pegasus:default:").unwrap();
        let (fingerprint, generation) = rest.split_once(':').unwrap();
        assert!(fingerprint.len() == 64 && fingerprint.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(generation.parse::<u64>().is_ok());
        let left: i64 = pair.redis.run(&["PTTL", &key]).await;
        // An hour fresh and a day to stand in for failures.
        let life = Duration::from_hours(25).as_millis();
        assert!((life - 60_000..=life).contains(&u128::try_from(left).unwrap()));
    }
}

#[tokio::test]
async fn what_is_left_of_a_life_is_what_the_other_instance_has() {
    let pair = Pair::start("").await;
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let key = entry(&pair).await;
    // As if the answer had been there for half an hour.
    let left = (Duration::from_hours(25) - Duration::from_mins(30)).as_millis();
    let _: () = pair.redis.run(&["PEXPIRE", &key, &left.to_string()]).await;
    let hit = pair.other.chat(&ask("q")).await;
    let age: u64 = hit.header("age").parse().unwrap();
    assert!((1_800..1_860).contains(&age), "{age}");
    let again = pair.other.chat(&ask("q")).await;
    let ttl = again.header("cache-status");
    let ttl: u64 = ttl.rsplit_once("ttl=").unwrap().1.parse().unwrap();
    assert!((1_740..=1_800).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_value_that_is_no_answer_is_a_miss_and_is_replaced() {
    let pair = Pair::start("").await;
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let key = entry(&pair).await;
    let mut connection = pair.redis.connect().await;
    let good: Vec<u8> = connection.get(&key).await.unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut versioned = good.clone();
    versioned[4] += 1;
    let huge = vec![b'x'; 2 << 20];
    let torn = good[..good.len() - 1].to_vec();
    let values = [b"garbage".to_vec(), flipped, versioned, torn, huge];
    for (at, value) in values.into_iter().enumerate() {
        let () = connection.pset_ex(&key, value, 1_000_000).await.unwrap();
        let fresh = pair.third("").await;
        assert_eq!(source(&fresh, "q").await, "MISS", "value {at}");
        fresh.wrote(1).await;
        // Once by the look-up, once under the lease.
        assert_eq!(fresh.cache().await["redis"]["invalid"], 2);
        let now: Vec<u8> = connection.get(&key).await.unwrap();
        assert_eq!(now.len(), good.len(), "replaced");
    }
    // Without an end it is not ours.
    let () = connection.persist(&key).await.unwrap();
    assert_eq!(source(&pair.third("").await, "q").await, "MISS");
}

#[tokio::test]
async fn keys_of_other_types_do_no_harm() {
    let pair = Pair::start("").await;
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let key = entry(&pair).await;
    let mut connection = pair.redis.connect().await;
    for name in [
        key.clone(),
        format!("{key}:flight"),
        "pegasus:default:clears".to_owned(),
    ] {
        let () = connection.del(&name).await.unwrap();
        let _: () = connection.lpush(&name, "x").await.unwrap();
    }
    let fresh = pair.third("").await;
    assert_eq!(source(&fresh, "q").await, "MISS");
    assert_eq!(source(&fresh, "another").await, "MISS");
    for path in ["?model=m&dry_run=true", "?model=m", ""] {
        let cleared = fresh.get(&format!("/api/clear-cache{path}")).await.json();
        assert!(
            cleared["redis"].as_str().unwrap().starts_with('c'),
            "{cleared}"
        );
    }
    assert_eq!(source(&fresh, "another").await, "MISS");
    assert_eq!(fresh.cache().await["redis"]["state"], "ok");
}

#[tokio::test]
async fn long_answers_are_stored_compressed_and_come_back_byte_for_byte() {
    let pair = Pair::start("").await;
    let mut body = completion(&"All work and no play. ".repeat(3_000)).to_string();
    body.insert_str(1, "\n \"one\": 1.0, ");
    let headers = [("content-type", "application/json")];
    pair.upstream.set(Act::response(200, &headers, &body));
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let stored: usize = pair.redis.run(&["STRLEN", &entry(&pair).await]).await;
    assert!(stored < body.len() / 10, "{stored} bytes");
    let hit = pair.other.chat(&ask("q")).await;
    assert_eq!(
        (hit.header("x-cache"), &hit.body[..]),
        ("HIT", body.as_bytes())
    );
}

#[tokio::test]
async fn an_answer_too_large_for_redis_stays_here_alone() {
    let pair = Pair::start("").await;
    let mut random = fastrand::Rng::with_seed(1);
    let text: String = std::iter::repeat_with(|| random.alphanumeric())
        .take(2 << 20)
        .collect();
    pair.upstream.set(Act::says(&text));
    assert_eq!(source(&pair.one, "q").await, "MISS");
    assert_eq!(source(&pair.one, "q").await, "HIT");
    pair.one
        .wait_for_redis("the refusal to write", |redis| redis["dropped"] == 1)
        .await;
    assert!(pair.redis.entries().await.is_empty());
}
