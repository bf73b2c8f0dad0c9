# shellcheck shell=bash disable=SC2154 # the words and places are of run.sh
# The life of a package, in this order: installed, configured, upgraded, swapped for the other one, removed, purged.
# Sourced by run.sh where it is given a folder of packages: old.deb and new.deb of tagwall-slim, full.deb of tagwall.

# What an operator types. No question is asked: a configuration that he has edited stays.
dpkg_said=''
install_package() { dpkg_runs --force-confold -i "/packages/$1.deb"; }
dpkg_runs() {
    dpkg_said=$(in_host env DEBIAN_FRONTEND=noninteractive dpkg "$@" 2>&1) || { echo "$dpkg_said" && false; }
}
says() { [[ $dpkg_said == *"$1"* ]] || { echo "$dpkg_said" && false; }; }
is() { [[ $1 == "$2" ]] || { echo "it is: $1" && false; }; }
enabled() { in_host systemctl is-enabled "$1" 2>/dev/null || true; }
# What cannot be had again: the rest is written anew by each pass.
state() { (cd "$root/var/lib/tagwall" && find audit.jsonl generations publications -type f | sort | xargs sha256sum); }
same_state() { diff <(echo "$1") <(state); }
owner_and_mode() { in_host stat -c '%U:%G %a' "$1"; }
no_unit_failed() { in_host systemctl --failed --no-legend --plain | grep -i tagwall && return 1 || return 0; }
skipped() { in_host journalctl -b --no-pager -o cat -u "$1" | grep -F "$1.service: Skipped due to 'exec-condition'"; }
open_to_all() { connects 192.0.2.99 192.0.2.1 8443 && connects 192.0.2.7 192.0.2.1 8443; }
# Who connects all the time while something happens: `knock`, do it, `knocked`.
knock() {
    : >"$scratch/stranger"
    : >"$scratch/friend"
    python3 "$here/outside.py" knock 192.0.2.99 192.0.2.1 8443 "$scratch/stranger" &
    knocking=($!)
    python3 "$here/outside.py" knock 192.0.2.7 192.0.2.1 8443 "$scratch/friend" &
    knocking+=($!)
    until_so "both knock" sh -c "test -s $scratch/stranger && test -s $scratch/friend"
}
knocked() {
    kill "${knocking[@]}"
    not grep open "$scratch/stranger" && not grep closed "$scratch/friend"
}
# Notes who a unit's process is, and what it finds of credentials: /var/lib/tagwall/whom.
tell_whom() {
    mkdir -p "$root/etc/systemd/system/$1.service.d"
    cat >"$root/etc/systemd/system/$1.service.d/whom.conf" <<'UNIT'
[Service]
ExecStartPre=/bin/sh -c '{ cat /proc/self/status; id -un; touch /etc/of-mine /usr/of-mine /var/of-mine; ls /home /root; \
    echo "keys: $(cat $AWS_SHARED_CREDENTIALS_FILE)"; } >/var/lib/tagwall/whom 2>&1'
UNIT
}
whom_has() { grep -q -- "$1" "$root/var/lib/tagwall/whom" || { cat "$root/var/lib/tagwall/whom" && false; }; }

scenario_10_installed() {
    check "dpkg installs it, in a root that has never seen it" install_package old
    check "and says what is to be done" says 'nothing is enforced before /etc/tagwall/tagwall.toml names a target'
    check "every file is as it was packed" in_host dpkg --verify tagwall-slim
    check "the user is there, and cannot log in" is "$(in_host getent passwd tagwall | cut -d: -f6,7)" /var/lib/tagwall:/usr/sbin/nologin
    check "the state directory is the user's" is "$(owner_and_mode /var/lib/tagwall)" 'tagwall:tagwall 750'
    check "the configuration is root's" is "$(owner_and_mode /etc/tagwall/tagwall.toml)" 'root:root 644'
    check "it is valid, and has no target" grep -q 'no targets' <(in_host tagwall check --no-environment)
    check "the program is root's, without set-user-id and file capabilities" is "$(owner_and_mode /usr/bin/tagwall)" 'root:root 755'
    local unit
    for unit in tagwall.service tagwall-restore.service; do check "$unit is enabled" is "$(enabled $unit)" enabled; done
    check "the timer is not" is "$(enabled tagwall-sync.timer)" disabled
    check "no daemon runs before there is a configuration" shows tagwall ActiveState inactive
    for unit in tagwall tagwall-sync tagwall-restore; do
        in_host systemctl start "$unit" || true
        check "started by hand, $unit is skipped" skipped "$unit"
    done
    check "and nothing has failed" no_unit_failed
    check "nothing was written into the firewall" is "$(rules)" ''
    check "and everybody connects" open_to_all
}

scenario_20_configured() {
    configure 8443
    chmod 600 "$root/etc/tagwall/tagwall.toml"
    check_not "one that the service may not read is no reason to be skipped: it fails" in_host systemctl start tagwall
    in_host systemctl stop tagwall
    chmod 644 "$root/etc/tagwall/tagwall.toml"
    check "with a target it starts" in_host systemctl start tagwall
    check "and enforces" guarded
    local pid
    pid=$(main_pid)
    check "as its own user" in_host sh -c "[ \"\$(stat -c %U /proc/$pid)\" = tagwall ]"
    check "with CAP_NET_ADMIN alone" process_has "$pid" $'CapEff:\t0000000000001000\n'
}

scenario_30_upgraded() {
    local before known pid
    before=$(ours) known=$(state) pid=$(main_pid)
    knock
    check "dpkg upgrades it while it runs" install_package new
    check "the new daemon has taken over" not shows tagwall MainPID "$pid"
    check "and runs" shows tagwall ActiveState active
    check "no stranger ever got in meanwhile, and every friend" knocked
    check "the rules stayed" unchanged "$before"
    check "state stayed" same_state "$known"
    check "the configuration stayed as it was edited" grep -q 'feed.example' "$root/etc/tagwall/tagwall.toml"
    in_host systemctl disable --now tagwall 2>/dev/null
    check "it can be upgraded while it is disabled and stopped" install_package new
    check "it stays disabled" is "$(enabled tagwall.service)" disabled
    check "and stopped" shows tagwall ActiveState inactive
    check "the rules stayed" unchanged "$before"
}

# The daemon is disabled and stopped.
scenario_40_the_timer() {
    tell_whom tagwall-sync
    printf '[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=10ms\n' |
        in_host sh -c 'mkdir -p /etc/systemd/system/tagwall-sync.timer.d && cat >/etc/systemd/system/tagwall-sync.timer.d/soon.conf'
    in_host install -Dm644 /usr/share/doc/tagwall/examples/systemd/aws-credentials.conf \
        /etc/systemd/system/tagwall-sync.service.d/aws-credentials.conf
    printf 'a secret\n' | in_host sh -c 'umask 077; cat >/etc/tagwall/aws-credentials'
    in_host systemctl daemon-reload
    publish 11 192.0.2.0/28 2001:db8::/124 192.0.2.32/28
    check "the timer is enabled and started" in_host systemctl enable --now tagwall-sync.timer
    check "it makes a pass" until_so "the pass" sh -c "grep -q 192.0.2.32/28 '$root'/var/lib/tagwall/generations/*"
    check "which succeeds" until_so "its end" shows tagwall-sync ActiveState inactive
    check "and says so" shows tagwall-sync Result success
    check "the kernel has it" grep -q 192.0.2.32/28 <(ours)
    check "it ran as the service user" whom_has '^tagwall$'
    check "with CAP_NET_ADMIN alone" whom_has '^CapEff:.0000000000001000$'
    check "and could be given no more" whom_has '^CapBnd:.0000000000001000$'
    check "its system calls are filtered" whom_has '^Seccomp:.2$'
    check "the system is read-only to it" whom_has "touch: cannot touch '/usr/of-mine': Read-only file system"
    check "/etc, too" whom_has "touch: cannot touch '/etc/of-mine': Read-only file system"
    check "and homes are empty" not whom_has 'ls: cannot access'
    check "LoadCredential gives it the keys" whom_has '^keys: a secret$'
    check_not "that its user cannot read by himself" in_host setpriv --reuid tagwall cat /etc/tagwall/aws-credentials

    local before
    before=$(ours)
    publish 5 192.0.2.0/28 2001:db8::/124
    check_not "an older publication makes the unit fail" in_host systemctl start tagwall-sync
    check "by the exit status of what is refused" shows tagwall-sync ExecMainStatus 3
    check "and the rules stay" unchanged "$before"
    in_host systemctl reset-failed tagwall-sync
    publish 12 192.0.2.0/28 2001:db8::/124
    check "the next one is taken" in_host systemctl start tagwall-sync
}

# Who lets the timer make passes has no daemon that heals.
scenario_50_enforced_anew() {
    local before verb
    before=$(ours)
    in_host systemctl start nftables
    check "after nftables.service was started the rules are there" until_so "restoring" unchanged "$before"
    for verb in reload restart; do
        in_host systemctl "$verb" nftables
        check "after its $verb, too" until_so "restoring" unchanged "$before"
        check "and its own" grep -q 'table inet filter' <(rules)
    done
    if in_host test -x /usr/sbin/firewalld; then
        # Its unit reloads by a program that minimal Debian lacks.
        printf '#!/bin/sh\nkill "$@"\n' | in_host sh -c 'test -e /bin/kill || { cat >/bin/kill; chmod 755 /bin/kill; }'
        in_host systemctl enable tagwall-restore@firewalld 2>/dev/null
        check "firewalld takes the place of nftables.service, which flushes as it goes" in_host systemctl start firewalld
        check "the rules are there" until_so "restoring" unchanged "$before"
        for verb in reload restart; do
            in_host nft delete table inet tagwall
            check "$verb of firewalld succeeds" in_host systemctl "$verb" firewalld
            check "after its $verb what was lost before is there again" until_so "restoring" unchanged "$before"
        done
        in_host systemctl disable tagwall-restore@firewalld 2>/dev/null
        in_host systemctl stop firewalld tagwall-restore@firewalld
    else
        skip "this root has no firewalld"
    fi
    check "friends connect and strangers do not" guarded
    in_host systemctl disable --now tagwall-sync.timer 2>/dev/null
    in_host systemctl enable --now tagwall 2>/dev/null
}

scenario_60_the_other_package() {
    local before known
    before=$(ours) known=$(state)
    knock
    check "dpkg puts the whole program in the place of the slim one" install_package full
    check_not "of which nothing is told to be left behind" says 'stay as they are'
    check "its daemon runs" until_so "the daemon" shows tagwall ActiveState active
    check "no stranger ever got in meanwhile, and every friend" knocked
    check "the rules stayed" unchanged "$before"
    check "the units are enabled" is "$(enabled tagwall.service) $(enabled tagwall-restore.service)" 'enabled enabled'
    check "what is left of the slim one can be purged" dpkg_runs --purge tagwall-slim
    check "state stays" same_state "$known"
    check "the configuration stays" grep -q 'feed.example' "$root/etc/tagwall/tagwall.toml"
    check "the units stay enabled" is "$(enabled tagwall.service) $(enabled tagwall-restore.service)" 'enabled enabled'
    check "and the daemon runs" shows tagwall ActiveState active
}

scenario_70_removed() {
    local before known
    before=$(ours) known=$(state)
    check "dpkg removes it" dpkg_runs --remove tagwall
    check "and says that the rules stay, and what to do" says 'tagwall withdraw'
    check "no daemon runs" not shows tagwall ActiveState active
    check "the rules stay" unchanged "$before"
    check "friends connect and strangers do not" guarded
    check "state stays" same_state "$known"
    check "the configuration stays" in_host test -e /etc/tagwall/tagwall.toml
    check "nothing has failed" no_unit_failed
    check "installed again" install_package full
    check "it starts, since it is configured" until_so "the daemon" shows tagwall ActiveState active
    check "and is enabled" is "$(enabled tagwall.service)" enabled
}

scenario_80_purged() {
    local before
    before=$(ours)
    check "dpkg purges it" dpkg_runs --purge tagwall
    check "the rules stay in the kernel" unchanged "$before"
    check_not "state is gone" in_host test -e /var/lib/tagwall
    check_not "the configuration is gone" in_host test -e /etc/tagwall/tagwall.toml
    check "what the operator has put beside it stays" in_host test -e /etc/tagwall/aws-credentials
    check "no unit, mask or link is left" is "$(in_host find /etc/systemd/system /var/lib/systemd/deb-systemd-helper-enabled -name 'tagwall*' ! -name '*.d' -print)" ''
    check "nothing has failed" no_unit_failed
    in_host nft delete table inet tagwall
}

scenario_90_withdrawn_and_purged() {
    check "installed once more" install_package full
    configure 8443
    in_host systemctl start tagwall
    check "it enforces" guarded
    check "withdrawn" in_host tagwall -q withdraw --yes
    check "and purged" dpkg_runs --purge tagwall
    check "nothing of it is in the firewall" is "$(rules)" ''
    check "and everybody connects" open_to_all
}
