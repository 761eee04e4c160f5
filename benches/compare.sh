#!/usr/bin/env bash
# What it costs to have the proxy in the way, beside what nginx and bare servers cost: one run, on one machine, in turns.
#
#   benches/compare.sh [ROUNDS [SECONDS]]    each server, each load: so many rounds of so many seconds (5 of 2)
#   benches/compare.sh growth                whether cost grows with entries, connections, cores
#
# BUILT=1 takes what is built already, KEEP=1 leaves logs and results behind, ENTRIES is how many growth fills in.
#
# The server under test has the first core to itself, what asks it and what it asks have the second. Cost is the
# processor time of all threads of the server (user and system), over the requests that it served. Loopback only.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
rounds=5 seconds=2 what=compare
case ${1-} in
    growth) what=growth ;;
    *) rounds=${1:-$rounds} seconds=${2:-$seconds} ;;
esac
dir=$(mktemp -d)
# Each server keeps a ledger of its own, as its defaults have it.
export PEGASUS_LEDGER__PATH=$dir/ledger.db
declare -A pids=() addresses=()
trap 'stop_all; [[ -n ${KEEP-} ]] || rm -rf "$dir"' EXIT

has() { command -v "$1" >/dev/null 2>&1; }

install_packages() {
    local missing=()
    has nginx || missing+=(nginx-light)
    has wrk || missing+=(wrk)
    has taskset || missing+=(util-linux)
    has curl || missing+=(curl)
    has pgrep || missing+=(procps)
    [[ ${#missing[@]} -gt 0 ]] || return 0
    local sudo=()
    [[ $EUID -eq 0 ]] || sudo=(sudo -n)
    # RUNLEVEL=1 keeps nginx's own service from being started.
    "${sudo[@]}" apt-get -qq update
    "${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# The first core for the server under test, the second for all else; where there is only one, both are that.
cores=$(nproc)
core() { exec taskset -c "$(($1 % cores))" "${@:2}"; }

# start NAME CORE COMMAND…: starts a server that says where it listens.
start() {
    local name=$1 on=$2
    shift 2
    (export PEGASUS_LEDGER__PATH=$dir/$name.db && core "$on" "$@") >"$dir/$name.out" 2>"$dir/$name.log" &
    pids[$name]=$!
    local address=
    for _ in $(seq 200); do
        address=$(sed 's/\x1b\[[0-9;]*m//g' "$dir/$name.log" | grep -o -m1 'listening on http://[0-9.:]*' || true)
        [[ -z $address ]] || break
        kill -0 "${pids[$name]}" 2>/dev/null || { cat "$dir/$name.log"; return 1; }
        sleep 0.05
    done
    [[ -n $address ]] || { echo "$name does not say where it listens"; cat "$dir/$name.log"; return 1; }
    addresses[$name]=${address#listening on http://}
}

# Ends a server or a load that is no longer needed.
stop() {
    kill -9 "${pids[$1]}" 2>/dev/null || true
    wait "${pids[$1]}" 2>/dev/null || true
    unset "pids[$1]"
}

# How many answers the model has begun.
calls() { curl -s --max-time 5 "http://${addresses[model]}/v1/count"; }

# Ours, with all settings at their defaults; what is set here only says where things are.
start_ours() {
    local name=$1 on=$2
    shift 2
    start "$name" "$on" env "$@" "$target/release/pegasus-nest" --listen 127.0.0.1:0 --upstream "http://${addresses[model]}/v1"
}

start_nginx() {
    mkdir -p "$dir/cache"
    local plain=127.0.0.1:$(free_port) cache
    cache=127.0.0.1:$(free_port)
    sed "s|user USER|user $(id -un) $(id -gn)|; s|DIR|$dir|; s|PLAIN|$plain|; s|CACHE|$cache|; s|MODEL|${addresses[model]}|" benches/compare/nginx.conf >"$dir/nginx.conf"
    (core 0 nginx -c "$dir/nginx.conf" -p "$dir") 2>"$dir/nginx.log" &
    pids[nginx]=$!
    addresses[nginx-plain]=$plain addresses[nginx-cache]=$cache
    local tries=0
    until curl -s -o "$dir/ready" --max-time 5 "http://$plain/v1/count"; do
        sleep 0.05
        ((++tries < 200)) || { cat "$dir/nginx.log" "$dir/nginx-error.log"; return 1; }
    done
}

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

stop_all() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
}

# The process that serves: of nginx the worker, not its master.
serving() {
    local pid=${pids[${1%-*}]}
    if [[ $1 == nginx* ]]; then pgrep -P "$pid" | head -1; else echo "$pid"; fi
}

# Ticks of processor time that a process has used, user and system, also those of threads that have ended.
ticks() { awk '{sub(/.*\) /, ""); print $12 + $13}' "/proc/$1/stat"; }

resident() { awk '/^VmRSS/ {printf "%.1f", $2 / 1024}' "/proc/$1/status"; }

# ask NAME KIND BYTES SEED [CONNECTIONS [THREADS]]: one measurement; sets the requests, µs of time, bad ones, ticks, and
# the share of requests in % that the model was asked for.
ask() {
    local pid before after line asked
    pid=$(serving "$1")
    asked=$(calls)
    before=$(ticks "$pid")
    line=$(export KIND=$2 BYTES=$3 SEED=$4 START=${START-0} PROMPTS=${PROMPTS-10000} GZIP=${GZIP-0}; core 1 wrk -t "${6:-1}" -c "${5:-32}" -d "${span:-$seconds}s" \
        -s benches/compare/load.lua "http://${addresses[$1]}")
    line=$(grep RESULT <<<"$line")
    after=$(ticks "$pid")
    read -r _ requests duration bad <<<"$line"
    used=$((after - before))
    share=$(awk -v n="$requests" -v m=$(($(calls) - asked)) 'BEGIN {printf "%.1f", 100 * m / n}')
    [[ $bad -eq 0 ]] || { echo "$1, $2, $3 bytes: $bad bad answers" >&2; return 1; }
}

# note LOAD NAME COST RATE [SHARE]: a measurement of this round.
note() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "${5-}" >>"$dir/results"; }

# measure LOAD KIND BYTES NAME…: a round of a load, each server in turn.
measure() {
    local load=$1 kind=$2 bytes=$3 name
    shift 3
    for name in "$@"; do
        span=1 ask "$name" "$kind" "$bytes" "$RANDOM$RANDOM"
        ask "$name" "$kind" "$bytes" "$RANDOM$RANDOM"
        # A hit that asks the model is none, and a miss that does not neither. Those under way at the end are not counted.
        case $name-$kind-${share%.*} in
            constant-* | *-zipf-* | *-same-0 | *-new-99 | *-new-10[0-3]) ;;
            *) echo "$load, $name: the model was asked for $share % of the requests" >&2; return 1 ;;
        esac
        note "$load" "$name" "$(awk -v t="$used" -v n="$requests" -v hz="$(getconf CLK_TCK)" 'BEGIN {print t * 1e6 / hz / n}')" \
            "$(awk -v n="$requests" -v us="$duration" 'BEGIN {print n * 1e6 / us}')" "$share"
    done
}

# Of streams the cost is that of an event, and the rate the median time (µs) that an event was on its way.
measure_streams() {
    local name pid before after events median
    for name in "$@"; do
        pid=$(serving "$name")
        before=$(ticks "$pid")
        read -r events _ median _ < <(core 1 "$load" streams --to "${addresses[$name]}" --connections 64 --seconds "$seconds")
        after=$(ticks "$pid")
        note stream "$name" "$(awk -v t=$((after - before)) -v n="$events" -v hz="$(getconf CLK_TCK)" 'BEGIN {print t * 1e6 / hz / n}')" "$median"
    done
}

measure_first() {
    local name through direct more
    for name in "$@"; do
        read -r through direct more < <(core 1 "$load" first --to "${addresses[$name]}" --direct "${addresses[model]}")
        note first "$name" "$more" "$through"
    done
}

measure_crowd() {
    local before after median last
    before=$(calls)
    read -r median last < <(core 1 "$load" crowd --to "${addresses[ours]}" --connections 100 --rounds 10)
    after=$(calls)
    note crowd ours "$median" "$last"
    note calls ours $(((after - before))) 10
}

# report LOAD TITLE BASE…: medians and spread over the rounds, and how many times each base.
report() {
    local load=$1 title=$2
    shift 2
    awk -F'\t' -v load="$load" -v title="$title" -v bases="$*" '
        function median(list, n,   i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j-1]; j--) { t = list[j]; list[j] = list[j-1]; list[j-1] = t }
            return n % 2 ? list[(n+1)/2] : (list[n/2] + list[n/2+1]) / 2
        }
        $1 == load { if (!($2 in count)) order[++names] = $2; n = ++count[$2]; cost[$2, n] = $3; rate[$2, n] = $4 }
        END {
            wanted = split(bases, base, " ")
            for (i = 1; i <= names; i++) {
                name = order[i]; n = count[name]; line = ""
                for (k = 1; k <= n; k++) { list[k] = cost[name, k] + 0; speeds[k] = rate[name, k] + 0 }
                middle = median(list, n); low = list[1]; high = list[n]; speed = median(speeds, n)
                for (b = 1; b <= wanted; b++) {
                    for (k = 1; k <= n; k++) ratios[k] = cost[base[b], k] ? cost[name, k] / cost[base[b], k] : 0
                    line = line sprintf(" %.2f × %s%s", median(ratios, n), base[b], b < wanted ? "," : "")
                }
                printf "| %s | %s | %.1f (%.1f–%.1f) | %.0f |%s |\n", title, name, middle, low, high, speed, line
            }
        }' "$dir/results"
}

build() {
    [[ -n ${BUILT-} ]] || cargo build --locked --release --quiet
    [[ -n ${BUILT-} ]] || cargo build --locked --release --quiet --example bare --example naive --example load
    load=$target/release/examples/load
}

compare() {
    start model 1 "$target/release/examples/bare" model
    start constant 0 "$target/release/examples/bare" constant
    start hyper 0 "$target/release/examples/bare" forward --upstream "http://${addresses[model]}"
    start reqwest 0 "$target/release/examples/naive" --upstream "http://${addresses[model]}/v1"
    start_ours ours 0
    start_nginx
    local idle
    idle=$(resident "$(serving ours)")
    for _ in $(seq "$rounds"); do
        measure "hit 2" same 2048 constant ours nginx-cache
        measure "hit 32" same 32768 constant ours nginx-cache
        measure "miss 2" new 2048 hyper reqwest nginx-plain nginx-cache ours
        measure "miss 32" new 32768 hyper reqwest nginx-plain nginx-cache ours
        GZIP=1 measure "gzip 2" same 2048 ours nginx-cache
        measure zipf zipf 2048 nginx-cache ours
        measure_streams hyper nginx-plain ours
        measure_first hyper nginx-plain ours
        measure_crowd
    done
    echo
    echo "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1), $cores cores; $(nginx -v 2>&1 | sed 's|.*: ||'); $rounds rounds of $seconds s"
    echo
    echo "| load | server | µs of processor time, median (spread) | requests/s | ratio |"
    echo "|---|---|---|---|---|"
    report "hit 2" "hit, 2 KB" constant nginx-cache
    report "hit 32" "hit, 32 KB" constant nginx-cache
    report "miss 2" "miss, 2 KB" hyper nginx-plain
    report "miss 32" "miss, 32 KB" hyper nginx-plain
    report "gzip 2" "hit, 2 KB, compressed for the client as SDKs ask for it" nginx-cache
    report zipf "Zipf, 10,000 prompts of 2 KB" nginx-cache
    echo
    echo "| load | server | µs, median (spread) | | ratio |"
    echo "|---|---|---|---|---|"
    report stream "64 streams: processor time of an event; median µs on its way" nginx-plain
    report first "first token: µs more than without; µs in all" nginx-plain
    report crowd "100 identical at once: µs from the model's answer to the last; the worst of ten"
    report calls "calls that ten crowds made"
    echo
    awk -F'\t' '$1 == "zipf" {n[$2]++; sum[$2] += $5} END {for (s in n) printf "Zipf: %s asks the model for %.0f %% of the requests\n", s, sum[s] / n[s]}' "$dir/results"
    for name in constant hyper reqwest nginx-plain; do echo "resident memory of $name: $(resident "$(serving "$name")") MiB"; done
    echo "resident memory of ours: $idle MiB before the first request, $(resident "$(serving ours)") MiB after the last"
}

# cost NAME KIND SEED [CONNECTIONS]: µs of processor time for each request of 2 KB, the median of the rounds.
cost() {
    for _ in $(seq "$rounds"); do
        ask "$1" "$2" 2048 "$3" "${4:-32}" || return 1
        awk -v t="$used" -v n="$requests" -v hz="$(getconf CLK_TCK)" 'BEGIN {print t * 1e6 / hz / n}'
    done | sort -n | awk '{all[NR] = $1} END {printf "%.1f", all[int((NR + 1) / 2)]}'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

growth() {
    local few many before after
    # An input that never ends.
    mkfifo "$dir/endless"
    exec 9<>"$dir/endless"
    start model 1 "$target/release/examples/bare" model

    start_ours small 0
    PROMPTS=100 ask small known 2048 few
    few=$(PROMPTS=100 cost small known few)
    # As many as a large memory holds; they are filled in by being asked for.
    local entries=${ENTRIES:-1000000} filled=0
    start_ours large 0 PEGASUS_CACHE__MAX_ENTRIES=$((entries + 1000)) PEGASUS_CACHE__MAX_BYTES=8GiB
    while ((filled < entries)); do
        START=$filled span=10 ask large new 2048 fill
        filled=$((filled + requests))
    done
    many=$(PROMPTS=$entries cost large known fill)
    echo "hit, any of 100 entries: $few µs; any of $entries entries: $many µs; $(ratio "$many" "$few") times"
    echo "resident with $entries entries: $(resident "$(serving large)") MiB"
    stop small
    stop large

    start_ours crowded 0 PEGASUS_SERVER__MAX_CONNECTIONS=12000
    ask crowded new 2048 warm
    few=$(cost crowded new "a$RANDOM" 10)
    before=$(resident "$(serving crowded)")
    hold crowded idle 10000
    after=$(resident "$(serving crowded)")
    many=$(cost crowded new "b$RANDOM" 10)
    echo "miss, 10 connections: $few µs; with 10,000 idle ones beside them: $many µs; $(ratio "$many" "$few") times"
    echo "an idle connection that has been used: $(awk -v a="$after" -v b="$before" 'BEGIN {printf "%.1f", (a - b) * 1024 / 10000}') KiB"
    stop idle
    stop crowded

    start_ours held 0
    ask held new 2048 warm
    before=$(resident "$(serving held)")
    hold held waiting 1000
    sleep 1
    after=$(resident "$(serving held)")
    echo "a request that waits for its answer, connection included: $(awk -v a="$after" -v b="$before" 'BEGIN {printf "%.1f", (a - b) * 1024 / 1000}') KiB"
    stop waiting
    stop held

    # As many sockets as streams; all else as it is.
    start_ours streaming 0 PEGASUS_UPSTREAM__MAX_CONNECTIONS=1024 PEGASUS_UPSTREAM__MAX_CONNECTIONS_PER_HOST=1024
    ask streaming new 2048 warm
    before=$(resident "$(serving streaming)")
    core 1 "$load" streams --to "${addresses[streaming]}" --connections 1000 --seconds 4 >"$dir/streamed" &
    pids[streams]=$!
    sleep 3
    after=$(resident "$(serving streaming)")
    wait "${pids[streams]}"
    unset "pids[streams]"
    echo "1,000 streams at once: $after MiB resident, $before MiB before them with $(awk '{print $2}' "$dir/streamed") streams in all"

    local port
    port=$(free_port)
    read -r few many < <(core 1 "$load" start --to "127.0.0.1:$port" -- \
        "$target/release/pegasus-nest" --listen "127.0.0.1:$port" --upstream "http://${addresses[model]}/v1")
    echo "from the start of the process to its first answer, a miss: $few µs, at most $many µs in 20 starts"

    # The generator needs a part of the second core, so throughput would tell of it; cost tells what a second core makes of
    # the server's own work. It does not tell of cores that idle.
    start_ours one 0
    few=$(cost one same x)
    start_everywhere two
    many=$(cost two same x)
    echo "hit, one core: $few µs; two cores, which the generator shares: $many µs; at that cost two would do $(ratio "$few" "$(awk -v c="$many" 'BEGIN {print c / 2}')") times the work of one"
}

# hold NAME WHAT CONNECTIONS: opens connections to a server and keeps them until it is killed.
hold() {
    : >"$dir/$2"
    (core 1 "$load" "$2" --to "${addresses[$1]}" --connections "$3") <"$dir/endless" >"$dir/$2" 2>&1 &
    pids[$2]=$!
    until grep -q open "$dir/$2"; do
        sleep 0.1
        kill -0 "${pids[$2]}" || { cat "$dir/$2"; return 1; }
    done
}

start_everywhere() {
    "$target/release/pegasus-nest" --listen 127.0.0.1:0 --upstream "http://${addresses[model]}/v1" 2>"$dir/$1.log" &
    pids[$1]=$!
    local tries=0
    until grep -q 'listening on' "$dir/$1.log"; do
        sleep 0.05
        ((++tries < 200)) || { cat "$dir/$1.log"; return 1; }
    done
    addresses[$1]=$(grep -o -m1 'listening on http://[0-9.:]*' "$dir/$1.log" | sed 's|.*//||')
}

install_packages
build
"$what"
