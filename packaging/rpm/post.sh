# shellcheck shell=sh
# As systemd's own macros do it. Whether the units are enabled is the distribution's preset to say: Fedora's says no.
systemd-sysusers tagwall.conf
systemd-tmpfiles --create tagwall.conf || :
if [ -x /usr/bin/systemctl ] && [ "$1" -eq 1 ]; then
    systemctl --no-reload preset tagwall.service tagwall-restore.service tagwall-sync.timer || :
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
