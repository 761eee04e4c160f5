//! Feeds the readers of upstreams' answers any body and any stream of chunks.
//!
//! ```sh
//! mkdir -p tests/fuzz/corpus/answer
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none answer \
//!     tests/fuzz/corpus/answer tests/fuzz/seeds/answer -- -max_total_time=600
//! ```
//!
//! What has to hold is written in `src/answer.rs`. New inputs go to the first directory. The memory that the sanitizer
//! guards is safe Rust's anyway; without it, there are more inputs a second. A finding is a file: with its path in place
//! of all that stands after `answer`, the target shows what happened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::answer;

fuzz_target!(|input: &[u8]| answer::holds(input));
