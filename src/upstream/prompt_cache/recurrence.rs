//! How likely it is that a prompt's beginning comes again while the provider would keep it: learned from those before it.

use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use crate::fingerprint::Fingerprint;

/// How long the provider keeps what was put into its cache or used out of it.
pub(super) const LIFE: Duration = Duration::from_mins(5);
/// So many beginnings are remembered, some 2 MiB.
const REMEMBERED: u64 = 16 * 1024;
/// What happened so many sightings ago counts half.
const HALF_LIFE: f64 = 512.0;

/// Beginnings of one kind come again alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The instructions, seen for the first time.
    NewHead,
    /// The same, seen before.
    KnownHead,
    /// A whole prompt, seen for the first time.
    NewEnd,
    /// One that came before, as it was or as the beginning of this one.
    KnownEnd,
}

/// What is known of a beginning.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    /// What it was when it came last, where that was counted.
    counted: Option<Kind>,
    /// When it was in the provider's cache at last.
    marked: Option<Instant>,
}

/// The beginnings that came.
pub(super) struct Memory {
    seen: Cache<Fingerprint, Seen>,
}

/// How often those of each kind came again.
#[derive(Debug, Clone)]
pub(super) struct Recurrence {
    came: [f64; 4],
    again: [f64; 4],
}

/// What is known of a beginning that comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// It came within the provider's life of it.
    pub(super) is_known: bool,
    /// The provider has it: another mark there costs nothing.
    pub(super) is_kept: bool,
}

// === impl Memory ===

impl Memory {
    pub(super) fn new() -> Self {
        let seen = Cache::builder().max_capacity(REMEMBERED);
        Self {
            seen: seen.eviction_policy(EvictionPolicy::lru()).build(),
        }
    }

    /// What is known of it.
    pub(super) fn past(&self, id: Fingerprint, now: Instant) -> Past {
        let is_fresh = |at: Instant| now.duration_since(at) <= LIFE;
        let seen = self.seen.get(&id).filter(|seen| is_fresh(seen.at));
        Past {
            is_known: seen.is_some(),
            is_kept: seen.is_some_and(|seen| seen.marked.is_some_and(is_fresh)),
        }
    }

    /// It comes, and is counted as this kind where it is one.
    pub(super) fn note(
        &self,
        id: Fingerprint,
        kind: Option<Kind>,
        now: Instant,
        recurrence: &mut Recurrence,
    ) {
        let before = self.seen.get(&id);
        let fresh = before.filter(|seen| now.duration_since(seen.at) <= LIFE);
        if let Some(kind) = fresh.and_then(|seen| seen.counted) {
            recurrence.again[kind as usize] += 1.0;
        }
        if let Some(kind) = kind {
            recurrence.count(kind);
        }
        let seen = Seen {
            at: now,
            counted: kind,
            marked: fresh.and_then(|seen| seen.marked),
        };
        self.seen.insert(id, seen);
    }

    /// The provider has answered a prompt that was marked there: it has it now.
    pub(super) fn keep(&self, id: Fingerprint, now: Instant) {
        if let Some(seen) = self.seen.get(&id) {
            let marked = Some(now);
            self.seen.insert(id, Seen { marked, ..seen });
        }
    }
}

// === impl Recurrence ===

impl Recurrence {
    /// How likely one of this kind is to come again.
    pub(super) fn likelihood(&self, kind: Kind) -> f64 {
        let kind = kind as usize;
        (self.again[kind] / self.came[kind]).min(1.0)
    }

    fn count(&mut self, kind: Kind) {
        let kind = kind as usize;
        let fade = 1.0 - std::f64::consts::LN_2 / HALF_LIFE;
        self.came[kind] = self.came[kind].mul_add(fade, 1.0);
        self.again[kind] *= fade;
    }
}

impl Default for Recurrence {
    /// What came once comes again rarely, what came twice mostly: so as if few had been seen.
    fn default() -> Self {
        Self {
            came: [2.0; 4],
            again: [0.1, 1.6, 0.1, 1.6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    #[tokio::test(start_paused = true)]
    async fn what_comes_again_in_time_is_learned_by_kind() {
        let (memory, mut recurrence) = (Memory::new(), Recurrence::default());
        let first = recurrence.likelihood(Kind::NewEnd);
        assert!(first < 0.1 && recurrence.likelihood(Kind::KnownEnd) > 0.7);
        for n in 0..100_u32 {
            let id = digest(&n.to_le_bytes());
            let now = Instant::now();
            memory.note(id, Some(Kind::NewEnd), now, &mut recurrence);
            assert!(memory.past(id, now).is_known);
            tokio::time::advance(LIFE / 2).await;
            let now = Instant::now();
            memory.note(id, Some(Kind::KnownEnd), now, &mut recurrence);
            tokio::time::advance(LIFE * 2).await;
            assert_eq!(memory.past(id, Instant::now()), Past::default());
        }
        assert!(recurrence.likelihood(Kind::NewEnd) > 0.9);
        assert!(recurrence.likelihood(Kind::KnownEnd) < 0.1);
        assert!(recurrence.likelihood(Kind::NewHead) < 0.1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_provider_has_what_was_marked_for_as_long_as_it_is_used() {
        let (memory, mut recurrence) = (Memory::new(), Recurrence::default());
        let id = digest(b"a");
        for is_marked in [true, true, false] {
            memory.note(id, None, Instant::now(), &mut recurrence);
            if is_marked {
                memory.keep(id, Instant::now());
            }
            tokio::time::advance(LIFE).await;
            let past = memory.past(id, Instant::now());
            // Seen the last time, yet not used out of the provider's cache.
            assert_eq!((past.is_known, past.is_kept), (true, is_marked));
        }
    }
}
