use super::*;
use crate::chat::{Certainty, Usage};
use crate::metering::account::{Savings, Source, Who};
use crate::metering::hand::DAY;
use crate::metering::tally::Figure;
use crate::request::Route;

/// 2026-01-02T03:04:05Z.
const NOON: i64 = 1_767_323_045_000;

fn row(at: i64, model: &str, cost: u64) -> Row {
    Row {
        at,
        id: "r".into(),
        endpoint: Some(Route::ChatCompletions),
        model: Some(model.into()),
        served: Some("served".into()),
        who: Who::Named("web".into()),
        user: Some("anna".into()),
        status: 200,
        source: Source::Upstream,
        bought: Some(Usage {
            prompt_tokens: 3,
            completion_tokens: 2,
            total_tokens: 5,
            certainty: Certainty::Reported,
            ..Usage::default()
        }),
        is_priced: true,
        cost,
        saved: Savings {
            compression: 4,
            ..Savings::default()
        },
        attempts: 1,
        ..Row::default()
    }
}

fn ledger(path: Option<&Path>) -> (Ledger, Box<dyn Reader>) {
    let ledger = Ledger::at(path, DAY.unsigned_abs().into()).unwrap();
    let keeper = ledger.keeper();
    (ledger, keeper)
}

async fn costs(ledger: &Ledger, from: i64, until: i64, by: &[Group]) -> Vec<(Vec<String>, u64)> {
    let report = ledger.report(from, until, by.to_vec()).await.unwrap();
    let lines = report.lines.into_iter();
    lines
        .map(|(keys, sums)| (keys, sums.get(Figure::Cost)))
        .collect()
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_was_entered_is_reported_by_what_is_asked_for() {
    let (ledger, mut keeper) = ledger(None);
    keeper.read(&Hand::new(&[row(NOON, "a", 1), row(NOON, "b", 10)]));
    keeper.read(&Hand::new(&[
        row(NOON + HOUR, "a", 100),
        row(NOON + DAY, "a", 1_000),
    ]));
    let all = (NOON - DAY, NOON + 2 * DAY);
    assert_eq!(
        costs(&ledger, all.0, all.1, &[Group::Model]).await,
        [(keys(&["a"]), 1_101), (keys(&["b"]), 10)]
    );
    assert_eq!(
        costs(&ledger, all.0, all.1, &[Group::Day, Group::Model]).await,
        [
            (keys(&["2026-01-02", "a"]), 101),
            (keys(&["2026-01-02", "b"]), 10),
            (keys(&["2026-01-03", "a"]), 1_000),
        ]
    );
    assert_eq!(
        costs(&ledger, all.0, all.1, &[Group::Hour]).await[..2],
        [
            (keys(&["2026-01-02T03:00:00Z"]), 11),
            (keys(&["2026-01-02T04:00:00Z"]), 100),
        ]
    );
    let whose = [Group::Caller, Group::User, Group::Endpoint, Group::Source];
    assert_eq!(
        costs(&ledger, all.0, all.1, &whose).await,
        [(
            keys(&["web", "anna", "/v1/chat/completions", "upstream"]),
            1_111
        )]
    );
    assert_eq!(
        costs(&ledger, all.0, all.1, &[]).await,
        [(Vec::new(), 1_111)]
    );
}

/// Whatever the borders, each request is in exactly one of two reports that meet there.
#[tokio::test]
async fn borders_cut_between_requests_to_the_millisecond() {
    let (ledger, mut keeper) = ledger(None);
    let rows: Vec<_> = (0..200)
        .map(|n| row(NOON + n * HOUR / 40, "a", 1))
        .collect();
    keeper.read(&Hand::new(&rows));
    let (from, until) = (NOON - HOUR, NOON + 10 * HOUR);
    for border in (0..6 * 60)
        .map(|minute| NOON + minute * HOUR / 60)
        .chain([NOON + 1, NOON - 1])
    {
        let before = costs(&ledger, from, border, &[]).await[0].1;
        let after = costs(&ledger, border, until, &[]).await[0].1;
        let expected = rows.iter().filter(|row| row.at < border).count() as u64;
        assert_eq!((before, after), (expected, 200 - expected), "{border}");
    }
    assert_eq!(costs(&ledger, NOON + 1, NOON + 2, &[]).await[0].1, 0);
}

#[tokio::test]
async fn sums_outlast_their_rows_and_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    let (first, mut keeper) = ledger(Some(&path));
    keeper.read(&Hand::new(&[
        row(NOON, "a", 1),
        row(NOON + 5 * DAY, "a", 10),
    ]));
    // The older one was removed at once, and there is nothing left to remove.
    assert_eq!(first.shared.sqlite.lock().forget(NOON + DAY).unwrap(), 0);
    assert_eq!(
        first.shared.sqlite.lock().forget(NOON + 6 * DAY).unwrap(),
        1
    );
    keeper.close();
    drop((first, keeper));
    let (again, mut keeper) = ledger(Some(&path));
    keeper.read(&Hand::new(&[row(NOON + 5 * DAY, "a", 100)]));
    let hour = NOON - NOON % HOUR;
    assert_eq!(costs(&again, hour, hour + 9 * DAY, &[]).await[0].1, 111);
}

#[tokio::test]
async fn what_cannot_be_written_is_written_later() {
    let (ledger, mut keeper) = ledger(None);
    let hide = "ALTER TABLE requests RENAME TO hidden";
    ledger.shared.sqlite.lock().run(hide);
    keeper.read(&Hand::new(&[row(NOON, "a", 1)]));
    keeper.read(&Hand::new(&[row(NOON, "a", 10)]));
    assert_eq!(costs_of_hours(&ledger).await, 0);
    ledger
        .shared
        .sqlite
        .lock()
        .run("ALTER TABLE hidden RENAME TO requests");
    keeper.read(&Hand::new(&[]));
    assert_eq!((costs_of_hours(&ledger).await, ledger.lost()), (11, 0));
}

async fn costs_of_hours(ledger: &Ledger) -> u64 {
    let hour = NOON - NOON % HOUR;
    let report = ledger.report(hour, hour + HOUR, Vec::new()).await;
    report.map_or(0, |report| report.lines[0].1.get(Figure::Cost))
}

#[test]
fn a_ledger_of_a_later_version_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    ledger(Some(&path))
        .0
        .shared
        .sqlite
        .lock()
        .run("PRAGMA user_version = 99");
    let error = Ledger::at(Some(&path), 1).err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
    assert!(Ledger::at(Some(directory.path()), 1).is_err());
}
