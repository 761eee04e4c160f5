use std::sync::atomic::{AtomicI64, Ordering};

use jiff::tz::TimeZone;

use super::*;
use crate::metering::account::{Account, Row, Who};
use crate::metering::books::{Books, Reader};
use crate::metering::hand::{self, DAY};
use crate::metering::ledger::{Learners, Ledger, Place};
use crate::metering::overview::Overview;

/// A clock that stands where it is put.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn put(&self, time: &str) {
        self.0.store(at(time), Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let hand = self.clone();
        Arc::new(move || hand.0.load(Ordering::Relaxed))
    }
}

fn at(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

fn client(name: &str, day: Option<u64>, month: Option<u64>) -> Client {
    Client {
        name: name.into(),
        token_sha256: [0; 32],
        requests_per_minute: None,
        max_in_flight: None,
        budget_usd_per_day: day,
        budget_usd_per_month: month,
    }
}

/// The budget of one client, and its clock.
fn budget(now: &str, day: Option<u64>, month: Option<u64>) -> (Arc<Budget>, Hand) {
    let hand = Hand::default();
    hand.put(now);
    let budgets = Budgets::by(&[client("web", day, month)], hand.clock());
    (budgets.of("web").unwrap(), hand)
}

fn refusal(budget: &Budget) -> Option<(String, String)> {
    let error = budget.admit().err()?;
    assert_eq!(
        (error.status().as_u16(), error.code()),
        (402, "budget_exceeded")
    );
    Some((error.to_string(), error.retry_after().unwrap()))
}

#[test]
fn the_client_is_told_from_80_percent_on_and_refused_from_all_of_it() {
    let now = "2026-11-27T22:59:58.001Z";
    let (budget, _) = budget(now, Some(1_000_000_000), None);
    budget.charge(at(now), 799_999_999);
    assert_eq!(budget.standing(), None);
    budget.charge(at(now), 1);
    let told = "day; spent=0.8; limit=1; reset=2026-11-28T00:00:00Z";
    assert_eq!(budget.standing().unwrap(), told);
    budget.charge(at(now), 199_999_999);
    assert_eq!(refusal(&budget), None, "a nano-dollar is left");
    budget.charge(at(now), 5);
    let told = "day; spent=1.000000004; limit=1; reset=2026-11-28T00:00:00Z";
    assert_eq!(budget.standing().unwrap(), told);
    let (message, retry_after) = refusal(&budget).unwrap();
    assert!(
        message.contains("web has spent its budget of $1 a day (auth.clients, budget_usd_per_day)")
            && message.contains("at 2026-11-28T00:00:00Z"),
        "{message}"
    );
    assert_eq!(
        retry_after, "3602",
        "rounded up: nobody comes back too early"
    );
}

#[test]
fn a_budget_of_nothing_gives_what_is_stored_alone() {
    let (budget, hand) = budget("2026-11-27T00:00:00Z", Some(0), None);
    for now in ["2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"] {
        hand.put(now);
        assert!(refusal(&budget).is_some(), "{now}");
    }
}

#[test]
fn days_end_at_midnight_and_months_with_their_last_day() {
    let (budget, hand) = budget("2028-02-28T23:59:59.999Z", Some(10), Some(25));
    let spend = |now: &str, cost| {
        hand.put(now);
        budget.charge(at(now), cost);
    };
    spend("2028-02-28T23:59:59.999Z", 10);
    assert!(refusal(&budget).unwrap().0.contains("a day"));
    hand.put("2028-02-29T00:00:00Z");
    assert_eq!(refusal(&budget), None, "a new day");
    spend("2028-02-29T12:00:00Z", 14);
    let standing = budget.standing().unwrap();
    assert_eq!(
        standing,
        "day; spent=0.000000014; limit=0.00000001; reset=2028-03-01T00:00:00Z, \
         month; spent=0.000000024; limit=0.000000025; reset=2028-03-01T00:00:00Z"
    );
    spend("2028-02-29T13:00:00Z", 1);
    spend("2028-02-29T23:59:59Z", 1);
    assert_eq!(refusal(&budget).unwrap().1, "1");
    hand.put("2028-03-01T00:00:00Z");
    assert_eq!((refusal(&budget), budget.standing()), (None, None));
    // Of the two that are used up, the one that lasts longer.
    spend("2028-03-01T00:00:00Z", 25);
    let (message, retry_after) = refusal(&budget).unwrap();
    assert!(message.contains("2028-04-01T00:00:00Z"), "{message}");
    assert_eq!(retry_after, (31 * 86_400).to_string());
    hand.put("2028-03-02T00:00:00Z");
    assert!(refusal(&budget).unwrap().0.contains("a month"));
}

#[test]
fn what_began_before_midnight_is_paid_by_its_own_day() {
    let (budget, hand) = budget("2026-11-30T23:59:00Z", Some(10), Some(10));
    hand.put("2026-12-01T00:01:00Z");
    budget.charge(at("2026-11-30T23:59:00Z"), 100);
    assert_eq!(refusal(&budget), None);
    hand.put("2026-12-02T00:01:00Z");
    budget.charge(at("2026-12-01T23:59:00Z"), 10);
    assert!(
        refusal(&budget).unwrap().0.contains("a month"),
        "the same month"
    );
}

#[test]
fn a_clock_that_is_set_back_forgets_nothing() {
    let (budget, hand) = budget("2026-11-27T00:00:01Z", Some(10), None);
    budget.charge(at("2026-11-27T00:00:01Z"), 10);
    hand.put("2026-11-26T23:00:00Z");
    assert!(refusal(&budget).is_some());
    hand.put("2026-11-27T00:00:02Z");
    assert!(refusal(&budget).is_some());
}

#[test]
fn every_moment_is_in_one_day_and_one_month() {
    for day in 0..60_000 {
        for now in [day * DAY, day * DAY + DAY - 1] {
            assert_eq!(Period::Day.around(now), (day * DAY, day * DAY + DAY));
            let (begun, ends) = Period::Month.around(now);
            let date = |ms| TimeZone::UTC.to_datetime(time(ms));
            let first = date(now).date().first_of_month();
            assert_eq!(
                date(begun),
                first.to_datetime(jiff::civil::Time::midnight())
            );
            assert_eq!(Period::Month.around(ends).0, ends, "{}", date(now));
            assert!(begun <= now && now < ends);
        }
    }
}

#[test]
fn dollars_are_told_to_the_last_digit() {
    for (nano, text) in [
        (0, "0"),
        (1, "0.000000001"),
        (120_000_000, "0.12"),
        (12_500_000_000, "12.5"),
        (1_000_000_000_000, "1000"),
    ] {
        assert_eq!(Dollars(nano).to_string(), text);
    }
}

fn row(time: &str, who: &str, cost: u64) -> Row {
    Row {
        at: at(time),
        who: Who::Named(who.into()),
        cost,
        ..Row::default()
    }
}

/// A restart forgets nothing: not of the day, not of the month, and of each client its own.
#[test]
fn what_earlier_processes_spent_is_in_the_ledger() {
    let learners = Learners {
        budgets: Budgets::new(&[]),
        overview: Overview::new(0),
    };
    let ledger = Ledger::open(&Place::Memory, Duration::from_hours(1), learners).unwrap();
    // More callers than a report has room for.
    let others: Vec<_> = (0..10_001)
        .map(|n| row("2026-11-27T05:00:00Z", &format!("{n:05}"), 1))
        .collect();
    ledger.keeper().read(&hand::Hand::new(&others));
    ledger.keeper().read(&hand::Hand::new(&[
        row("2026-10-31T23:59:59.999Z", "web", 1_000),
        row("2026-11-01T00:00:00Z", "web", 100),
        row("2026-11-26T23:59:59.999Z", "web", 10),
        row("2026-11-27T00:00:00Z", "web", 1),
        row("2026-11-27T05:00:00Z", "web", 2),
        row("2026-11-27T05:00:00Z", "app", 7),
    ]));
    let hand = Hand::default();
    hand.put("2026-11-27T06:30:00Z");
    let clients = [
        client("web", Some(3), Some(113)),
        client("app", Some(8), None),
        client("new", Some(1), None),
    ];
    let budgets = Budgets::by(&clients, hand.clock());
    budgets.remember(Some(&ledger));
    let [web, app, new] = ["web", "app", "new"].map(|name| budgets.of(name).unwrap());
    let told = web.standing().unwrap();
    assert!(
        told.contains("day; spent=0.000000003;") && told.contains("month; spent=0.000000113;"),
        "{told}"
    );
    assert!(refusal(&web).unwrap().0.contains("a month"));
    assert_eq!((refusal(&app), refusal(&new)), (None, None));
    app.charge(at("2026-11-27T06:30:00Z"), 1);
    assert!(refusal(&app).is_some());
    assert!(budgets.of("nobody").is_none());
}

/// Whatever others say, what is known to be spent stays so, and earlier processes are not counted twice.
#[test]
fn others_add_to_it_and_take_nothing_back() {
    let now = "2026-11-27T12:00:00Z";
    let (budget, _) = budget(now, Some(100), None);
    let begun = at("2026-11-27T00:00:00Z");
    budget.remember(Period::Day, begun, 50);
    budget.charge(at(now), 5);
    let [sheet] = &budget.sheets(true)[..] else {
        panic!("the others are to know of it");
    };
    let spent = || budget.purses.lock()[0].spent();
    assert_eq!((sheet.own, spent()), (5, 55));
    // Redis knows the earlier processes of this instance, and another instance.
    budget.learn(sheet, 80);
    assert_eq!(spent(), 85);
    assert!(budget.sheets(true).is_empty(), "all is told");
    // It comes back without its memory.
    budget.learn(sheet, 0);
    assert_eq!(spent(), 85);
    // What it tells of another day is nothing to this one.
    let other = Sheet {
        begun: begun - DAY,
        ..*sheet
    };
    budget.learn(&other, 1_000);
    assert_eq!(spent(), 85);
}

/// What a call costs is charged when it is known, before the row is in the books.
#[test]
fn an_account_pays_from_its_budget_at_once() {
    struct Nobody;
    impl Reader for Nobody {
        fn read(&mut self, _: &hand::Hand<'_>) {}
    }
    let now = "2026-11-27T12:00:00Z";
    let (budget, _) = budget(now, Some(100), None);
    let account = Account::open(Books::new(vec![Box::new(Nobody)]), row(now, "web", 0));
    account.pay_from(Arc::clone(&budget));
    account.paid(crate::chat::Usage::default(), None, Some(100), 0);
    assert!(refusal(&budget).is_some());
}
