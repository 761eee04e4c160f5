//! P82: what a stranger writes into a path, a query or a header is never part of a page.

use crate::support::{Upstream, raw};

use super::super::Nest;

const MARKUP: &str = "<script>alert(1)</script>";

/// The head and the body of a raw answer.
fn parts(answer: &str) -> (String, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.to_ascii_lowercase(), body)
}

#[tokio::test]
async fn p82_nothing_is_reflected_into_anything_that_a_browser_renders() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E";
    let paths = [
        "/",
        "/dashboard",
        "/docs",
        "/health",
        "/nowhere/",
        "/create",
        "/v1/",
        "/api/clear-cache",
        "/api/",
    ];
    for path in paths {
        for target in [
            format!("{path}?{encoded}"),
            format!("{path}?model={encoded}&q=%22%3E{encoded}"),
            format!("{path}{encoded}"),
            format!("{path}?{MARKUP}"),
        ] {
            for method in ["GET", "POST", "DELETE", MARKUP, "BREW"] {
                let request = format!(
                    "{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-request-id: {MARKUP}\r\n\
                     referer: {MARKUP}\r\nuser-agent: {MARKUP}\r\ncookie: {MARKUP}\r\naccept: text/html\r\n\
                     x-forwarded-host: {MARKUP}\r\naccept-language: {MARKUP}\r\n\r\n"
                );
                let answer = raw(nest.address, request).await;
                let (head, body) = parts(&answer);
                let what = format!("{method} {target}: {answer}");
                // In a JSON string markup is only text, as long as nobody takes it for a page.
                let is_page = !body.is_empty() && !head.contains("content-type: application/json");
                assert!(!is_page || !body.contains("alert(1)"), "{what}");
                assert!(!is_page || !body.contains(encoded), "{what}");
                assert!(!head.contains("location:"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn p82_the_page_runs_no_inline_script_and_its_type_is_not_guessed() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for path in ["/", "/dashboard", "/docs"] {
        let answer = nest.get(path).await;
        if !answer.header("content-type").starts_with("text/html") {
            // Not there yet, and that is said as JSON.
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            continue;
        }
        let policy = answer.header("content-security-policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        let of = |name: &str| directives.iter().find_map(|all| all.strip_prefix(name));
        let scripts = of("script-src")
            .or_else(|| of("default-src"))
            .unwrap_or("*");
        for source in [
            "'unsafe-inline'",
            "'unsafe-eval'",
            "*",
            "data:",
            "http:",
            "https:",
        ] {
            assert!(
                !scripts.split(' ').any(|known| known == source),
                "{path}: {source} in {policy}"
            );
        }
        for name in ["base-uri", "frame-ancestors", "form-action"] {
            let value = of(name).map(str::trim);
            assert!(
                matches!(value, Some("'none'" | "'self'")),
                "{path}: {name} in {policy}"
            );
        }
        assert_eq!(
            answer.header("x-content-type-options"),
            "nosniff",
            "{path}: {answer:?}"
        );
        let page = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
        for inline in [
            "<script>",
            "javascript:",
            " onclick=",
            " onload=",
            " onerror=",
        ] {
            assert!(!page.contains(inline), "{path}: {inline}");
        }
        for foreign in ["src=\"http", "href=\"//", "url(http", "@import"] {
            assert!(!page.contains(foreign), "{path}: {foreign}");
        }
    }
}

#[tokio::test]
async fn p82_no_header_can_be_smuggled_into_an_answer() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for id in [
        "a%0d%0aset-cookie: x=1",
        "a\u{85}b",
        "a\tb",
        "\u{e9}",
        &"x".repeat(5_000),
        "\"quoted\"",
        "{}",
        "a b",
    ] {
        let request = format!(
            "GET /nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-request-id: {id}\r\n\r\n"
        );
        let answer = raw(nest.address, request).await;
        let (head, body) = parts(&answer);
        assert!(head.starts_with("http/1.1 404"), "{id}: {answer}");
        assert!(!head.contains("\r\nset-cookie"), "{id}: {answer}");
        assert!(
            serde_json::from_str::<serde_json::Value>(body).is_ok(),
            "{id}: {answer}"
        );
        assert!(
            answer.len() < 2_000,
            "{id}: it is not an echo of any length: {answer}"
        );
    }
}
