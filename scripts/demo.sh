#!/usr/bin/env bash
# The part of `./dev demo` that runs inside namespaces of its own: a host with tagwall and a server on TCP 8443, and
# the world at the other end of a veth. Every exit status and every connection is checked: a demo that does not show
# what it says fails.
#
# demo.sh FOLDER    holds tagwall, demo.toml, publication.json (what the configuration names), next.json and changes
set -euo pipefail

folder=$1
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$folder"
export PATH="$folder:$PATH:/usr/sbin:/sbin"

bold='' faint='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
    bold=$'\e[1m' faint=$'\e[2m' plain=$'\e[0m'
fi

step=0
heading() {
    step=$((step + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"
}

# shows STATUS COMMAND...: runs it in sight and requires its exit status.
shows() {
    local expected=$1 status=0
    shift
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@" || status=$?
    printf '%sexit status %d%s\n' "$faint" "$status" "$plain"
    if ((status != expected)); then
        echo "demo: expected exit status $expected" >&2
        exit 1
    fi
}

# connects yes|no SOURCE WHO: tries TCP 8443 from an address of the world and requires that answer.
connects() {
    local expected=$1 source=$2 who=$3 host=$host4 answer=no
    [[ $source != *:* ]] || host=$host6
    if nsenter -t "$world" -n python3 "$scripts/demo_tcp.py" ask "$source" "$host" 8443; then answer=yes; fi
    case $answer in
        yes) printf '   %-26s %-34s connected\n' "$source" "$who" ;;
        no) printf '   %-26s %-34s no answer\n' "$source" "$who" ;;
    esac
    if [[ $answer != "$expected" ]]; then
        echo "demo: expected the other answer" >&2
        exit 1
    fi
}

# address PREFIX: an address inside it.
address() {
    python3 -c 'import ipaddress, sys; p = ipaddress.ip_network(sys.argv[1]); print(p[min(5, p.num_addresses - 1)])' "$1"
}

# --- the two ends --------------------------------------------------------------------------------------------------

world='' server=''
leave() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    [[ -z $world ]] || kill "$world" 2>/dev/null || true
}
trap leave EXIT

# Private space: neither Microsoft's list nor the example publication may hold these.
host4=10.84.43.1 stranger4=10.84.43.2
host6=fd00:8443::1 stranger6=fd00:8443::2

unshare -n sleep 600 &
world=$!
# Until the child is in its own namespace, `ip` would look at ours.
until [[ $(readlink "/proc/$world/ns/net") != "$(readlink /proc/self/ns/net)" ]]; do sleep 0.02; done
inside() { nsenter -t "$world" -n "$@"; }

ip link set lo up
ip link add eth0 type veth peer name eth0 netns "$world"
ip link set eth0 up
inside ip link set lo up
inside ip link set eth0 up
ip address add "$host4/24" dev eth0
inside ip address add "$stranger4/24" dev eth0
ipv6=yes
if ip address add "$host6/64" dev eth0 nodad 2>/dev/null; then
    inside ip address add "$stranger6/64" dev eth0 nodad
else
    ipv6=no
    echo "demo: this machine has no IPv6; that half is left out" >&2
fi

# lives ADDRESS: gives it to the world.
lives() {
    if [[ $1 == *:* ]]; then
        inside ip address add "$1/128" dev eth0 nodad
        ip -6 route add "$1/128" dev eth0
    else
        inside ip address add "$1/32" dev eth0
        ip route add "$1/32" dev eth0
    fi
}

mapfile -t prefixes < <(tagwall -q -c demo.toml prefixes entra)
first4=${prefixes[0]} first6=''
for prefix in "${prefixes[@]}"; do
    if [[ $prefix == *:* ]]; then
        first6=$prefix
        break
    fi
done
read -r goes comes <changes
listed4=$(address "$first4") removed=$(address "$goes") added=$(address "$comes")
lives "$listed4"
lives "$removed"
lives "$added"
listed6=''
if [[ $ipv6 == yes && -n $first6 ]]; then
    listed6=$(address "$first6")
    lives "$listed6"
fi

python3 "$scripts/demo_tcp.py" serve 8443 &
server=$!
for _ in {1..100}; do
    if python3 "$scripts/demo_tcp.py" ask 127.0.0.1 127.0.0.1 8443 2>/dev/null; then break; fi
    sleep 0.05
done

# strangers yes|no: connects from addresses that are in no list.
strangers() {
    connects "$1" "$stranger4" "in no list"
    [[ $ipv6 == no ]] || connects "$1" "$stranger6" "in no list"
}
listed() {
    connects yes "$listed4" "in AzureActiveDirectory"
    [[ -z $listed6 ]] || connects yes "$listed6" "in AzureActiveDirectory"
}

# --- what is shown -------------------------------------------------------------------------------------------------

heading "Before: a server on TCP 8443 of a host without rules, open to everybody"
listed
strangers yes

heading "A dry run: what would change (exit status 2: changes are pending)"
shows 2 tagwall -c demo.toml sync --dry-run

heading "Apply it"
shows 0 tagwall -c demo.toml sync

heading "What the kernel has now"
echo "$bold\$ nft list table inet tagwall$plain   (lists of elements shortened)"
nft list table inet tagwall | awk '
    /elements = / { shown = 0; within = 1 }
    within { shown += 1; if (shown <= 2) print; else if (shown == 3) print "\t\t\t     …" }
    !within { print }
    within && /}/ { within = 0 }'

heading "The next dry run finds nothing to do"
shows 0 tagwall -c demo.toml sync --dry-run

heading "Who is let in"
listed
strangers no

heading "Microsoft publishes again: one prefix wider, one gone, one new"
connects yes "$removed" "in the prefix that goes"
connects no "$added" "in the prefix that comes"
cp next.json publication.json
shows 2 tagwall -c demo.toml sync --dry-run
shows 0 tagwall -q -c demo.toml sync
connects no "$removed" "in the prefix that went"
connects yes "$added" "in the prefix that came"
listed

heading "Somebody flushes the rules by hand"
shows 0 nft flush chain inet tagwall edge-ports
strangers yes
shows 2 tagwall -c demo.toml sync --dry-run
shows 0 tagwall -c demo.toml sync
strangers no

heading "Withdraw: the one command that takes rules away"
shows 0 tagwall -c demo.toml withdraw --yes
strangers yes
if [[ -n $(nft list tables) ]]; then
    echo "demo: something is left in the kernel" >&2
    exit 1
fi

printf '\n%sWhat you saw%s\n' "$bold" "$plain"
echo "- The list became kernel rules for TCP 8443 in one transaction; listed addresses connected, others got no answer."
echo "- A new publication changed only what differs, and a chain that was flushed by hand was seen and mended."
echo "- Withdrawing left nothing behind. All of it was in namespaces of its own: this machine's firewall was not touched."
