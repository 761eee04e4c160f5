//! P92 and P93: a stop lets finish what is under way, and nothing lasts for ever.

use std::sync::Arc;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Act, Answer, Client, Gate, Upstream, delta, event, finish, within};

/// A connection that has had one answer and now waits.
async fn idle(nest: &Nest) -> TcpStream {
    let mut client = TcpStream::connect(nest.address).await.unwrap();
    client
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(
            within("the answer", client.read_buf(&mut answer))
                .await
                .unwrap()
                > 0
        );
    }
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p92_a_stop_lets_streams_and_requests_finish_and_nothing_new_begin() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::start().await;
        // Longer than anybody waits: an idle connection that delayed the end would show.
        let settings = "[server]\nshutdown_grace = \"10m\"\nheader_read_timeout = \"10m\"\n";
        let mut nest = Nest::with(&upstream, settings).await;
        let gate = Gate::new();
        let behind = gate.clone();
        upstream.script(move |request| {
            if request.json()["stream"] == true {
                let end = event(&delta("lo.")) + &event(&finish("stop")) + &event("[DONE]");
                Act::stream()
                    .chunk(event(&delta("Hel")))
                    .wait(&behind)
                    .chunk(end)
                    .last_chunk()
            } else {
                Act::says("Hello.").after(&behind)
            }
        });
        let client = Arc::new(Client::new(nest.address));
        let mut asked: JoinSet<(&str, Answer)> = JoinSet::new();
        for streams in [false, true] {
            for (path, body) in asking(&format!("{streams}"), streams) {
                let client = Arc::clone(&client);
                asked.spawn(async move { (path, client.post(path, &body, &[]).await) });
            }
        }
        upstream
            .wait_for("all calls", |counts| counts.busy == 6)
            .await;
        let mut used = idle(&nest).await;
        let mut unused = TcpStream::connect(nest.address).await.unwrap();
        // Half a head is no request yet.
        let mut half = TcpStream::connect(nest.address).await.unwrap();
        half.write_all(b"GET / HT").await.unwrap();
        // Connections are accepted in their order: with this answer, those above are in.
        let _last = idle(&nest).await;

        nest.process().signal(signal).await;
        nest.process().wait_for("draining").await;
        assert!(
            TcpStream::connect(nest.address).await.is_err(),
            "{signal}: nobody new comes in"
        );
        for (what, idle) in [("used", &mut used), ("unused", &mut unused)] {
            let mut rest = Vec::new();
            let _ = within("the end of an idle connection", idle.read_to_end(&mut rest)).await;
            assert!(rest.is_empty(), "{signal}, {what}");
        }
        drop(half);
        assert_eq!(upstream.counts().busy, 6, "{signal}: nothing was cut");

        gate.open();
        for (path, answer) in within("what was under way", asked.join_all()).await {
            assert_eq!(said(path, &answer), "Hello.", "{signal}, {path}");
        }
        let (status, stderr) = nest.into_process().wait().await;
        assert_eq!(status.code(), Some(0), "{signal}: {stderr}");
    }
}

#[tokio::test]
async fn p92_a_stop_with_nothing_under_way_is_prompt() {
    let upstream = Upstream::start().await;
    let settings = "[server]\nshutdown_grace = \"10m\"\nheader_read_timeout = \"10m\"\n";
    let nest = Nest::with(&upstream, settings).await;
    for (path, body) in asking("Before.", false) {
        said(path, &nest.post(path, &body, &[]).await);
    }
    let (_client, _used) = (Client::new(nest.address), idle(&nest).await);
    nest.into_process().stop().await;
    // Its connections to the upstream are gone as well.
    upstream
        .wait_for("the end of all", |counts| counts.open == 0)
        .await;
}

#[tokio::test]
async fn p93_endless_streams_and_stuck_requests_are_gone_at_the_drain_limit() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, "[server]\nshutdown_grace = \"300ms\"\n").await;
    let never = Gate::new();
    let mut streams = Vec::new();
    for (what, act) in [
        (
            "stalled",
            Act::stream().chunk(event(&delta("on and on"))).wait(&never),
        ),
        ("endless", Act::stream().flood(event(&delta("on and on")))),
    ] {
        upstream.set(act);
        for (path, body) in asking(what, true) {
            let mut stream = nest.stream_from(path, &body, &[]).await;
            assert!(stream.next().await.is_some(), "{what}, {path}");
            streams.push((what, path, stream));
        }
    }
    upstream.set(Act::says("Too late.").after(&never));
    let calls = upstream.calls();
    let mut stuck = JoinSet::new();
    for (path, body) in asking("stuck", false) {
        let request = nest
            .request(Method::POST, path)
            .header("content-type", "application/json");
        stuck.spawn(request.body(body.to_string()).send());
    }
    upstream
        .wait_for("the stuck ones", |counts| counts.calls == calls + 3)
        .await;

    let process = nest.into_process();
    process.signal("TERM").await;
    // With a reader for each, so that nothing but the end of the grace ends them.
    let mut readers = JoinSet::new();
    for (what, path, stream) in streams {
        readers.spawn(async move {
            let mut last = String::new();
            let mut stream = stream;
            while let Some(data) = stream.next().await {
                last = data;
            }
            (what, path, last)
        });
    }
    let (status, stderr) = process.wait().await;
    assert_eq!(status.code(), Some(0), "{stderr}");
    for (what, path, last) in within("the cut", readers.join_all()).await {
        assert_ne!(last, "[DONE]", "{what}, {path}: it must not look finished");
        assert!(
            !last.contains("\"finish_reason\":\"stop\""),
            "{what}, {path}: {last}"
        );
    }
    for answer in within("the stuck ones", stuck.join_all()).await {
        assert!(answer.is_err() || answer.unwrap().status().is_server_error());
    }
    upstream
        .wait_for("the end of all calls", |counts| counts.open == 0)
        .await;
}
