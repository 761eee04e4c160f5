//! What a client's `Cache-Control` demands (RFC 9111 section 5.2.1), and what it makes of an answer's age.

use std::time::Duration;

use http::{HeaderMap, header};

/// Beyond any answer's life, and far from overflow: what numbers too large to read count as.
const AGES: Duration = Duration::from_secs(1 << 32);

/// The request directives that the cache honours. Repeated ones count as the strictest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// Ask the upstream, whatever is stored.
    pub no_cache: bool,
    /// Neither answer from the cache nor keep the answer.
    pub no_store: bool,
    /// Answer from the cache or not at all.
    pub only_if_cached: bool,
    /// Take no answer that is older.
    pub max_age: Option<Duration>,
    /// Take an answer past its life by no more than this; [`Duration::MAX`]: by however much.
    pub max_stale: Option<Duration>,
    /// Take no answer that will not be fresh for that much longer.
    pub min_fresh: Option<Duration>,
}

/// What a stored answer is to a client, by its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within its life, and young enough for the client or taken by it all the same: it is the answer.
    Fresh {
        /// What is left of its life.
        ttl_left: Duration,
    },
    /// Past its life.
    Stale {
        /// By how much.
        expired_for: Duration,
        /// Whether the client takes it without the upstream being asked (`max-stale`). If not, it has said nothing
        /// of stale answers: only a failing upstream, or one that is asked meanwhile, makes it the answer.
        allowed: bool,
    },
    /// Nothing that the client would take, whatever becomes of the upstream.
    Unacceptable,
}

impl CacheControl {
    /// Reads the header's fields; unknown directives are ignored, as RFC 9111 asks. An argument that cannot be
    /// read counts as the strictest one.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        let values = headers.get_all(header::CACHE_CONTROL).iter();
        // One by one: a directive that is no ASCII must not hide a no-store beside it.
        for directive in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let directive = String::from_utf8_lossy(directive);
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name, Some(argument)),
                None => (&*directive, None),
            };
            let age = argument.and_then(seconds);
            match name.trim().to_ascii_lowercase().as_str() {
                "no-cache" => control.no_cache = true,
                "no-store" => control.no_store = true,
                "only-if-cached" => control.only_if_cached = true,
                "max-age" => at_most(&mut control.max_age, age.unwrap_or_default()),
                "max-stale" if argument.is_none() => {
                    at_most(&mut control.max_stale, Duration::MAX);
                }
                "max-stale" => at_most(&mut control.max_stale, age.unwrap_or_default()),
                "min-fresh" => {
                    let least = age.unwrap_or(Duration::MAX);
                    control.min_fresh = control.min_fresh.max(Some(least));
                }
                _ => {}
            }
        }
        control
    }

    /// What an answer of this age, fresh for `ttl` from when it was made, is to the client.
    ///
    /// Past `ttl` or `max-age`, whichever comes first, a client that set a bound (`max-age`, `min-fresh`) without
    /// `max-stale` takes it from nobody (RFC 9111 section 5.2.1.1), one that set `max-stale` takes it up to there, and
    /// one that set none leaves it to the caller of this.
    pub fn judge(&self, age: Duration, ttl: Duration) -> Verdict {
        let is_too_short = |least: Duration| age.saturating_add(least) > ttl;
        if self.is_bypass() || self.min_fresh.is_some_and(is_too_short) {
            return Verdict::Unacceptable;
        }
        // Both bounds by themselves: at the end of its life an answer is stale, at max-age it is not yet too old.
        let is_young = self.max_age.is_none_or(|most| age <= most);
        let end = self.max_age.map_or(ttl, |most| ttl.min(most));
        let is_accepted = self
            .max_stale
            .is_some_and(|most| age.saturating_sub(end) <= most);
        match age.checked_sub(ttl) {
            None if is_young || is_accepted => Verdict::Fresh {
                ttl_left: ttl.saturating_sub(age),
            },
            Some(expired_for) if is_accepted => Verdict::Stale {
                expired_for,
                allowed: true,
            },
            Some(expired_for)
                if self.max_age.is_none()
                    && self.min_fresh.is_none()
                    && self.max_stale.is_none() =>
            {
                Verdict::Stale {
                    expired_for,
                    allowed: false,
                }
            }
            _ => Verdict::Unacceptable,
        }
    }

    /// Whether the client wants an answer made for it alone.
    pub fn is_bypass(&self) -> bool {
        self.no_cache || self.no_store
    }
}

/// A directive's argument, which some clients quote.
fn seconds(argument: &str) -> Option<Duration> {
    let argument = argument.trim().trim_matches('"');
    if argument.is_empty() || !argument.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let read = argument.parse().map_or(AGES, Duration::from_secs);
    Some(read.min(AGES))
}

fn at_most(known: &mut Option<Duration>, most: Duration) {
    *known = Some(known.map_or(most, |known| known.min(most)));
}

#[cfg(test)]
mod tests;
