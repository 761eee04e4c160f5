//! Which settings save the most.

use serde::Serialize;

use super::{millis, share};
use crate::compressor::Level;
use crate::estimate::sweep::{Figures, Setting};
use crate::metering::tally::usd;
use crate::words::duration;

/// Settings that save nearly as much as the best (of its saving, in thousandths) are as good: a gain so small is not worth
/// a larger cache, older answers or more of an edit.
const AS_GOOD: u64 = 5;

/// All combinations that were tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// What all calls would have cost without the proxy.
    pub(super) without_nano_usd: u64,
    pub(super) without_usd: f64,
    /// The settings as they are.
    pub(super) current: Tried,
    /// Those that save the most for the least.
    pub(super) recommended: Tried,
    /// The same to paste.
    pub(super) toml: String,
    /// All others, the best first.
    pub(super) tried: Vec<Tried>,
}

/// One combination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tried {
    pub(super) max_entries: u64,
    pub(super) ttl_ms: u64,
    pub(super) level: &'static str,
    pub(super) requests: u64,
    pub(super) hits: u64,
    pub(super) joined: u64,
    pub(super) hit_rate: f64,
    pub(super) cost_nano_usd: u64,
    pub(super) saved_nano_usd: u64,
    pub(super) saved_usd: f64,
    pub(super) saved_share: f64,
    pub(super) cache_nano_usd: u64,
    pub(super) dedup_nano_usd: u64,
    pub(super) compression_nano_usd: u64,
}

// === impl Swept ===

impl Swept {
    /// What no replay can tell.
    pub(super) const CAVEAT: &'static str = "Recommended is what comes within 0.5 % of the best saving and asks for the \
        least: the most careful compression, then the shortest ttl, then the fewest entries. What a higher level does to \
        answers, and how old an answer may be, no replay can tell.";

    pub(super) fn of(lanes: &[(Setting, Figures)], baseline: u64, is_cached: bool) -> Self {
        let mut ranked: Vec<_> = lanes.iter().skip(1).collect();
        // Of equals the ones that ask for less come first.
        ranked.sort_by_key(|(setting, figures)| (figures.cost, demands(setting)));
        let least = ranked.first().map_or(0, |(_, figures)| figures.cost);
        let margin = baseline.saturating_sub(least) / 1_000 * AS_GOOD;
        let as_good = ranked
            .iter()
            .filter(|(_, figures)| figures.cost <= least + margin);
        let recommended = as_good.min_by_key(|(setting, _)| demands(setting));
        let current = Tried::of(&lanes[0], baseline);
        let recommended = recommended.map_or(current.clone(), |lane| Tried::of(lane, baseline));
        Self {
            without_nano_usd: baseline,
            without_usd: usd(baseline),
            toml: recommended.to_toml(is_cached),
            current,
            recommended,
            tried: ranked
                .iter()
                .map(|lane| Tried::of(lane, baseline))
                .collect(),
        }
    }
}

/// What settings ask for: edits first, since nobody can measure here what they do to answers; then the age of answers; then
/// memory.
fn demands(setting: &Setting) -> (Level, u64, u64) {
    (setting.level, millis(setting.ttl), setting.max_entries)
}

// === impl Tried ===

impl Tried {
    fn of((setting, figures): &(Setting, Figures), baseline: u64) -> Self {
        let saved = baseline.saturating_sub(figures.cost);
        Self {
            max_entries: setting.max_entries,
            ttl_ms: millis(setting.ttl),
            level: setting.level.as_str(),
            requests: figures.requests,
            hits: figures.hits,
            joined: figures.joined,
            hit_rate: share(figures.hits + figures.joined, figures.requests),
            cost_nano_usd: figures.cost,
            saved_nano_usd: saved,
            saved_usd: usd(saved),
            saved_share: share(saved, baseline),
            cache_nano_usd: figures.saved_by_cache,
            dedup_nano_usd: figures.saved_by_dedup,
            compression_nano_usd: figures.saved_by_compression,
        }
    }

    /// The settings as a file has them; `is_cached`: the cache need not be switched on first.
    fn to_toml(&self, is_cached: bool) -> String {
        let enabled = if is_cached { "" } else { "enabled = true\n" };
        format!(
            "[cache]\n{enabled}max_entries = {}\nttl = \"{}\"\n\n[compression]\nlevel = \"{}\"\n",
            self.max_entries,
            duration(self.ttl_ms),
            self.level
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lane(max_entries: u64, minutes: u64, level: Level, cost: u64) -> (Setting, Figures) {
        let ttl = Duration::from_mins(minutes);
        let figures = Figures {
            cost,
            ..Figures::default()
        };
        (
            Setting {
                max_entries,
                ttl,
                level,
            },
            figures,
        )
    }

    #[test]
    fn what_saves_as_much_for_less_is_recommended() {
        let lanes = [
            lane(1_000, 60, Level::Balanced, 500_000),
            lane(16_000, 60, Level::Balanced, 100_000),
            lane(4_000, 60, Level::Balanced, 101_000),
            lane(4_000, 5, Level::Balanced, 102_000),
            lane(4_000, 5, Level::Safe, 200_000),
            lane(250, 5, Level::Balanced, 900_000),
        ];
        let swept = Swept::of(&lanes, 1_000_000, true);
        let order: Vec<_> = swept
            .tried
            .iter()
            .map(|tried| tried.cost_nano_usd)
            .collect();
        assert_eq!(order, [100_000, 101_000, 102_000, 200_000, 900_000]);
        assert_eq!(swept.recommended.cost_nano_usd, 102_000);
        assert_eq!(swept.current.saved_nano_usd, 500_000);
        let expected =
            "[cache]\nmax_entries = 4000\nttl = \"5m\"\n\n[compression]\nlevel = \"balanced\"\n";
        assert_eq!(swept.toml, expected);
        let problems = crate::config::Config::from_toml(&swept.toml);
        assert!(problems.is_ok());
    }

    #[test]
    fn where_nothing_is_saved_the_least_is_recommended() {
        let levels = [Level::Off, Level::Off, Level::Aggressive];
        let lanes = levels.map(|level| lane(250, 5, level, 7));
        let swept = Swept::of(&lanes, 7, false);
        assert_eq!(
            (swept.recommended.level, swept.recommended.saved_nano_usd),
            ("off", 0)
        );
        assert!(swept.toml.starts_with("[cache]\nenabled = true\n"));
    }
}
