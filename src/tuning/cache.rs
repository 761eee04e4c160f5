//! What another capacity and other times of the cache would save: decisions, free of clocks and settings.

use std::time::Duration;

use super::reuse::Reuse;
use super::window::{Setting, Window};
use super::words::{about, bytes, count, duration, percent, usd};
use crate::request::Route;

/// A change is worth the unrest if it brings so much of what hits save already, at least.
const WORTH_A_CHANGE: f64 = 0.01;
/// And so many dollars a day.
const LEAST_USD_PER_DAY: f64 = 0.01;
/// Of the uses that the longest time would answer, a shorter one may leave so many out: who waits for the last of them
/// gives all others older answers.
const LEFT_OUT: f64 = 0.01;
/// With fewer uses of an endpoint's answers nothing is said of its time.
const LEAST_USES: usize = 100;
/// Times are taken from here, or are those of the bounds.
const TIMES: [u64; 18] = [
    60, 120, 300, 600, 900, 1_200, 1_800, 2_700, 3_600, 5_400, 7_200, 10_800, 14_400, 28_800,
    43_200, 86_400, 172_800, 604_800,
];
const DAY: Duration = Duration::from_hours(24);
const GIB: f64 = 1_073_741_824.0;
const DAYS_OF_A_MONTH: f64 = 30.0;

/// What decisions are weighed with.
pub(super) struct Scales<'w> {
    pub window: &'w Window,
    pub reuse: &'w Reuse,
    /// How long the window is.
    pub length: Duration,
    /// Now, and how long any answer is of use.
    pub now: tokio::time::Instant,
    pub life: Duration,
    /// Dollars that a hit has saved, on average.
    pub worth: f64,
    /// Bytes of an entry, on average.
    pub entry_bytes: f64,
    /// Dollars for a GiB in a month.
    pub memory: f64,
    pub bounds: Bounds,
}

/// What may be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub entries: (u64, u64),
    pub max_bytes: u64,
    pub ttl: (Duration, Duration),
}

/// A change that should bring something.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advice {
    pub to: Setting,
    /// Dollars a day.
    pub gain: f64,
    pub evidence: String,
}

impl Scales<'_> {
    /// What a setting would bring, in dollars a day: what its hits save, less what its memory costs.
    pub(super) fn net(&self, setting: &Setting) -> f64 {
        self.saved(self.window.hits(setting)) - self.rent(setting)
    }

    /// What a change brought, in dollars a day, of which the cache has given so many answers since: more than that it would
    /// have given before, as far as the sample, which is set right by what was given, can tell.
    pub(super) fn brought(&self, before: &Setting, after: &Setting, given: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let given = given as f64;
        let (said, instead) = (self.window.hits(after), self.window.hits(before));
        let instead = if said > 0.0 {
            instead * given / said
        } else {
            instead
        };
        self.saved(given - instead) - (self.rent(after) - self.rent(before))
    }

    /// What so many hits in the window come to, in dollars a day.
    fn saved(&self, hits: f64) -> f64 {
        hits * self.worth * DAY.as_secs_f64() / self.length.as_secs_f64().max(1.0)
    }

    /// What the answers cost that a setting would keep, in dollars a day.
    fn rent(&self, setting: &Setting) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "bounds of a cache in memory")]
        let (entries, most) = (setting.entries as f64, setting.bytes as f64);
        let kept = self.reuse.kept(self.life, self.now).min(entries);
        (kept * self.entry_bytes).min(most) / GIB * self.memory / DAYS_OF_A_MONTH
    }

    /// Another capacity that pays, if there is one: half to double, so that each step can be measured.
    pub(super) fn capacity(&self, current: &Setting) -> Option<Advice> {
        let (before, at_present) = (self.window.hits(current), self.net(current));
        let others = [(1, 2), (7, 10), (14, 10), (2, 1)].into_iter();
        let others = others.map(|(times, part)| Setting {
            entries: (current.entries.saturating_mul(times) / part)
                .clamp(self.bounds.entries.0, self.bounds.entries.1),
            bytes: (current.bytes.saturating_mul(times) / part).min(self.bounds.max_bytes),
            ..*current
        });
        let best = others
            .map(|setting| (setting, self.net(&setting) - at_present))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))?;
        let (to, gain) = best;
        let least = (self.saved(before) * WORTH_A_CHANGE).max(LEAST_USD_PER_DAY);
        if gain < least || to == *current {
            return None;
        }
        let after = self.window.hits(&to);
        let what = if after >= before {
            format!(
                "would have answered {} more, each of which saves {}",
                count(after - before),
                usd(self.worth)
            )
        } else {
            format!("would have answered {} fewer", count(before - after))
        };
        let evidence = format!(
            "In the last {} the cache gave about {} answers; with room for {} ({}) it {what}. The memory costs {} a day instead of {}.",
            about(self.length),
            count(before),
            count(entries(&to)),
            bytes(to.bytes),
            usd(self.rent(&to)),
            usd(self.rent(current)),
        );
        Some(Advice { to, gain, evidence })
    }

    /// Another time for an endpoint that pays, if there is one.
    pub(super) fn ttl(&self, current: &Setting, route: Route) -> Option<Advice> {
        let now = current.ttl_of(route);
        let (least, most) = self.bounds.ttl;
        if now.is_zero() {
            return None;
        }
        let ages = self.window.ages(current, route);
        if ages.len() < LEAST_USES {
            return None;
        }
        let hits = |ttl: Duration| -> f64 {
            let fresh = ages.iter().take_while(|(age, _)| *age <= ttl);
            fresh.map(|(_, weight)| weight).sum()
        };
        let (before, possible) = (hits(now), hits(most.max(now)));
        let with = |ttl| {
            let mut to = *current;
            if let Some(place) = to.ttl.get_mut(route as usize) {
                *place = ttl;
            }
            to
        };
        let enough = times(least, most).find(|ttl| hits(*ttl) >= possible * (1.0 - LEFT_OUT))?;
        let more = hits(enough) - before;
        let gain = self.saved(more);
        if enough > now && gain >= LEAST_USD_PER_DAY && more >= possible * WORTH_A_CHANGE {
            let evidence = format!(
                "In the last {} the answers of {} were asked for about {} times, {} of those when they were older than {} and not given any \
                 more. With {} the cache would have given {} more, each of which saves {}.",
                about(self.length),
                route.as_str(),
                count(possible),
                percent((possible - before) / possible.max(1.0)),
                duration(now),
                duration(enough),
                count(more),
                usd(self.worth),
            );
            let to = with(enough);
            return Some(Advice { to, gain, evidence });
        }
        // Long enough to have seen what it gives up.
        let oldest = ages.iter().rev().find(|(age, _)| *age <= now)?.0;
        let shorter = times(least, most).find(|ttl| *ttl >= oldest.saturating_mul(3) / 2)?;
        if self.length >= now.saturating_mul(2) && shorter.saturating_mul(3) / 2 < now {
            let evidence = format!(
                "In the last {} the answers of {} were asked for about {} times, and none was older than {}. With {} the same would be \
                 answered, and nobody is ever given an answer of {}.",
                about(self.length),
                route.as_str(),
                count(before),
                about(oldest),
                duration(shorter),
                duration(now),
            );
            let (to, gain) = (with(shorter), 0.0);
            return Some(Advice { to, gain, evidence });
        }
        None
    }
}

/// The times within these bounds, the shortest first.
fn times(least: Duration, most: Duration) -> impl Iterator<Item = Duration> {
    let between = TIMES.into_iter().map(Duration::from_secs);
    let between = between.filter(move |time| *time > least && *time < most);
    [least].into_iter().chain(between).chain([most])
}

#[expect(clippy::cast_precision_loss, reason = "it is shown")]
fn entries(setting: &Setting) -> f64 {
    setting.entries as f64
}

#[cfg(test)]
mod tests;
