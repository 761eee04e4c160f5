use futures_util::future::join_all;

use super::batch::Batch;
use super::link::Link;
use super::*;
use crate::config::Client;
use crate::metering::account::Who;
use crate::metering::books::Reader as _;
use crate::metering::budget::Budget;
use crate::metering::hand::{DAY, Group};
use crate::metering::ledger::MAX_PENDING;
use crate::metering::ledger::tests::server::PostgresServer;
use crate::metering::ledger::tests::{NOON, nobody, row, soon};
use crate::metering::tally::Figure;

fn address(server: &PostgresServer) -> Address {
    Address::parse(&server.url().into()).unwrap()
}

/// A shared ledger, and what hands rows to it.
fn open(server: &PostgresServer) -> (Postgres, Clerk) {
    let ledger = Postgres::open(&address(server), 30 * DAY, nobody()).unwrap();
    let shared = Arc::clone(&ledger.shared);
    (ledger, Clerk { shared })
}

fn groups(rows: &[Row]) -> Vec<Group<'_>> {
    Hand::new(rows).groups
}

fn batch<'b>(number: i64, groups: &'b [Group<'b>]) -> Batch<'b> {
    Batch {
        writer: "writer",
        number,
        groups,
    }
}

/// What the ledger has: rows, requests in the sums of hours, and what was spent.
fn found(server: &PostgresServer) -> String {
    server.run(
        "SELECT (SELECT count(*) FROM requests), (SELECT sum(requests) FROM hours), \
         (SELECT sum(cost_nano_usd) FROM spending)",
    )
}

#[tokio::test]
async fn a_batch_is_entered_once_however_often_it_is_tried() {
    let server = PostgresServer::start();
    let link = Link::connect_writer(&address(&server)).await.unwrap();
    let rows = [row(NOON, "a", 1), row(NOON + DAY, "b", 10)];
    let (all, last) = (groups(&rows), groups(&rows[1..]));
    link.enter(&batch(1, &all)).await.unwrap();
    assert_eq!(found(&server), "2|2|11");
    link.enter(&batch(1, &all)).await.unwrap();
    // Nor by another connection, which knows nothing of the first.
    let other = Link::connect_writer(&address(&server)).await.unwrap();
    other.enter(&batch(1, &all)).await.unwrap();
    assert_eq!(found(&server), "2|2|11");
    other.enter(&batch(2, &last)).await.unwrap();
    assert_eq!(found(&server), "3|3|21");

    // A try whose fate is open: the next one waits for it, and then knows.
    for (end, expected) in [("COMMIT", "3|3|21"), ("ROLLBACK", "4|4|22")] {
        let open = "BEGIN; UPDATE writers SET batch = batch + 1";
        let held = Link::connect(&address(&server)).await.unwrap();
        held.run(open).await;
        let number: i64 = server.run("SELECT batch FROM writers").parse().unwrap();
        let next = groups(&rows[..1]);
        let (this, next) = (number + 1, batch(number + 1, &next));
        let ending = soon("the second try", async {
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            while server.run(waits) == "0" {
                tokio::task::yield_now().await;
            }
            held.run(end).await;
        });
        let (entered, ()) = tokio::join!(link.enter(&next), ending);
        entered.unwrap();
        assert_eq!(found(&server), expected, "{end} of {this}");
    }
}

#[tokio::test]
async fn rows_that_the_server_refuses_are_dropped_and_hold_up_no_others() {
    let server = PostgresServer::start();
    let (ledger, mut clerk) = open(&server);
    ledger.sums(Vec::new(), [0; 4], 1).await.unwrap();
    server.run("ALTER TABLE requests ADD CHECK (model <> 'bad')");
    server.run("ALTER TABLE hours ADD CHECK (\"user\" <> 'worse')");
    server.run(&format!(
        "INSERT INTO spending VALUES ({}, 'rich', {})",
        NOON - NOON % DAY,
        i64::MAX
    ));
    let mut rows: Vec<_> = (0..300).map(|n| row(NOON + n, "a", 1)).collect();
    rows[0].model = Some("bad".into());
    rows[77].user = Some("worse".into());
    rows[78].user = Some("worse".into());
    rows[200].who = Who::Named("rich".into());
    rows[299].model = Some("bad".into());
    // What PostgreSQL does not take in a text is no reason to lose a row.
    rows[100].model = Some("nu\0l".into());
    clerk.read(&Hand::new(&rows));
    ledger.shared.queue.settled().await;
    assert_eq!((ledger.lost(), ledger.waiting()), (5, 0));
    let kept = server.run("SELECT count(*), (SELECT sum(requests) FROM hours) FROM requests");
    assert_eq!(kept, "295|295");
    let nul = "SELECT count(*) FROM requests WHERE model = 'nu' || chr(65533) || 'l'";
    assert_eq!(server.run(nul), "1");
    // And it goes on as if nothing had been.
    clerk.read(&Hand::new(&rows[1..2]));
    ledger.shared.queue.settled().await;
    assert_eq!(server.run("SELECT count(*) FROM requests"), "296");
}

/// Many begin at once, add to the same sums and remove the same rows.
#[tokio::test]
async fn several_at_once_do_not_get_in_each_others_way() {
    let server = PostgresServer::start();
    let address_of_all = address(&server);
    let links = join_all((0..8).map(|_| Link::connect(&address_of_all))).await;
    for link in links {
        assert!(link.is_ok(), "{:?}", link.err());
    }
    let ledgers: Vec<_> = (0..6).map(|_| open(&server)).collect();
    let tasks = ledgers
        .into_iter()
        .enumerate()
        .map(|(at, (ledger, mut clerk))| async move {
            for turn in 0..10 {
                let names = (0..20).map(|n| format!("m{}", (n * 7 + at * 3 + turn) % 20));
                let mut rows: Vec<_> = names.map(|name| row(NOON, &name, 1)).collect();
                // This one is too old at once.
                rows.push(row(NOON - 40 * DAY, "old", 1));
                clerk.read(&Hand::new(&rows));
                ledger.shared.queue.settled().await;
            }
            let link = Link::connect(&address_of(&ledger)).await.unwrap();
            while link.forget(NOON, 30 * DAY).await.unwrap() > 0 {}
            // Of an instance whose clock is two hundred years ahead.
            let early = link.forget(NOON + 73_000 * DAY, 36_500 * DAY).await;
            assert_eq!(early.unwrap(), 0);
            (ledger, clerk)
        });
    let ledgers = join_all(tasks).await;
    for (ledger, _) in &ledgers {
        assert_eq!((ledger.lost(), ledger.waiting()), (0, 0));
    }
    assert_eq!(found(&server), "1200|1260|1260");
    let each = "SELECT DISTINCT cost_nano_usd FROM hours WHERE model <> 'old'";
    assert_eq!(server.run(each), "60");
    assert_eq!(server.run("SELECT count(*) FROM writers"), "6");
    assert_eq!(server.run("SELECT version FROM pegasus_nest"), "1");
}

fn address_of(ledger: &Postgres) -> Address {
    (*ledger.shared.address).clone()
}

#[tokio::test]
async fn a_database_that_is_no_ledger_of_this_version_is_left_alone() {
    let server = PostgresServer::start();
    let (ledger, clerk) = open(&server);
    ledger.sums(Vec::new(), [0; 4], 1).await.unwrap();
    drop((ledger, clerk));
    server.run("UPDATE pegasus_nest SET version = 99");
    let (ledger, mut clerk) = open(&server);
    clerk.read(&Hand::new(&[row(NOON, "a", 1)]));
    let error = ledger.sums(Vec::new(), [0; 4], 1).await.unwrap_err();
    let expected = "it is of version 99; this program knows version 1";
    assert_eq!(error, Failed::Away(expected.to_owned()));
    assert_eq!(server.run("SELECT count(*) FROM requests"), "0");
    assert_eq!((ledger.lost(), ledger.waiting()), (0, 1));
    // Once it is what it should be, what waited is written.
    server.run("UPDATE pegasus_nest SET version = 1");
    let written = ledger.shared.queue.until(|progress| progress.done == 1);
    soon("the row that waited", written).await;
    assert_eq!(server.run("SELECT count(*) FROM requests"), "1");

    server.run_in("postgres", "CREATE DATABASE other");
    server.run_in("other", "CREATE TABLE hours (worked BIGINT)");
    let other = Address::parse(&server.url_of("other").into()).unwrap();
    let error = Link::connect(&other).await.err().unwrap().to_string();
    assert!(
        error.contains("relation \"hours\" already exists")
            && error.contains("a schema by options"),
        "{error}"
    );
    // In a schema of its own there is room.
    server.run_in("other", "CREATE SCHEMA books");
    let url = server.url_of("other") + "?options=-csearch_path%3Dbooks";
    Link::connect(&Address::parse(&url.into()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        server.run_in("other", "SELECT count(*) FROM books.hours"),
        "0"
    );
}

/// What others spend is learned of, and what is spent here is not counted twice.
#[tokio::test]
async fn budgets_know_what_is_spent_everywhere() {
    let server = PostgresServer::start();
    let client = Client {
        name: "web".into(),
        token_sha256: [0; 32],
        requests_per_minute: None,
        max_in_flight: None,
        budget_usd_per_day: Some(100),
        budget_usd_per_month: Some(1_000),
    };
    let midnight = NOON - NOON % DAY;
    let start = || {
        let budgets = Budgets::by(std::slice::from_ref(&client), Arc::new(|| NOON));
        let learners = Learners {
            budgets: budgets.clone(),
            overview: Overview::new(midnight / DAY),
        };
        let overview = learners.overview.clone();
        let ledger = Postgres::open(&address(&server), 30 * DAY, learners).unwrap();
        let shared = Arc::clone(&ledger.shared);
        (
            ledger,
            Clerk { shared },
            budgets.of("web").unwrap(),
            overview,
        )
    };
    let pay = |clerk: &mut Clerk, budget: &Budget, at, cost| {
        budget.charge(at, cost);
        clerk.read(&Hand::new(&[row(at, "a", cost)]));
    };
    let (first, mut clerk, budget, _) = start();
    pay(&mut clerk, &budget, NOON, 81);
    pay(&mut clerk, &budget, midnight - 1, 800);
    first.shared.queue.settled().await;
    let standing = |budget: &Budget| {
        let told = budget.standing().unwrap_or_default();
        let spent = told
            .split(' ')
            .filter_map(|part| part.strip_prefix("spent="));
        spent.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(standing(&budget), ["0.000000081;", "0.000000881;"]);

    // Another process begins with all of it.
    let (second, mut other_clerk, other, overview) = start();
    second.begun().await;
    assert_eq!(standing(&other), ["0.000000081;", "0.000000881;"]);
    pay(&mut other_clerk, &other, NOON, 9);
    assert_eq!(standing(&other), ["0.00000009;", "0.00000089;"]);
    // The first one hears of it, and neither counts anything twice.
    let hears = async |budget: &Budget, spent: [&str; 2]| {
        soon("what others have spent", async {
            while standing(budget) != spent {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    hears(&budget, ["0.00000009;", "0.00000089;"]).await;
    pay(&mut clerk, &budget, NOON, 1);
    hears(&other, ["0.000000091;", "0.000000891;"]).await;
    assert_eq!(standing(&budget), ["0.000000091;", "0.000000891;"]);
    let mut changes = overview.changes();
    let told = changes.wait_for(|change| *change > 0);
    soon("the sums of earlier times", told).await.unwrap();
    let known = overview.known();
    assert_eq!(
        (
            known.overall.get(Figure::Cost),
            known.of_day(midnight / DAY).get(Figure::Cost)
        ),
        (881, 81)
    );
}

/// While there is no server the oldest rows make room, and are counted.
#[tokio::test]
async fn what_there_is_no_room_for_is_lost_and_counted() {
    let nowhere = Address::parse(&"postgres://me@%2Fnowhere/books".into()).unwrap();
    let ledger = Postgres::open(&nowhere, DAY, nobody()).unwrap();
    let shared = Arc::clone(&ledger.shared);
    let mut clerk = Clerk { shared };
    let rows: Vec<_> = (0..1_024).map(|n| row(NOON + n, "a", 1)).collect();
    for _ in 0..MAX_PENDING / 1_024 {
        clerk.read(&Hand::new(&rows));
    }
    assert_eq!((ledger.lost(), ledger.waiting()), (0, MAX_PENDING as u64));
    clerk.read(&Hand::new(&rows[..10]));
    assert_eq!((ledger.lost(), ledger.waiting()), (10, MAX_PENDING as u64));
    let oldest = ledger.shared.queue.take(1);
    assert_eq!(oldest[0].at, NOON + 10);
    // Nobody waits long for what cannot be.
    let error = ledger.sums(Vec::new(), [0; 4], 1).await.unwrap_err();
    assert!(
        matches!(&error, Failed::Away(why) if why.contains("No such file")),
        "{error}"
    );
    drop(clerk);
    ledger.close().await;
}
