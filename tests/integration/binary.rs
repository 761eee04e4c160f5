//! The binary as operators meet it: its options, its exit codes, what it prints, and `--demo`.

use std::process::Output;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::{Process, command, config_file, run};
use crate::support::within;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

async fn post(url: String, body: &Value) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn version_and_help_go_to_standard_output() {
    let output = run(&mut command(&["--version"])).await;
    assert_eq!(code(&output), Some(0));
    let expected = format!("pegasus-nest {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), expected);

    let output = run(&mut command(&["--help"])).await;
    assert_eq!(code(&output), Some(0));
    for option in [
        "--config",
        "--listen",
        "--upstream",
        "--demo",
        "check",
        "health",
    ] {
        assert!(text(&output.stdout).contains(option), "{option}");
    }
    let output = run(&mut command(&["--lisen", "x"])).await;
    assert_eq!(code(&output), Some(2));
    assert!(
        text(&output.stderr).contains("--listen"),
        "a hint at what was meant"
    );
}

#[tokio::test]
async fn check_prints_the_effective_settings_with_secrets_masked_and_binds_nothing() {
    // A serving process could not bind this address; a check does not try to.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = config_file(
        "[upstream]\napi_key = \"sk-own-secret\"\n[cache]\nttl = \"7m\"\n\
         [auth]\nclient_tokens = [\"client-secret\"]\nadmin_token = \"admin-secret\"\n",
    );
    let path = file.path().to_str().unwrap();
    let arguments = ["check", "--config", path, "--listen", &address];
    let output = run(command(&arguments).env("PEGASUS_RETRY__MAX_ATTEMPTS", "2")).await;
    let stdout = text(&output.stdout);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    for expected in [address.as_str(), "7m", "max_attempts = 2", "[compression]"] {
        assert!(stdout.contains(expected), "{expected} in {stdout}");
    }
    for secret in ["sk-own", "client-secret", "admin-secret", "-secret"] {
        assert!(!stdout.contains(secret), "{secret} in {stdout}");
    }
    // What check prints is a configuration: settings by section, as TOML.
    let table: toml::Table = stdout.parse().unwrap();
    assert_eq!(table["cache"]["ttl"].as_str(), Some("7m"));
}

#[tokio::test]
async fn all_problems_are_listed_at_once_with_exit_code_2_and_before_binding() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = config_file(
        "[cache]\nttll = \"1h\"\n[server]\nbody_read_timeout = \"30 parsecs\"\n\
         [retry]\nbudget = 7\n[upstream]\napi_key = \"sk-own-secret\"\nmax_connections = 0\n",
    );
    let path = file.path().to_str().unwrap();
    for arguments in [
        vec!["--config", path, "--listen", &address],
        vec!["check", "--config", path, "--listen", &address],
    ] {
        let output = run(command(&arguments).env("PEGASUS_BREAKER__OPEN_FOR", "soon")).await;
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {stderr}");
        for key in [
            "cache.ttll",
            "server.body_read_timeout",
            "30 parsecs",
            "retry.budget",
            "upstream.max_connections",
            "breaker.open_for",
            "PEGASUS_BREAKER__OPEN_FOR",
        ] {
            assert!(stderr.contains(key), "{key} in {stderr}");
        }
        assert!(stderr.starts_with("5 problems"), "{stderr}");
        assert!(!stderr.contains("sk-own"), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn a_missing_file_is_a_problem_too() {
    let output = run(&mut command(&["--config", "/nonexistent/pegasus.toml"])).await;
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("/nonexistent/pegasus.toml"));
}

#[tokio::test]
async fn a_start_that_would_let_strangers_spend_money_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let output =
            run(command(&["--listen", listen]).env("PEGASUS_UPSTREAM__API_KEY", "sk-own-secret"))
                .await;
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{stderr}");
        assert!(stderr.contains("auth.allow_anonymous"), "{stderr}");
        assert!(!stderr.contains("sk-own"), "{stderr}");
    }
    for name in ["OPENROUTER_API_KEY", "OPENAI_API_KEY"] {
        let output = run(command(&["check", "--listen", "0.0.0.0:0"]).env(name, "sk-x")).await;
        assert_eq!(code(&output), Some(2), "{name}");
    }
    for environment in [
        ("PEGASUS_AUTH__ALLOW_ANONYMOUS", "true"),
        ("PEGASUS_AUTH__CLIENT_TOKENS", "[\"t\"]"),
    ] {
        let mut checked = command(&["check", "--listen", "0.0.0.0:0"]);
        checked.envs([("PEGASUS_UPSTREAM__API_KEY", "sk-x"), environment]);
        let output = run(&mut checked).await;
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    }
    let output = run(&mut command(&["check", "--listen", "0.0.0.0:0"])).await;
    assert_eq!(
        code(&output),
        Some(0),
        "without a key there is nothing to spend"
    );
}

#[tokio::test]
async fn a_taken_port_is_told_in_one_clear_line_with_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&mut command(&["--listen", &address])).await;
    let stderr = text(&output.stderr);
    assert_eq!(code(&output), Some(1), "{stderr}");
    let line = stderr.lines().last().unwrap();
    assert!(
        line.contains(&address) && line.contains("in use"),
        "{stderr}"
    );
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// P92: a service manager that waits to be told is told, and by nobody else.
#[tokio::test]
async fn p92_the_service_manager_is_told_of_start_stop_and_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut message = [0; 256];
        let length = within("a message", manager.recv(&mut message))
            .await
            .unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "100000"),
    ];
    let process = Process::start("", &["--demo"], &environment).await;
    let ready = told().await;
    assert!(ready.contains("READY=1\n"), "{ready}");
    assert!(ready.contains(&process.address().to_string()), "{ready}");
    for _ in 0..3 {
        assert_eq!(told().await, "WATCHDOG=1\n");
    }
    process.signal("TERM").await;
    loop {
        let message = told().await;
        if message != "WATCHDOG=1\n" {
            assert!(message.contains("STOPPING=1\n"), "{message}");
            break;
        }
    }
    let (status, _) = process.wait().await;
    assert!(status.success());
}

/// A manager that does not read keeps nobody waiting.
#[tokio::test]
async fn p92_a_service_manager_that_does_not_read_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let deaf = tokio::net::UnixDatagram::bind(&path).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200"),
    ];
    let process = Process::start("", &["--demo"], &environment).await;
    let client = crate::support::Client::new(process.address());
    // In this time far more signs of life are given than any socket holds.
    for _ in 0..300 {
        assert_eq!(client.get("/health/live").await.status, 200);
    }
    process.stop().await;
    drop(deaf);
}

/// The unit that we ship waits as long as the defaults take, and lets as many files be open as they need.
#[test]
fn the_systemd_unit_fits_the_defaults() {
    let unit = include_str!("../../config/pegasus-nest.service");
    let value = |key: &str| -> u64 {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        let digits = line.unwrap().trim_start_matches('=').trim_end_matches('s');
        digits.parse().unwrap()
    };
    let config = pegasus_nest::config::Config::default();
    assert!(value("TimeoutStopSec") > config.server.shutdown_grace.as_secs());
    assert!(value("LimitNOFILE") >= pegasus_nest::descriptors::wanted(&config));
    assert!(unit.contains("\nType=notify\n") && unit.contains("\nRestartPreventExitStatus=2\n"));
}

#[tokio::test]
async fn health_tells_a_living_service_from_a_dead_one() {
    let process = Process::start("", &[], &[]).await;
    let address = process.address().to_string();
    let output = run(&mut command(&["health", "--listen", &address])).await;
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    process.stop().await;
    let output = run(&mut command(&["health", "--listen", &address])).await;
    assert_eq!(code(&output), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains(&address) && stderr.lines().count() == 1,
        "{stderr}"
    );
}

#[tokio::test]
async fn the_demo_answers_streams_and_hits_without_key_or_network() {
    let process = Process::start("", &["--demo"], &[]).await;
    let question = json!({"prompt": "Say something about winged horses."});
    let ask = || post(process.url("/create"), &question);
    let first = ask().await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["x-cache"], "MISS");
    let first = json_of(first).await;
    assert!(
        first["response"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("simulated"),
        "{first}"
    );
    let second = ask().await;
    assert_eq!(second.headers()["x-cache"], "HIT");
    let second = json_of(second).await;
    assert_eq!(second["response"], first["response"]);

    let streamed = json!({
        "model": "anthropic/claude-sonnet-4", "stream": true,
        "messages": [{"role": "user", "content": "Stream something."}],
    });
    let stream = post(process.url("/v1/chat/completions"), &streamed);
    let (stream, models) = join(stream, reqwest::get(process.url("/v1/models"))).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let events = stream.text().await.unwrap();
    assert!(events.trim_end().ends_with("data: [DONE]"), "{events}");
    assert!(events.matches("data: {").count() > 3, "{events}");
    assert_eq!(json_of(models.unwrap()).await["object"], "list");

    let stderr = process.stop().await;
    assert!(stderr.contains("demo mode"), "{stderr}");
}

#[tokio::test]
async fn the_demo_is_never_entered_by_itself() {
    let (_socket, address) = crate::support::refusing();
    let url = format!("http://{address}/v1");
    let process = Process::start("[retry]\nmax_attempts = 1", &["--upstream", &url], &[]).await;
    let answer = post(process.url("/create"), &json!({"prompt": "hi"})).await;
    assert_eq!(answer.status(), 502);
    let answer = json_of(answer).await;
    assert_eq!(answer["code"], "upstream_unreachable", "{answer}");
    process.stop().await;
}
