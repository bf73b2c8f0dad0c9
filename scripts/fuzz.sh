# shellcheck shell=bash
# Fuzzing, each target from its seed corpus. Sourced by ./dev.

# run_fuzz [TARGET] [SECONDS]: every target where none is named.
run_fuzz() {
    local targets=() seconds=60
    if [[ ${1-} =~ ^[0-9]+$ ]]; then
        seconds=$1
    elif [[ $# -gt 0 ]]; then
        targets=("$1")
        seconds=${2:-60}
    fi
    if [[ ${#targets[@]} -eq 0 ]]; then
        local file
        for file in fuzz/targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
    fi
    local target failures=()
    for target in "${targets[@]}"; do
        [[ -f fuzz/targets/$target.rs ]] || die "there is no fuzz target $target; these are there:" fuzz/targets/*
        say "fuzzing $target for $seconds seconds"
        # Under `||` and `if` bash does not stop at a failing command: what failed is kept.
        fuzz/run "$target" "$seconds" || failures+=("$target")
    done
    [[ ${#failures[@]} -eq 0 ]] || die "the fuzzer found something in: ${failures[*]}" "see fuzz/artifacts"
}
