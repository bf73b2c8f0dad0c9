# shellcheck shell=bash
# Everything that CI checks, cheap steps first. Sourced by ./dev.
#
# One profile and one feature set (cargo's defaults, `--workspace`) serve clippy, tests and documentation: a dependency
# is compiled once, and checked once for clippy. Another `-p` or `--features` would choose other features of shared
# dependencies and compile them again.

all_steps=(shell words fetch format deny clippy slim tests doctests doc docs aws_rig azure_rig demo observability systemd packages actions fuzz)
report=() skips=() failed=no summary='no test was run'

run_steps() {
    local steps=("$@") step
    [[ ${#steps[@]} -gt 0 ]] || steps=("${all_steps[@]}")
    for step in "${steps[@]}"; do
        declare -F "step_$step" >/dev/null || die "there is no step $step; these are there:" "${all_steps[*]}"
    done
    for step in "${steps[@]}"; do
        run_step "$step"
        # People wait for the first failure, CI tells them all.
        if [[ $failed == yes && ${CI-} != true ]]; then break; fi
    done
    closing
    [[ $failed == no ]]
}

run_step() {
    local step=$1 began=$SECONDS outcome=ok
    printf '\n=== %s\n' "$step"
    # A function that is tested by `if` runs on after a failing command: a subshell of its own does not.
    set +e
    (
        set -e
        "step_$step"
    )
    local status=$?
    set -e
    if [[ $status -ne 0 ]]; then
        outcome=FAILED failed=yes
    fi
    report+=("$(printf '%-10s %6ds  %s' "$step" $((SECONDS - began)) "$outcome")")
}

# What did not run, with its reason: told at the end, and a failure in CI.
skipped_file=$(mktemp)
skip() {
    printf 'SKIPPED: %s\n' "$*" | tee -a "$skipped_file"
    [[ ${CI-} != true ]] || die "CI may skip nothing"
}

closing() {
    local line
    printf '\n=== what was run\n'
    printf '%s\n' "${report[@]}"
    mapfile -t skips < <(sort -u "$skipped_file")
    rm -f "$skipped_file"
    printf '%d skipped\n' "${#skips[@]}"
    for line in "${skips[@]}"; do printf '  %s\n' "$line"; done
    if [[ -f $nextest_summary ]]; then summary=$(cat "$nextest_summary"); fi
    printf '%s\n' "$summary"
    if [[ $failed == yes ]]; then printf 'FAILED\n'; else printf 'everything passed\n'; fi
}

# Property tests draw the same cases in every run: what fails is then of the change. `./dev soak` draws anew.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261123}

target_directory=${CARGO_TARGET_DIR:-target}
nextest_summary=$(mktemp -u)

# Shell scripts, by their name or their first line.
scripts_of_ours() { git ls-files -co --exclude-standard | while read -r file; do
    [[ -f $file ]] || continue
    if [[ $file == *.sh ]] || head -n 1 "$file" | tr -d '\0' | grep -qE '^#!.*[/ ](ba)?sh$'; then echo "$file"; fi
done; }

step_shell() {
    local scripts
    mapfile -t scripts < <(scripts_of_ours)
    shellcheck -x "${scripts[@]}"
    printf 'shellcheck is content with %d scripts\n' "${#scripts[@]}"
}

# Nothing that is committed may name a folder of the machine it was written on.
step_words() {
    local pattern='(^|[^[:alnum:]_.~-])/(work|root|home/[a-z]+|Users/[A-Za-z]+|tmp/wt)/'
    if git grep -nIE "$pattern" -- . ':!scripts/test.sh'; then
        echo "these name folders of somebody's machine" >&2
        return 1
    fi
    echo "no path of somebody's machine"
}

# Of every platform: cargo-deny looks at them all, and after this nothing needs the network.
step_fetch() {
    cargo fetch --quiet --locked
    [[ ! -f fuzz/Cargo.toml ]] || cargo fetch --quiet --locked --manifest-path fuzz/Cargo.toml
}

step_format() { cargo fmt --all --check; }

# Advisories need the advisory database, which the workflow checks: see .github/workflows/ci.yml.
step_deny() { cargo deny --offline check --hide-inclusion-graph bans licenses sources; }

step_clippy() { cargo clippy --quiet --workspace --all-targets --locked -- -D warnings; }

# Warnings are errors here, too; by RUSTFLAGS every dependency would be checked again.
step_slim() {
    local said
    said=$(cargo check --quiet --locked --no-default-features --features nftables 2>&1 &&
        cargo check --quiet --locked --no-default-features 2>&1) || { printf '%s\n' "$said" >&2 && return 1; }
    [[ -z $said ]] || { printf '%s\n' "$said" >&2 && return 1; }
}

step_tests() {
    local log status=0
    # The AWS provider's tests start the rig themselves.
    # shellcheck source=scripts/aws_rig.sh
    source scripts/aws_rig.sh
    need_aws_rig
    log=$(mktemp)
    cargo nextest run --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?
    # nextest colours its summary only on a terminal; a log is read by people and programs.
    sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Summary' | tail -n1 >"$nextest_summary" || true
    rm -f "$log"
    # A test that could not run says so in its output, which nextest shows of failures only.
    if [[ -f $target_directory/nextest/default/junit.xml ]]; then
        grep -o 'SKIPPED: [^<]*' "$target_directory/nextest/default/junit.xml" >>"$skipped_file" || true
    fi
    return "$status"
}

step_doctests() { cargo test --quiet --doc --workspace --locked; }

step_doc() { RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --workspace --locked; }

# tagwall as the tests build it: a build for its own sake would choose other features of shared dependencies.
tagwall_of_tests() {
    cargo nextest run --workspace --locked --no-run --cargo-quiet >&2
    realpath "$target_directory/debug/tagwall"
}

step_docs() {
    local tagwall
    tagwall=$(tagwall_of_tests)
    in_namespaces python3 scripts/docs.py "$tagwall" README.md docs/*.md
}

# The rig's own tests: an emulator that accepts everything would prove nothing.
step_aws_rig() {
    # shellcheck source=scripts/aws_rig.sh
    source scripts/aws_rig.sh
    need_aws_rig
    (cd providers/aws/rig && "$aws_rig_python" -m unittest -q test_rig)
}

# The fake Azure, held against Microsoft's validator, recordings of the real one, and Microsoft's client.
step_azure_rig() {
    # shellcheck source=scripts/azure_rig.sh
    source scripts/azure_rig.sh
    need_azure_rig
    local dumps
    dumps=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder as it is named now
    trap "rm -rf '$dumps'" EXIT
    FAKE_ARM_DUMP=$dumps cargo nextest run --workspace --locked --cargo-quiet --status-level fail \
        -E 'package(tagwall-fake-arm) | package(tagwall-azure) | package(tagwall-arm)'
    run_azure_rig "$(realpath "$target_directory/debug/fake-arm")" "$dumps"
}

step_demo() {
    local tagwall
    tagwall=$(tagwall_of_tests)
    show_demo "$tagwall" --offline >/dev/null
}

# Metrics, alerts and the dashboard, with a real Prometheus. Only Debian packages it.
step_observability() {
    need_prometheus
    if ! have prometheus || ! have promtool; then
        skip "observability: there is no Prometheus here (Debian's package \`prometheus\`)"
        return
    fi
    local tagwall
    need_python dashboard scripts/dashboard/requirements.txt "Grafana's model of dashboards; 10 MB"
    "$python_of_its_own" scripts/dashboard/load.py packaging/alerts/grafana-dashboard.json
    tagwall=$(tagwall_of_tests)
    in_namespaces python3 scripts/observability.py "$tagwall"
}

# tagwall under a systemd that is booted for it, with the units of packaging/systemd.
step_systemd() {
    local tagwall said status=0
    # shellcheck source=scripts/systemd.sh
    source scripts/systemd.sh
    said=$(why_no_systemd)
    if [[ -n $said ]]; then
        skip "no systemd was booted: $said"
        return
    fi
    need_systemd_root
    tagwall=$(tagwall_of_tests)
    said=$(mktemp)
    run_under_systemd "$tagwall" | tee "$said" || status=$?
    sed -n 's/^ *SKIPPED: /SKIPPED: /p' "$said" >>"$skipped_file"
    rm -f "$said"
    return "$status"
}

# Packages of the slim program: what is in them, and their life under a booted systemd. What a full release takes to
# build is not spent here: its package is made of the slim program, so that its list of files and how it takes the other's
# place are tried, and nothing else of it.
step_packages() {
    local said status=0 folder tagwall
    # shellcheck source=scripts/systemd.sh
    source scripts/systemd.sh
    # shellcheck source=scripts/package.sh
    source scripts/package.sh
    # shellcheck source=scripts/package_checks.sh
    source scripts/package_checks.sh
    said=$(why_no_systemd)
    if [[ -n $said ]]; then
        skip "no packages were tried: $said"
        return
    fi
    need_systemd_root
    need_package_tools
    need_package_checks
    tagwall=$(slim_release)
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder as it is named now
    trap "rm -rf '$folder'" EXIT
    make_packages slim "$tagwall" "$folder"
    make_packages full "$tagwall" "$folder"
    check_packages "$folder"
    mkdir "$folder/life"
    cp "$folder"/tagwall-slim_*.deb "$folder/life/new.deb"
    cp "$folder"/tagwall_*.deb "$folder/life/full.deb"
    older_package "$folder/life/new.deb" "$folder/life/old.deb"
    said=$(mktemp)
    run_under_systemd "$folder/life" | tee "$said" || status=$?
    run_container "$folder/tagwall-slim.deb.d/usr/bin/tagwall" || status=$?
    sed -n 's/^ *SKIPPED: /SKIPPED: /p' "$said" >>"$skipped_file"
    rm -f "$said"
    return "$status"
}

# What is shipped for GitHub, GitLab and cron: linted, and its steps run.
step_actions() {
    # shellcheck source=scripts/actions_rig.sh
    source scripts/actions_rig.sh
    need_actions_rig
    local tagwall
    tagwall=$(tagwall_of_tests)
    in_namespaces node "$actions_rig_node/run.js" "$PWD" "$tagwall"
}

step_fuzz() {
    if [[ ! -d fuzz/targets ]]; then
        skip "there are no fuzz targets"
        return
    fi
    need_fuzz
    # shellcheck source=scripts/fuzz.sh
    source scripts/fuzz.sh
    run_fuzz 60 2>&1 | grep -vE '^#[0-9]+\s+(NEW|REDUCE|RELOAD|pulse)'
}
