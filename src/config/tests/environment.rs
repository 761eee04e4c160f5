//! Settings from environment variables, and the unsafe start.

use super::*;
use crate::chat::Quality;
use crate::compressor::{Level, Role, Rule};
use crate::request::Route;

#[test]
fn every_type_can_be_set() {
    let loaded = with(&[
        ("PEGASUS_SERVER__MAX_CONNECTIONS", "12"),
        ("PEGASUS_SERVER__MAX_BODY_BYTES", "2048"),
        ("PEGASUS_CACHE__MAX_BYTES", "1MiB"),
        ("PEGASUS_CACHE__TTL", " 90s\n"),
        ("PEGASUS_CACHE__SCOPE", "global"),
        ("PEGASUS_CACHE__ADMIT", "stop, length"),
        ("PEGASUS_CACHE__MAX_TEMPERATURE", "0.3"),
        ("PEGASUS_CACHE__ROUTES", "/create=10m, /create/chat=0s"),
        ("PEGASUS_CACHE__ENABLED", "false"),
        ("PEGASUS_COMPRESSION__LEVEL", "safe"),
        ("PEGASUS_RETRY__BUDGET", "0"),
        ("PEGASUS_CHAT__TEMPERATURE", "1.5"),
        ("PEGASUS_CHAT__SYSTEM_PROMPT", "Be brief. "),
        (
            "PEGASUS_SERVER__CORS_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("PEGASUS_UPSTREAM__FORWARD_HEADERS", "[\"x-a\", \"X-B\"]"),
        ("PEGASUS_COMPRESSION__RULES__DENY", "phrases, emphasis"),
        ("PEGASUS_COMPRESSION__ROLES", "user, tool=aggressive"),
        ("PEGASUS_COMPRESSION__ROUTES", "/create=off"),
        ("PEGASUS_CACHE__EVICTION", "value"),
        ("PEGASUS_LOG__FORMAT", "json"),
        ("PEGASUS_MAX_TOKENS__SIMPLE", "5"),
        ("HOME", "/ignored"),
        ("pegasus_server__listen", "ignored"),
    ]);
    let config = loaded.unwrap().config;
    assert_eq!(config.server.max_connections, 12);
    assert_eq!(config.server.max_body_bytes, 2048);
    assert_eq!(config.cache.max_bytes, 1 << 20);
    assert_eq!(config.cache.ttl, Duration::from_secs(90));
    assert_eq!(config.cache.scope, CacheScope::Global);
    assert_eq!(config.cache.eviction, Eviction::Value);
    assert!(!config.cache.enabled);
    let admitted = [Quality::Stop, Quality::Length];
    assert_eq!(config.cache.admit, admitted.into_iter().collect());
    assert_eq!(config.cache.max_temperature, Some(0.3));
    assert_eq!(
        config.cache.routes,
        [
            (Route::Create, Duration::from_mins(10)),
            (Route::CreateChat, Duration::ZERO)
        ]
    );
    assert_eq!(config.compression.level.to_string(), "safe");
    assert!(
        config.compression.deny.has(Rule::Emphasis)
            && !config.compression.deny.has(Rule::JsonSpace)
    );
    assert_eq!(
        config.compression.roles,
        [(Role::User, None), (Role::Tool, Some(Level::Aggressive))]
    );
    assert_eq!(config.compression.routes, [(Route::Create, Level::Off)]);
    assert!(config.retry.budget.abs() < f64::EPSILON);
    assert_eq!(config.chat.temperature.to_string(), "1.5");
    assert_eq!(config.chat.system_prompt, "Be brief. ");
    assert_eq!(
        config.server.cors_origins,
        ["https://a.example", "https://b.example"]
    );
    assert_eq!(config.upstream.forward_headers, ["x-a", "x-b"]);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.max_tokens.simple, 5);
}

#[test]
fn the_upstream_key_has_an_order() {
    let own = ("PEGASUS_UPSTREAM__API_KEY", "own");
    let openrouter = ("OPENROUTER_API_KEY", "openrouter");
    let openai = ("OPENAI_API_KEY", " openai\n");
    for (variables, expected) in [
        (vec![own, openrouter, openai], Some("own")),
        (vec![openai, openrouter], Some("openrouter")),
        (vec![openai], Some("openai")),
        (vec![("OPENROUTER_API_KEY", ""), openai], Some("openai")),
        (
            vec![("PEGASUS_UPSTREAM__API_KEY", ""), openai],
            Some("openai"),
        ),
        (vec![("PEGASUS_UPSTREAM__API_KEY", "")], None),
        (vec![("OPENAI_API_KEY", "")], Some("file")),
        (vec![], Some("file")),
    ] {
        let (_file, options) = file("[upstream]\napi_key = \"file\"");
        let loaded = load(&options, &variables).unwrap();
        assert_eq!(key_of(&loaded.config), expected, "{variables:?}");
    }
    let effective = with(&[openai]).unwrap().effective;
    assert!(effective.contains("api_key = \"***\" # environment variable OPENAI_API_KEY\n"));
}

#[test]
fn port_replaces_the_port_alone() {
    let listen = |options: &Overrides, variables: &[(&str, &str)]| {
        load(options, variables)
            .unwrap()
            .config
            .server
            .listen
            .to_string()
    };
    let port = ("PORT", "8080");
    assert_eq!(listen(&Overrides::default(), &[port]), "127.0.0.1:8080");
    assert_eq!(
        listen(&Overrides::default(), &[("PORT", "")]),
        "127.0.0.1:3000"
    );
    let (_file, mut options) = file("[server]\nlisten = \"[::]:1\"");
    assert_eq!(listen(&options, &[port]), "[::]:8080");
    let own = ("PEGASUS_SERVER__LISTEN", "127.0.0.1:2");
    assert_eq!(listen(&options, &[port, own]), "127.0.0.1:8080");
    options.listen = Some("127.0.0.1:3".to_owned());
    assert_eq!(listen(&options, &[port, own]), "127.0.0.1:3");

    let problems = with(&[("PORT", "http")]).unwrap_err();
    let expected = "server.listen = \"http\" (environment variable PORT): expected a port number";
    assert!(problems.to_string().starts_with(expected), "{problems}");
}

#[test]
fn unknown_variables_are_problems_with_a_hint() {
    for (name, hint) in [
        ("PEGASUS_SERVER_LISTEN", "as in PEGASUS_SERVER__LISTEN"),
        (
            "PEGASUS_MAX_TOKENS_SIMPLE",
            "as in PEGASUS_MAX_TOKENS__SIMPLE",
        ),
        (
            "PEGASUS_SERVER__LISTN",
            "did you mean PEGASUS_SERVER__LISTEN?",
        ),
        ("PEGASUS_COLOUR", "there is no such setting"),
    ] {
        let problems = with(&[(name, "x")]).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert!(problems.to_string().starts_with(name), "{problems}");
        assert!(problems.to_string().ends_with(hint), "{problems}");
    }
    assert!(with(&[("PEGASUS_COLOUR", " ")]).is_ok(), "empty is unset");
}

#[test]
fn the_service_links_of_kubernetes_are_no_settings() {
    let links = [
        ("PEGASUS_SERVICE_HOST", "10.0.0.1"),
        ("PEGASUS_NEST_SERVICE_HOST", "10.0.0.1"),
        ("PEGASUS_NEST_SERVICE_PORT", "80"),
        ("PEGASUS_NEST_SERVICE_PORT_HTTP", "80"),
        ("PEGASUS_NEST_PORT", "tcp://10.0.0.1:80"),
        ("PEGASUS_NEST_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("PEGASUS_NEST_PORT_80_TCP_PROTO", "tcp"),
        ("PEGASUS_NEST_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(with(&links).is_ok());
    assert!(with(&[("PEGASUS_PORT", "80")]).is_err());
}

#[test]
fn an_open_purse_is_refused() {
    let key = ("OPENAI_API_KEY", "key");
    let everywhere = ("PEGASUS_SERVER__LISTEN", "0.0.0.0:3000");
    let tokens = ("PEGASUS_AUTH__CLIENT_TOKENS", "a,b");
    let admin = ("PEGASUS_AUTH__ADMIN_TOKEN", "c");
    let anonymous = ("PEGASUS_AUTH__ALLOW_ANONYMOUS", "true");
    for (variables, starts) in [
        (vec![], true),
        (vec![key], true),
        (vec![everywhere], true),
        (vec![key, everywhere], false),
        (vec![key, everywhere, admin], false),
        (vec![key, everywhere, tokens], true),
        (vec![key, everywhere, anonymous], true),
        (
            vec![key, ("PEGASUS_SERVER__LISTEN", "192.168.0.2:1")],
            false,
        ),
        (vec![key, ("PEGASUS_SERVER__LISTEN", "[::]:1")], false),
        (vec![key, ("PEGASUS_SERVER__LISTEN", "[::1]:1")], true),
        (vec![key, ("PEGASUS_SERVER__LISTEN", "127.1.2.3:1")], true),
        (
            vec![key, ("PEGASUS_SERVER__LISTEN", "[::ffff:127.0.0.1]:1")],
            true,
        ),
    ] {
        assert_eq!(with(&variables).is_ok(), starts, "{variables:?}");
    }
    let problems = with(&[key, everywhere]).unwrap_err().to_string();
    for way in [
        "auth.client_tokens",
        "loopback",
        "auth.allow_anonymous = true",
    ] {
        assert!(problems.contains(way), "{problems}");
    }
    let demo = Overrides {
        demo: true,
        ..Overrides::default()
    };
    assert!(load(&demo, &[key, everywhere]).is_ok());
}

#[test]
fn the_demo_uses_no_upstream() {
    let mut options = Overrides {
        demo: true,
        ..Overrides::default()
    };
    let variables = [
        ("OPENAI_API_KEY", "k"),
        ("PEGASUS_UPSTREAM__BASE_URL", "http://real/v1"),
    ];
    let loaded = load(&options, &variables).unwrap();
    assert!(loaded.config.upstream.api_key.is_none());
    assert_eq!(
        loaded.config.upstream.base_url,
        Config::default().upstream.base_url
    );
    assert!(
        loaded.effective.starts_with("# --demo"),
        "{}",
        loaded.effective
    );

    options.upstream = Some("http://real/v1".to_owned());
    let problems = load(&options, &[]).unwrap_err();
    assert!(problems.to_string().contains("not both"), "{problems}");
}
