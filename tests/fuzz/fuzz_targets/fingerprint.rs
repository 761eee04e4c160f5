//! Compares the fingerprints of any two bodies, of one body in two spellings, and of one that was changed.
//!
//! ```sh
//! mkdir -p tests/fuzz/corpus/fingerprint
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none fingerprint \
//!     tests/fuzz/corpus/fingerprint tests/fuzz/seeds/fingerprint -- -max_total_time=600
//! ```
//!
//! What has to hold is written in `src/fingerprint.rs`. New inputs go to the first directory. The memory that the sanitizer
//! guards is safe Rust's anyway; without it, there are more inputs a second. A finding is a file: with its path in place
//! of all that stands after `fingerprint`, the target shows what happened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::fingerprint;

fuzz_target!(|input: &[u8]| fingerprint::holds(input));
