//! Lines as logs have them: what can be read is, and what cannot is counted and named.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use super::{asking, estimate, figure, file, line, log, report};
use crate::process::command;

#[tokio::test]
async fn lines_that_cannot_be_read_cost_the_others_nothing() {
    let good = |n: f64| line(n, &asking("a", "q")).to_string();
    let long = asking("a", &"x".repeat(9 * 1024 * 1024));
    let long = json!({"request": long, "usage": {"prompt_tokens": 7, "completion_tokens": 3}});
    let text = format!(
        "\u{feff}{}\r\n\r\nnot json\n[1]\n{{\"level\":\"info\"}}\n{}\n{}\n{}\n{}",
        good(0.0),
        json!({"request": {"messages": []}}),
        good(2.0),
        long,
        &good(3.0)[..40],
    );
    let as_it_is = "compression.level = \"off\"";
    let output = estimate(&file(&text), as_it_is, &[]).await;
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    for part in [
        "3 requests of ",
        "4 of 8 lines cannot be read, 1 request would be refused",
        "line 3: the line is no JSON object",
        "line 5: there is no request in it: expected an OpenAI body",
        "line 6: the service would answer 400 Bad Request: ",
        "line 9: the line is no JSON object: it is cut off",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    let report = report(&file(&text), as_it_is, &[]).await;
    assert_eq!(figure(&report, "/total/hits"), 1);
    assert_eq!(figure(&report, "/log/lines"), 8);
}

#[tokio::test]
async fn a_log_with_no_request_is_bad_input() {
    for text in ["", "\n\n", "{}\nx\n"] {
        let output = estimate(&file(text), "", &[]).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("0 requests of "));
    }
    let missing = crate::process::run(&mut command(&["estimate", "/nowhere/x.jsonl"])).await;
    assert_eq!(missing.status.code(), Some(1));
    let told = String::from_utf8_lossy(&missing.stderr);
    assert!(
        told.contains("cannot read /nowhere/x.jsonl: No such file"),
        "{told}"
    );
    for wrong in [["--rate", "0"], ["--rate", "x"], ["--limit", "0"]] {
        let output = estimate(&file("{}"), "", &wrong).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(wrong[0]));
    }
}

#[tokio::test]
async fn what_a_log_does_not_tell_is_assumed_and_said() {
    let request = asking("a", "q");
    let bare = log((0..50).map(|_| request.clone()));
    let report = report(&bare, "", &[]).await;
    let said = report["assumptions"].to_string();
    for part in [
        "100.0 % of the calls have no recorded answer",
        "The log does not say when its requests came: they are taken to have come one after another, 10 a second",
        "50 requests without the time that the answer took",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(report["log"]["from"], json!(null));
    assert_eq!(figure(&report, "/log/spanMs"), 4_900);
    assert_eq!(figure(&report, "/total/estimatedRequests"), 50);
    // The same every time.
    assert_eq!(super::report(&bare, "", &[]).await, report);
    // A thousand a second are all under way at once.
    let dense = super::report(&bare, "", &["--rate", "1000"]).await;
    assert_eq!(figure(&dense, "/total/joined"), 49);
    let first = super::report(&bare, "", &["--limit", "7"]).await;
    assert_eq!(figure(&first, "/total/requests"), 7);
    // Models without a price are named.
    let unpriced = log([asking("nobody/knows-this", "q")]);
    let said = super::report(&unpriced, "", &[]).await["assumptions"].to_string();
    assert!(
        said.contains("models without a price, which count nothing: nobody/knows-this"),
        "{said}"
    );
}

#[tokio::test]
async fn requests_of_all_endpoints_are_replayed() {
    let lines = [
        json!({"prompt": "Why do birds sing?", "time": 1}),
        json!({"prompt": "Why do birds sing?", "time": 100}),
        json!({"message": "Hello!", "time": 101}),
        json!({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": asking("a", "q")}),
        json!({"url": "/v1/embeddings", "body": {"model": "a", "input": "x"}, "time": 103,
            "response": {"object": "list", "data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}}),
    ];
    let report = report(&log(lines), "", &[]).await;
    let endpoint = |name: &str| {
        let all = report["byEndpoint"].as_array().unwrap();
        let found = all.iter().find(|endpoint| endpoint["name"] == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {report}"));
        (figure(found, "/requests"), figure(found, "/hits"))
    };
    assert_eq!(endpoint("/create"), (2, 1));
    assert_eq!(endpoint("/create/chat"), (1, 0));
    assert_eq!(endpoint("/v1/chat/completions"), (1, 0));
    assert_eq!(endpoint("/v1/*"), (1, 0));
    assert_eq!(report["byEndpoint"][0]["name"], "/create");
    assert_eq!(figure(&report, "/total/errors"), 0);
}

#[tokio::test]
async fn standard_input_is_a_log_and_prompts_are_named_by_digests() {
    let text = format!("{0}\n{0}\n", json!({"prompt": "Tell nobody."}));
    let piped = |options: &'static [&'static str]| {
        let text = text.clone();
        async move {
            let mut child = command(&[&["estimate", "-"], options].concat())
                .stdin(Stdio::from(file(&text).reopen().unwrap()))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdin.take());
            let output = child.wait_with_output().await.unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        }
    };
    let shown = piped(&[]).await;
    assert!(
        shown.starts_with("2 requests of standard input\n"),
        "{shown}"
    );
    assert!(!shown.contains("Tell nobody") && shown.contains("Came again (SHA-256)"));
    assert!(piped(&["--show-prompts"]).await.contains("Tell nobody."));
}

/// Neither the ledger nor the snapshot is written, and nobody is called.
#[tokio::test]
async fn nothing_leaves_the_process() {
    let place = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let settings = format!(
        "upstream.base_url = \"http://{address}/v1\"\ncache.redis_url = \"redis://{address}\"\n\
         telemetry.otlp_endpoint = \"http://{address}\"\nledger.path = \"kept.db\"\n\
         auth.client_tokens = [\"a-token-of-a-client\"]\n"
    );
    let mut config = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    config.write_all(settings.as_bytes()).unwrap();
    let log = log((0_u32..20).map(|n| line(f64::from(n), &asking("a", &format!("q{}", n % 3)))));
    let (log, path) = (
        log.path().to_str().unwrap(),
        config.path().to_str().unwrap(),
    );
    let mut command = command(&["estimate", log, "--config", path]);
    command
        .env_remove("PEGASUS_LEDGER__PATH")
        .current_dir(place.path());
    let output = crate::process::run(&mut command).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    let called = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(called, Err(std::io::ErrorKind::WouldBlock));
}
