#!/bin/sh
# assemble.sh TAGWALL FROM IMAGE: a root file system for tagwall alone, in the new folder IMAGE.
#
# FROM is the root of the Debian (`/` inside of one) that gives libraries, certificate authorities and time zones.
set -eu
tagwall=$1 from=${2%/} image=$3

mkdir -p "$image/usr/bin" "$image/etc/ssl/certs" "$image/etc/tagwall" "$image/usr/share" "$image/var/lib/tagwall" \
    "$image/proc" "$image/dev" "$image/tmp" "$image/run"
# As in Debian: everything is below /usr.
for folder in bin lib lib64; do
    mkdir -p "$image/usr/$folder"
    ln -s "usr/$folder" "$image/$folder"
done
install -m 755 "$tagwall" "$image/usr/bin/tagwall"
# The loader and libraries: the lines that name a path.
for library in $(ldd "$tagwall" | grep -o '/[^ ]*'); do
    mkdir -p "$image/$(dirname "$library")"
    cp -L "$from$library" "$image$library"
done
cp -L "$from/etc/ssl/certs/ca-certificates.crt" "$image/etc/ssl/certs/"
cp -R "$from/usr/share/zoneinfo" "$image/usr/share/"
# Twice the same again, and with leap seconds.
rm -rf "$image/usr/share/zoneinfo/posix" "$image/usr/share/zoneinfo/right"
echo 'tagwall:x:65532:65532:tagwall:/var/lib/tagwall:/nonexistent' >"$image/etc/passwd"
echo 'tagwall:x:65532:' >"$image/etc/group"
echo 'hosts: files dns' >"$image/etc/nsswitch.conf"
