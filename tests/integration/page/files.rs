//! What the page is made of: there for everybody, kept by browsers, and closed to pages of others.

use http::Method;

use crate::support::{Answer, Proxy, Upstream};

/// The addresses of all files that the document names.
fn assets(document: &Answer) -> Vec<String> {
    let page = String::from_utf8(document.body.to_vec()).unwrap();
    let pieces = page.split("\"assets/").skip(1);
    pieces
        .map(|rest| format!("/assets/{}", rest.split('"').next().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_page_needs_no_token_and_its_files_are_kept_for_good() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(
        "[auth]\nclient_tokens = [\"client-1\"]\nadmin_token = \"boss\"",
        &upstream,
    )
    .await;
    let document = proxy.get("/").await;
    assert_eq!(document.status, 200);
    assert_eq!(document.header("cache-control"), "no-store");
    assert_eq!(proxy.get("/dashboard").await.body, document.body);
    let assets = assets(&document);
    assert!(assets.len() >= 6, "{assets:?}");
    for path in &assets {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let keep = answer.header("cache-control");
        assert_eq!(keep, "public, max-age=31536000, immutable", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        let content_type = answer.header("content-type");
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "woff2" => "font/woff2",
            "txt" => "text/plain; charset=utf-8",
            other => panic!("what is {other}?"),
        };
        assert_eq!(content_type, expected, "{path}");
        let refused = proxy.send(proxy.request(Method::POST, path)).await;
        assert_eq!(refused.status, 405, "{path}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn files_of_another_version_are_not_kept_and_there_are_no_others() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let answer = proxy.get("/assets/0123456789abcdef/main.js").await;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store")
    );
    for path in [
        "/assets/0123456789abcdef/edge.rs",
        "/assets/0123456789abcdef/..%2Fedge.rs",
        "/assets/0123456789abcdef/%FF",
        "/assets/0123456789abcdef/",
        "/assets/main.js",
    ] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.json()["code"], "not_found", "{path}");
    }
}

#[tokio::test]
async fn others_may_link_to_the_page_and_load_nothing_of_it() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let script = assets(&proxy.get("/").await).swap_remove(0);
    for (path, status) in [("/", 200), ("/dashboard", 200), (&script, 403)] {
        let request = proxy.request(Method::GET, path);
        let request = request.header("sec-fetch-site", "cross-site");
        assert_eq!(proxy.send(request).await.status, status, "{path}");
    }
}
