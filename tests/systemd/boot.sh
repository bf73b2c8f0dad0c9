#!/usr/bin/env bash
# boot.sh ROOT PID-FILE: becomes the first process of a booted system, in the namespaces that it is started in.
#
# What a container's root needs and no more: its own /proc, cgroups, /run and devices, and a /sys that cannot be
# written, by which systemd knows that devices are not its to manage.
set -euo pipefail
root=$1
# /proc is still that of the outer process namespace, and so is the number.
read -r pid _ </proc/self/stat
echo "$pid" >"$2"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

cd "$root"
pivot_root . mnt
umount -l /mnt
# In a container systemd leaves this to whoever made it; without it services do not see the credentials they are given.
mount --make-rshared /
exec env -i container=tagwall-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=journal --show-status=no
