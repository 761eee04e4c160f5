//! `--sweep`: what other settings would have come to is what a replay with them comes to.

use serde_json::Value;

use super::{asking, figure, line, log, report};

/// 300 questions in turn, for ever: with fewer entries than that none is ever there when it is asked again.
fn cycle() -> tempfile::NamedTempFile {
    log((0_u32..900).map(|n| {
        let prompt = format!("Question {}, please:  what is it?", n % 300);
        line(f64::from(n) * 1.5, &asking("a", &prompt))
    }))
}

fn tried<'r>(report: &'r Value, entries: u64, ttl_ms: u64, level: &str) -> &'r Value {
    let all = report["sweep"]["tried"].as_array().unwrap();
    let found = all.iter().find(|tried| {
        (figure(tried, "/maxEntries"), figure(tried, "/ttlMs")) == (entries, ttl_ms)
            && tried["level"] == level
    });
    found.unwrap_or_else(|| panic!("{entries} {ttl_ms} {level} is not in {report}"))
}

const MINUTE: u64 = 60_000;

#[tokio::test]
async fn the_smallest_cache_that_holds_the_cycle_is_recommended() {
    let swept = report(&cycle(), "cache.max_entries = 250", &["--sweep"]).await;
    let best = &swept["sweep"]["recommended"];
    // A question comes again after 450 seconds.
    assert_eq!(
        (figure(best, "/maxEntries"), figure(best, "/ttlMs")),
        (1_000, 60 * MINUTE)
    );
    assert_eq!(best["level"], "off");
    assert_eq!(figure(best, "/hits"), 600);
    assert_eq!(figure(&swept, "/sweep/current/hits"), 0);
    assert_eq!(figure(tried(&swept, 4_000, 5 * MINUTE, "off"), "/hits"), 0);
    // To paste, and to come to what was promised.
    let toml = swept["sweep"]["toml"].as_str().unwrap();
    assert!(toml.contains("max_entries = 1000\nttl = \"1h\""), "{toml}");
    let replayed = report(&cycle(), toml, &[]).await;
    assert_eq!(replayed["total"]["costNanoUsd"], best["costNanoUsd"]);
    assert_eq!(replayed["total"]["hits"], best["hits"]);
}

/// Short of room, time and luck: overlaps, failures, evictions, expiries, streams, `/create`, two callers and both ways to
/// evict.
#[tokio::test]
async fn each_combination_comes_to_what_a_replay_with_it_comes_to() {
    let lines = (0_u32..400).map(|n| {
        let number = n * n % 701 % (1 + n * 7 % 331);
        let wordy = "In order to be sure,  we would like you to tell us what it is. ".repeat(9);
        let mut line = line(
            f64::from(n) * 2.3,
            &asking("a", &format!("{wordy}{number}")),
        );
        if number % 5 == 0 {
            line["request"] =
                serde_json::json!({"prompt": format!("{wordy}{number}"), "model": "b"});
        }
        line["latency_ms"] = (n % 40 * 1_000).into();
        line["caller"] = if number % 2 == 0 {
            "one".into()
        } else {
            "other".into()
        };
        line["request"]["stream"] = (number % 3 == 0).into();
        match number % 31 {
            0 if n > 100 => line["response"] = serde_json::json!({"status_code": 503, "body": {}}),
            1 => line["response"] = "Just a text.".into(),
            2 => line["response"] = Value::Null,
            3 => line["response"] = serde_json::json!({"choices": []}),
            _ => {}
        }
        line
    });
    let log = log(lines);
    for eviction in ["lru", "value"] {
        let own = format!("cache.eviction = \"{eviction}\"\ncache.sweep_interval = \"1m\"\n");
        let swept = report(&log, &own, &["--sweep"]).await;
        let same = |replayed: &Value, tried: &Value| {
            let total = &replayed["total"];
            for (ours, theirs) in [
                ("/costNanoUsd", "/costNanoUsd"),
                ("/hits", "/hits"),
                ("/joined", "/joined"),
                ("/requests", "/requests"),
                ("/cacheNanoUsd", "/saved/cacheNanoUsd"),
                ("/dedupNanoUsd", "/saved/dedupNanoUsd"),
                ("/compressionNanoUsd", "/saved/compressionNanoUsd"),
            ] {
                assert_eq!(
                    figure(tried, ours),
                    figure(total, theirs),
                    "{ours}\n{tried}\n{total}"
                );
            }
        };
        // The sweep changes nothing of the replay that it goes with.
        same(&swept, &swept["sweep"]["current"]);
        for (entries, ttl, level) in [
            (250, "5m", "aggressive"),
            (1_000, "1d", "safe"),
            (4_000, "6h", "balanced"),
        ] {
            let settings = format!(
                "{own}cache.max_entries = {entries}\ncache.ttl = \"{ttl}\"\ncompression.level = \"{level}\"\n"
            );
            let replayed = report(&log, &settings, &[]).await;
            let minutes = figure(&replayed, "/settings/ttlMs");
            same(&replayed, tried(&swept, entries, minutes, level));
            assert!(figure(&replayed, "/total/hits") > 0 && figure(&replayed, "/total/joined") > 0);
        }
    }
}
