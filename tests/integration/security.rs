//! Who may do what, whose credential goes where, and what never leaves the house.

use http::Method;
use serde_json::json;

use crate::support::{Act, Answer, Proxy, Upstream, ask, ask_stream, delta, event, finish};

mod browsers;
mod clients;
mod headers;
mod logs;
mod loopback;

const TOKENS: &str = "[upstream]\napi_key = \"sk-own\"\n\
    [auth]\nclient_tokens = [\"client-1\", \"client-2\"]\nadmin_token = \"admin-1\"\n";

async fn with_token(proxy: &Proxy, method: Method, path: &str, token: Option<&str>) -> Answer {
    let mut request = proxy.request(method.clone(), path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if method == Method::POST {
        let body = json!({"prompt": "hi", "message": "hi", "model": "m",
            "messages": [{"role": "user", "content": "hi"}]});
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    proxy.send(request).await
}

#[tokio::test]
async fn with_client_tokens_everything_but_health_and_the_page_asks_for_one() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TOKENS, &upstream).await;
    for (method, path) in [
        (Method::POST, "/create"),
        (Method::POST, "/create/chat"),
        (Method::POST, "/create/batch"),
        (Method::POST, "/v1/chat/completions"),
        (Method::POST, "/v1/embeddings"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/api/optimization-stats"),
        (Method::GET, "/api/clear-cache"),
        (Method::GET, "/nowhere"),
    ] {
        let calls = upstream.calls();
        for bad in [
            None,
            Some(""),
            Some("client-3"),
            Some("client-"),
            Some("sk-own"),
        ] {
            let answer = with_token(&proxy, method.clone(), path, bad).await;
            assert_eq!(answer.status, 401, "{path} {bad:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
            let body = answer.json();
            let code = if path.starts_with("/v1") {
                &body["error"]["code"]
            } else {
                &body["code"]
            };
            assert_eq!(code, "unauthorized", "{path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(
                !text.contains("client-") && !text.contains("sk-own"),
                "{text}"
            );
        }
        assert_eq!(upstream.calls(), calls, "{path}");
        for good in ["client-1", "client-2", "admin-1"] {
            let answer = with_token(&proxy, method.clone(), path, Some(good)).await;
            assert_ne!(answer.status, 401, "{path} {good}");
        }
    }
    let paths = [
        "/",
        "/dashboard",
        "/health",
        "/health/live",
        "/health/ready",
        "/health/detailed",
        "/health/circuit-breakers",
    ];
    for path in paths {
        assert_eq!(
            with_token(&proxy, Method::GET, path, None).await.status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_proxy_never_goes_up_and_its_own_key_always_does() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TOKENS, &upstream).await;
    for token in ["client-1", "admin-1"] {
        for (method, path) in [
            (Method::POST, "/create"),
            (Method::POST, "/v1/chat/completions"),
            (Method::GET, "/v1/models"),
        ] {
            assert_eq!(
                with_token(&proxy, method, path, Some(token)).await.status,
                200
            );
        }
    }
    for sent in upstream.requests() {
        let credentials: Vec<_> = sent
            .headers
            .iter()
            .filter(|(name, _)| name == "authorization")
            .collect();
        assert_eq!(credentials.len(), 1);
        assert_eq!(credentials[0].1, "Bearer sk-own");
        assert!(!format!("{:?}", sent.headers).contains("client-"));
    }
}

/// P80: what an upstream says back is passed on, but for our own key.
#[tokio::test]
async fn p80_an_upstream_that_repeats_the_key_tells_it_to_nobody() {
    const KEY: &str = "sk-0123456789abcdef";
    let upstream = Upstream::start().await;
    let settings = format!(
        "[upstream]\napi_key = \"{KEY}\"\n[breaker]\nenabled = false\n[retry]\nmax_attempts = 1"
    );
    let proxy = Proxy::start(&settings, &upstream).await;
    let says = format!("what is {KEY} to me");
    let error = json!({"error": {"message": says, "code": 400}});
    let begun = || Act::stream().chunk(event(&delta("Once")));
    for (n, act) in [
        Act::json(400, &error),
        Act::json(429, &error),
        Act::json(500, &error),
        Act::json(200, &error),
        Act::says(&says),
        begun().chunk(event(&error.to_string())).last_chunk(),
        begun()
            .chunk(event(&delta(&says)))
            .chunk(event(&finish("stop")))
            .last_chunk(),
    ]
    .into_iter()
    .enumerate()
    {
        upstream.set(act);
        for (path, stream) in [
            ("/create", false),
            ("/create", true),
            ("/v1/chat/completions", false),
            ("/v1/chat/completions", true),
            ("/v1/embeddings", false),
        ] {
            let prompt = format!("{n} {stream}");
            let mut body = if stream {
                ask_stream(&prompt)
            } else {
                ask(&prompt)
            };
            body["prompt"] = prompt.into();
            let answer = proxy.post(path, &body, &[]).await;
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains(KEY), "{n} {path} {stream}: {text}");
        }
    }
    assert_eq!(
        upstream.last().header("authorization"),
        format!("Bearer {KEY}")
    );
    // Wherever it is cut, and in headers as well.
    let (one, two) = says.split_at(14);
    for kind in ["text/plain", "text/event-stream", "application/json"] {
        let headers = [
            ("content-type", kind),
            ("x-debug", says.as_str()),
            ("x-good", "1"),
        ];
        upstream.set(
            Act::chunked(200, &headers)
                .chunk(one)
                .chunk(two)
                .last_chunk(),
        );
        for answer in [
            proxy.get("/v1/files/1/content").await,
            proxy.get("/v1/responses").await,
        ] {
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(text, says.replace(KEY, &"*".repeat(KEY.len())), "{kind}");
            assert_eq!(
                (answer.header("x-debug"), answer.header("x-good")),
                ("", "1"),
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn client_tokens_without_an_own_key_leave_the_upstream_without_a_credential() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[auth]\nclient_tokens = [\"client-1\"]", &upstream).await;
    let answer = with_token(&proxy, Method::GET, "/v1/models", Some("client-1")).await;
    assert_eq!(answer.status, 200);
    assert!(!upstream.last().has_header("authorization"));
}

#[tokio::test]
async fn the_clients_credential_goes_up_only_where_the_proxy_has_none() {
    let upstream = Upstream::start().await;
    for (settings, expected) in [
        ("", "Bearer sk-mine"),
        ("[upstream]\napi_key = \"sk-own\"", "Bearer sk-own"),
        ("[auth]\nadmin_token = \"admin-1\"", "Bearer sk-mine"),
    ] {
        let proxy = Proxy::start(settings, &upstream).await;
        for (method, path) in [
            (Method::POST, "/create"),
            (Method::POST, "/v1/chat/completions"),
            (Method::GET, "/v1/models"),
        ] {
            let answer = with_token(&proxy, method, path, Some("sk-mine")).await;
            assert_eq!(answer.status, 200, "{settings} {path}");
            assert_eq!(
                upstream.last().header("authorization"),
                expected,
                "{settings} {path}"
            );
        }
    }
}

#[tokio::test]
async fn clearing_the_cache_takes_the_admin_token_where_one_is_set() {
    let upstream = Upstream::start().await;
    let methods = [Method::GET, Method::POST, Method::DELETE];
    // Without one, this machine may, and these tests run on it.
    let open = Proxy::start("", &upstream).await;
    for method in methods.clone() {
        open.chat(&ask("to be cleared")).await;
        let answer = with_token(&open, method, "/api/clear-cache", None).await;
        assert_eq!(answer.status, 200);
        let body = answer.json();
        assert_eq!(
            body["message"],
            "🧹 Optimization cache cleared successfully"
        );
        assert_eq!(body["cleared"], 1, "{body}");
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
        assert_eq!(
            open.chat(&ask("to be cleared")).await.header("x-cache"),
            "MISS"
        );
    }
    for settings in ["[auth]\nadmin_token = \"admin-1\"", TOKENS] {
        let proxy = Proxy::start(settings, &upstream).await;
        for method in methods.clone() {
            let clear = async |token| {
                let answer = with_token(&proxy, method.clone(), "/api/clear-cache", token).await;
                answer.status
            };
            assert_eq!(clear(None).await, 401, "{settings}");
            assert!(
                [401, 403].contains(&clear(Some("wrong")).await),
                "{settings}"
            );
            assert_eq!(clear(Some("admin-1")).await, 200, "{settings}");
            if settings == TOKENS {
                assert_eq!(clear(Some("client-1")).await, 403);
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_asks_for_a_token_as_well() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(TOKENS, &upstream).await;
    for (method, path) in [
        (Method::GET, "/create"),
        (Method::GET, "/v1/chat/completions"),
        (Method::DELETE, "/api/optimization-stats"),
        (Method::PUT, "/api/clear-cache"),
    ] {
        for bad in [None, Some("client-3")] {
            let answer = with_token(&proxy, method.clone(), path, bad).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{path}");
        }
        let answer = with_token(&proxy, method.clone(), path, Some("client-1")).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_ne!(answer.header("allow"), "", "{method} {path}");
    }
    for path in [
        "/health",
        "/health/live",
        "/",
        "/dashboard",
        "/assets/1/main.js",
    ] {
        let answer = with_token(&proxy, Method::POST, path, None).await;
        assert_eq!(answer.status, 405, "{path}");
    }
}
