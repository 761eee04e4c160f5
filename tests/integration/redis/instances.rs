//! Two real processes share hits, flights and clears; one of them is killed.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{Act, Gate, RedisServer, Upstream, ask, within};

struct Processes {
    upstream: Upstream,
    _redis: RedisServer,
    one: Process,
    other: Process,
    client: reqwest::Client,
}

struct Got {
    status: u16,
    source: String,
    json: Value,
}

impl Processes {
    async fn start() -> Self {
        let (upstream, redis) = (Upstream::start().await, RedisServer::start().await);
        let settings = format!(
            "upstream.base_url = \"http://{}/v1\"\ncache.redis_timeout = \"5s\"\n{}",
            upstream.address,
            redis.setting()
        );
        let mut one = Process::start(&settings, &[], &[]).await;
        let mut other = Process::start(&settings, &[], &[]).await;
        one.wait_for("redis: connected").await;
        other.wait_for("redis: connected").await;
        Self {
            upstream,
            _redis: redis,
            one,
            other,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Option<Got> {
        let response = request.send().await.ok()?;
        let source = response.headers().get("x-cache");
        let source = source
            .map_or("", |value| value.to_str().unwrap())
            .to_owned();
        Some(Got {
            status: response.status().as_u16(),
            source,
            json: serde_json::from_slice(&response.bytes().await.ok()?).ok()?,
        })
    }

    async fn ask(&self, process: &Process, prompt: &str) -> Option<Got> {
        let url = process.url("/v1/chat/completions");
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json");
        within(
            "an answer",
            self.send(request.body(ask(prompt).to_string())),
        )
        .await
    }

    async fn get(&self, process: &Process, path: &str) -> Value {
        let request = self.client.get(process.url(path));
        within("an answer", self.send(request)).await.unwrap().json
    }

    /// Waits until so many requests have reached a process's stack.
    async fn reached(&self, process: &Process, requests: u64) {
        within("the requests", async {
            loop {
                let stats = self.get(process, "/api/optimization-stats").await;
                if stats["performance"]["totalRequests"] == requests {
                    return;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn two_processes_share_hits_flights_and_clears() {
    let all = Processes::start().await;
    let gate = Gate::new();
    all.upstream.script({
        let gate = gate.clone();
        move |request| request.answer("Hello.").after(&gate)
    });
    let asks = (0..200).map(|n| all.ask(if n % 2 == 0 { &all.one } else { &all.other }, "q"));
    let opening = async {
        all.reached(&all.one, 100).await;
        all.reached(&all.other, 100).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(join_all(asks), opening);
    for answer in answers {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(all.upstream.calls(), 1, "one flight");

    assert_eq!(all.ask(&all.one, "r").await.unwrap().source, "MISS");
    within("the hit", async {
        while all.ask(&all.other, "r").await.unwrap().source != "HIT" {}
    })
    .await;

    let cleared = all.get(&all.one, "/api/clear-cache").await;
    assert_eq!(cleared["cleared"], json!(2));
    let calls = all.upstream.calls();
    within("the clear", async {
        while all.ask(&all.other, "r").await.unwrap().source == "HIT" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(all.upstream.calls(), calls + 1);
}

#[tokio::test]
async fn when_the_holder_is_killed_everybody_else_is_answered_by_one_more_call() {
    let all = Processes::start().await;
    let gate = Gate::new();
    all.upstream.once(Act::says("never").after(&gate));
    let answers = {
        let holder = async {
            let killed = all.ask(&all.one, "q").await;
            assert!(killed.is_none(), "its process is gone");
        };
        let waiting = async {
            all.upstream
                .wait_for("the holder's call", |counts| counts.calls == 1)
                .await;
            let asks = (0..100).map(|_| all.ask(&all.other, "q"));
            let killing = async {
                all.reached(&all.other, 100).await;
                all.one.signal("KILL").await;
            };
            tokio::join!(join_all(asks), killing).0
        };
        tokio::join!(holder, waiting).1
    };
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json["choices"][0]["message"]["content"], "Hello.");
    }
    assert_eq!(all.upstream.calls(), 2);
}
