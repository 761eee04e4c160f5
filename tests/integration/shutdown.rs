//! The end of the built binary: what is under way finishes, nothing new begins, nothing lasts for ever.

use reqwest::Client;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process::Process;
use crate::support::{Act, Gate, Proxy, Upstream, ask, ask_stream, delta, event, finish, within};

async fn start(settings: &str, upstream: &Upstream) -> Process {
    let url = format!("http://{}/v1", upstream.address);
    Process::start(settings, &["--upstream", &url], &[]).await
}

fn post(process: &Process, body: &Value) -> reqwest::RequestBuilder {
    let client = Client::builder().no_proxy().build().unwrap();
    let url = process.url("/v1/chat/completions");
    client
        .post(url)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// A connection that has had one answer and now waits.
async fn idle(process: &Process) -> TcpStream {
    let mut client = TcpStream::connect(process.address()).await.unwrap();
    client
        .write_all(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        within("the answer", client.read_buf(&mut answer))
            .await
            .unwrap();
    }
    client
}

#[tokio::test]
async fn sigterm_and_sigint_let_requests_and_streams_finish() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::start().await;
        let mut process = start("", &upstream).await;
        let gate = Gate::new();
        upstream.once(
            Act::stream()
                .chunk(event(&delta("one ")))
                .wait(&gate)
                .chunk(event(&delta("two")))
                .chunk(event(&finish("stop")))
                .chunk(event("[DONE]"))
                .last_chunk(),
        );
        upstream.once(Act::says("Just in time.").after(&gate));
        let stream = within("the stream", post(&process, &ask_stream("s")).send())
            .await
            .unwrap();
        let whole = tokio::spawn(post(&process, &ask("w")).send());
        upstream
            .wait_for("both calls", |counts| counts.calls == 2)
            .await;
        let mut unused = idle(&process).await;

        process.signal(signal).await;
        process
            .wait_for_stderr(|stderr| stderr.contains("draining"))
            .await;
        let refused = TcpStream::connect(process.address()).await;
        assert!(refused.is_err(), "{signal}: nobody new comes in");
        let mut rest = Vec::new();
        within(
            "the end of the idle connection",
            unused.read_to_end(&mut rest),
        )
        .await
        .unwrap();
        assert!(rest.is_empty());

        gate.open();
        let events = within("the rest of the stream", stream.text())
            .await
            .unwrap();
        assert!(
            events.contains("two") && events.ends_with("data: [DONE]\n\n"),
            "{events}"
        );
        let whole = within("the answer", whole).await.unwrap().unwrap();
        assert_eq!(whole.status(), 200);
        assert!(whole.text().await.unwrap().contains("Just in time."));
        let (status, stderr) = process.wait().await;
        assert_eq!(status.code(), Some(0), "{signal}: {stderr}");
        assert!(stderr.contains("stopped"), "{stderr}");
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_end() {
    let upstream = Upstream::start().await;
    // Longer than the tests wait for anything: only a prompt end passes.
    let settings = "[server]\nshutdown_grace = \"10m\"\nheader_read_timeout = \"10m\"";
    let process = start(settings, &upstream).await;
    let _used = idle(&process).await;
    let _never_used = TcpStream::connect(process.address()).await.unwrap();
    // Connections are accepted in their order: with this answer, those above are in.
    let _last = idle(&process).await;
    process.stop().await;
}

#[tokio::test]
async fn an_endless_stream_is_cut_when_the_grace_is_over() {
    let upstream = Upstream::start().await;
    let mut process = start("[server]\nshutdown_grace = \"200ms\"", &upstream).await;
    let never = Gate::new();
    upstream.set(Act::stream().chunk(event(&delta("on and on"))).wait(&never));
    let mut stream = within("the head", post(&process, &ask_stream("s")).send())
        .await
        .unwrap();
    assert!(within("an event", stream.chunk()).await.unwrap().is_some());
    process.signal("TERM").await;
    process
        .wait_for_stderr(|stderr| stderr.contains("shutdown_grace"))
        .await;
    let (status, stderr) = process.wait().await;
    assert_eq!(status.code(), Some(0), "{stderr}");
    // The body is cut, not ended: no client takes it for whole.
    let rest = within("the cut", stream.text()).await;
    assert!(rest.is_err(), "{rest:?}");
    upstream
        .wait_for("the upstream call's end", |counts| counts.open == 0)
        .await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let upstream = Upstream::start().await;
    let mut process = start("[server]\nshutdown_grace = \"10m\"", &upstream).await;
    let never = Gate::new();
    upstream.set(Act::stream().chunk(event(&delta("on and on"))).wait(&never));
    let _stream = within("the head", post(&process, &ask_stream("s")).send())
        .await
        .unwrap();
    process.signal("TERM").await;
    process
        .wait_for_stderr(|stderr| stderr.contains("draining"))
        .await;
    process.signal("INT").await;
    let (status, stderr) = process.wait().await;
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("second signal"), "{stderr}");
}

#[tokio::test]
async fn the_library_returns_when_what_is_under_way_has_ended() {
    let upstream = Upstream::start().await;
    let mut proxy = Proxy::start("", &upstream).await;
    let gate = Gate::new();
    upstream.set(Act::says("Just in time.").after(&gate));
    let question = ask("w");
    let url = format!("http://{}/v1/chat/completions", proxy.address);
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).body(question.to_string()).send();
    let answer = tokio::spawn(request);
    upstream
        .wait_for("the call", |counts| counts.calls == 1)
        .await;
    proxy.begin_stop();
    gate.open();
    proxy.stop().await;
    let answer = within("the answer", answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_library_cuts_what_outlasts_the_grace() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nshutdown_grace = \"100ms\"", &upstream).await;
    let never = Gate::new();
    upstream.set(Act::stream().chunk(event(&delta("on and on"))).wait(&never));
    let mut stream = proxy.stream(&ask_stream("s")).await;
    assert!(stream.next().await.is_some());
    proxy.stop().await;
    assert_eq!(stream.next().await, None);
}
