//! The span of a look-up in the cache.

use tokio::time::Instant;

use crate::reply::{Provenance, Reply, Tier};
use crate::telemetry::{Span, Trace};

/// A look-up that is told to nobody where the request is not traced.
pub(crate) struct LookUp(Option<Span>);

// === impl LookUp ===

impl LookUp {
    /// It begins now.
    pub(super) fn begin(trace: Option<&Trace>) -> Self {
        Self(trace.and_then(|trace| trace.begin("cache")))
    }

    /// It began a moment ago.
    pub(crate) fn since(begun: Instant, trace: Option<&Trace>) -> Self {
        Self(trace.and_then(|trace| trace.begin_at("cache", begun)))
    }

    /// It found an answer that may be given.
    pub(crate) fn found(self, provenance: Provenance) {
        let Some(span) = self.0 else { return };
        match provenance {
            Provenance::Hit { tier, .. } => {
                span.set("pegasus.cache.result", "hit");
                let tier = if tier == Tier::Redis {
                    "redis"
                } else {
                    "memory"
                };
                span.set("pegasus.cache.tier", tier);
            }
            _ => span.set("pegasus.cache.result", "stale"),
        }
        if let Some(age) = provenance.age() {
            span.set_number("pegasus.cache.age_seconds", age.as_secs());
        }
        span.finish();
    }

    /// It found none.
    pub(crate) fn missed(self) {
        let Some(span) = self.0 else { return };
        span.set("pegasus.cache.result", "miss");
        span.finish();
    }

    /// It found this, if anything.
    pub(super) fn came_to(self, found: Option<&Reply>) {
        match found {
            Some(reply) => self.found(reply.head().provenance),
            None => self.missed(),
        }
    }
}
