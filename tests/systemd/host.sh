# shellcheck shell=bash disable=SC2154 # `here` is of run.sh
# A host of a test's own: a Debian root, written on in memory, booted by systemd in namespaces, and a wire to it.
# Sourced by run.sh, which runs in mount and network namespaces of its own.
#
#   outside: 192.0.2.200 and 2001:db8::200 (the feed), .7 and ::7 (a friend, listed), .99 and ::99 (a stranger)
#   edge:    192.0.2.1 and 2001:db8::1, by systemd-networkd as any host's address

# host_make BASE SCRATCH: lays a writable layer over the root at BASE, which stays as it is.
host_make() {
    scratch=$2 root=$2/root
    mkdir -p "$scratch"
    mount -t tmpfs -o mode=755 tmpfs "$scratch"
    mkdir "$scratch/upper" "$scratch/work" "$scratch/cgroup" "$root"
    mount -t overlay -o "lowerdir=$1,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
    # A machine that has been booted before: nothing is preset.
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    echo edge >"$root/etc/hostname"
    echo '192.0.2.200 feed.example' >>"$root/etc/hosts"
    cat >"$root/etc/systemd/network/edge.network" <<'NETWORK'
[Match]
Name=edge
[Network]
IPv6AcceptRA=no
[Address]
Address=192.0.2.1/24
[Address]
Address=2001:db8::1/64
DuplicateAddressDetection=none
NETWORK
    mkdir -p "$root/var/log/journal"
    ip link set lo up
    mount -t tmpfs tmpfs /run/netns
    mount -t cgroup2 cgroup2 "$scratch/cgroup"
    cgroup=$scratch/cgroup/tagwall-test-$$
    mkdir "$cgroup"
}

# Boots it, and returns when systemd has finished or given up starting. Its network namespace is new, as after a reboot.
host_boot() {
    host_power_on
    until_so "systemd answers" in_host test -S /run/systemd/private
    in_host systemctl is-system-running --wait >/dev/null || true
}

# The same, and returns at once.
host_power_on() {
    ip netns add edge
    ip link add outside type veth peer name edge netns edge
    local number
    for number in 7 99 200; do
        ip address add "192.0.2.$number/24" dev outside
        ip address add "2001:db8::$number/64" dev outside nodad
    done
    ip link set outside up
    rm -f "$scratch/pid"
    (
        echo "$BASHPID" >"$cgroup/cgroup.procs"
        exec nsenter --net=/run/netns/edge unshare --mount --pid --fork --ipc --uts --cgroup --propagation private \
            bash "$here/boot.sh" "$root" "$scratch/pid"
    ) >"$scratch/console" 2>&1 </dev/null &
    machine=$!
    until_so "the first process" test -s "$scratch/pid"
    init=$(cat "$scratch/pid")
    # Until it has entered its root, what is asked of it would be answered by this one.
    until_so "its root" sh -c "tr '\0' ' ' </proc/$init/cmdline | grep -q '^/lib/systemd/systemd '"
}

# Powers it off and waits until it is: its disk stays, its rules and its network do not.
host_power_off() {
    in_host systemctl poweroff >/dev/null 2>&1 || true
    { wait "$machine" || true; } 2>/dev/null
    machine=
    ip netns del edge
    # The wire goes with the namespace, some time.
    ip link del outside 2>/dev/null || true
}

host_destroy() {
    if [[ -n ${machine-} ]]; then
        kill -KILL "$machine" "${init:-$machine}" 2>/dev/null || true
        { wait "$machine" || true; } 2>/dev/null
    fi
    # A cgroup goes when its last process has.
    local try
    for try in {1..50}; do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [[ -d $cgroup ]] || break
        sleep 0.1
    done
    [[ ! -d $cgroup ]] || echo "the cgroup $cgroup is left behind after $try tries" >&2
}

# in_host COMMAND...: runs it there, as root.
in_host() {
    nsenter --target "$init" --mount --uts --ipc --net --pid --cgroup \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 SYSTEMD_PAGER='' SYSTEMD_COLORS=0 "$@"
}

# until_so WHAT COMMAND...: waits until it succeeds; generously, nothing here measures time.
until_so() {
    local what=$1 end=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            echo "never came about: $what ($*)" >&2
            return 1
        fi
        sleep 0.05
    done
}
