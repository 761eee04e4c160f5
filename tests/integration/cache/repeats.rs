//! A repeat of the very bytes is answered without being read: nobody may notice but by the clock.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Method;
use serde_json::{Value, json};

use super::start;
use crate::support::{Act, Answer, Proxy, ask, completion};

/// What differs between any two answers.
const OWN: [&str; 3] = ["date", "x-request-id", "server-timing"];

async fn send(proxy: &Proxy, body: &str, headers: &[(&str, &str)]) -> Answer {
    let request = proxy.request(Method::POST, "/v1/chat/completions");
    let request = request.header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    proxy.send(request.body(body.to_owned())).await
}

/// All that an answer's head says, less what is its own.
fn told(answer: &Answer) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &answer.headers {
        if !OWN.contains(&name.as_str()) {
            let value = value.to_str().unwrap();
            // A second may have begun since.
            let value = match name.as_str() {
                "age" => "an age".to_owned(),
                "cache-status" => value.split("ttl=").next().unwrap().to_owned(),
                _ => value.to_owned(),
            };
            told.entry(name.to_string()).or_default().push(value);
        }
    }
    told
}

/// The counters that a hit moves, and some that it must not.
async fn counters(proxy: &Proxy) -> Vec<i64> {
    let stats = proxy.get("/api/optimization-stats").await.json();
    [
        "/performance/totalRequests",
        "/savings/cacheHits",
        "/savings/cacheMisses",
        "/tokens/savedByCache",
        "/cache/hits",
        "/cache/bypasses",
        "/upstream/attempts",
        "/compression/tokensSaved",
        "/compression/charactersSaved",
    ]
    .map(|at| stats.pointer(at).and_then(Value::as_i64).unwrap())
    .to_vec()
}

#[tokio::test]
async fn a_repeat_is_told_and_counted_like_any_other_hit() {
    let (upstream, proxy) = start("").await;
    let wide = "Say  what   this is:\n\n\n\n- one \n- two \n- three \n".repeat(20);
    upstream.set(Act::json(200, &completion(&"long ".repeat(1_000))));
    let body = ask(&wide).to_string();
    assert_eq!(send(&proxy, &body, &[]).await.header("x-cache"), "MISS");

    let mut seen = Vec::new();
    // The first is spelled differently and has to be read; the others are repeats, and the last ones take the way on
    // which answers are compressed.
    let spelled = format!(" {body}");
    for (body, headers) in [
        (&spelled, &[][..]),
        (&body, &[]),
        (&body, &[("accept-encoding", "identity")]),
        (&body, &[("accept-encoding", "gzip;q=0")]),
    ] {
        let before = counters(&proxy).await;
        let answer = send(&proxy, body, headers).await;
        let after = counters(&proxy).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "HIT"));
        let moved: Vec<i64> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
        for part in [
            "compress;dur=",
            "cache;dur=",
            "upstream;dur=0.000",
            "total;dur=",
        ] {
            assert!(answer.header("server-timing").contains(part));
        }
        seen.push((told(&answer), answer.body.clone(), moved));
    }
    for other in &seen[1..] {
        assert_eq!(*other, seen[0]);
    }
    assert_eq!(seen[0].2[..2], [1, 1], "one request, one hit");
    assert!(seen[0].2[7] > 0, "compression saved once more");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_small_answer_varies_by_nothing_on_either_way() {
    let (_upstream, proxy) = start("").await;
    let body = ask("small").to_string();
    for headers in [&[][..], &[("accept-encoding", "identity")], &[]] {
        assert_eq!(send(&proxy, &body, headers).await.header("vary"), "");
    }
}

#[tokio::test]
async fn what_other_endpoints_asked_is_no_repeat_where_nothing_is_kept() {
    let settings = "[cache]\nroutes = [\"/v1/chat/completions=0s\"]";
    let (upstream, proxy) = start(settings).await;
    // With max_tokens of its own, /create puts nothing in: its bytes are all there is.
    let form = json!({"prompt": "Why?", "max_tokens": 5});
    for source in ["miss", "hit"] {
        let answer = proxy.post("/create", &form, &[]).await.json();
        assert_eq!(answer["optimizationStats"]["cacheStatus"], source);
    }
    let sent = String::from_utf8(upstream.last().body.to_vec()).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&proxy, &sent, &[]).await.header("x-cache"), "BYPASS");
    }
}

#[tokio::test]
async fn whoever_wishes_something_of_the_cache_gets_it() {
    let (upstream, proxy) = start("").await;
    let body = ask("q").to_string();
    send(&proxy, &body, &[]).await;
    for (wish, source) in [
        ("no-cache", "BYPASS"),
        ("no-store", "BYPASS"),
        ("max-age=0, min-fresh=99999", "MISS"),
        ("only-if-cached", "HIT"),
        ("max-stale", "HIT"),
    ] {
        let answer = send(&proxy, &body, &[("cache-control", wish)]).await;
        assert_eq!(answer.header("x-cache"), source, "{wish}");
    }
    for (name, value) in [
        ("authorization", "Bearer other"),
        ("openai-organization", "other"),
        ("x-pegasus-compression", "off"),
    ] {
        let calls = upstream.calls();
        let first = send(&proxy, &body, &[(name, value)]).await;
        let again = send(&proxy, &body, &[(name, value)]).await;
        assert_eq!(again.header("x-cache"), "HIT", "{name}");
        // Another level may ask the same of the upstream; another caller never shares.
        let is_shared = name == "x-pegasus-compression";
        assert_eq!(first.header("x-cache") == "HIT", is_shared, "{name}");
        assert_eq!(upstream.calls() - calls, usize::from(!is_shared), "{name}");
    }
    let bad = send(&proxy, &body, &[("x-pegasus-compression", "most")]).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn a_repeat_ends_with_its_life_and_with_a_clear() {
    let (upstream, proxy) = start("").await;
    let body = ask("q").to_string();
    for _ in 0..2 {
        send(&proxy, &body, &[]).await;
    }
    assert_eq!(upstream.calls(), 1);
    let cleared = proxy
        .post("/api/clear-cache", &Value::Null, &[])
        .await
        .json();
    assert_eq!(cleared["cleared"], 1);
    assert_eq!(send(&proxy, &body, &[]).await.header("x-cache"), "MISS");
    assert_eq!(send(&proxy, &body, &[]).await.header("x-cache"), "HIT");
    // A clear of a part leaves what bytes stand for, and takes the answer.
    let cleared = proxy
        .post("/api/clear-cache?scope=me", &Value::Null, &[])
        .await
        .json();
    assert_eq!(cleared["cleared"], 1);
    assert_eq!(send(&proxy, &body, &[]).await.header("x-cache"), "MISS");
}

fn unzip(answer: &Answer) -> Vec<u8> {
    let mut body = Vec::new();
    assert_eq!(answer.header("content-encoding"), "gzip");
    GzDecoder::new(&answer.body[..])
        .read_to_end(&mut body)
        .unwrap();
    body
}

/// What says how a body is framed, which matters to nobody but the two ends of a connection.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

#[tokio::test]
async fn a_repeat_in_gzip_is_any_other_hit_in_gzip() {
    let cors = "[server]\ncors_origins = [\"https://a.example\"]";
    for settings in ["", cors] {
        let (upstream, proxy) = start(settings).await;
        upstream.set(Act::json(200, &completion(&"long ".repeat(1_000))));
        let body = ask("q").to_string();
        send(&proxy, &body, &[]).await;
        let plain = send(&proxy, &body, &[]).await;
        let mut seen = Vec::new();
        // Spelled differently it has to be read, and is compressed afresh; then it is a repeat.
        for body in [&format!(" {body}"), &body, &body] {
            for accepted in ["gzip, deflate", "br, GZIP;q=0.5"] {
                let before = counters(&proxy).await;
                let answer = send(&proxy, body, &[("accept-encoding", accepted)]).await;
                let after = counters(&proxy).await;
                let moved: Vec<i64> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
                assert_eq!(answer.header("x-cache"), "HIT");
                assert_eq!(unzip(&answer), plain.body);
                let mut told = told(&answer);
                told.retain(|name, _| !FRAMING.contains(&name.as_str()));
                seen.push((told, moved));
            }
        }
        assert!(seen[0].0["vary"].contains(&"accept-encoding".to_owned()));
        for other in &seen[1..] {
            assert_eq!(*other, seen[0]);
        }
        // And whoever takes none still gets it as it is.
        assert_eq!(send(&proxy, &body, &[]).await.body, plain.body);
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn gzip_goes_with_its_answer() {
    let (upstream, proxy) = start("").await;
    let body = ask("q").to_string();
    let gzip = ("accept-encoding", "gzip");
    for (text, ending) in [("one ", "cleared"), ("two ", "renewed"), ("three ", "")] {
        let answer = completion(&text.repeat(1_000));
        upstream.set(Act::json(200, &answer));
        // The first one brings it: in place of what was cleared, or over what is there.
        let wish = [gzip, ("cache-control", "no-cache")];
        let all = if text == "three " {
            &wish[..]
        } else {
            &wish[..1]
        };
        send(&proxy, &body, all).await;
        for _ in 0..2 {
            let hit = send(&proxy, &body, &[gzip]).await;
            assert_eq!(hit.header("x-cache"), "HIT");
            let hit: Value = serde_json::from_slice(&unzip(&hit)).unwrap();
            assert_eq!(hit, answer, "{text}");
        }
        if ending == "cleared" {
            proxy.post("/api/clear-cache", &Value::Null, &[]).await;
        }
    }
}

/// So long that to compress it in one step would keep others waiting.
#[tokio::test]
async fn a_very_long_answer_is_gzipped_as_it_goes() {
    let (upstream, proxy) = start("").await;
    upstream.set(Act::json(200, &completion(&"long ".repeat(100_000))));
    let body = ask("q").to_string();
    let plain = send(&proxy, &body, &[]).await;
    for _ in 0..2 {
        let hit = send(&proxy, &body, &[("accept-encoding", "gzip")]).await;
        assert_eq!(hit.header("x-cache"), "HIT");
        assert_eq!(hit.header("content-length"), "");
        assert_eq!(unzip(&hit), plain.body);
    }
}

/// The upstream's own word on what its answer varies by is enough.
#[tokio::test]
async fn what_varies_is_said_once_on_either_way() {
    let (upstream, proxy) = start("").await;
    let long = completion(&"long ".repeat(1_000));
    let headers = [
        ("content-type", "application/json"),
        ("vary", "Origin, Accept-Encoding"),
    ];
    upstream.set(Act::response(200, &headers, long.to_string()));
    for (prompt, headers) in [
        ("one", &[][..]),
        ("two", &[("accept-encoding", "identity")]),
    ] {
        let miss = send(&proxy, &ask(prompt).to_string(), headers).await;
        assert_eq!(miss.header("x-cache"), "MISS");
        let said: Vec<_> = miss.headers.get_all("vary").iter().collect();
        assert_eq!(said, ["Origin, Accept-Encoding"], "{prompt}");
    }
}
