//! P73: more connections than descriptors. Nobody crashes, nothing spins, and whoever comes afterwards is served.

use std::time::Duration;

use tokio::time::Instant;

use super::Nest;
use crate::process::{Process, command_with_descriptors};
use crate::promises::SETTINGS;
use crate::support::{Client, Upstream, Wire, ask, ask_stream, text_of};

const DESCRIPTORS: usize = 256;
const CONNECTIONS: usize = 400;

/// A proxy with few descriptors, which keeps idle connections for so long.
async fn start(upstream: &Upstream, patience: &str) -> Nest {
    let settings = format!("[server]\nheader_read_timeout = \"{patience}\"\n{SETTINGS}");
    let base_url = format!("http://{}/v1", upstream.address);
    let command = command_with_descriptors(DESCRIPTORS);
    let process = Process::launch(command, &settings, &["--upstream", &base_url], &[]).await;
    Nest {
        client: Client::new(process.address()),
        process,
    }
}

/// Opens connections that say nothing, each from an address of its own.
async fn occupy(nest: &Nest) -> Vec<Wire> {
    let mut all = Vec::new();
    for number in 0..CONNECTIONS {
        all.push(Wire::connect_as(number, nest.address).await.unwrap());
    }
    all
}

/// Asks in every way that needs a descriptor upstream.
async fn assert_serves(nest: &Nest, upstream: &Upstream, when: &str) {
    let before = upstream.calls();
    assert_eq!(nest.get("/health").await.status, 200, "{when}");
    let answer = nest.chat(&ask(when)).await;
    assert_eq!(answer.status, 200, "{when}: {answer:?}");
    let stream = nest.stream(&ask_stream(&format!("stream {when}"))).await;
    assert_eq!(text_of(&stream.all().await), "Hello.", "{when}");
    assert_eq!(nest.get("/v1/models").await.status, 200, "{when}");
    assert_eq!(upstream.calls(), before + 3, "{when}");
}

#[tokio::test]
async fn p73_more_connections_than_descriptors_do_no_harm() {
    let upstream = Upstream::start().await;
    let mut nest = start(&upstream, "3s").await;
    let (begun, cpu) = (Instant::now(), nest.process().cpu_time());
    let crowd = occupy(&nest).await;
    // The proxy's own patience is the clock: they have held on for as long when they are cut.
    for wire in crowd {
        assert_eq!(wire.end().await, "");
    }
    let elapsed = begun.elapsed();
    let taken = nest.process().cpu_time().saturating_sub(cpu);
    assert!(elapsed >= Duration::from_secs(3), "{elapsed:?}");
    // A seventh of a core, and what it takes to accept and to end them in a build without optimisation.
    let most = elapsed.mul_f64(0.15) + Duration::from_millis(300);
    assert!(taken < most, "{taken:?} of processor time in {elapsed:?}");
    assert!(nest.process().descriptors() < DESCRIPTORS);
    assert_serves(&nest, &upstream, "once they are cut").await;
    let stderr = nest.into_process().stop().await;
    assert!(!stderr.contains("panicked"), "{stderr}");
    let warnings = stderr.lines().filter(|line| line.contains("WARN")).count();
    // One that the limit is low, and one perhaps that none is left.
    assert!(warnings <= 3, "{warnings} warnings: {stderr}");
}

#[tokio::test]
async fn p73_when_the_crowd_leaves_everybody_is_served_again() {
    let upstream = Upstream::start().await;
    let mut nest = start(&upstream, "10m").await;
    assert_serves(&nest, &upstream, "before").await;
    let idle = nest.process().descriptors();
    for round in 0..3 {
        let crowd = occupy(&nest).await;
        drop(crowd);
        assert_serves(&nest, &upstream, &format!("after crowd {round}")).await;
    }
    let left = nest.process().descriptors();
    // A few sockets more may be kept alive on either side.
    assert!(left <= idle + 8, "{idle} descriptors before, {left} after");
    nest.into_process().stop().await;
}

#[tokio::test]
async fn p73_who_was_there_first_is_served_through_the_crowd() {
    let upstream = Upstream::start().await;
    let nest = start(&upstream, "10m").await;
    let mut first = Wire::connect(nest.address).await;
    let ask = "GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    first.send(ask).await.unwrap();
    assert_eq!(first.answer().await.unwrap().status, 200);
    let crowd = occupy(&nest).await;
    for _ in 0..20 {
        first.send(ask).await.unwrap();
        assert_eq!(first.answer().await.unwrap().status, 200);
    }
    drop(crowd);
    drop(nest);
}
