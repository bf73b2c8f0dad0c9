# shellcheck shell=bash disable=SC2154 # `system` is of install.sh
# tagwall under a booted systemd: makes the root that is booted, and starts tests/systemd/run.sh. Sourced by scripts/test.sh.

systemd_cache=${TAGWALL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tagwall}

# Says why this machine cannot boot one; says nothing where it can.
why_no_systemd() {
    if [[ $system != debian ]]; then
        echo "debootstrap makes a root of Debian or Ubuntu, and what is compiled here has to run in it"
    elif [[ $EUID -ne 0 ]] && ! { have sudo && sudo -n true; }; then
        echo "making and booting a root takes root"
    elif ! namespaces_and_cgroups; then
        echo "namespaces with a cgroup2 of their own cannot be had here (a container?)"
    fi 2>/dev/null
}
namespaces_and_cgroups() {
    local root
    root_by "unshare"
    # shellcheck disable=SC2016 # for the inner shell
    "${root[@]}" unshare -mpfniuC sh -c 'mount -t tmpfs tmpfs /mnt && mkdir /mnt/cgroup && mount -t cgroup2 cgroup2 /mnt/cgroup'
}

# The root, made once for each release and list of packages: prints its path.
systemd_root() {
    local release packages path mirror root
    root_by "./dev test systemd"
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    packages=systemd,systemd-sysv,dbus,nftables,iproute2,netbase,ca-certificates
    path=$systemd_cache/root-$release-2
    if [[ ! -e $path/made ]]; then
        say "making a root of $release to boot (debootstrap, minutes; kept in $systemd_cache)"
        "${root[@]}" rm -rf "$path"
        mkdir -p "$systemd_cache"
        # Where this machine gets its own packages from; debootstrap knows a place itself.
        # shellcheck disable=SC2016 # apt-get's own words
        mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' | grep "^http.* $release\$" | head -n1 | cut -d' ' -f1)
        {
            "${root[@]}" debootstrap --variant=minbase --include="$packages" "$release" "$path" ${mirror:+"$mirror"}
            # firewalld wants a system to configure itself on; where it cannot be had its scenario is skipped.
            "${root[@]}" cp /etc/resolv.conf "$path/etc/resolv.conf"
            "${root[@]}" chroot "$path" env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y install --no-install-recommends firewalld || true
            "${root[@]}" chroot "$path" systemctl disable firewalld || true
            "${root[@]}" chroot "$path" apt-get clean
        } >"$systemd_cache/log" 2>&1 || die "no root could be made:" "$(tail -n 5 "$systemd_cache/log")"
        "${root[@]}" touch "$path/made"
    fi
    echo "$path"
}

# run_under_systemd TAGWALL [SCENARIO...]
run_under_systemd() {
    local base root
    root_by "./dev test systemd"
    base=$(systemd_root)
    "${root[@]}" unshare --mount --net --propagation private bash tests/systemd/run.sh "$base" "$@"
}
