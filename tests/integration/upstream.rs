//! The way to the upstream and back: what goes up, what comes down, and how long and how often.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::support::{
    Act, Answer, End, Gate, Proxy, Upstream, ask, ask_stream, completion, delta, event, finish,
    text_of, within,
};

mod connections;
mod encodings;
mod errors;
mod framing;
mod headers;
mod hostile;
mod sockets;
mod tls;

async fn start(settings: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(settings, &upstream).await;
    (upstream, proxy)
}

/// Posts these very bytes as JSON.
async fn post_bytes(proxy: &Proxy, path: &str, body: &'static str) -> Answer {
    let request = proxy
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .body(body);
    proxy.send(request).await
}

#[tokio::test]
async fn unchanged_bodies_go_up_byte_for_byte() {
    let bodies = [
        "{\n  \"messages\" : [ {\"role\":\"user\",\"content\":\"h\\u00e9 \\/\\n\\ud83d\\ude00\"} ] ,\t\"model\":\"m\", \"temperature\": 1.0, \"seed\": 123456789012345678901234567890, \"z\":1e2,\"a\":0.10 }\r\n",
        "{\"stream\" :true,\"model\":\"m\",\"messages\":[{\"content\":\"x\",\"role\":\"user\"}],\"stream_options\":{\"include_usage\":false}}",
    ];
    for body in bodies {
        let (upstream, proxy) = start("").await;
        assert_eq!(
            post_bytes(&proxy, "/v1/chat/completions", body)
                .await
                .status,
            200
        );
        assert_eq!(upstream.last().body, body);
        assert_eq!(upstream.last().path, "/v1/chat/completions");
    }
    let (upstream, proxy) = start("").await;
    let body = "{ \"model\":\"e\",\n\"input\":[ \"a  b\", \"\\u00e9\" ], \"dimensions\": 1.0, \"big\":12345678901234567890123 }";
    let answer = "{ \"data\" : [ {\"embedding\":[1.0, 0.10, 1e-7]} ],\n \"object\":\"list\" }";
    upstream.set(Act::response(
        200,
        &[("content-type", "application/json")],
        answer,
    ));
    assert_eq!(
        post_bytes(&proxy, "/v1/embeddings", body).await.body,
        answer
    );
    assert_eq!(upstream.last().body, body);
}

#[tokio::test]
async fn compressed_answers_arrive_decoded() {
    let body = completion("decoded").to_string();
    for (encoding, act) in [
        ("gzip", Act::gzip(body.as_bytes())),
        ("deflate", Act::deflate(body.as_bytes())),
    ] {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!((answer.status, answer.body), (200, body.clone().into()));
        let accepted = upstream.last().header("accept-encoding").to_owned();
        assert!(accepted.contains(encoding), "{accepted}");
    }
}

#[tokio::test]
async fn what_grows_beyond_the_limit_is_refused() {
    let settings = "upstream.max_response_bytes = \"1MiB\"";
    let huge = vec![b' '; 64 << 20];
    let acts = [
        Act::gzip(&huge),
        Act::response(200, &[("content-type", "application/json")], &huge),
        Act::chunked(200, &[("content-type", "application/json")]).flood(vec![b' '; 65_536]),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let (upstream, proxy) = start(settings).await;
        upstream.set(act);
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(answer.status, 502, "act {at}");
        assert_eq!(answer.json()["error"]["code"], "upstream_answer_too_large");
        assert_eq!(upstream.calls(), 1, "act {at}");
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let (elsewhere, _) = start("").await;
    for status in [301, 302, 307, 308] {
        let (upstream, proxy) = start("").await;
        let location = format!("http://{}/v1/chat/completions", elsewhere.address);
        upstream.set(Act::response(status, &[("location", &location)], ""));
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["error"]["code"], "upstream_invalid_answer");
        assert_eq!((upstream.calls(), elsewhere.calls()), (1, 0));
    }
}

#[tokio::test]
async fn silence_ends_at_the_read_timeout() {
    let settings = "upstream.read_timeout = \"100ms\"";
    for act in [
        Act::only(End::Silence),
        Act::bytes("HTTP/1.1 200 OK\r\n").then(End::Silence),
        Act::bytes(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
        )
        .then(End::Silence),
        Act::stream().then(End::Silence),
    ] {
        let (upstream, proxy) = start(settings).await;
        upstream.set(act);
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(answer.status, 504, "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], "upstream_timeout");
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == 1)
            .await;
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn silence_amid_a_stream_ends_it_with_an_error() {
    let (upstream, proxy) = start("upstream.read_timeout = \"100ms\"").await;
    upstream.set(
        Act::stream()
            .chunk(event(&delta("Once")))
            .then(End::Silence),
    );
    let events = proxy.stream(&ask_stream("q")).await.all().await;
    assert_eq!(text_of(&events), "Once");
    assert!(
        events.last().unwrap().contains("upstream_timeout"),
        "{events:?}"
    );
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
}

#[tokio::test]
async fn a_stream_may_last_longer_than_the_total_timeout() {
    let settings = "upstream.total_timeout = \"200ms\"\nupstream.read_timeout = \"20s\"";
    let (upstream, proxy) = start(settings).await;
    let gate = Gate::new();
    let act = Act::stream()
        .chunk(event(&delta("Hel")))
        .wait(&gate)
        .chunk(event(&delta("lo.")) + &event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.once(act);
    let mut events = proxy.stream(&ask_stream("q")).await;
    let mut all = vec![events.next().await.unwrap()];
    // A call that waits for its own total timeout outlasts the stream's.
    upstream.set(Act::only(End::Silence));
    assert_eq!(proxy.chat(&ask("clock")).await.status, 504);
    gate.open();
    all.extend(events.all().await);
    assert_eq!(text_of(&all), "Hello.");
    assert_eq!(all.last().unwrap(), "[DONE]");
}

/// P24: a stream has an end, whatever trickles in.
#[tokio::test]
async fn p24_a_stream_that_lasts_too_long_is_broken_off() {
    let (upstream, proxy) =
        start("upstream.max_stream_duration = \"200ms\"\nbreaker.failure_threshold = 1").await;
    let endless = || Act::stream().flood(event(&delta("more ")));
    for round in 0..2 {
        upstream.once(endless());
        let events = proxy.stream(&ask_stream("q")).await.all().await;
        let last = events.last().unwrap();
        assert!(last.contains("upstream_stream_too_long"), "{last}");
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == 2 * round + 1)
            .await;
        // Of a body that is passed on only the break can tell.
        upstream.once(Act::chunked(200, &[("content-type", "audio/mpeg")]).flood("more"));
        let request = proxy.request(Method::GET, "/v1/files/1/content");
        let response = within("the head", request.send()).await.unwrap();
        assert!(within("the cut", response.bytes()).await.is_err());
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == 2 * round + 2)
            .await;
    }
    // That one answer took long says nothing about the upstream.
    assert_eq!(proxy.chat(&ask("q")).await.status, 200);
}

/// P15: as long as nothing has been passed on, a failure is told as one.
#[tokio::test]
async fn p15_a_forwarded_body_that_breaks_before_its_first_byte_is_a_502() {
    let (upstream, proxy) = start("breaker.enabled = false\nretry.max_attempts = 1").await;
    for kind in ["text/event-stream", "audio/mpeg"] {
        let begun = || Act::chunked(200, &[("content-type", kind)]);
        for act in [
            begun().then(End::Close),
            begun().then(End::Reset),
            begun().send("zz\r\n").then(End::Close),
        ] {
            upstream.set(act);
            let answer = proxy.get("/v1/files/1/content").await;
            assert_eq!(answer.status, 502, "{kind}: {answer:?}");
            assert!(answer.json()["error"]["code"].is_string(), "{answer:?}");
        }
        // Nothing at all is a body, too.
        upstream.set(begun().last_chunk());
        let answer = proxy.get("/v1/files/1/content").await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{kind}");
    }
}

/// P18: a connection is not used for ever, so that a new address of the host is found.
#[tokio::test]
async fn p18_connections_are_made_anew_after_their_time() {
    let (upstream, proxy) = start("upstream.max_connection_age = \"1ms\"").await;
    let mut asked = 0;
    let renewed = async {
        while upstream.counts().opened < 5 {
            asked += 1;
            assert_eq!(proxy.chat(&ask(&format!("q{asked}"))).await.status, 200);
        }
    };
    within("five connections, one after another", renewed).await;
    assert_eq!(upstream.calls(), asked);
    upstream
        .wait_for("the old ones to be closed", |counts| counts.open <= 1)
        .await;
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502() {
    // Bound, so that nobody else gets the port, but deaf.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let base_url = format!("http://{}/v1", deaf.local_addr().unwrap());
    let proxy = Proxy::before(&base_url, "").await;
    let answer = proxy.chat(&ask("q")).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["code"], "upstream_unreachable");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_upstream_call() {
    let acts = [
        (ask("q"), Act::only(End::Silence), false),
        (ask_stream("q"), Act::only(End::Silence), false),
        (ask_stream("q"), Act::stream().then(End::Silence), false),
        (
            ask_stream("q"),
            Act::stream()
                .chunk(event(&delta("Once")))
                .then(End::Silence),
            true,
        ),
    ];
    for (request, act, begun) in acts {
        let (upstream, proxy) = start("").await;
        let proxy = Arc::new(proxy);
        upstream.set(act);
        let reached = Gate::new();
        let call = tokio::spawn({
            let (proxy, reached) = (Arc::clone(&proxy), reached.clone());
            async move {
                let mut events = proxy.stream(&request).await;
                events.next().await;
                reached.open();
                events.next().await
            }
        });
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        if begun {
            within("the first token", reached.pass()).await;
        }
        assert_eq!(upstream.counts().hang_ups, 0);
        call.abort();
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == 1)
            .await;
    }
}

#[tokio::test]
async fn an_embeddings_client_that_hangs_up_ends_its_call_as_well() {
    let (upstream, proxy) = start("").await;
    let proxy = Arc::new(proxy);
    upstream.set(Act::only(End::Silence));
    let caller = Arc::clone(&proxy);
    let call = tokio::spawn(async move {
        let body = json!({"model": "e", "input": "x"});
        caller.post("/v1/embeddings", &body, &[]).await
    });
    upstream
        .wait_for("the call", |counts| counts.calls == 1)
        .await;
    call.abort();
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
}
