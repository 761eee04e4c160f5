//! What the built binary logs, at its most talkative: never a prompt, an answer, a token or a key.

use serde_json::{Value, json};

use crate::process::Process;
use crate::support::{Act, End, Upstream, ask, ask_stream, delta, event};

const SETTINGS: &str = "[upstream]\napi_key = \"OWNKEYMARK\"\nread_timeout = \"200ms\"\n\
    [auth]\nclient_tokens = [\"CLIENTMARK\"]\nadmin_token = \"ADMINMARK\"\n\
    [retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n[breaker]\nenabled = false\n";
/// None of these may be in the log.
const SECRETS: [&str; 8] = [
    "OWNKEYMARK",
    "CLIENTMARK",
    "ADMINMARK",
    "WRONGMARK",
    "PROMPTMARK",
    "ANSWERMARK",
    "QUERYMARK",
    "PROVIDERMARK",
];

/// Does with a process all that could bring a secret into its log; gives the number of requests.
async fn provoke(process: &Process, upstream: &Upstream) -> usize {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |path: &str, token: &str, body: String| {
        let request = client
            .post(process.url(path))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let response = request.body(body).send().await.unwrap();
        // The end of a broken stream is an error here, and that is fine.
        let _ = response.bytes().await;
    };
    let prompt = "PROMPTMARK, please.";
    let create = json!({"prompt": prompt, "system": "PROMPTMARK"}).to_string();
    let whole = ask(prompt).to_string();
    let stream = ask_stream(&format!("{prompt} Stream it.")).to_string();
    upstream.script(|request| request.answer("ANSWERMARK and more."));
    let mut requests = 0;
    for (path, body) in [
        ("/create", &create),
        ("/create", &create),
        ("/create/chat", &json!({"message": prompt}).to_string()),
        ("/v1/chat/completions", &whole),
        ("/v1/chat/completions", &stream),
        ("/v1/chat/completions", &stream),
        ("/v1/embeddings?key=QUERYMARK", &whole),
        ("/v1/chat/completions?key=QUERYMARK", &whole),
        ("/nowhere?key=QUERYMARK", &whole),
        ("/create", &"{\"prompt\": PROMPTMARK".to_owned()),
        ("/create", &json!({"prompt": {"PROMPTMARK": 1}}).to_string()),
        (
            "/v1/chat/completions",
            &json!({"model": "m", "messages": "PROMPTMARK"}).to_string(),
        ),
        (
            "/v1/chat/completions",
            &"{\"PROMPTMARK\":1,\"PROMPTMARK\":2}".to_owned(),
        ),
    ] {
        send(path, "CLIENTMARK", body.clone()).await;
        send(path, "WRONGMARK", body.clone()).await;
        requests += 2;
    }
    let echo = json!({"error": {"message": "PROVIDERMARK did not like PROMPTMARK", "code": 400}});
    let begun = || Act::stream().chunk(event(&delta("ANSWERMARK")));
    for act in [
        Act::json(400, &echo),
        Act::json(401, &echo),
        Act::json(429, &echo),
        Act::json(500, &echo),
        Act::json(200, &echo),
        Act::response(200, &[], "<html>PROVIDERMARK</html>"),
        Act::response(
            200,
            &[("content-type", "application/json")],
            "{\"choices\": ANSWERMARK",
        ),
        Act::response(302, &[("location", "http://x/?PROVIDERMARK")], ""),
        Act::bytes("PROVIDERMARK is no HTTP\r\n\r\n").then(End::Close),
        begun().then(End::Close),
        begun().chunk(event(&echo.to_string())).last_chunk(),
        begun().chunk(event("{ANSWERMARK")).last_chunk(),
        Act::encoded("gzip", b"ANSWERMARK"),
        Act::only(End::Silence),
    ] {
        upstream.set(act);
        for (n, path) in ["/create", "/v1/chat/completions"].iter().enumerate() {
            // Another question each time, so that no answer of before stands in.
            let prompt = format!("{prompt} {requests} {n}");
            let mut body = ask_stream(&prompt);
            body["prompt"] = prompt.into();
            send(path, "CLIENTMARK", body.to_string()).await;
            requests += 1;
        }
    }
    let cleared = client.delete(process.url("/api/clear-cache"));
    cleared
        .header("authorization", "Bearer ADMINMARK")
        .send()
        .await
        .unwrap();
    requests + 1
}

#[tokio::test]
async fn nothing_secret_is_logged_even_at_trace() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/v1", upstream.address);
    let trace = [("RUST_LOG", "trace")];
    let process = Process::start(SETTINGS, &["--upstream", &url], &trace).await;
    provoke(&process, &upstream).await;
    let stderr = process.stop().await;
    assert!(stderr.contains("TRACE"), "it must be talkative: {stderr}");
    for secret in SECRETS {
        let line = stderr.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}

#[tokio::test]
async fn json_logs_are_json_with_one_line_a_request() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/v1", upstream.address);
    let settings = format!("{SETTINGS}[log]\nformat = \"json\"\n");
    let process = Process::start(&settings, &["--upstream", &url], &[]).await;
    let requests = provoke(&process, &upstream).await;
    let stderr = process.stop().await;
    let mut lines = 0;
    let mut ids = std::collections::HashSet::new();
    for line in stderr.lines() {
        let entry: Value = match serde_json::from_str(line) {
            Ok(entry) => entry,
            Err(error) => panic!("{error} in {line}"),
        };
        assert!(
            entry["timestamp"].is_string() && entry["level"].is_string(),
            "{line}"
        );
        if entry["message"] == "request" {
            lines += 1;
            assert!(
                entry["method"].is_string() && entry["path"].is_string(),
                "{line}"
            );
            assert!(entry["status"].is_u64() && entry["ms"].is_f64(), "{line}");
            assert!(
                ids.insert(entry["id"].as_str().unwrap().to_owned()),
                "{line}"
            );
            if entry["path"] == "/create" && entry["status"] == 200 {
                assert!(
                    entry["cache"].is_string() && entry["model"].is_string(),
                    "{line}"
                );
            }
        }
    }
    assert_eq!(lines, requests, "{stderr}");
    for secret in SECRETS {
        assert!(!stderr.contains(secret), "{secret} in {stderr}");
    }
}
