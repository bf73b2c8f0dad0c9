#!/usr/bin/env bash
# run.sh ROOT TAGWALL [SCENARIO...]: tagwall under a systemd that is booted in namespaces, with the units as they ship.
#
# ROOT is a Debian root, which is not written to; TAGWALL the program, or a folder of packages, which have scenarios of
# their own. Started by scripts/systemd.sh as root in mount
# and network namespaces of its own: nothing here reaches this machine's systemd or firewall.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
packaging=$here/../../packaging/systemd
# shellcheck source=tests/systemd/host.sh
source "$here/host.sh"
base=$1 tagwall=$2
shift 2

# What host.sh sets.
scratch='' root='' init=''
failures=0 skips=0
# check WHAT COMMAND...: says whether it succeeds, and goes on.
check() {
    local what=$1
    shift
    if "$@" >"$scratch/said" 2>&1; then
        printf '  ok    %s\n' "$what"
    else
        failures=$((failures + 1))
        printf '  FAIL  %s\n' "$what"
        sed 's/^/        | /' "$scratch/said"
        in_host journalctl -b --no-pager -o short-monotonic -n 12 -u tagwall -u tagwall-restore -u nftables 2>&1 | sed 's/^/        . /' || true
    fi
}
# The same, of a command that must fail.
check_not() {
    local what=$1
    shift
    check "$what" not "$@"
}
not() { ! "$@"; }
skip() {
    skips=$((skips + 1))
    printf '  SKIPPED: %s\n' "$*"
}

# --- words of the scenarios --------------------------------------------------------------------------------------

show() { in_host systemctl show --value --property "$2" "$1"; }
shows() { [[ $(show "$1" "$2") == "$3" ]] || { echo "$2 of $1 is $(show "$1" "$2")" && false; }; }
rules() { in_host nft -s list ruleset; }
has_rules() { [[ $(rules) == *'tagwall:edge/edge'* ]]; }
ours() { in_host nft -s list table inet tagwall || true; }
admits() { [[ $(ours 2>&1) == *"dport $1"* ]]; }
unchanged() { diff <(echo "$1") <(ours); }
status_tells() { [[ $(show tagwall StatusText) == *"$1"* ]] || { show tagwall StatusText && false; }; }
journal_tells() { [[ $(in_host journalctl -b --no-pager -o cat -u tagwall.service) == *"$1"* ]]; }
process_has() { [[ $(in_host cat "/proc/$1/status") == *"$2"* ]]; }
connects() { python3 "$here/outside.py" connect "$@"; }
# Whether a friend gets in and a stranger does not, by both families.
guarded() {
    local open=() address
    for address in 192.0.2.7 2001:db8::7 192.0.2.99 2001:db8::99; do
        local server=192.0.2.1
        [[ $address != *:* ]] || server=2001:db8::1
        if connects "$address" "$server" "${1-8443}"; then open+=("$address"); fi
    done
    [[ ${open[*]} == "192.0.2.7 2001:db8::7" ]] || { echo "open to: ${open[*]-}" && false; }
}
# restarts_after NUMBER: whether the daemon has been restarted since, and is ready again.
restarts_after() { (($(show tagwall NRestarts) > $1)) && shows tagwall ActiveState active; }
main_pid() { show tagwall MainPID; }

publish() {
    local number=$1 prefixes
    shift
    prefixes=$(printf '"%s", ' "$@")
    cat >"$scratch/feed/new" <<JSON
{"changeNumber": $number, "cloud": "Public", "values": [{"name": "AzureActiveDirectory", "id": "AzureActiveDirectory",
  "properties": {"changeNumber": $number, "region": "", "regionId": 0, "platform": "Azure",
    "systemService": "AzureAD", "addressPrefixes": [${prefixes%, }], "networkFeatures": ["API"]}}]}
JSON
    mv "$scratch/feed/new" "$scratch/feed/ServiceTags_Public.json"
}
serve_feed() {
    python3 "$here/outside.py" serve 192.0.2.200 8444 "$scratch/feed" 2>"$scratch/feed/log" &
    feed=$!
}
configure() {
    cat >"$root/etc/tagwall/new.toml" <<TOML
owner = "edge"
[source]
kind = "url"
url = "https://feed.example:8444/ServiceTags_Public.json"
extra-ca = "/etc/ssl/feed.pem"
attempts = 1
[lists.entra]
tags = ["AzureActiveDirectory"]
[targets.edge]
lists = ["entra"]
ports = [$1]
nftables = {}
[limits]
special = ["documentation"]
loss = "100%"
TOML
    mv "$root/etc/tagwall/new.toml" "$root/etc/tagwall/tagwall.toml"
}

# What an operator installs by hand.
install_by_hand() {
    install -D "$tagwall" "$root/usr/bin/tagwall"
    install -Dm644 -t "$root/usr/lib/systemd/system" "$packaging"/*.service "$packaging"/*.timer
    install -Dm644 "$packaging/tagwall.sysusers.conf" "$root/usr/lib/sysusers.d/tagwall.conf"
    mkdir -p "$root/etc/tagwall"
    configure 8443
}

# A service behind the port that listens from the first moment of the boot, and the feed.
furnish() {
    mkdir -p "$root/etc/systemd/system/tagwall.service.d" "$root/etc/ssl" "$scratch/feed"
    # So that the test need not wait for two minutes. Everything else is as it ships.
    printf '[Service]\nWatchdogSec=3\nRestartSec=200ms\nTimeoutAbortSec=2\n' \
        >"$root/etc/systemd/system/tagwall.service.d/test.conf"
    cat >"$root/etc/systemd/system/scim.socket" <<'UNIT'
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=8443
ListenStream=9443
Accept=yes
TriggerLimitIntervalSec=0
MaxConnections=1000
UNIT
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=echo served\nStandardOutput=socket\nCollectMode=inactive-or-failed\n' \
        >"$root/etc/systemd/system/scim@.service"
    systemctl -q --root "$root" enable systemd-networkd
    systemctl -q --root "$root" add-wants sysinit.target scim.socket
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=feed.example \
        -addext subjectAltName=DNS:feed.example -addext basicConstraints=critical,CA:FALSE \
        -keyout "$scratch/feed/key.pem" -out "$scratch/feed/certificate.pem" 2>/dev/null
    cp "$scratch/feed/certificate.pem" "$root/etc/ssl/feed.pem"
    publish 10 192.0.2.0/28 2001:db8::/124
}

if [[ -d $tagwall ]]; then
    # shellcheck source=tests/systemd/packages.sh
    source "$here/packages.sh"
else
    # shellcheck source=tests/systemd/scenarios.sh
    source "$here/scenarios.sh"
fi

scenarios=("$@")
[[ $# -gt 0 ]] || mapfile -t scenarios < <(declare -F | sed -n 's/^declare -f scenario_//p' | sort)

scratch_of_ours=$(mktemp -d)
machine='' feed='' cgroup=/nonexistent
finish() {
    [[ -z $feed ]] || kill "$feed" 2>/dev/null || true
    host_destroy
    umount -R -l "$scratch_of_ours" 2>/dev/null || true
    rm -rf "$scratch_of_ours"
}
trap finish EXIT
host_make "$base" "$scratch_of_ours"
furnish
if [[ -d $tagwall ]]; then
    mkdir "$root/packages"
    cp "$tagwall"/*.deb "$root/packages"
else
    install_by_hand
fi
began=$SECONDS
host_boot
printf 'booted in %d s: %s, %s\n' $((SECONDS - began)) "$(in_host systemctl --version | head -n1)" "$(in_host systemctl is-system-running || true)"
[[ -d $tagwall ]] || in_host systemd-sysusers
serve_feed
for scenario in "${scenarios[@]}"; do
    printf '%s\n' "${scenario#*_}" | tr _ ' '
    "scenario_$scenario"
done
printf '%d failed, %d skipped\n' "$failures" "$skips"
((failures == 0))
