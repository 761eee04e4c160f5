//! The configuration as a whole: defaults, layers, problems, masks.

use std::{collections::BTreeSet, io::Write as _};

use secrecy::ExposeSecret;
use toml::Value;

use super::{layers::environment::variable, *};
use crate::metering::prices::Tokens;

mod environment;
mod problems;

/// A call with a token of each kind.
const ONE_EACH: Tokens = Tokens {
    prompt: 1,
    completion: 1,
    cached: 0,
    cache_write: 0,
    reasoning: 0,
};

/// The settings with these environment variables and no file.
fn with(variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(&Overrides::default(), variables)
}

fn load(options: &Overrides, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(options, variables)
}

/// A configuration file, and options that name it.
fn file(text: &str) -> (tempfile::NamedTempFile, Overrides) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let options = Overrides {
        config: Some(file.path().to_owned()),
        ..Overrides::default()
    };
    (file, options)
}

fn key_of(config: &Config) -> Option<&str> {
    config
        .upstream
        .api_key
        .as_ref()
        .map(ExposeSecret::expose_secret)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = Config::default();
    let seconds = Duration::from_secs;

    let server = &config.server;
    assert_eq!(server.listen, "127.0.0.1:3000".parse().unwrap());
    assert_eq!(server.max_body_bytes, 10 * 1024 * 1024);
    assert_eq!(server.max_connections, 4096);
    assert_eq!(server.max_connections_per_ip, 0);
    assert_eq!(server.header_read_timeout, seconds(10));
    assert_eq!(server.body_read_timeout, seconds(30));
    assert_eq!(server.write_timeout, seconds(30));
    assert_eq!(server.max_in_flight, 1024);
    assert_eq!(server.shutdown_grace, seconds(30));
    assert!(server.cors_origins.is_empty());

    let upstream = &config.upstream;
    assert_eq!(upstream.base_url, "https://openrouter.ai/api/v1");
    assert!(upstream.api_key.is_none());
    assert_eq!(upstream.connect_timeout, seconds(5));
    assert_eq!(upstream.read_timeout, seconds(25));
    assert_eq!(upstream.total_timeout, seconds(30));
    assert_eq!(upstream.max_connections, 300);
    assert_eq!(upstream.max_connections_per_host, 100);
    assert_eq!(upstream.idle_timeout, seconds(30));
    assert!(!upstream.http2);
    assert_eq!(upstream.max_response_bytes, 32 * 1024 * 1024);
    assert_eq!(upstream.prompt_cache, PromptCache::Auto);
    assert!(upstream.forward_headers.is_empty());

    let prefetch = &config.prefetch;
    assert!(!prefetch.enabled);
    assert!((prefetch.budget_usd_per_day - 1.0).abs() < 1e-9);
    assert!((prefetch.max_share - 0.25).abs() < 1e-9);
    assert!((prefetch.value_per_second - 0.001).abs() < 1e-9);
    assert_eq!(prefetch.max_bytes, 32 * 1024 * 1024);

    assert_eq!(config.compression.level.to_string(), "balanced");

    let cache = &config.cache;
    assert!(cache.enabled);
    assert_eq!(cache.ttl, seconds(3600));
    assert!(cache.routes.is_empty());
    assert_eq!(cache.admit, Admit::default());
    assert_eq!(cache.max_temperature, None);
    assert_eq!(cache.max_entries, 1000);
    assert_eq!(cache.max_bytes, 256 * 1024 * 1024);
    assert_eq!(cache.eviction, Eviction::Lru);
    assert_eq!(cache.sweep_interval, seconds(300));
    assert_eq!(cache.stale_if_error, seconds(86_400));
    assert_eq!(cache.scope, CacheScope::Credential);

    assert!(config.dedup.enabled);

    let breaker = &config.breaker;
    assert!(breaker.enabled);
    assert_eq!(breaker.failure_threshold, 5);
    assert_eq!(breaker.open_for, seconds(60));
    assert_eq!(breaker.half_open_probes, 1);

    let retry = &config.retry;
    assert_eq!(retry.max_attempts, 3);
    assert_eq!(
        (retry.base_delay, retry.max_delay),
        (seconds(1), seconds(10))
    );
    assert_eq!(retry.budget.to_string(), "0.2");

    let limits = &config.max_tokens;
    assert_eq!(
        (limits.simple, limits.medium, limits.complex),
        (2000, 3000, 4000)
    );

    assert_eq!(config.create.model, "anthropic/claude-sonnet-4");
    assert_eq!(config.chat.model, "google/gemini-flash-1.5");
    for dialect in [&config.create, &config.chat] {
        assert_eq!(dialect.system_prompt, "");
        assert_eq!(dialect.temperature.to_string(), "0.7");
        assert_eq!(dialect.presence_penalty.to_string(), "0.1");
        assert_eq!(dialect.frequency_penalty.to_string(), "0.1");
        assert_eq!(dialect.max_prompt_chars, 100_000);
    }

    assert!(config.auth.client_tokens.is_empty());
    assert!(config.auth.admin_token.is_none());
    assert!(!config.auth.allow_anonymous);
    assert_eq!(config.log.level, "info");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.summary_interval, seconds(300));
    assert_eq!(
        config
            .metering
            .prices
            .cost(&config.create.model, None, &ONE_EACH),
        Some(18_000)
    );
}

#[test]
fn clients_are_read_from_files_and_variables_alike() {
    let digest = "AB".repeat(32);
    let web = format!(
        "{{ name = \"web\", token_sha256 = \"{digest}\", requests_per_minute = 60, max_in_flight = 5, \
         budget_usd_per_day = 12.1, budget_usd_per_month = 300 }}"
    );
    let expected = [Client {
        name: "web".into(),
        token_sha256: [0xab; 32],
        requests_per_minute: Some(60),
        max_in_flight: Some(5),
        budget_usd_per_day: Some(12_100_000_000),
        budget_usd_per_month: Some(300_000_000_000),
    }];
    let (_file, options) = file(&format!("[auth]\nclients = [{web}]"));
    let variable = format!("[{web}]");
    for loaded in [
        load(&options, &[]),
        with(&[("PEGASUS_AUTH__CLIENTS", &variable)]),
    ] {
        let loaded = loaded.unwrap();
        assert_eq!(loaded.config.auth.clients, expected);
        assert!(loaded.config.auth.asks_for_a_token());
        let shown = &loaded.effective;
        assert!(shown.contains("web") && !shown.contains(&digest), "{shown}");
    }
    let as_tables = format!(
        "[[auth.clients]]\nname = \"web\"\ntoken_sha256 = \"{digest}\"\n[[auth.clients]]\nname = \"app\"\ntoken_sha256 = \"{}\"",
        "0".repeat(64)
    );
    let config = Config::from_toml(&as_tables).unwrap();
    assert_eq!(config.auth.clients.len(), 2);
    assert_eq!(config.auth.clients[1].requests_per_minute, None);
    assert_eq!(config.auth.clients[1].budget_usd_per_day, None);
}

/// Money is read digit for digit, up to the largest budget there is.
#[test]
fn budgets_are_read_to_the_nano_dollar() {
    for (written, nano) in [
        ("0", 0),
        ("0.0", 0),
        ("1e-9", 1),
        ("0.1", 100_000_000),
        ("0.000000001", 1),
        ("1_000.000000001", 1_000_000_000_001),
        ("999999.999999999", 999_999_999_999_999),
        ("999999.123456789", 999_999_123_456_789),
        ("1000000", 1_000_000_000_000_000),
    ] {
        let text = format!(
            "[auth]\nclients = [{{ name = \"web\", token_sha256 = \"{}\", budget_usd_per_month = {written} }}]",
            "ab".repeat(32)
        );
        let config = Config::from_toml(&text).unwrap();
        assert_eq!(
            config.auth.clients[0].budget_usd_per_month,
            Some(nano),
            "{written}"
        );
    }
}

#[test]
fn every_default_is_read_and_every_setting_has_one() {
    let layers = Layers::new();
    let defaults: BTreeSet<String> = layers.defaults.keys().cloned().collect();
    let mut reader = Reader::new(layers);
    Config::read(&mut reader);
    let read: Vec<&str> = reader.keys().collect();
    assert_eq!(read.len(), defaults.len(), "a setting is read twice");
    assert_eq!(
        read.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        defaults
    );
}

#[test]
fn every_default_has_a_comment() {
    let mut lines = layers::DEFAULTS.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        assert!(!next.contains(" = ") || line.starts_with("# "), "{next}");
    }
}

#[test]
fn later_sources_outrank_earlier_ones() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nmax_in_flight = 7\n[upstream]\nbase_url = \"http://file/v1\"";
    let (_file, mut options) = file(text);
    let loaded = load(&options, &[]).unwrap();
    assert_eq!(loaded.config.server.listen.port(), 1);
    assert_eq!(loaded.config.server.max_in_flight, 7);

    let variables = [
        ("PEGASUS_SERVER__LISTEN", "127.0.0.1:2"),
        ("PEGASUS_UPSTREAM__BASE_URL", "http://variable/v1"),
    ];
    let loaded = load(&options, &variables).unwrap();
    assert_eq!(loaded.config.server.listen.port(), 2);
    assert_eq!(loaded.config.server.max_in_flight, 7);
    assert_eq!(loaded.config.upstream.base_url, "http://variable/v1");

    options.listen = Some("127.0.0.1:3".to_owned());
    options.upstream = Some("http://option/v1/".to_owned());
    let loaded = load(&options, &variables).unwrap();
    assert_eq!(loaded.config.server.listen.port(), 3);
    assert_eq!(loaded.config.upstream.base_url, "http://option/v1");
    assert!(
        loaded
            .effective
            .contains("listen = \"127.0.0.1:3\" # command line option --listen"),
        "{}",
        loaded.effective
    );
}

#[test]
fn the_effective_configuration_can_be_used_as_one() {
    let default = with(&[]).unwrap().effective;
    assert!(!default.contains('#'), "{default}");
    let again = Config::from_toml(&default).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", Config::default()));

    let (file, options) = file(
        "[create]\nsystem_prompt = \"a \\\"quote\\\" # and\\nlines\"\ntemperature = 1\n\
         [cache]\nttl = \"2h\"\n[server]\ncors_origins = [\"https://a.example\"]",
    );
    let loaded = load(&options, &[("PEGASUS_SERVER__MAX_IN_FLIGHT", " 9 ")]).unwrap();
    let effective = &loaded.effective;
    let path = file.path().display();
    assert!(
        effective.contains(&format!("ttl = \"2h\" # file {path}\n")),
        "{effective}"
    );
    let variable = "max_in_flight = 9 # environment variable PEGASUS_SERVER__MAX_IN_FLIGHT\n";
    assert!(effective.contains(variable), "{effective}");
    let again = Config::from_toml(effective).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", loaded.config));
}

#[test]
fn secrets_are_never_shown() {
    let (_file, options) = file(
        "[upstream]\napi_key = \"canary-key\"\n\
         [auth]\nclient_tokens = [\"canary-one\", \"canary-two\"]\nadmin_token = \"canary-admin\"",
    );
    let loaded = load(&options, &[]).unwrap();
    assert_eq!(key_of(&loaded.config), Some("canary-key"));
    assert_eq!(
        loaded.config.auth.client_tokens[1].expose_secret(),
        "canary-two"
    );
    assert!(!format!("{loaded:?}").contains("canary"));
    for line in [
        "api_key = \"***\" #",
        "client_tokens = [\"***\", \"***\"] #",
    ] {
        assert!(loaded.effective.contains(line), "{}", loaded.effective);
    }
    assert!(with(&[]).unwrap().effective.contains("api_key = \"\"\n"));

    for (name, value) in [
        ("PEGASUS_UPSTREAM__API_KEY", "canary with blanks"),
        ("OPENAI_API_KEY", "canary with blanks"),
        ("PEGASUS_AUTH__CLIENT_TOKENS", "one,canary with blanks"),
        ("PEGASUS_AUTH__CLIENT_TOKENS", "canary,canary"),
        ("PEGASUS_AUTH__ADMIN_TOKEN", "cänary"),
        ("PEGASUS_UPSTREAM_API_KEY", "canary"),
        ("PEGASUS_UPSTREAM__API_KEYS", "canary"),
        ("PEGASUS_UPSTREAM__BASE_URL", "https://me:canary@host/v1"),
        ("PEGASUS_UPSTREAM__BASE_URL", "me:canary@host/v1"),
        ("PEGASUS_UPSTREAM__BASE_URL", "https://host/v1?key=canary"),
        ("PEGASUS_CACHE__REDIS_URL", "http://:canary@host"),
        ("PEGASUS_LEDGER__URL", "http://me:canary@host/d"),
        ("PEGASUS_LEDGER__URL", "postgres://me:can@nary@host/d"),
        ("PEGASUS_LEDGER__URL", "postgres://me:canary@host/d?nary=1"),
        (
            "PEGASUS_LEDGER__URL",
            "postgres://me:canary@host/d?sslmode=nary",
        ),
    ] {
        let problems = with(&[(name, value)]).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert!(
            !format!("{problems} {problems:?}").contains("nary"),
            "{problems}"
        );
    }
    for text in [
        "[upstream]\napi_key = \"canary",
        "[upstream]\napi_key = canary",
        "[upstream]\napi_key = [\"canary\"]",
        "[upstream.api_key]\nvalue = \"canary\"",
        "[auth]\nclient_tokens = \"canary\"",
        "[auth]\nclient_tokens = [[\"canary\"]]",
        "[auth]\ntoken = \"canary\"",
        "api_key = \"canary\"",
    ] {
        let problems = Config::from_toml(text).unwrap_err();
        assert!(
            !format!("{problems} {problems:?}").contains("canary"),
            "{problems}"
        );
    }
}

/// Where both are given, the database that instances share is the one; nothing says its password.
#[test]
fn a_shared_ledger_outranks_the_file() {
    let url = "postgres://me:canary@db.example.com/books?sslmode=verify-full";
    for path in [&[][..], &[("PEGASUS_LEDGER__PATH", "off")]] {
        let loaded = with(&[path, &[("PEGASUS_LEDGER__URL", url)]].concat()).unwrap();
        let place = loaded.config.ledger.place.as_ref().unwrap();
        assert_eq!(place.to_string(), "postgres://db.example.com/books");
        for line in [
            "url = \"***\" # environment variable PEGASUS_LEDGER__URL\n",
            " # not used: ledger.url is set\n",
        ] {
            assert!(loaded.effective.contains(line), "{}", loaded.effective);
        }
        assert!(!format!("{loaded:?}").contains("canary"));
    }
    let none = with(&[("PEGASUS_LEDGER__URL", ""), ("PEGASUS_LEDGER__PATH", "off")]);
    assert_eq!(none.unwrap().config.ledger.place, None);
    let (_file, options) = file(&format!("[ledger]\nurl = {url:?}"));
    let place = load(&options, &[]).unwrap().config.ledger.place;
    assert!(matches!(place, Some(Place::Shared(_))), "{place:?}");
    let demo = Overrides {
        demo: true,
        ..options
    };
    let simulated = load(&demo, &[]).unwrap().config.ledger.place;
    assert_eq!(simulated, Some(Place::Memory));
}

#[test]
fn defaults_give_way_to_the_limits_above_them() {
    let config = Config::from_toml(
        "[upstream]\ntotal_timeout = \"2s\"\nmax_connections = 8\n[retry]\nmax_delay = \"0s\"",
    );
    let config = config.unwrap();
    assert_eq!(config.upstream.connect_timeout, Duration::from_secs(2));
    assert_eq!(config.upstream.max_connections_per_host, 8);
    assert_eq!(config.retry.base_delay, Duration::ZERO);

    let effective = with(&[("PEGASUS_UPSTREAM__MAX_CONNECTIONS", "8")])
        .unwrap()
        .effective;
    let line = "max_connections_per_host = 8 # lowered to upstream.max_connections\n";
    assert!(effective.contains(line), "{effective}");
}

#[test]
fn endpoints_can_have_times_of_their_own() {
    let config = Config::from_toml(
        "[cache]\nttl = \"1h\"\nroutes = [\"/create=10m\", \"/create/chat = 0s\"]",
    );
    let cache = config.unwrap().cache;
    let ttls = Route::ALL.map(|route| cache.ttl_of(route).as_secs());
    assert_eq!(ttls, [600, 0, 3600, 3600]);
    assert_eq!(cache.longest_ttl(), Duration::from_hours(1));

    let all = "[cache]\nroutes = [\"/create=2m\", \"/create/chat=3m\", \"/create/batch=2m\", \"/v1/chat/completions=1m\"]";
    let cache = Config::from_toml(all).unwrap().cache;
    assert_eq!(
        cache.longest_ttl(),
        Duration::from_mins(3),
        "nothing has the general one"
    );
    let longer = Config::from_toml("[cache]\nroutes = [\"/create=1d\"]").unwrap();
    assert_eq!(longer.cache.longest_ttl(), Duration::from_hours(24));
}

#[test]
fn a_temperature_may_be_a_number_or_none() {
    let read = |value: &str| {
        let text = format!("[cache]\nmax_temperature = {value}");
        Config::from_toml(&text).map(|config| config.cache.max_temperature)
    };
    assert_eq!(read("0").unwrap(), Some(0.0));
    assert_eq!(read("0.5").unwrap(), Some(0.5));
    assert_eq!(read("\"\"").unwrap(), None);
    let problems = read("2.5").unwrap_err().to_string();
    assert!(
        problems.ends_with("a number from 0 to 2, or \"\" for none"),
        "{problems}"
    );
}

#[test]
fn variables_are_named_after_their_settings() {
    assert_eq!(variable("server.listen"), "PEGASUS_SERVER__LISTEN");
    assert_eq!(variable("max_tokens.simple"), "PEGASUS_MAX_TOKENS__SIMPLE");
    let defaults: toml::Table = layers::DEFAULTS.parse().unwrap();
    assert!(defaults.values().all(Value::is_table));
}
