//! P80: no endpoint and no error says what only its owner may know.

use http::Method;
use serde_json::json;

use super::super::Nest;
use super::super::service::asking;
use crate::support::{Act, Answer, End, Upstream, delta, event};

const SETTINGS: &str = "[upstream]\napi_key = \"OWNKEYMARK\"\nread_timeout = \"200ms\"\n\
    [auth]\nclient_tokens = [\"CLIENTMARK\"]\nadmin_token = \"ADMINMARK\"\n\
    [retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n[breaker]\nfailure_threshold = 2\n";
/// What nobody is told, not even those who know it.
const TOKENS: [&str; 4] = ["OWNKEYMARK", "CLIENTMARK", "ADMINMARK", "WRONGMARK"];
/// What only the caller may read, in the answer to the question.
const TEXTS: [&str; 2] = ["PROMPTMARK", "ANSWERMARK"];

/// Whatever can be read without asking a question.
const PAGES: [&str; 14] = [
    "/",
    "/dashboard",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/detailed",
    "/health/circuit-breakers",
    "/api/optimization-stats",
    "/api/usage",
    "/nowhere",
    "/v1",
];

fn assert_silent(what: &str, answer: &Answer, secrets: &[&str]) {
    let shown = format!(
        "{:?} {}",
        answer.headers,
        String::from_utf8_lossy(&answer.body)
    );
    for secret in secrets {
        assert!(!shown.contains(secret), "{what}: {secret} in {shown}");
    }
}

/// Reads all pages, as nobody, as a client, as the operator and as a stranger with a wrong token.
async fn read_pages(nest: &Nest, when: &str) {
    for path in PAGES {
        for token in ["", "CLIENTMARK", "ADMINMARK", "WRONGMARK"] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let mut request = nest.request(method.clone(), path);
                if !token.is_empty() {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                let answer = nest.send(request).await;
                let what = format!("{when}: {method} {path} with {token:?}");
                assert_silent(&what, &answer, &TOKENS);
                assert_silent(&what, &answer, &TEXTS);
            }
        }
    }
}

#[tokio::test]
async fn p80_no_page_figure_or_health_tells_a_key_a_prompt_or_an_answer() {
    let upstream = Upstream::start().await;
    upstream.script(|request| request.answer("ANSWERMARK and more."));
    let nest = Nest::with(&upstream, SETTINGS).await;
    let client = [
        ("authorization", "Bearer CLIENTMARK"),
        ("cookie", "id=WRONGMARK"),
        ("x-api-key", "WRONGMARK"),
    ];
    read_pages(&nest, "at first").await;
    for round in ["miss", "hit"] {
        for streams in [false, true] {
            for (path, mut body) in asking("PROMPTMARK, please.", streams) {
                body["system"] = "PROMPTMARK".into();
                body["userId"] = "PROMPTMARK".into();
                let answer = nest.post(path, &body, &client).await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                assert_silent(&format!("{path}, {round}"), &answer, &TOKENS);
                // The answer is the caller's, the question nobody repeats.
                assert_silent(&format!("{path}, {round}"), &answer, &["PROMPTMARK"]);
            }
        }
    }
    read_pages(&nest, "after answers").await;
    upstream.set(Act::error(500, &[]));
    for number in 0..3 {
        for (path, body) in asking(&format!("PROMPTMARK {number}"), false) {
            let answer = nest.post(path, &body, &client).await;
            assert!(answer.status >= 500, "{path}: {answer:?}");
        }
    }
    let health = nest.get("/health/circuit-breakers").await;
    assert!(
        String::from_utf8_lossy(&health.body).contains("OPEN"),
        "{health:?}"
    );
    read_pages(&nest, "while circuits are open").await;
}

/// Failures in which an upstream repeats the key that it was shown.
fn failures() -> Vec<(&'static str, Act)> {
    let begun = || Act::stream().chunk(event(&delta("Once")));
    vec![
        ("400", Act::error(400, &[])),
        (
            "401",
            Act::json(
                401,
                &json!({"error": {"message": "Incorrect API key provided: OWNKEYMARK"}}),
            ),
        ),
        (
            "403",
            Act::json(403, &json!({"error": {"message": "OWNKEYMARK may not"}})),
        ),
        (
            "401 as text",
            Act::response(401, &[("content-type", "text/plain")], "OWNKEYMARK"),
        ),
        (
            "401 in a 200",
            Act::json(
                200,
                &json!({"error": {"message": "OWNKEYMARK", "code": 401}}),
            ),
        ),
        (
            "401 in a stream",
            begun()
                .chunk(event(
                    "{\"error\":{\"message\":\"OWNKEYMARK\",\"code\":401}}",
                ))
                .last_chunk(),
        ),
        ("429", Act::error(429, &[])),
        ("500", Act::error(500, &[])),
        (
            "a redirect",
            Act::response(302, &[("location", "http://evil.example/?OWNKEYMARK")], ""),
        ),
        (
            "no HTTP",
            Act::bytes("OWNKEYMARK is no HTTP\r\n\r\n").then(End::Close),
        ),
        (
            "no JSON",
            Act::response(200, &[("content-type", "application/json")], "OWNKEYMARK"),
        ),
        (
            "HTML",
            Act::response(200, &[("content-type", "text/html")], "<b>OWNKEYMARK</b>"),
        ),
        ("silence", Act::only(End::Silence)),
        ("a reset", Act::only(End::Reset)),
        ("a cut stream", begun().then(End::Close)),
        (
            "garbage in a stream",
            begun().chunk(event("{OWNKEYMARK")).last_chunk(),
        ),
    ]
}

#[tokio::test]
async fn p80_no_error_tells_a_key_or_repeats_a_prompt() {
    let upstream = Upstream::start().await;
    let settings = SETTINGS.replace("failure_threshold = 2", "enabled = false");
    let nest = Nest::with(&upstream, &settings).await;
    for (what, act) in failures() {
        upstream.set(act);
        for streams in [false, true] {
            for (path, body) in asking(&format!("PROMPTMARK {what} {streams}"), streams) {
                let request = nest
                    .request(Method::POST, path)
                    .header("content-type", "application/json")
                    .header("authorization", "Bearer CLIENTMARK")
                    .body(body.to_string());
                // Streams that break off are errors to the client, and that is fine.
                let response = request.send().await.unwrap();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = response.bytes().await.unwrap_or_default();
                let answer = Answer {
                    status,
                    headers,
                    body,
                };
                let what = format!("{path}, streams: {streams}, {what}");
                assert!(status >= 400 || streams, "{what}: {answer:?}");
                assert_silent(&what, &answer, &TOKENS);
                assert_silent(&what, &answer, &["PROMPTMARK"]);
            }
        }
    }
}

#[tokio::test]
async fn p80_no_refusal_tells_a_token_or_repeats_a_prompt() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, SETTINGS).await;
    let question =
        json!({"model": "m", "messages": [{"role": "user", "content": "PROMPTMARK"}]}).to_string();
    for (path, token, body) in [
        ("/create", "WRONGMARK", "{\"prompt\":\"PROMPTMARK\"}"),
        ("/create", "CLIENTMARK", "{\"prompt\": PROMPTMARK}"),
        (
            "/create",
            "CLIENTMARK",
            "{\"prompt\": {\"PROMPTMARK\": \"PROMPTMARK\"}}",
        ),
        ("/create/chat", "CLIENTMARK", "{\"message\": \"PROMPTMARK"),
        (
            "/create/chat",
            "CLIENTMARK",
            "{\"message\": \"x\", \"history\": [{\"role\": \"PROMPTMARK\", \"content\": \"\"}]}",
        ),
        ("/v1/chat/completions", "WRONGMARK", &question),
        (
            "/v1/chat/completions",
            "CLIENTMARK",
            "{\"model\": \"m\", \"messages\": \"PROMPTMARK\"}",
        ),
        ("/v1/chat/completions", "CLIENTMARK", &question[1..]),
        ("/nowhere?token=CLIENTMARK", "CLIENTMARK", "PROMPTMARK"),
        (
            "/api/clear-cache?token=ADMINMARK",
            "CLIENTMARK",
            "PROMPTMARK",
        ),
    ] {
        let request = nest
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .body(body.to_owned());
        let answer = nest.send(request).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        assert_silent(path, &answer, &TOKENS);
        assert_silent(path, &answer, &["PROMPTMARK"]);
    }
}
