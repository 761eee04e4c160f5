//! What this machine alone may do, and who only looks as if it were this machine.

use http::Method;

use super::with_token;
use crate::support::{Proxy, Upstream, ask};

const CLEAR: &str = "/api/clear-cache";

#[tokio::test]
async fn who_comes_on_behalf_of_others_may_not_clear_the_cache() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    proxy.chat(&ask("kept")).await;
    let port = proxy.address.port();
    let rebound = format!("evil.example:{port}");
    let nearly = format!("localhost.evil.example:{port}");
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("host", "evil.example"),
        ("host", rebound.as_str()),
        ("host", nearly.as_str()),
        ("origin", "https://evil.example"),
        ("origin", "http://evil.example:80"),
        ("origin", "null"),
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let request = proxy.request(method.clone(), CLEAR).header(name, value);
            let answer = proxy.send(request).await;
            assert_eq!(answer.status, 403, "{method} {name}: {value}");
            let code = &answer.json()["code"];
            let expected = if name == "origin" {
                "cross_origin"
            } else {
                "forbidden"
            };
            assert_eq!(code, expected, "{name}: {value}");
        }
    }
    let kept = proxy.chat(&ask("kept")).await;
    assert_eq!(kept.header("x-cache"), "HIT");
    for host in ["localhost", "127.0.0.1:1", "[::1]:3000", "LocalHost:80"] {
        let request = proxy.request(Method::GET, CLEAR).header("host", host);
        assert_eq!(proxy.send(request).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn with_an_admin_token_it_does_not_matter_whence_the_operator_comes() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[auth]\nadmin_token = \"admin-1\"", &upstream).await;
    let request = proxy
        .request(Method::POST, CLEAR)
        .header("host", "llm.example.com")
        .header("x-forwarded-for", "203.0.113.7")
        .header("authorization", "Bearer admin-1");
    assert_eq!(proxy.send(request).await.status, 200);
    let without = with_token(&proxy, Method::POST, CLEAR, None).await;
    assert_eq!(without.status, 401);
}
