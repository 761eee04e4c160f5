//! The vocabularies, as tables in the binary: only the pages that a request's words lie in are ever read.

use std::fmt;

use super::hash;

/// Keeps a table from starting in the middle of a cache line.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

/// A table that the build script has written.
macro_rules! table {
    ($name:literal) => {{
        static TABLE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(
            env!("OUT_DIR"),
            "/",
            $name,
            ".bin"
        )));
        &TABLE.0
    }};
}

/// The rank of what is no token: it comes after all others.
pub(super) const NO_RANK: u32 = u32::MAX;

/// The class of each character is in the block of 256 that the first table has for it.
pub(super) static CLASS_INDEX: &[u8] = table!("CLASS_INDEX");
pub(super) static CLASS_BLOCKS: &[u8] = table!("CLASS_BLOCKS");

/// One vocabulary. Each single byte is a token of it.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// The rank of each two bytes, by their big-endian number.
    pairs: &'static [[u8; 4]],
    /// By which each bucket of hashes is displaced.
    moves: &'static [[u8; 2]],
    /// The tokens of three bytes or more. From the lowest bit on: 96 bits of key, 8 bits of length, the rank.
    slots: &'static [[u8; 16]],
    /// The bytes of the tokens that are longer than a key.
    blob: &'static [u8],
}

pub(super) static O200K: Table = Table {
    pairs: table!("O200K_PAIRS").as_chunks().0,
    moves: table!("O200K_MOVES").as_chunks().0,
    slots: table!("O200K_SLOTS").as_chunks().0,
    blob: table!("O200K_BLOB"),
};

pub(super) static CL100K: Table = Table {
    pairs: table!("CL100K_PAIRS").as_chunks().0,
    moves: table!("CL100K_MOVES").as_chunks().0,
    slots: table!("CL100K_SLOTS").as_chunks().0,
    blob: table!("CL100K_BLOB"),
};

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Table {
    /// The rank of two bytes, [`NO_RANK`] if they are no token.
    #[inline]
    pub(super) fn pair(&self, first: u8, second: u8) -> u32 {
        let at = usize::from(first) << 8 | usize::from(second);
        self.pairs
            .get(at)
            .map_or(NO_RANK, |&rank| u32::from_le_bytes(rank))
    }

    /// The rank of `bytes[start..end]`, at least two bytes, [`NO_RANK`] if they are no token. The bytes that
    /// follow help to read these quickly.
    #[inline]
    pub(super) fn rank(&self, bytes: &[u8], start: usize, end: usize) -> u32 {
        let length = end.saturating_sub(start);
        match length {
            0 | 1 => NO_RANK,
            2 => match bytes.get(start..) {
                Some([first, second, ..]) => self.pair(*first, *second),
                _ => NO_RANK,
            },
            3..=hash::INLINE => {
                let block = match bytes.get(start..).and_then(<[u8]>::first_chunk::<16>) {
                    Some(block) => u128::from_le_bytes(*block),
                    None => last_block(bytes.get(start..end).unwrap_or_default()),
                };
                self.short(block & ((1 << (8 * length)) - 1), length)
            }
            ..=hash::LONGEST => self.long(bytes.get(start..end).unwrap_or_default()),
            _ => NO_RANK,
        }
    }

    #[inline]
    fn short(&self, key: u128, length: usize) -> u32 {
        let slot = self.slot(hash::short(key, length));
        let found = slot & ((1 << 104) - 1) == key | (length as u128) << 96;
        if found { rank_of(slot) } else { NO_RANK }
    }

    fn long(&self, token: &[u8]) -> u32 {
        let hash = hash::long(token);
        let slot = self.slot(hash);
        // The hash only spares the look at the bytes, which decide.
        if hash::low(slot) != hash || (slot >> 96) & 0xff != token.len() as u128 {
            return NO_RANK;
        }
        let at = (hash::low(slot >> 64) & 0xffff_ffff) as usize;
        let found = self
            .blob
            .get(at..)
            .is_some_and(|bytes| bytes.starts_with(token));
        if found { rank_of(slot) } else { NO_RANK }
    }

    #[inline]
    fn slot(&self, hash: u64) -> u128 {
        let bucket = hash::bucket(hash, self.moves.len());
        let moved = self
            .moves
            .get(bucket)
            .map_or(0, |&moved| u16::from_le_bytes(moved));
        let slot = self.slots.get(hash::slot(hash, moved, self.slots.len()));
        slot.map_or(0, |&slot| u128::from_le_bytes(slot))
    }
}

/// The rank in a slot.
#[inline]
fn rank_of(slot: u128) -> u32 {
    u32::try_from(slot >> 104).unwrap_or(NO_RANK)
}

/// Fewer than 16 bytes, with zeros after them.
fn last_block(bytes: &[u8]) -> u128 {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_le_bytes(block)
}
