//! The digests of blocks that came before: most of a long prompt did, and most of a long conversation.
//!
//! SHA-256 takes in less than two bytes a nanosecond. To see that a block is one that came before takes one fast hash and
//! one comparison of its bytes, together a fifth of that. Exact: blocks are compared, whatever their hashes.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::quality::RandomState;
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};

/// Long parts are hashed in blocks of so many bytes, each to a digest of its own. Part of what a fingerprint is.
pub(super) const BLOCK: usize = 4096;
/// Room for so many blocks, 4 MiB.
const PLACES: usize = 1024;

/// The blocks that are known.
pub struct Blocks {
    hasher: RandomState,
    places: Box<[Place]>,
}

/// The blocks of one owner.
#[derive(Clone, Copy)]
pub struct Own<'b> {
    blocks: &'b Blocks,
    owner: [u8; 32],
}

/// Where the blocks with certain hashes stand, one at a time.
#[derive(Default)]
struct Place {
    /// Of the last one that came and was not known: one that comes once is not worth a copy, and two that come in turns
    /// do not push out each other.
    mark: AtomicU32,
    known: RwLock<Option<Box<Known>>>,
}

struct Known {
    owner: [u8; 32],
    digest: [u8; 32],
    block: [u8; BLOCK],
}

impl Blocks {
    /// None known yet.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            places: (0..PLACES).map(|_| Place::default()).collect(),
        }
    }

    /// Those of one owner: others learn nothing of them, not even by the time that it takes.
    pub fn of(&self, owner: [u8; 32]) -> Own<'_> {
        Own {
            blocks: self,
            owner,
        }
    }

    /// How many are known.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        let known = self.places.iter().map(|place| place.known.read());
        known.filter(|known| known.is_some()).count()
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        for place in &self.places {
            place.mark.store(0, Ordering::Relaxed);
            *place.known.write() = None;
        }
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Own<'_> {
    /// The SHA-256 of a block: looked up where it is known.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits choose the place, the high ones are the mark"
    )]
    pub(super) fn digest(self, block: &[u8; BLOCK]) -> [u8; 32] {
        let hash = self.blocks.hasher.hash_one((self.owner, &block[..]));
        let place = &self.blocks.places[hash as usize % PLACES];
        let known = place.known.read();
        if let Some(known) = &*known
            && known.owner == self.owner
            && known.block == *block
        {
            return known.digest;
        }
        drop(known);
        let digest = digest(block);
        let mark = (hash >> 32) as u32;
        if place.mark.swap(mark, Ordering::Relaxed) == mark {
            *place.known.write() = Some(Box::new(Known {
                owner: self.owner,
                digest,
                block: *block,
            }));
        }
        digest
    }
}

/// The SHA-256 of a block.
pub(super) fn digest(block: &[u8; BLOCK]) -> [u8; 32] {
    Sha256::digest(block).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: [u8; 32] = [1; 32];

    #[test]
    fn a_block_that_comes_again_is_kept_until_a_clear() {
        let blocks = Blocks::new();
        let block = [7; BLOCK];
        for expected in [0, 1, 1] {
            assert_eq!(blocks.of(ME).digest(&block), digest(&block));
            assert_eq!(blocks.kept(), expected);
        }
        blocks.clear();
        assert_eq!(blocks.kept(), 0);
        // It is as if it had never come.
        assert_eq!(blocks.of(ME).digest(&block), digest(&block));
        assert_eq!(blocks.kept(), 0);
    }

    #[test]
    fn a_known_block_is_looked_up_by_all_its_bytes_and_its_owner() {
        let blocks = Blocks::new();
        let block = [7; BLOCK];
        // A false digest tells who has looked it up.
        let lie = |owner, block| {
            for place in &blocks.places {
                let known = Known {
                    owner,
                    digest: [0; 32],
                    block,
                };
                *place.known.write() = Some(Box::new(known));
            }
        };
        lie(ME, block);
        assert_eq!(blocks.of(ME).digest(&block), [0; 32]);
        assert_eq!(blocks.of([2; 32]).digest(&block), digest(&block));
        for at in [0, 1, BLOCK / 2, BLOCK - 1] {
            let mut other = block;
            other[at] ^= 1;
            assert_eq!(blocks.of(ME).digest(&other), digest(&other));
        }
    }

    #[test]
    fn blocks_that_come_in_turns_leave_the_known_one_alone() {
        let blocks = Blocks::new();
        let by_place = |number: u32| {
            let mut block = [0; BLOCK];
            block[..4].copy_from_slice(&number.to_le_bytes());
            block
        };
        let place_of = |block: &[u8; BLOCK]| {
            usize::try_from(blocks.hasher.hash_one((ME, &block[..])) % PLACES as u64).unwrap()
        };
        let first = by_place(0);
        let rivals: Vec<_> = (1..)
            .map(by_place)
            .filter(|block| place_of(block) == place_of(&first))
            .take(2)
            .collect();
        for block in [
            &first, &first, &rivals[0], &rivals[1], &rivals[0], &rivals[1],
        ] {
            assert_eq!(blocks.of(ME).digest(block), digest(block));
        }
        let known = blocks.places[place_of(&first)].known.read();
        assert!(known.as_ref().is_some_and(|known| known.block == first));
    }
}
