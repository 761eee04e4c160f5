//! The cache's bounds are the process's: large answers in great number do not make it grow (P45).

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::process::Process;
use crate::support::{Act, Upstream, ask, within};

const ANSWERS: usize = 4_500;
const SIZE: usize = 64 << 10;
const MIB: u64 = 1 << 20;

#[tokio::test]
async fn answers_beyond_the_bounds_do_not_make_the_process_grow() {
    let upstream = Upstream::start().await;
    upstream.set(Act::says(&"answer ".repeat(SIZE / 7)));
    let settings = format!(
        "upstream.base_url = \"http://{}/v1\"\ncache.max_bytes = \"64MiB\"\ncache.max_entries = 100000",
        upstream.address
    );
    let process = Process::start(&settings, &[], &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| -> Value {
        let answer = client.get(process.url(path)).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let rss = async || {
        get("/health/detailed").await["memory"]["rss"]
            .as_u64()
            .unwrap()
    };
    let before = rss().await;
    let url = process.url("/v1/chat/completions");
    let asks = stream::iter(0..ANSWERS).map(|n| {
        let request = client.post(&url).header("content-type", "application/json");
        let request = request.body(ask(&n.to_string()).to_string());
        async move { request.send().await.unwrap().bytes().await.unwrap() }
    });
    let mut answers = asks.buffer_unordered(16);
    while let Some(answer) = within("an answer", answers.next()).await {
        assert!(answer.len() > SIZE);
    }
    let grown = rss().await.saturating_sub(before) / MIB;
    let cache = get("/api/optimization-stats").await["cache"].take();
    assert_eq!(cache["stored"], ANSWERS);
    assert!(cache["bytes"].as_u64().unwrap() <= 64 * MIB);
    assert!(
        cache["entries"].as_u64().unwrap() > 900,
        "it is used: {cache}"
    );
    assert!(grown < 128, "{grown} MiB");
}
