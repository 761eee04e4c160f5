//! What is refused, and how it is told.

use super::*;

#[test]
fn all_problems_are_told_at_once() {
    let (file, options) = file(
        "[server]\nlisten = \"localhost\"\nmax_body_bytes = \"10MB\"\nheader_read_timeout = 10\n\
         lisen = \"x\"\n\
         [cahce]\nttl = \"1h\"\n\
         [cache]\nscope = \"all\"\n\
         [retry]\nmax_attempts = 0\nbudget = 1.5\n",
    );
    let problems = load(&options, &[]).unwrap_err();
    assert_eq!(problems.0.len(), 8, "{problems}");
    let text = problems.to_string();
    assert_eq!(text.lines().count(), 8, "{text}");
    let from = format!("(file {})", file.path().display());
    for (start, part) in [
        ("server.listen = \"localhost\" ", "\"127.0.0.1:3000\""),
        ("server.max_body_bytes = \"10MB\" ", "write \"10MiB\""),
        (
            "server.header_read_timeout = 10 ",
            "a duration such as \"30s\"",
        ),
        ("server.lisen ", "did you mean server.listen?"),
        ("cahce ", "did you mean cache?"),
        ("cache.scope = \"all\" ", "credential or global"),
        ("retry.max_attempts = 0 ", "a whole number from 1 to 100"),
        ("retry.budget = 1.5 ", "a number from 0 to 1"),
    ] {
        let line = text
            .lines()
            .find(|line| line.starts_with(start))
            .expect(start);
        assert!(line.contains(part) && line.contains(&from), "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_client_is_told_without_its_token() {
    let digest = "ab".repeat(32);
    for (clients, says) in [
        ("\"SECRET\"", "a table such as { name ="),
        ("{ token_sha256 = \"DIGEST\" }", "as name of a client"),
        (
            "{ name = \"a b\", token_sha256 = \"DIGEST\" }",
            "as name of a client",
        ),
        (
            "{ name = \"a SECRET\", token_sha256 = \"DIGEST\" }",
            "as name of a client",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", max_in_flight = \"SECRET\" }",
            "max_in_flight of \"web\"",
        ),
        ("{ name = \"web\" }", "token_sha256 of \"web\" the SHA-256"),
        ("{ name = \"web\", token_sha256 = \"SECRET\" }", "sha256sum"),
        (
            "{ name = \"web\", token_sha256 = 5 }",
            "64 hexadecimal digits",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", requests_per_minute = 0 }",
            "requests_per_minute of \"web\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", max_in_flight = \"9\" }",
            "max_in_flight of \"web\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", budget_usd_per_day = \"SECRET\" }",
            "budget_usd_per_day of \"web\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", budget_usd_per_day = -1 }",
            "dollars from 0 to 1000000",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", budget_usd_per_month = 1000000.1 }",
            "budget_usd_per_month of \"web\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", budget_usd_per_month = 0.0000000001 }",
            "at most 9 decimals",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", budget_usd_per_month = nan }",
            "budget_usd_per_month of \"web\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", max_inflight = 9 }",
            "did you mean max_in_flight?",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\", token = \"SECRET\" }",
            "there is no field \"token\"",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\" }, { name = \"web\", token_sha256 = \"OTHER\" }",
            "each name once",
        ),
        (
            "{ name = \"web\", token_sha256 = \"DIGEST\" }, { name = \"app\", token_sha256 = \"DIGEST\" }",
            "a token of its own",
        ),
        (
            "{ name = \"web\", token_sha256 = \"PLAIN\" }",
            "a token of its own",
        ),
    ] {
        let clients = clients
            .replace("DIGEST", &digest)
            .replace("OTHER", &"cd".repeat(32))
            // The SHA-256 of "plain".
            .replace("PLAIN", &hex(Client::digest("plain")));
        let text = format!("[auth]\nclient_tokens = [\"plain\"]\nclients = [{clients}]");
        let problems = Config::from_toml(&text).unwrap_err().to_string();
        assert!(
            problems.contains(says) && problems.starts_with("auth.clients"),
            "{problems}"
        );
        assert!(
            !problems.contains("SECRET") && problems.lines().count() == 1,
            "{problems}"
        );
    }
    // What is no list at all may be a token as well, and so may what is left of a list without its bracket.
    let no_list = Config::from_toml("[auth]\nclients = \"SECRET\"").unwrap_err();
    let half = with(&[(
        "PEGASUS_AUTH__CLIENTS",
        "[{ name = \"web\", token_sha256 = \"SECRET\"",
    )]);
    for problems in [no_list, half.unwrap_err()] {
        assert!(!problems.to_string().contains("SECRET"), "{problems}");
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[test]
fn problems_of_all_sources_are_told_together() {
    let (_file, mut options) = file("[cache]\nttl = \"0s\"");
    options.listen = Some("nowhere".to_owned());
    let problems = load(
        &options,
        &[("PEGASUS_RETRY__BUDGET", "lots"), ("PEGASUS_X", "1")],
    );
    let text = problems.unwrap_err().to_string();
    for part in [
        "server.listen = \"nowhere\" (command line option --listen)",
        "cache.ttl = \"0s\" (file ",
        "retry.budget = \"lots\" (environment variable PEGASUS_RETRY__BUDGET)",
        "PEGASUS_X (environment variable PEGASUS_X)",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn each_of_these_is_one_problem() {
    for text in [
        "[server]\nlisten = \"127.0.0.1\"",
        "[server]\nlisten = 3000",
        "[server]\nlisten = \"\"",
        "[server]\nmax_body_bytes = 0",
        "[server]\nmax_body_bytes = -1",
        "[server]\nmax_body_bytes = 1.5",
        "[server]\nmax_connections = 0",
        "[server]\nmax_connections = \"12\"",
        "[server]\nbody_read_timeout = \"0s\"",
        "[server]\nshutdown_grace = \"-1s\"",
        "[server]\ncors_origins = [\"*\"]",
        "[server]\ncors_origins = [\"https://a.example/\"]",
        "[server]\ncors_origins = \"https://a.example\"",
        "[upstream]\nbase_url = \"openrouter.ai\"",
        "[upstream]\nforward_headers = [\"cookie\"]",
        "[upstream]\nconnect_timeout = \"31s\"",
        "[upstream]\nconnect_timeout = \"3s\"\ntotal_timeout = \"2s\"",
        "[upstream]\nmax_connections_per_host = 301",
        "[upstream]\nhttp2 = \"yes\"",
        "[upstream]\nprompt_cache = \"always\"",
        "[compression]\nlevel = \"brutal\"",
        "[compression]\nroutes = [\"/create\"]",
        "[compression]\nroutes = [\"/v1/models=safe\"]",
        "[compression]\nroutes = [\"/create=brutal\"]",
        "[compression]\nroles = [\"king\"]",
        "[compression]\nroles = [\"tool=\"]",
        "[compression]\nroles = [\"user=safe\", \"user=aggressive\"]",
        "[compression]\nroles = [\"developer=off\", \"system\"]",
        "[compression]\nroutes = [\"/create=safe\", \"/create=off\"]",
        "[compression]\nrules.deny = [\"phrase\"]",
        "[compression]\nrules.allow = []",
        "[compression.rules]\ndeny = \"phrases\"",
        "[cache]\nenabled = 1",
        "[cache]\nmax_entries = 0",
        "[cache]\nadmit = []",
        "[cache]\nadmit = \"stop\"",
        "[cache]\nadmit = [\"stop\", \"empty\"]",
        "[cache]\nadmit = [\"stop\", \"length\", \"stop\"]",
        "[cache]\nmax_temperature = 2.1",
        "[cache]\nmax_temperature = -0.1",
        "[cache]\nmax_temperature = nan",
        "[cache]\nmax_temperature = \"0.5\"",
        "[cache]\nmax_temperature = \"none\"",
        "[cache]\nroutes = [\"/create\"]",
        "[cache]\nroutes = [\"/create=\"]",
        "[cache]\nroutes = [\"/create=10\"]",
        "[cache]\nroutes = [\"/v1/models=10m\"]",
        "[cache]\nroutes = [\"/create=10m\", \"/create=20m\"]",
        "[cache]\nredis_url = \"http://host\"",
        "[cache]\nredis_url = \"host:6379\"",
        "[cache]\nredis_url = \"redis://a,redis://\"",
        "[cache]\nredis_namespace = \"a:b\"",
        "[cache]\nredis_timeout = \"0s\"",
        "[cache]\nvariants = 0",
        "[cache]\neviction = \"random\"",
        "[cache]\nsnapshot = \"/no/such/place/answers\"",
        "[cache]\nsnapshot = \"answers\"\nredis_url = \"redis://host\"",
        "[breaker]\nfailure_threshold = 0",
        "[breaker]\nfailure_threshold = 5000000000",
        "[breaker]\nhalf_open_probes = 0",
        "[breaker]\nopen_for = \"0s\"",
        "[retry]\nbase_delay = \"11s\"",
        "[retry]\nbudget = nan",
        "[retry]\nbudget = -0.1",
        "[max_tokens]\nsimple = 0",
        "[create]\nmodel = \" \"",
        "[create]\ntemperature = 2.1",
        "[chat]\npresence_penalty = -3",
        "[chat]\nfrequency_penalty = 3",
        "[chat]\nmax_prompt_chars = 0",
        "[auth]\nclient_tokens = [\"\"]",
        "[auth]\nclient_tokens = [\"a\", \"b\", \"a\"]",
        "[auth]\nclient_tokens = [\"a\"]\nadmin_token = \"a\"",
        "[auth]\nadmin_token = 5",
        "[auth]\nallow_anonymous = \"true\"",
        "[log]\nlevel = \"verbose\"",
        "[log]\nformat = \"xml\"",
        "[metering]\nprices_file = \"/nonexistent/prices.toml\"",
        "[server.listen]\nport = 1",
        "server = 1",
        "[servers]",
        "[[cash]]",
        "listen = \"x\"",
        "[cache]\nttl = 1979-05-27",
        "[cache",
    ] {
        is_one_problem(text);
    }
}

#[test]
fn each_of_these_is_one_problem_of_what_goes_on_beside() {
    for text in [
        "[prefetch]\nenabled = \"yes\"",
        "[prefetch]\nenabled = true\n[cache]\nenabled = false",
        "[prefetch]\nenabled = true\n[cache]\nscope = \"global\"\n[auth]\nclient_tokens = [\"a\"]",
        "[prefetch]\nbudget_usd_per_day = -1",
        "[prefetch]\nmax_share = 0.95",
        "[prefetch]\nvalue_per_second = \"1s\"",
        "[prefetch]\nmax_bytes = \"much\"",
        "[batch]\nconcurrency = 0",
        "[batch]\nconcurrency = 257",
        "[batch]\nwindow = \"2s\"",
        "[batch]\nwindow = 5",
        "[batch]\nmax_inputs = 0",
        "[batch]\nmax_inputs = 2049",
        "[tuning]\nmode = \"on\"",
        "[tuning]\ninterval = \"0s\"",
        "[tuning]\ninterval = \"25h\"",
        "[tuning]\nmin_entries = 10\nmax_entries = 9",
        "[tuning]\nmin_ttl = \"2h\"\nmax_ttl = \"1h\"",
        "[tuning]\nmin_tokens = 20\nmax_tokens = 10",
        "[tuning]\nmin_concurrency = 0",
        "[tuning]\nmemory_usd_per_gib_month = -1",
    ] {
        is_one_problem(text);
    }
}

fn is_one_problem(text: &str) {
    let problems = Config::from_toml(text).expect_err(text);
    assert_eq!(problems.0.len(), 1, "{text}: {problems}");
    assert_eq!(problems.to_string().lines().count(), 1, "{problems}");
}

#[test]
fn what_may_be_kept_is_told() {
    let told = |value: &str| {
        let problems = Config::from_toml(&format!("[cache]\nadmit = {value}")).unwrap_err();
        problems.to_string()
    };
    let all = "stop, tool_calls, length, content_filter, refusal";
    let unknown = told("[\"stop\", \"empty\"]");
    assert!(
        unknown.contains("\"empty\"") && unknown.contains(all),
        "{unknown}"
    );
    let none = told("[]");
    assert!(
        none.contains(all) && none.contains("cache.enabled = false"),
        "{none}"
    );
    let twice = told("[\"length\", \"length\"]");
    assert!(twice.contains("length stands there twice"), "{twice}");
}

#[test]
fn both_sides_of_a_wrong_combination_are_named() {
    let (_file, options) = file("[retry]\nmax_delay = \"2s\"");
    let problems = load(&options, &[("PEGASUS_RETRY__BASE_DELAY", "3s")]).unwrap_err();
    let text = problems.to_string();
    for part in [
        "PEGASUS_RETRY__BASE_DELAY",
        "retry.max_delay, which is \"2s\" (file ",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let problems = Config::from_toml("[retry]\nbase_delay = \"11s\"").unwrap_err();
    assert!(
        problems.to_string().contains("\"10s\" (built-in default)"),
        "{problems}"
    );
}

#[test]
fn a_setting_that_cannot_be_read_starts_no_further_problem() {
    for text in [
        "[retry]\nbase_delay = \"soon\"\nmax_delay = \"1ms\"",
        "[upstream]\nconnect_timeout = \"9s\"\ntotal_timeout = \"soon\"",
        "[upstream]\napi_key = \"k\"\n[server]\nlisten = \"0.0.0.0:1\"\n[auth]\nclient_tokens = [1]",
    ] {
        let problems = Config::from_toml(text).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
    }
}

#[test]
fn syntax_errors_have_a_place() {
    let (file, options) = file("[server]\nlisten = \"127.0.0.1:1\"\n  max_in_flight = = 5\n");
    let problems = load(&options, &[("PEGASUS_X", "1")]).unwrap_err();
    assert_eq!(problems.0.len(), 2, "{problems}");
    let start = format!(
        "line 3, column 19 (file {}): expected valid TOML",
        file.path().display()
    );
    assert!(problems.to_string().starts_with(&start), "{problems}");

    let problems = Config::from_toml("[cache]\nttl = \"1h\"\nttl = \"2h\"").unwrap_err();
    assert!(
        problems.to_string().starts_with("line 3, column 1 "),
        "{problems}"
    );
}

#[test]
fn a_missing_file_is_a_problem_among_others() {
    let options = Overrides {
        config: Some("/nonexistent/pegasus.toml".into()),
        ..Overrides::default()
    };
    let variables = [
        ("PEGASUS_X", "1"),
        ("OPENAI_API_KEY", "k"),
        ("PEGASUS_SERVER__LISTEN", "0.0.0.0:1"),
    ];
    let problems = load(&options, &variables).unwrap_err();
    assert_eq!(
        problems.0.len(),
        2,
        "what the file might have mended is not judged: {problems}"
    );
    assert!(
        problems.to_string().contains("/nonexistent/pegasus.toml"),
        "{problems}"
    );
}

#[test]
fn prices_are_read_from_the_file_named() {
    let (prices, _) = file("[models.\"my/model\"]\ninput = 1\noutput = 2\n");
    let path = prices.path().to_str().unwrap();
    let loaded = with(&[("PEGASUS_METERING__PRICES_FILE", path)]).unwrap();
    let prices = &loaded.config.metering.prices;
    assert_eq!(prices.cost("my/model", None, &ONE_EACH), Some(3000));
    assert_eq!(prices.cost("gpt-4o", None, &ONE_EACH), Some(12_500));
}

#[test]
fn what_is_learned_is_judged_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, "version = 1\nrule = 2\n").unwrap();
    let settings =
        |learn: &str| format!("[compression]\nlearn = {learn:?}\nrules.file = {rules:?}\n");
    for (settings, part) in [
        (settings("yes"), "off, observe or act"),
        (settings("observe"), "rules.toml, line 2: "),
        (settings("act"), "a file of compression rules"),
        ("compression.holdout = 0.9".to_owned(), "from 0 to 0.5"),
        ("compression.learn_callers = 0".to_owned(), "from 1 to 16"),
        (
            "compression.rules.file = \"\"".to_owned(),
            "the path of a file",
        ),
        (
            "compression.rules.file = \"/\"".to_owned(),
            "not of a directory",
        ),
    ] {
        let problems = Config::from_toml(&settings).unwrap_err().to_string();
        assert!(problems.contains(part), "{part} in {problems}");
    }
    // Where nothing is learned it does not matter what stands there.
    assert!(Config::from_toml(&settings("off")).is_ok());
}
