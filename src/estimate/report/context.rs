//! What was replayed, and with which settings.

use jiff::Timestamp;
use serde::Serialize;

use super::millis;
use crate::config::{CacheScope, Config, Eviction};
use crate::estimate::{Facts, Problem};

/// What was in the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Log {
    /// Lines that are not blank.
    pub(super) lines: u64,
    /// Requests that were replayed.
    pub(super) requests: u64,
    /// Lines that hold no request, and requests that the service would not have taken.
    pub(super) unreadable: u64,
    pub(super) refused: u64,
    /// The first of them.
    pub(super) problems: Vec<Trouble>,
    /// When the first request came and when the last one did; null where no line says so.
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
    /// How long that is, in milliseconds.
    pub(super) span_ms: u64,
    pub(super) interrupted: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    pub(super) line: u64,
    pub(super) why: String,
}

/// The settings that were replayed with, as far as they matter.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) level: &'static str,
    pub(super) cache: bool,
    pub(super) ttl_ms: u64,
    pub(super) max_entries: u64,
    pub(super) max_bytes: u64,
    pub(super) eviction: &'static str,
    pub(super) scope: &'static str,
    pub(super) dedup: bool,
}

// === impl Log ===

impl Log {
    pub(super) fn of(facts: &Facts, is_dated: bool) -> Self {
        let from = facts.from.unwrap_or(facts.until);
        let dated = |at| is_dated.then(|| timestamp(at)).flatten();
        let problems = facts.problems.iter();
        Self {
            lines: facts.lines,
            requests: facts.requests,
            unreadable: facts.unreadable,
            refused: facts.refused,
            problems: problems
                .map(|Problem { line, why }| Trouble {
                    line: *line,
                    why: why.clone(),
                })
                .collect(),
            from: facts.from.and_then(dated),
            until: facts.from.and_then(|_| dated(facts.until)),
            span_ms: u64::try_from(facts.until.saturating_sub(from)).unwrap_or(0),
            interrupted: facts.is_interrupted,
        }
    }
}

/// A time as RFC 3339 writes it, to the second.
fn timestamp(millis: i64) -> Option<String> {
    let seconds = Timestamp::from_second(millis.div_euclid(1_000)).ok()?;
    Some(seconds.to_string())
}

// === impl Settings ===

impl Settings {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            level: config.compression.level.as_str(),
            cache: config.cache.enabled,
            ttl_ms: millis(config.cache.ttl),
            max_entries: config.cache.max_entries,
            max_bytes: config.cache.max_bytes,
            eviction: match config.cache.eviction {
                Eviction::Lru => "lru",
                Eviction::Value => "value",
            },
            scope: match config.cache.scope {
                CacheScope::Credential => "credential",
                CacheScope::Global => "global",
            },
            dedup: config.dedup.enabled,
        }
    }
}
