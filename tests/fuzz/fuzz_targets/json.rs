//! Feeds the JSON edge any body: the reader, the checks, `/v1/chat/completions`, `/create` and `/create/chat`:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz json tests/fuzz/corpus/json tests/fuzz/seeds/json`.
//!
//! What has to hold is written in `src/json.rs`. New inputs go to the first directory. For ten minutes,
//! append `-- -max_total_time=600`; for what a finding did, run the target on its file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pegasus_nest_fuzz::json;

fuzz_target!(|input: &[u8]| json::holds(input));
