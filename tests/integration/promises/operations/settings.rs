//! P94: a bad setting stops the start, is named, and takes no secret with it.

use tokio::net::TcpListener;

use crate::process::{command, config_file, run};

/// Settings that cannot be, and the keys that the message must name.
const BAD: [(&str, &[&str]); 22] = [
    ("[server]\nlistne = \"127.0.0.1:1\"", &["server.listne"]),
    ("[severe]\nlisten = \"127.0.0.1:1\"", &["severe"]),
    ("listen = \"127.0.0.1:1\"", &["listen"]),
    (
        "[server]\nmax_body_bytes = \"10 parsecs\"",
        &["server.max_body_bytes", "10 parsecs"],
    ),
    (
        "[server]\nmax_body_bytes = -1",
        &["server.max_body_bytes", "-1"],
    ),
    (
        "[server]\nheader_read_timeout = \"10\"",
        &["server.header_read_timeout"],
    ),
    (
        "[server]\nheader_read_timeout = 10",
        &["server.header_read_timeout"],
    ),
    ("[server]\nmax_in_flight = 0", &["server.max_in_flight"]),
    (
        "[server]\nmax_in_flight = \"many\"",
        &["server.max_in_flight"],
    ),
    (
        "[server]\ncors_origins = [\"not an origin\"]",
        &["server.cors_origins"],
    ),
    (
        "[upstream]\nbase_url = \"ftp://x/v1\"",
        &["upstream.base_url"],
    ),
    (
        "[upstream]\nbase_url = \"nonsense\"",
        &["upstream.base_url"],
    ),
    (
        "[upstream]\nmax_connections = 0",
        &["upstream.max_connections"],
    ),
    (
        "[upstream]\nread_timeout = \"1 fortnight\"",
        &["upstream.read_timeout"],
    ),
    (
        "[compression]\nlevel = \"brutal\"",
        &["compression.level", "brutal", "balanced"],
    ),
    (
        "[cache]\nscope = \"everyone\"",
        &["cache.scope", "credential"],
    ),
    ("[cache]\nttl = \"\"", &["cache.ttl"]),
    ("[retry]\nbudget = 7", &["retry.budget"]),
    ("[retry]\nmax_attempts = 0", &["retry.max_attempts"]),
    (
        "[breaker]\nhalf_open_probes = 0",
        &["breaker.half_open_probes"],
    ),
    ("[create]\ntemperature = 9.5", &["create.temperature"]),
    (
        "[server]\nmax_in_flight = 0\n[retry]\nbudget = -1\n[cache]\nttl = \"x\"",
        &["server.max_in_flight", "retry.budget", "cache.ttl"],
    ),
];
const SECRETS: &str = "\n[auth]\nadmin_token = \"ADMINMARK\"\nclient_tokens = [\"CLIENTMARK\"]\n";

fn assert_named(what: &str, output: &std::process::Output, keys: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let shown = format!("{what}: {stderr}");
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for key in keys {
        assert!(stderr.contains(key), "{key} in {shown}");
    }
    for secret in ["OWNKEYMARK", "ADMINMARK", "CLIENTMARK", "REDISMARK"] {
        assert!(!stderr.contains(secret), "{secret} in {shown}");
        assert!(
            !String::from_utf8_lossy(&output.stdout).contains(secret),
            "{secret}: {what}"
        );
    }
    assert!(!stderr.contains("listening on"), "{shown}");
}

#[tokio::test]
async fn p94_a_bad_setting_stops_the_start_and_is_named_without_secrets() {
    // Whoever bound before checking would fail in another way: this port is taken.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    for (toml, keys) in BAD {
        let config = config_file(&format!("{toml}{SECRETS}"));
        let path = config.path().to_str().unwrap();
        for arguments in [
            &["--config", path, "--listen", &listen][..],
            &["check", "--config", path],
        ] {
            let mut command = command(arguments);
            let output = run(command.env("PEGASUS_UPSTREAM__API_KEY", "OWNKEYMARK")).await;
            assert_named(&format!("{toml} with {arguments:?}"), &output, keys);
        }
    }
}

#[tokio::test]
async fn p94_a_bad_variable_is_named_without_secrets() {
    for (name, value, key) in [
        ("PEGASUS_SERVER__LISTEN", "nowhere", "listen"),
        ("PEGASUS_SERVER__LISTNE", "127.0.0.1:1", "listne"),
        ("PEGASUS_SERVER__MAX_IN_FLIGHT", "-5", "max_in_flight"),
        ("PEGASUS_CACHE__TTL", "an hour", "ttl"),
        ("PEGASUS_UPSTREAM__BASE_URL", "nonsense", "base_url"),
        (
            "PEGASUS_CACHE__REDIS_URL",
            "http://user:REDISMARK@x",
            "redis_url",
        ),
        ("PEGASUS_UPSTREAM__API_KEY", "OWNKEYMARK\nx", "api_key"),
        ("PEGASUS_AUTH__ADMIN_TOKEN", "ADMINMARK\u{7}", "admin_token"),
        ("PORT", "70000", "PORT"),
    ] {
        let mut command = command(&[]);
        let output = run(command.env(name, value).env("OPENAI_API_KEY", "OWNKEYMARK")).await;
        let stderr = String::from_utf8_lossy(&output.stderr).to_ascii_lowercase();
        assert!(
            stderr.contains(&key.to_ascii_lowercase()),
            "{name}: {stderr}"
        );
        assert_named(name, &output, &[]);
    }
}

#[tokio::test]
async fn p94_secrets_in_the_wrong_place_are_not_repeated() {
    for toml in [
        "[upstream]\napi_key = [\"OWNKEYMARK\"]",
        "[upstream]\napi_key = {key = \"OWNKEYMARK\"}",
        "[auth]\nadmin_token = [\"ADMINMARK\"]",
        "[auth]\nclient_tokens = \"CLIENTMARK\"",
        "[auth]\nclient_tokens = [[\"CLIENTMARK\"]]",
        "[auth]\nclient_tokens = [\"\", \"CLIENTMARK\"]",
        "[auth]\nadmin_tokn = \"ADMINMARK\"",
        "[cache]\nredis_url = \"nonsense://user:REDISMARK@host\"",
        "[upstream]\nbase_url = \"ftp://user:OWNKEYMARK@host/v1\"",
        "[auth]\nadmin_token = \"ADMINMARK",
        "[auth]\nadmin_token = ADMINMARK",
    ] {
        let config = config_file(toml);
        let path = config.path().to_str().unwrap();
        for arguments in [&["--config", path][..], &["check", "--config", path]] {
            let output = run(&mut command(arguments)).await;
            assert_named(&format!("{toml} with {arguments:?}"), &output, &[]);
        }
    }
}
