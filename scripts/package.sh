# shellcheck shell=bash disable=SC2154 # `system` is of install.sh
# Packages: deb and rpm, of the whole program and of the slim one (nftables alone). Sourced by ./dev and scripts/test.sh.

# Versions that build with the oldest Rust this workspace supports.
CARGO_DEB_VERSION=3.8.0
CARGO_GENERATE_RPM_VERSION=0.21.1

need_package_tools() {
    wants "have dpkg-shlibdeps" dpkg-dev dpkg-dev "finds the packages of the libraries that tagwall links"
    wants "have gzip" gzip gzip "packs man pages"
    wants "have xz" xz-utils xz "packs Debian packages"
    wants "have python3" python3 python3 "gathers the licences of the crates"
    install_wanted
    if ! cargo deb --version >/dev/null 2>&1; then
        say "installing cargo-deb $CARGO_DEB_VERSION: writes Debian packages (minutes)"
        cargo install --quiet --locked --debug --no-default-features --features lzma "cargo-deb@$CARGO_DEB_VERSION"
    fi
    if ! cargo generate-rpm --version >/dev/null 2>&1; then
        say "installing cargo-generate-rpm $CARGO_GENERATE_RPM_VERSION: writes RPM packages (minutes)"
        # C as it is meant to be: the compressor would take a minute for a package.
        CFLAGS=-O2 cargo install --quiet --locked --debug "cargo-generate-rpm@$CARGO_GENERATE_RPM_VERSION"
    fi
}

target_directory=${CARGO_TARGET_DIR:-target}

# What cargo is told for a variant.
variant_flags() {
    case $1 in
        full) echo ;;
        slim) echo --no-default-features --features nftables ;;
        *) die "there is no variant $1; these are there:" "full slim" ;;
    esac
}

# The slim program to try packages with: prints its path. As it is released, but optimised as tests are, since that is most
# of the time, and in a folder of its own, since another profile would compile everything anew in turns.
slim_release() {
    local flags folder=$target_directory/packages-of-tests
    read -ra flags < <(variant_flags slim)
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        cargo build --quiet --release --locked --target-dir "$folder" "${flags[@]}" >&2
    realpath "$folder/release/tagwall"
}

# run_package [VARIANT...]: builds and packages them.
run_package() {
    local variants=("$@") variant flags
    [[ $# -gt 0 ]] || variants=(full slim)
    for variant in "${variants[@]}"; do
        read -ra flags < <(variant_flags "$variant")
        say "building tagwall, $variant"
        cargo build --quiet --release --locked "${flags[@]}"
        make_packages "$variant" "$target_directory/release/tagwall" "$target_directory/packages"
    done
}

# make_packages VARIANT BINARY FOLDER [VERSION]: both packages of a program that is built.
make_packages() {
    local variant=$1 folder=$3 version=${4-} name=tagwall chosen=() arch file
    [[ -n $version ]] || version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    stage_package "$@"
    if [[ $variant != full ]]; then
        name=tagwall-$variant chosen=(--variant "$variant")
    fi
    mkdir -p "$folder"
    # Whoever packages the same commit again gets the same bytes.
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    arch=$(dpkg --print-architecture 2>/dev/null || uname -m)
    file=$folder/${name}_$version-1_$arch.deb
    cargo deb --quiet --compress-system --locked --offline --no-build --no-strip "${chosen[@]}" --deb-version "$version-1" --output "$file"
    file=$folder/$name-$version-1.$(uname -m).rpm
    cargo generate-rpm --auto-req builtin --target-dir "$target_directory" "${chosen[@]}" \
        --set-metadata "version = \"$version\"" --output "$file"
    echo "$file"
}

# stage_package VARIANT BINARY _ VERSION: what is generated, where Cargo.toml names it.
stage_package() {
    local variant=$1 binary=$2 version=${4:-0} shell flags
    local staged=$target_directory/release/package
    rm -rf "$staged"
    mkdir -p "$staged/completions"
    strip -o "$staged/tagwall" "$binary"
    "$staged/tagwall" generate man --dir "$staged/man"
    gzip -9n "$staged"/man/*
    for shell in bash fish zsh; do "$staged/tagwall" generate completions "$shell" >"$staged/completions/$shell"; done
    safe_configuration >"$staged/tagwall.toml"
    gzip -9nc CHANGELOG.md >"$staged/CHANGELOG.md.gz"
    read -ra flags < <(variant_flags "$variant")
    python3 scripts/licences.py "${flags[@]}" | gzip -9n >"$staged/third-party-licences.gz"
    # What Debian's tools want to read; the changes themselves are told in CHANGELOG.md.
    local name=tagwall
    [[ $variant == full ]] || name=tagwall-$variant
    printf '%s (%s-1) unstable; urgency=medium\n\n  * What changed is in CHANGELOG.md.gz.\n\n -- %s  %s\n' \
        "$name" "$version" 'The tagwall developers <tagwall@users.noreply.github.com>' \
        "$(LC_ALL=C git log -1 --format=%cd --date=rfc2822)" >"$staged/changelog"
}

# The annotated configuration with no target in it: a package that is installed closes nothing and opens nothing.
safe_configuration() {
    sed '/^\[targets\.edge\]$/,/^nftables = / { /^#/! s/^/# / }' config/tagwall.toml |
        sed 's/^# \[targets\.edge\]$/# Nothing is enforced until there is a target: take the mark off the next line, lists and nftables.\n&/'
}
