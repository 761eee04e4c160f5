//! The hash by which the tables of tokens are laid out, and by which a request's text is looked up in
//! them: the build script and the library both compile this file.

/// Longest token, in bytes, whose bytes stand in the table's slot itself.
pub(crate) const INLINE: usize = 12;

/// Most bytes of a token.
pub(crate) const LONGEST: usize = 128;

const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd6e8_feb8_6659_fd93;
const THIRD: u64 = 0xa076_1d64_78bd_642f;

/// Multiplies to 128 bits and folds the halves into one.
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    low(product) ^ low(product >> 64)
}

/// The lower half.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is what is to go"
)]
pub(crate) const fn low(wide: u128) -> u64 {
    wide as u64
}

/// Hashes the key of a token of at most [`INLINE`] bytes: its bytes, little-endian, and zeros.
pub(crate) const fn short(key: u128, length: usize) -> u64 {
    fold(
        low(key) ^ FIRST,
        low(key >> 64) ^ SECOND ^ ((length as u64) << 40),
    )
}

/// Hashes a token of more than [`INLINE`] bytes.
pub(crate) fn long(token: &[u8]) -> u64 {
    let mut hash = token.len() as u64 ^ THIRD;
    for block in token.chunks(16) {
        let mut bytes = [0; 16];
        bytes[..block.len()].copy_from_slice(block);
        let word = u128::from_le_bytes(bytes);
        hash = fold(low(word) ^ hash, low(word >> 64) ^ SECOND);
    }
    // A block equal to a constant must not make all tokens alike that hold it.
    fold(hash ^ FIRST, token.len() as u64 ^ THIRD)
}

/// The bucket of a hash, of `buckets`.
pub(crate) const fn bucket(hash: u64, buckets: usize) -> usize {
    spread(hash, buckets)
}

/// The slot of a hash in a bucket of this displacement, of `slots`.
pub(crate) const fn slot(hash: u64, displacement: u16, slots: usize) -> usize {
    let moved = (hash ^ (displacement as u64).wrapping_mul(THIRD)).wrapping_mul(FIRST);
    spread(moved, slots)
}

/// Maps the upper bits of a hash evenly to `0..n`.
const fn spread(hash: u64, n: usize) -> usize {
    (((hash >> 32) * n as u64) >> 32) as usize
}
