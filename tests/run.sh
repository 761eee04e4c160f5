#!/usr/bin/env bash
# Every check there is, from a fresh Debian with nothing but Rust: installs what is missing, runs
# each step, goes on after a failure, and says last of all what failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 CARGO_TERM_COLOR=never

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
python=
failed=()
times=()
declare -A beside=()

# step NAME COMMAND…: runs it, keeps its time and its verdict, and always succeeds.
step() {
    local name=$1 begun=$SECONDS verdict=ok
    shift
    printf '\n=== %s\n' "$name"
    "$@" || verdict=FAILED
    [[ $verdict == ok ]] || failed+=("$name")
    times+=("$(printf '%-8s %4d s  %s' "$verdict" $((SECONDS - begun)) "$name")")
}

# begin NAME COMMAND…: runs it beside the steps that follow, until `step NAME end NAME` waits for it and shows what it
# said. For what leaves a core idle for minutes, and never beside the tests, which measure.
begin() {
    local name=$1
    shift
    mkdir -p "$target"
    "$@" >"$target/$name.log" 2>&1 &
    beside[$name]=$!
}

end() {
    local status=0
    wait "${beside[$1]}" || status=$?
    cat "$target/$1.log"
    return "$status"
}

has() { command -v "$1" >/dev/null 2>&1; }

# A Python that the SDK supports and that can make virtual environments; Debian splits those off.
usable_python() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if usable_python "$candidate"; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

# Debian keeps the programs of PostgreSQL beside the path.
has_postgres() {
    local initdb version
    has psql || return 1
    for initdb in /usr/lib/postgresql/*/bin/initdb initdb; do
        version=$("$initdb" --version 2>/dev/null) || continue
        version=${version##* }
        ((${version%%[^0-9]*} >= 15)) && return 0
    done
    return 1
}

usable_node() { node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' >/dev/null 2>&1; }

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# RUNLEVEL=1 keeps the packages' init scripts from starting daemons that no test asked for.
apt_install() {
    as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

install_packages() {
    local packages=() installed=0 clusters=/etc/postgresql-common/createcluster.conf
    has redis-server || packages+=(redis-server)
    has_postgres || packages+=(postgresql)
    has prometheus && has promtool || packages+=(prometheus)
    has curl || packages+=(curl ca-certificates)
    has cc || packages+=(gcc libc6-dev)
    find_python || packages+=(python3 python3-venv)
    usable_node || packages+=(nodejs)
    has npm || packages+=(npm)
    has chromium || packages+=(chromium)
    [[ ${#packages[@]} -gt 0 ]] || return 0

    echo "missing: ${packages[*]}"
    if ! has apt-get; then
        echo "there is no apt-get here: please install them by hand"
        return 1
    fi
    if [[ $EUID -ne 0 ]] && ! sudo -n true >/dev/null 2>&1; then
        echo "neither root nor sudo without a password: please install them by hand"
        return 1
    fi
    as_root apt-get -qq update || return 1
    if [[ " ${packages[*]} " == *" postgresql "* ]]; then
        # The tests make clusters of their own: the package is to make none of the system, this once.
        apt_install postgresql-common && as_root cp -p "$clusters" "$clusters.before" &&
            as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' "$clusters" || return 1
    fi
    apt_install "${packages[@]}" || installed=1
    [[ ! -e $clusters.before ]] || as_root mv "$clusters.before" "$clusters" || return 1
    ((installed == 0)) || return 1

    local still=()
    has redis-server || still+=("redis-server")
    has_postgres || still+=("PostgreSQL with initdb and psql")
    has prometheus && has promtool || still+=("prometheus with promtool")
    has curl || still+=("curl")
    has cc || still+=("a C compiler")
    find_python || still+=("Python 3.11 or newer with venv")
    usable_node || still+=("Node 18 or newer")
    has npm || still+=("npm")
    has chromium || still+=("chromium")
    [[ ${#still[@]} -eq 0 ]] || { printf 'still missing: %s\n' "${still[@]}"; return 1; }
}

install_rust_parts() {
    if ! has cargo; then
        echo "cargo is missing: install Rust from https://rustup.rs first"
        return 1
    fi
    cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt || return 1
    cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
}

install_sdks() {
    [[ -n $python ]] || find_python || { echo "no usable Python"; return 1; }
    rm -rf "$target/clients-venv" "$target/clients-node"
    mkdir -p "$target/clients-node" &&
        "$python" -m venv "$target/clients-venv" &&
        "$target/clients-venv/bin/python" -m pip install -q -r tests/clients/requirements.txt &&
        cp tests/clients/{package.json,package-lock.json,.npmrc} "$target/clients-node/" &&
        (cd "$target/clients-node" && npm ci --loglevel=error)
}

# What may come into the build. The database of advisories is not asked: not every machine reaches it.
supply_chain() {
    if ! cargo deny --version >/dev/null 2>&1; then
        # Without optimisation it is built in a third of the time, and runs for three seconds.
        CARGO_PROFILE_DEV_DEBUG=0 cargo install -q cargo-deny --version 0.20.2 --locked --debug || return 1
    fi
    cargo deny --locked check bans licenses sources
}

all_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        local status=0
        cargo nextest run --locked --no-fail-fast || status=1
        cargo test --doc --locked || status=1
        return "$status"
    fi
    cargo test --locked --no-fail-fast
}

# With it come the program and its examples, which all that follows uses. Not the release build: it takes ten minutes more,
# and has no checks of overflows and of what is taken for granted.
build_tests() {
    # A binary of an earlier run must not be tested in place of one that does not build.
    rm -f "$target/debug/pegasus-nest"
    cargo test --locked --no-run
}

client_suites() {
    if [[ ! -x $target/debug/pegasus-nest ]]; then
        echo "not run: there is no binary"
        return 1
    fi
    PEGASUS_NEST_BIN="$target/debug/pegasus-nest" \
        CLIENTS_NODE_MODULES="$target/clients-node/node_modules" \
        "$target/clients-venv/bin/python" tests/clients/run.py
}

# What schemathesis finds in the answers that the document does not allow; needs a Python only.
api_document() {
    [[ -n $python ]] || find_python || { echo "no usable Python"; return 1; }
    rm -rf "$target/schemathesis-venv"
    "$python" -m venv "$target/schemathesis-venv" &&
        "$target/schemathesis-venv/bin/python" -m pip install -q -r tests/schemathesis/requirements.txt &&
        PEGASUS_NEST_BIN="$target/debug/pegasus-nest" \
            "$target/schemathesis-venv/bin/python" tests/schemathesis/run.py
}

readme_examples() {
    PEGASUS_NEST_BIN="$target/debug/pegasus-nest" \
        "$target/clients-venv/bin/python" tests/clients/readme.py
}

if ! has cargo && [[ -f $HOME/.cargo/env ]]; then
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
fi

step "packages" install_packages
step "rustfmt and clippy" install_rust_parts
step "format" cargo fmt --check
step "clippy" cargo clippy --all-targets --locked -- -D warnings
step "documentation" env RUSTDOCFLAGS="-D warnings" \
    cargo doc --no-deps --document-private-items --locked
step "supply chain" supply_chain
step "build of the tests" build_tests
step "tests" all_tests
step "benchmarks, once each" cargo test --locked --bench layers
step "teeth of the promises" bash tests/teeth.sh
begin "schemathesis" api_document
step "client SDKs" install_sdks
step "schemathesis" end "schemathesis"
step "client suites" client_suites
step "examples of README" readme_examples

printf '\n'
printf '%s\n' "${times[@]}"
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'failed: %s\n' "$(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
    exit 1
fi
echo "all steps passed"
