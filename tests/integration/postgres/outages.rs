//! A server that is away, dead or frozen costs no request anything, and no row.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// Far less than the writer waits for a server that says nothing any more.
async fn at_once<T>(what: &str, limit: Duration, step: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = within(what, step).await;
    let took = begun.elapsed();
    assert!(took < limit, "{what} took {took:?}");
    done
}

/// Requests, figures and the page go on while reports are refused.
async fn goes_on(client: &Client, name: &str, expected: u64) {
    let limit = Duration::from_secs(5);
    at_once("ten requests", limit, make(client, name, 10)).await;
    let metrics = at_once("the figures", limit, client.get("/metrics")).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let requests: f64 = text
        .lines()
        .filter(|line| line.starts_with("pegasus_nest_requests_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    let expected = expected as f64;
    assert!(
        (requests - expected).abs() < 0.5,
        "{requests} of {expected}"
    );
    let page = at_once("the page", limit, client.get("/")).await;
    assert_eq!(page.status, 200);
    let limit = Duration::from_secs(12);
    assert_away(&at_once("the report", limit, client.get("/api/usage")).await);
    assert_away(&at_once("the savings", limit, client.get("/api/usage/savings")).await);
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    let (upstream, mut server) = (Upstream::start().await, PostgresServer::start());
    server.kill();
    let (mut process, client) = process(&upstream, &server).await;
    goes_on(&client, "a", 10).await;
    server.revive();
    process.wait_for(WORKS).await;
    reports(&client, 10).await;
    let log = process.stop().await;
    assert_eq!(log.matches(FAILS).count(), 1, "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    assert_entered(&server, 10);
}

#[tokio::test]
async fn a_server_that_dies_midway_is_written_to_when_it_is_back() {
    let (upstream, mut server) = (Upstream::start().await, PostgresServer::start());
    let (mut process, client) = process(&upstream, &server).await;
    make(&client, "a", 10).await;
    reports(&client, 10).await;
    for (name, expected) in [("b", 20), ("c", 30)] {
        server.kill();
        goes_on(&client, name, expected).await;
        server.revive();
        process
            .wait_for_stderr(|log| log.matches(WORKS).count() == log.matches(FAILS).count())
            .await;
        reports(&client, expected).await;
    }
    let log = process.stop().await;
    assert_eq!(log.matches(FAILS).count(), 2, "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
    assert_entered(&server, 30);
}

#[tokio::test]
async fn a_frozen_server_holds_up_nobody() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    let (process, client) = process(&upstream, &server).await;
    make(&client, "a", 10).await;
    reports(&client, 10).await;
    server.freeze();
    goes_on(&client, "b", 20).await;
    goes_on(&client, "c", 30).await;
    server.thaw();
    reports(&client, 30).await;
    let log = process.stop().await;
    assert!(!log.contains(PASSWORD), "{log}");
    assert_entered(&server, 30);
}

#[tokio::test]
async fn a_frozen_server_does_not_hold_up_the_end() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    let (process, client) = process(&upstream, &server).await;
    make(&client, "a", 10).await;
    reports(&client, 10).await;
    server.freeze();
    make(&client, "b", 3).await;
    let limit = Duration::from_secs(20);
    let log = at_once("the end", limit, process.stop()).await;
    let lost = "the ledger could not be written to the end lost=3";
    assert!(log.contains(lost) && !log.contains(PASSWORD), "{log}");
}

#[tokio::test]
async fn a_frozen_server_does_not_hold_up_the_start() {
    let (upstream, server) = (Upstream::start().await, PostgresServer::start());
    server.freeze();
    let (mut process, client) = process(&upstream, &server).await;
    goes_on(&client, "a", 10).await;
    process.wait_for(FAILS).await;
    server.thaw();
    reports(&client, 10).await;
    process.stop().await;
    assert_entered(&server, 10);
}
