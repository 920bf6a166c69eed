#!/bin/bash
# What makes a file system image of a directory takes security labels along without being asked: mke2fs -d (e2fsprogs
# 1.47.0), mksquashfs (4.5.1) and mkfs.btrfs --rootdir (6.2). An image of a container's volume has that container's
# categories on every file, wherever it is mounted next. Tools that copy files do so only when asked (cp, rsync).
# Works without SELinux in the kernel. Needs root and attr; squashfs-tools and btrfs-progs are fetched.
set -euo pipefail
work=$(mktemp -d)
trap '! mountpoint -q "$work/at" || umount "$work/at"; rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq squashfs-tools liblzo2-2 btrfs-progs 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
export PATH=$PATH:$work/root/usr/bin:$work/root/sbin LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
mkdir source at
echo text >source/file
label=system_u:object_r:container_file_t:s0:c1,c2
setfattr -n security.selinux -v $label source/file
truncate -s 32M ext4
mke2fs -q -t ext4 -d source ext4
mksquashfs source squashfs -quiet -no-progress >/dev/null
truncate -s 200M btrfs
mkfs.btrfs -q --rootdir source btrfs >/dev/null 2>&1
cp source/file copied
label_of() { getfattr --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0' || :; }
for kind in ext4 squashfs btrfs; do
  mount -t $kind -o loop,ro $kind at
  echo "$kind: the image has: $(label_of at/file)"
  umount at
done | tee seen
echo "cp: the copy has: $(label_of copied)" | tee -a seen
[ "$(grep -c "image has: $label\$" seen)" = 3 ]
grep -q '^cp: the copy has: $' seen
