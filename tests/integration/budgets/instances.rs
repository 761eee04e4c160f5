//! Budgets across instances: what one spends is missing on the other.

use http::Method;
use tempfile::NamedTempFile;

use super::{APP, WEB, settings, spend};
use crate::support::{Proxy, RedisServer, Upstream, ask, within};

/// Two instances that share a Redis, in which they have spent nothing yet.
struct Pair {
    upstream: Upstream,
    redis: RedisServer,
    settings: String,
    _prices: NamedTempFile,
    one: Proxy,
    other: Proxy,
}

impl Pair {
    async fn start(budget: &str) -> Self {
        let (upstream, redis) = (Upstream::start().await, RedisServer::start().await);
        let (settings, prices) = settings(budget);
        let settings = format!(
            "cache.redis_timeout = \"5s\"\n{}{settings}",
            redis.setting()
        );
        let one = Proxy::start(&settings, &upstream).await;
        let other = Proxy::start(&settings, &upstream).await;
        connected(&one).await;
        connected(&other).await;
        Self {
            upstream,
            redis,
            settings,
            _prices: prices,
            one,
            other,
        }
    }

    /// Waits until Redis has it that so many calls are paid for.
    async fn knows(&self, calls: u64) {
        within("what is spent in redis", async {
            loop {
                let mut spent = 0;
                for key in self.redis.run::<Vec<String>>(&["KEYS", "*:budget:*"]).await {
                    spent += self
                        .redis
                        .run::<Vec<u64>>(&["HVALS", &key])
                        .await
                        .iter()
                        .sum::<u64>();
                }
                if spent == calls * 100_000 {
                    return;
                }
            }
        })
        .await;
    }
}

/// Waits until an instance shares through Redis.
async fn connected(proxy: &Proxy) {
    within("the connection to redis", async {
        loop {
            let request = proxy
                .request(Method::GET, "/api/optimization-stats")
                .header("authorization", "Bearer app");
            if proxy.send(request).await.json()["cache"]["redis"]["state"] == "ok" {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_one_instance_spends_is_missing_on_the_other() {
    let pair = Pair::start("budget_usd_per_month = 0.0005").await;
    spend(&pair.one, "q", 2).await;
    pair.knows(2).await;
    let told = spend(&pair.other, "r", 2).await;
    assert!(
        told.header("x-pegasus-budget").contains("spent=0.0004;"),
        "{told:?}"
    );
    pair.knows(4).await;
    let told = spend(&pair.one, "s", 1).await;
    assert!(
        told.header("x-pegasus-budget").contains("spent=0.0005;"),
        "{told:?}"
    );
    pair.knows(5).await;
    for proxy in [&pair.one, &pair.other] {
        assert_eq!(proxy.chat_with(&ask("t"), &WEB).await.status, 402);
        assert_eq!(proxy.chat_with(&ask("t"), &APP).await.status, 200);
    }
    // A clear empties the cache, and no purse.
    let clear = pair.one.request(Method::DELETE, "/api/clear-cache");
    let clear = clear.header("authorization", "Bearer web");
    assert_eq!(pair.one.send(clear).await.status, 200);
    let third = Proxy::start(&pair.settings, &pair.upstream).await;
    connected(&third).await;
    assert_eq!(third.chat_with(&ask("t"), &WEB).await.status, 402);
}

#[tokio::test]
async fn without_redis_what_is_known_stands_and_is_told_when_it_is_back() {
    let mut pair = Pair::start("budget_usd_per_month = 0.0004").await;
    spend(&pair.one, "q", 2).await;
    pair.knows(2).await;
    spend(&pair.other, "r", 1).await;
    pair.knows(3).await;
    pair.redis.kill().await;
    // Of two that one has spent, and three that the other knows of, one and two more go.
    spend(&pair.other, "s", 1).await;
    assert_eq!(pair.other.chat_with(&ask("t"), &WEB).await.status, 402);
    spend(&pair.one, "u", 2).await;
    assert_eq!(pair.one.chat_with(&ask("t"), &WEB).await.status, 402);
    // It comes back without its memory, and is told all of it: 2 + 2 of one, 1 + 1 of the other.
    pair.redis.revive().await;
    connected(&pair.one).await;
    connected(&pair.other).await;
    pair.knows(6).await;
    let third = Proxy::start(&pair.settings, &pair.upstream).await;
    connected(&third).await;
    assert_eq!(third.chat_with(&ask("t"), &WEB).await.status, 402);
}
