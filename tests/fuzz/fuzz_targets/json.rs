//! Feeds the JSON edge any body: the reader, the checks, `/v1/chat/completions`, `/create` and `/create/chat`.
//!
//! ```sh
//! mkdir -p tests/fuzz/corpus/json
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz --sanitizer none json \
//!     tests/fuzz/corpus/json tests/fuzz/seeds/json -- -max_total_time=600
//! ```
//!
//! What has to hold is written in `src/json.rs`. New inputs go to the first directory. The memory that the sanitizer
//! guards is safe Rust's anyway; without it, there are more inputs a second. A finding is a file: with its path in place
//! of all that stands after `json`, the target shows what happened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::json;

fuzz_target!(|input: &[u8]| json::holds(input));
