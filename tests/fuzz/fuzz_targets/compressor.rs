//! Feeds the compressor any text in any role at any level.
//!
//! ```sh
//! mkdir -p tests/fuzz/corpus/compressor
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none compressor \
//!     tests/fuzz/corpus/compressor tests/fuzz/seeds/compressor -- -max_total_time=600
//! ```
//!
//! What has to hold is written in `src/compressor.rs`. New inputs go to the first directory. The memory that the sanitizer
//! guards is safe Rust's anyway; without it, there are more inputs a second. A finding is a file: with its path in place
//! of all that stands after `compressor`, the target shows what happened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::compressor;

fuzz_target!(|input: &[u8]| compressor::holds(input));
