//! How much lies between two uses of the same answer: what a cache of any size would have had.
//!
//! The stack of R. L. Mattson et al. ("Evaluation techniques for storage hierarchies", IBM Systems Journal 9, 1970): an
//! answer is found in a cache of the least recently used if fewer others were used since its last use than there is room
//! for. It holds also what the cache has given up, the list of ghosts. Kept for a sample of the questions by their
//! fingerprints, whose size is bounded by sampling fewer of them as there are more (C. A. Waldspurger et al., "Efficient
//! MRC construction with SHARDS", USENIX FAST 2015): what lies between two uses is then the more the rarer they are taken.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

/// So many questions are followed (48 bytes each).
const MOST: usize = 4_096;

/// The questions that are followed, in the order of their last use, the latest last.
pub(super) struct Reuse {
    stack: Vec<Item>,
    /// The keys of the same.
    keys: HashSet<u64>,
    /// Questions whose keys are above it are not followed.
    threshold: u64,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    key: u64,
    stored: Option<Stored>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    at: Instant,
    bytes: u64,
}

/// What lies between two uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Between {
    /// Answers that were used meanwhile.
    pub entries: f64,
    /// What they weigh together, and the one itself.
    pub bytes: f64,
    /// How old the answer is by now.
    pub age: Duration,
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            stack: Vec::new(),
            keys: HashSet::new(),
            threshold: u64::MAX,
        }
    }
}

impl Reuse {
    /// Questions with keys up to here are followed.
    pub(super) fn threshold(&self) -> u64 {
        self.threshold
    }

    /// For how many questions each of those stands that are followed.
    pub(super) fn weight(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let share = self.threshold as f64 / u64::MAX as f64;
        1.0 / share.max(f64::MIN_POSITIVE)
    }

    /// Follows fewer from now on.
    pub(super) fn lower(&mut self, threshold: u64) {
        self.threshold = self.threshold.min(threshold);
        let least = self.threshold;
        self.stack.retain(|item| item.key <= least);
        self.keys.retain(|key| *key <= least);
    }

    /// A question is asked; says what lies between that and its last use, if there is an answer to it that was kept.
    pub(super) fn asked(&mut self, key: u64, now: Instant) -> Option<Between> {
        let weight = self.weight();
        if !self.keys.contains(&key) {
            self.push(Item { key, stored: None });
            return None;
        }
        let place = self.stack.iter().rposition(|item| item.key == key)?;
        let meanwhile = self.stack[place + 1..].iter();
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        for stored in meanwhile.filter_map(|item| item.stored.as_ref()) {
            entries += 1;
            bytes += stored.bytes;
        }
        let item = self.stack.remove(place);
        self.stack.push(item);
        let stored = item.stored?;
        Some(Between {
            entries: float(entries) * weight,
            bytes: float(bytes).mul_add(weight, float(stored.bytes)),
            age: now.saturating_duration_since(stored.at),
        })
    }

    /// An answer is kept that was made at this time.
    pub(super) fn stored(&mut self, key: u64, bytes: u64, made: Instant) {
        let stored = Some(Stored { at: made, bytes });
        if !self.keys.contains(&key) {
            self.push(Item { key, stored });
            return;
        }
        // It was asked a moment ago.
        let item = self.stack.iter_mut().rev().find(|item| item.key == key);
        if let Some(item) = item {
            item.stored = stored;
        }
    }

    /// All answers are gone.
    pub(super) fn cleared(&mut self) {
        for item in &mut self.stack {
            item.stored = None;
        }
    }

    /// How many answers there would be in a cache without bounds, of which none is older than `life`.
    pub(super) fn kept(&self, life: Duration, now: Instant) -> f64 {
        let stored = self.stack.iter().filter_map(|item| item.stored);
        let kept = stored.filter(|stored| now.saturating_duration_since(stored.at) <= life);
        float(kept.count() as u64) * self.weight()
    }

    fn push(&mut self, item: Item) {
        if item.key > self.threshold {
            return;
        }
        self.stack.push(item);
        self.keys.insert(item.key);
        if self.stack.len() > MOST {
            let mut keys: Vec<_> = self.keys.iter().copied().collect();
            let (_, highest, _) = keys.select_nth_unstable(MOST - MOST / 16);
            self.lower(highest.saturating_sub(1));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory")]
fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> u64 {
        // SplitMix64's mixer: as even as a digest.
        let mixed = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_meanwhile_lies_between() {
        let mut reuse = Reuse::default();
        let now = Instant::now();
        for n in 1..=3 {
            assert_eq!(reuse.asked(n, now), None);
            reuse.stored(n, 100, now);
        }
        // A question whose answer is not kept takes no room.
        assert_eq!(reuse.asked(9, now), None);
        assert_eq!(reuse.asked(9, now), None);
        let later = now + Duration::from_secs(5);
        let between = reuse.asked(1, later).unwrap();
        assert_eq!((between.entries, between.bytes), (2.0, 300.0));
        assert_eq!(between.age, Duration::from_secs(5));
        assert!(reuse.asked(1, later).unwrap().entries < 0.1);
        assert!(reuse.kept(Duration::from_secs(4), later) < 0.1);
        assert!((reuse.kept(Duration::from_secs(5), later) - 3.0).abs() < 0.1);
        reuse.cleared();
        assert_eq!(reuse.asked(2, later), None);
    }

    /// Questions in turns: each comes back after all others.
    #[tokio::test(start_paused = true)]
    async fn a_sample_tells_of_all() {
        let mut reuse = Reuse::default();
        let now = Instant::now();
        let all = 20_000;
        let mut seen = Vec::new();
        for round in 0..3 {
            for n in 0..all {
                let between = reuse.asked(key(n), now);
                reuse.stored(key(n), 1_000, now);
                seen.extend(between.filter(|_| round == 2));
            }
        }
        assert!(reuse.stack.len() <= MOST);
        assert!((size_of::<Item>() + 16) * MOST <= 1 << 20);
        for between in seen {
            let ratio = between.entries / 20_000.0;
            assert!((0.95..1.05).contains(&ratio), "{ratio}");
        }
        let kept = reuse.kept(Duration::ZERO, now) / 20_000.0;
        assert!((0.95..1.05).contains(&kept), "{kept}");
    }
}
