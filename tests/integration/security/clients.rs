//! Clients with a name: a token of their own, so many requests a minute, so many at once.

use http::Method;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::with_token;
use crate::process::Process;
use crate::support::{Act, End, Gate, Proxy, Upstream, ask, ask_stream, delta, event, within};

/// What `printf %s TOKEN | sha256sum` prints.
fn sha256(token: &str) -> String {
    let digest = Sha256::digest(token);
    digest
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Settings with one client, whose token is "web-token", and these limits.
fn client(limits: &str) -> String {
    format!(
        "[upstream]\napi_key = \"sk-own\"\n[auth]\nclient_tokens = [\"plain\"]\nadmin_token = \"boss\"\n\
         clients = [{{ name = \"web\", token_sha256 = \"{}\"{limits} }}]\n",
        sha256("web-token")
    )
}

const PATHS: [(Method, &str); 5] = [
    (Method::POST, "/create"),
    (Method::POST, "/create/chat"),
    (Method::POST, "/v1/chat/completions"),
    (Method::POST, "/v1/embeddings"),
    (Method::GET, "/v1/models"),
];

#[tokio::test]
async fn p81_a_clients_token_opens_what_it_should_and_stays_here() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&client(""), &upstream).await;
    for (method, path) in PATHS {
        for (token, status) in [
            (Some("web-token"), 200),
            (Some("plain"), 200),
            (Some("boss"), 200),
            (None, 401),
            (Some("web"), 401),
            // The digest is no token.
            (Some(&*sha256("web-token")), 401),
        ] {
            let answer = with_token(&proxy, method.clone(), path, token).await;
            assert_eq!(answer.status, status, "{path} {token:?}: {answer:?}");
        }
    }
    for request in upstream.requests() {
        assert_eq!(request.header("authorization"), "Bearer sk-own");
    }
    let cleared = with_token(
        &proxy,
        Method::DELETE,
        "/api/clear-cache",
        Some("web-token"),
    )
    .await;
    assert_eq!(cleared.status, 403, "it is no admin");
}

#[tokio::test]
async fn p81_with_clients_alone_everybody_else_is_turned_away() {
    let upstream = Upstream::start().await;
    let settings = format!(
        "[auth]\nclients = [{{ name = \"web\", token_sha256 = \"{}\" }}]",
        sha256("web-token")
    );
    let proxy = Proxy::start(&settings, &upstream).await;
    for (method, path) in PATHS {
        let stranger = with_token(&proxy, method.clone(), path, None).await;
        assert_eq!(stranger.status, 401, "{path}");
        let client = with_token(&proxy, method, path, Some("web-token")).await;
        assert_eq!(client.status, 200, "{path}: {client:?}");
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|r| !r.has_header("authorization"))
    );
}

#[tokio::test]
async fn p81_beyond_its_requests_a_minute_a_client_gets_429_and_others_nothing_of_it() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&client(", requests_per_minute = 5"), &upstream).await;
    for (method, path) in PATHS {
        let answer = with_token(&proxy, method, path, Some("web-token")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let calls = upstream.calls();
    for (method, path) in PATHS {
        let answer = with_token(&proxy, method.clone(), path, Some("web-token")).await;
        assert_eq!(answer.status, 429, "{path}");
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=12).contains(&seconds), "{answer:?}");
        let body = answer.json();
        let (code, message) = if path.starts_with("/v1") {
            (&body["error"]["code"], &body["error"]["message"])
        } else {
            (&body["code"], &body["error"])
        };
        assert_eq!(code, "quota_exceeded");
        assert!(
            message.as_str().unwrap().contains("requests_per_minute"),
            "{message}"
        );
        let other = with_token(&proxy, method, path, Some("plain")).await;
        assert_eq!(
            other.status, 200,
            "{path}: another client's limit is its own"
        );
    }
    // The others' answers are misses of their own: another credential shares nothing.
    assert!(upstream.calls() > calls);
    let stats = with_token(
        &proxy,
        Method::GET,
        "/api/optimization-stats",
        Some("web-token"),
    );
    assert_eq!(
        stats.await.status,
        200,
        "what asks nothing of the upstream is not counted"
    );
}

#[tokio::test]
async fn p81_beyond_its_requests_at_once_a_client_gets_429_until_one_has_ended() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&client(", max_in_flight = 1"), &upstream).await;
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| {
        let act = request.answer("Hello.");
        if request.prompt() == "held" {
            act.after(&behind)
        } else {
            act
        }
    });
    let web = [("authorization", "Bearer web-token")];
    let question = ask("held");
    let held = proxy.chat_with(&question, &web);
    let then = async {
        upstream
            .wait_for("the call", |counts| counts.busy == 1)
            .await;
        for (method, path) in PATHS {
            let answer = with_token(&proxy, method.clone(), path, Some("web-token")).await;
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (429, "1"),
                "{path}"
            );
            let other = with_token(&proxy, method, path, Some("plain")).await;
            assert_eq!(other.status, 200, "{path}");
        }
        gate.open();
    };
    let (held, ()) = tokio::join!(held, then);
    assert_eq!(held.status, 200);
    for n in 0..3 {
        let next = proxy.chat_with(&ask(&format!("next {n}")), &web).await;
        assert_eq!(next.status, 200, "its place came back: {next:?}");
    }
}

#[tokio::test]
async fn p81_a_clients_place_is_held_to_a_streams_end_and_given_back_by_who_leaves() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&client(", max_in_flight = 1"), &upstream).await;
    let web = [("authorization", "Bearer web-token")];
    let held = |prompt: &str| {
        let act = Act::stream().chunk(event(&delta("Once")));
        upstream.once(act.then(End::Silence));
        ask_stream(prompt)
    };
    let refused = async |what: &str| {
        let answer = proxy.chat_with(&ask("beside it"), &web).await;
        assert_eq!(answer.status, 429, "{what}: {answer:?}");
    };
    let body = held("the first");
    let mut first = proxy.stream_from("/v1/chat/completions", &body, &web).await;
    first.next().await.unwrap();
    refused("its head is out, its end is not").await;
    drop(first);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
    let body = held("the second");
    // When the proxy has given the place back is its own affair; until then the answer is 429.
    let second = async {
        loop {
            let mut second = proxy.stream_from("/v1/chat/completions", &body, &web).await;
            if second.status == 200 {
                second.next().await.unwrap();
                return second;
            }
        }
    };
    let second = within("the place of who left", second).await;
    refused("the next one holds it").await;
    drop(second);
}

/// An upload is a part of its request.
#[tokio::test]
async fn p81_a_body_that_is_still_on_its_way_takes_the_clients_own_place() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&client(", max_in_flight = 1"), &upstream).await;
    let mut slow = TcpStream::connect(proxy.address).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer web-token\r\n\
        expect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    within("leave to send", slow.read_exact(&mut leave))
        .await
        .unwrap();
    let web = [("authorization", "Bearer web-token")];
    assert_eq!(proxy.chat_with(&ask("beside it"), &web).await.status, 429);
    let others = [("authorization", "Bearer plain")];
    assert_eq!(
        proxy.chat_with(&ask("beside it"), &others).await.status,
        200
    );
}

/// P80: the log names the client, and has neither its token nor the token's digest.
#[tokio::test]
async fn p80_the_log_names_the_client_and_nothing_secret() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/v1", upstream.address);
    let settings = format!(
        "{}[log]\nlevel = \"trace\"",
        client(", requests_per_minute = 1")
    );
    let process = Process::start(&settings, &["--upstream", &url], &[]).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for status in [200, 429] {
        let request = http
            .post(process.url("/v1/chat/completions"))
            .header("content-type", "application/json")
            .header("authorization", "Bearer web-token")
            .body(ask("q").to_string());
        assert_eq!(
            within("an answer", request.send()).await.unwrap().status(),
            status
        );
    }
    let log = process.stop().await;
    assert_eq!(log.matches("client=\"web\"").count(), 2, "{log}");
    assert!(log.contains("quota_exceeded"), "{log}");
    assert!(
        !log.contains("web-token") && !log.contains(&sha256("web-token")),
        "{log}"
    );
}
