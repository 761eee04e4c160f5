//! The budget of one day or month, and what is spent of it.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Dollars;
use crate::metering::hand::DAY;

/// For how long a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// The budget of one period, in nano-dollars.
pub(super) struct Purse {
    pub(super) period: Period,
    pub(super) limit: u64,
    /// When the period that is under way began, and when the next one does.
    pub(super) begun: i64,
    pub(super) ends: i64,
    /// Spent in it by this process,
    pub(super) own: u64,
    /// of which the others have been told so much;
    pub(super) told: u64,
    /// by earlier processes, as the ledger has it;
    pub(super) earlier: u64,
    /// by all other processes, as Redis or a ledger has it that instances share.
    pub(super) others: u64,
    /// What the log has been told.
    pub(super) logged: Level,
}

/// How much of a budget is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Less than what follows.
    Within,
    /// 80 %.
    Near,
    /// All of it.
    Used,
}

// === impl Purse ===

impl Purse {
    pub(super) fn new(period: Period, limit: u64) -> Self {
        Self {
            period,
            limit,
            begun: i64::MIN,
            ends: i64::MIN,
            own: 0,
            told: 0,
            earlier: 0,
            others: 0,
            logged: Level::Within,
        }
    }

    /// Begins anew when its time is over. A clock that is set back opens no purse of the past.
    pub(super) fn turn(&mut self, now: i64) {
        if now >= self.ends {
            let (begun, ends) = self.period.around(now);
            *self = Self {
                begun,
                ends,
                ..Self::new(self.period, self.limit)
            };
        }
    }

    /// What is known to be spent. Earlier processes are among the others where Redis knows them.
    pub(super) fn spent(&self) -> u64 {
        self.own.saturating_add(self.earlier.max(self.others))
    }

    pub(super) fn level(&self) -> Level {
        let (spent, limit) = (u128::from(self.spent()), u128::from(self.limit));
        if spent >= limit {
            Level::Used
        } else if spent * 100 >= limit * 80 {
            Level::Near
        } else {
            Level::Within
        }
    }

    /// A line for each level that is reached, once in a period.
    pub(super) fn tell_log(&mut self, client: &str) {
        let level = self.level();
        if level <= self.logged {
            return;
        }
        self.logged = level;
        let (period, reset) = (self.period.as_str(), time(self.ends));
        let (spent, limit) = (Dollars(self.spent()), Dollars(self.limit));
        if level == Level::Used {
            tracing::warn!(client, period, %spent, %limit, %reset, "a budget is used up: until its reset, what would cost is refused");
        } else {
            tracing::warn!(client, period, %spent, %limit, %reset, "80 % of a budget are used");
        }
    }
}

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spent, limit) = (Dollars(self.spent()), Dollars(self.limit));
        let (period, reset) = (self.period.as_str(), time(self.ends));
        write!(f, "{period}; spent={spent}; limit={limit}; reset={reset}")
    }
}

// === impl Period ===

impl Period {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The setting that limits it.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Day => "budget_usd_per_day",
            Self::Month => "budget_usd_per_month",
        }
    }

    /// When the one began that is under way at some time, and when the next one begins.
    pub(in crate::metering) fn around(self, now: i64) -> (i64, i64) {
        let midnight = now - now.rem_euclid(DAY);
        match self {
            Self::Day => (midnight, midnight + DAY),
            Self::Month => {
                let date = TimeZone::UTC.to_datetime(time(midnight)).date();
                let begun = midnight - i64::from(date.day() - 1) * DAY;
                (begun, begun + i64::from(date.days_in_month()) * DAY)
            }
        }
    }
}

/// A time in milliseconds since 1970.
pub(super) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}
