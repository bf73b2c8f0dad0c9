# shellcheck shell=bash disable=SC2154 # the words and places are of run.sh
# What is shown under the booted systemd, in this order. Sourced by run.sh, which has the words.
# Each scenario finds the daemon enforcing (but the first) and leaves it so.

scenario_10_the_units() {
    check "systemd-analyze verify finds nothing" verified
    local unit
    for unit in tagwall tagwall-restore tagwall-restore@firewalld tagwall-sync; do
        check "systemd-analyze security of $unit.service is at most 1.6" \
            in_host systemd-analyze security --no-pager --threshold=16 "$unit.service"
        check "what $unit.service is not denied stands in docs/security.md, with the reason" unrestricted_told "$unit"
        printf '        %s\n' "$(in_host systemd-analyze security --no-pager "$unit.service" | grep 'Overall exposure' | tr -s ' ')"
    done
}
unrestricted_told() {
    local told setting untold=()
    told=$(sed -n '/^## Under systemd/,/^## R/s/\\|/|/gp; /^## Under systemd/,/^## R/p' "$here/../../docs/security.md")
    while read -r setting; do
        # `RestrictAddressFamilies=~AF_UNIX`: by what follows the `=`, where something does.
        [[ $told == *"\`${setting#RestrictAddressFamilies=}\`"* || $told == *"\`${setting%%/*}\`"* ]] || untold+=("$setting")
    done < <(in_host systemd-analyze security --no-pager "$1.service" | awk '$1 == "✗" {print $2}')
    [[ ${#untold[@]} -eq 0 ]] || { echo "${untold[@]}" && false; }
}
# Warnings of Debian's own units are none of ours, and the manual page is a package's to bring.
verified() {
    local said
    said=$(in_host systemd-analyze verify tagwall.service tagwall-restore.service tagwall-restore@firewalld.service tagwall-sync.service tagwall-sync.timer 2>&1) || { echo "$said" && false; }
    not grep -vE "'man tagwall(-sync|-restore)?\(1\)'" <(grep -i tagwall <<<"$said")
}

scenario_20_start() {
    check "before anything is enforced everybody connects" connects 192.0.2.99 192.0.2.1 8443
    check "it starts, and is started only when it is ready" in_host systemctl start tagwall
    check "it enforces when it is ready" has_rules
    check "friends connect and strangers do not" guarded
    local pid
    pid=$(main_pid)
    check "it runs as its own user" in_host sh -c "[ \"\$(stat -c %U /proc/$pid)\" = tagwall ]"
    check "it may administer the network and nothing else" process_has "$pid" $'CapEff:\t0000000000001000\n'
    check "it cannot be given more" process_has "$pid" $'CapBnd:\t0000000000001000\n'
    check "it gains no privileges, and its system calls are filtered" process_has "$pid" $'NoNewPrivs:\t1\nSeccomp:\t2\n'
    check "systemctl status tells how things stand" status_tells 'change number 10'
    if in_host grep -qw memory /sys/fs/cgroup/cgroup.controllers; then
        check "its memory is bounded" in_host grep -qx 268435456 /sys/fs/cgroup/system.slice/tagwall.service/memory.max
    else
        skip "the memory controller is not on this machine's cgroup2: MemoryMax and TasksMax were not in force"
    fi
}

scenario_30_reload() {
    configure 9443
    check "a good configuration is taken" in_host systemctl reload tagwall
    check "its port is closed to strangers" until_so "port 9443" admits 9443
    check "by packets, too" guarded 9443
    local before pid
    before=$(ours) pid=$(main_pid)
    sed -i 's/ports/porst/' "$root/etc/tagwall/tagwall.toml"
    check_not "a bad one makes the reload fail" in_host systemctl reload tagwall
    check "with what is wrong with it, in the journal" journal_tells 'porst'
    check "the daemon goes on" shows tagwall MainPID "$pid"
    check "with the old rules" unchanged "$before"
    in_host sh -c "kill -HUP $pid"
    check "told of it all the same, it keeps the old one" until_so "its word" journal_tells 'the old configuration stays in use'
    check "and is the same process" shows tagwall MainPID "$pid"
    in_host nft flush ruleset
    check "which it goes on enforcing" until_so "healing" unchanged "$before"
    configure 8443
    check "and the next good one is taken" in_host systemctl reload tagwall
    check "at once" until_so "port 8443" admits 8443
}

scenario_40_watchdog() {
    local restarts before pid
    before=$(ours) restarts=$(show tagwall NRestarts) pid=$(main_pid)
    in_host sh -c "kill -STOP $pid"
    check "a stopped process is killed by the watchdog and started anew" until_so "a restart" restarts_after "$restarts"
    check "by the watchdog" journal_tells "Failed with result 'watchdog'"
    check "the rules stayed" unchanged "$before"

    # The loop reads its configuration from a pipe that nobody writes to: it hangs for good, and every thread lives.
    restarts=$(show tagwall NRestarts) pid=$(main_pid)
    mkfifo "$root/etc/tagwall/pipe"
    cp "$root/etc/tagwall/tagwall.toml" "$root/etc/tagwall/good.toml"
    mv "$root/etc/tagwall/pipe" "$root/etc/tagwall/tagwall.toml"
    in_host sh -c "kill -HUP $pid"
    check "the loop hangs where it opens the pipe" until_so "hanging" hangs "$pid"
    mv "$root/etc/tagwall/good.toml" "$root/etc/tagwall/tagwall.toml"
    check "a loop that hangs in a process that lives is killed and started anew" until_so "a restart" restarts_after "$restarts"
    check "the rules stayed all the while" unchanged "$before"
}
# Whether the first thread of a process is in open(2), which it would not be for long.
hangs() {
    local call
    call=$(in_host cut -d' ' -f1 "/proc/$1/syscall")
    # openat: 257 on x86-64, 56 on arm64.
    [[ $call == 257 || $call == 56 ]]
}

scenario_50_stop_and_crash() {
    local before restarts
    before=$(ours)
    check "it stops" in_host systemctl stop tagwall
    check "and says so" shows tagwall Result success
    check "the rules stay" unchanged "$before"
    check "friends connect and strangers do not" guarded
    in_host systemctl start tagwall
    restarts=$(show tagwall NRestarts)
    in_host sh -c "kill -KILL $(main_pid)"
    check "killed, it is started anew" until_so "a restart" restarts_after "$restarts"
    check "the rules stayed" unchanged "$before"
    check "upgraded (restarted), too" in_host systemctl restart tagwall
    check "they stayed then" unchanged "$before"
}

scenario_60_nftables_service() {
    local before
    in_host systemctl start nftables
    check "after the start of nftables.service, which flushes, the daemon heals" until_so "healing" has_rules
    before=$(ours)
    local verb
    for verb in reload restart; do
        in_host systemctl "$verb" nftables
        check "after its $verb, too" until_so "healing" unchanged "$before"
    done
    check "friends connect and strangers do not" guarded
    if ! can_restore; then
        skip "this tagwall has no command restore: nftables.service without the daemon"
        return 0
    fi
    in_host systemctl stop tagwall
    in_host systemctl enable tagwall-restore 2>/dev/null
    check "without the daemon, tagwall-restore.service starts" in_host systemctl start tagwall-restore
    for verb in reload restart; do
        check "$verb of nftables.service succeeds" in_host systemctl "$verb" nftables
        # systemctl waits for nftables.service alone; the other follows it.
        check "after it the rules are there again, without the daemon" until_so "restoring" unchanged "$before"
        check "nftables.service's own, too" grep 'table inet filter' <(rules)
    done
    in_host systemctl disable tagwall-restore 2>/dev/null
    in_host systemctl stop tagwall-restore
    in_host systemctl reload nftables
    check_not "negative control: without tagwall-restore.service and the daemon they are gone" has_rules
    in_host systemctl start tagwall
}
can_restore() { in_host tagwall restore --help >/dev/null 2>&1; }

scenario_70_firewalld() {
    if ! in_host test -x /usr/sbin/firewalld; then
        skip "this root has no firewalld"
        return 0
    fi
    in_host systemctl stop nftables
    until_so "healing" has_rules
    local before verb
    before=$(ours)
    check "firewalld starts" in_host systemctl start firewalld
    check "and opens the port" in_host firewall-cmd --permanent --add-port=8443/tcp
    in_host systemd-run -q --unit=monitor -p StandardOutput=append:/run/monitor nft monitor
    until_so "the monitor" monitored
    for verb in "firewall-cmd --reload" "firewall-cmd --complete-reload" "systemctl restart firewalld"; do
        # shellcheck disable=SC2086 # a command line
        check "$verb succeeds" in_host $verb
        check "after it our rules are there" unchanged "$before"
        check "friends connect and strangers do not" guarded
    done
    check "firewalld's own table was written meanwhile" in_host grep -q 'table inet firewalld' /run/monitor
    check_not "ours was never touched" in_host grep -q 'inet tagwall' /run/monitor
    in_host systemctl stop firewalld
    in_host systemctl stop monitor
    check "after it stops, too" unchanged "$before"
}
# Whether what is written is seen by now.
monitored() {
    in_host nft 'add table inet beside; delete table inet beside'
    in_host grep -q 'table inet beside' /run/monitor
}

scenario_80_root_beside_the_service() {
    publish 11 192.0.2.0/28 2001:db8::/124 192.0.2.32/28
    in_host rm -rf /var/lib/tagwall/audit.jsonl /var/lib/tagwall/generations /var/lib/tagwall/publications
    check "root's own sync works beside the daemon" in_host tagwall -q sync
    check "and lets the daemon write what it wrote" everything_belongs_to_tagwall
    publish 12 192.0.2.0/28 2001:db8::/124
    check "the daemon reloads" in_host systemctl reload tagwall
    check "and goes by the next publication" until_so "change number 12" status_tells 'change number 12'
    check_not "without a word about files that it may not write" journal_tells 'Permission denied'
}
everything_belongs_to_tagwall() {
    local others
    others=$(in_host find /var/lib/tagwall ! -user tagwall)
    [[ -z $others ]] || { echo "$others" && false; }
}

scenario_90_reboot_without_a_network() {
    in_host systemctl enable tagwall nftables 2>/dev/null
    if can_restore; then in_host systemctl enable tagwall-restore 2>/dev/null; fi
    host_power_off
    kill "$feed"
    feed=''
    : >"$scratch/stranger"
    : >"$scratch/friend"
    host_power_on
    python3 "$here/outside.py" knock 192.0.2.99 192.0.2.1 8443 "$scratch/stranger" &
    local knocking=($!)
    python3 "$here/outside.py" knock 192.0.2.7 192.0.2.1 8443 "$scratch/friend" &
    knocking+=($!)
    until_so "systemd answers" in_host test -S /run/systemd/private
    in_host systemctl is-system-running --wait >/dev/null || true
    check "the daemon is up, though there is nothing to fetch" until_so "the daemon" shows tagwall ActiveState active
    check "it says that it goes by what is on disk" until_so "from disk" status_tells 'from disk'
    check "a friend connects" until_so "a friend" grep -q open "$scratch/friend"
    check "friends connect and strangers do not" guarded
    kill "${knocking[@]}"
    if can_restore; then
        check "a stranger knocked from the first moment on and never got in" never_open
        check "the rules stood before any address was up" before_in_boot tagwall-restore network-pre.target
        check "and before the daemon began" before_in_boot tagwall-restore tagwall
        check "and after nftables.service" before_in_boot nftables tagwall-restore
    else
        skip "this tagwall has no command restore: the moments before the daemon"
    fi
    serve_feed
}
never_open() { [[ $(grep -c closed "$scratch/stranger") -gt 2 ]] && not grep open "$scratch/stranger"; }
# before_in_boot A B: whether unit A had been started when unit B began to be.
before_in_boot() {
    local first second
    first=$(show "$1" ActiveEnterTimestampMonotonic)
    second=$(show "$2" InactiveExitTimestampMonotonic)
    [[ $first -gt 0 && $second -gt 0 && $first -le $second ]] || { echo "$1 at $first us, $2 from $second us" && false; }
}
