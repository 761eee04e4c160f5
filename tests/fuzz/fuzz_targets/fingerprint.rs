//! Compares the fingerprints of any two bodies, of one body in two spellings, and of one that was changed:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz fingerprint tests/fuzz/corpus/fingerprint tests/fuzz/seeds/fingerprint`.
//!
//! What has to hold is written in `src/fingerprint.rs`. New inputs go to the first directory. For ten minutes,
//! append `-- -max_total_time=600`; for what a finding did, run the target on its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::fingerprint;

fuzz_target!(|input: &[u8]| fingerprint::holds(input));
