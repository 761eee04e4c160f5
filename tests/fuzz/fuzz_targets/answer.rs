//! Feeds the readers of upstreams' answers any body and any stream of chunks:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz answer tests/fuzz/corpus/answer tests/fuzz/seeds/answer`.
//!
//! What has to hold is written in `src/answer.rs`. New inputs go to the first directory. For ten minutes,
//! append `-- -max_total_time=600`; for what a finding did, run the target on its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::answer;

fuzz_target!(|input: &[u8]| answer::holds(input));
