# Shared by the scripts here: where things go, steps with their times, tools that are installed when they are missing. Checks nothing by itself.
# shellcheck shell=bash

# Build output and tools stay outside the clone.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${TMPDIR:-/tmp}/tidelog-target}"
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 CARGO_NET_RETRY=10
# Nobody debugs what is built here: a panic names its place all the same.
export CARGO_PROFILE_DEV_DEBUG="${CARGO_PROFILE_DEV_DEBUG:-0}"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# What `skip` ends a step with.
skipped=99

mkdir -p "$CARGO_TARGET_DIR"
scratch_root=$(mktemp -d "${TMPDIR:-/tmp}/tidelog-ci.XXXXXX")
trap 'rm -rf "$scratch_root"' EXIT

say() { printf '%s\n' "$*"; }

die() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# For what cannot be checked on this machine. Loud, and a failure under CI=true: see `step`.
skip() {
    printf '\n!!!! SKIPPED: %s\n\n' "$*" >&2
    exit "$skipped"
}

# usage TEXT LEAST MOST "$@": ends with TEXT when asked for help or given another number of arguments.
usage() {
    local text=$1 least=$2 most=$3
    shift 3
    case "${1:-}" in
    -h | --help)
        say "$text"
        exit 0
        ;;
    esac
    if (($# < least || $# > most)); then
        printf '%s\n' "$text" >&2
        exit 2
    fi
}

# A directory that is gone when the script ends.
scratch() {
    mkdir -p "$scratch_root/$1"
    say "$scratch_root/$1"
}

# step NAME COMMAND...: runs it in a subshell with its time printed; a failure is counted and the next step still runs.
steps_passed=0 steps_failed=() steps_skipped=() step_times=()
step() {
    local name=$1 start=$SECONDS code=0 printed
    shift
    printf '\n==== %s\n' "$name"
    printed=$scratch_root/printed-by-step
    set +e
    (
        set -euo pipefail
        "$@"
    ) 2>&1 | tee "$printed"
    code=${PIPESTATUS[0]}
    set -e
    local took=$((SECONDS - start))
    if ((code == skipped)) && [[ ${CI:-} != true ]]; then
        steps_skipped+=("$name")
        step_times+=("$(printf '%5d s  skipped  %s' "$took" "$name")")
    elif ((code == 0)); then
        steps_passed=$((steps_passed + 1))
        step_times+=("$(printf '%5d s  ok       %s' "$took" "$name")")
    else
        steps_failed+=("$name")
        cp "$printed" "$scratch_root/printed-by-failed-${#steps_failed[@]}"
        step_times+=("$(printf '%5d s  FAILED   %s' "$took" "$name")")
    fi
    printf '==== %s: %d s, exit code %d\n' "$name" "$took" "$code"
}

# Prints what the steps came to, and of those that failed what they printed last: often nothing else is kept. Its exit code is the run's.
steps_summary() {
    local number
    printf '\n==== %d s in all\n' "$SECONDS"
    printf '%s\n' "${step_times[@]}"
    for number in "${!steps_failed[@]}"; do
        printf '\nFAILED: %s; it printed last:\n' "${steps_failed[number]}"
        tail -n 30 "$scratch_root/printed-by-failed-$((number + 1))" | cut -c 1-500
    done
    if ((${#steps_skipped[@]})); then printf 'SKIPPED: %s\n' "${steps_skipped[@]}"; fi
    printf '\nsteps: %d passed, %d failed, %d skipped\n' "$steps_passed" "${#steps_failed[@]}" "${#steps_skipped[@]}"
    ((${#steps_failed[@]} == 0))
}

# need_apt PROGRAM PACKAGE: installs the Debian package unless the program is there.
need_apt() {
    if ! command -v "$1" >/dev/null; then install_apt "$2"; fi
}

install_apt() {
    say "installing $1" >&2
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"; } >"$scratch_root/apt.log" 2>&1; then
        tail -5 "$scratch_root/apt.log" >&2
        skip "package $1 cannot be installed"
    fi
}

# need_cargo CRATE: installs a cargo subcommand, at the version named here, unless it is there.
need_cargo() {
    local version
    case $1 in
    cargo-deny) version=0.20.2 ;;
    cargo-fuzz) version=0.13.2 ;;
    cargo-llvm-cov) version=0.9.1 ;;
    cargo-mutants) version=27.1.0 ;;
    *) die "no version of $1 is pinned" ;;
    esac
    if [[ $(cargo "${1#cargo-}" --version 2>/dev/null) == "$1 $version" ]]; then return; fi
    say "installing $1 $version"
    if ! cargo install --quiet --locked --force "$1" --version "$version"; then skip "$1 $version cannot be installed"; fi
}

# venv_python [FILE]: makes the virtual environment of .ci/requirements.txt, or of another list, and prints its python. A change of the pins makes
# a new one.
venv_python() {
    local list=${1:-.ci/requirements.txt} pins home
    pins=$(sha256sum "$list" | cut -c1-12)
    home=$CARGO_TARGET_DIR/ci-venv-$pins
    if [[ ! -e $home/complete ]]; then
        rm -rf "$home"
        need_apt python3 python3
        # Debian's own python3 has this in a package apart.
        if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then install_apt python3-venv; fi
        python3 -m venv "$home" >&2 || skip "python3 makes no virtual environment"
        "$home/bin/pip" install --quiet --requirement "$list" >&2 || skip "the packages of $list cannot be installed"
        touch "$home/complete"
    fi
    say "$home/bin/python"
}

# Builds the program in release mode and prints its path.
program() {
    cargo build --quiet --release --package tidelog-server --bin tidelog >&2
    say "$CARGO_TARGET_DIR/release/tidelog"
}

# Builds an example of the program's package in release mode and prints its path.
example() {
    cargo build --quiet --release --package tidelog-server --example "$1" >&2
    say "$CARGO_TARGET_DIR/release/examples/$1"
}

# timed LABEL BYTES COMMAND...: prints seconds and, for a number of bytes over zero, MB/s.
timed() {
    local label=$1 bytes=$2 start=$EPOCHREALTIME
    shift 2
    "$@"
    awk -v label="$label" -v bytes="$bytes" -v from="$start" -v to="$EPOCHREALTIME" 'BEGIN {
        seconds = to - from
        rate = bytes > 0 && seconds > 0 ? sprintf("%9.1f MB/s", bytes / seconds / 1e6) : ""
        printf "  %-28s %9.2f s %s\n", label, seconds, rate
    }' >&2
}
