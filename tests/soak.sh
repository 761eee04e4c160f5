#!/usr/bin/env bash
# A load that goes on: hits, misses, streams, failing upstreams, clients that leave, for ten minutes or as many
# seconds as the first argument says. It ends with flat memory, nothing leaked and a healthy service, or with exit code 1.
# No part of tests/run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

cargo build --release --locked --bin pegasus-nest --example soak
PEGASUS_NEST_BIN="$target/release/pegasus-nest" "$target/release/examples/soak" "${1:-600}"
