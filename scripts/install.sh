# shellcheck shell=bash
# Installing what a verb of ./dev needs: nothing that is there already, and never in silence. Sourced by ./dev.

# Versions that build with the oldest Rust this workspace supports.
NEXTEST_VERSION=0.9.128
DENY_VERSION=0.20.2

wanted_packages=()

say() { printf '%s\n' "$@" >&2; }
die() {
    printf 'dev: %s\n' "$1" >&2
    shift
    [[ $# -eq 0 ]] || printf '  %s\n' "$@" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

package_system() {
    if have apt-get; then
        echo debian
    elif have dnf; then
        echo fedora
    else
        echo unknown
    fi
}
system=$(package_system)

# wants TEST DEBIAN-PACKAGE FEDORA-PACKAGE REASON: notes a package unless the test (a command line) succeeds.
wants() {
    local test=$1 package=$2 reason=$4
    if eval "$test" >/dev/null 2>&1; then return; fi
    [[ $system != fedora ]] || package=$3
    wanted_packages+=("$package")
    say "installing $package: $reason"
}

# root_by WHAT: sets `root` to what makes a command root's: nothing, or sudo, which may ask for a password unless this
# is CI. Where there is no way, says what somebody else has to run.
root_by() {
    root=()
    if [[ $EUID -eq 0 ]]; then return; fi
    if have sudo && { sudo -n true 2>/dev/null || [[ ${CI-} != true && -t 0 ]]; }; then
        root=(sudo)
    else
        die "there is no way to become root here; let somebody run as root:" "$1"
    fi
}

# Installs all that was noted, in one go.
install_wanted() {
    [[ ${#wanted_packages[@]} -gt 0 ]] || return 0
    local packages=("${wanted_packages[@]}") root
    wanted_packages=()
    case $system in
        debian)
            root_by "apt-get install ${packages[*]}"
            local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y)
            # Without lists, or with stale ones, the first try fails: fetching them always would cost every run.
            "${apt[@]}" install --no-install-recommends "${packages[@]}" >/dev/null 2>&1 ||
                { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${packages[@]}" >/dev/null; } ||
                die "apt-get could not install: ${packages[*]}"
            ;;
        fedora)
            root_by "dnf install ${packages[*]}"
            "${root[@]}" dnf -q -y --setopt=install_weak_deps=False install "${packages[@]}" >/dev/null ||
                die "dnf could not install: ${packages[*]}"
            ;;
        *)
            die "neither apt-get nor dnf is here; install by hand (Debian's names):" "${packages[*]}"
            ;;
    esac
}

# What compiling takes.
need_build() {
    wants "have cc" gcc gcc "a C compiler and linker, for Rust's linking and the TLS library"
    wants "have pkg-config" pkg-config pkgconf-pkg-config "finds libnftnl"
    wants "pkg-config --exists libnftnl" libnftnl-dev libnftnl-devel "headers of libnftnl, for the nftables provider"
    wants "pkg-config --exists libmnl" libmnl-dev libmnl-devel "headers of libmnl, which libnftnl stands on"
    install_wanted
    need_rust
}

# What the demo, tests and benchmarks run besides.
need_namespaces() {
    wants "have nft || have /usr/sbin/nft" nftables nftables "shows and checks the rules that tagwall writes"
    wants "have iptables-nft || have /usr/sbin/iptables-nft" iptables iptables-nft "writes rules as ufw does, in a test"
    wants "have ip || have /usr/sbin/ip" iproute2 iproute "joins the network namespaces of tests and demo"
    wants "have unshare && have nsenter" util-linux util-linux "makes the namespaces of tests and demo"
    wants "have python3" python3 python3 "the small scripts of demo and tests"
    install_wanted
    # Debian keeps these out of users' PATH.
    export PATH="$PATH:/usr/sbin:/sbin"
}

# Elsewhere it is not packaged: whoever needs it says that it is missing. Installed, it would run: it is stopped.
need_prometheus() {
    [[ $system == debian ]] || return 0
    local fresh=yes
    if have prometheus; then fresh=no; fi
    wants "have prometheus && have promtool" prometheus prometheus "scrapes the daemon and checks alert rules"
    install_wanted
    if [[ $fresh == yes ]] && have systemctl && [[ -d /run/systemd/system ]]; then
        root_by "systemctl disable --now prometheus"
        "${root[@]}" systemctl disable --quiet --now prometheus prometheus-node-exporter 2>/dev/null || true
    fi
}

need_fuzz() {
    wants "have c++" g++ gcc-c++ "a C++ compiler: libFuzzer is written in it"
    install_wanted
}

# What a root to boot is made and used with.
need_systemd_root() {
    wants "have debootstrap || have /usr/sbin/debootstrap" debootstrap debootstrap "makes the root that tests boot"
    wants "[[ -e /usr/share/keyrings/debian-archive-keyring.gpg || -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ]]" \
        debian-archive-keyring debian-keyring "checks what debootstrap fetches"
    wants "have openssl" openssl openssl "makes a certificate for the feed that the booted host fetches from"
    install_wanted
}

need_rust() {
    local oldest
    oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    [[ ! -d $HOME/.cargo/bin ]] || export PATH="$HOME/.cargo/bin:$PATH"
    if ! rust_is_at_least "$oldest"; then
        say "installing a Rust toolchain with rustup: tagwall needs Rust $oldest or newer"
        install_rustup
        rust_is_at_least "$oldest" || die "the Rust that is found first is still older than $oldest: $(command -v cargo)"
    fi
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        have rustup || die "cargo fmt and cargo clippy are missing; install your distribution's rustfmt and clippy"
        say "installing rustfmt and clippy: ./dev test runs them"
        rustup component add rustfmt clippy
    fi
}

rust_is_at_least() {
    have cargo && have rustc || return 1
    local found
    found=$(rustc --version 2>/dev/null | cut -d' ' -f2)
    [[ -n $found && $(printf '%s\n%s\n' "$1" "$found" | sort -V | head -n1) == "$1" ]]
}

# From the distribution where it packages rustup, otherwise as rustup's own site says.
install_rustup() {
    if ! have rustup && ! have rustup-init; then
        if [[ $system == debian && -n $(apt-cache madison rustup 2>/dev/null) ]]; then
            wants false rustup rustup "installs the Rust toolchain"
        elif [[ $system == fedora ]]; then
            wants false rustup rustup "installs the Rust toolchain"
        else
            wants "have curl" curl curl "fetches rustup"
        fi
        install_wanted
    fi
    if have rustup; then
        rustup toolchain install stable --profile minimal --component rustfmt,clippy
        rustup default stable
    elif have rustup-init; then
        rustup-init -y --profile minimal --component rustfmt,clippy
    else
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --profile minimal --component rustfmt,clippy
    fi
    export PATH="$HOME/.cargo/bin:$PATH"
}

# Cargo's tools are built without optimisation and without what they would need to update themselves: in a third of
# the time, and they wait for compilers and tests anyway.
need_nextest() {
    if cargo nextest --version >/dev/null 2>&1; then return; fi
    say "installing cargo-nextest $NEXTEST_VERSION: runs the tests, each in a process of its own (a few minutes)"
    cargo install --quiet --locked --debug --no-default-features --features default-no-update \
        "cargo-nextest@$NEXTEST_VERSION"
}

need_deny() {
    if cargo deny --version >/dev/null 2>&1; then return; fi
    say "installing cargo-deny $DENY_VERSION: checks licences, sources and banned crates (a few minutes)"
    cargo install --quiet --locked --debug --no-default-features "cargo-deny@$DENY_VERSION"
}

# need_python NAME REQUIREMENTS WHAT: a Python environment of its own with what the file pins by hashes, kept beside the
# build, a new one for each state of the file. Sets `python_of_its_own` to its interpreter.
need_python() {
    local name=$1 requirements=$2 what=$3 hash folder
    wants "have python3" python3 python3 "runs $name"
    # Debian splits what `venv` needs off from Python itself.
    wants "have python3 && python3 -c 'import ensurepip, venv'" python3-venv python3 "makes the environment of $name"
    install_wanted
    hash=$(sha256sum "$requirements" | cut -c1-16)
    folder=${CARGO_TARGET_DIR:-target}/$name-$hash
    if [[ ! -f $folder/complete ]]; then
        say "making a Python environment in $folder ($what)"
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$requirements" ||
            die "pip could not install $requirements" "it takes PyPI or a mirror of it: PIP_INDEX_URL"
        # A half-made one is made anew.
        touch "$folder/complete"
    fi
    python_of_its_own=$(realpath --no-symlinks "$folder/bin/python")
    export python_of_its_own
}
