#!/usr/bin/env bash
# Whether the promises' tests can fail: runs them against a proxy that only forwards (tests/programs/naive.rs), and wants a
# third of them at least to see that something is wrong.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

cargo build --locked --example naive
cargo test --locked --test integration --no-run
# What hangs behind such a proxy hangs for good: it is not waited for as long as usual.
output=$(PEGASUS_NEST_BIN="$target/debug/examples/naive" PEGASUS_TEST_PATIENCE=3 RUST_BACKTRACE=0 \
    cargo test --locked --test integration promises:: 2>/dev/null || true)
passed=$(grep -c '^test promises::.* \.\.\. ok$' <<<"$output" || true)
failed=$(grep -c '^test promises::.* \.\.\. FAILED$' <<<"$output" || true)
grep '^test promises::.* \.\.\. ok$' <<<"$output" | sed 's/ \.\.\. ok$//; s/^test /kept by it as well: /' || true
echo "a proxy that only forwards breaks $failed of $((passed + failed)) promises' tests"
((passed + failed > 0 && 3 * failed >= passed + failed))
