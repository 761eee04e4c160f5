//! Redis absent, killed, frozen, full or started again costs no request an error, and heals by itself (P97).

use super::{Pair, source};
use crate::support::{Act, Proxy, RedisServer, Upstream, ask, within};

/// The deadline as it is shipped.
const SHORT: &str = "cache.redis_timeout = \"150ms\"";

#[tokio::test]
async fn an_absent_redis_is_found_when_it_comes() {
    let upstream = Upstream::start().await;
    let mut redis = RedisServer::absent(&[]);
    let proxy = Proxy::start(&redis.setting(), &upstream).await;
    for n in 0..20 {
        assert_eq!(source(&proxy, &n.to_string()).await, "MISS");
        assert_eq!(source(&proxy, &n.to_string()).await, "HIT");
    }
    let off = proxy
        .wait_for_redis("the first failure", |redis| redis["state"] == "off")
        .await;
    assert!(off["lastError"].is_string());
    assert_eq!(off["written"], 0);
    assert_eq!(off["dropped"], 20);
    let health = proxy.get("/health/detailed").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["redis"]["state"], "off");
    assert_eq!(proxy.get("/health/ready").await.status, 200);
    redis.revive().await;
    proxy.connected().await;
    assert_eq!(source(&proxy, "new").await, "MISS");
    proxy.wrote(1).await;
    assert_eq!(proxy.get("/health").await.json()["status"], "ok");
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_empty_is_missed_by_nobody() {
    let mut pair = Pair::start("").await;
    assert_eq!(source(&pair.one, "before").await, "MISS");
    pair.one.wrote(1).await;
    pair.redis.kill().await;
    for n in 0..20 {
        assert_eq!(source(&pair.one, &n.to_string()).await, "MISS");
        assert_eq!(source(&pair.one, "before").await, "HIT");
        assert_eq!(source(&pair.other, &n.to_string()).await, "MISS");
    }
    pair.redis.revive().await;
    pair.one.connected().await;
    pair.other.connected().await;
    // What this process has, a restart of Redis takes from nobody.
    assert_eq!(source(&pair.one, "before").await, "HIT");
    assert_eq!(source(&pair.one, "after").await, "MISS");
    shares(&pair.other, "after").await;
}

/// Waits until an instance has what another one was told.
async fn shares(proxy: &Proxy, prompt: &str) {
    let only = [("cache-control", "only-if-cached")];
    within("the shared answer", async {
        while proxy.chat_with(&ask(prompt), &only).await.status != 200 {}
    })
    .await;
}

#[tokio::test]
async fn a_frozen_redis_keeps_one_request_waiting_and_then_nobody() {
    let pair = Pair::start(SHORT).await;
    pair.redis.freeze().await;
    for n in 0..50 {
        assert_eq!(source(&pair.one, &n.to_string()).await, "MISS");
    }
    let redis = pair
        .one
        .wait_for_redis("the failure", |redis| redis["state"] == "off")
        .await;
    assert_eq!(redis["failures"], 1, "one deadline, and then off");
    pair.redis.thaw().await;
    pair.one.connected().await;
    pair.other.connected().await;
    assert_eq!(source(&pair.one, "after").await, "MISS");
    shares(&pair.other, "after").await;
}

#[tokio::test]
async fn those_who_wait_for_another_instance_ask_for_themselves_when_redis_freezes() {
    let pair = Pair::start(SHORT).await;
    let gate = crate::support::Gate::new();
    pair.upstream.once(Act::says("first").after(&gate));
    let request = ask("q");
    let holder = pair.one.chat(&request);
    let waiter = async {
        pair.upstream
            .wait_for("the holder's call", |counts| counts.calls == 1)
            .await;
        let waiter = pair.other.chat(&request);
        let freeze = async {
            pair.other.wait_for_redis("the waiter", |_| true).await;
            pair.redis.freeze().await;
        };
        let (answer, ()) = tokio::join!(waiter, freeze);
        gate.open();
        answer
    };
    let (first, second) = within("both answers", async { tokio::join!(holder, waiter) }).await;
    assert_eq!((first.status, first.text().as_str()), (200, "first"));
    assert_eq!(second.status, 200);
    pair.redis.thaw().await;
}

#[tokio::test]
async fn a_full_redis_is_read_and_written_when_it_has_room_again() {
    let pair = Pair::start("").await;
    assert_eq!(source(&pair.one, "before").await, "MISS");
    pair.one.wrote(1).await;
    let _: () = pair.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for n in 0..10 {
        assert_eq!(source(&pair.one, &n.to_string()).await, "MISS");
        assert_eq!(source(&pair.one, &n.to_string()).await, "HIT");
    }
    assert_eq!(source(&pair.other, "before").await, "HIT", "reads go on");
    let redis = pair
        .one
        .wait_for_redis("the refusals", |redis| redis["dropped"] == 10)
        .await;
    assert_eq!(
        (&redis["state"], redis["failures"].as_u64()),
        (&"ok".into(), Some(0))
    );
    let cleared = pair.one.get("/api/clear-cache").await.json();
    assert_eq!(cleared["cleared"], 11);
    assert_eq!(cleared["redis"], "cleared, and all instances told");
    let _: () = pair.redis.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(source(&pair.one, "after").await, "MISS");
    pair.one.wrote(2).await;
    assert_eq!(source(&pair.other, "after").await, "HIT");
}

#[tokio::test]
async fn a_replica_that_takes_no_writes_is_left_alone_until_it_does() {
    let pair = Pair::start(SHORT).await;
    // A failover to a replica: its master is nowhere.
    let _: () = pair.redis.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for n in 0..10 {
        assert_eq!(source(&pair.one, &n.to_string()).await, "MISS");
    }
    pair.one
        .wait_for_redis("the failure", |redis| redis["state"] == "off")
        .await;
    let _: () = pair.redis.run(&["REPLICAOF", "NO", "ONE"]).await;
    pair.one.connected().await;
    assert_eq!(source(&pair.one, "after").await, "MISS");
}

#[tokio::test]
async fn what_is_no_redis_is_never_waited_for() {
    let upstream = Upstream::start().await;
    let nonsense = Upstream::start().await;
    let setting = format!("cache.redis_url = \"redis://{}\"", nonsense.address);
    let proxy = Proxy::start(&setting, &upstream).await;
    for n in 0..10 {
        assert_eq!(source(&proxy, &n.to_string()).await, "MISS");
    }
    proxy
        .wait_for_redis("the failure", |redis| redis["state"] == "off")
        .await;
}
