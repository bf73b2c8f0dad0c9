# shellcheck shell=bash
# The long campaigns. Sourced by ./dev.

# run_soak [NEXTEST-ARGUMENT...]: all of them, or those that are named as nextest names tests. The daemon of the
# campaigns in tests/soak is a release, as what runs for years is.
run_soak() {
    say "building the slim daemon with full optimisation (minutes)"
    cargo build --quiet --release --locked --no-default-features --features nftables
    local tagwall
    tagwall=$(realpath "${CARGO_TARGET_DIR:-target}/release/tagwall")
    TAGWALL_SOAK=1 TAGWALL_BINARY="$tagwall" cargo nextest run --workspace --locked --no-fail-fast \
        --profile soak "$@"
}
