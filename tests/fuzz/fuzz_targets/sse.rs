//! Feeds the decoder of event streams any bytes in any pieces.
//!
//! ```sh
//! mkdir -p tests/fuzz/corpus/sse
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none sse \
//!     tests/fuzz/corpus/sse tests/fuzz/seeds/sse -- -max_total_time=600
//! ```
//!
//! What has to hold is written in `src/sse.rs`. New inputs go to the first directory. The memory that the sanitizer
//! guards is safe Rust's anyway; without it, there are more inputs a second. A finding is a file: with its path in place
//! of all that stands after `sse`, the target shows what happened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::sse;

fuzz_target!(|input: &[u8]| sse::holds(input));
