//! Collectors that do not do their part cost spans, never a request or the end of the process.

use tokio::net::TcpSocket;

use super::collector::Manner;
use super::*;
use crate::process::Process;
use crate::support::{Client, Gate, ask, refusing};

/// The binary before an upstream, with a collector.
struct Nest {
    process: Process,
    client: Client,
    _upstream: Upstream,
}

impl Nest {
    async fn start(collector: &str) -> Self {
        let upstream = Upstream::start().await;
        let settings = format!(
            "[upstream]\nbase_url = \"http://{}/v1\"\n{collector}",
            upstream.address
        );
        let process = Process::start(&settings, &[], &[]).await;
        Self {
            client: Client::new(process.address()),
            process,
            _upstream: upstream,
        }
    }

    async fn ask(&self, prompt: &str) {
        assert_eq!(self.client.chat(&ask(prompt)).await.status, 200);
    }

    /// What `/metrics` says under a name.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = self.client.get("/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {text}"))
            .parse()
            .unwrap()
    }
}

/// A port on which nobody listens, for as long as the socket is kept.
fn nowhere() -> (TcpSocket, String) {
    let (socket, address) = refusing();
    let settings = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\n");
    (socket, settings)
}

const WARNING: &str = "traces cannot be exported";

#[tokio::test]
async fn a_collector_that_is_away_is_told_of_once() {
    let (_socket, settings) = nowhere();
    let mut nest = Nest::start(&settings).await;
    nest.ask("one").await;
    nest.process.wait_for(WARNING).await;
    nest.ask("two").await;
    assert!(nest.metric("pegasus_nest_trace_spans_waiting").await > 0);
    let stderr = nest.process.stop().await;
    assert_eq!(stderr.matches(WARNING).count(), 1, "{stderr}");
    assert!(stderr.contains("refused"), "{stderr}");
}

#[tokio::test]
async fn a_frozen_collector_delays_neither_requests_nor_the_end() {
    let collector = Collector::start().await;
    collector.set(Manner::Frozen(Gate::new()));
    // The drain has less time than a collector has for an answer.
    let settings = format!("{}[server]\nshutdown_grace = \"1s\"\n", collector.setting());
    let nest = Nest::start(&settings).await;
    nest.ask("one").await;
    collector.wait_for_posts(1).await;
    nest.ask("two").await;
    let stderr = nest.process.stop().await;
    assert!(
        stderr.contains("did not take the last spans in time"),
        "{stderr}"
    );
}

#[tokio::test]
async fn spans_wait_for_a_collector_that_is_busy() {
    let collector = Collector::start().await;
    collector.set(Manner::Refusing(503));
    let mut nest = Nest::start(&collector.setting()).await;
    nest.ask("one").await;
    nest.process.wait_for(WARNING).await;
    assert!(nest.process.stderr().contains("503"));
    collector.set(Manner::Good);
    nest.process.wait_for("traces are exported again").await;
    assert_eq!(
        nest.metric("pegasus_nest_trace_spans_dropped_total").await,
        0
    );
    let exported = nest.metric("pegasus_nest_trace_spans_exported_total").await;
    assert_eq!(exported, collector.spans().len() as u64);
    assert!(exported > 0);
    nest.process.stop().await;
}

#[tokio::test]
async fn spans_that_are_refused_are_counted() {
    let collector = Collector::start().await;
    collector.set(Manner::Refusing(401));
    let mut nest = Nest::start(&collector.setting()).await;
    nest.ask("one").await;
    nest.process.wait_for(WARNING).await;
    assert_eq!(
        nest.metric("pegasus_nest_trace_spans_exported_total").await,
        0
    );
    let refused = nest.metric("pegasus_nest_trace_spans_dropped_total").await;
    assert!(refused > 0);
    collector.set(Manner::Picky(2));
    nest.ask("two").await;
    nest.process.wait_for("traces are exported again").await;
    assert_eq!(
        nest.metric("pegasus_nest_trace_spans_dropped_total").await,
        refused + 2
    );
    nest.process.stop().await;
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let nest = Nest::start(&collector.setting()).await;
    nest.ask("one").await;
    nest.process.stop().await;
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.kind == SERVER), "{spans:?}");
}
