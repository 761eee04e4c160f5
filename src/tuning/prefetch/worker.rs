//! Reads what was asked, and makes the calls that are worth it, one beside the other and never before a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::economics::Verdict;
use super::feed::{Event, Question, What};
use super::gates::Held;
use super::plan::{Asked, Order, Plan};
use super::planner::Planner;
use super::{Bring, Brought, Shared, Surroundings, gates, report};
use crate::fingerprint::Fingerprint;
use crate::metering::account::{Account, Payer, Row, Source};
use crate::request::Again;
use crate::tuning::journal::Id;

/// So many calls ahead are under way at once.
const AT_ONCE: usize = 4;

/// What works.
pub(super) struct Worker<B> {
    shared: Arc<Shared>,
    bring: B,
    around: Surroundings,
    planner: Planner,
    /// How to ask again, by question.
    kept: Cache<Fingerprint, Arc<Again>>,
    calls: FuturesUnordered<BoxFuture<'static, Call>>,
    /// Attempts upstream that were the worker's own, and those of clients that are counted.
    own_attempts: u64,
    counted: u64,
    has_begun: bool,
    /// The entry in the journal that says that it pays.
    pays: Option<Id>,
}

/// A call that is over.
struct Call {
    order: Order,
    brought: Brought,
    /// In nano-dollars.
    cost: u64,
    attempts: u32,
}

impl<B: Bring> Worker<B> {
    pub(super) fn new(shared: Arc<Shared>, bring: B, around: Surroundings) -> Self {
        let kept = Cache::builder()
            .name("prefetch")
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, again: &Arc<Again>| u32::try_from(again.weight()).unwrap_or(u32::MAX))
            .max_capacity(shared.settings.max_bytes)
            .time_to_live(shared.life.clamp(LEAST, LONGEST));
        Self {
            planner: Planner::new(shared.rules),
            kept: kept.build(),
            calls: FuturesUnordered::new(),
            own_attempts: 0,
            counted: around.metrics.attempts.get(),
            has_begun: false,
            pays: None,
            shared,
            bring,
            around,
        }
    }

    /// Works until nobody can tell it anything any more.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let memory = self.around.memory.clone();
        loop {
            let due = self.planner.next_due();
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = memory.cleared() => {
                    // What was asked before the clear is not to be learned after it.
                    while events.try_recv().is_ok() {}
                    self.forget();
                }
                Some(call) = self.calls.next() => self.settle(&call),
                event = events.recv() => match event {
                    Some(event) => self.hear(event),
                    None => return,
                },
                () = due => {
                    let plan = self.planner.turn(Instant::now());
                    self.follow(plan);
                }
            }
            self.publish();
        }
    }

    fn hear(&mut self, event: Event) {
        let Event { at, what } = event;
        let cost_of = |id| {
            let entry = self.around.memory.find(id)?;
            Some(dollars(entry.usage.cost_nano_usd?))
        };
        match what {
            What::Came { id, wait } => {
                let cost = cost_of(id);
                self.planner.came(id, wait, cost, at);
            }
            What::Asked(asked) => {
                let Question {
                    question,
                    variant,
                    fresh_for,
                    again,
                    ..
                } = asked;
                let id = question.variant(variant);
                let is_news = fresh_for.is_some() && self.planner.lacks_cost(id);
                let cost = if is_news { cost_of(id) } else { None };
                if let Some(again) = again {
                    self.kept.insert(question, Arc::from(again));
                }
                let asked = Asked {
                    owner: asked.owner,
                    user: asked.user,
                    question,
                    variant,
                    ttl: asked.ttl,
                    fresh_for,
                    cost,
                };
                let plan = self.planner.asked(&asked, at);
                self.follow(plan);
            }
        }
    }

    /// Does what is planned.
    fn follow(&mut self, plan: Plan) {
        let stats = &self.shared.stats;
        for settled in plan.settled {
            if settled.was_used {
                stats.used.add(1);
                stats.waits.add(millis(settled.stake.wait));
            } else {
                stats.unused.add(1);
                stats.wasted.add(nanos(settled.stake.cost));
            }
        }
        let journal = &self.shared.journal;
        match plan.verdict {
            Some(Verdict::Pays(sums, time)) => {
                self.pays = Some(report::pays(journal, self.pays, sums, time));
            }
            Some(Verdict::Stop(sums, time, pause)) => {
                self.pays = None;
                report::stopped(journal, sums, time, pause);
            }
            None => {}
        }
        if plan.has_resumed {
            report::resumed(journal);
        }
        for order in plan.orders {
            if let Err(held) = self.carry_out(order) {
                self.shared.stats.held[held as usize].add(1);
            }
        }
    }

    /// Makes the call, if nothing speaks against it.
    fn carry_out(&mut self, order: Order) -> Result<(), Held> {
        let again = self.kept.get(&order.question).ok_or(Held::Forgotten)?;
        if self.calls.len() >= AT_ONCE {
            return Err(Held::Busy);
        }
        gates::pass(&self.shared, &self.around, &again)?;
        self.count_calls();
        let now = Instant::now();
        self.planner.admit(&order, now)?;
        let account = self.account(&again);
        let request = again.request(
            Arc::clone(&account),
            order.min_fresh,
            now + self.shared.timeout,
        );
        let Ok(request) = request else {
            // It was read once, and would have been refused.
            self.planner.was_there(&order, now);
            return Err(Held::Forgotten);
        };
        request.deal(order.variant);
        if !std::mem::replace(&mut self.has_begun, true) {
            report::begun(&self.shared.journal, &order, self.shared.rules.value);
        }
        self.shared.stats.begun[order.kind as usize].add(1);
        let bring = self.bring.clone();
        self.calls.push(Box::pin(async move {
            let begun = Instant::now();
            let brought = bring.bring(request).await;
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            account.note(|row| {
                (row.took.total, row.took.upstream) = (took, took);
                match brought {
                    Brought::Came => row.status = 200,
                    Brought::Failed { .. } => row.error = Some("prefetch_failed"),
                    // No call was made: there is nothing to enter.
                    Brought::WasThere => row.endpoint = None,
                }
            });
            let (cost, attempts) = account.spent();
            Call {
                order,
                brought,
                cost,
                attempts,
            }
        }));
        Ok(())
    }

    /// What pays for a call: a row of its own in the books, in the name of the client that it is for.
    fn account(&self, again: &Again) -> Arc<Account> {
        let Payer { who, user, budget } = again.payer().clone();
        let row = Row {
            at: Timestamp::now().as_millisecond(),
            id: uuid::Uuid::now_v7().to_string().into(),
            endpoint: Some(again.route()),
            model: Some(Arc::clone(again.model())),
            who,
            user,
            source: Source::Prefetch,
            ..Row::default()
        };
        let account = match self.shared.books.get() {
            Some(books) => Account::open(books.clone(), row),
            None => Arc::default(),
        };
        if let Some(budget) = budget {
            account.pay_from(budget);
        }
        account
    }

    fn settle(&mut self, call: &Call) {
        let Call {
            order,
            brought,
            cost,
            attempts,
        } = call;
        let shared = Arc::clone(&self.shared);
        let (stats, now) = (&shared.stats, Instant::now());
        self.own_attempts += u64::from(*attempts);
        stats.spent.add(*cost);
        match brought {
            Brought::Came => {
                let cost = dollars(*cost);
                let plan = self.planner.carried_out(order, cost, true, now);
                self.follow(plan);
            }
            Brought::WasThere => {
                stats.was_there.add(1);
                self.planner.was_there(order, now);
            }
            Brought::Failed { is_refused } => {
                stats.failed.add(1);
                let cost = dollars(*cost);
                let plan = self.planner.carried_out(order, cost, false, now);
                self.follow(plan);
                if *is_refused {
                    self.kept.invalidate(&order.question);
                }
            }
        }
    }

    /// Counts the calls that clients have made since the last time.
    fn count_calls(&mut self) {
        let under_way = self.calls.len() as u64;
        let all = self.around.metrics.attempts.get();
        let theirs = all.saturating_sub(self.own_attempts + under_way);
        self.planner
            .share
            .deposit(theirs.saturating_sub(self.counted));
        self.counted = self.counted.max(theirs);
    }

    fn forget(&mut self) {
        self.planner.clear();
        self.kept.invalidate_all();
    }

    fn publish(&mut self) {
        let stats = &self.shared.stats;
        let questions = self.planner.questions() as u64;
        stats.questions.store(questions, Ordering::Relaxed);
        let today = nanos(self.planner.spent(Instant::now()));
        stats.today.store(today, Ordering::Relaxed);
        // moka counts when it is told to.
        self.kept.run_pending_tasks();
        let bytes = self.kept.weighted_size();
        stats.bytes.store(bytes, Ordering::Relaxed);
        let is_stopped = self.planner.stopped_until().is_some();
        stats.is_stopped.store(is_stopped, Ordering::Relaxed);
    }
}

/// How to ask again, credentials among it, is kept for as long as an answer is of use, and for a day at least: what follows is
/// fetched when its last answer is long gone.
const LEAST: Duration = Duration::from_hours(24);
/// moka refuses longer lives.
const LONGEST: Duration = Duration::from_hours(1_000 * 365 * 24);

#[expect(
    clippy::cast_precision_loss,
    reason = "what is weighed is not exact to the nano-dollar"
)]
fn dollars(nano: u64) -> f64 {
    nano as f64 / 1e9
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are not below zero, and casts saturate"
)]
fn nanos(dollars: f64) -> u64 {
    (dollars * 1e9).round() as u64
}

fn millis(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
