use super::*;
use crate::chat::{Certainty, Usage};
use crate::metering::account::{Row, Savings, Source, Who};
use crate::metering::budget::Budgets;
use crate::metering::hand::{DAY, Hand};
use crate::metering::overview::Overview;
use crate::request::Route;
use server::PostgresServer;

#[path = "../../../tests/integration/support/postgres.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
pub(super) mod server;

/// 2026-01-02T03:04:05Z.
pub(super) const NOON: i64 = 1_767_323_045_000;

pub(super) fn row(at: i64, model: &str, cost: u64) -> Row {
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

/// Nobody learns anything.
pub(super) fn nobody() -> Learners {
    Learners {
        budgets: Budgets::new(&[]),
        overview: Overview::new(0),
    }
}

/// Waits for what must come; fails with its name if it does not.
pub(super) async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(Duration::from_secs(30), Box::pin(step)).await;
    come.unwrap_or_else(|_| panic!("{what} never came"))
}

/// A place for a ledger.
enum Site {
    Sqlite(tempfile::TempDir),
    Postgres(PostgresServer),
}

impl Site {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Postgres(PostgresServer::start())
    }

    fn place(&self) -> Place {
        match self {
            Self::Sqlite(directory) => Place::File(directory.path().join("ledger.db")),
            Self::Postgres(server) => Place::Shared(Address::parse(&server.url().into()).unwrap()),
        }
    }

    /// Opens it, with a day of retention.
    fn open(&self) -> (Ledger, Box<dyn Reader>) {
        let day = Duration::from_hours(24);
        let ledger = Ledger::open(&self.place(), day, nobody()).unwrap();
        let keeper = ledger.keeper();
        (ledger, keeper)
    }

    /// Waits until there are so many rows of requests.
    async fn has_rows(&self, count: &str) {
        const COUNT: &str = "SELECT count(*) FROM requests";
        let found = || match self {
            Self::Sqlite(directory) => {
                let sqlite = rusqlite::Connection::open(directory.path().join("ledger.db"));
                let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
                let found = sqlite.unwrap().query_one(COUNT, [], count);
                found.unwrap().to_string()
            }
            Self::Postgres(server) => server.run(COUNT),
        };
        soon("the removal of old rows", async {
            while found() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// Each of these holds wherever the ledger is.
macro_rules! everywhere {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::sqlite()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Site::postgres()).await;
            })*
        }
    };
}

everywhere! {
    what_was_entered_is_reported_by_what_is_asked_for
    borders_cut_between_requests_to_the_millisecond
    sums_outlast_their_rows_and_the_process
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

async fn what_was_entered_is_reported_by_what_is_asked_for(site: Site) {
    let (ledger, mut keeper) = site.open();
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
async fn borders_cut_between_requests_to_the_millisecond(site: Site) {
    let (ledger, mut keeper) = site.open();
    let rows: Vec<_> = (0..200)
        .map(|n| row(NOON + n * HOUR / 40, "a", 1))
        .collect();
    keeper.read(&Hand::new(&rows));
    let (from, until) = (NOON - HOUR, NOON + 10 * HOUR);
    for border in (0..60)
        .map(|step| NOON + step * HOUR / 10)
        .chain([NOON + 1, NOON - 1])
    {
        let before = costs(&ledger, from, border, &[]).await[0].1;
        let after = costs(&ledger, border, until, &[]).await[0].1;
        let expected = rows.iter().filter(|row| row.at < border).count() as u64;
        assert_eq!((before, after), (expected, 200 - expected), "{border}");
    }
    assert_eq!(costs(&ledger, NOON + 1, NOON + 2, &[]).await[0].1, 0);
}

async fn sums_outlast_their_rows_and_the_process(site: Site) {
    let (first, mut keeper) = site.open();
    keeper.read(&Hand::new(&[
        row(NOON, "a", 1),
        row(NOON + 5 * DAY, "a", 10),
    ]));
    let all = costs(&first, 0, NOON + 9 * DAY, &[]).await;
    assert_eq!(all[0].1, 11, "also when a row is gone");
    // The older one is removed at once.
    site.has_rows("1").await;
    keeper.close();
    first.close().await;
    drop((first, keeper));
    let (again, mut keeper) = site.open();
    keeper.read(&Hand::new(&[row(NOON + 7 * DAY, "a", 100)]));
    let hour = NOON - NOON % HOUR;
    assert_eq!(costs(&again, hour, hour + 9 * DAY, &[]).await[0].1, 111);
    site.has_rows("1").await;
}

/// Names as clients write them, in every case and script.
const NAMES: [&str; 12] = [
    "a",
    "B",
    "ä",
    "Z",
    "z",
    "\u{1f600}",
    "a b",
    "a\"'\\;--",
    "%s$1",
    "",
    "Ｂ",
    "一",
];

/// A database sorts, compares and adds in its own way; reports do not show that.
#[tokio::test]
async fn the_same_rows_make_the_same_report_everywhere() {
    let sites = [Site::sqlite(), Site::postgres()];
    let mut opened: Vec<_> = sites.iter().map(Site::open).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let name = |random: &mut fastrand::Rng| Some(NAMES[random.usize(..NAMES.len())].into());
    // More than stand by themselves in one hand, and times in all of a day.
    let rows: Vec<_> = (0..3_000)
        .map(|n| Row {
            model: name(&mut random),
            user: name(&mut random),
            endpoint: Some(Route::ALL[random.usize(..3)]),
            source: Source::ALL[random.usize(..Source::ALL.len())],
            who: Who::Named(name(&mut random).unwrap_or_default()),
            cost: random.u64(..2) * random.u64(..1 << 40),
            attempts: random.u32(..2),
            ..row(NOON + n * 10_007, "", 0)
        })
        .collect();
    for (_, keeper) in &mut opened {
        for rows in rows.chunks(1_700) {
            keeper.read(&Hand::new(rows));
        }
    }
    for by in [
        &[][..],
        &Group::ALL,
        &[Group::Model],
        &[Group::User, Group::Hour],
        &[Group::Source, Group::Caller],
        &[Group::Endpoint, Group::Day],
    ] {
        for (from, until) in [(0, i64::MAX / 2), (NOON + HOUR / 2, NOON + 5 * HOUR / 2)] {
            let mut reports = Vec::new();
            for (ledger, _) in &opened {
                reports.push(ledger.report(from, until, by.to_vec()).await.unwrap());
            }
            let [one, other] = &reports[..] else {
                panic!("two ledgers, two reports");
            };
            assert!(!one.lines.is_empty());
            assert_eq!(one.lines, other.lines, "{by:?}");
        }
    }
}

fn embedded(ledger: &Ledger) -> &Embedded {
    match &ledger.kind {
        Kind::Embedded(ledger) => ledger,
        Kind::Shared(_) => panic!("it is in PostgreSQL"),
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_written_later() {
    let site = Site::sqlite();
    let (ledger, mut keeper) = site.open();
    let run = |sql| embedded(&ledger).sqlite.lock().run(sql);
    run("ALTER TABLE requests RENAME TO hidden");
    keeper.read(&Hand::new(&[row(NOON, "a", 1)]));
    keeper.read(&Hand::new(&[row(NOON, "a", 10)]));
    assert_eq!(costs_of_hours(&ledger).await, 0);
    run("ALTER TABLE hidden RENAME TO requests");
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
    let site = Site::sqlite();
    let (ledger, _keeper) = site.open();
    let sql = "PRAGMA user_version = 99";
    embedded(&ledger).sqlite.lock().run(sql);
    let reopened = Ledger::open(&site.place(), Duration::MAX, nobody());
    let error = reopened.err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let place = Place::File(directory.path().to_owned());
    assert!(Ledger::open(&place, Duration::MAX, nobody()).is_err());
}
