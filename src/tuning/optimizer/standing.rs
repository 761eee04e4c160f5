//! How things stand, for reports.

use std::time::Duration;

use tokio::time::Instant;

use super::{Optimizer, Shared, What, subject};
use crate::config::TuningMode;
use crate::request::Route;
use crate::tuning::words::{bytes, duration};

/// What adjusts itself at this moment, and how.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Whether it acts, or only says what it would do.
    pub mode: TuningMode,
    /// Nothing is changed until somebody says so.
    pub is_frozen: bool,
    /// How often it looks.
    pub interval: Duration,
    /// When it does next.
    pub next: Duration,
    /// Each setting: its name, what is set, what is in force, and within which bounds it may be.
    pub settings: Vec<Line>,
    /// Why nothing is decided about the cache, where that is so.
    pub doubts: Option<String>,
}

/// A setting that may be moved.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its key, and what it is for where that is not all.
    pub subject: String,
    /// As the configuration has it.
    pub configured: String,
    /// As it is now.
    pub in_force: String,
    /// Its bounds.
    pub least: String,
    /// Its bounds.
    pub most: String,
}

impl Optimizer {
    /// How things stand.
    pub fn standing(&self) -> Standing {
        let shared = &*self.shared;
        let (is_frozen, next, doubts) = {
            let desk = shared.desk.lock();
            (desk.is_frozen, desk.next, desk.doubts.clone())
        };
        Standing {
            mode: shared.mode,
            is_frozen,
            interval: shared.interval,
            next: next.saturating_duration_since(Instant::now()),
            settings: shared.settings(),
            doubts,
        }
    }
}

impl Shared {
    fn settings(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(cache) = &self.cache {
            let (set, now, bounds) = (&cache.configured, cache.in_force(), &cache.bounds);
            let mut line = |subject: String, configured, in_force, least, most| {
                lines.push(Line {
                    subject,
                    configured,
                    in_force,
                    least,
                    most,
                });
            };
            line(
                "cache.max_entries".to_owned(),
                set.entries.to_string(),
                now.entries.to_string(),
                bounds.entries.0.to_string(),
                bounds.entries.1.to_string(),
            );
            line(
                "cache.max_bytes".to_owned(),
                bytes(set.bytes),
                bytes(now.bytes),
                "0".to_owned(),
                bytes(bounds.max_bytes),
            );
            for route in Route::ALL {
                line(
                    subject(What::Ttl(route)),
                    duration(set.ttl_of(route)),
                    duration(now.ttl_of(route)),
                    duration(bounds.ttl.0),
                    duration(bounds.ttl.1),
                );
            }
        }
        let (least, most) = self.limits.bounds();
        let limits = self.limits.moved().into_iter();
        lines.extend(limits.map(|(subject, set, now)| Line {
            subject,
            configured: set.to_string(),
            in_force: now.to_string(),
            least: least.to_string(),
            most: most.to_string(),
        }));
        let gates = self.gates.narrow().into_iter();
        lines.extend(gates.map(|(model, most, now)| Line {
            subject: format!("calls at once ({model})"),
            configured: most.to_string(),
            in_force: now.to_string(),
            least: self.gates.least().to_string(),
            most: most.to_string(),
        }));
        lines
    }
}
