//! Budgets: what the calls of a client may cost in a day and in a month, by UTC.
//!
//! A budget stops spending, not answering: what is stored is given beyond it. What a call costs is known once its answer
//! is here, so that the calls which are under way when a budget is used up may go beyond it by what they cost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::Client;
use crate::error::ProxyError;

pub use purse::Period;
use purse::{Level, Purse, time};
pub use purses::Budgets;

mod purse;
mod purses;

/// Tells the time: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What one client may spend, and has spent.
pub struct Budget {
    client: Arc<str>,
    clock: Clock,
    purses: Mutex<Vec<Purse>>,
    /// Tells that something was spent.
    spent: Arc<Notify>,
}

/// What the others are to know of a purse.
struct Sheet {
    period: Period,
    begun: i64,
    ends: i64,
    own: u64,
}

/// A budget that is used up.
#[derive(Debug, Clone)]
pub struct OverBudget {
    client: Arc<str>,
    period: Period,
    limit: u64,
    /// When the next period begins.
    ends: Timestamp,
    /// How long that is from now.
    retry_after: Duration,
}

/// An amount in dollars, to the last digit.
struct Dollars(u64);

// === impl Budget ===

impl Budget {
    /// The budget of this client, if it has one.
    fn of(client: &Client, clock: &Clock, spent: &Arc<Notify>) -> Option<Self> {
        let purses: Vec<_> = [
            (Period::Day, client.budget_usd_per_day),
            (Period::Month, client.budget_usd_per_month),
        ]
        .into_iter()
        .filter_map(|(period, limit)| Some(Purse::new(period, limit?)))
        .collect();
        (!purses.is_empty()).then(|| Self {
            client: (&*client.name).into(),
            clock: Arc::clone(clock),
            purses: Mutex::new(purses),
            spent: Arc::clone(spent),
        })
    }

    /// Whose it is.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// A call that a request began has cost so much. It counts where its request came, as it does in the ledger.
    pub fn charge(&self, came: i64, cost: u64) {
        if cost == 0 {
            return;
        }
        self.each(|purse| {
            if purse.begun <= came {
                purse.own = purse.own.saturating_add(cost);
            }
        });
        self.spent.notify_one();
    }

    /// Whether a call may be made. Of two budgets that are used up, the one is told that begins anew last.
    pub fn admit(&self) -> Result<(), ProxyError> {
        let now = (self.clock)();
        let mut over = None;
        self.each(|purse| {
            if purse.level() == Level::Used
                && over.as_ref().is_none_or(|&(_, _, ends)| ends < purse.ends)
            {
                over = Some((purse.period, purse.limit, purse.ends));
            }
        });
        let Some((period, limit, ends)) = over else {
            return Ok(());
        };
        Err(ProxyError::BudgetExceeded(Arc::new(OverBudget {
            client: Arc::clone(&self.client),
            period,
            limit,
            ends: time(ends),
            retry_after: Duration::from_millis(ends.saturating_sub(now).unsigned_abs()),
        })))
    }

    /// What the client is told from 80 % on: `day; spent=0.81; limit=1; reset=2026-11-28T00:00:00Z`, of two budgets both
    /// with a comma between them.
    pub fn standing(&self) -> Option<String> {
        let mut text = String::new();
        self.each(|purse| {
            if purse.level() > Level::Within {
                let comma = if text.is_empty() { "" } else { ", " };
                text.push_str(comma);
                text.push_str(&purse.to_string());
            }
        });
        (!text.is_empty()).then_some(text)
    }

    /// Looks at each purse, as it is now and afterwards at what the log should know.
    fn each(&self, mut look: impl FnMut(&mut Purse)) {
        let now = (self.clock)();
        for purse in &mut *self.purses.lock() {
            purse.turn(now);
            look(purse);
            purse.tell_log(&self.client);
        }
    }

    /// Takes over what earlier processes have spent in the period of this purse.
    fn remember(&self, period: Period, begun: i64, earlier: u64) {
        self.each(|purse| {
            if (purse.period, purse.begun) == (period, begun) {
                purse.earlier = earlier;
            }
        });
    }

    /// What the others are to know, if not only `news` are asked for.
    fn sheets(&self, only_news: bool) -> Vec<Sheet> {
        let mut sheets = Vec::new();
        self.each(|purse| {
            if !only_news || purse.own > purse.told {
                sheets.push(Sheet {
                    period: purse.period,
                    begun: purse.begun,
                    ends: purse.ends,
                    own: purse.own,
                });
            }
        });
        sheets
    }

    /// Others have spent so much of each purse since it was opened, as a ledger has it that instances share.
    fn learn_others(&self, others_since: impl Fn(i64) -> u64) {
        self.each(|purse| purse.others = purse.others.max(others_since(purse.begun)));
    }

    /// The others know this, and have spent so much themselves.
    fn learn(&self, sheet: &Sheet, others: u64) {
        self.each(|purse| {
            if (purse.period, purse.begun) == (sheet.period, sheet.begun) {
                purse.told = purse.told.max(sheet.own);
                // What was spent once is spent, also when a Redis comes back without its memory.
                purse.others = purse.others.max(others);
            }
        });
    }
}

// === impl OverBudget ===

impl OverBudget {
    /// How long until the next period begins.
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            period,
            limit,
            ends,
            ..
        } = self;
        let (limit, name, setting) = (Dollars(*limit), period.as_str(), period.setting());
        write!(
            f,
            "{client} has spent its budget of ${limit} a {name} (auth.clients, {setting}); until it begins anew at {ends}, \
             only stored answers are given"
        )
    }
}

// === impl Dollars ===

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{nanos:09}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests;
