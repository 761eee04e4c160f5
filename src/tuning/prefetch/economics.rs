//! When fetching ahead pays, and how much may be spent on it.
//!
//! A call that is made ahead is made anyway if its answer is asked for: then it costs nothing, and its client does not wait.
//! If it is not, it costs what it costs. So with the likelihood `p` that the answer is asked for while it is fresh, a
//! client's wait of `w` seconds for it, `v` dollars that a second of waiting is worth (`prefetch.value_per_second`) and a
//! call's price `c`, it pays where
//!
//! ```text
//! p · (v · w − a · c) > (1 − p) · c
//! ```
//!
//! where `a` is the part of its life by which the answer that is there is given up early: so much more often such a call
//! is made.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A day's spending is kept by the hour.
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// So many calls may be made ahead at once before any client has made one.
const RESERVE: f64 = 8.0;
/// A window is judged after so many calls have shown whether they were of use: fewer would be stopped by chance.
const WINDOW: u32 = 50;
/// Or after so large a part of a day's budget was lost.
const LOSS: f64 = 0.1;
/// Where it does not pay it is tried again after this, then after twice as long, up to a day,
const PAUSE: Duration = Duration::from_hours(1);
/// with this part of the budget, until it has paid.
const TRIAL: f64 = 0.1;

/// A call that may be made ahead, or was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stake {
    /// What it costs, in dollars.
    pub(super) cost: f64,
    /// How long its client would wait, in seconds.
    pub(super) wait: f64,
    /// Which part of its life the answer that is there is given up early.
    pub(super) early: f64,
}

/// What a second of waiting is worth, in dollars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value(pub(super) f64);

/// What was spent within a day.
#[derive(Debug)]
pub(super) struct Purse {
    /// In dollars.
    per_day: f64,
    hours: VecDeque<(Instant, f64)>,
    /// What the calls under way may cost.
    reserved: f64,
}

/// How many calls may be made ahead, by those that clients made.
#[derive(Debug)]
pub(super) struct Share {
    per_call: f64,
    tokens: f64,
}

/// Whether it pays: what was gained and lost, and when to stop.
#[derive(Debug)]
pub(super) struct Balance {
    window: Sums,
    stopped: Option<Instant>,
    pause: Duration,
    is_trial: bool,
}

/// What calls that were made ahead came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) used: u32,
    pub(super) unused: u32,
    /// What the used ones saved of clients' time, in seconds.
    pub(super) waits: f64,
    /// What that was worth, in dollars.
    pub(super) gained: f64,
    /// What the others cost, in dollars.
    pub(super) lost: f64,
    since: Option<Instant>,
}

/// What follows from a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// It pays.
    Pays(Sums, Duration),
    /// It does not: nothing is fetched for so long.
    Stop(Sums, Duration, Duration),
}

// === impl Value ===

impl Value {
    /// What it brings to expect, in dollars; below zero it does not pay.
    pub(super) fn expects(self, stake: Stake, likelihood: f64) -> f64 {
        likelihood * self.of(stake) - (1.0 - likelihood) * stake.cost
    }

    /// From which likelihood on it pays.
    pub(super) fn break_even(self, stake: Stake) -> f64 {
        let (gain, cost) = (self.of(stake), stake.cost);
        if gain > 0.0 {
            cost / (gain + cost)
        } else {
            1.0
        }
    }

    /// What it brings if its answer is asked for, in dollars.
    fn of(self, stake: Stake) -> f64 {
        self.0 * stake.wait - stake.early * stake.cost
    }
}

// === impl Purse ===

impl Purse {
    /// So many dollars within any day.
    pub(super) fn new(per_day: f64) -> Self {
        Self {
            per_day,
            hours: VecDeque::new(),
            reserved: 0.0,
        }
    }

    /// What was spent within a day, in dollars. An hour counts until the last of it is a day ago.
    pub(super) fn spent(&mut self, now: Instant) -> f64 {
        while self
            .hours
            .front()
            .is_some_and(|(begun, _)| now.duration_since(*begun) >= DAY + HOUR)
        {
            self.hours.pop_front();
        }
        self.hours.iter().map(|(_, spent)| spent).sum()
    }

    /// Sets money aside for a call, if there is enough in this part of the budget.
    pub(super) fn reserve(&mut self, cost: f64, part: f64, now: Instant) -> bool {
        let has_room = self.spent(now) + self.reserved + cost <= self.per_day * part;
        if has_room {
            self.reserved += cost;
        }
        has_room
    }

    /// A call for which this was set aside has cost that.
    pub(super) fn pay(&mut self, reserved: f64, cost: f64, now: Instant) {
        self.reserved = (self.reserved - reserved).max(0.0);
        match self.hours.back_mut() {
            Some((at, spent)) if now.duration_since(*at) < HOUR => *spent += cost,
            _ => self.hours.push_back((now, cost)),
        }
    }
}

// === impl Share ===

impl Share {
    /// Calls made ahead are this share of all calls at most.
    pub(super) fn new(share: f64) -> Self {
        Self {
            per_call: share / (1.0 - share).max(0.01),
            tokens: if share > 0.0 { RESERVE } else { 0.0 },
        }
    }

    /// Clients' requests have made so many calls.
    pub(super) fn deposit(&mut self, calls: u64) {
        let calls = f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        self.tokens = calls.mul_add(self.per_call, self.tokens).min(RESERVE);
    }

    /// Whether there is leave for one call ahead.
    pub(super) fn has_room(&self) -> bool {
        self.tokens >= 1.0
    }

    /// Leave for one call ahead.
    pub(super) fn withdraw(&mut self) -> bool {
        let granted = self.has_room();
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

// === impl Balance ===

impl Balance {
    pub(super) fn new() -> Self {
        Self {
            window: Sums::default(),
            stopped: None,
            pause: PAUSE,
            is_trial: false,
        }
    }

    /// Until when nothing is fetched.
    pub(super) fn stopped_until(&self) -> Option<Instant> {
        self.stopped
    }

    /// Whether a stop has just ended.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        let is_over = self.stopped.is_some_and(|until| now >= until);
        if is_over {
            (self.stopped, self.is_trial) = (None, true);
            self.window = Sums::default();
        }
        is_over
    }

    /// Which part of the budget may be spent.
    pub(super) fn part(&self) -> f64 {
        if self.is_trial { TRIAL } else { 1.0 }
    }

    /// A call was of use, or was not.
    pub(super) fn settle(
        &mut self,
        stake: Stake,
        was_used: bool,
        value: Value,
        per_day: f64,
        now: Instant,
    ) -> Option<Verdict> {
        let window = &mut self.window;
        let since = *window.since.get_or_insert(now);
        if was_used {
            window.used += 1;
            window.waits += stake.wait;
            window.gained += value.of(stake);
        } else {
            window.unused += 1;
            window.lost += stake.cost;
        }
        let is_bad = window.lost - window.gained > LOSS * self.part() * per_day;
        let window = self.window;
        if self.stopped.is_some() || (window.used + window.unused < WINDOW && !is_bad) {
            return None;
        }
        self.window = Sums::default();
        let time = now.duration_since(since);
        if window.gained >= window.lost {
            (self.pause, self.is_trial) = (PAUSE, false);
            return Some(Verdict::Pays(window, time));
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(DAY);
        self.stopped = Some(now + pause);
        Some(Verdict::Stop(window, time, pause))
    }
}

#[cfg(test)]
mod tests;
