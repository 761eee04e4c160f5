//! Feeds the decoder of event streams any bytes in any pieces:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz sse tests/fuzz/corpus/sse tests/fuzz/seeds/sse`.
//!
//! What has to hold is written in `src/sse.rs`. New inputs go to the first directory. For ten minutes,
//! append `-- -max_total_time=600`; for what a finding did, run the target on its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::sse;

fuzz_target!(|input: &[u8]| sse::holds(input));
