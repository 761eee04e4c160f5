//! P98: whoever sets the clock on the wall changes nothing but the times that people read.
//!
//! That times to live, breaker and deadlines follow tokio's clock is proved beside them, by tests that pause it. This
//! test keeps the other clock out: each place that reads it is listed with its reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What reads the clock on the wall.
const READS: [&str; 6] = [
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "UNIX_EPOCH.elapsed",
];

/// Who may, how often, and for whom.
const READERS: [(&str, usize, &str); 22] = [
    ("demo/chat.rs", 1, "`created` in the demo's answers"),
    ("edge.rs", 1, "when the process began, for Prometheus"),
    ("edge/access.rs", 1, "when a request came, for the ledger"),
    ("edge/admin.rs", 1, "a timestamp for people"),
    ("edge/clear.rs", 1, "a timestamp for people"),
    ("edge/health.rs", 4, "timestamps for people"),
    (
        "layers/breaker/circuit.rs",
        1,
        "when a call failed last, for people",
    ),
    (
        "edge/live.rs",
        1,
        "a timestamp for people, and which day it is",
    ),
    ("edge/usage.rs", 1, "until when reports go that do not say"),
    (
        "edge/usage/savings.rs",
        1,
        "until when reports go that do not say",
    ),
    ("layers/retry.rs", 1, "a Retry-After that is a date"),
    ("logging/line.rs", 1, "the time of a line in the log"),
    ("metering/fetch.rs", 1, "of which day fetched prices are"),
    (
        "metering/budget/purses.rs",
        1,
        "which day's and month's budget it is",
    ),
    ("stack.rs", 1, "which sums of the ledger are today's"),
    (
        "store/snapshot/moment.rs",
        1,
        "ages across a restart of the machine, for want of another clock",
    ),
    (
        "tuning/journal.rs",
        1,
        "when a decision was made, for people",
    ),
    (
        "cli/rules.rs",
        4,
        "since when a version of learned rules is in force, which lasts over restarts; and a time for people",
    ),
    (
        "cli/rules/approve.rs",
        1,
        "since when a version of learned rules is in force, which lasts over restarts",
    ),
    (
        "tuning/learn.rs",
        1,
        "since when a version of learned rules is in force, which lasts over restarts",
    ),
    (
        "tuning/prefetch/worker.rs",
        1,
        "when a call ahead was made, for the ledger",
    ),
    (
        "telemetry/span.rs",
        1,
        "when a traced request came, for its spans",
    ),
];

/// Counts the reads in all source files at or below a path, tests aside.
fn count(path: &Path, root: &Path, found: &mut BTreeMap<String, usize>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            count(&entry.unwrap().path(), root, found);
        }
        return;
    }
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
    if is_test || path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let source = fs::read_to_string(path).unwrap();
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let reads = READS.iter().map(|read| code.matches(read).count()).sum();
    if reads > 0 {
        found.insert(name.to_owned(), reads);
    }
}

#[test]
fn p98_the_clock_on_the_wall_decides_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    count(&root, &root, &mut found);
    let listed = READERS.map(|(file, reads, _)| (file.to_owned(), reads));
    assert_eq!(
        found,
        BTreeMap::from(listed),
        "a new reader needs its reason in the list"
    );
}
