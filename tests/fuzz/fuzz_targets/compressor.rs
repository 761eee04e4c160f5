//! Feeds the compressor any text in any role at any level:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz compressor tests/fuzz/corpus/compressor tests/fuzz/seeds/compressor`.
//!
//! What has to hold is written in `src/compressor.rs`. New inputs go to the first directory. For ten minutes,
//! append `-- -max_total_time=600`; for what a finding did, run the target on its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::compressor;

fuzz_target!(|input: &[u8]| compressor::holds(input));
