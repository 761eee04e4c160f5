//! Headers on the way back: ids, timing, and gzip for those who take it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::Method;
use serde_json::Value;

use crate::support::{Act, Answer, Proxy, Upstream, ask, ask_stream, completion};

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate, br");

fn unzip(answer: &Answer) -> Value {
    let mut text = String::new();
    GzDecoder::new(&answer.body[..])
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn answers_over_1_kib_are_gzipped_for_those_who_take_it() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let long = completion(&"long ".repeat(1_000));
    upstream.set(Act::json(200, &long));
    for round in ["MISS", "HIT"] {
        let answer = proxy.chat_with(&ask("long"), &[GZIP]).await;
        assert_eq!(answer.header("x-cache"), round);
        assert_eq!(answer.header("content-encoding"), "gzip");
        assert!(answer.header("vary").contains("accept-encoding"));
        assert!(answer.body.len() < 1_024);
        assert_eq!(unzip(&answer), long);
    }
    let refusing = ("accept-encoding", "gzip;q=0, br");
    for headers in [&[][..], &[refusing], &[("accept-encoding", "identity")]] {
        let answer = proxy.chat_with(&ask("long"), headers).await;
        assert_eq!(answer.header("content-encoding"), "", "{headers:?}");
        assert_eq!(answer.json(), long);
    }
    let answer = proxy
        .post("/create", &serde_json::json!({"prompt": "x"}), &[GZIP])
        .await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert_eq!(unzip(&answer)["response"], "long ".repeat(1_000));
}

/// What GET would say, HEAD says without a body (RFC 9110 section 9.3.2).
#[tokio::test]
async fn head_is_told_of_gzip_as_get_is() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let lines = "line\n".repeat(1_000);
    let json = Value::from(lines.as_str()).to_string();
    // A file passes as it comes, whoever asks for it.
    for (path, content_type, body, may_be_gzip) in [
        ("/", "", "", true),
        ("/v1/models", "application/json", json.as_str(), true),
        ("/v1/files/1/content", "text/plain", lines.as_str(), false),
    ] {
        upstream.set(Act::response(200, &[("content-type", content_type)], body));
        for accepted in ["gzip, deflate", "identity"] {
            let ask = async |method| {
                let request = proxy.request(method, path);
                proxy.send(request.header(GZIP.0, accepted)).await
            };
            let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            assert_eq!((get.status, head.status), (200, 200), "{path}");
            assert!(!get.body.is_empty() && head.body.is_empty(), "{path}");
            for name in ["content-encoding", "vary", "content-type"] {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
            let is_gzip = may_be_gzip && accepted != "identity";
            let coding = if is_gzip { "gzip" } else { "" };
            assert_eq!(head.header("content-encoding"), coding, "{path}");
            let varies = if may_be_gzip { "accept-encoding" } else { "" };
            assert_eq!(head.header("vary"), varies, "{path}");
            // The length of a compressed body is not known beforehand, and that of the other would be wrong.
            let has_length = head.headers.contains_key("content-length");
            assert_eq!(has_length, !is_gzip, "{path}: {head:?}");
        }
    }
}

#[tokio::test]
async fn small_answers_and_streams_are_never_gzipped() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let small = proxy.chat_with(&ask("small"), &[GZIP]).await;
    assert_eq!(small.header("content-encoding"), "");
    assert_eq!(small.text(), "Hello.");

    let text = "stream ".repeat(1_000);
    upstream.set(Act::streams(&[&text]));
    for path in ["/v1/chat/completions", "/create"] {
        let mut body = ask_stream("long");
        body["prompt"] = "long".into();
        // The second time it comes out of the cache, all at once, and is a stream nevertheless.
        for round in ["MISS", "HIT"] {
            let events = proxy.stream_from(path, &body, &[GZIP]).await;
            assert_eq!(events.header("x-cache"), round, "{path}");
            assert_eq!(events.header("content-encoding"), "", "{path}");
            assert_eq!(events.header("content-type"), "text/event-stream", "{path}");
            let all = events.all().await;
            assert_eq!(all.last().map(String::as_str), Some("[DONE]"), "{path}");
        }
    }
    let bytes = vec![7; 5_000];
    upstream.set(Act::response(
        200,
        &[("content-type", "application/octet-stream")],
        &bytes,
    ));
    let request = proxy
        .request(Method::GET, "/v1/files/1/content")
        .header(GZIP.0, GZIP.1);
    let answer = proxy.send(request).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.body, bytes);
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in ["/health", "/nowhere", "/v1/models", "/"] {
        let own = ("x-request-id", "my-own.id:7");
        let request = proxy.request(Method::GET, path).header(own.0, own.1);
        assert_eq!(
            proxy.send(request).await.header("x-request-id"),
            own.1,
            "{path}"
        );
        let (one, two) = (proxy.get(path).await, proxy.get(path).await);
        let ids = [one.header("x-request-id"), two.header("x-request-id")];
        assert!(ids[0].len() >= 16 && ids[0] != ids[1], "{path}: {ids:?}");
    }
    let long = "x".repeat(129);
    for unfit in ["", "two words", long.as_str()] {
        let request = proxy
            .request(Method::GET, "/health")
            .header("x-request-id", unfit);
        let answer = proxy.send(request).await;
        let id = answer.header("x-request-id");
        assert!(id != unfit && id.len() >= 16, "{unfit}: {id}");
    }
    // An id goes neither up nor gets mixed up with the upstream's own.
    upstream.set(Act::response(
        200,
        &[
            ("content-type", "application/json"),
            ("x-request-id", "req_upstream"),
        ],
        completion("hi").to_string(),
    ));
    let answer = proxy
        .chat_with(&ask("ids"), &[("x-request-id", "mine")])
        .await;
    assert_eq!(answer.header("x-request-id"), "mine");
    assert_eq!(answer.header("x-upstream-request-id"), "req_upstream");
    assert!(!upstream.last().has_header("x-request-id"));
}

#[tokio::test]
async fn answers_tell_what_they_took() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let whole = proxy.chat(&ask("whole")).await;
    let hit = proxy.chat(&ask("whole")).await;
    let models = proxy.get("/v1/models").await;
    let stream = proxy.stream(&ask_stream("stream")).await;
    let answers = [
        &whole.headers,
        &hit.headers,
        &models.headers,
        &stream.headers,
    ];
    for headers in answers {
        let timing = headers["server-timing"].to_str().unwrap();
        let metrics: Vec<_> = timing
            .split(", ")
            .map(|metric| metric.split_once(";dur=").unwrap())
            .map(|(name, ms)| (name, ms.parse::<f64>().unwrap()))
            .collect();
        let names: Vec<_> = metrics.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["compress", "cache", "upstream", "total"],
            "{timing}"
        );
        assert!(
            metrics.iter().all(|(_, ms)| (0.0..30_000.0).contains(ms)),
            "{timing}"
        );
        assert!(
            headers.contains_key("x-pegasus-tokens-saved"),
            "{headers:?}"
        );
    }
    assert!(
        hit.header("server-timing").contains("upstream;dur=0.000"),
        "{hit:?}"
    );
}

#[tokio::test]
async fn without_a_cache_the_upstreams_time_is_told_all_the_same() {
    let upstream = Upstream::start().await;
    for settings in ["cache.enabled = false", ""] {
        let proxy = Proxy::start(settings, &upstream).await;
        let control = [("cache-control", "no-store")];
        let answers = [
            proxy.chat_with(&ask("q"), &control).await,
            proxy.chat_with(&ask_stream("q"), &control).await,
            proxy.get("/v1/models").await,
        ];
        for answer in answers {
            assert_eq!((answer.status, answer.header("x-cache")), (200, "BYPASS"));
            let timing = answer.header("server-timing");
            let ms = timing.split_once("upstream;dur=").unwrap().1;
            let ms: f64 = ms.split(',').next().unwrap().parse().unwrap();
            assert!(ms > 0.0, "{settings}: {timing}");
        }
    }
}
