//! Reads what may adjust itself, and within which bounds.

use std::time::Duration;

use super::MANY;
use crate::config::{Cache, MaxTokens, Tuning, TuningMode, reader::Reader};
use crate::request::Route;

/// Longer is no interval, but a mistake.
const LONGEST_INTERVAL: Duration = Duration::from_hours(24);

impl Tuning {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut tuning = Self {
            mode: reader.text("tuning.mode", |text| match text {
                "off" => Ok(TuningMode::Off),
                "observe" => Ok(TuningMode::Observe),
                "act" => Ok(TuningMode::Act),
                _ => Err("expected off, observe or act".to_owned()),
            }),
            interval: reader.timeout("tuning.interval"),
            min_entries: reader.integer("tuning.min_entries", 1..=1_000_000_000),
            max_entries: reader.integer("tuning.max_entries", 1..=1_000_000_000),
            max_bytes: reader.size("tuning.max_bytes"),
            memory_usd_per_gib_month: reader
                .number("tuning.memory_usd_per_gib_month", 0.0..=1_000_000.0),
            min_ttl: reader.timeout("tuning.min_ttl"),
            max_ttl: reader.timeout("tuning.max_ttl"),
            min_tokens: reader.integer("tuning.min_tokens", 1..=100 * MANY),
            max_tokens: reader.integer("tuning.max_tokens", 1..=100 * MANY),
            min_concurrency: reader.integer("tuning.min_concurrency", 1..=MANY),
        };
        if tuning.interval > LONGEST_INTERVAL && reader.can_judge(&["tuning.interval"]) {
            reader.refuse("tuning.interval", "expected at most a day (24h)".to_owned());
        }
        reader.at_most(
            ("tuning.min_entries", &mut tuning.min_entries),
            ("tuning.max_entries", tuning.max_entries),
        );
        reader.at_most(
            ("tuning.min_ttl", &mut tuning.min_ttl),
            ("tuning.max_ttl", tuning.max_ttl),
        );
        reader.at_most(
            ("tuning.min_tokens", &mut tuning.min_tokens),
            ("tuning.max_tokens", tuning.max_tokens),
        );
        tuning
    }

    /// Widens the bounds to what is set by hand: that is right as it is, whatever they say.
    pub(super) fn allow(&mut self, cache: &Cache, limits: &MaxTokens) {
        self.min_entries = self.min_entries.min(cache.max_entries);
        self.max_entries = self.max_entries.max(cache.max_entries);
        self.max_bytes = self.max_bytes.max(cache.max_bytes);
        let times = Route::ALL.map(|route| cache.ttl_of(route));
        for ttl in times.into_iter().filter(|ttl| !ttl.is_zero()) {
            self.min_ttl = self.min_ttl.min(ttl);
            self.max_ttl = self.max_ttl.max(ttl);
        }
        for limit in [limits.simple, limits.medium, limits.complex] {
            self.min_tokens = self.min_tokens.min(limit);
            self.max_tokens = self.max_tokens.max(limit);
        }
    }
}
