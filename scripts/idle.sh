# shellcheck shell=bash
# What an idle daemon costs: the slim build, released, after 100 fetches over TLS of real publications. Sourced by
# scripts/bench.sh.

# measure_idle SECONDS
measure_idle() {
    say "building the slim daemon with full optimisation (minutes)"
    cargo build --quiet --release --locked --no-default-features --features nftables
    local tagwall
    tagwall=$(realpath "${CARGO_TARGET_DIR:-target}/release/tagwall")
    # The tests' harness, which brings the feed; the environment of the unit is put in by it.
    in_namespaces env TAGWALL_BINARY="$tagwall" TAGWALL_IDLE="$1" \
        cargo test --quiet --offline --locked --workspace --test e2e -- --exact soak::idle::an_idle_daemon_sleeps --nocapture |
        grep -E '^(idle|SKIPPED)'
}
