//! P81: clearing the cache takes the admin token where one is set, in the Authorization header and nowhere else.

use http::Method;

use super::super::Nest;
use super::super::service::{asking, is_described};
use crate::support::{Upstream, raw};

const ADMIN: &str = "correct-horse-battery";

/// Credentials that open nothing, as header lines.
fn wrong() -> Vec<String> {
    let bearer = |token: &str| format!("authorization: Bearer {token}");
    let mut all: Vec<String> = [
        "",
        "x",
        "client-1",
        "correct-horse",
        "correct-horse-batter",
        "correct-horse-battery2",
        "Correct-Horse-Battery",
        "correct-horse-battery-",
        "correct-horse-battery,",
        "correct-horse-battery correct-horse-battery",
        "\"correct-horse-battery\"",
        "client-1, correct-horse-battery",
        "orrect-horse-battery",
        "null",
        "undefined",
        "correct-horse-battery\0",
        "correct%2Dhorse-battery",
    ]
    .map(bearer)
    .to_vec();
    // What is made of the token is no token: in base64, and its SHA-256.
    all.push(bearer("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"));
    all.push(bearer(
        "62249369389075490555a758353aec61500c6218fa597252d52dc4bd0148f12d",
    ));
    for line in [
        "authorization: correct-horse-battery",
        "authorization: Basic correct-horse-battery",
        "authorization: Basic OmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==",
        "authorization: Token correct-horse-battery",
        "authorization: Digest correct-horse-battery",
        "authorization: Bearercorrect-horse-battery",
        "proxy-authorization: Bearer correct-horse-battery",
        "x-api-key: correct-horse-battery",
        "x-admin-token: correct-horse-battery",
        "x-authorization: Bearer correct-horse-battery",
        "cookie: admin_token=correct-horse-battery; authorization=Bearer correct-horse-battery",
        "x-forwarded-for: 127.0.0.1",
        "forwarded: for=127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "x-http-method-override: GET",
        "x-original-url: /health",
        "accept: */*",
    ] {
        all.push(line.to_owned());
    }
    all
}

async fn attempt(nest: &Nest, method: &str, target: &str, header: &str) -> String {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{header}\r\n\r\n",
        nest.address
    );
    raw(nest.address, request).await
}

#[tokio::test]
async fn p81_only_the_admin_token_in_its_header_clears_the_cache() {
    for clients in ["[]", "[\"client-1\"]"] {
        let settings = format!(
            "[auth]\nadmin_token = \"{ADMIN}\"\nclient_tokens = {clients}\n[upstream]\napi_key = \"k\"\n"
        );
        let upstream = Upstream::start().await;
        let nest = Nest::with(&upstream, &settings).await;
        let client = [("authorization", "Bearer client-1")];
        for (path, body) in asking("kept", false) {
            assert_eq!(nest.post(path, &body, &client).await.status, 200, "{path}");
        }
        for method in ["GET", "POST", "DELETE"] {
            for header in wrong() {
                let answer = attempt(&nest, method, "/api/clear-cache", &header).await;
                let is_refused = ["401", "403", "400"]
                    .iter()
                    .any(|code| answer.starts_with(&format!("HTTP/1.1 {code}")));
                assert!(is_refused, "{method}, {header:?}: {answer}");
                assert!(!answer.contains(ADMIN), "{method}, {header:?}: {answer}");
            }
            for query in [
                "token",
                "admin_token",
                "access_token",
                "authorization",
                "key",
                "api_key",
                "dry_run",
            ] {
                let target = format!("/api/clear-cache?{query}={ADMIN}");
                let answer = attempt(&nest, method, &target, "accept: */*").await;
                assert!(
                    answer.starts_with("HTTP/1.1 40"),
                    "{method}, {query}: {answer}"
                );
            }
            // Even counting is for the operator.
            let answer = attempt(
                &nest,
                method,
                "/api/clear-cache?dry_run=true",
                "authorization: Bearer client-1",
            )
            .await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{method}: {answer}");
        }
        for (path, body) in asking("kept", false) {
            let answer = nest.post(path, &body, &client).await;
            assert_eq!(
                answer.header("x-cache"),
                "HIT",
                "{path}: nothing was cleared: {answer:?}"
            );
        }
        for (method, scheme) in [
            (Method::GET, "Bearer"),
            (Method::POST, "bearer"),
            (Method::DELETE, "BEARER"),
        ] {
            let request = nest.request(method.clone(), "/api/clear-cache");
            let answer = nest
                .send(request.header("authorization", format!("{scheme} {ADMIN}")))
                .await;
            assert_eq!(answer.status, 200, "{method}: {answer:?}");
            let expected = if method == Method::GET { 3 } else { 0 };
            assert_eq!(answer.json()["cleared"], expected, "{method}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn p81_who_shows_nothing_learns_how_to_ask() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, &format!("[auth]\nadmin_token = \"{ADMIN}\"\n")).await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let answer = nest
            .send(nest.request(method.clone(), "/api/clear-cache"))
            .await;
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, "Bearer"),
            "{method}: {answer:?}"
        );
        assert!(is_described("/api", &answer), "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn p81_two_credentials_are_none() {
    let upstream = Upstream::start().await;
    let settings = format!("[auth]\nadmin_token = \"{ADMIN}\"\nclient_tokens = [\"client-1\"]\n");
    let nest = Nest::with(&upstream, &settings).await;
    // The first counts, or neither; never the one that opens more.
    let two = format!("authorization: Bearer client-1\r\nauthorization: Bearer {ADMIN}");
    let answer = attempt(&nest, "DELETE", "/api/clear-cache", &two).await;
    assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
}
