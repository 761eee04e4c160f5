//! Deals the answers to one question out in turn, for callers who want variety.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::fingerprint::Fingerprint;

/// Whose turn it is, for each question.
pub(super) struct Turns {
    variants: u32,
    next: Option<Cache<Fingerprint, Arc<AtomicU32>>>,
}

impl Turns {
    /// For `variants` answers to each of the `questions` asked last.
    pub(super) fn new(variants: u32, questions: u64) -> Self {
        let next = (variants > 1).then(|| {
            let next = Cache::builder().max_capacity(questions);
            // By default moka turns new questions away while it is full: they would get the first answer for ever.
            next.eviction_policy(EvictionPolicy::lru()).build()
        });
        Self { variants, next }
    }

    /// Whether there can be more than one answer.
    pub(super) fn are_kept(&self) -> bool {
        self.next.is_some()
    }

    /// All of them.
    pub(super) fn all(&self) -> std::ops::Range<u32> {
        0..self.variants
    }

    /// Which one is next.
    pub(super) fn next(&self, question: Fingerprint) -> u32 {
        let Some(next) = &self.next else {
            return 0;
        };
        let turn = next.get_with(question, Arc::default);
        turn.fetch_add(1, Ordering::Relaxed) % self.variants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::digest;

    #[test]
    fn each_question_has_its_own_turns() {
        let turns = Turns::new(3, 10);
        let (one, other) = (digest(b"one"), digest(b"other"));
        assert_eq!([0; 5].map(|_| turns.next(one)), [0, 1, 2, 0, 1]);
        assert_eq!([0; 2].map(|_| turns.next(other)), [0, 1]);
        let single = Turns::new(1, 10);
        assert!(!single.are_kept());
        assert_eq!([0; 2].map(|_| single.next(one)), [0, 0]);
    }

    #[test]
    fn a_new_question_has_turns_however_often_others_are_asked() {
        let turns = Turns::new(3, 10);
        let next = |question| {
            let turn = turns.next(question);
            turns.next.as_ref().unwrap().run_pending_tasks();
            turn
        };
        for n in 0..1_000_u32 {
            next(digest(&(n % 10).to_le_bytes()));
        }
        assert_eq!([0; 4].map(|_| next(digest(b"new"))), [0, 1, 2, 0]);
    }
}
