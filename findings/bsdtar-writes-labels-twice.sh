#!/bin/bash
# bsdtar (libarchive 3.6.2) writes each extended attribute into a pax archive twice, as SCHILY.xattr.NAME and, in
# base64, as LIBARCHIVE.xattr.NAME; a security label too. GNU tar 1.34 with --selinux writes RHT.security.selinux.
# Whoever rewrites the label of a file in an archive has three places to look at.
# Works without SELinux in the kernel: a label is an attribute like any other there. Needs root, attr.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq libarchive-tools 2>/dev/null
dpkg-deb -x libarchive-tools_*.deb root
echo text >file
setfattr -n security.selinux -v 'system_u:object_r:container_file_t:s0:c1,c2' file
root/usr/bin/bsdtar --version | cut -d' ' -f1-2
root/usr/bin/bsdtar --format pax --xattrs -cf bsd.tar file
tar --selinux --xattrs --xattrs-include='*' -cf gnu.tar file 2>/dev/null
for archive in bsd gnu; do
  printf '%s: %s\n' $archive "$(strings $archive.tar | grep -oE '(SCHILY\.xattr|LIBARCHIVE\.xattr|RHT)\.security\.selinux' | sort | paste -sd' ')"
done | tee seen
grep -q '^bsd: LIBARCHIVE.xattr.security.selinux SCHILY.xattr.security.selinux$' seen
