//! What became of texts that come again and again: system prompts, and the earlier turns of each conversation.
//!
//! The compressor is a pure function, so its outcome can be looked up where it has been worked out. To look costs one
//! hash and one comparison of the text, some thousandths of what the rules cost. The digests of such texts are kept
//! beside, in blocks.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::quality::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::{Compressed, Compressor, Role};
use crate::fingerprint::{Blocks, Own};

/// Shorter texts are worked out sooner than found.
const SHORTEST: usize = 128;
/// Longer ones would push out too many others.
const LONGEST: usize = 512 * 1024;
/// The most that all texts and outcomes take together, in bytes.
const ROOM: u64 = 8 * 1024 * 1024;
/// What an entry takes beside them.
const OVERHEAD: usize = 256;
/// Texts that came once are only known by a mark: most never come again, and are not worth a copy.
const MARKS: usize = 1 << 14;

/// The outcomes that are known. Exact: texts are compared, whatever their hashes.
pub struct Memo {
    hasher: RandomState,
    marks: Box<[AtomicU32]>,
    known: Cache<u64, Arc<Known>, IsHash>,
    blocks: Blocks,
}

/// A text and what becomes of it.
struct Known {
    owner: [u8; 32],
    job: Job,
    text: Box<str>,
    outcome: Option<Compressed>,
}

/// What is known of one owner's texts.
#[derive(Clone, Copy)]
pub struct Recall<'m> {
    memo: &'m Memo,
    owner: [u8; 32],
}

/// What is done to a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Job {
    pub(super) compressor: Compressor,
    pub(super) role: Role,
    /// Whether texts that are too short are left alone.
    pub(super) leaves_short: bool,
}

impl Memo {
    /// Nothing known yet.
    pub fn new() -> Self {
        let known = Cache::builder()
            .name("compressed texts")
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(ROOM)
            .weigher(|_, known: &Arc<Known>| {
                let outcome = known.outcome.as_ref().map_or(0, |outcome| {
                    outcome.text.len() + size_of_val(&*outcome.savings)
                });
                u32::try_from(known.text.len() + outcome + OVERHEAD).unwrap_or(u32::MAX)
            });
        Self {
            hasher: RandomState::default(),
            marks: (0..MARKS).map(|_| AtomicU32::new(0)).collect(),
            known: known.build_with_hasher(IsHash),
            blocks: Blocks::new(),
        }
    }

    /// What is known of the texts of one owner: others learn nothing of them, not even by the time that it takes.
    pub fn of(&self, owner: [u8; 32]) -> Recall<'_> {
        Recall { memo: self, owner }
    }

    /// The digests of the same.
    pub fn blocks_of(&self, owner: [u8; 32]) -> Own<'_> {
        self.blocks.of(owner)
    }

    /// How many blocks are known.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.kept()
    }

    /// Forgets all texts.
    pub fn clear(&self) {
        self.blocks.clear();
        self.known.invalidate_all();
        self.known.run_pending_tasks();
    }

    /// Whether a text with this hash came lately; from now on it has.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits choose the mark, the high ones are it"
    )]
    fn came_before(&self, hash: u64) -> bool {
        let mark = (hash >> 32) as u32;
        let place = &self.marks[hash as usize % MARKS];
        place.swap(mark, Ordering::Relaxed) == mark
    }
}

impl Recall<'_> {
    /// The outcome of `work` on this text: looked up where it is known.
    pub(super) fn recall(
        self,
        job: Job,
        text: &str,
        work: impl FnOnce() -> Option<Compressed>,
    ) -> Option<Compressed> {
        if !(SHORTEST..=LONGEST).contains(&text.len()) {
            return work();
        }
        let memo = self.memo;
        let hash = memo.hasher.hash_one((self.owner, &job, text));
        if let Some(known) = memo.known.get(&hash)
            && known.owner == self.owner
            && known.job == job
            && *known.text == *text
        {
            return known.outcome.clone();
        }
        let outcome = work();
        if memo.came_before(hash) {
            let known = Known {
                owner: self.owner,
                job,
                text: text.into(),
                outcome: outcome.clone(),
            };
            memo.known.insert(hash, Arc::new(known));
        }
        outcome
    }
}

impl Default for Memo {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memo").finish_non_exhaustive()
    }
}

/// Hashes what is a hash already.
#[derive(Debug, Clone, Copy, Default)]
struct IsHash;

/// The hash itself.
struct Same(u64);

impl std::hash::BuildHasher for IsHash {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same(0)
    }
}

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::compressor::Level;

    const ME: [u8; 32] = [1; 32];

    fn job() -> Job {
        Job {
            compressor: Compressor::new(Level::Balanced),
            role: Role::System,
            leaves_short: true,
        }
    }

    fn outcome(text: &str) -> Compressed {
        Compressed {
            text: text.to_owned(),
            savings: Vec::new(),
        }
    }

    #[test]
    fn a_text_is_worked_out_twice_and_then_known() {
        let memo = Memo::new();
        let text = "x".repeat(SHORTEST);
        let worked = Cell::new(0);
        let recall = |job, text: &str| {
            memo.of(ME).recall(job, text, || {
                worked.set(worked.get() + 1);
                Some(outcome("shorter"))
            })
        };
        for times in [1, 2, 2, 2] {
            assert_eq!(recall(job(), &text), Some(outcome("shorter")));
            assert_eq!(worked.get(), times);
        }
        // Whatever differs is another text.
        let other = Job {
            role: Role::User,
            ..job()
        };
        recall(other, &text);
        recall(job(), &"y".repeat(SHORTEST));
        assert_eq!(worked.get(), 4);
        // Nobody else knows it, and after a clear nobody at all.
        let others = memo.of([2; 32]).recall(job(), &text, || None);
        assert_eq!(others, None);
        memo.clear();
        recall(job(), &text);
        assert_eq!(worked.get(), 5);
    }

    #[test]
    fn texts_with_one_hash_are_told_apart() {
        let memo = Memo::new();
        let (one, other) = ("x".repeat(SHORTEST), "y".repeat(SHORTEST));
        let hash = memo.hasher.hash_one((ME, job(), &*one));
        let known = Known {
            owner: ME,
            job: job(),
            text: other.into(),
            outcome: Some(outcome("of the other")),
        };
        memo.known.insert(hash, Arc::new(known));
        assert_eq!(
            memo.of(ME).recall(job(), &one, || Some(outcome("its own"))),
            Some(outcome("its own"))
        );
    }

    #[test]
    fn a_flood_of_texts_leaves_it_within_its_room() {
        let memo = Memo::new();
        for number in 0..1_000 {
            let text = format!("{number} {}", "x".repeat(64 * 1024));
            for _ in 0..2 {
                memo.of(ME).recall(job(), &text, || None);
            }
        }
        memo.known.run_pending_tasks();
        assert!(memo.known.weighted_size() <= ROOM);
        // What is too short or too long is never kept.
        for text in ["x".repeat(SHORTEST - 1), "x".repeat(LONGEST + 1)] {
            let worked = Cell::new(0);
            for _ in 0..3 {
                memo.of(ME).recall(job(), &text, || {
                    worked.set(worked.get() + 1);
                    None
                });
            }
            assert_eq!(worked.get(), 3);
        }
    }
}
