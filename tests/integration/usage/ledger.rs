//! The ledger on disk: it outlasts stops and crashes of the process.

use super::*;
use crate::process::Process;
use crate::support::Client;

/// Killed without a warning, the process has lost at most what the last second brought, and counts nothing twice.
#[tokio::test]
async fn a_killed_process_loses_at_most_its_last_second() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let settings = format!("upstream.base_url = \"http://{}/v1\"\n", upstream.address);
    let environment = [("PEGASUS_LEDGER__PATH", path.to_str().unwrap())];
    let process = Process::start(&settings, &[], &environment).await;
    let client = Client::new(process.address());
    for n in 0..100 {
        client
            .chat(&asking("gpt-4o", &format!("{n}|100,10,0")))
            .await;
    }
    // Whoever reads the ledger has it written first: from here on nothing of these can be lost.
    let answer = client.get("/api/usage").await.json();
    assert_eq!(answer["total"]["requests"], 100);
    for n in 100..150 {
        client
            .chat(&asking("gpt-4o", &format!("{n}|100,10,0")))
            .await;
    }
    process.signal("KILL").await;
    process.wait().await;
    let process = Process::start(&settings, &[], &environment).await;
    let client = Client::new(process.address());
    let answer = client.get("/api/usage?group_by=source").await.json();
    let requests = answer["total"]["requests"].as_u64().unwrap();
    assert!((100..=150).contains(&requests), "{answer}");
    let tokens = answer["total"]["promptTokens"].as_u64().unwrap();
    let cost = answer["total"]["costNanoUsd"].as_u64().unwrap();
    assert_eq!(
        (tokens, cost),
        (requests * 100, requests * (100 * 2_500 + 10 * 10_000))
    );
    // And the page goes on from there.
    client.chat(&asking("gpt-4o", "last|100,10,0")).await;
    let answer = client.get("/api/usage").await.json();
    assert_eq!(answer["total"]["requests"], requests + 1);
}

/// An orderly stop loses nothing.
#[tokio::test]
async fn a_stop_writes_everything() {
    let upstream = Upstream::start().await;
    upstream.script(counted);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let more = format!("[ledger]\npath = {path:?}");
    let (first, _prices) = proxy(&upstream, &more).await;
    for n in 0..10 {
        first.chat(&asking("a", &format!("{n}|100,10,0"))).await;
    }
    first.stop().await;
    let (again, _prices) = proxy(&upstream, &more).await;
    let total = usage(&again, "").await["total"].clone();
    assert_eq!(
        (&total["requests"], &total["costNanoUsd"]),
        (&json!(10), &json!(1_200_000))
    );
}
