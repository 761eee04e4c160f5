//! Pages in browsers: those of other origins may not call, those that the settings name may.

use http::Method;
use serde_json::json;

use crate::support::{Answer, Proxy, Upstream};

async fn from_page(proxy: &Proxy, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = proxy.request(method.clone(), path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if method == Method::POST {
        let body = json!({"prompt": "hi", "model": "m",
            "messages": [{"role": "user", "content": "hi"}]});
        request = request
            .header("content-type", "application/json")
            .body(body.to_string());
    }
    proxy.send(request).await
}

#[tokio::test]
async fn pages_of_other_origins_may_not_call() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for site in ["cross-site", "same-site"] {
        for (method, path) in [
            (Method::POST, "/create"),
            (Method::POST, "/v1/chat/completions"),
            (Method::GET, "/v1/models"),
            (Method::GET, "/api/clear-cache"),
            (Method::GET, "/api/optimization-stats"),
        ] {
            for mode in ["no-cors", "cors", "navigate"] {
                let headers = [
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", mode),
                    ("origin", "https://evil.example"),
                ];
                let answer = from_page(&proxy, method.clone(), path, &headers).await;
                assert_eq!(answer.status, 403, "{site} {mode} {path}");
                let body = answer.json();
                let code = if path.starts_with("/v1") {
                    &body["error"]["code"]
                } else {
                    &body["code"]
                };
                assert_eq!(code, "cross_origin", "{path}");
            }
        }
        let link = [("sec-fetch-site", site), ("sec-fetch-mode", "navigate")];
        assert_eq!(from_page(&proxy, Method::GET, "/", &link).await.status, 200);
    }
    assert_eq!(upstream.calls(), 0);
    for site in ["same-origin", "none"] {
        let answer = from_page(&proxy, Method::POST, "/create", &[("sec-fetch-site", site)]).await;
        assert_eq!(answer.status, 200, "{site}");
    }
}

#[tokio::test]
async fn without_origins_there_are_no_cors_headers() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let origin = ("origin", "https://app.example.com");
    let preflight = [origin, ("access-control-request-method", "POST")];
    for (method, headers) in [(Method::POST, &[origin][..]), (Method::OPTIONS, &preflight)] {
        let answer = from_page(&proxy, method, "/create", headers).await;
        let cors = answer
            .headers
            .keys()
            .find(|name| name.as_str().starts_with("access-control"));
        assert!(cors.is_none(), "{cors:?}");
    }
}

#[tokio::test]
async fn pages_of_the_origins_in_the_settings_may_call() {
    let upstream = Upstream::start().await;
    let settings = "[server]\ncors_origins = [\"https://app.example.com\", \"http://localhost:5173\"]\n\
        [auth]\nclient_tokens = [\"client-1\"]";
    let proxy = Proxy::start(settings, &upstream).await;
    for origin in ["https://app.example.com", "http://localhost:5173"] {
        for path in ["/create", "/v1/chat/completions"] {
            let page = [("origin", origin), ("sec-fetch-site", "cross-site")];
            // Browsers ask for leave without the token that the call itself will show.
            let mut ask = page.to_vec();
            ask.push(("access-control-request-method", "POST"));
            ask.push((
                "access-control-request-headers",
                "authorization,content-type",
            ));
            let leave = from_page(&proxy, Method::OPTIONS, path, &ask).await;
            assert_eq!(leave.status, 200, "{leave:?}");
            assert_eq!(leave.header("access-control-allow-origin"), origin);
            assert!(
                leave
                    .header("access-control-allow-methods")
                    .contains("POST")
            );
            let allowed = leave.header("access-control-allow-headers");
            assert!(allowed.contains("authorization") && allowed.contains("content-type"));

            let mut call = page.to_vec();
            call.push(("authorization", "Bearer client-1"));
            for (headers, status) in [(&call[..], 200), (&page[..], 401)] {
                let answer = from_page(&proxy, Method::POST, path, headers).await;
                assert_eq!(answer.status, status, "{answer:?}");
                assert_eq!(answer.header("access-control-allow-origin"), origin);
                let exposed = answer.header("access-control-expose-headers");
                assert!(exposed.contains("x-cache") && exposed.contains("retry-after"));
                assert!(answer.header("vary").contains("origin"), "{answer:?}");
                assert_eq!(answer.header("access-control-allow-credentials"), "");
            }
        }
    }
    let calls = upstream.calls();
    for origin in [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "null",
    ] {
        let page = [
            ("origin", origin),
            ("sec-fetch-site", "cross-site"),
            ("authorization", "Bearer client-1"),
        ];
        let answer = from_page(&proxy, Method::POST, "/create", &page).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
    assert_eq!(upstream.calls(), calls);
}

/// A POST to `/create` as a page of a browser that tells nothing but the origin.
async fn posting(proxy: &Proxy, content_type: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"prompt": "hi"}).to_string();
    let mut request = proxy.request(Method::POST, "/create").body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    proxy.send(request).await
}

#[tokio::test]
async fn where_the_origin_alone_is_told_what_needs_no_leave_is_refused() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let json = Some("application/json");
    for origin in ["https://page.example", "http://page.example:8080", "null"] {
        let page = [("origin", origin)];
        for unasked in [
            None,
            Some("text/plain"),
            Some("text/plain; application/json"),
        ] {
            let answer = posting(&proxy, unasked, &page).await;
            assert_eq!(answer.status, 403, "{origin} {unasked:?}");
            assert_eq!(answer.json()["code"], "cross_origin");
        }
        assert_eq!(upstream.calls(), 0);
    }
    // JSON takes a preflight, which a browser would not have got; so this is no page.
    let answer = posting(&proxy, json, &[("origin", "https://page.example")]).await;
    assert_eq!(answer.status, 200);
    let mut names = answer.headers.keys();
    let cors = names.find(|name| name.as_str().starts_with("access-control"));
    assert!(cors.is_none(), "{cors:?}");
    // A foreign name that resolves to this machine is its page's own origin.
    for (name, status) in [
        ("evil.example", 403),
        ("evil.example:3000", 403),
        ("localhost:3000", 200),
        ("127.0.0.1", 200),
        ("[::1]:3000", 200),
    ] {
        let origin = format!("http://{name}");
        let own = [("origin", origin.as_str()), ("host", name)];
        for content_type in [json, None] {
            let answer = posting(&proxy, content_type, &own).await;
            assert_eq!(answer.status, status, "{name} {content_type:?}");
        }
    }
}
