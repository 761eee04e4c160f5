//! P43: who may get a stored answer, and what of it is never given again.

use http::{HeaderValue, Method};

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Act, Upstream, completion};

#[tokio::test]
async fn p43_another_authorization_never_gets_a_stored_answer() {
    let credentials = [
        "Bearer alice",
        "Bearer bob",
        "Bearer Alice",
        "bearer",
        "Basic YWxpY2U6",
        "Bearer alice2",
        "Bearer alic",
    ];
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    upstream.script(|request| request.answer(&format!("for {}", request.header("authorization"))));
    for streams in [false, true] {
        for (path, body) in asking(&format!("mine {streams}"), streams) {
            for source in ["MISS", "HIT"] {
                for credential in credentials {
                    let answer = nest
                        .post(path, &body, &[("authorization", credential)])
                        .await;
                    let what = format!("{path}, {credential}: {answer:?}");
                    assert_eq!(answer.header("x-cache"), source, "{what}");
                    assert_eq!(said(path, &answer), format!("for {credential}"), "{what}");
                }
                let answer = nest.post(path, &body, &[]).await;
                assert_eq!(
                    answer.header("x-cache"),
                    source,
                    "{path}, nobody: {answer:?}"
                );
                assert_eq!(said(path, &answer), "for ", "{path}, nobody");
            }
        }
    }
    assert_eq!(upstream.calls(), 6 * (credentials.len() + 1));
}

#[tokio::test]
async fn p43_no_store_is_respected() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for streams in [false, true] {
        for (path, body) in asking(&format!("secret {streams}"), streams) {
            let before = upstream.calls();
            for spelling in [
                "no-store",
                "No-Store",
                "max-age=0, no-store",
                "\u{e9}=1, no-store",
            ] {
                let spelling = HeaderValue::from_bytes(spelling.as_bytes()).unwrap();
                let request = nest
                    .request(Method::POST, path)
                    .header("content-type", "application/json")
                    .header("cache-control", &spelling)
                    .body(body.to_string());
                let answer = nest.send(request).await;
                assert_eq!(
                    answer.header("x-cache"),
                    "BYPASS",
                    "{path}, {spelling:?}: {answer:?}"
                );
                said(path, &answer);
            }
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(
                answer.header("x-cache"),
                "MISS",
                "{path}: nothing was kept: {answer:?}"
            );
            let again = nest
                .post(path, &body, &[("cache-control", "no-store")])
                .await;
            assert_eq!(
                again.header("x-cache"),
                "BYPASS",
                "{path}: nor is it given: {again:?}"
            );
            assert_eq!(upstream.calls() - before, 6, "{path}");
        }
    }
}

#[tokio::test]
async fn p43_cookies_and_headers_that_connection_names_are_never_replayed() {
    let body = completion("Hello.").to_string();
    let headers = [
        ("content-type", "application/json"),
        ("set-cookie", "session=COOKIEMARK; Path=/"),
        ("connection", "keep-alive, \u{e9}, x-hop,X-Other"),
        ("x-hop", "HOPMARK"),
        ("x-other", "HOPMARK"),
        ("keep-alive", "timeout=HOPMARK"),
        ("proxy-authenticate", "Basic realm=HOPMARK"),
        ("x-fine", "fine"),
    ];
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    upstream.set(Act::response(200, &headers, &body));
    for source in ["MISS", "HIT"] {
        for streams in [false, true] {
            for (path, body) in asking("Headers.", streams) {
                let answer = nest.post(path, &body, &[]).await;
                let shown = format!("{path}, {source}: {answer:?}");
                if !streams {
                    assert_eq!(answer.header("x-cache"), source, "{shown}");
                }
                for mark in ["COOKIEMARK", "HOPMARK"] {
                    assert!(!shown.contains(mark), "{shown}");
                }
                for name in [
                    "set-cookie",
                    "x-hop",
                    "x-other",
                    "keep-alive",
                    "proxy-authenticate",
                ] {
                    assert!(answer.header(name).is_empty(), "{shown}");
                }
            }
        }
    }
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn p43_what_the_client_before_was_told_about_itself_is_not_told_again() {
    let body = completion("Hello.").to_string();
    let headers = [
        ("content-type", "application/json"),
        ("x-ratelimit-remaining-requests", "7"),
        ("x-request-id", "upstream-1"),
        ("openai-organization", "org-1"),
    ];
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    upstream.set(Act::response(200, &headers, &body));
    for (path, body) in asking("Limits.", false) {
        let miss = nest.post(path, &body, &[]).await;
        assert_eq!(
            miss.header("x-ratelimit-remaining-requests"),
            "7",
            "{miss:?}"
        );
        assert_eq!(
            miss.header("x-upstream-request-id"),
            "upstream-1",
            "{miss:?}"
        );
        let hit = nest.post(path, &body, &[]).await;
        assert_eq!(hit.header("x-cache"), "HIT", "{path}: {hit:?}");
        for name in ["x-ratelimit-remaining-requests", "x-upstream-request-id"] {
            assert!(hit.header(name).is_empty(), "{path}: {hit:?}");
        }
        assert_ne!(
            hit.header("x-request-id"),
            miss.header("x-request-id"),
            "{path}"
        );
    }
}
