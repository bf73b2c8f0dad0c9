# shellcheck shell=bash
# What is looked at of packages without installing them. Sourced by scripts/test.sh.

need_package_checks() {
    wants "have lintian" lintian lintian "checks Debian packages against Debian's policy"
    wants "have rpm && have rpm2cpio" rpm rpm "reads RPM packages"
    wants "have bwrap" bubblewrap bubblewrap "runs the container's root file system in namespaces"
    wants "have cpio" cpio cpio "unpacks RPM packages"
    install_wanted
}

# check_packages FOLDER: the deb and the rpm of either variant.
check_packages() {
    local folder=$1 name
    for name in tagwall tagwall-slim; do
        diff packaging/files <(files_of_deb "$folder/$name"_*.deb) ||
            die "$name's deb has other files, owners or modes than packaging/files says"
        diff packaging/files <(files_of_rpm "$folder/$name"-[0-9]*.rpm) ||
            die "$name's rpm has other files, owners or modes than packaging/files says"
        same_contents "$folder" "$name"
        # Root is warned about itself; nothing is tagged as an exception.
        lintian --no-cfg --allow-root --fail-on error --display-level error "$folder/$name"_*.deb
        grep -qx /etc/tagwall/tagwall.toml <(dpkg-deb --ctrl-tarfile "$folder/$name"_*.deb | tar -xO ./conffiles)
        grep -qx /etc/tagwall/tagwall.toml <(rpm -qp --configfiles "$folder/$name"-[0-9]*.rpm)
        echo "$name: files, owners, modes, configuration and contents of deb and rpm are as they should be; lintian finds no error"
    done
    for_one_another "$folder"
}

# Neither can be installed beside the other, and either may take the other's place.
for_one_another() {
    local field
    for field in Conflicts Replaces; do
        [[ $(dpkg-deb -f "$1"/tagwall_*.deb "$field") == tagwall-slim ]]
        [[ $(dpkg-deb -f "$1"/tagwall-slim_*.deb "$field") == tagwall ]]
    done
    [[ $(dpkg-deb -f "$1"/tagwall-slim_*.deb Provides) == tagwall ]]
    grep -qx tagwall-slim <(rpm -qp --conflicts "$1"/tagwall-[0-9]*.rpm)
    grep -qx tagwall <(rpm -qp --conflicts "$1"/tagwall-slim-*.rpm)
}

# `-rw-r--r-- root:root /path`, without what comes and goes with commands and documents.
files_of_deb() {
    dpkg-deb --fsys-tarfile "$1" | tar -tv --numeric-owner --full-time |
        sed -n 's|^\(-\S*\) 0/0 .* \./|\1 root:root /|p' | comparable
}
files_of_rpm() {
    rpm -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' "$1" |
        sed 's|/zsh/site-functions/|/zsh/vendor-completions/|' | comparable
}
comparable() { grep -vE ' /usr/share/(doc|licenses)/| /usr/share/man/man1/tagwall-' | LC_ALL=C sort; }

# Each file of the deb is in the rpm, to the byte, but for where zsh looks and what only Debian asks for.
same_contents() {
    local folder=$1 name=$2 deb rpm
    deb=$folder/$name.deb.d rpm=$folder/$name.rpm.d
    mkdir "$deb" "$rpm"
    dpkg-deb -x "$folder/$name"_*.deb "$deb"
    # rpm2cpio counts the payload otherwise than cargo-generate-rpm and ends with 1 for it; each file is compared below.
    { rpm2cpio "$folder/$name"-[0-9]*.rpm || true; } | (cd "$rpm" && cpio -idm --quiet)
    mv "$rpm/usr/share/zsh/site-functions" "$rpm/usr/share/zsh/vendor-completions"
    local only
    only=$(diff -r "$deb" "$rpm") || true
    only=$(grep -vE "^Only in $deb/usr/share/doc/.*: (copyright|changelog.Debian.gz)$|^Only in $deb/usr/share/doc: tagwall-slim$|^Only in $rpm/usr/share: licenses$" <<<"$only") || true
    [[ -z $only ]] || die "$name's deb and rpm differ:" "$only"
    # A manual page for each command, and one for the program.
    local commands pages
    commands=$("$deb/usr/bin/tagwall" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]\+\) .*/\1/p' | grep -vcx help)
    pages=$(find "$deb/usr/share/man/man1" -name 'tagwall*.1.gz' | wc -l)
    [[ $pages -eq $((commands + 1)) ]] || die "$name has $pages manual pages for $commands commands"
}

# older_package NEW OLD: the same as a version before it.
older_package() {
    local unpacked
    unpacked=$(mktemp -d)
    dpkg-deb -R "$1" "$unpacked/tree"
    sed -i 's/^Version: .*/Version: 0.0.1-1/' "$unpacked/tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$unpacked/tree" "$2" >/dev/null
    rm -rf "$unpacked"
}

# run_container TAGWALL: the root file system of packaging/container, without an engine.
run_container() {
    local root
    root_by "./dev test packages"
    echo 'the container'
    "${root[@]}" env "PATH=$PATH" bash tests/container/run.sh "$1" "$(systemd_root)"
}
