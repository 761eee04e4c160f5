//! P23: a client that leaves takes its upstream call with it, whenever it leaves, and is nobody's failure.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Act, Door, End, Nest, Upstream, delta, event, json, start, within};

/// One failure would open the circuit; a second attempt would be seen.
const SETTINGS: &str =
    "[breaker]\nfailure_threshold = 1\n[retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";

/// What a client asks before it leaves.
fn calls() -> Vec<(&'static str, &'static str, String)> {
    let mut calls: Vec<_> = Door::ALL
        .into_iter()
        .map(|door| ("POST", door.path(), door.body("leave").to_string()))
        .collect();
    let opaque = json!({"model": "m", "input": "x"});
    let mut streaming = opaque.clone();
    streaming["stream"] = true.into();
    calls.extend([
        ("POST", "/v1/embeddings", opaque.to_string()),
        ("POST", "/v1/responses", streaming.to_string()),
        ("GET", "/v1/files/x/content", String::new()),
        ("GET", "/v1/models", String::new()),
    ]);
    calls
}

/// How far the upstream gets, and what the client has seen by then, if it sees so much.
fn stages() -> Vec<(&'static str, Act)> {
    let json = [("content-type", "application/json")];
    vec![
        ("before the head", Act::only(End::Silence)),
        (
            "in the head",
            Act::bytes("HTTP/1.1 200 OK\r\n").then(End::Silence),
        ),
        (
            "before the body",
            Act::chunked(200, &json).then(End::Silence),
        ),
        (
            "in the body",
            Act::chunked(200, &json).chunk("{").then(End::Silence),
        ),
        ("before the first token", Act::stream().then(End::Silence)),
        (
            "after a comment",
            Act::stream().chunk(": wait\n\n").then(End::Silence),
        ),
        (
            "mid-stream",
            Act::stream()
                .chunk(event(&delta("Once")))
                .then(End::Silence),
        ),
        (
            "in an event",
            Act::stream()
                .chunk(event(&delta("Once")) + "data: {")
                .then(End::Silence),
        ),
    ]
}

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
}

/// Sends a request and leaves it there.
async fn ask(nest: &Nest, method: &str, path: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(nest.address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: nest\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream
}

/// Reads until this has come.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    within(text, async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
    })
    .await;
}

/// Nobody has failed, and what comes next is served.
async fn assert_unharmed(upstream: &Upstream, nest: &Nest, what: &str) {
    let circuits = nest.get("/health/circuit-breakers").await.json();
    assert_eq!(circuits["status"], "ok", "{what}: {circuits}");
    for circuit in circuits["circuitBreakers"].as_array().unwrap() {
        assert_eq!(
            (&circuit["state"], &circuit["failureCount"]),
            (&json!("CLOSED"), &json!(0)),
            "{what}: {circuits}"
        );
    }
    let before = upstream.calls();
    upstream.script(|request| request.answer("Hello."));
    Door::Chat
        .ask(nest, what)
        .await
        .assert_answer("Hello.", what);
    assert_eq!(upstream.calls() - before, 1, "{what}: somebody else asked");
}

#[tokio::test]
async fn p23_a_client_that_leaves_takes_its_call_with_it() {
    let (upstream, nest) = start(SETTINGS).await;
    for (method, path, body) in calls() {
        let streams = body.contains("\"stream\":true");
        for (stage, act) in stages() {
            for leave in [Leave::Close, Leave::Reset] {
                let what = format!("{method} {path} {body}, {stage}, {leave:?}");
                upstream.set(act.clone());
                let before = upstream.counts();
                let mut client = ask(&nest, method, path, &body).await;
                let reached = upstream
                    .wait_for(&what, |now| now.calls > before.calls)
                    .await;
                if streams && matches!(stage, "mid-stream" | "in an event") {
                    read_until(&mut client, "Once").await;
                }
                assert_eq!(reached.hang_ups, before.hang_ups, "{what}");
                if matches!(leave, Leave::Reset) {
                    client.set_zero_linger().unwrap();
                }
                drop(client);
                let after = upstream
                    .wait_for(&what, |now| now.hang_ups > before.hang_ups)
                    .await;
                assert_eq!(after.calls, before.calls + 1, "{what}: no second attempt");
                assert_unharmed(&upstream, &nest, &what).await;
            }
        }
    }
    assert_eq!(upstream.counts().busy, 0);
}

#[tokio::test]
async fn p23_a_client_that_leaves_a_flood_ends_it() {
    let (upstream, nest) = start(SETTINGS).await;
    for (method, path, body) in calls() {
        if path == "/v1/embeddings"
            || path == "/v1/models"
            || !body.contains("\"stream\"") && method == "POST"
        {
            // Whole answers are gathered: these have a limit, see P17.
            continue;
        }
        let what = format!("{method} {path} {body}");
        let before = upstream.counts();
        upstream.set(Act::stream().flood(event(&delta("Once"))));
        let mut client = ask(&nest, method, path, &body).await;
        read_until(&mut client, "Once").await;
        drop(client);
        upstream
            .wait_for(&what, |now| now.hang_ups > before.hang_ups)
            .await;
        assert_unharmed(&upstream, &nest, &what).await;
    }
}

#[tokio::test]
async fn p23_only_the_last_of_those_who_share_a_call_ends_it() {
    let (upstream, nest) = start(SETTINGS).await;
    for door in [Door::ChatStream, Door::CreateStream] {
        let (path, body) = (door.path(), door.body("shared").to_string());
        upstream.set(
            Act::stream()
                .chunk(event(&delta("Once")))
                .then(End::Silence),
        );
        let before = upstream.counts();
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut client = ask(&nest, "POST", path, &body).await;
            read_until(&mut client, "Once").await;
            clients.push(client);
        }
        let mut last = clients.pop().unwrap();
        drop(clients);
        // Others are served meanwhile, so the process has had every chance to see who left.
        for number in 0..20 {
            let what = format!("{door:?} {number}");
            upstream.once(Act::says("Hello."));
            Door::Chat
                .ask(&nest, &what)
                .await
                .assert_answer("Hello.", &what);
        }
        assert_eq!(upstream.counts().hang_ups, before.hang_ups, "{door:?}");
        // A newcomer takes over before the one who is left goes.
        let mut again = ask(&nest, "POST", path, &body).await;
        read_until(&mut again, "Once").await;
        drop(std::mem::replace(&mut last, again));
        upstream.once(Act::says("Hello."));
        let what = format!("{door:?} after all");
        Door::Chat
            .ask(&nest, &what)
            .await
            .assert_answer("Hello.", &what);
        assert_eq!(upstream.counts().hang_ups, before.hang_ups, "{door:?}");
        drop(last);
        upstream
            .wait_for("the hang-up", |now| now.hang_ups == before.hang_ups + 1)
            .await;
        assert_eq!(upstream.calls() - before.calls, 22, "{door:?}");
    }
}
