//! All budgets, what earlier processes spent of them, and what other instances do.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Budget, Clock, Period, Sheet};
use crate::config::Client;
use crate::metering::hand::DAY;
use crate::metering::ledger::Ledger;
use crate::store::redis::Redis;

/// When Redis does not answer, it is told again after so long what was spent.
const AGAIN: Duration = Duration::from_secs(1);

/// The budgets of all clients that have one. Cheap to clone.
#[derive(Clone)]
pub struct Budgets {
    all: Arc<[Arc<Budget>]>,
    clock: Clock,
    spent: Arc<Notify>,
    sharing: Option<Arc<Sharing>>,
}

/// How instances know of each other's spending: each process has a field of its own in a hash of the period, so that
/// whatever is told twice counts once.
struct Sharing {
    redis: Redis,
    /// The name of this process.
    field: String,
    /// Redis did not answer when it was asked last.
    is_alone: AtomicBool,
}

// === impl Budgets ===

impl Budgets {
    /// The budgets of these clients, by the clock on the wall.
    pub fn new(clients: &[Client]) -> Self {
        Self::by(clients, Arc::new(|| Timestamp::now().as_millisecond()))
    }

    /// The same by another clock.
    pub fn by(clients: &[Client], clock: Clock) -> Self {
        let spent = Arc::default();
        let budgets = clients
            .iter()
            .filter_map(|client| Budget::of(client, &clock, &spent));
        Self {
            all: budgets.map(Arc::new).collect(),
            clock,
            spent,
            sharing: None,
        }
    }

    /// From now on instances that share a Redis share these.
    pub(crate) fn share(&mut self, redis: Redis) {
        self.sharing = Some(Arc::new(Sharing {
            redis,
            field: format!("{:032x}", fastrand::u128(..)),
            is_alone: AtomicBool::new(false),
        }));
    }

    /// The budget of the client with this name.
    pub fn of(&self, client: &str) -> Option<Arc<Budget>> {
        let budget = self.all.iter().find(|budget| budget.client() == client);
        budget.map(Arc::clone)
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes over what earlier processes have spent, as the ledger has it.
    pub fn remember(&self, ledger: Option<&Ledger>) {
        if self.is_empty() {
            return;
        }
        let Some(ledger) = ledger else {
            tracing::warn!(
                "there are budgets and no ledger: a restart forgets what was spent, unless Redis has it"
            );
            return;
        };
        for period in [Period::Day, Period::Month] {
            let (begun, _) = period.around((self.clock)());
            let costs = match ledger.costs_since(begun) {
                Ok(costs) => costs,
                Err(error) => {
                    tracing::warn!(%error, "the ledger cannot be read: budgets begin at nothing");
                    return;
                }
            };
            for budget in &*self.all {
                let cost = costs.get(budget.client()).copied();
                budget.remember(period, begun, cost.unwrap_or(0));
            }
        }
    }

    /// The time by the clock of the budgets.
    pub(in crate::metering) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// The clients that have one.
    pub(in crate::metering) fn clients(&self) -> Vec<&str> {
        self.all.iter().map(|budget| budget.client()).collect()
    }

    /// Takes over what others have spent, as a ledger has it that instances share: by client, since a time.
    pub(in crate::metering) fn learn(&self, others_since: impl Fn(&str, i64) -> u64) {
        for budget in &*self.all {
            budget.learn_others(|since| others_since(budget.client(), since));
        }
    }

    /// Whether what others have spent has to be asked for.
    pub(crate) fn is_shared(&self) -> bool {
        self.sharing.is_some()
    }

    /// Learns what other instances have spent of a budget, and tells them what this one has. Where Redis does not
    /// answer, what is known already stands. A request that has `waited` for it so long has only the rest of its time.
    pub(crate) async fn sync(&self, budget: &Budget, waited: Duration) {
        if let Some(sharing) = &self.sharing {
            sharing.sync(budget, false, waited).await;
        }
    }

    /// Tells the others of what is spent as soon as it is, for ever.
    pub(crate) async fn keep_others_informed(&self) -> Infallible {
        if self.sharing.is_none() || self.is_empty() {
            pending::<()>().await;
        }
        loop {
            self.spent.notified().await;
            while !self.tell_others().await {
                sleep(AGAIN).await;
            }
        }
    }

    /// Tells the others of all that they do not know, and whether that could be done.
    pub(crate) async fn tell_others(&self) -> bool {
        let Some(sharing) = &self.sharing else {
            return true;
        };
        let mut is_told = true;
        for budget in &*self.all {
            is_told &= sharing.sync(budget, true, Duration::ZERO).await;
        }
        is_told
    }
}

// === impl Sharing ===

impl Sharing {
    async fn sync(&self, budget: &Budget, only_news: bool, waited: Duration) -> bool {
        let begun_at = Instant::now();
        let mut is_answered = true;
        for sheet in budget.sheets(only_news) {
            let Sheet {
                period, begun, own, ..
            } = sheet;
            let purse = format!("{}:{begun}:{}", period.as_str(), budget.client());
            // A day longer than it is of use: the clocks of the machines may differ.
            let until = sheet.ends + DAY;
            let waited = waited.saturating_add(begun_at.elapsed());
            let left = self.redis.timeout().saturating_sub(waited);
            let spent = self.redis.spend(&purse, &self.field, own, until, left);
            match spent.await {
                Some(others) => budget.learn(&sheet, others),
                None => is_answered = false,
            }
            self.tell_log(!is_answered);
        }
        is_answered
    }

    fn tell_log(&self, is_alone: bool) {
        if self.is_alone.swap(is_alone, Ordering::Relaxed) == is_alone {
            return;
        }
        if is_alone {
            tracing::warn!(
                "redis does not answer: for budgets, what this instance knows of the others stands"
            );
        } else {
            tracing::info!("redis answers: budgets count what all instances spend");
        }
    }
}
