//! P75: what belongs to the client's own connection or to its own secrets stays here; upstream is our key alone.

use serde_json::{Value, json};

use super::Nest;
use crate::promises::SETTINGS;
use crate::support::{Act, Recorded, Upstream, Wire, completion, delta, event, finish};

const OURS: (&str, &str) = ("PEGASUS_UPSTREAM__API_KEY", "sk-of-the-proxy");
const TOKENS: &str =
    "[auth]\nclient_tokens = [\"token-of-a-client\"]\nadmin_token = \"token-of-the-admin\"\n";

/// Every kind of call: a path, and whether it streams.
const CALLS: [(&str, bool); 5] = [
    ("/v1/chat/completions", false),
    ("/v1/chat/completions", true),
    ("/create", false),
    ("/create", true),
    ("/v1/embeddings", false),
];

/// Headers of the hop, of the client's network and of its own secrets.
const STAYS: [(&str, &str); 34] = [
    ("te", "trailers, deflate"),
    ("trailer", "x-marked"),
    ("upgrade", "websocket, h2c"),
    ("keep-alive", "timeout=600, max=1000"),
    ("proxy-authorization", "Basic marked"),
    ("proxy-authenticate", "Basic realm=marked"),
    ("proxy-connection", "keep-alive"),
    ("proxy", "http://marked.example"),
    ("http2-settings", "AAMAAABkAAQAAP__"),
    ("cookie", "session=marked"),
    ("cookie2", "$Version=1"),
    ("set-cookie", "session=marked"),
    ("x-api-key", "marked"),
    ("api-key", "marked"),
    ("x-goog-api-key", "marked"),
    ("x-forwarded-for", "1.2.3.4"),
    ("x-forwarded-host", "marked.example"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-prefix", "/marked"),
    ("x-real-ip", "1.2.3.4"),
    ("x-client-ip", "1.2.3.4"),
    ("x-original-url", "/marked"),
    ("forwarded", "for=1.2.3.4;host=marked.example"),
    ("via", "1.1 marked"),
    ("max-forwards", "0"),
    ("origin", "https://marked.example"),
    ("referer", "https://marked.example/secret"),
    ("if-none-match", "\"marked\""),
    ("range", "bytes=0-1"),
    ("x-http-method-override", "DELETE"),
    ("x-request-id", "marked"),
    ("x-pegasus-anything", "marked"),
    ("x-unknown", "marked"),
];

const GOES: [(&str, &str); 8] = [
    ("user-agent", "a-client/1.0"),
    ("openai-organization", "org-1"),
    ("anthropic-version", "2023-06-01"),
    ("idempotency-key", "once"),
    ("http-referer", "https://page.example"),
    ("x-title", "A title"),
    ("x-stainless-lang", "rust"),
    (
        "traceparent",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
];

fn body(prompt: &str, stream: bool) -> Value {
    json!({"model": "m", "prompt": prompt, "input": prompt, "stream": stream,
        "messages": [{"role": "user", "content": prompt}]})
}

/// Sends a call with these header lines, by hand, and gives what came up.
async fn ask(nest: &Nest, upstream: &Upstream, what: &str, lines: &str) -> Vec<Recorded> {
    let before = upstream.calls();
    for (path, stream) in CALLS {
        let body = body(&format!("{what} on {path} {stream}"), stream).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut wire = Wire::connect(nest.address).await;
        wire.send(request).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{what} on {path}: {answer:?}");
    }
    let asked = upstream.requests().split_off(before);
    assert_eq!(asked.len(), CALLS.len(), "{what}");
    for request in &asked {
        // Framed anew and addressed to the upstream, whatever the client said of itself.
        assert_eq!(
            request.header("host"),
            upstream.address.to_string(),
            "{what}: {request:?}"
        );
        let length = request.body.len().to_string();
        assert_eq!(
            request.header("content-length"),
            length,
            "{what}: {request:?}"
        );
        assert!(
            !request.has_header("transfer-encoding"),
            "{what}: {request:?}"
        );
        assert!(!request.has_header("connection"), "{what}: {request:?}");
    }
    asked
}

fn lines(headers: &[(&str, &str)]) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[tokio::test]
async fn p75_headers_of_the_hop_and_of_the_client_stay_here() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let all = lines(&STAYS) + &lines(&GOES);
    for request in ask(&nest, &upstream, "all at once", &all).await {
        for (name, _) in STAYS {
            assert!(!request.has_header(name), "{name}: {request:?}");
        }
        for (name, value) in GOES {
            assert_eq!(request.header(name), value, "{request:?}");
        }
        assert!(
            !format!("{:?}", request.headers).contains("marked"),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn p75_what_connection_names_stays_here() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let goes = lines(&GOES);
    for (what, named) in [
        ("one name", "connection: x-title"),
        ("upper case", "Connection: X-TITLE"),
        ("a list", "connection: keep-alive, x-title, close"),
        ("no blanks", "connection: te,x-title,upgrade"),
        ("empty elements", "connection: ,, x-title ,,"),
        ("tabs", "connection: keep-alive,\tx-title\t"),
        (
            "two headers",
            "connection: keep-alive\r\nconnection: x-title",
        ),
        ("after the headers", ""),
    ] {
        let all = match named {
            "" => format!("{goes}connection: x-title\r\n"),
            named => format!("{named}\r\n{goes}"),
        };
        for request in ask(&nest, &upstream, what, &all).await {
            assert!(!request.has_header("x-title"), "{what}: {request:?}");
            assert_eq!(
                request.header("openai-organization"),
                "org-1",
                "{what}: {request:?}"
            );
        }
    }
}

#[tokio::test]
async fn p75_connection_cannot_take_away_what_the_proxy_itself_sends() {
    let upstream = Upstream::start().await;
    let base_url = format!("http://{}/v1", upstream.address);
    let nest = Nest::before(&base_url, SETTINGS, &[OURS]).await;
    let named =
        "connection: authorization, host, content-length, content-type, accept-encoding\r\n";
    for request in ask(&nest, &upstream, "named", named).await {
        assert_eq!(
            request.header("authorization"),
            "Bearer sk-of-the-proxy",
            "{request:?}"
        );
    }
}

/// All values of a header.
fn all_of<'a>(request: &'a Recorded, name: &str) -> Vec<&'a str> {
    let found = request.headers.iter().filter(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test]
async fn p75_upstream_is_our_key_and_none_of_the_clients() {
    let upstream = Upstream::start().await;
    let base_url = format!("http://{}/v1", upstream.address);
    let settings = SETTINGS;
    let nest = Nest::before(&base_url, settings, &[OURS]).await;
    for (what, shown) in [
        ("no key", ""),
        ("a key", "authorization: Bearer sk-of-a-client\r\n"),
        (
            "two keys",
            "authorization: Bearer sk-of-a-client\r\nauthorization: Bearer sk-two\r\n",
        ),
        (
            "a key in upper case",
            "AUTHORIZATION: Bearer sk-of-a-client\r\n",
        ),
        (
            "a password",
            "authorization: Basic c2stb2YtYS1jbGllbnQ=\r\n",
        ),
        (
            "other headers",
            "x-api-key: sk-of-a-client\r\napi-key: sk-of-a-client\r\nproxy-authorization: Bearer sk-of-a-client\r\n",
        ),
    ] {
        for request in ask(&nest, &upstream, what, shown).await {
            assert_eq!(
                all_of(&request, "authorization"),
                ["Bearer sk-of-the-proxy"],
                "{what}"
            );
            assert!(
                !format!("{request:?}").contains("sk-of-a-client"),
                "{what}: {request:?}"
            );
        }
    }
    // A token of the proxy never goes up, whether or not the proxy has a key.
    for key in [&[OURS][..], &[]] {
        let nest = Nest::before(&base_url, &format!("{TOKENS}{settings}"), key).await;
        let expected: &[&str] = if key.is_empty() {
            &[]
        } else {
            &["Bearer sk-of-the-proxy"]
        };
        for token in ["token-of-a-client", "token-of-the-admin"] {
            let what = format!("{token} {}", key.len());
            let shown = format!("authorization: bearer {token}\r\n");
            for request in ask(&nest, &upstream, &what, &shown).await {
                assert_eq!(all_of(&request, "authorization"), expected, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn p75_headers_of_the_upstreams_hop_stay_there() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let headers = [
        ("connection", "x-private, keep-alive"),
        ("Connection", "X-Other"),
        ("x-private", "marked"),
        ("x-other", "marked"),
        ("keep-alive", "timeout=marked"),
        ("proxy-authenticate", "Basic realm=marked"),
        ("proxy-connection", "marked"),
        ("upgrade", "marked"),
        ("trailer", "x-marked"),
        ("te", "marked"),
        ("set-cookie", "a=marked"),
        ("access-control-allow-origin", "https://marked.example"),
        ("x-ratelimit-remaining-requests", "7"),
    ];
    upstream.script(move |request| {
        let mut all = headers.to_vec();
        if request.json()["stream"] == true {
            all.push(("content-type", "text/event-stream"));
            let events = event(&delta("Hello.")) + &event(&finish("stop")) + &event("[DONE]");
            Act::response(200, &all, events)
        } else {
            all.push(("content-type", "application/json"));
            Act::response(200, &all, completion("Hello.").to_string())
        }
    });
    for round in ["first", "from the cache, if it is kept"] {
        for (path, stream) in CALLS {
            let answer = nest.post(path, &body(path, stream), &[]).await;
            assert_eq!(answer.status, 200, "{round}, {path}: {answer:?}");
            assert!(
                !format!("{:?}", answer.headers).contains("marked"),
                "{round}, {path}: {answer:?}"
            );
            let limit = answer.header("x-ratelimit-remaining-requests");
            assert!(
                limit == "7" || answer.header("x-cache") == "HIT",
                "{round}, {path}: {answer:?}"
            );
        }
    }
}
