# shellcheck shell=sh
# After an upgrade a daemon that runs is the new one from here on. State and rules stay, whatever goes.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then systemctl try-restart tagwall.service tagwall-sync.timer || :; fi
fi
