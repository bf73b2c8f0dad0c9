#!/usr/bin/env bash
# run.sh TAGWALL ROOT: assembles the container's root file system and runs tagwall in it as an engine would, without one:
# namespaces of its own, a user who is not root, a root that cannot be written, CAP_NET_ADMIN and no other capability.
#
# ROOT is a Debian root (scripts/systemd.sh). Run as root, who looks at the rules from outside.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
repository=$here/../..
scratch=$(mktemp -d)
daemon=''
finish() {
    [[ -z $daemon ]] || kill "$daemon" 2>/dev/null || true
    rm -rf "$scratch"
}
trap finish EXIT
failures=0
check() {
    local what=$1
    shift
    if "$@" >"$scratch/said" 2>&1; then
        printf '  ok    %s\n' "$what"
    else
        failures=$((failures + 1))
        printf '  FAIL  %s\n' "$what"
        tail -n 20 "$scratch/said" | sed 's/^/        | /'
    fi
}
ends() { # ends STATUS COMMAND...
    local status=0
    "${@:2}" || status=$?
    [[ $status -eq $1 ]] || { echo "exit status $status" && false; }
}
says() { # says TEXT COMMAND...
    local said
    said=$("${@:2}" 2>&1) || true
    [[ $said == *"$1"* ]] || { echo "$said" && false; }
}
not() { ! "$@"; }

image=$scratch/image
sh "$repository/packaging/container/assemble.sh" "$1" "$2" "$image"
mkdir "$scratch/state" "$scratch/etc"
cp "$repository/config/example-publication.json" "$scratch/etc/feed.json"
cat >"$scratch/etc/tagwall.toml" <<'TOML'
owner = "container"
source = { kind = "file", path = "/etc/tagwall/feed.json" }
schedule = { cron = "23 */6 * * *", time-zone = "Europe/Berlin" }
limits = { special = ["documentation"] }
[lists.entra]
tags = ["AzureActiveDirectory"]
[targets.edge]
lists = ["entra"]
nftables = {}
TOML

# Not bubblewrap's own /dev: for that it makes a second user namespace, in which CAP_NET_ADMIN is not over the network.
sandbox=(bwrap --unshare-all --uid 65532 --gid 65532 --clearenv --setenv STATE_DIRECTORY /var/lib/tagwall --new-session
    --ro-bind "$image" / --proc /proc --tmpfs /dev --dev-bind /dev/null /dev/null --tmpfs /tmp
    --ro-bind "$scratch/etc" /etc/tagwall --bind "$scratch/state" /var/lib/tagwall --cap-drop ALL)
container() { "${sandbox[@]}" --die-with-parent --cap-add CAP_NET_ADMIN /usr/bin/tagwall "$@"; }
powerless() { "${sandbox[@]}" --die-with-parent /usr/bin/tagwall "$@"; }

printf '  %s files, %s\n' "$(find "$image" -type f ! -path '*/zoneinfo/*' | wc -l)" "$(du -sh "$image" | cut -f1)"
check "it holds no other program" test "$(cd "$image" && find . -type f -perm /111 ! -name '*.so*' ! -path '*/zoneinfo/*')" = ./usr/bin/tagwall
check "and nothing with set-user-id or set-group-id" test -z "$(find "$image" -perm /6000)"
check "the program runs: libraries are there" says "tagwall $(sed -n 's/^version = "\(.*\)"/\1/p' "$repository/Cargo.toml" | head -n1)" container --version
check "the time zones are there" says 'is valid' container check --no-environment
printf '[lists.entra]\ntags = ["AzureActiveDirectory"]\n' >"$scratch/etc/download.toml"
check "certificate authorities are there" says 'is valid' container -c /etc/tagwall/download.toml check --no-environment
mv "$image/etc/ssl/certs/ca-certificates.crt" "$scratch/ca"
check "negative control: without them that is not so" not says 'is valid' container -c /etc/tagwall/download.toml check --no-environment
mv "$scratch/ca" "$image/etc/ssl/certs/ca-certificates.crt"
check "a dry run shows what is pending" ends 2 container sync --dry-run
check "and writes nothing" test -z "$(ls -A "$scratch/state")"
check "a pass is made" ends 0 container sync
check "and remembered" test -s "$scratch/state/state.json"
check "without CAP_NET_ADMIN there is none" ends 1 powerless sync
check "and it says what is missing" says CAP_NET_ADMIN powerless sync

mkfifo "$scratch/info"
"${sandbox[@]}" --cap-add CAP_NET_ADMIN --info-fd 3 /usr/bin/tagwall run 3>"$scratch/info" 2>"$scratch/log" &
daemon=$!
inside=$(sed -n 's/.*"child-pid": \([0-9]*\).*/\1/p' "$scratch/info")
rules() { nsenter --target "$inside" --net nft list ruleset; }
enforced() { for _ in {1..100}; do if says "tagwall:container/edge" rules >"$scratch/rules"; then return; fi; sleep 0.1; done; cat "$scratch/rules" "$scratch/log" && false; }
check "the daemon enforces" enforced
program=$(grep -l -a /usr/bin/tagwall /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3 | while read -r pid; do
    [[ $(readlink "/proc/$pid/ns/net") != "$(readlink "/proc/$inside/ns/net")" || $(tr '\0' ' ' <"/proc/$pid/cmdline") != '/usr/bin/tagwall run ' ]] || echo "$pid"
done | tail -n1)
check "with CAP_NET_ADMIN alone" grep -q $'^CapEff:\t0000000000001000$' "/proc/$program/status"
check "as somebody who is not root there" says 65532 cat "/proc/$program/uid_map"
kill "$program"
wait "$daemon" || true
daemon=''
check "ends when it is told to, and leaves the rules" says 'the rules stay' cat "$scratch/log"
printf '%d failed\n' "$failures"
((failures == 0))
