//! What holds for any input, however hostile, of the parts that read what strangers send.
//!
//! The fuzz targets ask it of inputs that they make up, and `cargo test` of the seeds, which are inputs
//! of earlier runs that reach far.

pub mod answer;
pub mod compressor;
mod edge;
pub mod fingerprint;
pub mod json;
pub mod sse;
mod tree;

/// The choices that an input makes with its first bytes, and the rest of it. Digits choose what they say,
/// where there are four or eight things to choose from.
fn choices<const N: usize>(input: &[u8]) -> ([usize; N], &[u8]) {
    let (first, rest) = input.split_at(N.min(input.len()));
    let choice = |at: usize| first.get(at).copied().unwrap_or(b'0').into();
    (std::array::from_fn(choice), rest)
}
