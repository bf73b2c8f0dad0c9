# shellcheck shell=sh
# The last of it goes: units end, rules stay. An upgrade stops nothing.
if [ "$1" -eq 0 ] && [ -x /usr/bin/systemctl ]; then
    systemctl --no-reload disable --now tagwall-sync.timer tagwall.service tagwall-restore.service || :
    echo "tagwall: the rules that it wrote stay as they are; its own 'tagwall withdraw' takes them away, before removal"
fi
