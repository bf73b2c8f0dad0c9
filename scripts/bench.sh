# shellcheck shell=bash
# The benchmarks: plain programs that print a table of medians and of ratios to a peer. Sourced by ./dev.

run_benches() {
    [[ $# -eq 0 || $1 == --quick ]] || die "./dev bench takes --quick or nothing"
    wants "have zstd" zstd zstd "unpacks the archive of real publications"
    install_wanted
    say "building with full optimisation (minutes)"
    cargo bench --quiet --locked --workspace --bench one_shot --bench sets --bench heal --no-run
    local name
    for name in one_shot sets heal; do
        printf '\n=== %s\n' "$name"
        # In there is no network: everything is built and fetched by now. `--workspace` keeps the features of the build.
        in_namespaces env TAGWALL_BENCH_NAMESPACE=1 \
            cargo bench --quiet --locked --offline --workspace --bench "$name" -- "$@"
    done
    printf '\n=== idle\n'
    # shellcheck source=scripts/idle.sh
    source scripts/idle.sh
    if [[ ${1-} == --quick ]]; then measure_idle 10; else measure_idle 300; fi
    printf '\n=== aws\n'
    bench_aws
    printf '\n=== azure\n'
    bench_azure
}

# tagwall beside a plain script that does the same. Both wait for the emulator: the build of the tests serves, since
# one with full optimisation takes ten minutes for the SDK alone.
bench_aws() {
    # shellcheck source=scripts/aws_rig.sh
    source scripts/aws_rig.sh
    need_aws_rig
    cargo nextest run --workspace --locked --no-run --cargo-quiet >&2
    (
        tagwall=$(realpath "${CARGO_TARGET_DIR:-target}/debug/tagwall")
        cd providers/aws/rig && "$aws_rig_python" bench.py "$tagwall"
    )
}

# The same with Azure, in a build with full optimisation: without the SDK of AWS it is one of minutes. It has a folder of
# its own, for other features would have what is built for the rest built again.
bench_azure() {
    # shellcheck source=scripts/azure_rig.sh
    source scripts/azure_rig.sh
    need_azure_rig
    local folder=${CARGO_TARGET_DIR:-target}/bench
    cargo build --quiet --release --locked --no-default-features --features azure --target-dir "$folder" \
        -p tagwall -p tagwall-fake-arm >&2
    FAKE_ARM=$(realpath "$folder/release/fake-arm") PYTHONDONTWRITEBYTECODE=1 \
        "$azure_rig_python" "$azure_witness/bench.py" "$folder/release/tagwall"
}
