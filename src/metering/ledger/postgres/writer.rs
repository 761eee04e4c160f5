//! Enters rows into a shared ledger, batch by batch, and learns from it what the other instances have spent.
//!
//! A batch has a number, which is entered with it. Where the connection breaks before it is known whether a batch was
//! entered, the same batch is tried again under the same number, and is entered only if it is not yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::batch::Batch;
use super::link::{Link, Look};
use super::tidying::Tidying;
use super::trouble::Trouble;
use super::{Learners, Shared};
use crate::metering::account::Row;
use crate::metering::budget::Period;
use crate::metering::hand::{DAY, Hand};
use crate::metering::ledger::entry;

/// The most rows in a batch.
const MOST: usize = 4 * 1024;
/// So often it is asked what others have spent.
const ASK: Duration = Duration::from_secs(1);
/// How long to wait before the next try to connect, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// So long it is tried at the end to write what is left, and how long to wait between two tries: a database that is
/// started anew together with this process is back by then.
const LAST: (Duration, Duration) = (Duration::from_millis(4_500), Duration::from_millis(200));
/// So often a batch is tried again that others were in the way of, before that is a failure.
const CLASHES: u32 = 8;
/// So often the log is told of rows that the server refuses.
const TELL: Duration = Duration::from_mins(1);

/// Writes into a shared ledger.
pub(super) struct Writer {
    shared: Arc<Shared>,
    learners: Learners,
    /// The name of this process among the writers.
    name: String,
    /// The number of the batch that is entered next.
    number: i64,
    /// That batch, once it has been tried.
    batch: Vec<Row>,
    /// How many rows it may have.
    most: usize,
    /// What clients have spent here and the ledger knows of, by day and name.
    entered: HashMap<(i64, Arc<str>), u64>,
    /// When it was asked last what others have spent.
    asked: Option<Instant>,
    has_begun: bool,
    is_failing: bool,
    tidying: Tidying,
    /// Requests of refused rows that the log has not been told of, and when it was told last.
    refused: (u64, Option<Instant>),
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, learners: Learners) -> Self {
        Self {
            tidying: Tidying::new(shared.keep_for),
            shared,
            learners,
            name: format!("{:032x}", fastrand::u128(..)),
            number: 1,
            batch: Vec::new(),
            most: MOST,
            entered: HashMap::new(),
            asked: None,
            has_begun: false,
            is_failing: false,
            refused: (0, None),
        }
    }

    /// Writes until nothing will follow.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut backoff = BACKOFF.0;
        let mut closed: Option<Instant> = None;
        loop {
            let was_closed = shared.queue.is_closed();
            let Err(trouble) = self.work().await else {
                break;
            };
            if !self.is_failing {
                backoff = BACKOFF.0;
            }
            self.fails(&trouble);
            if was_closed {
                let lost = shared.queue.waiting();
                let since = *closed.get_or_insert_with(Instant::now);
                if lost > 0 && since.elapsed() < LAST.0 {
                    sleep(LAST.1).await;
                    continue;
                }
                if lost > 0 {
                    tracing::error!(lost, "the ledger could not be written to the end");
                }
                break;
            }
            // At different times on different instances.
            let pause = backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
            let closing = async {
                while !shared.queue.is_closed() {
                    shared.queue.bell().await;
                }
            };
            let _ = timeout(pause, closing).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// Works on one connection until that fails, or nothing will follow.
    async fn work(&mut self) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.shared);
        let link = Link::connect_writer(&shared.address).await?;
        if !self.batch.is_empty() {
            self.enter(&link).await?;
        }
        self.begin(&link).await?;
        loop {
            // Before the rows are taken: what is put in afterwards rings again.
            let is_closed = shared.queue.is_closed();
            loop {
                self.batch = shared.queue.take(self.most);
                if self.batch.is_empty() {
                    break;
                }
                self.enter(&link).await?;
            }
            self.works();
            if is_closed {
                return Ok(());
            }
            self.learn(&link).await?;
            if self.tidying.go_on(&link).await? {
                continue;
            }
            let pause = async {
                if self.learners.budgets.is_empty() {
                    shared.queue.bell().await;
                } else {
                    let _ = timeout(ASK, shared.queue.bell()).await;
                }
            };
            pause.await;
        }
    }

    /// Before anything of this process is in the ledger: what is there already.
    async fn begin(&mut self, link: &Link) -> Result<(), Trouble> {
        if self.has_begun {
            return Ok(());
        }
        // Budgets first, for they are waited for.
        self.learn(link).await?;
        self.shared.queue.note(|progress| progress.has_tried = true);
        // What is read of it is what is there now, however long that takes: what follows does not wait for it.
        let look = Look::begin(&self.shared.address).await?;
        let overview = self.learners.overview.clone();
        let now = self.learners.budgets.now();
        let reading = async move {
            let day = now.div_euclid(DAY);
            match look.sums_since(day * DAY).await {
                Ok([today, overall]) => overview.remember(day, today, overall),
                Err(error) => {
                    tracing::warn!(%error, "the sums of earlier times cannot be read; the page begins at nothing");
                }
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "it is this thread's own, and ends with its runtime"
        )]
        tokio::spawn(reading);
        self.has_begun = true;
        tracing::info!(place = %self.shared.address, "the ledger is in PostgreSQL");
        Ok(())
    }

    /// Enters the batch, or the part of it that the server takes.
    async fn enter(&mut self, link: &Link) -> Result<(), Trouble> {
        let mut clashes = 0;
        loop {
            let hand = Hand::new(&self.batch);
            let batch = Batch {
                writer: &self.name,
                number: self.number,
                groups: &hand.groups,
            };
            match link.enter(&batch).await {
                Ok(()) => {
                    for (key, cost) in entry::spending(&hand.groups) {
                        *self.entered.entry(key).or_default() += cost;
                    }
                    let newest = self.batch.iter().map(|row| row.at).max();
                    self.tidying.note(newest.unwrap_or(0));
                    drop(hand);
                    self.most = (self.most * 2).min(MOST);
                    self.done();
                    return Ok(());
                }
                Err(Trouble::Clash(_)) if clashes < CLASHES => {
                    clashes += 1;
                    sleep(Duration::from_millis(fastrand::u64(5..50))).await;
                }
                Err(Trouble::Refused(why)) => {
                    drop(hand);
                    // One of them is at fault. Ever smaller batches find it.
                    if self.batch.len() == 1 {
                        self.give_up(&why);
                        return Ok(());
                    }
                    self.most = self.batch.len() / 2;
                    let rest = self.batch.split_off(self.most);
                    self.shared.queue.put_back(rest);
                    clashes = 0;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The batch is entered, or given up.
    fn done(&mut self) {
        let rows = std::mem::take(&mut self.batch).len() as u64;
        self.number += 1;
        self.shared.queue.note(|progress| progress.done += rows);
    }

    /// Drops the only row of a batch, which the server does not take.
    fn give_up(&mut self, why: &str) {
        let requests = self.batch.iter().map(Row::requests).sum();
        self.shared.lost.add(requests);
        self.done();
        let (untold, told) = &mut self.refused;
        *untold += requests;
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            tracing::warn!(error = %why, requests = *untold, "the database refuses rows; they are lost to the ledger");
            (*untold, *told) = (0, Some(Instant::now()));
        }
    }

    /// Asks what has been spent, and tells the budgets what others have of that.
    async fn learn(&mut self, link: &Link) -> Result<(), Trouble> {
        let budgets = &self.learners.budgets;
        let is_known = |asked: Instant| asked.elapsed() < ASK;
        if budgets.is_empty() || self.asked.is_some_and(is_known) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        let (since, _) = Period::Month.around(budgets.now());
        self.entered.retain(|(day, _), _| *day >= since);
        let mut others = HashMap::<_, Vec<_>>::new();
        for spent in link.spent(since, &budgets.clients()).await? {
            let client: Arc<str> = spent.caller.into();
            let key = (spent.day, client);
            let own = self.entered.get(&key).copied().unwrap_or(0);
            let cost = spent.cost.saturating_sub(own);
            others.entry(key.1).or_default().push((key.0, cost));
        }
        budgets.learn(|client, since| {
            let days = others.get(client).into_iter().flatten();
            let days = days.filter(|(day, _)| *day >= since);
            days.map(|(_, cost)| cost).sum()
        });
        Ok(())
    }

    fn fails(&mut self, trouble: &Trouble) {
        self.shared.queue.note(|progress| {
            (progress.has_tried, progress.is_failing) = (true, true);
        });
        if !std::mem::replace(&mut self.is_failing, true) {
            let place = &self.shared.address;
            tracing::warn!(error = %trouble, %place, "the ledger cannot be written; its rows are kept in memory for now");
        }
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            self.shared
                .queue
                .note(|progress| progress.is_failing = false);
            tracing::info!("the ledger can be written again");
        }
    }
}
